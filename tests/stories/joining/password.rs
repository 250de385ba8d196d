//! Links that ask for a password: right and wrong ones, guesses, who answers, and a relay that lies.

use super::{group, is_in, joins, link, notices, tea, types};
use crossterm::event::{KeyCode, KeyModifiers};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use subrosa::event::{Event, LinkEvent};
use subrosa::ui::command::{self, Command, Secret};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::id::{AccountName, DeviceId};
use subrosa_shared::protocol::door::Knocked;
use subrosa_shared::protocol::frame::{Refusal, ToDevice, ToRelay};
use subrosa_shared::protocol::link::RoomLink;
use subrosa_shared::session::door::{At, Heard, Lock, Secret as LinkSecret, Verdict};
use subrosa_shared::session::roomlog::Op;
use subrosa_shared::session::vault::Cost;
use subrosa_tests::network::Weather;
use subrosa_tests::{Seen, World};
use zeroize::Zeroizing;

const ROSE: &str = "gravel teapot nineteen otter";
const OTHER: &str = "window lantern quiet horse";
const HOUR: u64 = 3_600_000;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn secret(text: &str) -> Secret {
    Secret(Zeroizing::new(text.to_owned()))
}

/// In the room of that name.
fn does(world: &mut World, who: &str, command: RoomCommand) {
    let room = world.app(who).chat().room_named("#tea").expect("their room").id;
    world.commands(who, Command::Room(Some(room), command));
    world.settle();
}

fn locks(world: &mut World, who: &str, password: &str) {
    does(world, who, RoomCommand::SetPassword(secret(password)));
}

/// What somebody is told who tries a password.
fn tries(world: &mut World, who: &str, link: &str, password: &str) -> String {
    world.told(who);
    let join = RoomCommand::Join(secret(link), Some(secret(password)));
    world.commands(who, Command::Room(None, join));
    world.settle();
    notices(world, who)
}

/// The grey lines of the room.
fn lines(world: &mut World, who: &str) -> String {
    world.lines(who, "#tea").into_iter().map(|line| line.body).collect::<Vec<_>>().join("\n")
}

/// A link that asks for [`ROSE`].
fn locked(world: &mut World) -> String {
    let link = link(world, "/room link");
    locks(world, "ada", ROSE);
    link
}

#[test]
fn the_right_password_opens_and_a_wrong_one_is_told_to_both() {
    let mut world = tea(20);
    let link = locked(&mut world);
    assert!(lines(&mut world, "ben").contains("ada set a password"));
    let said = tries(&mut world, "cleo", &link, OTHER);
    assert!(said.contains("not the room's password: 9 guesses are left within the hour"), "{said}");
    for who in ["ada", "ben"] {
        let lines = lines(&mut world, who);
        assert!(
            lines.contains("somebody tried to enter with a wrong password: cleo (1 of 10 this hour)"),
            "{lines}"
        );
    }
    assert!(!is_in(&mut world, "cleo"));
    assert!(tries(&mut world, "cleo", &link, ROSE).contains("let you into #tea"));
    assert!(is_in(&mut world, "cleo"));
    // A right one is no guess.
    assert!(tries(&mut world, "dan", &link, OTHER).contains("8 guesses are left"));
    assert!(
        lines(&mut world, "cleo").contains("wrong password: dan (2 of 10 this hour)"),
        "members all count"
    );
    tries(&mut world, "dan", &link, ROSE);
    let heads: Vec<_> = ["ada", "ben", "cleo", "dan"]
        .map(|who| group(&mut world, who).map(|group| group.log.head()))
        .to_vec();
    assert!(heads[0].is_some() && heads.iter().all(|head| *head == heads[0]), "{heads:?}");
}

#[test]
fn dialogs_ask_for_passwords_without_showing_them() {
    let mut world = tea(21);
    let old = link(&mut world, "/room link");
    types(&mut world, "ada", "/room password");
    world.types("ada", "qwerty12\n");
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("A password for #tea") && screen.contains("too easy to guess"), "{screen}");
    assert!(screen.contains("thief of a member's device") && !screen.contains("qwerty"), "{screen}");
    world.press("ada", KeyCode::Char('u'), KeyModifiers::CONTROL);
    world.types("ada", &format!("{ROSE}\n{OTHER}\n"));
    assert!(world.screen("ada", 100, 30).contains("passwords differ"));
    world.types("ada", &format!("{ROSE}\n"));
    world.settle();
    let now = world.now();
    let room = world.app("ada").chat().room_named("#tea").expect("her room").id;
    let open = world.app("ada").links_into(room, now);
    assert!(open.len() == 1 && open[0].terms.password.is_some(), "{open:?}");
    let new = open[0].link.to_string();
    assert!(new.parse::<RoomLink>().is_ok_and(|link| link.password), "{new}");
    // The link says that there is one.
    types(&mut world, "cleo", &format!("/join {new}"));
    let screen = world.screen("cleo", 100, 30);
    assert!(screen.contains("That room has a password."), "{screen}");
    world.types("cleo", &format!("{OTHER}\n"));
    world.settle();
    world.passes(2_000);
    let screen = world.screen("cleo", 100, 30);
    assert!(screen.contains("9 guesses are left") && !screen.contains("lantern"), "{screen}");
    world.types("cleo", &format!("{ROSE}\n"));
    world.settle();
    assert!(is_in(&mut world, "cleo"));
    // One that was handed out before does not: it is asked for at the door.
    joins(&mut world, "dan", &old);
    assert!(notices(&mut world, "dan").contains("has a password"));
    world.types("dan", &format!("{ROSE}\n"));
    world.settle();
    assert!(is_in(&mut world, "dan"));
}

#[test]
fn the_card_of_a_room_does_by_keys_what_commands_do() {
    let mut world = tea(22);
    link(&mut world, "/room link");
    let press = |world: &mut World, key: char| {
        types(world, "ada", "/room");
        world.types("ada", &key.to_string());
        world.settle();
        let screen = world.screen("ada", 100, 40);
        world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
        screen
    };
    types(&mut world, "ada", "/room");
    let screen = world.screen("ada", 100, 40);
    assert!(screen.contains("Links: one.") && screen.contains("p password"), "{screen}");
    world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
    assert!(press(&mut world, 'l').contains("A link into this room"));
    assert!(press(&mut world, 's').contains("subrosa://relay.invalid"));
    assert!(press(&mut world, 'p').contains("A password for #tea"));
    press(&mut world, 'n');
    let doors = |world: &mut World| group(world, "ada").map(|group| group.log.state().doors.len());
    assert_eq!(doors(&mut world), Some(1), "in the place of both");
    assert!(lines(&mut world, "ben").contains("ada withdrew 2 links"));
    press(&mut world, 'u');
    assert_eq!(doors(&mut world), Some(0));
}

#[test]
fn the_eleventh_guess_within_an_hour_is_refused_at_any_door_and_shown() {
    let mut world = tea(23);
    let first = locked(&mut world);
    let second = link(&mut world, "/room link");
    for n in 1..=10 {
        let said = tries(&mut world, "dan", &first, OTHER);
        let left = ["no guess is left", "one guess is left", "guesses are left"][(10 - n).min(2)];
        assert!(said.contains(left), "{n}: {said}");
        world.press("dan", KeyCode::Esc, KeyModifiers::NONE);
        if n == 5 {
            // Neither end forgets.
            world.restarts("ada");
            world.relay_crashes();
            world.start_relay();
            world.passes(2_000);
            world.settle();
        }
        world.passes(20_000);
    }
    for who in ["ada", "ben"] {
        let lines = lines(&mut world, who);
        assert!(
            lines.contains("dan (10 of 10 this hour: nobody is asked for it within the hour)"),
            "{lines}"
        );
    }
    // The relay counts at a door, members in the room.
    assert!(tries(&mut world, "cleo", &first, ROSE).contains("nobody is let in there for"));
    assert!(tries(&mut world, "cleo", &second, ROSE).contains("too many passwords were tried"));
    assert!(tries(&mut world, "cleo", &second, ROSE).contains("too many passwords were tried"));
    let shown = lines(&mut world, "ben").matches("cleo knocked and was not asked for the password").count();
    assert_eq!(shown, 1, "once an hour");
    assert!(!is_in(&mut world, "cleo"));
    world.passes(HOUR);
    assert!(tries(&mut world, "cleo", &first, ROSE).contains("let you into #tea"));
}

#[test]
fn a_changed_password_opens_in_place_of_the_old_one_and_a_removed_one_is_not_asked_for() {
    let mut world = tea(24);
    let open = link(&mut world, "/room link");
    locks(&mut world, "ada", ROSE);
    let asks = link(&mut world, "/room link");
    locks(&mut world, "ada", OTHER);
    assert!(lines(&mut world, "ben").contains("ada changed the password"));
    assert!(tries(&mut world, "cleo", &asks, ROSE).contains("not the room's password"));
    assert!(
        tries(&mut world, "cleo", &open, OTHER).contains("let you into #tea"),
        "one password is for all links"
    );
    types(&mut world, "ada", "/room password off");
    world.settle();
    assert!(lines(&mut world, "ben").contains("ada took the password away"));
    // Whoever brings one is told: nobody can prove to know it any more.
    assert!(tries(&mut world, "dan", &asks, OTHER).contains("asks for no password any more"));
    assert!(!is_in(&mut world, "dan"));
    world.passes(2_000);
    world.types("dan", "\n");
    world.settle();
    assert!(is_in(&mut world, "dan"), "Enter goes in without one");
    types(&mut world, "ada", "/room password off");
    assert!(world.screen("ada", 120, 30).contains("has no password"));
    // Without a link the password stays for the next one.
    locks(&mut world, "ada", ROSE);
    types(&mut world, "ada", "/room unlink");
    world.settle();
    let next = link(&mut world, "/room link");
    assert!(next.parse::<RoomLink>().is_ok_and(|link| link.password));
}

#[test]
fn a_password_without_a_link_makes_one() {
    let mut world = tea(25);
    locks(&mut world, "ada", ROSE);
    let made = world.copied("ada").pop().expect("it is copied");
    assert!(world.screen("ada", 100, 30).contains("A link into this room"));
    assert!(tries(&mut world, "cleo", &made, ROSE).contains("let you into #tea"));
}

#[test]
fn only_who_may_sets_a_password() {
    let mut world = tea(26);
    locked(&mut world);
    world.told("ben");
    let room = world.app("ben").chat().room_named("#tea").expect("his room").id;
    world.commands("ben", Command::Open(room));
    types(&mut world, "ben", "/room password");
    types(&mut world, "ben", "/room password off");
    locks(&mut world, "ben", OTHER);
    let said = notices(&mut world, "ben");
    assert_eq!(said.matches("only moderators and the owner").count(), 3, "{said}");
    assert!(command::parse(&format!("/room password {ROSE}")).is_err(), "not where everybody sees it");
}

#[test]
fn a_member_who_came_after_it_was_set_answers_and_so_does_a_linked_device() {
    let mut world = tea(27);
    let link = locked(&mut world);
    types(&mut world, "ada", "/invite dan");
    world.settle();
    types(&mut world, "ada", "/role dan moderator");
    world.settle();
    world.kill("ada");
    assert!(tries(&mut world, "cleo", &link, OTHER).contains("9 guesses are left"));
    assert!(tries(&mut world, "cleo", &link, ROSE).contains("dan let you into #tea"));
    // A device that ada linked since, alone.
    world.starts("ada");
    world.settle();
    world.adds_device("ada", "desk");
    world.settle();
    world.joins("eve");
    world.settle();
    for who in ["ada", "dan"] {
        world.kill(who);
    }
    assert!(tries(&mut world, "eve", &link, OTHER).contains("guesses are left"));
    assert!(tries(&mut world, "eve", &link, ROSE).contains("ada let you into #tea"));
}

#[test]
fn a_knock_with_a_password_waits_through_restarts_and_both_sides_are_told() {
    let mut world = tea(28);
    let link = locked(&mut world);
    world.kill("ada");
    let said = tries(&mut world, "cleo", &link, ROSE);
    assert!(said.contains("your knock waits"), "{said}");
    world.relay_crashes();
    world.passes(30 * 60_000);
    world.start_relay();
    world.passes(2_000);
    world.restarts("cleo");
    world.passes(90 * 60_000);
    assert!(!is_in(&mut world, "cleo"));
    world.told("cleo");
    world.starts("ada");
    world.settle();
    assert!(notices(&mut world, "cleo").contains("let you into #tea"));
    for who in ["ada", "ben"] {
        let lines = lines(&mut world, who);
        assert!(lines.contains("cleo waited at the door since 2026-01-01 00:0"), "{lines}");
        assert_eq!(lines.matches("waited at the door").count(), 1, "{lines}");
    }
}

#[test]
fn what_was_being_typed_when_a_knock_was_answered_became_a_guess() {
    let mut world = tea(38);
    let link = locked(&mut world);
    world.kill("ada");
    tries(&mut world, "cleo", &link, OTHER);
    world.types("cleo", "half a th");
    world.seen();
    world.starts("ada");
    world.settle();
    assert!(notices(&mut world, "cleo").contains("/join LINK asks for it again"));
    world.types("cleo", "ought\n");
    world.settle();
    assert_eq!(world.app("cleo").ui().draft(), "half a thought");
    let proofs = world
        .seen()
        .into_iter()
        .filter(|seen| matches!(seen, Seen::From(who, ToRelay::Prove { .. }) if who == "cleo"));
    assert_eq!(proofs.count(), 1);
    // Once nothing is being typed, and a moment later, it is asked for.
    let asks = |world: &mut World| world.screen("cleo", 100, 30).contains("guesses are left within the hour");
    for _ in 0..14 {
        world.press("cleo", KeyCode::Backspace, KeyModifiers::NONE);
    }
    assert!(world.app("cleo").ui().draft().is_empty() && !asks(&mut world));
    world.passes(2_000);
    assert!(asks(&mut world));
    // Not if that is settled meanwhile, as the notice says.
    world.press("cleo", KeyCode::Esc, KeyModifiers::NONE);
    world.kill("ada");
    tries(&mut world, "cleo", &link, OTHER);
    world.types("cleo", "so");
    world.starts("ada");
    world.settle();
    world.press("cleo", KeyCode::Char('u'), KeyModifiers::CONTROL);
    tries(&mut world, "cleo", &link, ROSE);
    world.settle();
    world.passes(3_000);
    assert!(world.app("cleo").ui().is_idle());
}

/// Cleo's guess was wrong, which she has not seen: she is typing.
fn guessed_wrong(seed: u64) -> World {
    let mut world = tea(seed);
    let link = locked(&mut world);
    world.kill("ada");
    tries(&mut world, "cleo", &link, OTHER);
    world.types("cleo", "so");
    world.starts("ada");
    world.settle();
    assert!(notices(&mut world, "cleo").contains("9 guesses are left") && !asked(&mut world));
    world
}

/// Whether Cleo is asked for a password, a moment after she has stopped typing.
fn asked_later(world: &mut World) -> bool {
    world.press("cleo", KeyCode::Char('u'), KeyModifiers::CONTROL);
    world.passes(2_000);
    asked(world)
}

fn asked(world: &mut World) -> bool {
    world.screen("cleo", 100, 30).contains("Come into a room")
}

#[test]
fn a_knock_that_was_answered_between_two_lines_took_the_second_one() {
    let mut world = tea(60);
    let link = locked(&mut world);
    world.kill("ada");
    world.commands("cleo", Command::Add(AccountName::parse("dan").expect("valid")));
    tries(&mut world, "cleo", &link, OTHER);
    world.types("cleo", "so\n");
    world.starts("ada");
    world.passes(1_000);
    assert!(notices(&mut world, "cleo").contains("9 guesses are left"));
    assert!(world.app("cleo").ui().draft().is_empty() && !asked(&mut world));
    world.passes(1_000);
    assert!(asked(&mut world));
}

#[test]
fn a_password_that_was_to_be_asked_for_was_forgotten_when_the_client_ended() {
    let mut world = guessed_wrong(61);
    // Neither seen nor answered.
    for _ in 0..2 {
        world.restarts("cleo");
        world.settle();
        assert!(asked_later(&mut world));
    }
    assert!(world.screen("cleo", 100, 30).contains("that is not the room's password"));
    world.types("cleo", &format!("{ROSE}\n"));
    world.settle();
    assert!(is_in(&mut world, "cleo"));
    world.restarts("cleo");
    world.settle();
    assert!(!asked_later(&mut world));
    // Who does not want to answer is not asked again.
    let mut world = guessed_wrong(62);
    assert!(asked_later(&mut world));
    world.press("cleo", KeyCode::Esc, KeyModifiers::NONE);
    world.restarts("cleo");
    world.settle();
    assert!(!asked_later(&mut world));
}

#[test]
fn a_password_that_came_up_while_a_script_ran_was_never_asked_for() {
    let mut world = tea(64);
    let link = locked(&mut world);
    world.kill("ada");
    tries(&mut world, "cleo", &link, OTHER);
    world.kill("cleo");
    world.starts_unseen("cleo");
    world.starts("ada");
    world.settle();
    assert!(lines(&mut world, "ben").contains("a wrong password"));
    world.restarts("cleo");
    world.settle();
    assert!(asked_later(&mut world));
}

#[test]
fn a_password_was_asked_for_by_who_had_been_invited_meanwhile() {
    let mut world = guessed_wrong(63);
    does(&mut world, "ada", RoomCommand::Invite(AccountName::parse("cleo").expect("valid")));
    world.passes(2_000);
    assert!(is_in(&mut world, "cleo"));
    assert!(!asked_later(&mut world));
    world.restarts("cleo");
    world.settle();
    assert!(!asked_later(&mut world));
}

#[test]
fn a_knock_outlasts_what_the_relay_keeps() {
    let mut world = tea(29);
    let link = locked(&mut world);
    world.kill("ada");
    tries(&mut world, "cleo", &link, ROSE);
    world.passes(50 * HOUR);
    world.starts("ada");
    world.settle();
    assert!(is_in(&mut world, "cleo"));
    assert!(lines(&mut world, "ben").contains("(50 h"));
}

#[test]
fn who_asks_and_goes_counts_a_guess_and_the_knock_goes_on() {
    let mut world = tea(30);
    types(&mut world, "ada", "/role ben moderator");
    world.settle();
    let link = locked(&mut world);
    // The proof never arrives: whoever asked is cut off each time.
    let mut cuts = 1;
    world.liar = Some(Box::new(move |_, frame| match frame {
        ToDevice::Proved { .. } if cuts > 0 => {
            cuts -= 1;
            Vec::new()
        }
        frame => vec![frame],
    }));
    tries(&mut world, "cleo", &link, ROSE);
    assert!(!is_in(&mut world, "cleo"));
    world.cut("ada");
    world.cut("ben");
    world.passes(2_000);
    world.settle();
    assert!(is_in(&mut world, "cleo"));
    for who in ["ada", "ben"] {
        let lines = lines(&mut world, who);
        assert!(lines.contains("cleo was asked for the room's password and did not give it"), "{lines}");
        assert!(lines.contains("(1 of 10 this hour)"), "{lines}");
    }
}

#[test]
fn who_takes_the_question_and_says_nothing_has_had_a_guess() {
    let mut world = tea(31);
    let link = locked(&mut world);
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Answered { .. } if who == "cleo" => Vec::new(),
        frame => vec![frame],
    }));
    tries(&mut world, "cleo", &link, ROSE);
    assert!(!lines(&mut world, "ada").contains("counts as a guess"));
    world.passes(3 * 60_000);
    assert!(lines(&mut world, "ada").contains("cleo was asked for the room's password and did not give it"));
    assert!(lines(&mut world, "ben").contains("(1 of 10 this hour)"));
}

#[test]
fn a_relay_that_denies_to_have_handed_the_question_on_wins_no_guess() {
    let mut world = tea(32);
    let link = locked(&mut world);
    world.seen();
    tries(&mut world, "cleo", &link, OTHER);
    let asks = world.seen().into_iter().find_map(|seen| match seen {
        Seen::From(who, ToRelay::AnswerKnock { ask, .. }) if who == "ada" => Some(ask),
        _ => None,
    });
    let mut next = asks.expect("she asked");
    next.0 += 1;
    // Its own answers to ada's next questions are refusals; cleo gets them all the same.
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Done(ask) if who == "ada" && ask >= next => {
            vec![ToDevice::Refused { ask: Some(ask), why: Refusal::NotAllowed }]
        }
        frame => vec![frame],
    }));
    tries(&mut world, "cleo", &link, OTHER);
    world.settle();
    assert!(lines(&mut world, "ben").contains("(2 of 10 this hour)"));
}

#[test]
fn a_question_that_a_full_relay_refuses_is_asked_once_there_is_room_and_is_no_guess_of_its_own() {
    let mut world = tea(36);
    let link = locked(&mut world);
    world.relay_disk_full(true);
    let mut said = tries(&mut world, "cleo", &link, ROSE);
    world.passes(50_000);
    world.relay_disk_full(false);
    world.passes(30_000);
    world.settle();
    said += &notices(&mut world, "cleo");
    assert!(said.contains("let you into #tea") && !said.contains("not to be trusted"), "{said}");
    let lines = lines(&mut world, "ada");
    assert!(!lines.contains("counts as a guess"), "{lines}");
}

#[test]
fn who_was_not_asked_hears_of_too_many_guesses_and_of_no_lie() {
    let mut world = tea(37);
    let link = locked(&mut world);
    // The relay lets no more guesses through: ada's question does not get to cleo.
    let (mut refuses, mut drops) = (true, true);
    world.liar = Some(Box::new(move |who, frame| match frame {
        ToDevice::Done(ask) if who == "ada" && std::mem::take(&mut refuses) => {
            vec![ToDevice::Refused { ask: Some(ask), why: Refusal::RateLimited { retry_ms: 60_000 } }]
        }
        ToDevice::Answered { .. } if std::mem::take(&mut drops) => Vec::new(),
        frame => vec![frame],
    }));
    let said = tries(&mut world, "cleo", &link, ROSE);
    assert!(said.contains("too many passwords were tried"), "{said}");
    assert!(!said.contains("not to be trusted"), "{said}");
}

/// What a relay does that has the link too: it opens the knock of that person.
struct Thief {
    secret: LinkSecret,
    at: At,
}

impl Thief {
    fn new(world: &mut World, link: &str) -> Self {
        let link: RoomLink = link.parse().expect("a link");
        world.seen();
        let at = At { relay: link.relay.fingerprint, room: link.room };
        Self { secret: LinkSecret::from_bytes(*link.secret), at }
    }

    fn heard(&self, world: &mut World, who: &str) -> Heard {
        let knock = world.seen().into_iter().rev().find_map(|seen| match seen {
            Seen::From(from, ToRelay::Knock { bytes, .. }) if from == who => Some(bytes),
            _ => None,
        });
        let (device, name) = (world.app(who).device(), AccountName::parse(who).expect("valid"));
        let knock = knock.expect("they knocked");
        Heard::open(&self.secret, &self.at, (&device, &name), &knock, &mut rng()).expect("it has the link")
    }

    fn answers(&self, world: &mut World, who: &str, bytes: Vec<u8>) {
        let answered = ToDevice::Answered { door: self.secret.door(), bytes, last: false };
        world.event(who, Event::Link(LinkEvent::Frame(answered)));
        world.settle();
    }
}

#[test]
fn a_relay_that_answers_in_a_members_place_is_refused() {
    let mut world = tea(33);
    let link = locked(&mut world);
    world.kill("ada");
    let thief = Thief::new(&mut world, &link);
    tries(&mut world, "cleo", &link, ROSE);
    // Without the link it can make nothing up.
    thief.answers(&mut world, "cleo", vec![7; 60]);
    let said = notices(&mut world, "cleo");
    assert!(said.contains("made by nobody who has the link") && said.contains("waits on"), "{said}");
    // With the link it can say «come in», and not show that it knows the password.
    let welcome = thief.heard(&mut world, "cleo").verdict(Verdict::Welcome);
    thief.answers(&mut world, "cleo", welcome);
    let said = notices(&mut world, "cleo");
    assert!(said.contains("did not show that they know the room's password"), "{said}");
    // With a lock of its own it asks for a password: only who knows it anyway makes one that fits.
    tries(&mut world, "cleo", &link, ROSE);
    let lock = Lock::make(OTHER, thief.at.room, Cost::TINY, &mut rng()).expect("short");
    let heard = thief.heard(&mut world, "cleo");
    let (question, challenged) = heard.challenge(&lock, 9, &mut rng()).expect("she gave one");
    thief.answers(&mut world, "cleo", question);
    assert!(notices(&mut world, "cleo").contains("not the room's password"));
    let proof = world.seen().into_iter().find_map(|seen| match seen {
        Seen::From(_, ToRelay::Prove { bytes, .. }) => Some(bytes),
        _ => None,
    });
    assert!(challenged.finish(&proof.expect("she says that it was wrong")).0.is_none());
    assert!(!is_in(&mut world, "cleo"));
    // The way in is open as soon as a member is there.
    world.starts("ada");
    world.settle();
    assert!(tries(&mut world, "cleo", &link, ROSE).contains("let you into #tea"));
}

#[test]
fn an_old_answer_and_an_answer_of_another_door_open_nothing() {
    let mut world = tea(34);
    let link = locked(&mut world);
    let other = self::link(&mut world, "/room link");
    world.seen();
    tries(&mut world, "cleo", &link, OTHER);
    let answered = |world: &mut World| {
        world.seen().into_iter().find_map(|seen| match seen {
            Seen::To(who, ToDevice::Answered { bytes, .. }) if who == "cleo" => Some(bytes),
            _ => None,
        })
    };
    let old = answered(&mut world).expect("she was asked");
    // Everything that ada says to cleo from now on is what she said before.
    let replayed = old.clone();
    world.liar = Some(Box::new(move |_, frame| match frame {
        ToDevice::Answered { door, last, .. } => {
            vec![ToDevice::Answered { door, bytes: replayed.clone(), last }]
        }
        frame => vec![frame],
    }));
    let said = tries(&mut world, "cleo", &link, ROSE);
    assert!(said.contains("made by nobody who has the link"), "{said}");
    // The knock at one door is told as one at another: ada opens it with the wrong secret, so to say.
    let swapped = other.parse::<RoomLink>().map(|link| LinkSecret::from_bytes(*link.secret).door());
    let swapped = swapped.expect("a link");
    world.liar = Some(Box::new(move |_, frame| match frame {
        ToDevice::Knocked(knocked) => vec![ToDevice::Knocked(Knocked { door: swapped, ..knocked })],
        frame => vec![frame],
    }));
    let dropped = world.app("ada").dropped();
    tries(&mut world, "dan", &link, ROSE);
    assert_eq!(world.app("ada").dropped(), dropped + 1);
    // And as one of somebody else's.
    world.liar = Some(Box::new(move |_, frame| match frame {
        ToDevice::Knocked(knocked) => vec![ToDevice::Knocked(Knocked { from: DeviceId([7; 16]), ..knocked })],
        frame => vec![frame],
    }));
    tries(&mut world, "dan", &link, ROSE);
    assert_eq!(world.app("ada").dropped(), dropped + 2);
    assert!(!is_in(&mut world, "cleo") && !is_in(&mut world, "dan"));
    world.liar = None;
    assert!(tries(&mut world, "dan", &link, ROSE).contains("let you into #tea"));
}

#[test]
fn what_tests_the_password_passes_the_relay_sealed_only_and_the_log_names_it() {
    let mut world = tea(35);
    world.seen();
    let link = locked(&mut world);
    tries(&mut world, "cleo", &link, ROSE);
    assert!(is_in(&mut world, "cleo"));
    let locks = |world: &mut World, who: &str| {
        let records = world.disk(who).records;
        let table = subrosa::chat::groups::LOCKS;
        let rows = records.scan(table, &[], &[], subrosa_shared::store::Order::Forward, 9).expect("it reads");
        rows.into_iter().map(|(_, lock)| lock).collect::<Vec<_>>()
    };
    let lock = locks(&mut world, "ada");
    assert!(lock.len() == 1 && lock == locks(&mut world, "ben") && lock == locks(&mut world, "cleo"));
    let named =
        group(&mut world, "ben").and_then(|group| group.log.state().doors.values().next()?.terms.password);
    assert_eq!(named, Lock::from_bytes(&lock[0]).ok().map(|lock| lock.hash()));
    for seen in world.seen() {
        let bytes = match seen {
            Seen::From(_, frame) => postcard::to_stdvec(&frame),
            Seen::To(_, frame) => postcard::to_stdvec(&frame),
            Seen::Media(..) => continue,
        };
        let bytes = bytes.expect("a frame");
        // The seed of the OPRF and the record's envelope.
        for secret in [&lock[0][..32], &lock[0][200..232]] {
            assert!(bytes.windows(32).all(|window| window != secret));
        }
    }
    // Who is out keeps none.
    let account = AccountName::parse("cleo").expect("valid");
    does(&mut world, "ada", RoomCommand::Sure(Box::new(Op::Remove { account })));
    assert!(!is_in(&mut world, "cleo"));
    assert_eq!(locks(&mut world, "cleo"), Vec::<Vec<u8>>::new());
}

#[test]
fn passwords_set_at_once_become_one() {
    for seed in 40..44 {
        let mut world = tea(seed);
        types(&mut world, "ada", "/role ben moderator");
        world.settle();
        let link = link(&mut world, "/room link");
        let room = world.app("ada").chat().room_named("#tea").expect("her room").id;
        for (who, password) in [("ada", ROSE), ("ben", OTHER)] {
            let set = RoomCommand::SetPassword(secret(password));
            world.commands(who, Command::Room(Some(room), set));
            world.commands(who, Command::Room(Some(room), RoomCommand::Link(false, None)));
        }
        world.settle();
        world.passes(5_000);
        let doors = |world: &mut World, who: &str| {
            let group = group(world, who).expect("theirs");
            let doors = group.log.state().doors.values();
            doors.map(|door| door.terms.password).collect::<Vec<_>>()
        };
        let of = doors(&mut world, "ada");
        assert!(
            of.len() == 3 && of.iter().all(|password| password.is_some() && *password == of[0]),
            "{of:?}"
        );
        assert_eq!(doors(&mut world, "ben"), of);
        let opens = [ROSE, OTHER].map(|password| tries(&mut world, "cleo", &link, password));
        let opened = opens.iter().filter(|said| said.contains("let you into")).count();
        assert_eq!(opened, 1, "{opens:?}");
    }
}

#[test]
fn a_password_opens_over_connections_that_break() {
    for seed in 50..54 {
        let mut world = tea(seed);
        types(&mut world, "ada", "/role ben moderator");
        world.settle();
        let link = locked(&mut world);
        world.weather(Weather { delay: 40, jitter: 30, cut: 30, ..Weather::default() });
        tries(&mut world, "cleo", &link, ROSE);
        for _ in 0..30 {
            world.passes(2_000);
        }
        world.weather(Weather::default());
        world.passes(60_000);
        world.settle();
        assert!(is_in(&mut world, "cleo"), "seed {seed}");
        let heads = ["ada", "ben", "cleo"].map(|who| group(&mut world, who).map(|group| group.log.head()));
        assert!(heads[0].is_some() && heads.iter().all(|head| *head == heads[0]), "seed {seed}: {heads:?}");
    }
}
