//! One step of the walk: what happens, its bytes, who sees what, and what a changed bit does.

use rand_core::{OsRng, RngCore};
use serde::Serialize;
use std::fmt::Display;
use std::ops::Range;

/// One step, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What happens, in a few words.
    pub title: &'static str,
    /// The same in a sentence or more.
    pub says: String,
    /// The bytes that there are now.
    pub bytes: Vec<Shown>,
    /// What everybody else can see of it.
    pub seen: Vec<Sight>,
    /// What was tried with one bit changed.
    pub flips: Vec<Flip>,
}

/// Bytes, shortened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Their name in the design.
    pub name: String,
    /// How many there are.
    pub length: usize,
    /// Hexadecimal digits of the first and the last ones.
    pub hex: String,
}

/// What one onlooker has of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sight {
    /// Who.
    pub who: Who,
    /// What.
    pub what: String,
}

/// Who would like to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Hears every packet between a device and the relay.
    Network,
    /// Runs the relay.
    Relay,
    /// Has a copy of the relay's disk.
    RelayDisk,
    /// Has a copy of the device's disk, and not the passphrase.
    DeviceDisk,
}

/// One changed bit and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flip {
    /// Which bit of what.
    pub what: String,
    /// What the code said; `None` when it took the changed bytes.
    pub refused: Option<String>,
}

impl Who {
    /// Their name on the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Relay => "relay",
            Self::RelayDisk => "relay's disk",
            Self::DeviceDisk => "device's disk",
        }
    }
}

impl Step {
    /// A step of which nothing was shown yet.
    pub fn new(title: &'static str, says: impl Into<String>) -> Self {
        Self { title, says: says.into(), bytes: Vec::new(), seen: Vec::new(), flips: Vec::new() }
    }

    /// Shows bytes.
    pub fn bytes(mut self, name: impl Into<String>, bytes: &[u8]) -> Self {
        self.bytes.push(Shown { name: name.into(), length: bytes.len(), hex: short(bytes) });
        self
    }

    /// Says what somebody sees.
    pub fn sees(mut self, who: Who, what: impl Into<String>) -> Self {
        self.seen.push(Sight { who, what: what.into() });
        self
    }

    /// Changes one bit of `good`, drawn at random, and tries the rest with it.
    pub fn flip<T, E: Display>(
        self,
        what: &str,
        good: &[u8],
        attempt: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Self {
        self.flip_in(what, good, 0..good.len(), attempt)
    }

    /// The same, with the bit drawn from some of the bytes. `what` names those.
    pub fn flip_in<T, E: Display>(
        self,
        what: &str,
        good: &[u8],
        from: Range<usize>,
        attempt: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Self {
        let (bad, which) = one_bit(good, from);
        let outcome = attempt(&bad).err().map(|error| error.to_string());
        self.tried(format!("{which} of {what}"), outcome)
    }

    /// What came of a try that was made elsewhere.
    pub fn tried(mut self, what: impl Into<String>, refused: Option<String>) -> Self {
        self.flips.push(Flip { what: what.into(), refused });
        self
    }

    /// Whether each changed bit was noticed.
    pub fn holds(&self) -> bool {
        self.flips.iter().all(|flip| flip.refused.is_some())
    }
}

/// A copy with one bit changed, drawn from some of its bytes, and that bit's name, counted from
/// where those begin.
pub fn one_bit(good: &[u8], from: Range<usize>) -> (Vec<u8>, String) {
    let length = from.len().max(1);
    let (byte, bit) = (OsRng.next_u64() as usize % length, OsRng.next_u32() % 8);
    let mut bad = good.to_vec();
    if let Some(changed) = bad.get_mut(from.start + byte) {
        *changed ^= 1 << bit;
    }
    (bad, format!("bit {bit} of byte {byte}"))
}

/// The first eight and the last four bytes, or all when they are few.
pub fn short(bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    if bytes.len() <= 16 {
        return hex(bytes);
    }
    format!("{}…{}", hex(&bytes[..8]), hex(&bytes[bytes.len() - 4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_differs_and_lies_where_it_was_asked_for() {
        for _ in 0..200 {
            let (bad, which) = one_bit(&[0; 12], 4..6);
            assert_eq!(bad.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1, "{which}");
            assert!(bad[4] != 0 || bad[5] != 0);
        }
    }

    #[test]
    fn a_changed_bit_that_is_taken_is_told() {
        let step = Step::new("t", "s").flip("it", &[1, 2], |_| Err::<(), _>("no"));
        assert!(step.holds());
        let step = step.flip("it", &[1, 2], |_| Ok::<_, String>(()));
        assert!(!step.holds());
    }

    #[test]
    fn bytes_are_shortened() {
        assert_eq!(short(&[0xab; 3]), "ababab");
        assert_eq!(short(&[7; 40]), "0707070707070707…07070707");
    }
}
