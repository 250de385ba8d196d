//! Every session of one device: seals, opens, forgets.

use super::bundles::{STARTS_MAX, draw_for, end};
use super::chain::Refused;
use super::chain::{CipherState, Receiving, SKIPPED_MAX};
use super::error::{Invalid, OpenError, SealError};
use super::handshake;
use super::identity::Identity;
use super::kept::{self, About, Inbound, Kept, Outbound, Start};
use super::message::{self, CONTENT_MAX, Inside, Outside};
use super::prekey::CT;
use crate::id::{DeviceId, PrekeyId, SessionId};
use crate::protocol::auth::Peer;
use crate::protocol::prekey::{Bundle, Kind};
use crate::store::{self, Batch, Store};
use crate::time::{Millis, Now};
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// All sessions of one device, its prekeys, and the bundles that its peers gave it.
///
/// Every call that takes a [`Batch`] appends the writes that make its result durable. Commit the
/// batch before the result leaves the machine: before the bytes are sent, before the message is
/// acknowledged, before the bundles are published.
pub struct Sessions {
    pub(super) identity: Identity,
    pub(super) kept: Kept,
    /// Bundles from the relay, not stored: after a restart another is claimed.
    pub(super) claimed: BTreeMap<DeviceId, Vec<Bundle>>,
    /// The order of the next inbound session.
    order: u64,
}

/// What is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Something a person says. When the peer spoke since our session began, it starts another
    /// session if a bundle is at hand: the conversation turns.
    Speech,
    /// Receipts, typing, call signals: they go through the session that is there.
    Signal,
}

/// A sealed session message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// At most [`crate::protocol::envelope::HEAD_MAX`].
    pub bytes: Vec<u8>,
    /// Which session.
    pub session: SessionId,
    /// Its number in the session: 0 is the session start, `n` above 0 the stream's `n - 1`.
    pub n: u64,
}

/// An opened session message.
pub struct Opened {
    /// Who sealed it, proven; whether that is the pinned peer is for the caller to check.
    pub from: Peer,
    /// Which session.
    pub session: SessionId,
    /// Its number in the session, as [`Sealed::n`].
    pub n: u64,
    /// What was sealed.
    pub content: Zeroizing<Vec<u8>>,
}

/// What a `Reset` names when a session start itself could not be read, because nobody knows that
/// session's id then.
pub const UNREADABLE_START: SessionId = SessionId([0; 16]);

impl Sessions {
    /// Reads everything from the store. The batch catches up what a crash left half done; commit it
    /// before anything else.
    ///
    /// # Errors
    /// [`store::Error::Damaged`], [`store::Error::Newer`] and those of the store.
    pub fn load(identity: Identity, store: &Store, now: Now) -> Result<(Self, Batch), store::Error> {
        let (kept, mut batch) = kept::load(store)?;
        let order = kept.inbound.values().map(|inbound| inbound.about.order + 1).max().unwrap_or(0);
        let mut sessions = Self { identity, kept, claimed: BTreeMap::new(), order };
        sessions.expire(now, &mut batch);
        sessions.bound_all_skipped(&mut batch);
        Ok((sessions, batch))
    }

    /// This device.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether this is a copy that was put in the place of a profile: the secrets of prekeys that were published
    /// after it was made are not here.
    pub fn moved(&self) -> bool {
        self.kept.moved
    }

    /// Seals content to a peer.
    ///
    /// # Errors
    /// [`SealError::NeedBundle`] and the others; nothing changed then.
    pub fn seal(
        &mut self,
        to: &Peer,
        why: Why,
        content: &[u8],
        rng: &mut dyn CryptoRngCore,
        now: Now,
        batch: &mut Batch,
    ) -> Result<Sealed, SealError> {
        if content.len() > CONTENT_MAX {
            return Err(SealError::TooLong(content.len()));
        }
        let device = to.device();
        let bundle = self.best_bundle(&device, now);
        let replaced = |outbound: &Outbound| bundle.is_some_and(|bundle| replace(outbound, bundle, why, now));
        if let Some(outbound) = self.kept.outbound.get(&device).filter(|outbound| !replaced(outbound)) {
            let outbound = outbound.clone();
            return self.seal_next(&device, outbound, content, rng, now, batch);
        }
        let bundle = bundle.ok_or(SealError::NeedBundle)?.clone();
        self.seal_first(to, bundle, content, rng, now, batch)
    }

    /// Opens a session message.
    ///
    /// # Errors
    /// [`OpenError`]; nothing changed then.
    pub fn open(&mut self, bytes: &[u8], now: Now, batch: &mut Batch) -> Result<Opened, OpenError> {
        let mut writes = Batch::default();
        let opened = match Outside::decode(bytes)? {
            Outside::First { prekey, ct, noise } => {
                let hash = Sha256::digest(bytes).into();
                self.open_first(hash, prekey, ct, noise, now, &mut writes)?
            }
            Outside::Next { session, n, sealed } => self.open_next(session, n, sealed, now, &mut writes)?,
        };
        let device = opened.from.device();
        if let Some(outbound) = self.kept.outbound.get_mut(&device).filter(|outbound| !outbound.answered) {
            outbound.answered = true;
            kept::keep_outbound(&mut writes, &device, outbound);
        }
        batch.extend(writes);
        Ok(opened)
    }

    /// The peer says that it cannot open this session of ours. If that is the one in use, or the peer
    /// names [`UNREADABLE_START`], it is dropped and the next message starts another, through the newest
    /// bundle that the peer gave: `true`. Either way, what was sealed in the session that it names (in any,
    /// for [`UNREADABLE_START`]) and is not receipted is to be sealed and sent again.
    pub fn reset(&mut self, peer: &DeviceId, session: SessionId, batch: &mut Batch) -> bool {
        let meant = |outbound: &Outbound| outbound.session == session || session == UNREADABLE_START;
        if !self.kept.outbound.get(peer).is_some_and(meant) {
            return false;
        }
        // Who says so began a session for it, with a bundle; those from before may be lost like what is dropped.
        let newest = self.kept.bundles.get(peer).and_then(|bundles| bundles.last()).cloned();
        self.restart(peer, batch);
        if let Some(newest) = newest {
            kept::put_bundle(batch, peer, &newest);
            self.kept.bundles.insert(*peer, vec![newest]);
        }
        true
    }

    /// Drops our session to a peer and the bundles it gave us, so that the next message starts
    /// another through a claimed bundle. Call it before a `Reset` is sealed: a peer whose session we
    /// cannot open may be unable to open ours too, and then neither side's `Reset` would arrive.
    pub fn restart(&mut self, peer: &DeviceId, batch: &mut Batch) {
        if self.kept.outbound.remove(peer).is_some() {
            kept::erase_outbound(batch, peer);
        }
        for bundle in self.kept.bundles.remove(peer).unwrap_or_default() {
            kept::delete_bundle(batch, peer, &bundle);
        }
    }

    /// Erases what is past its time: keys of messages that did not come, sessions that newer ones
    /// took the place of, prekeys, bundles. Says when to call again, on the wall clock.
    pub fn expire(&mut self, now: Now, batch: &mut Batch) -> Option<Millis> {
        let wall = now.wall;
        let over = |about: &About| about.until.is_some_and(|until| until <= wall);
        let sessions: Vec<_> = self.kept.inbound.iter().filter(|(_, inbound)| over(&inbound.about)).collect();
        for session in sessions.into_iter().map(|(session, _)| *session).collect::<Vec<_>>() {
            self.forget_inbound(&session, batch);
        }
        for (session, inbound) in &mut self.kept.inbound {
            let changed = inbound.chain.expire(wall);
            if !changed.is_empty() {
                // First, so that what is forgotten is known to be.
                kept::keep_inbound(batch, session, inbound);
                kept::keep_skipped(batch, session, inbound, &changed);
            }
        }
        let old: Vec<_> = self.kept.prekeys.iter().filter(|(_, prekey)| end(prekey) <= wall).collect();
        for id in old.into_iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            self.forget_prekey(&id, batch);
        }
        for (device, bundles) in &mut self.kept.bundles {
            bundles.retain(|bundle| {
                let fresh = wall <= bundle.not_after;
                if !fresh {
                    kept::delete_bundle(batch, device, bundle);
                }
                fresh
            });
        }
        self.kept.bundles.retain(|_, bundles| !bundles.is_empty());
        self.next_expiry()
    }
}

impl Sessions {
    fn seal_next(
        &mut self,
        device: &DeviceId,
        mut outbound: Outbound,
        content: &[u8],
        rng: &mut dyn CryptoRngCore,
        now: Now,
        batch: &mut Batch,
    ) -> Result<Sealed, SealError> {
        if outbound.chain.used_up() {
            return Err(SealError::UsedUp);
        }
        let n = outbound.chain.n();
        let mut writes = Batch::default();
        let bundle = (n % BUNDLE_EVERY == BUNDLE_EVERY - 1)
            .then(|| self.issue_to(device, rng, now, &mut writes).encode());
        let inside = Inside { bundle: bundle.as_deref(), content }.encode();
        let ad = message::associated_data(&outbound.session, n);
        let sealed = outbound.chain.encrypt(&ad, &inside);
        outbound.chain.step();
        let session = outbound.session;
        self.keep_outbound(device, outbound, &mut writes);
        batch.extend(writes);
        Ok(Sealed { bytes: Outside::Next { session, n, sealed: &sealed }.encode(), session, n: n + 1 })
    }

    fn seal_first(
        &mut self,
        to: &Peer,
        theirs: Bundle,
        content: &[u8],
        rng: &mut dyn CryptoRngCore,
        now: Now,
        batch: &mut Batch,
    ) -> Result<Sealed, SealError> {
        let device = &to.device();
        let id = PrekeyId::random(rng);
        let ours = draw_for(device, rng, now);
        let bundle = ours.secrets().bundle(&self.identity, id, ours.kind, ours.not_after).encode();
        let inside = Inside { bundle: Some(&bundle), content };
        let start = message::Start { cert: self.identity.cert(), last: self.last_inbound(to) };
        let payload = start.encode(&inside);
        let initiated = handshake::initiate(&self.identity, &theirs, &payload, rng)
            .map_err(|handshake::Failed| SealError::Handshake)?;
        let session = initiated.keys.session;
        let outbound = Outbound {
            session,
            chain: CipherState::new(&initiated.keys.k0),
            began: now.wall,
            answered: false,
            last_resort: theirs.kind == Kind::LastResort,
        };
        let first = Outside::First { prekey: theirs.id, ct: &initiated.ct, noise: &initiated.message };
        let mut writes = Batch::default();
        self.take_issued(device, id, ours, &mut writes);
        self.use_up(device, &theirs, &mut writes);
        // Sets the slot of the session before: its key is overwritten in the same write.
        self.keep_outbound(device, outbound, &mut writes);
        batch.extend(writes);
        Ok(Sealed { bytes: first.encode(), session, n: 0 })
    }

    fn keep_outbound(&mut self, device: &DeviceId, outbound: Outbound, batch: &mut Batch) {
        kept::put_ahead(batch, device, &outbound);
        kept::keep_outbound(batch, device, &outbound);
        self.kept.outbound.insert(*device, outbound);
    }

    fn open_next(
        &mut self,
        session: SessionId,
        n: u64,
        sealed: &[u8],
        now: Now,
        batch: &mut Batch,
    ) -> Result<Opened, OpenError> {
        let unknown = OpenError::Unknown { session: Some(session) };
        let inbound = self.kept.inbound.get(&session).ok_or(unknown)?;
        let ad = message::associated_data(&session, n);
        let (inside, moved) =
            inbound.chain.open(n, &ad, sealed, now.wall).map_err(|refused| match refused {
                Refused::Repeated => OpenError::Repeated,
                Refused::Forgotten => unknown,
                Refused::TooFarAhead => OpenError::TooFarAhead,
                Refused::BadTag => OpenError::Invalid(Invalid::Tag),
            })?;
        let Inside { bundle, content } = Inside::decode(&inside)?;
        let from = inbound.about.peer;
        let content = Zeroizing::new(content.to_vec());
        if let Some(bundle) = bundle {
            self.take_bundle(&from, bundle, now, batch);
        }
        let inbound = self.kept.inbound.get_mut(&session).ok_or(unknown)?;
        let before = inbound.chain.next.n();
        let changed = inbound.chain.keep(moved);
        // Skipped keys before the chain that moved past them: none is lost in between.
        kept::keep_skipped(batch, &session, inbound, &changed);
        if inbound.chain.next.n() != before {
            kept::keep_inbound(batch, &session, inbound);
        }
        if !changed.is_empty() {
            self.bound_skipped(&from, &session, batch);
        }
        Ok(Opened { from, session, n: n + 1, content })
    }

    fn open_first(
        &mut self,
        hash: [u8; 32],
        id: PrekeyId,
        ct: &[u8; CT],
        noise: &[u8],
        now: Now,
        batch: &mut Batch,
    ) -> Result<Opened, OpenError> {
        let begun = self.kept.inbound.values().any(|inbound| inbound.about.first == hash);
        if begun || self.kept.starts.contains_key(&(id, hash)) {
            return Err(OpenError::Repeated);
        }
        let ours = self.kept.prekeys.get(&id).ok_or(OpenError::Unknown { session: None })?;
        let (kind, only) = (ours.kind, ours.peer);
        let secrets = ours.secrets();
        let bundle = secrets.bundle(&self.identity, id, kind, ours.not_after);
        let responded = handshake::respond(&secrets, &bundle, ct, noise)
            .map_err(|handshake::Failed| OpenError::Invalid(Invalid::Tag))?;
        let (start, inside) = message::Start::decode(&responded.payload)?;
        let from = start.cert.verify().map_err(|_| Invalid::Certificate)?;
        if from.noise != responded.noise {
            return Err(Invalid::Certificate.into());
        }
        if only.is_some_and(|only| only != from.device()) {
            return Err(Invalid::Prekey.into());
        }
        let content = Zeroizing::new(inside.content.to_vec());
        if let Some(bundle) = inside.bundle {
            self.take_bundle(&from, bundle, now, batch);
        }
        let session = responded.keys.session;
        let about = About { peer: from, order: self.order, prekey: id, first: hash, until: None };
        self.order += 1;
        let inbound = Inbound { about, chain: Receiving::new(&responded.keys.k0) };
        kept::keep_inbound(batch, &session, &inbound);
        self.kept.inbound.insert(session, inbound);
        match kind {
            // After the session's slot, so that a crash leaves at least one of the two.
            Kind::OneTime => self.forget_prekey(&id, batch),
            Kind::LastResort => {
                let start = Start { session, over: false };
                kept::put_start(batch, &id, &hash, &start);
                self.kept.starts.insert((id, hash), start);
                if self.starts_of(&id).count() >= STARTS_MAX {
                    self.wear_out(&id, batch);
                }
            }
        }
        self.retire_inbound(&from, now, batch);
        Ok(Opened { from, session, n: 0, content })
    }

    /// A clock that ran ahead and was set back keeps nothing longer than what is dated now. For a clock that is known
    /// to be right: after one that is behind it would be too short.
    pub fn clock_back(&mut self, wall: Millis, batch: &mut Batch) {
        let latest = wall.plus(INBOUND_FOR);
        for (session, inbound) in &mut self.kept.inbound {
            let changed = inbound.chain.shorten(wall);
            kept::keep_skipped(batch, session, inbound, &changed);
            if inbound.about.until.is_some_and(|until| until > latest) {
                inbound.about.until = Some(latest);
                kept::keep_inbound(batch, session, inbound);
            }
        }
        for (id, prekey) in &mut self.kept.prekeys {
            if prekey.replaced.is_some_and(|replaced| replaced > wall) {
                prekey.replaced = Some(wall);
                kept::keep_prekey(batch, id, prekey);
            }
            // Its week is over.
            if prekey.kind == Kind::LastResort && prekey.created > wall {
                prekey.created = Millis(0);
                kept::keep_prekey(batch, id, prekey);
            }
        }
    }

    /// Keeps the newest sessions of a peer and dates the others.
    fn retire_inbound(&mut self, peer: &Peer, now: Now, batch: &mut Batch) {
        let mut sessions: Vec<_> = self.inbound_of(peer).collect();
        sessions.sort_unstable_by(|a, b| b.cmp(a));
        for (at, (_, session)) in sessions.into_iter().enumerate().skip(INBOUND_KEPT) {
            if at >= INBOUND_MAX {
                self.forget_inbound(&session, batch);
            } else if let Some(inbound) = self.kept.inbound.get_mut(&session)
                && inbound.about.until.is_none()
            {
                inbound.about.until = Some(now.wall.plus(INBOUND_FOR));
                kept::keep_inbound(batch, &session, inbound);
            }
        }
    }

    /// A peer may leave gaps in each of many sessions: together they take no more slots than one may.
    /// The sessions that began first lose theirs, the one in use last.
    fn bound_skipped(&mut self, peer: &Peer, using: &SessionId, batch: &mut Batch) {
        let mut sessions: Vec<_> = self.inbound_of(peer).collect();
        sessions.sort_unstable_by_key(|(order, session)| (session == using, *order));
        let held = |session: &SessionId| self.kept.inbound.get(session).map_or(0, |i| i.chain.held());
        let mut held: usize = sessions.iter().map(|(_, session)| held(session)).sum();
        for (_, session) in sessions {
            if held <= SKIPPED_MAX {
                break;
            }
            let Some(inbound) = self.kept.inbound.get(&session) else { continue };
            held -= inbound.chain.held();
            self.forget_skipped(&session, batch);
        }
        self.bound_all_skipped(batch);
    }

    /// Many peers may leave gaps: together they leave room in the ratchet file. Whose keys take the most loses them.
    fn bound_all_skipped(&mut self, batch: &mut Batch) {
        let inbound = self.kept.inbound.values();
        let mut held: usize = inbound.map(|inbound| inbound.chain.held()).sum();
        if held <= SKIPPED_IN_ALL {
            return;
        }
        let mut of: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for inbound in self.kept.inbound.values() {
            *of.entry(inbound.about.peer.identity).or_default() += inbound.chain.held();
        }
        let sessions = self.kept.inbound.iter().filter(|(_, inbound)| inbound.chain.held() > 0);
        let sessions = sessions
            .map(|(session, inbound)| (of[&inbound.about.peer.identity], inbound.chain.held(), *session));
        let mut sessions: Vec<_> = sessions.collect();
        sessions.sort_unstable();
        while held > SKIPPED_IN_ALL
            && let Some((_, most, session)) = sessions.pop()
        {
            held -= most;
            self.forget_skipped(&session, batch);
        }
    }

    pub(super) fn forget_inbound(&mut self, session: &SessionId, batch: &mut Batch) {
        let Some(inbound) = self.kept.inbound.remove(session) else { return };
        let begun = (inbound.about.prekey, inbound.about.first);
        if let Some(start) = self.kept.starts.get_mut(&begun) {
            start.over = true;
            kept::put_start(batch, &begun.0, &begun.1, start);
        }
        kept::erase_inbound(batch, session, &inbound);
    }

    fn inbound_of(&self, peer: &Peer) -> impl Iterator<Item = (u64, SessionId)> {
        let identity = peer.identity;
        let sessions = self.kept.inbound.iter();
        let sessions = sessions.filter(move |(_, inbound)| inbound.about.peer.identity == identity);
        sessions.map(|(session, inbound)| (inbound.about.order, *session))
    }

    fn last_inbound(&self, peer: &Peer) -> [u8; 32] {
        let last = self.inbound_of(peer).max();
        last.map_or([0; 32], |(_, session)| message::session_hash(&session))
    }

    fn next_expiry(&self) -> Option<Millis> {
        let sessions = self.kept.inbound.values();
        let sessions = sessions.flat_map(|inbound| [inbound.about.until, inbound.chain.deadline()]);
        let prekeys = self.kept.prekeys.values().map(end);
        let bundles = self.kept.bundles.values().flatten();
        let bundles = bundles.map(|bundle| bundle.not_after.plus(Duration::from_millis(1)));
        sessions.flatten().chain(prekeys).chain(bundles).filter(|at| *at < Millis(u64::MAX)).min()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("identity", &self.identity)
            .field("outbound", &self.kept.outbound.len())
            .field("inbound", &self.kept.inbound.len())
            .field("prekeys", &self.kept.prekeys.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("from", &self.from.device())
            .field("session", &self.session)
            .field("n", &self.n)
            .field("bytes", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// Whether a session gives way to another, now that a bundle is at hand.
pub(super) fn replace(outbound: &Outbound, bundle: &Bundle, why: Why, now: Now) -> bool {
    let turned = why == Why::Speech && outbound.answered;
    // One of a day that has not come is of a clock that was set back.
    let old = outbound.began > now.wall || now.wall.since(outbound.began) >= SESSION_FOR;
    let long = outbound.chain.n() + 1 >= MESSAGES_MAX || old;
    bundle.kind == Kind::OneTime && (turned || long || outbound.last_resort)
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Every how many stream messages one carries a bundle.
const BUNDLE_EVERY: u64 = 20;

/// A session gives way to another after this many messages…
const MESSAGES_MAX: u64 = 50;

/// …or this long.
const SESSION_FOR: Duration = DAY;

/// How many inbound sessions of a peer stay.
const INBOUND_KEPT: usize = 3;

/// How many there may be until the older ones are erased.
const INBOUND_MAX: usize = 32;

/// The most slots with keys of messages that did not come, of all peers together: half of the ratchet file; fewer in
/// tests.
pub(super) const SKIPPED_IN_ALL: usize = if cfg!(test) { 512 } else { 32_768 };

/// How long an inbound session stays that is not among the newest.
const INBOUND_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
