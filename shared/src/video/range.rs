//! Binary range coding: bits and their likelihoods in, bytes out.
//!
//! The arithmetic is that of the public-domain LZMA SDK, with likelihoods of 16 bits.

use super::codec::Error;

/// Writes bits.
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

    /// A bit that is set with a likelihood of `set`, 1 to 65,535 of 65,536.
    pub fn bit(&mut self, set: u32, value: bool) {
        let bound = (self.range >> 16) * set;
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

/// Reads bits; past the end it reads zeros and remembers how many.
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

    /// A bit that was written with the same likelihood.
    pub fn bit(&mut self, set: u32) -> bool {
        let bound = (self.range >> 16) * set;
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

    /// A whole frame never reads farther past its end than [`Writer::finish`] cuts off, so a
    /// reader that does is not reading a frame, and stops early.
    pub fn check(&self) -> Result<(), Error> {
        if self.missing < FLUSH { Ok(()) } else { Err(Error::Malformed) }
    }

    fn shift(&mut self) {
        let byte = self.bytes.next().copied();
        self.missing += usize::from(byte.is_none());
        self.code = self.code << 8 | u32::from(byte.unwrap_or(0));
    }
}

/// Bytes that bring the whole of `low` out.
const FLUSH: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64) -> impl Iterator<Item = u32> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as u32
        })
    }

    #[test]
    fn bits_come_back_and_cost_what_they_should() {
        for odds in [1, 40, 1_000, 32_768, 65_000, 65_535] {
            let bits: Vec<bool> = noise(odds.into()).take(8_000).map(|n| n % 65_536 < odds).collect();
            let mut writer = Writer::new(Vec::new());
            for bit in &bits {
                writer.bit(odds, *bit);
            }
            let bytes = writer.finish();
            let likely = |bit: bool| f64::from(if bit { odds } else { 65_536 - odds }) / 65_536.0;
            let ideal: f64 = bits.iter().map(|bit| -likely(*bit).log2()).sum::<f64>() / 8.0;
            assert!(bytes.len() as f64 <= ideal * 1.002 + 3.0, "{} for {ideal}", bytes.len());
            let mut reader = Reader::new(&bytes);
            assert!(bits.iter().all(|bit| reader.bit(odds) == *bit), "odds {odds}");
            assert_eq!(reader.check(), Ok(()));
        }
    }

    #[test]
    fn a_reader_knows_that_the_end_is_behind_it() {
        let mut reader = Reader::new(&[]);
        for _ in 0..100 {
            reader.bit(32_768);
        }
        assert_eq!(reader.check(), Err(Error::Malformed));
    }
}
