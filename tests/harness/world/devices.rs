//! A machine becomes another device of an account.

use super::{World, watched};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use subrosa::chat::link::{Joining, Linked, Step};
use subrosa::chat::showing::Showing;
use subrosa::effect::Happened;
use subrosa::runtime::failure;
use subrosa::ui::command::Command;
use subrosa::ui::devices::DevicesCommand;
use subrosa_relay::relay::Conn;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::pair::Code;
use subrosa_shared::store::memory::{Disk, MemorySlots};
use subrosa_shared::store::{Batch, Store};

/// A machine without an account: a code is typed or shown there, and then its profile waits to be listed.
pub(super) enum Machine {
    Types(Box<Joining>),
    Shows(Box<Showing>),
    Keeps(Box<Linked>),
}

impl World {
    /// A fresh machine becomes another device of that person's account, by the code that theirs shows.
    pub fn adds_device(&mut self, host: &str, name: &str) {
        self.commands(host, Command::Devices(DevicesCommand::Link));
        self.settle();
        let code = self.code(host);
        self.types_code(name, &code);
        self.settle();
        assert!(self.alive(name), "linked: {:?}", self.told(name));
    }

    /// The code that a person's client shows.
    pub fn code(&mut self, host: &str) -> String {
        self.app(host).chat().linking.as_ref().expect("a code is shown").code.clone()
    }

    /// Somebody types a code on a fresh machine.
    pub fn types_code(&mut self, name: &str, code: &str) {
        let identity = self.fresh_machine(name);
        let code = Code::parse(code).expect("a code");
        let (joining, first) = Joining::new(code, &self.relay_key, &identity, name, &mut self.rng);
        self.meets(name, Machine::Types(Box::new(joining)), first);
    }

    /// A fresh machine shows a code.
    pub fn shows_code(&mut self, name: &str) -> String {
        let identity = self.fresh_machine(name);
        let (showing, first) = Showing::new(&self.relay_key, &identity, name, &mut self.rng);
        self.meets(name, Machine::Shows(Box::new(showing)), first);
        self.settle();
        match &self.person(name).joining {
            Some(Machine::Shows(showing)) => showing.code().expect("it waits").to_string(),
            _ => panic!("no code is shown: {:?}", self.told(name)),
        }
    }

    /// A person types the code that a fresh machine shows, and says yes.
    pub fn links_shown(&mut self, host: &str, code: &str) {
        let code = Code::parse(code).expect("a code");
        self.commands(host, Command::Devices(DevicesCommand::Joined(code)));
    }

    pub(super) fn fresh_machine(&mut self, name: &str) -> Identity {
        let memory = Arc::new(Disk::default());
        let disk = Store { records: memory.clone(), slots: Arc::new(MemorySlots::default()) };
        self.furnishes(name, "nobody-yet", watched(), disk, Some(memory));
        Identity::from_seed(&self.seed_of(name))
    }

    pub(super) fn meets(&mut self, name: &str, machine: Machine, first: ToRelay) {
        self.conns += 1;
        let conn = Conn(self.conns);
        self.owners.insert(conn, name.into());
        let person = self.person(name);
        (person.conn, person.joining) = (Some(conn), Some(machine));
        let now = self.now;
        let relay = self.relay.as_mut().expect("the relay runs");
        relay.connected(conn, [0; 32], IpAddr::V4(Ipv4Addr::LOCALHOST), now);
        self.sends(name, first);
    }

    /// Bytes that passed the rendezvous while a machine was linked.
    pub fn bytes_to_link(&mut self, name: &str) -> usize {
        self.person(name).linked
    }

    pub(super) fn joins_further(&mut self, name: &str, frame: ToDevice) {
        let mut rng = ChaCha20Rng::seed_from_u64(self.rng.next_u64());
        let Some(mut joining) = self.person(name).joining.take() else { return };
        let (step, bytes) = match &mut joining {
            Machine::Types(joining) => (joining.frame(frame, &mut rng), joining.bytes),
            Machine::Shows(showing) => (showing.frame(frame, &mut rng), showing.bytes),
            Machine::Keeps(linked) => {
                let Some(sure) = linked.listed(&frame) else {
                    self.person(name).joining = Some(joining);
                    return;
                };
                if !sure {
                    let text = "the other device did not say that this one is in the list".into();
                    self.person(name).told.push(Happened::Notice { text, error: true });
                }
                self.hangs_up(name);
                return self.starts(name);
            }
        };
        match step {
            Step::Send(frames) => {
                self.person(name).joining = Some(joining);
                for frame in frames {
                    self.sends(name, frame);
                }
            }
            Step::Keep(linked) => {
                let relay = RelayLink {
                    host: "relay.invalid".into(),
                    port: 4433,
                    fingerprint: self.relay_key,
                    invite: None,
                };
                let person = self.person(name);
                let mut batch = Batch::default();
                linked.write(&relay.to_string(), &Identity::from_seed(&person.seed), &mut batch);
                if let Err(fault) = person.disk.commit(&batch) {
                    let text = failure(&fault);
                    person.told.push(Happened::Notice { text, error: true });
                    return self.hangs_up(name);
                }
                (person.name, person.linked) = (linked.name.clone(), bytes);
                let kept = linked.kept().expect("the other device is of this version");
                person.joining = Some(Machine::Keeps(Box::new(linked)));
                self.sends(name, kept);
            }
            Step::Failed(text) => {
                self.person(name).told.push(Happened::Notice { text, error: true });
                self.hangs_up(name);
            }
        }
    }

    /// The connection of a machine that is being linked broke: it goes on as what its profile says, if it has one.
    pub(super) fn joins_no_further(&mut self, name: &str) {
        match self.person(name).joining.take() {
            None => {}
            Some(Machine::Keeps(_)) => self.starts(name),
            Some(Machine::Types(_) | Machine::Shows(_)) => {
                let text = "the connection to the relay broke".into();
                self.person(name).told.push(Happened::Notice { text, error: true });
            }
        }
    }
}
