//! What the relay's owner sees and changes while it runs.

use super::Relay;
use crate::admin::exposition::Figures;
use crate::config::Config;
use crate::invites::{self, Invitation};
use crate::mailbox::Quota;
use crate::metrics::Count;
use crate::relay::perform::Fault;
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::protocol::invite::Invite;
use subrosa_shared::store;
use subrosa_shared::time::Millis;

impl Relay {
    /// How things stand, as far as the relay itself knows.
    pub(crate) fn figures(&self) -> Figures {
        let totals = self.mailbox.totals().unwrap_or_default();
        Figures {
            online: self.online.len() as u64,
            fresh: self.fresh.len() as u64,
            mailbox_bytes: totals.bytes,
            bodies: totals.bodies,
            ..Figures::default()
        }
    }

    /// Takes what may change while it runs: the limits, the line for everyone, who may open an account.
    /// What is kept and open stays, also where it is above a new bound.
    pub fn reload(&mut self, config: &Config) {
        let limits = &config.limits;
        let rates = &mut self.rates;
        rates.frames.change(limits.frames);
        rates.sends.change(limits.sends);
        rates.send_bytes.change(limits.send_bytes);
        rates.claims.change(limits.claims);
        rates.lookups.change(limits.lookups);
        rates.passwords.change(limits.passwords);
        rates.backups.change(limits.backups);
        rates.registrations.change(limits.registrations);
        self.tracks().bound(limits.clone());
        self.accounts.bound(limits.prekeys);
        self.passwords.bound(limits);
        self.mailbox.bound(Quota::from(limits));
        self.blobs.bound(limits);
        self.config.limits = limits.clone();
        self.config.motd.clone_from(&config.motd);
        self.config.registration = config.registration;
    }

    /// Takes one use of an invitation, together with the account that it opens.
    pub(super) fn use_invite(&mut self, invite: Option<&Invite>, wall: Millis) -> Result<(), Fault> {
        let holds = match invite {
            Some(invite) => invites::take(self.accounts.records(), invite, wall)?,
            None => false,
        };
        if !holds {
            self.metrics.count(Count::InvitesRefused);
            return Err(Refusal::InviteNeeded.into());
        }
        Ok(())
    }

    /// Makes an invitation for so many accounts; it is on disk when this returns. Nothing else may wait to
    /// be written at this moment: the relay's owner asks between two groups.
    ///
    /// # Errors
    /// Those of the store; then there is none.
    pub fn invite(&mut self, uses: u32, until: Millis, wall: Millis) -> Result<Option<Invite>, store::Error> {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        let invite = Invite::of(bytes);
        let records = self.accounts.records();
        let made = invites::make(records, &invite, Invitation { uses, until, made: wall }, wall)?;
        records.commit()?;
        Ok(made.then_some(invite))
    }

    /// Invitations that hold, each with the id that it is revoked by.
    ///
    /// # Errors
    /// Those of the store.
    pub fn invitations(&mut self, wall: Millis) -> Result<Vec<(String, Invitation)>, store::Error> {
        invites::list(self.accounts.records(), wall)
    }

    /// Voids an invitation; whether there was one. As with [`Relay::invite`], nothing else may wait.
    ///
    /// # Errors
    /// Those of the store; then nothing has changed.
    pub fn revoke_invite(&mut self, id: &str) -> Result<bool, store::Error> {
        let records = self.accounts.records();
        let there = invites::revoke(records, id)?;
        records.commit()?;
        Ok(there)
    }

    /// Tells everyone so at login, beside the line of the settings.
    pub fn remark(&mut self, text: String) {
        self.remark = Some(text);
    }

    /// The line for everyone who logs in.
    pub(super) fn motd(&self) -> String {
        let lines = [Some(&self.config.motd), self.remark.as_ref()];
        let lines: Vec<&str> =
            lines.into_iter().flatten().map(String::as_str).filter(|line| !line.is_empty()).collect();
        lines.join(" · ")
    }

    /// The settings that it goes by.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
