//! What a journal and its store hold when they are opened, and whether the one follows from the other.

use super::super::journal::{self, LONGEST, Mark, Run};
use super::super::{Error, Write};
use super::{FILES, FULL_BYTES, Layer, end, joined};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Where a store goes on.
pub(super) struct Found {
    pub(super) mark: Mark,
    /// The last frame that is in the store.
    pub(super) applied: u64,
    pub(super) files: Option<[File; 2]>,
    /// The file that is written.
    pub(super) current: usize,
    pub(super) at: usize,
    pub(super) next: u64,
    pub(super) active: Layer,
    /// Of the other file, as far as it is not in the store for certain.
    pub(super) full: Layer,
    pub(super) full_last: Option<u64>,
    pub(super) cut_off: bool,
}

/// What the store says of the journal: the last frame that is in the store, the mark, and a frame up to which
/// all were there when that was noted.
pub(super) fn note(applied: u64, mark: Mark, there: u64) -> Vec<u8> {
    [applied.to_be_bytes().as_slice(), &mark.0, &there.to_be_bytes()].concat()
}

/// Reads one. The first version did not say what was there.
fn noted(note: &[u8]) -> Option<(u64, Mark, u64)> {
    let (applied, rest) = note.split_first_chunk()?;
    let (mark, there) = rest.split_first_chunk()?;
    let applied = u64::from_be_bytes(*applied);
    let there = if there.is_empty() { applied } else { u64::from_be_bytes(there.try_into().ok()?) };
    Some((applied, Mark(*mark), there))
}

impl Found {
    /// Reads both files and holds them against the store's note; changes nothing.
    pub(super) fn read(dir: &Path, note: &[u8], fresh: Mark) -> Result<Self, Error> {
        if note.is_empty() {
            return Self::before_the_first(dir, fresh);
        }
        let Some((applied, mark, there)) = noted(note) else {
            return Err(Error::Damaged("what it says of its journal cannot be read".into()));
        };
        let [(one, first), (two, second)] = [load(&dir.join(FILES[0]))?, load(&dir.join(FILES[1]))?];
        let runs = [run(&first, mark)?, run(&second, mark)?];
        let last = runs.each_ref().map(|run| run.frames.last().map_or(0, |(number, _)| *number));
        let current = usize::from(last[1] > last[0]);
        let newest = last[current];
        if newest < applied {
            return Err(Error::Damaged(format!(
                "its journal ends with commit {newest}, and the store holds up to {applied}"
            )));
        }
        if [&first, &second].into_iter().any(|bytes| journal::has_later(bytes, mark, newest)) {
            return Err(Error::Damaged(format!(
                "commit {} cannot be read in its journal, and later ones are there",
                newest + 1
            )));
        }
        if newest < there {
            return Err(Error::Damaged(format!(
                "its journal ends with commit {newest}, and held up to {there} when it was closed"
            )));
        }
        if let Some(synced) = end::read(dir, mark)?.filter(|synced| newest < *synced) {
            return Err(Error::Damaged(format!(
                "its journal ends with commit {newest}, and held up to {synced}: what was acknowledged is missing \
                 (to go on without it, remove {})",
                dir.join(end::NAME).display()
            )));
        }
        let cut_off = runs.iter().any(|run| run.cut_off);
        let at = runs[current].end;
        let mut layers = [Layer::new(), Layer::new()];
        let mut follows = applied + 1;
        let mut full_last = None;
        let mut runs = runs.map(Some);
        // The file that is not written any more has the older ones.
        for file in [1 - current, current] {
            for (number, writes) in runs[file].take().into_iter().flat_map(|run| run.frames) {
                if number <= applied {
                    continue;
                }
                if number != follows {
                    return Err(Error::Damaged(format!(
                        "its journal lacks the commits from {follows} to {}",
                        number - 1
                    )));
                }
                follows += 1;
                lay(&mut layers[file], writes);
                if file != current {
                    full_last = Some(number);
                }
            }
        }
        let active = std::mem::take(&mut layers[current]);
        let full = std::mem::take(&mut layers[1 - current]);
        let (files, next) = (Some([one, two]), newest + 1);
        Ok(Self { mark, applied, files, current, at, next, active, full, full_last, cut_off })
    }

    /// A store that has no journal yet.
    fn before_the_first(dir: &Path, mark: Mark) -> Result<Self, Error> {
        for name in FILES {
            // They are made empty, and the store notes it before the first frame.
            if fs::metadata(dir.join(name)).is_ok_and(|about| about.len() > 0) {
                return Err(Error::Damaged(format!("it does not know of its {name}: it is of another time")));
            }
        }
        Ok(Self {
            mark,
            applied: 0,
            files: None,
            current: 0,
            at: 0,
            next: 1,
            active: Layer::new(),
            full: Layer::new(),
            full_last: None,
            cut_off: false,
        })
    }
}

fn load(path: &Path) -> Result<(File, Vec<u8>), Error> {
    let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Damaged(format!("its {} is missing", name())));
        }
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.len() > (2 * FULL_BYTES + LONGEST) as u64 {
        return Err(Error::Damaged(format!("its {} is longer than any of ours", name())));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

fn run(bytes: &[u8], mark: Mark) -> Result<Run, Error> {
    journal::read(bytes, mark).map_err(|_| Error::Damaged("its journal holds what no commit is".into()))
}

fn lay(layer: &mut Layer, writes: Vec<Write>) {
    for write in writes {
        match write {
            Write::Put(table, key, value) => layer.insert(joined(table, &key), Some(value.to_vec())),
            Write::Delete(table, key) => layer.insert(joined(table, &key), None),
        };
    }
}
