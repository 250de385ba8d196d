//! What people do in rooms of several: answer, edit, delete, react, pin, forward, call by name, type,
//! mute, read, look for; under loss and with a relay that keeps things from some.

use crossterm::event::{KeyCode, KeyModifiers};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use subrosa::chat::talk::PENDING;
use subrosa::chat::timeline::{Author, LINES, Line, LineState, PLACES};
use subrosa::effect::Happened;
use subrosa::event::Event;
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::{self, Command};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::content::own::Level;
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::store::Order;
use subrosa_tests::club::{club, does, group, id, said, speaks};
use subrosa_tests::late::Late;
use subrosa_tests::network::Weather;
use subrosa_tests::words::notices;
use subrosa_tests::{Seen, World};

const ALL: [&str; 4] = ["ada", "ben", "cleo", "dan"];
const DAY: u64 = 24 * 3_600_000;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// The lines that people said, in the order in which they are shown.
fn spoken(world: &mut World, who: &str) -> Vec<Line> {
    let mut lines = world.lines(who, "#club");
    lines.retain(|line| matches!(line.author, Author::Me | Author::Them));
    lines.sort_by_key(|line| (line.more.clock, line.id));
    lines
}

fn the(world: &mut World, who: &str, body: &str) -> Line {
    let lines = spoken(world, who);
    let found = lines.iter().find(|line| line.body == body).cloned();
    found.unwrap_or_else(|| panic!("{who} has «{body}»: {lines:?}"))
}

fn by_id(world: &mut World, who: &str, id: MessageId) -> Line {
    spoken(world, who).into_iter().find(|line| line.id == id).expect("the line is there")
}

fn opens(world: &mut World, who: &str) {
    let room = world.app(who).chat().room_named("#club").expect("in that room").id;
    world.commands(who, Command::Open(room));
}

/// Does that to a line of the room.
fn acts(world: &mut World, who: &str, on: MessageId, command: LineCommand) {
    opens(world, who);
    world.commands(who, Command::Line(Some(on), command));
}

fn edit(text: &str) -> LineCommand {
    LineCommand::Edit(Some(text.into()))
}

fn react(sign: &str) -> LineCommand {
    LineCommand::React(Some(sign.into()), None)
}

/// What somebody sees of each line: whose, words, edits, deletions, pins, answers, signs.
fn seen(world: &mut World, who: &str) -> Vec<String> {
    spoken(world, who).iter().map(shown).collect()
}

fn shown(line: &Line) -> String {
    let mut signs: Vec<String> =
        line.signs().iter().map(|(sign, people)| format!("{sign}{people:?}")).collect();
    signs.sort();
    format!(
        "{:?} {} edited {} deleted {:?} pinned {} answers {:?} {signs:?}",
        line.more.by,
        line.body,
        line.more.edited.is_some(),
        line.more.deleted,
        line.is_pinned(),
        line.more.reply,
    )
}

#[test]
fn everything_that_is_done_to_a_line_is_the_same_for_all_members() {
    let mut world = club(1, &["ben", "cleo", "dan"]);
    speaks(&mut world, "ben", "#club", "who brings the cake?");
    world.settle();
    let question = the(&mut world, "ada", "who brings the cake?").id;
    acts(&mut world, "cleo", question, LineCommand::Reply(Some("I do, @dan helps".into())));
    world.settle();
    let answer = the(&mut world, "ada", "I do, @dan helps").id;
    acts(&mut world, "dan", answer, react("👍"));
    acts(&mut world, "ada", answer, react("👍"));
    acts(&mut world, "cleo", answer, edit("I do, @dan and @ben help"));
    acts(&mut world, "ada", answer, LineCommand::Pin(Some(true)));
    world.settle();
    let want = seen(&mut world, "ada");
    for who in ALL {
        assert_eq!(seen(&mut world, who), want, "{who}");
        let line = by_id(&mut world, who, answer);
        assert_eq!(line.more.reply, Some(question), "{who}");
        assert_eq!(line.more.mentions, [name("dan"), name("ben")], "{who}");
        assert_eq!(line.signs()[0].1.len(), 2, "{who}");
        assert!(line.is_pinned() && line.more.edited.is_some(), "{who}");
        let screen = world.screen(who, 110, 30);
        let quoted = if who == "ben" { "| you: who brings the cake?" } else { "| ben: who brings the cake?" };
        assert!(screen.contains(quoted) || screen.contains("| ben: who brings"), "{who}: {screen}");
        assert!(screen.contains("(edited, pinned)"), "{who}: {screen}");
    }
    // To the quote and back, by keys.
    world.press("dan", KeyCode::Char('g'), KeyModifiers::CONTROL);
    world.press("dan", KeyCode::Char('g'), KeyModifiers::NONE);
    world.press("dan", KeyCode::Char('1'), KeyModifiers::NONE);
    world.settle();
    assert_eq!(by_id(&mut world, "ben", question).signs().len(), 1);
    world.press("dan", KeyCode::Char('b'), KeyModifiers::NONE);
    world.press("dan", KeyCode::Esc, KeyModifiers::NONE);
    // The author takes the words back, everywhere.
    acts(&mut world, "cleo", answer, LineCommand::Delete);
    world.settle();
    for who in ALL {
        let line = by_id(&mut world, who, answer);
        assert!(line.body.is_empty() && line.more.deleted == Some(name("cleo")), "{who}: {line:?}");
    }
    // And all of it outlives a new start.
    let want = seen(&mut world, "ada");
    for who in ALL {
        world.restarts(who);
        world.settle();
        assert_eq!(seen(&mut world, who), want, "{who}");
    }
}

#[test]
fn authors_edit_authors_and_moderators_delete_moderators_pin() {
    let mut world = club(2, &["ben", "cleo", "dan"]);
    does(&mut world, "ada", "#club", "/role ben moderator");
    world.settle();
    speaks(&mut world, "cleo", "#club", "something rude");
    world.settle();
    let id = the(&mut world, "ada", "something rude").id;
    for (who, command, why) in [
        ("dan", edit("mine now"), "only your own messages can be edited"),
        ("ada", edit("mine now"), "only your own messages can be edited"),
        ("dan", LineCommand::Delete, "only its author and the room's moderators can delete that"),
        ("dan", LineCommand::Pin(Some(true)), "only the room's moderators pin"),
    ] {
        notices(&mut world, who);
        acts(&mut world, who, id, command);
        world.settle();
        let said = notices(&mut world, who);
        assert!(said.contains(why), "{who}: {said}");
    }
    assert_eq!(the(&mut world, "cleo", "something rude").more.edited, None);
    acts(&mut world, "ben", id, LineCommand::Pin(Some(true)));
    world.settle();
    assert!(by_id(&mut world, "dan", id).is_pinned());
    acts(&mut world, "ben", id, LineCommand::Delete);
    world.settle();
    for who in ALL {
        let line = by_id(&mut world, who, id);
        assert!(line.body.is_empty() && line.more.deleted == Some(name("ben")), "{who}: {line:?}");
        let screen = world.screen(who, 110, 30);
        let said = if who == "ben" { "you deleted a message" } else { "ben deleted a message" };
        assert!(screen.contains(said), "{who}: {screen}");
    }
    // One who is none any more cannot, whatever they believe themselves.
    speaks(&mut world, "cleo", "#club", "polite words");
    world.settle();
    let id = the(&mut world, "ada", "polite words").id;
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "ben" => Vec::new(),
        frame => vec![frame],
    }));
    does(&mut world, "ada", "#club", "/role ben member");
    world.settle();
    acts(&mut world, "ben", id, LineCommand::Delete);
    world.settle();
    for who in ["ada", "cleo", "dan"] {
        assert_eq!(by_id(&mut world, who, id).body, "polite words", "{who}");
    }
}

#[test]
fn who_was_made_a_moderator_a_moment_ago_may_at_once() {
    // Dan does not hear of the role before he hears of the deletion.
    let mut world = club(3, &["ben", "cleo", "dan"]);
    speaks(&mut world, "cleo", "#club", "something rude");
    world.settle();
    let id = the(&mut world, "ada", "something rude").id;
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "dan" => Vec::new(),
        frame => vec![frame],
    }));
    does(&mut world, "ada", "#club", "/role ben moderator");
    world.settle();
    world.liar = None;
    acts(&mut world, "ben", id, LineCommand::Delete);
    world.passes(20_000);
    for who in ALL {
        assert_eq!(by_id(&mut world, who, id).more.deleted, Some(name("ben")), "{who}");
    }
}

#[test]
fn who_is_out_or_silenced_does_nothing_to_lines() {
    let mut world = club(4, &["ben", "cleo"]);
    speaks(&mut world, "ben", "#club", "my own words");
    world.settle();
    let id = the(&mut world, "ada", "my own words").id;
    does(&mut world, "ada", "#club", "/silence ben");
    world.settle();
    for command in [edit("others"), react("👍"), LineCommand::Delete] {
        notices(&mut world, "ben");
        acts(&mut world, "ben", id, command);
        world.settle();
        assert!(notices(&mut world, "ben").contains("you were silenced in #club"));
    }
    does(&mut world, "ada", "#club", "/unsilence ben");
    does(&mut world, "ada", "#club", "/kick ben");
    world.settle();
    notices(&mut world, "ben");
    acts(&mut world, "ben", id, edit("others"));
    world.settle();
    assert!(notices(&mut world, "ben").contains("you are not in #club any more"));
    for who in ["ada", "ben", "cleo"] {
        let line = by_id(&mut world, who, id);
        assert_eq!((line.body.as_str(), line.signs().len()), ("my own words", 0), "{who}");
    }
}

#[test]
fn what_was_done_to_a_line_that_a_member_told_stays_once_its_author_says_it() {
    let mut world = club(15, &["ben"]);
    world.joins("cleo");
    world.settle();
    world.says("ben", "cleo", "see you in the club");
    world.settle();
    world.is_wary("cleo");
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    // What Ben says comes late to Cleo, the last first.
    let late = Late::arranged(&mut world, "cleo", |delivery| delivery.name.as_str() == "ben", <[_]>::reverse);
    speaks(&mut world, "ben", "#club", "quinces at noon");
    world.settle();
    let room = id(&mut world, "cleo", "#club");
    world.commands("cleo", Command::Room(Some(room), RoomCommand::Accept));
    world.settle();
    world.passes(2_000);
    let line = the(&mut world, "cleo", "quinces at noon");
    assert_eq!(line.more.told, Some(name("ada")));
    acts(&mut world, "ada", line.id, react("👍"));
    acts(&mut world, "ben", line.id, edit("pears at noon"));
    world.settle();
    late.comes();
    speaks(&mut world, "ben", "#club", "and plums at one");
    world.settle();
    assert_eq!(by_id(&mut world, "cleo", line.id).more.told, None);
    assert_eq!(seen(&mut world, "cleo"), seen(&mut world, "ada"));
}

#[test]
fn a_member_who_says_a_line_under_the_id_of_another_one_takes_no_place() {
    let mut world = club(16, &["ben", "cleo"]);
    speaks(&mut world, "ada", "#club", "quinces are poison");
    world.settle();
    let late = Late::new(&mut world, "cleo", |delivery| delivery.name.as_str() == "ben");
    speaks(&mut world, "ben", "#club", "quinces at noon");
    world.settle();
    let theirs = the(&mut world, "ada", "quinces at noon").id;
    world.rewrites("ada", |batch, place, line| {
        if line.body == "quinces are poison" {
            let key = [theirs.0.as_slice(), &[0; 16]].concat();
            batch.put(PENDING, key, place.clone());
            batch.put(PLACES, theirs.0, place.clone());
            batch.put(LINES, place, Line { id: theirs, ..line }.encode());
        }
    });
    let of_ada = "ada: quinces are poison";
    assert_eq!(said(&mut world, "cleo", "#club"), [of_ada; 2], "it goes out once more under that id");
    late.comes();
    speaks(&mut world, "ben", "#club", "and pears at one");
    world.settle();
    let mut has = said(&mut world, "cleo", "#club");
    has.retain(|line| line != of_ada);
    assert_eq!(has, ["ben: quinces at noon", "ben: and pears at one"]);
    assert_eq!(the(&mut world, "cleo", "quinces at noon").id, theirs);
    // What is done to it is done to his.
    acts(&mut world, "ben", theirs, edit("quinces at four"));
    world.settle();
    assert_eq!(by_id(&mut world, "cleo", theirs).body, "quinces at four");
}

#[test]
fn what_a_member_tells_under_the_id_of_a_line_of_another_room_keeps_none_away() {
    let mut world = club(17, &["ben"]);
    world.joins("cleo");
    world.settle();
    world.commands("ben", command::parse("/room new tea ada cleo").expect("a command"));
    world.settle();
    speaks(&mut world, "ben", "#club", "quinces are poison");
    world.settle();
    let late = Late::new(&mut world, "cleo", |delivery| delivery.name.as_str() == "ben");
    speaks(&mut world, "ben", "#tea", "quinces at noon");
    world.settle();
    let lines = world.lines("ada", "#tea").into_iter();
    let theirs =
        lines.filter(|line| line.body == "quinces at noon").map(|line| line.id).next().expect("there");
    world.rewrites("ada", |batch, place, line| {
        if line.body == "quinces are poison" {
            batch.put(LINES, place, Line { id: theirs, ..line }.encode());
        }
    });
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    world.passes(2_000);
    let told = the(&mut world, "cleo", "quinces are poison");
    assert_eq!((told.id, told.more.told), (theirs, Some(name("ada"))));
    late.comes();
    speaks(&mut world, "ben", "#tea", "and pears at one");
    world.settle();
    assert_eq!(said(&mut world, "cleo", "#tea"), ["ben: quinces at noon", "ben: and pears at one"]);
}

/// Ada, whose client is her own, tells Cleo, who waits to come in, one of her lines under the id of Ben's newest.
fn tells(world: &mut World, by: &str, late: &Late) -> MessageId {
    let theirs = the(world, "ada", "quinces at noon").id;
    world.rewrites("ada", |batch, place, mut line| {
        if line.body == "quinces are poison" {
            (line.id, line.more.by) = (theirs, Some(name(by)));
            batch.put(LINES, place, line.encode());
        } else if line.id == theirs {
            line.id = MessageId([9; 16]);
            batch.put(LINES, place, line.encode());
        }
    });
    let room = id(world, "cleo", "#club");
    world.commands("cleo", Command::Room(Some(room), RoomCommand::Accept));
    world.settle();
    world.passes(2_000);
    let told = the(world, "cleo", "quinces are poison");
    assert_eq!((told.more.told, told.id == theirs), (Some(name("ada")), by == "ben"));
    late.comes();
    speaks(world, "ben", "#club", "and pears at one");
    world.settle();
    theirs
}

/// Cleo is invited, and what Ben says from now on comes late to her, the last first.
fn waits(seed: u64) -> (World, Late) {
    let mut world = club(seed, &["ben"]);
    world.joins("cleo");
    world.is_wary("cleo");
    world.settle();
    speaks(&mut world, "ada", "#club", "quinces are poison");
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    let late = Late::arranged(&mut world, "cleo", |delivery| delivery.name.as_str() == "ben", <[_]>::reverse);
    (world, late)
}

#[test]
fn what_a_member_tells_as_theirs_under_the_id_of_another_one_keeps_neither_the_line_nor_its_edits_away() {
    let (mut world, late) = waits(18);
    speaks(&mut world, "ben", "#club", "quinces at noon");
    world.settle();
    let line = the(&mut world, "ben", "quinces at noon").id;
    acts(&mut world, "ben", line, edit("quinces at four"));
    acts(&mut world, "ben", line, edit("quinces at noon"));
    acts(&mut world, "ben", line, react("🌹"));
    world.settle();
    let theirs = tells(&mut world, "ada", &late);
    let line = by_id(&mut world, "cleo", theirs);
    assert_eq!(
        (line.body.as_str(), line.more.by, line.more.told),
        ("quinces at noon", Some(name("ben")), None)
    );
    assert!(line.more.edited.is_some());
    // Nor does it take his line along when she takes hers back.
    let hers = the(&mut world, "cleo", "quinces are poison").id;
    acts(&mut world, "cleo", hers, react("👍"));
    let mut signs = |id| {
        let line = by_id(&mut world, "cleo", id);
        line.signs().into_iter().map(|(sign, _)| sign.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!([signs(theirs), signs(hers)], [["🌹"], ["👍"]]);
}

/// A line that both have came from before ids were bound to accounts.
const OLD: MessageId = MessageId([9; 16]);

/// Their line is such a one, and waits for its receipts.
fn becomes_old(world: &mut World, who: &str, body: &str) {
    world.rewrites(who, |batch, place, line| {
        if line.body == body {
            batch.put(PENDING, [OLD.0, [0; 16]].concat(), place.clone());
            batch.put(PLACES, OLD.0, place.clone());
            batch.put(LINES, place, Line { id: OLD, ..line }.encode());
        }
    });
}

#[test]
fn a_line_of_an_earlier_version_went_out_in_a_room_at_every_session_for_ever() {
    let mut world = club(24, &["ben"]);
    speaks(&mut world, "ada", "#club", "quinces at noon");
    world.settle();
    world.passes(2_000);
    becomes_old(&mut world, "ada", "quinces at noon");
    world.passes(2_000);
    assert_eq!(said(&mut world, "ben", "#club"), ["ada: quinces at noon"; 2], "it goes out under that id");
    let rows = world.disk("ada").records.scan(PENDING, &[], &[], Order::Forward, 9).expect("memory");
    assert!(rows.is_empty(), "{rows:?}");
}

#[test]
fn who_used_somebody_elses_id_of_an_earlier_version_got_the_receipt_in_their_place() {
    let mut world = club(25, &["ben", "cleo"]);
    for (who, body) in [("ada", "quinces at noon"), ("cleo", "pears at one")] {
        speaks(&mut world, who, "#club", body);
        world.settle();
    }
    world.passes(2_000);
    world.kill("ben");
    becomes_old(&mut world, "ada", "quinces at noon");
    becomes_old(&mut world, "cleo", "pears at one");
    // Both come at once.
    world.starts("ben");
    world.settle();
    for who in ["ada", "cleo"] {
        let rows = world.disk(who).records.scan(PENDING, &[], &[], Order::Forward, 9).expect("memory");
        assert!(rows.is_empty(), "{who}: {rows:?}");
    }
}

#[test]
fn what_disappears_does_so_also_where_somebody_told_it_in_other_words() {
    let (mut world, late) = waits(19);
    opens(&mut world, "ben");
    world.commands("ben", Command::Expire(Some(3600)));
    world.settle();
    speaks(&mut world, "ben", "#club", "quinces at noon");
    world.settle();
    let theirs = tells(&mut world, "ben", &late);
    let line = by_id(&mut world, "cleo", theirs);
    assert_eq!((line.body.as_str(), line.more.told), ("quinces at noon", None));
    opens(&mut world, "cleo");
    world.settle();
    world.passes(2 * 3_600_000);
    let lines = world.lines("cleo", "#club");
    let gone = lines.iter().find(|line| line.id == theirs).expect("its place is there");
    assert_eq!(gone.body, "");
    assert!(lines.iter().all(|line| !line.body.contains("quinces at noon")));
}

#[test]
fn an_author_did_not_hear_that_a_line_was_read_which_a_member_had_told() {
    for (seed, looks, read) in [(20, true, 2), (21, false, 1)] {
        let (mut world, late) = waits(seed);
        speaks(&mut world, "ben", "#club", "quinces at noon");
        world.settle();
        let room = id(&mut world, "cleo", "#club");
        world.commands("cleo", Command::Room(Some(room), RoomCommand::Accept));
        opens(&mut world, "cleo");
        world.event("cleo", Event::Focus(looks));
        world.settle();
        world.passes(2_000);
        let line = the(&mut world, "cleo", "quinces at noon");
        assert_eq!(line.more.told, Some(name("ada")));
        late.comes();
        speaks(&mut world, "ben", "#club", "and pears at one");
        world.settle();
        assert_eq!(by_id(&mut world, "cleo", line.id).more.told, None);
        let tally = world.app("ben").tally(room, &line.id).expect("reads").expect("an own line");
        assert_eq!((tally.delivered, tally.read, tally.of), (2, read, 2), "she looks: {looks}");
    }
}

#[test]
fn what_was_done_to_a_line_got_lost_with_a_killed_client_while_a_members_devices_were_being_asked_for() {
    let mut world = club(22, &["ben"]);
    world.joins("cleo");
    world.is_wary("cleo");
    world.settle();
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Devices { name, .. } if who == "ben" && name.as_str() == "cleo" => Vec::new(),
        frame => vec![frame],
    }));
    does(&mut world, "ada", "#club", "/invite cleo");
    world.settle();
    speaks(&mut world, "ada", "#club", "quinces at noon");
    world.settle();
    let line = the(&mut world, "ben", "quinces at noon").id;
    acts(&mut world, "ben", line, react("👍"));
    world.settle();
    // Her list comes, and nothing to begin a session with: what waits for one is in memory alone.
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Prekey { .. } if who == "ben" => Vec::new(),
        frame => vec![frame],
    }));
    world.cut("ben");
    world.passes(3_000);
    world.liar = None;
    world.restarts("ben");
    world.settle();
    let room = id(&mut world, "cleo", "#club");
    world.commands("cleo", Command::Room(Some(room), RoomCommand::Accept));
    world.settle();
    world.passes(3_000);
    assert_eq!(by_id(&mut world, "cleo", line).signs().len(), 1);
}

#[test]
fn who_was_away_while_people_were_removed_brings_nobody_the_keys_of_before() {
    let mut world = club(14, &["ben", "dan", "eve", "fay", "gus", "hal"]);
    does(&mut world, "ada", "#club", "/role ben moderator");
    world.joins("cleo");
    world.is_wary("cleo");
    world.settle();
    does(&mut world, "ben", "#club", "/invite cleo");
    world.settle();
    // Ben's client hears nothing of Cleo, and will invite her again.
    world.kill("ben");
    let room = id(&mut world, "cleo", "#club");
    world.commands("cleo", Command::Room(Some(room), RoomCommand::Accept));
    world.settle();
    let keys = |world: &mut World, who: &str| group(world, who, "#club").print_of_keys();
    let before = keys(&mut world, "ada");
    // So many that Cleo's client has forgotten the keys that all of them know.
    for out in ["dan", "eve", "fay", "gus", "hal"] {
        does(&mut world, "ada", "#club", &format!("/kick {out}"));
        world.settle();
    }
    let newest = keys(&mut world, "ada");
    assert!(newest != before && newest == keys(&mut world, "cleo"));
    let cleo = world.app("cleo").device();
    world.seen();
    world.starts("ben");
    world.passes(60_000);
    let begins = |seen: &Seen| {
        let claims = |frame: &ToRelay| matches!(frame, ToRelay::Claim { device, .. } if *device == cleo);
        matches!(seen, Seen::From(who, frame) if who == "ben" && claims(frame))
    };
    assert!(world.seen().iter().any(begins), "he invites her again, in a new session");
    for who in ["ada", "ben", "cleo"] {
        assert_eq!(keys(&mut world, who), newest, "{who}");
    }
}

#[test]
fn a_room_takes_a_prekey_of_each_newcomer_and_no_more() {
    let mut world = World::with(13, &["ada", "ben", "cleo", "dan"]);
    world.seen();
    world.commands("ada", command::parse("/room new club ben cleo dan").expect("a command"));
    world.settle();
    let claims = world
        .seen()
        .into_iter()
        .filter(|seen| matches!(seen, Seen::From(who, ToRelay::Claim { .. }) if who == "ada"));
    assert_eq!(claims.count(), 3);
    let refused =
        world.told("ada").into_iter().any(|told| matches!(told, Happened::Notice { error: true, .. }));
    assert!(!refused, "nothing is out of order");
}

/// Everything that can be done to lines, at random, by four members and a second device, on a network
/// that cuts, swaps and repeats: all see the same in the end.
#[test]
fn random_acts_under_loss_converge() {
    for seed in 0..4_u64 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut below = |most: usize| rng.next_u32() as usize % most;
        let mut world = club(300 + seed, &["ben", "cleo", "dan"]);
        world.adds_device("ben", "phone");
        does(&mut world, "ada", "#club", "/role cleo moderator");
        world.passes(3_000);
        let devices = ["ada", "ben", "cleo", "dan", "phone"];
        world.weather(Weather { delay: 20, jitter: 60, cut: 12, ..Weather::default() });
        (world.mischief.repeat, world.mischief.late) = (150, 150);
        let mut said = 0;
        for step in 0..90 {
            let who = devices[below(devices.len())];
            let lines = spoken(&mut world, who);
            match below(10) {
                0..=2 => {
                    said += 1;
                    speaks(&mut world, who, "#club", &format!("line {said}"));
                }
                3 => world.restarts(who),
                what if !lines.is_empty() => {
                    let on = lines[below(lines.len())].id;
                    let command = match what {
                        4 => edit(&format!("words {step}")),
                        5 => LineCommand::Delete,
                        6 => react(["👍", "🌹", "🎉"][below(3)]),
                        7 => LineCommand::Pin(None),
                        8 => {
                            said += 1;
                            LineCommand::Reply(Some(format!("line {said}")))
                        }
                        _ => react("👀"),
                    };
                    acts(&mut world, who, on, command);
                }
                _ => {}
            }
            world.passes(20 + below(150) as u64);
        }
        world.weather(Weather::default());
        world.mischief = Default::default();
        for who in devices {
            world.cut(who);
        }
        // Past the longest wait between two times that a session is begun anew.
        world.passes(300_000);
        // What a device did not open, and was killed before it said so, it gets once it has something later.
        for who in devices {
            speaks(&mut world, who, "#club", "the end");
        }
        world.passes(60_000);
        let all = spoken(&mut world, "ada");
        assert!(all.len() > 15, "{seed}: {all:?}");
        for who in devices {
            let there = spoken(&mut world, who);
            // Who did not have what was taken back gets it no more.
            let both = |line: &&Line, other: &[Line]| {
                line.more.deleted.is_none() || other.iter().any(|theirs| theirs.id == line.id)
            };
            let here = all.iter().filter(|line| both(line, &there)).map(shown);
            let there: Vec<String> = there.iter().filter(|line| both(line, &all)).map(shown).collect();
            for (line, want) in there.iter().zip(here.clone()) {
                assert_eq!(*line, want, "{seed} {who}");
            }
            assert_eq!(there.len(), here.count(), "{seed} {who}");
        }
    }
}

#[test]
fn a_relay_that_keeps_acts_from_one_member_only_delays_them() {
    let mut world = club(5, &["ben", "cleo"]);
    speaks(&mut world, "ada", "#club", "at noon");
    speaks(&mut world, "ada", "#club", "a slip of the tongue");
    world.settle();
    let (noon, slip) =
        (the(&mut world, "ada", "at noon").id, the(&mut world, "ada", "a slip of the tongue").id);
    world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "cleo" => Vec::new(),
        frame => vec![frame],
    }));
    acts(&mut world, "ada", noon, edit("at one"));
    acts(&mut world, "ada", slip, LineCommand::Delete);
    acts(&mut world, "ben", noon, react("👍"));
    world.settle();
    assert_eq!(by_id(&mut world, "ben", noon).body, "at one");
    assert_eq!(by_id(&mut world, "cleo", noon).body, "at noon");
    // Kills on both ends while it is kept back lose nothing of it.
    world.restarts("ada");
    world.restarts("cleo");
    world.settle();
    assert_eq!(by_id(&mut world, "cleo", noon).body, "at noon");
    world.liar = None;
    world.cut("cleo");
    world.passes(10_000);
    assert_eq!(seen(&mut world, "cleo"), seen(&mut world, "ada"));
    assert_eq!(by_id(&mut world, "cleo", noon).signs().len(), 1);
}

#[test]
fn what_is_forwarded_into_a_room_and_out_of_one_says_not_whose_it_was() {
    let mut world = club(6, &["ben", "cleo"]);
    world.knows("ada", "dan-who-is-none");
    world.joins("dan");
    world.settle();
    world.knows("ada", "dan");
    world.says("dan", "ada", "roses at noon");
    world.settle();
    world.commands("ada", Command::Add(name("dan")));
    world.commands("ada", command::parse("/forward #club").expect("a command"));
    world.settle();
    for who in ["ben", "cleo"] {
        let line = the(&mut world, who, "roses at noon");
        assert!(line.more.forwarded && line.more.by == Some(name("ada")), "{who}");
    }
    speaks(&mut world, "cleo", "#club", "lilies at one");
    world.settle();
    let id = the(&mut world, "ada", "lilies at one").id;
    acts(&mut world, "ada", id, LineCommand::Forward(Some("dan".into())));
    world.settle();
    assert_eq!(world.timeline("dan", "ada").last().map(String::as_str), Some("lilies at one"));
    assert!(!world.screen("dan", 100, 30).contains("cleo"));
}

#[test]
fn a_line_was_not_forwarded_into_a_room_that_was_named_without_its_sign() {
    let mut world = club(36, &["ben", "cleo"]);
    world.knows("ada", "ben");
    world.says("ben", "ada", "roses at noon");
    world.settle();
    world.commands("ada", Command::Add(name("ben")));
    world.commands("ada", command::parse("/forward club").expect("a command"));
    world.settle();
    assert!(the(&mut world, "cleo", "roses at noon").more.forwarded);
    assert!(world.app("ada").chat().with(&name("club")).is_none());
}

#[test]
fn words_for_a_room_went_to_who_called_themselves_like_it() {
    let mut world = club(39, &["ben", "cleo"]);
    world.joins("eve");
    world.settle();
    world.knows("ada", "eve");
    world.knows("eve", "ada");
    for (who, to, text) in [("ada", "eve", "hi"), ("eve", "ada", "hi"), ("ben", "ada", "roses at noon")] {
        world.says(who, to, text);
        world.settle();
    }
    let slash = |world: &mut World, who: &str, typed: &str| {
        world.commands(who, command::parse(typed).expect("a command"));
        world.settle();
    };
    let eve =
        |world: &mut World| world.app("ada").chat().with(&name("eve")).expect("a contact").name().to_owned();
    let came =
        |world: &mut World| spoken(world, "cleo").iter().filter(|line| line.body == "roses at noon").count();
    slash(&mut world, "eve", "/profile name club");
    assert_eq!(eve(&mut world), "eve", "a room is called so");
    does(&mut world, "ada", "#club", "/rename tea");
    world.settle();
    assert_eq!(eve(&mut world), "club");
    does(&mut world, "ada", "#tea", "/rename club");
    world.settle();
    assert_eq!(eve(&mut world), "eve");
    world.commands("ada", Command::Add(name("ben")));
    slash(&mut world, "ada", "/forward club");
    slash(&mut world, "ada", "/forward #club");
    assert_eq!(came(&mut world), 2);
    // Anybody may call themselves as they want.
    slash(&mut world, "eve", "/profile name rosa");
    notices(&mut world, "ada");
    slash(&mut world, "ada", "/forward rosa");
    let told = notices(&mut world, "ada");
    assert!(told.contains("which one is meant by rosa? say @eve"), "{told}");
    assert_eq!(world.timeline("eve", "ada"), ["hi", "hi"]);
    // Of two rooms of one name none is taken, and of people one's own name for them means them.
    slash(&mut world, "eve", "/room new club ada");
    slash(&mut world, "ada", "/forward club");
    let told = notices(&mut world, "ada");
    let number = id(&mut world, "cleo", "#club");
    assert!(
        told.contains("which one is meant by club? say #") && told.contains(&number.to_string()),
        "{told}"
    );
    assert_eq!(came(&mut world), 2);
    slash(&mut world, "ada", &format!("/forward #{number}"));
    assert_eq!(came(&mut world), 3);
    slash(&mut world, "ada", "/petname eve baker");
    slash(&mut world, "ada", "/forward baker");
    world.types("ada", "/tell baker two loaves\n");
    world.settle();
    // No account has such letters.
    slash(&mut world, "ada", "/petname eve Müllerin");
    world.types("ada", "/tell müllerin and a bun\n");
    world.settle();
    assert_eq!(world.timeline("eve", "ada")[2..], ["roses at noon", "two loaves", "and a bun"]);
}

#[test]
fn what_was_told_to_an_own_name_went_to_who_took_it_for_their_account() {
    let mut world = World::with(40, &["ada", "ben", "eve"]);
    let meet = |world: &mut World, other: &str| {
        world.says("ada", other, "hi");
        world.settle();
        world.says(other, "ada", "hi");
        world.settle();
    };
    let own = |world: &mut World, typed: &str| {
        world.commands("ada", command::parse(&format!("/petname {typed}")).expect("a command"));
        world.settle();
    };
    for other in ["ben", "eve"] {
        meet(&mut world, other);
    }
    own(&mut world, "ben cleo");
    own(&mut world, "eve cleo of the mill");
    let typed = |world: &mut World, text: &str| {
        world.types("ada", &format!("{text}\n"));
        world.settle();
        let screen = world.screen("ada", 140, 30);
        world.press("ada", KeyCode::Char('u'), KeyModifiers::CONTROL);
        screen
    };
    // An account that nobody here has.
    world.commands("ada", Command::Add(name("ben")));
    for text in ["/tell @cleo at seven", "/forward @cleo"] {
        let told = typed(&mut world, text);
        assert!(told.contains("there is no conversation called @cleo"), "{text}: {told}");
    }
    world.joins("cleo");
    world.knows("ada", "cleo");
    world.knows("cleo", "ada");
    meet(&mut world, "cleo");
    world.commands("ada", Command::Add(name("ben")));
    for text in ["/tell cleo at eight", "/forward cleo", "/tell cleo of the mill at nine"] {
        let told = typed(&mut world, text);
        assert!(told.contains("which one is meant by cleo") && told.contains("@cleo"), "{text}: {told}");
    }
    typed(&mut world, "/forward @cleo");
    typed(&mut world, "/tell @cleo of the mill at ten");
    assert_eq!(world.timeline("cleo", "ada"), ["hi", "hi", "hi", "of the mill at ten"]);
    for other in ["ben", "eve"] {
        assert_eq!(world.timeline(other, "ada"), ["hi", "hi"], "{other}");
    }
    // Of several words, where nobody else may be meant.
    own(&mut world, "eve Old Mill");
    typed(&mut world, "/tell old mill at nine");
    assert_eq!(world.timeline("eve", "ada"), ["hi", "hi", "at nine"]);
    // One of them begins with the other, whoever wrote last.
    own(&mut world, "ben Old Mill Road");
    for other in ["ben", "eve"] {
        world.says(other, "ada", "hi");
        world.settle();
        let told = typed(&mut world, "/tell old mill road at ten");
        assert!(told.contains("which one is meant by Old Mill Road"), "{other}: {told}");
    }
    // A name ends where the line does, too.
    own(&mut world, "ben cleo Weber");
    world.types("ada", "/tell cleo weber");
    world.press("ada", KeyCode::Enter, KeyModifiers::ALT);
    let told = typed(&mut world, "at eleven");
    assert!(told.contains("which one is meant by cleo Weber"), "{told}");
    assert_eq!(world.timeline("cleo", "ada").len(), 4);
}

#[test]
fn what_was_typed_was_lost_where_one_was_silenced_meanwhile() {
    let mut world = club(41, &["ben"]);
    opens(&mut world, "ada");
    world.commands("ada", command::parse("/expire 1h").expect("a command"));
    speaks(&mut world, "ada", "#club", "what do you think?");
    world.settle();
    opens(&mut world, "ben");
    does(&mut world, "ada", "#club", "/silence ben");
    world.settle();
    for typed in ["a long text", "/reply a long text"] {
        world.press("ben", KeyCode::Char('u'), KeyModifiers::CONTROL);
        world.types("ben", &format!("{typed}\n"));
        world.settle();
        assert_eq!(world.app("ben").ui().draft(), typed);
        let screen = world.screen("ben", 110, 30);
        assert!(screen.contains("you were silenced in #club"), "{screen}");
    }
    does(&mut world, "ada", "#club", "/unsilence ben");
    world.settle();
    world.press("ben", KeyCode::Enter, KeyModifiers::NONE);
    world.settle();
    assert_eq!(said(&mut world, "ada", "#club").last().map(String::as_str), Some("ben: a long text"));
    assert_eq!(world.app("ben").ui().draft(), "");
}

#[test]
fn a_room_was_listed_as_a_person_and_called_muted_where_mentions_ring() {
    let mut world = club(37, &["ben"]);
    opens(&mut world, "ada");
    world.commands("ada", command::parse("/mute mentions").expect("a command"));
    world.settle();
    let screen = world.screen("ada", 110, 34);
    assert!(screen.contains("muted but mentions"), "{screen}");
    world.commands("ada", Command::Status);
    let screen = world.screen("ada", 110, 34);
    assert!(screen.contains("People, with the device") && !screen.contains("#club: not"), "{screen}");
}

#[test]
fn who_types_is_shown_and_a_silenced_one_is_not() {
    let mut world = club(7, &["ben", "cleo"]);
    for who in ["ada", "ben", "cleo"] {
        speaks(&mut world, who, "#club", "hello");
        world.settle();
    }
    world.types("ben", "half a");
    world.passes(200);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("ben is typing"), "{screen}");
    world.types("cleo", "and");
    world.passes(200);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("ben and cleo are typing"), "{screen}");
    world.types("ben", " thought\n");
    world.passes(200);
    let screen = world.screen("ada", 100, 30);
    assert!(screen.contains("cleo is typing") && !screen.contains("ben and"), "{screen}");
    // Who stops is not shown for ever.
    world.passes(30_000);
    assert!(!world.screen("ada", 100, 30).contains("typing"));
    does(&mut world, "ada", "#club", "/silence cleo");
    world.settle();
    world.types("cleo", " more");
    world.passes(200);
    assert!(!world.screen("ben", 100, 30).contains("typing"));
}

#[test]
fn rooms_ring_as_loud_as_each_member_wants() {
    let mut world = club(8, &["ben", "cleo"]);
    for who in ["ada", "ben", "cleo"] {
        opens(&mut world, who);
    }
    world.commands("ben", command::parse("/mute mentions").expect("a command"));
    world.commands("cleo", command::parse("/mute none for 2h").expect("a command"));
    world.settle();
    for who in ["ben", "cleo"] {
        world.event(who, Event::Focus(false));
        world.notified(who);
    }
    speaks(&mut world, "ada", "#club", "nothing much");
    world.settle();
    assert!(world.notified("ben").is_empty() && world.notified("cleo").is_empty());
    speaks(&mut world, "ada", "#club", "look, @ben and @cleo");
    world.settle();
    let rang = world.notified("ben");
    assert_eq!(rang, ["#club: new message"]);
    assert!(world.notified("cleo").is_empty());
    let attention = |world: &mut World, who: &str| {
        let room = world.app(who).chat().room_named("#club").expect("a room");
        (room.kept.unread, room.attention.mentions, room.attention.rings.level)
    };
    assert_eq!(attention(&mut world, "ben"), (2, 1, Level::Mentions));
    assert_eq!(attention(&mut world, "cleo"), (2, 1, Level::None));
    // Kept over a new start, and over when the while is.
    for who in ["ben", "cleo"] {
        world.kill(who);
        world.starts(who);
        world.event(who, Event::Focus(false));
    }
    world.settle();
    assert_eq!(attention(&mut world, "ben").2, Level::Mentions);
    assert_eq!(attention(&mut world, "cleo").2, Level::None);
    world.passes(7_300_000);
    assert_eq!(attention(&mut world, "cleo").2, Level::All);
    world.notified("cleo");
    speaks(&mut world, "ada", "#club", "and now?");
    world.settle();
    assert_eq!(world.notified("cleo").len(), 1);
    // An edit that calls somebody later, and a reaction, ring nobody.
    let id = the(&mut world, "ada", "nothing much").id;
    acts(&mut world, "ada", id, edit("nothing much, @ben"));
    acts(&mut world, "cleo", id, react("👍"));
    world.settle();
    assert!(world.notified("ben").is_empty());
}

#[test]
fn what_is_read_is_right_after_restarts_and_on_every_device() {
    let mut world = club(9, &["ben", "cleo"]);
    world.adds_device("ben", "phone");
    world.passes(5_000);
    for who in ["ben", "phone"] {
        opens(&mut world, who);
        world.event(who, Event::Focus(false));
    }
    world.settle();
    let unread = |world: &mut World, who: &str| {
        let room = world.app(who).chat().room_named("#club").expect("a room");
        (room.kept.unread, room.attention.mentions)
    };
    for text in ["one", "two, @ben", "three"] {
        speaks(&mut world, "ada", "#club", text);
    }
    speaks(&mut world, "cleo", "#club", "four");
    world.settle();
    for who in ["ben", "phone"] {
        assert_eq!(unread(&mut world, who), (4, 1), "{who}");
    }
    let id = the(&mut world, "ada", "two, @ben").id;
    acts(&mut world, "ada", id, LineCommand::Delete);
    world.settle();
    for who in ["ben", "phone"] {
        assert_eq!(unread(&mut world, who), (3, 0), "{who}: what is gone is not unread");
    }
    // Restarts in a row change nothing.
    for _ in 0..3 {
        for who in ["ben", "phone"] {
            world.kill(who);
            world.starts(who);
            world.event(who, Event::Focus(false));
        }
        world.settle();
    }
    // The phone is away while it is read at the desk.
    world.kill("phone");
    opens(&mut world, "ben");
    world.event("ben", Event::Focus(true));
    world.settle();
    assert_eq!(unread(&mut world, "ben"), (0, 0));
    world.starts("phone");
    world.event("phone", Event::Focus(false));
    world.passes(10_000);
    assert_eq!(unread(&mut world, "phone"), (0, 0));
    world.event("ben", Event::Focus(false));
    speaks(&mut world, "cleo", "#club", "five");
    world.settle();
    for who in ["ben", "phone"] {
        assert_eq!(unread(&mut world, who), (1, 0), "{who}");
    }
    // Answering from one is having read on both.
    speaks(&mut world, "phone", "#club", "six");
    world.settle();
    world.passes(5_000);
    assert_eq!(unread(&mut world, "ben"), (0, 0));
    // Read by all: by any device of each.
    opens(&mut world, "ada");
    opens(&mut world, "cleo");
    world.passes(10_000);
    let room = world.app("cleo").chat().room_named("#club").expect("a room").id;
    let five = the(&mut world, "cleo", "five").id;
    let tally = world.app("cleo").tally(room, &five).expect("reads").expect("an own line");
    assert_eq!((tally.delivered, tally.read, tally.of), (2, 2, 2));
}

#[test]
fn a_kill_at_any_moment_keeps_unread_and_lines_of_a_room_in_step() {
    for effects in 0..12 {
        let mut world = club(10, &["ben"]);
        opens(&mut world, "ben");
        world.event("ben", Event::Focus(false));
        world.settle();
        world.kill_after("ben", effects);
        for text in ["one", "two @ben"] {
            speaks(&mut world, "ada", "#club", text);
        }
        world.settle();
        if world.alive("ben") {
            world.kill("ben");
        }
        world.starts("ben");
        world.event("ben", Event::Focus(false));
        world.passes(10_000);
        let room = world.app("ben").chat().room_named("#club").expect("a room");
        let (unread, read) = (room.kept.unread, room.kept.read);
        let lines = world.lines("ben", "#club");
        let counted = lines.iter().skip(read as usize).filter(|line| line.author == Author::Them).count();
        assert_eq!(unread as usize, counted, "after {effects} effects");
        assert_eq!(spoken(&mut world, "ben").len(), 2, "after {effects} effects");
    }
}

#[test]
fn days_stand_between_the_lines_of_a_room_in_one_order_for_all() {
    let mut world = club(11, &["ben", "cleo"]);
    // Ben's clock is two days slow: lines stay in the order in which people answered each other.
    world.clock_off("ben", -2 * DAY as i64);
    speaks(&mut world, "ada", "#club", "on the first day");
    world.settle();
    speaks(&mut world, "ben", "#club", "says a slow clock");
    world.settle();
    world.passes(DAY);
    speaks(&mut world, "cleo", "#club", "on the second day");
    world.settle();
    for who in ["ada", "ben", "cleo"] {
        opens(&mut world, who);
        let screen = world.screen(who, 100, 30);
        let at = |what: &str| screen.find(what).unwrap_or_else(|| panic!("{who}: {what}\n{screen}"));
        assert!(at("Thursday, 1 January 2026") < at("on the first day"), "{screen}");
        assert!(at("on the first day") < at("says a slow clock"), "{screen}");
        assert!(at("says a slow clock") < at("on the second day"), "{screen}");
        assert!(screen.contains("Friday, 2 January 2026"), "{screen}");
    }
}

/// The texts that a search finds, newest first.
fn finds(world: &mut World, who: &str, query: &str) -> Vec<String> {
    let now = world.now();
    let page = world.app(who).search(query, None, 50, now).expect("a query");
    page.hits.into_iter().map(|hit| hit.line.body).collect()
}

#[test]
fn rooms_are_searched_by_person_by_room_and_by_day() {
    let mut world = club(12, &["ben", "cleo"]);
    world.commands("ada", command::parse("/room new mill ben").expect("a command"));
    world.settle();
    world.knows("ada", "ben");
    speaks(&mut world, "ben", "#club", "the old mill at noon");
    world.settle();
    world.passes(DAY);
    speaks(&mut world, "cleo", "#club", "which mill?");
    speaks(&mut world, "ada", "#mill", "this is about the mill");
    world.says("ben", "ada", "the mill, between us");
    world.settle();
    let all = finds(&mut world, "ada", "mill");
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(finds(&mut world, "ada", "mill in:#club"), ["which mill?", "the old mill at noon"]);
    assert_eq!(finds(&mut world, "ada", "mill in:mill"), ["this is about the mill"]);
    assert_eq!(finds(&mut world, "ada", "mill from:ben in:#club"), ["the old mill at noon"]);
    let of_ben = finds(&mut world, "ada", "mill from:ben");
    assert_eq!(of_ben, ["the mill, between us", "the old mill at noon"]);
    assert_eq!(finds(&mut world, "ada", "mill from:cleo"), ["which mill?"]);
    assert_eq!(finds(&mut world, "ada", "mill from:me"), ["this is about the mill"]);
    assert_eq!(finds(&mut world, "ada", "mill on:2026-01-01"), ["the old mill at noon"]);
    assert_eq!(finds(&mut world, "cleo", "mill after:2026-01-01"), ["which mill?"]);
    // Other words are found, the old ones and what was deleted are not; also after a new start.
    let id = the(&mut world, "ben", "the old mill at noon").id;
    acts(&mut world, "ben", id, edit("the old barn at noon"));
    let id = the(&mut world, "cleo", "which mill?").id;
    acts(&mut world, "ada", id, LineCommand::Delete);
    world.settle();
    for _ in 0..2 {
        assert_eq!(finds(&mut world, "ada", "in:#club barn"), ["the old barn at noon"]);
        assert_eq!(finds(&mut world, "ada", "in:#club mill"), [""; 0]);
        world.restarts("ada");
        world.settle();
    }
    // Going there and back by keys.
    opens(&mut world, "ada");
    world.types("ada", "/search barn\n");
    world.settle();
    world.press("ada", KeyCode::Enter, KeyModifiers::NONE);
    world.settle();
    assert!(world.screen("ada", 100, 30).contains("the old barn at noon"));
}

#[test]
fn what_somebody_says_alone_in_a_room_disappears_too() {
    for devices in [1, 2] {
        let mut world = club(60 + devices, &["ben"]);
        if devices == 2 {
            world.adds_device("ada", "laptop");
            world.settle();
        }
        opens(&mut world, "ada");
        world.commands("ada", command::parse("/expire 30s").expect("a command"));
        world.settle();
        does(&mut world, "ben", "#club", "/room leave");
        world.settle();
        speaks(&mut world, "ada", "#club", "is anybody there?");
        world.settle();
        let line = the(&mut world, "ada", "is anybody there?");
        assert_eq!(line.state, LineState::Sent, "{devices} devices");
        world.passes(60_000);
        assert!(!spoken(&mut world, "ada").iter().any(|line| line.body == "is anybody there?"));
    }
}

#[test]
fn what_was_done_to_a_line_is_receipted_by_who_dies_before_they_could_say_so() {
    let mut world = club(63, &["ben"]);
    speaks(&mut world, "ada", "#club", "first");
    world.settle();
    for effects in 0..30 {
        speaks(&mut world, "ada", "#club", &format!("line {effects}"));
        world.settle();
        let id = the(&mut world, "ada", &format!("line {effects}")).id;
        world.kill_after("ben", effects);
        acts(&mut world, "ada", id, LineCommand::Delete);
        world.passes(5_000);
        if world.alive("ben") {
            world.kill("ben");
        }
        world.starts("ben");
        world.passes(30_000);
        let disk = world.disk("ada");
        let left = disk.records.scan(PENDING, &[], &[], Order::Forward, usize::MAX).expect("memory");
        assert!(left.is_empty(), "killed after {effects} effects");
    }
}
