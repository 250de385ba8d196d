//! A reel: encoded frames in a file, for `subrosa video`.
//!
//! `"subreel" ‖ version: u8 ‖ pictures a second: u8 ‖ width: u16 BE ‖ height: u16 BE`, then for each
//! frame its length (seven bits a byte, low ones first, the top bit says that more follow; at most
//! three bytes) and its bytes, which the codec describes. A frame of length 0 says that the picture
//! stays as it was. The end is the end of the file.

use std::io::{self, Read, Write};
use subrosa_shared::video::codec::FRAME_MAX;
use subrosa_shared::video::picture::Picture;

/// The version of the format; that of the codec stands in each frame.
pub const VERSION: u8 = 1;

/// Bytes before the first frame.
pub const HEADER: usize = MAGIC.len() + 6;

/// What a reel begins with, of any version.
pub const MAGIC: &[u8; 7] = b"subreel";

/// What stands before the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Pictures a second, 1 to 30.
    pub fps: u8,
    /// In luma samples, 16 to 320.
    pub width: u16,
    /// In luma samples, 16 to 200.
    pub height: u16,
}

/// Why a reel cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else, or damaged.
    #[error("not a reel ({0}); make one with: subrosa video encode INPUT OUTPUT")]
    Malformed(&'static str),
    /// Of another version.
    #[error("a reel of version {0}, which this program does not know; encode it again, or update subrosa")]
    Version(u8),
    /// The system's word.
    #[error("the reel could not be read: {0}")]
    Io(#[from] io::Error),
}

impl Header {
    /// The header's bytes, or `None` when a value is out of bounds.
    pub fn encode(&self) -> Option<[u8; HEADER]> {
        self.holds().then(|| {
            let mut bytes = [0; HEADER];
            bytes[..7].copy_from_slice(MAGIC);
            bytes[7] = VERSION;
            bytes[8] = self.fps;
            bytes[9..11].copy_from_slice(&self.width.to_be_bytes());
            bytes[11..13].copy_from_slice(&self.height.to_be_bytes());
            bytes
        })
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<Self, Error> {
        let [magic @ .., version, fps, w0, w1, h0, h1] = *bytes;
        if magic != *MAGIC {
            return Err(Error::Malformed("it does not begin like one"));
        }
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let header = Self { fps, width: u16::from_be_bytes([w0, w1]), height: u16::from_be_bytes([h0, h1]) };
        if header.holds() { Ok(header) } else { Err(Error::Malformed("its size or rate is out of bounds")) }
    }

    fn holds(&self) -> bool {
        (1..=30).contains(&self.fps) && Picture::grey(self.width, self.height).is_some()
    }
}

/// Writes frames one after another.
pub struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What the output says; a header out of bounds is invalid input.
    pub fn new(mut output: W, header: Header) -> io::Result<Self> {
        let bytes = header.encode().ok_or(io::ErrorKind::InvalidInput)?;
        output.write_all(&bytes)?;
        Ok(Self { output })
    }

    /// Appends a frame and flushes it out; an empty one repeats the picture before it.
    ///
    /// # Errors
    /// What the output says; a frame longer than [`FRAME_MAX`] is invalid input.
    pub fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        if frame.len() > FRAME_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut left = frame.len();
        loop {
            let low = (left & 0x7f) as u8;
            left >>= 7;
            self.output.write_all(&[if left > 0 { low | 0x80 } else { low }])?;
            if left == 0 {
                break;
            }
        }
        self.output.write_all(frame)?;
        self.output.flush()
    }

    /// The output, flushed.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }
}

/// Reads frames one after another. Memory is bounded by [`FRAME_MAX`], whatever the reel says.
pub struct Reader<R> {
    input: R,
    header: Header,
    cut: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error`] says what is wrong with it.
    pub fn open(mut input: R) -> Result<Self, Error> {
        let mut bytes = [0; HEADER];
        match input.read_exact(&mut bytes) {
            Ok(()) => Ok(Self { header: Header::decode(&bytes)?, input, cut: false }),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Error::Malformed("it is too short"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What stands before the frames.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The reel ended inside a frame.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The next frame, or `None` after the last whole one.
    ///
    /// # Errors
    /// [`Error::Malformed`] when what follows is no frame.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut length = 0;
        for shift in [0, 7, 14] {
            let mut byte = [0];
            if self.input.read(&mut byte)? == 0 {
                self.cut |= shift > 0;
                return Ok(None);
            }
            length |= usize::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                // One length has one spelling.
                let spelled = shift == 0 || byte[0] != 0;
                if length > FRAME_MAX || !spelled {
                    return Err(Error::Malformed("a frame is too long"));
                }
                let mut frame = vec![0; length];
                return match self.input.read_exact(&mut frame) {
                    Ok(()) => Ok(Some(frame)),
                    // A reel that was cut ends with its last whole frame.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        self.cut = true;
                        Ok(None)
                    }
                    Err(error) => Err(error.into()),
                };
            }
        }
        Err(Error::Malformed("a frame is too long"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Header = Header { fps: 10, width: 80, height: 48 };

    fn reel(frames: &[&[u8]]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), HEAD).expect("in bounds");
        for frame in frames {
            writer.write(frame).expect("memory");
        }
        writer.finish().expect("memory")
    }

    #[test]
    fn bytes_of_a_reel() {
        let long = vec![9; 300];
        let bytes = reel(&[b"ab", b"", &long]);
        assert_eq!(bytes[..HEADER], *b"subreel\x01\x0a\x00\x50\x00\x30");
        assert_eq!(bytes[HEADER..HEADER + 7], [2, b'a', b'b', 0, 0x80 | 44, 2, 9]);
        let mut reader = Reader::open(&bytes[..]).expect("ours");
        assert_eq!(reader.header(), HEAD);
        assert_eq!(reader.next_frame().expect("whole"), Some(b"ab".to_vec()));
        assert_eq!(reader.next_frame().expect("whole"), Some(Vec::new()));
        assert_eq!(reader.next_frame().expect("whole"), Some(long));
        assert_eq!(reader.next_frame().expect("the end"), None);
    }

    #[test]
    fn the_longest_frame_fits_and_a_longer_one_does_not() {
        let longest = vec![1; FRAME_MAX];
        let bytes = reel(&[&longest]);
        let read = Reader::open(&bytes[..]).expect("ours").next_frame().expect("whole");
        assert_eq!(read, Some(longest));
        let mut writer = Writer::new(Vec::new(), HEAD).expect("in bounds");
        assert!(writer.write(&vec![1; FRAME_MAX + 1]).is_err());
    }

    #[test]
    fn what_is_no_reel_is_refused_and_a_cut_one_ends() {
        let bytes = reel(&[b"abc", b"def"]);
        for cut in 0..HEADER {
            assert!(matches!(Reader::open(&bytes[..cut]), Err(Error::Malformed(_))), "{cut}");
        }
        for cut in HEADER..bytes.len() {
            let mut reader = Reader::open(&bytes[..cut]).expect("a header");
            let frames = std::iter::from_fn(|| reader.next_frame().expect("cut, not wrong")).count();
            assert_eq!(frames, usize::from(cut >= HEADER + 4), "{cut}");
            assert_eq!(reader.is_cut(), ![HEADER, HEADER + 4].contains(&cut), "{cut}");
        }
        let change = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            Reader::open(&bytes[..]).err()
        };
        assert!(matches!(change(0, b'S'), Some(Error::Malformed(_))));
        assert!(matches!(change(7, 2), Some(Error::Version(2))));
        for (at, byte) in [(8, 0), (8, 31), (9, 2), (10, 15), (12, 201)] {
            assert!(matches!(change(at, byte), Some(Error::Malformed(_))), "byte {at} = {byte}");
        }
        for length in [&[0xff, 0xff, 0x7f][..], &[0x80, 0x80, 0x80, 1], &[0x80, 0]] {
            let bytes = [&bytes[..HEADER], length].concat();
            assert!(Reader::open(&bytes[..]).expect("a header").next_frame().is_err(), "{length:?}");
        }
        assert!(Writer::new(Vec::new(), Header { fps: 0, ..HEAD }).is_err());
    }
}
