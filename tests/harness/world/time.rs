//! Time passes, and what is under way arrives.

use super::{Login, Packet, Person, RECONNECT, STEPS_MAX, Seen, World};
use rand_core::RngCore;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use subrosa::event::{Event, LinkEvent};
use subrosa_relay::relay::Conn;
use subrosa_shared::protocol::frame::ToDevice;
use subrosa_shared::time::{Millis, Now};

impl World {
    /// Runs until nothing is under way and no wake-up is due within the next second.
    pub fn settle(&mut self) {
        let mut quiet = self.now.mono.0;
        while let Some(at) = self.next_at() {
            if at.0 > quiet + 1000 {
                return;
            }
            if self.network.next().is_some_and(|next| next.0 <= at.0) {
                quiet = at.0.max(self.now.mono.0);
            }
            self.step_to(at);
        }
    }

    /// Lets that many milliseconds pass.
    pub fn passes(&mut self, millis: u64) {
        let end = Millis(self.now.mono.0 + millis);
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            self.step_to(at);
        }
        self.set_clock(end);
    }

    pub(super) fn next_at(&self) -> Option<Millis> {
        let wakes = self.people.values().flat_map(|person| [person.wake, person.studio.due()]).flatten();
        let relay = self.relay_due.filter(|_| self.relay.is_some());
        wakes.chain(self.network.next()).chain(relay).min()
    }

    pub(super) fn set_clock(&mut self, mono: Millis) {
        let passed = mono.0.saturating_sub(self.now.mono.0);
        self.now = Now { wall: Millis(self.now.wall.0 + passed), mono: Millis(self.now.mono.0 + passed) };
    }

    pub(super) fn step_to(&mut self, at: Millis) {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "the story never comes to rest");
        self.set_clock(at);
        while let Some(packet) = self.network.arrived(self.now.mono) {
            self.arrives(packet);
        }
        let now = self.now.mono;
        let due: Vec<String> = self
            .people
            .iter()
            .filter(|(_, person)| person.wake.is_some_and(|wake| wake <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.person(&name).wake = None;
            self.event(&name, Event::Wake);
        }
        let sends = |person: &Person| person.studio.due().is_some_and(|due| due <= now);
        let due: Vec<String> =
            self.people.iter().filter(|(_, person)| sends(person)).map(|(name, _)| name.clone()).collect();
        for name in due {
            self.sends_due(&name);
        }
        if let Some(relay) = &mut self.relay {
            self.relay_due = Some(relay.tick(self.now));
        }
        self.relay_commits();
    }

    pub(super) fn arrives(&mut self, packet: Packet) {
        let about = match &packet {
            Packet::ToRelay(conn, _) => (0, conn.0),
            Packet::ToDevice(conn, _) => (1, conn.0),
            Packet::MediaUp(conn, _) => (2, conn.0),
            Packet::MediaDown(conn, _) => (3, conn.0),
            Packet::Gone(conn) | Packet::Closed(conn, _) => (4, conn.0),
            Packet::Dial(_) | Packet::Piece(..) => (5, 0),
        };
        (self.now.mono.0, about).hash(&mut self.digest);
        match packet {
            Packet::ToRelay(conn, frame) if self.owners.contains_key(&conn) => {
                if self.network.cuts() {
                    return self.break_conn(conn, "the connection broke");
                }
                if let Some((seen, owner)) = self.seen.as_mut().zip(self.owners.get(&conn)) {
                    seen.push(Seen::From(owner.clone(), frame.clone()));
                }
                let frame = self.forgets(conn, frame);
                if let Some((relay, frame)) = self.relay.as_mut().zip(frame) {
                    relay.frame(conn, frame, self.now);
                }
                self.relay_commits();
            }
            Packet::MediaUp(conn, bytes) => {
                if let Some((seen, owner)) = self.seen.as_mut().zip(self.owners.get(&conn)) {
                    seen.push(Seen::Media(owner.clone(), bytes.clone()));
                }
                if let Some(relay) = self.relay.as_mut().filter(|_| self.owners.contains_key(&conn)) {
                    relay.datagram(conn, &bytes, self.now);
                }
                self.relay_commits();
            }
            Packet::ToDevice(conn, frame) => {
                if let Some(name) = self.owner(conn) {
                    if self.person(&name).joining.is_some() {
                        return self.joins_further(&name, frame);
                    }
                    self.person(&name).login.welcome |= matches!(frame, ToDevice::Welcome(_));
                    let over = matches!(&frame, ToDevice::Refused { ask: None, why } if why.lasts());
                    self.event(&name, Event::Link(LinkEvent::Frame(frame)));
                    if over {
                        self.hangs_up(&name);
                    }
                }
            }
            Packet::MediaDown(conn, bytes) => {
                if let Some(name) = self.owner(conn) {
                    self.watched(&name, &bytes);
                }
            }
            Packet::Gone(conn) => {
                self.owners.remove(&conn);
                self.delivered.remove(&conn);
                if let Some(relay) = &mut self.relay {
                    relay.gone(conn);
                }
                self.relay_commits();
            }
            Packet::Closed(conn, why) => {
                if self.owner(conn).is_some() {
                    self.break_conn(conn, &why);
                }
            }
            Packet::Dial(name) => self.dial(&name),
            Packet::Piece(name, id) => self.piece(&name, id),
            Packet::ToRelay(..) => {}
        }
    }

    /// The person whose connection of this moment that is.
    pub(super) fn owner(&self, conn: Conn) -> Option<String> {
        let name = self.owners.get(&conn)?;
        (self.people.get(name)?.conn == Some(conn)).then(|| name.clone())
    }

    pub(super) fn dial(&mut self, name: &str) {
        let person = self.person(name);
        if person.app.is_none() || person.conn.is_some() || person.cut_off {
            return;
        }
        if self.relay.is_none() {
            self.event(name, Event::Link(LinkEvent::Lost { why: "no answer".into() }));
            self.network.put_at(Packet::Dial(name.into()), Millis(self.now.mono.0 + RECONNECT));
            return;
        }
        self.conns += 1;
        let conn = Conn(self.conns);
        let mut exporter = [0; 32];
        self.rng.fill_bytes(&mut exporter);
        self.owners.insert(conn, name.into());
        let person = self.person(name);
        (person.conn, person.login) = (Some(conn), Login { exporter, ..Login::default() });
        let now = self.now;
        let relay = self.relay.as_mut().expect("looked at above");
        relay.connected(conn, exporter, IpAddr::V4(Ipv4Addr::LOCALHOST), now);
        self.event(name, Event::Link(LinkEvent::Connected { exporter }));
    }

    /// Ends a person's connection from their side; it is not made again by itself.
    pub(super) fn hangs_up(&mut self, name: &str) {
        let now = self.now.mono;
        if let Some(conn) = self.person(name).conn.take() {
            self.network.put_at(Packet::Gone(conn), now);
        }
    }

    pub(super) fn break_conn(&mut self, conn: Conn, why: &str) {
        let owner = self.owner(conn);
        self.owners.remove(&conn);
        self.delivered.remove(&conn);
        if let Some(relay) = &mut self.relay {
            relay.gone(conn);
        }
        if let Some(name) = owner {
            self.person(&name).conn = None;
            self.event(&name, Event::Link(LinkEvent::Lost { why: why.into() }));
            self.joins_no_further(&name);
            self.network.put_at(Packet::Dial(name), Millis(self.now.mono.0 + RECONNECT));
        }
        self.relay_commits();
    }
}
