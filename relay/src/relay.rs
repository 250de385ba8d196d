//! The relay without its sockets: frames in, frames out, one commit for many of them.

use crate::accounts::{Accounts, Owner, Published};
use crate::config::{Config, Registration};
use crate::limits::{Buckets, Wait, network};
use crate::mailbox::{self, Mailbox, Put, Quota};
use crate::metrics::{Count, Metrics};
use crate::presence::{Notice, Presence};
use crate::router::{self, Answer, Cost, Phase, Step, route};
use crate::sfu::{Dropped, Forward, Sfu};
use bytes::Bytes;
use rand_core::RngCore;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subrosa_shared::id::{AccountName, DeviceId, Seq, TrackId};
use subrosa_shared::protocol::auth::Login;
use subrosa_shared::protocol::envelope::{Keep, Outgoing};
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice, ToRelay, Welcome};
use subrosa_shared::protocol::prekey::{self, Bundle};
use subrosa_shared::store::{self, Kv};
use subrosa_shared::time::{Millis, Now};

/// A connection, numbered by whoever accepts them, rising and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn(pub u64);

/// What the relay wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// A frame for a connection.
    Frame(Conn, ToDevice),
    /// A media datagram for a connection.
    Datagram(Conn, Bytes),
    /// A connection is to be closed after what it was sent before; the relay has forgotten it.
    Close(Conn, Refusal),
}

/// Accounts, mailboxes, presence and tracks.
///
/// Events come in through [`Relay::connected`], [`Relay::frame`], [`Relay::datagram`],
/// [`Relay::gone`] and [`Relay::tick`]; what follows from them comes out of [`Relay::commit`], and
/// only after everything that it depends on is on disk. One commit may serve many events.
pub struct Relay {
    config: Config,
    fingerprint: [u8; 32],
    accounts: Accounts,
    mailbox: Box<dyn Mailbox>,
    rng: Box<dyn RngCore + Send>,
    sfu: Arc<Mutex<Sfu>>,
    metrics: Arc<Metrics>,
    presence: Presence,
    links: BTreeMap<Conn, Link>,
    /// Connections without a login and when they came, oldest first.
    fresh: BTreeMap<Conn, Millis>,
    online: BTreeMap<DeviceId, Conn>,
    rates: Rates,
    group: Group,
    sweep: Sweep,
    draining: bool,
}

/// One connection.
struct Link {
    exporter: [u8; 32],
    from: IpAddr,
    device: Option<Device>,
}

/// Who logged in on a connection, and how far its mailbox was read there.
struct Device {
    id: DeviceId,
    name: AccountName,
    /// The last one handed out on this connection.
    cursor: Seq,
    /// The newest at login: fleeting envelopes up to here came too late.
    newest: Seq,
    /// Handed out and not acknowledged, with their sizes.
    unacked: VecDeque<(Seq, usize)>,
    unacked_bytes: usize,
    /// What was refused for now lets nothing behind it through for a moment, so that a sender's
    /// envelopes stay in order: towards one device, or (`None`) towards all.
    held: BTreeMap<Option<DeviceId>, (Millis, Refusal)>,
}

/// What happened since the last commit.
#[derive(Default)]
struct Group {
    outs: Vec<Pending>,
    /// Connections whose mailbox may hold something for them.
    wake: BTreeSet<Conn>,
    /// Done again by themselves when the disk was too full for the group: they make room.
    acks: Vec<(DeviceId, Seq)>,
}

/// Something to say once it is true.
enum Pending {
    /// Depends on nothing.
    Now(Out),
    /// Depends on the accounts' commit.
    Accounts { kept: Out, lost: Vec<Out> },
    /// Depends on the mailboxes' commit.
    Mailbox { kept: Out, lost: Vec<Out> },
}

/// Buckets by device, and one by network.
struct Rates {
    frames: Buckets<DeviceId>,
    sends: Buckets<DeviceId>,
    send_bytes: Buckets<DeviceId>,
    claims: Buckets<DeviceId>,
    lookups: Buckets<DeviceId>,
    registrations: Buckets<IpAddr>,
}

/// How far the search for what is out of date has come.
enum Sweep {
    /// Begins at this moment.
    At(Millis),
    /// In the mailboxes, after this one.
    Mailboxes(Option<DeviceId>),
    /// In the spent prekeys, from this key on.
    Prekeys(Vec<u8>),
}

const HOUR_MS: u64 = 3_600_000;

/// How long what follows a refused envelope is refused too: longer than a round trip, and not longer
/// than any client waits before it tries again.
const HOLD_MS: u64 = 1000;

/// A device hears that its one-time prekeys run out when fewer than this are left.
const PREKEYS_LOW: u32 = 10;

impl Relay {
    /// A relay over given accounts and mailboxes. `fingerprint` is of the certificate that it shows;
    /// `rng` draws track numbers.
    pub fn new(
        config: Config,
        fingerprint: [u8; 32],
        accounts: Accounts,
        mailbox: Box<dyn Mailbox>,
        rng: Box<dyn RngCore + Send>,
    ) -> Self {
        let limits = &config.limits;
        Self {
            rates: Rates {
                frames: Buckets::new(limits.frames),
                sends: Buckets::new(limits.sends),
                send_bytes: Buckets::new(limits.send_bytes),
                claims: Buckets::new(limits.claims),
                lookups: Buckets::new(limits.lookups),
                registrations: Buckets::new(limits.registrations),
            },
            sfu: Arc::new(Mutex::new(Sfu::new(limits.clone()))),
            config,
            fingerprint,
            accounts,
            mailbox,
            rng,
            metrics: Arc::default(),
            presence: Presence::default(),
            links: BTreeMap::new(),
            fresh: BTreeMap::new(),
            online: BTreeMap::new(),
            group: Group::default(),
            sweep: Sweep::At(Millis(0)),
            draining: false,
        }
    }

    /// A relay that keeps accounts and mailboxes in this store.
    ///
    /// # Errors
    /// Those of the store, when what it holds cannot be read.
    pub fn over(
        config: Config,
        fingerprint: [u8; 32],
        kv: Arc<dyn Kv>,
        rng: Box<dyn RngCore + Send>,
    ) -> Result<Self, store::Error> {
        let accounts = Accounts::new(kv.clone(), config.limits.prekeys);
        let mailbox = mailbox::Sled::new(kv, Quota::from(&config.limits));
        match mailbox.totals() {
            Ok(_) => Ok(Self::new(config, fingerprint, accounts, Box::new(mailbox), rng)),
            Err(mailbox::Error::Broken(error)) => Err(error),
            Err(mailbox::Error::MailboxFull | mailbox::Error::StorageFull) => Err(store::Error::Full),
        }
    }

    /// A relay that forgets everything when it is dropped.
    pub fn in_memory(config: Config, fingerprint: [u8; 32], rng: Box<dyn RngCore + Send>) -> Self {
        let accounts = Accounts::new(Arc::new(store::memory::Memory::default()), config.limits.prekeys);
        let mailbox = mailbox::Memory::new(Quota::from(&config.limits));
        Self::new(config, fingerprint, accounts, Box::new(mailbox), rng)
    }

    /// The tracks, to forward datagrams without waiting for a commit.
    pub fn sfu(&self) -> Arc<Mutex<Sfu>> {
        self.sfu.clone()
    }

    /// What was counted so far.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// The mailboxes, to look at.
    pub fn mailbox(&self) -> &dyn Mailbox {
        &*self.mailbox
    }

    /// A connection came in. `exporter` is the TLS exporter's value on it.
    pub fn connected(&mut self, conn: Conn, exporter: [u8; 32], from: IpAddr, now: Now) {
        self.metrics.count(Count::Connections);
        self.links.insert(conn, Link { exporter, from, device: None });
        self.fresh.insert(conn, now.mono);
    }

    /// A frame came in.
    pub fn frame(&mut self, conn: Conn, frame: ToRelay, now: Now) {
        let Some(link) = self.links.get(&conn) else { return };
        let device = link.device.as_ref().map(|device| device.id);
        let phase = if device.is_some() { Phase::LoggedIn } else { Phase::Fresh };
        let (frame, cost) = match route(phase, frame) {
            Step::Do(frame, cost) => (frame, cost),
            Step::Answer(answer) => {
                self.metrics.count(Count::Refused);
                return self.say(Out::Frame(conn, answer));
            }
            Step::Close(why) => return self.close(conn, why),
        };
        let answer = router::answer(&frame);
        if self.draining {
            return self.refuse(conn, answer, Refusal::Draining);
        }
        if let Some(device) = device {
            if let Err(Wait(retry_ms)) = self.rates.frames.take(&device, 1, now.mono) {
                return self.close(conn, Refusal::RateLimited { retry_ms });
            }
            if let Some(why) = self.held_back(conn, &frame, now) {
                return self.refuse(conn, answer, why);
            }
            if let Err(Wait(retry_ms)) = self.rates.take(device, cost, now.mono) {
                let stored = matches!(&frame, ToRelay::Send(envelope) if envelope.keep == Keep::Stored);
                let least = if stored { HOLD_MS as u32 } else { 0 };
                let why = Refusal::RateLimited { retry_ms: retry_ms.max(least) };
                self.hold_back(conn, &to(&frame), why, now);
                return self.refuse(conn, answer, why);
            }
        }
        let to = to(&frame);
        match self.perform(conn, frame, now) {
            Ok(()) => {}
            Err(Fault::Refusal(why)) => {
                self.hold_back(conn, &to, why, now);
                self.refuse(conn, answer, why);
            }
            Err(Fault::Store(error)) => {
                tracing::error!(%error, "a store cannot be read");
                self.refuse(conn, answer, Refusal::Internal);
            }
        }
    }

    /// A media datagram came in. The server forwards by [`Relay::sfu`] itself; this is for a network
    /// without sockets.
    pub fn datagram(&mut self, conn: Conn, datagram: &[u8], now: Now) {
        let forwarded = self.tracks().forward(conn, datagram, now.mono);
        self.metrics.media(&forwarded);
        let Ok(Forward { header, to, waiting }) = forwarded else { return };
        let datagram = Bytes::copy_from_slice(datagram);
        for watcher in to {
            self.say(Out::Datagram(watcher, datagram.clone()));
        }
        if let Some(watcher) = waiting {
            self.behind(watcher, header.track, now);
        }
    }

    /// A watcher lost frames on the way out and waits for a keyframe.
    pub fn behind(&mut self, conn: Conn, track: TrackId, now: Now) {
        let publisher = self.tracks().want_keyframe(conn, track, now.mono);
        if let Some(publisher) = publisher {
            self.say(Out::Frame(publisher, ToDevice::KeyframeWanted(track)));
        }
    }

    /// Bytes came in that are no frame.
    pub fn malformed(&mut self, conn: Conn, why: Refusal) {
        if self.links.contains_key(&conn) {
            self.close(conn, why);
        }
    }

    /// A connection is gone.
    pub fn gone(&mut self, conn: Conn) {
        self.fresh.remove(&conn);
        let Some(link) = self.links.remove(&conn) else { return };
        self.group.wake.remove(&conn);
        let ended = self.tracks().gone(conn);
        for (track, watchers) in ended {
            self.ended(track, watchers);
        }
        let Some(device) = link.device else { return };
        if self.online.get(&device.id) == Some(&conn) {
            self.online.remove(&device.id);
            let notices = self.presence.left(device.id);
            self.notify(notices);
        }
    }

    /// Time passed. Returns the monotonic moment to be called again at the latest.
    pub fn tick(&mut self, now: Now) -> Millis {
        let patience = u64::from(self.config.link.login_seconds) * 1000;
        while let Some((&conn, &since)) = self.fresh.first_key_value() {
            let deadline = Millis(since.0 + patience);
            if now.mono < deadline {
                return deadline.min(self.swept(now));
            }
            self.close(conn, Refusal::NotAllowed);
        }
        self.swept(now)
    }

    /// Tells every device that the relay shuts down; from here on nothing new is taken.
    pub fn drain(&mut self) {
        self.draining = true;
        let everyone: Vec<_> = self.online.values().copied().collect();
        for conn in everyone {
            // Spread, so that not all come back at once.
            let retry_ms = 500 + self.rng.next_u32() % 2500;
            self.say(Out::Frame(conn, ToDevice::Draining { retry_ms }));
        }
    }

    /// Makes everything since the last call durable, and then releases what followed from it. When
    /// the disk is too full, what needed it is refused instead.
    ///
    /// # Errors
    /// A store that failed otherwise: nothing can be promised any more, the relay must stop.
    pub fn commit(&mut self) -> Result<Vec<Out>, store::Error> {
        let accounts = durable(self.accounts.commit())?;
        let mut mailbox = durable(self.mailbox.commit())?;
        let acks = std::mem::take(&mut self.group.acks);
        if mailbox == Durable::No && !acks.is_empty() {
            for (device, seq) in acks {
                match self.mailbox.ack(device, seq) {
                    Ok(()) => {}
                    Err(mailbox::Error::Broken(error)) => return Err(error),
                    Err(mailbox::Error::MailboxFull | mailbox::Error::StorageFull) => {}
                }
            }
            // A mailbox that cannot even shrink keeps them, and they are acknowledged again later.
            durable(self.mailbox.commit())?;
            mailbox = Durable::No;
        }
        let mut outs = Vec::with_capacity(self.group.outs.len());
        // What is lost may end connections, which may say more.
        while !self.group.outs.is_empty() {
            for pending in std::mem::take(&mut self.group.outs) {
                match pending {
                    Pending::Now(out) => outs.push(out),
                    Pending::Accounts { kept, .. } if accounts == Durable::Yes => outs.push(kept),
                    Pending::Mailbox { kept, .. } if mailbox == Durable::Yes => outs.push(kept),
                    Pending::Accounts { lost, .. } | Pending::Mailbox { lost, .. } => {
                        self.metrics.count(Count::Refused);
                        for out in lost {
                            if let Out::Close(conn, _) = out {
                                self.gone(conn);
                            }
                            outs.push(out);
                        }
                    }
                }
            }
        }
        for conn in std::mem::take(&mut self.group.wake) {
            self.deliver(conn, &mut outs)?;
        }
        Ok(outs)
    }

    fn perform(&mut self, conn: Conn, frame: ToRelay, now: Now) -> Result<(), Fault> {
        let frame = match frame {
            ToRelay::Authenticate(login) => return self.log_in(conn, login, now),
            frame => frame,
        };
        let Some(device) = self.links.get(&conn).and_then(|link| link.device.as_ref()) else {
            return Ok(());
        };
        let id = device.id;
        match frame {
            ToRelay::Authenticate(_) => {}
            ToRelay::Publish { ask, bundles } => {
                let bundles = bundles.iter().map(|bytes| verified(bytes, id, now.wall));
                let bundles = bundles.collect::<Result<Vec<_>, _>>()?;
                let done = match self.accounts.publish(id, &bundles)? {
                    Published::Kept => ToDevice::Done(ask),
                    Published::TooMany => ToDevice::Refused { ask: Some(ask), why: Refusal::TooLarge },
                };
                self.after_accounts(conn, done, refused(ask, Refusal::StorageFull));
            }
            ToRelay::Lookup { ask, name } => {
                let certs = self.accounts.certs(&name)?.ok_or(Refusal::UnknownAccount)?;
                self.say(Out::Frame(conn, ToDevice::Account { ask, name, certs }));
            }
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
        }
        Ok(())
    }

    /// Why an envelope may not pass one that was refused a moment ago.
    fn held_back(&self, conn: Conn, frame: &ToRelay, now: Now) -> Option<Refusal> {
        let device = self.links.get(&conn)?.device.as_ref().filter(|device| !device.held.is_empty())?;
        let to = to(frame);
        let keys = to.iter().map(|to| Some(*to)).chain([None].into_iter().filter(|_| !to.is_empty()));
        let holds = keys.filter_map(|key| device.held.get(&key));
        holds.filter(|(until, _)| now.mono < *until).map(|(_, why)| *why).next()
    }

    /// A refusal that may pass holds back what follows, until the device has heard of it.
    fn hold_back(&mut self, conn: Conn, to: &[DeviceId], why: Refusal, now: Now) {
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

    fn log_in(&mut self, conn: Conn, login: Login, now: Now) -> Result<(), Fault> {
        let Some(link) = self.links.get(&conn) else { return Ok(()) };
        let peer = login.verify(&self.fingerprint, &link.exporter).map_err(|_| Refusal::BadSignature)?;
        let device = peer.device();
        match self.accounts.owner(&login.name, &peer)? {
            Owner::This => {}
            Owner::Other => return Err(Refusal::NameTaken.into()),
            Owner::Nobody if !login.register => return Err(Refusal::UnknownAccount.into()),
            Owner::Nobody if self.config.registration == Registration::Closed => {
                return Err(Refusal::RegistrationClosed.into());
            }
            // A device has one name; its owner may not take a second.
            Owner::Nobody if self.accounts.name_of(device)?.is_some() => {
                return Err(Refusal::NotAllowed.into());
            }
            Owner::Nobody => {
                let taken = self.rates.registrations.take(&network(link.from), 1, now.mono);
                taken.map_err(|Wait(retry_ms)| Refusal::RateLimited { retry_ms })?;
                self.metrics.count(Count::Registrations);
            }
        }
        self.accounts.settle(&login.name, &login.cert, now.wall)?;
        let left = self.accounts.left(device, now.wall)?;
        let status = self.mailbox.status(device)?;
        if let Some(&before) = self.online.get(&device) {
            self.close(before, Refusal::Replaced);
        }
        self.metrics.count(Count::Logins);
        self.fresh.remove(&conn);
        self.online.insert(device, conn);
        if let Some(link) = self.links.get_mut(&conn) {
            link.device = Some(Device {
                id: device,
                name: login.name,
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
            motd: self.config.motd.clone(),
        });
        let why = Refusal::StorageFull;
        let lost = vec![Out::Frame(conn, ToDevice::Refused { ask: None, why }), Out::Close(conn, why)];
        self.group.outs.push(Pending::Accounts { kept: Out::Frame(conn, welcome), lost });
        self.group.wake.insert(conn);
        Ok(())
    }

    fn claim(&mut self, conn: Conn, ask: Ask, device: DeviceId, now: Now) -> Result<(), Fault> {
        if self.accounts.name_of(device)?.is_none() {
            return Err(Refusal::UnknownDevice.into());
        }
        let bundle = self.accounts.claim(device, now.wall)?.ok_or(Refusal::NoPrekeys)?;
        let prekey = ToDevice::Prekey { ask, device, bundle };
        self.after_accounts(conn, prekey, refused(ask, Refusal::StorageFull));
        let left = self.accounts.left(device, now.wall)?.one_time;
        if let Some(&owner) = self.online.get(&device).filter(|_| left < PREKEYS_LOW) {
            let kept = Out::Frame(owner, ToDevice::PrekeysLeft(left));
            self.group.outs.push(Pending::Accounts { kept, lost: Vec::new() });
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
        for head in &envelope.to {
            if self.accounts.name_of(head.to)?.is_none() {
                return Err(Refusal::UnknownDevice.into());
            }
        }
        let accepted = Out::Frame(conn, ToDevice::Accepted(envelope.id));
        if envelope.keep == Keep::Fleeting {
            envelope.to.retain(|head| self.online.contains_key(&head.to));
            if envelope.to.is_empty() {
                self.say(accepted);
                return Ok(());
            }
        }
        match self.mailbox.put(from, name, &envelope, now.wall)? {
            Put::Stored => self.metrics.count(Count::Accepted),
            Put::Repeat => self.metrics.count(Count::Repeats),
        }
        let rejected = ToDevice::Rejected { id: envelope.id, why: Refusal::StorageFull };
        let lost = vec![Out::Frame(conn, rejected)];
        self.group.outs.push(Pending::Mailbox { kept: accepted, lost });
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
        let id = device.id;
        self.mailbox.ack(id, seq)?;
        self.group.acks.push((id, seq));
        self.group.wake.insert(conn);
        Ok(())
    }

    /// Hands out what waits in the mailbox, as far as the window goes.
    fn deliver(&mut self, conn: Conn, outs: &mut Vec<Out>) -> Result<(), store::Error> {
        let Some(device) = self.links.get_mut(&conn).and_then(|link| link.device.as_mut()) else {
            return Ok(());
        };
        let limits = &self.config.limits;
        loop {
            let count = (limits.window_envelopes as usize).saturating_sub(device.unacked.len());
            let bytes = (limits.window_bytes as usize).saturating_sub(device.unacked_bytes);
            if count == 0 || bytes == 0 || self.draining {
                return Ok(());
            }
            let waiting = match self.mailbox.after(device.id, device.cursor, count, bytes) {
                Ok(waiting) if waiting.is_empty() => return Ok(()),
                Ok(waiting) => waiting,
                Err(mailbox::Error::Broken(error)) => return Err(error),
                Err(mailbox::Error::MailboxFull | mailbox::Error::StorageFull) => return Ok(()),
            };
            for next in waiting {
                let seq = next.delivery.seq;
                device.cursor = seq;
                if next.keep == Keep::Fleeting && seq <= device.newest {
                    continue;
                }
                let size = next.size();
                device.unacked.push_back((seq, size));
                device.unacked_bytes += size;
                self.metrics.count(Count::Delivered);
                outs.push(Out::Frame(conn, ToDevice::Deliver(next.delivery)));
            }
        }
    }

    /// One bounded piece of the search for what is out of date; when to go on.
    fn swept(&mut self, now: Now) -> Millis {
        let days = u64::from(self.config.limits.expiry_days);
        let before = Millis(now.wall.0.saturating_sub(days * 24 * HOUR_MS));
        let next = match &self.sweep {
            Sweep::At(at) if now.mono < *at => return *at,
            Sweep::At(_) => Ok(Sweep::Mailboxes(None)),
            Sweep::Mailboxes(from) => self.mailbox.expire(before, *from).map(|(dropped, next)| {
                self.metrics.add(Count::Expired, dropped);
                match next {
                    Some(device) => Sweep::Mailboxes(Some(device)),
                    None => Sweep::Prekeys(Vec::new()),
                }
            }),
            Sweep::Prekeys(from) => match self.accounts.sweep(now.wall, from.clone()) {
                Ok(Some(from)) => Ok(Sweep::Prekeys(from)),
                Ok(None) => Ok(Sweep::At(Millis(now.mono.0 + HOUR_MS))),
                Err(error) => Err(error.into()),
            },
        };
        self.sweep = next.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot drop what is out of date");
            Sweep::At(Millis(now.mono.0 + HOUR_MS))
        });
        match self.sweep {
            Sweep::At(at) => at,
            Sweep::Mailboxes(_) | Sweep::Prekeys(_) => now.mono,
        }
    }

    fn refuse(&mut self, conn: Conn, answer: Answer, why: Refusal) {
        let fresh = self.fresh.contains_key(&conn);
        match answer.refuse(why) {
            Some(answer) => {
                self.metrics.count(Count::Refused);
                self.say(Out::Frame(conn, answer));
            }
            None if fresh => self.close(conn, why),
            // A frame that asks nothing is only lost by a fault of the relay's own.
            None if why == Refusal::Internal => self.close(conn, why),
            None => {}
        }
    }

    fn close(&mut self, conn: Conn, why: Refusal) {
        self.metrics.count(Count::Closed);
        self.say(Out::Frame(conn, ToDevice::Refused { ask: None, why }));
        self.say(Out::Close(conn, why));
        self.gone(conn);
    }

    fn say(&mut self, out: Out) {
        self.group.outs.push(Pending::Now(out));
    }

    fn after_accounts(&mut self, conn: Conn, kept: ToDevice, lost: ToDevice) {
        let lost = vec![Out::Frame(conn, lost)];
        self.group.outs.push(Pending::Accounts { kept: Out::Frame(conn, kept), lost });
    }

    fn notify(&mut self, notices: Vec<Notice>) {
        for Notice { to, about: device, online } in notices {
            if let Some(&conn) = self.online.get(&to) {
                self.say(Out::Frame(conn, ToDevice::Presence { device, online }));
            }
        }
    }

    fn ended(&mut self, track: TrackId, watchers: Vec<Conn>) {
        for watcher in watchers {
            self.say(Out::Frame(watcher, ToDevice::TrackEnded(track)));
        }
    }

    fn tracks(&self) -> MutexGuard<'_, Sfu> {
        held(&self.sfu)
    }
}

impl Rates {
    fn take(&mut self, device: DeviceId, cost: Cost, mono: Millis) -> Result<(), Wait> {
        match cost {
            Cost::Frame => Ok(()),
            Cost::Send(bytes) => {
                self.sends.take(&device, 1, mono)?;
                self.send_bytes.take(&device, bytes, mono)
            }
            Cost::Claim => self.claims.take(&device, 1, mono),
            Cost::Lookup => self.lookups.take(&device, 1, mono),
        }
    }
}

impl Metrics {
    /// Counts a datagram and where it went.
    pub(crate) fn media(&self, forwarded: &Result<Forward, Dropped>) {
        self.count(Count::Media);
        match forwarded {
            Ok(forward) => self.add(Count::MediaOut, forward.to.len() as u64),
            Err(Dropped::TooFast) => self.count(Count::MediaTooFast),
            Err(Dropped::Malformed | Dropped::NotYours) => self.count(Count::MediaBad),
        }
    }
}

/// Why a frame is not carried out.
enum Fault {
    Refusal(Refusal),
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
            mailbox::Error::MailboxFull => Self::Refusal(Refusal::MailboxFull),
            mailbox::Error::StorageFull => Self::Refusal(Refusal::StorageFull),
            mailbox::Error::Broken(error) => error.into(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durable {
    Yes,
    No,
}

fn durable(committed: Result<(), store::Error>) -> Result<Durable, store::Error> {
    match committed {
        Ok(()) => Ok(Durable::Yes),
        Err(store::Error::Full) => Ok(Durable::No),
        Err(error) => Err(error),
    }
}

/// Recipients of an envelope whose order counts.
fn to(frame: &ToRelay) -> Vec<DeviceId> {
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

fn refused(ask: Ask, why: Refusal) -> ToDevice {
    ToDevice::Refused { ask: Some(ask), why }
}

/// The tracks, even after a panic elsewhere: they are only numbers.
pub(crate) fn held(sfu: &Mutex<Sfu>) -> MutexGuard<'_, Sfu> {
    sfu.lock().unwrap_or_else(PoisonError::into_inner)
}
