//! Received pictures written as y4m, on a thread of their own.

use crate::media::y4m::Writer;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use subrosa_shared::video::picture::Picture;
use tokio::sync::mpsc::UnboundedSender;

/// Pictures that wait for the file at most; later ones are left out.
const QUEUE: usize = 8;

/// A file or pipe that takes pictures, seen from the client.
pub struct Sink {
    /// As it was named.
    pub path: PathBuf,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Sink {
    /// Makes the file, which must not exist, or takes a named pipe; gives what the studio calls for
    /// each picture. The file is complete after each picture. When it breaks, `faults` gets a
    /// sentence.
    ///
    /// # Errors
    /// A sentence.
    pub fn open(
        path: &Path,
        fps: u32,
        faults: UnboundedSender<String>,
    ) -> Result<(Self, crate::studio::Sink), String> {
        let file = match std::fs::metadata(path) {
            Ok(is) if is.is_file() => {
                return Err(format!("{} exists already: choose another name", path.display()));
            }
            Ok(is) if is.is_dir() => return Err(format!("{} is a folder", path.display())),
            // A pipe opens when its reader comes, which the thread waits for.
            Ok(_) => None,
            Err(_) => Some(OpenOptions::new().write(true).create_new(true).open(path).map_err(failed(path))?),
        };
        let counts = Arc::new(Counts::default());
        let (pictures, waiting) = sync_channel::<Picture>(QUEUE);
        let (target, counted) = (path.to_path_buf(), counts.clone());
        std::thread::Builder::new()
            .name("sink".into())
            .spawn(move || {
                if let Err(error) = write(file, &target, fps, &waiting, &counted.written) {
                    // The client may be gone, and with it whom to tell.
                    let _ = faults.send(failed(&target)(error));
                }
            })
            .map_err(|error| error.to_string())?;
        let counted = counts.clone();
        let take = move |picture: &Picture| {
            // The decoder must not wait for a slow disk or reader.
            if let Err(TrySendError::Full(_)) = pictures.try_send(picture.clone()) {
                counted.dropped.fetch_add(1, Ordering::Relaxed);
            }
        };
        Ok((Self { path: path.to_path_buf(), counts }, Box::new(take)))
    }

    /// Pictures written so far.
    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// Pictures left out because the file or its reader was slow.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }
}

/// Runs until the studio lets go of the sink.
fn write(
    file: Option<File>,
    path: &Path,
    fps: u32,
    pictures: &Receiver<Picture>,
    written: &AtomicU64,
) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        None => OpenOptions::new().write(true).open(path)?,
    };
    let mut writer = Writer::new(BufWriter::new(file), fps);
    for picture in pictures {
        writer.write(&picture)?;
        written.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn failed(path: &Path) -> impl Fn(io::Error) -> String {
    let path = path.display().to_string();
    move |error| format!("{path} could not be written: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::y4m::Reader;
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn a_file_gets_the_pictures_and_is_never_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("out.y4m");
        let (faults, mut told) = unbounded_channel();
        let (sink, mut take) = Sink::open(&path, 10, faults.clone()).expect("a new file");
        let picture = Picture::grey(16, 16).expect("in bounds");
        take(&picture);
        take(&picture);
        drop(take);
        // The thread drops its sender when it has written everything.
        drop(faults);
        assert_eq!(told.blocking_recv(), None);
        assert_eq!((sink.written(), sink.dropped()), (2, 0));
        let bytes = std::fs::read(&path).expect("written");
        let mut reader = Reader::open(bytes.as_slice()).expect("y4m");
        assert!(reader.next_picture().expect("whole").is_some());
        assert!(reader.next_picture().expect("whole").is_some());
        assert!(reader.next_picture().expect("the end").is_none());
        let (faults, _told) = unbounded_channel();
        assert!(Sink::open(&path, 10, faults.clone()).is_err_and(|why| why.contains("exists")));
        assert!(Sink::open(dir.path(), 10, faults).is_err());
    }
}
