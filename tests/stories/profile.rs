//! Profiles: who gets them, when, and that nobody passes for another.

use subrosa::effect::Happened;
use subrosa::media::avatar;
use subrosa::ui::command;
use subrosa::ui::rooms::RoomCommand;
use subrosa_shared::content::Content;
use subrosa_shared::id::AccountName;
use subrosa_shared::profile::Profile;
use subrosa_shared::protocol::frame::ToRelay;
use subrosa_shared::video::picture::Picture;
use subrosa_tests::World;
use subrosa_tests::world::Seen;

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("valid")
}

/// Two who have heard of each other.
fn friends(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.knows("ada", "ben");
    world.knows("ben", "ada");
    world.says("ada", "ben", "hello ben");
    world.says("ben", "ada", "hello ada");
    world.settle();
    world
}

/// Ben, who decides on strangers himself, and Ada, whom he never heard of.
fn strangers(seed: u64) -> World {
    let mut world = World::with(seed, &["ada", "ben"]);
    world.is_wary("ben");
    world.knows("ada", "ben");
    world
}

fn slash(world: &mut World, who: &str, line: &str) {
    world.commands(who, command::parse(line).expect("a command"));
    world.settle();
}

/// Display name and status of somebody, as somebody else knows them.
fn knows(world: &mut World, who: &str, of: &str) -> (String, String) {
    let chat = world.app(who).chat();
    let portrait = chat.with(&name(of)).map(|room| &room.portrait);
    portrait.map_or_else(Default::default, |it| (it.display_name().into(), it.status().into()))
}

/// The name that the screen shows for somebody.
fn shown_as(world: &mut World, who: &str, of: &str) -> String {
    world.app(who).chat().with(&name(of)).expect("a conversation").name().to_owned()
}

fn envelopes(world: &mut World, who: &str) -> usize {
    let sent = |seen: &&Seen| matches!(seen, Seen::From(from, ToRelay::Send(_)) if from == who);
    world.seen().iter().filter(sent).count()
}

fn image(dir: &std::path::Path) -> String {
    let path = dir.join("me.png");
    let picture = |x: u32, _| image::Rgb(if x < 50 { [240, 30, 30] } else { [20, 20, 200] });
    image::RgbImage::from_fn(100, 80, picture).save(&path).expect("saved");
    path.to_str().expect("text").to_owned()
}

#[test]
fn a_profile_reaches_contacts_and_is_shown() {
    let mut world = friends(1);
    let dir = tempfile::tempdir().expect("a folder");
    let file = image(dir.path());
    world.told("ben");
    slash(&mut world, "ada", "/profile name Ada L.");
    slash(&mut world, "ada", "/profile status counting on it");
    slash(&mut world, "ada", &format!("/profile avatar {file}"));
    assert_eq!(knows(&mut world, "ben", "ada"), ("Ada L.".into(), "counting on it".into()));
    let picture = world.app("ben").chat().with(&name("ada")).expect("known").portrait.picture.clone();
    let picture = picture.expect("an avatar");
    assert!(picture.rgb(3, 16)[0] > 150 && picture.rgb(29, 16)[2] > 120, "red and blue");
    let told = world.told("ben");
    let last = told.iter().rfind(|told| matches!(told, Happened::Profile { .. }));
    let want = Happened::Profile {
        with: name("ada"),
        name: "Ada L.".into(),
        status: "counting on it".into(),
        avatar: true,
    };
    assert_eq!(last, Some(&want));
    let screen = world.screen("ben", 110, 24);
    assert!(screen.contains("Ada L. (ada)") && screen.contains("counting on it"), "{screen}");
    world.types("ben", "/whois ada\n");
    let screen = world.screen("ben", 110, 34);
    assert!(screen.contains("not verified") && screen.contains("account"), "{screen}");
}

#[test]
fn it_survives_a_restart_on_both_ends() {
    let mut world = friends(2);
    slash(&mut world, "ada", "/profile name Ada L.");
    for who in ["ada", "ben"] {
        world.restarts(who);
        world.settle();
    }
    assert_eq!(knows(&mut world, "ben", "ada").0, "Ada L.");
    assert_eq!(shown_as(&mut world, "ben", "ada"), "Ada L.");
    assert_eq!(world.app("ada").chat().profile.name, "Ada L.");
    envelopes(&mut world, "ada");
    world.restarts("ada");
    world.passes(60_000);
    assert_eq!(envelopes(&mut world, "ada"), 0, "what is known is not told again");
}

#[test]
fn a_stranger_learns_nothing_before_they_are_let_in() {
    let mut world = strangers(3);
    slash(&mut world, "ben", "/profile name Benjamin");
    slash(&mut world, "ada", "/profile name Ada L.");
    world.says("ada", "ben", "may I?");
    world.settle();
    assert_eq!(knows(&mut world, "ada", "ben"), Default::default(), "nothing goes to a stranger");
    assert_eq!(knows(&mut world, "ben", "ada"), Default::default(), "nothing of a stranger's comes in");
    world.passes(600_000);
    slash(&mut world, "ben", "/profile status still here");
    assert_eq!(knows(&mut world, "ada", "ben"), Default::default());
    slash(&mut world, "ben", "/accept ada");
    world.passes(5_000);
    assert_eq!(knows(&mut world, "ada", "ben"), ("Benjamin".into(), "still here".into()));
    assert_eq!(knows(&mut world, "ben", "ada").0, "Ada L.");
}

#[test]
fn nothing_goes_to_who_is_blocked() {
    let mut world = friends(4);
    slash(&mut world, "ada", "/block ben");
    slash(&mut world, "ada", "/profile name Ada L.");
    world.passes(60_000);
    assert_eq!(knows(&mut world, "ben", "ada"), Default::default());
    slash(&mut world, "ada", "/unblock ben");
    world.says("ben", "ada", "so?");
    world.passes(5_000);
    assert_eq!(knows(&mut world, "ben", "ada").0, "Ada L.", "and then all the same");
}

#[test]
fn of_two_quick_changes_the_last_one_holds_everywhere() {
    let mut world = friends(5);
    world.commands("ada", command::parse("/profile name One").expect("a command"));
    world.commands("ada", command::parse("/profile name Two").expect("a command"));
    world.settle();
    assert_eq!(knows(&mut world, "ben", "ada").0, "Two");
    let version = world.app("ada").chat().profile.version;
    // A clock that goes back makes no older version.
    world.clock_off("ada", -3_600_000);
    slash(&mut world, "ada", "/profile name Three");
    assert!(world.app("ada").chat().profile.version > version);
    assert_eq!(knows(&mut world, "ben", "ada").0, "Three");
    slash(&mut world, "ada", "/profile name");
    assert_eq!(shown_as(&mut world, "ben", "ada"), "ada", "taken back");
}

#[test]
fn who_was_away_gets_it_when_they_return() {
    let mut world = friends(6);
    world.kill("ben");
    slash(&mut world, "ada", "/profile name Ada L.");
    world.passes(60_000);
    world.starts("ben");
    world.settle();
    assert_eq!(knows(&mut world, "ben", "ada").0, "Ada L.");
    // And what was changed while there was no connection goes out with the next one.
    world.cut("ada");
    world.commands("ada", command::parse("/profile status on the train").expect("a command"));
    world.passes(60_000);
    assert_eq!(knows(&mut world, "ben", "ada").1, "on the train");
}

#[test]
fn a_crash_loses_no_change() {
    for effects in 0..12 {
        let mut world = friends(7);
        world.kill_after("ada", effects);
        world.commands("ada", command::parse("/profile name Ada L.").expect("a command"));
        world.settle();
        if world.alive("ada") {
            world.kill("ada");
        }
        world.starts("ada");
        world.passes(10_000);
        let own = world.app("ada").chat().profile.name.clone();
        assert_eq!(knows(&mut world, "ben", "ada").0, own, "after {effects} effects");
        // The first write has the new name in it.
        assert!(effects == 0 || own == "Ada L.", "after {effects} effects: {own:?}");
    }
}

#[test]
fn nobody_passes_for_another() {
    let mut world = World::with(8, &["ada", "ben", "eve"]);
    for (who, other) in [("ada", "ben"), ("ben", "ada"), ("ada", "eve"), ("eve", "ada")] {
        world.knows(who, other);
    }
    for who in ["ben", "eve"] {
        world.says(who, "ada", "hello");
        world.says("ada", who, "hello");
    }
    world.settle();
    // By account, in other letters too.
    for alike in ["Ben", "B e n", "Веn", "ben ◆"] {
        slash(&mut world, "eve", &format!("/profile name {alike}"));
        assert_eq!(shown_as(&mut world, "ada", "eve"), "eve", "{alike}");
        slash(&mut world, "ada", "/add eve");
        let screen = world.screen("ada", 110, 24);
        assert!(screen.contains("calls themselves") && screen.contains("like ben"), "{screen}");
    }
    // By display name: then neither has it.
    slash(&mut world, "ben", "/profile name The Baker");
    assert_eq!(shown_as(&mut world, "ada", "ben"), "The Baker");
    slash(&mut world, "eve", "/profile name the baker");
    assert_eq!(shown_as(&mut world, "ada", "eve"), "eve");
    assert_eq!(shown_as(&mut world, "ada", "ben"), "ben");
    // By the own name that Ada gave.
    slash(&mut world, "ada", "/petname ben Benny");
    assert_eq!(shown_as(&mut world, "ada", "ben"), "Benny", "her own name wins");
    slash(&mut world, "eve", "/profile name benny");
    assert_eq!(shown_as(&mut world, "ada", "eve"), "eve");
    // By Ada's own.
    slash(&mut world, "eve", "/profile name ADA");
    assert_eq!(shown_as(&mut world, "ada", "eve"), "eve");
    assert!(world.screen("ada", 110, 24).contains("like you"));
    // A name of one's own is shown, with the account beside it.
    slash(&mut world, "eve", "/profile name Evelyn");
    assert_eq!(shown_as(&mut world, "ada", "eve"), "Evelyn");
    assert!(world.screen("ada", 110, 24).contains("Evelyn (eve)"));
}

#[test]
fn a_declined_invitation_hid_a_friends_display_name_still() {
    let mut world = World::with(20, &["ada", "ben", "eve"]);
    world.knows("ada", "ben");
    world.knows("ben", "ada");
    world.says("ada", "ben", "hello ben");
    world.says("ben", "ada", "hello ada");
    world.settle();
    slash(&mut world, "ben", "/profile name Rosa");
    assert_eq!(shown_as(&mut world, "ada", "ben"), "Rosa");
    world.is_wary("ada");
    slash(&mut world, "eve", "/room new rosa ada");
    let room = world.app("ada").chat().room_named("rosa").expect("invited").id;
    assert_eq!(shown_as(&mut world, "ada", "ben"), "ben", "the room could be meant");
    world.commands("ada", command::Command::Room(Some(room), RoomCommand::Decline));
    world.settle();
    assert!(world.app("ada").chat().room_named("rosa").is_none());
    assert_eq!(shown_as(&mut world, "ada", "ben"), "Rosa");
}

#[test]
fn a_display_name_keeps_nobody_from_an_own_name() {
    let mut world = friends(9);
    slash(&mut world, "ben", "/profile name Mum");
    slash(&mut world, "ada", "/petname ben Dad");
    assert_eq!(shown_as(&mut world, "ada", "ben"), "Dad");
    slash(&mut world, "ada", "/petname ben");
    assert_eq!(shown_as(&mut world, "ada", "ben"), "Mum");
}

#[test]
fn a_nonsense_image_is_a_sentence_and_changes_nothing() {
    let mut world = friends(10);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("nonsense.png");
    std::fs::write(&file, b"\x89PNG\r\n\x1a\nnonsense").expect("written");
    slash(&mut world, "ada", &format!("/profile avatar {}", file.display()));
    let screen = world.screen("ada", 110, 24);
    assert!(screen.contains("is no image that can be used"), "{screen}");
    assert_eq!(world.app("ada").chat().profile, Profile::default());
    for (line, why) in [
        (format!("/profile name {}", "x".repeat(65)), "at most 64"),
        (format!("/profile status {}", "x".repeat(141)), "at most 140"),
        ("/profile name \u{200b}◆".to_owned(), "use letters"),
    ] {
        slash(&mut world, "ada", &line);
        let screen = world.screen("ada", 110, 24);
        assert!(screen.contains(why), "{screen}");
    }
    assert_eq!(world.app("ada").chat().profile, Profile::default());
}

#[test]
fn an_avatar_is_small_and_travels_inside_one_envelope() {
    let picture = Picture::paint(32, 32, |x, y| [(x * 8) as u8, (y * 8) as u8, 128]).expect("in bounds");
    let avatar = avatar::encode(&picture).expect("fits");
    assert!(avatar.len() < 1024, "{} bytes", avatar.len());
    let profile = Profile { version: 1, name: "n".repeat(64), status: "s".repeat(140), avatar };
    assert!(Content::Profile(profile).encode().len() < 2048);
}
