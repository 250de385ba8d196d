//! The safety number: what two people compare to know that nobody stands between them.
//!
//! It is made of both account names and both identity keys, and of nothing that differs between
//! the two ends, so both compute the same. Further devices of an account are vouched for by its
//! identity key and do not change it. The bytes, with `u8` lengths:
//!
//! ```text
//! pair   = length of name ‖ name ‖ identity key (32)
//! pairs  = both pairs, the smaller (name, key) first
//! h_0    = 64 zero bytes
//! h_i    = SHA-512("subrosa safety-number/1\0" ‖ h_{i-1} ‖ pairs)          i = 1 .. 5200
//! group  = BE40(five bytes of h_5200) mod 100000                           12 groups, 60 bytes
//! ```
//! The repetition makes each guess at a key that collides 5,200 times as dear. A [`Code`] says the
//! same in a form for machines, such as a QR code:
//!
//! ```text
//! code   = version (1) ‖ length ‖ name of who shows it ‖ length ‖ the other's name ‖ fingerprint
//! fingerprint = first 32 bytes of SHA-512("subrosa safety-code/1\0" ‖ h_5200)
//! text   = "SUBROSA-SAFETY:" ‖ base32 of code, RFC 4648, upper case, no padding
//! ```
//! All of the text is in the alphabet that a QR code stores most densely.

use crate::id::AccountName;
use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha512};
use std::fmt;
use std::str::FromStr;

/// A person as the number counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party<'a> {
    /// Account name.
    pub name: &'a AccountName,
    /// Ed25519 identity key.
    pub identity: &'a [u8; 32],
}

/// The safety number of two people.
#[derive(Clone, PartialEq, Eq)]
pub struct Number {
    hash: [u8; 64],
}

impl Number {
    /// The same in either order. Takes some milliseconds.
    pub fn of(one: Party<'_>, other: Party<'_>) -> Self {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        let mut pairs = Vec::with_capacity(2 * (1 + AccountName::MAX + 32));
        for party in [first, second] {
            put_name(&mut pairs, party.name);
            pairs.extend_from_slice(party.identity);
        }
        let mut hash = [0; 64];
        for _ in 0..ITERATIONS {
            let next = Sha512::new().chain_update(LABEL).chain_update(hash).chain_update(&pairs);
            hash = next.finalize().into();
        }
        Self { hash }
    }

    /// Its 12 groups of 5 digits.
    pub fn groups(&self) -> [String; GROUPS] {
        std::array::from_fn(|i| {
            let five = &self.hash[i * 5..i * 5 + 5];
            let number = five.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
            format!("{:05}", number % 100_000)
        })
    }

    /// What `shows`, one of the two, holds out to the other's scanner.
    pub fn code(&self, shows: &AccountName, to: &AccountName) -> Code {
        let hash = Sha512::new().chain_update(CODE_LABEL).chain_update(self.hash).finalize();
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(&hash[..32]);
        Code { shows: shows.clone(), to: to.clone(), fingerprint }
    }

    /// Compares what the other person read out, pasted or showed: digits with anything but letters
    /// between them, or the text of a [`Code`]. `me` and `them` are the two whose number this is.
    ///
    /// # Errors
    /// [`Unreadable`]: it is neither.
    pub fn compare(&self, me: &AccountName, them: &AccountName, given: &str) -> Result<Compared, Unreadable> {
        if given.len() > GIVEN_MAX {
            return Err(Unreadable::TooLong);
        }
        if begins_like_a_code(given) {
            return Ok(given.parse::<Code>()?.against(&self.code(me, them)));
        }
        if given.chars().any(char::is_alphabetic) {
            return Err(Unreadable::NotDigits);
        }
        let digits: String = given.chars().filter(char::is_ascii_digit).collect();
        if digits.len() != GROUPS * 5 {
            return Err(Unreadable::Count(digits.len()));
        }
        let same = digits == self.groups().concat();
        Ok(if same { Compared::Same } else { Compared::Different })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.groups().join(" "))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({self})")
    }
}

/// What one end shows to the other's scanner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Whose screen it is on.
    pub shows: AccountName,
    /// Whom they believe to talk to.
    pub to: AccountName,
    /// Of both names and keys.
    pub fingerprint: [u8; 32],
}

/// How what the other end showed compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Both see the same keys.
    Same,
    /// The keys differ: somebody stands between, or one end has not heard of a new key yet.
    Different,
    /// It is about other people.
    OtherPeople,
}

/// Why something to compare could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than any number or code.
    #[error("that is too long for a safety number")]
    TooLong,
    /// Letters, and no code.
    #[error("a safety number has digits only")]
    NotDigits,
    /// How many digits there were.
    #[error("a safety number has 60 digits, and those are {0}")]
    Count(usize),
    /// A code of a newer version.
    #[error("that code is of a newer subrosa (version {0}): update to read it")]
    Version(u8),
    /// Begins like a code and is none.
    #[error("that code is damaged")]
    Damaged,
}

impl Code {
    /// How this one, from the other end, compares with our own. A code of our own screen is about
    /// the same people and proves nothing.
    pub fn against(&self, ours: &Self) -> Compared {
        if self.shows != ours.to || self.to != ours.shows {
            Compared::OtherPeople
        } else if self.fingerprint == ours.fingerprint {
            Compared::Same
        } else {
            Compared::Different
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put_name(&mut bytes, &self.shows);
        put_name(&mut bytes, &self.to);
        bytes.extend_from_slice(&self.fingerprint);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (&version, rest) = bytes.split_first().ok_or(Unreadable::Damaged)?;
        if version != VERSION {
            return Err(if version > VERSION { Unreadable::Version(version) } else { Unreadable::Damaged });
        }
        let (shows, rest) = take_name(rest)?;
        let (to, rest) = take_name(rest)?;
        let fingerprint = rest.try_into().map_err(|_| Unreadable::Damaged)?;
        Ok(Self { shows, to, fingerprint })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&self.bytes()))
    }
}

impl FromStr for Code {
    type Err = Unreadable;

    /// Reads what [`Code`]'s `Display` writes, in either case, with space around it.
    fn from_str(text: &str) -> Result<Self, Unreadable> {
        if text.len() > GIVEN_MAX {
            return Err(Unreadable::TooLong);
        }
        if !begins_like_a_code(text) {
            return Err(Unreadable::Damaged);
        }
        let body = text.trim()[PREFIX.len()..].to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(body.as_bytes()).map_err(|_| Unreadable::Damaged)?;
        Self::from_bytes(&bytes)
    }
}

fn begins_like_a_code(text: &str) -> bool {
    text.trim().get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
}

fn put_name(bytes: &mut Vec<u8>, name: &AccountName) {
    bytes.push(u8::try_from(name.as_str().len()).expect("a name has at most 32 bytes"));
    bytes.extend_from_slice(name.as_str().as_bytes());
}

fn take_name(bytes: &[u8]) -> Result<(AccountName, &[u8]), Unreadable> {
    let (&length, rest) = bytes.split_first().ok_or(Unreadable::Damaged)?;
    let (name, rest) = rest.split_at_checked(length.into()).ok_or(Unreadable::Damaged)?;
    let name = std::str::from_utf8(name).map_err(|_| Unreadable::Damaged)?;
    // One spelling only: another would be another code for the same people.
    let name = AccountName::try_from(name.to_owned()).map_err(|_| Unreadable::Damaged)?;
    Ok((name, rest))
}

const LABEL: &[u8] = b"subrosa safety-number/1\0";
const CODE_LABEL: &[u8] = b"subrosa safety-code/1\0";
const PREFIX: &str = "SUBROSA-SAFETY:";
const VERSION: u8 = 1;
/// Groups of five digits.
const GROUPS: usize = 12;
/// As many as Signal takes.
const ITERATIONS: u32 = 5200;
/// The longest text that is looked at: a code has at most 174 bytes, digits come with spaces.
const GIVEN_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> AccountName {
        AccountName::parse(text).expect("valid")
    }

    fn number(a: (&str, u8), b: (&str, u8)) -> Number {
        let (a_name, b_name) = (name(a.0), name(b.0));
        Number::of(
            Party { name: &a_name, identity: &[a.1; 32] },
            Party { name: &b_name, identity: &[b.1; 32] },
        )
    }

    // Computed with Python's hashlib from the description above.
    const ADA_BEN: &str = "12330 85502 87712 58709 79266 75464 79926 86984 54840 99678 57073 34933";
    const LONG: &str = "35911 93495 24204 43436 66197 02996 98196 92592 41606 72181 14128 99815";
    const ADA_BEN_CODE: &str =
        "SUBROSA-SAFETY:AEBWCZDBANRGK3UNGN4HVANV3Y54EQOQQVUJGCGZRUU7S4Y23J2W3B75INLHOSHXH4";

    #[test]
    fn the_number_is_the_documented_one() {
        assert_eq!(number(("ada", 1), ("ben", 2)).to_string(), ADA_BEN);
        let long = "z".repeat(32);
        assert_eq!(number((&long, 0xff), ("0", 0)).to_string(), LONG);
    }

    #[test]
    fn the_code_is_the_documented_one() {
        let code = number(("ada", 1), ("ben", 2)).code(&name("ada"), &name("ben"));
        assert_eq!(code.to_string(), ADA_BEN_CODE);
        assert_eq!(ADA_BEN_CODE.parse(), Ok(code));
    }

    #[test]
    fn both_ends_see_the_same_and_any_change_shows() {
        let ours = number(("ada", 1), ("ben", 2));
        assert_eq!(number(("ben", 2), ("ada", 1)), ours);
        // A name moved by a letter, a swapped key, a name shared.
        for other in [
            number(("ada", 1), ("ben", 3)),
            number(("ada", 2), ("ben", 1)),
            number(("adab", 1), ("en", 2)),
            number(("ada", 1), ("ada", 2)),
        ] {
            assert_ne!(other, ours);
            assert_ne!(other.to_string(), ours.to_string());
        }
        // The same name under two keys has an order too.
        assert_eq!(number(("ada", 1), ("ada", 2)), number(("ada", 2), ("ada", 1)));
    }

    #[test]
    fn digits_are_compared_however_they_are_spaced() {
        let ours = number(("ada", 1), ("ben", 2));
        let compare = |text: &str| ours.compare(&name("ada"), &name("ben"), text);
        assert_eq!(compare(ADA_BEN), Ok(Compared::Same));
        assert_eq!(compare(&ADA_BEN.replace(' ', "")), Ok(Compared::Same));
        assert_eq!(compare(&ADA_BEN.replace(' ', "\n - ")), Ok(Compared::Same));
        let other = number(("ada", 1), ("ben", 3)).to_string();
        assert_eq!(compare(&other), Ok(Compared::Different));
        assert_eq!(compare("12345"), Err(Unreadable::Count(5)));
        assert_eq!(compare("hello"), Err(Unreadable::NotDigits));
        assert_eq!(compare(&"1".repeat(600)), Err(Unreadable::TooLong));
    }

    #[test]
    fn a_code_is_compared_with_whom_it_is_about() {
        let (ada, ben, cyd) = (name("ada"), name("ben"), name("cyd"));
        let ours = number(("ada", 1), ("ben", 2));
        let compare =
            |code: Code| ours.compare(&ada, &ben, &format!(" {}\n", code.to_string().to_lowercase()));
        assert_eq!(compare(ours.code(&ben, &ada)), Ok(Compared::Same));
        assert_eq!(compare(ours.code(&ada, &ben)), Ok(Compared::OtherPeople), "the own screen");
        assert_eq!(compare(ours.code(&cyd, &ada)), Ok(Compared::OtherPeople));
        let theirs = number(("ada", 1), ("ben", 9)).code(&ben, &ada);
        assert_eq!(compare(theirs), Ok(Compared::Different));
    }

    #[test]
    fn damaged_codes_are_refused_in_words() {
        for bad in ["", "SUBROSA-SAFETY:", "SUBROSA-SAFETY:A", "SUBROSA-SAFETY:AEAA", "OTHER-SAFETY:XX"] {
            assert_eq!(bad.parse::<Code>(), Err(Unreadable::Damaged), "{bad}");
        }
        let mut bytes = number(("ada", 1), ("ben", 2)).code(&name("ada"), &name("ben")).bytes();
        bytes[0] = 2;
        let newer = format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes));
        assert_eq!(newer.parse::<Code>(), Err(Unreadable::Version(2)));
        let mut long = bytes.clone();
        (long[0], long[1]) = (1, 255);
        let long = format!("{PREFIX}{}", BASE32_NOPAD.encode(&long));
        assert_eq!(long.parse::<Code>(), Err(Unreadable::Damaged));
    }

    proptest! {
        #[test]
        fn whatever_is_pasted_is_read_or_refused(text in ".{0,200}", tail in "[A-Za-z2-7]{0,180}") {
            let ours = Number { hash: [7; 64] };
            let (ada, ben) = (name("ada"), name("ben"));
            let _read = ours.compare(&ada, &ben, &text);
            let coded = format!("{PREFIX}{tail}");
            if let Ok(code) = coded.parse::<Code>() {
                prop_assert_eq!(code.to_string().parse::<Code>(), Ok(code));
            }
        }
    }
}
