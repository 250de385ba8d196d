//! Learns tables from footage: what is known of a frame's bits before the first one.

use super::codec::{Ask, Decoder, Encoder, Layers, Rate};
use super::model::{Coder, Guess, INPUTS, Model, Reading};
use super::picture::Picture;
use super::symbols::{SLOTS, SYMBOLS, Symbol};
use super::tables::Tables;
use std::sync::Arc;

/// The quantisers that footage is coded at.
const QUANTISERS: [u8; 5] = [24, 30, 34, 38, 43];

/// How often all of it is coded, each time with what was learned before.
const ROUNDS: usize = 3;

impl Tables {
    /// Learns from clips, each of pictures of one size.
    pub fn train(clips: &[Vec<Picture>]) -> Self {
        let mut tables = Arc::new(Self::blank());
        for _ in 0..ROUNDS {
            let mut statistics = Statistics::default();
            let mut frames = Vec::new();
            for clip in clips {
                for quantiser in QUANTISERS {
                    for layers in [Layers::One, Layers::Two] {
                        frames.push(statistics.watch(clip, quantiser, layers, &tables));
                    }
                }
            }
            let guesses = statistics.guesses();
            let learned = Self { guesses, weights: tables.weights.clone() };
            // Weights are learned by watching how the new guesses do.
            let weights = weigh(&learned, &frames);
            tables = Arc::new(Self { weights, ..learned });
        }
        Arc::unwrap_or_clone(tables)
    }
}

/// A bit of a symbol, as it was said.
struct Said {
    symbol: Symbol,
    contexts: [u16; INPUTS],
    value: bool,
}

/// Each context's bits, frame by frame.
struct Statistics {
    slots: Vec<Slot>,
}

#[derive(Default)]
struct Slot {
    /// Bits of all frames, one after the other.
    bits: Vec<bool>,
    /// Where each frame that has any begins.
    starts: Vec<u32>,
}

impl Default for Statistics {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| Slot::default()).collect() }
    }
}

impl Statistics {
    /// Codes a clip and notes what was said in each of its frames.
    fn watch(
        &mut self,
        clip: &[Picture],
        quantiser: u8,
        layers: Layers,
        tables: &Arc<Tables>,
    ) -> Vec<Vec<Said>> {
        let Some(first) = clip.first() else { return Vec::new() };
        let rate = Rate::Quality(quantiser);
        let encoder = Encoder::with_tables(first.width(), first.height(), rate, tables.clone());
        let Some(mut encoder) = encoder.map(|encoder| encoder.with_layers(layers)) else { return Vec::new() };
        let mut decoder = Decoder::with_tables(tables.clone());
        let mut frames = Vec::with_capacity(clip.len());
        for picture in clip {
            let frame = encoder.encode(picture, Ask::Any);
            let mut said = Vec::new();
            let model = Model::new(tables);
            let reader = |symbols| Noting { reading: Reading::new(model, symbols), said: &mut said };
            if decoder.decode_by(&frame.bytes, reader).is_ok() {
                self.note(&said);
                frames.push(said);
            }
        }
        frames
    }

    fn note(&mut self, said: &[Said]) {
        let mut seen = vec![false; SLOTS];
        for said in said {
            for slot in said.slots() {
                let into = &mut self.slots[slot];
                if !std::mem::replace(&mut seen[slot], true) {
                    into.starts.push(into.bits.len() as u32);
                }
                into.bits.push(said.value);
            }
        }
    }

    fn guesses(&self) -> Vec<Guess> {
        self.slots.iter().map(Slot::guess).collect()
    }
}

impl Said {
    fn slots(&self) -> Vec<usize> {
        self.symbol.slots(&self.contexts()).collect()
    }

    fn contexts(&self) -> Vec<usize> {
        self.contexts[..self.symbol.sizes().len()].iter().map(|context| usize::from(*context)).collect()
    }
}

impl Slot {
    /// The start from which the bits of all frames would have been guessed best.
    fn guess(&self) -> Guess {
        if self.bits.is_empty() {
            return Guess { set: 32_768, seen: 0 };
        }
        let set = self.bits.iter().filter(|bit| **bit).count();
        // A little doubt: what never happened may still happen.
        let likely = (set as f64 + 0.4) / (self.bits.len() as f64 + 0.8);
        let whole = (likely * 65_536.0).clamp(32.0, 65_504.0) as u16;
        // Little footage earns little confidence.
        let most = self.bits.len().min(Guess::SEEN_MAX.into()) as u8;
        let starts = CONFIDENCES.into_iter().filter(|seen| *seen <= most);
        let starts = starts.map(|seen| Guess { set: whole, seen });
        let cost = |start: &Guess| self.cost(*start);
        let best = starts.map(|start| (cost(&start), start)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or(Guess { set: whole, seen: 1 }, |(_, start)| start)
    }

    fn cost(&self, start: Guess) -> f64 {
        let mut cost = 0.0;
        let ends = self.starts.iter().skip(1).copied().chain([self.bits.len() as u32]);
        for (from, to) in self.starts.iter().zip(ends) {
            let mut guess = start;
            for bit in &self.bits[*from as usize..to as usize] {
                let set = (f64::from(guess.set) / 65_536.0).clamp(0.0005, 0.9995);
                cost -= if *bit { set.log2() } else { (1.0 - set).log2() };
                guess.learn(*bit);
            }
        }
        cost
    }
}

const CONFIDENCES: [u8; 9] = [1, 2, 4, 8, 15, 28, 50, 80, 120];

/// The weights after watching all frames, in turns so that no clip comes last alone.
fn weigh(tables: &Tables, clips: &[Vec<Vec<Said>>]) -> Vec<[i32; INPUTS]> {
    let mut tables = tables.clone();
    let longest = clips.iter().map(Vec::len).max().unwrap_or(0);
    let mut sums = vec![[0i64; INPUTS]; SYMBOLS];
    let mut count = 0;
    for pass in 0..2 {
        for at in 0..longest {
            for said in clips.iter().filter_map(|clip| clip.get(at)) {
                let mut model = Model::new(&tables);
                for said in said {
                    model.watch(said.symbol, &said.contexts(), said.value);
                }
                let weights = model.into_weights();
                for ((known, new), sum) in tables.weights.iter_mut().zip(weights).zip(&mut sums) {
                    for ((known, new), sum) in known.iter_mut().zip(new).zip(sum) {
                        // A part of the way, since the next frame starts anew.
                        *known += (new - *known) / 4;
                        if pass > 0 {
                            *sum += i64::from(*known);
                        }
                    }
                }
                count += i64::from(pass > 0);
            }
        }
    }
    if count == 0 {
        return tables.weights;
    }
    // Whole steps of what the written form keeps.
    sums.into_iter().map(|row| row.map(|sum| (sum / count) as i32 >> 4 << 4)).collect()
}

/// Reads symbols and notes them.
struct Noting<'a, 'b> {
    reading: Reading<'a>,
    said: &'b mut Vec<Said>,
}

impl Coder for Noting<'_, '_> {
    fn bit(&mut self, symbol: Symbol, contexts: &[usize], value: bool) -> bool {
        let value = self.reading.bit(symbol, contexts, value);
        let mut noted = [0; INPUTS];
        for (into, context) in noted.iter_mut().zip(contexts) {
            *into = *context as u16;
        }
        self.said.push(Said { symbol, contexts: noted, value });
        value
    }

    fn raw(&mut self, value: bool) -> bool {
        self.reading.raw(value)
    }

    fn alive(&self) -> bool {
        self.reading.alive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_makes_frames_smaller() {
        let paint = |tick: u16| {
            let disc = move |x: u16, y: u16| x.abs_diff(16 + tick).pow(2) + y.abs_diff(16).pow(2) < 90;
            let texture = |x: u16, y: u16| ((x * x + 3 * x * y) % 61 + y * 4) as u8;
            Picture::paint(48, 32, |x, y| {
                if disc(x, y) { [texture(x - tick, y); 3] } else { [texture(y, x), 9, 40] }
            })
        };
        let clip: Vec<Picture> = (0..6).filter_map(paint).collect();
        let bytes = |tables: Tables| -> usize {
            let encoder = Encoder::with_tables(48, 32, Rate::Quality(30), Arc::new(tables));
            let mut encoder = encoder.expect("in bounds");
            clip.iter().map(|picture| encoder.encode(picture, Ask::Any).bytes.len()).sum()
        };
        let (before, learned) = (bytes(Tables::blank()), Tables::train(std::slice::from_ref(&clip)));
        assert_eq!(Tables::from_bytes(&learned.to_bytes()), Some(learned.clone()));
        let after = bytes(learned);
        assert!(after < before, "{after} after {before} bytes");
    }
}
