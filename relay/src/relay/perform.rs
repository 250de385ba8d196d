//! What a frame of a device asks for, carried out.

use super::commit::{Lookup, Pending, Tables};
use super::{Conn, Device, HOLD_MS, Out, PREKEYS_LOW, Relay, held};
use crate::accounts::{Extended, Owner, Published};
use crate::config::Registration;
use crate::limits::{Wait, network};
use crate::mailbox::{self, Put};
use crate::metrics::Count;
use crate::rendezvous::Side;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use subrosa_shared::id::{AccountName, DeviceId, Seq};
use subrosa_shared::protocol::auth::Login;
use subrosa_shared::protocol::devices::Version;
use subrosa_shared::protocol::envelope::{Keep, Outgoing};
use subrosa_shared::protocol::frame::{Ask, Refusal, Slot, ToDevice, ToRelay, Welcome};
use subrosa_shared::protocol::invite::Invite;
use subrosa_shared::protocol::prekey::{self, Bundle};
use subrosa_shared::store;
use subrosa_shared::time::{Millis, Now};

/// How soon the log says again that nobody new finds a place.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);

impl Relay {
    pub(super) fn perform(&mut self, conn: Conn, frame: ToRelay, now: Now) -> Result<(), Fault> {
        let frame = match frame {
            ToRelay::Authenticate(login) => return self.log_in(conn, login, None, now),
            ToRelay::Enter(login, invite) => return self.log_in(conn, login, Some(&invite), now),
            ToRelay::OpenSlot { ask, slot } => return self.open(conn, ask, slot, now),
            ToRelay::JoinSlot { ask, slot } => return self.join(conn, ask, slot, now),
            ToRelay::Pass { slot, bytes } => {
                match self.rendezvous.pass(conn, slot, bytes.len()) {
                    Ok(to) => self.say(Out::Frame(to, ToDevice::Passed { slot, bytes })),
                    // Over for both, or never theirs.
                    Err(_) => self.end_slot(conn, slot),
                }
                return Ok(());
            }
            ToRelay::CloseSlot(slot) => {
                self.end_slot(conn, slot);
                return Ok(());
            }
            ToRelay::PasswordStart(start) => return self.password_start(conn, &start, now),
            ToRelay::PasswordFinish(ke3) => return self.password_finish(conn, &ke3, now),
            ToRelay::PasswordResume(token) => return self.password_resume(conn, &token, now),
            ToRelay::Devices { ask, name, from } => return self.devices(conn, ask, name, from),
            ToRelay::PublishDevices { ask, versions } => {
                return self.publish_devices(conn, ask, &versions, now);
            }
            frame => frame,
        };
        let Some(device) = self.links.get(&conn).and_then(|link| link.device.as_ref()) else {
            return Ok(());
        };
        let id = device.id;
        match frame {
            ToRelay::Authenticate(_)
            | ToRelay::Enter(..)
            | ToRelay::OpenSlot { .. }
            | ToRelay::JoinSlot { .. }
            | ToRelay::Pass { .. }
            | ToRelay::CloseSlot(_)
            | ToRelay::Devices { .. }
            | ToRelay::PublishDevices { .. }
            | ToRelay::PasswordStart(_)
            | ToRelay::PasswordFinish(_)
            | ToRelay::PasswordResume(_) => {}
            ToRelay::WatchDoor { ask, watch } => {
                let name = device.name.clone();
                self.watch_door(conn, &name, ask, &watch, now)?;
            }
            ToRelay::CloseDoor { ask, door, key } => self.close_door(conn, ask, door, &key)?,
            ToRelay::Knock { ask, door, bytes } => {
                let name = device.name.clone();
                self.knock(conn, (id, &name), ask, (door, bytes), now)?;
            }
            ToRelay::Prove { ask, door, bytes } => self.prove(conn, id, ask, (door, bytes))?,
            ToRelay::AnswerKnock { ask, answer } => self.answer_knock(conn, ask, answer, now)?,
            ToRelay::Publish { ask, bundles } => {
                let bundles = bundles.iter().map(|bytes| verified(bytes, id, now.wall));
                let bundles = bundles.collect::<Result<Vec<_>, _>>()?;
                let done = match self.accounts.publish(id, &bundles, now.wall)? {
                    Published::Kept => ToDevice::Done(ask),
                    Published::TooMany => ToDevice::Refused { ask: Some(ask), why: Refusal::TooLarge },
                };
                self.answer_after(Tables::Accounts, conn, ask, done);
            }
            ToRelay::DropPrekeys { ask } => {
                self.accounts.drop_prekeys(id)?;
                self.answer_after(Tables::Accounts, conn, ask, ToDevice::Done(ask));
            }
            ToRelay::Lookup { ask, name } => self.look_up(conn, Lookup { ask, name, from: None })?,
            ToRelay::Claim { ask, device } => self.claim(conn, ask, device, now)?,
            ToRelay::Send(envelope) => {
                let name = device.name.clone();
                self.send(conn, id, &name, envelope, now)?;
            }
            ToRelay::Ack(seq) => self.ack(conn, seq)?,
            ToRelay::Roster(with) => {
                let notices = self.presence.share(id, with);
                self.notify(notices);
            }
            ToRelay::OpenTrack { ask, viewers } => {
                let sfu = self.sfu.clone();
                let track = held(&sfu).open(conn, viewers, &mut *self.rng, now.mono)?;
                self.say(Out::Frame(conn, ToDevice::Published { ask, track }));
            }
            ToRelay::CloseTrack(track) => {
                let watchers = self.tracks().close(conn, track);
                self.ended(track, watchers);
            }
            ToRelay::Watch { ask, track } => {
                self.tracks().watch(conn, id, track)?;
                self.say(Out::Frame(conn, ToDevice::Watching { ask, track }));
                self.behind(conn, track, now);
            }
            ToRelay::Unwatch(track) => self.tracks().unwatch(conn, track),
            ToRelay::WantKeyframe(track) => self.behind(conn, track, now),
            ToRelay::RegisterPassword { ask, request } => {
                let answer = self.passwords.answer(&device.name, &request)?;
                self.say(Out::Frame(conn, ToDevice::PasswordAnswer { ask, answer }));
            }
            ToRelay::SetPassword { ask, set } => {
                let name = device.name.clone();
                self.passwords.set(&name, &set, now.wall)?;
                self.count_after(Tables::Passwords, Count::PasswordsSet);
                self.end_password_sessions(&name);
                self.answer_after(Tables::Passwords, conn, ask, ToDevice::Done(ask));
            }
            ToRelay::StoreState { ask, epoch, state } => {
                let name = device.name.clone();
                self.passwords.store(&name, epoch, state)?;
                self.answer_after(Tables::Passwords, conn, ask, ToDevice::Done(ask));
            }
            ToRelay::Sessions { ask } => {
                let name = device.name.clone();
                self.list_sessions(conn, ask, &name);
            }
            ToRelay::EndSession { ask, id } => {
                let name = device.name.clone();
                self.end_session(conn, ask, id, &name)?;
            }
        }
        Ok(())
    }

    /// Why an envelope may not pass one that was refused a moment ago.
    pub(super) fn held_back(
        &self,
        conn: Conn,
        frame: &ToRelay,
        now: Now,
    ) -> Option<(Refusal, Vec<DeviceId>)> {
        let device = self.links.get(&conn)?.device.as_ref().filter(|device| !device.held.is_empty())?;
        let to = to(frame);
        let keys = to.iter().map(|to| Some(*to)).chain([None].into_iter().filter(|_| !to.is_empty()));
        let holds = keys.filter_map(|key| device.held.get(&key).map(|held| (key, held)));
        let mut held = holds.filter(|(_, (until, _))| now.mono < *until);
        let (first, (_, why)) = held.next()?;
        let who = first.into_iter().chain(held.filter_map(|(who, _)| who));
        Some((*why, who.collect()))
    }

    /// A refusal that may pass holds back what follows, until the device has heard of it.
    pub(super) fn hold_back(&mut self, conn: Conn, to: &[DeviceId], why: Refusal, now: Now) {
        let Some(device) = self.links.get_mut(&conn).and_then(|link| link.device.as_mut()) else { return };
        let until = Millis(now.mono.0 + HOLD_MS);
        // Bounded: one moment's recipients of one device, whose rate is bounded.
        device.held.retain(|_, (until, _)| now.mono < *until);
        match why {
            Refusal::MailboxFull => {
                device.held.extend(to.iter().map(|to| (Some(*to), (until, why))));
            }
            Refusal::RateLimited { .. } | Refusal::StorageFull if !to.is_empty() => {
                device.held.insert(None, (until, why));
            }
            _ => {}
        }
    }

    /// Says in the log that there are as many accounts as may be, once an hour.
    fn tells_full(&mut self, most: u64, now: Now) {
        if self.told_full.is_none_or(|at| now.mono.since(at) >= TOLD_AGAIN) {
            self.told_full = Some(now.mono);
            tracing::warn!(
                accounts = most,
                "no more accounts than [limits] allows: somebody new was refused"
            );
        }
    }

    fn log_in(&mut self, conn: Conn, login: Login, invite: Option<&Invite>, now: Now) -> Result<(), Fault> {
        let Some(link) = self.links.get(&conn) else { return Ok(()) };
        let from = link.from;
        let peer = login.verify(&self.fingerprint, &link.exporter).map_err(|_| Refusal::BadSignature)?;
        let device = peer.device();
        match self.accounts.owner(&login.name, &peer)? {
            Owner::Other => return Err(Refusal::NameTaken.into()),
            Owner::Revoked => return Err(Refusal::Revoked.into()),
            Owner::Nobody if !login.register => return Err(Refusal::UnknownAccount.into()),
            Owner::Nobody if self.config.registration == Registration::Closed => {
                return Err(Refusal::RegistrationClosed.into());
            }
            // A device has one name; its owner may not take a second, whoever lists it.
            Owner::This | Owner::Nobody if self.accounts.is_another_s(device, &login.name)? => {
                return Err(Refusal::NotAllowed.into());
            }
            Owner::This => {}
            Owner::Nobody => {
                let (accounts, most) = (self.accounts.count()?, u64::from(self.config.limits.accounts));
                if accounts >= most {
                    self.tells_full(most, now);
                    return Err(Refusal::RegistrationClosed.into());
                }
                let taken = self.rates.registrations.take(&network(from), 1, now.mono);
                taken.map_err(|Wait(retry_ms)| Refusal::RateLimited { retry_ms })?;
                if self.config.registration == Registration::Invite {
                    self.use_invite(invite, now.wall)?;
                }
                self.count_after(Tables::Accounts, Count::Registrations);
            }
        }
        let before = self.online.get(&device).copied();
        if before.is_some_and(|before| before > conn) {
            // It was under way for longer than a later connection took.
            return Err(Refusal::Replaced.into());
        }
        self.accounts.settle(&login.name, &login.cert, now.wall)?;
        let left = self.accounts.left(device, now.wall)?;
        let status = self.mailbox.status(device)?;
        if let Some(before) = before {
            self.close(before, Refusal::Replaced);
        }
        self.count_after(Tables::Accounts, Count::Logins);
        tracing::debug!(conn = conn.0, name = %login.name, device = %device, "logged in");
        self.fresh.remove(&conn);
        self.blobs.login(conn, from, &login.name, device);
        self.online.insert(device, conn);
        if let Some(link) = self.links.get_mut(&conn) {
            link.device = Some(Device {
                id: device,
                name: login.name,
                since: now.wall,
                cursor: status.acked,
                newest: status.newest,
                unacked: VecDeque::new(),
                unacked_bytes: 0,
                held: BTreeMap::new(),
            });
        }
        let welcome = ToDevice::Welcome(Welcome {
            prekeys_left: left.one_time,
            last_resort_fresh: left.last_resort_fresh,
            newest: status.newest,
            clock: now.wall.0,
            era: self.era,
            motd: self.motd(),
        });
        self.lets_in_after(Tables::Accounts, conn, welcome);
        self.group.wake.insert(conn);
        Ok(())
    }

    fn devices(&mut self, conn: Conn, ask: Ask, name: AccountName, from: u32) -> Result<(), Fault> {
        let visitor = self.visitor_name(conn);
        if visitor.is_some_and(|own| own != name) {
            return Err(Refusal::NotAllowed.into());
        }
        self.look_up(conn, Lookup { ask, name, from: Some(from) })
    }

    fn look_up(&mut self, conn: Conn, asked: Lookup) -> Result<(), Fault> {
        let found = self.found(&asked)?.ok_or(Refusal::UnknownAccount)?;
        self.answer_lookup(conn, asked, found);
        Ok(())
    }

    /// What is known here of an account; `None` when there is none of that name.
    pub(super) fn found(&self, asked: &Lookup) -> Result<Option<ToDevice>, store::Error> {
        let Lookup { ask, name, from } = asked.clone();
        let versions = from.map_or(Ok(Vec::new()), |from| self.accounts.versions(&name, from))?;
        let certs = if versions.is_empty() { self.accounts.certs(&name)? } else { Some(Vec::new()) };
        Ok(certs.map(|certs| match from {
            Some(_) => ToDevice::Devices { ask, name, versions, certs },
            None => ToDevice::Account { ask, name, certs },
        }))
    }

    /// By a device of the account, or by whoever proved its password: the signatures say who may.
    fn publish_devices(&mut self, conn: Conn, ask: Ask, versions: &[Version], now: Now) -> Result<(), Fault> {
        let device = self.links.get(&conn).and_then(|link| link.device.as_ref());
        let (name, publisher) = match (device, self.visitor_name(conn)) {
            (Some(device), _) => (device.name.clone(), device.id),
            // No device has this id: a list cannot begin there.
            (None, Some(name)) => (name, DeviceId([0; 16])),
            (None, None) => return Ok(()),
        };
        match self.accounts.extend(&name, publisher, versions, now.wall)? {
            Extended::Kept(gone) => {
                self.answer_after(Tables::Accounts, conn, ask, ToDevice::Done(ask));
                self.group.removed.extend(gone);
                Ok(())
            }
            Extended::Outdated => Err(Refusal::Outdated.into()),
            Extended::Bad => Err(Refusal::BadSignature.into()),
        }
    }

    /// A device that was removed from its account, and that is written: out at once, and nothing is kept for it.
    pub(super) fn forget_device(&mut self, device: DeviceId) -> Result<(), mailbox::Error> {
        if let Some(&conn) = self.online.get(&device) {
            self.close(conn, Refusal::Revoked);
        }
        let newest = self.mailbox.status(device)?.newest;
        self.mailbox.ack(device, newest)?;
        self.group.acks.push((device, newest));
        self.mailbox.forget(device)
    }

    /// Opens a rendezvous: for a device that logged in, or for a connection that has no login.
    fn open(&mut self, conn: Conn, ask: Ask, slot: Slot, now: Now) -> Result<(), Fault> {
        let Some(link) = self.links.get(&conn) else { return Ok(()) };
        let side = link.side();
        if side == Side::New {
            let taken = self.rates.opens.take(&network(link.from), 1, now.mono);
            taken.map_err(|Wait(retry_ms)| Refusal::RateLimited { retry_ms })?;
        }
        let over = self.rendezvous.open(conn, side, slot, now.mono)?;
        self.slots_over(over);
        self.meets(conn, side);
        self.say(Out::Frame(conn, ToDevice::Done(ask)));
        Ok(())
    }

    /// Joins one: each try uses somebody's code up.
    fn join(&mut self, conn: Conn, ask: Ask, slot: Slot, now: Now) -> Result<(), Fault> {
        let Some(link) = self.links.get(&conn) else { return Ok(()) };
        let side = link.side();
        let taken = self.rates.joins.take(&network(link.from), 1, now.mono);
        taken.map_err(|Wait(retry_ms)| Refusal::RateLimited { retry_ms })?;
        // A device is in one at a time.
        let over = self.rendezvous.gone(conn);
        self.slots_over(over);
        self.rendezvous.join(conn, side, slot, now.mono)?;
        self.meets(conn, side);
        self.say(Out::Frame(conn, ToDevice::Done(ask)));
        Ok(())
    }

    fn meets(&mut self, conn: Conn, side: Side) {
        let Some(link) = self.links.get_mut(&conn).filter(|_| side == Side::New) else { return };
        link.guest = true;
        // From here on the rendezvous says how long it may stay.
        self.fresh.remove(&conn);
    }

    fn end_slot(&mut self, conn: Conn, slot: Slot) {
        let over = self.rendezvous.close(conn, slot);
        self.slots_over(over.into_iter().collect());
        // A guest has nothing else to do here.
        if self.links.get(&conn).is_some_and(|link| link.guest) {
            self.close(conn, Refusal::NotAllowed);
        }
    }

    fn claim(&mut self, conn: Conn, ask: Ask, device: DeviceId, now: Now) -> Result<(), Fault> {
        if self.accounts.name_of(device)?.is_none() {
            return Err(Refusal::UnknownDevice.into());
        }
        let bundle = self.accounts.claim(device, now.wall)?.ok_or(Refusal::NoPrekeys)?;
        let prekey = ToDevice::Prekey { ask, device, bundle };
        self.answer_after(Tables::Accounts, conn, ask, prekey);
        let left = self.accounts.left(device, now.wall)?.one_time;
        if let Some(&owner) = self.online.get(&device).filter(|_| left < PREKEYS_LOW) {
            self.tell_after(Tables::Accounts, owner, ToDevice::PrekeysLeft(left));
        }
        Ok(())
    }

    fn send(
        &mut self,
        conn: Conn,
        from: DeviceId,
        name: &AccountName,
        mut envelope: Outgoing,
        now: Now,
    ) -> Result<(), Fault> {
        let mut unknown = Vec::new();
        for head in &envelope.to {
            // Who is connected has an account.
            if !self.online.contains_key(&head.to) && self.accounts.name_of(head.to)?.is_none() {
                unknown.push(head.to);
            }
        }
        if !unknown.is_empty() {
            return Err(Fault::InTheWay(Refusal::UnknownDevice, unknown));
        }
        let accepted = Out::Frame(conn, ToDevice::Accepted(envelope.id));
        if envelope.keep == Keep::Fleeting {
            envelope.to.retain(|head| self.online.contains_key(&head.to));
            if envelope.to.is_empty() {
                self.say(accepted);
                return Ok(());
            }
        }
        let put = self.mailbox.put(from, name, &envelope, now.wall).inspect_err(|error| match error {
            mailbox::Error::Outdated => self.metrics.count(Count::HeadsOutdated),
            mailbox::Error::WrongKey => self.metrics.count(Count::HeadsWrongKey),
            _ => {}
        });
        match put? {
            Put::Stored => {
                self.count_after(Tables::Mailboxes, Count::Accepted);
                if envelope.moves.is_some() {
                    self.count_after(Tables::Mailboxes, Count::HeadsMoved);
                }
            }
            Put::Repeat => self.count_after(Tables::Mailboxes, Count::Repeats),
        }
        let rejected = ToDevice::Rejected { id: envelope.id, why: Refusal::StorageFull, who: Vec::new() };
        let lost = vec![Out::Frame(conn, rejected)];
        self.group.outs.push(Pending::After { tables: Tables::Mailboxes, kept: accepted, lost });
        self.group.sent.push((conn, envelope.to.iter().map(|head| head.to).collect(), now));
        for head in &envelope.to {
            if let Some(&recipient) = self.online.get(&head.to) {
                self.group.wake.insert(recipient);
            }
        }
        Ok(())
    }

    fn ack(&mut self, conn: Conn, seq: Seq) -> Result<(), Fault> {
        let Some(device) = self.links.get_mut(&conn).and_then(|link| link.device.as_mut()) else {
            return Ok(());
        };
        // What was not handed out cannot be on the device's disk.
        let seq = seq.min(device.cursor);
        while let Some(&(_, size)) = device.unacked.front().filter(|(first, _)| *first <= seq) {
            device.unacked.pop_front();
            device.unacked_bytes -= size;
        }
        // What was passed by behind the last one goes with it.
        let seq = if device.unacked.is_empty() { device.cursor } else { seq };
        let id = device.id;
        self.mailbox.ack(id, seq)?;
        self.group.acks.push((id, seq));
        self.group.wake.insert(conn);
        Ok(())
    }
}

/// Why a frame is not carried out.
pub(super) enum Fault {
    Refusal(Refusal),
    /// Refused because of these recipients.
    InTheWay(Refusal, Vec<DeviceId>),
    Store(store::Error),
}

impl From<Refusal> for Fault {
    fn from(why: Refusal) -> Self {
        Self::Refusal(why)
    }
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Full => Self::Refusal(Refusal::StorageFull),
            error => Self::Store(error),
        }
    }
}

impl From<mailbox::Error> for Fault {
    fn from(error: mailbox::Error) -> Self {
        match error {
            mailbox::Error::MailboxFull(who) => Self::InTheWay(Refusal::MailboxFull, who),
            mailbox::Error::Outdated => Self::Refusal(Refusal::Outdated),
            mailbox::Error::WrongKey => Self::Refusal(Refusal::NotAllowed),
            // Does not pass by itself: the sender drops it, and nothing waits behind it.
            mailbox::Error::TooManyHeads => Self::Refusal(Refusal::TooLarge),
            mailbox::Error::StorageFull => Self::Refusal(Refusal::StorageFull),
            mailbox::Error::Broken(error) => error.into(),
        }
    }
}

/// Recipients of an envelope whose order counts.
pub(super) fn to(frame: &ToRelay) -> Vec<DeviceId> {
    match frame {
        ToRelay::Send(envelope) if envelope.keep == Keep::Stored => {
            envelope.to.iter().map(|head| head.to).collect()
        }
        _ => Vec::new(),
    }
}

fn verified(bytes: &[u8], device: DeviceId, wall: Millis) -> Result<Bundle, Refusal> {
    let why = |error| match error {
        prekey::Error::Malformed => Refusal::Malformed,
        prekey::Error::Signature => Refusal::BadSignature,
        prekey::Error::Expired => Refusal::NotAllowed,
    };
    let bundle = Bundle::decode(bytes).map_err(why)?;
    bundle.verify(&device, wall).map_err(why)?;
    Ok(bundle)
}

pub(super) fn refused(ask: Ask, why: Refusal) -> ToDevice {
    ToDevice::Refused { ask: Some(ask), why }
}
