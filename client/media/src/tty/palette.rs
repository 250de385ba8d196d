//! Entries of the terminal's palette, set to the colours of the picture.

use super::Cell;
use super::glyph::DOTS;
use super::ink::{self, Ink, Rgb, Ycc, far, number, usual, ycc};
use super::paints;
use crate::cells::Mode;

/// The entries that may be set, and what was set.
#[derive(Debug)]
pub(super) struct Palette {
    first: u8,
    count: u8,
    /// At most `count`, once a picture was seen.
    entries: Vec<Option<Rgb>>,
    /// What to set at first, which may take more than one picture's bytes.
    wishes: Vec<Rgb>,
}

/// What is to be painted, and what stands there.
pub(super) struct Scene<'a> {
    pub(super) mode: Mode,
    pub(super) cells: &'a [Option<Cell>],
    pub(super) wanted: &'a [[Ycc; DOTS]],
    pub(super) weights: &'a [f32],
    /// How much error a byte must take away.
    pub(super) price: f32,
    /// There is room for all entries; otherwise fewer colours make for fewer changes.
    pub(super) rich: bool,
}

/// Bytes of an entry: number, colour and two separators.
const ENTRY: f32 = 11.0;
/// Entries that are set as long as there is little room.
const FEW: usize = 16;
/// Bytes of a cell that has to be written again, about.
const CELL: f32 = 8.0;

impl Palette {
    pub(super) fn new(first: u8, count: u8) -> Self {
        let count = count.min(paints::MOST as u8).min(u8::MAX - first);
        Self { first, count, entries: Vec::new(), wishes: Vec::new() }
    }

    /// What an entry of the terminal's palette shows.
    pub(super) fn colour(&self, entry: u8) -> Rgb {
        let at = entry.checked_sub(self.first).map(usize::from);
        at.and_then(|at| *self.entries.get(at)?).unwrap_or_else(|| usual(entry))
    }

    /// The entries that are set.
    pub(super) fn set(&self) -> impl Iterator<Item = u8> {
        (self.first..).zip(&self.entries).filter(|(_, set)| set.is_some()).map(|(entry, _)| entry)
    }

    /// Sets what is worth its bytes, at most up to `limit` bytes in `out`: at first colours chosen
    /// for the picture, then better ones for what the cells show already.
    pub(super) fn mix(&mut self, scene: &Scene<'_>, limit: usize, out: &mut Vec<u8>) {
        if self.entries.is_empty() {
            let samples = paints::samples(scene.wanted, scene.weights);
            let count = usize::from(self.count).min(if scene.rich { usize::MAX } else { FEW });
            self.wishes = paints::choose(&samples, count).into_iter().map(ink::rgb).collect();
            self.entries = vec![None; self.wishes.len()];
        } else if scene.rich && self.entries.len() < self.count.into() {
            let samples = paints::samples(scene.wanted, scene.weights);
            let known = self.entries.iter().zip(&self.wishes).map(|(set, wish)| ycc(set.unwrap_or(*wish)));
            let more = paints::add(&samples, known.collect(), self.count.into());
            self.wishes.extend(more.into_iter().skip(self.entries.len()).map(ink::rgb));
            self.entries.resize(self.wishes.len(), None);
        }
        let unset = (0..self.entries.len()).filter(|at| self.entries[*at].is_none());
        let mut better: Vec<(usize, Rgb)> = unset.map(|at| (at, self.wishes[at])).collect();
        if better.is_empty() {
            better = self.better(scene);
        }
        let begun = out.len();
        out.extend_from_slice(b"\x1b]4");
        for (at, colour) in better {
            let before = out.len();
            out.push(b';');
            number(u32::from(self.first) + at as u32, out);
            out.extend_from_slice(b";#");
            for part in colour {
                out.extend([part >> 4, part & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
            if out.len() + 1 > limit {
                out.truncate(before);
                break;
            }
            self.entries[at] = Some(colour);
        }
        if out.len() > begun + 3 {
            out.push(0x07);
        } else {
            out.truncate(begun);
        }
    }

    /// Which entries to change, and to what: the mean of what should be where they show.
    fn better(&self, scene: &Scene<'_>) -> Vec<(usize, Rgb)> {
        let mut sums = vec![([0.0f32; 3], 0.0f32); self.entries.len()];
        for ((cell, dots), weight) in scene.cells.iter().zip(scene.wanted).zip(scene.weights) {
            let Some(cell) = cell else { continue };
            for place in 0..scene.mode.places() {
                let Ink::Index(entry) = (if cell.lit >> place & 1 == 1 { cell.fore } else { cell.back })
                else {
                    continue;
                };
                let at = entry.checked_sub(self.first).map(usize::from);
                let Some((sum, whole)) = at.and_then(|at| sums.get_mut(at)) else { continue };
                for (dot, wanted) in dots.iter().enumerate() {
                    let share = f32::from(scene.mode.thirds(place, dot)) / 3.0 * weight;
                    sum.iter_mut().zip(wanted).for_each(|(sum, part)| *sum += part * share);
                    *whole += share;
                }
            }
        }
        let of = |(at, (sum, whole)): (usize, ([f32; 3], f32))| {
            let now = ycc(self.entries[at]?);
            let mean = if whole > 0.0 { sum.map(|sum| sum / whole) } else { now };
            let colour = ink::rgb(mean);
            let gain = whole * (far(mean, now) - far(mean, ycc(colour)));
            (gain > scene.price * ENTRY).then_some((at, colour))
        };
        let shown: Vec<f32> = sums.iter().map(|(_, whole)| *whole).collect();
        let mut better: Vec<(usize, Rgb)> = sums.into_iter().enumerate().filter_map(of).collect();
        if let Some((at, colour)) = self.moved(scene, &shown) {
            better.retain(|(other, _)| *other != at);
            better.push((at, colour));
        }
        better
    }

    /// An entry that is missed less where it is than it would be of use elsewhere.
    fn moved(&self, scene: &Scene<'_>, shown: &[f32]) -> Option<(usize, Rgb)> {
        let centres: Vec<Ycc> = self.entries.iter().map(|set| set.map(ycc)).collect::<Option<_>>()?;
        // What it would cost to do without each; what is brighter and darker among its samples.
        let mut missed = vec![0.0f32; centres.len()];
        let mut halves = vec![[([0.0f32; 3], 0.0f32); 2]; centres.len()];
        for (dots, weight) in scene.wanted.iter().zip(scene.weights).filter(|(_, weight)| **weight > 0.0) {
            // Two dots of each cell are enough to know.
            for dot in [dots[1], dots[6]] {
                let (mut first, mut second) = ((0, f32::INFINITY), f32::INFINITY);
                for (at, centre) in centres.iter().enumerate() {
                    let error = far(*centre, dot);
                    if error < first.1 {
                        second = first.1;
                        first = (at, error);
                    } else if error < second {
                        second = error;
                    }
                }
                let weight = weight * DOTS as f32 / 2.0;
                missed[first.0] += (second - first.1) * weight;
                let (sum, whole) = &mut halves[first.0][usize::from(dot[0] > centres[first.0][0])];
                sum.iter_mut().zip(dot).for_each(|(sum, part)| *sum += part * weight);
                *whole += weight;
            }
        }
        // Divided in two, an entry's samples would lie closer: by this much, with one of them there.
        let divided = |halves: &[([f32; 3], f32); 2]| {
            let [(low, fewer), (high, more)] = *halves;
            if fewer < 1.0 || more < 1.0 {
                return (0.0, [0.0; 3]);
            }
            let (low, high) = (low.map(|sum| sum / fewer), high.map(|sum| sum / more));
            (far(low, high) * fewer * more / (fewer + more), if fewer < more { low } else { high })
        };
        let (needs, (gain, colour)) =
            halves.iter().map(divided).enumerate().max_by(|a, b| a.1.0.total_cmp(&b.1.0))?;
        let cost = |at: usize| missed[at] + scene.price * (ENTRY + shown[at] / DOTS as f32 * CELL);
        let others = (0..centres.len()).filter(|at| *at != needs);
        let spare = others.min_by(|a, b| cost(*a).total_cmp(&cost(*b)))?;
        (gain > cost(spare)).then(|| (spare, ink::rgb(colour)))
    }

    /// Puts back what was set.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        for (nth, entry) in self.set().enumerate() {
            out.extend_from_slice(if nth == 0 { b"\x1b]104;" } else { b";" });
            number(entry.into(), out);
        }
        if self.set().next().is_some() {
            out.push(0x07);
        }
        self.entries.clear();
    }
}
