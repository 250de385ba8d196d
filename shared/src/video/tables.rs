//! What is known of a frame's bits before the first one: trained on footage, shipped as
//! `tables.bin`, or trained anew.

use super::model::{Guess, INPUTS, WEIGHT_ONE};
use super::symbols::{SLOTS, SYMBOLS};
use std::sync::{Arc, LazyLock};

/// Initial guesses and weights. Encoder and decoder need the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    pub(super) guesses: Vec<Guess>,
    pub(super) weights: Vec<[i32; INPUTS]>,
}

impl Tables {
    /// Those that everybody uses.
    pub fn builtin() -> Arc<Self> {
        static BUILTIN: LazyLock<Arc<Tables>> = LazyLock::new(|| {
            let bytes = include_bytes!("tables.bin");
            Arc::new(Tables::from_bytes(bytes).unwrap_or_else(Tables::blank))
        });
        BUILTIN.clone()
    }

    /// Those that know nothing; where training starts.
    pub fn blank() -> Self {
        let weights = vec![[WEIGHT_ONE * 2 / 5; INPUTS]; SYMBOLS];
        Self { guesses: vec![Guess { set: 32_768, seen: 0 }; SLOTS], weights }
    }

    /// For each guess its likelihood of 65,536 (`u16 BE`) and its confidence (`u8`), then the
    /// weights in 1/4,096 (`i16 BE`).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        for guess in &self.guesses {
            bytes.extend(guess.set.to_be_bytes());
            bytes.push(guess.seen);
        }
        for weight in self.weights.as_flattened() {
            bytes.extend(((weight >> WEIGHT_SHIFT) as i16).to_be_bytes());
        }
        bytes
    }

    /// The way back, or `None` when the length or a confidence is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LENGTH {
            return None;
        }
        let (guesses, weights) = bytes.split_at(SLOTS * 3);
        let guess = |&[high, low, seen]: &[u8; 3]| {
            (seen <= Guess::SEEN_MAX).then_some(Guess { set: u16::from_be_bytes([high, low]), seen })
        };
        let guesses = guesses.as_chunks::<3>().0.iter().map(guess).collect::<Option<_>>()?;
        let weight = |&pair: &[u8; 2]| i32::from(i16::from_be_bytes(pair)) << WEIGHT_SHIFT;
        let row = |row: &[[u8; 2]; INPUTS]| std::array::from_fn(|at| weight(&row[at]));
        let weights = weights.as_chunks::<2>().0.as_chunks::<INPUTS>().0.iter().map(row).collect();
        Some(Self { guesses, weights })
    }
}

const WEIGHT_SHIFT: u32 = 4;

const LENGTH: usize = SLOTS * 3 + SYMBOLS * INPUTS * 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_come_back_and_the_shipped_ones_are_whole() {
        let shipped = Tables::builtin();
        assert_ne!(*shipped, Tables::blank());
        assert_eq!(Tables::from_bytes(&shipped.to_bytes()).as_ref(), Some(&*shipped));
        assert_eq!(Tables::from_bytes(&[0; 7]), None);
    }
}
