//! Adaptive binary range coding: a bit and its context in, bytes out.
//!
//! The arithmetic is that of the public-domain LZMA SDK; each context also counts what it has seen,
//! so that it learns fast at first and settles later.

use super::codec::Error;

/// Where symbols go to or come from. The syntax is written once against this: a writer uses the
/// given value, a reader returns the one it found.
pub(super) trait Bits {
    /// A bit whose likelihood `context` knows and learns.
    fn bit(&mut self, context: &mut Context, value: bool) -> bool;
    /// A bit that is as likely as not.
    fn raw(&mut self, value: bool) -> bool;
}

/// How likely a bit is set, and how sure we are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// Of 65,536.
    set: u16,
    seen: u8,
}

impl Context {
    /// A context that expects a set bit with `percent` (of 256) and holds that for `seen` bits.
    pub const fn new(set: u8, seen: u8) -> Self {
        Self { set: (set as u16) << 8 | 0x80, seen }
    }

    /// Of 4,096, and never certain.
    fn probability(self) -> u32 {
        u32::from(self.set >> 4).clamp(24, 4096 - 24)
    }

    fn learn(&mut self, value: bool) {
        let target = if value { 65_535 } else { 0 };
        let step = ((target - i64::from(self.set)) * PACE[usize::from(self.seen)]) >> 16;
        self.set = (i64::from(self.set) + step) as u16;
        self.seen = (self.seen + 1).min(SEEN_MAX);
    }

    /// What coding `value` costs, in 1/256 bit.
    pub fn cost(self, value: bool) -> u32 {
        let p = self.probability();
        COST[(if value { p } else { 4096 - p } >> 3) as usize]
    }
}

const SEEN_MAX: u8 = 31;

/// 65,536 / (seen + 1.5).
const PACE: [i64; SEEN_MAX as usize + 1] = {
    let mut pace = [0; SEEN_MAX as usize + 1];
    let mut seen = 0;
    while seen < pace.len() {
        pace[seen] = 131_072 / (2 * seen as i64 + 3);
        seen += 1;
    }
    pace
};

/// −log2(p / 512) in 1/256 bit, by repeated squaring so that every machine has the same table.
const COST: [u32; 513] = {
    let mut table = [0; 513];
    let mut p = 1;
    while p <= 512 {
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
        table[p] = 9 * 256 - log;
        p += 1;
    }
    table[0] = table[1];
    table
};

/// Counts what symbols would cost, in 1/256 bit.
#[derive(Default)]
pub(super) struct Counter {
    pub cost: u32,
}

impl Bits for Counter {
    fn bit(&mut self, context: &mut Context, value: bool) -> bool {
        self.cost += context.cost(value);
        context.learn(value);
        value
    }

    fn raw(&mut self, value: bool) -> bool {
        self.cost += 256;
        value
    }
}

/// Writes symbols.
pub(super) struct Writer {
    low: u64,
    range: u32,
    /// The byte before `pending` ones of 0xFF that a carry may still change; `None` before the
    /// first one, which is always zero and not written.
    held: Option<u8>,
    pending: usize,
    out: Vec<u8>,
}

impl Writer {
    /// Continues `out`.
    pub fn new(out: Vec<u8>) -> Self {
        Self { low: 0, range: u32::MAX, held: None, pending: 0, out }
    }

    /// The bytes, without the zeros at the end that a reader assumes.
    pub fn finish(mut self) -> Vec<u8> {
        // Of all values in the last range, the one with the most zeros at its end.
        for bits in (0..32).rev() {
            let mask = (1u64 << bits) - 1;
            let value = (self.low + mask) & !mask;
            if value < self.low + u64::from(self.range) {
                self.low = value;
                break;
            }
        }
        for _ in 0..FLUSH {
            self.shift();
        }
        for _ in 0..FLUSH - 1 {
            if self.out.last() == Some(&0) {
                self.out.pop();
            }
        }
        self.out
    }

    fn narrow(&mut self, bound: u32, value: bool) {
        if value {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.shift();
        }
    }

    fn shift(&mut self) {
        let carry = (self.low >> 32) as u8;
        if carry > 0 || self.low < 0xFF00_0000 {
            if let Some(held) = self.held {
                self.out.push(held.wrapping_add(carry));
            }
            self.out.extend(std::iter::repeat_n(0xFFu8.wrapping_add(carry), self.pending));
            self.pending = 0;
            self.held = Some((self.low >> 24) as u8);
        } else {
            self.pending += 1;
        }
        self.low = (self.low & 0x00FF_FFFF) << 8;
    }
}

impl Bits for Writer {
    fn bit(&mut self, context: &mut Context, value: bool) -> bool {
        let bound = (self.range >> 12) * context.probability();
        self.narrow(bound, value);
        context.learn(value);
        value
    }

    fn raw(&mut self, value: bool) -> bool {
        self.narrow(self.range >> 1, value);
        value
    }
}

/// Reads symbols; past the end it reads zeros and remembers how many.
pub(super) struct Reader<'a> {
    bytes: std::slice::Iter<'a, u8>,
    code: u32,
    range: u32,
    missing: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self { bytes: bytes.iter(), code: 0, range: u32::MAX, missing: 0 };
        for _ in 0..4 {
            reader.shift();
        }
        reader
    }

    /// A whole frame never reads farther past its end than [`Writer::finish`] cuts off, so a
    /// reader that does is not reading a frame, and stops early.
    pub fn check(&self) -> Result<(), Error> {
        if self.missing < FLUSH { Ok(()) } else { Err(Error::Malformed) }
    }

    fn narrow(&mut self, bound: u32) -> bool {
        let value = self.code < bound;
        if value {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.shift();
        }
        value
    }

    fn shift(&mut self) {
        let byte = self.bytes.next().copied();
        self.missing += usize::from(byte.is_none());
        self.code = self.code << 8 | u32::from(byte.unwrap_or(0));
    }
}

impl Bits for Reader<'_> {
    fn bit(&mut self, context: &mut Context, _: bool) -> bool {
        let bound = (self.range >> 12) * context.probability();
        let value = self.narrow(bound);
        context.learn(value);
        value
    }

    fn raw(&mut self, _: bool) -> bool {
        self.narrow(self.range >> 1)
    }
}

/// Bytes that bring the whole of `low` out.
const FLUSH: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 40
        })
    }

    #[test]
    fn bits_come_back_and_cost_what_was_counted() {
        for odds in [1, 10, 128, 250, 255] {
            let bits: Vec<bool> = noise(odds).take(5_000).map(|n| n % 256 < odds).collect();
            let (mut writer, mut counter) = (Writer::new(Vec::new()), Counter::default());
            let (mut one, mut two) = ([Context::new(128, 0); 2], [Context::new(128, 0); 2]);
            for (at, bit) in bits.iter().enumerate() {
                writer.bit(&mut one[at % 2], *bit);
                counter.bit(&mut two[at % 2], *bit);
                if at % 50 == 0 {
                    writer.raw(*bit);
                    counter.raw(*bit);
                }
            }
            let bytes = writer.finish();
            let counted = counter.cost as usize / 2048;
            assert!(bytes.len().abs_diff(counted) <= 4 + counted / 50, "{} for {counted}", bytes.len());
            let mut reader = Reader::new(&bytes);
            let mut contexts = [Context::new(128, 0); 2];
            for (at, bit) in bits.iter().enumerate() {
                assert_eq!(reader.bit(&mut contexts[at % 2], false), *bit, "bit {at} at odds {odds}");
                if at % 50 == 0 {
                    assert_eq!(reader.raw(false), *bit);
                }
            }
            assert_eq!(reader.check(), Ok(()));
        }
    }

    #[test]
    fn a_reader_knows_that_the_end_is_behind_it() {
        let mut reader = Reader::new(&[]);
        let mut context = Context::new(128, 0);
        for _ in 0..1_000 {
            reader.bit(&mut context, false);
            reader.raw(false);
        }
        assert_eq!(reader.check(), Err(Error::Malformed));
    }

    #[test]
    fn costs_are_logarithms() {
        assert_eq!((COST[512], COST[256], COST[128], COST[1]), (0, 256, 512, 9 * 256));
    }
}
