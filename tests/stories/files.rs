//! Files: they arrive as they were sent, through kills on all sides, or it is said why not.

use crossterm::event::{KeyCode, KeyModifiers};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use subrosa::chat::talk::PENDING;
use subrosa::chat::timeline::{Author, LineState};
use subrosa::chat::transfer::{Phase, TRANSFERS, Transfer};
use subrosa::config::Config;
use subrosa::effect::Happened;
use subrosa::event::Event;
use subrosa::files::Report;
use subrosa::ui::act::LineCommand;
use subrosa::ui::command::Command;
use subrosa::ui::files::{FilesCommand, Which};
use subrosa_shared::id::{AccountName, MessageId};
use subrosa_shared::session::file::SEALED;
use subrosa_shared::store::{Order, Rows, Table};
use subrosa_tests::World;

/// A world with a folder for what is sent, and one for each person's downloads.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) dir: tempfile::TempDir,
}

impl Stage {
    /// People who know each other; files up to so many megabytes are fetched by themselves.
    pub(crate) fn new(seed: u64, names: &[&str], auto_mb: u32) -> Self {
        let mut stage = Self { world: World::new(seed), dir: tempfile::tempdir().expect("a folder") };
        for name in names {
            let config = stage.config(name, auto_mb);
            stage.world.joins_with(name, config);
        }
        stage.world.settle();
        stage.world.says(names[0], names[1], "hello");
        stage.world.settle();
        stage.world.says(names[1], names[0], "hello");
        stage.world.settle();
        stage.world.knows(names[0], names[1]);
        stage.world.knows(names[1], names[0]);
        stage
    }

    pub(crate) fn config(&self, name: &str, auto_mb: u32) -> Config {
        let mut config = Config::default();
        config.vault.idle_lock = "off".into();
        config.files.auto_mb = auto_mb;
        config.files.folder = self.folder(name).to_string_lossy().into_owned();
        config
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("of {name}"))
    }

    /// Makes a file of that many bytes; its path.
    pub(crate) fn file(&self, name: &str, size: usize) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes(size)).expect("written");
        path
    }

    fn sends(&mut self, name: &str, to: &str, path: &Path) {
        let to = Some(AccountName::parse(to).expect("valid"));
        let path = path.to_string_lossy().into_owned();
        self.world.commands(name, Command::Attach { to, path, caption: String::new() });
    }

    pub(crate) fn does(&mut self, name: &str, command: FilesCommand) {
        self.world.commands(name, Command::Files(command));
    }

    /// The newest file of a person's list.
    pub(crate) fn newest(&mut self, name: &str) -> Transfer {
        self.world.app(name).chat().transfers.first().expect("there is a file").clone()
    }

    /// The names in somebody's folder, hidden ones too.
    pub(crate) fn saved(&self, name: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder(name)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("reads").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    pub(crate) fn content(&self, name: &str, file: &str) -> Vec<u8> {
        std::fs::read(self.folder(name).join(file)).expect("it is there")
    }

    /// States that scripts of that person were told, without repeats.
    pub(crate) fn states(&mut self, name: &str) -> Vec<&'static str> {
        let told = self.world.told(name).into_iter().filter_map(|told| match told {
            Happened::File { state, .. } => Some(state),
            _ => None,
        });
        let mut states: Vec<_> = told.collect();
        states.dedup();
        states
    }

    pub(crate) fn notices(&mut self, name: &str) -> String {
        let told = self.world.told(name).into_iter().filter_map(|told| match told {
            Happened::Notice { text, .. } => Some(text),
            _ => None,
        });
        told.collect::<Vec<_>>().join("\n")
    }
}

pub(crate) fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 31 % 251) as u8).collect()
}

pub(crate) const BIG: usize = 40 * 64 * 1024 + 5;

#[test]
fn a_fetch_that_a_full_disk_held_up_past_a_new_connection_goes_on() {
    for pause in [0, 5, 20, 50, 200, 1000] {
        let mut stage = Stage::new(40, &["ada", "ben"], 5);
        stage.world.disk_fills("ben");
        let path = stage.file("cat.bin", 70_000);
        stage.sends("ada", "ben", &path);
        stage.world.passes(200);
        stage.world.cut("ben");
        stage.world.passes(pause);
        stage.world.disk_empties("ben");
        stage.world.passes(120_000);
        assert!(
            matches!(stage.newest("ben").kept.phase, Phase::Done),
            "{pause} ms: {:?}",
            stage.newest("ben").kept.phase
        );
        assert_eq!(stage.saved("ben"), ["cat.bin"], "{pause} ms");
    }
}

/// Two people say hello, and write down each other's names.
fn they_meet(stage: &mut Stage, one: &str, other: &str) {
    for (name, to) in [(one, other), (other, one)] {
        stage.world.says(name, to, "hello");
        stage.world.settle();
    }
    stage.world.knows(one, other);
    stage.world.knows(other, one);
}

/// Ben fetches two files of Ada's that she does not go on sending.
fn two_files_stand_still(stage: &mut Stage) {
    for name in ["one", "two"] {
        let path = stage.file(name, BIG);
        stage.sends("ada", "ben", &path);
    }
    stage.world.passes(400);
    stage.world.cuts_off("ada", false);
    stage.world.passes(1_000);
    assert_eq!(fetched(stage), ["two", "one"]);
}

/// What Ben fetches at this moment.
fn fetched(stage: &mut Stage) -> Vec<String> {
    let transfers = stage.world.app("ben").chat().transfers.iter();
    transfers.filter(|it| it.word() == "downloading").map(|it| it.kept.name.clone()).collect()
}

#[test]
fn who_sends_files_does_not_hold_up_what_is_sent_meanwhile() {
    let mut stage = Stage::new(28, &["ada", "ben", "cleo"], 5);
    they_meet(&mut stage, "ben", "cleo");
    two_files_stand_still(&mut stage);
    let path = stage.file("contract.txt", 10);
    stage.sends("ben", "cleo", &path);
    stage.world.passes(3_000);
    assert_eq!(stage.saved("cleo"), ["contract.txt"]);
    assert_eq!(fetched(&mut stage), ["two", "one"], "nor do they stand back for it");
}

#[test]
fn what_comes_by_itself_does_not_hold_up_what_was_asked_for() {
    let mut stage = Stage::new(29, &["ada", "ben", "cleo"], 5);
    they_meet(&mut stage, "ben", "cleo");
    let path = stage.file("film.mkv", 2 * BIG);
    stage.sends("cleo", "ben", &path);
    stage.world.settle();
    let film = stage.newest("ben");
    assert_eq!(film.kept.phase, Phase::Offered);
    two_files_stand_still(&mut stage);
    stage.does("ben", FilesCommand::Save(Which::Of(film.id), None));
    assert_eq!(fetched(&mut stage), ["one", "film.mkv"], "the newer one stands back");
    stage.world.passes(5_000);
    assert_eq!(stage.content("ben", "film.mkv"), bytes(2 * BIG));
    assert_eq!(fetched(&mut stage), ["two", "one"]);
    stage.world.is_back("ada");
    stage.world.passes(60_000);
    assert_eq!(stage.saved("ben"), ["film.mkv", "one", "two"]);
}

#[test]
fn of_a_file_that_the_relay_does_not_have_nothing_is_left_in_the_folder() {
    let mut stage = Stage::new(27, &["ada", "ben"], 0);
    let path = stage.file("a.txt", 1000);
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    let id = stage.newest("ada").id;
    stage.does("ada", FilesCommand::Cancel(Which::Of(id)));
    stage.world.settle();
    stage.does("ben", FilesCommand::Save(Which::Newest, None));
    stage.world.settle();
    assert!(matches!(stage.newest("ben").kept.phase, Phase::Failed(_)), "{:?}", stage.newest("ben"));
    assert_eq!(stage.saved("ben"), Vec::<String>::new());
}

#[test]
fn nobody_learns_that_a_file_lies_in_a_folder_where_it_is_to_be_saved() {
    for restarted in [false, true] {
        let mut stage = Stage::new(26, &["ada", "ben"], 0);
        let path = stage.file("a.txt", 1000);
        stage.sends("ada", "ben", &path);
        stage.world.settle();
        let id = stage.newest("ada").id;
        stage.does("ada", FilesCommand::Cancel(Which::Of(id)));
        stage.world.settle();
        if restarted {
            stage.world.relay_crashes();
        }
        // The very file lies there. That it is not fetched would tell the relay.
        let folder = stage.dir.path().to_string_lossy().into_owned();
        stage.does("ben", FilesCommand::Save(Which::Newest, Some(folder)));
        if restarted {
            stage.world.restarts("ben");
            stage.world.start_relay();
        }
        stage.world.passes(5_000);
        let Phase::Failed(why) = stage.newest("ben").kept.phase else { panic!("{:?}", stage.newest("ben")) };
        assert!(why.contains("taken back"), "the relay was asked: {why}");
    }
}

#[test]
fn a_small_file_comes_by_itself_under_a_safe_name() {
    let mut stage = Stage::new(1, &["ada", "ben"], 5);
    let path = stage.file("my notes.txt", 100_000);
    stage.states("ada");
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    assert_eq!(stage.saved("ben"), ["my notes.txt"]);
    assert_eq!(stage.content("ben", "my notes.txt"), bytes(100_000));
    let (mine, theirs) = (stage.newest("ada"), stage.newest("ben"));
    assert_eq!((mine.kept.phase, theirs.kept.phase.clone()), (Phase::Done, Phase::Done));
    assert_eq!(theirs.kept.path, Some(stage.folder("ben").join("my notes.txt")));
    assert_eq!(stage.states("ada"), ["waiting", "uploading", "done"]);
    assert_eq!(stage.world.timeline("ben", "ada")[2], "my notes.txt (100.0 kB)");
    assert_eq!(stage.world.marks("ada", "ben").last(), Some(&LineState::Read));
    let screen = stage.world.screen("ben", 100, 30);
    assert!(screen.contains("# my notes.txt") && screen.contains("saved as"), "{screen}");
    // Another one of that name: nothing is written over. Once more: it is there.
    for _ in 0..2 {
        let path = stage.file("my notes.txt", 100_001);
        stage.sends("ada", "ben", &path);
        stage.world.settle();
        assert_eq!(stage.newest("ben").kept.path, Some(stage.folder("ben").join("my notes (2).txt")));
        assert_eq!(stage.saved("ben"), ["my notes (2).txt", "my notes.txt"]);
    }
}

#[test]
fn a_file_that_was_saved_while_the_profiles_disk_was_full_is_not_saved_again() {
    let mut stage = Stage::new(23, &["ada", "ben"], 5);
    let path = stage.file("cat.bin", BIG);
    stage.sends("ada", "ben", &path);
    stage.world.passes(700);
    let half = stage.newest("ben").done;
    assert!(half > 0 && half < BIG as u64, "in the middle: {half}");
    stage.world.disk_fills("ben");
    stage.world.passes(5_000);
    assert_eq!(stage.saved("ben"), ["cat.bin"]);
    stage.world.kill("ben");
    stage.world.disk_empties("ben");
    stage.world.starts("ben");
    assert_eq!(stage.newest("ben").kept.phase, Phase::Active, "nothing was written down of it");
    stage.world.passes(30_000);
    let kept = stage.newest("ben").kept;
    assert_eq!((kept.phase, kept.path), (Phase::Done, Some(stage.folder("ben").join("cat.bin"))));
    assert_eq!(stage.saved("ben"), ["cat.bin"]);
}

#[test]
fn a_saved_file_that_was_deleted_afterwards_could_not_be_fetched_again() {
    let mut stage = Stage::new(51, &["ada", "ben"], 5);
    let path = stage.file("cat.bin", 70_000);
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    let (id, here) = (stage.newest("ben").id, stage.folder("ben").join("cat.bin"));
    for gone in [false, true] {
        if gone {
            std::fs::remove_file(&here).expect("it was saved");
        }
        stage.does("ben", FilesCommand::Save(Which::Newest, None));
        stage.world.settle();
        assert_eq!(stage.saved("ben"), ["cat.bin"], "once, gone: {gone}");
        assert_eq!(stage.content("ben", "cat.bin"), bytes(70_000));
        let kept = stage.newest("ben").kept;
        assert_eq!((kept.phase, kept.path.as_deref()), (Phase::Done, Some(here.as_path())));
    }
    let there = stage.dir.path().join("there");
    let folder = there.to_string_lossy().into_owned();
    stage.does("ben", FilesCommand::Save(Which::Of(id), Some(folder)));
    stage.world.settle();
    assert_eq!(std::fs::read(there.join("cat.bin")).expect("it came once more"), bytes(70_000));
    assert_eq!(stage.newest("ben").kept.path, Some(there.join("cat.bin")));
    assert_eq!(stage.saved("ben"), ["cat.bin"], "and stays where it was");
    // Without its message there is no key.
    deletes(&mut stage, "ada", id);
    stage.notices("ben");
    stage.does("ben", FilesCommand::Save(Which::Of(id), None));
    assert!(stage.notices("ben").contains("its message is gone"));
    assert_eq!(stage.newest("ben").kept.phase, Phase::Done);
}

#[test]
fn a_long_list_of_files_lay_over_what_its_keys_said() {
    let mut stage = Stage::new(53, &["ada", "ben"], 5);
    for number in 0..8 {
        let path = stage.file(&format!("{number}.txt"), 9);
        stage.sends("ada", "ben", &path);
    }
    stage.world.settle();
    stage.world.screen("ada", 80, 24);
    stage.world.press("ada", KeyCode::F(7), KeyModifiers::NONE);
    stage.world.press("ada", KeyCode::Char('v'), KeyModifiers::NONE);
    let screen = stage.world.screen("ada", 80, 24);
    assert!(screen.contains("8 ^ 0.txt"), "{screen}");
    assert!(screen.contains("that file is no PNG"), "{screen}");
}

#[test]
fn an_edit_of_a_file_was_taken_and_seen_nowhere() {
    let mut stage = Stage::new(52, &["ada", "ben"], 5);
    let path = stage.file("roof.txt", 2);
    stage.world.says("ada", "ben", "at eight");
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    let id = stage.newest("ada").id;
    stage.notices("ada");
    // Of the own lines the newest that can be edited is meant.
    stage.world.press("ada", KeyCode::Up, KeyModifiers::NONE);
    assert!(!stage.notices("ada").contains("a file cannot be edited"));
    let screen = stage.world.screen("ada", 80, 24);
    assert!(screen.contains("editing \"at eight\""), "{screen}");
    stage.world.press("ada", KeyCode::Esc, KeyModifiers::NONE);
    let edit = LineCommand::Edit(Some("another caption".into()));
    stage.world.commands("ada", Command::Line(Some(id), edit));
    stage.world.settle();
    assert!(stage.notices("ada").contains("a file cannot be edited"));
    for (who, with) in [("ada", "ben"), ("ben", "ada")] {
        assert!(stage.world.timeline(who, with).contains(&"roof.txt (2 B)".into()), "{who}");
    }
}

#[test]
fn a_large_file_waits_until_it_is_wanted_and_both_see_how_far_it_is() {
    let mut stage = Stage::new(2, &["ada", "ben"], 1);
    let path = stage.file("film.mkv", BIG);
    stage.sends("ada", "ben", &path);
    stage.world.passes(300);
    let screen = stage.world.screen("ben", 100, 30);
    assert!(screen.contains("# film.mkv") && screen.contains("/files save fetches it"), "{screen}");
    assert!(stage.newest("ada").done < BIG as u64, "the upload still goes on");
    // What is there comes while the rest still goes up.
    stage.does("ben", FilesCommand::Save(Which::Newest, None));
    stage.world.passes(400);
    let (up, down) = (stage.newest("ada"), stage.newest("ben"));
    assert!(down.done > 0 && down.done < BIG as u64 && up.done < BIG as u64, "{} {}", up.done, down.done);
    for name in ["ada", "ben"] {
        let screen = stage.world.screen(name, 100, 30);
        assert!(screen.contains("% of 2.6 MB"), "{screen}");
    }
    assert!(stage.saved("ben").iter().all(|name| name.starts_with(".subrosa-")), "hidden until it is whole");
    stage.world.settle();
    assert_eq!(stage.saved("ben"), ["film.mkv"]);
    assert_eq!(stage.content("ben", "film.mkv"), bytes(BIG));
}

#[test]
fn kills_on_all_sides_only_delay_a_file() {
    let mut stage = Stage::new(3, &["ada", "ben"], 100);
    let path = stage.file("film.mkv", BIG);
    stage.sends("ada", "ben", &path);
    stage.world.passes(300);
    stage.world.relay_crashes();
    stage.world.passes(200);
    stage.world.start_relay();
    stage.world.passes(550);
    let stored = stage.world.relay().blobs().total();
    assert!(stored > 0);
    let before = stage.newest("ada").done;
    assert!(before > 0 && before < BIG as u64, "in the middle: {before}");
    stage.world.restarts("ada");
    stage.world.passes(700);
    assert!(stage.newest("ada").done >= before, "it went on where it was");
    stage.world.restarts("ben");
    stage.world.passes(300);
    stage.world.cut("ada");
    stage.world.cut("ben");
    stage.world.passes(60_000);
    stage.world.settle();
    assert_eq!(stage.saved("ben"), ["film.mkv"], "{:?}", stage.newest("ben"));
    assert_eq!(Sha256::digest(stage.content("ben", "film.mkv")), Sha256::digest(bytes(BIG)));
    let told = stage.world.timeline("ben", "ada");
    assert_eq!(told.iter().filter(|text| text.contains("film.mkv")).count(), 1, "told of once");
}

#[test]
fn a_file_is_halted_and_goes_on() {
    let mut stage = Stage::new(4, &["ada", "ben"], 100);
    let path = stage.file("film.mkv", BIG);
    stage.sends("ada", "ben", &path);
    stage.world.passes(300);
    stage.does("ada", FilesCommand::Pause(Which::Newest));
    stage.does("ben", FilesCommand::Pause(Which::Newest));
    stage.world.passes(120_000);
    let halted = (stage.newest("ada").done, stage.newest("ben").done);
    stage.world.restarts("ada");
    stage.world.passes(60_000);
    assert_eq!(stage.newest("ada").kept.phase, Phase::Paused, "also after a restart");
    assert!(stage.world.screen("ada", 100, 30).contains("paused at"), "and it is said");
    stage.does("ada", FilesCommand::Resume(Which::Newest));
    stage.does("ben", FilesCommand::Resume(Which::Newest));
    stage.world.passes(30_000);
    assert!(halted.0 < BIG as u64 && halted.1 < BIG as u64);
    assert_eq!(stage.content("ben", "film.mkv"), bytes(BIG));
}

#[test]
fn taking_a_file_back_frees_the_relay_and_the_other_end_is_told() {
    let mut stage = Stage::new(5, &["ada", "ben"], 0);
    let path = stage.file("film.mkv", BIG);
    for millis in [300, 60_000] {
        // In the middle, and when all of it is there.
        stage.sends("ada", "ben", &path);
        stage.world.passes(millis);
        assert!(stage.world.relay().blobs().total() > BIG as u64);
        let id = stage.newest("ada").id;
        stage.does("ada", FilesCommand::Cancel(Which::Of(id)));
        stage.world.settle();
        assert_eq!(stage.world.relay().blobs().total(), 0);
        assert_eq!(stage.newest("ada").kept.phase, Phase::Cancelled);
        stage.does("ben", FilesCommand::Save(Which::Of(id), None));
        stage.world.settle();
        let Phase::Failed(why) = stage.newest("ben").kept.phase else { panic!("{:?}", stage.newest("ben")) };
        assert!(why.contains("taken back"), "{why}");
    }
    // Without a connection it is done at the next one.
    stage.sends("ada", "ben", &path);
    stage.world.passes(300);
    stage.world.relay_crashes();
    stage.does("ada", FilesCommand::Cancel(Which::Newest));
    stage.world.restarts("ada");
    stage.world.start_relay();
    stage.world.passes(5_000);
    assert_eq!(stage.world.relay().blobs().total(), 0);
    assert!(stage.saved("ben").iter().all(|name| name.starts_with('.')));
}

#[test]
fn what_the_relay_does_not_take_is_refused_in_a_sentence_and_told_to_nobody() {
    let mut stage = Stage::new(6, &["ada", "ben"], 100);
    stage.world.relay_config().limits.file_bytes = 200_000;
    stage.world.relay_config().limits.account_file_bytes = 250_000;
    stage.world.relay_crashes();
    stage.world.start_relay();
    stage.world.passes(2_000);
    let (large, fits) = (stage.file("large", 300_000), stage.file("fits", 150_000));
    stage.sends("ada", "ben", &large);
    stage.world.settle();
    let Phase::Failed(why) = stage.newest("ada").kept.phase else { panic!("{:?}", stage.newest("ada")) };
    assert!(why.contains("at most 200.0 kB"), "{why}");
    assert!(stage.notices("ada").contains("large: this relay takes files of at most"));
    stage.sends("ada", "ben", &fits);
    stage.world.settle();
    stage.sends("ada", "ben", &fits);
    stage.world.settle();
    let Phase::Failed(why) = stage.newest("ada").kept.phase else { panic!("{:?}", stage.newest("ada")) };
    assert!(why.contains("take the 250.0 kB") && why.contains("/files cancel"), "{why}");
    assert_eq!(stage.saved("ben"), ["fits"]);
    let told = stage.world.timeline("ben", "ada");
    assert_eq!(told.iter().filter(|text| text.contains("kB")).count(), 1, "{told:?}");
    let missing = stage.dir.path().join("nowhere");
    stage.sends("ada", "ben", &missing);
    stage.world.settle();
    assert!(stage.notices("ada").contains("check the path"));
}

#[test]
fn a_relay_that_changes_one_bit_is_refused_and_shown() {
    let mut stage = Stage::new(7, &["ada", "ben"], 0);
    let path = stage.file("film.mkv", BIG);
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    let at = 3 * SEALED + 1234;
    stage.world.relay_files().spoil(|bytes| bytes[at] ^= 4);
    stage.does("ben", FilesCommand::Save(Which::Newest, None));
    stage.world.settle();
    let failed = stage.newest("ben");
    let Phase::Failed(why) = &failed.kept.phase else { panic!("{failed:?}") };
    assert!(why.contains("not what was sent"), "{why}");
    assert!(stage.world.screen("ben", 120, 30).contains("not what was sent"));
    assert!(stage.saved("ben").iter().all(|name| name.starts_with('.')), "no name appears");
    // Chunks in another order, and cut off.
    stage.world.relay_files().spoil(|bytes| {
        bytes[at] ^= 4;
        bytes[3 * SEALED..5 * SEALED].rotate_left(SEALED);
    });
    stage.does("ben", FilesCommand::Resume(Which::Newest));
    stage.world.settle();
    assert!(matches!(stage.newest("ben").kept.phase, Phase::Failed(_)));
    stage.world.relay_files().spoil(|bytes| bytes[3 * SEALED..5 * SEALED].rotate_left(SEALED));
    stage.does("ben", FilesCommand::Resume(Which::Newest));
    stage.world.settle();
    assert_eq!(stage.content("ben", "film.mkv"), bytes(BIG), "what was right before is kept");
}

#[test]
fn a_file_that_changes_on_the_way_is_noticed_and_nothing_of_it_stays() {
    let mut stage = Stage::new(8, &["ada", "ben"], 100);
    let path = stage.file("log.txt", BIG);
    stage.sends("ada", "ben", &path);
    stage.world.passes(300);
    let mut other = bytes(BIG);
    other[BIG - 1] ^= 1;
    std::fs::write(&path, other).expect("written");
    stage.world.passes(60_000);
    let Phase::Failed(why) = stage.newest("ada").kept.phase else { panic!("{:?}", stage.newest("ada")) };
    assert!(why.contains("changed while it was being sent"), "{why}");
    assert_eq!(stage.world.relay().blobs().total(), 0);
    assert!(stage.saved("ben").iter().all(|name| name.starts_with('.')));
}

#[test]
fn own_devices_see_a_file_and_can_fetch_it() {
    let mut stage = Stage::new(9, &["ada", "ben"], 5);
    stage.world.adds_device("ada", "laptop");
    stage.world.adds_device("ben", "phone");
    stage.world.passes(60_000);
    let path = stage.file("a.txt", 1000);
    stage.sends("ada", "ben", &path);
    stage.world.passes(10_000);
    for (name, with) in [("laptop", "ben"), ("phone", "ada")] {
        let told = stage.world.timeline(name, with);
        assert_eq!(told.last().map(String::as_str), Some("a.txt (1.0 kB)"), "{name}");
    }
    assert_eq!(stage.newest("laptop").kept.phase, Phase::Offered, "it lies on the other one");
    let folder = stage.folder("laptop").to_string_lossy().into_owned();
    stage.does("laptop", FilesCommand::Save(Which::Newest, Some(folder)));
    stage.world.settle();
    assert_eq!(stage.content("laptop", "a.txt"), bytes(1000));
}

#[test]
fn a_strangers_file_comes_once_they_are_let_in() {
    let mut stage = Stage { world: World::new(10), dir: tempfile::tempdir().expect("a folder") };
    for name in ["ada", "ben"] {
        let config = stage.config(name, 5);
        stage.world.joins_with(name, config);
    }
    stage.world.is_wary("ben");
    stage.world.settle();
    let path = stage.file("a.txt", 1000);
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    assert!(stage.saved("ben").is_empty() && stage.world.app("ben").chat().transfers.is_empty());
    let lines = stage.world.lines("ben", "ada");
    assert!(lines.iter().any(|line| line.author == Author::Note && line.body.contains("send you a file")));
    let ada = AccountName::parse("ada").expect("valid");
    stage.world.commands("ben", Command::Accept(Some(ada)));
    stage.world.passes(30_000);
    assert_eq!(stage.content("ben", "a.txt"), bytes(1000));
}

#[test]
fn a_file_that_disappears_takes_its_key_along() {
    let mut stage = Stage::new(11, &["ada", "ben"], 5);
    stage.world.commands("ada", Command::Expire(Some(60)));
    stage.world.settle();
    let path = stage.file("a.txt", 1000);
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    assert_eq!(stage.content("ben", "a.txt"), bytes(1000));
    for name in ["ada", "ben"] {
        stage.world.restarts(name);
        stage.world.settle();
        let other = if name == "ada" { "ben" } else { "ada" };
        let shown = stage.world.lines(name, other).into_iter().filter(|line| line.more.file.is_some());
        assert_eq!(shown.count(), 1, "{name} has it still, also after a restart");
    }
    stage.world.passes(61_000);
    for (name, other) in [("ada", "ben"), ("ben", "ada")] {
        let lines = stage.world.lines(name, other);
        assert!(lines.iter().all(|line| line.more.file.is_none()), "{name}");
        assert!(!stage.world.timeline(name, other).iter().any(|text| text.contains("a.txt")));
    }
}

/// Half of a large file of Ada's is with Ben; the id of its message.
fn half_comes(stage: &mut Stage) -> MessageId {
    let path = stage.file("film.mkv", BIG);
    stage.sends("ada", "ben", &path);
    stage.world.passes(300);
    stage.does("ben", FilesCommand::Save(Which::Newest, None));
    stage.world.passes(400);
    let half = stage.newest("ben");
    assert!(half.done > 0 && half.done < BIG as u64, "in the middle: {}", half.done);
    assert_eq!(stage.saved("ben"), [format!(".subrosa-{}.part", half.id)]);
    half.id
}

fn deletes(stage: &mut Stage, name: &str, id: MessageId) {
    stage.world.commands(name, Command::Line(Some(id), LineCommand::Delete));
    stage.world.settle();
}

fn rows(stage: &mut Stage, name: &str, table: Table) -> Rows {
    let disk = stage.world.disk(name);
    disk.records.scan(table, &[], &[], Order::Forward, usize::MAX).expect("a memory store reads")
}

/// Whether anything in a person's store has these bytes.
fn has(stage: &mut Stage, name: &str, bytes: &[u8]) -> bool {
    let mut all = (0..=u8::MAX).flat_map(|byte| rows(stage, name, Table { byte, name: "any" }));
    all.any(|(_, value)| value.windows(bytes.len()).any(|part| part == bytes))
}

/// The message of the only file is gone with both, Ben has nothing of it, and nothing waits for it.
fn nothing_is_left(stage: &mut Stage) {
    assert_eq!(stage.saved("ben"), Vec::<String>::new());
    let Phase::Failed(why) = stage.newest("ben").kept.phase else { panic!("{:?}", stage.newest("ben")) };
    assert!(why.contains("its message has disappeared"), "{why}");
    for (name, other) in [("ada", "ben"), ("ben", "ada")] {
        assert!(stage.world.lines(name, other).iter().all(|line| line.more.file.is_none()), "{name}");
        assert!(stage.newest(name).is_over(), "{name}: {:?}", stage.newest(name));
        assert_eq!(rows(stage, name, PENDING), Rows::new(), "{name}");
    }
}

#[test]
fn half_a_file_goes_when_its_message_is_deleted() {
    for halted in [false, true] {
        let mut stage = Stage::new(15, &["ada", "ben"], 0);
        let id = half_comes(&mut stage);
        let line = stage.world.lines("ben", "ada").pop().expect("there is one");
        let key = line.more.file.expect("it is a file").file.key.0;
        assert!(has(&mut stage, "ben", &key));
        if halted {
            stage.does("ben", FilesCommand::Pause(Which::Newest));
        }
        deletes(&mut stage, "ada", id);
        nothing_is_left(&mut stage);
        assert!(!has(&mut stage, "ben", &key), "nor what opens it");
        // The other half was on its way up.
        assert_eq!(stage.newest("ada").kept.phase, Phase::Cancelled);
        assert_eq!(stage.world.relay().blobs().total(), 0);
    }
}

#[test]
fn half_a_file_goes_with_its_message_through_a_kill_between_any_two_effects() {
    for effects in 0.. {
        let mut stage = Stage::new(41, &["ada", "ben"], 0);
        let id = half_comes(&mut stage);
        stage.does("ben", FilesCommand::Pause(Which::Newest));
        stage.world.kill_after("ben", effects);
        deletes(&mut stage, "ada", id);
        let alive = stage.world.alive("ben");
        stage.world.restarts("ben");
        stage.world.passes(30_000);
        nothing_is_left(&mut stage);
        assert_eq!(stage.newest("ben").kept.path, None, "after {effects} effects");
        if alive {
            break;
        }
    }
}

/// Half of a large file of Ada's is with Ben, who was refused the rest; the id of its message.
fn half_fails(stage: &mut Stage) -> MessageId {
    let id = half_comes(stage);
    stage.does("ben", FilesCommand::Pause(Which::Newest));
    stage.world.passes(5_000);
    stage.world.relay_files().spoil(|bytes| bytes[39 * SEALED + 1234] ^= 4);
    stage.does("ben", FilesCommand::Resume(Which::Newest));
    stage.world.settle();
    assert!(matches!(stage.newest("ben").kept.phase, Phase::Failed(_)), "{:?}", stage.newest("ben"));
    assert_eq!(stage.saved("ben").len(), 1, "what was right is kept, to go on with");
    id
}

#[test]
fn half_a_file_of_which_the_rest_was_refused_goes_with_its_message() {
    let mut stage = Stage::new(16, &["ada", "ben"], 0);
    let id = half_fails(&mut stage);
    deletes(&mut stage, "ada", id);
    nothing_is_left(&mut stage);
}

#[test]
fn half_a_file_goes_when_so_many_came_after_it_that_it_is_forgotten_through_kills_at_the_start() {
    let mut stage = Stage::new(24, &["ada", "ben"], 1);
    let id = half_fails(&mut stage);
    for number in 0..=100 {
        let path = stage.file(&format!("{number}.txt"), 10);
        stage.sends("ada", "ben", &path);
        stage.world.passes(1_000);
    }
    assert_eq!(stage.saved("ben").len(), 102);
    // The hundred newest are kept.
    for effects in 0.. {
        stage.world.kill("ben");
        stage.world.kill_after("ben", effects);
        stage.world.starts("ben");
        if stage.world.alive("ben") {
            break;
        }
    }
    stage.world.restarts("ben");
    stage.world.settle();
    assert!(stage.world.app("ben").chat().transfer(&id).is_none(), "nobody can go on with it");
    assert_eq!(rows(&mut stage, "ben", TRANSFERS).len(), 100, "nor is anything known of it");
    assert!(stage.saved("ben").iter().all(|name| name.ends_with(".txt")), "{:?}", stage.saved("ben"));
}

#[test]
fn half_a_file_goes_when_its_message_disappears_also_while_the_client_is_closed() {
    for closed in [false, true] {
        let mut stage = Stage::new(17, &["ada", "ben"], 0);
        stage.world.commands("ada", Command::Expire(Some(60)));
        stage.world.settle();
        half_comes(&mut stage);
        stage.does("ben", FilesCommand::Pause(Which::Newest));
        if closed {
            stage.world.kill("ben");
        }
        stage.world.passes(61_000);
        if closed {
            assert_eq!(stage.saved("ben").len(), 1, "until the client is there");
            stage.world.starts("ben");
        }
        stage.world.settle();
        nothing_is_left(&mut stage);
    }
}

/// Whether a line of Ada's tells of a file.
fn ada_tells(stage: &mut Stage) -> bool {
    stage.world.lines("ada", "ben").iter().any(|line| line.more.file.is_some())
}

#[test]
fn a_file_that_takes_longer_than_its_timer_arrives() {
    for killed in [false, true] {
        let mut stage = Stage::new(21, &["ada", "ben"], 5);
        stage.world.commands("ada", Command::Expire(Some(30)));
        stage.world.settle();
        // Ben does not look, and fetches it.
        stage.world.event("ben", Event::Focus(false));
        let path = stage.file("film.mkv", BIG);
        stage.sends("ada", "ben", &path);
        stage.world.passes(300);
        if killed {
            stage.world.kill("ada");
        } else {
            stage.world.cuts_off("ada", false);
        }
        stage.world.passes(60_000);
        if killed {
            stage.world.starts("ada");
        } else {
            stage.world.is_back("ada");
        }
        stage.world.passes(25_000);
        assert_eq!(stage.newest("ada").kept.phase, Phase::Done, "{killed}");
        assert_eq!(stage.content("ben", "film.mkv"), bytes(BIG));
        assert!(ada_tells(&mut stage), "its time began when all of it was at the relay");
        stage.world.passes(31_000);
        assert!(!ada_tells(&mut stage), "{killed}");
    }
}

#[test]
fn the_message_of_a_file_that_was_taken_back_disappears_after_its_time() {
    let mut stage = Stage::new(22, &["ada", "ben"], 0);
    stage.world.commands("ada", Command::Expire(Some(30)));
    stage.world.settle();
    let path = stage.file("film.mkv", BIG);
    stage.sends("ada", "ben", &path);
    stage.world.passes(300);
    stage.does("ada", FilesCommand::Cancel(Which::Newest));
    stage.world.passes(5_000);
    assert_eq!(stage.newest("ada").kept.phase, Phase::Cancelled);
    assert!(ada_tells(&mut stage));
    stage.world.passes(31_000);
    assert!(!ada_tells(&mut stage));
}

#[test]
fn a_fetch_that_a_full_disk_held_up_begins_nothing_when_its_message_went_meanwhile() {
    let mut stage = Stage::new(18, &["ada", "ben"], 5);
    stage.world.disk_fills("ben");
    let path = stage.file("film.mkv", BIG);
    stage.sends("ada", "ben", &path);
    stage.world.passes(5_000);
    assert_eq!(stage.newest("ada").kept.phase, Phase::Done);
    assert_eq!(stage.newest("ben").kept.phase, Phase::Active);
    let id = stage.newest("ben").id;
    stage.world.commands("ada", Command::Line(Some(id), LineCommand::Delete));
    stage.world.passes(200);
    assert!(stage.newest("ben").is_over(), "{:?}", stage.newest("ben"));
    stage.world.disk_empties("ben");
    stage.world.passes(60_000);
    nothing_is_left(&mut stage);
}

#[test]
fn a_folder_is_the_one_that_was_meant_wherever_the_client_starts_next() {
    let mut stage = Stage::new(19, &["ada", "ben"], 0);
    let path = stage.file("a.txt", 1000);
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    stage.world.relay_crashes();
    stage.does("ben", FilesCommand::Save(Which::Newest, Some("films/old".into())));
    stage.world.restarts("ben");
    let kept = stage.newest("ben").kept;
    assert_eq!(kept.phase, Phase::Active, "it waits for the relay");
    let folder = kept.path.expect("a folder was named");
    assert!(folder.is_absolute() && folder.ends_with("films/old"), "{}", folder.display());
}

#[test]
fn a_file_that_disappears_is_read_as_a_file_where_its_line_is_not_in_memory() {
    let mut stage = Stage::new(20, &["ada", "ben", "cleo"], 5);
    stage.world.commands("ada", Command::Expire(Some(3600)));
    stage.world.settle();
    let path = stage.file("a.txt", 1000);
    stage.sends("ben", "ada", &path);
    stage.world.settle();
    let id = stage.newest("ada").id;
    stage.world.commands("ada", Command::Line(Some(id), LineCommand::Pin(Some(true))));
    stage.world.settle();
    // The newest conversation is the one that the next run opens.
    stage.world.passes(1_000);
    stage.world.says("cleo", "ada", "hello");
    stage.world.settle();
    stage.world.restarts("ada");
    let app = stage.world.app("ada");
    let room = app.chat().with(&AccountName::parse("ben").expect("valid")).expect("they talk");
    assert_eq!(room.timeline.lines().count(), 0, "nothing of it is in memory");
    let pinned = app.pinned(room.id).expect("a memory store reads");
    let said: Vec<&str> = pinned.iter().map(|(_, line)| line.body.as_str()).collect();
    assert_eq!(said, ["a.txt (1.0 kB)"]);
    assert!(pinned[0].1.more.file.is_some());
}

#[test]
fn a_path_that_is_dragged_in_asks_and_other_text_is_only_text() {
    let mut stage = Stage::new(12, &["ada", "ben"], 5);
    let path = stage.file("my photo.txt", 1000);
    stage.world.event("ada", Event::Paste(format!("'{}' ", path.display())));
    let screen = stage.world.screen("ada", 100, 30);
    assert!(screen.contains("Send my photo.txt (1.0 kB) to ben?"), "{screen}");
    stage.world.press("ada", KeyCode::Char('y'), KeyModifiers::NONE);
    stage.world.settle();
    assert_eq!(stage.saved("ben"), ["my photo.txt"]);
    stage.world.event("ada", Event::Paste("/nowhere/at/all".into()));
    assert!(stage.world.screen("ada", 100, 30).contains("/nowhere/at/all"), "it is in the composer");
    stage.world.event("ada", Event::Paste(format!("{}", path.display())));
    assert!(!stage.world.screen("ada", 100, 30).contains("Send my photo"), "something was typed already");
}

#[test]
fn a_caption_was_lost_with_a_mistyped_path_where_messages_disappear() {
    let mut stage = Stage::new(28, &["ada", "ben"], 5);
    stage.world.commands("ada", Command::Expire(Some(60)));
    stage.world.settle();
    let typed = "/file \"/nowhere/at/all\" what a view";
    stage.world.types("ada", &format!("{typed}\n"));
    stage.world.settle();
    assert_eq!(stage.world.app("ada").ui().draft(), typed);
    stage.world.press("ada", KeyCode::Char('u'), KeyModifiers::CONTROL);
    let path = stage.file("view.txt", 1000);
    stage.world.types("ada", &format!("/file \"{}\" what a view\n", path.display()));
    stage.world.settle();
    assert!(stage.world.timeline("ben", "ada").iter().any(|text| text.contains("what a view")));
    stage.world.press("ada", KeyCode::Char('p'), KeyModifiers::CONTROL);
    assert_eq!(stage.world.app("ada").ui().draft(), "", "it is no input to repeat");
}

#[test]
fn a_file_was_forwarded_to_somebody_blocked_and_went_out_once_they_were_let_in_again() {
    let mut stage = Stage::new(29, &["ada", "ben", "eve"], 5);
    for (who, to) in [("eve", "ada"), ("ada", "eve")] {
        stage.world.says(who, to, "hello");
        stage.world.settle();
    }
    let path = stage.file("a.txt", 1000);
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    let mut lines = stage.world.lines("ada", "ben").into_iter();
    let id = lines.find(|line| line.more.file.is_some()).expect("the file").id;
    let eve = AccountName::parse("eve").expect("valid");
    stage.world.commands("ada", Command::Block(Some(eve.clone())));
    stage.notices("ada");
    stage.world.commands("ada", Command::Line(Some(id), LineCommand::Forward(Some("eve".into()))));
    stage.world.settle();
    let told = stage.notices("ada");
    assert!(told.contains("eve is blocked") && !told.contains("forwarded"), "{told}");
    stage.world.commands("ada", Command::Unblock(Some(eve)));
    stage.world.passes(30_000);
    assert_eq!(stage.world.timeline("ada", "eve"), ["hello", "hello"]);
    assert!(stage.saved("eve").is_empty() && stage.world.app("eve").chat().transfers.is_empty());
}

#[test]
fn what_was_dragged_out_of_a_folder_whose_name_is_no_text_was_looked_for_elsewhere() {
    let mut stage = Stage::new(31, &["ada", "ben"], 5);
    // Text that leads there, as `~/a.txt` does for who has such a home.
    let way = stage.dir.path().join("a.txt");
    let pasted = way.display().to_string();
    stage.world.event("ada", Event::Paste(pasted.clone()));
    std::fs::write(&way, "milk").expect("written");
    let folder: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"caf\xe9");
    let found = stage.dir.path().join(folder).join("a.txt");
    let looked = Report::Looked { text: pasted, file: Some((found, 4)) };
    stage.world.event("ada", Event::Transfer(looked));
    stage.world.press("ada", KeyCode::Char('y'), KeyModifiers::NONE);
    stage.world.settle();
    assert_eq!(stage.saved("ben"), ["a.txt"]);
}

#[test]
fn images_have_a_small_picture_and_a_large_one() {
    let mut stage = Stage::new(13, &["ada", "ben"], 5);
    let path = stage.dir.path().join("rose.png");
    let image = image::RgbImage::from_fn(200, 100, |x, y| image::Rgb([x as u8, (2 * y) as u8, 90]));
    image.save(&path).expect("saved");
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    // A terminal that says nothing of itself gets letters.
    let screen = stage.world.screen("ben", 100, 40);
    let row = |screen: &str| screen.lines().position(|row| row.contains("# rose.png"));
    let at = row(&screen).expect("it is there");
    let below: String = screen.lines().skip(at + 1).take(6).collect();
    assert!(below.chars().filter(|c| !c.is_whitespace()).count() > 60, "{screen}");
    stage.world.types("ben", "/files view\n");
    let large = stage.world.screen("ben", 100, 40);
    assert!(large.contains(" rose.png "), "{large}");
    stage.world.press("ben", KeyCode::Esc, KeyModifiers::NONE);
    stage.world.types("ben", "/files\n");
    let list = stage.world.screen("ben", 100, 40);
    assert!(list.contains("Files") && list.contains("1 v rose.png"), "{list}");
}

#[test]
fn the_file_that_came_meanwhile_was_cancelled_instead_of_the_chosen_one() {
    let mut stage = Stage::new(25, &["ada", "ben"], 0);
    let (first, second) = (stage.file("first.txt", 1000), stage.file("second.txt", 1000));
    stage.sends("ada", "ben", &first);
    stage.world.settle();
    stage.world.types("ben", "/files\n");
    stage.sends("ada", "ben", &second);
    stage.world.settle();
    stage.world.press("ben", KeyCode::Char('c'), KeyModifiers::NONE);
    stage.world.settle();
    let transfers = stage.world.app("ben").chat().transfers.iter();
    let phases: Vec<_> = transfers.map(|it| (it.kept.name.as_str(), it.kept.phase.clone())).collect();
    assert_eq!(phases, [("second.txt", Phase::Offered), ("first.txt", Phase::Cancelled)]);
}

#[test]
fn a_message_id_is_a_file_once() {
    // The same message again, as after a lost receipt, offers nothing twice.
    let mut stage = Stage::new(14, &["ada", "ben"], 5);
    stage.world.mischief.repeat = 500;
    let path = stage.file("a.txt", 1000);
    stage.sends("ada", "ben", &path);
    stage.world.settle();
    let ids: Vec<MessageId> = stage.world.app("ben").chat().transfers.iter().map(|t| t.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(stage.saved("ben"), ["a.txt"]);
}
