//! Logins by password, and what such a connection may do.

use super::commit::Tables;
use super::perform::Fault;
use super::{Conn, Out, Relay};
use crate::limits::{Wait, prefix};
use crate::metrics::Count;
use crate::passwords::{self, Bound, Held, Proof};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice};
use subrosa_shared::protocol::password::{Backup, Opened, SESSIONS_MAX, Session, Start, Token};
use subrosa_shared::store;
use subrosa_shared::time::{Millis, Now};

/// A connection without a device that is past its first frame.
pub(super) enum Visitor {
    /// KE2 went out.
    Proving(Box<Proof>),
    /// The password was right; the session's number.
    Within(u64),
}

/// Connections and sessions without a device.
#[derive(Default)]
pub(super) struct Visitors {
    by: BTreeMap<Conn, (Visitor, Millis)>,
    /// By the SHA-256 of their token: whoever reads the relay's memory finds nothing to open.
    sessions: BTreeMap<[u8; 32], PasswordSession>,
    drawn: u64,
    /// When the operator was last told of guesses that were held back.
    told: Option<Millis>,
}

/// What a right password opened, for a while.
struct PasswordSession {
    id: u64,
    name: AccountName,
    network: String,
    since: Millis,
    /// On the monotonic clock.
    until: Millis,
    idle_until: Millis,
}

/// How long a client may take to stretch its password: 64 MiB, on the slowest machine.
const PROVING_MS: u64 = 60_000;
/// How long a password session holds at all.
const SESSION_MS: u64 = 10 * 60_000;
/// How long it holds while nothing happens.
const IDLE_MS: u64 = 2 * 60_000;
/// Sessions of one account; a further one ends the oldest.
const EACH_MAX: usize = 8;
/// The operator hears of held guesses once in so long.
const TELL_MS: u64 = 60_000;
/// Numbers of password sessions begin here: below are those of connections.
const FIRST: u64 = 1 << 32;

impl Visitors {
    pub(super) fn of(&self, conn: Conn) -> Option<&Visitor> {
        self.by.get(&conn).map(|(visitor, _)| visitor)
    }

    pub(super) fn gone(&mut self, conn: Conn) {
        self.by.remove(&conn);
    }

    /// The account of a password session, and that it is used.
    fn touch(&mut self, id: u64, mono: Millis) {
        if let Some(session) = self.sessions.values_mut().find(|session| session.id == id) {
            session.idle_until = Millis(mono.0 + IDLE_MS);
        }
    }

    fn name(&self, id: u64) -> Option<&AccountName> {
        self.sessions.values().find(|session| session.id == id).map(|session| &session.name)
    }

    fn conns(&self, id: u64) -> Vec<Conn> {
        let theirs = |visitor: &Visitor| matches!(visitor, Visitor::Within(session) if *session == id);
        self.by.iter().filter(|(_, (visitor, _))| theirs(visitor)).map(|(conn, _)| *conn).collect()
    }
}

impl Relay {
    /// The account whose password a connection has proved.
    pub(super) fn visitor_name(&self, conn: Conn) -> Option<AccountName> {
        match self.visitors.of(conn) {
            Some(Visitor::Within(id)) => self.visitors.name(*id).cloned(),
            _ => None,
        }
    }

    /// A frame came in on a password session.
    pub(super) fn visitor_active(&mut self, conn: Conn, now: Now) {
        if let Some(Visitor::Within(id)) = self.visitors.of(conn) {
            let id = *id;
            self.visitors.touch(id, now.mono);
        }
    }

    pub(super) fn password_start(&mut self, conn: Conn, start: &Start, now: Now) -> Result<(), Fault> {
        let Some(link) = self.links.get(&conn) else { return Ok(()) };
        let bound = Bound { relay: &self.fingerprint, exporter: &link.exporter };
        let asked =
            self.passwords.challenge(&start.name, &start.ke1, bound, link.from, now.wall, &mut *self.rng);
        let (ke2, proof) = match asked {
            Ok(answer) => answer,
            Err(passwords::Fault::Held(by, wait)) => {
                let from = prefix(link.from);
                return Err(self.held_guess(by, wait, &from, now).into());
            }
            Err(fault) => return Err(fault.into()),
        };
        self.count_after(Tables::Passwords, Count::PasswordTries);
        self.fresh.remove(&conn);
        let until = Millis(now.mono.0 + PROVING_MS);
        self.visitors.by.insert(conn, (Visitor::Proving(Box::new(proof)), until));
        // The guess is on disk before its answer goes out.
        self.lets_in_after(Tables::Passwords, conn, ToDevice::PasswordChallenge(ke2));
        Ok(())
    }

    pub(super) fn password_finish(&mut self, conn: Conn, ke3: &[u8], now: Now) -> Result<(), Fault> {
        let Some((Visitor::Proving(proof), _)) = self.visitors.by.remove(&conn) else { return Ok(()) };
        let Some(link) = self.links.get(&conn) else { return Ok(()) };
        let name = proof.name().clone();
        let bound = Bound { relay: &self.fingerprint, exporter: &link.exporter };
        let backup = self.passwords.prove(*proof, ke3, bound)?;
        let session = PasswordSession {
            id: FIRST + self.visitors.drawn,
            name,
            network: prefix(link.from),
            since: now.wall,
            until: Millis(now.mono.0 + SESSION_MS),
            idle_until: Millis(now.mono.0 + IDLE_MS),
        };
        self.visitors.drawn += 1;
        self.count_after(Tables::Passwords, Count::PasswordLogins);
        self.make_room(&session.name.clone());
        self.let_in(conn, session, backup, now);
        Ok(())
    }

    pub(super) fn password_resume(&mut self, conn: Conn, token: &Token, now: Now) -> Result<(), Fault> {
        // A token opens once: the answer brings the next one.
        let session = self
            .visitors
            .sessions
            .remove(&hash(token))
            .filter(|session| now.mono < session.until && now.mono < session.idle_until);
        let session = session.ok_or(Refusal::NotAllowed)?;
        let backup = self.passwords.backup(&session.name)?.ok_or(Refusal::NotAllowed)?;
        self.fresh.remove(&conn);
        self.let_in(conn, session, backup, now);
        Ok(())
    }

    /// Ends what the old password opened.
    pub(super) fn end_password_sessions(&mut self, name: &AccountName) {
        let ids: Vec<u64> =
            self.visitors.sessions.values().filter(|session| session.name == *name).map(|s| s.id).collect();
        for id in ids {
            self.end_password_session(id);
        }
    }

    /// Connections and password sessions of an account, newest first.
    pub(super) fn list_sessions(&mut self, conn: Conn, ask: Ask, name: &AccountName) {
        let devices = self.links.iter().filter_map(|(other, link)| {
            let device = link.device.as_ref().filter(|device| device.name == *name)?;
            Some(Session {
                id: other.0,
                device: Some(device.id),
                own: *other == conn,
                since: device.since.0,
                network: prefix(link.from),
            })
        });
        let theirs = self.visitors.sessions.values().filter(|session| session.name == *name);
        let passwords = theirs.map(|session| Session {
            id: session.id,
            device: None,
            own: false,
            since: session.since.0,
            network: session.network.clone(),
        });
        let mut sessions: Vec<Session> = devices.chain(passwords).collect();
        sessions.sort_by_key(|session| std::cmp::Reverse((session.since, session.id)));
        sessions.truncate(SESSIONS_MAX);
        self.say(Out::Frame(conn, ToDevice::Sessions { ask, sessions }));
    }

    pub(super) fn end_session(
        &mut self,
        conn: Conn,
        ask: Ask,
        id: u64,
        name: &AccountName,
    ) -> Result<(), Fault> {
        if self.visitors.name(id) == Some(name) {
            self.end_password_session(id);
        } else {
            let other = Conn(id);
            let theirs = self.links.get(&other).and_then(|link| link.device.as_ref());
            theirs.filter(|device| device.name == *name).ok_or(Refusal::NotAllowed)?;
            self.close(other, Refusal::Ended);
        }
        self.say(Out::Frame(conn, ToDevice::Done(ask)));
        Ok(())
    }

    /// Ends what is out of date; when to look again.
    pub(super) fn visitors_tick(&mut self, now: Now) -> Option<Millis> {
        let over = |session: &PasswordSession| session.until.min(session.idle_until);
        let sessions = self.visitors.sessions.values();
        let ended: Vec<u64> = sessions.filter(|session| over(session) <= now.mono).map(|s| s.id).collect();
        for id in ended {
            self.end_password_session(id);
        }
        let late = self.visitors.by.iter().filter(|(_, (_, until))| *until <= now.mono);
        for conn in late.map(|(conn, _)| *conn).collect::<Vec<_>>() {
            self.close(conn, Refusal::NotAllowed);
        }
        let connections = self.visitors.by.values().map(|(_, until)| *until);
        connections.chain(self.visitors.sessions.values().map(over)).min()
    }

    fn end_password_session(&mut self, id: u64) {
        for conn in self.visitors.conns(id) {
            self.close(conn, Refusal::Ended);
        }
        self.visitors.sessions.retain(|_, session| session.id != id);
    }

    /// The oldest session of an account gives way.
    fn make_room(&mut self, name: &AccountName) {
        let mut theirs: Vec<(Millis, u64)> = self
            .visitors
            .sessions
            .values()
            .filter(|session| session.name == *name)
            .map(|session| (session.until, session.id))
            .collect();
        theirs.sort_unstable();
        if theirs.len() >= EACH_MAX {
            self.end_password_session(theirs[0].1);
        }
    }

    fn let_in(&mut self, conn: Conn, mut session: PasswordSession, backup: Backup, now: Now) {
        for before in self.visitors.conns(session.id) {
            self.close(before, Refusal::Replaced);
        }
        let mut token = Token([0; 32]);
        self.rng.fill_bytes(&mut token.0);
        let left = session.until.since(now.mono).as_millis();
        session.idle_until = Millis(now.mono.0 + IDLE_MS);
        self.visitors.by.insert(conn, (Visitor::Within(session.id), session.until));
        self.visitors.sessions.insert(hash(&token), session);
        let expires_ms = u32::try_from(left).unwrap_or(u32::MAX);
        let welcome = ToDevice::PasswordWelcome(Opened { token, expires_ms, backup });
        self.lets_in_after(Tables::Passwords, conn, welcome);
    }

    /// Counts a guess that was held back, and tells the operator now and then, naming nobody.
    fn held_guess(&mut self, by: Held, Wait(retry_ms): Wait, from: &str, now: Now) -> Refusal {
        let (count, what) = match by {
            Held::Name => (Count::PasswordLimitedName, "one name"),
            Held::Network => (Count::PasswordLimitedNetwork, "one network"),
            Held::All => (Count::PasswordLimitedAll, "all together"),
        };
        self.metrics.count(count);
        let quiet = self.visitors.told.is_some_and(|told| now.mono.0 < told.0 + TELL_MS);
        if !quiet {
            self.visitors.told = Some(now.mono);
            tracing::warn!(network = from, retry_ms, "password logins are held back: too many for {what}");
        }
        Refusal::RateLimited { retry_ms }
    }
}

impl From<passwords::Fault> for Fault {
    fn from(fault: passwords::Fault) -> Self {
        match fault {
            passwords::Fault::Held(_, Wait(retry_ms)) => Refusal::RateLimited { retry_ms }.into(),
            passwords::Fault::Refusal(why) => why.into(),
            passwords::Fault::Store(error) => store::Error::into(error),
        }
    }
}

fn hash(token: &Token) -> [u8; 32] {
    Sha256::digest(token.0).into()
}
