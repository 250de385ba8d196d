//! Strangers, and members of a room, who send what no client of theirs would.

use super::*;
use crate::chat::Link;
use crate::chat::groups::{EARLY, LOGS};
use crate::chat::talk::PENDING;
use subrosa_shared::content::rooms::{AboutRoom, ENTRIES_MAX, InRoom, Invite, Keys, RoomTalk, pieces};
use subrosa_shared::id::RoomTag;
use subrosa_shared::protocol::devices::{DeviceList, Version};
use subrosa_shared::session::UNREADABLE_START;
use subrosa_shared::session::roomlog::{self, Entry, Log, Op, Policy};
use subrosa_shared::store::Table;

/// The kind of slots with keys of messages that did not come: eight in each.
const SKIPPED: u8 = 3;
/// A head that nobody's log has.
const NOWHERE: [u8; 32] = [7; 32];

fn named(frame: ToDevice, who: &str) -> ToDevice {
    let ToDevice::Deliver(delivery) = frame else { panic!("a delivery") };
    ToDevice::Deliver(Delivery { name: name(who), ..delivery })
}

/// Ben changes his room.
fn operates(log: &mut Log, ben: &Ben, op: Op) -> Vec<u8> {
    let entry = log.draft(&name("ben"), op, ben.sessions.identity(), at(0).wall).expect("may");
    log.apply(&entry, &|_, _, _| true).expect("follows");
    entry.encode()
}

fn about(log: &Log, talk: RoomTalk) -> Content {
    Content::Room(AboutRoom { room: log.tag(), talk })
}

fn invite(log: &Log, entries: Vec<Vec<u8>>) -> Content {
    let keys = Some(Keys { handle: [1; 16], secret: [2; 32] });
    let (name, head, height) = ("club".into(), log.head(), log.height());
    about(log, RoomTalk::Invite(Invite { name, people: 2, head, height, entries, keys }))
}

fn in_room(log: &Log, (height, head): (u64, [u8; 32]), clock: u64, content: &Content) -> Content {
    Content::InRoom(InRoom { room: log.tag(), head, height, clock, inside: content.encode() })
}

/// A room of Ben's, who invites Ada.
fn invited(ada: &mut Ada, ben: &mut Ben) -> Log {
    let identity = ben.sessions.identity();
    let (root, policy) = (identity.peer().identity, Policy::default());
    let founded = Log::found(&name("ben"), &root, "club", policy, [1; 16], identity, at(0).wall);
    let (_, mut log) = founded.expect("a name");
    let account = name("ada");
    operates(&mut log, ben, Op::Add { account, root: ada.talk.chat.identity, door: None });
    let entries = log.entries(0).iter().map(Entry::encode).collect();
    let invite = ben.says(ada, &invite(&log, entries));
    ada.hears(invite, 10);
    log
}

/// The same; she comes in.
fn club(ada: &mut Ada, ben: &mut Ben) -> Log {
    let log = invited(ada, ben);
    ada.accepts(10);
    ten_minutes(ada, 10);
    log
}

/// A first message of his to a prekey that nobody has.
fn does_not_open(ben: &mut Ben) -> ToDevice {
    let mut head = vec![1, 0];
    head.resize(2 + 16 + 1088 + 200, 7);
    ben.delivers(head)
}

/// What goes out in them.
fn ten_minutes(ada: &mut Ada, from: u64) -> usize {
    (1..=600).map(|second| sends(&ada.wakes(from + second * 1_000))).sum()
}

fn height(ada: &Ada) -> u64 {
    ada.talk.chat.group(ada.room()).expect("a room of several").log.height()
}

/// What Ada keeps in a table.
fn kept(ada: &Ada, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    ada.talk.store().records.scan(table, &[], &[], Order::Forward, usize::MAX).expect("memory")
}

#[test]
fn strangers_who_speak_of_rooms_alone_left_keys_without_bound() {
    let mut ada = Ada::online();
    let said = InRoom { room: RoomTag([9; 16]), head: NOWHERE, height: 0, clock: 0, inside: vec![9, 0] };
    let said = Content::InRoom(said);
    for i in 0..6 {
        let mut stranger = Ben::new(100 + i);
        for n in 0..=401 {
            let word = stranger.says(&mut ada, &said);
            // Four hundred between them never come.
            if n == 0 || n == 401 {
                ada.hears(named(word, &format!("stranger{i}")), 10);
            }
        }
    }
    let slots = ada.talk.store().slots.list(SKIPPED).len();
    assert!((200..=260).contains(&slots), "{slots} slots for the 2,000 keys of all strangers");
}

#[test]
fn a_height_that_a_member_made_up_was_asked_for_without_end() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let mut log = club(&mut ada, &mut ben);
    let asked = |ada: &mut Ada, ben: &mut Ben, log: &Log, height: u64, from: u64| {
        let typing = in_room(log, (height, NOWHERE), 1, &Content::Typing(true));
        let typing = ben.says(ada, &typing);
        sends(&ada.hears(typing, from)) + ten_minutes(ada, from)
    };
    assert_eq!(asked(&mut ada, &mut ben, &log, u64::MAX, 1_000_000), 0, "no log is as long");
    let highest = roomlog::ENTRIES_MAX - 1;
    let sent = asked(&mut ada, &mut ben, &log, highest, 2_000_000);
    assert!((2..=9).contains(&sent), "{sent} questions");
    assert_eq!(asked(&mut ada, &mut ben, &log, highest, 3_000_000), 1, "who says it again is asked alone");
    // What comes begins it anew: nobody stays behind because somebody lied before.
    let entries = vec![operates(&mut log, &ben, Op::Topic("tea".into()))];
    let entries = about(&log, RoomTalk::Entries { entries, keys: None });
    let entries = ben.says(&mut ada, &in_room(&log, (log.height(), log.head()), 2, &entries));
    ada.hears(entries, 4_000_000);
    assert_eq!(height(&ada), log.height());
    let sent = asked(&mut ada, &mut ben, &log, log.height() + 1, 5_000_000);
    assert!((2..=9).contains(&sent), "{sent} questions");
}

#[test]
fn on_a_word_of_somebody_outside_members_were_asked_and_an_alarm_was_raised() {
    let (mut ada, mut ben, mut eve) = (Ada::online(), Ben::new(2), Ben::new(3));
    let log = club(&mut ada, &mut ben);
    let mut later = log.clone();
    let mut first = operates(&mut later, &ben, Op::Topic("tea".into()));
    let second = operates(&mut later, &ben, Op::Topic("cake".into()));
    let forged = log.draft(&name("ben"), Op::Delete, eve.sessions.identity(), at(0).wall).expect("may");
    for (entry, from) in [(second, 1_000_000), (forged.encode(), 2_000_000)] {
        let word = named(eve.says(&mut ada, &invite(&log, vec![entry])), "eve");
        assert_eq!(sends(&ada.hears(word, from)) + ten_minutes(&mut ada, from), 0);
    }
    // Nor is anybody on a member's, where nobody signed it.
    *first.last_mut().expect("a signature") ^= 1;
    let entries = about(&log, RoomTalk::Entries { entries: vec![first], keys: None });
    let word = ben.says(&mut ada, &entries);
    assert_eq!(sends(&ada.hears(word, 3_000_000)) + ten_minutes(&mut ada, 3_000_000), 0);
    assert!(ada.lines().iter().all(|(author, _)| *author != Author::Alarm), "{:?}", ada.lines());
    assert_eq!(height(&ada), log.height());
}

#[test]
fn whoever_knew_the_tag_of_a_room_wrote_grey_lines_into_it_without_end() {
    let (mut ada, mut ben, mut eve) = (Ada::online(), Ben::new(2), Ben::new(3));
    let log = club(&mut ada, &mut ben);
    let (room, head, height) = (log.tag(), log.head(), log.height());
    let newer = Content::InRoom(InRoom { room, head, height, clock: 1, inside: vec![9, 0] });
    let before = ada.lines().len();
    for _ in 0..2 {
        let word = named(eve.says(&mut ada, &newer), "eve");
        ada.hears(word, 700_000);
    }
    assert_eq!(ada.lines().len(), before);
    for _ in 0..2 {
        let word = ben.says(&mut ada, &newer);
        ada.hears(word, 710_000);
    }
    let lines = ada.lines();
    assert_eq!(lines.len(), before + 1, "{lines:?}");
    assert!(lines[before].1.contains("needs a newer subrosa"), "{lines:?}");
}

#[test]
fn what_is_ahead_of_an_invitations_log_was_kept_without_bound_and_for_ever() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let speak = |ada: &mut Ada, ben: &mut Ben, log: &Log, clock: u64, length: usize| {
        let text = Content::Text { id: ben.draws(), at: at(0).wall, body: "x".repeat(length) };
        let word = ben.says(ada, &in_room(log, (log.height() + 5, NOWHERE), clock, &text));
        ada.hears(word, 700_000);
    };
    let log = invited(&mut ada, &mut ben);
    for clock in 1..20 {
        speak(&mut ada, &mut ben, &log, clock, 15_000);
    }
    let bytes: usize = kept(&ada, EARLY).iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!((30_000..=64 * 1024).contains(&bytes), "{bytes} B");
    // In a room that she is in, nobody takes the place of all others.
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let log = club(&mut ada, &mut ben);
    for clock in 1..100 {
        speak(&mut ada, &mut ben, &log, clock, 10);
    }
    assert_eq!(kept(&ada, EARLY).len(), 64);
    ada.wakes(6 * DAY);
    assert_eq!(kept(&ada, EARLY).len(), 64);
    ada.wakes(8 * DAY);
    assert!(kept(&ada, EARLY).is_empty());
}

#[test]
fn a_log_of_any_length_was_kept_before_its_invitation_was_accepted() {
    // How much goes out when she comes in.
    let comes_in = |ada: &mut Ada| {
        let room = ada.room();
        ada.talk.accept(room, at(20)).expect("memory");
        sends(&ada.settle())
    };
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    invited(&mut ada, &mut ben);
    let short = comes_in(&mut ada);
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let mut log = invited(&mut ada, &mut ben);
    let topic = |n: u32| Op::Topic(format!("{n} {}", "x".repeat(500)));
    let entries: Vec<Vec<u8>> = (0..300).map(|n| operates(&mut log, &ben, topic(n))).collect();
    let tell = |ada: &mut Ada, ben: &mut Ben| {
        for entries in pieces(&entries, ENTRIES_MAX, Vec::len) {
            let piece = about(&log, RoomTalk::Entries { entries, keys: None });
            let piece = ben.says(ada, &piece);
            ada.hears(piece, 15);
        }
    };
    tell(&mut ada, &mut ben);
    let bytes: usize = kept(&ada, LOGS).iter().map(|(_, value)| value.len()).sum();
    assert!((100 * 1024..=129 * 1024).contains(&bytes), "{bytes} B");
    assert_eq!(comes_in(&mut ada), short + 1, "the rest is asked for");
    tell(&mut ada, &mut ben);
    assert_eq!(height(&ada), log.height());
}

#[test]
fn who_invited_and_was_not_let_in_or_was_blocked_learned_that_somebody_is_there() {
    for blocked in [false, true] {
        let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
        let log = invited(&mut ada, &mut ben);
        if blocked {
            ada.talk.block(&name("ben"), at(20)).expect("memory");
            ada.settle();
        }
        let reset = ben.says(&mut ada, &Content::Reset { session: UNREADABLE_START });
        let lost = does_not_open(&mut ben);
        let want = ben.says(&mut ada, &about(&log, RoomTalk::Want { from: 0 }));
        for (what, word, from) in
            [("reset", reset, 1_000_000), ("lost", lost, 2_000_000), ("want", want, 3_000_000)]
        {
            let mut frames = ada.hears(word, from);
            frames.extend((1..=600).flat_map(|second| ada.wakes(from + second * 1_000)));
            assert_eq!((sends(&frames), claims(&frames)), (0, 0), "{what}, blocked: {blocked}");
        }
    }
}

#[test]
fn what_did_not_open_while_an_invitation_waited_is_asked_for_when_it_is_accepted() {
    // How much goes out when she comes in.
    let comes_in = |lost: bool| {
        let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
        invited(&mut ada, &mut ben);
        if lost {
            let lost = does_not_open(&mut ben);
            assert_eq!(sends(&ada.hears(lost, 20)), 0);
        }
        let room = ada.room();
        ada.talk.accept(room, at(30)).expect("memory");
        sends(&ada.settle())
    };
    assert_eq!(comes_in(true), comes_in(false) + 1);
}

#[test]
fn what_a_stranger_said_and_did_not_open_counted_each_time_it_was_delivered() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let text = ben.writes(&mut ada, "hello");
    ada.hears(text, 10);
    for ms in 20..25 {
        let lost = does_not_open(&mut ben);
        ada.hears(lost, ms);
    }
    assert_eq!(ada.talk.chat.rooms[0].person.missed, 1);
}

#[test]
fn a_member_who_asked_for_the_log_again_and_again_filled_the_disk() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let log = club(&mut ada, &mut ben);
    let want = about(&log, RoomTalk::Want { from: 0 });
    let wants = |ada: &mut Ada, ben: &mut Ben, ms: u64| {
        let word = ben.says(ada, &want);
        sends(&ada.hears(word, ms))
    };
    let sent: usize = (0..100).map(|n| wants(&mut ada, &mut ben, 700_000 + n)).sum();
    assert!((1..=8).contains(&sent), "{sent} envelopes");
    // The relay takes none of it: the mailbox of who asks is full.
    for n in 1..100 {
        wants(&mut ada, &mut ben, 700_000 + n * 11_000);
    }
    assert!((30..=40).contains(&ada.talk.outbox.len()), "{} envelopes wait", ada.talk.outbox.len());
}

#[test]
fn a_member_who_came_in_again_and_again_was_sent_all_lines_each_time() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let log = club(&mut ada, &mut ben);
    let accept = about(&log, RoomTalk::Accept);
    let room = ada.room();
    ada.talk.say(room, "hello".into(), at(700_000)).expect("memory");
    let (mut frames, mut sent) = (ada.settle(), 0);
    for n in 0..10 {
        for frame in &frames {
            if let ToRelay::Send(out) = frame {
                ada.hears(ToDevice::Accepted(out.id), 700_000);
            }
        }
        let word = ben.says(&mut ada, &accept);
        frames = ada.hears(word, 700_010 + n);
        sent += sends(&frames);
    }
    assert_eq!(sent, 4);
}

#[test]
fn of_somebody_whose_coming_a_member_had_missed_lines_beyond_the_first_were_lost() {
    let (mut ada, mut ben, mut cy) = (Ada::online(), Ben::new(2), Ben::new(3));
    let mut log = club(&mut ada, &mut ben);
    let root = cy.sessions.identity().peer().identity;
    let comes = operates(&mut log, &ben, Op::Add { account: name("cy"), root, door: None });
    let place = (log.height(), log.head());
    for clock in 1..100 {
        let text = Content::Text { id: cy.draws(), at: at(0).wall, body: "early".into() };
        let word = cy.says(&mut ada, &in_room(&log, place, clock, &text));
        ada.hears(named(word, "cy"), 700_000);
    }
    assert_eq!(kept(&ada, EARLY).len(), 64);
    let comes = about(&log, RoomTalk::Entries { entries: vec![comes], keys: None });
    let comes = ben.says(&mut ada, &comes);
    ada.cert = Some(cy.sessions.identity().cert());
    let mut frames = ada.hears(comes, 710_000);
    frames.extend(ada.wakes(711_000));
    let early = ada.lines().iter().filter(|(_, body)| body == "early").count();
    assert_eq!((early, kept(&ada, EARLY).len()), (64, 0));
    let mut accepts = 0;
    for frame in frames {
        let ToRelay::Send(out) = frame else { continue };
        let device = cy.sessions.identity().device();
        for head in out.to.iter().filter(|head| head.to == device) {
            let opened = cy.sessions.open(&head.bytes, at(711_000), &mut Batch::default()).expect("for cy");
            let content = wrapped::unwrap_all(&opened.content, &out.body).content.expect("reads");
            let accept = |content: &Content| {
                matches!(content, Content::Room(AboutRoom { talk: RoomTalk::Accept, .. }))
            };
            accepts += usize::from(accept(&content));
        }
    }
    assert_eq!(accepts, 1, "the others are asked for");
}

/// Somebody lists a device of somebody else beside their own: its certificate is known to all. Gives the list's
/// versions with one more, which lacks it again.
fn lists(ada: &mut Ada, who: &str, theirs: &Ben, other: &Ben) -> [Version; 3] {
    let (identity, other) = (theirs.sessions.identity(), other.sessions.identity());
    let first = identity.begins(&name(who));
    let list = DeviceList::begin(&first).expect("signed");
    let added = identity.adds(&list, &other.cert()).expect("signed");
    let list = list.next(&added).expect("follows");
    let removed = identity.removes(&list, &other.device()).expect("signed");
    ada.talk.lists.insert(list);
    [first, added, removed]
}

/// What stands in the conversation with somebody as their words.
fn words(ada: &Ada, who: &str) -> Vec<String> {
    let lines = ada.talk.chat.with(&name(who)).expect("known").timeline.lines();
    lines.filter(|(_, line)| line.author == Author::Them).map(|(_, line)| line.body.clone()).collect()
}

#[test]
fn what_somebody_said_stood_as_the_words_of_who_listed_their_device() {
    let (mut ada, mut ben, mut eve) = (Ada::online(), Ben::new(2), Ben::new(3));
    let word = named(eve.writes(&mut ada, "eve's first"), "eve");
    ada.hears(word, 10);
    ada.accepts(10);
    lists(&mut ada, "eve", &eve, &ben);
    let word = ben.writes(&mut ada, "ben's first");
    ada.hears(word, 20);
    ada.accepts(20);
    // Hers is the newest conversation.
    let word = named(eve.writes(&mut ada, "eve's second"), "eve");
    ada.hears(word, 30);
    let word = ben.writes(&mut ada, "ben's second");
    ada.hears(word, 40);
    // The relay lies for her.
    let word = named(ben.writes(&mut ada, "ben's third"), "eve");
    ada.hears(word, 50);
    assert_eq!(words(&ada, "ben"), ["ben's first", "ben's second", "ben's third"]);
    assert_eq!(words(&ada, "eve"), ["eve's first", "eve's second"]);
}

#[test]
fn what_went_to_somebody_who_listed_this_device_came_back_as_their_words() {
    // The last has Ada's keys.
    let (mut ada, mut eve, mut itself) = (Ada::online(), Ben::new(3), Ben::new(1));
    assert_eq!(itself.sessions.identity().device(), ada.talk.device());
    let word = named(eve.writes(&mut ada, "eve's"), "eve");
    ada.hears(word, 10);
    ada.accepts(10);
    lists(&mut ada, "eve", &eve, &itself);
    let word = named(itself.writes(&mut ada, "ada's own"), "eve");
    ada.hears(word, 20);
    assert_eq!(words(&ada, "eve"), ["eve's"]);
}

#[test]
fn a_member_who_listed_a_device_of_another_silenced_the_room() {
    let (mut ada, mut ben, alice) = (Ada::online(), Ben::new(2), Ben::new(3));
    let mut log = club(&mut ada, &mut ben);
    lists(&mut ada, "alice", &alice, &ben);
    let device = ben.sessions.identity().device();
    assert!(ada.talk.shares_room(&device), "whatever somebody outside lists");
    let root = alice.sessions.identity().peer().identity;
    let comes = operates(&mut log, &ben, Op::Add { account: name("alice"), root, door: None });
    let comes = about(&log, RoomTalk::Entries { entries: vec![comes], keys: None });
    let comes = ben.says(&mut ada, &comes);
    ada.hears(comes, 700_000);
    assert_eq!(height(&ada), log.height());
    ada.talk.say(ada.room(), "hello".into(), at(710_000)).expect("memory");
    let frames = ada.settle();
    let sent =
        frames.iter().filter_map(|frame| if let ToRelay::Send(out) = frame { Some(out) } else { None });
    let bounded: Vec<bool> = sent.map(|out| out.within_bounds()).collect();
    assert!(!bounded.is_empty() && bounded.iter().all(|within| *within), "no device twice: {bounded:?}");
}

/// Ada says something there; gives the numbers of what takes it to somebody, and of the line.
fn says_to(ada: &mut Ada, room: RoomId, to: &Ben) -> (Vec<EnvelopeId>, MessageId) {
    ada.cert = None;
    let line = ada.talk.say(room, "hello".into(), at(720_000)).expect("memory").expect("said");
    let sent = sent_to(to, &ada.settle());
    assert!(!sent.is_empty(), "there is a session");
    (sent, line)
}

/// What goes to somebody's device.
fn sent_to(to: &Ben, frames: &[ToRelay]) -> Vec<EnvelopeId> {
    let device = to.sessions.identity().device();
    let sent = frames.iter().filter_map(|frame| match frame {
        ToRelay::Send(out) if out.to.iter().any(|head| head.to == device) => Some(out.id),
        _ => None,
    });
    sent.collect()
}

/// What was said goes to somebody at the next connection, and waits for their receipt.
fn assert_kept(ada: &mut Ada, to: &Ben, said: &[(Vec<EnvelopeId>, MessageId)]) {
    let device = to.sessions.identity().device();
    let pending = kept(ada, PENDING);
    ada.cert = None;
    ada.talk.lost(Link::Offline { why: String::new() }, at(740_000));
    ada.settle();
    let sent = sent_to(to, &ada.hears(ToDevice::Welcome(welcome(0)), 741_000));
    for (envelopes, line) in said {
        let again = envelopes.iter().all(|envelope| sent.contains(envelope));
        assert!(again, "{envelopes:?} is not among {sent:?}");
        let key = [line.0, device.0].concat();
        assert!(pending.iter().any(|(of, _)| *of == key), "{line:?} waits for no receipt");
    }
}

#[test]
fn who_listed_somebodys_device_and_left_it_out_again_took_away_what_waited_for_it() {
    let (mut ada, mut ben, mut eve) = (Ada::online(), Ben::new(2), Ben::new(3));
    club(&mut ada, &mut ben);
    let room = ada.room();
    let word = ben.writes(&mut ada, "hello");
    ada.hears(word, 690_000);
    let word = named(eve.writes(&mut ada, "hello"), "eve");
    ada.hears(word, 700_000);
    ada.accepts(700_000);
    let versions = lists(&mut ada, "eve", &eve, &ben);
    let alone = ada.talk.chat.with(&name("ben")).expect("known").id;
    let said = [alone, room].map(|room| says_to(&mut ada, room, &ben));
    ada.talk.devices(&name("eve"), &versions, &[], at(730_000)).expect("memory");
    ada.settle();
    let eves = ada.talk.chat.with(&name("eve")).expect("known").id;
    assert_eq!(ada.talk.devices_of(eves), [eve.sessions.identity().peer()]);
    assert_kept(&mut ada, &ben, &said);
}

#[test]
fn when_a_stranger_was_declined_what_waited_for_a_friend_went_whose_device_they_listed() {
    let (mut ada, mut ben, mut eve) = (Ada::online(), Ben::new(2), Ben::new(3));
    ben.comes_in(&mut ada);
    let word = named(eve.writes(&mut ada, "hello"), "eve");
    ada.hears(word, 700_000);
    lists(&mut ada, "eve", &eve, &ben);
    let alone = ada.talk.chat.with(&name("ben")).expect("known").id;
    let said = says_to(&mut ada, alone, &ben);
    let eves = ada.talk.chat.with(&name("eve")).expect("waits").id;
    assert!(ada.talk.decline_request(eves, at(730_000)).expect("memory"));
    ada.settle();
    assert_kept(&mut ada, &ben, &[said]);
}

#[test]
fn when_a_member_was_kicked_what_waited_for_another_went_whose_device_they_listed() {
    let (mut ada, mut ben, eve) = (Ada::online(), Ben::new(2), Ben::new(3));
    let mut log = club(&mut ada, &mut ben);
    let root = eve.sessions.identity().peer().identity;
    lists(&mut ada, "eve", &eve, &ben);
    let does = |ada: &mut Ada, ben: &mut Ben, log: &mut Log, op: Op, ms: u64| {
        let entries = vec![operates(log, ben, op)];
        let entries = about(log, RoomTalk::Entries { entries, keys: None });
        let entries = ben.says(ada, &entries);
        ada.hears(entries, ms);
        assert_eq!(height(ada), log.height());
    };
    does(&mut ada, &mut ben, &mut log, Op::Add { account: name("eve"), root, door: None }, 700_000);
    let room = ada.room();
    let said = says_to(&mut ada, room, &ben);
    does(&mut ada, &mut ben, &mut log, Op::Remove { account: name("eve") }, 730_000);
    assert_kept(&mut ada, &ben, &[said]);
}
