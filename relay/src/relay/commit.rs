//! What follows from events is said only once what it depends on is on disk.

use super::perform::refused;
use super::{Conn, Out, Relay};
use crate::mailbox;
use crate::metrics::Count;
use crate::outbox;
use std::collections::{BTreeMap, BTreeSet};
use subrosa_shared::id::{AccountName, DeviceId, Seq};
use subrosa_shared::protocol::envelope::Keep;
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice};
use subrosa_shared::store::{self, Kv};
use subrosa_shared::time;

impl Relay {
    /// Makes everything since the last call durable, and then releases what followed from it. When
    /// the disk is too full, what needed it is refused instead.
    ///
    /// # Errors
    /// A store that failed otherwise: nothing can be promised any more, the relay must stop.
    pub fn commit(&mut self) -> Result<Vec<Out>, store::Error> {
        let outs = self.append()?;
        self.kv.sync()?;
        Ok(outs)
    }

    /// As [`Relay::commit`], but nothing of what it returns may be said before the store is synced: by
    /// [`Kv::sync`] of [`Relay::kv`], for which the relay itself need not wait.
    ///
    /// # Errors
    /// Those of [`Relay::commit`].
    pub fn append(&mut self) -> Result<Vec<Out>, store::Error> {
        let (accounts, passwords) = (written(self.accounts.append())?, written(self.passwords.append())?);
        let doors = written(self.doors.append())?;
        // Where the list was not kept they are still in it.
        for device in std::mem::take(&mut self.group.removed) {
            if accounts == Written::Yes {
                match self.forget_device(device) {
                    Ok(()) => {}
                    Err(mailbox::Error::Broken(error)) => return Err(error),
                    Err(_) => {}
                }
            }
        }
        let mut mailbox = written(self.mailbox.append())?;
        if mailbox == Written::No && self.group.sent.is_empty() {
            // What cannot be dropped even by itself is looked at again with the next search.
            self.sweep_elsewhere();
        }
        let acks = std::mem::take(&mut self.group.acks);
        if mailbox == Written::No && !acks.is_empty() {
            for (device, seq) in &acks {
                match self.mailbox.ack(*device, *seq) {
                    Ok(()) => {}
                    Err(mailbox::Error::Broken(error)) => return Err(error),
                    Err(_) => {}
                }
            }
            // A mailbox that cannot even shrink keeps them until there is room.
            if written(self.mailbox.append())? == Written::No {
                for (device, seq) in acks {
                    let late = self.late.acks.entry(device).or_insert(seq);
                    *late = seq.max(*late);
                }
            }
            mailbox = Written::No;
        }
        for (conn, to, now) in std::mem::take(&mut self.group.sent) {
            if mailbox == Written::No {
                self.hold_back(conn, &to, Refusal::StorageFull, now);
            }
        }
        let is_kept = |tables| {
            let written = match tables {
                Tables::Accounts => accounts,
                Tables::Passwords => passwords,
                Tables::Doors => doors,
                Tables::Mailboxes => mailbox,
            };
            written == Written::Yes
        };
        for (tables, what, by) in std::mem::take(&mut self.group.counts) {
            if is_kept(tables) {
                self.metrics.add(what, by);
            }
        }
        let mut outs = Vec::with_capacity(self.group.outs.len());
        // What is lost may end connections, which may say more.
        while !self.group.outs.is_empty() {
            for pending in std::mem::take(&mut self.group.outs) {
                match pending {
                    Pending::Now(out) => outs.push(out),
                    Pending::After { tables, kept, .. } if is_kept(tables) => outs.push(kept),
                    Pending::Lookup { conn, found, .. } if is_kept(Tables::Accounts) => {
                        outs.push(Out::Frame(conn, found));
                    }
                    Pending::Lookup { conn, asked, .. } => {
                        // What was found may be undone: it is as it was before.
                        let found = self.found(&asked)?.unwrap_or_else(|| {
                            self.metrics.refuse(Refusal::UnknownAccount);
                            refused(asked.ask, Refusal::UnknownAccount)
                        });
                        outs.push(Out::Frame(conn, found));
                    }
                    Pending::After { lost, .. } => {
                        // What was only to be told is refused to nobody.
                        if !lost.is_empty() {
                            self.metrics.refuse(Refusal::StorageFull);
                        }
                        for out in lost {
                            if let Out::Close(conn, why) = out
                                && self.links.contains_key(&conn)
                            {
                                self.metrics.close(why);
                                self.gone(conn);
                            }
                            outs.push(out);
                        }
                    }
                }
            }
        }
        self.group.bytes = 0;
        for conn in std::mem::take(&mut self.group.wake) {
            if mailbox == Written::No {
                self.take_back_newest(conn)?;
            }
            self.deliver(conn, &mut outs)?;
        }
        Ok(outs)
    }

    /// Who logged in with a group that was undone saw what was taken in it: those numbers are given out again.
    fn take_back_newest(&mut self, conn: Conn) -> Result<(), store::Error> {
        let device = self.links.get_mut(&conn).and_then(|link| link.device.as_mut());
        let Some(device) = device else { return Ok(()) };
        match self.mailbox.status(device.id) {
            Ok(status) => device.newest = device.newest.min(status.newest),
            Err(mailbox::Error::Broken(error)) => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// Tries acknowledgements again that found no room; when to go on.
    pub(super) fn late_acks(&mut self, now: time::Now) -> Option<time::Millis> {
        // Those that are tried now too: they may be late again after the commit.
        let any = !self.late.acks.is_empty();
        if any && self.late.next <= now.mono {
            self.late.next = time::Millis(now.mono.0 + LATE_MS);
            for (device, seq) in std::mem::take(&mut self.late.acks) {
                // What fails now fails at the commit too, which keeps it for the next time.
                if self.mailbox.ack(device, seq).is_ok() {
                    self.group.acks.push((device, seq));
                }
            }
        }
        any.then_some(self.late.next)
    }

    /// Hands out what waits in the mailbox, as far as the window goes. What is passed by is erased: nobody would
    /// acknowledge it.
    fn deliver(&mut self, conn: Conn, outs: &mut Vec<Out>) -> Result<(), store::Error> {
        let Some(device) = self.links.get_mut(&conn).and_then(|link| link.device.as_mut()) else {
            return Ok(());
        };
        let limits = &self.config.limits;
        let mut passed_by = false;
        loop {
            let count = (limits.window_envelopes as usize).saturating_sub(device.unacked.len());
            let bytes = (limits.window_bytes as usize).saturating_sub(device.unacked_bytes);
            if count == 0 || bytes == 0 || self.draining {
                break;
            }
            let waiting = match self.mailbox.after(device.id, device.cursor, count, bytes) {
                Ok(waiting) if waiting.is_empty() => break,
                Ok(waiting) => waiting,
                Err(mailbox::Error::Broken(error)) => return Err(error),
                Err(_) => break,
            };
            for next in waiting {
                let seq = next.delivery.seq;
                device.cursor = seq;
                if next.keep == Keep::Fleeting && seq <= device.newest {
                    passed_by = true;
                    continue;
                }
                let size = next.size();
                device.unacked.push_back((seq, size));
                device.unacked_bytes += size;
                self.metrics.count(Count::Delivered);
                outs.push(Out::Frame(conn, ToDevice::Deliver(next.delivery)));
            }
        }
        // Behind what was handed out it goes with the acknowledgement of that.
        if passed_by && device.unacked.is_empty() {
            match self.mailbox.ack(device.id, device.cursor) {
                Ok(()) => self.group.acks.push((device.id, device.cursor)),
                Err(mailbox::Error::Broken(error)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the running group removes a device: what that one asks for comes after it.
    pub(crate) fn removes(&self) -> bool {
        !self.group.removed.is_empty()
    }

    /// Bytes that the running group says so far, whatever it writes.
    pub(crate) fn said(&self) -> u64 {
        self.group.bytes
    }

    pub(super) fn say(&mut self, out: Out) {
        if let Out::Frame(_, frame) = &out {
            self.group.bytes += outbox::weight(frame) as u64;
        }
        self.group.outs.push(Pending::Now(out));
    }

    /// Counts something once that is written.
    pub(super) fn count_after(&mut self, tables: Tables, what: Count) {
        self.group.counts.push((tables, what, 1));
    }

    /// Answers once that is written, or refuses.
    pub(super) fn answer_after(&mut self, tables: Tables, conn: Conn, ask: Ask, kept: ToDevice) {
        let lost = vec![Out::Frame(conn, refused(ask, Refusal::StorageFull))];
        self.group.outs.push(Pending::After { tables, kept: Out::Frame(conn, kept), lost });
    }

    /// Answers a question about an account, once what was found is written.
    pub(super) fn answer_lookup(&mut self, conn: Conn, asked: Lookup, found: ToDevice) {
        self.group.bytes += outbox::weight(&found) as u64;
        self.group.outs.push(Pending::Lookup { conn, asked, found });
    }

    /// Lets a connection go on once that is written, or ends it.
    pub(super) fn lets_in_after(&mut self, tables: Tables, conn: Conn, kept: ToDevice) {
        let why = Refusal::StorageFull;
        let lost = vec![Out::Frame(conn, ToDevice::Refused { ask: None, why }), Out::Close(conn, why)];
        self.group.outs.push(Pending::After { tables, kept: Out::Frame(conn, kept), lost });
    }

    /// Tells a connection something once that is written, or nothing.
    pub(super) fn tell_after(&mut self, tables: Tables, conn: Conn, kept: ToDevice) {
        self.group.outs.push(Pending::After { tables, kept: Out::Frame(conn, kept), lost: Vec::new() });
    }
}

/// What happened since the last commit.
#[derive(Default)]
pub(super) struct Group {
    pub outs: Vec<Pending>,
    /// What is counted once it is written.
    pub counts: Vec<(Tables, Count, u64)>,
    /// Bytes of those that are said whatever is written.
    pub bytes: u64,
    /// Devices that are removed from their accounts once their lists are written.
    pub removed: Vec<DeviceId>,
    /// Whose envelopes they are, and for whom: what follows one that was lost is held back.
    pub sent: Vec<(Conn, Vec<DeviceId>, time::Now)>,
    /// Connections whose mailbox may hold something for them.
    pub wake: BTreeSet<Conn>,
    /// Done again by themselves when the disk was too full for the group: they make room.
    pub acks: Vec<(DeviceId, Seq)>,
}

/// Acknowledgements that found no room on the disk: the last one of each device.
#[derive(Default)]
pub(super) struct Late {
    acks: BTreeMap<DeviceId, Seq>,
    /// When they are tried again.
    next: time::Millis,
}

/// How often they are, in milliseconds.
const LATE_MS: u64 = 1000;

/// Something to say once it is true.
pub(super) enum Pending {
    /// Depends on nothing.
    Now(Out),
    /// Depends on what these write.
    After { tables: Tables, kept: Out, lost: Vec<Out> },
    /// Looked up among what may not be written yet: looked up again if it never is.
    Lookup { conn: Conn, asked: Lookup, found: ToDevice },
}

/// A question about an account.
#[derive(Clone)]
pub(super) struct Lookup {
    pub ask: Ask,
    pub name: AccountName,
    /// Its list is wanted, the first version and those from this one on; `None`: its certificates alone.
    pub from: Option<u32>,
}

/// What writes for itself: where one finds no room, the others may.
#[derive(Clone, Copy)]
pub(super) enum Tables {
    Accounts,
    Passwords,
    Doors,
    Mailboxes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    No,
}

fn written(appended: Result<(), store::Error>) -> Result<Written, store::Error> {
    match appended {
        Ok(()) => Ok(Written::Yes),
        Err(store::Error::Full) => Ok(Written::No),
        Err(error) => Err(error),
    }
}
