//! Files in rooms of several people: uploaded once, on every disk as they were sent, or it is said why not.

use crate::files::{BIG, Stage, bytes};
use subrosa::chat::timeline::{LINES, LineState};
use subrosa::chat::transfer::Phase;
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::{self, Command};
use subrosa::ui::files::{FilesCommand, Which};
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::content::file::File;
use subrosa_shared::id::MessageId;
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::session::file::{SEALED, sealed_size};
use subrosa_tests::club::{does, id, speaks};
use subrosa_tests::late::Late;
use subrosa_tests::network::Weather;
use subrosa_tests::words::notices;
use subrosa_tests::{Seen, World};

/// Ada's room with the others in it, who all know each other; newcomers get nothing of what was before them.
fn club(seed: u64, others: &[&str], auto_mb: u32) -> Stage {
    let mut stage = Stage { world: World::new(seed), dir: tempfile::tempdir().expect("a folder") };
    for name in ["ada"].iter().chain(others) {
        let config = stage.config(name, auto_mb);
        stage.world.joins_with(name, config);
    }
    stage.world.settle();
    let all: Vec<&str> = ["ada"].iter().chain(others).copied().collect();
    for name in &all {
        for other in all.iter().filter(|other| *other != name) {
            stage.world.knows(name, other);
        }
    }
    let typed = format!("/room new club {}", others.join(" "));
    stage.world.commands("ada", command::parse(&typed).expect("a command"));
    stage.world.settle();
    does(&mut stage.world, "ada", "#club", "/room history 0");
    stage.world.settle();
    stage
}

fn opens(stage: &mut Stage, who: &str) {
    let room = stage.world.app(who).chat().room_named("#club").expect("in that room").id;
    stage.world.commands(who, Command::Open(room));
}

fn gives(stage: &mut Stage, who: &str, path: &std::path::Path) {
    opens(stage, who);
    let path = path.to_string_lossy().into_owned();
    stage.world.commands(who, Command::Attach { to: None, path, caption: "for all of you".into() });
}

fn files(stage: &mut Stage, who: &str) -> Vec<(MessageId, File)> {
    let lines = stage.world.lines(who, "#club").into_iter();
    lines.filter_map(|line| Some((line.id, line.more.file?.file))).collect()
}

#[test]
fn a_file_is_uploaded_once_and_all_members_have_it() {
    let mut stage = club(1, &["ben", "cleo", "dan"], 5);
    let path = stage.file("plan.txt", 100_000);
    stage.world.seen();
    gives(&mut stage, "ada", &path);
    stage.world.settle();
    assert_eq!(stage.world.relay().blobs().total(), sealed_size(100_000), "once");
    for who in ["ben", "cleo", "dan"] {
        assert_eq!(stage.content(who, "plan.txt"), bytes(100_000), "{who}");
        let line = stage.world.lines(who, "#club").pop().expect("there is one");
        assert_eq!(line.more.by.as_ref().map(|by| by.as_str()), Some("ada"), "{who}");
        opens(&mut stage, who);
        let screen = stage.world.screen(who, 100, 30);
        assert!(screen.contains("# plan.txt") && screen.contains("for all of you"), "{screen}");
    }
    assert!(stage.world.marks("ada", "#club").iter().all(|mark| *mark >= LineState::Delivered));
    // Told of in one request, whose body is sealed once for all of them.
    let told = stage.world.seen().into_iter().filter_map(|seen| match seen {
        Seen::From(who, ToRelay::Send(outgoing)) if who == "ada" && outgoing.to.len() == 3 => Some(outgoing),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1);
    // A member answers with one of their own, and acts on it.
    let answer = stage.file("answer.txt", 2_000);
    gives(&mut stage, "dan", &answer);
    stage.world.settle();
    let id = files(&mut stage, "ben")[1].0;
    stage.world.commands("ben", Command::Line(Some(id), LineCommand::React(Some("👍".into()), None)));
    stage.world.settle();
    assert_eq!(stage.content("ada", "answer.txt"), bytes(2_000));
    let line = stage.world.lines("dan", "#club").pop().expect("there is one");
    assert_eq!(line.signs().len(), 1);
}

#[test]
fn who_was_away_gets_it_later_though_the_relay_and_its_author_were_killed_meanwhile() {
    let mut stage = club(2, &["ben", "cleo", "dan"], 100);
    stage.world.kill("dan");
    let path = stage.file("film.mkv", BIG);
    gives(&mut stage, "ada", &path);
    stage.world.passes(300);
    let half = stage.world.relay().blobs().total();
    assert!(half > 0);
    stage.world.relay_crashes();
    stage.world.passes(200);
    stage.world.start_relay();
    stage.world.passes(550);
    stage.world.restarts("ada");
    stage.world.passes(300);
    stage.world.restarts("cleo");
    stage.world.passes(60_000);
    stage.world.settle();
    for who in ["ben", "cleo"] {
        assert!(stage.content(who, "film.mkv") == bytes(BIG), "{who}");
    }
    // Ada is gone for good; it lies at the relay.
    stage.world.kill("ada");
    stage.world.starts("dan");
    stage.world.passes(30_000);
    assert!(stage.content("dan", "film.mkv") == bytes(BIG));
    for who in ["ben", "cleo", "dan"] {
        assert_eq!(files(&mut stage, who).len(), 1, "{who} was told of it once");
        assert_eq!(stage.saved(who), ["film.mkv"], "{who}");
    }
}

#[test]
fn all_follow_an_upload_while_it_still_goes_on() {
    let mut stage = club(3, &["ben", "cleo"], 100);
    let path = stage.file("film.mkv", BIG);
    gives(&mut stage, "ada", &path);
    stage.world.passes(700);
    let up = stage.newest("ada").done;
    for who in ["ben", "cleo"] {
        let down = stage.newest(who).done;
        assert!(down > 0 && up < BIG as u64 && down <= up, "{who}: {down} of {up}");
        assert!(
            stage.saved(who).iter().all(|name| name.starts_with(".subrosa-")),
            "hidden until it is whole"
        );
    }
    for who in ["ada", "ben", "cleo"] {
        opens(&mut stage, who);
        let screen = stage.world.screen(who, 120, 30);
        assert!(screen.contains("% of 2.6 MB") && screen.contains("left"), "{who}: {screen}");
    }
    stage.world.settle();
    for who in ["ben", "cleo"] {
        assert!(stage.content(who, "film.mkv") == bytes(BIG), "{who}");
    }
}

/// Somebody new in the room, whom nobody knows.
fn eve_comes(stage: &mut Stage) {
    let config = stage.config("eve", 5);
    stage.world.joins_with("eve", config);
    stage.world.settle();
    does(&mut stage.world, "ada", "#club", "/invite eve");
    stage.world.settle();
    speaks(&mut stage.world, "ada", "#club", "welcome");
    stage.world.passes(10_000);
}

#[test]
fn only_a_contacts_file_comes_by_itself() {
    let mut stage = club(12, &["ben"], 5);
    eve_comes(&mut stage);
    let path = stage.file("plan.txt", 1_000);
    gives(&mut stage, "eve", &path);
    stage.world.passes(10_000);
    assert_eq!(stage.newest("ben").kept.phase, Phase::Offered);
    assert!(stage.saved("ben").is_empty(), "{:?}", stage.saved("ben"));
    stage.does("ben", FilesCommand::Save(Which::Newest, None));
    stage.world.passes(10_000);
    assert_eq!(stage.content("ben", "plan.txt"), bytes(1_000));
    stage.world.knows("ben", "eve");
    let path = stage.file("other.txt", 2_000);
    gives(&mut stage, "eve", &path);
    stage.world.passes(10_000);
    assert_eq!(stage.content("ben", "other.txt"), bytes(2_000));
}

#[test]
fn two_clients_with_one_folder_for_files_have_it_there_once() {
    let mut stage = club(13, &["ben"], 100);
    eve_comes(&mut stage);
    let path = stage.file("film.mkv", BIG);
    gives(&mut stage, "ada", &path);
    stage.world.passes(500);
    let folder = stage.folder("ben").to_string_lossy().into_owned();
    stage.does("eve", FilesCommand::Save(Which::Newest, Some(folder)));
    assert_eq!(stage.newest("eve").why(), "another subrosa on this machine fetches it there");
    stage.world.passes(60_000);
    assert_eq!(stage.saved("ben"), ["film.mkv"]);
    assert!(stage.content("ben", "film.mkv") == bytes(BIG));
    let path = stage.folder("ben").join("film.mkv");
    for who in ["ben", "eve"] {
        let kept = stage.newest(who).kept;
        assert_eq!((kept.phase, kept.path), (Phase::Done, Some(path.clone())), "{who}");
    }
}

#[test]
fn a_newcomer_has_no_key_of_what_was_given_before_unless_a_member_gives_it() {
    let mut stage = club(4, &["ben"], 5);
    let path = stage.file("plan.txt", 50_000);
    gives(&mut stage, "ada", &path);
    stage.world.settle();
    eve_comes(&mut stage);
    stage.world.knows("eve", "ben");
    assert!(stage.world.app("eve").chat().transfers.is_empty() && stage.saved("eve").is_empty());
    let total = stage.world.relay().blobs().total();
    // Ben has it and hands it on: the relay keeps one copy, nothing is uploaded.
    let id = files(&mut stage, "ben")[0].0;
    let room = stage.world.app("ben").chat().room_named("#club").expect("in that room").id;
    stage.world.commands("ben", Command::Open(room));
    stage.world.commands("ben", Command::Line(Some(id), LineCommand::ForwardTo(room)));
    stage.world.passes(10_000);
    assert_eq!(stage.content("eve", "plan.txt"), bytes(50_000));
    assert_eq!(stage.world.relay().blobs().total(), total);
    let line = stage.world.lines("eve", "#club").pop().expect("there is one");
    assert_eq!(line.more.by.as_ref().map(|by| by.as_str()), Some("ben"));
    // Who was removed is told of nothing that is given later.
    does(&mut stage.world, "ada", "#club", "/kick eve");
    stage.world.settle();
    let later = stage.file("later.txt", 1_000);
    gives(&mut stage, "ada", &later);
    stage.world.passes(10_000);
    assert_eq!(stage.saved("eve"), ["plan.txt"]);
    notices(&mut stage.world, "eve");
    gives(&mut stage, "eve", &path);
    stage.world.settle();
    assert!(notices(&mut stage.world, "eve").contains("you are not in #club any more"));
    // A small one takes as much as the disk gives at once.
    assert!(stage.world.relay().blobs().total() <= total + 4096, "nothing of eve's");
}

#[test]
fn taking_it_back_reaches_every_member() {
    let mut stage = club(5, &["ben", "cleo"], 0);
    let path = stage.file("film.mkv", BIG);
    gives(&mut stage, "ada", &path);
    stage.world.passes(500);
    stage.does("ben", FilesCommand::Save(Which::Newest, None));
    stage.world.passes(200);
    stage.does("ada", FilesCommand::Cancel(Which::Newest));
    stage.world.passes(90_000);
    assert_eq!(stage.world.relay().blobs().total(), 0);
    stage.does("cleo", FilesCommand::Save(Which::Newest, None));
    stage.world.passes(90_000);
    for who in ["ben", "cleo"] {
        let Phase::Failed(why) = stage.newest(who).kept.phase else { panic!("{:?}", stage.newest(who)) };
        assert!(why.contains("taken back"), "{who}: {why}");
        assert!(stage.saved(who).iter().all(|name| name.starts_with('.')), "{who}");
        opens(&mut stage, who);
        assert!(stage.world.screen(who, 120, 30).contains("taken back"), "{who}");
    }
}

#[test]
fn a_silenced_member_is_told_and_gives_nothing() {
    let mut stage = club(6, &["ben", "cleo"], 5);
    does(&mut stage.world, "ada", "#club", "/silence ben");
    stage.world.settle();
    notices(&mut stage.world, "ben");
    let path = stage.file("plan.txt", 1_000);
    gives(&mut stage, "ben", &path);
    stage.world.settle();
    assert!(notices(&mut stage.world, "ben").contains("you were silenced in #club"));
    assert_eq!(stage.world.relay().blobs().total(), 0);
    assert!(files(&mut stage, "cleo").is_empty());
}

#[test]
fn loss_repeats_and_restarts_leave_every_file_whole_and_once() {
    for seed in 0..3 {
        let mut stage = club(70 + seed, &["ben", "cleo", "dan"], 100);
        stage.world.weather(Weather { delay: 20, jitter: 30, cut: 20, ..Weather::default() });
        (stage.world.mischief.repeat, stage.world.mischief.late) = (200, 200);
        for (i, who) in ["ada", "ben", "cleo", "dan"].into_iter().enumerate() {
            let path = stage.file(&format!("{who}.bin"), 200_000 + i);
            gives(&mut stage, who, &path);
            stage.world.passes(150);
            stage.world.restarts(["cleo", "ada", "dan", "ben"][i]);
            stage.world.passes(400);
        }
        stage.world.passes(60_000);
        stage.world.weather(Weather::default());
        stage.world.mischief = Default::default();
        for who in ["ada", "ben", "cleo", "dan"] {
            stage.world.cut(who);
        }
        stage.world.passes(120_000);
        for who in ["ada", "ben", "cleo", "dan"] {
            let mut want: Vec<(String, usize)> = ["ada", "ben", "cleo", "dan"]
                .into_iter()
                .enumerate()
                .filter(|(_, other)| *other != who)
                .map(|(i, other)| (format!("{other}.bin"), 200_000 + i))
                .collect();
            want.sort();
            let names: Vec<String> = want.iter().map(|(name, _)| name.clone()).collect();
            assert_eq!(stage.saved(who), names, "{seed} {who}");
            for (name, size) in want {
                assert!(stage.content(who, &name) == bytes(size), "{seed} {who} {name}");
            }
            assert_eq!(files(&mut stage, who).len(), 4, "{seed} {who}");
        }
    }
}

/// What a hostile relay makes of the bytes of the blobs.
type Spoils = fn(&mut Stage);

#[test]
fn a_relay_that_serves_something_else_is_refused_in_a_sentence_and_no_name_appears() {
    let ways: [(&str, Spoils); 5] = [
        ("a flipped bit", |stage| stage.world.relay_files().spoil(|bytes| bytes[2 * SEALED + 99] ^= 1)),
        ("a flipped bit of the last tag", |stage| {
            stage.world.relay_files().spoil(|bytes| *bytes.last_mut().expect("not empty") ^= 0x80);
        }),
        ("a chunk twice", |stage| {
            stage.world.relay_files().spoil(|bytes| bytes.copy_within(..SEALED, SEALED));
        }),
        ("zeros", |stage| stage.world.relay_files().spoil(|bytes| bytes.fill(0))),
        ("another blob of the same size", |stage| {
            let mut both = Vec::new();
            stage.world.relay_files().spoil(|bytes| both.push(bytes.clone()));
            stage.world.relay_files().spoil(|bytes| *bytes = both.pop().expect("as many"));
        }),
    ];
    for (way, spoils) in ways {
        let mut stage = club(8, &["ben", "cleo"], 0);
        for name in ["one.bin", "two.bin"] {
            let path = stage.file(name, 5 * 64 * 1024);
            gives(&mut stage, "ada", &path);
            stage.world.settle();
        }
        spoils(&mut stage);
        for who in ["ben", "cleo"] {
            for nth in [1, 2] {
                stage.does(who, FilesCommand::Save(Which::Nth(nth), None));
                stage.world.passes(5_000);
                let transfer = stage.world.app(who).chat().transfers[nth - 1].clone();
                let Phase::Failed(why) = &transfer.kept.phase else { panic!("{way}: {transfer:?}") };
                assert!(why.contains("not what was sent") && why.contains("/files resume"), "{way}: {why}");
            }
            assert!(
                stage.saved(who).iter().all(|name| name.starts_with('.')),
                "{way}: {:?}",
                stage.saved(who)
            );
        }
    }
}

#[test]
fn a_relay_that_has_only_a_part_of_it_leaves_it_waiting_and_says_so() {
    let mut stage = club(9, &["ben"], 0);
    let path = stage.file("film.mkv", BIG);
    gives(&mut stage, "ada", &path);
    stage.world.settle();
    stage.world.relay_files().spoil(|bytes| bytes.truncate(7 * SEALED + 5));
    stage.does("ben", FilesCommand::Save(Which::Newest, None));
    stage.world.passes(20_000);
    let waiting = stage.newest("ben");
    assert_eq!((waiting.kept.phase.clone(), waiting.done), (Phase::Active, 7 * 64 * 1024), "{waiting:?}");
    assert!(waiting.said().starts_with("waits at 17 %"), "{}", waiting.said());
    opens(&mut stage, "ben");
    assert!(stage.world.screen("ben", 120, 30).contains("waits at 17 %"));
    assert!(stage.saved("ben").iter().all(|name| name.starts_with('.')));
}

#[test]
fn what_a_member_told_of_a_file_gives_way_to_what_its_author_says() {
    let mut stage = club(11, &["ben"], 0);
    does(&mut stage.world, "ada", "#club", "/room history 100");
    let config = stage.config("cleo", 0);
    stage.world.joins_with("cleo", config);
    stage.world.is_wary("cleo");
    stage.world.settle();
    does(&mut stage.world, "ada", "#club", "/invite cleo");
    stage.world.settle();
    let late = Late::new(&mut stage.world, "cleo", |delivery| delivery.name.as_str() == "ben");
    let path = stage.file("plan.txt", 5_000);
    gives(&mut stage, "ben", &path);
    stage.world.settle();
    stage.world.rewrites("ada", |batch, place, mut line| {
        if let Some(attached) = &mut line.more.file {
            (attached.file.name, attached.file.blob) = ("other.txt".into(), BlobId([9; 16]));
            batch.put(LINES, place, line.encode());
        }
    });
    let room = id(&mut stage.world, "cleo", "#club");
    stage.world.commands("cleo", Command::Room(Some(room), RoomCommand::Accept));
    stage.world.settle();
    stage.world.passes(2_000);
    stage.does("cleo", FilesCommand::Save(Which::Newest, None));
    stage.world.passes(2_000);
    assert_eq!(stage.newest("cleo").kept.name, "other.txt");
    late.comes();
    speaks(&mut stage.world, "ben", "#club", "that is the plan");
    stage.world.settle();
    assert_eq!(stage.world.app("cleo").chat().transfers.len(), 1);
    let newest = stage.newest("cleo").kept;
    assert_eq!((newest.name.as_str(), newest.phase), ("plan.txt", Phase::Offered));
    stage.does("cleo", FilesCommand::Save(Which::Newest, None));
    stage.world.passes(5_000);
    assert_eq!(stage.content("cleo", "plan.txt"), bytes(5_000));
    assert_eq!(stage.saved("cleo"), ["plan.txt"]);
}

#[test]
fn a_relay_that_keeps_it_from_one_member_is_betrayed_by_the_marks() {
    let mut stage = club(10, &["ben", "cleo"], 5);
    stage.world.liar = Some(Box::new(|who, frame| match frame {
        ToDevice::Deliver(_) if who == "cleo" => Vec::new(),
        frame => vec![frame],
    }));
    let path = stage.file("plan.txt", 1_000);
    gives(&mut stage, "ada", &path);
    stage.world.settle();
    assert_eq!(stage.saved("ben"), ["plan.txt"]);
    let (id, room) = (files(&mut stage, "ada")[0].0, stage.world.app("ada").chat().room_named("#club"));
    let room = room.expect("a room").id;
    let tally = stage.world.app("ada").tally(room, &id).expect("reads").expect("an own line");
    assert_eq!((tally.delivered, tally.of), (1, 2));
    assert_eq!(stage.world.marks("ada", "#club").last(), Some(&LineState::Sent));
    // As soon as it lets it through it is there.
    stage.world.liar = None;
    stage.world.cut("cleo");
    stage.world.passes(10_000);
    assert_eq!(stage.saved("cleo"), ["plan.txt"]);
}
