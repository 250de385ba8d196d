//! Transfers get their turns: at a login, after a wait, when another is over.

use super::AT_ONCE;
use crate::chat::Link;
use crate::chat::talk::Talk;
use crate::chat::timeline::{LINES, Line, unplace};
use crate::chat::transfer::{Kept, Phase, Run, Transfer};
use crate::effect::Effect;
use crate::files::{Download, Order, Upload};
use subrosa_shared::content::Content;
use subrosa_shared::content::file::File;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

impl Talk {
    /// The connection is back: everything that waits goes on.
    pub(in crate::chat) fn files_linked(&mut self, now: Now) {
        for transfer in &mut self.chat.transfers {
            transfer.rest();
        }
        self.run_transfers(now);
    }

    /// The relay went back in time: files are brought again that it forgot, and taken back once more.
    pub(in crate::chat) fn files_rewound(&mut self, now: Now) {
        for transfer in &mut self.chat.transfers {
            let before = transfer.kept.clone();
            transfer.rewound(now);
            if transfer.kept != before {
                transfer.save(&mut self.batch);
            }
        }
    }

    /// The connection is gone, and with it what ran.
    pub(in crate::chat) fn files_unlinked(&mut self) {
        for transfer in self.chat.transfers.iter_mut().filter(|transfer| transfer.run == Run::Going) {
            transfer.rest();
        }
    }

    /// When a transfer is tried again.
    pub(in crate::chat) fn files_due(&self) -> Option<Millis> {
        if self.chat.link != Link::Online {
            return None;
        }
        self.chat.transfers.iter().filter_map(Transfer::due).min()
    }

    /// Gives orders for what waits for its turn, oldest first.
    pub(in crate::chat) fn run_transfers(&mut self, now: Now) {
        if self.chat.link != Link::Online {
            return;
        }
        let mut going = self.chat.transfers.iter().filter(|t| t.run == Run::Going).count();
        let waiting: Vec<(MessageId, Kept)> = self
            .chat
            .transfers
            .iter()
            .rev()
            .filter(|transfer| transfer.wants_turn(now))
            .map(|transfer| (transfer.id, transfer.kept.clone()))
            .collect();
        for (id, kept) in waiting {
            if kept.phase == Phase::Cancelling {
                self.effects.push(Effect::Transfer(Order::Delete(id, kept.blob)));
            } else if going < AT_ONCE {
                going += 1;
                let Some(order) = self.order(id, kept) else {
                    self.file_gone(id);
                    continue;
                };
                self.effects.push(Effect::Transfer(order));
            } else {
                continue;
            }
            if let Ok(transfer) = self.transfer_mut(id) {
                transfer.run = Run::Going;
            }
            self.tell_file(id);
        }
    }

    pub(in crate::chat) fn order(&self, id: MessageId, kept: Kept) -> Option<Order> {
        let File { name, size, sha256, key, blob, .. } = self.file_of(id, kept.room)?;
        Some(if kept.up {
            Order::Upload(Box::new(Upload { id, path: kept.path?, size, sha256, key, blob }))
        } else {
            let begun = kept.path.is_some();
            let folder = kept.path.or_else(|| self.config.files.folder());
            Order::Download(Box::new(Download { id, name, size, sha256, key, blob, folder, begun }))
        })
    }

    /// The file of a message; `None` when it has disappeared.
    pub(in crate::chat) fn file_of(&self, id: MessageId, room: RoomId) -> Option<File> {
        // A line that came a moment ago is in memory alone.
        let lines = self.chat.room(room).into_iter().flat_map(|room| room.timeline.lines().rev());
        let here = lines.filter(|(_, line)| line.id == id).find_map(|(_, line)| line.more.file.clone());
        if let Some(attached) = here {
            return Some(attached.file);
        }
        let place = self.place_in(room, &id).ok().flatten()?;
        let (_, content) = self.told_of(&place).ok().flatten()?;
        match content.plain() {
            Ok((Content::File(file), _)) => Some(*file),
            _ => None,
        }
    }

    /// What a line says on the wire, and where.
    pub(in crate::chat) fn told_of(&self, place: &[u8]) -> Result<Option<(RoomId, Content)>, Error> {
        let Some((room, pos)) = unplace(place) else { return Ok(None) };
        let Some(bytes) = self.store.records.get(LINES, place)? else { return Ok(None) };
        let line = Line::read(&bytes).ok_or_else(|| Error::Damaged("a line of a conversation".into()))?;
        Ok(self.content_of(room, pos, line)?.map(|content| (room, content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::alone;
    use crate::chat::timeline::{Author, LineState};
    use crate::chat::transferring::file_line;
    use subrosa_shared::content::file::Key;
    use subrosa_shared::id::AccountName;
    use subrosa_shared::protocol::blob::BlobId;

    #[test]
    fn a_file_is_saved_where_the_settings_say_at_that_time() {
        let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
        let mut talk = alone(now);
        let room = talk.room_with(&AccountName::parse("ben").expect("valid"), now);
        let file = File {
            id: MessageId([1; 16]),
            at: now.wall,
            name: "film.mkv".into(),
            size: 1000,
            sha256: [2; 32],
            key: Key([3; 32]),
            blob: BlobId([4; 16]),
            caption: String::new(),
            preview: Vec::new(),
        };
        talk.config.files.folder = "films/before".into();
        let line = file_line(file, Author::Them, LineState::Received);
        talk.offer(room, &line, now);
        talk.push_line(room, line, now);
        talk.config.files.folder = "films/since".into();
        let kept = talk.chat.transfers[0].kept.clone();
        let Some(Order::Download(job)) = talk.order(MessageId([1; 16]), kept) else {
            panic!("its message is there")
        };
        let folder = job.folder.expect("one is set");
        assert!(folder.is_absolute() && folder.ends_with("films/since"), "{}", folder.display());
    }
}
