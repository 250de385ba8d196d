//! The cheapest way to write along the rows: which cells, in which colours.
//!
//! Dynamic programming (Viterbi's algorithm) over the cells in the order of reading. A state is the
//! pair of paints that the pen has, and whether the cursor stands at the next cell; its value is
//! the error taken away so far against the bytes written, at a price a byte. For each state only
//! the best way into it is kept.

use super::pen;

/// A cell that may be written.
pub(super) struct Stop<'a> {
    pub(super) x: u16,
    pub(super) y: u16,
    /// The error as it is.
    pub(super) keep: f32,
    /// The error with each pair of paints.
    pub(super) pairs: &'a [f32],
}

/// What the ways cost.
pub(super) struct Costs<'a> {
    /// How much error a byte must take away.
    pub(super) price: f32,
    /// Bytes of the parameters that select each paint before and behind.
    pub(super) paints: &'a [[u32; 2]],
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
pub(super) fn plan<'a>(stops: impl Iterator<Item = Stop<'a>>, costs: &Costs<'_>) -> Vec<Visit> {
    let mut ways = Ways::new(costs);
    stops.for_each(|stop| ways.pass(&stop));
    ways.back()
}

/// How a state was reached.
const SAME: u8 = 0;
/// By selecting the paint behind.
const BACK: u8 = 1;
const FORE: u8 = 2;
const BOTH: u8 = 3;
const KIND: u8 = 3;
/// As a space after other spaces, or as a space after selecting something.
const SPACE: u8 = 4;

/// Which ways were best into each state at a stop.
struct Trace {
    /// How the pen came to write the cell.
    wrote: Vec<u8>,
    /// Whether the cursor had to move before.
    moved: Vec<bool>,
    /// Whether the best that does not stand behind the last cell stood in this one, unwritten.
    skipped: Vec<bool>,
    /// Whether it came from behind the last cell when that is not beside this one.
    left: Vec<bool>,
    /// The paint behind that leads best to each one before; the reverse; the best of all states.
    backs: Vec<u8>,
    fores: Vec<u8>,
    all: Option<u16>,
}

/// The best ways so far, one a state: the paint before times their count plus the one behind.
struct Ways<'a> {
    costs: &'a Costs<'a>,
    count: usize,
    /// The value of those with the cursor behind the last cell, and how many spaces it wrote last.
    here: Vec<f32>,
    spaces: Vec<u16>,
    /// The value of the others, and where their cursor stands; `None` when nobody knows.
    away: Vec<f32>,
    at: Vec<Option<(u16, u16)>>,
    /// Where the cursor of `here` stands.
    behind: Option<(u16, u16)>,
    traces: Vec<Trace>,
    fore_cost: Vec<f32>,
    back_cost: Vec<f32>,
    /// What one more space costs after so many.
    space_cost: Vec<f32>,
    /// Kept between stops for their memory.
    best: Vec<f32>,
    wrote: Vec<f32>,
}

impl<'a> Ways<'a> {
    fn new(costs: &'a Costs<'a>) -> Self {
        let count = costs.paints.len();
        let size = count * count;
        let select = |side: usize| -> Vec<f32> {
            costs.paints.iter().map(|bytes| costs.price * (3 + bytes[side]) as f32).collect()
        };
        let more = |run: u16| if costs.repeat { pen::spaces(run + 1) - pen::spaces(run) } else { 1 };
        Self {
            costs,
            count,
            here: vec![f32::INFINITY; size],
            spaces: vec![0; size],
            away: vec![f32::INFINITY; size],
            at: vec![None; size],
            behind: None,
            traces: Vec::new(),
            fore_cost: select(0),
            back_cost: select(1),
            space_cost: (0..=costs.edge).map(|run| costs.price * more(run) as f32).collect(),
            best: vec![0.0; size],
            wrote: vec![0.0; size],
        }
    }

    /// Goes on to the next cell.
    fn pass(&mut self, stop: &Stop<'_>) {
        let (count, size, price) = (self.count, self.here.len(), self.costs.price);
        let left = self.leave(stop);
        let absolute = price * pen::absolute(stop.x, stop.y) as f32;
        let mut moved = vec![false; size];
        let mut last = (None, absolute);
        for state in 0..size {
            let (away, here) = (self.away[state], self.here[state]);
            // The way is at least a byte.
            let mut best = here;
            if away + price < here {
                if self.at[state] != last.0 {
                    let way = self.at[state].map(|(x, y)| price * pen::way(x, y, stop.x, stop.y) as f32);
                    last = (self.at[state], way.unwrap_or(absolute));
                }
                if away + last.1 < here {
                    best = away + last.1;
                    moved[state] = true;
                }
            }
            self.best[state] = best;
        }
        // The best for each paint.
        let (mut fores, mut backs) = (vec![0u8; count], vec![0u8; count]);
        let (mut fore_best, mut back_best) = (vec![f32::INFINITY; count], vec![f32::INFINITY; count]);
        // At first nothing is known of the pen, and what it is told is longer by a reset.
        let mut all = (absolute + price * 2.0, None);
        for (fore, row) in self.best.chunks_exact(count).enumerate() {
            let mut least = (f32::INFINITY, 0);
            for (back, value) in row.iter().enumerate() {
                if *value < least.0 {
                    least = (*value, back);
                }
                if *value < fore_best[back] {
                    fore_best[back] = *value;
                    fores[back] = fore as u8;
                }
            }
            back_best[fore] = least.0;
            backs[fore] = least.1 as u8;
            if least.0 < all.0 {
                all = (least.0, Some((fore * count + least.1) as u16));
            }
        }
        // The error taken away by all in the paint behind.
        let flats: Vec<f32> = (0..count).map(|back| stop.pairs[back * (count + 1)] - stop.keep).collect();
        let glyph = price * self.costs.glyph - stop.keep;
        let mut wrote = vec![0u8; size];
        for fore in 0..count {
            let row = fore * count..(fore + 1) * count;
            let new_back = back_best[fore];
            let both = all.0 + self.fore_cost[fore] - 2.0 * price;
            let cells = self.best[row.clone()].iter().zip(&stop.pairs[row.clone()]);
            let paints = fore_best.iter().zip(&self.back_cost).zip(&flats);
            let spaces = self.spaces[row.clone()].iter_mut().zip(&moved[row.clone()]);
            let new = self.wrote[row.clone()].iter_mut().zip(&mut wrote[row]);
            for ((((best, error), ((fore_best, back_cost), flat)), (spaces, moved)), (value, kind)) in
                cells.zip(paints).zip(spaces).zip(new)
            {
                let (mut least, mut how) = (*best, SAME);
                let other = new_back + back_cost;
                how = if other < least { BACK } else { how };
                least = least.min(other);
                let other = fore_best + self.fore_cost[fore];
                how = if other < least { FORE } else { how };
                least = least.min(other);
                let other = both + back_cost;
                how = if other < least { BOTH } else { how };
                least = least.min(other);
                let run = if *moved { 0 } else { *spaces };
                let on = best + self.space_cost[usize::from(run)] + flat;
                let begun = least + price + flat;
                let drawn = least + glyph + error;
                if on.min(begun) < drawn {
                    let goes_on = on <= begun;
                    *value = on.min(begun);
                    *kind = SPACE | if goes_on { SAME } else { how };
                    *spaces = if goes_on { run + 1 } else { 1 };
                } else {
                    *value = drawn;
                    *kind = how;
                    *spaces = 0;
                }
            }
        }
        // Or it stays as it is, and the cursor where it is.
        let mut skipped = vec![false; size];
        for state in 0..size {
            if self.here[state] < self.away[state] {
                self.away[state] = self.here[state];
                self.at[state] = Some((stop.x, stop.y));
                skipped[state] = true;
            }
        }
        std::mem::swap(&mut self.here, &mut self.wrote);
        let next = stop.x + 1;
        self.behind = Some((next, stop.y));
        self.traces.push(Trace { wrote, moved, skipped, left, backs, fores, all: all.1 });
    }

    /// The next cell may not be the one where the cursor stands.
    fn leave(&mut self, stop: &Stop<'_>) -> Vec<bool> {
        let mut left = Vec::new();
        if self.behind.is_some_and(|behind| behind != (stop.x, stop.y)) {
            // Behind the last column, the cursor hangs where no short way is safe.
            let at = self.behind.filter(|(x, _)| *x < self.costs.edge);
            left = vec![false; self.here.len()];
            for state in 0..self.here.len() {
                if self.here[state] < self.away[state] {
                    self.away[state] = self.here[state];
                    self.at[state] = at;
                    left[state] = true;
                }
                self.here[state] = f32::INFINITY;
            }
        }
        left
    }

    /// From the best end back to the start.
    fn back(&self) -> Vec<Visit> {
        let mut end = (0.0, None);
        for (values, stands) in [(&self.here, true), (&self.away, false)] {
            for (state, value) in values.iter().enumerate() {
                if *value < end.0 {
                    end = (*value, Some((stands, state)));
                }
            }
        }
        let mut visits = Vec::new();
        let mut state = end.1;
        for (stop, trace) in self.traces.iter().enumerate().rev() {
            let Some((stands, at)) = state else { break };
            let (fore, back) = (at / self.count, at % self.count);
            state = if stands {
                let how = trace.wrote[at];
                visits.push(Visit { stop, fore: fore as u8, back: back as u8, solid: how & SPACE != 0 });
                let from = match how & KIND {
                    SAME => Some(at),
                    BACK => Some(fore * self.count + usize::from(trace.backs[fore])),
                    FORE => Some(usize::from(trace.fores[back]) * self.count + back),
                    _ => trace.all.map(usize::from),
                };
                from.map(|from| (!trace.moved[from], from))
            } else {
                Some((trace.skipped[at], at))
            };
            // Had it stood behind the last cell?
            let stood = |at: usize| trace.left.get(at).copied().unwrap_or(false);
            state = state.map(|(stands, at)| (stands || stood(at), at));
        }
        visits.reverse();
        visits
    }
}
