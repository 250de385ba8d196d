//! The ratchet file: secrets on disk that are really overwritten.
//!
//! ```text
//! 0       header, first copy                 4096    header, second copy
//! 8192    chunks of 64 slots: 64 first copies, then 64 second copies, 512 bytes each
//! ```
//! A copy is a nonce and a sealed, padded record of one size: its generation, how many slots that
//! generation changed, key and secret. At rest both copies of a slot say the same. `apply` gives
//! the next generation to all slots that it changes: it writes their first copies, fsyncs, writes
//! their second copies over what they held, fsyncs. Neither lies in a disk page with the other.
//!
//! What a crash leaves is read like this. The newest generation is complete when as many slots as
//! it says carry it, or when any second copy does; if not, all its slots go back to the generation
//! before, which their second copies still hold. So a batch is done as a whole or not at all, and
//! opening finishes the overwriting that the crash cut off. A slot of which neither copy opens is
//! counted and left alone: no crash can do that, only a disk.
//!
//! On a file system or a disk that copies on write, old bytes can outlive all this.

use super::{Error, SLOT_MAX, Secrets, SlotKey, SlotWrite, Slots, files};
use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use hkdf::Hkdf;
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// Secrets in one file. They are also held in memory, wiped when they go.
pub struct File {
    inner: Mutex<Inner>,
    origin: Option<[u8; 16]>,
}

impl File {
    /// Makes a new file, sealed under a key; `rng` draws nonces.
    ///
    /// # Errors
    /// [`Error::Io`], also when the file is there already; [`Error::Full`].
    pub fn create(path: &Path, key: &[u8; 32], rng: Box<dyn CryptoRngCore + Send>) -> Result<Self, Error> {
        let disk = files::create_file(path)?;
        let origin = origin(&disk);
        let inner = Inner::create(Box::new(disk), key, rng)?;
        path.parent().map_or(Ok(()), files::sync_folder)?;
        Ok(Self { inner: Mutex::new(inner), origin })
    }

    /// Opens a file, and finishes what a crash cut off.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Damaged`], [`Error::Newer`], [`Error::WrongKey`]; then nothing
    /// was touched. [`Error::Io`], also when there is no file.
    pub fn open(path: &Path, key: &[u8; 32], rng: Box<dyn CryptoRngCore + Send>) -> Result<Self, Error> {
        let disk = std::fs::File::options().read(true).write(true).open(path)?;
        let origin = origin(&disk);
        Ok(Self { inner: Mutex::new(Inner::open(Box::new(disk), key, rng)?), origin })
    }

    /// How many secrets the disk has lost, as opening found. Which ones is not known.
    pub fn unreadable(&self) -> usize {
        self.held().unreadable
    }

    fn held(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots for File {
    fn get(&self, key: &SlotKey) -> Option<Zeroizing<Vec<u8>>> {
        self.held().secrets.get(key).map(|(_, secret)| secret.clone())
    }

    fn list(&self, kind: u8) -> Secrets {
        let first = SlotKey { kind, id: [0; 16], part: 0 };
        let last = SlotKey { kind, id: [u8::MAX; 16], part: u16::MAX };
        let inner = self.held();
        inner.secrets.range(first..=last).map(|(key, (_, secret))| (*key, secret.clone())).collect()
    }

    fn apply(&self, writes: &[SlotWrite]) -> Result<(), Error> {
        super::refuse_too_long(writes)?;
        self.held().apply(writes)
    }

    fn origin(&self) -> Option<[u8; 16]> {
        self.origin
    }
}

fn origin(file: &std::fs::File) -> Option<[u8; 16]> {
    let about = file.metadata().ok()?;
    made(&about).or_else(|| inode(&about))
}

/// When the file was made, in nanoseconds: no copy keeps that. Its number would tell nothing more.
fn made(about: &Metadata) -> Option<[u8; 16]> {
    let made = about.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    (!made.is_zero()).then(|| made.as_nanos().to_be_bytes())
}

/// Its number, where nothing says when it was made. Some file systems make one up at each mount, which costs new
/// sessions; and what was removed may leave its number to a copy.
#[cfg(unix)]
fn inode(about: &Metadata) -> Option<[u8; 16]> {
    use std::os::unix::fs::MetadataExt;
    let mut number = [0; 16];
    number[..8].copy_from_slice(&about.dev().to_be_bytes());
    number[8..].copy_from_slice(&about.ino().to_be_bytes());
    Some(number)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> Option<[u8; 16]> {
    None
}

/// Where the bytes go; a trait so that tests can cut the power.
trait Disk: Send {
    fn length(&mut self) -> io::Result<u64>;
    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()>;
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for std::fs::File {
    fn length(&mut self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(at))?;
        self.read_exact(into)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(SeekFrom::Start(at))?;
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

struct Inner {
    disk: Box<dyn Disk>,
    seal: Seal,
    chunks: u32,
    max_chunks: u32,
    /// The newest that was ever on disk.
    generation: u64,
    secrets: BTreeMap<SlotKey, (u32, Zeroizing<Vec<u8>>)>,
    free: BTreeSet<u32>,
    unreadable: usize,
    /// A write failed half-way: only opening again tells what is on disk.
    broken: bool,
}

impl Inner {
    fn create(
        mut disk: Box<dyn Disk>,
        key: &[u8; 32],
        mut rng: Box<dyn CryptoRngCore + Send>,
    ) -> Result<Self, Error> {
        let mut file_id = [0; 16];
        rng.fill_bytes(&mut file_id);
        let mut seal = Seal::new(key, file_id, rng);
        write_chunk(&mut *disk, &mut seal, 0)?;
        for copy in COPIES {
            disk.write(header_at(copy), &seal.header(1)).map_err(files::refused)?;
        }
        disk.sync().map_err(files::refused)?;
        Ok(Self::new(disk, seal, 1))
    }

    fn new(disk: Box<dyn Disk>, seal: Seal, chunks: u32) -> Self {
        Self {
            disk,
            seal,
            chunks,
            max_chunks: MAX_CHUNKS,
            generation: 0,
            secrets: BTreeMap::new(),
            free: (0..chunks * CHUNK).collect(),
            unreadable: 0,
            broken: false,
        }
    }

    fn open(
        mut disk: Box<dyn Disk>,
        key: &[u8; 32],
        rng: Box<dyn CryptoRngCore + Send>,
    ) -> Result<Self, Error> {
        let length = disk.length()?;
        let (mut seal, chunks, headers_agree) = open_headers(&mut *disk, length, key, rng)?;
        if length < chunk_at(chunks) {
            return Err(Error::Damaged("the ratchet file is cut short".into()));
        }
        let found = read_slots(&mut *disk, &mut seal, chunks)?;
        let newest = found.iter().flatten().flatten().map(|copy| copy.generation).max().unwrap_or(0);
        let complete = is_complete(&found, newest);

        let mut inner = Self::new(disk, seal, chunks);
        inner.generation = newest;
        let mut repairs = Vec::new();
        for (place, [first, second]) in (0..).zip(found) {
            let generations = [&first, &second].map(|copy| copy.as_ref().map(|copy| copy.generation));
            let holds = |copy: &Copy| complete || copy.generation < newest;
            let kept = [first, second].into_iter().flatten().filter(holds).max_by_key(|copy| copy.generation);
            let Some(kept) = kept else {
                inner.free.remove(&place);
                inner.unreadable += 1;
                continue;
            };
            let stale =
                COPIES.into_iter().filter(|copy| generations[*copy as usize] != Some(kept.generation));
            repairs.extend(stale.map(|copy| (at(place, copy), inner.seal.copy(place, copy, &kept))));
            if let Some((key, secret)) = kept.entry {
                inner.free.remove(&place);
                if inner.secrets.insert(key, (place, secret)).is_some() {
                    return Err(Error::Damaged("two slots of the ratchet file hold one secret".into()));
                }
            }
        }
        // Only now is it sure that the file is whole, and may be written to.
        if !headers_agree {
            inner.write_headers(chunks)?;
        }
        for (at, bytes) in &repairs {
            inner.disk.write(*at, bytes).map_err(files::refused)?;
        }
        if !repairs.is_empty() {
            inner.disk.sync().map_err(files::refused)?;
        }
        Ok(inner)
    }

    fn apply(&mut self, writes: &[SlotWrite]) -> Result<(), Error> {
        if self.broken {
            return Err(
                io::Error::other("an earlier write failed; the ratchet file must be opened again").into()
            );
        }
        // Since a batch is done as a whole, only the last write to each slot counts.
        let mut last = BTreeMap::new();
        for write in writes {
            match write {
                SlotWrite::Put(key, secret) => last.insert(*key, Some(secret)),
                SlotWrite::Erase(key) => last.insert(*key, None),
            };
        }
        last.retain(|key, secret| secret.is_some() || self.secrets.contains_key(key));
        if last.is_empty() {
            return Ok(());
        }
        let held = |key: &SlotKey| self.secrets.get(key).map(|(place, _)| *place);
        let fresh = last.keys().filter(|key| held(key).is_none()).count();
        let erased = last.iter().filter(|(_, secret)| secret.is_none());
        let erased: Vec<_> = erased.filter_map(|(key, _)| Some((*key, held(key)?))).collect();
        let room = self.free.len() + erased.len();
        if let Some(missing) = fresh.checked_sub(room).filter(|missing| *missing > 0) {
            self.grow(missing)?;
        }

        // What is erased makes room: where the file is full, nothing else does.
        let mut free = self.free.iter().copied().chain(erased.iter().map(|(_, place)| *place));
        let mut entries = BTreeMap::new();
        for (key, secret) in last {
            let Some(secret) = secret else { continue };
            let held = self.secrets.get(&key).map(|(place, _)| *place);
            let place = held.or_else(|| free.next()).expect("grown until there are enough");
            entries.insert(place, Some((key, secret.clone())));
        }
        for (_, place) in &erased {
            entries.entry(*place).or_insert(None);
        }
        let changed = u32::try_from(entries.len()).expect("there are fewer slots than that");
        let copy = |entry| Copy { generation: self.generation + 1, changed, entry };
        let changes: Vec<_> = entries.into_iter().map(|(place, entry)| (place, copy(entry))).collect();
        self.broken = true;
        self.generation += 1;
        for copy in COPIES {
            for (place, content) in &changes {
                self.disk
                    .write(at(*place, copy), &self.seal.copy(*place, copy, content))
                    .map_err(files::refused)?;
            }
            self.disk.sync().map_err(files::refused)?;
        }
        self.broken = false;

        for (key, place) in erased {
            self.secrets.remove(&key);
            self.free.insert(place);
        }
        for (place, content) in changes {
            if let Some((key, secret)) = content.entry {
                self.free.remove(&place);
                self.secrets.insert(key, (place, secret));
            }
        }
        Ok(())
    }

    /// Makes room for more. A chunk counts only when the header says so, after it is on disk.
    fn grow(&mut self, places: usize) -> Result<(), Error> {
        let wanted = places.div_ceil(CHUNK as usize).saturating_add(self.chunks as usize);
        let Some(chunks) = u32::try_from(wanted).ok().filter(|chunks| *chunks <= self.max_chunks) else {
            let full = io::Error::other("the ratchet file holds as many secrets as it can");
            return Err(full.into());
        };
        for chunk in self.chunks..chunks {
            write_chunk(&mut *self.disk, &mut self.seal, chunk)?;
        }
        self.disk.sync().map_err(files::refused)?;
        self.broken = true;
        self.write_headers(chunks)?;
        self.broken = false;
        self.free.extend(self.chunks * CHUNK..chunks * CHUNK);
        self.chunks = chunks;
        Ok(())
    }

    fn write_headers(&mut self, chunks: u32) -> Result<(), Error> {
        for copy in COPIES {
            let header = self.seal.header(chunks);
            self.disk.write(header_at(copy), &header).map_err(files::refused)?;
            self.disk.sync().map_err(files::refused)?;
        }
        Ok(())
    }
}

/// What one copy of a slot says.
struct Copy {
    generation: u64,
    /// How many slots this generation changed.
    changed: u32,
    entry: Option<(SlotKey, Zeroizing<Vec<u8>>)>,
}

fn is_complete(found: &[[Option<Copy>; 2]], generation: u64) -> bool {
    let newest = |copy: &Option<Copy>| {
        copy.as_ref().filter(|copy| copy.generation == generation).map(|copy| copy.changed)
    };
    let firsts: Vec<u32> = found.iter().filter_map(|[first, _]| newest(first)).collect();
    found.iter().any(|[_, second]| newest(second).is_some())
        || firsts.first().is_some_and(|changed| *changed as usize == firsts.len())
}

fn read_slots(disk: &mut dyn Disk, seal: &mut Seal, chunks: u32) -> Result<Vec<[Option<Copy>; 2]>, Error> {
    let mut found = Vec::with_capacity((chunks * CHUNK) as usize);
    let mut bytes = vec![0; (CHUNK_BYTES) as usize];
    for chunk in 0..chunks {
        disk.read(chunk_at(chunk), &mut bytes)?;
        let (firsts, seconds) = bytes.split_at(bytes.len() / 2);
        let pairs = firsts.chunks_exact(COPY_BYTES).zip(seconds.chunks_exact(COPY_BYTES));
        for (place, (first, second)) in (chunk * CHUNK..).zip(pairs) {
            found.push([seal.open_copy(place, 0, first), seal.open_copy(place, 1, second)]);
        }
    }
    Ok(found)
}

fn write_chunk(disk: &mut dyn Disk, seal: &mut Seal, chunk: u32) -> Result<(), Error> {
    let empty = Copy { generation: 0, changed: 0, entry: None };
    let mut bytes = Vec::with_capacity(CHUNK_BYTES as usize);
    for copy in COPIES {
        for place in chunk * CHUNK..(chunk + 1) * CHUNK {
            bytes.extend_from_slice(&seal.copy(place, copy, &empty));
        }
    }
    disk.write(chunk_at(chunk), &bytes).map_err(files::refused)
}

/// The seal of a file, how many chunks it has, and whether both headers say so.
fn open_headers(
    disk: &mut dyn Disk,
    length: u64,
    key: &[u8; 32],
    rng: Box<dyn CryptoRngCore + Send>,
) -> Result<(Seal, u32, bool), Error> {
    let mut headers = [[0; HEADER_BYTES]; 2];
    for (copy, header) in COPIES.into_iter().zip(&mut headers) {
        let there = length.saturating_sub(header_at(copy)).min(HEADER_BYTES as u64);
        if there > 0 {
            disk.read(header_at(copy), &mut header[..there as usize])?;
        }
    }
    let found = headers.each_ref().map(|header| parse_header(header, key));
    if length > 0 && found.iter().all(|found| matches!(found, Err(Error::Foreign(_)))) {
        return Err(Error::Foreign("the ratchet file is not ours".into()));
    }
    let same_chunks = matches!(&found, [Ok((_, first)), Ok((_, second))] if first == second);
    let mut worst = Error::Damaged("both headers of the ratchet file are broken".into());
    let mut best: Option<([u8; 16], u32)> = None;
    for found in found {
        match found {
            // A file only ever grows.
            Ok(found) if best.is_none_or(|best| best.1 < found.1) => best = Some(found),
            Ok(_) | Err(Error::Damaged(_) | Error::Foreign(_)) => {}
            Err(error) => worst = error,
        }
    }
    match best {
        Some((file_id, chunks)) => Ok((Seal::new(key, file_id, rng), chunks, same_chunks)),
        None => Err(worst),
    }
}

/// The file's id and its number of chunks.
fn parse_header(header: &[u8; HEADER_BYTES], key: &[u8; 32]) -> Result<([u8; 16], u32), Error> {
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if &header[..16] != MAGIC {
        return Err(Error::Foreign("no header".into()));
    }
    let version = number(16);
    if version > VERSION {
        return Err(Error::Newer { found: version, known: VERSION });
    }
    let damaged = || Error::Damaged("a header of the ratchet file is broken".into());
    if Sha256::digest(&header[..HEADER_HASH])[..] != header[HEADER_HASH..HEADER_HASH + 32] {
        return Err(damaged());
    }
    let mut file_id = [0; 16];
    file_id.copy_from_slice(&header[20..36]);
    let chunks = number(36);
    let nonce: &[u8] = &header[HEADER_AD..HEADER_AD + NONCE_BYTES];
    let tag = Tag::from_slice(&header[HEADER_AD + NONCE_BYTES..HEADER_HASH]);
    // The hash holds, so these are the bytes that were written, and the key is another one.
    header_cipher(key, &file_id)
        .decrypt_in_place_detached(nonce.into(), &header[..HEADER_AD], &mut [], tag)
        .map_err(|_| Error::WrongKey)?;
    if version != VERSION || chunks == 0 || chunks > MAX_CHUNKS {
        return Err(damaged());
    }
    Ok((file_id, chunks))
}

/// Seals and opens the parts of one file.
struct Seal {
    file_id: [u8; 16],
    slots: Aes256Gcm,
    headers: Aes256Gcm,
    rng: Box<dyn CryptoRngCore + Send>,
}

impl Seal {
    fn new(key: &[u8; 32], file_id: [u8; 16], rng: Box<dyn CryptoRngCore + Send>) -> Self {
        let slots = cipher(key, &file_id, b"subrosa slots/1\0");
        Self { file_id, slots, headers: header_cipher(key, &file_id), rng }
    }

    fn header(&mut self, chunks: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..16].copy_from_slice(MAGIC);
        header[16..20].copy_from_slice(&VERSION.to_be_bytes());
        header[20..36].copy_from_slice(&self.file_id);
        header[36..40].copy_from_slice(&chunks.to_be_bytes());
        let nonce = self.nonce();
        let tag = self
            .headers
            .encrypt_in_place_detached(&nonce.into(), &header[..HEADER_AD], &mut [])
            .expect("AES-GCM authenticates 40 bytes");
        header[HEADER_AD..HEADER_AD + NONCE_BYTES].copy_from_slice(&nonce);
        header[HEADER_AD + NONCE_BYTES..HEADER_HASH].copy_from_slice(&tag);
        let hash = Sha256::digest(&header[..HEADER_HASH]);
        header[HEADER_HASH..HEADER_HASH + 32].copy_from_slice(&hash);
        header
    }

    fn copy(&mut self, place: u32, copy: u32, content: &Copy) -> [u8; COPY_BYTES] {
        let mut bytes = Zeroizing::new([0; COPY_BYTES]);
        let plain = &mut bytes[NONCE_BYTES..NONCE_BYTES + PLAIN_BYTES];
        plain[..8].copy_from_slice(&content.generation.to_be_bytes());
        plain[8..12].copy_from_slice(&content.changed.to_be_bytes());
        if let Some((key, secret)) = &content.entry {
            let length = u16::try_from(secret.len()).expect("at most SLOT_MAX, checked by apply");
            plain[12] = 1;
            plain[13] = key.kind;
            plain[14..30].copy_from_slice(&key.id);
            plain[30..32].copy_from_slice(&key.part.to_be_bytes());
            plain[32..34].copy_from_slice(&length.to_be_bytes());
            plain[34..34 + secret.len()].copy_from_slice(secret);
        }
        let nonce = self.nonce();
        let tag = self
            .slots
            .encrypt_in_place_detached(&nonce.into(), &about(place, copy), plain)
            .expect("AES-GCM seals half a kilobyte");
        bytes[..NONCE_BYTES].copy_from_slice(&nonce);
        bytes[NONCE_BYTES + PLAIN_BYTES..].copy_from_slice(&tag);
        *bytes
    }

    fn open_copy(&self, place: u32, copy: u32, sealed: &[u8]) -> Option<Copy> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let (sealed, tag) = sealed.split_last_chunk::<16>()?;
        let mut plain = Zeroizing::new([0; PLAIN_BYTES]);
        plain.copy_from_slice(sealed);
        self.slots
            .decrypt_in_place_detached(nonce.into(), &about(place, copy), &mut *plain, tag.into())
            .ok()?;
        let (generation, rest) = plain.split_first_chunk::<8>()?;
        let (changed, rest) = rest.split_first_chunk::<4>()?;
        let (&[used, kind], rest) = rest.split_first_chunk::<2>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (part, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let secret = rest.get(..u16::from_be_bytes(*length) as usize)?;
        let key = SlotKey { kind, id: *id, part: u16::from_be_bytes(*part) };
        Some(Copy {
            generation: u64::from_be_bytes(*generation),
            changed: u32::from_be_bytes(*changed),
            entry: (used == 1).then(|| (key, Zeroizing::new(secret.to_vec()))),
        })
    }

    fn nonce(&mut self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        self.rng.fill_bytes(&mut nonce);
        nonce
    }
}

fn header_cipher(key: &[u8; 32], file_id: &[u8; 16]) -> Aes256Gcm {
    cipher(key, file_id, b"subrosa ratchet header/1\0")
}

/// Of this file alone, so that a copy of one file means nothing in another.
fn cipher(key: &[u8; 32], file_id: &[u8; 16], label: &[u8]) -> Aes256Gcm {
    let mut derived = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(file_id), key)
        .expand(label, &mut *derived)
        .expect("32 bytes are within what HKDF-SHA256 gives");
    Aes256Gcm::new((&*derived).into())
}

/// What the seal of a copy is bound to: its place in the file.
fn about(place: u32, copy: u32) -> [u8; 8] {
    let mut about = [0; 8];
    about[..4].copy_from_slice(&place.to_be_bytes());
    about[4..].copy_from_slice(&copy.to_be_bytes());
    about
}

fn header_at(copy: u32) -> u64 {
    u64::from(copy) * PAGE
}

fn chunk_at(chunk: u32) -> u64 {
    2 * PAGE + u64::from(chunk) * CHUNK_BYTES
}

fn at(place: u32, copy: u32) -> u64 {
    chunk_at(place / CHUNK) + u64::from(copy * CHUNK + place % CHUNK) * COPY_BYTES as u64
}

pub(super) const MAGIC: &[u8; 16] = b"subrosa ratchet\0";
const VERSION: u32 = 1;
const COPIES: [u32; 2] = [0, 1];
const PAGE: u64 = 4096;
const NONCE_BYTES: usize = 12;
/// One sector.
const COPY_BYTES: usize = 512;
const PLAIN_BYTES: usize = COPY_BYTES - NONCE_BYTES - 16;
const _: () = assert!(34 + SLOT_MAX <= PLAIN_BYTES);
/// Slots in a chunk; fewer in tests, which open files by the thousand.
const CHUNK: u32 = if cfg!(test) { 8 } else { 64 };
const CHUNK_BYTES: u64 = 2 * CHUNK as u64 * COPY_BYTES as u64;
/// 65,536 slots, 64 MiB.
const MAX_CHUNKS: u32 = 1024;
const HEADER_BYTES: usize = 512;
/// How much of the header is authenticated, and where its hash stands.
const HEADER_AD: usize = 40;
const HEADER_HASH: usize = HEADER_AD + NONCE_BYTES + 16;

#[cfg(test)]
mod tests;
