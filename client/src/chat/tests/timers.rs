//! Texts that disappear, and crashes between what is on disk of them and their keys.

use super::*;
use crate::chat::expiry::{TEXTS, reveal};
use crate::chat::timeline::{LINES, More, unplace};
use subrosa_shared::session::timed::{Chain, SLOT_KIND};

/// A text of his that disappears a minute after it was read.
fn writes(ada: &mut Ada, ben: &mut Ben, body: &str) -> (MessageId, ToDevice) {
    let id = ben.draws();
    let text = Content::Text { id, at: at(0).wall, body: body.into() };
    (id, ben.says(ada, &text.timed(60)))
}

/// She is killed when the records of an event are written, and none of its keys.
fn dies_between(ada: &mut Ada) {
    for effect in ada.talk.settle() {
        if let Effect::Commit(batch) = effect {
            ada.talk.store().records.commit(&batch.records).expect("memory");
        }
    }
    let store = ada.talk.store().clone();
    ada.restarts(store, welcome(64));
}

/// What is there of it.
fn text(ada: &Ada, id: MessageId) -> Option<String> {
    let place = ada.talk.place_of(&id).expect("memory").expect("there");
    let (room, pos) = unplace(&place).expect("a place");
    reveal(ada.talk.store(), room, pos).expect("memory")
}

#[test]
fn a_crash_as_the_last_text_disappears_and_another_comes_took_the_new_one_and_left_the_old_key() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    let (_, first) = writes(&mut ada, &mut ben, "soon gone");
    ada.hears(first, 20);
    ada.talk.mark_read(ada.room(), at(30)).expect("memory");
    ada.settle();
    let sealed = ada.talk.store().records.scan(TEXTS, &[], &[], Order::Forward, 9).expect("memory");
    let (about, sealed) = sealed.into_iter().next().expect("the first text");
    let (id, next) = writes(&mut ada, &mut ben, "just come");
    // Time is over, and before that is seen the next one is here.
    ada.talk.vanish(at(70_000)).expect("memory");
    ada.talk.frame(next.clone(), at(70_000)).expect("memory");
    dies_between(&mut ada);
    ada.hears(next, 10);
    assert_eq!(text(&ada, id).as_deref(), Some("just come"));
    let links = ada.talk.store().slots.list(SLOT_KIND);
    let links: Vec<_> = links.iter().filter_map(|(_, link)| Chain::read(link)).collect();
    assert_eq!(links.len(), 1);
    assert!(links[0].open(&about, &sealed).is_none(), "the key of what disappeared");
}

#[test]
fn a_text_whose_key_a_crash_took_was_lost_when_there_was_another_key_by_then() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    let (id, delivery) = writes(&mut ada, &mut ben, "comes twice");
    ada.talk.frame(delivery.clone(), at(20)).expect("memory");
    dies_between(&mut ada);
    assert_eq!(text(&ada, id), None);
    // Before it comes again.
    ada.talk.set_expiry(ada.room(), 60, at(30));
    ada.talk.say(ada.room(), "hers".into(), at(30)).expect("memory");
    ada.settle();
    ada.hears(delivery, 40);
    assert_eq!(text(&ada, id).as_deref(), Some("comes twice"));
}

#[test]
fn what_stood_around_a_disappeared_message_came_back_with_a_receipt_for_it() {
    let (mut ada, mut ben) = (Ada::online(), Ben::new(2));
    ben.comes_in(&mut ada);
    let room = ada.room();
    assert!(ada.talk.set_expiry(room, 60, at(20)));
    let more = More { reply: Some(MessageId([7; 16])), forwarded: true, ..More::default() };
    let id = ada.talk.say_with(room, "soon gone".into(), more, at(30)).expect("memory").expect("said");
    ada.talk.timer_sent(Some(id), at(40)).expect("memory");
    ada.settle();
    let place = ada.talk.place_of(&id).expect("memory").expect("there");
    let row = |ada: &Ada| {
        let bytes = ada.talk.store().records.get(LINES, &place).expect("memory").expect("there");
        Line::read(&bytes).expect("a line")
    };
    assert!(row(&ada).more.reply.is_some());
    // As after a start, and the receipt comes before its time was seen to be over.
    ada.talk.chat.rooms[0].timeline.shrink(0);
    ada.talk.vanish(at(70_000)).expect("memory");
    ada.talk.mark_line(Some(id), LineState::Delivered).expect("memory");
    ada.settle();
    let left = row(&ada);
    assert_eq!((left.state, left.body.as_str()), (LineState::Delivered, ""));
    assert_eq!((left.more.reply, left.more.forwarded), (None, false));
}
