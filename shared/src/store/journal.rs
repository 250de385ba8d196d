//! A journal of commits as bytes: numbered frames in files that are written from their beginning again and
//! again.
//!
//! A frame is the store's mark, its number, the length of what it holds, a checksum and then the writes of
//! one commit. The checksum is POLYVAL (RFC 8452) over all of it under the mark, in blocks filled up with zeros;
//! that of stores from before it was SHA-256, cut to the same length, and is read too. It begins at a multiple of [`ALIGN`] bytes, and what lies between two frames means nothing.
//! The numbers of a file's frames rise by one from its beginning; the first that does not, or does not
//! verify, is where the file ends: behind it lies what an earlier round left, or a frame whose write was cut
//! off. The mark is random and a secret of the store, so that nobody who has records stored can make
//! bytes inside them that would be read as a frame of their own.

use super::{Table, Write};
use polyval::Polyval;
use polyval::universal_hash::{KeyInit, UniversalHash};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// What all frames of one store begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub [u8; 16]);

/// What a file of the journal holds.
#[derive(Default)]
pub struct Run {
    /// Number and writes of each frame, from the file's beginning; the numbers rise by one.
    pub frames: Vec<(u64, Vec<Write>)>,
    /// Where the next frame goes.
    pub end: usize,
    /// A frame begins there and is not whole.
    pub cut_off: bool,
}

/// Why bytes are no journal: they verify, and still cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Frames begin at multiples of this: a write that is torn at a sector harms no frame before it.
pub const ALIGN: usize = 512;

/// The longest content of a frame, in bytes.
pub const LONGEST: usize = 512 << 20;

/// Mark, number, length, checksum.
const HEADER: usize = 16 + 8 + 8 + SUM;
const SUM: usize = 16;
const PUT: u8 = 1;
const DELETE: u8 = 2;

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

/// A frame; `None` when the writes are longer than [`LONGEST`].
pub fn encode(mark: Mark, number: u64, writes: &[Write]) -> Option<Vec<u8>> {
    let length = |write: &Write| match write {
        Write::Put(_, key, value) => 2 + 4 + key.len() + 4 + value.len(),
        Write::Delete(_, key) => 2 + 4 + key.len(),
    };
    let content: usize = writes.iter().map(length).sum();
    if content > LONGEST {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEADER + content);
    bytes.extend_from_slice(&mark.0);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&(content as u64).to_be_bytes());
    bytes.extend_from_slice(&[0; SUM]);
    for write in writes {
        match write {
            Write::Put(table, key, value) => {
                bytes.extend_from_slice(&[PUT, table.byte]);
                piece(&mut bytes, key);
                piece(&mut bytes, value);
            }
            Write::Delete(table, key) => {
                bytes.extend_from_slice(&[DELETE, table.byte]);
                piece(&mut bytes, key);
            }
        }
    }
    let sum = sum(mark, &bytes[..HEADER - SUM], &bytes[HEADER..]);
    bytes[HEADER - SUM..HEADER].copy_from_slice(&sum);
    Some(bytes)
}

/// Where the frame behind one that ends at `end` begins.
pub fn aligned(end: usize) -> usize {
    end.next_multiple_of(ALIGN)
}

/// The frames from a file's beginning on, each as long as `bytes` at most.
///
/// # Errors
/// [`Malformed`].
pub fn read(bytes: &[u8], mark: Mark) -> Result<Run, Malformed> {
    let mut run = Run::default();
    loop {
        let rest = bytes.get(run.end..).unwrap_or_default();
        let Some(frame) = Frame::of(rest, mark) else {
            return Ok(run);
        };
        let follows = run.frames.last().is_none_or(|(last, _)| last.checked_add(1) == Some(frame.number));
        if !follows {
            return Ok(run);
        }
        let Some(content) = frame.verified(mark) else {
            run.cut_off = true;
            return Ok(run);
        };
        run.frames.push((frame.number, writes(content)?));
        run.end = aligned(run.end + HEADER + content.len());
    }
}

/// Whether a frame with a number above `last` lies anywhere in a file, whole.
pub fn has_later(bytes: &[u8], mark: Mark, last: u64) -> bool {
    (0..bytes.len()).step_by(ALIGN).any(|at| {
        Frame::of(&bytes[at..], mark)
            .is_some_and(|frame| frame.number > last && frame.verified(mark).is_some())
    })
}

/// A header, and what is there of what it announces.
struct Frame<'a> {
    number: u64,
    length: u64,
    sum: &'a [u8],
    summed: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Frame<'a> {
    fn of(bytes: &'a [u8], mark: Mark) -> Option<Self> {
        let (header, behind) = bytes.split_at_checked(HEADER)?;
        let (summed, sum) = header.split_at(HEADER - SUM);
        let (begins, numbers) = summed.split_at(mark.0.len());
        let (number, length) = numbers.split_first_chunk::<8>()?;
        let length = length.first_chunk::<8>()?;
        let (number, length) = (u64::from_be_bytes(*number), u64::from_be_bytes(*length));
        (begins == mark.0).then_some(Self { number, length, sum, summed, behind })
    }

    fn verified(&self, mark: Mark) -> Option<&'a [u8]> {
        let content = self.behind.get(..usize::try_from(self.length).ok()?)?;
        let is = |sum: [u8; SUM]| sum == self.sum;
        (is(sum(mark, self.summed, content)) || is(before(self.summed, content))).then_some(content)
    }
}

fn writes(mut bytes: &[u8]) -> Result<Vec<Write>, Malformed> {
    let mut writes = Vec::new();
    while let Some(([what, table], rest)) = bytes.split_first_chunk() {
        let table = Table { byte: *table, name: "any" };
        let (key, rest) = cut(rest)?;
        bytes = match *what {
            PUT => {
                let (value, rest) = cut(rest)?;
                writes.push(Write::Put(table, key.to_vec(), Zeroizing::new(value.to_vec())));
                rest
            }
            DELETE => {
                writes.push(Write::Delete(table, key.to_vec()));
                rest
            }
            _ => return Err(Malformed),
        };
    }
    if bytes.is_empty() { Ok(writes) } else { Err(Malformed) }
}

fn piece(bytes: &mut Vec<u8>, piece: &[u8]) {
    // No longer than the whole, which was looked at.
    bytes.extend_from_slice(&(piece.len() as u32).to_be_bytes());
    bytes.extend_from_slice(piece);
}

fn cut(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (length, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(Malformed)
}

fn sum(mark: Mark, header: &[u8], content: &[u8]) -> [u8; SUM] {
    let mut hash = Polyval::new(&mark.0.into());
    // Two blocks, the length of what follows in them.
    hash.update_padded(header);
    hash.update_padded(content);
    hash.finalize().into()
}

/// As it was first.
fn before(header: &[u8], content: &[u8]) -> [u8; SUM] {
    let sum = Sha256::new().chain_update(header).chain_update(content).finalize();
    *sum.first_chunk().expect("32 bytes are more than 16")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark([7; 16]);
    const T: Table = Table { byte: 5, name: "any" };

    fn some(letter: u8) -> Vec<Write> {
        vec![
            Write::Put(T, vec![letter], Zeroizing::new(vec![letter; 700])),
            Write::Delete(T, vec![letter, letter]),
            Write::Put(T, Vec::new(), Zeroizing::new(Vec::new())),
        ]
    }

    fn file(first: u64, letters: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, letter) in (first..).zip(letters) {
            bytes.resize(aligned(bytes.len()), 0xee);
            bytes.extend(encode(MARK, number, &some(*letter)).expect("short"));
        }
        bytes
    }

    fn numbers(run: &Run) -> Vec<u64> {
        run.frames.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn the_bytes_of_a_frame() {
        let frame = encode(Mark(*b"0123456789abcdef"), 258, &[Write::Delete(T, b"key".to_vec())]);
        let expected = "3031323334353637383961626364656600000000000001020000000000000009\
                        aad50c924dacc2e5bbbdbf97092dd4c40205000000036b6579";
        assert_eq!(data_encoding::HEXLOWER.encode(&frame.expect("short")), expected);
    }

    #[test]
    fn a_frame_with_the_first_checksum_is_read() {
        let bytes = "3031323334353637383961626364656600000000000001020000000000000009\
                     1a6ac1b7f341a8483ee2c268c2f97f770205000000036b6579";
        let mut bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes()).expect("hex");
        let mark = Mark(*b"0123456789abcdef");
        let written = [Write::Delete(T, b"key".to_vec())];
        assert!(read(&bytes, mark).expect("reads").frames == [(258, written.to_vec())]);
        *bytes.last_mut().expect("some") ^= 1;
        assert!(read(&bytes, mark).expect("reads").cut_off);
    }

    #[test]
    fn the_checksum_is_polyval() {
        // RFC 8452, appendix A.
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).expect("hex");
        let key: [u8; 16] = hex("25629347589242761d31f826ba4b757b").try_into().expect("16 bytes");
        let data = hex("4f4f95668c83dfb6401762bb2d01a262d1a24ddd2721d006bbe45f20d3c9f362");
        let (first, second) = data.split_at(16);
        assert_eq!(sum(Mark(key), first, second).to_vec(), hex("f7a3b47b846119fae5b7866cf5e5b77e"));
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = file(9, b"abc");
        let run = read(&bytes, MARK).expect("reads");
        assert_eq!(numbers(&run), [9, 10, 11]);
        assert!(run.frames[1].1 == some(b'b') && !run.cut_off);
        assert_eq!(run.end, aligned(bytes.len()));
        assert!(read(&bytes, Mark([8; 16])).expect("reads").frames.is_empty(), "another store's");
    }

    #[test]
    fn what_an_earlier_round_left_is_not_read() {
        let mut bytes = file(1, b"abcdef");
        let newer = file(7, b"gh");
        bytes[..newer.len()].copy_from_slice(&newer);
        let run = read(&bytes, MARK).expect("reads");
        assert_eq!((numbers(&run), run.cut_off), (vec![7, 8], false));
        assert!(!has_later(&bytes, MARK, 8) && has_later(&bytes, MARK, 7));
    }

    #[test]
    fn a_frame_that_is_cut_or_changed_anywhere_ends_the_run() {
        let whole = file(1, b"ab");
        let second = aligned(whole.len() / 2);
        for at in second..whole.len() {
            let run = read(&whole[..at], MARK).expect("reads");
            assert_eq!((numbers(&run), run.end), (vec![1], second), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 4;
            let run = read(&changed, MARK).expect("reads");
            assert_eq!((numbers(&run), run.end), (vec![1], second), "changed at {at}");
        }
        let mut changed = whole.clone();
        changed[100] ^= 1;
        assert!(read(&changed, MARK).expect("reads").cut_off);
        assert!(has_later(&changed, MARK, 0), "what comes after a broken one is found");
    }
}
