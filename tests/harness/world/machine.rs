//! A person's machine carries effects out, one by one, as long as it lives.

use super::{Packet, World};
use std::collections::VecDeque;
use subrosa::effect::Effect;
use subrosa::event::Event;
use subrosa::runtime::{failure, grouped, hurries};
use subrosa_relay::relay::Conn;
use subrosa_shared::id::MessageId;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::{Batch, Error, Kv};
use subrosa_shared::time::Millis;

impl World {
    /// Carries effects out one by one, as long as the process lives.
    pub(super) fn perform(&mut self, name: &str, effects: Vec<Effect>) {
        let mut trouble = None;
        for effect in effects {
            if self.person(name).app.is_none() {
                return;
            }
            if let Some(late) = self.person(name).late.as_mut().filter(|_| passes_the_disk(&effect)) {
                late.push(effect);
                continue;
            }
            // What waits for the disk keeps its order.
            if let Some(waiting) = self.person(name).stuck.as_mut().filter(|_| passes_the_disk(&effect)) {
                let early = hurries(&effect).cloned();
                waiting.push_back(effect);
                if let Some(frame) = early {
                    self.sends(name, frame);
                }
                continue;
            }
            if !self.lives(name) {
                return;
            }
            match effect {
                Effect::Commit(batch) => match self.write(name, &batch) {
                    Ok(()) => {}
                    Err(fault) => {
                        self.person(name).stuck = Some(VecDeque::from([Effect::Commit(batch)]));
                        trouble = Some(failure(&fault));
                    }
                },
                effect => self.perform_one(name, effect),
            }
        }
        if let Some(why) = trouble {
            self.event(name, Event::StoreFailed(why));
        }
    }

    /// From now on a person's store thread does nothing, until it catches up.
    pub fn lags(&mut self, name: &str) {
        self.person(name).late = Some(Vec::new());
    }

    /// The store thread takes all that waits for it as one group. The process may die before the records of many events,
    /// between them and the secrets, and later.
    pub fn catches_up(&mut self, name: &str) {
        let Some(late) = self.person(name).late.take() else { return };
        let (batch, after) = grouped(late);
        let disk = self.app(name).store().clone();
        if !self.lives(name) {
            return;
        }
        disk.records.commit(&batch.records).expect("no story fills a disk that lags");
        if !self.lives(name) {
            return;
        }
        disk.slots.apply(&batch.slots).expect("no story fills a disk that lags");
        self.carries_out(name, after);
    }

    /// Records first, then the slots, all of them or none; the process may die in between.
    pub(super) fn write(&mut self, name: &str, batch: &Batch) -> Result<(), Error> {
        let disk = self.app(name).store().clone();
        if !batch.records.is_empty() {
            disk.records.commit(&batch.records)?;
        }
        if !batch.slots.is_empty() && self.lives(name) {
            disk.slots.apply(&batch.slots)?;
        }
        Ok(())
    }

    /// One more effect of a limited life; false when it was the last.
    pub(super) fn lives(&mut self, name: &str) -> bool {
        match &mut self.person(name).life {
            None => true,
            Some(0) => {
                self.kill(name);
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    pub(super) fn perform_one(&mut self, name: &str, effect: Effect) {
        match effect {
            Effect::Send(frame) => self.sends(name, frame),
            Effect::Wake(at) => self.person(name).wake = Some(at.max(Millis(self.now.mono.0 + 1))),
            Effect::Media(media) => self.media(name, media),
            Effect::Avatar(path) => {
                let avatar = subrosa::media::avatar::read(&path).map_err(|error| error.to_string());
                self.event(name, Event::Avatar(avatar));
            }
            Effect::Notify { title, body } => self.person(name).notified.push(format!("{title}: {body}")),
            Effect::Title(text) => self.person(name).title = text,
            Effect::Copy(text) => self.person(name).copied.push(text),
            Effect::Tell(happened) => self.person(name).told.push(happened),
            Effect::Reconnect => {
                if self.person(name).conn.is_some() {
                    self.cut(name);
                } else {
                    self.network.put_at(Packet::Dial(name.into()), self.now.mono);
                }
            }
            Effect::Transfer(order) => self.transfers(name, order),
            Effect::Quit => self.kill(name),
            Effect::Stretch(job) => {
                let stretched = job.run(Cost::TINY, &mut self.rng);
                self.event(name, Event::Stretched(stretched));
            }
            Effect::StretchDoor(job) => {
                let stretched = job.run(Cost::TINY, &mut self.rng);
                self.event(name, Event::StretchedDoor(stretched));
            }
            _ => {}
        }
    }

    pub(super) fn sends(&mut self, name: &str, frame: ToRelay) {
        let key = self.relay_key;
        let person = self.person(name);
        let Some(conn) = person.conn else { return };
        if let ToRelay::Authenticate(login) | ToRelay::Enter(login, _) = &frame {
            let ours = login.verify(&key, &person.login.exporter).is_ok();
            if person.login.said || !ours {
                return;
            }
            person.login.said = true;
        }
        if !person.login.said && person.joining.is_none() {
            return;
        }
        if let ToRelay::Send(outgoing) = &frame {
            for head in &outgoing.to {
                // Type `next` (1 byte version, 1 byte type): session ‖ n. The same pair twice must be
                // the same ciphertext: a key seals once.
                if head.bytes.get(1) == Some(&NEXT) && head.bytes.len() > 26 {
                    let (place, sealed) = head.bytes.split_at(26);
                    let first = self.sealed.entry(place.to_vec()).or_insert_with(|| sealed.to_vec());
                    assert!(first == sealed, "{name} sealed twice under one key");
                }
            }
        }
        let (now, after) = (self.now.mono, self.wires.entry(conn).or_default().0);
        let at = self.network.ordered(Packet::ToRelay(conn, frame), now, after);
        self.wires.entry(conn).or_default().0 = at;
    }

    /// The connection of a person's client that runs, once it is logged in.
    pub(crate) fn conn(&mut self, name: &str) -> Option<Conn> {
        let person = self.person(name);
        person.app.as_ref().and(person.conn).filter(|_| person.login.welcome)
    }

    /// The next piece of a file comes in so many milliseconds.
    pub(crate) fn piece_in(&mut self, name: &str, id: MessageId, millis: u64) {
        self.network.put_at(Packet::Piece(name.into(), id), Millis(self.now.mono.0 + millis));
    }
}

/// What the store thread carries out, in its order; see `subrosa::runtime`.
fn passes_the_disk(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Commit(_)
            | Effect::Send(_)
            | Effect::Tell(_)
            | Effect::Transfer(_)
            | Effect::Export(_)
            | Effect::Reconnect
            | Effect::Quit
    )
}

/// Type byte of a session message that is not the first.
const NEXT: u8 = 1;
