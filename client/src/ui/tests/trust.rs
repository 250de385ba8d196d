//! Screens about people: the safety number, banners, requests, contacts.

use super::*;
use crate::chat::person::Standing;
use crate::ui::people;
use crate::ui::verify::Verify;
use subrosa_shared::protocol::auth::Peer;

fn peer(number: u8) -> Option<Peer> {
    Some(Peer { identity: [number; 32], noise: [number; 32] })
}

/// Ben is verified, eve a stranger, mallory blocked, rosa has another key.
fn crowd() -> Chat {
    let mut chat = usual();
    chat.rooms[0].kept.peer = peer(2);
    chat.rooms[0].person.verified = Some([2; 32]);
    chat.rooms[0].person.petname = Some("The Baker".into());
    let mut rosa = room(4, "rosa", vec![line(Author::Them, 3, "new phone", LineState::Received)]);
    (rosa.kept.peer, rosa.kept.changed) = (peer(4), peer(5));
    let mut mallory = room(5, "mallory", Vec::new());
    (mallory.kept.peer, mallory.person.blocked) = (peer(6), true);
    let eve = &mut chat.rooms[1];
    (eve.kept.peer, eve.person.standing) = (peer(3), Standing::Request);
    chat.rooms.insert(1, rosa);
    chat.rooms.push(mallory);
    chat.turned_away = 3;
    chat
}

fn verify(chat: &Chat, ui: &mut Ui) {
    let room = chat.current().expect("open");
    let (number, key) = chat.safety(room).expect("a key is known");
    ui.show_verify(Verify::new(chat, room, &number, key));
}

fn opened(chat: &mut Chat, at: usize, caps: Caps, columns: u16, rows: u16) -> Ui {
    chat.open = Some(chat.rooms[at].id);
    let mut ui = ui_with(caps, columns, rows);
    open(&mut ui, chat);
    ui
}

#[test]
fn the_safety_number_beside_its_code() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 0, CAPS, 110, 34);
    verify(&chat, &mut ui);
    assert_snapshot!("verify_wide", shown(&chat, &ui));
    ui.resize(70, 20);
    assert_snapshot!("verify_digits_only", shown(&chat, &ui));
    ui.resize(30, 14);
    assert_snapshot!("verify_narrow", shown(&chat, &ui));
    assert_eq!(plain(&mut ui, &chat, KeyCode::Char('y')), [Command::Verified(RoomId([1; 16]), [2; 32])]);
    verify(&chat, &mut ui);
    assert_eq!(plain(&mut ui, &chat, KeyCode::Char('n')), [Command::Doubt(RoomId([1; 16]), [2; 32])]);
    verify(&chat, &mut ui);
    assert_eq!(plain(&mut ui, &chat, KeyCode::Esc), []);
    assert!(ui.dialogs.is_empty());
}

#[test]
fn the_safety_number_without_unicode_and_without_colour() {
    let mut chat = crowd();
    let caps = Caps { unicode: false, cells: Cells::Ascii, ..CAPS };
    let mut ui = opened(&mut chat, 1, caps, 110, 34);
    verify(&chat, &mut ui);
    let ascii = shown(&chat, &ui);
    assert!(ascii.is_ascii(), "{ascii}");
    assert_snapshot!("verify_ascii_new_key", ascii);
    let caps = Caps { depth: Depth::None, ..CAPS };
    let mut ui = opened(&mut chat, 0, caps, 110, 34);
    verify(&chat, &mut ui);
    let (buffer, _) = frame(&chat, &ui, &Pictures::default(), (110, 34));
    assert!(text(&buffer).contains('▀'));
    for cell in &buffer.content {
        assert!(matches!((cell.fg, cell.bg), (Color::Reset, Color::Reset)), "{cell:?}");
    }
}

#[test]
fn the_code_on_the_screen_is_light_around_dark() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 0, CAPS, 110, 34);
    verify(&chat, &mut ui);
    let (buffer, _) = frame(&chat, &ui, &Pictures::default(), (110, 34));
    let black = Color::Rgb(0, 0, 0);
    let of_code: Vec<_> = (0..34u16)
        .flat_map(|y| (0..110u16).map(move |x| (x, y)))
        .filter(|at| buffer[*at].bg == black && buffer[*at].fg == Color::Rgb(255, 255, 255))
        .collect();
    let (left, top) = *of_code.first().expect("a code");
    let right = of_code.iter().map(|(x, _)| *x).max().expect("some");
    let light = |x: u16, y: u16| {
        let symbol = buffer[(left + x, top + y / 2)].symbol();
        symbol == "█" || symbol == if y.is_multiple_of(2) { "▀" } else { "▄" }
    };
    // The first finder: a dark ring of seven in the corner behind the quiet zone, light within, dark core.
    let size = right - left + 1;
    assert!((0..size).all(|x| light(x, 0) && light(x, 1)), "a quiet zone");
    assert!((2..9).all(|i| !light(i, 2) && !light(2, i) && !light(i, 8) && !light(8, i)), "a ring");
    assert!((3..8).all(|i| light(i, 3) && light(3, i)), "light within");
    assert!((4..7).all(|x| (4..7).all(|y| !light(x, y))), "a core");
    assert!((0..9).all(|i| light(i, 9) && light(9, i)), "set apart");
}

#[test]
fn what_waits_for_a_decision_stands_above_the_composer() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 1, CAPS, 90, 16);
    assert_snapshot!("banner_key_changed", shown(&chat, &ui));
    plain(&mut ui, &chat, KeyCode::PageUp);
    assert!(shown(&chat, &ui).contains("KEY CHANGED: rosa"), "scrolled or not");
    let ui = opened(&mut chat, 1, Caps { unicode: false, cells: Cells::Ascii, ..CAPS }, 34, 14);
    assert_snapshot!("banner_narrow_ascii", shown(&chat, &ui));
    let ui = opened(&mut chat, 3, CAPS, 120, 12);
    assert!(shown(&chat, &ui).contains("KEY CHANGED: nothing is sent to rosa"), "wherever one looks");
    let ui = opened(&mut chat, 4, CAPS, 90, 12);
    assert!(shown(&chat, &ui).contains("mallory is blocked"));
    chat.rooms[0].person.doubted = Some([2; 32]);
    let ui = opened(&mut chat, 0, CAPS, 120, 16);
    assert!(shown(&chat, &ui).contains("NUMBERS DIFFER: somebody may stand between you and The Baker (ben)"));
}

#[test]
fn a_stranger_is_shown_apart_and_a_little_of_what_they_say() {
    let mut chat = crowd();
    let body = format!("look at https://example.org/{} \u{1b}[31m\n\n\n\n\n\n\n\nbye", "x".repeat(300));
    let at = chat.rooms.iter().position(|room| room.name() == "eve").expect("there");
    chat.rooms[at] = room(2, "eve", vec![line(Author::Them, 1, &body, LineState::Received)]);
    (chat.rooms[at].kept.peer, chat.rooms[at].person.standing) = (peer(3), Standing::Request);
    let mut ui = opened(&mut chat, at, CAPS, 90, 20);
    let (buffer, links) = frame(&chat, &ui, &Pictures::default(), (90, 20));
    assert!(links.is_empty(), "nothing to click on");
    assert_snapshot!("request", text(&buffer));
    types(&mut ui, &chat, "who are you?");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), []);
    assert_snapshot!("request_answered", shown(&chat, &ui));
    assert_eq!(ui.draft(), "who are you?");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Char('d')), [Command::DeclineRequest(Some(name("eve")))]);
    plain(&mut ui, &chat, KeyCode::Enter);
    assert_eq!(plain(&mut ui, &chat, KeyCode::Char('b')), [Command::Block(Some(name("eve")))]);
}

#[test]
fn everybody_with_what_is_thought_of_them() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 0, CAPS, 90, 24);
    ui.show(people::contacts(&chat));
    assert_snapshot!("contacts", shown(&chat, &ui));
    let mut ui = opened(&mut chat, 0, Caps { unicode: false, cells: Cells::Ascii, ..CAPS }, 40, 16);
    ui.show(people::contacts(&chat));
    assert_snapshot!("contacts_narrow_ascii", shown(&chat, &ui));
}

#[test]
fn a_changed_key_is_accepted_with_its_number_in_sight() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 1, CAPS, 80, 24);
    types(&mut ui, &chat, "/trust");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), []);
    assert_snapshot!("trust_asks", shown(&chat, &ui));
    assert_eq!(plain(&mut ui, &chat, KeyCode::Char('y')), [Command::Trusted(RoomId([4; 16]), [5; 32])]);
}

#[test]
fn a_changed_key_is_refused_in_a_word_and_can_be_accepted_later() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 1, CAPS, 110, 34);
    assert!(shown(&chat, &ui).contains("/distrust keeps"));
    types(&mut ui, &chat, "/distrust");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Distrust(None)]);
    (chat.rooms[1].kept.changed, chat.rooms[1].refused) = (None, peer(5).into_iter().collect());
    assert!(!shown(&chat, &ui).contains("KEY CHANGED"));
    types(&mut ui, &chat, "/trust");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), []);
    let asked = shown(&chat, &ui);
    assert!(asked.contains("You have refused this key of rosa") && !asked.contains("/verify"), "{asked}");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Char('y')), [Command::Trusted(RoomId([4; 16]), [5; 32])]);
    ui.show(people::contacts(&chat));
    assert!(shown(&chat, &ui).contains("not verified, another key refused"));
}

#[test]
fn a_person_is_completed_by_their_own_name_here() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 0, CAPS, 80, 24);
    types(&mut ui, &chat, "/verify the");
    plain(&mut ui, &chat, KeyCode::Tab);
    assert_eq!(ui.draft(), "/verify ben ");
}

#[test]
fn every_size_draws_people() {
    let mut chat = crowd();
    let small = (1..=60).step_by(4).flat_map(|w| (1..=22).step_by(3).map(move |h| (w, h)));
    for (w, h) in small.chain([(84, 24), (200, 60), (90, 5)]) {
        for at in 0..chat.rooms.len() {
            let mut ui = opened(&mut chat, at, CAPS, w, h);
            frame(&chat, &ui, &Pictures::default(), (w, h));
            match at {
                0 => verify(&chat, &mut ui),
                1 => ui.show(people::trust(&chat, &chat.rooms[1]).expect("a changed key")),
                2 => ui.show(people::request(&chat.rooms[2], people::Waits::Forward)),
                _ => ui.show(people::contacts(&chat)),
            }
            frame(&chat, &ui, &Pictures::default(), (w, h));
        }
    }
}
