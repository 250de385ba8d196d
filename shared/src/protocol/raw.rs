//! Bytes written and read in one piece, where serde would go through them one by one. What is on the wire is
//! the same: postcard writes both as a length and the bytes.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};
use std::fmt;

/// For `#[serde(with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// For `#[serde(with)]`.
///
/// # Errors
/// Those of the deserializer.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_byte_buf(Bytes)
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Vec<u8>, A::Error> {
        // A length that is announced is not to be believed.
        let mut all = Vec::new();
        while let Some(byte) = bytes.next_element()? {
            all.push(byte);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Whole(#[serde(with = "super")] Vec<u8>, u8);

    #[derive(Serialize, Deserialize)]
    struct OneByOne(Vec<u8>, u8);

    #[test]
    fn both_ways_are_the_same_on_the_wire() {
        for length in [0, 1, 127, 128, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|at: u32| at as u8).collect();
            let whole = postcard::to_stdvec(&Whole(bytes.clone(), 7)).expect("memory");
            let one_by_one = postcard::to_stdvec(&OneByOne(bytes.clone(), 7)).expect("memory");
            assert!(whole == one_by_one, "{length}");
            let read: Whole = postcard::from_bytes(&whole).expect("reads");
            assert!(read.0 == bytes && read.1 == 7);
            assert!(postcard::from_bytes::<Whole>(&whole[..whole.len() - 1]).is_err());
        }
        // A length that is longer than what is there.
        assert!(postcard::from_bytes::<Whole>(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).is_err());
    }
}
