//! Pictures on the terminal beside the drawn text: what is painted next, and with how many bytes.
//!
//! The text is drawn first and has its own bytes. A picture takes what [`Drain`] leaves it, so that
//! it comes in as many pieces as the terminal needs, and a key typed between two of them is shown
//! between them.

use crate::config::Video;
use crate::media::cells;
use crate::media::drain::Drain;
use crate::media::ladder::{Facts, Ladder, Level, Rung};
use crate::media::tty::{Budget, Colours, Look, Painter};
use crate::term::{Caps, Depth};
use crate::ui::theme::Theme;
use crate::ui::video::mode;
use crate::ui::view::Beside;
use ratatui::layout::Rect;
use std::sync::Arc;
use std::time::Duration;
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
}

/// One picture.
struct Canvas {
    painter: Painter,
    area: Option<Rect>,
    /// Where in the area it was put.
    place: Rect,
    newest: Option<Arc<Picture>>,
    /// What is being painted, and since when.
    shown: Option<(Arc<Picture>, Millis)>,
    /// When it was painted last.
    painted: Millis,
    /// It is there as well as it can be.
    done: bool,
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

/// How many of the palette's entries pictures set: theirs, then the own one.
const ENTRIES: [u8; 2] = [16, 8];
/// The same picture is not improved more often.
const AGAIN: Duration = Duration::from_millis(30);
/// A picture with less left to do is done.
const DONE: f32 = 0.01;
/// The own picture moves no more often than this a second, and gets this share of bytes.
const OWN_FPS: u8 = 8;
const OWN_SHARE: u32 = 3;
/// Around a picture that is not shown at once, the cursor is hidden: it would be seen to jump.
const HIDE: &[u8] = b"\x1b[?25l";
const SHOW: &[u8] = b"\x1b[?25h";

impl Easel {
    /// Nothing is painted yet.
    pub fn new(video: &Video, caps: Caps, theme: &Theme) -> Self {
        let (theirs, own) = looks(caps, theme);
        Self {
            theirs: Canvas::new(theirs),
            own: Canvas::new(own),
            over: Vec::new(),
            drain: if video.drain { Drain::new(video.terminal_kbps) } else { Drain::off() },
            ladder: Ladder::default(),
            work: 0.0,
            sync: caps.sync,
            most: u32::MAX,
        }
    }

    /// Pictures take at most so many bytes from now on.
    pub fn limit(&mut self, bytes: u32) {
        self.most = bytes;
    }

    /// The terminal can do something else, or the text has other colours. Bytes go to `out`.
    pub fn look(&mut self, caps: Caps, theme: &Theme, out: &mut Vec<u8>) {
        let (theirs, own) = looks(caps, theme);
        self.sync = caps.sync;
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
    }

    /// The screen was cleared, or somebody else had it.
    pub fn forget(&mut self) {
        for canvas in [&mut self.theirs, &mut self.own] {
            canvas.painter.forget_all();
            canvas.done = false;
        }
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
        let at = [self.theirs.due(self.fps(), now), self.own.due(self.fps().min(OWN_FPS), now)];
        let at = at.into_iter().flatten().min()?;
        if at > now.mono {
            return Some(at);
        }
        let now_or_never = self.drain.allowance(now) > 0 || self.drain.wonders();
        Some(if now_or_never { now.mono } else { self.drain.again(now) })
    }

    /// Paints the next piece, if there is one and the terminal takes it; or asks the terminal whether
    /// it does. Bytes go to `out`.
    pub fn paint(&mut self, now: Now, out: &mut Vec<u8>) -> Painted {
        let (fps, own_fps) = (self.fps(), self.fps().min(OWN_FPS));
        let is_due = |canvas: &Canvas, fps| canvas.due(fps, now).is_some_and(|at| at <= now.mono);
        let (theirs, own) = (is_due(&self.theirs, fps), is_due(&self.own, own_fps));
        // Who waited longer.
        let own = own && (!theirs || self.own.painted < self.theirs.painted);
        if !theirs && !own {
            return Painted::default();
        }
        let room = self.drain.allowance(now);
        if room == 0 && self.drain.wonders() {
            self.drain.inquire(now, out);
            return Painted::default();
        }
        let frame = if self.sync { 0 } else { HIDE.len() + SHOW.len() };
        let Some(room) = room.checked_sub(frame as u32).filter(|room| *room > 0) else {
            return Painted::default();
        };
        let mut over = self.over.clone();
        if !own {
            over.push(self.own.place);
        }
        let canvas = if own { &mut self.own } else { &mut self.theirs };
        let room = room.min(self.most);
        let budget = match room {
            _ if room > u32::MAX / 2 => Budget::Unlimited,
            _ if own && theirs => Budget::Bytes(room / OWN_SHARE),
            _ => Budget::Bytes(room),
        };
        let mut bytes = Vec::new();
        let painted = canvas.paint(&over, budget, now, &mut bytes);
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
        self.ladder = Ladder::default();
    }

    /// Gives the terminal's palette back; it is taken again when something is painted.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        self.theirs.painter.release(out);
        self.own.painter.release(out);
    }

    fn fps(&self) -> u8 {
        let level = self.ladder.level();
        if level.rung == Rung::Name { 1 } else { level.fps.max(1) }
    }
}

impl Canvas {
    fn new(look: Look) -> Self {
        Self {
            painter: Painter::new(look),
            area: None,
            place: Rect::ZERO,
            newest: None,
            shown: None,
            painted: Millis(0),
            done: true,
        }
    }

    fn show(&mut self, picture: Option<Arc<Picture>>) -> bool {
        let shape = |picture: &Option<Arc<Picture>>| picture.as_ref().map(|p| (p.width(), p.height()));
        let other = shape(&picture) != shape(&self.newest);
        self.newest = picture;
        if self.newest.is_none() {
            self.shown = None;
        }
        other
    }

    fn put(&mut self, area: Option<Rect>, over: &[Rect], out: &mut Vec<u8>) {
        let place = match (area, &self.newest) {
            (Some(area), Some(picture)) => cells::fit(picture, area),
            _ => Rect::ZERO,
        };
        self.area = area;
        if place == self.place {
            return;
        }
        (self.place, self.done) = (place, false);
        self.painter.forget_all();
        // What stood there before would be seen until each cell is painted.
        if over.is_empty() && !place.is_empty() {
            out.extend_from_slice(b"\x1b7\x1b[0m");
            for y in place.top()..place.bottom() {
                let clear = format!("\x1b[{};{}H\x1b[{}X", y + 1, place.x + 1, place.width);
                out.extend_from_slice(clear.as_bytes());
            }
            out.extend_from_slice(b"\x1b8");
        }
    }

    /// When it is to be painted, at most so many new ones a second.
    fn due(&self, fps: u8, now: Now) -> Option<Millis> {
        let (newest, _) = (self.newest.as_ref()?, self.area?);
        let Some((shown, since)) = &self.shown else { return Some(now.mono) };
        // A little early rather than one picture of a regular source too late.
        let next = since.plus(Duration::from_millis(1000 / u64::from(fps.max(1)) * 9 / 10));
        let improve = (!self.done).then(|| self.painted.plus(AGAIN));
        let new = (!Arc::ptr_eq(shown, newest)).then_some(next);
        [improve, new].into_iter().flatten().min()
    }

    fn paint(&mut self, over: &[Rect], budget: Budget, now: Now, out: &mut Vec<u8>) -> Painted {
        let (Some(newest), Some(area)) = (&self.newest, self.area) else { return Painted::default() };
        // What is not finished goes on with what is true now.
        let new = self.shown.as_ref().is_none_or(|(shown, _)| !Arc::ptr_eq(shown, newest));
        if new {
            self.shown = Some((newest.clone(), now.mono));
        }
        let painted = self.painter.paint(newest, area, over, budget, out);
        self.painted = now.mono;
        self.done = painted.bytes == 0 || painted.behind <= DONE;
        Painted { bytes: painted.bytes, behind: painted.behind, new }
    }
}

/// What both pictures are made of. Notes which entries of the palette they may set, for whoever
/// gives the terminal back in a hurry.
fn looks(caps: Caps, theme: &Theme) -> (Look, Look) {
    let fixed = match caps.depth {
        Depth::None => Colours::Mono,
        Depth::Ansi16 => Colours::Sixteen,
        Depth::Ansi256 => Colours::Palette,
        Depth::True => Colours::True,
    };
    let look = |colours| Look { glyphs: mode(caps), colours, synchronized: caps.sync, repeat: caps.repeat };
    let [count, own] = ENTRIES;
    match free(&theme.entries(), count + own).filter(|_| caps.adaptive) {
        Some(first) => {
            crate::term::borrow_palette(first, count + own);
            let entries = |first, count| look(Colours::Adaptive { first, count });
            (entries(first, count), entries(first + count, own))
        }
        None => {
            crate::term::borrow_palette(0, 0);
            (look(fixed), look(fixed))
        }
    }
}

/// The first entry of so many in a row that the text does not use; lower ones are shorter to write.
fn free(used: &[u8], count: u8) -> Option<u8> {
    (16..=255 - count).find(|first| !used.iter().any(|entry| (*first..first + count).contains(entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{Cells, Mux};

    const CAPS: Caps = Caps {
        depth: Depth::True,
        unicode: true,
        mux: Mux::None,
        cells: Cells::Quadrant,
        adaptive: false,
        sync: true,
        repeat: false,
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
        let (Colours::Adaptive { first, count: 16 }, Colours::Adaptive { first: next, count: 8 }) =
            (theirs.colours, own.colours)
        else {
            panic!("{theirs:?} {own:?}");
        };
        assert_eq!(next, first + 16);
        assert!(theme.entries().iter().all(|entry| !(first..first + 24).contains(entry)));
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
}
