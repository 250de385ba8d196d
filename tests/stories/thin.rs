//! A person at the end of a thin line: a picture plays, and what is typed is seen at once.

use std::time::{Duration, Instant};
use subrosa_tests::pty::{Manner, Terminal, USUAL};
use subrosa_tests::real::{PATIENCE, program};

/// 64 kbit/s.
const THIN: Manner = Manner { answers: true, rate: 8_000 };
const COLOUR: &[(&str, &str)] = &[("COLORTERM", "truecolor")];
/// Keys that are typed, one after the other.
const KEYS: usize = 120;

/// The demo at the end of this line, its picture on the screen.
fn calls(manner: Manner, args: &[&str]) -> Terminal {
    let mut terminal = Terminal::of(manner, &program("subrosa"), args, COLOUR, 100, 30);
    terminal.shows("I am the one with the picture");
    terminal.shows("fps");
    terminal.until("a picture", |screen| coloured(screen) > 150);
    terminal
}

/// Cells whose background somebody painted.
fn coloured(screen: &vt100::Screen) -> usize {
    let (rows, columns) = screen.size();
    let cells =
        (1..rows - 2).flat_map(|row| (30..columns).filter_map(move |column| screen.cell(row, column)));
    cells.filter(|cell| cell.bgcolor() != vt100::Color::Default).count()
}

/// How long each key took from the keyboard to the screen, the longest first.
fn echoes(terminal: &mut Terminal) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut typed = String::new();
    for (i, letter) in ('a'..='z').cycle().take(KEYS).enumerate() {
        if i % 26 == 0 {
            // An empty line again.
            terminal.types("\x15");
            terminal.shows("Write a message");
            typed.clear();
        }
        typed.push(letter);
        let begun = Instant::now();
        terminal.types(&letter.to_string());
        terminal.until("the key", |screen| screen.contents().contains(&format!("› {typed}")));
        times.push(begun.elapsed());
        // People do not type in step with pictures.
        terminal.listens(Duration::from_millis(13 + (i as u64 * 37) % 90));
    }
    times.sort_unstable_by(|a, b| b.cmp(a));
    times
}

/// The longest but one in a hundred.
fn p99(times: &[Duration]) -> Duration {
    times[times.len() / 100]
}

/// Waits until a few more pieces of a picture were written; each begins with the cursor's place being kept.
fn moves(terminal: &mut Terminal) {
    let (before, until) = (terminal.raw().len(), Instant::now() + PATIENCE);
    while terminal.raw()[before..].windows(2).filter(|part| part == b"\x1b7").count() < 5 {
        assert!(Instant::now() < until, "the picture stands still:\n{}", terminal.text());
        terminal.listens(Duration::from_millis(50));
    }
}

/// Beside the same without drain control in the same run, so that a slow machine is slow for both.
#[test]
fn typing_is_seen_at_once_while_a_picture_plays_on_64_kbit() {
    let mut terminal = calls(THIN, &["demo"]);
    // The line is known and the picture on it.
    terminal.listens(Duration::from_secs(3));
    let times = echoes(&mut terminal);
    moves(&mut terminal);
    drop(terminal);
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("client.toml");
    std::fs::write(&config, "[video]\ndrain = false\n").expect("written");
    let lagging = echoes(&mut calls(THIN, &["demo", "--config", config.to_str().expect("text")]));
    println!("p99 {:?}, without drain control {:?}", p99(&times), p99(&lagging));
    assert!(p99(&times) * 4 < p99(&lagging) * 3, "{:?}, and without {:?}", &times[..8], &lagging[..8]);
}

#[test]
fn a_slow_terminal_is_told_to_the_person() {
    // 24 kbit/s.
    let slow = Manner { rate: 3_000, ..THIN };
    let mut terminal = Terminal::of(slow, &program("subrosa"), &["demo"], COLOUR, 100, 30);
    terminal.shows(": the terminal takes");
}

#[test]
fn a_terminal_that_answers_nothing_shows_pictures_too() {
    let mut terminal = calls(Manner { answers: false, ..USUAL }, &["demo"]);
    let still = terminal.screen().contents_formatted();
    terminal.until("a moving picture", |screen| screen.contents_formatted() != still);
}

#[test]
fn a_late_answer_is_no_typing() {
    let mut terminal = Terminal::start(&program("subrosa"), &["demo"], COLOUR, 100, 30);
    terminal.shows("I am the one with the picture");
    terminal.types("so\x1bP>|kitty(0.40.1)\x1b\\ be\x1b]4;255;rgb:eeee/eeee/eeee\x1b\\ it\x1b[?2026;2$y\x1b_Gi=31;OK\x1b\\.");
    terminal.until("only what was typed", |screen| screen.contents().contains("› so be it."));
    // And it is taken for what it is: from now on pictures set entries of the palette,
    terminal.until("octants", |screen| {
        screen.contents().chars().any(|c| ('\u{1cd00}'..='\u{1cde5}').contains(&c))
    });
    let set = |raw: &[u8], part: &[u8]| raw.windows(part.len()).any(|some| some == part);
    let until = Instant::now() + PATIENCE;
    while !(set(terminal.raw(), b"\x1b]4;16;") && set(terminal.raw(), b"\x1b[?2026h")) {
        assert!(Instant::now() < until, "no entry of the palette was set");
        terminal.listens(Duration::from_millis(50));
    }
    // which are put back for an editor, and at the end.
    terminal.types("\x15/status\r");
    terminal.shows("kitty(0.40.1)");
    terminal.signal("TERM");
    assert!(terminal.ends());
    assert!(set(terminal.raw(), b"\x1b]104;16;17;"), "the palette is put back");
}

#[test]
fn what_lay_over_the_picture_leaves_nothing_behind() {
    let mut terminal = calls(USUAL, &["demo"]);
    terminal.types("\x1bOP");
    terminal.shows("Keys and commands");
    terminal.types("\x1b");
    terminal.until("help closes", |screen| !screen.contents().contains("Keys and commands"));
    let covered = |screen: &vt100::Screen| {
        (8..20).any(|row| {
            (60..95).any(|column| {
                screen
                    .cell(row, column)
                    .is_some_and(|cell| cell.contents().chars().any(|c| c.is_ascii_alphabetic()))
            })
        })
    };
    terminal.until("the picture is whole again", |screen| !covered(screen) && coloured(screen) > 150);
}

/// What kitty says of itself.
const KITTY: &str = "\x1bP>|kitty(0.40.1)\x1b\\\x1b_Gi=31;OK\x1b\\";
const IMAGE: &[u8] = b"\x1b_Ga=T,f=100,";
const GONE: &[u8] = b"\x1b_Ga=d,d=I,";

/// Where the last of these bytes are.
fn last(terminal: &Terminal, part: &[u8]) -> Option<usize> {
    terminal.raw().windows(part.len()).rposition(|some| some == part)
}

/// Waits until these bytes were written after that moment.
fn writes(terminal: &mut Terminal, part: &[u8], after: usize) -> usize {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(at) = last(terminal, part).filter(|at| *at >= after) {
            return at;
        }
        assert!(Instant::now() < until, "{:?} was not written", String::from_utf8_lossy(part));
        terminal.listens(Duration::from_millis(50));
    }
}

#[test]
fn a_terminal_that_takes_images_gets_them_and_keeps_none() {
    // A busy machine reads late, and is then rightly held to be too slow for images: how fast it is,
    // is not measured here.
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("client.toml");
    std::fs::write(&config, "[video]\ndrain = false\n").expect("written");
    let mut terminal = calls(USUAL, &["demo", "--config", config.to_str().expect("text")]);
    terminal.types(KITTY);
    let first = writes(&mut terminal, IMAGE, 0);
    // Help lies over the picture.
    terminal.types("\x1bOP");
    terminal.shows("Keys and commands");
    let gone = writes(&mut terminal, GONE, first);
    terminal.listens(Duration::from_millis(500));
    assert!(last(&terminal, IMAGE) < Some(gone), "none behind the help");
    terminal.types("\x1b");
    let again = writes(&mut terminal, IMAGE, gone);
    // It says what holds now, or what held when it was opened.
    terminal.types("/status\r");
    terminal.until("how pictures are made", |screen| {
        let text = screen.contents();
        text.contains("pictures as images of up to") || text.contains("while something lies over them")
    });
    terminal.types("\x1b");
    let again = writes(&mut terminal, IMAGE, again);
    // The call ends, and its image with it; so it does with the program.
    terminal.types("\x1bOR");
    writes(&mut terminal, GONE, again);
    terminal.signal("TERM");
    assert!(terminal.ends());
    assert!(last(&terminal, IMAGE) < last(&terminal, GONE));
}

#[test]
fn behind_a_multiplexer_there_are_no_images() {
    let env = [COLOUR, &[("TMUX", "/tmp/none,1,0")]].concat();
    let mut terminal = Terminal::of(USUAL, &program("subrosa"), &["demo"], &env, 100, 30);
    terminal.shows("I am the one with the picture");
    terminal.types(KITTY);
    terminal.listens(Duration::from_secs(5));
    assert_eq!(last(&terminal, IMAGE), None);
    terminal.types("/status\r");
    terminal.shows("a multiplexer lies before the terminal");
}

#[test]
fn a_file_is_played_in_images_and_the_last_one_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let film = dir.path().join("stripes.y4m");
    std::fs::write(&film, stripes(600)).expect("written");
    // How fast a busy machine reads is not measured here either.
    let config = dir.path().join("client.toml");
    std::fs::write(&config, "[video]\ndrain = false\n").expect("written");
    let [film, config] = [&film, &config].map(|path| path.to_str().expect("text"));
    let args = ["video", "play", film, "--size", "64x48", "--cells", "image", "--config", config];
    let mut terminal = Terminal::of(USUAL, &program("subrosa"), &args, COLOUR, 60, 24);
    terminal.until("stripes", |screen| coloured(screen) > 100);
    terminal.types(KITTY);
    let first = writes(&mut terminal, IMAGE, 0);
    terminal.types("q");
    assert!(terminal.ends());
    assert!(last(&terminal, GONE) > Some(first) && last(&terminal, GONE) > last(&terminal, IMAGE));
    assert!(terminal.text().contains("pictures as images"), "{}", terminal.text());
}

#[test]
fn a_single_picture_was_gone_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let picture = dir.path().join("one.y4m");
    std::fs::write(&picture, stripes(1)).expect("written");
    let args = ["video", "play", picture.to_str().expect("text"), "--size", "64x48"];
    let mut terminal = Terminal::of(USUAL, &program("subrosa"), &args, COLOUR, 60, 24);
    terminal.until("stripes", |screen| coloured(screen) > 100);
    terminal.falls_silent(Duration::from_millis(300));
    assert!(coloured(terminal.screen()) > 100, "it stays: {}", terminal.text());
    terminal.types("x");
    assert!(terminal.ends());
    assert!(terminal.text().contains("1 of 1 shown"), "{}", terminal.text());
}

/// Moving stripes as y4m, ten a second.
fn stripes(count: usize) -> Vec<u8> {
    let mut film = b"YUV4MPEG2 W64 H48 F10:1 C420\n".to_vec();
    for at in 0..count {
        film.extend_from_slice(b"FRAME\n");
        film.extend((0..64 * 48).map(|dot| if (dot % 64 + at * 4) / 8 % 2 == 0 { 60 } else { 200 }));
        film.extend([128; 2 * 32 * 24]);
    }
    film
}

#[test]
fn a_file_is_played_and_its_figures_are_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let (film, reel) = (dir.path().join("stripes.y4m"), dir.path().join("stripes.reel"));
    std::fs::write(&film, stripes(10)).expect("written");
    let encode = std::process::Command::new(program("subrosa"))
        .args(["video", "encode", "--size", "64x48"])
        .args([&film, &reel])
        .output()
        .expect("starts");
    assert!(encode.status.success(), "{encode:?}");
    for file in [film, reel] {
        let file = file.to_str().expect("text");
        let args = ["video", "play", file, "--size", "64x48", "--budget", "2000"];
        let mut terminal = Terminal::of(USUAL, &program("subrosa"), &args, COLOUR, 60, 24);
        terminal.until("stripes", |screen| coloured(screen) > 100);
        assert!(terminal.ends());
        let said = terminal.text();
        assert!(
            said.contains("of 10 shown") && said.contains("bytes") && said.contains("terminal"),
            "{said}"
        );
        assert!(!terminal.screen().alternate_screen() && !terminal.screen().hide_cursor());
    }
}

#[test]
fn a_demo_of_two_seconds_ends_by_itself() {
    let args = ["demo", "--seconds", "2"];
    let mut terminal = Terminal::start(&program("subrosa"), &args, COLOUR, 100, 30);
    assert!(terminal.ends());
    assert!(!terminal.screen().alternate_screen(), "the screen before is back");
}
