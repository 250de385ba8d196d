//! What a relay, or anybody on its machine, sees of a conversation.

use subrosa::ui::command::Command;
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::envelope::{Keep, Outgoing};
use subrosa_shared::protocol::frame::{ToDevice, ToRelay};
use subrosa_shared::protocol::media::Header;
use subrosa_tests::{Seen, World};

/// The parts of a first message that are not content: CRYPTO's table, in bytes.
const FIRST_OUTSIDE: usize = 2 + 16 + 1088;
const NOISE: usize = 32 + 48 + 16;
const PAYLOAD_0: usize = 128 + 1 + 32;
/// Before a sealed next message: version, type, session, number.
const NEXT_OUTSIDE: usize = 2 + 16 + 8;
const TAG: usize = 16;
/// Lengths of a bundle and of the content, and the version of a next message.
const LENGTHS: usize = 2 + 4;

fn kinds(seen: &[Seen]) -> Vec<String> {
    let kind = |text: String| text.split(['(', ' ', '{']).next().unwrap_or_default().to_string();
    seen.iter()
        .map(|seen| match seen {
            Seen::From(who, frame) => format!("{who} > {}", kind(format!("{frame:?}"))),
            Seen::To(who, frame) => format!("{who} < {}", kind(format!("{frame:?}"))),
            Seen::Media(who, _) => format!("{who} > media"),
        })
        .collect()
}

fn sent(seen: &[Seen], who: &str) -> Vec<Outgoing> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::From(name, ToRelay::Send(outgoing)) if name == who => Some(outgoing.clone()),
            _ => None,
        })
        .collect()
}

fn bytes(seen: &Seen) -> Vec<u8> {
    match seen {
        Seen::From(_, frame) => postcard::to_stdvec(frame).expect("a frame serialises"),
        Seen::To(_, frame) => postcard::to_stdvec(frame).expect("a frame serialises"),
        Seen::Media(_, bytes) => bytes.clone(),
    }
}

fn holds(seen: &[Seen], word: &[u8]) -> bool {
    seen.iter().any(|seen| bytes(seen).windows(word.len()).any(|part| part == word))
}

#[test]
fn a_relay_sees_nothing_of_what_is_said() {
    let mut world = World::with(1, &["ada", "ben"]);
    world.seen();
    let short = "quercus robur";
    let long = "Rosa alba semiplena ".repeat(200);
    world.says("ada", "ben", short);
    world.settle();
    world.says("ben", "ada", &format!("{short}?"));
    world.says("ada", "ben", long.trim());
    world.settle();
    world.types("ada", "quercus");
    world.settle();
    let seen = world.seen();
    assert_eq!(world.timeline("ben", "ada")[0], short);
    assert_eq!(world.timeline("ben", "ada").len(), 3);
    assert!(sent(&seen, "ada").iter().any(|out| out.body.len() >= long.len() - 1), "the body was seen");
    for word in ["quercus", "robur", "Rosa", "alba", "semiplena"] {
        assert!(!holds(&seen, word.as_bytes()), "{word} is in the clear");
    }
    // What it does see, so that this test can fail: names, as the product says.
    assert!(holds(&seen, b"ben"));
}

#[test]
fn a_relay_sees_nothing_of_a_live_picture_or_its_key() {
    let mut world = World::with(2, &["ada", "ben"]);
    world.knows("ben", "ada");
    world.commands("ada", Command::Add(AccountName::parse("ben").expect("valid")));
    world.settle();
    world.seen();
    world.commands("ada", Command::Video(Some("test".into())));
    world.settle();
    world.commands("ben", Command::Answer(Some("test".into())));
    world.settle();
    for _ in 0..10 {
        world.films("ada");
        world.passes(100);
    }
    let seen = world.seen();
    assert!(!world.pictures("ben").is_empty(), "ben sees it");
    let key = world.app("ada").chat().call.as_ref().expect("a call").own.as_ref().expect("a stream").key;
    assert!(seen.iter().any(|seen| matches!(seen, Seen::Media(..))), "the relay carried it");
    assert!(!holds(&seen, &key), "the key of the stream is in the clear");
}

#[test]
fn a_relay_sees_of_feedback_only_that_a_short_frame_went_by() {
    let mut world = World::with(12, &["ada", "ben"]);
    world.knows("ben", "ada");
    world.commands("ada", Command::Add(AccountName::parse("ben").expect("valid")));
    world.settle();
    world.commands("ada", Command::Video(Some("test".into())));
    world.settle();
    world.commands("ben", Command::Answer(Some("test".into())));
    world.settle();
    world.commands("ada", Command::Camera);
    world.settle();
    world.seen();
    for _ in 0..30 {
        world.films("ben");
        world.passes(100);
    }
    let seen = world.seen();
    let media = |name: &str| {
        let of = |seen: &Seen| matches!(seen, Seen::Media(who, _) if who == name);
        seen.iter().filter(|seen| of(seen)).map(bytes).collect::<Vec<_>>()
    };
    let feedback = media("ada");
    assert!((3..=8).contains(&feedback.len()), "{} datagrams in three seconds", feedback.len());
    for datagram in &feedback {
        let (header, sealed) = Header::decode(datagram).expect("ours");
        assert_eq!((header.index, header.count, header.layer, header.keyframe), (0, 1, 0, false));
        // SFrame's header of one to three bytes, the payload's head with everything in it, the tag.
        assert!((1 + 8 + TAG..=3 + 8 + TAG).contains(&sealed.len()), "{} bytes", sealed.len());
        assert_eq!(datagram[..2], [2, 0], "version and flags");
    }
    assert!(media("ben").len() >= 29, "each picture one datagram at least");
}

#[test]
fn a_first_text_takes_exactly_these_frames() {
    let mut world = World::with(3, &["ada", "ben"]);
    world.seen();
    world.says("ada", "ben", "hello");
    world.settle();
    let seen = world.seen();
    let want = [
        "ada > Devices",
        "ada < Devices",
        "ada > Roster",
        "ada > Claim",
        "ada < Prekey",
        "ada > Send",
        "ada < Accepted",
        "ben < Deliver",
        "ben > Devices",
        "ben < Devices",
        "ben > Roster",
    ];
    let kinds = kinds(&seen);
    let mut at = 0;
    for kind in &kinds {
        if want.get(at) == Some(&kind.as_str()) {
            at += 1;
        }
    }
    assert_eq!(at, want.len(), "in this order, among {kinds:#?}");
    let count = |kind: &str| kinds.iter().filter(|other| *other == kind).count();
    assert_eq!(count("ada > Send"), 1, "{kinds:#?}");
    assert_eq!(count("ben > Send"), 1, "one receipt: {kinds:#?}");
    assert_eq!((count("ben < Deliver"), count("ben > Ack")), (1, 1), "{kinds:#?}");
    assert_eq!((count("ada < Deliver"), count("ada > Ack")), (1, 1), "{kinds:#?}");
    assert_eq!(count("ada > Claim"), 1, "{kinds:#?}");
    assert_eq!(count("ben > Claim"), 0, "the answer takes the key inside ada's message: {kinds:#?}");
}

#[test]
fn a_head_is_as_long_as_the_design_says() {
    let mut world = World::with(4, &["ada", "ben"]);
    world.seen();
    world.says("ada", "ben", "0123456789");
    world.says("ada", "ben", "0123456789");
    world.says("ada", "ben", "01234567890123456789");
    world.settle();
    let seen = world.seen();
    let outs = sent(&seen, "ada");
    let lengths: Vec<usize> = outs.iter().map(|out| out.to[0].bytes.len()).collect();
    let bundle = seen
        .iter()
        .find_map(|seen| match seen {
            Seen::To(_, ToDevice::Prekey { bundle, .. }) => Some(bundle.len()),
            _ => None,
        })
        .expect("a bundle was claimed");
    assert!((1_200..=1_400).contains(&bundle), "about 1.3 KB: {bundle}");
    // Version, kind, five bytes of clock and length of what has a place; in it version, kind of content, message
    // id, six bytes of time, length, text; one byte for where all of it lies.
    let content = |text: usize| 1 + 1 + 5 + 1 + 1 + 1 + 1 + 16 + 6 + 1 + text;
    // Which list of devices she has: a byte, number and hash.
    let list = 1 + 4 + 32;
    // Whose words they are, and for whom: two bytes, and each name with its length.
    let names = 2 + (1 + 3) + (1 + 3);
    let first = FIRST_OUTSIDE + NOISE + PAYLOAD_0 + LENGTHS + bundle + list + names + content(10);
    assert!(lengths[0].abs_diff(first) <= 4, "a first message of {}, not {first}", lengths[0]);
    let next = NEXT_OUTSIDE + TAG + 1 + LENGTHS + names + content(10);
    assert!(lengths[1].abs_diff(next) <= 2, "a next message of {}, not {next}", lengths[1]);
    assert_eq!(lengths[2] - lengths[1], 10, "a byte a byte");
    for out in &outs {
        assert!(out.body.is_empty() && out.to.len() == 1 && out.keep == Keep::Stored);
    }
}

#[test]
fn the_same_text_never_looks_the_same() {
    let mut world = World::with(5, &["ada", "ben"]);
    world.seen();
    for _ in 0..30 {
        world.says("ada", "ben", "again");
        world.settle();
    }
    let seen = world.seen();
    let sealed: Vec<Vec<u8>> =
        sent(&seen, "ada").into_iter().map(|out| out.to[0].bytes[NEXT_OUTSIDE..].to_vec()).collect();
    assert_eq!(sealed.len(), 30);
    for (i, one) in sealed.iter().enumerate() {
        for other in &sealed[i + 1..] {
            assert!(one[..16] != other[..16], "two sealed texts begin alike");
        }
    }
}
