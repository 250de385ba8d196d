use super::*;
use crate::chat::tests::alone;

#[test]
fn a_word_of_the_far_future_is_not_taken_and_gives_way_where_an_earlier_version_took_it() {
    let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
    let mut talk = alone(now);
    let ben = AccountName::parse("ben").expect("valid");
    let (desk, thief) = (DeviceId([1; 16]), DeviceId([9; 16]));
    let room = talk.room_with(&ben, now);
    talk.settle();
    let word = |by, at, blocked| Field { with: ben.clone(), at, by, value: Value::Blocked(blocked) };
    let blocked = |talk: &Talk| talk.chat.room(room).is_some_and(|room| room.person.blocked);
    talk.field(thief, word(thief, Millis(u64::MAX), true), now).expect("memory");
    talk.settle();
    assert!(!blocked(&talk));
    // As an earlier version left it.
    talk.keep_field(&word(thief, Millis(u64::MAX), true));
    talk.block(&ben, now).expect("memory");
    talk.settle();
    assert_eq!(talk.decide(ben.clone(), Value::Blocked(true), now).at, Millis(u64::MAX));
    talk.settle();
    talk.bound_words(now).expect("memory");
    talk.settle();
    talk.field(desk, word(desk, now.wall, false), now).expect("memory");
    assert!(!blocked(&talk));
}

#[test]
fn a_key_that_is_pinned_here_and_decided_on_elsewhere_ends_the_alarm_about_another() {
    let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
    let mut talk = alone(now);
    let ben = AccountName::parse("ben").expect("valid");
    let room = talk.room_with(&ben, now);
    let laptop = DeviceId([1; 16]);
    let [first, other] = [1, 2].map(|key| Peer { identity: [key; 32], noise: [key; 32] });
    assert!(talk.pin(room, first, now) && !talk.pin(room, other, now));
    talk.settle();
    let trouble = |talk: &Talk| talk.chat.room(room).expect("there").trouble();
    let word = |at, peer| Field { with: ben.clone(), at, by: laptop, value: Value::Pinned(peer) };
    talk.field(laptop, word(UNDECIDED, first), now).expect("memory");
    assert_eq!(trouble(&talk), Some(Trouble::Changed), "it was only seen there");
    talk.field(laptop, word(now.wall, first), now).expect("memory");
    assert_eq!(trouble(&talk), None);
    assert_eq!(talk.chat.room(room).expect("there").kept.peer, Some(first));
    assert!(!talk.pin(room, other, now));
    assert_eq!(trouble(&talk), None, "refused here too");
}

#[test]
fn a_stolen_own_device_had_a_refused_key_accepted_here() {
    let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
    let mut talk = alone(now);
    let ben = AccountName::parse("ben").expect("valid");
    let room = talk.room_with(&ben, now);
    let thief = DeviceId([9; 16]);
    let [first, other] = [1, 2].map(|key| Peer { identity: [key; 32], noise: [key; 32] });
    assert!(talk.pin(room, first, now) && !talk.pin(room, other, now));
    assert!(talk.distrust(room, now));
    talk.settle();
    let stands = |talk: &Talk| {
        let r = talk.chat.room(room).expect("there");
        (r.kept.peer, r.kept.changed, r.trouble())
    };
    let asked = (Some(first), Some(other), Some(Trouble::Changed));
    let mut after = 0;
    let mut says = |talk: &mut Talk| {
        after += 10;
        let at = Millis(now.wall.0 + after);
        let field = Field { with: ben.clone(), at, by: thief, value: Value::Pinned(other) };
        talk.field(thief, field, now).expect("memory");
        talk.settle();
    };
    assert_eq!(stands(&talk), (Some(first), None, None));
    for _ in 0..3 {
        says(&mut talk);
        assert_eq!(stands(&talk), asked);
    }
    assert!(talk.pin(room, first, now), "the relay shows that one");
    assert_eq!(stands(&talk), asked, "it ends no alarm");
    assert!(talk.distrust(room, now));
    talk.settle();
    assert!(!talk.pin(room, other, now));
    assert_eq!(stands(&talk), (Some(first), None, None));
    // The relay shows another list of the pinned key's devices.
    talk.chat.room_mut(room).expect("there").kept.changed = Some(first);
    says(&mut talk);
    assert_eq!(stands(&talk), asked);
}

#[test]
fn a_name_of_the_far_future_gives_way_to_the_next_one() {
    let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
    let mut talk = alone(now);
    let (this, thief) = (talk.device(), DeviceId([9; 16]));
    let named = |name: &str, at| Own::Named { device: this, name: name.into(), at };
    let shown = |talk: &mut Talk| talk.note_of(this, now).name;
    talk.own_word(thief, named("stolen", Millis(u64::MAX)), now).expect("memory");
    assert_eq!(shown(&mut talk), "");
    // As an earlier version left it.
    let note = Note { name: "stolen".into(), named: Millis(u64::MAX), ..Note::default() };
    talk.keep_note(this, note);
    talk.bound_words(now).expect("memory");
    talk.own_word(thief, named("desk", now.wall), now).expect("memory");
    assert_eq!(shown(&mut talk), "desk");
}

#[test]
fn what_a_removed_device_said_of_somebody_decides_nothing_where_a_conversation_begins_later() {
    let now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };
    let (mut talk, thief, desk) = (alone(now), DeviceId([9; 16]), DeviceId([1; 16]));
    let with = AccountName::parse("carol").expect("valid");
    let word = |by, value| Field { with: with.clone(), at: now.wall, by, value };
    let key = Peer { identity: [7; 32], noise: [8; 32] };
    let said = [Value::Pinned(key), Value::Verified(Some([7; 32])), Value::Petname(Some("mum".into()))];
    talk.own_word(thief, Own::Fields(said.map(|value| word(thief, value)).into()), now).expect("memory");
    talk.settle();
    talk.own_word(desk, Own::Fields(vec![word(desk, Value::Contact(true))]), now).expect("memory");
    let room = talk.chat.with(&with).expect("begun");
    assert_eq!((room.kept.peer, room.person.verified, room.person.petname.as_deref()), (None, None, None));
}
