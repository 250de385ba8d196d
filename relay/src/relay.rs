//! The relay without its sockets: frames in, frames out, one commit for many of them.
//!
//! `perform` carries out what a frame asks for, `commit` says what follows from it once that is true.

mod commit;
mod doors;
mod operate;
mod password;
mod perform;
mod rates;
mod sweep;

use self::commit::{Group, Late};
use self::password::{Visitor, Visitors};
use self::perform::{Fault, to};
use self::rates::Rates;
use self::sweep::Sweep;
use crate::accounts::Accounts;
use crate::ages::Ages;
use crate::blobs::{self, Blobs};
use crate::config::Config;
use crate::doors::Doors;
use crate::era;
use crate::limits::Wait;
use crate::mailbox::{self, Mailbox, Quota};
use crate::metrics::{Count, Metrics};
use crate::passwords::{Passwords, Setup};
use crate::presence::{Notice, Presence};
use crate::rendezvous::{Over, Rendezvous, Side};
use crate::router::{self, Answer, Phase, Step, route};
use crate::sfu::{Dropped, Forward, Sfu};
use bytes::Bytes;
use rand_core::CryptoRngCore;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subrosa_shared::id::{AccountName, DeviceId, Seq, TrackId};
use subrosa_shared::protocol::envelope::Keep;
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay};
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
    passwords: Passwords,
    visitors: Visitors,
    doors: Doors,
    mailbox: Box<dyn Mailbox>,
    /// What they all write to.
    kv: Arc<dyn Kv>,
    rng: Box<dyn CryptoRngCore + Send>,
    blobs: Arc<Blobs>,
    sfu: Arc<Mutex<Sfu>>,
    metrics: Arc<Metrics>,
    presence: Presence,
    rendezvous: Rendezvous,
    links: BTreeMap<Conn, Link>,
    /// Connections without a login and when they came, oldest first.
    fresh: BTreeMap<Conn, Millis>,
    online: BTreeMap<DeviceId, Conn>,
    rates: Rates,
    group: Group,
    /// Acknowledgements that found no room on the disk.
    late: Late,
    sweep: Sweep,
    /// Of this run; `None` before its first frame or tick.
    ages: Option<Ages>,
    draining: bool,
    /// When the log last said that there are as many accounts as may be (monotonic).
    told_full: Option<Millis>,
    /// Of its store.
    era: u64,
    /// Something that everyone is told at login.
    remark: Option<String>,
}

/// One connection.
struct Link {
    exporter: [u8; 32],
    from: IpAddr,
    device: Option<Device>,
    /// Opened or joined a rendezvous in place of a login.
    guest: bool,
}

impl Link {
    fn side(&self) -> Side {
        if self.device.is_some() { Side::Enrolled } else { Side::New }
    }
}

/// Who logged in on a connection, and how far its mailbox was read there.
struct Device {
    id: DeviceId,
    name: AccountName,
    /// Wall clock at login.
    since: Millis,
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

/// How long what follows a refused envelope is refused too: longer than a round trip, and not longer
/// than any client waits before it tries again.
const HOLD_MS: u64 = 1000;

/// A device hears that its one-time prekeys run out when fewer than this are left.
const PREKEYS_LOW: u32 = 10;

/// What outlives a run.
struct Kept {
    accounts: Accounts,
    passwords: Passwords,
    doors: Doors,
    mailbox: Box<dyn Mailbox>,
    kv: Arc<dyn Kv>,
    blobs: Arc<Blobs>,
    era: u64,
}

impl Kept {
    fn load(
        kv: Arc<dyn Kv>,
        setup: Setup,
        files: blobs::Place,
        mailbox: Box<dyn Mailbox>,
        config: &Config,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Self, store::Error> {
        let era = era::of(&*kv, rng)?;
        let blobs = Blobs::load(kv.clone(), files, &config.limits, Arc::default())?;
        let accounts = Accounts::new(kv.clone(), config.limits.prekeys);
        let passwords = Passwords::new(setup, kv.clone(), config.limits.clone());
        Ok(Self { accounts, passwords, doors: Doors::new(kv.clone()), mailbox, kv, blobs, era })
    }
}

impl Relay {
    /// A relay over what is kept. `fingerprint` is of the certificate that it shows; `rng` draws track
    /// numbers, tokens and what OPAQUE needs.
    fn new(config: Config, fingerprint: [u8; 32], kept: Kept, rng: Box<dyn CryptoRngCore + Send>) -> Self {
        let limits = &config.limits;
        let Kept { accounts, passwords, doors, mailbox, kv, blobs, era } = kept;
        Self {
            rates: Rates::new(limits),
            sfu: Arc::new(Mutex::new(Sfu::new(limits.clone()))),
            config,
            fingerprint,
            accounts,
            passwords,
            visitors: Visitors::default(),
            doors,
            mailbox,
            kv,
            rng,
            metrics: blobs.metrics(),
            blobs,
            presence: Presence::default(),
            rendezvous: Rendezvous::default(),
            links: BTreeMap::new(),
            fresh: BTreeMap::new(),
            online: BTreeMap::new(),
            group: Group::default(),
            late: Late::default(),
            sweep: Sweep::At(Millis(0)),
            ages: None,
            draining: false,
            told_full: None,
            era,
            remark: None,
        }
    }

    /// A relay that keeps accounts, passwords and mailboxes in this store, and the bytes of files in that
    /// place.
    ///
    /// # Errors
    /// Those of the store and of the place, when what they hold cannot be read.
    pub fn over(
        config: Config,
        fingerprint: [u8; 32],
        setup: Setup,
        kv: Arc<dyn Kv>,
        files: blobs::Place,
        mut rng: Box<dyn CryptoRngCore + Send>,
    ) -> Result<Self, store::Error> {
        let mailbox = mailbox::Sled::new(kv.clone(), Quota::from(&config.limits));
        match mailbox.totals() {
            Ok(_) => {
                let kept = Kept::load(kv, setup, files, Box::new(mailbox), &config, &mut *rng)?;
                Ok(Self::new(config, fingerprint, kept, rng))
            }
            Err(mailbox::Error::Broken(error)) => Err(error),
            Err(_) => Err(store::Error::Full),
        }
    }

    /// A relay that forgets everything when it is dropped.
    pub fn in_memory(config: Config, fingerprint: [u8; 32], rng: Box<dyn CryptoRngCore + Send>) -> Self {
        let mut rng = rng;
        let kv = Arc::new(store::memory::Memory::default());
        let setup = Setup::generate(&mut *rng);
        let files = blobs::Place::Memory(blobs::Memory::default());
        let mailbox = Box::new(mailbox::Memory::new(Quota::from(&config.limits)));
        let kept = Kept::load(kv, setup, files, mailbox, &config, &mut *rng)
            .expect("there is nothing in memory that could not be read");
        Self::new(config, fingerprint, kept, rng)
    }

    /// The files, which connections read and write without waiting for a commit.
    pub fn blobs(&self) -> Arc<Blobs> {
        self.blobs.clone()
    }

    /// The tracks, to forward datagrams without waiting for a commit.
    pub fn sfu(&self) -> Arc<Mutex<Sfu>> {
        self.sfu.clone()
    }

    /// What was counted so far.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// What it writes to, to be synced.
    pub fn kv(&self) -> Arc<dyn Kv> {
        self.kv.clone()
    }

    /// The mailboxes, to look at.
    pub fn mailbox(&self) -> &dyn Mailbox {
        &*self.mailbox
    }

    /// A connection came in. `exporter` is the TLS exporter's value on it.
    pub fn connected(&mut self, conn: Conn, exporter: [u8; 32], from: IpAddr, now: Now) {
        self.metrics.count(Count::Connections);
        tracing::debug!(conn = conn.0, address = %from, "connected");
        self.links.insert(conn, Link { exporter, from, device: None, guest: false });
        self.fresh.insert(conn, now.mono);
    }

    /// A frame came in.
    pub fn frame(&mut self, conn: Conn, frame: ToRelay, now: Now) {
        self.passes(now);
        let Some(link) = self.links.get(&conn) else { return };
        let device = link.device.as_ref().map(|device| device.id);
        let phase = match (device, self.visitors.of(conn)) {
            (Some(_), _) => Phase::LoggedIn,
            (None, Some(Visitor::Proving(_))) => Phase::Proving,
            (None, Some(Visitor::Within(_))) => Phase::Password,
            (None, None) if link.guest => Phase::Guest,
            (None, None) => Phase::Fresh,
        };
        let (frame, cost) = match route(phase, frame) {
            Step::Do(frame, cost) => (frame, cost),
            Step::Answer(answer) => {
                if let ToDevice::Refused { why, .. } | ToDevice::Rejected { why, .. } = &answer {
                    self.metrics.refuse(*why);
                }
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
            if let Some((why, who)) = self.held_back(conn, &frame, now) {
                return self.refuse_for(conn, answer, why, who);
            }
            if let Err(Wait(retry_ms)) = self.rates.take(device, cost, now.mono) {
                let stored = matches!(&frame, ToRelay::Send(envelope) if envelope.keep == Keep::Stored);
                let least = if stored { HOLD_MS as u32 } else { 0 };
                let why = Refusal::RateLimited { retry_ms: retry_ms.max(least) };
                self.hold_back(conn, &to(&frame), why, now);
                return self.refuse(conn, answer, why);
            }
        }
        if let Some(name) = self.visitor_name(conn)
            && let Err(Wait(retry_ms)) = self.rates.visit(&name, cost, now.mono)
        {
            return self.refuse(conn, answer, Refusal::RateLimited { retry_ms });
        }
        self.visitor_active(conn, now);
        let to = to(&frame);
        match self.perform(conn, frame, now) {
            Ok(()) => {}
            Err(Fault::Refusal(why)) => {
                self.hold_back(conn, &to, why, now);
                self.refuse(conn, answer, why);
            }
            Err(Fault::InTheWay(why, who)) => {
                self.hold_back(conn, &who, why, now);
                self.refuse_for(conn, answer, why, who);
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
        self.metrics.media(&forwarded, datagram.len());
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
        self.blobs.gone(conn);
        self.visitors.gone(conn);
        let Some(link) = self.links.remove(&conn) else { return };
        self.group.wake.remove(&conn);
        let over = self.rendezvous.gone(conn);
        self.slots_over(over);
        let notices = self.doors.gone(conn);
        self.door_notices(notices);
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
        let over = self.rendezvous.expire(now.mono);
        self.slots_over(over);
        let visitors = self.visitors_tick(now);
        let notices = self.doors.tick(now.mono);
        self.door_notices(notices);
        let next = self.ticked(now);
        let late = self.late_acks(now);
        [self.rendezvous.due(), visitors, self.doors.due(), late]
            .into_iter()
            .flatten()
            .fold(next, Millis::min)
    }

    fn ticked(&mut self, now: Now) -> Millis {
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

    fn refuse(&mut self, conn: Conn, answer: Answer, why: Refusal) {
        self.refuse_for(conn, answer, why, Vec::new());
    }

    fn refuse_for(&mut self, conn: Conn, answer: Answer, why: Refusal, who: Vec<DeviceId>) {
        let nobody = self.links.get(&conn).is_some_and(|link| link.device.is_none());
        match answer.refuse_for(why, who) {
            Some(answer) => {
                self.metrics.refuse(why);
                self.say(Out::Frame(conn, answer));
            }
            None if nobody => self.close(conn, why),
            // A frame that asks nothing is only lost by a fault of the relay's own.
            None if why == Refusal::Internal => self.close(conn, why),
            None => {}
        }
    }

    fn close(&mut self, conn: Conn, why: Refusal) {
        self.metrics.close(why);
        tracing::debug!(conn = conn.0, %why, "closed");
        self.say(Out::Frame(conn, ToDevice::Refused { ask: None, why }));
        self.say(Out::Close(conn, why));
        self.gone(conn);
    }

    /// Tells both sides; the one without a login has nothing else to do here.
    fn slots_over(&mut self, over: Vec<Over>) {
        for Over { slot, host, guest } in over {
            for conn in [host, guest].into_iter().flatten() {
                self.say(Out::Frame(conn, ToDevice::SlotClosed(slot)));
                if self.links.get(&conn).is_some_and(|link| link.guest) {
                    self.close(conn, Refusal::NotAllowed);
                }
            }
        }
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

impl Metrics {
    /// Counts a datagram and where it went.
    pub(crate) fn media(&self, forwarded: &Result<Forward, Dropped>, length: usize) {
        self.count(Count::Media);
        self.add(Count::MediaBytesIn, length as u64);
        match forwarded {
            Ok(forward) => {
                self.add(Count::MediaOut, forward.to.len() as u64);
                self.add(Count::MediaBytesOut, (forward.to.len() * length) as u64);
            }
            Err(Dropped::TooFast) => self.count(Count::MediaTooFast),
            Err(Dropped::Malformed | Dropped::NotYours) => self.count(Count::MediaBad),
        }
    }
}

/// The tracks, even after a panic elsewhere: they are only numbers.
pub(crate) fn held(sfu: &Mutex<Sfu>) -> MutexGuard<'_, Sfu> {
    sfu.lock().unwrap_or_else(PoisonError::into_inner)
}
