//! Which cells are worth writing, in which colours, in which order: the most error taken away for
//! each byte.

use super::Cell;
use super::glyph::DOTS;
use super::ink::Ycc;
use super::paints::Paints;
use super::pen::Pen;
use super::route::{self, Costs, Stop};
use crate::media::cells::Mode;
use ratatui::layout::Rect;

/// What one picture is planned with.
pub(super) struct Canvas<'a> {
    pub(super) mode: Mode,
    pub(super) place: Rect,
    pub(super) repeat: bool,
    pub(super) paints: &'a Paints,
    /// The colours wanted for each dot of each cell.
    pub(super) wanted: &'a [[Ycc; DOTS]],
    /// How much each cell's errors count; 0 for those that are hidden.
    pub(super) weights: &'a [f32],
}

/// Tuning, found on film.
pub(super) struct Tune {
    pub alpha: f32,
    pub pop: f32,
    pub slack: f32,
}

/// Cells that may be worth writing.
pub(super) struct Plan<'a> {
    canvas: Canvas<'a>,
    todo: Vec<Todo>,
    /// For each of those, place and paint: the error.
    places: Vec<f32>,
    /// For each of those and each pair of paints: the error, each place in the better of the two.
    pairs: Vec<f32>,
    /// For each pair: how many cells like it.
    liked: Vec<f32>,
}

/// What is worth writing along the rows.
pub(super) struct Rows {
    cells: Vec<(usize, f32, Cell)>,
    pen: Pen,
    pub(super) bytes: Vec<u8>,
}

struct Todo {
    /// Which cell.
    at: usize,
    x: u16,
    y: u16,
    /// The error as it is.
    keep: f32,
    /// The least error possible.
    least: f32,
    /// The best pair with nothing known, its error and what selecting it costs.
    best: Choice,
    /// The best with one paint changed.
    near: Choice,
    /// With none changed.
    same: f32,
    /// All in the paint behind.
    solid: f32,
    done: bool,
}

#[derive(Clone, Copy, Default)]
struct Choice {
    pair: (u8, u8),
    error: f32,
    bytes: f32,
}

impl<'a> Plan<'a> {
    /// Looks at all cells. `keep` says for a cell how wrong it is now.
    pub(super) fn new(canvas: Canvas<'a>, keep: impl Fn(usize) -> f32, least_gain: f32) -> Self {
        let (count, places) = (canvas.paints.len(), canvas.mode.places());
        let mut plan = Self {
            canvas,
            todo: Vec::new(),
            places: Vec::new(),
            pairs: Vec::new(),
            liked: vec![0.0; count * count],
        };
        let width = usize::from(plan.canvas.place.width);
        for at in 0..plan.canvas.wanted.len() {
            let weight = plan.canvas.weights[at];
            if weight <= 0.0 {
                continue;
            }
            let keep = keep(at) * weight;
            if keep < least_gain {
                continue;
            }
            let begun = plan.places.len();
            plan.places.resize(begun + places * count, 0.0);
            errors(
                plan.canvas.mode,
                &plan.canvas.wanted[at],
                plan.canvas.paints,
                weight,
                &mut plan.places[begun..],
            );
            let pairs = plan.pairs.len();
            plan.pairs.resize(pairs + count * count, 0.0);
            let least = pair_errors(
                &plan.places[begun..],
                count,
                plan.canvas.mode.has_two_colours(),
                &mut plan.pairs[pairs..],
            );
            if keep - least < least_gain {
                plan.places.truncate(begun);
                plan.pairs.truncate(pairs);
                continue;
            }
            let place = plan.canvas.place;
            plan.todo.push(Todo {
                at,
                x: place.x + (at % width) as u16,
                y: place.y + (at / width) as u16,
                keep,
                least,
                best: Choice::default(),
                near: Choice::default(),
                same: f32::INFINITY,
                solid: f32::INFINITY,
                done: false,
            });
        }
        plan
    }

    /// What a byte would have to gain so that about so many bytes are worth it.
    pub(super) fn price(&self, bytes: f32) -> f32 {
        let mut gains: Vec<f32> = self.todo.iter().map(|todo| todo.keep - todo.least).collect();
        gains.sort_unstable_by(|a, b| b.total_cmp(a));
        let rank = (bytes / 9.0) as usize;
        gains.get(rank).map_or(0.0, |gain| gain / 9.0)
    }

    /// How many cells would gain so much.
    pub(super) fn waiting(&self, gain: f32) -> usize {
        self.todo.iter().filter(|todo| !todo.done && todo.keep - todo.least >= gain).count()
    }

    /// Writes what gains more than `price` a byte, while there are bytes `left`; returns whether
    /// there were enough.
    pub(super) fn write(
        &mut self,
        price: f32,
        tune: &Tune,
        pen: &mut Pen,
        limit: usize,
        out: &mut Vec<u8>,
        mut wrote: impl FnMut(usize, Cell),
    ) -> bool {
        let count = self.canvas.paints.len();
        let glyph_bytes = match self.canvas.mode {
            Mode::Ascii => 1.0,
            Mode::Sextants | Mode::Octants => 4.0,
            _ => 3.0,
        };
        self.like(price, tune);
        self.far_choices(price, tune);
        let mut inks = self.inks(pen);
        self.near_choices(inks, price, tune);
        loop {
            let mut best: (f32, usize, (u8, u8)) = (0.0, usize::MAX, (0, 0));
            let at = pen.at();
            let space = pen.space(self.canvas.repeat) as f32;
            for (index, todo) in self.todo.iter().enumerate() {
                if todo.done {
                    continue;
                }
                let way = pen.way(todo.x, todo.y) as f32;
                let (mut value, mut cost, mut pair) = (0.0, 1.0, (0, 0));
                let mut consider = |error: f32, bytes: f32, of: (u8, u8)| {
                    let bytes = bytes + way;
                    let now = todo.keep - error - price * bytes;
                    if now > value {
                        (value, cost, pair) = (now, bytes, of);
                    }
                };
                if let Some((fore, back)) = inks {
                    consider(todo.same, glyph_bytes, (fore, back));
                    let bytes = if at == Some((todo.x, todo.y)) { space } else { 1.0 };
                    consider(todo.solid, bytes, (back, back));
                    consider(todo.near.error, todo.near.bytes + glyph_bytes, todo.near.pair);
                }
                consider(todo.best.error, todo.best.bytes + glyph_bytes, todo.best.pair);
                if value > 0.0 {
                    let score = value.powf(tune.alpha) / (cost + 0.5);
                    if score > best.0 {
                        best = (score, index, pair);
                    }
                }
            }
            let (_, index, pair) = best;
            if index == usize::MAX {
                return true;
            }
            let todo = &self.todo[index];
            // Written on copies, kept if it fits.
            let (mut trial, before) = (pen.clone(), out.len());
            let tail = out[out.len() - out.len().min(8)..].to_vec();
            trial.go(todo.x, todo.y, out);
            let (fore, back) = turn(inks, pair);
            trial.dip(
                self.canvas.paints.inks[usize::from(fore)],
                self.canvas.paints.inks[usize::from(back)],
                out,
            );
            let lit = self.lit(index, fore, back);
            trial.write(self.canvas.mode.glyph(lit), self.canvas.place.right(), self.canvas.repeat, out);
            if out.len() > limit {
                out.truncate(before.min(out.len()));
                let from = before - tail.len();
                out.truncate(from);
                out.extend_from_slice(&tail);
                return false;
            }
            *pen = trial;
            let paints = &self.canvas.paints.inks;
            let cell = Cell { lit, fore: paints[usize::from(fore)], back: paints[usize::from(back)] };
            wrote(todo.at, cell);
            let error = if self.canvas.mode.has_two_colours() {
                self.pairs[index * count * count + usize::from(fore) * count + usize::from(back)]
            } else {
                self.pairs[index * count * count + usize::from(fore) * (count + 1)]
            };
            let todo = &mut self.todo[index];
            todo.keep = if lit == 0 && self.canvas.mode.has_two_colours() {
                self.pairs[index * count * count + usize::from(back) * (count + 1)]
            } else {
                error
            };
            todo.done = true;
            let now = Some((fore, back));
            if now != inks {
                inks = now;
                self.near_choices(inks, price, tune);
            }
        }
    }

    /// What is worth writing along the rows at this price.
    pub(super) fn rows(&self, price: f32, pen: &Pen) -> Rows {
        let (size, count) = (self.liked.len(), self.canvas.paints.len());
        let glyph = if matches!(self.canvas.mode, Mode::Sextants | Mode::Octants) { 4.0 } else { 3.0 };
        let costs = Costs {
            price,
            paints: &self.canvas.paints.bytes,
            glyph,
            repeat: self.canvas.repeat,
            edge: self.canvas.place.right(),
        };
        let pairs = &self.pairs;
        let stops = self.todo.iter().enumerate().map(|(index, todo)| Stop {
            x: todo.x,
            y: todo.y,
            keep: todo.keep,
            pairs: &pairs[index * size..(index + 1) * size],
        });
        let visits = route::plan(stops, &costs);
        let (mut pen, mut bytes) = (pen.clone(), Vec::new());
        let paints = &self.canvas.paints.inks;
        let cells = visits
            .into_iter()
            .map(|visit| {
                let todo = &self.todo[visit.stop];
                let (fore, back) = (visit.fore, visit.back);
                pen.go(todo.x, todo.y, &mut bytes);
                pen.dip(paints[usize::from(fore)], paints[usize::from(back)], &mut bytes);
                let lit = if visit.solid { 0 } else { self.lit(visit.stop, fore, back) };
                pen.write(
                    self.canvas.mode.glyph(lit),
                    self.canvas.place.right(),
                    self.canvas.repeat,
                    &mut bytes,
                );
                let at = if lit == 0 {
                    usize::from(back) * (count + 1)
                } else {
                    usize::from(fore) * count + usize::from(back)
                };
                (
                    visit.stop,
                    self.pairs[visit.stop * size + at],
                    Cell { lit, fore: paints[usize::from(fore)], back: paints[usize::from(back)] },
                )
            })
            .collect();
        Rows { cells, pen, bytes }
    }

    /// Does it.
    pub(super) fn take(
        &mut self,
        rows: Rows,
        pen: &mut Pen,
        out: &mut Vec<u8>,
        mut wrote: impl FnMut(usize, Cell),
    ) {
        for (index, error, cell) in rows.cells {
            let todo = &mut self.todo[index];
            todo.done = true;
            todo.keep = error;
            wrote(todo.at, cell);
        }
        *pen = rows.pen;
        out.extend(rows.bytes);
    }

    /// The pen's colours as paints, when they are.
    fn inks(&self, pen: &Pen) -> Option<(u8, u8)> {
        let (fore, back) = pen.inks()?;
        Some((self.canvas.paints.index(fore)? as u8, self.canvas.paints.index(back)? as u8))
    }

    /// Counts for each pair the cells that it suits.
    fn like(&mut self, price: f32, tune: &Tune) {
        let size = self.liked.len();
        self.liked.fill(0.0);
        for (index, todo) in self.todo.iter().enumerate() {
            if todo.done || todo.keep - todo.least < price * 5.0 {
                continue;
            }
            let bound = todo.least + price * tune.slack;
            let pairs = &self.pairs[index * size..(index + 1) * size];
            for (liked, error) in self.liked.iter_mut().zip(pairs) {
                *liked += if *error <= bound { 1.0 } else { 0.0 };
            }
        }
    }

    /// What selecting a pair costs in the long run: shared by those who like it.
    fn share(&self, at: usize, bytes: f32, tune: &Tune) -> f32 {
        bytes / (1.0 + tune.pop * (self.liked[at] - 1.0).max(0.0))
    }

    /// For each cell the best pair when both paints change.
    fn far_choices(&mut self, price: f32, tune: &Tune) {
        let (size, count) = (self.liked.len(), self.canvas.paints.len());
        let two = self.canvas.mode.has_two_colours();
        let costs: Vec<f32> = (0..size)
            .map(|at| {
                let (fore, back) = (at / count, at % count);
                let bytes = &self.canvas.paints.bytes;
                let bytes = if fore == back || !two {
                    3 + bytes[fore][usize::from(two)]
                } else {
                    4 + bytes[fore][0] + bytes[back][1]
                };
                self.share(at, bytes as f32, tune)
            })
            .collect();
        for (index, todo) in self.todo.iter_mut().enumerate().filter(|(_, todo)| !todo.done) {
            let pairs = &self.pairs[index * size..(index + 1) * size];
            let mut best = (f32::INFINITY, 0);
            for (at, (error, bytes)) in pairs.iter().zip(&costs).enumerate() {
                let value = error + price * bytes;
                if value < best.0 {
                    best = (value, at);
                }
            }
            todo.best = Choice {
                pair: ((best.1 / count) as u8, (best.1 % count) as u8),
                error: pairs[best.1],
                bytes: costs[best.1],
            };
        }
    }

    /// For each cell the best pair when one paint changes, and when none does.
    fn near_choices(&mut self, inks: Option<(u8, u8)>, price: f32, tune: &Tune) {
        let Some((fore, back)) = inks else { return };
        let (size, count) = (self.liked.len(), self.canvas.paints.len());
        let (fore, back) = (usize::from(fore), usize::from(back));
        let two = self.canvas.mode.has_two_colours();
        let cost = |side: usize| -> Vec<f32> {
            (0..count)
                .map(|paint| {
                    let at = if side == 1 { fore * count + paint } else { back * count + paint };
                    self.share(at, 3.0 + self.canvas.paints.bytes[paint][side] as f32, tune)
                })
                .collect()
        };
        let costs = [cost(0), cost(1)];
        for (index, todo) in self.todo.iter_mut().enumerate().filter(|(_, todo)| !todo.done) {
            let pairs = &self.pairs[index * size..(index + 1) * size];
            if !two {
                todo.same = pairs[fore * (count + 1)];
                continue;
            }
            todo.same = pairs[fore * count + back];
            todo.solid = pairs[back * (count + 1)];
            let mut best = (f32::INFINITY, 0, 0);
            for (side, keeps) in [(0, back), (1, fore)] {
                let row = &pairs[keeps * count..(keeps + 1) * count];
                for (paint, (error, bytes)) in row.iter().zip(&costs[side]).enumerate() {
                    let value = error + price * bytes;
                    if value < best.0 {
                        best = (value, side, paint);
                    }
                }
            }
            let (_, side, paint) = best;
            let pair = if side == 0 { (paint, back) } else { (fore, paint) };
            todo.near = Choice {
                pair: (pair.0 as u8, pair.1 as u8),
                error: pairs[pair.0 * count + pair.1],
                bytes: costs[side][paint],
            };
        }
    }

    /// Which places of a cell are nearer to the paint before.
    fn lit(&self, index: usize, fore: u8, back: u8) -> u8 {
        let (count, places) = (self.canvas.paints.len(), self.canvas.mode.places());
        let of = &self.places[index * places * count..(index + 1) * places * count];
        let nearer =
            |place: &usize| of[place * count + usize::from(fore)] < of[place * count + usize::from(back)];
        (0..places).filter(nearer).map(|place| 1 << place).sum()
    }
}

/// The pair with its sides so that least changes.
fn turn(inks: Option<(u8, u8)>, pair: (u8, u8)) -> (u8, u8) {
    let Some((fore, back)) = inks else { return pair };
    if pair.0 == pair.1 {
        return if pair.0 == fore || pair.0 == back { (fore, back) } else { (fore, pair.0) };
    }
    if pair.0 == back || pair.1 == fore { (pair.1, pair.0) } else { pair }
}

/// For each place and paint, the error of that place in that paint.
fn errors(mode: Mode, dots: &[Ycc; DOTS], paints: &Paints, weight: f32, out: &mut [f32]) {
    let count = paints.len();
    for (place, out) in out.chunks_exact_mut(count).enumerate() {
        for (dot, wanted) in dots.iter().enumerate() {
            let share = mode.thirds(place, dot);
            if share == 0 {
                continue;
            }
            let share = f32::from(share) / 3.0 * weight;
            for (error, seen) in out.iter_mut().zip(&paints.seen) {
                *error += share * super::ink::far(*wanted, *seen);
            }
        }
    }
}

/// For each pair of paints the error of the cell; the least of them.
fn pair_errors(places: &[f32], count: usize, two: bool, out: &mut [f32]) -> f32 {
    let mut least = f32::INFINITY;
    for (fore, out) in out.chunks_exact_mut(count).enumerate() {
        for place in places.chunks_exact(count) {
            let error = place[fore];
            for (sum, other) in out.iter_mut().zip(place) {
                *sum += if *other < error && two { *other } else { error };
            }
        }
        for error in out.iter() {
            least = if *error < least { *error } else { least };
        }
    }
    least
}
