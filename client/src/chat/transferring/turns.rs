//! Transfers get their turns: at a login, after a wait, when another is over.

use crate::chat::Link;
use crate::chat::talk::Talk;
use crate::chat::timeline::{LINES, Line, unplace};
use crate::chat::transfer::{Kept, Phase, Run, Transfer};
use crate::effect::Effect;
use crate::files::{Download, Order, Upload};
use subrosa_shared::content::Content;
use subrosa_shared::content::file::File;
use subrosa_shared::id::{MessageId, RoomId};
use subrosa_shared::protocol::blob::STREAMS;
use subrosa_shared::store::Error;
use subrosa_shared::time::{Millis, Now};

/// Transfers of one direction that run at the same time: who sends much does not hold up what is sent to them.
const ONE_WAY: usize = 2;

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

    /// Gives orders for what has its turn, and halts what stands back for it.
    pub(in crate::chat) fn run_transfers(&mut self, now: Now) {
        if self.chat.link != Link::Online {
            return;
        }
        let live = self.chat.transfers.iter().rev().filter(|it| it.run == Run::Going || it.wants_turn(now));
        let (back, moving): (Vec<&Transfer>, Vec<&Transfer>) =
            live.partition(|it| it.kept.phase == Phase::Cancelling);
        // What is taken back needs a stream, too.
        let chosen = turns(&moving, STREAMS - usize::from(!back.is_empty()));
        let (runs, waits): (Vec<&Transfer>, Vec<&Transfer>) =
            moving.into_iter().partition(|it| chosen.contains(&it.id));
        let halts: Vec<MessageId> =
            waits.into_iter().filter(|it| it.run != Run::Idle).map(|it| it.id).collect();
        let begins = back.into_iter().chain(runs).filter(|it| it.run != Run::Going);
        let begins: Vec<(MessageId, Kept)> = begins.map(|it| (it.id, it.kept.clone())).collect();
        for id in halts {
            if let Ok(transfer) = self.transfer_mut(id) {
                transfer.rest();
            }
            self.effects.push(Effect::Transfer(Order::Stop(id)));
            self.tell_file(id);
        }
        for (id, kept) in begins {
            let order = match kept.phase {
                Phase::Cancelling => Some(Order::Delete(id, kept.blob)),
                _ => self.order(id, kept),
            };
            let Some(order) = order else {
                self.file_gone(id);
                continue;
            };
            self.effects.push(Effect::Transfer(order));
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
            let begun = kept.path.is_some() && !kept.named;
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

/// Which of these run, of which the older come first; no more than there is room for. What the person asked
/// for goes before what is fetched by itself, and what runs before what waits.
fn turns(live: &[&Transfer], room: usize) -> Vec<MessageId> {
    let mut live = live.to_vec();
    live.sort_by_key(|it| (!(it.kept.up || it.kept.asked), it.run != Run::Going));
    let mut left = [ONE_WAY; 2];
    live.retain(|it| {
        let left = &mut left[usize::from(it.kept.up)];
        let fits = *left > 0;
        *left -= usize::from(fits);
        fits
    });
    live.into_iter().take(room).map(|it| it.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests::{alone, film};
    use crate::chat::timeline::{Author, LineState};
    use crate::chat::transferring::file_line;
    use crate::files::{End, Report};
    use std::path::PathBuf;
    use subrosa_shared::id::AccountName;

    const NOW: Now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };

    /// A client to whom Ben offers so many files; the oldest is number 0.
    fn offered(files: u8) -> Talk {
        let mut talk = alone(NOW);
        let room = talk.room_with(&AccountName::parse("ben").expect("valid"), NOW);
        for number in 0..files {
            let line = file_line(film(MessageId([number; 16])), Author::Them, LineState::Received);
            talk.offer(room, &line, NOW);
            talk.push_line(room, line, NOW);
        }
        talk
    }

    /// Which of these run: `u` is an upload, `a` a download that was asked for, `d` another one. Capital ones
    /// run already.
    fn run(live: &str, room: usize) -> Vec<usize> {
        let mut talk = offered(live.len() as u8);
        talk.chat.transfers.reverse();
        for (transfer, kind) in talk.chat.transfers.iter_mut().zip(live.chars()) {
            (transfer.kept.up, transfer.kept.asked) = ("uU".contains(kind), "aA".contains(kind));
            transfer.run = if kind.is_uppercase() { Run::Going } else { Run::Idle };
        }
        let live: Vec<&Transfer> = talk.chat.transfers.iter().collect();
        let mut runs: Vec<usize> = turns(&live, room).iter().map(|id| usize::from(id.0[0])).collect();
        runs.sort_unstable();
        runs
    }

    #[test]
    fn neither_direction_holds_up_the_other_nor_what_comes_by_itself_what_was_asked_for() {
        assert_eq!(run("dddd", 3), [0, 1], "the oldest");
        assert_eq!(run("dddu", 3), [0, 1, 3], "an upload behind many pictures");
        assert_eq!(run("uuud", 3), [0, 1, 3], "a picture behind many uploads");
        assert_eq!(run("uudd", 3), [0, 1, 2]);
        assert_eq!(run("DDa", 3), [0, 2], "what is asked for");
        assert_eq!(run("aAA", 3), [1, 2], "what runs goes on");
        assert_eq!(run("DDU", 2), [0, 2], "beside what is taken back");
    }

    #[test]
    fn what_is_taken_back_has_a_stream_and_what_stands_back_for_it_goes_on_afterwards() {
        let mut talk = offered(4);
        talk.chat.link = Link::Online;
        for transfer in &mut talk.chat.transfers {
            transfer.kept.phase = Phase::Active;
            transfer.kept.up = transfer.id.0[0] > 1;
            transfer.kept.path = Some(PathBuf::from("/films"));
        }
        talk.transfer_mut(MessageId([3; 16])).expect("offered").kept.phase = Phase::Done;
        let runs = |talk: &mut Talk| {
            talk.run_transfers(NOW);
            let orders = talk.settle().into_iter().filter_map(|effect| match effect {
                Effect::Transfer(Order::Download(job)) => Some(("down", job.id.0[0])),
                Effect::Transfer(Order::Upload(job)) => Some(("up", job.id.0[0])),
                Effect::Transfer(Order::Delete(id, _)) => Some(("delete", id.0[0])),
                Effect::Transfer(Order::Stop(id)) => Some(("stop", id.0[0])),
                _ => None,
            });
            orders.collect::<Vec<_>>()
        };
        assert_eq!(runs(&mut talk), [("down", 0), ("down", 1), ("up", 2)]);
        talk.transfer_mut(MessageId([3; 16])).expect("offered").kept.phase = Phase::Cancelling;
        assert_eq!(runs(&mut talk), [("stop", 1), ("delete", 3)]);
        // What it said before it heard of that.
        talk.file_report(Report::Moved(MessageId([1; 16]), 5), NOW).expect("memory");
        assert!(runs(&mut talk).is_empty());
        talk.file_report(Report::Ended(MessageId([3; 16]), End::Deleted), NOW).expect("memory");
        assert_eq!(runs(&mut talk), [("down", 1)]);
    }

    #[test]
    fn a_file_is_saved_where_the_settings_say_at_that_time() {
        let mut talk = offered(1);
        talk.config.files.folder = "films/since".into();
        let kept = talk.chat.transfers[0].kept.clone();
        let Some(Order::Download(job)) = talk.order(MessageId([0; 16]), kept) else {
            panic!("its message is there")
        };
        let folder = job.folder.expect("one is set");
        assert!(folder.is_absolute() && folder.ends_with("films/since"), "{}", folder.display());
    }
}
