//! The relay of a world: it crashes, starts, commits, and says what it has to say.

use super::{LATE, PACKET, PASSWORDS, Packet, Seen, World};
use crate::network::Link;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use subrosa_relay::admin::check;
use subrosa_relay::blobs::{Memory as Blobs, Place};
use subrosa_relay::passwords::Setup;
use subrosa_relay::relay::{Conn, Out, Relay};
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::time::Millis;

impl World {
    /// The bytes of files at the relay, to spoil them.
    pub fn relay_files(&self) -> &Blobs {
        &self.relay_files
    }

    /// The relay, to look at.
    pub fn relay(&self) -> &Relay {
        self.relay.as_ref().expect("the relay runs")
    }

    /// Whether what the relay counts of files is what it has, and what is on its disk holds together.
    ///
    /// # Errors
    /// What does not.
    pub fn relay_adds_up(&self) -> Result<(), String> {
        if !self.relay().blobs().adds_up().map_err(|error| error.to_string())? {
            return Err("the relay counts other files than it has".into());
        }
        let found =
            check::check(&*self.relay_disk, Path::new("nowhere")).map_err(|error| error.to_string())?;
        // Its keys and the bytes of files are in no folder here.
        let elsewhere =
            |sentence: &&String| sentence.starts_with("relay.") || sentence.contains(" bytes of file ");
        match found.sentences().iter().find(|sentence| !elsewhere(sentence)) {
            Some(sentence) => Err(format!("at the relay: {sentence}")),
            None => Ok(()),
        }
    }

    /// The relay crashes: what it has not committed is gone, and all connections.
    pub fn relay_crashes(&mut self) {
        self.relay = None;
        for conn in self.owners.keys().copied().collect::<Vec<_>>() {
            self.break_conn(conn, "the relay was restarted");
        }
    }

    /// The relay crashes and its disk is lost.
    pub fn relay_loses_its_disk(&mut self) {
        self.relay_crashes();
        self.relay_disk = Arc::default();
        self.relay_files = Blobs::default();
    }

    /// The relay starts on what is on its disk.
    pub fn start_relay(&mut self) {
        let rng = Box::new(ChaCha20Rng::seed_from_u64(self.rng.next_u64()));
        let setup = Setup::generate(&mut ChaCha20Rng::seed_from_u64(PASSWORDS));
        let disk = self.relay_disk.clone();
        let files = Place::Memory(self.relay_files.clone());
        let relay = Relay::over(self.relay_config.clone(), self.relay_key, setup, disk, files, rng);
        self.relay = Some(relay.expect("a memory store reads"));
    }

    /// Reads of the relay's disk since the last call.
    pub fn relay_disk_reads(&mut self) -> u64 {
        self.relay_disk.rule.reads.swap(0, Ordering::Relaxed)
    }

    /// Breaks a person's connection; the client connects again by itself.
    pub fn cut(&mut self, name: &str) {
        if let Some(conn) = self.person(name).conn {
            self.break_conn(conn, "the connection broke");
        }
    }

    pub(crate) fn relay_commits(&mut self) {
        let Some(relay) = &mut self.relay else { return };
        let outs = relay.commit();
        if self.relay_disk.rule.died() {
            return self.relay_crashes();
        }
        let outs: VecDeque<Out> = outs.expect("a memory store writes").into();
        for out in outs {
            match out {
                Out::Frame(conn, frame) => self.relay_says(conn, frame),
                Out::Datagram(conn, bytes) => {
                    let (bytes, now) = (bytes.to_vec(), self.now.mono);
                    let length = bytes.len() + PACKET;
                    let down = match self.owners.get(&conn).and_then(|name| self.people.get_mut(name)) {
                        Some(person) => &mut person.links[1],
                        None => &mut Link::default(),
                    };
                    self.network.datagram(Packet::MediaDown(conn, bytes), length, down, now);
                }
                Out::Close(conn, why) => {
                    let (now, after) = (self.now.mono, self.wires.entry(conn).or_default().1);
                    self.network.ordered(Packet::Closed(conn, why.to_string()), now, after);
                }
            }
        }
    }

    pub(super) fn relay_says(&mut self, conn: Conn, frame: ToDevice) {
        let mut frames = vec![frame];
        let owner = self.owners.get(&conn).cloned().unwrap_or_default();
        if let Some(seen) = &mut self.seen {
            seen.push(Seen::To(owner.clone(), frames[0].clone()));
        }
        if let Some(liar) = &mut self.liar {
            frames = frames.into_iter().flat_map(|frame| liar(&owner, frame)).collect();
        }
        if let Some(ToDevice::Deliver(delivery)) = frames.first_mut() {
            if self.network.happens(self.mischief.flip) && !delivery.head.is_empty() {
                let at = self.rng.next_u32() as usize % (delivery.head.len() * 8);
                delivery.head[at / 8] ^= 1 << (at % 8);
            }
            if self.network.happens(self.mischief.repeat) {
                frames.push(frames[0].clone());
            }
        }
        if let Some(told) = self.visits.get_mut(&conn) {
            return told.extend(frames);
        }
        let sluggish = self.people.get(&owner).map_or(0, |person| person.sluggish);
        for frame in frames {
            let (now, after) = (self.now.mono, self.wires.entry(conn).or_default().1);
            let after = if sluggish > 0 { Millis(after.0.max(now.0) + sluggish) } else { after };
            if let ToDevice::Deliver(delivery) = &frame {
                let overtaken = self.network.happens(self.mischief.late);
                if overtaken || self.delivered.contains_key(&conn) {
                    self.delivered.entry(conn).or_default().entry(delivery.seq).or_default();
                }
                if overtaken {
                    let late = 1 + self.rng.next_u64() % LATE;
                    self.network.put_at(Packet::ToDevice(conn, frame), Millis(after.0.max(now.0) + late));
                    continue;
                }
            }
            let at = self.network.ordered(Packet::ToDevice(conn, frame), now, after);
            self.wires.entry(conn).or_default().1 = at;
        }
    }

    /// What a relay that delivers in another order makes of a frame: of acknowledgements, which speak for all that
    /// was delivered before, as much as holds. What came late is not forgotten before it came.
    pub(super) fn forgets(&mut self, conn: Conn, frame: ToRelay) -> Option<ToRelay> {
        let ToRelay::Ack(seq) = frame else { return Some(frame) };
        let Some(delivered) = self.delivered.get_mut(&conn) else { return Some(frame) };
        let Some(acknowledged) = delivered.get_mut(&seq) else { return Some(frame) };
        *acknowledged = true;
        let mut upto = None;
        while let Some(first) = delivered.first_entry().filter(|first| *first.get()) {
            upto = Some(*first.key());
            first.remove();
        }
        if delivered.is_empty() {
            self.delivered.remove(&conn);
        }
        upto.map(ToRelay::Ack)
    }
}
