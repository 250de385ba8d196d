//! Somebody at an empty machine: a connection without a device, and signing in by password on it.

use crate::world::World;
use rand_core::RngCore;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use subrosa::chat::backup::SETTINGS;
use subrosa::chat::talk::ACCOUNT;
use subrosa::config::Config;
use subrosa::login::{Next, Problem, SignIn};
use subrosa_relay::relay::Conn;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::session::opaque::Bound;
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::memory::{Disk, MemorySlots};
use subrosa_shared::store::{Batch, Store};
use zeroize::Zeroizing;

/// A connection without a device.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// Which one.
    pub conn: Conn,
    /// The TLS exporter's value on it.
    pub exporter: [u8; 32],
}

impl World {
    /// Somebody connects from this machine.
    pub fn visits(&mut self) -> Visit {
        self.visits_from(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Somebody connects.
    pub fn visits_from(&mut self, from: IpAddr) -> Visit {
        self.conns += 1;
        let conn = Conn(self.conns);
        let mut exporter = [0; 32];
        self.rng.fill_bytes(&mut exporter);
        self.owners.insert(conn, "visitor".into());
        self.visits.insert(conn, Vec::new());
        let now = self.now();
        self.relay.as_mut().expect("the relay runs").connected(conn, exporter, from, now);
        Visit { conn, exporter }
    }

    /// A visitor says something, and hears what the relay answers.
    pub fn visitor_says(&mut self, visit: Visit, frame: ToRelay) -> Vec<ToDevice> {
        let now = self.now();
        self.relay.as_mut().expect("the relay runs").frame(visit.conn, frame, now);
        self.visitor_hears(visit)
    }

    /// What a visitor was told since it last looked.
    pub fn visitor_hears(&mut self, visit: Visit) -> Vec<ToDevice> {
        self.relay_commits();
        std::mem::take(self.visits.get_mut(&visit.conn).expect("the story visits"))
    }

    /// A visitor's connection is gone.
    pub fn relay_forgets(&mut self, visit: Visit) {
        self.owners.remove(&visit.conn);
        self.visits.remove(&visit.conn);
        self.relay.as_mut().expect("the relay runs").gone(visit.conn);
    }

    /// The beginning of a login: KE1.
    pub fn begins_login(&mut self, visit: Visit, account: &str, password: &str) -> (SignIn, ToRelay) {
        let name = AccountName::parse(account).expect("valid");
        let bound = Bound { name, relay: self.relay_key };
        let password = Zeroizing::new(password.to_string());
        SignIn::begin(bound, visit.exporter, password, &mut self.rng).expect("short enough")
    }

    /// Goes on with a login until it is done or over; the machine's person is called `name` from then on.
    ///
    /// # Errors
    /// Those of the login.
    pub fn goes_on(
        &mut self,
        name: &str,
        account: &str,
        visit: Visit,
        mut login: SignIn,
        heard: Vec<ToDevice>,
    ) -> Result<(), Problem> {
        let mut waiting: std::collections::VecDeque<ToDevice> = heard.into();
        let mut made = None;
        'signing: loop {
            let frame = match waiting.pop_front() {
                Some(frame) => frame,
                // Cut off: it may be listed.
                None if made.is_some() => break,
                None => return Err(Problem::Malformed("the relay says nothing")),
            };
            let mut next = login.frame(frame, &mut self.rng)?;
            while let Some(step) = next.take() {
                match step {
                    Next::Send(frame) => waiting.extend(self.visitor_says(visit, frame)),
                    Next::Stretch(stretch) => {
                        next = Some(login.stretched(stretch.run(Cost::TINY, &mut self.rng))?);
                    }
                    Next::Enroll(restored, frame) => {
                        let memory = Arc::new(Disk::default());
                        let disk = Store { records: memory.clone(), slots: Arc::new(MemorySlots::default()) };
                        let (mut batch, seed) = (Batch::default(), *restored.identity.seed());
                        restored.write(&mut batch, &mut self.rng);
                        disk.commit(&batch).expect("a memory store writes");
                        let settings = disk.records.get(ACCOUNT, SETTINGS).expect("a memory store reads");
                        let settings = settings.and_then(|bytes| String::from_utf8(bytes).ok());
                        let config = settings.and_then(|text| Config::parse(&text).ok()).unwrap_or_default();
                        made = Some((config, disk, memory, seed));
                        waiting.extend(self.visitor_says(visit, frame));
                    }
                    Next::Done => break 'signing,
                }
            }
        }
        let (config, disk, memory, seed) = made.expect("a profile is made before it is listed");
        self.relay.as_mut().expect("the relay runs").gone(visit.conn);
        self.settles(name, account, config, disk, Some(memory), seed);
        self.starts(name);
        Ok(())
    }

    /// Signs in on an empty machine, whose person is called `name` from then on.
    ///
    /// # Errors
    /// Those of the login.
    pub fn signs_in(&mut self, name: &str, account: &str, password: &str) -> Result<(), Problem> {
        let visit = self.visits();
        let (login, start) = self.begins_login(visit, account, password);
        let heard = self.visitor_says(visit, start);
        self.goes_on(name, account, visit, login, heard)
    }
}
