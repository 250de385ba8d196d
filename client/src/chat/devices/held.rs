//! Deliveries from devices that are in no list yet wait for it.

use super::{ASK_AGAIN, HELD_MAX, OVERDUE, UNLISTED_MAX, keep_spoken};
use crate::chat::talk::Talk;
use std::time::Duration;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::envelope::Delivery;
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::store::Error;
use subrosa_shared::time::Now;

impl Talk {
    /// Whether a delivery waits, because its device is in no list that is known.
    pub(in crate::chat) fn holds(&mut self, delivery: &Delivery, now: Now) -> bool {
        if self.lists.holding.is_none() && !self.must_ask(delivery) {
            return false;
        }
        if self.lists.holding.is_none() {
            self.lists.holding = Some(delivery.name.clone());
            self.lists.overdue = Some(now.mono.plus(OVERDUE));
            self.ask_newer(&delivery.name.clone());
        }
        if self.lists.held.len() < HELD_MAX {
            self.lists.held.push_back(delivery.clone());
        }
        true
    }

    pub(in crate::chat) fn must_ask(&self, delivery: &Delivery) -> bool {
        let Delivery { from, name, .. } = delivery;
        if self.lists.unlisted.contains(from) || *from == self.device() {
            return false;
        }
        if *name == self.chat.name {
            return self.lists.own.get(from).is_none();
        }
        match self.chat.with(name) {
            Some(room) if room.person.blocked => false,
            Some(room) => {
                let known = self.devices_of(room.id).iter().any(|peer| peer.device() == *from);
                let other = self.lists.other.get(name);
                // What is on the list of a refused key beside it may be on the true one by now.
                let other =
                    other.filter(|list| list.root().device() == *from || !room.has_refused(&list.root()));
                !known && other.is_none_or(|list| list.get(from).is_none())
            }
            None if self.is_member(name) => self.lists.of(name).is_none_or(|list| list.get(from).is_none()),
            None => self.has_place(),
        }
    }

    /// An account's list is here, or will not come: what waited for it goes on.
    pub(in crate::chat) fn release(&mut self, name: &AccountName, now: Now) -> Result<(), Error> {
        if self.lists.holding.as_ref() != Some(name) {
            return Ok(());
        }
        (self.lists.holding, self.lists.again, self.lists.overdue) = (None, None, None);
        let held = std::mem::take(&mut self.lists.held);
        let mut listed = None;
        if let Some(first) = held.front() {
            if self.lists.unlisted.len() >= UNLISTED_MAX {
                self.lists.unlisted.clear();
            }
            let from = first.from;
            listed = self.lists.of(name).is_some_and(|list| list.get(&from).is_some()).then_some(from);
            if self.must_ask(first) {
                self.lists.unlisted.insert(from);
            }
        }
        for delivery in held {
            // It may take back what was sealed a moment ago, or after the one before it.
            self.part();
            self.deliver(delivery, now)?;
        }
        if let Some(from) = listed {
            // Known for this time: when the list is forgotten, it is asked for again.
            self.lists.unlisted.remove(&from);
        }
        // A stranger's list is of use while there is a conversation with them.
        let known = |name: &AccountName| self.chat.with(name).is_some() || self.is_member(name);
        let strangers = self.lists.by.keys().chain(self.lists.spoken.keys()).filter(|name| !known(name));
        for name in strangers.cloned().collect::<Vec<_>>() {
            self.lists.by.remove(&name);
            self.lists.past.remove(&name);
            if self.lists.spoken.remove(&name).is_some() {
                keep_spoken(&name, None, &mut self.batch);
            }
        }
        Ok(())
    }

    /// The relay refused to say which devices an account has.
    pub(in crate::chat) fn no_devices(
        &mut self,
        name: &AccountName,
        why: Refusal,
        now: Now,
    ) -> Result<(), Error> {
        if *name != self.chat.name {
            self.no_chain(name, why, now);
            self.no_account(name, why, now)?;
            if why == Refusal::UnknownAccount {
                self.unknown_wish(name);
            }
            self.no_member_devices(name, why, now)?;
        }
        match why {
            Refusal::RateLimited { retry_ms } if self.lists.holding.as_ref() == Some(name) => {
                self.lists.again = Some(now.mono.plus(Duration::from_millis(retry_ms.into())));
                Ok(())
            }
            _ => self.release(name, now),
        }
    }

    /// Time has passed for a list that was asked for.
    pub(in crate::chat) fn devices_wake(&mut self, now: Now) {
        if self.lists.again.is_some_and(|at| at <= now.mono) {
            self.lists.again = Some(now.mono.plus(ASK_AGAIN));
            if let Some(name) = self.lists.holding.clone() {
                self.ask_newer(&name);
            }
        }
        if self.lists.overdue.is_some_and(|at| at <= now.mono) {
            self.lists.overdue = None;
            self.list_overdue();
        }
        if self.lists.refused.is_some_and(|at| at <= now.mono) {
            self.look_at_own();
        }
    }

    /// Nothing may stall unseen: not even what the relay alone could bring about.
    pub(in crate::chat) fn list_overdue(&mut self) {
        let Some(name) = &self.lists.holding else { return };
        let text = match *name == self.chat.name {
            true => "a message of a device of yours that is not known here waits, and all that came after it: the relay \
                     does not say which devices you have. /reconnect asks again; if this stays, ask the relay's owner"
                .to_owned(),
            false => format!(
                "a message from '{name}' waits, and all that came after it: the relay does not say which devices they \
                 have. /reconnect asks again; if this stays, tell them another way, and ask the relay's owner"
            ),
        };
        self.notice(text, true);
    }
}
