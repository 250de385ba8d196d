//! Logs of rooms that somebody made up, that come in parts, or late.

use super::*;
use crate::chat::groups::Group;
use subrosa_shared::content::rooms::{AboutRoom, Invite, Keys, RoomTalk};
use subrosa_shared::protocol::devices::{DeviceList, Version};
use subrosa_shared::protocol::frame::{Ask, Refusal};
use subrosa_shared::session::roomlog::{Entry, Log, Op, Policy, Role};

/// A room of Ben's.
fn founded(ben: &Ben) -> Log {
    another(ben, 1)
}

fn another(ben: &Ben, nonce: u8) -> Log {
    let identity = ben.sessions.identity();
    let (root, policy) = (identity.peer().identity, Policy::default());
    let founded = Log::found(&name("ben"), &root, "club", policy, [nonce; 16], identity, at(0).wall);
    founded.expect("a name").1
}

/// A change that is said to be Ben's.
fn does(log: &mut Log, device: &Ben, op: Op) {
    let entry = log.draft(&name("ben"), op, device.sessions.identity(), at(0).wall).expect("may");
    log.apply(&entry, &|_, _, _| true).expect("follows");
}

fn brings(ada: &Ada) -> Op {
    Op::Add { account: name("ada"), root: ada.talk.chat.identity, door: None }
}

fn topic(text: &str) -> Op {
    Op::Topic(text.into())
}

fn about(log: &Log, talk: RoomTalk) -> Content {
    Content::Room(AboutRoom { room: log.tag(), talk })
}

fn encoded(log: &Log, from: u64) -> Vec<Vec<u8>> {
    log.entries(from).iter().map(Entry::encode).collect()
}

/// With so many entries of the log.
fn invitation(log: &Log, count: usize) -> Content {
    let keys = Some(Keys { handle: [1; 16], secret: [2; 32] });
    let entries = encoded(log, 0).into_iter().take(count).collect();
    let (name, head, height) = ("club".into(), log.head(), log.height());
    about(log, RoomTalk::Invite(Invite { name, people: 2, head, height, entries, keys }))
}

fn says(ada: &mut Ada, ben: &mut Ben, content: &Content) -> Vec<ToRelay> {
    let said = ben.says(ada, content);
    ada.hears(said, 20)
}

fn invites(ada: &mut Ada, ben: &mut Ben, log: &Log) -> Vec<ToRelay> {
    says(ada, ben, &invitation(log, usize::MAX))
}

fn id(log: &Log) -> RoomId {
    RoomId(log.tag().0)
}

fn group<'a>(ada: &'a Ada, log: &Log) -> &'a Group {
    ada.talk.chat.group(id(log)).expect("the room is there")
}

/// Whether Ada is in by her log, and its height and head.
fn stands(ada: &Ada, log: &Log) -> (bool, u64, [u8; 32]) {
    let group = group(ada, log);
    (group.is_open(), group.log.height(), group.log.head())
}

fn alarms(ada: &Ada, log: &Log) -> usize {
    let room = ada.talk.chat.room(id(log)).expect("the room is there");
    room.timeline.lines().filter(|(_, line)| line.author == Author::Alarm).count()
}

/// The question about Ben's devices among what went out.
fn asked(frames: &[ToRelay]) -> Ask {
    let ask = frames.iter().rev().find_map(|frame| match frame {
        ToRelay::Devices { ask, name, .. } if name.as_str() == "ben" => Some(*ask),
        _ => None,
    });
    ask.expect("it is asked which devices he has")
}

#[test]
fn a_member_brought_somebody_back_into_a_room_who_had_left_and_shut_it_for_ever() {
    let (mut ada, mut ben, mallory) = (Ada::online(), Ben::new(2), Ben::new(3));
    let mut log = founded(&ben);
    let back = brings(&ada);
    does(&mut log, &ben, back.clone());
    invites(&mut ada, &mut ben, &log);
    ada.accepts(20);
    does(&mut log, &ben, Op::Remove { account: name("ada") });
    let out = about(&log, RoomTalk::Entries { entries: encoded(&log, 2), keys: None });
    says(&mut ada, &mut ben, &out);
    assert!(!group(&ada, &log).is_open());
    let mut made_up = log.clone();
    does(&mut made_up, &mallory, back.clone());
    invites(&mut ada, &mut ben, &made_up);
    assert_eq!(stands(&ada, &log), (false, log.height(), log.head()));
    does(&mut log, &ben, topic("tea"));
    does(&mut log, &ben, back);
    invites(&mut ada, &mut ben, &log);
    assert_eq!(stands(&ada, &log), (true, log.height(), log.head()));
    assert_eq!(alarms(&ada, &log), 0);
}

#[test]
fn an_invitation_that_somebody_made_up_kept_the_true_one_away_for_ever() {
    for declines in [false, true] {
        let (mut ada, mut ben, mallory) = (Ada::online(), Ben::new(2), Ben::new(3));
        let mut log = founded(&ben);
        let mut made_up = log.clone();
        does(&mut made_up, &mallory, topic("mine"));
        does(&mut made_up, &mallory, brings(&ada));
        invites(&mut ada, &mut ben, &made_up);
        assert_eq!((stands(&ada, &log), alarms(&ada, &log)), ((false, 0, log.head()), 1));
        if declines {
            assert!(ada.talk.decline_request(id(&log), at(30)).expect("memory"));
            ada.settle();
        }
        does(&mut log, &ben, brings(&ada));
        invites(&mut ada, &mut ben, &log);
        assert_eq!(stands(&ada, &log), (true, log.height(), log.head()), "{declines}");
    }
}

#[test]
fn what_came_after_an_invitation_was_made_up_stands_on_no_disk() {
    let (mut ada, mut ben, mallory) = (Ada::online(), Ben::new(2), Ben::new(3));
    let mut log = founded(&ben);
    does(&mut log, &ben, brings(&ada));
    let mut made_up = log.clone();
    let root = mallory.sessions.identity().peer().identity;
    does(&mut made_up, &mallory, Op::Add { account: name("mallory"), root, door: None });
    invites(&mut ada, &mut ben, &made_up);
    ada.accepts(20);
    assert_eq!(stands(&ada, &log), (true, log.height(), log.head()), "she is in, and who made it up is not");
    let logs = ada.talk.store().records.scan(crate::chat::groups::LOGS, &[], &[], Order::Forward, 99);
    assert_eq!(logs.expect("memory").len(), 2);
}

/// A log of which a laptop of Ben's signed the end, and the two versions of his list of devices.
fn with_laptop(ada: &Ada, ben: &Ben) -> (Log, Vec<Version>) {
    let laptop = Ben::new(4);
    let first = ben.sessions.identity().begins(&name("ben"));
    let list = DeviceList::begin(&first).expect("signed");
    let second = ben.sessions.identity().adds(&list, &laptop.sessions.identity().cert()).expect("signed");
    let mut log = founded(ben);
    does(&mut log, &laptop, topic("from my lap"));
    does(&mut log, &laptop, brings(ada));
    (log, vec![first, second])
}

fn devices(ask: Ask, versions: Vec<Version>, certs: Vec<Cert>) -> ToDevice {
    ToDevice::Devices { ask, name: name("ben"), versions, certs }
}

/// Ada is invited into a room of which she knows no device of who signed its end, and asks the relay.
fn asks_about_laptop() -> (Ada, Ben, Log, Vec<Version>, Ask) {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    let (log, versions) = with_laptop(&ada, &ben);
    let invitation = ben.says(&mut ada, &invitation(&log, usize::MAX));
    ada.cert = None;
    let ask = asked(&ada.hears(invitation, 20));
    (ada, ben, log, versions, ask)
}

#[test]
fn a_device_that_nobody_could_be_asked_about_yet_signed_nothing_false() {
    let (mut ada, _, log, versions, ask) = asks_about_laptop();
    let all = (true, log.height(), log.head());
    assert_eq!((stands(&ada, &log), alarms(&ada, &log)), (all, 0), "the relay is slow");
    ada.hears(devices(ask, versions, vec![]), 30);
    assert_eq!((stands(&ada, &log), alarms(&ada, &log)), (all, 0));
}

#[test]
fn a_change_was_cut_off_that_a_device_stands_behind_which_the_relay_shows() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    // The relay was set back to before he had a laptop.
    let (mut log, _) = with_laptop(&ada, &ben);
    does(&mut log, &ben, topic("from my desk"));
    invites(&mut ada, &mut ben, &log);
    assert_eq!((stands(&ada, &log), alarms(&ada, &log)), ((true, log.height(), log.head()), 0));
}

#[test]
fn a_question_about_devices_that_came_too_often_was_asked_at_the_speed_of_the_network_or_never() {
    let (mut ada, mut ben, log, versions, ask) = asks_about_laptop();
    let refused = ToDevice::Refused { ask: Some(ask), why: Refusal::RateLimited { retry_ms: 60_000 } };
    let asks = |frames: &[ToRelay]| frames.iter().any(|frame| matches!(frame, ToRelay::Devices { .. }));
    assert!(!asks(&ada.hears(refused, 30)));
    // Another invitation that needs the same.
    let mut other = another(&ben, 2);
    does(&mut other, &Ben::new(4), brings(&ada));
    assert!(!asks(&invites(&mut ada, &mut ben, &other)));
    ada.cert = None;
    let mut frames = Vec::new();
    while let Some(due) = ada.talk.next_wake().filter(|due| due.0 <= 61_000) {
        assert!(!asks(&frames));
        frames = ada.wakes(due.0);
    }
    let ask = asked(&frames);
    ada.hears(devices(ask, versions, vec![]), 60_040);
    assert_eq!((stands(&ada, &log), alarms(&ada, &log)), ((true, log.height(), log.head()), 0));
}

#[test]
fn a_room_that_was_changed_by_somebody_whose_account_is_gone_let_nobody_back_in() {
    let (mut ada, mut ben, cy) = (Ada::online(), Ben::new(2), Ben::new(3));
    let mut log = founded(&ben);
    let (back, root) = (brings(&ada), cy.sessions.identity().peer().identity);
    does(&mut log, &ben, back.clone());
    invites(&mut ada, &mut ben, &log);
    ada.accepts(20);
    does(&mut log, &ben, Op::Remove { account: name("ada") });
    let out = about(&log, RoomTalk::Entries { entries: encoded(&log, 2), keys: None });
    says(&mut ada, &mut ben, &out);
    does(&mut log, &ben, Op::Add { account: name("cy"), root, door: None });
    does(&mut log, &ben, Op::Role { account: name("cy"), role: Role::Moderator });
    let by_cy = |log: &mut Log, op: Op| {
        let entry = log.draft(&name("cy"), op, cy.sessions.identity(), at(0).wall).expect("may");
        log.apply(&entry, &|_, _, _| true).expect("follows");
    };
    let mut made_up = log.clone();
    by_cy(&mut made_up, back.clone());
    by_cy(&mut log, topic("tea"));
    does(&mut log, &ben, back);
    // Nobody is in by the word of who is gone.
    for (log, open) in [(&made_up, false), (&log, true)] {
        let invitation = ben.says(&mut ada, &invitation(log, usize::MAX));
        ada.cert = None;
        let mut frames = ada.hears(invitation, 30);
        for _ in 0..4 {
            let mut answers = Vec::new();
            for frame in &frames {
                let ToRelay::Devices { ask, name: who, .. } = frame else { continue };
                answers.push(match who.as_str() {
                    "ben" => devices(*ask, vec![], vec![ben.sessions.identity().cert()]),
                    _ => ToDevice::Refused { ask: Some(*ask), why: Refusal::UnknownAccount },
                });
            }
            frames = answers.into_iter().flat_map(|answer| ada.hears(answer, 40)).collect();
        }
        assert_eq!(group(&ada, log).is_open(), open);
    }
    assert_eq!((stands(&ada, &log), alarms(&ada, &log)), ((true, log.height(), log.head()), 0));
}

#[test]
fn what_a_relay_hid_of_somebodys_devices_is_taken_once_it_shows_them() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    let (log, versions) = with_laptop(&ada, &ben);
    invites(&mut ada, &mut ben, &log);
    assert_eq!((stands(&ada, &log).0, alarms(&ada, &log)), (false, 1), "he has one device, says the relay");
    let rest = about(&log, RoomTalk::Entries { entries: encoded(&log, 1), keys: None });
    says(&mut ada, &mut ben, &rest);
    assert_eq!(
        (stands(&ada, &log).0, alarms(&ada, &log)),
        (false, 1),
        "it is asked again, and says the same"
    );
    let rest = ben.says(&mut ada, &rest);
    ada.cert = None;
    let ask = asked(&ada.hears(rest, 30));
    assert!(!stands(&ada, &log).0);
    ada.hears(devices(ask, versions, vec![]), 40);
    assert_eq!((stands(&ada, &log), alarms(&ada, &log)), ((true, log.height(), log.head()), 1));
}

#[test]
fn a_declined_invitation_into_a_room_with_a_long_log_came_again_each_time_it_was_sent() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let mut log = founded(&ben);
    does(&mut log, &ben, topic("tea"));
    does(&mut log, &ben, brings(&ada));
    let beginning = invitation(&log, 2);
    says(&mut ada, &mut ben, &beginning);
    assert!(ada.talk.decline_request(id(&log), at(30)).expect("memory"));
    ada.settle();
    says(&mut ada, &mut ben, &beginning);
    assert!(ada.talk.chat.rooms.is_empty(), "the same one");
    // Another one may be meant.
    does(&mut log, &ben, topic("cake"));
    says(&mut ada, &mut ben, &invitation(&log, 2));
    assert_eq!(ada.talk.chat.rooms.len(), 1);
}

#[test]
fn an_own_change_that_was_heard_of_late_brought_older_keys_back() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let mut log = founded(&ben);
    does(&mut log, &ben, brings(&ada));
    invites(&mut ada, &mut ben, &log);
    let room = id(&log);
    ada.talk.accept(room, at(20)).expect("memory");
    let mut frames = ada.settle();
    ada.talk.operate(room, Op::Renew, at(30)).expect("may");
    frames.extend(ada.settle());
    let mut own = None;
    for frame in frames {
        let ToRelay::Send(out) = frame else { continue };
        for head in out.to {
            let opened = ben.sessions.open(&head.bytes, at(30), &mut Batch::default()).expect("for him");
            let content = wrapped::unwrap_all(&opened.content, &out.body).content.expect("reads");
            if out.moves.is_some()
                && let Content::InRoom(said) = content
                && let Ok(Content::Room(AboutRoom { talk: RoomTalk::Entries { entries, .. }, .. })) =
                    said.open()
            {
                own = Some((out.id, entries));
            }
        }
    }
    let (envelope, entries) = own.expect("it is proposed");
    // He has it, and goes on, before she hears that it was taken.
    for entry in entries {
        log.apply(&Entry::decode(&entry).expect("an entry"), &|_, _, _| true).expect("follows");
    }
    does(&mut log, &ben, Op::Renew);
    let keys = Some(Keys { handle: [1; 16], secret: [9; 32] });
    let both = about(&log, RoomTalk::Entries { entries: encoded(&log, 2), keys });
    says(&mut ada, &mut ben, &both);
    let newest = group(&ada, &log).print_of_keys();
    ada.hears(ToDevice::Accepted(envelope), 50);
    assert_eq!(group(&ada, &log).print_of_keys(), newest);
    assert_eq!((stands(&ada, &log), group(&ada, &log).pending()), ((true, log.height(), log.head()), 0));
}

#[test]
fn two_rooms_with_what_a_relay_that_was_set_back_forgot_asked_it_at_the_speed_of_the_network() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    ada.talk.rewound = Some(Millis(600_000));
    let (first, versions) = with_laptop(&ada, &ben);
    let mut second = another(&ben, 2);
    does(&mut second, &Ben::new(4), brings(&ada));
    let mut questions = 0;
    for log in [&first, &second] {
        let frames = invites(&mut ada, &mut ben, log);
        questions += frames.iter().filter(|frame| matches!(frame, ToRelay::Devices { .. })).count();
    }
    assert!((1..=4).contains(&questions), "{questions}");
    assert_eq!((alarms(&ada, &first), alarms(&ada, &second)), (0, 0), "his laptop may be back soon");
    // It is asked again in a while, and the laptop is back.
    ada.cert = None;
    let mut frames = Vec::new();
    while let Some(due) = ada.talk.next_wake().filter(|due| due.0 <= 61_000) {
        frames.extend(ada.wakes(due.0));
    }
    let ask = asked(&frames);
    ada.hears(devices(ask, versions, vec![]), 61_000);
    for log in [&first, &second] {
        assert_eq!((stands(&ada, log), alarms(&ada, log)), ((true, log.height(), log.head()), 0));
    }
}
