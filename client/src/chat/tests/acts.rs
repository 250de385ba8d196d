//! Acts of somebody who keeps to no rule.

use super::*;
use crate::chat::acts::PARKED;
use crate::chat::timeline::PAGE;
use subrosa_shared::content::post::{Act, Deed, Post};
use subrosa_shared::session::timed::{Chain, SLOT_KIND};

/// Both have said something; whose lines these are.
fn talked() -> (Ada, Ben, MessageId, MessageId) {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    let theirs = ben.draws();
    let text = ben.says(&mut ada, &Content::Text { id: theirs, at: at(0).wall, body: "mine".into() });
    ada.hears(text, 10);
    ada.accepts(10);
    let room = ada.room();
    let own = ada.talk.say(room, "hers".into(), at(20)).expect("memory").expect("said");
    ada.settle();
    (ada, ben, own, theirs)
}

fn acts(ada: &mut Ada, ben: &mut Ben, on: MessageId, clock: u64, deed: Deed) {
    let id = ben.draws();
    let act = ben.says(ada, &Content::Act(Act { id, on, clock, deed }));
    ada.hears(act, 50);
}

fn line(ada: &Ada, id: MessageId) -> Line {
    ada.talk.line_of(ada.room(), &id).expect("memory").expect("there").1
}

fn edit(body: &str) -> Deed {
    Deed::Edit { body: body.into(), mentions: Vec::new() }
}

#[test]
fn nobody_edits_or_deletes_somebody_elses_line() {
    let (mut ada, mut ben, own, theirs) = talked();
    let before = line(&ada, own);
    acts(&mut ada, &mut ben, own, 1, edit("what she never said"));
    acts(&mut ada, &mut ben, own, 2, Deed::Delete);
    assert_eq!(line(&ada, own), before);
    assert_eq!(ada.talk.dropped, 2);
    // Nor a grey line of the program.
    let room = ada.room();
    ada.talk.note(room, "a note".into(), at(60));
    ada.settle();
    let note = ada.talk.chat.rooms[0].timeline.lines().last().expect("a note").1.id;
    acts(&mut ada, &mut ben, note, 1, edit("ada sent you money"));
    acts(&mut ada, &mut ben, note, 1, Deed::React { sign: "👍".into(), on: true });
    assert_eq!(line(&ada, note).body, "a note");
    assert!(line(&ada, note).signs().is_empty());
    // Their own they may.
    acts(&mut ada, &mut ben, theirs, 1, edit("mine, better"));
    assert_eq!(line(&ada, theirs).body, "mine, better");
}

#[test]
fn another_key_does_nothing_to_a_line() {
    let (mut ada, _, _, theirs) = talked();
    let mut mallory = Ben::new(3);
    acts(&mut ada, &mut mallory, theirs, 9, edit("send it elsewhere"));
    acts(&mut ada, &mut mallory, theirs, 9, Deed::Delete);
    acts(&mut ada, &mut mallory, theirs, 9, Deed::Pin(true));
    assert_eq!(line(&ada, theirs).body, "mine");
    assert!(!line(&ada, theirs).is_pinned());
}

#[test]
fn a_sign_of_kilobytes_or_of_tricks_is_no_sign() {
    let (mut ada, mut ben, own, _) = talked();
    for sign in ["x".repeat(4_000), "two words".into(), "\u{1b}[2J".into(), "\u{202e}".into(), String::new()]
    {
        acts(&mut ada, &mut ben, own, 1, Deed::React { sign, on: true });
    }
    assert!(line(&ada, own).signs().is_empty());
    assert_eq!(ada.talk.dropped, 5);
    // And no flood of signs either.
    for i in 0..200u32 {
        let sign = char::from_u32(0x4e00 + i).expect("a character").to_string();
        acts(&mut ada, &mut ben, own, 1, Deed::React { sign, on: true });
    }
    assert_eq!(line(&ada, own).signs().len(), crate::chat::deeds::SIGNS_MAX);
}

#[test]
fn a_flood_of_acts_on_unknown_lines_is_bounded_and_receipted() {
    let (mut ada, mut ben, ..) = talked();
    for _ in 0..300 {
        let on = MessageId::random(&mut ben.rng);
        acts(&mut ada, &mut ben, on, 1, edit(&"x".repeat(400)));
    }
    let rows = ada.talk.store().records.scan(PARKED, &[], &[], Order::Forward, 999).expect("memory");
    assert_eq!(rows.len(), 64);
    assert_eq!(ada.talk.dropped, 300 - 64);
    ada.wakes(40 * DAY);
    let rows = ada.talk.store().records.scan(PARKED, &[], &[], Order::Forward, 999).expect("memory");
    assert!(rows.is_empty(), "nobody waits for ever");
}

#[test]
fn an_act_on_a_line_that_disappears_waits_sealed_and_takes_its_key_with_it() {
    let (mut ada, mut ben, ..) = talked();
    let on = ben.draws();
    let deed = Deed::React { sign: "🌹".into(), on: true };
    let act = Content::Act(Act { id: MessageId::random(&mut ben.rng), on, clock: 1, deed });
    let act = ben.says(&mut ada, &act.timed(3600));
    ada.hears(act, 50);
    let kept = |ada: &Ada| {
        let store = ada.talk.store();
        let rows = store.records.scan(PARKED, &[], &[], Order::Forward, 9).expect("memory");
        (rows, store.slots.list(SLOT_KIND))
    };
    let (rows, links) = kept(&ada);
    assert_eq!((rows.len(), links.len(), rows[0].1[0]), (1, 1, 1));
    // The chain takes its steps without it being lost.
    ada.talk.expiry.turn_soon(ada.room(), at(60));
    ada.talk.vanish(at(60)).expect("memory");
    ada.settle();
    let (turned, links) = kept(&ada);
    assert!(turned[0].1 != rows[0].1, "sealed again");
    let link = Chain::read(&links[0].1).expect("reads");
    assert!(
        link.open(&turned[0].0, &turned[0].1[1..]).is_some()
            && link.open(&rows[0].0, &rows[0].1[1..]).is_none()
    );
    ada.wakes(3 * 3_600_000);
    ada.talk.vanish(at(3 * 3_600_000)).expect("memory");
    ada.settle();
    assert_eq!(kept(&ada), (Vec::new(), Vec::new()));
}

#[test]
fn acts_that_come_before_their_line_and_swapped_end_as_they_were_meant() {
    let (mut ada, mut ben, ..) = talked();
    let on = ben.draws();
    acts(&mut ada, &mut ben, on, 2, edit("the second edit"));
    acts(&mut ada, &mut ben, on, 1, edit("the first edit"));
    acts(&mut ada, &mut ben, on, 3, Deed::React { sign: "🌹".into(), on: true });
    let post = Post {
        id: on,
        at: at(0).wall,
        body: "as it was".into(),
        reply: Some(MessageId([77; 16])),
        forwarded: false,
        mentions: vec![name("ada")],
    };
    let post = ben.says(&mut ada, &Content::Post(post));
    ada.hears(post, 90);
    let line = line(&ada, on);
    assert_eq!((line.body.as_str(), line.signs().len()), ("the second edit", 1));
    assert_eq!((line.author, line.state), (Author::Them, LineState::Received));
    assert!(line.more.mentions.is_empty(), "the edit calls nobody");
}

#[test]
fn the_highest_clock_breaks_nothing() {
    let (mut ada, mut ben, own, theirs) = talked();
    acts(&mut ada, &mut ben, theirs, u64::MAX, edit("for ever"));
    acts(&mut ada, &mut ben, own, u64::MAX, Deed::Pin(true));
    let room = ada.room();
    let done = ada.talk.act(room, own, edit("hers, still"), at(99)).expect("memory");
    ada.settle();
    assert_eq!((done, line(&ada, own).body.as_str()), (Ok(()), "hers, still"));
}

#[test]
fn a_line_that_was_taken_back_as_it_came_stayed_where_a_page_of_others_came_with_it() {
    let (mut ada, mut ben, ..) = talked();
    ada.talk.chat.open = None;
    let (first, act) = (ben.draws(), ben.draws());
    let text = Content::Text { id: first, at: at(50).wall, body: "not meant for you".into() };
    let said = ben.says(&mut ada, &text);
    ada.talk.frame(said, at(50)).expect("memory");
    for _ in 0..PAGE {
        let more = ben.writes(&mut ada, "and");
        ada.talk.frame(more, at(50)).expect("memory");
    }
    let act = ben.says(&mut ada, &Content::Act(Act { id: act, on: first, clock: 1, deed: Deed::Delete }));
    ada.talk.frame(act, at(50)).expect("memory");
    ada.settle();
    assert_eq!(line(&ada, first).body, "");
    assert_eq!(ada.talk.chat.rooms[0].timeline.lines().count(), PAGE);
}

#[test]
fn of_what_one_event_did_to_a_line_that_is_not_in_memory_only_the_last_was_kept() {
    let (mut ada, mut ben, own, theirs) = talked();
    ada.talk.chat.open = None;
    ada.talk.chat.rooms[0].timeline.shrink(0);
    let deed = || Deed::React { sign: "🌹".into(), on: true };
    for (on, clock, deed) in [(theirs, 1, Deed::Delete), (theirs, 2, deed()), (own, 1, deed())] {
        let id = ben.draws();
        let act = ben.says(&mut ada, &Content::Act(Act { id, on, clock, deed }));
        ada.talk.frame(act, at(50)).expect("memory");
    }
    ada.talk.mark_line(Some(own), LineState::Delivered).expect("memory");
    ada.settle();
    assert_eq!(line(&ada, theirs).body, "");
    let own = line(&ada, own);
    assert_eq!((own.state, own.more.reactions.len()), (LineState::Delivered, 1));
}
