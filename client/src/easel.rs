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

    /// The terminal is somebody else's: what it was asked is not answered here any more.
    pub fn settled(&mut self) {
        self.drain.settled();
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
        // Nobody else looks while there is no picture to paint.
        self.drain.look(now);
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
        self.drain.over();
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
mod tests;
