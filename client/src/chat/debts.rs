//! What is owed to single devices beside what people are owed: kept until it is in the outbox, so that no
//! crash forgets it. What came was acknowledged by then, and comes again for nobody.

use super::groups::room_id;
use super::talk::{RECEIPT_DELAY, Talk};
use std::collections::{BTreeMap, BTreeSet};
use subrosa_shared::content::own::Own;
use subrosa_shared::content::rooms::{AboutRoom, RoomTalk};
use subrosa_shared::content::{Content, Mark, RECEIPT_MAX};
use subrosa_shared::id::{DeviceId, MessageId, RoomTag, SessionId};
use subrosa_shared::session::Why;
use subrosa_shared::store::{Error, Order, Table};
use subrosa_shared::time::Now;

/// `device ‖ message id` → nothing: a receipt for a copy that another own device sent; or 1: the same, and what
/// was deleted by it never went out from here. `device` alone → a session that does not open here, which it is
/// to be told. `device ‖ 1` → a session that does not open there, and in whose place none was begun yet.
/// `device ‖ 2` → nothing: an own device that was to be told something, and there was no session for it.
/// `device ‖ 3 ‖ room` → nothing: the same, that the invitation into that room was declined.
const DEBTS: Table = Table { byte: 0x4b, name: "owed to devices" };

/// In place of a message id.
const HEARD: &[u8] = &[1];
/// The same.
const GREETING: &[u8] = &[2];
/// The same, and a room follows.
const DECLINED: &[u8] = &[3];

/// Receipts for copies, by whose they are. [`Mark::Read`] is for a line that is deleted and never went out: of
/// that nobody but own devices need hear.
pub(super) type Copies = BTreeMap<DeviceId, Vec<(MessageId, Mark)>>;

impl Talk {
    /// Reads what an earlier run owed.
    pub(super) fn load_debts(&mut self, now: Now) -> Result<(), Error> {
        for (key, value) in self.store.records.scan(DEBTS, &[], &[], Order::Forward, usize::MAX)? {
            let damaged = || Error::Damaged("what is owed to a device".into());
            let (device, id) = key.split_first_chunk::<16>().ok_or_else(damaged)?;
            let device = DeviceId(*device);
            if let Some(room) = id.strip_prefix(DECLINED).and_then(|room| room.try_into().ok()) {
                self.greetings.entry(device).or_default().insert(RoomTag(room));
                continue;
            }
            match <[u8; 16]>::try_from(id) {
                // It is none of ours any more.
                Ok(_) if !self.is_sibling(&device) => self.batch.delete(DEBTS, key),
                Ok(id) => {
                    let mark = if value.is_empty() { Mark::Delivered } else { Mark::Read };
                    self.copies.entry(device).or_default().push((MessageId(id), mark));
                    self.receipts_due = Some(now.mono);
                }
                Err(_) if id == GREETING => {
                    self.greetings.entry(device).or_default();
                }
                Err(_) => {
                    let session = SessionId(value.try_into().map_err(|_| damaged())?);
                    match id {
                        HEARD => self.heard.entry(device).or_default().unknown(session),
                        _ => self.resets.entry(device).or_default().unknown(session, session.0),
                    }
                }
            }
        }
        Ok(())
    }

    /// Owes another own device a receipt for something that it copied here.
    pub(super) fn owe_copy(&mut self, device: DeviceId, id: MessageId, mark: Mark, now: Now) {
        let value = if mark == Mark::Read { vec![1] } else { vec![] };
        self.batch.put(DEBTS, [device.0, id.0].concat(), value);
        self.copies.entry(device).or_default().push((id, mark));
        self.receipts_due.get_or_insert(now.mono.plus(RECEIPT_DELAY));
    }

    /// Receipts for copies, gathered.
    pub(super) fn receipt_copies(&mut self, now: Now) {
        for (device, copies) in std::mem::take(&mut self.copies) {
            for mark in [Mark::Delivered, Mark::Read] {
                let ids: Vec<MessageId> =
                    copies.iter().filter(|(_, owed)| *owed == mark).map(|(id, _)| *id).collect();
                for chunk in ids.chunks(RECEIPT_MAX) {
                    let receipt = Content::Receipt { ids: chunk.to_vec(), mark };
                    self.transmit_to(device, None, receipt, Why::Signal, now);
                }
            }
        }
    }

    /// Owes a device a word on a session that does not open here.
    pub(super) fn owe_reset(&mut self, device: DeviceId, session: SessionId, sign: [u8; 16]) {
        let resets = self.resets.entry(device).or_default();
        resets.unknown(session, sign);
        if let Some(session) = resets.owed() {
            self.batch.put(DEBTS, device.0, session.0.to_vec());
        }
    }

    /// Owes a device another session than the one that it cannot open.
    pub(super) fn owe_start(&mut self, device: DeviceId, session: SessionId) {
        let heard = self.heard.entry(device).or_default();
        heard.unknown(session);
        if let Some(session) = heard.owed() {
            self.batch.put(DEBTS, [&device.0[..], HEARD].concat(), session.0.to_vec());
        }
    }

    /// The session that a device cannot open, when it is time to begin another.
    pub(super) fn start_due(&mut self, device: &DeviceId, now: Now) -> Option<SessionId> {
        let session = self.heard.get_mut(device)?.take(now.mono)?;
        self.batch.delete(DEBTS, [&device.0[..], HEARD].concat());
        Some(session)
    }

    /// Something that [`Talk::greet_owed`] says too waits for a session with an own device, in memory alone.
    pub(super) fn owe_greeting(&mut self, device: DeviceId, content: &Content) {
        let owed = self.greetings.entry(device).or_insert_with(|| {
            self.batch.put(DEBTS, [&device.0[..], GREETING].concat(), vec![]);
            BTreeSet::new()
        });
        if let Content::Room(AboutRoom { room, talk: RoomTalk::Decline }) = content
            && owed.insert(*room)
        {
            self.batch.put(DEBTS, [&device.0[..], DECLINED, &room.0].concat(), vec![]);
        }
    }

    /// Nothing waits for a session with that device any more.
    pub(super) fn greeted(&mut self, device: &DeviceId) {
        if let Some(declined) = self.greetings.remove(device) {
            self.batch.delete(DEBTS, [&device.0[..], GREETING].concat());
            for room in declined {
                self.batch.delete(DEBTS, [&device.0[..], DECLINED, &room.0].concat());
            }
        }
    }

    /// Tells own devices everything for which something waited in the memory of an earlier run.
    pub(super) fn greet_owed(&mut self, now: Now) {
        for (device, declined) in self.greetings.clone() {
            if self.is_sibling(&device) {
                self.greet(device, now);
                for room in declined {
                    // One that came anew is for the person to decide on.
                    if self.chat.group(room_id(room)).is_none() {
                        let decline = Content::Room(AboutRoom { room, talk: RoomTalk::Decline });
                        self.transmit_to(device, None, decline, Why::Signal, now);
                    }
                }
            } else {
                // It is none of ours any more.
                self.greeted(&device);
            }
        }
    }

    /// Something for a device is in the outbox: what it says is owed no longer.
    pub(super) fn paid(&mut self, device: DeviceId, content: &Content) {
        match content {
            Content::Receipt { ids, .. } => {
                for id in ids {
                    self.batch.delete(DEBTS, [device.0, id.0].concat());
                }
            }
            Content::Reset { .. }
                if self.resets.get(&device).is_none_or(|resets| resets.owed().is_none()) =>
            {
                self.batch.delete(DEBTS, device.0);
            }
            _ => {}
        }
    }

    /// A device is told nothing of unknown sessions any more.
    pub(super) fn forget_resets(&mut self, device: &DeviceId) {
        self.resets.remove(device);
        self.batch.delete(DEBTS, device.0);
    }

    /// What a device cannot open is heeded no more.
    pub(super) fn forget_heard(&mut self, device: &DeviceId) {
        self.heard.remove(device);
        self.batch.delete(DEBTS, [&device.0[..], HEARD].concat());
    }

    /// Nothing more is owed to a device that is gone.
    pub(super) fn forget_debts(&mut self, device: &DeviceId) {
        self.forget_resets(device);
        self.forget_heard(device);
        self.greeted(device);
        for (id, _) in self.copies.remove(device).unwrap_or_default() {
            self.batch.delete(DEBTS, [device.0, id.0].concat());
        }
    }
}

/// Whether [`Talk::greet_owed`] says it anew.
pub(super) fn greets(content: &Content) -> bool {
    matches!(
        content,
        Content::Room(_)
            | Content::Own(
                Own::Fields(_) | Own::RoomFields(_) | Own::Named { .. } | Own::Profile(_) | Own::Backup(_)
            )
    )
}
