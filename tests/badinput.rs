//! Bad input from people, relays, networks, disks and clocks: a sentence or a counted drop, nothing
//! lost.

use rand_core::OsRng;
use std::sync::{Arc, Mutex};
use subrosa::app::{App, Parts};
use subrosa::chat::Link;
use subrosa::chat::talk::Account;
use subrosa::chat::timeline::{Author, LineState};
use subrosa::config::Config;
use subrosa::effect::{Effect, Happened};
use subrosa::event::{Event, LinkEvent};
use subrosa::runtime::{Next, Runtime};
use subrosa::start;
use subrosa::term::Caps;
use subrosa::ui::command::Command;
use subrosa::ui::setup::RelayChoice;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay};
use subrosa_shared::protocol::invite::Invite;
use subrosa_shared::protocol::link::RelayLink;
use subrosa_shared::session::Identity;
use subrosa_shared::session::vault::Cost;
use subrosa_shared::store::memory::{Memory, MemorySlots, Rule, Ruled};
use subrosa_shared::store::profile::{Presence, Profile};
use subrosa_shared::store::{Error, Store, Write};
use subrosa_shared::time::{Millis, Now};
use subrosa_tests::real::PATIENCE;
use subrosa_tests::{Mischief, Seen, World};
use zeroize::Zeroizing;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("a valid name")
}

/// Sentences that the person was told since the last call.
fn notices(world: &mut World, who: &str) -> Vec<String> {
    let text = |told| match told {
        Happened::Notice { text, .. } => Some(text),
        Happened::Link { online: false, why } => Some(why),
        _ => None,
    };
    world.told(who).into_iter().filter_map(text).collect()
}

fn alarms(world: &mut World, who: &str, with: &str) -> Vec<String> {
    let lines = world.lines(who, with);
    lines.into_iter().filter(|line| line.author == Author::Alarm).map(|line| line.body).collect()
}

/// The whole screen without its line breaks, so that a sentence is found however it is wrapped.
fn shown(world: &mut World, who: &str) -> String {
    let screen = world.screen(who, 160, 40);
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn said(sentences: &[String], word: &str) -> bool {
    sentences.iter().any(|sentence| sentence.contains(word))
}

fn envelopes(seen: &[Seen], who: &str) -> usize {
    let from = |seen: &&Seen| matches!(seen, Seen::From(name, ToRelay::Send(_)) if name == who);
    seen.iter().filter(from).count()
}

// ---- profiles

#[tokio::test]
async fn a_wrong_passphrase_says_so_and_the_right_one_still_opens() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(Profile::create(dir.path(), "a good passphrase", Cost::TINY, &mut OsRng).expect("made"));
    let wrong = start::open(dir.path(), Zeroizing::new("another one".into()), None).await;
    assert_eq!(wrong.err().as_deref(), Some(start::WRONG_PASSPHRASE));
    assert!(Profile::open(dir.path(), "a good passphrase").is_ok());
}

#[tokio::test]
async fn a_folder_of_something_else_is_named_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("novel.txt"), "chapter one").expect("written");
    let why = start::look(dir.path()).expect_err("it is no profile");
    assert!(why.contains("novel.txt") && why.contains("--profile"), "{why}");
    let link = "subrosa://127.0.0.1:1/#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let relay = RelayChoice::Link(link.parse().expect("a link"));
    let made =
        start::create(dir.path(), name("ada"), Zeroizing::new("a good passphrase".into()), relay).await;
    let why = made.err().expect("nothing is made among other things");
    assert!(why.contains("Nothing was touched"), "{why}");
    let names: Vec<_> = std::fs::read_dir(dir.path()).expect("there").collect();
    assert_eq!(names.len(), 1, "nothing was added");
}

#[tokio::test]
async fn a_profile_that_is_open_elsewhere_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let held = Profile::create(dir.path(), "a good passphrase", Cost::TINY, &mut OsRng).expect("made");
    let why = start::open(dir.path(), Zeroizing::new("a good passphrase".into()), None)
        .await
        .err()
        .expect("locked");
    assert!(why.contains("another subrosa") && why.contains("--profile"), "{why}");
    drop(held);
    assert!(matches!(start::look(dir.path()), Ok(Presence::Present)));
}

#[tokio::test]
async fn a_damaged_profile_says_what_is_broken_and_is_left_as_it_is() {
    for part in ["ratchet", "vault"] {
        let dir = tempfile::tempdir().expect("a folder");
        drop(Profile::create(dir.path(), "a good passphrase", Cost::TINY, &mut OsRng).expect("made"));
        let path = dir.path().join(part);
        let mut bytes = std::fs::read(&path).expect("there");
        bytes.truncate(100);
        std::fs::write(&path, &bytes).expect("cut");
        let opened = start::open(dir.path(), Zeroizing::new("a good passphrase".into()), None).await;
        let why = opened.err().expect("it is damaged");
        assert!(why.contains("damaged") && why.contains("restore"), "{part}: {why}");
        assert_eq!(std::fs::read(&path).expect("there"), bytes, "{part} was touched");
    }
}

// ---- names and clocks

#[test]
fn a_taken_name_is_said_and_another_one_works() {
    let mut world = World::with(1, &["ada", "ben"]);
    // Another machine, another key, the same name.
    world.joins_as("other", "ben");
    world.settle();
    let told = notices(&mut world, "other");
    assert!(said(&told, "belongs to somebody else") && said(&told, "/name"), "{told:?}");
    assert!(matches!(world.app("other").chat().link, Link::Refused { .. }));
    assert!(shown(&mut world, "other").contains("/name"));
    world.types("other", "/name benjamin\n");
    world.passes(3_000);
    assert_eq!(world.app("other").chat().link, Link::Online);
    world.says("other", "ada", "it is me");
    world.settle();
    assert_eq!(world.timeline("ada", "benjamin"), ["it is me"]);
    // The first one is as before.
    world.says("ada", "ben", "still you?");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["still you?"]);
}

#[test]
fn a_clock_that_is_far_off_is_said_once_a_login() {
    let mut world = World::with(2, &["ada", "ben"]);
    assert!(!said(&notices(&mut world, "ada"), "clock"));
    world.clock_off("ada", -3 * 60 * 60 * 1000);
    world.cut("ada");
    world.passes(3_000);
    let told = notices(&mut world, "ada");
    assert!(said(&told, "clock") && said(&told, "180 minutes"), "{told:?}");
    assert!(shown(&mut world, "ada").contains("180 minutes"));
    world.says("ada", "ben", "what time is it?");
    world.settle();
    assert_eq!(world.timeline("ben", "ada"), ["what time is it?"]);
}

#[test]
fn clocks_that_jump_lose_nothing() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let mut world = World::with(3, &["ada", "ben"]);
    let mut want = Vec::new();
    for (i, off) in [0, DAY, -DAY, 400 * DAY, -400 * DAY, i64::MIN / 4, 0].into_iter().enumerate() {
        world.clock_off("ada", off);
        for (from, to) in [("ada", "ben"), ("ben", "ada"), ("ada", "ben")] {
            let text = format!("{from} {i} {}", want.len());
            world.says(from, to, &text);
            want.push(text);
            world.passes(2_000);
        }
    }
    world.passes(60_000);
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        let mut got = world.timeline(who, with);
        got.sort();
        let mut want = want.clone();
        want.sort();
        assert_eq!(got, want, "{who}");
        let marks = world.marks(who, with);
        assert!(marks.iter().all(|mark| *mark >= LineState::Delivered), "{who}: {marks:?}");
    }
}

// ---- disks

#[test]
fn a_full_disk_stops_sending_and_loses_nothing() {
    let mut world = World::with(4, &["ada", "ben"]);
    world.says("ada", "ben", "before");
    world.says("ben", "ada", "answer");
    world.settle();
    world.disk_fills("ada");
    world.seen();
    world.says("ada", "ben", "one");
    world.says("ben", "ada", "meanwhile");
    world.says("ada", "ben", "two");
    world.passes(5_000);
    assert!(shown(&mut world, "ada").contains("NOTHING IS SENT"));
    assert!(shown(&mut world, "ada").contains("the disk is full"));
    assert_eq!(envelopes(&world.seen(), "ada"), 0, "nothing leaves before it is on disk");
    let there = world.timeline("ben", "ada");
    assert!(
        there.len() == 3 && !there.iter().any(|line| ["one", "two"].contains(&line.as_str())),
        "{there:?}"
    );
    world.disk_empties("ada");
    world.passes(5_000);
    assert!(!shown(&mut world, "ada").contains("NOTHING IS SENT"));
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        let mut lines = world.timeline(who, with);
        lines.sort();
        assert_eq!(lines, ["answer", "before", "meanwhile", "one", "two"], "{who}");
        assert!(world.marks(who, with).iter().all(|mark| *mark >= LineState::Delivered), "{who}");
    }
}

/// A disk on which every write is a bug of ours.
#[derive(Default)]
struct Cursed;

impl Rule for Cursed {
    fn commit(&self, _: &Memory, _: &[Write]) -> Result<(), Error> {
        panic!("as the story wants it")
    }
}

/// Ada's profile on that disk.
fn parts(store: Store, relay: &RelayLink) -> Parts {
    let config = Config::default();
    let account = Account {
        name: name("ada"),
        relay: relay.to_string(),
        hosting: false,
        header: None,
        search: Default::default(),
    };
    Parts {
        account,
        identity: Identity::generate(&mut OsRng),
        store,
        caps: Caps::detect(|_| None, &config),
        config,
        rng: Box::new(OsRng),
        vault: true,
    }
}

#[tokio::test]
async fn a_store_thread_that_failed_was_spoken_of_until_the_next_key() {
    let store =
        Store { records: Arc::new(Ruled::<Cursed>::default()), slots: Arc::new(MemorySlots::default()) };
    let relay = RelayLink { host: "127.0.0.1".into(), port: 1, fingerprint: [7; 32], invite: None };
    let parts = parts(store, &relay);
    let (mut runtime, _) = Runtime::start(parts, relay).expect("an empty profile");
    runtime.step(Event::Run(Command::Add(name("ben"))));
    let told = async {
        while runtime.app().chat().stuck.is_none() {
            if let Next::Event(event) = runtime.next().await {
                runtime.step(event);
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("it is told");
    runtime.step(Event::Paste("typed".into()));
    let why = runtime.app().chat().stuck.as_deref().expect("it is still told");
    assert!(why.contains("leave and start again"), "{why}");
    assert!(!runtime.finish(std::future::pending()).await, "and leaving says that something was not written");
}

#[test]
fn a_client_killed_on_a_full_disk_goes_on_from_what_was_written() {
    let mut world = World::with(5, &["ada", "ben"]);
    world.says("ada", "ben", "before");
    world.says("ben", "ada", "answer");
    world.settle();
    world.disk_fills("ada");
    world.says("ada", "ben", "never written");
    world.says("ben", "ada", "comes again");
    world.passes(2_000);
    world.kill("ada");
    world.disk_empties("ada");
    world.starts("ada");
    world.passes(5_000);
    world.says("ada", "ben", "after");
    world.says("ben", "ada", "after too");
    world.passes(5_000);
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        let mut lines = world.timeline(who, with);
        lines.sort();
        assert_eq!(lines, ["after", "after too", "answer", "before", "comes again"], "{who}");
    }
    assert_eq!(world.app("ada").dropped() + world.app("ben").dropped(), 0);
}

// ---- relays that lie

#[test]
fn forged_envelopes_are_counted_and_the_conversation_heals() {
    let mut world = World::with(6, &["ada", "ben"]);
    world.says("ada", "ben", "before");
    world.says("ben", "ada", "answer");
    world.settle();
    world.mischief = Mischief { flip: 400, ..Mischief::default() };
    for i in 0..40 {
        world.says("ada", "ben", &format!("ada {i}"));
        world.says("ben", "ada", &format!("ben {i}"));
        world.settle();
    }
    world.mischief = Mischief::default();
    let dropped = world.app("ada").dropped() + world.app("ben").dropped();
    assert!(dropped >= 10, "only {dropped} were counted");
    // What was forged is lost to the relay; a word after it shows what was ever said, and no more. After
    // that many forgeries answers to unreadable sessions are two minutes apart.
    world.says("ada", "ben", "after");
    world.says("ben", "ada", "after");
    world.passes(180_000);
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        let lines = world.timeline(who, with);
        let known = |line: &String| {
            let number = |who: &str| {
                let rest = line.strip_prefix(who).and_then(|rest| rest.strip_prefix(' '));
                rest.is_some_and(|rest| rest.parse::<u32>().is_ok_and(|i| i < 40))
            };
            ["before", "answer", "after"].contains(&line.as_str()) || number("ada") || number("ben")
        };
        assert!(lines.iter().all(known), "{who} saw something nobody wrote: {lines:?}");
        let mut once = lines.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len() + 1, lines.len(), "only 'after' was said twice: {lines:?}");
        assert_eq!(lines.iter().filter(|line| *line == "after").count(), 2, "{who}: {lines:?}");
    }
    world.commands("ada", Command::Add(name("ben")));
    assert!(shown(&mut world, "ada").contains("after"));
}

#[test]
fn replayed_first_messages_open_nothing_twice() {
    let mut world = World::with(7, &["ada", "ben"]);
    world.seen();
    world.says("ada", "ben", "hello");
    world.settle();
    world.says("ben", "ada", "hello ada");
    world.settle();
    let firsts: Vec<_> = world
        .seen()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::To(who, ToDevice::Deliver(delivery)) if delivery.head.get(1) == Some(&0) => {
                Some((who, delivery))
            }
            _ => None,
        })
        .collect();
    assert_eq!(firsts.len(), 2, "one each way");
    for round in 0..5 {
        for (who, delivery) in &firsts {
            world.event(who, Event::Link(LinkEvent::Frame(ToDevice::Deliver(delivery.clone()))));
        }
        if round % 2 == 0 {
            world.restarts("ben");
        }
        world.passes(3_000);
    }
    world.says("ada", "ben", "still here");
    world.says("ben", "ada", "me too");
    world.passes(5_000);
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        let mut lines = world.timeline(who, with);
        lines.sort();
        assert_eq!(lines, ["hello", "hello ada", "me too", "still here"], "{who}");
        assert!(world.marks(who, with).iter().all(|mark| *mark >= LineState::Delivered), "{who}");
    }
}

#[test]
fn a_swapped_prekey_bundle_is_an_alarm_and_gets_no_text() {
    let mut world = World::with(8, &["ada", "ben", "eve"]);
    // Eve's own bundle, well signed, in place of Ben's.
    let eves = Arc::new(Mutex::new(None));
    let eve = world.app("eve").device();
    let take = eves.clone();
    world.liar = Some(Box::new(move |_, frame| {
        if let ToDevice::Prekey { device, bundle, .. } = &frame
            && *device == eve
        {
            *take.lock().expect("one thread") = Some(bundle.clone());
        }
        vec![frame]
    }));
    world.says("ben", "eve", "for a bundle");
    world.settle();
    let swapped = eves.lock().expect("one thread").clone().expect("a bundle of eve's");
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Prekey { ask, device, .. } if who == "ada" => {
            vec![ToDevice::Prekey { ask, device, bundle: swapped.clone() }]
        }
        frame => vec![frame],
    }));
    world.seen();
    world.says("ada", "ben", "for ben only");
    world.passes(2_000);
    let told = alarms(&mut world, "ada", "ben");
    assert!(said(&told, "a key for ben that is not theirs"), "{told:?}");
    assert_eq!(envelopes(&world.seen(), "ada"), 0, "nothing is sent with it");
    assert_eq!(world.marks("ada", "ben"), [LineState::Sending]);
    assert!(world.app("ada").dropped() > 0);
    world.liar = None;
    world.passes(60_000);
    assert_eq!(world.timeline("ben", "ada"), ["for ben only"]);
    assert_eq!(world.marks("ada", "ben"), [LineState::Delivered]);
}

#[test]
fn a_bundle_with_any_flipped_bit_gets_no_text() {
    for bit in [0, 130, 999, 2_000, 5_000, 9_000, 10_200] {
        let mut world = World::with(9, &["ada", "ben"]);
        world.liar = Some(Box::new(move |_, frame| match frame {
            ToDevice::Prekey { ask, device, mut bundle } => {
                let at = bit % (bundle.len() * 8);
                bundle[at / 8] ^= 1 << (at % 8);
                vec![ToDevice::Prekey { ask, device, bundle }]
            }
            frame => vec![frame],
        }));
        world.seen();
        world.says("ada", "ben", "hello");
        world.passes(2_000);
        assert_eq!(envelopes(&world.seen(), "ada"), 0, "bit {bit}");
        assert_eq!(alarms(&mut world, "ada", "ben").len(), 1, "bit {bit}");
        world.liar = None;
        world.passes(60_000);
        assert_eq!(world.timeline("ben", "ada"), ["hello"], "bit {bit}");
    }
}

#[test]
fn a_relay_that_delivers_in_somebody_elses_name_is_shown_and_the_message_dropped() {
    let mut world = World::with(10, &["ada", "ben", "eve"]);
    world.says("ada", "ben", "hello ben");
    world.says("ben", "ada", "hello ada");
    world.settle();
    // The relay says that what Eve sends is from Ben.
    let ben = name("ben");
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Deliver(mut delivery) if who == "ada" && delivery.name.as_str() == "eve" => {
            delivery.name = ben.clone();
            vec![ToDevice::Deliver(delivery)]
        }
        frame => vec![frame],
    }));
    world.says("eve", "ada", "send it to me");
    world.settle();
    let told = alarms(&mut world, "ada", "ben");
    assert!(said(&told, "from a device that is not in their list"), "{told:?}");
    assert!(!world.timeline("ada", "ben").contains(&"send it to me".to_string()));
    world.says("ada", "ben", "a secret");
    world.settle();
    assert!(world.timeline("ben", "ada").contains(&"a secret".to_string()), "his own devices get it");
    assert_eq!(world.timeline("eve", "ada"), ["send it to me"], "and not hers");
}

#[test]
fn a_new_key_is_sent_to_once_it_is_trusted() {
    let mut world = World::with(11, &["ada", "ben"]);
    world.says("ada", "ben", "hello ben");
    world.says("ben", "ada", "hello ada");
    world.settle();
    // Relay and Ben begin anew; Ada keeps what she pinned.
    world.relay_loses_its_disk();
    world.joins("ben");
    world.start_relay();
    world.passes(5_000);
    world.says("ben", "ada", "new machine");
    world.passes(3_000);
    let told = alarms(&mut world, "ada", "ben");
    assert!(said(&told, "ben's key has changed"), "{told:?}");
    world.says("ada", "ben", "is it you?");
    world.passes(60_000);
    assert!(!world.timeline("ben", "ada").contains(&"is it you?".to_string()));
    world.commands("ada", Command::Add(name("ben")));
    world.types("ada", "/trust\n");
    assert!(shown(&mut world, "ada").contains("Accept it?"));
    world.types("ada", "y");
    world.passes(5_000);
    assert!(world.timeline("ben", "ada").contains(&"is it you?".to_string()));
    assert!(!shown(&mut world, "ada").contains("KEY CHANGED"));
    world.says("ben", "ada", "it is");
    world.passes(3_000);
    assert_eq!(world.timeline("ada", "ben").last().map(String::as_str), Some("it is"));
    assert!(world.marks("ada", "ben").iter().all(|mark| *mark >= LineState::Delivered));
}

#[test]
fn a_relay_that_answers_about_somebody_else_pins_nothing() {
    let mut world = World::with(12, &["ada", "ben"]);
    world.liar = Some(Box::new(|_, frame| match frame {
        ToDevice::Devices { ask, name, mut versions, certs } => {
            versions[0].signature[7] ^= 1;
            vec![ToDevice::Devices { ask, name, versions, certs }]
        }
        frame => vec![frame],
    }));
    world.seen();
    world.says("ada", "ben", "hello");
    world.passes(2_000);
    let told = notices(&mut world, "ada");
    assert!(said(&told, "is not signed as it must be"), "{told:?}");
    assert_eq!(envelopes(&world.seen(), "ada"), 0);
    world.liar = None;
    world.types("ada", "/retry\n");
    world.passes(3_000);
    assert_eq!(world.timeline("ben", "ada"), ["hello"]);
}

#[test]
fn refusals_of_a_relay_are_sentences_with_a_next_step() {
    for (why, words) in [
        (Refusal::RegistrationClosed, "takes no new accounts"),
        (Refusal::InviteNeeded, "open registration for a moment"),
        (Refusal::Version { spoken: 9 }, "version 9"),
        (Refusal::BadSignature, "did not accept this device's key"),
        (Refusal::Replaced, "/reconnect"),
        (Refusal::Internal, "relay fault"),
    ] {
        let mut world = World::with(13, &["ada"]);
        world.event("ada", Event::Link(LinkEvent::Frame(ToDevice::Refused { ask: None, why })));
        let told = notices(&mut world, "ada");
        assert!(said(&told, words), "{why:?}: {told:?}");
    }
    let mut world = World::with(14, &["ada"]);
    world.says("ada", "nobody-here", "hello?");
    world.settle();
    world.types("ada", "/add also-nobody\n");
    world.settle();
    let told = notices(&mut world, "ada");
    assert!(said(&told, "nobody is called 'also-nobody'"), "{told:?}");
}

#[test]
fn the_end_of_the_connection_hid_that_the_relay_is_restarting() {
    let mut world = World::with(17, &["ada"]);
    let why = |world: &mut World, event| {
        world.event("ada", Event::Link(event));
        match &world.app("ada").chat().link {
            Link::Offline { why } => why.clone(),
            link => panic!("offline, not {link:?}"),
        }
    };
    let lost = |why: &str| LinkEvent::Lost { why: why.into() };
    let draining = LinkEvent::Frame(ToDevice::Draining { retry_ms: 1_000 });
    assert_eq!(why(&mut world, draining), "the relay is restarting");
    assert_eq!(why(&mut world, lost("the connection ended")), "the relay is restarting");
    assert_eq!(why(&mut world, lost("no answer")), "no answer", "and then it is what it is");
}

#[test]
fn the_invitation_that_opened_the_account_was_handed_on_with_the_relays_link() {
    let store = Store { records: Arc::new(Memory::default()), slots: Arc::new(MemorySlots::default()) };
    let invite = Some(Invite::of([5; 16]));
    let relay = RelayLink { host: "relay.invalid".into(), port: 4433, fingerprint: [7; 32], invite };
    let parts = parts(store, &relay);
    let now = Now { wall: Millis(1_767_225_600_000), mono: Millis(0) };
    let (mut app, _) = App::load(parts, now).expect("an empty profile");
    let copied = app.update(Event::Run(Command::Link), now).into_iter().find_map(|effect| match effect {
        Effect::Copy(text) => Some(text),
        _ => None,
    });
    assert_eq!(copied, Some(RelayLink { invite: None, ..relay }.to_string()));
}

#[test]
fn frames_that_nobody_asked_for_change_nothing() {
    let mut world = World::with(15, &["ada", "ben"]);
    world.says("ada", "ben", "hello");
    world.settle();
    let device = world.app("ben").device();
    use subrosa_shared::id::{EnvelopeId, Seq, TrackId};
    use subrosa_shared::protocol::envelope::Delivery;
    use subrosa_shared::protocol::frame::{Ask, Slot};
    let heads = [vec![], vec![1], vec![1, 0], vec![1, 1], vec![9; 40], vec![1; 8192], vec![0; 30_000]];
    let mut frames: Vec<ToDevice> = heads
        .into_iter()
        .map(|head| {
            ToDevice::Deliver(Delivery {
                seq: Seq(9_999),
                from: device,
                name: name("ben"),
                id: EnvelopeId([3; 16]),
                head,
                body: vec![7; 100],
            })
        })
        .collect();
    frames.extend([
        ToDevice::Done(Ask(77)),
        ToDevice::Accepted(EnvelopeId([1; 16])),
        ToDevice::Rejected { id: EnvelopeId([1; 16]), why: Refusal::MailboxFull, who: vec![] },
        ToDevice::Prekey { ask: Ask(5_000), device, bundle: vec![1; 10] },
        ToDevice::Account { ask: Ask(5_000), name: name("ben"), certs: vec![] },
        ToDevice::Devices { ask: Ask(5_001), name: name("ben"), versions: vec![], certs: vec![] },
        ToDevice::Passed { slot: Slot(3), bytes: vec![1; 64] },
        ToDevice::SlotClosed(Slot(3)),
        ToDevice::Published { ask: Ask(1), track: TrackId(1) },
        ToDevice::Watching { ask: Ask(1), track: TrackId(1) },
        ToDevice::TrackEnded(TrackId(1)),
        ToDevice::KeyframeWanted(TrackId(1)),
        ToDevice::Refused { ask: Some(Ask(9)), why: Refusal::Internal },
        ToDevice::Presence { device: world.app("ada").device(), online: true },
    ]);
    let before = world.lines("ada", "ben");
    for frame in frames {
        world.event("ada", Event::Link(LinkEvent::Frame(frame)));
        world.settle();
    }
    assert_eq!(world.lines("ada", "ben"), before);
    assert_eq!(world.app("ada").dropped(), 7);
    world.says("ben", "ada", "well?");
    world.says("ada", "ben", "well");
    world.settle();
    assert!(world.timeline("ada", "ben").contains(&"well?".to_string()));
    assert!(world.timeline("ben", "ada").contains(&"well".to_string()));
}
