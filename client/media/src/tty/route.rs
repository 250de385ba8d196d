//! The cheapest way to write along the rows: which cells, in which colours.
//!
//! Dynamic programming (Viterbi's algorithm) over the cells in the order of reading. A state is the
//! pair of paints that the pen has, and whether the cursor stands at the next cell; its value is
//! the error taken away so far against the bytes written, at a price a byte. For each state only
//! the best way into it is kept.

use super::pen;

/// What one more space of many costs, of what the first one costs: between one byte each, when
/// they are few, and none, when they become a repeat.
const RUN: f32 = 0.4;

/// A cell that may be written.
pub(super) struct Stop<'a> {
    pub(super) x: u16,
    pub(super) y: u16,
    /// The error as it is.
    pub(super) keep: f32,
    /// The error with each pair of paints: the one before times the count of those behind, plus
    /// the one behind.
    pub(super) pairs: &'a [f32],
    /// The error when all is in each paint behind.
    pub(super) flats: &'a [f32],
}

/// What the ways cost.
pub(super) struct Costs<'a> {
    /// How much error a byte must take away.
    pub(super) price: f32,
    /// Bytes of the parameters that select each paint before, and behind.
    pub(super) fores: &'a [u32],
    pub(super) backs: &'a [u32],
    /// Bytes of a character.
    pub(super) glyph: f32,
    /// Whether spaces can be repeated.
    pub(super) repeat: bool,
    /// The first column past the picture: there the cursor is nowhere.
    pub(super) edge: u16,
}

/// A cell to write, in this pair of paints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Visit {
    pub(super) stop: usize,
    pub(super) fore: u8,
    pub(super) back: u8,
    /// As a space: all in the paint behind.
    pub(super) solid: bool,
}

/// The cells worth writing, in the order of reading.
pub(super) fn plan(stops: &[Stop<'_>], costs: &Costs<'_>, past: &mut Past) -> Vec<Visit> {
    past.clear();
    let mut ways = Ways::new(costs, past);
    stops.iter().for_each(|stop| ways.pass(stop));
    ways.back(stops)
}

/// The best ways so far, one for each state: the paint before times their count plus the one behind.
struct Ways<'a> {
    costs: &'a Costs<'a>,
    /// How many paints there are to have behind.
    count: usize,
    /// The value of those whose cursor stands behind the last cell.
    here: Vec<f32>,
    /// What one more space costs them.
    space: Vec<f32>,
    /// The value of the others, and where their cursor stands.
    away: Vec<f32>,
    column: Vec<f32>,
    row: Vec<f32>,
    /// Where the cursor of `here` stands.
    behind: Option<(u16, u16)>,
    /// What it costs to select a paint before, behind.
    fore_cost: Vec<f32>,
    back_cost: Vec<f32>,
    past: &'a mut Past,
}

/// What the way back needs to know of each stop.
#[derive(Debug, Default)]
pub(super) struct Past {
    stops: Vec<Step>,
    /// For each stop and state: the value of coming here, and how much of a space's price a space
    /// takes there.
    best: Vec<f32>,
    space: Vec<f32>,
    /// Whether the cursor moved to come here.
    moved: Vec<bool>,
    /// Whether the best that is elsewhere stood here, and left the cell as it is.
    skipped: Vec<bool>,
    /// For each stop that is not beside the last one: whether the best that is elsewhere came from
    /// behind that.
    left: Vec<bool>,
}

#[derive(Debug)]
struct Step {
    /// The value of coming here with a pen of which nothing is known.
    fresh: f32,
    /// Where in `left` its states begin.
    left: Option<usize>,
}

/// How a cell is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    Back,
    Fore,
    Both,
}

/// A row from which every way is longer than one that does not depend on where the cursor stands.
const NOWHERE: f32 = -1e6;

/// Bytes of a move by so many columns and rows, without branches.
fn way(columns: f32, rows: f32) -> f32 {
    let right = if columns > 9.0 {
        5.0
    } else if columns > 1.0 {
        4.0
    } else {
        3.0
    };
    let left = least(-columns, if columns < -9.0 { 5.0 } else { 4.0 });
    let across = if columns > 0.0 { right } else { left };
    let far = if rows > 9.0 { 5.0 } else { 4.0 };
    let down = least(rows, if rows > 1000.0 { 1000.0 } else { far });
    across + down
}

fn least(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

impl Past {
    fn clear(&mut self) {
        self.stops.clear();
        self.best.clear();
        self.space.clear();
        self.moved.clear();
        self.skipped.clear();
        self.left.clear();
    }
}

impl<'a> Ways<'a> {
    fn new(costs: &'a Costs<'a>, past: &'a mut Past) -> Self {
        let count = costs.backs.len();
        let size = costs.fores.len() * count;
        let select = |paints: &[u32]| -> Vec<f32> {
            paints.iter().map(|bytes| costs.price * (3 + bytes) as f32).collect()
        };
        Self {
            costs,
            count,
            here: vec![f32::INFINITY; size],
            space: vec![costs.price; size],
            away: vec![f32::INFINITY; size],
            column: vec![0.0; size],
            row: vec![NOWHERE; size],
            behind: None,
            fore_cost: select(costs.fores),
            back_cost: select(costs.backs),
            past,
        }
    }

    /// Goes on to the next cell.
    fn pass(&mut self, stop: &Stop<'_>) {
        let (count, size, price) = (self.count, self.here.len(), self.costs.price);
        let left = self.leave(stop);
        let absolute = price * pen::absolute(stop.x, stop.y) as f32;
        let begun = self.past.best.len();
        self.past.best.extend_from_slice(&self.here);
        self.past.moved.resize(begun + size, false);
        self.past.space.extend_from_slice(&self.space);
        self.come(stop, absolute, begun);
        // At first nothing is known of the pen, and what it is told is longer by a reset.
        let fresh = absolute + price * 2.0;
        self.past.stops.push(Step { fresh, left });
        let best = &self.past.best[begun..];
        let (fore_best, back_best, all) = bests(best, count);
        let all = least(all, fresh);
        let glyph = price * self.costs.glyph;
        let spaces = &self.past.space[begun..];
        // Or the cell stays as it is, and the cursor where it is.
        let (column, line) = (f32::from(stop.x), f32::from(stop.y));
        self.past.skipped.extend(self.here.iter().zip(&self.away).map(|(here, away)| here < away));
        let elsewhere = self.away.iter_mut().zip(&mut self.column).zip(&mut self.row);
        for (value, ((away, x), y)) in self.here.iter().zip(elsewhere) {
            *x = if *value < *away { column } else { *x };
            *y = if *value < *away { line } else { *y };
            *away = least(*value, *away);
        }
        let more = if self.costs.repeat { price * RUN } else { price };
        for (fore, fore_cost) in self.fore_cost.iter().enumerate() {
            let row = fore * count..(fore + 1) * count;
            let new_back = back_best[fore];
            let both = all + fore_cost - 2.0 * price;
            let known = best[row.clone()].iter().zip(&stop.pairs[row.clone()]).zip(&spaces[row.clone()]);
            let paints = fore_best.iter().zip(&self.back_cost).zip(stop.flats);
            let new = self.here[row.clone()].iter_mut().zip(&mut self.space[row]);
            for ((((best, error), space), ((fore_best, back_cost), flat)), (value, next)) in
                known.zip(paints).zip(new)
            {
                let changed = least(least(new_back, both) + back_cost, fore_best + fore_cost);
                let ready = least(*best, changed);
                let drawn = ready + glyph + (error - stop.keep);
                let spaced = least(best + space, ready + price) + (flat - stop.keep);
                *next = if spaced < drawn { more } else { price };
                *value = least(spaced, drawn);
            }
        }
        self.behind = Some((stop.x + 1, stop.y));
    }

    /// The value of each state with the cursor on this cell.
    fn come(&mut self, stop: &Stop<'_>, absolute: f32, begun: usize) {
        let price = self.costs.price;
        let (x, y) = (f32::from(stop.x), f32::from(stop.y));
        let past = &mut *self.past;
        let states =
            past.best[begun..].iter_mut().zip(&mut past.moved[begun..]).zip(&mut past.space[begun..]);
        let from = self.away.iter().zip(&self.column).zip(&self.row);
        for (((best, moved), space), ((away, column), row)) in states.zip(from) {
            let way = least(price * way(x - column, y - row), absolute);
            let come = away + way;
            *moved = come < *best;
            *space = if come < *best { price } else { *space };
            *best = least(come, *best);
        }
    }

    /// When this cell is not beside the last one, no cursor stands here. Returns where that is kept.
    fn leave(&mut self, stop: &Stop<'_>) -> Option<usize> {
        let behind = self.behind.filter(|behind| *behind != (stop.x, stop.y))?;
        // Behind the last column, the cursor hangs where no short way is safe.
        let row = if behind.0 < self.costs.edge { f32::from(behind.1) } else { NOWHERE };
        let begun = self.past.left.len();
        for state in 0..self.here.len() {
            let left = self.here[state] < self.away[state];
            if left {
                self.away[state] = self.here[state];
                (self.column[state], self.row[state]) = (f32::from(behind.0), row);
            }
            self.past.left.push(left);
            self.here[state] = f32::INFINITY;
        }
        Some(begun)
    }

    /// From the best end back to the start.
    fn back(&self, stops: &[Stop<'_>]) -> Vec<Visit> {
        let mut end = (0.0, None);
        for (values, stands) in [(&self.here, true), (&self.away, false)] {
            for (state, value) in values.iter().enumerate() {
                if *value < end.0 {
                    end = (*value, Some((stands, state)));
                }
            }
        }
        let size = self.here.len();
        let mut visits = Vec::new();
        let mut state = end.1;
        for (index, step) in self.past.stops.iter().enumerate().rev() {
            let Some((stands, at)) = state else { break };
            let (begun, (fore, back)) = (index * size, (at / self.count, at % self.count));
            state = if stands {
                let (solid, from) = self.how(&stops[index], index, at);
                visits.push(Visit { stop: index, fore: fore as u8, back: back as u8, solid });
                from.map(|from| (!self.past.moved[begun + from], from))
            } else {
                Some((self.past.skipped[begun + at], at))
            };
            // Had it stood behind the last cell?
            let left = |at: usize| step.left.is_some_and(|left| self.past.left[left + at]);
            state = state.map(|(stands, at)| (stands || left(at), at));
        }
        visits.reverse();
        visits
    }

    /// How a state came to have written a cell: whether as a space, and from which state; `None`
    /// when it was the first.
    fn how(&self, stop: &Stop<'_>, index: usize, at: usize) -> (bool, Option<usize>) {
        let (count, size, price) = (self.count, self.here.len(), self.costs.price);
        let states = index * size..(index + 1) * size;
        let best = &self.past.best[states.clone()];
        let (fore, back) = (at / count, at % count);
        let of = |states: &mut dyn Iterator<Item = usize>| {
            states.min_by(|a, b| best[*a].total_cmp(&best[*b])).unwrap_or_default()
        };
        let row = of(&mut (fore * count..(fore + 1) * count));
        let column = of(&mut (back..size).step_by(count));
        let all = of(&mut (0..size));
        let fresh = self.past.stops[index].fresh;
        let both = least(best[all], fresh) + self.fore_cost[fore] + self.back_cost[back] - 2.0 * price;
        let ways = [
            (best[at], Change::None),
            (best[row] + self.back_cost[back], Change::Back),
            (best[column] + self.fore_cost[fore], Change::Fore),
            (both, Change::Both),
        ];
        let ready = ways.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or(ways[0]);
        let drawn = ready.0 + price * self.costs.glyph + (stop.pairs[at] - stop.keep);
        let flat = stop.flats[back] - stop.keep;
        let on = best[at] + self.past.space[states.start + at] + flat;
        let space = ready.0 + price + flat;
        let solid = least(on, space) < drawn;
        let change = if solid && on <= space { Change::None } else { ready.1 };
        let from = match change {
            Change::None => Some(at),
            Change::Back => Some(row),
            Change::Fore => Some(column),
            Change::Both => (best[all] <= fresh).then_some(all),
        };
        (solid, from)
    }
}

/// The best for each paint behind, for each paint before, and of all.
fn bests(best: &[f32], count: usize) -> (Vec<f32>, Vec<f32>, f32) {
    let mut fore_best = vec![f32::INFINITY; count];
    let mut back_best = vec![f32::INFINITY; best.len() / count];
    for (row, back_best) in best.chunks_exact(count).zip(&mut back_best) {
        for (value, fore_best) in row.iter().zip(&mut fore_best) {
            *fore_best = least(*value, *fore_best);
        }
        *back_best = least_of(row);
    }
    let all = least_of(&back_best);
    (fore_best, back_best, all)
}

/// The least of all, four at a time.
fn least_of(values: &[f32]) -> f32 {
    let (fours, rest) = values.as_chunks::<4>();
    let lanes = fours
        .iter()
        .fold([f32::INFINITY; 4], |lanes, four| std::array::from_fn(|at| least(four[at], lanes[at])));
    lanes.iter().chain(rest).copied().fold(f32::INFINITY, least)
}

#[cfg(test)]
mod tests {
    use super::super::ink::Ink;
    use super::super::pen::Pen;
    use super::*;

    const PAINTS: [Ink; 2] = [Ink::Index(20), Ink::Index(30)];

    #[test]
    fn ways_are_as_long_as_the_pen_makes_them() {
        for (x, y) in (40..80).flat_map(|x| (7..40).map(move |y| (x, y))) {
            for (from_x, from_y) in [(40, 7), (60, 7), (79, 7)] {
                let (mut pen, mut out) = (Pen::default(), Vec::new());
                pen.go(from_x, from_y, &mut out);
                out.clear();
                pen.go(x, y, &mut out);
                let ours = least(
                    way(f32::from(x) - f32::from(from_x), f32::from(y) - f32::from(from_y)),
                    pen::absolute(x, y) as f32,
                );
                assert_eq!(out.len() as f32, ours, "{from_x},{from_y} to {x},{y}");
            }
        }
    }

    /// What it comes to when this is done to each of the cells: error and priced bytes.
    fn total(visits: &[Visit], pairs: &[[f32; 4]], flats: &[[f32; 2]], keep: f32, price: f32) -> f32 {
        let (mut pen, mut out) = (Pen::default(), Vec::new());
        let mut error = keep * pairs.len() as f32;
        for visit in visits {
            let (fore, back) = (usize::from(visit.fore), usize::from(visit.back));
            pen.go(visit.stop as u16 * 2 % 9 + 3, 4, &mut out);
            pen.dip(PAINTS[fore], PAINTS[back], &mut out);
            pen.write(if visit.solid { ' ' } else { '▀' }, 80, true, &mut out);
            error -= keep;
            error += if visit.solid { flats[visit.stop][back] } else { pairs[visit.stop][fore * 2 + back] };
        }
        error + price * out.len() as f32
    }

    #[test]
    fn no_other_choice_is_better() {
        let mut seed = 7u32;
        let mut random = |most: f32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 24) as f32 * most
        };
        for round in 0..60 {
            let (keep, price) = (1000.0, 8.0 + round as f32);
            let flats: Vec<[f32; 2]> = (0..4).map(|_| [random(1500.0), random(1500.0)]).collect();
            let pairs: Vec<[f32; 4]> = flats
                .iter()
                .map(|[a, b]| {
                    let mixed = a.min(*b) * random(1.0);
                    [*a, mixed, mixed, *b]
                })
                .collect();
            let (mut past, bytes) = (Past::default(), [7, 7]);
            let costs = Costs { price, fores: &bytes, backs: &bytes, glyph: 3.0, repeat: true, edge: 80 };
            let stops = pairs.iter().zip(&flats).enumerate().map(|(at, (pairs, flats))| Stop {
                x: at as u16 * 2 % 9 + 3,
                y: 4,
                keep,
                pairs,
                flats,
            });
            let ours = plan(&stops.collect::<Vec<_>>(), &costs, &mut past);
            let ours = total(&ours, &pairs, &flats, keep, price);
            // Seven things can be done to each of four cells.
            let best = (0..7usize.pow(4))
                .map(|choice| {
                    let visit = |stop: usize| {
                        let how = choice / 7usize.pow(stop as u32) % 7;
                        let (fore, back) =
                            if how < 5 { ((how.max(1) - 1) / 2, (how.max(1) - 1) % 2) } else { (0, how - 5) };
                        (how > 0).then_some(Visit {
                            stop,
                            fore: fore as u8,
                            back: back as u8,
                            solid: how >= 5,
                        })
                    };
                    total(&(0..4).filter_map(visit).collect::<Vec<_>>(), &pairs, &flats, keep, price)
                })
                .fold(f32::INFINITY, f32::min);
            // A space may have been priced as one of a longer row of them.
            assert!(ours <= best + price * 2.0, "{ours} instead of {best}");
        }
    }
}
