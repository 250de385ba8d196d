//! What stands before a frame's symbols: `version (3 bits), keyframe, golden, layer, distance
//! (2 bits) ‖ number: u16 BE`, then for a keyframe `quantiser (6 bits), width (10 bits), height
//! (8 bits)`, and for one that refers to a frame more than three before it that distance, `u8`.

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
    /// The frame so many before it, at least one, and what stands beside that.
    From { distance: u8 },
}

impl Head {
    const KEYFRAME: u8 = 0x10;
    const GOLDEN: u8 = 0x08;
    const LAYER: u8 = 0x04;
    /// The bits of a distance; one that does not fit has a byte of its own.
    const NEAR: u8 = 3;

    pub fn write(&self, out: &mut Vec<u8>) {
        let golden = if self.golden { Self::GOLDEN } else { 0 };
        let layer = if self.layer > 0 { Self::LAYER } else { 0 };
        let (key, references) = match self.kind {
            Kind::Key { .. } => (Self::KEYFRAME, 0),
            Kind::From { distance } if distance > Self::NEAR => (0, 0),
            Kind::From { distance } => (0, distance),
        };
        out.push(VERSION << 5 | key | golden | layer | references);
        out.extend(self.number.to_be_bytes());
        match self.kind {
            Kind::Key { quantiser, width, height } => {
                let packed = u32::from(quantiser) << 18 | u32::from(width) << 8 | u32::from(height);
                out.extend(&packed.to_be_bytes()[1..]);
            }
            Kind::From { distance } if distance > Self::NEAR => out.push(distance),
            Kind::From { .. } => {}
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
        let distance = flags & Self::NEAR;
        let keyframe = flags & Self::KEYFRAME != 0;
        // A golden frame is never left out, and a keyframe is golden and refers to nothing.
        if frame.len() > FRAME_MAX || golden && layer > 0 || keyframe && (!golden || distance > 0) {
            return Err(Error::Malformed);
        }
        let number = u16::from_be_bytes([n0, n1]);
        if !keyframe {
            if distance > 0 {
                return Ok((Self { number, golden, layer, kind: Kind::From { distance } }, rest));
            }
            let far = rest.split_first().filter(|(distance, _)| **distance > Self::NEAR);
            let (&distance, rest) = far.ok_or(Error::Malformed)?;
            return Ok((Self { number, golden, layer, kind: Kind::From { distance } }, rest));
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
            (Head { number: 0x0102, golden: true, layer: 0, kind: key }, &[0x78, 1, 2, 0x85, 0x40, 200][..]),
            (Head { number: 3, golden: true, layer: 0, kind: Kind::From { distance: 9 } }, &[0x68, 0, 3, 9]),
            (Head { number: 4, golden: false, layer: 1, kind: Kind::From { distance: 2 } }, &[0x66, 0, 4]),
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
        assert_eq!(Head::read(&[0x40, 0, 0]), Err(Error::Version(2)));
        for flags in [0x60, 0x6c, 0x70, 0x7c, 0x7a] {
            assert_eq!(Head::read(&[flags, 0, 0, 3, 0, 0]), Err(Error::Malformed), "{flags:x}");
        }
    }
}
