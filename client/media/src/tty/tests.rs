//! The painter beside the screen that its bytes make.

#[path = "../../../../tests/harness/carphone.rs"]
mod carphone;

use super::screen::Screen;
use super::*;
use crate::face;
use proptest::prelude::*;
use std::time::Duration;
use subrosa_shared::video::picture::{Fit, Planes};

const LOOK: Look = Look {
    glyphs: Glyphs::Quadrants,
    colours: Colours::Adaptive { first: 16, count: 16 },
    synchronized: true,
    repeat: true,
};

const GLYPHS: [Glyphs; 6] =
    [Glyphs::Ascii, Glyphs::Halves, Glyphs::Quadrants, Glyphs::Sextants, Glyphs::Octants, Glyphs::Braille];

const COLOURS: [Colours; 5] = [
    Colours::Mono,
    Colours::Sixteen,
    Colours::Palette,
    Colours::True,
    Colours::Adaptive { first: 16, count: 8 },
];

/// The test picture after so many tenths of a second.
fn film(tenths: u64) -> Picture {
    face::picture(160, 96, Duration::from_millis(tenths * 100), 7).expect("in bounds")
}

/// A disc in two colours on a slope of grey.
fn disc(width: u16, height: u16, shift: u16) -> Picture {
    let middle = (f32::from(width) / 2.0 + f32::from(shift), f32::from(height) / 2.0);
    let inside =
        |x: u16, y: u16| (f32::from(x) - middle.0).hypot(f32::from(y) - middle.1) < f32::from(height) / 3.0;
    Picture::paint(width, height, |x, y| match (inside(x, y), x > width / 2) {
        (true, true) => [220, 90, 40],
        (true, false) => [40, 90, 220],
        (false, _) => [(x * 6).min(255) as u8; 3],
    })
    .expect("in bounds")
}

/// What the screen shows, as a picture of two by four samples a cell.
fn seen(screen: &Screen, width: u16, height: u16) -> Picture {
    Picture::paint(width * 2, height * 4, |x, y| {
        screen.dots(x / 2, y / 4).expect("inside")[usize::from(y % 4 * 2 + x % 2)]
    })
    .expect("in bounds")
}

/// The screen shows what the painter believes; returns how much that is.
fn agree(painter: &Painter, screen: &Screen, width: u16, height: u16) -> usize {
    let mut known = 0;
    for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
        if let Some(dots) = painter.shown(x, y) {
            assert_eq!(screen.dots(x, y), Some(dots), "cell {x}, {y}");
            known += 1;
        }
    }
    known
}

fn readable(bytes: &[u8]) -> String {
    // A line for each move, so that a difference is easy to see.
    String::from_utf8_lossy(bytes).escape_debug().to_string().replace("\\u{1b}", "\n␛")
}

#[test]
fn small_pictures_are_written_as_they_always_were() {
    for glyphs in GLYPHS {
        for colours in COLOURS {
            let look = Look { glyphs, colours, synchronized: false, repeat: true };
            let (mut painter, mut screen) = (Painter::new(look), Screen::new(8, 4));
            let mut written = String::new();
            for shift in [0, 4] {
                let mut out = Vec::new();
                painter.paint(&disc(16, 16, shift), Rect::new(0, 0, 8, 4), &[], Budget::Unlimited, &mut out);
                screen.write(&out);
                agree(&painter, &screen, 8, 4);
                written.push_str(&readable(&out));
                written.push('\n');
                for y in 0..4 {
                    let row = (0..8).filter_map(|x| screen.cell(x, y)).map(|cell| cell.glyph);
                    written.push_str(&format!("\n|{}|", row.collect::<String>()));
                }
                written.push('\n');
            }
            let name = match colours {
                Colours::Adaptive { .. } => "Adaptive".to_owned(),
                other => format!("{other:?}"),
            };
            insta::assert_snapshot!(format!("{glyphs:?}_{name}").to_lowercase(), written);
        }
    }
}

#[test]
fn the_budget_holds_and_a_face_is_seen() {
    // Bytes a picture, and the least quality after a second (dB).
    for (budget, floor) in [(60, 0.0), (300, 20.0), (1000, 27.0), (2500, 30.0)] {
        let (mut painter, mut screen) = (Painter::new(LOOK), Screen::new(80, 24));
        let mut quality = 99.0;
        for tenths in 0..12 {
            let mut out = b"before".to_vec();
            let picture = film(tenths);
            let area = Rect::new(0, 0, 80, 24);
            let painted = painter.paint(&picture, area, &[], Budget::Bytes(budget), &mut out);
            assert_eq!(painted.bytes, out.len() - 6);
            assert!(painted.bytes <= budget as usize, "{} of {budget}", painted.bytes);
            assert!((0.0..=1.0).contains(&painted.behind));
            screen.write(&out[6..]);
            quality = seen(&screen, 80, 24).psnr(&picture).expect("same size");
        }
        assert_eq!(
            agree(&painter, &screen, 80, 24),
            if budget > 300 { 1920 } else { agree(&painter, &screen, 80, 24) }
        );
        assert!(quality >= floor, "{quality:.1} dB at {budget} bytes");
    }
}

#[test]
fn a_still_picture_costs_nothing_and_neither_does_noise() {
    let (mut painter, mut out) = (Painter::new(LOOK), Vec::new());
    let area = Rect::new(0, 0, 40, 12);
    let still = film(0);
    // It is improved for some pictures, then it is as good as it gets.
    for _ in 0..30 {
        painter.paint(&still, area, &[], Budget::Unlimited, &mut out);
    }
    out.clear();
    let painted = painter.paint(&still, area, &[], Budget::Unlimited, &mut out);
    assert_eq!(painted, Painted::default());
    let mut noise = 1u32;
    for _ in 0..8 {
        let mut noisy = still.clone();
        for sample in &mut noisy.luma {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = sample.saturating_add_signed([-2, -1, 1, 2][(noise >> 30) as usize]);
        }
        painter.paint(&noisy, area, &[], Budget::Unlimited, &mut out);
    }
    assert!(out.len() < 200, "{} bytes for eight pictures of noise", out.len());
}

#[test]
fn nothing_waits_forever_beside_what_moves() {
    // The left half flickers at every picture and would take every byte; the right half changes once.
    let film = |turn: u16| {
        Picture::paint(160, 96, |x, y| match x < 80 {
            true if (x / 8 + y / 8 + turn) & 1 == 0 => [230; 3],
            true => [20; 3],
            false if turn < 10 => [60; 3],
            false => [60 + (x - 80) / 4 * 4, 120, 60 + y].map(|value| value.min(255) as u8),
        })
        .expect("in bounds")
    };
    let right = |picture: &Picture| {
        let crop = |x: u16, y: u16| picture.rgb(x + 80, y);
        Picture::paint(80, 96, crop).expect("in bounds")
    };
    let (mut painter, mut screen) = (Painter::new(LOOK), Screen::new(80, 24));
    for turn in 0..40 {
        let mut out = Vec::new();
        painter.paint(&film(turn), Rect::new(0, 0, 80, 24), &[], Budget::Bytes(500), &mut out);
        screen.write(&out);
    }
    let quality = right(&seen(&screen, 80, 24)).psnr(&right(&film(39))).expect("same size");
    assert!(quality > 24.0, "{quality:.1} dB where it rests");
}

#[test]
fn what_lies_over_the_picture_is_not_touched() {
    let (mut painter, mut screen) = (Painter::new(LOOK), Screen::new(80, 24));
    screen.write(b"\x1b[5;5H\x1b[1;33mtext\x1b[m\x1b[20;1Hprompt");
    let before = screen.clone();
    let (dialog, prompt) = (Rect::new(4, 4, 4, 1), Rect::new(0, 19, 10, 1));
    for tenths in 0..5 {
        let mut out = Vec::new();
        painter.paint(&film(tenths), Rect::new(0, 0, 80, 24), &[dialog, prompt], Budget::Unlimited, &mut out);
        screen.write(&out);
        assert_eq!(screen.cursor(), before.cursor(), "the cursor is where it was");
        for place in dialog.positions().chain(prompt.positions()) {
            assert_eq!(screen.cell(place.x, place.y), before.cell(place.x, place.y));
            assert_eq!(painter.shown(place.x, place.y), None);
        }
    }
    // Once it is gone, the picture is painted there too.
    let mut out = Vec::new();
    painter.paint(&film(5), Rect::new(0, 0, 80, 24), &[], Budget::Unlimited, &mut out);
    screen.write(&out);
    assert_eq!(agree(&painter, &screen, 80, 24), 1920);
    // What was overwritten by someone is painted again when that is said.
    screen.write(b"\x1b[H\x1b[mover");
    painter.forget(Rect::new(0, 0, 4, 1));
    assert_eq!(agree(&painter, &screen, 80, 24), 1916);
    out.clear();
    painter.paint(&film(5), Rect::new(0, 0, 80, 24), &[], Budget::Unlimited, &mut out);
    screen.write(&out);
    assert_eq!(agree(&painter, &screen, 80, 24), 1920);
}

#[test]
fn the_palette_is_put_back() {
    let (mut painter, mut screen) = (Painter::new(LOOK), Screen::new(20, 10));
    let mut out = Vec::new();
    painter.release(&mut out);
    assert!(out.is_empty(), "nothing was touched");
    painter.paint(&film(0), Rect::new(0, 0, 20, 10), &[], Budget::Unlimited, &mut out);
    screen.write(&out);
    let changed = |screen: &Screen| (0..=255).filter(|entry| screen.entry(*entry) != usual(*entry)).count();
    assert!(changed(&screen) >= 12);
    assert!(
        (0..16).chain(32..=255).all(|entry| screen.entry(entry) == usual(entry)),
        "only the 16 from 16 on"
    );
    out.clear();
    painter.set_look(Look { colours: Colours::Palette, ..LOOK }, &mut out);
    screen.write(&out);
    assert_eq!(changed(&screen), 0);
    out.clear();
    painter.paint(&film(0), Rect::new(0, 0, 20, 10), &[], Budget::Unlimited, &mut out);
    screen.write(&out);
    assert!(agree(&painter, &screen, 20, 10) > 100);
}

#[test]
fn any_area_and_budget_is_survived() {
    for (width, height) in [(0, 0), (1, 0), (0, 9), (1, 1), (3, 1), (300, 90)] {
        for budget in [Budget::Bytes(0), Budget::Bytes(7), Budget::Bytes(400)] {
            let mut out = Vec::new();
            let look = Look { glyphs: Glyphs::Sextants, ..LOOK };
            let painted = Painter::new(look).paint(
                &disc(33, 17, 0),
                Rect::new(5, 5, width, height),
                &[],
                budget,
                &mut out,
            );
            assert!(Budget::Bytes(painted.bytes as u32) == budget || painted.bytes < 400);
        }
    }
}

/// One step of a random film.
#[derive(Debug, Clone)]
struct Turn {
    shift: u16,
    budget: Option<u32>,
    hidden: Vec<(u16, u16, u16, u16)>,
    look: Option<(usize, usize)>,
}

fn turn() -> impl Strategy<Value = Turn> {
    let rect = (0..14u16, 0..8u16, 0..9u16, 0..5u16);
    (
        0..12u16,
        proptest::option::of(0..500u32),
        proptest::collection::vec(rect, 0..3),
        proptest::option::weighted(0.2, (0..GLYPHS.len(), 0..COLOURS.len())),
    )
        .prop_map(|(shift, budget, hidden, look)| Turn { shift, budget, hidden, look })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is painted under whatever is in the way: the screen is what the painter believes,
    /// what is hidden is left alone, and the budget holds.
    #[test]
    fn the_screen_is_what_the_painter_believes(
        glyphs in 0..GLYPHS.len(),
        colours in 0..COLOURS.len(),
        synchronized: bool,
        repeat: bool,
        turns in proptest::collection::vec(turn(), 1..7),
    ) {
        let look = Look { glyphs: GLYPHS[glyphs], colours: COLOURS[colours], synchronized, repeat };
        let (mut painter, mut screen) = (Painter::new(look), Screen::new(16, 8));
        for turn in turns {
            if let Some((glyphs, colours)) = turn.look {
                let mut out = Vec::new();
                let look = Look { glyphs: GLYPHS[glyphs], colours: COLOURS[colours], ..look };
                painter.set_look(look, &mut out);
                screen.write(&out);
            }
            let hidden: Vec<Rect> = turn.hidden.iter().map(|(x, y, w, h)| Rect::new(*x, *y, *w, *h)).collect();
            for place in hidden.iter().flat_map(|rect| rect.positions()) {
                // Somebody else's text; the painter is told only that it is hidden.
                screen.write(format!("\x1b[{};{}H\x1b[45mx\x1b[m", place.y + 1, place.x + 1).as_bytes());
            }
            let before = screen.clone();
            let budget = turn.budget.map_or(Budget::Unlimited, Budget::Bytes);
            let mut out = Vec::new();
            let painted =
                painter.paint(&disc(40, 20, turn.shift), Rect::new(0, 0, 16, 8), &hidden, budget, &mut out);
            prop_assert!(turn.budget.is_none_or(|budget| painted.bytes <= budget as usize));
            screen.write(&out);
            agree(&painter, &screen, 16, 8);
            for place in hidden.iter().flat_map(|rect| rect.positions()) {
                prop_assert_eq!(screen.cell(place.x, place.y), before.cell(place.x, place.y));
            }
        }
    }
}

/// The figures that the painter is judged by, on film that is not part of the project.
#[test]
fn a_talking_head_fits_a_kilobyte() {
    let Some(clip) = carphone::clip(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")) else { return };
    // The first picture is free: what counts is how well it is kept up.
    let (mut painter, mut screen) = (Painter::new(LOOK), Screen::new(80, 24));
    let (mut quality, mut count) = (0.0, 0.0);
    for at in (0..30).filter(|at| at % 3 != 2) {
        let planes = carphone::picture(&clip, at);
        let picture = Picture::from_scaled(planes, 160, 96, Fit::Crop).expect("in bounds");
        let mut out = Vec::new();
        let budget = if at == 0 { Budget::Unlimited } else { Budget::Bytes(1000) };
        painter.paint(&picture, Rect::new(0, 0, 80, 24), &[], budget, &mut out);
        screen.write(&out);
        quality += seen(&screen, 80, 24).psnr(&picture).expect("same size");
        count += 1.0;
    }
    assert!(quality / count >= 25.9, "{:.2} dB", quality / count);
}
