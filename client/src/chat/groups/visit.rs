//! Coming into a room by a link: knocks, proves the password, waits.

use super::super::linked::Question;
use super::super::talk::Talk;
use super::super::{Link as Connection, wait_in_words};
use super::{Group, Stretch, room_id};
use crate::effect::Effect;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use subrosa_shared::id::{DoorId, RoomTag};
use subrosa_shared::protocol::door::WAITS_MS;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::protocol::link::RoomLink;
use subrosa_shared::session::door::{
    self, Answer, At, Caller, Challenge, Knocking, Proof, Verdict, Waiting, Why,
};
use subrosa_shared::store::{Error, Order, Table};
use subrosa_shared::time::{Millis, Now};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Door → version (1) ‖ `Kept`: rooms that this account wants to come into; or version (2) ‖ link ‖ why, as the
/// postcard of two texts: the password of that link's room is asked for.
pub const JOINING: Table = Table { byte: 0x49, name: "rooms to come into" };

/// Something to be asked or shown about a link, besides a notice.
#[derive(Clone, PartialEq, Eq)]
pub enum AtDoor {
    /// The password of that link's room is asked for, because of this.
    Password {
        /// The link.
        link: Zeroizing<String>,
        /// A sentence.
        why: String,
    },
    /// A link was made.
    Made {
        /// The link.
        link: Zeroizing<String>,
        /// It is for one person.
        once: bool,
    },
}

impl std::fmt::Debug for AtDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AtDoor(…)")
    }
}

/// A room that this account wants to come into.
pub(in crate::chat) struct Joining {
    link: RoomLink,
    kept: Kept,
    stage: Stage,
    /// Which knock it is: what was begun for an earlier one is over.
    attempt: u32,
    /// The relay forgets a knock: when to knock again (monotonic).
    again: Option<Millis>,
    /// That nobody is there was said.
    told: bool,
    /// That an answer was made up was said.
    doubted: bool,
}

/// Where it stands on this connection.
enum Stage {
    /// Not knocked yet.
    Outside,
    /// Knocked.
    Knocked(Box<Knocking>),
    /// The proof of the password is being made.
    Proving,
    /// The proof is there, or the last word came and the room has not yet.
    Waits(Option<Waiting>),
}

/// What is stored of it: an answer may come after a restart.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Kept {
    link: String,
    password: Option<String>,
    #[zeroize(skip)]
    since: Millis,
}

/// How a link is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Somebody knocks there, now or once connected.
    Knocks,
    /// Nothing was done: the link says that a password is asked for.
    NeedsPassword,
}

impl Talk {
    /// Knocks at the door of a link, now or as soon as there is a connection. An empty password is none;
    /// without any, a link that asks for one is not followed.
    ///
    /// # Errors
    /// A sentence with the next step.
    pub fn join(
        &mut self,
        link: &str,
        password: Option<Zeroizing<String>>,
        now: Now,
    ) -> Result<Follows, String> {
        let link: RoomLink = link.parse().map_err(|why| format!("{why}"))?;
        if link.relay.fingerprint != self.relay_key {
            return Err(format!(
                "that room is at another relay, {}: join it with a profile there (subrosa --profile NEW)",
                link.relay.host
            ));
        }
        if let Some(group) = self.chat.group(room_id(link.room)).filter(|group| group.is_open()) {
            return Err(format!("you are in {} already", group.title()));
        }
        if link.password && password.is_none() {
            return Ok(Follows::NeedsPassword);
        }
        let password = password.filter(|password| !password.is_empty()).map(|password| password.to_string());
        let door = door::Secret::from_bytes(*link.secret).door();
        let kept = Kept { link: link.to_string(), password, since: now.wall };
        let value = postcard::to_extend(&kept, vec![VERSION]).expect("it serialises: plain fields only");
        self.batch.put(JOINING, door.0, value);
        self.groups.joining.insert(door, Joining::new(link, kept));
        if self.chat.link == Connection::Online {
            self.knock(door, now);
        } else {
            self.notice("not connected: you knock as soon as the relay can be reached".into(), false);
        }
        Ok(Follows::Knocks)
    }

    pub(in crate::chat) fn knock(&mut self, door: DoorId, now: Now) {
        let Some(joining) = self.groups.joining.get_mut(&door) else { return };
        let identity = self.sessions.identity();
        let at = At { relay: self.relay_key, room: joining.link.room };
        let secret = door::Secret::from_bytes(*joining.link.secret);
        let (name, root, cert) = (&self.chat.name, &self.chat.identity, &identity.cert());
        let caller = Caller { name, root, cert, since: joining.kept.since };
        let password = joining.kept.password.clone().map(Zeroizing::new);
        let Ok((bytes, knocking)) = Knocking::begin(&secret, &at, caller, password, &mut self.rng) else {
            // No password that anybody sets is so long.
            return self.turned_away_at(door, Why::Wrong);
        };
        self.groups.attempts = self.groups.attempts.wrapping_add(1);
        joining.stage = Stage::Knocked(Box::new(knocking));
        joining.attempt = self.groups.attempts;
        joining.again = Some(now.mono.plus(AGAIN));
        let ask = self.ask(Question::Knock(door));
        self.effects.push(Effect::Send(ToRelay::Knock { ask, door, bytes }));
    }

    /// Whether a member is there.
    pub(in crate::chat) fn knock_heard(&mut self, door: DoorId, heard: bool, now: Now) {
        let Some(joining) = self.groups.joining.get_mut(&door).filter(|_| !heard) else { return };
        if !matches!(joining.stage, Stage::Knocked(_)) {
            // Who asked for the password is gone.
            return self.knock(door, now);
        }
        if !std::mem::replace(&mut joining.told, true) {
            let text = "nobody who can let you in is there now: your knock waits, and you come in when one of them is";
            self.notice(text.into(), false);
        }
    }

    /// Knocks that the relay has forgotten by now are made again.
    pub(super) fn knock_anew(&mut self, now: Now) {
        let due = |joining: &Joining| joining.again.is_some_and(|at| at <= now.mono);
        let due: Vec<DoorId> =
            self.groups.joining.iter().filter(|(_, joining)| due(joining)).map(|(door, _)| *door).collect();
        for door in due {
            if self.chat.link == Connection::Online {
                self.knock(door, now);
            } else if let Some(joining) = self.groups.joining.get_mut(&door) {
                joining.again = None;
            }
        }
    }

    /// When the next one is to be made.
    pub(super) fn knocks_due(&self) -> Option<Millis> {
        self.groups.joining.values().filter_map(|joining| joining.again).min()
    }

    /// A member answered.
    pub(in crate::chat) fn knock_answered(&mut self, door: DoorId, bytes: &[u8], now: Now) {
        if let Some(given_up) = self.groups.given_up.remove(&door)
            && given_up.verdict(bytes).is_ok()
        {
            // What was known already.
            return;
        }
        let Some(joining) = self.groups.joining.get_mut(&door) else { return };
        let answer = match &mut joining.stage {
            Stage::Knocked(knocking) => {
                let given = knocking.has_password();
                knocking.answered(bytes).map(|answer| (answer, given))
            }
            Stage::Waits(Some(waiting)) => {
                waiting.verdict(bytes).map(|verdict| (Answer::Verdict(verdict), false))
            }
            Stage::Outside | Stage::Proving | Stage::Waits(None) => return,
        };
        match answer {
            Ok((Answer::Verdict(Verdict::Welcome), true)) => {
                // Whoever has the link can say so, and nobody else's room is behind it.
                self.stop_joining(door);
                let text = "whoever answered there has the link, but did not show that they know the room's password: you did \
                            not go in. Ask who gave you the link";
                self.notice(text.into(), true);
            }
            Ok((Answer::Verdict(Verdict::Welcome), false)) => {
                joining.stage = Stage::Waits(None);
                self.notice("you are let in: the room is here in a moment".into(), false);
            }
            Ok((Answer::Verdict(Verdict::Refused(why)), _)) => self.turned_away_at(door, why),
            Ok((Answer::Challenge(challenge), _)) => self.challenged(door, challenge, now),
            Err(_) => {
                self.dropped += 1;
                if !std::mem::replace(&mut joining.doubted, true) {
                    let text = "what came back from that door was made by nobody who has the link, or changed on the way: the \
                                relay is not to be trusted. Your knock waits on";
                    self.notice(text.into(), true);
                }
            }
        }
    }

    /// A member asks for the password.
    fn challenged(&mut self, door: DoorId, challenge: Box<Challenge>, now: Now) {
        let bundle = self.sessions.spare(&mut self.rng, now, &mut self.batch).encode();
        let Some(joining) = self.groups.joining.get_mut(&door) else { return };
        joining.stage = Stage::Proving;
        let attempt = joining.attempt;
        let prove = Stretch::Prove { door, attempt, challenge, bundle };
        self.effects.push(Effect::StretchDoor(Box::new(prove)));
    }

    /// The proof is made, or the password is wrong.
    pub(super) fn proof_made(&mut self, door: DoorId, attempt: u32, left: u8, proof: Proof) {
        let Some(joining) = self.groups.joining.get_mut(&door) else { return };
        if joining.attempt != attempt || !matches!(joining.stage, Stage::Proving) {
            return;
        }
        let Proof { message, right, waiting } = proof;
        let ask = self.ask(Question::Prove(door));
        self.effects.push(Effect::Send(ToRelay::Prove { ask, door, bytes: message }));
        if right {
            if let Some(joining) = self.groups.joining.get_mut(&door) {
                joining.stage = Stage::Waits(Some(waiting));
            }
            return;
        }
        self.groups.given_up.insert(door, waiting);
        let Some(link) = self.stop_joining(door) else { return };
        let guesses = match left {
            0 => "no guess is left within the hour".to_owned(),
            1 => "one guess is left within the hour".to_owned(),
            n => format!("{n} guesses are left within the hour"),
        };
        let why = format!("{}: {guesses}, for all who try", Why::Wrong);
        self.notice(format!("{why}. /join LINK asks for it again"), true);
        if left > 0 {
            // How many are left is another number by the next start.
            self.keep_question(door, &link, &Why::Wrong.to_string());
            self.chat.at_doors.push(AtDoor::Password { link, why });
        }
    }

    /// The member who asked is gone.
    pub(in crate::chat) fn proof_refused(&mut self, door: DoorId, now: Now) {
        if self.groups.joining.contains_key(&door) {
            self.knock(door, now);
        }
    }

    /// The relay lets nobody knock there.
    pub(in crate::chat) fn knock_held(&mut self, door: DoorId, retry_ms: u32, now: Now) {
        if retry_ms <= SOON_MS
            && let Some(joining) = self.groups.joining.get_mut(&door)
        {
            joining.stage = Stage::Outside;
            joining.again = Some(now.mono.plus(Duration::from_millis(retry_ms.into())));
            return;
        }
        if self.stop_joining(door).is_some() {
            let wait = wait_in_words(retry_ms);
            let text = format!(
                "nobody is let in there for {wait}: too many passwords were tried, or too many knock. /join it again then"
            );
            self.notice(text, true);
        }
    }

    /// Not let in.
    pub(in crate::chat) fn turned_away_at(&mut self, door: DoorId, why: Why) {
        let Some(link) = self.stop_joining(door) else { return };
        self.notice(why.to_string(), true);
        let ask = match why {
            Why::NeedsPassword => "That room has a password.",
            Why::NoPassword => "That room asks for no password any more: Enter goes in without one.",
            _ => return,
        };
        self.keep_question(door, &link, ask);
        self.chat.at_doors.push(AtDoor::Password { link, why: ask.into() });
    }

    /// The person may not be asked before the client ends: then it is asked at the next start.
    fn keep_question(&mut self, door: DoorId, link: &str, why: &str) {
        let value = postcard::to_extend(&(link, why), vec![ASKS]).expect("it serialises: plain fields only");
        self.batch.put(JOINING, door.0, value);
    }

    /// The person was asked for the password of that link's room; an answer is a knock that goes on.
    pub(crate) fn was_asked(&mut self, link: &str) {
        let Ok(link) = link.parse::<RoomLink>() else { return };
        let door = door::Secret::from_bytes(*link.secret).door();
        if !self.groups.joining.contains_key(&door) {
            self.batch.delete(JOINING, door.0);
        }
    }

    /// Whether this account is in that link's room.
    pub(crate) fn is_behind(&self, link: &str) -> bool {
        let room = link.parse().map(|link: RoomLink| room_id(link.room)).ok();
        room.and_then(|room| self.chat.group(room)).is_some_and(Group::is_open)
    }

    fn stop_joining(&mut self, door: DoorId) -> Option<Zeroizing<String>> {
        let joining = self.groups.joining.remove(&door)?;
        self.batch.delete(JOINING, door.0);
        Some(Zeroizing::new(joining.kept.link.clone()))
    }

    /// Whether this account knocked at a door of that room.
    pub(super) fn knocked_there(&self, tag: RoomTag) -> bool {
        self.groups.joining.values().any(|joining| joining.link.room == tag)
    }

    /// The room is here.
    pub(super) fn came_in(&mut self, tag: RoomTag) {
        let joined = self.groups.joining.iter().filter(|(_, joining)| joining.link.room == tag);
        for door in joined.map(|(door, _)| *door).collect::<Vec<_>>() {
            self.stop_joining(door);
        }
    }

    /// From an earlier run.
    pub(super) fn load_joining(&mut self) -> Result<(), Error> {
        for (_, value) in self.store.records.scan(JOINING, &[], &[], Order::Forward, usize::MAX)? {
            let value = Zeroizing::new(value);
            let Some((&version, kept)) = value.split_first() else { continue };
            if version == ASKS {
                if let Ok((link, why)) = postcard::from_bytes::<(&str, &str)>(kept) {
                    let link = Zeroizing::new(link.to_owned());
                    self.chat.at_doors.push(AtDoor::Password { link, why: why.to_owned() });
                }
                continue;
            }
            if version != VERSION {
                continue;
            }
            let Ok(kept) = postcard::from_bytes::<Kept>(kept) else { continue };
            let Ok(link) = kept.link.parse::<RoomLink>() else { continue };
            let door = door::Secret::from_bytes(*link.secret).door();
            self.groups.joining.insert(door, Joining::new(link, kept));
        }
        Ok(())
    }
}

impl Joining {
    fn new(link: RoomLink, kept: Kept) -> Self {
        Self { link, kept, stage: Stage::Outside, attempt: 0, again: None, told: false, doubted: false }
    }
}

const VERSION: u8 = 1;
const ASKS: u8 = 2;

/// Worth no word: the knock is made again.
const SOON_MS: u32 = 60_000;

/// Well before the relay forgets.
const AGAIN: Duration = Duration::from_millis(WAITS_MS / 2);
