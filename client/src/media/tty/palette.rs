//! Entries of the terminal's palette, set to the colours of the picture.

use super::Cell;
use super::glyph::DOTS;
use super::ink::{self, Ink, Rgb, Ycc, far, number, usual, ycc};
use super::paints;
use crate::media::cells::Mode;

/// The entries that may be set, and what was set.
#[derive(Debug)]
pub(super) struct Palette {
    first: u8,
    count: u8,
    /// As many as `count` once a picture was seen.
    entries: Vec<Option<Rgb>>,
}

/// Bytes of an entry: number, colour and two separators.
const ENTRY: f32 = 11.0;

impl Palette {
    pub(super) fn new(first: u8, count: u8) -> Self {
        let count = count.min(paints::MOST as u8).min(u8::MAX - first);
        Self { first, count, entries: Vec::new() }
    }

    /// What an entry of the terminal's palette shows.
    pub(super) fn colour(&self, entry: u8) -> Rgb {
        self.set(entry).unwrap_or_else(|| usual(entry))
    }

    fn set(&self, entry: u8) -> Option<Rgb> {
        let at = entry.checked_sub(self.first)?;
        *self.entries.get(usize::from(at))?
    }

    /// The entries that are set.
    pub(super) fn colours(&self) -> Vec<(Ink, Ycc)> {
        let entries = (self.first..).zip(&self.entries);
        entries.filter_map(|(entry, set)| Some((Ink::Index(entry), ycc((*set)?)))).collect()
    }

    /// Sets what is worth its bytes, at most up to `limit` bytes in `out`: at first colours chosen
    /// for the picture, then better ones for what the cells show already.
    pub(super) fn mix(
        &mut self,
        mode: Mode,
        cells: &[Option<Cell>],
        wanted: &[[Ycc; DOTS]],
        weights: &[f32],
        price: f32,
        limit: usize,
        out: &mut Vec<u8>,
    ) {
        let better = if self.entries.iter().all(Option::is_none) {
            let samples = paints::samples(wanted, weights);
            self.entries = vec![None; self.count.into()];
            paints::choose(&samples, self.count.into()).into_iter().map(ink::rgb).enumerate().collect()
        } else {
            self.better(mode, cells, wanted, weights, price)
        };
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
    fn better(
        &self,
        mode: Mode,
        cells: &[Option<Cell>],
        wanted: &[[Ycc; DOTS]],
        weights: &[f32],
        price: f32,
    ) -> Vec<(usize, Rgb)> {
        let mut sums = vec![([0.0f32; 3], 0.0f32); self.entries.len()];
        for ((cell, dots), weight) in cells.iter().zip(wanted).zip(weights) {
            let Some(cell) = cell else { continue };
            for place in 0..mode.places() {
                let Ink::Index(entry) = (if cell.lit >> place & 1 == 1 { cell.fore } else { cell.back }) else {
                    continue;
                };
                let at = entry.checked_sub(self.first).map(usize::from);
                let Some((sum, whole)) = at.and_then(|at| sums.get_mut(at)) else { continue };
                for (dot, wanted) in dots.iter().enumerate() {
                    let share = f32::from(mode.thirds(place, dot)) / 3.0 * weight;
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
            (gain > price * ENTRY).then_some((at, colour))
        };
        sums.into_iter().enumerate().filter_map(of).collect()
    }

    /// Puts back what was set.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        let set = (self.first..).zip(&self.entries).filter(|(_, set)| set.is_some());
        let mut begun = false;
        for (entry, _) in set {
            if !begun {
                out.extend_from_slice(b"\x1b]104");
                begun = true;
            }
            out.push(b';');
            number(entry.into(), out);
        }
        if begun {
            out.push(0x07);
        }
        self.entries.clear();
    }
}
