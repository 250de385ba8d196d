//! A backup as a file: what a relay has on its disk at one moment, in one stream.
//!
//! ```text
//! "subrosa relay backup/1\n", then records: kind (1) ‖ length: u32 BE (4) ‖ that many bytes
//!   1 made     wall clock: u64 BE
//!   2 file     length of the name (1) ‖ name ‖ content: the relay's key and the secret behind passwords
//!   3 put      table (1) ‖ length of the key: u16 BE ‖ key ‖ value
//!   4 delete   table (1) ‖ key
//!   5 blob     id (16) ‖ length: u64 BE; its bytes follow
//!   6 bytes    the next of the blob
//!   8 failed   why there is no more, as a sentence
//!   9 end      SHA-256 of everything before this record
//! ```
//!
//! A record that is put or deleted twice is as it was last.

use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::time::Millis;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// When the backup was begun.
    Made(Millis),
    /// A file of the data folder.
    File {
        /// Its name, one of [`FILES`].
        name: &'static str,
        /// What it holds.
        content: Vec<u8>,
    },
    /// A record of the store.
    Put {
        /// Prefix of its table.
        table: u8,
        /// Key within the table.
        key: Vec<u8>,
        /// What it holds.
        value: Vec<u8>,
    },
    /// One that is not there after all.
    Delete {
        /// Prefix of its table.
        table: u8,
        /// Key within the table.
        key: Vec<u8>,
    },
    /// A sealed file; its bytes follow.
    Blob {
        /// Which one.
        id: BlobId,
        /// How many bytes follow.
        length: u64,
    },
    /// The next bytes of the sealed file.
    Bytes(Vec<u8>),
}

/// Files that a backup may hold, besides records and sealed files.
pub const FILES: [&str; 2] = ["relay.key", "relay.opaque"];

/// The longest record: far above an envelope's body.
const LENGTH_MAX: usize = 16 << 20;

/// Bytes of a sealed file in one record.
pub(crate) const PIECE: usize = 256 << 10;

const MAGIC: &[u8] = b"subrosa relay backup/1\n";

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else.
    #[error("this is not a backup of a relay")]
    Foreign,
    /// Its bytes do not hold together.
    #[error("the backup is damaged or cut off; use another")]
    Damaged,
    /// Whoever made it could not go on.
    #[error("the backup was not finished: {0}")]
    Failed(String),
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a backup.
pub struct Writer<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// Those of what it is written to.
    pub fn new(to: W) -> io::Result<Self> {
        let mut writer = Self { to, hash: Sha256::new() };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// The next record.
    ///
    /// # Errors
    /// Those of what it is written to.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Made(at) => self.put(1, &[&at.0.to_be_bytes()]),
            Record::File { name, content } => self.put(2, &[&[name.len() as u8], name.as_bytes(), content]),
            Record::Put { table, key, value } => {
                self.put(3, &[&[*table], &(key.len() as u16).to_be_bytes(), key, value])
            }
            Record::Delete { table, key } => self.put(4, &[&[*table], key]),
            Record::Blob { id, length } => self.put(5, &[&id.0, &length.to_be_bytes()]),
            Record::Bytes(bytes) => self.put(6, &[bytes]),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// Those of what it is written to.
    pub fn end(mut self) -> io::Result<W> {
        let hash = self.hash.clone().finalize();
        self.put(9, &[&hash])?;
        self.to.flush()?;
        Ok(self.to)
    }

    /// Ends it where it cannot go on.
    ///
    /// # Errors
    /// Those of what it is written to.
    pub fn fail(mut self, why: &str) -> io::Result<()> {
        self.put(8, &[why.as_bytes()])?;
        self.to.flush()
    }

    fn put(&mut self, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > LENGTH_MAX {
            return Err(io::Error::other("a record is longer than a backup can hold"));
        }
        self.write(&[kind])?;
        self.write(&(length as u32).to_be_bytes())?;
        parts.iter().try_for_each(|part| self.write(part))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes)
    }
}

/// Reads a backup.
pub struct Reader<R> {
    from: R,
    hash: Sha256,
    /// Bytes of the sealed file that must still come.
    owed: u64,
}

impl<R: Read> Reader<R> {
    /// Begins to.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Io`].
    pub fn new(mut from: R) -> Result<Self, Error> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic).map_err(cut_off)?;
        if magic != MAGIC {
            return Err(Error::Foreign);
        }
        Ok(Self { from, hash: Sha256::new_with_prefix(MAGIC), owed: 0 })
    }

    /// The next record; `None` at the end, when every byte before was as it was written.
    ///
    /// # Errors
    /// [`Error`].
    pub fn record(&mut self) -> Result<Option<Record>, Error> {
        let before = self.hash.clone();
        let mut head = [0; 5];
        self.from.read_exact(&mut head).map_err(cut_off)?;
        let [kind, a, b, c, d] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > LENGTH_MAX {
            return Err(Error::Damaged);
        }
        // Grows with what comes, not with what is promised.
        let mut bytes = Vec::new();
        (&mut self.from).take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(Error::Damaged);
        }
        self.hash.update(head);
        self.hash.update(&bytes);
        if (kind == 6) != (self.owed > 0) && kind != 8 {
            return Err(Error::Damaged);
        }
        let record = match kind {
            1 => Record::Made(Millis(number(&bytes).ok_or(Error::Damaged)?)),
            2 => file(&bytes).ok_or(Error::Damaged)?,
            3 => put(&bytes).ok_or(Error::Damaged)?,
            4 => {
                let (table, key) = bytes.split_first().ok_or(Error::Damaged)?;
                Record::Delete { table: *table, key: key.to_vec() }
            }
            5 => {
                let (id, rest) = bytes.split_first_chunk().ok_or(Error::Damaged)?;
                let length = number(rest).ok_or(Error::Damaged)?;
                self.owed = length;
                Record::Blob { id: BlobId(*id), length }
            }
            6 if bytes.is_empty() => return Err(Error::Damaged),
            6 => {
                self.owed = self.owed.checked_sub(bytes.len() as u64).ok_or(Error::Damaged)?;
                Record::Bytes(bytes)
            }
            8 => return Err(Error::Failed(String::from_utf8_lossy(&bytes).chars().take(500).collect())),
            9 if before.finalize()[..] == bytes[..] && self.is_over()? => return Ok(None),
            _ => return Err(Error::Damaged),
        };
        Ok(Some(record))
    }

    /// Nothing stands behind the end.
    fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.from.read(&mut [0])? == 0)
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn file(bytes: &[u8]) -> Option<Record> {
    let (length, rest) = bytes.split_first()?;
    let (name, content) = rest.split_at_checked(usize::from(*length))?;
    let name = FILES.into_iter().find(|known| known.as_bytes() == name)?;
    Some(Record::File { name, content: content.to_vec() })
}

fn put(bytes: &[u8]) -> Option<Record> {
    let (table, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (key, value) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some(Record::Put { table: *table, key: key.to_vec(), value: value.to_vec() })
}

fn cut_off(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Damaged,
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        vec![
            Record::Made(Millis(7)),
            Record::File { name: "relay.key", content: vec![1, 2] },
            Record::Put { table: b'a', key: b"ada".to_vec(), value: vec![3; 300] },
            Record::Delete { table: b'a', key: b"ben".to_vec() },
            Record::Blob { id: BlobId([4; 16]), length: 5 },
            Record::Bytes(vec![5, 6]),
            Record::Bytes(vec![7, 8, 9]),
            Record::Blob { id: BlobId([5; 16]), length: 0 },
        ]
    }

    fn written() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).expect("memory");
        records().iter().for_each(|record| writer.record(record).expect("memory"));
        writer.end().expect("memory")
    }

    fn read(bytes: &[u8]) -> Result<Vec<Record>, Error> {
        let mut reader = Reader::new(bytes)?;
        let mut records = Vec::new();
        while let Some(record) = reader.record()? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn a_backup_there_and_back() {
        let bytes = written();
        assert_eq!(read(&bytes).expect("whole"), records());
        assert_eq!(&bytes[..36], b"subrosa relay backup/1\n\x01\0\0\0\x08\0\0\0\0\0\0\0\x07");
    }

    #[test]
    fn one_that_is_cut_off_or_changed_anywhere_is_refused() {
        let bytes = written();
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            assert!(read(&bad).is_err(), "{at}");
        }
        assert!(
            matches!(read(&[bytes.as_slice(), &[0]].concat()), Err(Error::Damaged)),
            "something behind it"
        );
        assert!(matches!(read(b"a letter, long enough to be one"), Err(Error::Foreign)));
    }

    #[test]
    fn who_could_not_finish_says_why() {
        let mut writer = Writer::new(Vec::new()).expect("memory");
        writer.record(&Record::Made(Millis(1))).expect("memory");
        let mut all = Vec::new();
        Writer { to: &mut all, hash: writer.hash.clone() }.fail("the disk broke").expect("memory");
        let all = [writer.to, all].concat();
        assert!(matches!(read(&all), Err(Error::Failed(why)) if why == "the disk broke"));
    }
}
