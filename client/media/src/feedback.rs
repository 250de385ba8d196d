//! What a watcher tells the sender of a picture, sealed into the frames of its own track.
//!
//! The payload of a sealed frame is `head: u8 ‖ feedback ‖ codec frame`. The feedback is there when
//! bit 0 of the head is set: `newest: u16 BE ‖ received: u16 BE ‖ held: u8`, and `reference: u16 BE`
//! when bit 1 is set too; bit 2 says that a frame is needed, bit 3 that one is overdue. The other bits
//! are 0. A codec frame of length 0 is none: the camera is off, or the feedback could not wait. A relay
//! sees none of this, only that a frame went by.

/// What a watcher has, and what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Low bits of the number of the newest frame with a picture that was opened.
    pub newest: u16,
    /// Datagrams of the track that came so far, repeats included; wraps.
    pub received: u16,
    /// How long ago the newest frame came, in units of 4 ms.
    pub held: u8,
    /// The codec's number of the newest frame that is held, for later ones to refer to.
    pub reference: Option<u16>,
    /// Nothing can be shown before a frame that refers to that one, or to none.
    pub needs: bool,
    /// No picture has come for longer than pictures are apart. It may only be late; the sender knows.
    pub late: bool,
}

impl Feedback {
    /// The watcher waits for something.
    pub fn presses(&self) -> bool {
        self.needs || self.late
    }
}

/// Not the payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed payload")]
pub struct Malformed;

/// The most bytes before a codec frame.
pub const HEAD_MAX: usize = 8;

/// Milliseconds in a unit of [`Feedback::held`].
pub const HELD_UNIT: u64 = 4;

const HAS_FEEDBACK: u8 = 1;
const HAS_REFERENCE: u8 = 2;
const NEEDS: u8 = 4;
const LATE: u8 = 8;

/// A payload's bytes.
pub fn encode(feedback: Option<&Feedback>, frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_MAX + frame.len());
    match feedback {
        None => bytes.push(0),
        Some(feedback) => {
            let reference = if feedback.reference.is_some() { HAS_REFERENCE } else { 0 };
            let needs = if feedback.needs { NEEDS } else { 0 };
            let late = if feedback.late { LATE } else { 0 };
            bytes.push(HAS_FEEDBACK | reference | needs | late);
            bytes.extend(feedback.newest.to_be_bytes());
            bytes.extend(feedback.received.to_be_bytes());
            bytes.push(feedback.held);
            bytes.extend(feedback.reference.into_iter().flat_map(u16::to_be_bytes));
        }
    }
    bytes.extend_from_slice(frame);
    bytes
}

/// Splits a payload into feedback and codec frame.
///
/// # Errors
/// [`Malformed`] for unknown bits, or when it is too short for what its head says.
pub fn decode(payload: &[u8]) -> Result<(Option<Feedback>, &[u8]), Malformed> {
    let (&head, rest) = payload.split_first().ok_or(Malformed)?;
    if head == 0 {
        return Ok((None, rest));
    }
    if head & HAS_FEEDBACK == 0 || head & !(HAS_FEEDBACK | HAS_REFERENCE | NEEDS | LATE) != 0 {
        return Err(Malformed);
    }
    let (&[n0, n1, r0, r1, held], mut rest) = rest.split_first_chunk::<5>().ok_or(Malformed)?;
    let mut reference = None;
    if head & HAS_REFERENCE != 0 {
        let (number, behind) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
        (reference, rest) = (Some(u16::from_be_bytes(*number)), behind);
    }
    let feedback = Feedback {
        newest: u16::from_be_bytes([n0, n1]),
        received: u16::from_be_bytes([r0, r1]),
        held,
        reference,
        needs: head & NEEDS != 0,
        late: head & LATE != 0,
    };
    Ok((Some(feedback), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_payload() {
        let mut feedback = Feedback {
            newest: 0x0102,
            received: 0x0304,
            held: 5,
            reference: None,
            needs: false,
            late: false,
        };
        assert_eq!(encode(None, b"frame"), b"\0frame");
        assert_eq!(encode(Some(&feedback), b"frame"), b"\x01\x01\x02\x03\x04\x05frame");
        assert_eq!(decode(b"\0"), Ok((None, [].as_slice())), "a frame of nothing");
        feedback = Feedback { reference: Some(0x0607), needs: true, ..feedback };
        let bytes = encode(Some(&feedback), b"");
        assert_eq!(bytes, b"\x07\x01\x02\x03\x04\x05\x06\x07");
        assert_eq!(bytes.len(), HEAD_MAX);
        assert_eq!(decode(&bytes), Ok((Some(feedback), [].as_slice())));
        let late = Feedback { reference: None, needs: false, late: true, ..feedback };
        assert_eq!(encode(Some(&late), b""), b"\x09\x01\x02\x03\x04\x05");
        assert_eq!(decode(b"\x09\x01\x02\x03\x04\x05"), Ok((Some(late), [].as_slice())));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Err(Malformed), "{cut} bytes");
        }
        for head in [2, 4, 6, 8, 0x10, 0x11, 0x80, 0xff] {
            assert_eq!(decode(&[head, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Malformed), "head {head}");
        }
    }
}
