//! How likely the next bit is set: several contexts have a guess each, a mixer weighs them.
//!
//! The arithmetic is that of the public-domain `lpaq` family of Matt Mahoney: guesses are mixed in
//! the logistic domain by weights that learn. Here a frame is far too short to learn from, so both
//! guesses and weights start from a trained [`Tables`]; each guess also starts with a trained
//! confidence, which says how fast it moves.

use super::range::{Reader, Writer};
use super::symbols::{SLOTS, Symbol};
use super::tables::Tables;

/// Where symbols go to or come from. The syntax is written once against this: whoever writes or
/// counts uses the given value, whoever reads returns the one it found.
pub(super) trait Coder {
    /// A bit of a symbol in its contexts, one below each of [`Symbol::sizes`].
    fn bit(&mut self, symbol: Symbol, contexts: &[usize], value: bool) -> bool;
    /// A bit that is as likely as not.
    fn raw(&mut self, value: bool) -> bool;
    /// Whether going on makes sense; a reader stops behind its end.
    fn alive(&self) -> bool {
        true
    }
}

/// The guess of one context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    /// That the bit is set, of 65,536.
    pub set: u16,
    /// After how many bits it was made, or as good as.
    pub seen: u8,
}

impl Guess {
    /// The most that are counted, so that a guess always still moves.
    pub const SEEN_MAX: u8 = 120;

    pub fn learn(&mut self, value: bool) {
        let target = if value { 65_535 } else { 0 };
        let step = ((target - i32::from(self.set)) * PACE[usize::from(self.seen)]) >> 16;
        self.set = (i32::from(self.set) + step) as u16;
        self.seen = (self.seen + 1).min(Self::SEEN_MAX);
    }

    /// What it says in the logistic domain: nothing as long as it has seen nothing.
    pub fn opinion(self) -> i32 {
        (STRETCH[usize::from(self.set >> 4)] * TRUST[usize::from(self.seen)]) >> 8
    }
}

/// Everything that a frame learns about its bits; it starts anew with each frame.
#[derive(Clone)]
pub(super) struct Model {
    guesses: Vec<Guess>,
    /// What each guess says, as [`Guess::opinion`].
    opinions: Vec<i16>,
    weights: Vec<[i32; INPUTS]>,
}

/// The most contexts of a symbol.
pub(super) const INPUTS: usize = 6;

/// One, as a weight.
pub(super) const WEIGHT_ONE: i32 = 1 << 16;

/// One bit's likelihood and what it was made from.
struct Mixed {
    opinions: [i32; INPUTS],
    /// Of 65,536, never certain.
    set: u32,
}

impl Model {
    pub fn new(tables: &Tables) -> Self {
        debug_assert_eq!(tables.guesses.len(), SLOTS);
        let opinions = tables.guesses.iter().map(|guess| guess.opinion() as i16).collect();
        Self { guesses: tables.guesses.clone(), opinions, weights: tables.weights.clone() }
    }

    /// What coding `value` costs, in [`BIT`]ths of a bit.
    pub fn cost(&self, symbol: Symbol, contexts: &[usize], value: bool) -> u32 {
        let set = self.mix(symbol, contexts).set;
        COST[(if value { set } else { 65_536 - set } >> 4) as usize]
    }

    /// Learns a bit that somebody else coded.
    pub fn watch(&mut self, symbol: Symbol, contexts: &[usize], value: bool) {
        let mixed = self.mix(symbol, contexts);
        self.learn(symbol, contexts, &mixed, value);
    }

    /// The weights as they are by now.
    pub fn into_weights(self) -> Vec<[i32; INPUTS]> {
        self.weights
    }

    fn mix(&self, symbol: Symbol, contexts: &[usize]) -> Mixed {
        let mut opinions = [0; INPUTS];
        let mut sum = 0;
        let weights = &self.weights[symbol as usize];
        for (at, slot) in symbol.slots(contexts).enumerate() {
            opinions[at] = i32::from(self.opinions[slot]);
            sum += opinions[at] * (weights[at] >> 2);
        }
        Mixed { opinions, set: squash(sum >> 14) }
    }

    fn learn(&mut self, symbol: Symbol, contexts: &[usize], mixed: &Mixed, value: bool) {
        let target = if value { 65_535 } else { 0 };
        let error = target - mixed.set as i32;
        let weights = &mut self.weights[symbol as usize];
        for (at, slot) in symbol.slots(contexts).enumerate() {
            weights[at] = (weights[at] + ((mixed.opinions[at] * (error >> 2)) >> WEIGHT_PACE))
                .clamp(-WEIGHT_MAX, WEIGHT_MAX);
            let guess = &mut self.guesses[slot];
            guess.learn(value);
            self.opinions[slot] = guess.opinion() as i16;
        }
    }
}

/// Learning shifts a weight by opinion · error / 2^this.
const WEIGHT_PACE: u32 = 16;

/// So that no sum of six overflows.
const WEIGHT_MAX: i32 = 4 * WEIGHT_ONE;

/// Writes symbols.
pub(super) struct Writing {
    pub model: Model,
    writer: Writer,
}

impl Writing {
    /// Continues `out`.
    pub fn new(model: Model, out: Vec<u8>) -> Self {
        Self { model, writer: Writer::new(out) }
    }

    pub fn finish(self) -> Vec<u8> {
        self.writer.finish()
    }
}

impl Coder for Writing {
    fn bit(&mut self, symbol: Symbol, contexts: &[usize], value: bool) -> bool {
        let mixed = self.model.mix(symbol, contexts);
        self.writer.bit(mixed.set, value);
        self.model.learn(symbol, contexts, &mixed, value);
        value
    }

    fn raw(&mut self, value: bool) -> bool {
        self.writer.bit(32_768, value);
        value
    }
}

/// Reads symbols.
pub(super) struct Reading<'a> {
    model: Model,
    reader: Reader<'a>,
}

impl<'a> Reading<'a> {
    pub fn new(model: Model, symbols: &'a [u8]) -> Self {
        Self { model, reader: Reader::new(symbols) }
    }
}

impl Coder for Reading<'_> {
    fn bit(&mut self, symbol: Symbol, contexts: &[usize], _: bool) -> bool {
        let mixed = self.model.mix(symbol, contexts);
        let value = self.reader.bit(mixed.set);
        self.model.learn(symbol, contexts, &mixed, value);
        value
    }

    fn raw(&mut self, _: bool) -> bool {
        self.reader.bit(32_768)
    }

    fn alive(&self) -> bool {
        self.reader.check().is_ok()
    }
}

/// Counts what symbols would cost, in [`BIT`]ths of a bit; learns nothing.
pub(super) struct Counting<'a> {
    model: &'a Model,
    pub cost: u32,
}

impl<'a> Counting<'a> {
    pub fn new(model: &'a Model) -> Self {
        Self { model, cost: 0 }
    }
}

impl Coder for Counting<'_> {
    fn bit(&mut self, symbol: Symbol, contexts: &[usize], value: bool) -> bool {
        self.cost += self.model.cost(symbol, contexts, value);
        value
    }

    fn raw(&mut self, value: bool) -> bool {
        self.cost += BIT;
        value
    }
}

/// Costs are counted in this part of a bit.
pub(super) const BIT: u32 = 256;

/// 65,536 / (seen + 1.6).
const PACE: [i32; Guess::SEEN_MAX as usize + 1] = {
    let mut pace = [0; Guess::SEEN_MAX as usize + 1];
    let mut seen = 0;
    while seen < pace.len() {
        pace[seen] = (655_360 / (10 * seen + 16)) as i32;
        seen += 1;
    }
    pace
};

/// 256 · seen / (seen + 0.5).
const TRUST: [i32; Guess::SEEN_MAX as usize + 1] = {
    let mut trust = [0; Guess::SEEN_MAX as usize + 1];
    let mut seen = 0;
    while seen < trust.len() {
        trust[seen] = (512 * seen / (2 * seen + 1)) as i32;
        seen += 1;
    }
    trust
};

/// The logistic domain reaches from −8 to 8, in 1/256.
const LOGIT_MAX: i32 = 2047;

/// 65,536 / (1 + e^(−x/256)).
pub(super) fn squash(logit: i32) -> u32 {
    SQUASH[(logit.clamp(-LOGIT_MAX, LOGIT_MAX) + LOGIT_MAX) as usize]
}

const SQUASH: [u32; 2 * LOGIT_MAX as usize + 1] = {
    // e^(x/256) by repeated multiplication with e^(1/256), 44 binary digits: the same everywhere.
    const ONE: u128 = 1 << 44;
    // 2^44 · e^(1/256), rounded.
    const STEP: u128 = 17_661_039_913_813;
    let mut table = [32_768; 2 * LOGIT_MAX as usize + 1];
    let mut power = ONE;
    let mut x = 1;
    while x <= LOGIT_MAX as usize {
        power = (power * STEP + (ONE >> 1)) >> 44;
        let below = ((ONE << 16) / (ONE + power)) as u32;
        table[LOGIT_MAX as usize - x] = below;
        table[LOGIT_MAX as usize + x] = 65_536 - below;
        x += 1;
    }
    table
};

/// ln(p / (1 − p)) in 1/256 for each 4,096th: squash's way back.
const STRETCH: [i32; 4096] = {
    let mut table = [0; 4096];
    let mut logit = 0;
    let mut p = 0;
    while p < 4096 {
        while logit < 2 * LOGIT_MAX as usize && SQUASH[logit] < 16 * p as u32 + 8 {
            logit += 1;
        }
        table[p] = logit as i32 - LOGIT_MAX;
        p += 1;
    }
    table
};

/// −log2(p / 4096) in 1/256 bit, by repeated squaring so that every machine has the same table.
static COST: [u32; 4097] = {
    let mut table = [0; 4097];
    let mut p = 1;
    while p <= 4096 {
        // value in [1, 2) as 2.30 fixed point, whole in bits.
        let whole = 63 - (p as u64).leading_zeros();
        let mut value = (p as u64) << (30 - whole);
        let mut log = whole;
        let mut digit = 0;
        while digit < 8 {
            value = (value * value) >> 30;
            log <<= 1;
            if value >= 2 << 30 {
                value >>= 1;
                log |= 1;
            }
            digit += 1;
        }
        table[p] = 12 * 256 - log;
        p += 1;
    }
    table[0] = table[1];
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logistic_tables_are_each_others_way_back() {
        assert_eq!((squash(0), squash(256), squash(-256)), (32_768, 47_911, 17_625));
        assert_eq!(squash(9_999) + squash(-9_999), 65_536);
        for p in (100..65_000).step_by(700) {
            let back = squash(STRETCH[p as usize >> 4]);
            assert!(back.abs_diff(p) < 100, "{p} became {back}");
        }
    }

    #[test]
    fn costs_are_logarithms() {
        assert_eq!((COST[4096], COST[2048], COST[1024], COST[1]), (0, 256, 512, 12 * 256));
    }

    #[test]
    fn symbols_come_back_and_a_bent_coin_becomes_cheap() {
        let tables = Tables::blank();
        let mut writing = Writing::new(Model::new(&tables), Vec::new());
        let contexts = vec![0; Symbol::Skip.sizes().len()];
        let bits: Vec<bool> = (0..2_000).map(|at| at % 50 == 7).collect();
        for bit in &bits {
            writing.bit(Symbol::Skip, &contexts, *bit);
        }
        let bytes = writing.finish();
        assert!(bytes.len() < 50, "{} bytes", bytes.len());
        let mut reading = Reading::new(Model::new(&tables), &bytes);
        assert!(bits.iter().all(|bit| reading.bit(Symbol::Skip, &contexts, false) == *bit));
        assert!(reading.alive());
    }
}
