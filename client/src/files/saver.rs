//! Sealed chunks become a file: opened one by one, under a hidden name until all of it is checked.

use super::{Download, End, names, prepare};
use fs4::TryLockError;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use subrosa_shared::id::MessageId;
use subrosa_shared::session::file::{CHUNK, SEALED, chunks, file_len, open, sealed_len};

/// Why a download does not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A piece is not what its author sealed.
    #[error(
        "the relay gave out a piece that is not what was sent: it was changed there or on the way. Nothing wrong was \
         saved; /files resume tries again, and if it stays so, the relay is not to be trusted"
    )]
    Tampered,
    /// All pieces are right, and the whole is not.
    #[error(
        "the whole is not what was announced (SHA-256 differs): nothing was saved; ask for the file again"
    )]
    Differs,
    /// The disk has no room.
    #[error("the disk under {0} is full: make room, then /files resume")]
    Full(String),
    /// The folder cannot be written.
    #[error(
        "{0} cannot be written ({1}): choose another folder with /files save N FOLDER, or in [files] of the settings"
    )]
    Unwritable(String, io::Error),
    /// Another client has the hidden file open.
    #[error("another subrosa on this machine fetches it there")]
    Held,
    /// The hidden file is not there any more, or is another client's.
    #[error("what had come of it was removed meanwhile: it is fetched anew")]
    Removed,
}

impl From<Trouble> for End {
    fn from(why: Trouble) -> Self {
        match why {
            Trouble::Held | Trouble::Removed => Self::Later(why.to_string()),
            why => Self::Failed(why.to_string()),
        }
    }
}

/// Writes one file.
pub struct Saver {
    job: Download,
    folder: PathBuf,
    part: PathBuf,
    file: File,
    hash: Sha256,
    next: u64,
    /// What came and is no whole chunk yet; never longer than one, and one piece.
    rest: Vec<u8>,
}

/// The most names that are tried.
const NAMES: u32 = 10_000;

impl Saver {
    /// Opens the hidden file of a download, with what an earlier run left of it. Nobody else does while this
    /// lives.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn open(job: Download) -> Result<Self, Trouble> {
        let folder = folder(&job);
        let trouble = |error| trouble(&folder, error);
        fs::create_dir_all(&folder).map_err(trouble)?;
        let part = part(&folder, job.id);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // Whoever can write to the folder must not lead this elsewhere.
            options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        }
        let file = options.open(&part).map_err(trouble)?;
        // Where a file system has no locks, nobody has one.
        if let Err(TryLockError::WouldBlock) = fs4::FileExt::try_lock(&file) {
            return Err(Trouble::Held);
        }
        // Whoever had it until a moment ago may have given it its name.
        if !lies_at(&file, &part) {
            return Err(Trouble::Held);
        }
        Ok(Self { job, folder, part, file, hash: Sha256::new(), next: 0, rest: Vec::new() })
    }

    /// Where it will be.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes up one more chunk that is there already, and says whether there was one. Then the file is
    /// ready to be written on.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn resume(&mut self) -> Result<bool, Trouble> {
        let size = self.job.size;
        let (at, length) = (self.next * CHUNK as u64, file_len(self.next, size));
        let there = self.file.metadata().map_err(|error| trouble(&self.folder, error))?.len();
        if self.next < chunks(size) && there >= at + length as u64 && there > at {
            let mut bytes = vec![0; length];
            self.file.read_exact(&mut bytes).map_err(|error| trouble(&self.folder, error))?;
            self.hash.update(&bytes);
            self.next += 1;
            return Ok(true);
        }
        let cut = |file: &mut File| file.set_len(at.min(size)).and_then(|()| file.seek(SeekFrom::Start(at)));
        cut(&mut self.file).map_err(|error| trouble(&self.folder, error))?;
        Ok(false)
    }

    /// Offset of the next sealed byte that is wanted.
    pub fn wanted(&self) -> u64 {
        self.next * SEALED as u64 + self.rest.len() as u64
    }

    /// Bytes of the file that are there.
    pub fn done(&self) -> u64 {
        (self.next * CHUNK as u64).min(self.job.size)
    }

    /// Whether all chunks are there.
    pub fn is_complete(&self) -> bool {
        self.next == chunks(self.job.size)
    }

    /// The next sealed bytes, from [`Saver::wanted`] on.
    ///
    /// # Errors
    /// [`Trouble`]; what came before is kept.
    pub fn take(&mut self, sealed: &[u8]) -> Result<(), Trouble> {
        self.rest.extend_from_slice(sealed);
        let mut used = 0;
        while !self.is_complete() {
            let length = sealed_len(self.next, self.job.size);
            let Some(chunk) = self.rest.get(used..used + length) else { break };
            let bytes =
                open(&self.job.key, self.next, self.job.size, chunk).map_err(|_| Trouble::Tampered)?;
            self.file.write_all(&bytes).map_err(|error| trouble(&self.folder, error))?;
            self.hash.update(&bytes);
            self.next += 1;
            used += length;
        }
        self.rest.drain(..used);
        // More than the last chunk is not what its author sealed.
        if self.is_complete() && !self.rest.is_empty() { Err(Trouble::Tampered) } else { Ok(()) }
    }

    /// Lets go of it. Where nothing came yet the hidden file goes too, still held: nobody knows of it.
    pub fn leave(self) {
        if self.wanted() == 0 {
            // What cannot be removed is empty.
            let _ = fs::remove_file(&self.part);
        }
    }

    /// Checks the whole, and gives it its name: the one that its author says, made safe, with a number
    /// where another file has it already. Where that is this one, it stays the only one.
    ///
    /// # Errors
    /// [`Trouble`]; when the whole is wrong, nothing of it stays.
    pub fn finish(self) -> Result<PathBuf, Trouble> {
        if !self.is_complete() || self.hash.finalize().as_slice() != self.job.sha256 {
            // It is wrong: what cannot be removed is at least hidden.
            let _ = fs::remove_file(&self.part);
            return Err(Trouble::Differs);
        }
        let trouble = |error| trouble(&self.folder, error);
        self.file.sync_all().map_err(trouble)?;
        if !lies_at(&self.file, &self.part) {
            return Err(Trouble::Removed);
        }
        let name = names::safe(&self.job.name);
        for number in 1..NAMES {
            let path = self.folder.join(names::numbered(&name, number));
            // An empty file of ours holds the name: nobody else's is ever written over.
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => {
                    if let Err(error) = fs::rename(&self.part, &path) {
                        // Nothing came into the empty one.
                        let _ = fs::remove_file(&path);
                        return Err(trouble(error));
                    }
                    // It is there, also in a folder that cannot be synced.
                    #[cfg(unix)]
                    let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if is_it(&path, &self.job) {
                        // One is enough; where this one stays, it is hidden.
                        let _ = fs::remove_file(&self.part);
                        return Ok(path);
                    }
                }
                Err(error) => return Err(trouble(error)),
            }
        }
        Err(trouble(io::ErrorKind::AlreadyExists.into()))
    }
}

/// The file of a download that was begun before, if it is whole and has its name: an earlier run ended before
/// that was written down.
pub fn there(job: &Download) -> Option<PathBuf> {
    let (folder, name) = (folder(job), names::safe(&job.name));
    // With a hidden file it goes on.
    if !job.begun || fs::symlink_metadata(part(&folder, job.id)).is_ok() {
        return None;
    }
    let paths = (1..NAMES).map(|number| folder.join(names::numbered(&name, number)));
    paths.take_while(|path| fs::symlink_metadata(path).is_ok()).find(|path| is_it(path, job))
}

/// Forgets what a download left in a folder, unless another client has it open. Whether nothing is left.
pub fn discard(id: MessageId, folder: &Path) -> bool {
    discard_after(id, folder, || {})
}

/// The same, whoever has it open.
pub fn remove(id: MessageId, folder: &Path) {
    // It may be gone already.
    let _ = fs::remove_file(part(folder, id));
}

/// Forgets it, and does that right before, when nobody else can begin to write into it any more.
fn discard_after(id: MessageId, folder: &Path, before: impl FnOnce()) -> bool {
    let part = part(folder, id);
    // Held until it is gone.
    let half = prepare::open(&part);
    let held = |file: &File| matches!(fs4::FileExt::try_lock(file), Err(TryLockError::WouldBlock));
    if half.as_ref().is_ok_and(held) {
        return false;
    }
    before();
    remove(id, folder);
    let gone = fs::symlink_metadata(&part).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    // A folder on a stick comes back with what lies in it.
    gone && folder.is_dir()
}

/// Where downloads go on this machine: the user's folder for them, or the current one.
pub fn default_folder() -> PathBuf {
    let user = directories::UserDirs::new();
    let downloads = user.as_ref().and_then(|user| {
        let named = user.download_dir().map(Path::to_path_buf);
        named.or_else(|| Some(user.home_dir().join("Downloads")).filter(|folder| folder.is_dir()))
    });
    downloads.filter(|folder| folder.is_dir()).unwrap_or_else(|| PathBuf::from("."))
}

/// Where a download is saved, wherever the next run begins.
fn folder(job: &Download) -> PathBuf {
    let folder = job.folder.clone().unwrap_or_else(default_folder);
    std::path::absolute(&folder).unwrap_or(folder)
}

fn part(folder: &Path, id: MessageId) -> PathBuf {
    folder.join(format!(".subrosa-{id}.part"))
}

/// Whether an open file is what lies there.
#[cfg(unix)]
fn lies_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |about: fs::Metadata| (about.dev(), about.ino());
    file.metadata().map(place).ok() == fs::symlink_metadata(path).map(place).ok()
}

/// The same, where a file has no number.
#[cfg(not(unix))]
fn lies_at(_: &File, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether that is the file of a download, byte for byte. Only what is as long is read.
fn is_it(path: &Path, job: &Download) -> bool {
    let same = || -> io::Result<bool> {
        let about = fs::symlink_metadata(path)?;
        if !about.is_file() || about.len() != job.size {
            return Ok(false);
        }
        let mut hash = Sha256::new();
        io::copy(&mut prepare::open(path)?.take(job.size), &mut hash)?;
        Ok(hash.finalize().as_slice() == job.sha256)
    };
    same().unwrap_or(false)
}

fn trouble(folder: &Path, error: io::Error) -> Trouble {
    let folder = crate::text::line(&folder.to_string_lossy());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full(folder),
        _ => Trouble::Unwritable(folder, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use subrosa_shared::content::file::Key;
    use subrosa_shared::protocol::blob::BlobId;
    use subrosa_shared::session::file::seal;

    const SIZE: usize = 2 * CHUNK + 9;

    fn bytes() -> Vec<u8> {
        (0..SIZE).map(|i| (i % 239) as u8).collect()
    }

    fn job(folder: &Path) -> Download {
        Download {
            id: MessageId([1; 16]),
            name: "../film.mkv".into(),
            size: SIZE as u64,
            sha256: Sha256::digest(bytes()).into(),
            key: Key([2; 32]),
            blob: BlobId([3; 16]),
            folder: Some(folder.to_path_buf()),
            begun: false,
        }
    }

    fn sealed(job: &Download, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let parts = bytes.chunks(CHUNK).enumerate();
        parts.map(|(i, part)| seal(&job.key, i as u64, job.size, part, &mut rng)).collect()
    }

    fn opened(job: &Download) -> Saver {
        let mut saver = Saver::open(job.clone()).expect("opens");
        while saver.resume().expect("reads") {}
        saver
    }

    fn visible(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).expect("there").map(|entry| entry.expect("reads").file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().expect("text")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_gets_its_safe_name_when_it_is_whole_and_never_overwrites() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut job, mut content) = (job(dir.path()), bytes());
        fs::write(dir.path().join("_film.mkv"), b"mine").expect("written");
        for want in ["_film (2).mkv", "_film (3).mkv"] {
            job.sha256 = Sha256::digest(&content).into();
            let all = sealed(&job, &content).concat();
            let mut saver = opened(&job);
            for piece in all.chunks(50_000) {
                assert!(visible(dir.path()).iter().all(|name| name != want), "hidden until it is whole");
                saver.take(piece).expect("right");
            }
            assert!(saver.is_complete());
            let path = saver.finish().expect("whole");
            assert_eq!(path, dir.path().join(want));
            assert_eq!(fs::read(&path).expect("there"), content);
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
            }
            // As long, and another one.
            content[0] ^= 1;
        }
        assert_eq!(fs::read(dir.path().join("_film.mkv")).expect("there"), b"mine");
        assert_eq!(visible(dir.path()).len(), 3, "nothing else is left");
    }

    #[test]
    fn a_file_that_has_its_name_already_is_not_saved_a_second_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let job = Download { begun: true, ..job(dir.path()) };
        assert_eq!(there(&job), None);
        let path = dir.path().join("_film (2).mkv");
        fs::write(dir.path().join("_film.mkv"), vec![7; SIZE]).expect("written");
        fs::write(&path, bytes()).expect("written");
        assert_eq!(there(&job), Some(path.clone()));
        let other = Download { begun: false, ..job.clone() };
        assert_eq!(there(&other), None, "whoever offers it does not learn what lies there");
        let mut saver = opened(&job);
        assert_eq!(there(&job), None, "what was begun goes on");
        saver.take(&sealed(&job, &bytes()).concat()).expect("right");
        assert_eq!(saver.finish().expect("whole"), path);
        assert_eq!(visible(dir.path()), ["_film (2).mkv", "_film.mkv"]);
    }

    #[test]
    fn two_clients_on_one_machine_do_not_write_into_the_same_half() {
        let dir = tempfile::tempdir().expect("a folder");
        let job = job(dir.path());
        let all = sealed(&job, &bytes()).concat();
        let mut first = opened(&job);
        first.take(&all[..SEALED]).expect("right");
        let Err(held) = Saver::open(job.clone()) else { panic!("the first one has it open") };
        assert!(matches!(End::from(held), End::Later(why) if why.contains("another subrosa")));
        discard(job.id, dir.path());
        first.take(&all[SEALED..]).expect("right");
        assert_eq!(fs::read(first.finish().expect("whole")).expect("there"), bytes());
        assert_eq!(visible(dir.path()), ["_film.mkv"]);
        drop(opened(&job));
        discard(job.id, dir.path());
        assert_eq!(visible(dir.path()), ["_film.mkv"], "nobody had it open");
    }

    #[test]
    fn a_half_is_held_until_it_is_gone() {
        let dir = tempfile::tempdir().expect("a folder");
        let job = job(dir.path());
        drop(opened(&job));
        let mut begun = None;
        assert!(discard_after(job.id, dir.path(), || begun = Some(Saver::open(job.clone()).err())));
        assert!(matches!(begun, Some(Some(Trouble::Held))), "nobody writes into what goes: {begun:?}");
        assert!(visible(dir.path()).is_empty());
    }

    #[test]
    fn a_half_is_not_gone_while_its_folder_is_not_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let (stick, away) = (dir.path().join("stick"), dir.path().join("away"));
        fs::create_dir(&stick).expect("made");
        let job = job(&stick);
        drop(opened(&job));
        fs::rename(&stick, &away).expect("unplugged");
        assert!(!discard(job.id, &stick), "it lies on the stick");
        fs::rename(&away, &stick).expect("plugged in");
        assert!(discard(job.id, &stick) && visible(&stick).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_half_that_was_removed_is_fetched_anew_and_another_clients_does_not_get_its_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let job = job(dir.path());
        for begun_anew in [false, true] {
            let mut saver = opened(&job);
            saver.take(&sealed(&job, &bytes()).concat()).expect("right");
            // As whoever burns another profile.
            remove(job.id, dir.path());
            let _other = begun_anew.then(|| opened(&job));
            let Err(why) = saver.finish() else { panic!("it is gone") };
            assert!(matches!(End::from(why), End::Later(_)));
            assert!(visible(dir.path()).iter().all(|name| name.starts_with('.')), "no name appears");
        }
    }

    #[test]
    fn it_goes_on_behind_the_last_whole_chunk() {
        let dir = tempfile::tempdir().expect("a folder");
        let job = job(dir.path());
        let all = sealed(&job, &bytes()).concat();
        let mut saver = opened(&job);
        saver.take(&all[..SEALED + 100]).expect("right");
        assert_eq!((saver.done(), saver.wanted()), (CHUNK as u64, SEALED as u64 + 100));
        drop(saver);
        // As a crash in the middle of a write leaves it.
        let part = part(dir.path(), job.id);
        let mut torn = File::options().append(true).open(&part).expect("there");
        torn.write_all(b"torn").expect("written");
        let mut saver = opened(&job);
        assert_eq!((saver.done(), saver.wanted()), (CHUNK as u64, SEALED as u64));
        saver.take(&all[SEALED..]).expect("right");
        assert_eq!(fs::read(saver.finish().expect("whole")).expect("there"), bytes());
    }

    #[test]
    fn what_was_changed_is_refused_and_no_name_appears() {
        let dir = tempfile::tempdir().expect("a folder");
        let job = job(dir.path());
        let chunks = sealed(&job, &bytes());
        let mut flipped = chunks.concat();
        flipped[SEALED + 40] ^= 1;
        let swapped = [chunks[1].clone(), chunks[0].clone(), chunks[2].clone()].concat();
        let longer = [chunks.concat(), vec![0]].concat();
        for wrong in [flipped, swapped, longer] {
            let mut saver = opened(&job);
            assert!(matches!(saver.take(&wrong), Err(Trouble::Tampered)));
            drop(saver);
            assert!(visible(dir.path()).iter().all(|name| name.starts_with('.')));
            discard(job.id, dir.path());
        }
        let mut saver = opened(&job);
        saver.take(&chunks[..2].concat()).expect("right so far");
        assert!(!saver.is_complete(), "cut off");
        drop(saver);
        // Somebody writes into the hidden file while nobody looks.
        fs::write(part(dir.path(), job.id), vec![7; 2 * CHUNK]).expect("written");
        let mut saver = opened(&job);
        saver.take(&chunks[2]).expect("right");
        assert!(matches!(saver.finish(), Err(Trouble::Differs)));
        assert!(visible(dir.path()).is_empty(), "nothing is left of it");
    }

    #[cfg(unix)]
    #[test]
    fn a_relative_folder_is_told_absolute() {
        let dir = tempfile::tempdir().expect("a folder");
        let here = std::env::current_dir().expect("there is one");
        let root: PathBuf = here.ancestors().skip(1).map(|_| "..").collect();
        let job = job(&root.join(dir.path().strip_prefix("/").expect("absolute")));
        assert!(job.folder.as_ref().is_some_and(|folder| folder.is_relative()));
        let mut saver = opened(&job);
        assert!(saver.folder().is_absolute(), "{}", saver.folder().display());
        saver.take(&sealed(&job, &bytes()).concat()).expect("right");
        let path = saver.finish().expect("whole");
        assert!(path.is_absolute(), "{}", path.display());
        assert_eq!(visible(dir.path()), ["_film.mkv"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_folder_leads_nowhere() {
        let dir = tempfile::tempdir().expect("a folder");
        let outside = dir.path().join("outside");
        fs::write(&outside, b"mine").expect("written");
        let folder = dir.path().join("in");
        fs::create_dir(&folder).expect("made");
        let job = job(&folder);
        std::os::unix::fs::symlink(&outside, part(&folder, job.id)).expect("linked");
        assert!(matches!(Saver::open(job.clone()), Err(Trouble::Unwritable(..))));
        fs::remove_file(part(&folder, job.id)).expect("removed");
        std::os::unix::fs::symlink(&outside, folder.join("_film.mkv")).expect("linked");
        let mut saver = opened(&job);
        saver.take(&sealed(&job, &bytes()).concat()).expect("right");
        assert_eq!(saver.finish().expect("whole"), folder.join("_film (2).mkv"));
        assert_eq!(fs::read(&outside).expect("there"), b"mine");
    }
}
