//! A picture on a terminal that is simulated: what is written, and what shows.

use super::looks::free;
use super::*;
use crate::media::tty::Colours;
use crate::term::{Cells, Depth, Image, Images, Mux};

const CAPS: Caps = Caps {
    depth: Depth::True,
    unicode: true,
    mux: Mux::None,
    cells: Cells::Quadrant,
    adaptive: false,
    sync: true,
    repeat: false,
    images: Images::None,
};
const AREA: Rect = Rect { x: 10, y: 2, width: 40, height: 15 };

fn at(ms: u64) -> Now {
    Now { wall: Millis(0), mono: Millis(1_000 + ms) }
}

fn easel(caps: Caps) -> Easel {
    Easel::new(&Video::default(), caps, &Theme::plain())
}

fn picture(shade: u8) -> Option<Arc<Picture>> {
    let paint = |x: u16, y: u16| [(x * 2) as u8 ^ shade, (y * 3) as u8, shade];
    Some(Arc::new(Picture::paint(80, 60, paint).expect("in bounds")))
}

fn placed(over: &[Rect]) -> Beside {
    Beside { theirs: Some(AREA), over: over.to_vec(), ..Beside::default() }
}

/// Paints for so long, every answer at once.
fn paints(easel: &mut Easel, from: u64, ms: u64) -> (Vec<u8>, usize) {
    let (mut all, mut most) = (Vec::new(), 0);
    for tick in from..from + ms {
        let mut out = Vec::new();
        if easel.next(at(tick)).is_some_and(|next| next <= at(tick).mono) {
            easel.paint(at(tick), &mut out);
        }
        most = most.max(out.len());
        for _ in 0..out.windows(4).filter(|part| part == b"\x1b[5n").count() {
            easel.heard(at(tick));
        }
        all.extend(out);
    }
    (all, most)
}

#[test]
fn a_picture_comes_in_pieces_and_then_rests() {
    let mut easel = easel(CAPS);
    assert_eq!(easel.next(at(0)), None);
    assert!(easel.show(picture(0), None), "its place has to be drawn");
    let mut out = Vec::new();
    easel.place(&placed(&[]), &mut out);
    assert!(out.starts_with(b"\x1b7\x1b[0m\x1b[3;11H\x1b[40X"), "what stood there is cleared");
    let mut first = Vec::new();
    let painted = easel.paint(at(0), &mut first);
    assert!((1..260).contains(&painted.bytes) && painted.new && painted.behind > 0.5, "{painted:?}");
    assert!(first.starts_with(b"\x1b[5n\x1b[?2026h") && first.ends_with(b"\x1b[?2026l\x1b[5n"));
    let mut none = Vec::new();
    assert_eq!(easel.paint(at(20), &mut none).bytes, 0, "not before that was answered");
    easel.heard(at(45));
    easel.heard(at(45));
    paints(&mut easel, 50, 3_000);
    assert_eq!(easel.next(at(4_000)), None, "it is all there");
    assert!(!easel.show(picture(9), None), "the same place");
    assert!(easel.next(at(4_000)).is_some());
}

#[test]
fn what_lay_over_a_picture_is_painted_when_it_goes() {
    let mut easel = easel(CAPS);
    easel.show(picture(0), None);
    easel.place(&placed(&[]), &mut Vec::new());
    paints(&mut easel, 0, 4_000);
    let dialog = Rect { x: 20, y: 5, width: 10, height: 4 };
    easel.place(&placed(&[dialog]), &mut Vec::new());
    paints(&mut easel, 4_000, 500);
    assert_eq!(easel.theirs.painter.shown(22, 6), None);
    easel.place(&placed(&[]), &mut Vec::new());
    paints(&mut easel, 4_600, 1_000);
    assert!(easel.theirs.painter.shown(22, 6).is_some());
    easel.forget();
    assert_eq!(easel.theirs.painter.shown(22, 6), None);
    assert!(easel.next(at(6_000)).is_some());
}

#[test]
fn a_picture_waits_until_the_text_before_it_was_read() {
    let mut easel = easel(CAPS);
    easel.wrote(9_000, at(0));
    easel.show(picture(0), None);
    easel.place(&placed(&[]), &mut Vec::new());
    let mut out = Vec::new();
    assert_eq!(easel.next(at(0)), Some(at(0).mono));
    easel.paint(at(0), &mut out);
    assert_eq!(out, b"\x1b[5n", "asked, and nothing painted");
    assert!(easel.next(at(1)).is_some_and(|next| next > at(1).mono));
    easel.heard(at(30));
    assert!(easel.paint(at(30), &mut out).bytes > 0);
}

#[test]
fn the_own_picture_stands_in_theirs() {
    let mut easel = easel(CAPS);
    easel.show(picture(0), picture(9));
    let corner = Rect { x: 38, y: 12, width: 10, height: 4 };
    let both = Beside { own: Some(corner), ..placed(&[]) };
    easel.place(&both, &mut Vec::new());
    paints(&mut easel, 0, 5_000);
    let inside = (easel.own.place.x + 1, easel.own.place.y + 1);
    assert_eq!(easel.theirs.painter.shown(inside.0, inside.1), None);
    assert!(easel.own.painter.shown(inside.0, inside.1).is_some());
    easel.place(&placed(&[]), &mut Vec::new());
    paints(&mut easel, 5_000, 1_000);
    assert!(easel.theirs.painter.shown(inside.0, inside.1).is_some(), "hidden, it gives its place back");
}

#[test]
fn the_text_keeps_its_colours() {
    assert_eq!(free(&[], 24), Some(16));
    assert_eq!(free(&[20, 60], 24), Some(21));
    assert_eq!(free(&(16..=255).step_by(20).collect::<Vec<_>>(), 24), None);
    let caps = Caps { adaptive: true, depth: Depth::Ansi256, ..CAPS };
    let theme = Theme::named("dark", Depth::Ansi256).expect("built in");
    let (theirs, own) = looks(caps, &theme);
    crate::term::borrow_palette(0, 0);
    let (Colours::Adaptive { first, count: 24 }, Colours::Adaptive { first: next, count: 8 }) =
        (theirs.colours, own.colours)
    else {
        panic!("{theirs:?} {own:?}");
    };
    assert_eq!(next, first + 24);
    assert!(theme.entries().iter().all(|entry| !(first..first + 32).contains(entry)));
}

#[test]
fn a_slow_terminal_is_named() {
    let video = Video { terminal_kbps: 12, ..Video::default() };
    let mut easel = Easel::new(&video, CAPS, &Theme::plain());
    easel.show(picture(0), None);
    easel.place(&placed(&[]), &mut Vec::new());
    assert_eq!(easel.judge(0.0, at(0)), None);
    let level = easel.judge(0.0, at(500)).expect("lower");
    assert_eq!(level.said().as_deref(), Some("fewer frames: the terminal takes 12 kbit/s"));
    easel.over();
    assert_eq!(easel.ladder.level(), Level::default());
}

#[test]
fn a_terminal_that_took_nothing_for_a_moment_gets_the_picture_back() {
    let mut easel = easel(CAPS);
    easel.show(picture(0), None);
    easel.place(&placed(&[]), &mut Vec::new());
    plays(&mut easel, 0, 1_000);
    // Somebody was detached: what is asked now is never answered.
    easel.show(picture(200), None);
    assert!(easel.paint(at(1_500), &mut Vec::new()).bytes > 0);
    for ms in (1_500..7_000).step_by(500) {
        easel.judge(0.0, at(ms));
    }
    assert_eq!(easel.ladder.level().rung, Rung::Name);
    for ms in (7_000..127_000).step_by(500) {
        let named = easel.ladder.level().rung == Rung::Name;
        easel.place(&if named { Beside::default() } else { placed(&[]) }, &mut Vec::new());
        plays(&mut easel, ms, 500);
        easel.judge(0.0, at(ms + 500));
    }
    assert!(easel.ladder.level().rung < Rung::Still, "{:?}", easel.ladder.level());
}

#[test]
fn shapes_that_change_all_the_time_clear_no_more_than_the_terminal_takes() {
    let mut easel = easel(CAPS);
    let square = Some(Arc::new(Picture::grey(60, 60).expect("in bounds")));
    let mut out = Vec::new();
    for i in 0..30 {
        easel.show(if i % 2 == 0 { picture(0) } else { square.clone() }, None);
        easel.place(&placed(&[]), &mut out);
        // It answers nothing.
        easel.paint(at(i * 33), &mut Vec::new());
    }
    assert!((1..1_000).contains(&out.len()), "{} bytes", out.len());
    easel.heard(at(1_000));
    easel.heard(at(1_000));
    easel.paint(at(1_100), &mut Vec::new());
    assert!(easel.show(picture(0), None), "the last one is seen");
}

const KITTY: Caps = Caps { images: Images::Auto(Image::Kitty), ..CAPS };
const JPEG: Caps = Caps { images: Images::Auto(Image::Jpeg), ..CAPS };

/// A film on a terminal that answers at once, for so long; its bytes, and those of the largest piece.
fn plays(easel: &mut Easel, from: u64, ms: u64) -> (String, usize) {
    let (mut all, mut most) = (Vec::new(), 0);
    for begun in (from..from + ms).step_by(100) {
        easel.show(picture((begun / 100) as u8), easel.own.newest.clone());
        let (bytes, piece) = paints(easel, begun, 100);
        all.extend(bytes);
        most = most.max(piece);
    }
    (String::from_utf8_lossy(&all).into_owned(), most)
}

fn images_in(bytes: &str) -> usize {
    bytes.matches("a=T,f=100").count() + bytes.matches("\x1b]1337;File=").count()
}

#[test]
fn a_fast_terminal_that_takes_images_gets_them_in_their_place() {
    for (caps, begins) in [
        (KITTY, format!("\x1b7\x1b[3;11H\x1b_Ga=T,f=100,i={},p=1,c=40,r=15,", crate::term::image_id())),
        (JPEG, "\x1b7\x1b[3;11H\x1b]1337;File=inline=1;width=40;height=15;".to_owned()),
    ] {
        let mut easel = easel(caps);
        easel.show(picture(0), None);
        easel.place(&placed(&[]), &mut Vec::new());
        let (first, _) = plays(&mut easel, 0, 1_000);
        assert!(images_in(&first) == 0 && first.contains('▀'), "characters, as long as little is known");
        plays(&mut easel, 1_000, 6_000);
        let (bytes, most) = plays(&mut easel, 7_000, 1_000);
        assert_eq!(images_in(&bytes), 10, "each picture once");
        assert!(bytes.contains(&begins), "{}", &bytes[..200]);
        assert!(!bytes.contains('▀') && most <= IMAGE_MOST as usize + 100);
        let made = easel.made(at(8_000)).expect("new");
        assert!(made.said().starts_with("pictures as images"), "{}", made.said());
        assert_eq!(easel.made(at(8_100)), None);
    }
}

#[test]
fn an_image_goes_when_something_lies_over_it_and_at_the_end() {
    let gone = format!("\x1b_Ga=d,d=I,i={},q=2\x1b\\", crate::term::image_id());
    let mut easel = easel(KITTY);
    easel.show(picture(0), None);
    easel.place(&placed(&[]), &mut Vec::new());
    plays(&mut easel, 0, 7_000);
    let place = |easel: &mut Easel, beside: &Beside| {
        let mut out = Vec::new();
        easel.place(beside, &mut out);
        String::from_utf8(out).expect("ASCII")
    };
    assert_eq!(place(&mut easel, &placed(&[])), "", "nothing changed");
    let dialog = Rect { x: 20, y: 5, width: 10, height: 4 };
    assert_eq!(place(&mut easel, &placed(&[dialog])), gone, "in the same write as the dialog");
    let (bytes, _) = plays(&mut easel, 7_000, 500);
    assert!(images_in(&bytes) == 0 && bytes.contains('▀'), "characters around it");
    assert_eq!(easel.theirs.painter.shown(22, 6), None);
    place(&mut easel, &placed(&[]));
    assert!(images_in(&plays(&mut easel, 7_500, 500).0) > 0, "it is back at once");
    // Another place, another size: the old one goes.
    let moved = Beside { theirs: Some(Rect { x: 12, ..AREA }), ..Beside::default() };
    assert!(place(&mut easel, &moved).starts_with(&gone));
    let (bytes, _) = plays(&mut easel, 8_000, 300);
    assert!(bytes.contains("\x1b[3;13H\x1b_Ga=T"), "{}", &bytes[..100]);
    // The screen was cleared: it is sent once more, although it is the same.
    let still = easel.theirs.newest.clone();
    easel.forget();
    easel.show(still, None);
    assert_eq!(images_in(&String::from_utf8_lossy(&paints(&mut easel, 8_300, 200).0)), 1);
    // The call is over.
    easel.show(None, None);
    assert!(place(&mut easel, &Beside::default()).contains(&gone));
    let mut out = Vec::new();
    easel.release(&mut out);
    assert!(out.is_empty(), "once is enough");
}

#[test]
fn an_image_goes_when_the_terminal_is_given_away() {
    let mut easel = easel(KITTY);
    easel.show(picture(0), None);
    easel.place(&placed(&[]), &mut Vec::new());
    plays(&mut easel, 0, 7_000);
    let mut out = Vec::new();
    easel.release(&mut out);
    assert!(String::from_utf8_lossy(&out).contains("\x1b_Ga=d,d=I,i="));
    let tmux = Caps { images: Images::Shared, mux: Mux::Tmux, ..KITTY };
    easel.look(tmux, &Theme::plain(), &mut Vec::new());
    let (bytes, _) = plays(&mut easel, 7_000, 4_000);
    assert!(images_in(&bytes) == 0 && !bytes.contains("\x1b_G"), "behind a multiplexer there are none");
    assert!(easel.made_now(at(11_000)).said().contains("multiplexer"));
}

#[test]
fn images_keep_to_the_budget_and_need_a_fast_terminal() {
    // What may be written at most, and whether that is enough.
    for (limit, enough) in [(Some(3_500), true), (Some(2_900), false), (None, true)] {
        let mut easel = easel(JPEG);
        easel.limit(limit.unwrap_or(u32::MAX));
        easel.show(picture(0), None);
        easel.place(&placed(&[]), &mut Vec::new());
        let (bytes, most) = plays(&mut easel, 0, 8_000);
        assert_eq!(images_in(&bytes) > 0, enough, "{limit:?}");
        // The questions around a piece are not the picture's.
        assert!(limit.is_none_or(|limit| most <= limit as usize + 8), "{most} of {limit:?}");
    }
    let video = Video { terminal_kbps: 400, ..Video::default() };
    let mut easel = Easel::new(&video, JPEG, &Theme::plain());
    easel.show(picture(0), None);
    easel.place(&placed(&[]), &mut Vec::new());
    assert_eq!(images_in(&plays(&mut easel, 0, 8_000).0), 0);
    assert!(easel.made_now(at(8_000)).said().contains("an image needs 800 kbit/s"));
}

#[test]
fn the_own_picture_stands_in_the_image_and_moves_there() {
    let mut easel = easel(KITTY);
    easel.show(picture(0), picture(9));
    let corner = Rect { x: 38, y: 12, width: 10, height: 4 };
    easel.place(&Beside { own: Some(corner), ..placed(&[]) }, &mut Vec::new());
    plays(&mut easel, 0, 7_000);
    let rests = easel.theirs.newest.clone();
    paints(&mut easel, 7_000, 1_000);
    assert_eq!(easel.next(at(8_000)), None, "both are there");
    easel.show(rests, picture(90));
    let (bytes, _) = paints(&mut easel, 8_000, 400);
    assert_eq!(images_in(&String::from_utf8_lossy(&bytes)), 1, "theirs with the new own one");
    assert_eq!(easel.next(at(8_400)), None);
}
