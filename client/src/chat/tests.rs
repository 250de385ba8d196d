//! One client against a relay and people who do as they please.

use super::talk::{Account, OWED, Talk};
use super::timeline::{Author, Line, LineState};
use super::wrapped::{self, Wrapped};
use crate::config::Config;
use crate::effect::{Effect, Happened};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::Arc;
use subrosa_shared::content::file::{File, Key};
use subrosa_shared::content::{Content, Mark};
use subrosa_shared::id::{AccountName, EnvelopeId, MessageId, RoomId, Seq};
use subrosa_shared::protocol::auth::Cert;
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::protocol::envelope::{Delivery, Keep};
use subrosa_shared::protocol::frame::{Ask, Refusal, ToDevice, ToRelay, Welcome};
use subrosa_shared::protocol::prekey::{Bundle, Kind};
use subrosa_shared::session::bundles::STARTS_MAX;
use subrosa_shared::session::{Identity, Sessions, Why, kept};
use subrosa_shared::store::memory::{In, Memory, MemorySlots};
use subrosa_shared::store::{Batch, Order, Store};
use subrosa_shared::time::{Millis, Now};

mod acts;
mod calls;
mod logs;
mod resets;
mod strangers;
mod timers;

const DAY: u64 = 24 * 3_600_000;

fn at(ms: u64) -> Now {
    Now { wall: Millis(1_800_000_000_000 + ms), mono: Millis(ms) }
}

fn memory() -> Store {
    Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) }
}

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// The client under test, and the bundles that it published.
struct Ada {
    talk: Talk,
    bundles: Vec<Vec<u8>>,
    /// Whose certificate the relay gives out, whoever is asked for.
    cert: Option<Cert>,
}

/// What somebody sends.
pub(super) fn film(id: MessageId) -> File {
    File {
        id,
        at: at(0).wall,
        name: "film.mkv".into(),
        size: 1000,
        sha256: [2; 32],
        key: Key([3; 32]),
        blob: BlobId([4; 16]),
        caption: String::new(),
        preview: Vec::new(),
    }
}

/// A client that has never been connected.
pub(super) fn alone(now: Now) -> Talk {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let identity = Identity::generate(&mut rng);
    over(memory(), identity, rng, now)
}

/// A client over what is stored there.
fn over(store: Store, identity: Identity, rng: ChaCha20Rng, now: Now) -> Talk {
    let account = Account {
        name: name("ada"),
        relay: String::new(),
        hosting: false,
        header: None,
        search: Default::default(),
    };
    let loaded = Talk::load(account, identity, store, Config::default(), Box::new(rng), now);
    let (talk, effects) = loaded.expect("the store reads");
    for effect in effects {
        if let Effect::Commit(batch) = effect {
            talk.store().commit(&batch).expect("memory");
        }
    }
    talk
}

impl Ada {
    fn online() -> Self {
        let mut ada = Self { talk: alone(at(0)), bundles: Vec::new(), cert: None };
        ada.hears(ToDevice::Welcome(welcome(0)), 0);
        ada
    }

    /// She starts again over that store, and is welcomed.
    fn restarts(&mut self, store: Store, welcome: Welcome) -> Vec<ToRelay> {
        let identity = Identity::from_seed(&self.talk.sessions.identity().seed());
        self.talk = over(store, identity, ChaCha20Rng::seed_from_u64(9), at(0));
        self.hears(ToDevice::Welcome(welcome), 0)
    }

    fn settle(&mut self) -> Vec<ToRelay> {
        let (mut sent, mut answers) = (Vec::new(), Vec::new());
        for effect in self.talk.settle() {
            match effect {
                Effect::Commit(batch) => self.talk.store().commit(&batch).expect("memory"),
                Effect::Send(frame) => {
                    if let ToRelay::Publish { bundles, .. } = &frame {
                        self.bundles.extend(bundles.iter().cloned());
                    }
                    if let ToRelay::Devices { ask, name, .. } = &frame
                        && let Some(cert) = self.cert.clone().filter(|_| name.as_str() != "ada")
                    {
                        let (ask, name) = (*ask, name.clone());
                        answers.push(ToDevice::Devices { ask, name, versions: vec![], certs: vec![cert] });
                    }
                    sent.push(frame);
                }
                _ => {}
            }
        }
        for answer in answers {
            self.talk.frame(answer, at(0)).expect("memory");
            sent.extend(self.settle());
        }
        sent
    }

    fn hears(&mut self, frame: ToDevice, ms: u64) -> Vec<ToRelay> {
        self.talk.frame(frame, at(ms)).expect("memory");
        self.settle()
    }

    fn wakes(&mut self, ms: u64) -> Vec<ToRelay> {
        self.talk.wake(at(ms)).expect("memory");
        self.settle()
    }

    fn lines(&self) -> Vec<(Author, String)> {
        let room = &self.talk.chat.rooms[0];
        room.timeline.lines().map(|(_, line)| (line.author, line.body.clone())).collect()
    }

    /// Everybody who waits is let in.
    fn accepts(&mut self, ms: u64) {
        let rooms: Vec<RoomId> = self.talk.chat.rooms.iter().map(|room| room.id).collect();
        for room in rooms {
            self.talk.accept(room, at(ms)).expect("memory");
        }
        self.settle();
    }

    fn owed(&self) -> usize {
        self.talk.store().records.scan(OWED, &[], &[], Order::Forward, 99).expect("memory").len()
    }

    fn room(&self) -> RoomId {
        self.talk.chat.rooms[0].id
    }
}

fn welcome(prekeys_left: u32) -> Welcome {
    let clock = at(0).wall.0;
    Welcome { prekeys_left, last_resort_fresh: false, newest: Seq(0), clock, era: 0, motd: String::new() }
}

/// Somebody who says to be ben.
struct Ben {
    sessions: Sessions,
    rng: ChaCha20Rng,
    sent: u64,
}

impl Ben {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (sessions, _) =
            Sessions::load(Identity::generate(&mut rng), &memory(), at(0)).expect("an empty store");
        Self { sessions, rng, sent: 0 }
    }

    fn delivers(&mut self, head: Vec<u8>) -> ToDevice {
        self.sent += 1;
        ToDevice::Deliver(Delivery {
            seq: Seq(self.sent),
            from: self.sessions.identity().device(),
            name: name("ben"),
            id: EnvelopeId::random(&mut self.rng),
            head,
            body: Vec::new(),
        })
    }

    fn says(&mut self, ada: &mut Ada, content: &Content) -> ToDevice {
        ada.cert = Some(self.sessions.identity().cert());
        let to = ada.talk.sessions.identity().peer();
        if self.sessions.needs_bundle(&to.device(), at(0)) {
            let bundle = ada.bundles.pop().expect("published");
            self.sessions.offer(&to, &bundle, at(0)).expect("verifies");
        }
        let Wrapped { inside, body } = wrapped::wrap(content, &mut self.rng);
        let mut batch = Batch::default();
        let sealed = self.sessions.seal(&to, Why::Speech, &inside, &mut self.rng, at(0), &mut batch);
        let head = sealed.expect("seals").bytes;
        let ToDevice::Deliver(delivery) = self.delivers(head) else { panic!("a delivery") };
        ToDevice::Deliver(Delivery { body, ..delivery })
    }

    fn draws(&mut self) -> MessageId {
        MessageId::drawn(&self.sessions.identity().peer().identity, &mut self.rng)
    }

    fn writes(&mut self, ada: &mut Ada, body: &str) -> ToDevice {
        let id = self.draws();
        self.says(ada, &Content::Text { id, at: at(0).wall, body: body.into() })
    }

    /// Writes for the first time, and is let in.
    fn comes_in(&mut self, ada: &mut Ada) {
        let text = self.writes(ada, "hello");
        ada.hears(text, 10);
        ada.accepts(10);
    }
}

fn sends(frames: &[ToRelay]) -> usize {
    frames.iter().filter(|frame| matches!(frame, ToRelay::Send(_))).count()
}

fn claims(frames: &[ToRelay]) -> usize {
    frames.iter().filter(|frame| matches!(frame, ToRelay::Claim { .. })).count()
}

/// The bundles that are published.
fn published(frames: &[ToRelay]) -> Vec<Bundle> {
    let bundles = frames.iter().filter_map(|frame| match frame {
        ToRelay::Publish { bundles, .. } => Some(bundles),
        _ => None,
    });
    bundles.flatten().map(|bytes| Bundle::decode(bytes).expect("a bundle")).collect()
}

fn asked_for_keys(frames: &[ToRelay]) -> Option<Ask> {
    frames.iter().find_map(|frame| match frame {
        ToRelay::Claim { ask, .. } => Some(*ask),
        _ => None,
    })
}

#[test]
fn keys_that_somebody_has_not_left_yet_are_asked_for_soon_and_then_less_often() {
    let (mut ada, ben) = (Ada::online(), Ben::new(2));
    ada.cert = Some(ben.sessions.identity().cert());
    let room = ada.talk.room_with(&name("ben"), at(0));
    let hello = ada.talk.say(room, "hello".into(), at(0)).expect("memory").expect("said");
    let (mut frames, mut last) = (ada.settle(), 0);
    for (ms, soon) in [
        (1_000, true),
        (3_000, true),
        (7_000, true),
        (15_000, false),
        (31_000, false),
        (51_000, false),
        (71_000, false),
    ] {
        let ask = asked_for_keys(&frames).expect("asks");
        assert!(ada.talk.on_its_way(&hello));
        ada.hears(ToDevice::Refused { ask: Some(ask), why: Refusal::NoPrekeys }, last);
        assert_eq!(ada.talk.on_its_way(&hello), soon, "worth waiting for at {last} ms");
        assert_eq!(claims(&ada.wakes(ms - 1)), 0, "before {ms} ms");
        frames = ada.wakes(ms);
        last = ms;
    }
}

#[test]
fn what_waits_for_keys_goes_out_when_they_come_with_a_message() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ada.cert = Some(ben.sessions.identity().cert());
    let room = ada.talk.room_with(&name("ben"), at(0));
    ada.talk.say(room, "hello".into(), at(0)).expect("memory");
    let ask = asked_for_keys(&ada.settle()).expect("asks");
    ada.hears(ToDevice::Refused { ask: Some(ask), why: Refusal::NoPrekeys }, 0);
    let text = ben.writes(&mut ada, "hello to you");
    assert!(sends(&ada.hears(text, 10)) > 0);
}

#[test]
fn a_text_under_another_key_does_not_look_like_the_persons_own() {
    let (mut ada, mut ben, mut mallory) = (Ada::online(), Ben::new(2), Ben::new(3));
    let text = ben.writes(&mut ada, "it is me");
    ada.hears(text, 10);
    ada.accepts(10);
    let text = mallory.writes(&mut ada, "send it to my other address");
    ada.hears(text, 20);
    let text = ben.writes(&mut ada, "still me");
    ada.hears(text, 30);
    let lines = ada.lines();
    let theirs: Vec<_> =
        lines.iter().filter(|(author, _)| *author == Author::Them).map(|(_, body)| body.as_str()).collect();
    assert_eq!(theirs, ["it is me", "still me"]);
    let alarms = lines.iter().filter(|(author, _)| *author == Author::Alarm).count();
    assert_eq!(alarms, 2, "that the key changed, and what it said: {lines:?}");
}

#[test]
fn nobody_takes_the_place_of_what_somebody_else_says() {
    let (mut ada, mut ben, mut eve, mut mallory) = (Ada::online(), Ben::new(2), Ben::new(3), Ben::new(4));
    let text = |id: MessageId, body: &str| Content::Text { id, at: at(0).wall, body: body.into() };
    // Eve as a stranger, as a contact, and as ben under another key.
    let as_eve = |delivery: ToDevice| match delivery {
        ToDevice::Deliver(delivery) => ToDevice::Deliver(Delivery { name: name("eve"), ..delivery }),
        frame => frame,
    };
    let (first, second, third) = (ben.draws(), ben.draws(), ben.draws());
    let taken = eve.says(&mut ada, &text(first, "eve's first"));
    ada.hears(as_eve(taken), 10);
    let said = ben.says(&mut ada, &text(first, "ben's first"));
    ada.hears(said, 20);
    ada.accepts(30);
    for again in ["eve's second", "eve's second once more"] {
        let taken = eve.says(&mut ada, &text(second, again));
        ada.hears(as_eve(taken), 40);
    }
    let taken = mallory.says(&mut ada, &text(third, "mallory's third").timed(60));
    ada.hears(taken, 45);
    for (id, body) in [(second, "ben's second"), (third, "ben's third")] {
        let said = ben.says(&mut ada, &text(id, body));
        ada.hears(said, 50);
    }
    let of = |who: &str| {
        let lines = ada.talk.chat.with(&name(who)).expect("known").timeline.lines();
        let theirs = lines.filter(|(_, line)| line.author == Author::Them);
        theirs.map(|(_, line)| (line.id, line.body.clone())).collect::<Vec<_>>()
    };
    let want = [(first, "ben's first"), (second, "ben's second"), (third, "ben's third")];
    assert_eq!(of("ben"), want.map(|(id, body)| (id, body.to_owned())));
    let bodies: Vec<_> = of("eve").into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, ["eve's first", "eve's second"], "what comes twice is shown once");
}

#[test]
fn what_an_earlier_version_says_is_receipted_and_shown_once() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    ada.wakes(100);
    assert_eq!(ada.owed(), 0);
    let old = Content::Text { id: MessageId([9; 16]), at: at(0).wall, body: "from before".into() };
    for ms in [200, 210] {
        let text = ben.says(&mut ada, &old);
        ada.hears(text, ms);
        assert_eq!(ada.owed(), 2, "by both ids");
    }
    // One that came before the update.
    let (known, room) = (MessageId([8; 16]), ada.room());
    let line = Line::new(known, Author::Them, at(0).wall, "known".into(), LineState::Received);
    ada.talk.push_line(room, line, at(300));
    ada.settle();
    let text = ben.says(&mut ada, &Content::Text { id: known, at: at(0).wall, body: "known".into() });
    ada.hears(text, 310);
    let bodies: Vec<_> = ada.lines().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, ["hello", "from before", "known"]);
}

#[test]
fn by_an_id_that_somebody_else_drew_nobody_gets_a_receipt() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    ada.wakes(100);
    let hers = ada.talk.say(ada.room(), "hers".into(), at(110)).expect("memory").expect("said");
    ada.wakes(200);
    assert_eq!(ada.owed(), 0);
    let text = ben.says(&mut ada, &Content::Text { id: hers, at: at(0).wall, body: "his".into() });
    ada.hears(text, 210);
    assert_eq!(ada.owed(), 1, "by his own id alone");
}

#[test]
fn another_key_sets_no_marks_and_shows_no_typing() {
    let (mut ada, mut ben, mut mallory) = (Ada::online(), Ben::new(2), Ben::new(3));
    ben.comes_in(&mut ada);
    let room = ada.room();
    let id = ada.talk.say(room, "hi".into(), at(20)).expect("memory").expect("said");
    ada.settle();
    let receipt = mallory.says(&mut ada, &Content::Receipt { ids: vec![id], mark: Mark::Read });
    ada.hears(receipt, 30);
    let typing = mallory.says(&mut ada, &Content::Typing(true));
    ada.hears(typing, 40);
    let room = &ada.talk.chat.rooms[0];
    let said = room.timeline.lines().find(|(_, line)| line.id == id).expect("there").1;
    assert!(said.state < LineState::Delivered);
    assert_eq!(room.typing, None);
    assert_eq!(ada.talk.dropped, 2);
}

#[test]
fn typing_never_begins_a_session_that_the_relay_may_drop() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    ada.talk.chat.rooms[0].online = true;
    // There is ben's in-band bundle, and no session yet.
    ada.talk.open(ada.room(), at(11)).expect("memory");
    ada.talk.typing(true, at(12));
    let fleeting = |frames: &[ToRelay]| {
        let is = |frame: &&ToRelay| matches!(frame, ToRelay::Send(out) if out.keep == Keep::Fleeting);
        frames.iter().filter(is).count()
    };
    assert_eq!(fleeting(&ada.settle()), 0);
    ada.wakes(100);
    ada.talk.typing(false, at(101));
    assert_eq!(fleeting(&ada.settle()), 1, "the receipt began it");
}

#[test]
fn a_receipt_is_owed_on_disk_until_it_is_sealed() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    // The bundle that came with it is gone: the receipt has to wait for another.
    let device = ben.sessions.identity().device();
    ada.talk.sessions.restart(&device, &mut ada.talk.batch);
    let frames = ada.wakes(100);
    assert_eq!((sends(&frames), claims(&frames)), (0, 1));
    assert_eq!(ada.owed(), 1, "a crash now must not lose it");
    let text = ben.writes(&mut ada, "again");
    ada.hears(text, 110);
    ada.wakes(200);
    let bundle = ben.sessions.prekeys(0, true, &mut ben.rng, at(0), &mut Batch::default())[0].encode();
    ada.talk.bundle(device, &bundle, at(210));
    assert_eq!(sends(&ada.settle()), 2);
    assert_eq!(ada.owed(), 0);
}

#[test]
fn unknown_sessions_of_one_peer_do_not_silence_the_answer_to_another() {
    let mut ada = Ada::online();
    let (mut ben, mut eve) = (Ben::new(2), Ben::new(3));
    ben.comes_in(&mut ada);
    let ToDevice::Deliver(mut text) = eve.writes(&mut ada, "hello too") else { panic!("a delivery") };
    text.name = name("eve");
    ada.hears(ToDevice::Deliver(text), 10);
    ada.accepts(10);
    ada.wakes(100);
    // A first message to a prekey that nobody has, of each.
    let mut head = vec![1, 0];
    head.resize(2 + 16 + 1088 + 200, 7);
    let mut answers = 0;
    for (ms, eves, byte) in [(200, true, 1), (300, true, 2), (400, false, 3)] {
        head[2] = byte;
        let ToDevice::Deliver(mut unreadable) = if eves { &mut eve } else { &mut ben }.delivers(head.clone())
        else {
            panic!("a delivery")
        };
        unreadable.name = name(if eves { "eve" } else { "ben" });
        answers += claims(&ada.hears(ToDevice::Deliver(unreadable), ms));
    }
    assert_eq!(answers, 2, "one to each, through a new session");
    assert_eq!(ada.talk.next_wake(), Some(Millis(30_200)), "eve's second is answered later");
}

#[test]
fn a_relay_that_claims_to_hold_all_prekeys_there_can_be_is_believed_quietly() {
    let mut ada = Ada::online();
    ada.hears(ToDevice::PrekeysLeft(u32::MAX), 10);
    let frames = ada.hears(ToDevice::Welcome(welcome(u32::MAX)), 20);
    assert_eq!(published(&frames).len(), 1, "the last-resort one alone");
}

#[test]
fn rule_4_the_last_resort_prekey_is_rotated_on_a_connection_that_lasts() {
    let mut ada = Ada::online();
    assert_eq!(published(&ada.wakes(6 * DAY)).len(), 0);
    assert_eq!(published(&ada.wakes(7 * DAY)).len(), 1);
    assert_eq!(published(&ada.wakes(8 * DAY)).len(), 0);
}

#[test]
fn rule_4_a_last_resort_prekey_that_is_used_up_is_replaced_at_once_until_the_relay_has_another() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let last = ada.bundles.remove(0);
    let id = Bundle::decode(&last).expect("a bundle").id;
    // All but one of the sessions that may begin with it have begun.
    let mut batch = Batch::default();
    for n in 1..STARTS_MAX as u64 {
        let key = [&id.0[..], &[0_u8; 24], &n.to_be_bytes()].concat();
        batch.put(kept::STARTS, key, [&[1_u8][..], &[0; 16], &[1]].concat());
    }
    let store = ada.talk.store().clone();
    store.commit(&batch).expect("memory");
    let full = Welcome { last_resort_fresh: true, ..welcome(64) };
    assert!(published(&ada.restarts(store.clone(), full.clone())).is_empty());
    let to = ada.talk.sessions.identity().peer();
    ben.sessions.offer(&to, &last, at(0)).expect("verifies");
    let text = ben.writes(&mut ada, "hello");
    let next = published(&ada.hears(text, 10));
    assert_eq!(next.iter().map(|bundle| bundle.kind).collect::<Vec<_>>(), [Kind::LastResort]);
    assert_ne!(next[0].id, id);
    // The relay may not have got it, and takes the old one for fresh.
    assert_eq!(published(&ada.restarts(store, full)), next);
}

#[test]
fn who_is_put_back_from_a_copy_has_the_relay_drop_prekeys_until_it_has_and_leaves_others() {
    let mut ada = Ada::online();
    let full = || Welcome { last_resort_fresh: true, ..welcome(64) };
    let lies_in = |ada: &mut Ada, file: u8| {
        let Store { records, slots } = ada.talk.store().clone();
        ada.restarts(Store { records, slots: Arc::new(In(slots, file)) }, full())
    };
    let drops = |frames: &[ToRelay]| {
        frames.iter().find_map(|frame| match frame {
            ToRelay::DropPrekeys { ask } => Some(*ask),
            _ => None,
        })
    };
    for _ in 0..2 {
        let frames = lies_in(&mut ada, 1);
        assert_eq!((drops(&frames), published(&frames)), (None, vec![]));
    }
    for _ in 0..2 {
        let frames = lies_in(&mut ada, 2);
        assert!(drops(&frames).is_some());
        for kind in [Kind::LastResort, Kind::OneTime] {
            assert!(published(&frames).iter().any(|bundle| bundle.kind == kind));
        }
    }
    let frames = lies_in(&mut ada, 2);
    ada.hears(ToDevice::Done(drops(&frames).expect("it has not done so")), 10);
    assert_eq!(drops(&lies_in(&mut ada, 2)), None);
}

/// A relay that has nothing of her list is asked for it, and she brings it.
fn brings_list(ada: &mut Ada, frames: &[ToRelay], ms: u64) -> Option<Ask> {
    let ask = frames.iter().find_map(|frame| match frame {
        ToRelay::Devices { ask, name, .. } if name.as_str() == "ada" => Some(*ask),
        _ => None,
    })?;
    let nothing = ToDevice::Devices { ask, name: name("ada"), versions: vec![], certs: vec![] };
    ada.hears(nothing, ms).iter().find_map(|frame| match frame {
        ToRelay::PublishDevices { ask, .. } => Some(*ask),
        _ => None,
    })
}

#[test]
fn an_own_list_that_the_relay_refused_is_brought_again_after_ten_minutes() {
    let mut ada = Ada { talk: alone(at(0)), bundles: Vec::new(), cert: None };
    let frames = ada.hears(ToDevice::Welcome(welcome(0)), 0);
    let refused = |ada: &mut Ada, ask: Ask, ms: u64| {
        let refused = ToDevice::Refused { ask: Some(ask), why: Refusal::BadSignature };
        ada.talk.frame(refused, at(ms)).expect("memory");
        let told = |effect: &&Effect| matches!(effect, Effect::Tell(Happened::Notice { .. }));
        ada.talk.settle().iter().filter(told).count()
    };
    let ask = brings_list(&mut ada, &frames, 10).expect("brought");
    assert_eq!(refused(&mut ada, ask, 20), 1);
    for ms in [20_000, 300_000, 600_019] {
        let frames = ada.wakes(ms);
        assert_eq!(brings_list(&mut ada, &frames, ms), None);
    }
    assert!(ada.talk.next_wake().is_some_and(|due| due <= Millis(600_020)));
    let frames = ada.wakes(600_020);
    let ask = brings_list(&mut ada, &frames, 600_030).expect("brought again");
    assert_eq!(refused(&mut ada, ask, 600_040), 0, "it is said once");
    // The next connection looks by itself.
    ada.talk.lost(super::Link::Offline { why: String::new() }, at(700_000));
    assert!(ada.talk.next_wake().is_none_or(|due| due > Millis(1_200_040)));
}
