//! Letting in who knocks: who it is, whether the room takes them, whether they know its password.
//!
//! Whoever hears a knock adds who it is, and the log sees to it that through a door for one comes one.

use super::super::linked::Question;
use super::super::talk::{RETRY, Talk};
use super::Key;
use super::locks::password;
use crate::effect::Effect;
use std::time::Duration;
use subrosa_shared::content::rooms::Step;
use subrosa_shared::id::{AccountName, DoorId, RoomId};
use subrosa_shared::protocol::door::{Answer, GUESSES_MS, Guess, KnockId, Knocked};
use subrosa_shared::protocol::frame::{Refusal, ToRelay};
use subrosa_shared::session::door::{At, Challenged, Heard, Judge, Verdict, Visitor, Why};
use subrosa_shared::session::roomlog::{Op, Rule};
use subrosa_shared::time::{Millis, Now};

/// How long somebody may take to prove a password.
const PROOF: Duration = Duration::from_secs(120);
/// A wait that is worth a word.
const WAITED_MS: u64 = 60_000;
/// Nobody waits longer, whatever they say.
const WAIT_MAX_MS: u64 = 30 * 24 * 3_600_000;
/// Knocks that wait for the lock of their room.
const UNLOCKED_MAX: usize = 32;
/// Whose waits are remembered as told.
const WAITS_MAX: usize = 1024;

/// Somebody who was asked for the password.
pub(in crate::chat) struct Asked {
    room: RoomId,
    knocked: Knocked,
    visitor: Visitor,
    /// What they were asked.
    question: Vec<u8>,
    challenged: Challenged,
    /// When (wall).
    at: Millis,
    /// When it is over (monotonic).
    due: Millis,
    /// The relay's disk was full: when it is handed over once more (monotonic).
    again: Option<Millis>,
}

impl Asked {
    /// That is who was asked then.
    pub(super) fn is(&self, room: RoomId, at: Millis, who: &AccountName) -> bool {
        (self.room, self.at, &self.visitor.name) == (room, at, who)
    }
}

impl Talk {
    /// Somebody knocks.
    pub(in crate::chat) fn knocked(&mut self, knocked: Knocked, now: Now) {
        let Some((room, heard)) = self.hear(&knocked) else { return };
        if !self.vouched(heard.visitor()) {
            // What the relay says of that account has to begin at the key that they gave.
            let first = self.groups.knocks.insert(knocked.name.clone(), knocked.clone()).is_none();
            if first || !self.asking(&knocked.name) {
                self.ask_newer(&knocked.name);
            }
            return;
        }
        if let Err(why) = self.takes(room, knocked.door, heard.visitor(), now) {
            return self.answer_knock(knocked.knock, heard.verdict(Verdict::Refused(why)));
        }
        let group = self.chat.group(room);
        let door = group.and_then(|group| group.log.state().doors.get(&knocked.door));
        let asks = match door {
            Some(door) => door.terms.password,
            // Who is in already comes by a door that closed behind them.
            None => group.and_then(|group| password(&group.log)),
        };
        let refused = match asks {
            None if heard.has_password() => Some(Why::NoPassword),
            Some(_) if !heard.has_password() => Some(Why::NeedsPassword),
            _ => None,
        };
        if let Some(why) = refused {
            return self.answer_knock(knocked.knock, heard.verdict(Verdict::Refused(why)));
        }
        self.tell_of_wait(room, &knocked, heard.visitor().since, now);
        match asks {
            None => {
                let visitor = heard.visitor().clone();
                let verdict = self.let_in(room, knocked.door, &visitor, now);
                self.answer_knock(knocked.knock, heard.verdict(verdict));
            }
            Some(hash) => self.ask_password(room, heard, hash, knocked, now),
        }
    }

    fn hear(&mut self, knocked: &Knocked) -> Option<(RoomId, Heard)> {
        let link = self.groups.links.get(&knocked.door)?;
        let (room, secret) = (link.room, link.secret.clone());
        let at = At { relay: self.relay_key, room: self.chat.group(room)?.tag() };
        let from = (&knocked.from, &knocked.name);
        match Heard::open(&secret, &at, from, &knocked.bytes, &mut self.rng) {
            Ok(heard) => Some((room, heard)),
            Err(_) => {
                self.dropped += 1;
                None
            }
        }
    }

    /// Whether the room takes somebody at all; who is in already is taken.
    fn takes(&self, room: RoomId, door: DoorId, visitor: &Visitor, now: Now) -> Result<(), Why> {
        let group = self.chat.group(room).ok_or(Why::NoDoor)?;
        let op = Op::Add { account: visitor.name.clone(), root: visitor.root, door: Some(door) };
        match group.log.state().allows(&self.chat.name, &op, now.wall) {
            Ok(()) | Err(Rule::Already) => Ok(()),
            Err(Rule::Banned) => Err(Why::Banned),
            Err(Rule::Crowded(_)) => Err(Why::Full),
            Err(_) => Err(Why::NoDoor),
        }
    }

    fn let_in(&mut self, room: RoomId, door: DoorId, visitor: &Visitor, now: Now) -> Verdict {
        if let Err(why) = self.takes(room, door, visitor, now) {
            return Verdict::Refused(why);
        }
        let Visitor { name, root, .. } = visitor.clone();
        if self.chat.group(room).is_some_and(|group| group.role(&name).is_some()) {
            self.send_invitation(room, &name, now);
            return Verdict::Welcome;
        }
        match self.operate(room, Op::Add { account: name, root, door: Some(door) }, now) {
            Ok(()) => Verdict::Welcome,
            Err(_) => Verdict::Refused(Why::NoDoor),
        }
    }

    /// Asks for the password, if it may still be guessed.
    fn ask_password(&mut self, room: RoomId, heard: Heard, hash: [u8; 32], knocked: Knocked, now: Now) {
        let Some(lock) = self.groups.locks.get(&(room, hash)).cloned() else {
            // Another member may have it; here it is on its way.
            if self.groups.unlocked.len() < UNLOCKED_MAX {
                self.groups.unlocked.push(knocked);
            }
            return self.ask_for_doors(room, now);
        };
        let left = self.guesses_left(room, now.wall);
        if left == 0 {
            self.say_held(room, &knocked.name, now);
            return self.answer_knock(knocked.knock, heard.verdict(Verdict::Refused(Why::TooMany)));
        }
        let visitor = heard.visitor().clone();
        let left = u8::try_from(left - 1).unwrap_or(u8::MAX);
        let Ok((question, challenged)) = heard.challenge(&lock, left, &mut self.rng) else {
            self.dropped += 1;
            return;
        };
        self.guess_begins(room, &visitor.name, now.wall);
        let knock = knocked.knock;
        let (at, due) = (now.wall, now.mono);
        let asked = Asked { room, knocked, visitor, question, challenged, at, due, again: None };
        if let Some(before) = self.groups.asked.insert(knock, asked) {
            self.unproved(before, now);
        }
        self.hand_over(knock, now);
    }

    /// Hands the question for the password to the relay.
    fn hand_over(&mut self, knock: KnockId, now: Now) {
        let Some(asked) = self.groups.asked.get_mut(&knock) else { return };
        (asked.due, asked.again) = (now.mono.plus(PROOF), None);
        let bytes = asked.question.clone();
        let ask = self.ask(Question::Guess(knock));
        let answer = Answer { knock, bytes, guess: Guess::Taken, last: false };
        self.effects.push(Effect::Send(ToRelay::AnswerKnock { ask, answer }));
    }

    /// Who was asked for the password answers.
    pub(in crate::chat) fn proved(&mut self, knock: KnockId, bytes: &[u8], now: Now) {
        let Some(asked) = self.groups.asked.remove(&knock) else {
            self.dropped += 1;
            return;
        };
        let Asked { room, knocked, visitor, challenged, at, .. } = asked;
        let (bundle, judge) = challenged.finish(bytes);
        let Some(bundle) = bundle else {
            self.guess_was_wrong(room, &visitor.name, at, true, now);
            return self.pronounce(knock, judge, Verdict::Refused(Why::Wrong), Guess::None);
        };
        self.guess_was_right(room, &visitor.name, at);
        // Another one of theirs is asked of the relay, if this one cannot be used.
        let _ = self.sessions.offer(&visitor.peer, &bundle, now);
        let verdict = self.let_in(room, knocked.door, &visitor, now);
        self.pronounce(knock, judge, verdict, Guess::GivenBack);
    }

    /// The relay did not hand the question for a password on, or says so. It may have: it counts. Nothing is said of
    /// it to who knocked: whoever was not asked takes such a word for one that was made up.
    pub(in crate::chat) fn guess_refused(&mut self, knock: KnockId, why: Refusal, now: Now) {
        if why == Refusal::StorageFull
            && let Some(asked) = self.groups.asked.get_mut(&knock)
        {
            // The same question is the same guess, however often it is handed over.
            let again = now.mono.plus(RETRY);
            (asked.due, asked.again) = (again.plus(PROOF), Some(again));
            return;
        }
        let Some(asked) = self.groups.asked.remove(&knock) else { return };
        let Asked { room, knocked, visitor, at, .. } = asked;
        self.guess_was_wrong(room, &visitor.name, at, false, now);
        if matches!(why, Refusal::RateLimited { .. })
            && let Some((_, heard)) = self.hear(&knocked)
        {
            self.say_held(room, &knocked.name, now);
            self.answer_knock(knock, heard.verdict(Verdict::Refused(Why::TooMany)));
        }
    }

    /// No proof came.
    fn unproved(&mut self, asked: Asked, now: Now) {
        let Asked { room, knocked, visitor, challenged, at, .. } = asked;
        self.guess_was_wrong(room, &visitor.name, at, false, now);
        self.pronounce(knocked.knock, challenged.give_up(), Verdict::Refused(Why::Wrong), Guess::None);
    }

    /// Who takes too long to prove a password has had a guess.
    pub(super) fn doors_wake(&mut self, now: Now) {
        let late = |asked: &Asked| asked.due <= now.mono;
        let late: Vec<KnockId> =
            self.groups.asked.iter().filter(|(_, asked)| late(asked)).map(|(knock, _)| *knock).collect();
        for knock in late {
            if let Some(asked) = self.groups.asked.remove(&knock) {
                self.unproved(asked, now);
            }
        }
        let again = |asked: &Asked| asked.again.is_some_and(|at| at <= now.mono);
        let again: Vec<KnockId> =
            self.groups.asked.iter().filter(|(_, asked)| again(asked)).map(|(knock, _)| *knock).collect();
        for knock in again {
            self.hand_over(knock, now);
        }
        let unwatched = self.groups.unwatched.iter().filter(|(_, at)| **at <= now.mono);
        for room in unwatched.map(|(room, _)| *room).collect::<Vec<_>>() {
            self.groups.unwatched.remove(&room);
            self.watch_doors(room, Key::PRESENT);
            self.close_doors(room);
        }
        self.knock_anew(now);
    }

    /// The relay's disk was full when a door of that room was to be watched or taken away.
    pub(in crate::chat) fn doors_again(&mut self, room: RoomId, now: Now) {
        self.groups.unwatched.insert(room, now.mono.plus(RETRY));
    }

    /// When something about doors is due.
    pub(super) fn doors_due(&self) -> Option<Millis> {
        let asked = self.groups.asked.values().map(|asked| asked.again.unwrap_or(asked.due));
        let unwatched = self.groups.unwatched.values().copied();
        asked.chain(unwatched).chain(self.knocks_due()).min()
    }

    /// The connection is gone, and with it who knocked.
    pub(in crate::chat) fn doors_unlinked(&mut self, now: Now) {
        self.groups.knocks.clear();
        self.groups.unlocked.clear();
        self.groups.unwatched.clear();
        for (_, asked) in std::mem::take(&mut self.groups.asked) {
            let Asked { room, visitor, at, .. } = asked;
            self.guess_was_wrong(room, &visitor.name, at, false, now);
        }
    }

    /// The lock of a room is here: who waited for it.
    pub(super) fn unlocked(&mut self, room: RoomId, now: Now) {
        let here = |knocked: &Knocked, talk: &Self| {
            talk.groups.links.get(&knocked.door).is_some_and(|link| link.room == room)
        };
        let (now_open, still): (Vec<Knocked>, Vec<Knocked>) =
            std::mem::take(&mut self.groups.unlocked).into_iter().partition(|knocked| here(knocked, self));
        self.groups.unlocked = still;
        for knocked in now_open {
            self.knocked(knocked, now);
        }
    }

    /// It is known who somebody is: their knock, if they made one.
    pub(super) fn knock_again(&mut self, name: &AccountName, now: Now) {
        let Some(knocked) = self.groups.knocks.remove(name) else { return };
        self.knocked(knocked, now);
        // Still not who they say.
        if self.groups.knocks.remove(name).is_some() {
            self.dropped += 1;
        }
    }

    /// Members learn who waited at the door while none of them was there.
    fn tell_of_wait(&mut self, room: RoomId, knocked: &Knocked, theirs: Millis, now: Now) {
        // A knock that had to be made again waits longer than the relay knows.
        let oldest = Millis(now.wall.0.saturating_sub(WAIT_MAX_MS));
        let since = theirs.min(knocked.since).max(oldest);
        let waited = now.wall.0.saturating_sub(since.0) >= WAITED_MS;
        let place = (knocked.door, knocked.from);
        if !waited || self.groups.waits.get(&place) == Some(&since) {
            return;
        }
        if self.groups.waits.len() >= WAITS_MAX {
            self.groups.waits.clear();
        }
        self.groups.waits.insert(place, since);
        self.say_doorstep(room, &knocked.name, since, Step::Waited, now);
    }

    /// Once an hour: nobody is asked for the password.
    fn say_held(&mut self, room: RoomId, who: &AccountName, now: Now) {
        let said = self.groups.held.get(&room).copied();
        if said.is_none_or(|said| now.wall.0.saturating_sub(said.0) >= GUESSES_MS) {
            self.groups.held.insert(room, now.wall);
            self.say_doorstep(room, who, now.wall, Step::Held, now);
        }
    }

    fn answer_knock(&mut self, knock: KnockId, bytes: Vec<u8>) {
        self.last_word(knock, bytes, Guess::None);
    }

    fn pronounce(&mut self, knock: KnockId, judge: Judge, verdict: Verdict, guess: Guess) {
        self.last_word(knock, judge.verdict(verdict), guess);
    }

    fn last_word(&mut self, knock: KnockId, bytes: Vec<u8>, guess: Guess) {
        let ask = self.ask(Question::Answer);
        let answer = Answer { knock, bytes, guess, last: true };
        self.effects.push(Effect::Send(ToRelay::AnswerKnock { ask, answer }));
    }

    fn vouched(&self, visitor: &Visitor) -> bool {
        match self.lists.of(&visitor.name) {
            Some(list) => list.root().identity == visitor.root && list.has(&visitor.peer),
            None => self
                .chat
                .with(&visitor.name)
                .and_then(|room| room.kept.peer)
                .is_some_and(|pinned| pinned == visitor.peer && pinned.identity == visitor.root),
        }
    }
}
