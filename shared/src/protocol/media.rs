//! A fragment of a live frame in a QUIC datagram: all that the relay sees of a picture.

use crate::id::TrackId;

/// Bytes before the payload: version, flags, track, frame number, fragment i, of n.
pub const HEADER: usize = 12;

/// The longest datagram we send: within the smallest QUIC packet that any path must carry (1,200
/// bytes, RFC 9000 section 14.1), less QUIC's own header and tag.
pub const DATAGRAM_MAX: usize = 1120;

/// The most fragments of one frame.
pub const FRAGMENTS_MAX: u8 = 64;

/// In clear on each fragment, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which track.
    pub track: TrackId,
    /// Counted up by the publisher, one a frame.
    pub frame: u32,
    /// This fragment, from 0.
    pub index: u8,
    /// Fragments of the frame, 1 to [`FRAGMENTS_MAX`].
    pub count: u8,
    /// Temporal layer, 0 to 3; nothing refers to a layer above 0.
    pub layer: u8,
    /// Decodes without any frame before it.
    pub keyframe: bool,
}

/// Not a media datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed media datagram")]
pub struct Malformed;

/// Of the header and of what is sealed behind it: since 2 that begins with the watcher's feedback.
const VERSION: u8 = 2;
const KEYFRAME: u8 = 0b100;
const LAYER: u8 = 0b011;

impl Header {
    /// The header's bytes; the payload follows them.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = VERSION;
        bytes[1] = self.layer & LAYER | if self.keyframe { KEYFRAME } else { 0 };
        bytes[2..6].copy_from_slice(&self.track.0.to_be_bytes());
        bytes[6..10].copy_from_slice(&self.frame.to_be_bytes());
        bytes[10] = self.index;
        bytes[11] = self.count;
        bytes
    }

    /// Splits a datagram.
    ///
    /// # Errors
    /// [`Malformed`] for another version, unknown flags, or a fragment outside its frame.
    pub fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (head, payload) = datagram.split_first_chunk::<HEADER>().ok_or(Malformed)?;
        let [version, flags, t0, t1, t2, t3, f0, f1, f2, f3, index, count] = *head;
        let known = version == VERSION && flags & !(KEYFRAME | LAYER) == 0;
        if !known || index >= count || count > FRAGMENTS_MAX || datagram.len() > DATAGRAM_MAX {
            return Err(Malformed);
        }
        let header = Self {
            track: TrackId(u32::from_be_bytes([t0, t1, t2, t3])),
            frame: u32::from_be_bytes([f0, f1, f2, f3]),
            index,
            count,
            layer: flags & LAYER,
            keyframe: flags & KEYFRAME != 0,
        };
        Ok((header, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_header() {
        let header =
            Header { track: TrackId(0x0102_0304), frame: 5, index: 1, count: 3, layer: 1, keyframe: true };
        let bytes = header.encode();
        assert_eq!(bytes, [2, 0b101, 1, 2, 3, 4, 0, 0, 0, 5, 1, 3]);
        assert_eq!(Header::decode(&bytes), Ok((header, [].as_slice())));
        for (at, bad) in [(0, 1), (1, 0x80), (10, 3), (11, 0), (11, 65)] {
            let mut bytes = bytes;
            bytes[at] = bad;
            assert_eq!(Header::decode(&bytes), Err(Malformed), "byte {at} = {bad}");
        }
        assert_eq!(Header::decode(&bytes[..11]), Err(Malformed));
    }
}
