//! Receipts that are owed: gathered, and sent a few at a time.

use super::talk::{OWED, RECEIPT_DELAY, Talk};
use std::borrow::Cow;
use std::collections::BTreeSet;
use subrosa_shared::content::{Content, Mark, RECEIPT_MAX};
use subrosa_shared::id::{AccountName, MessageId, RoomId};
use subrosa_shared::session::Why;
use subrosa_shared::store::{Error, Order, prefix_end};
use subrosa_shared::time::Now;

impl Talk {
    /// Owes the person a receipt for that message.
    pub(super) fn owe(&mut self, room: RoomId, message: MessageId, mark: Mark, now: Now) {
        let owed = self.receipts.entry(room).or_default().marks.entry(message).or_insert(mark);
        *owed = (*owed).max(mark);
        if let Some(speaker) = &self.speaker {
            self.groups.authors.entry((room, message)).or_default().insert(speaker.name.clone());
        }
        // With whom it is owed to: of what was done to a line nothing else says it.
        let mut value = vec![u8::from(*owed == Mark::Read)];
        for author in self.groups.authors.get(&(room, message)).into_iter().flatten() {
            value.extend([author.as_str(), " "].concat().into_bytes());
        }
        self.batch.put(OWED, [room.0, message.0].concat(), value);
        self.receipts_due.get_or_insert(now.mono.plus(RECEIPT_DELAY));
    }

    pub(super) fn send_receipts(&mut self, now: Now) {
        self.receipts_due = None;
        self.receipt_copies(now);
        let mut gathered: Vec<_> = std::mem::take(&mut self.receipts).into_iter().collect();
        gathered.sort_unstable_by_key(|(room, _)| *room);
        for (room, receipts) in gathered {
            if self.chat.group(room).is_some() {
                self.send_receipts_in(room, &receipts.marks, now);
                continue;
            }
            for mark in [Mark::Delivered, Mark::Read] {
                let ids: Vec<MessageId> =
                    receipts.marks.iter().filter(|(_, owed)| **owed == mark).map(|(id, _)| *id).collect();
                for chunk in ids.chunks(RECEIPT_MAX) {
                    let receipt = Content::Receipt { ids: chunk.to_vec(), mark };
                    self.transmit(room, receipt, Why::Signal, None, now);
                }
            }
        }
    }

    /// A receipt is in the outbox: what it says is owed no longer.
    pub(super) fn receipted(&mut self, room: RoomId, ids: &[MessageId], mark: Mark) {
        let named = |content: &Content, id: &MessageId| -> Option<Mark> {
            let (ids, mark) = receipt_in(content)?;
            ids.contains(id).then_some(mark)
        };
        let waits = |content: &Content, id: &MessageId| named(content, id) == Some(Mark::Read);
        for id in ids {
            let gathered = self.receipts.get(&room).is_some_and(|owed| owed.marks.contains_key(id));
            let all = || self.waiting.values().chain(self.queues.values()).flatten();
            let further = || all().any(|next| next.room == Some(room) && waits(&next.content, id));
            // The same mark is still to go out to another device.
            let same = all().any(|next| next.room == Some(room) && named(&next.content, id) == Some(mark));
            // A further mark of the same message is still to go out.
            if !same && (mark == Mark::Read || !(gathered || further())) {
                self.batch.delete(OWED, [room.0, id.0].concat());
            }
        }
    }

    /// Owes nothing more in that conversation.
    pub(super) fn forget_owed(&mut self, room: RoomId) -> Result<(), Error> {
        // What is owed since this event began is not in the store yet.
        for message in self.receipts.remove(&room).unwrap_or_default().marks.into_keys() {
            self.batch.delete(OWED, [room.0, message.0].concat());
        }
        let end = prefix_end(&room.0);
        for (key, _) in self.store.records.scan(OWED, &room.0, &end, Order::Forward, usize::MAX)? {
            self.batch.delete(OWED, key);
        }
        Ok(())
    }

    pub(super) fn load_owed(&mut self, now: Now) -> Result<(), Error> {
        for (key, value) in self.store.records.scan(OWED, &[], &[], Order::Forward, usize::MAX)? {
            let Some((room, id)) = key.split_first_chunk::<16>() else { continue };
            let Ok(id) = id.try_into() else { continue };
            let mark = if value.first() == Some(&1) { Mark::Read } else { Mark::Delivered };
            let authors =
                value.get(1..).and_then(|names| std::str::from_utf8(names).ok()).unwrap_or_default();
            let authors: BTreeSet<_> =
                authors.split_whitespace().filter_map(|name| AccountName::parse(name).ok()).collect();
            if !authors.is_empty() {
                self.groups.authors.insert((RoomId(*room), MessageId(id)), authors);
            }
            self.receipts.entry(RoomId(*room)).or_default().marks.insert(MessageId(id), mark);
            self.receipts_due = Some(now.mono);
        }
        Ok(())
    }
}

/// The receipt that content is, said to a person or in a room.
fn receipt_in(content: &Content) -> Option<(Cow<'_, [MessageId]>, Mark)> {
    match content {
        Content::Receipt { ids, mark } => Some((Cow::Borrowed(ids), *mark)),
        Content::InRoom(said) => match said.open().ok()? {
            Content::Receipt { ids, mark } => Some((Cow::Owned(ids), mark)),
            _ => None,
        },
        _ => None,
    }
}
