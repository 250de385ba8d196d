//! Pictures on the terminal beside the drawn text: what is painted next, and with how many bytes.
//!
//! The text is drawn first and has its own bytes. A picture takes what [`Drain`] leaves it, so that
//! it comes in as many pieces as the terminal needs, and a key typed between two of them is shown
//! between them.

mod canvas;
mod looks;
mod stills;

use crate::config::Video;
use crate::media::drain::Drain;
use crate::media::form::{Form, Forms, Made};
use crate::media::ladder::{Facts, Ladder, Level, Rung};
use crate::media::tty::Budget;
use crate::media::tty::inline::Inline;
use crate::term::Caps;
use crate::ui::theme::Theme;
use crate::ui::view::Beside;
use canvas::{Canvas, Inset};
use looks::{images, looks};
use ratatui::layout::Rect;
use std::sync::Arc;
use std::time::Duration;
use stills::Stills;
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::picture::Picture;

/// Two pictures, and the way to the terminal.
pub struct Easel {
    theirs: Canvas,
    own: Canvas,
    over: Vec<Rect>,
    drain: Drain,
    ladder: Ladder,
    /// Milliseconds that painting takes lately.
    work: f32,
    sync: bool,
    /// The most bytes of one piece, whatever the terminal takes.
    most: u32,
    /// How the terminal takes images.
    inline: Option<Inline>,
    forms: Forms,
    /// What their picture is made of, as it was told last.
    told: Option<Made>,
    stills: Stills,
}

/// Whether something was painted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Painted {
    /// Bytes that were written.
    pub bytes: usize,
    /// The share of cells of their picture that are not yet as they could be.
    pub behind: f32,
    /// A picture that was not there before began.
    pub new: bool,
}

/// The own picture moves no more often than this a second, and gets this share of bytes.
const OWN_FPS: u8 = 8;
const OWN_SHARE: u32 = 3;
/// Images with more bytes look no better.
const IMAGE_MOST: u32 = 10_000;
/// The share of a piece for which an image waits.
const WHOLE: f32 = 0.85;
/// Around a picture that is not shown at once, the cursor is hidden: it would be seen to jump.
const HIDE: &[u8] = b"\x1b[?25l";
const SHOW: &[u8] = b"\x1b[?25h";

impl Easel {
    /// Nothing is painted yet.
    pub fn new(video: &Video, caps: Caps, theme: &Theme) -> Self {
        let (theirs, own) = looks(caps, theme);
        let (inline, may) = images(caps);
        let mut stills = Stills::default();
        // Nothing is there to be taken away.
        stills.look(caps, &mut Vec::new());
        Self {
            theirs: Canvas::new(theirs),
            own: Canvas::new(own),
            over: Vec::new(),
            drain: if video.drain { Drain::new(video.terminal_kbps) } else { Drain::off() },
            ladder: Ladder::default(),
            work: 0.0,
            sync: caps.sync,
            most: u32::MAX,
            inline,
            forms: Forms::new(may),
            told: None,
            stills,
        }
    }

    /// Whether pictures that stay where they are may be left to be images.
    pub fn shows_stills(&self) -> bool {
        self.stills.wanted(self.drain.rate())
    }

    /// A cell has so many dots; zeros when nobody knows.
    pub fn sized(&mut self, dots: (u16, u16)) {
        self.stills.sized(dots);
    }

    /// Pictures take at most so many bytes from now on.
    pub fn limit(&mut self, bytes: u32) {
        self.most = bytes;
    }

    /// The terminal can do something else, or the text has other colours. Bytes go to `out`.
    pub fn look(&mut self, caps: Caps, theme: &Theme, out: &mut Vec<u8>) {
        let (theirs, own) = looks(caps, theme);
        self.sync = caps.sync;
        let (inline, may) = images(caps);
        if self.inline != inline {
            self.theirs.remove(out);
            self.inline = inline;
        }
        self.forms.set(may);
        self.stills.look(caps, out);
        for (canvas, look) in [(&mut self.theirs, theirs), (&mut self.own, own)] {
            canvas.painter.set_look(look, out);
            canvas.done = false;
        }
    }

    /// The newest pictures. True when the text around them has to be drawn again: one came, went or
    /// has another shape.
    pub fn show(&mut self, theirs: Option<Arc<Picture>>, own: Option<Arc<Picture>>) -> bool {
        let theirs = self.theirs.show(theirs);
        self.own.show(own) || theirs
    }

    /// The text was drawn, with these places left free. Bytes that clear them go to `out`.
    pub fn place(&mut self, beside: &Beside, out: &mut Vec<u8>) {
        // What lay over a picture is forgotten there, so that it is painted when that goes.
        for rect in self.over.iter().chain(&beside.over) {
            self.theirs.painter.forget(*rect);
            self.own.painter.forget(*rect);
        }
        if self.over != beside.over {
            (self.theirs.done, self.own.done) = (false, false);
        }
        self.over.clone_from(&beside.over);
        let own_before = self.own.place;
        self.theirs.put(beside.theirs, &beside.over, out);
        self.own.put(beside.own, &beside.over, out);
        if self.own.place != own_before {
            self.theirs.painter.forget(own_before);
            self.theirs.done = false;
        }
        // An image would cover what lies over it.
        if self.is_covered() {
            self.theirs.remove(out);
        }
        self.stills.place(&beside.stills, out);
    }

    /// The screen was cleared, or somebody else had it.
    pub fn forget(&mut self) {
        for canvas in [&mut self.theirs, &mut self.own] {
            canvas.painter.forget_all();
            canvas.done = false;
        }
        self.stills.forget();
    }

    /// Bytes of text were written.
    pub fn wrote(&mut self, bytes: usize, now: Now) {
        self.drain.wrote(bytes, now);
    }

    /// The terminal answered a question about how it is.
    pub fn heard(&mut self, now: Now) {
        self.drain.heard(now);
    }

    /// The terminal answered something else.
    pub fn speaks(&mut self) {
        self.drain.speaks();
    }

    /// The terminal takes nothing more at the moment.
    pub fn blocked(&mut self, now: Now) {
        self.drain.blocked(now);
    }

    /// What the terminal takes, in bytes a second, once that was measured.
    pub fn rate(&self) -> Option<u32> {
        self.drain.rate()
    }

    /// When to paint next; `None` when there is nothing to paint.
    pub fn next(&mut self, now: Now) -> Option<Millis> {
        let at = self.dues(now).into_iter().flatten().min()?;
        if at > now.mono {
            return Some(at);
        }
        let room = self.drain.allowance(now);
        let is_ready = room > 0 && room >= self.whole(now) || room == 0 && self.drain.wonders();
        Some(if is_ready { now.mono } else { self.drain.again(now) })
    }

    /// Paints the next piece, if there is one and the terminal takes it; or asks the terminal whether
    /// it does. Bytes go to `out`.
    pub fn paint(&mut self, now: Now, out: &mut Vec<u8>) -> Painted {
        let Some(is_own) = self.turn(now) else { return Painted::default() };
        let room = self.drain.allowance(now);
        if room == 0 && self.drain.wonders() {
            self.drain.inquire(now, out);
            return Painted::default();
        }
        let frame = if self.sync { 0 } else { HIDE.len() + SHOW.len() };
        if room < self.whole(now) {
            return Painted::default();
        }
        let Some(room) = room.checked_sub(frame as u32).filter(|room| *room > 0) else {
            return Painted::default();
        };
        let room = room.min(self.most);
        let mut bytes = Vec::new();
        let printed = match self.inline.filter(|_| !is_own && self.form(now).form == Form::Image) {
            Some(inline) => {
                let inset = self.inset();
                let printed = self.theirs.print(inline, inset.as_ref(), room as usize, now, &mut bytes);
                // Whoever waited for an image gets characters at once.
                if printed.is_none() {
                    self.forms.refuse(now);
                }
                printed
            }
            None => None,
        };
        let painted = printed.unwrap_or_else(|| self.paint_cells(is_own, room, now, &mut bytes));
        if painted.bytes > 0 {
            self.drain.before(now, out);
            if !self.sync {
                out.extend_from_slice(HIDE);
            }
            out.extend_from_slice(&bytes);
            if !self.sync {
                out.extend_from_slice(SHOW);
            }
            self.drain.painted(bytes.len() + frame, now, out);
        }
        painted
    }

    fn paint_cells(&mut self, is_own: bool, room: u32, now: Now, out: &mut Vec<u8>) -> Painted {
        let mut over = self.over.clone();
        // What lies in their image is not painted once more.
        let other = match is_own {
            false => self.own.place,
            true if self.theirs.is_image() => self.theirs.place,
            true => Rect::ZERO,
        };
        over.push(other);
        let both = self.dues(now).into_iter().all(|at| at.is_some_and(|at| at <= now.mono));
        let budget = match room {
            _ if room > u32::MAX / 2 => Budget::Unlimited,
            _ if is_own && both => Budget::Bytes(room / OWN_SHARE),
            _ => Budget::Bytes(room),
        };
        let canvas = if is_own { &mut self.own } else { &mut self.theirs };
        canvas.paint(&over, budget, now, out)
    }

    /// Painting took so long.
    pub fn worked(&mut self, time: Duration) {
        self.work += (time.as_secs_f32() * 1000.0 - self.work) / 8.0;
    }

    /// Looks at how it goes, while the network loses that share of frames (0 to 1); gives the level
    /// when the person should hear of another one.
    pub fn judge(&mut self, loss: f32, now: Now) -> Option<Level> {
        let place = self.theirs.place;
        let facts = Facts {
            rate: self.drain.rate(),
            stuck: self.drain.overdue(now).unwrap_or_default(),
            cells: self.theirs.area.map_or(place.area(), |area| area.area()),
            loss,
            work: self.work,
        };
        self.ladder.look(&facts, now)
    }

    /// The call is over: the next one begins with everything.
    pub fn over(&mut self) {
        (self.ladder, self.told) = (Ladder::default(), None);
    }

    /// Gives the terminal's palette back; it is taken again when something is painted.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        self.theirs.painter.release(out);
        self.own.painter.release(out);
        self.theirs.remove(out);
        self.stills.release(out);
    }

    /// What their picture is made of and why, when the person should hear of another reason.
    pub fn made(&mut self, now: Now) -> Option<Made> {
        let made = self.form(now);
        let same = |told: Made| std::mem::discriminant(&told.why) == std::mem::discriminant(&made.why);
        if self.told.is_some_and(same) {
            return None;
        }
        self.told = Some(made);
        Some(made)
    }

    /// What their picture is made of and why.
    pub fn made_now(&mut self, now: Now) -> Made {
        self.form(now)
    }

    fn form(&mut self, now: Now) -> Made {
        let piece = self.drain.piece(now).map(|piece| piece.min(self.most).min(IMAGE_MOST));
        let covered = self.is_covered();
        self.forms.look(piece, covered, now)
    }

    fn is_covered(&self) -> bool {
        self.over.iter().any(|rect| rect.intersects(self.theirs.place))
    }

    /// How many bytes their image takes at once, when it is one that is due: it cannot come in pieces.
    fn whole(&mut self, now: Now) -> u32 {
        if self.inline.is_none() || self.turn(now) != Some(false) || self.form(now).form != Form::Image {
            return 0;
        }
        let piece = self.drain.piece(now).map_or(0, |piece| piece.min(self.most).min(IMAGE_MOST));
        // A little may be on its way.
        (piece as f32 * WHOLE) as u32
    }

    /// When theirs and the own picture are to be painted.
    fn dues(&self, now: Now) -> [Option<Millis>; 2] {
        let fps = (self.fps(), self.fps().min(OWN_FPS));
        let inset = self.inset();
        [self.theirs.due(fps, inset.as_ref(), now), self.own.due((fps.1, fps.1), None, now)]
    }

    /// Whether it is the own picture's turn; `None` when none is due.
    fn turn(&self, now: Now) -> Option<bool> {
        let [theirs, own] = self.dues(now).map(|at| at.is_some_and(|at| at <= now.mono));
        // Who waited longer.
        let own_first = own && (!theirs || self.own.painted < self.theirs.painted);
        (theirs || own).then_some(own_first)
    }

    /// The own picture where it lies over theirs.
    fn inset(&self) -> Option<Inset> {
        let picture = self.own.newest.clone()?;
        let place = self.own.place;
        (place.intersects(self.theirs.place)).then_some(Inset { picture, place })
    }

    fn fps(&self) -> u8 {
        let level = self.ladder.level();
        if level.rung == Rung::Name { 1 } else { level.fps.max(1) }
    }
}

#[cfg(test)]
mod tests {
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
}
