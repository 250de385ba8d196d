//! Forgets a profile for good: what opens it first, then the rest.
//!
//! A marker is written before anything is destroyed, and goes last: whoever finds it finishes the work,
//! so a burn that was begun cannot be taken back by pulling the plug. The vault's header and the
//! ratchet file are overwritten in place and fsynced before anything is deleted; without either of
//! them the records are noise, whoever knows the passphrase. What the header is overwritten with is a
//! marker too, which needs no room on a disk that is full.
//!
//! On a file system or a disk that copies on write, old bytes can outlive this; so can backups.

use super::profile::{
    CREATING, CREATING_NEW, LOCK, Presence, Profile, RATCHET, RECORDS, VAULT, begins_with, lock,
    remove_if_there,
};
use super::{Error, files};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// Burns the profile in a folder, open to nobody, without its passphrase; or finishes a burn that was
/// cut off.
///
/// # Errors
/// [`Error::Locked`] while somebody has it open, [`Error::Foreign`] when it is something else, and
/// [`Error::Io`] with `NotFound` when there is nothing: then nothing was touched. Another [`Error::Io`]
/// on the way: what was overwritten by then stays so, and the next call goes on.
pub fn burn(dir: &Path) -> Result<(), Error> {
    match Profile::exists(dir)? {
        Presence::Present | Presence::Burning => {}
        Presence::Absent => return Err(io::Error::from(io::ErrorKind::NotFound).into()),
        Presence::Foreign(what) => return Err(Error::Foreign(what)),
    }
    let held = lock(dir)?;
    let done = destroy(dir, &mut || Ok(()));
    drop(held);
    done
}

/// Whether a burn was cut off here.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn is_unfinished(dir: &Path) -> Result<bool, Error> {
    Ok(begins_with(&dir.join(BURNING), BURNING_TEXT)? || begins_with(&dir.join(VAULT), BURNING_TEXT)?)
}

/// The work, under a held lock. `between` is called between steps; tests cut it off there.
pub(super) fn destroy(dir: &Path, between: &mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error> {
    let marked = files::replace(&dir.join(BURNING), BURNING_TEXT);
    destroy_marked(dir, marked, between)
}

fn destroy_marked(
    dir: &Path,
    marked: Result<(), Error>,
    between: &mut dyn FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    match marked {
        // What follows needs no room, and its first step leaves a marker.
        Err(Error::Full) => {}
        marked => marked?,
    }
    between()?;
    overwrite(&dir.join(VAULT), BURNING_TEXT)?;
    between()?;
    overwrite(&dir.join(RATCHET), &[])?;
    between()?;
    // What was on its way to become a header.
    overwrite(&dir.join(VAULT_NEW), &[])?;
    for name in [VAULT_NEW, RATCHET, CREATING, CREATING_NEW, BURNING_NEW] {
        remove_if_there(&dir.join(name))?;
        between()?;
    }
    for name in [RECORDS, RELAY] {
        match fs::remove_dir_all(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => between()?,
        }
    }
    files::sync_folder(dir)?;
    remove_if_there(&dir.join(LOCK))?;
    between()?;
    remove_if_there(&dir.join(BURNING))?;
    between()?;
    remove_if_there(&dir.join(VAULT))?;
    files::sync_folder(dir)?;
    // Something that is not ours may lie beside.
    let _ = fs::remove_dir(dir);
    Ok(())
}

/// Zeroes all bytes of a file, if it is there, but for a mark at its beginning, and waits until the disk
/// has them. It gets no longer.
fn overwrite(path: &Path, mark: &[u8]) -> Result<(), Error> {
    let mut file = match File::options().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let length = file.metadata()?.len();
    io::copy(&mut mark.chain(io::repeat(0)).take(length), &mut file).map_err(files::refused)?;
    file.flush().and_then(|()| file.sync_all()).map_err(files::refused)
}

const BURNING: &str = "burning";
const BURNING_TEXT: &[u8] = b"subrosa burns this profile\n";
const BURNING_NEW: &str = "burning.new";
const VAULT_NEW: &str = "vault.new";
/// Of a relay that the client hosts.
const RELAY: &str = "relay";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::vault::Cost;
    use crate::store::{Batch, SlotKey, Table, slots};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zeroize::Zeroizing;

    fn made(dir: &Path) {
        let profile =
            Profile::create(dir, "sesame", Cost::TINY, &mut ChaCha20Rng::seed_from_u64(1)).expect("made");
        let mut batch = Batch::default();
        batch.put(Table { byte: 5, name: "test" }, b"a".to_vec(), b"a record".to_vec());
        batch.keep(SlotKey { kind: 1, id: [7; 16], part: 0 }, Zeroizing::new(b"a secret".to_vec()));
        profile.store.commit(&batch).expect("commits");
        drop(profile);
        fs::create_dir(dir.join(RELAY)).expect("made");
        fs::write(dir.join(RELAY).join("key"), "x").expect("written");
    }

    #[test]
    fn nothing_is_left_and_a_new_one_can_be_made() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let dir = dir.path().join("profile");
        made(&dir);
        burn(&dir).expect("burns");
        assert!(!dir.exists());
        made(&dir);
        let profile = Profile::open(&dir, "sesame").expect("opens");
        assert!(matches!(burn(&dir), Err(Error::Locked)), "not under somebody who has it open");
        profile.burn().expect("burns");
        assert_eq!(Profile::exists(&dir).expect("looks"), Presence::Absent);
    }

    #[test]
    fn a_full_disk_keeps_nothing_from_being_destroyed() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let dir = dir.path().join("profile");
        made(&dir);
        fs::write(dir.join(BURNING_NEW), "half").expect("written");
        destroy_marked(&dir, Err(Error::Full), &mut || Ok(())).expect("destroys");
        assert!(!dir.exists());
    }

    #[test]
    fn what_is_not_a_profile_is_left_alone() {
        let dir = tempfile::tempdir().expect("temporary folder");
        assert!(matches!(burn(dir.path()), Err(Error::Io(_))));
        fs::write(dir.path().join("letter"), "dear").expect("written");
        assert!(matches!(burn(dir.path()), Err(Error::Foreign(_))));
        assert!(dir.path().join("letter").exists());
    }

    /// Cuts a burn off after each of its steps; from that one on the next start finishes it.
    fn is_finished_wherever_it_is_cut_off(
        from: i32,
        burns: impl Fn(&Path, &mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error>,
    ) {
        for cut in from.. {
            let dir = tempfile::tempdir().expect("temporary folder");
            let dir = dir.path().join("profile");
            made(&dir);
            let (vault, ratchet) =
                (fs::read(dir.join(VAULT)).expect("there"), fs::read(dir.join(RATCHET)).expect("there"));
            let mut left = cut;
            let done = burns(&dir, &mut || {
                left -= 1;
                if left < 0 { Err(Error::Full) } else { Ok(()) }
            });
            if done.is_ok() {
                assert!(cut > 8, "there are steps to cut at: {cut}");
                return;
            }
            assert_eq!(Profile::exists(&dir).expect("looks"), Presence::Burning, "cut {cut}");
            assert!(Profile::open(&dir, "sesame").is_err(), "cut {cut}");
            // Whatever a person does about the marker: from the first step on the header is gone.
            if cut > 0 {
                let now = fs::read(dir.join(VAULT)).expect("the last to go");
                let rest = now.strip_prefix(BURNING_TEXT).expect("a marker too");
                assert!(rest.iter().all(|byte| *byte == 0) && now.len() == vault.len(), "cut {cut}");
            }
            if cut > 1 {
                let now = fs::read(dir.join(RATCHET)).unwrap_or_default();
                assert!(now.iter().all(|byte| *byte == 0) && now != ratchet, "cut {cut}");
                assert!(!now.starts_with(slots::MAGIC), "cut {cut}");
            }
            burn(&dir).expect("is finished");
            assert!(!dir.exists(), "cut {cut}");
        }
    }

    #[test]
    fn a_burn_that_is_cut_off_anywhere_leaves_nothing_that_opens_and_is_finished() {
        is_finished_wherever_it_is_cut_off(0, destroy);
    }

    #[test]
    fn a_burn_on_a_full_disk_that_is_cut_off_is_finished_too() {
        // Before its first step nothing is gone yet.
        is_finished_wherever_it_is_cut_off(1, |dir, between| destroy_marked(dir, Err(Error::Full), between));
    }
}
