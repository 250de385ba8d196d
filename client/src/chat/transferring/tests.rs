use super::*;
use crate::chat::tests::{alone, film};
use subrosa_shared::id::AccountName;
use subrosa_shared::protocol::frame::Refusal;
use subrosa_shared::time::Millis;

const NOW: Now = Now { wall: Millis(1_800_000_000_000), mono: Millis(0) };

/// The line of somebody's file.
fn offered(number: u128) -> Line {
    file_line(film(MessageId(number.to_be_bytes())), Author::Them, LineState::Received)
}

/// Ben's conversation, in which his file is offered.
fn one_offered() -> (Talk, RoomId, MessageId) {
    let mut talk = alone(NOW);
    let room = talk.room_with(&AccountName::parse("ben").expect("valid"), NOW);
    talk.offer(room, &offered(7), NOW);
    talk.push_line(room, offered(7), NOW);
    (talk, room, MessageId(7u128.to_be_bytes()))
}

#[test]
fn a_file_whose_conversation_went_while_it_was_read_is_said_not_to_be_sent() {
    let mut talk = alone(NOW);
    let bem = AccountName::parse("bem").expect("valid");
    let room = talk.room_with(&bem, NOW);
    let id = talk.attach(room, "/a/film.mkv".into(), String::new()).expect("begun");
    talk.no_account(&bem, Refusal::UnknownAccount, NOW).expect("memory");
    assert!(talk.chat.room(room).is_none(), "it was empty");
    let path = PathBuf::from("/a/film.mkv");
    let prepared = Prepared { path, name: "film.mkv".into(), size: 3, sha256: [1; 32], preview: Vec::new() };
    talk.file_report(Report::Prepared(id, Ok(prepared)), NOW).expect("memory");
    let said = |effect: &Effect| match effect {
        Effect::Tell(Happened::Notice { text, error }) => *error && text.starts_with("film.mkv was not sent"),
        _ => false,
    };
    assert!(talk.effects.iter().any(said), "{:?}", talk.effects);
    assert!(talk.chat.attaching.is_empty() && talk.chat.transfers.is_empty());
}

#[test]
fn of_files_that_nobody_fetches_only_the_newest_are_kept() {
    let mut talk = alone(NOW);
    let room = talk.room_with(&AccountName::parse("ben").expect("valid"), NOW);
    for number in 0..=OFFERS_MAX as u128 {
        talk.offer(room, &offered(number), NOW);
    }
    assert_eq!(talk.chat.transfers.len(), OFFERS_MAX);
    assert!(talk.chat.transfer(&MessageId([0; 16])).is_none(), "the oldest is forgotten");
}

#[test]
fn half_of_a_file_that_is_not_wanted_is_discarded_until_it_is_gone() {
    let mut talk = alone(NOW);
    let room = talk.room_with(&AccountName::parse("ben").expect("valid"), NOW);
    for number in [7u128, 8] {
        talk.offer(room, &offered(number), NOW);
        talk.push_line(room, offered(number), NOW);
        let transfer = talk.transfer_mut(MessageId(number.to_be_bytes())).expect("offered");
        transfer.kept.phase = Phase::Failed("the disk is full".into());
        transfer.kept.path = Some(PathBuf::from("/films"));
    }
    let id = MessageId(7u128.to_be_bytes());
    let discarded = |talk: &mut Talk| {
        let orders = talk.settle().into_iter().filter_map(|effect| match effect {
            Effect::Transfer(Order::Discard(id, _)) => Some(id),
            _ => None,
        });
        orders.collect::<Vec<_>>()
    };
    talk.cancel_file(id, NOW).expect("offered");
    assert_eq!(discarded(&mut talk), [id]);
    talk.discard_halves();
    assert_eq!(discarded(&mut talk), [id], "once more, and not what can be gone on with");
    talk.file_report(Report::Discarded(id, PathBuf::from("/films")), NOW).expect("memory");
    talk.discard_halves();
    assert!(discarded(&mut talk).is_empty());
}

#[test]
fn where_the_first_half_of_a_file_lies_that_is_saved_elsewhere_is_known_until_it_is_gone() {
    let (mut talk, room, id) = one_offered();
    let transfer = talk.transfer_mut(id).expect("offered");
    (transfer.kept.phase, transfer.kept.path) = (Phase::Paused, Some(PathBuf::from("/stick")));
    let discarded = |talk: &mut Talk| {
        let mut folders = Vec::new();
        for effect in talk.settle() {
            match effect {
                Effect::Commit(batch) => talk.store().commit(&batch).expect("memory"),
                Effect::Transfer(Order::Discard(_, folder)) => folders.push(folder),
                _ => {}
            }
        }
        folders
    };
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    talk.save_file(id, Some("/films".into()), NOW).expect("offered");
    assert_eq!(discarded(&mut talk), paths(&["/stick"]));
    talk.discard_halves();
    assert_eq!(discarded(&mut talk), paths(&["/stick"]), "it is tried again");
    talk.cancel_file(id, NOW).expect("offered");
    assert_eq!(discarded(&mut talk), paths(&["/films", "/stick"]));
    talk.file_report(Report::Discarded(id, "/stick".into()), NOW).expect("memory");
    talk.discard_halves();
    assert_eq!(discarded(&mut talk), paths(&["/films"]), "that one is still there");
    talk.forget_files(room);
    assert_eq!(discarded(&mut talk), paths(&["/films"]));
    assert_eq!(talk.halves(), [(id, PathBuf::from("/films"))], "a burn takes it along");
    talk.file_report(Report::Discarded(id, "/films".into()), NOW).expect("memory");
    assert!(discarded(&mut talk).is_empty() && talk.halves().is_empty());
}

#[test]
fn a_file_that_was_saved_and_does_not_come_to_another_folder_was_forgotten_where_it_lay() {
    for fails in [false, true] {
        let (mut talk, _, id) = one_offered();
        let (saved, stick) = (PathBuf::from("/films/film.mkv"), PathBuf::from("/stick"));
        let transfer = talk.transfer_mut(id).expect("offered");
        (transfer.kept.phase, transfer.kept.path) = (Phase::Done, Some(saved.clone()));
        talk.save_file(id, Some(stick.clone()), NOW).expect("once more");
        assert_eq!(talk.halves(), [(id, stick.clone())]);
        if fails {
            let end = End::Failed("the stick is full".into());
            talk.file_report(Report::Ended(id, end), NOW).expect("memory");
            let said = "the stick is full; it was saved before as /films/film.mkv";
            assert_eq!(talk.chat.transfer(&id).expect("known").said(), said);
        }
        talk.cancel_file(id, NOW).expect("on its way");
        let kept = &talk.chat.transfer(&id).expect("known").kept;
        assert_eq!((&kept.phase, &kept.path), (&Phase::Done, &Some(saved.clone())), "fails: {fails}");
        let discards = |effect: &Effect| match effect {
            Effect::Transfer(Order::Discard(of, folder)) => *of == id && *folder == stick,
            _ => false,
        };
        assert!(talk.effects.iter().any(discards), "{:?}", talk.effects);
        talk.file_report(Report::Discarded(id, stick.clone()), NOW).expect("memory");
        assert!(talk.halves().is_empty(), "{:?}", talk.halves());
        talk.save_file(id, Some(stick.clone()), NOW).expect("and once more");
        let there = PathBuf::from("/stick/film.mkv");
        talk.file_report(Report::Ended(id, End::Saved(there.clone())), NOW).expect("memory");
        let kept = &talk.chat.transfer(&id).expect("known").kept;
        assert_eq!((&kept.path, &kept.saved), (&Some(there), &None));
    }
}

#[test]
fn what_had_come_of_a_file_to_another_folder_was_thrown_away_when_it_stopped() {
    let (mut talk, _, id) = one_offered();
    let (saved, stick) = (PathBuf::from("/films/film.mkv"), PathBuf::from("/stick"));
    let transfer = talk.transfer_mut(id).expect("offered");
    (transfer.kept.phase, transfer.kept.path) = (Phase::Done, Some(saved.clone()));
    talk.save_file(id, Some(stick.clone()), NOW).expect("once more");
    talk.file_report(Report::Moved(id, 400), NOW).expect("memory");
    let end = End::Failed("the stick is full".into());
    talk.file_report(Report::Ended(id, end), NOW).expect("memory");
    let stands = |talk: &Talk| {
        let transfer = talk.chat.transfer(&id).expect("known");
        (transfer.kept.phase.clone(), transfer.kept.path.clone(), transfer.done)
    };
    let failed = Phase::Failed("the stick is full".into());
    assert_eq!(stands(&talk), (failed, Some(stick.clone()), 400));
    talk.resume_file(id, NOW).expect("goes on");
    assert_eq!(stands(&talk), (Phase::Active, Some(stick), 400));
    let discards = |effect: &Effect| matches!(effect, Effect::Transfer(Order::Discard(..)));
    assert!(!talk.effects.iter().any(discards), "{:?}", talk.effects);
    // It lies where it was, and says why no more of it comes.
    talk.file_gone(id);
    assert_eq!(stands(&talk), (Phase::Done, Some(saved), 1000));
    let says = |effect: &Effect| match effect {
        Effect::Tell(Happened::File { state, why, .. }) => {
            *state == "done" && why == "its message has disappeared"
        }
        _ => false,
    };
    assert!(talk.effects.iter().any(says), "{:?}", talk.effects);
}

#[test]
fn who_fetches_a_file_whose_message_disappears_is_told() {
    for asked in [false, true] {
        let (mut talk, _, id) = one_offered();
        let transfer = talk.transfer_mut(id).expect("offered");
        (transfer.kept.phase, transfer.kept.asked) = (Phase::Active, asked);
        talk.file_gone(id);
        let said = |effect: &Effect| match effect {
            Effect::Tell(Happened::Notice { text, error }) => {
                *error && text.contains("its message has disappeared")
            }
            _ => false,
        };
        assert_eq!(talk.effects.iter().any(said), asked, "{:?}", talk.effects);
    }
}

#[test]
fn a_folder_that_was_left_is_no_such_folder_once_the_file_goes_there_again() {
    let (mut talk, _, id) = one_offered();
    let transfer = talk.transfer_mut(id).expect("offered");
    (transfer.kept.phase, transfer.kept.left) = (Phase::Cancelled, vec!["/stick".into(), "/films".into()]);
    talk.save_file(id, None, NOW).expect("offered");
    talk.settle();
    talk.file_report(Report::Begun(id, Some("/stick".into())), NOW).expect("memory");
    let left = |talk: &Talk| talk.chat.transfer(&id).expect("known").kept.left.clone();
    assert_eq!(left(&talk), [PathBuf::from("/films")]);
    // The word of an order before it comes late.
    talk.file_report(Report::Begun(id, Some("/films".into())), NOW).expect("memory");
    assert_eq!(left(&talk), [PathBuf::from("/stick")]);
    talk.file_report(Report::Begun(id, Some("/stick".into())), NOW).expect("memory");
    assert_eq!(left(&talk), [PathBuf::from("/films")]);
}

#[test]
fn where_half_of_a_forgotten_file_lies_is_known_until_it_is_gone() {
    let mut talk = alone(NOW);
    let room = talk.room_with(&AccountName::parse("ben").expect("valid"), NOW);
    talk.offer(room, &offered(7), NOW);
    let (id, folder) = (MessageId(7u128.to_be_bytes()), Some(PathBuf::from("/films")));
    let transfer = talk.transfer_mut(id).expect("offered");
    (transfer.kept.phase, transfer.kept.path) = (Phase::Paused, folder.clone());
    talk.transfer_changed(id);
    let known = |talk: &mut Talk| {
        for effect in talk.settle() {
            if let Effect::Commit(batch) = effect {
                talk.store().commit(&batch).expect("memory");
            }
        }
        let (known, forgotten) = Transfer::load(talk.store()).expect("memory");
        let folders = |all: Vec<Transfer>| all.into_iter().map(|it| it.kept.path).collect::<Vec<_>>();
        (folders(known), folders(forgotten))
    };
    assert_eq!(known(&mut talk), (vec![folder.clone()], vec![]));
    talk.forget_files(room);
    assert_eq!(known(&mut talk), (vec![], vec![folder]), "whoever starts it again removes it");
    talk.file_report(Report::Discarded(id, PathBuf::from("/films")), NOW).expect("memory");
    assert_eq!(known(&mut talk), (vec![], vec![]));
}
