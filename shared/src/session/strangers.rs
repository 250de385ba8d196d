//! Bounds on what people may keep here who were never accepted, and forgetting somebody whole.
//!
//! Each account has its own bound of sessions; this is the bound of all strangers together. Without
//! it some hundred hostile accounts could fill the ratchet file, and nothing more could be received.

use super::chain::SKIPPED_MAX;
use super::kept;
use super::pairwise::Sessions;
use crate::id::{DeviceId, SessionId};
use crate::store::Batch;
use std::collections::BTreeMap;

impl Sessions {
    /// Keeps the sessions of everybody who is not `known` within bounds: the strangers that began
    /// no session for the longest time lose theirs first, the session `using` stays. Call it after
    /// something of a stranger's was opened, in the same batch.
    pub fn bound_strangers(
        &mut self,
        known: impl Fn(&DeviceId) -> bool,
        using: &SessionId,
        batch: &mut Batch,
    ) {
        let mut newest: BTreeMap<DeviceId, u64> = BTreeMap::new();
        let mut theirs = Vec::new();
        for (session, inbound) in &self.kept.inbound {
            let device = inbound.about.peer.device();
            if known(&device) {
                continue;
            }
            let seen = newest.entry(device).or_default();
            *seen = (*seen).max(inbound.about.order);
            theirs.push((*session, device, inbound.about.order));
        }
        theirs.sort_unstable_by_key(|(session, device, order)| (session == using, newest[device], *order));
        let mut count = theirs.len();
        let held = |sessions: &Self, session| {
            sessions.kept.inbound.get(session).map_or(0, |inbound| inbound.chain.held())
        };
        let mut slots: usize = theirs.iter().map(|(session, ..)| held(self, session)).sum();
        for (session, ..) in &theirs {
            if count > STRANGERS_MAX && session != using {
                slots -= held(self, session);
                self.forget_inbound(session, batch);
                count -= 1;
            } else if slots > SKIPPED_MAX {
                slots -= held(self, session);
                self.forget_skipped(session, batch);
            }
        }
    }

    /// Erases everything that is kept of a device: its sessions, ours to it, the bundles that either
    /// gave the other. What it goes on to send in an old session cannot be opened any more.
    pub fn forget_peer(&mut self, device: &DeviceId, batch: &mut Batch) {
        let theirs = self.kept.inbound.iter();
        let theirs = theirs.filter(|(_, inbound)| inbound.about.peer.device() == *device);
        for session in theirs.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.forget_inbound(&session, batch);
        }
        let issued = self.kept.prekeys.iter().filter(|(_, prekey)| prekey.peer == Some(*device));
        for id in issued.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.forget_prekey(&id, batch);
        }
        self.claimed.remove(device);
        self.restart(device, batch);
    }

    pub(super) fn forget_skipped(&mut self, session: &SessionId, batch: &mut Batch) {
        let Some(inbound) = self.kept.inbound.get_mut(session) else { return };
        let changed = inbound.chain.forget_skipped();
        kept::keep_inbound(batch, session, inbound);
        kept::keep_skipped(batch, session, inbound, &changed);
    }
}

/// Sessions of all strangers together. Each takes a slot of the ratchet file, which has 65,536.
pub const STRANGERS_MAX: usize = 128;
