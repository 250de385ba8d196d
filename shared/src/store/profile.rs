//! A person's folder: vault, records and ratchet file, for one program at a time.
//!
//! ```text
//! lock       held as long as the profile is open
//! vault      the key of the rest, under the passphrase; written last
//! ratchet    secrets that are really overwritten
//! db/        records
//! creating   there from before the first of these until after the last
//! burning    there from before the vault is destroyed until everything is gone, see [`super::burn`]; on a
//!            full disk the vault itself says so
//! ```

use super::sealed::Sealed;
use super::sled::{Migration, Settings, Sled};
use super::{Error, Store, files, slots};
use crate::session::vault::{self, Cost, Dek};
use fs4::TryLockError;
use rand_core::{CryptoRngCore, OsRng};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open profile. Keep it as long as its store is used: it holds the lock.
pub struct Profile {
    /// Records and secrets.
    pub store: Store,
    /// How many secrets the disk has lost, see [`slots::File::unreadable`]. The conversations that
    /// they belonged to start over.
    pub lost_secrets: usize,
    dir: PathBuf,
    dek: Dek,
    lock: File,
}

/// A profile whose keys are out of memory. Nobody else can open it meanwhile.
pub struct Locked {
    dir: PathBuf,
    lock: File,
}

impl Locked {
    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens it again.
    ///
    /// # Errors
    /// Those of [`Profile::open`]; it stays locked then.
    pub fn open(&self, passphrase: &str) -> Result<Profile, Error> {
        // A duplicate holds the same lock, which goes when both are closed.
        Profile::open_locked(&self.dir, passphrase, self.lock.try_clone()?)
    }

    /// Forgets everything, see [`super::burn::burn`].
    ///
    /// # Errors
    /// [`Error::Io`]; what was overwritten by then stays so, and the next start goes on.
    pub fn burn(self) -> Result<(), Error> {
        super::burn::destroy(&self.dir, &mut || Ok(()))
    }
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing, or a profile whose making was cut off: one can be made here.
    Absent,
    /// A profile, whole or not.
    Present,
    /// What a burn that was cut off has left: [`super::burn::burn`] finishes it.
    Burning,
    /// Something else; says what.
    Foreign(String),
}

impl Profile {
    /// What a folder holds, without touching it.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read.
    pub fn exists(dir: &Path) -> Result<Presence, Error> {
        match files::is_empty_or_absent(dir) {
            Ok(true) => return Ok(Presence::Absent),
            Ok(false) => {}
            Err(Error::Foreign(what)) => return Ok(Presence::Foreign(what)),
            Err(error) => return Err(error),
        }
        if super::burn::is_unfinished(dir)? {
            return Ok(Presence::Burning);
        }
        let vault = begins_with(&dir.join(VAULT), vault::MAGIC)?;
        if !vault && begins_with(&dir.join(CREATING), CREATING_TEXT)? {
            return Ok(Presence::Absent);
        }
        let rest = [dir.join(RATCHET), dir.join(RECORDS).join(super::sled::MARKER)];
        let marks = [&slots::MAGIC[..], super::sled::MAGIC.as_bytes()];
        for (path, mark) in rest.iter().zip(marks) {
            if vault || begins_with(path, mark)? {
                return Ok(Presence::Present);
            }
        }
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            // What is there before `creating` is.
            let first = name == CREATING_NEW || (name == LOCK && entry.metadata()?.len() == 0);
            if !first {
                let what = format!("{} has {} in it", dir.display(), name.to_string_lossy());
                return Ok(Presence::Foreign(what));
            }
        }
        Ok(Presence::Absent)
    }

    /// Makes a profile. One whose making was cut off before is made anew.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Locked`], [`Error::Full`]; [`Error::Io`] with `AlreadyExists`
    /// when there is one, with `InvalidInput` when the cost is out of bounds.
    pub fn create(
        dir: &Path,
        passphrase: &str,
        cost: Cost,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Self, Error> {
        require_absent(dir)?;
        files::create_folder(dir)?;
        let lock = lock(dir)?;
        // Somebody may have been faster.
        require_absent(dir)?;
        files::replace(&dir.join(CREATING), CREATING_TEXT)?;
        remove_records_and_secrets(dir)?;

        let (dek, header) = vault::create(passphrase, cost, rng).map_err(not_opened)?;
        let slots = slots::File::create(&dir.join(RATCHET), &dek.slots_key(), Box::new(OsRng))?;
        let profile = Self::assemble(dir, dek, slots, lock)?;
        files::replace(&dir.join(VAULT), &header)?;
        remove_if_there(&dir.join(CREATING))?;
        files::sync_folder(dir)?;
        Ok(profile)
    }

    /// Opens a profile. Takes as long as its vault costs.
    ///
    /// # Errors
    /// [`Error::WrongKey`] for a wrong passphrase, [`Error::Foreign`], [`Error::Locked`],
    /// [`Error::Newer`], [`Error::Damaged`] saying which part is broken or missing; [`Error::Io`]
    /// with `NotFound` when there is none. Then nothing was touched.
    pub fn open(dir: &Path, passphrase: &str) -> Result<Self, Error> {
        match Self::exists(dir)? {
            Presence::Present => {}
            Presence::Absent | Presence::Burning => {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            Presence::Foreign(what) => return Err(Error::Foreign(what)),
        }
        Self::open_locked(dir, passphrase, lock(dir)?)
    }

    fn open_locked(dir: &Path, passphrase: &str, lock: File) -> Result<Self, Error> {
        let header = read_vault(dir)?;
        let dek = vault::open(&header, passphrase).map_err(not_opened)?;
        if !begins_with(&dir.join(RECORDS).join(super::sled::MARKER), super::sled::MAGIC.as_bytes())? {
            return Err(Error::Damaged("the folder of records is missing; put it back from a backup".into()));
        }
        let slots = match slots::File::open(&dir.join(RATCHET), &dek.slots_key(), Box::new(OsRng)) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Damaged("the ratchet file is missing; put it back from a backup".into()));
            }
            Err(Error::WrongKey) => {
                return Err(Error::Damaged("the ratchet file belongs to another profile".into()));
            }
            Err(Error::Foreign(_)) => {
                return Err(Error::Damaged("the ratchet file is broken; put it back from a backup".into()));
            }
            slots => slots?,
        };
        let profile = Self::assemble(dir, dek, slots, lock)?;
        remove_if_there(&dir.join(CREATING))?;
        Ok(profile)
    }

    /// Wraps the vault under another passphrase. The old header may outlive that on a disk that
    /// copies on write, and in backups: whoever has it and the old passphrase still gets in.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Io`]; then the old passphrase stays.
    pub fn change_passphrase(
        &self,
        passphrase: &str,
        cost: Cost,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(), Error> {
        let header = vault::wrap(&self.dek, passphrase, cost, rng).map_err(not_opened)?;
        files::replace(&self.dir.join(VAULT), &header)
    }

    /// Takes the keys out of memory. The store is closed when whoever else holds it lets go of it too;
    /// before that it cannot be opened again.
    pub fn lock_up(self) -> Locked {
        Locked { dir: self.dir, lock: self.lock }
    }

    /// Forgets everything, see [`super::burn::burn`].
    ///
    /// # Errors
    /// [`Error::Io`]; what was overwritten by then stays so.
    pub fn burn(self) -> Result<(), Error> {
        self.lock_up().burn()
    }

    /// The vault's header: with it a passphrase can be tested.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    pub fn header(&self) -> Result<Vec<u8>, Error> {
        read_vault(&self.dir)
    }

    /// The key of everything in it.
    pub fn dek(&self) -> &Dek {
        &self.dek
    }

    fn assemble(dir: &Path, dek: Dek, slots: slots::File, lock: File) -> Result<Self, Error> {
        let db =
            Arc::new(Sled::open(&dir.join(RECORDS), Settings { schema: SCHEMA, ..Settings::default() })?);
        let records =
            Sealed::open(db.clone(), &dek.records_key(), Box::new(OsRng)).map_err(|error| match error {
                Error::WrongKey => Error::Damaged("the records belong to another profile".into()),
                error => error,
            })?;
        db.migrate(&records, MIGRATIONS)?;
        let lost_secrets = slots.unreadable();
        let store = Store { records: Arc::new(records), slots: Arc::new(slots) };
        Ok(Self { store, lost_secrets, dir: dir.to_path_buf(), dek, lock })
    }
}

fn require_absent(dir: &Path) -> Result<(), Error> {
    match Profile::exists(dir)? {
        Presence::Absent => Ok(()),
        Presence::Present | Presence::Burning => Err(io::Error::from(io::ErrorKind::AlreadyExists).into()),
        Presence::Foreign(what) => Err(Error::Foreign(what)),
    }
}

pub(super) fn lock(dir: &Path) -> Result<File, Error> {
    let file = files::open_or_create(&dir.join(LOCK))?;
    match fs4::FileExt::try_lock(&file) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn read_vault(dir: &Path) -> Result<Vec<u8>, Error> {
    let mut header = Vec::new();
    match File::open(dir.join(VAULT)) {
        Ok(file) => file.take(VAULT_MAX).read_to_end(&mut header)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Damaged("the vault header is missing; put it back from a backup".into()));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(header)
}

fn remove_records_and_secrets(dir: &Path) -> Result<(), Error> {
    remove_if_there(&dir.join(RATCHET))?;
    match fs::remove_dir_all(dir.join(RECORDS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

pub(super) fn begins_with(path: &Path, mark: &[u8]) -> Result<bool, Error> {
    let mut beginning = Vec::new();
    let length = mark.len() as u64;
    match File::open(path).and_then(|file| file.take(length).read_to_end(&mut beginning)) {
        Ok(_) => Ok(beginning == mark),
        Err(error) if MISSING.contains(&error.kind()) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn not_opened(error: vault::Error) -> Error {
    match error {
        vault::Error::WrongPassphrase => Error::WrongKey,
        vault::Error::Damaged => Error::Damaged(error.to_string()),
        vault::Error::Newer { found, known } => Error::Newer { found, known },
        vault::Error::Cost => io::Error::new(io::ErrorKind::InvalidInput, error).into(),
    }
}

pub(super) const LOCK: &str = "lock";
pub(super) const VAULT: &str = "vault";
pub(super) const RATCHET: &str = "ratchet";
pub(super) const RECORDS: &str = "db";
pub(super) const CREATING: &str = "creating";
pub(super) const CREATING_NEW: &str = "creating.new";
const CREATING_TEXT: &[u8] = b"subrosa makes a profile here\n";
/// More than a header of any version needs.
const VAULT_MAX: u64 = 4096;
const MISSING: [io::ErrorKind; 3] =
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::IsADirectory];
/// Of the records.
const SCHEMA: u32 = 1;
/// How records of an older schema are brought up to [`SCHEMA`], one step after the other.
const MIGRATIONS: &[Migration] = &[];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, Order, SlotKey, Table};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zeroize::Zeroizing;

    const TABLE: Table = Table { byte: 5, name: "test" };
    const SLOT: SlotKey = SlotKey { kind: 1, id: [7; 16], part: 0 };

    fn create(dir: &Path) -> Result<Profile, Error> {
        Profile::create(dir, "open sesame", Cost::TINY, &mut ChaCha20Rng::seed_from_u64(1))
    }

    fn made() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary folder");
        let profile = create(dir.path()).expect("made");
        let mut batch = Batch::default();
        batch.put(TABLE, b"a".to_vec(), b"a record".to_vec());
        batch.keep(SLOT, Zeroizing::new(b"a secret".to_vec()));
        profile.store.commit(&batch).expect("commits");
        dir
    }

    fn holds_what_was_written(profile: &Profile) {
        assert_eq!(profile.store.records.get(TABLE, b"a").expect("reads"), Some(b"a record".to_vec()));
        assert_eq!(profile.store.slots.get(&SLOT).expect("there").as_slice(), b"a secret");
        assert_eq!(profile.lost_secrets, 0);
    }

    fn all_bytes(dir: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(all_bytes(&path));
            }
            found.push((path.clone(), fs::read(&path).ok()));
        }
        found.sort();
        found
    }

    fn refused_untouched(dir: &Path, passphrase: &str) -> Error {
        let before = all_bytes(dir);
        let error = Profile::open(dir, passphrase).err().expect("is refused");
        assert!(before == all_bytes(dir), "it was touched: {error}");
        error
    }

    #[test]
    fn a_profile_keeps_everything() {
        let dir = made();
        assert_eq!(Profile::exists(dir.path()).expect("looks"), Presence::Present);
        let profile = Profile::open(dir.path(), "open sesame").expect("opens");
        holds_what_was_written(&profile);
        for (path, bytes) in all_bytes(dir.path()) {
            let clear =
                |word: &[u8]| bytes.as_ref().is_some_and(|bytes| bytes.windows(8).any(|some| some == word));
            assert!(!clear(b"a record") && !clear(b"a secret"), "{} shows it", path.display());
        }
        let rows = profile.store.records.scan(TABLE, b"", b"", Order::Forward, 9).expect("scans");
        assert_eq!(rows.len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_profile_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = made();
        let mode =
            |name: &str| fs::metadata(dir.path().join(name)).expect("there").permissions().mode() & 0o777;
        assert_eq!([mode(""), mode(RECORDS)], [0o700; 2], "sled's own files are behind this");
        assert_eq!([mode(LOCK), mode(VAULT), mode(RATCHET)], [0o600; 3]);
    }

    #[test]
    fn the_wrong_passphrase_touches_nothing() {
        let dir = made();
        assert!(matches!(refused_untouched(dir.path(), "open sesam"), Error::WrongKey));
        holds_what_was_written(&Profile::open(dir.path(), "open sesame").expect("opens"));
    }

    #[test]
    fn a_new_passphrase_replaces_the_old_one() {
        let dir = made();
        let profile = Profile::open(dir.path(), "open sesame").expect("opens");
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        profile.change_passphrase("close sesame", Cost::TINY, &mut rng).expect("changed");
        drop(profile);
        assert!(matches!(refused_untouched(dir.path(), "open sesame"), Error::WrongKey));
        holds_what_was_written(&Profile::open(dir.path(), "close sesame").expect("opens"));
    }

    #[test]
    fn two_programs_cannot_open_one_profile() {
        let dir = made();
        let profile = Profile::open(dir.path(), "open sesame").expect("opens");
        assert!(matches!(refused_untouched(dir.path(), "open sesame"), Error::Locked));
        holds_what_was_written(&profile);
        drop(profile);
        Profile::open(dir.path(), "open sesame").expect("opens again");
    }

    #[test]
    fn a_profile_is_not_made_twice_nor_among_other_things() {
        let dir = made();
        let Err(Error::Io(error)) = create(dir.path()) else { panic!("there is one") };
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let other = tempfile::tempdir().expect("temporary folder");
        fs::write(other.path().join("vault"), "of another program").expect("written");
        assert!(matches!(Profile::exists(other.path()).expect("looks"), Presence::Foreign(_)));
        let before = all_bytes(other.path());
        assert!(matches!(create(other.path()), Err(Error::Foreign(_))));
        assert!(before == all_bytes(other.path()));
        assert!(matches!(refused_untouched(other.path(), "open sesame"), Error::Foreign(_)));
    }

    #[test]
    fn nothing_there_is_said_so() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let missing = dir.path().join("missing");
        assert_eq!(Profile::exists(&missing).expect("looks"), Presence::Absent);
        let Err(Error::Io(error)) = Profile::open(&missing, "x") else { panic!("there is none") };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!missing.exists(), "and is not made by looking");
    }

    #[test]
    fn a_half_made_profile_is_made_again() {
        // The vault is written last: everything before it, cut off at any file.
        let whole = made();
        for cut in 0..4 {
            let dir = tempfile::tempdir().expect("temporary folder");
            fs::write(dir.path().join(LOCK), "").expect("written");
            if cut > 0 {
                fs::write(dir.path().join(CREATING), CREATING_TEXT).expect("written");
            }
            if cut > 1 {
                let ratchet = fs::read(whole.path().join(RATCHET)).expect("there");
                fs::write(dir.path().join(RATCHET), &ratchet[..ratchet.len() / 2]).expect("written");
            }
            if cut > 2 {
                fs::create_dir(dir.path().join(RECORDS)).expect("made");
                fs::write(dir.path().join(RECORDS).join("db"), "half").expect("written");
            }
            assert_eq!(Profile::exists(dir.path()).expect("looks"), Presence::Absent, "cut {cut}");
            drop(create(dir.path()).expect("made"));
            assert!(!dir.path().join(CREATING).exists());
            Profile::open(dir.path(), "open sesame").expect("opens");
        }
        // Cut off after the vault: it is whole.
        fs::write(whole.path().join(CREATING), CREATING_TEXT).expect("written");
        assert_eq!(Profile::exists(whole.path()).expect("looks"), Presence::Present);
        holds_what_was_written(&Profile::open(whole.path(), "open sesame").expect("opens"));
    }

    #[test]
    fn a_missing_or_broken_part_is_named() {
        let damage = |how: fn(&Path)| {
            let dir = made();
            how(dir.path());
            assert_eq!(Profile::exists(dir.path()).expect("looks"), Presence::Present);
            let Error::Damaged(what) = refused_untouched(dir.path(), "open sesame") else {
                panic!("damaged")
            };
            assert!(create(dir.path()).is_err(), "and what is left is not overwritten");
            what
        };
        assert!(damage(|dir| fs::remove_file(dir.join(VAULT)).expect("removed")).contains("vault"));
        assert!(damage(|dir| fs::write(dir.join(VAULT), vault::MAGIC).expect("written")).contains("vault"));
        assert!(damage(|dir| fs::remove_file(dir.join(RATCHET)).expect("removed")).contains("ratchet"));
        assert!(damage(|dir| fs::write(dir.join(RATCHET), "").expect("written")).contains("ratchet"));
        assert!(damage(|dir| fs::write(dir.join(RATCHET), [1; 9999]).expect("written")).contains("ratchet"));
        assert!(damage(|dir| fs::remove_dir_all(dir.join(RECORDS)).expect("removed")).contains("records"));
    }

    #[test]
    fn parts_of_two_profiles_do_not_go_together() {
        let (dir, other) = (made(), tempfile::tempdir().expect("temporary folder"));
        drop(
            Profile::create(other.path(), "x", Cost::TINY, &mut ChaCha20Rng::seed_from_u64(9)).expect("made"),
        );
        fs::copy(other.path().join(RATCHET), dir.path().join(RATCHET)).expect("copied");
        let Error::Damaged(what) = refused_untouched(dir.path(), "open sesame") else { panic!("damaged") };
        assert!(what.contains("another profile"), "{what}");
    }

    #[test]
    fn a_locked_profile_stays_ours_and_opens_again() {
        let dir = made();
        let locked = Profile::open(dir.path(), "open sesame").expect("opens").lock_up();
        assert!(matches!(Profile::open(dir.path(), "open sesame"), Err(Error::Locked)));
        assert!(matches!(locked.open("open sesam"), Err(Error::WrongKey)));
        let profile = locked.open("open sesame").expect("opens");
        holds_what_was_written(&profile);
        drop(locked);
        assert!(matches!(Profile::open(dir.path(), "open sesame"), Err(Error::Locked)));
        drop(profile);
        Profile::open(dir.path(), "open sesame").expect("opens");
    }
}
