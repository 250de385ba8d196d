//! The prekeys of one device, and the bundles that its peers gave it.

use super::kept::{self, Prekey};
use super::pairwise::{Sessions, Why, replace};
use super::prekey;
use crate::id::{DeviceId, PrekeyId};
use crate::protocol::auth::Peer;
use crate::protocol::frame::BUNDLES_MAX;
use crate::protocol::prekey::{self as bundle, Bundle, Kind};
use crate::store::Batch;
use crate::time::{Millis, Now};
use rand_core::CryptoRngCore;
use std::time::Duration;
use zeroize::Zeroizing;

impl Sessions {
    /// Bundles to publish, at most [`BUNDLES_MAX`], when the relay has `left` one-time ones and says
    /// whether its last-resort one is fresh.
    pub fn prekeys(
        &mut self,
        left: u32,
        last_resort_fresh: bool,
        rng: &mut dyn CryptoRngCore,
        now: Now,
        batch: &mut Batch,
    ) -> Vec<Bundle> {
        let mut bundles = Vec::new();
        bundles.extend(self.last_resort(last_resort_fresh, rng, now, batch));
        let wanted = ONE_TIME.saturating_sub(left as usize);
        for _ in 0..wanted.min(BUNDLES_MAX - bundles.len()) {
            let prekey = draw(Kind::OneTime, ONE_TIME_FOR, rng, now);
            bundles.push(self.issue(prekey, rng, batch));
        }
        self.bound_published(batch);
        bundles
    }

    /// One more one-time bundle, for somebody who gets it past the relay.
    pub fn spare(&mut self, rng: &mut dyn CryptoRngCore, now: Now, batch: &mut Batch) -> Bundle {
        let bundle = self.issue(draw(Kind::OneTime, ONE_TIME_FOR, rng, now), rng, batch);
        self.bound_published(batch);
        bundle
    }

    /// Whether [`Sessions::seal`] would refuse for want of a bundle.
    pub fn needs_bundle(&self, to: &DeviceId, now: Now) -> bool {
        !self.kept.outbound.contains_key(to) && self.best_bundle(to, now).is_none()
    }

    /// Whether what is sealed next would begin a session, or be refused for want of a bundle. Such a
    /// message must reach the peer: what comes after it in the session cannot be opened without it.
    pub fn begins(&self, to: &DeviceId, why: Why, now: Now) -> bool {
        let Some(outbound) = self.kept.outbound.get(to) else { return true };
        self.best_bundle(to, now).is_some_and(|bundle| replace(outbound, bundle, why, now))
    }

    /// Whether there is no last-resort prekey, because too many sessions began with it: publish another.
    pub fn lacks_last_resort(&self) -> bool {
        !self.kept.prekeys.values().any(is_current)
    }

    /// Whether a last-resort prekey was used up: what the relay says is a fresh one may be a bundle of that.
    pub fn wore_out(&self) -> bool {
        !self.kept.worn.is_empty()
    }

    /// Takes a bundle of that peer that the relay handed out, for the next session start.
    ///
    /// # Errors
    /// When it is not the pinned peer's, not signed, malformed, or out of date.
    pub fn offer(&mut self, to: &Peer, bundle: &[u8], now: Now) -> Result<(), bundle::Error> {
        let bundle = verified(to, bundle, now)?;
        let claimed = self.claimed.entry(to.device()).or_default();
        claimed.retain(|old| old.id != bundle.id);
        claimed.push(bundle);
        if claimed.len() > CLAIMED_MAX {
            claimed.remove(0);
        }
        Ok(())
    }
}

impl Sessions {
    /// The newest one-time bundle that the peer gave us; else one that was claimed.
    pub(super) fn best_bundle(&self, device: &DeviceId, now: Now) -> Option<&Bundle> {
        let fresh = |bundle: &&Bundle| now.wall <= bundle.not_after;
        let given = self.kept.bundles.get(device).into_iter().flatten().filter(fresh);
        given.max_by_key(|bundle| age(bundle)).or_else(|| {
            let claimed = self.claimed.get(device).into_iter().flatten().filter(fresh);
            claimed.max_by_key(|bundle| (bundle.kind == Kind::OneTime, age(bundle)))
        })
    }

    /// A bundle is used once, a last-resort one too: it is claimed anew for each start.
    pub(super) fn use_up(&mut self, device: &DeviceId, used: &Bundle, batch: &mut Batch) {
        if let Some(bundles) = self.kept.bundles.get_mut(device) {
            bundles.retain(|bundle| bundle.id != used.id);
            kept::delete_bundle(batch, device, used);
        }
        if let Some(claimed) = self.claimed.get_mut(device) {
            claimed.retain(|bundle| bundle.id != used.id);
        }
    }

    /// Keeps a bundle that came inside a message. One that cannot be used is ignored: the message
    /// that carries it is still the peer's.
    pub(super) fn take_bundle(&mut self, from: &Peer, bytes: &[u8], now: Now, batch: &mut Batch) {
        let Ok(bundle) = verified(from, bytes, now) else { return };
        if bundle.kind != Kind::OneTime {
            return;
        }
        let device = from.device();
        let bundles = self.kept.bundles.entry(device).or_default();
        kept::put_bundle(batch, &device, &bundle);
        bundles.retain(|old| old.id != bundle.id);
        // By age, but that the last one is what came last: a clock that was set back dates it before the others.
        bundles.sort_by_key(age);
        while bundles.len() >= IN_BAND_MAX {
            kept::delete_bundle(batch, &device, &bundles.remove(0));
        }
        bundles.push(bundle);
    }

    /// A prekey of ours that only this peer may use.
    pub(super) fn issue_to(
        &mut self,
        to: &DeviceId,
        rng: &mut dyn CryptoRngCore,
        now: Now,
        batch: &mut Batch,
    ) -> Bundle {
        let id = PrekeyId::random(rng);
        let prekey = draw_for(to, rng, now);
        let bundle = prekey.secrets().bundle(&self.identity, id, prekey.kind, prekey.not_after);
        self.take_issued(to, id, prekey, batch);
        bundle
    }

    pub(super) fn take_issued(&mut self, to: &DeviceId, id: PrekeyId, prekey: Prekey, batch: &mut Batch) {
        kept::keep_prekey(batch, &id, &prekey);
        self.kept.prekeys.insert(id, prekey);
        // A clock that was set back dates this one before the others, and the peer has it from now on.
        let others = self.kept.prekeys.iter().filter(|(other, _)| **other != id);
        let theirs = others.filter(|(_, prekey)| prekey.peer == Some(*to));
        let mut theirs: Vec<_> = theirs.map(|(id, prekey)| (prekey.not_after, *id)).collect();
        theirs.sort_unstable();
        let surplus = (theirs.len() + 1).saturating_sub(IN_BAND_MAX);
        for (_, id) in theirs.into_iter().take(surplus) {
            self.forget_prekey(&id, batch);
        }
    }

    pub(super) fn forget_prekey(&mut self, id: &PrekeyId, batch: &mut Batch) {
        self.kept.prekeys.remove(id);
        kept::erase_prekey(batch, id);
        for start in self.starts_of(id).collect::<Vec<_>>() {
            self.kept.starts.remove(&start);
            kept::delete_start(batch, &start.0, &start.1);
        }
    }

    /// The first messages to a last-resort prekey.
    pub(super) fn starts_of(&self, id: &PrekeyId) -> impl Iterator<Item = (PrekeyId, [u8; 32])> {
        let all = (*id, [0; 32])..=(*id, [u8::MAX; 32]);
        self.kept.starts.range(all).map(|(start, _)| *start)
    }

    /// As many sessions as may began with a last-resort prekey: it goes together with its replay set, of which
    /// nothing may be forgotten while it is there.
    pub(super) fn wear_out(&mut self, id: &PrekeyId, batch: &mut Batch) {
        self.forget_prekey(id, batch);
        self.kept.worn.push(*id);
        let surplus = self.kept.worn.len().saturating_sub(WORN_KEPT);
        self.kept.worn.drain(..surplus);
        kept::put_worn(batch, &self.kept.worn);
    }

    fn issue(&mut self, prekey: Prekey, rng: &mut dyn CryptoRngCore, batch: &mut Batch) -> Bundle {
        let id = PrekeyId::random(rng);
        let bundle = prekey.secrets().bundle(&self.identity, id, prekey.kind, prekey.not_after);
        kept::keep_prekey(batch, &id, &prekey);
        self.kept.prekeys.insert(id, prekey);
        bundle
    }

    /// A new last-resort bundle each week; the same again when the relay lost it.
    fn last_resort(
        &mut self,
        fresh: bool,
        rng: &mut dyn CryptoRngCore,
        now: Now,
        batch: &mut Batch,
    ) -> Option<Bundle> {
        let found = self.kept.prekeys.iter_mut().find(|(_, prekey)| is_current(prekey));
        if let Some((id, prekey)) = found {
            if now.wall.since(prekey.created) < LAST_RESORT_TURN {
                let again = || prekey.secrets().bundle(&self.identity, *id, prekey.kind, prekey.not_after);
                return (!fresh).then(again);
            }
            prekey.replaced = Some(now.wall);
            kept::keep_prekey(batch, id, prekey);
        }
        let prekey = draw(Kind::LastResort, LAST_RESORT_FOR, rng, now);
        Some(self.issue(prekey, rng, batch))
    }

    /// Publishing may fail again and again: the oldest one-time prekeys make room.
    fn bound_published(&mut self, batch: &mut Batch) {
        let published = |prekey: &Prekey| prekey.kind == Kind::OneTime && prekey.peer.is_none();
        let held = self.kept.prekeys.iter().filter(|(_, prekey)| published(prekey));
        let mut held: Vec<_> = held.map(|(id, prekey)| (prekey.created, *id)).collect();
        held.sort_unstable();
        let surplus = held.len().saturating_sub(PUBLISHED_MAX);
        for (_, id) in held.into_iter().take(surplus) {
            self.forget_prekey(&id, batch);
        }
    }
}

fn verified(owner: &Peer, bytes: &[u8], now: Now) -> Result<Bundle, bundle::Error> {
    let bundle = Bundle::decode(bytes)?;
    if bundle.identity != owner.identity {
        return Err(bundle::Error::Signature);
    }
    bundle.verify(&owner.device(), now.wall)?;
    prekey::encapsulation_key(&bundle.ek)?;
    Ok(bundle)
}

fn draw(kind: Kind, lasts: Duration, rng: &mut dyn CryptoRngCore, now: Now) -> Prekey {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(seed.as_mut());
    Prekey::new(&seed, kind, now.wall, now.wall.plus(lasts))
}

pub(super) fn draw_for(device: &DeviceId, rng: &mut dyn CryptoRngCore, now: Now) -> Prekey {
    let mut prekey = draw(Kind::OneTime, ONE_TIME_FOR, rng, now);
    prekey.peer = Some(*device);
    prekey
}

/// Whether it is the last-resort prekey of these days.
fn is_current(prekey: &Prekey) -> bool {
    prekey.kind == Kind::LastResort && prekey.replaced.is_none()
}

/// When a prekey is erased.
pub(super) fn end(prekey: &Prekey) -> Millis {
    match (prekey.kind, prekey.replaced) {
        (Kind::OneTime, _) => prekey.not_after.plus(IN_FLIGHT),
        (Kind::LastResort, None) => Millis(u64::MAX),
        (Kind::LastResort, Some(replaced)) => {
            prekey.not_after.clamp(replaced.plus(LAST_RESORT_TURN), replaced.plus(LAST_RESORT_FOR))
        }
    }
}

/// Which bundle of one owner is older: all one-time ones last equally long.
pub(super) fn age(bundle: &Bundle) -> (Millis, PrekeyId) {
    (bundle.not_after, bundle.id)
}

/// One-time bundles that the relay should have.
const ONE_TIME: usize = 64;

/// The most published one-time prekeys whose secrets are kept.
const PUBLISHED_MAX: usize = 8 * ONE_TIME;

/// How long a one-time bundle may be used.
const ONE_TIME_FOR: Duration = Duration::from_secs(60 * 24 * 3600);

/// How long a message to a one-time prekey may lie in the mailbox.
const IN_FLIGHT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How often the last-resort prekey is rotated.
const LAST_RESORT_TURN: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long it is kept; longer only when the device was away at its rotation.
const LAST_RESORT_FOR: Duration = Duration::from_secs(14 * 24 * 3600);

/// So many sessions begin with one last-resort prekey; fewer in tests, which are to be fast.
pub const STARTS_MAX: usize = if cfg!(test) { 256 } else { 4096 };

/// Last-resort prekeys that were used up, of which it is remembered: more than can be there at a time.
const WORN_KEPT: usize = 8;

/// The most unused bundles that one peer gave the other.
const IN_BAND_MAX: usize = 4;

/// The most bundles of one peer that were claimed and not used.
const CLAIMED_MAX: usize = 2;
