//! Screens of profiles: the sheet, the sign of a key, names that would be taken for another's.

use super::*;
use crate::media::avatar;
use crate::ui::profile::Sheet;
use subrosa_shared::profile::Profile;
use subrosa_shared::protocol::auth::Peer;
use subrosa_shared::video::picture::Picture;

fn said(name: &str, status: &str, avatar: Vec<u8>) -> Portrait {
    Portrait::said(Profile { version: 1, name: name.into(), status: status.into(), avatar })
}

fn face() -> Vec<u8> {
    let inside = |x: u16, y: u16| (i32::from(x) - 16).pow(2) + (i32::from(y) - 16).pow(2) < 150;
    let colour = |x, y| if inside(x, y) { [240, 200, 120] } else { [30, 40, 90] };
    avatar::encode(&Picture::paint(32, 32, colour).expect("in bounds")).expect("fits")
}

/// Ben has everything, eve calls herself ben, the quiet one says nothing.
fn crowd() -> Chat {
    let mut chat = usual();
    for (at, room) in chat.rooms.iter_mut().enumerate() {
        room.kept.peer = Some(Peer { identity: [at as u8 + 2; 32], noise: [9; 32] });
    }
    chat.rooms[0].portrait = said("Benjamin B.", "on the roof, back at five", face());
    chat.rooms[1].portrait = said("BEN", "", Vec::new());
    chat.name_people();
    chat
}

fn opened(chat: &mut Chat, at: usize, caps: Caps, columns: u16, rows: u16) -> Ui {
    chat.open = Some(chat.rooms[at].id);
    let mut ui = ui_with(caps, columns, rows);
    open(&mut ui, chat);
    ui
}

#[test]
fn a_profile_on_a_sheet_with_its_picture() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 0, CAPS, 110, 24);
    ui.show_profile(Sheet::of(&chat.rooms[0]));
    assert_snapshot!("profile_wide", shown(&chat, &ui));
    ui.resize(44, 26);
    assert_snapshot!("profile_narrow", shown(&chat, &ui));
    assert_eq!(plain(&mut ui, &chat, KeyCode::Char('v')), [Command::Verify(Some(name("ben")), None)]);
}

#[test]
fn a_sign_stands_for_who_has_no_picture() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 1, CAPS, 110, 24);
    ui.show_profile(Sheet::of(&chat.rooms[1]));
    assert_snapshot!("profile_sign_and_clash", shown(&chat, &ui));
    let ascii = Caps { unicode: false, cells: Cells::Ascii, ..CAPS };
    let mut ui = opened(&mut chat, 2, ascii, 80, 20);
    ui.show_profile(Sheet::of(&chat.rooms[2]));
    let screen = shown(&chat, &ui);
    assert!(screen.is_ascii(), "{screen}");
    assert_snapshot!("profile_sign_ascii", screen);
}

#[test]
fn the_own_profile_says_how_to_change_it() {
    let mut chat = crowd();
    let mut ui = opened(&mut chat, 0, CAPS, 90, 20);
    ui.show_profile(Sheet::own(&chat));
    assert_snapshot!("profile_own", shown(&chat, &ui));
    assert_eq!(plain(&mut ui, &chat, KeyCode::Char('s')), []);
    assert_eq!(ui.draft(), "/profile status ");
}

#[test]
fn sixteen_colours_and_none() {
    let mut chat = crowd();
    for (depth, at) in [(Depth::Ansi16, 0), (Depth::Ansi16, 1), (Depth::None, 0), (Depth::None, 1)] {
        let mut ui = opened(&mut chat, at, Caps { depth, ..CAPS }, 90, 24);
        ui.show_profile(Sheet::of(&chat.rooms[at]));
        let (buffer, _) = frame(&chat, &ui, &Pictures::default(), (90, 24));
        for cell in &buffer.content {
            for colour in [cell.fg, cell.bg] {
                let fits = match depth {
                    Depth::None => colour == Color::Reset,
                    _ => !matches!(colour, Color::Rgb(..) | Color::Indexed(16..)),
                };
                assert!(fits, "{depth:?} {cell:?}");
            }
        }
        if depth == Depth::None {
            assert_snapshot!(format!("profile_no_colour_{at}"), text(&buffer));
        }
    }
}

#[test]
fn every_size_draws_profiles() {
    let mut chat = crowd();
    let small = (1..=70).step_by(4).flat_map(|w| (1..=24).step_by(3).map(move |h| (w, h)));
    for (w, h) in small.chain([(84, 24), (200, 60)]) {
        for at in 0..=chat.rooms.len() {
            let mut ui = opened(&mut chat, at.min(2), CAPS, w, h);
            let sheet = chat.rooms.get(at).map_or_else(|| Sheet::own(&chat), Sheet::of);
            ui.show_profile(sheet);
            frame(&chat, &ui, &Pictures::default(), (w, h));
        }
    }
}
