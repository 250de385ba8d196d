//! The relay of the walk: its real core over a store on disk, without sockets.

use super::people::{Person, now, rows, said};
use rand_core::OsRng;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subrosa_relay::blobs::{Memory, Place};
use subrosa_relay::config::Config;
use subrosa_relay::listener::Key;
use subrosa_relay::passwords::Setup;
use subrosa_relay::relay::{Conn, Out, Relay};
use subrosa_shared::protocol::auth::Login;
use subrosa_shared::protocol::envelope::Delivery;
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay};
use subrosa_shared::store::sled::{Settings, Sled};
use subrosa_shared::store::{Kv, Table, Write};
use zeroize::Zeroizing;

/// A relay, its key and its disk.
pub struct Post {
    /// What devices pin.
    pub key: Key,
    /// The folder of its store.
    pub dir: PathBuf,
    disk: Arc<Sled>,
    relay: Relay,
    next: u64,
}

impl Post {
    /// A new relay below `dir`.
    ///
    /// # Errors
    /// A sentence.
    pub fn start(dir: &Path) -> Result<Self, String> {
        let (key, dir) = (Key::new().map_err(said)?, dir.join("relay"));
        let disk = Arc::new(Sled::open(&dir, Settings::default()).map_err(said)?);
        let relay = over(&key, &disk)?;
        Ok(Self { key, dir, disk, relay, next: 0 })
    }

    /// Starts again over the same disk.
    ///
    /// # Errors
    /// A sentence.
    pub fn restart(&mut self) -> Result<(), String> {
        self.relay = over(&self.key, &self.disk)?;
        Ok(())
    }

    /// A connection with that exporter value.
    pub fn connect(&mut self, exporter: [u8; 32]) -> Conn {
        self.next += 1;
        let conn = Conn(self.next);
        self.relay.connected(conn, exporter, IpAddr::V4(Ipv4Addr::LOCALHOST), now());
        conn
    }

    /// A login on a connection of its own.
    ///
    /// # Errors
    /// The relay's refusal.
    pub fn log_in(&mut self, exporter: [u8; 32], login: Login) -> Result<(Conn, Vec<ToDevice>), String> {
        let conn = self.connect(exporter);
        let answers = self.say(conn, ToRelay::Authenticate(login))?;
        match answers.first() {
            Some(ToDevice::Welcome(_)) => Ok((conn, answers)),
            _ => Err("the relay does not say welcome".into()),
        }
    }

    /// A device that was here before comes back, on a link that this walk does not look at.
    ///
    /// # Errors
    /// The relay's refusal.
    pub fn returns(&mut self, person: &Person) -> Result<(Conn, Vec<Delivery>), String> {
        let exporter = [self.next as u8; 32];
        let identity = person.sessions.identity();
        let login = identity.login(person.name.clone(), true, &self.key.fingerprint(), &exporter);
        let (conn, answers) = self.log_in(exporter, login)?;
        let delivery = |answer| match answer {
            ToDevice::Deliver(delivery) => Some(delivery),
            _ => None,
        };
        Ok((conn, answers.into_iter().filter_map(delivery).collect()))
    }

    /// Hands a frame to the relay; what it says back on that connection.
    ///
    /// # Errors
    /// Its refusal.
    pub fn say(&mut self, conn: Conn, frame: ToRelay) -> Result<Vec<ToDevice>, String> {
        self.relay.frame(conn, frame, now());
        let outs = self.relay.commit().map_err(said)?;
        let mut answers = Vec::new();
        for out in outs {
            match out {
                Out::Frame(to, ToDevice::Refused { why, .. } | ToDevice::Rejected { why, .. })
                    if to == conn =>
                {
                    return Err(refusal(why));
                }
                Out::Frame(to, answer) if to == conn => answers.push(answer),
                _ => {}
            }
        }
        Ok(answers)
    }

    /// A connection ends.
    pub fn gone(&mut self, conn: Conn) {
        self.relay.gone(conn);
    }

    /// How many envelopes wait for somebody.
    ///
    /// # Errors
    /// A sentence.
    pub fn waiting(&self, person: &Person) -> Result<u32, String> {
        Ok(self.relay.mailbox().status(person.device()).map_err(said)?.count)
    }

    /// The record that has these bytes in it, and where they begin.
    ///
    /// # Errors
    /// When no record has.
    pub fn find(&self, bytes: &[u8]) -> Result<Found, String> {
        for (table, key, value) in rows(&*self.disk)? {
            if let Some(at) = value.windows(bytes.len()).position(|some| some == bytes) {
                return Ok(Found { table, key, value, at });
            }
        }
        Err("the relay's disk does not have what it accepted".into())
    }

    /// Writes past the relay, to its disk.
    ///
    /// # Errors
    /// A sentence.
    pub fn tamper(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), String> {
        let write = Write::Put(table, key.to_vec(), Zeroizing::new(value.to_vec()));
        self.disk.commit(&[write]).map_err(said)?;
        self.restart()
    }

    /// Keys and values of every record.
    ///
    /// # Errors
    /// A sentence.
    pub fn records(&self) -> Result<Vec<Vec<u8>>, String> {
        Ok(rows(&*self.disk)?.into_iter().flat_map(|(_, key, value)| [key, value]).collect())
    }
}

/// A record of the relay's.
pub struct Found {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Where in the value.
    pub at: usize,
}

fn over(key: &Key, disk: &Arc<Sled>) -> Result<Relay, String> {
    let setup = Setup::generate(&mut OsRng);
    let files = Place::Memory(Memory::default());
    Relay::over(Config::default(), key.fingerprint(), setup, disk.clone(), files, Box::new(OsRng))
        .map_err(said)
}

fn refusal(why: Refusal) -> String {
    format!("the relay says: {why}")
}
