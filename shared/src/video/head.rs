//! What stands before a frame's symbols: `version (3 bits), keyframe, golden, layer, references
//! (2 bits) ‖ number: u16 BE`, then for a keyframe `quantiser (6 bits), width (10 bits), height
//! (8 bits)`, and for one that refers to a golden frame alone its distance in frames, `u8`.

use super::codec::{Error, FRAME_MAX, VERSION};

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub number: u16,
    pub golden: bool,
    pub layer: u8,
    pub kind: Kind,
}

/// What a frame needs of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing; so its size stands here.
    Key { quantiser: u8, width: u16, height: u16 },
    /// The golden frame so many before it, 1 to 255, alone.
    Golden { distance: u8 },
    /// The frame so many before it, 1 to [`Head::DISTANCE_MAX`], and a golden one.
    Last { distance: u8 },
}

impl Head {
    /// The farthest that a last frame may be away: with two layers every second one is referred to.
    pub const DISTANCE_MAX: u8 = 3;
    const KEYFRAME: u8 = 0x10;
    const GOLDEN: u8 = 0x08;
    const LAYER: u8 = 0x04;

    pub fn write(&self, out: &mut Vec<u8>) {
        let golden = if self.golden { Self::GOLDEN } else { 0 };
        let layer = if self.layer > 0 { Self::LAYER } else { 0 };
        let (key, references) = match self.kind {
            Kind::Key { .. } => (Self::KEYFRAME, 0),
            Kind::Golden { .. } => (0, 0),
            Kind::Last { distance } => (0, distance),
        };
        out.push(VERSION << 5 | key | golden | layer | references);
        out.extend(self.number.to_be_bytes());
        match self.kind {
            Kind::Key { quantiser, width, height } => {
                let packed = u32::from(quantiser) << 18 | u32::from(width) << 8 | u32::from(height);
                out.extend(&packed.to_be_bytes()[1..]);
            }
            Kind::Golden { distance } => out.push(distance),
            Kind::Last { .. } => {}
        }
    }

    /// Splits a frame into its head and its symbols.
    pub fn read(frame: &[u8]) -> Result<(Self, &[u8]), Error> {
        let first = *frame.first().ok_or(Error::Malformed)?;
        match first >> 5 {
            VERSION => {}
            // Version 1 had a byte of its own for it.
            0 => return Err(Error::Version(first)),
            other => return Err(Error::Version(other)),
        }
        let (head, rest) = frame.split_first_chunk::<3>().ok_or(Error::Malformed)?;
        let [flags, n0, n1] = *head;
        let (golden, layer) = (flags & Self::GOLDEN != 0, u8::from(flags & Self::LAYER != 0));
        let distance = flags & Self::DISTANCE_MAX;
        let keyframe = flags & Self::KEYFRAME != 0;
        // A golden frame is never left out, and a keyframe is golden and refers to nothing.
        if frame.len() > FRAME_MAX || golden && layer > 0 || keyframe && (!golden || distance > 0) {
            return Err(Error::Malformed);
        }
        let number = u16::from_be_bytes([n0, n1]);
        if !keyframe {
            if distance > 0 {
                return Ok((Self { number, golden, layer, kind: Kind::Last { distance } }, rest));
            }
            let (&distance, rest) = rest.split_first().filter(|(d, _)| **d > 0).ok_or(Error::Malformed)?;
            return Ok((Self { number, golden, layer, kind: Kind::Golden { distance } }, rest));
        }
        let (&[a, b, c], rest) = rest.split_first_chunk::<3>().ok_or(Error::Malformed)?;
        let kind =
            Kind::Key { quantiser: a >> 2, width: u16::from(a & 3) << 8 | u16::from(b), height: c.into() };
        Ok((Self { number, golden, layer, kind }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_three_bytes_and_come_back() {
        let key = Kind::Key { quantiser: 33, width: 320, height: 200 };
        let cases = [
            (Head { number: 0x0102, golden: true, layer: 0, kind: key }, &[0x58, 1, 2, 0x85, 0x40, 200][..]),
            (
                Head { number: 3, golden: true, layer: 0, kind: Kind::Golden { distance: 9 } },
                &[0x48, 0, 3, 9],
            ),
            (Head { number: 4, golden: false, layer: 1, kind: Kind::Last { distance: 2 } }, &[0x46, 0, 4]),
        ];
        for (head, bytes) in cases {
            let mut out = Vec::new();
            head.write(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(Head::read(bytes), Ok((head, &[][..])));
            for cut in 0..bytes.len() {
                assert_eq!(Head::read(&bytes[..cut]), Err(Error::Malformed));
            }
        }
    }

    #[test]
    fn other_versions_and_contradictions_are_refused() {
        assert_eq!(Head::read(&[1, 0x80, 0, 0, 0, 48, 0, 32]), Err(Error::Version(1)));
        assert_eq!(Head::read(&[0x60, 0, 0]), Err(Error::Version(3)));
        for flags in [0x4c, 0x50, 0x5c, 0x5a] {
            assert_eq!(Head::read(&[flags, 0, 0, 0, 0, 0]), Err(Error::Malformed), "{flags:x}");
        }
    }
}
