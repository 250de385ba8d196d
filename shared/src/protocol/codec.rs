//! Frames as bytes: `length: u32 BE ‖ version: u8 ‖ postcard`; the length counts version and body.

use serde::{Serialize, de::DeserializeOwned};

/// The version written and the only one read.
pub const VERSION: u8 = 1;

/// The longest frame after its length: the largest `Send` has a session start of 2.7 KB for each of a
/// room of 100 people; see [`super::envelope::RECIPIENTS_MAX`]. Checked before anything is read or parsed.
pub const FRAME_MAX: usize = 512 * 1024;

/// Bytes of the length prefix.
pub const PREFIX: usize = 4;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The announced length is past [`FRAME_MAX`] or zero.
    #[error("a frame of {0} bytes is out of bounds")]
    Length(usize),
    /// Another version.
    #[error("frame version {0} is not spoken here")]
    Version(u8),
    /// No such frame, cut off, or bytes left over.
    #[error("malformed frame")]
    Malformed,
}

/// The whole frame, prefix and all.
///
/// # Errors
/// [`Error::Length`] when it would pass [`FRAME_MAX`].
pub fn encode<T: Serialize>(frame: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(256);
    append(frame, &mut bytes)?;
    Ok(bytes)
}

/// Puts the whole frame behind others.
///
/// # Errors
/// Those of [`encode`]; then `bytes` is as it was.
pub fn append<T: Serialize>(frame: &T, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let begin = bytes.len();
    bytes.extend_from_slice(&[0, 0, 0, 0, VERSION]);
    let written = postcard::to_io(frame, &mut *bytes).map(|_| ());
    let length = bytes.len() - begin - PREFIX;
    let written = match written {
        Err(_) => Err(Error::Malformed),
        Ok(()) if length > FRAME_MAX => Err(Error::Length(length)),
        Ok(()) => Ok(()),
    };
    match written {
        Ok(()) => bytes[begin..begin + PREFIX].copy_from_slice(&(length as u32).to_be_bytes()),
        Err(_) => bytes.truncate(begin),
    }
    written
}

/// The length that a prefix announces, checked.
///
/// # Errors
/// [`Error::Length`].
pub fn length(prefix: [u8; PREFIX]) -> Result<usize, Error> {
    let length = u32::from_be_bytes(prefix) as usize;
    if (1..=FRAME_MAX).contains(&length) { Ok(length) } else { Err(Error::Length(length)) }
}

/// A frame from the bytes after the prefix.
///
/// # Errors
/// [`Error::Version`] and [`Error::Malformed`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    if bytes.len() > FRAME_MAX {
        return Err(Error::Length(bytes.len()));
    }
    let (&version, rest) = bytes.split_first().ok_or(Error::Malformed)?;
    if version != VERSION {
        return Err(Error::Version(version));
    }
    match postcard::take_from_bytes(rest) {
        Ok((frame, [])) => Ok(frame),
        _ => Err(Error::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Seq;
    use crate::protocol::frame::{Ask, Refusal, Slot, ToDevice, ToRelay};

    #[test]
    fn bytes_of_an_ack_and_a_refusal() {
        assert_eq!(encode(&ToRelay::Ack(Seq(300))).expect("fits"), [0, 0, 0, 4, 1, 5, 0xac, 0x02]);
        let refused = ToDevice::Refused { ask: Some(Ask(2)), why: Refusal::NameTaken };
        assert_eq!(encode(&refused).expect("fits"), [0, 0, 0, 5, 1, 1, 1, 2, 0]);
    }

    #[test]
    fn frames_lie_one_behind_the_other_and_one_that_is_too_long_leaves_no_trace() {
        let [first, second] = [ToRelay::Ack(Seq(300)), ToRelay::Ack(Seq(1))];
        let mut bytes = encode(&first).expect("fits");
        let long = ToRelay::Pass { slot: Slot(1), bytes: vec![0; FRAME_MAX] };
        assert!(matches!(append(&long, &mut bytes), Err(Error::Length(length)) if length > FRAME_MAX));
        append(&second, &mut bytes).expect("fits");
        assert_eq!(bytes, [encode(&first).expect("fits"), encode(&second).expect("fits")].concat());
    }

    #[test]
    fn length_and_version_are_checked_before_parsing() {
        assert_eq!(length([0, 0, 0, 0]), Err(Error::Length(0)));
        assert_eq!(length([0xff; 4]), Err(Error::Length(0xffff_ffff)));
        assert_eq!(decode::<ToRelay>(&[2, 5, 1]), Err(Error::Version(2)));
        assert_eq!(decode::<ToRelay>(&[1, 5, 1, 0]), Err(Error::Malformed), "left over");
        assert_eq!(decode::<ToRelay>(&[1, 5]), Err(Error::Malformed), "cut off");
        assert_eq!(decode::<ToRelay>(&[]), Err(Error::Malformed));
    }
}
