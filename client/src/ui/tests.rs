//! The screen as a person sees it: frames compared with kept ones, keys pressed in order.

mod profile;
mod trust;

use super::command::{Command, UiCommand};
use super::dialog::Dialog;
use super::pick::{About, What};
use super::setup::{Setup, draw_setup};
use super::theme::Theme;
use super::view::{Beside, Pictures, draw_beside};
use super::{Ui, view};
use crate::chat::attached::Attached;
use crate::chat::attention::Attention;
use crate::chat::call::{Call, CallState};
use crate::chat::deeds::{Pin, Reaction, Stamp};
use crate::chat::person::Person;
use crate::chat::profile::Portrait;
use crate::chat::room::{Kept, Room};
use crate::chat::timeline::{Author, Line, LineState, More, Timeline};
use crate::chat::{Chat, Link};
use crate::config::Config;
use crate::event::Stats;
use crate::media::form::Made;
use crate::media::ladder::{Level, Rung, Why};
use crate::term::{Caps, Cells, Depth, Hyperlink, Images, Mux};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use insta::assert_snapshot;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use subrosa_shared::content::file::{File, Key};
use subrosa_shared::id::{AccountName, CallId, MessageId, RoomId};
use subrosa_shared::protocol::blob::BlobId;
use subrosa_shared::store::Batch;
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::picture::Picture;

/// Tuesday, 3 March 2026, 14:00 UTC.
const START: u64 = 1_772_546_400_000;
const NOW: Now = Now { wall: Millis(START + 3_600_000), mono: Millis(1_000_000) };
const CAPS: Caps = Caps {
    depth: Depth::True,
    unicode: true,
    mux: Mux::None,
    cells: Cells::Half,
    adaptive: false,
    sync: false,
    repeat: false,
    images: Images::None,
};

fn name(text: &str) -> AccountName {
    AccountName::parse(text).expect("a name")
}

fn line(author: Author, minute: u64, body: &str, state: LineState) -> Line {
    Line::new(MessageId([7; 16]), author, Millis(START + minute * 60_000), body.into(), state)
}

fn room(number: u8, with: &str, lines: Vec<Line>) -> Room {
    let id = RoomId([number; 16]);
    let mut timeline = Timeline::closed(id, 0);
    let mut batch = Batch::default();
    let count = lines.len() as u64;
    lines.into_iter().for_each(|line| {
        timeline.push(line, &mut batch);
    });
    let kept = Kept {
        with: Some(name(with)),
        peer: None,
        changed: None,
        lines: count,
        read: count,
        unread: 0,
        muted: false,
        last: Millis(START),
    };
    Room {
        id,
        kept,
        person: Person::default(),
        refused: Vec::new(),
        portrait: Portrait::default(),
        attention: Attention::default(),
        timeline,
        clock: 0,
        online: false,
        typing: None,
        divider: None,
        group: None,
    }
}

fn talk() -> Vec<Line> {
    use {Author::*, LineState::*};
    vec![
        line(Them, 0, "morning! did the relay survive the night?", Received),
        line(Me, 2, "it did", Read),
        line(Me, 3, "and it has no idea what we said, see https://example.org/notes (page 3)", Read),
        line(Note, 4, "ben has a new key prekey bundle", Received),
        line(
            Them,
            26 * 60,
            "日本語 works too, and so do long lines that have to be wrapped because they do not fit",
            Received,
        ),
        line(Me, 26 * 60 + 1, "good", Delivered),
        line(Me, 26 * 60 + 2, "on the relay", Sent),
        line(Me, 26 * 60 + 3, "not yet", Sending),
    ]
}

fn chat(rooms: Vec<Room>) -> Chat {
    Chat {
        devices: Vec::new(),
        linking: None,
        unlinked: None,
        history: None,
        name: name("ada"),
        profile: subrosa_shared::profile::Profile::default(),
        identity: [1; 32],
        link: Link::Online,
        relay: "subrosa://127.0.0.1:4433/#x".into(),
        hosting: true,
        open: rooms.first().map(|room| room.id),
        rooms,
        call: None,
        stuck: None,
        waiting: 0,
        turned_away: 0,
        sessions: Vec::new(),
        listings: 0,
        listings_refused: 0,
        finding: None,
        indexing: None,
        past: None,
        transfers: Vec::new(),
        attaching: Vec::new(),
        at_doors: Vec::new(),
    }
}

fn usual() -> Chat {
    let mut ben = room(1, "ben", talk());
    ben.online = true;
    let mut eve = room(2, "eve", vec![line(Author::Them, 1, "hello", LineState::Received)]);
    eve.kept.unread = 3;
    let mut quiet = room(3, "quiet-one", Vec::new());
    quiet.attention.rings.level = subrosa_shared::content::own::Level::None;
    quiet.kept.unread = 12;
    chat(vec![ben, eve, quiet])
}

fn ui_with(caps: Caps, columns: u16, rows: u16) -> Ui {
    let mut ui = Ui::new(&Config::default(), caps);
    ui.set_zone(TimeZone::UTC);
    ui.resize(columns, rows);
    ui
}

fn ui(columns: u16, rows: u16) -> Ui {
    ui_with(CAPS, columns, rows)
}

fn open(ui: &mut Ui, chat: &Chat) {
    ui.opened(chat.open);
}

fn frame(chat: &Chat, ui: &Ui, pictures: &Pictures, size: (u16, u16)) -> (Buffer, Vec<Hyperlink>) {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).expect("a screen in memory");
    let mut links = Vec::new();
    terminal.draw(|frame| links = draw_beside(chat, ui, pictures, NOW, frame).links).expect("drawn");
    (terminal.backend().buffer().clone(), links)
}

fn shown(chat: &Chat, ui: &Ui) -> String {
    text(&frame(chat, ui, &Pictures::default(), ui.size).0)
}

fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut row = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                row.push_str(symbol);
                skip = super::text::width(symbol).max(1);
            }
            skip -= 1;
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

fn press(ui: &mut Ui, chat: &Chat, code: KeyCode, modifiers: KeyModifiers) -> Vec<Command> {
    ui.key(KeyEvent::new(code, modifiers), chat, NOW)
}

fn plain(ui: &mut Ui, chat: &Chat, code: KeyCode) -> Vec<Command> {
    press(ui, chat, code, KeyModifiers::NONE)
}

fn ctrl(ui: &mut Ui, chat: &Chat, c: char) -> Vec<Command> {
    press(ui, chat, KeyCode::Char(c), KeyModifiers::CONTROL)
}

fn types(ui: &mut Ui, chat: &Chat, text: &str) {
    for c in text.chars() {
        assert_eq!(plain(ui, chat, KeyCode::Char(c)), [], "typing does nothing else");
    }
}

fn call(state: CallState) -> Call {
    Call {
        device: None,
        level: Level::default(),
        made: Made::default(),
        id: CallId([1; 16]),
        room: RoomId([1; 16]),
        state,
        since: Millis(0),
        source: "test".into(),
        asked: None,
        own: None,
        theirs: None,
        paused: false,
        away: false,
        broken: false,
        their_pause: false,
        own_hidden: false,
        stats: Stats { fps: 9.8, kbps: 31.6, loss: 0.012 },
        lost: None,
        still: None,
    }
}

fn picture() -> Picture {
    let mut picture = Picture::grey(64, 48).expect("in bounds");
    for (i, luma) in picture.luma.iter_mut().enumerate() {
        *luma = (16 + (i % 64) * 3) as u8;
    }
    picture
}

#[test]
fn nothing_yet() {
    assert_snapshot!(shown(&chat(Vec::new()), &ui(80, 16)));
}

#[test]
fn a_conversation() {
    let chat = usual();
    let mut ui = ui(90, 20);
    open(&mut ui, &chat);
    assert_snapshot!(shown(&chat, &ui));
}

#[test]
fn what_stands_around_a_file_was_not_to_be_seen() {
    let garden = line(Author::Them, 0, "how is the garden?", LineState::Received);
    let file = Attached::new(File {
        id: MessageId([2; 16]),
        at: Millis(START),
        name: "garden.txt".into(),
        size: 2,
        sha256: [3; 32],
        key: Key([4; 32]),
        blob: BlobId([5; 16]),
        caption: "from the roof".into(),
        preview: Vec::new(),
    });
    let stamp = Stamp { clock: 1, id: MessageId([6; 16]) };
    let waits = LineState::Waiting("the mailbox is full".into());
    let mut sent = Line { id: MessageId([2; 16]), ..line(Author::Me, 1, &file.text(), waits) };
    sent.more = More {
        file: Some(Box::new(file)),
        reply: Some(garden.id),
        forwarded: true,
        pin: Some(Pin { by: name("ben"), on: true, stamp }),
        reactions: vec![Reaction { by: name("ben"), sign: "👍".into(), on: true, stamp }],
        ..More::default()
    };
    let chat = chat(vec![room(1, "ben", vec![garden, sent])]);
    for columns in [90, 40] {
        let mut ui = ui(columns, 24);
        open(&mut ui, &chat);
        let screen = shown(&chat, &ui);
        for part in [
            "│ forwarded",
            "│ ben: how is the garden?",
            "■ garden.txt  2 B",
            "from the roof",
            "(pinned)",
            "👍 ben",
            "waiting: the mailbox is full",
        ] {
            assert!(screen.contains(part), "{part} in\n{screen}");
        }
    }
}

#[test]
fn the_unread_line_and_somebody_typing() {
    let mut chat = usual();
    chat.rooms[0].divider = Some(4);
    chat.rooms[0].typing = Some(NOW.mono.plus(std::time::Duration::from_secs(3)));
    chat.rooms[1].typing = chat.rooms[0].typing;
    let mut ui = ui(80, 16);
    open(&mut ui, &chat);
    assert_snapshot!(shown(&chat, &ui));
}

#[test]
fn narrow() {
    let chat = usual();
    let mut ui = ui(30, 18);
    open(&mut ui, &chat);
    assert_snapshot!(shown(&chat, &ui));
}

#[test]
fn twenty_by_five() {
    let chat = usual();
    let mut ui = ui(20, 5);
    open(&mut ui, &chat);
    types(&mut ui, &chat, "hi");
    assert_snapshot!(shown(&chat, &ui));
}

#[test]
fn somebody_rings() {
    let mut chat = usual();
    chat.call = Some(call(CallState::Ringing));
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    assert_snapshot!(shown(&chat, &ui));
}

#[test]
fn a_live_picture_beside_the_conversation() {
    let mut chat = usual();
    chat.call = Some(call(CallState::Active));
    let ascii = Caps { cells: Cells::Ascii, ..CAPS };
    let mut ui = ui_with(ascii, 120, 22);
    open(&mut ui, &chat);
    let (theirs, own) = (picture(), Picture::grey(32, 32).expect("in bounds"));
    let pictures = Pictures { theirs: Some(&theirs), own: Some(&own), ..Pictures::default() };
    assert_snapshot!(text(&frame(&chat, &ui, &pictures, (120, 22)).0));
}

#[test]
fn help_is_complete() {
    let chat = usual();
    let mut ui = ui(100, 400);
    plain(&mut ui, &chat, KeyCode::F(1));
    let all = shown(&chat, &ui);
    for spec in super::command::specs() {
        assert!(all.contains(&format!("/{}", spec.name)), "/{}", spec.name);
        assert!(spec.aliases.iter().all(|alias| all.contains(&format!("/{alias}"))), "/{}", spec.name);
    }
    for edit in super::keymap::EDITS {
        assert!(all.contains(edit.keys[0]), "{:?}", edit.keys);
    }
    ui.resize(90, 24);
    assert_snapshot!(shown(&chat, &ui));
    ui.resize(36, 14);
    plain(&mut ui, &chat, KeyCode::End);
    assert!(shown(&chat, &ui).contains("100%"));
    plain(&mut ui, &chat, KeyCode::Esc);
    assert!(ui.dialogs.is_empty());
}

#[test]
fn help_cut_off_what_was_longer_than_a_row() {
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    for width in [32, 80, 160] {
        let lines = super::help::lines(&Theme::plain(), width);
        let all: String =
            lines.iter().flat_map(|line| &line.spans).map(|span| squeezed(&span.content)).collect();
        for spec in super::command::specs() {
            let usage = squeezed(&format!("/{} {}", spec.name, spec.args));
            assert!(all.contains(&usage), "{width}: {usage}");
        }
        assert!(lines.iter().all(|line| line.width() <= width), "{width}");
    }
}

#[test]
fn a_line_behind_one_that_is_gone_lost_its_author_and_time() {
    use {Author::*, LineState::*};
    let lines = vec![
        line(Them, 0, "hello ada", Received),
        line(Me, 1, "", Read),
        line(Me, 2, "first", Read),
        line(Me, 3, "second", Read),
    ];
    let chat = chat(vec![room(1, "ben", lines)]);
    let mut ui = ui(90, 20);
    open(&mut ui, &chat);
    let screen = shown(&chat, &ui);
    assert!(screen.contains("14:02 ada  first") && !screen.contains("14:03"), "{screen}");
}

#[test]
fn a_narrow_question_did_not_show_all_its_answers() {
    let chat = usual();
    let mut ui = ui(40, 20);
    open(&mut ui, &chat);
    ui.show(super::act::signs(MessageId([7; 16])));
    let screen = shown(&chat, &ui);
    for answer in ["1 👍", "5 😢", "6 🎉", "8 👀", "9 🔥"] {
        assert!(screen.contains(answer), "{answer}: {screen}");
    }
}

#[test]
fn the_switcher_finds_people_and_commands() {
    let chat = usual();
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    ctrl(&mut ui, &chat, 'k');
    assert_snapshot!(shown(&chat, &ui));
    types(&mut ui, &chat, "ev");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Open(RoomId([2; 16]))]);
    ctrl(&mut ui, &chat, 'k');
    types(&mut ui, &chat, "status");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Status]);
    ctrl(&mut ui, &chat, 'k');
    types(&mut ui, &chat, "/export");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), []);
    assert_eq!(ui.draft(), "/export ");
}

#[test]
fn the_mark_of_the_switcher_goes_along_with_what_it_stands_on() {
    let mut chat = usual();
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    let all = super::dialog::choices("", &chat);
    for (i, choice) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other.step != choice.step), "{} is one row", choice.name);
    }
    let (ben, eve) = (chat.rooms[0].id, chat.rooms[1].id);
    ctrl(&mut ui, &chat, 'k');
    chat.rooms.swap(0, 1);
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Open(ben)]);
    ctrl(&mut ui, &chat, 'k');
    plain(&mut ui, &chat, KeyCode::Down);
    plain(&mut ui, &chat, KeyCode::Up);
    chat.rooms.swap(0, 2);
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Open(eve)]);
    // Where that is gone the mark is nowhere, and Enter chooses nothing else.
    ctrl(&mut ui, &chat, 'k');
    chat.rooms.remove(0);
    assert!(!shown(&chat, &ui).contains('▸'));
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), []);
}

#[test]
fn commands_are_completed() {
    let chat = usual();
    let mut ui = ui(80, 20);
    open(&mut ui, &chat);
    types(&mut ui, &chat, "/re");
    assert_snapshot!(shown(&chat, &ui));
    plain(&mut ui, &chat, KeyCode::Tab);
    assert_eq!(ui.draft(), "/rename");
    plain(&mut ui, &chat, KeyCode::Tab);
    assert_eq!(ui.draft(), "/retry");
    plain(&mut ui, &chat, KeyCode::Tab);
    assert_eq!(ui.draft(), "/reply");
    plain(&mut ui, &chat, KeyCode::BackTab);
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Retry]);
    types(&mut ui, &chat, "/vid");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Video(None)], "what it alone begins with");
    types(&mut ui, &chat, "hi q");
    plain(&mut ui, &chat, KeyCode::Tab);
    assert_eq!(ui.draft(), "hi quiet-one ");
}

#[test]
fn setup_screens() {
    let draw = |setup: &Setup, w, h| {
        let mut terminal = Terminal::new(TestBackend::new(w, h)).expect("a screen in memory");
        let theme = Theme::named("dark", Depth::True).expect("built in");
        terminal.draw(|frame| draw_setup(setup, &theme, frame)).expect("drawn");
        text(terminal.backend().buffer())
    };
    let mut setup = Setup::first_run(None);
    setup.paste("ada");
    setup.key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
    setup.paste("correct horse battery");
    assert_snapshot!("setup_first", draw(&setup, 80, 20));
    assert!(!draw(&setup, 80, 20).contains("horse"), "hidden");
    let mut unlock = Setup::unlock("ada");
    unlock.problem("That is not the passphrase of this profile. Try again; it cannot be recovered.".into());
    assert_snapshot!("setup_unlock", draw(&unlock, 60, 14));
    for w in 1..=40 {
        for h in 1..=20 {
            draw(&setup, w, h);
            draw(&unlock, w, h);
        }
    }
}

#[test]
fn every_size_draws() {
    let mut ringing = usual();
    ringing.call = Some(call(CallState::Ringing));
    ringing.rooms[0].divider = Some(2);
    let mut active = usual();
    active.call = Some(call(CallState::Active));
    active.stuck = Some("no space left".into());
    let chats = [chat(Vec::new()), usual(), ringing, active];
    let picture = picture();
    let pictures = Pictures { theirs: Some(&picture), own: Some(&picture), ..Pictures::default() };
    let sizes = (1..=40).flat_map(|w| (1..=20).map(move |h| (w, h))).chain([
        (59, 24),
        (60, 24),
        (84, 3),
        (200, 60),
        (300, 5),
        (5, 90),
    ]);
    for (w, h) in sizes {
        for (i, chat) in chats.iter().enumerate() {
            let mut ui = ui(w, h);
            open(&mut ui, chat);
            ui.notice("a notice that is longer than most screens are wide".into(), true, NOW);
            ui.paste("two words\nand a line 日本語", chat);
            frame(chat, &ui, &pictures, (w, h));
            ctrl(&mut ui, chat, 'u');
            plain(&mut ui, chat, KeyCode::PageUp);
            plain(&mut ui, chat, KeyCode::PageDown);
            for dialog in [
                Dialog::help(),
                Dialog::switcher(chat),
                Dialog::confirm("Sure about this?", Command::Quit),
                Dialog::text("Title", "some text\n日本語"),
            ]
            .into_iter()
            .skip(i)
            .take(1)
            {
                ui.show(dialog);
                plain(&mut ui, chat, KeyCode::Down);
                frame(chat, &ui, &pictures, (w, h));
            }
        }
    }
}

#[test]
fn no_colour_means_no_colour() {
    let mut chat = usual();
    chat.rooms[0].divider = Some(3);
    let caps = Caps { depth: Depth::None, ..CAPS };
    let mut ui = ui_with(caps, 90, 24);
    open(&mut ui, &chat);
    ui.show(Dialog::switcher(&chat));
    let (buffer, _) = frame(&chat, &ui, &Pictures::default(), (90, 24));
    for cell in &buffer.content {
        assert!(matches!((cell.fg, cell.bg), (Color::Reset, Color::Reset)), "{cell:?}");
    }
    let caps = Caps { depth: Depth::Ansi16, ..CAPS };
    let ui = ui_with(caps, 90, 24);
    let (buffer, _) = frame(&chat, &ui, &Pictures::default(), (90, 24));
    for cell in &buffer.content {
        assert!(
            ![cell.fg, cell.bg].iter().any(|c| matches!(c, Color::Rgb(..) | Color::Indexed(16..))),
            "{cell:?}"
        );
    }
}

#[test]
fn ascii_terminals_get_ascii() {
    let mut chat = usual();
    chat.call = Some(call(CallState::Active));
    let caps = Caps { unicode: false, cells: Cells::Ascii, ..CAPS };
    let mut ui = ui_with(caps, 80, 24);
    open(&mut ui, &chat);
    let picture = picture();
    let pictures = Pictures { theirs: Some(&picture), ..Pictures::default() };
    let (buffer, _) = frame(&chat, &ui, &pictures, (80, 24));
    assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()));
}

#[test]
fn foreign_text_reaches_no_cell_unharmed() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}txt.exe\u{9b}31m\u{0}a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}";
    let mut ben = room(
        1,
        "ben",
        vec![
            line(Author::Them, 0, evil, LineState::Received),
            line(Author::Note, 0, evil, LineState::Received),
        ],
    );
    ben.timeline.push(line(Author::Me, 0, "x", LineState::Waiting(evil.into())), &mut Batch::default());
    let mut chat = chat(vec![ben]);
    chat.link = Link::Offline { why: evil.into() };
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    ui.notice(evil.into(), true, NOW);
    ui.paste(evil, &chat);
    for dialog in [None, Some(Dialog::text(evil, evil)), Some(Dialog::confirm(evil, Command::Quit))] {
        dialog.into_iter().for_each(|dialog| ui.show(dialog));
        let (buffer, _) = frame(&chat, &ui, &Pictures::default(), (80, 24));
        for cell in &buffer.content {
            assert!(
                !cell.symbol().chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)),
                "{cell:?}"
            );
            assert!(cell.symbol().chars().count() <= 8, "{cell:?}");
        }
    }
}

#[test]
fn links_tell_where_they_stand() {
    let chat = usual();
    let mut ui = ui(90, 20);
    open(&mut ui, &chat);
    let (buffer, links) = frame(&chat, &ui, &Pictures::default(), (90, 20));
    assert!(
        links.iter().all(|link| link.url == "https://example.org/notes") && !links.is_empty(),
        "{links:?}"
    );
    let whole: String = links.iter().map(|link| link.text.as_str()).collect();
    assert_eq!(whole, "https://example.org/notes");
    assert_eq!(buffer[(links[0].x, links[0].y)].symbol(), "h");
}

#[test]
fn scrolling_stays_where_it_is_while_lines_come_in() {
    let lines = (0..500).map(|i| line(Author::Them, i, &format!("line {i}"), LineState::Received)).collect();
    let mut chat = chat(vec![room(1, "ben", lines)]);
    let mut ui = ui(50, 14);
    open(&mut ui, &chat);
    assert!(ui.sees_bottom(&chat) && shown(&chat, &ui).contains("line 499"));
    plain(&mut ui, &chat, KeyCode::PageUp);
    assert!(!ui.sees_bottom(&chat));
    let before = shown(&chat, &ui);
    assert!(!before.contains("line 499"), "{before}");
    for i in 0..3 {
        chat.rooms[0]
            .timeline
            .push(line(Author::Them, 600, &format!("late {i}"), LineState::Received), &mut Batch::default());
    }
    let after = shown(&chat, &ui);
    assert!(after.contains("3 new ↓"), "{after}");
    assert_eq!(
        before.lines().skip(1).take(8).collect::<Vec<_>>(),
        after.lines().skip(1).take(8).collect::<Vec<_>>()
    );
    plain(&mut ui, &chat, KeyCode::Home);
    let top = shown(&chat, &ui);
    assert!(top.lines().nth(1).is_some_and(|row| row.contains("Tuesday, 3 March 2026")), "{top}");
    assert!(top.contains("line 0"));
    plain(&mut ui, &chat, KeyCode::PageUp);
    assert_eq!(shown(&chat, &ui), top, "nothing above the top");
    plain(&mut ui, &chat, KeyCode::End);
    assert!(ui.sees_bottom(&chat) && shown(&chat, &ui).contains("late 2"));
    ui.focus(false);
    assert!(!ui.sees_bottom(&chat), "nobody looks");
    chat.rooms[0].divider = Some(250);
    ui.run(UiCommand::Unread, &chat, NOW);
    let unread = shown(&chat, &ui);
    assert!(unread.lines().nth(1).is_some_and(|row| row.contains(" new ")), "{unread}");
    for _ in 0..60 {
        plain(&mut ui, &chat, KeyCode::PageDown);
        press(&mut ui, &chat, KeyCode::Up, KeyModifiers::SHIFT);
        shown(&chat, &ui);
    }
}

#[test]
fn older_lines_are_wanted_near_the_top() {
    let mut chat = chat(vec![room(1, "ben", Vec::new())]);
    chat.rooms[0].timeline = Timeline::closed(RoomId([1; 16]), 1000);
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    assert!(ui.wants_older(&chat), "nothing is in memory");
    shown(&chat, &ui);
    for i in 0..256 {
        chat.rooms[0].timeline.push(line(Author::Me, i, "x", LineState::Sent), &mut Batch::default());
    }
    assert!(!ui.wants_older(&chat), "enough for now");
    plain(&mut ui, &chat, KeyCode::Home);
    assert!(ui.wants_older(&chat));
}

#[test]
fn writing_and_sending() {
    let chat = usual();
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    types(&mut ui, &chat, "one");
    assert!(ui.composing());
    press(&mut ui, &chat, KeyCode::Enter, KeyModifiers::ALT);
    types(&mut ui, &chat, "two");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Say("one\ntwo".into())]);
    assert!(!ui.composing());
    types(&mut ui, &chat, "//shrug");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Say("/shrug".into())]);
    types(&mut ui, &chat, "/viedo");
    assert!(!ui.composing(), "a command is no message");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), []);
    assert!(shown(&chat, &ui).contains("Did you mean /video?"));
    assert_eq!(ui.draft(), "/viedo", "to be mended");
    ctrl(&mut ui, &chat, 'c');
    assert_eq!(ui.draft(), "");
    ctrl(&mut ui, &chat, 'p');
    assert_eq!(ui.draft(), "//shrug", "as it was typed");
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), [Command::Say("/shrug".into())]);
    plain(&mut ui, &chat, KeyCode::Char('?'));
    assert!(matches!(ui.dialogs.last(), Some(Dialog::Help { .. })), "? on an empty line");
}

#[test]
fn a_path_is_sent_by_nobody_while_the_disk_is_asked_for_it() {
    let chat = usual();
    let mut ui = ui(100, 30);
    open(&mut ui, &chat);
    let (other, path) = ("'/mnt/slow/diary.pdf'", "'/home/ada/taxes.pdf'");
    assert_eq!(ui.paste(other, &chat).len(), 1, "the disk is asked");
    ctrl(&mut ui, &chat, 'c');
    assert_eq!(ui.paste(path, &chat).len(), 1, "and for another one");
    ui.looked(other);
    assert_eq!(plain(&mut ui, &chat, KeyCode::Enter), []);
    assert_eq!(ui.draft(), path);
    // There is no such file: it is text.
    ui.looked(path);
    assert!(matches!(&plain(&mut ui, &chat, KeyCode::Enter)[..], [Command::Say(text)] if text == path));
}

#[test]
fn what_was_typed_with_nothing_open_becomes_no_edit_of_a_line() {
    let chat = usual();
    let (mut ui, here) = (ui(100, 30), chat.rooms[0].id);
    open(&mut ui, &chat);
    let words = "other words for a line".to_owned();
    let on = MessageId([7; 16]);
    ui.about = Some(About { what: What::Edit, on, stash: String::new(), fleeting: false });
    ui.composer.set(words.clone());
    ui.opened(Some(RoomId([9; 16])));
    types(&mut ui, &chat, "no, thanks");
    ui.opened(None);
    ui.opened(Some(here));
    assert_eq!((ui.composer.text(), ui.draft()), (words.as_str(), "no, thanks"));
}

#[test]
fn a_long_paste_is_cut_with_a_notice() {
    let chat = usual();
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    ui.paste(&"word ".repeat(5000), &chat);
    assert!(ui.draft().len() <= subrosa_shared::content::TEXT_MAX);
    assert!(shown(&chat, &ui).contains("16 KiB"));
}

#[test]
fn leaving_is_asked_twice() {
    let chat = usual();
    let mut ui = ui(80, 24);
    assert_eq!(ctrl(&mut ui, &chat, 'c'), []);
    assert_eq!(ctrl(&mut ui, &chat, 'c'), [Command::Quit]);
    ctrl(&mut ui, &chat, 'c');
    types(&mut ui, &chat, "x");
    ctrl(&mut ui, &chat, 'c');
    assert_eq!(ctrl(&mut ui, &chat, 'c'), [], "the first one cleared the line");
    assert_eq!(ctrl(&mut ui, &chat, 'd'), [Command::Quit]);
}

#[test]
fn drafts_stay_with_their_conversations() {
    let chat = usual();
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    types(&mut ui, &chat, "for ben");
    ui.restore_draft(chat.rooms[1].id, "for eve".into());
    ui.opened(Some(chat.rooms[1].id));
    assert_eq!(ui.draft(), "for eve");
    assert!(shown(&chat, &ui).contains('✎') || chat.open == Some(chat.rooms[0].id));
    ui.opened(Some(chat.rooms[0].id));
    assert_eq!(ui.draft(), "for ben");
}

/// The call's column with this level, in ASCII so that the picture is small and readable.
fn on_rung(level: Level) -> String {
    let mut chat = usual();
    let caps = Caps { cells: Cells::Ascii, ..CAPS };
    let mut ui = ui_with(caps, 70, 20);
    open(&mut ui, &chat);
    chat.call = Some(Call { level, ..call(CallState::Active) });
    let picture = Picture::paint(32, 24, |x, _| [(x * 8) as u8; 3]).expect("in bounds");
    let pictures = Pictures { theirs: Some(&picture), own: Some(&picture), ..Pictures::default() };
    text(&frame(&chat, &ui, &pictures, (70, 20)).0).lines().skip(1).take(9).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_rung_of_the_ladder_says_why() {
    let terminal = |rung, size| Level { rung, why: Some(Why::Terminal(24)), fps: 3, size };
    let all = [
        terminal(Rung::Fewer, 100),
        terminal(Rung::Smaller, 50),
        Level { why: Some(Why::Network(55)), ..terminal(Rung::Still, 30) },
        terminal(Rung::Name, 30),
    ];
    assert_snapshot!(all.map(on_rung).join("\n\n"));
}

#[test]
fn rates_of_a_picture_that_broke_off_were_told() {
    let mut chat = usual();
    let mut ui = ui(120, 22);
    open(&mut ui, &chat);
    let stats = Stats { fps: 0.0, kbps: 0.0, loss: 0.0 };
    chat.call = Some(Call { lost: Some(Millis(0)), stats, ..call(CallState::Active) });
    let shown = shown(&chat, &ui);
    assert!(shown.contains("their picture broke off, waiting") && !shown.contains("fps"), "{shown}");
}

#[test]
fn cells_of_painted_pictures_are_left_alone() {
    let mut chat = usual();
    let mut ui = ui(100, 24);
    open(&mut ui, &chat);
    chat.call = Some(call(CallState::Active));
    let picture = Picture::paint(32, 24, |_, _| [200; 3]).expect("in bounds");
    let pictures = Pictures { theirs: Some(&picture), own: Some(&picture), beside: true, stills: false };
    let drawn = |ui: &Ui| {
        let mut terminal = Terminal::new(TestBackend::new(100, 24)).expect("a screen in memory");
        let mut beside = Beside::default();
        terminal.draw(|frame| beside = draw_beside(&chat, ui, &pictures, NOW, frame)).expect("drawn");
        beside
    };
    let beside = drawn(&ui);
    let (theirs, own) = (beside.theirs.expect("a place"), beside.own.expect("a place"));
    assert_eq!(theirs.intersection(own), own, "the own one stands in theirs");
    assert_eq!(beside.over, []);
    ui.show(Dialog::help());
    let beside = drawn(&ui);
    assert!(!beside.over.is_empty() && beside.links.is_empty());
    assert!(beside.over.iter().all(|rect| theirs.intersection(*rect) == *rect), "{:?}", beside.over);
}

#[test]
fn keys_of_conversations_and_calls() {
    let mut chat = usual();
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    let alt = KeyModifiers::ALT;
    let at = |i: usize| Command::Open(RoomId([i as u8 + 1; 16]));
    assert_eq!(press(&mut ui, &chat, KeyCode::Char('a'), alt), [at(1)]);
    assert_eq!(press(&mut ui, &chat, KeyCode::Char('3'), alt), [at(2)]);
    assert_eq!(press(&mut ui, &chat, KeyCode::Down, alt), [at(1)]);
    assert_eq!(press(&mut ui, &chat, KeyCode::Up, alt), [at(2)]);
    chat.rooms[1].kept.unread = 0;
    assert_eq!(press(&mut ui, &chat, KeyCode::Char('a'), alt), [at(2)], "muted ones come last");
    chat.call = Some(call(CallState::Ringing));
    assert_eq!(plain(&mut ui, &chat, KeyCode::F(2)), [Command::Answer(None)]);
    assert_eq!(plain(&mut ui, &chat, KeyCode::F(3)), [Command::Decline]);
    chat.call = Some(call(CallState::Active));
    assert_eq!(plain(&mut ui, &chat, KeyCode::F(3)), [Command::Hangup]);
    types(&mut ui, &chat, "so far");
    ctrl(&mut ui, &chat, 'x');
    assert_eq!(ctrl(&mut ui, &chat, 'e'), [Command::Editor("so far".into())]);
    ui.edited("from the editor\n".into());
    assert_eq!(ui.draft(), "from the editor");
    assert_eq!(
        press(&mut ui, &chat, KeyCode::Char('o'), alt),
        [Command::Copy("https://example.org/notes".into())]
    );
    assert_eq!(press(&mut ui, &chat, KeyCode::Char('c'), alt), [Command::Copy("not yet".into())]);
    ctrl(&mut ui, &chat, 'l');
    assert!(ui.take_redraw() && !ui.take_redraw());
}

#[test]
fn notices_go_by_themselves_and_errors_with_the_next_key() {
    let chat = usual();
    let mut ui = ui(80, 24);
    ui.notice("copied".into(), false, NOW);
    let until = ui.next_wake(NOW).expect("it goes");
    let later = Now { mono: until, ..NOW };
    assert!(ui.noticed(NOW).is_some() && ui.noticed(later).is_none());
    assert_eq!(ui.next_wake(later), None, "nothing wakes an idle screen");
    ui.notice("wrong".into(), true, NOW);
    assert_eq!(ui.next_wake(NOW), None);
    types(&mut ui, &chat, "x");
    assert!(ui.noticed(NOW).is_none());
}

#[test]
fn what_comes_in_one_event_hides_no_error() {
    let mut ui = ui(80, 24);
    ui.notice("gone".into(), true, NOW);
    ui.notice("copied".into(), false, NOW);
    assert_eq!(ui.noticed(NOW), Some(("gone", true)));
    ui.notice("void".into(), true, NOW);
    ui.notice("gone".into(), true, NOW);
    assert_eq!(ui.noticed(NOW), Some(("gone · void", true)));
    ui.begins();
    ui.notice("copied".into(), false, NOW);
    assert_eq!(ui.noticed(NOW), Some(("copied", false)));
}

#[test]
fn the_mouse_opens_and_scrolls() {
    let chat = usual();
    let mut ui = ui(80, 24);
    open(&mut ui, &chat);
    let at = |kind, column, row| MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    let click = MouseEventKind::Down(MouseButton::Left);
    assert_eq!(ui.mouse(at(click, 5, 2), &chat), [Command::Open(RoomId([2; 16]))]);
    assert_eq!(ui.mouse(at(click, 5, 15), &chat), []);
    ui.resize(80, 10);
    ui.mouse(at(MouseEventKind::ScrollUp, 40, 5), &chat);
    assert!(ui.scrolled());
    let screen = view::Screen { chat: &chat, ui: &ui, now: NOW };
    let notice = view::panes(&screen, super::area(ui.size)).notice;
    ui.mouse(at(click, notice.x, notice.y), &chat);
    assert!(!ui.scrolled());
}

#[test]
fn the_disk_that_refuses_is_loud() {
    let mut chat = usual();
    chat.stuck = Some("no space left on device".into());
    let mut ui = ui(80, 12);
    open(&mut ui, &chat);
    assert!(shown(&chat, &ui).contains("NOTHING IS SENT"));
}
