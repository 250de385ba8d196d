//! Files on this disk and on the wire: reading and sealing, opening and saving, streams to the relay.
//!
//! What is to be done, and when it is tried again, [`crate::chat`] decides; here it is carried out.

pub mod names;
pub mod porter;
pub mod prepare;
pub mod preview;
pub mod saver;
pub mod sealer;
pub mod wire;

use std::path::PathBuf;
use subrosa_shared::content::file::Key;
use subrosa_shared::id::MessageId;
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::video::picture::Picture;

/// One thing to do with files.
#[derive(Clone, Debug)]
pub enum Order {
    /// Look whether a pasted text is a file's path; answered [`Report::Looked`].
    Look(String),
    /// Decode an image file; answered [`Report::Viewed`].
    View(MessageId, PathBuf),
    /// Read a file that is to be sent; answered [`Report::Prepared`].
    Prepare {
        /// Of the message that will tell of it.
        id: MessageId,
        /// As the person wrote it.
        path: String,
    },
    /// Send its bytes to the relay; ends with [`Report::Ended`].
    Upload(Box<Upload>),
    /// Fetch its bytes from the relay; ends with [`Report::Ended`].
    Download(Box<Download>),
    /// Stop one of these. No report follows from it.
    Stop(MessageId),
    /// Free what an upload takes at the relay; ends with [`Report::Ended`].
    Delete(MessageId, BlobId),
    /// Forget what a download left on this disk; answered [`Report::Discarded`] when nothing is left.
    Discard(MessageId, PathBuf),
}

/// An upload.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Of its message.
    pub id: MessageId,
    /// Where the file lies.
    pub path: PathBuf,
    /// As it was when it was prepared.
    pub size: u64,
    /// The same.
    pub sha256: [u8; 32],
    /// Seals it.
    pub key: Key,
    /// Where it goes.
    pub blob: BlobId,
}

/// A download.
#[derive(Clone, Debug)]
pub struct Download {
    /// Of its message.
    pub id: MessageId,
    /// What its author calls it.
    pub name: String,
    /// What its author says.
    pub size: u64,
    /// The same.
    pub sha256: [u8; 32],
    /// Opens it.
    pub key: Key,
    /// Where it lies.
    pub blob: BlobId,
    /// Where it is saved; `None`: where downloads go on this machine.
    pub folder: Option<PathBuf>,
    /// It was begun there before: it may lie there whole, and nobody wrote that down. Of no other is it looked
    /// for, since what is not fetched tells the relay, and whoever sent it, what lies here already.
    pub begun: bool,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A pasted text, and the file that it names, if it does.
    Looked {
        /// As it was pasted.
        text: String,
        /// Its path and size.
        file: Option<(PathBuf, u64)>,
    },
    /// An image file, as large as a picture is here; `None` when it is none.
    Viewed(MessageId, Option<Box<Picture>>),
    /// A file was read, or why not: a sentence.
    Prepared(MessageId, Result<prepare::Prepared, String>),
    /// The relay takes an upload, or a download has begun: it is saved in that folder.
    Begun(MessageId, Option<PathBuf>),
    /// So many bytes of the file are there.
    Moved(MessageId, u64),
    /// A transfer is over.
    Ended(MessageId, End),
    /// Nothing is left in that folder of a download that nobody goes on with there.
    Discarded(MessageId, PathBuf),
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// All of it is at the relay.
    Sent,
    /// All of it is on this disk, checked, under this path.
    Saved(PathBuf),
    /// The relay has nothing of it any more.
    Deleted,
    /// It may go on later by itself; why it stopped, for the person.
    Later(String),
    /// It will not; a sentence with the next step.
    Failed(String),
}

/// A size for people: `734 B`, `1.5 MB`, in steps of a thousand.
pub fn size_in_words(bytes: u64) -> String {
    let units = [("TB", 1_000_000_000_000u64), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_words() {
        for (bytes, want) in
            [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (104_857_600, "104.8 MB"), (1 << 40, "1.0 TB")]
        {
            assert_eq!(size_in_words(bytes), want);
        }
    }
}
