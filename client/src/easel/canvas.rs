//! One picture of two: where it stands on the terminal, and what is left to write for it.

use crate::media::cells;
use crate::media::tty::inline::{Inline, Plate, forget};
use crate::media::tty::{Budget, Look, Painter};
use ratatui::layout::Rect;
use std::sync::Arc;
use std::time::Duration;
use subrosa_shared::time::{Millis, Now};
use subrosa_shared::video::picture::{Fit, Picture, SIDE_MIN};

use super::Painted;

/// One picture.
pub(super) struct Canvas {
    pub(super) painter: Painter,
    pub(super) area: Option<Rect>,
    /// Where in the area it was put.
    pub(super) place: Rect,
    pub(super) newest: Option<Arc<Picture>>,
    /// What is being painted, and since when.
    shown: Option<(Arc<Picture>, Millis)>,
    /// When it was painted last.
    pub(super) painted: Millis,
    /// It is there as well as it can be.
    pub(super) done: bool,
    /// Its place was cleared, and nothing was painted there yet.
    cleared: bool,
    /// What makes images of it.
    plate: Option<Plate>,
    /// An image of it is on the screen.
    is_image: bool,
    /// What was set into that image.
    inset: Option<Arc<Picture>>,
}

/// Another picture that lies over one.
pub(super) struct Inset {
    pub(super) picture: Arc<Picture>,
    /// Its cells on the screen.
    pub(super) place: Rect,
}

/// The same picture is not improved more often.
const AGAIN: Duration = Duration::from_millis(30);
/// A picture with less left to do is done.
const DONE: f32 = 0.01;

impl Canvas {
    pub(super) fn new(look: Look) -> Self {
        Self {
            painter: Painter::new(look),
            area: None,
            place: Rect::ZERO,
            newest: None,
            shown: None,
            painted: Millis(0),
            done: true,
            cleared: false,
            plate: None,
            is_image: false,
            inset: None,
        }
    }

    pub(super) fn show(&mut self, picture: Option<Arc<Picture>>) -> bool {
        let shape = |picture: &Option<Arc<Picture>>| picture.as_ref().map(|p| (p.width(), p.height()));
        let other = shape(&picture) != shape(&self.newest);
        // Another place is cleared at once: no faster than the terminal takes what is painted there, whatever
        // shapes somebody sends.
        if other && self.cleared && picture.is_some() && self.newest.is_some() {
            return false;
        }
        self.newest = picture;
        if self.newest.is_none() {
            self.shown = None;
        }
        other
    }

    pub(super) fn put(&mut self, area: Option<Rect>, over: &[Rect], out: &mut Vec<u8>) {
        let place = match (area, &self.newest) {
            (Some(area), Some(picture)) => cells::fit(picture, area),
            _ => Rect::ZERO,
        };
        self.area = area;
        if place == self.place {
            return;
        }
        self.remove(out);
        (self.place, self.done, self.cleared) = (place, false, !place.is_empty());
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

    /// When it is to be painted, at most so many new ones a second; `inset` is to lie in its image, and
    /// moves at most as often as the second number says.
    pub(super) fn due(&self, (fps, inset_fps): (u8, u8), inset: Option<&Inset>, now: Now) -> Option<Millis> {
        let (newest, _) = (self.newest.as_ref()?, self.area?);
        let Some((shown, since)) = &self.shown else { return Some(now.mono) };
        // A little early rather than one picture of a regular source too late.
        let step = |fps: u8| Duration::from_millis(1000 / u64::from(fps.max(1)) * 9 / 10);
        let improve = (!self.done).then(|| self.painted.plus(AGAIN));
        let new = (!Arc::ptr_eq(shown, newest)).then(|| since.plus(step(fps)));
        let other = inset
            .filter(|_| self.is_image)
            .is_some_and(|inset| self.inset.as_ref().is_none_or(|shown| !Arc::ptr_eq(shown, &inset.picture)));
        let other = other.then(|| self.painted.plus(step(inset_fps)));
        [improve, new, other].into_iter().flatten().min()
    }

    pub(super) fn paint(&mut self, over: &[Rect], budget: Budget, now: Now, out: &mut Vec<u8>) -> Painted {
        let (Some(newest), Some(area)) = (self.newest.clone(), self.area) else { return Painted::default() };
        let begun = out.len();
        self.remove(out);
        let budget = match budget {
            Budget::Bytes(bytes) => Budget::Bytes(bytes.saturating_sub((out.len() - begun) as u32)),
            Budget::Unlimited => Budget::Unlimited,
        };
        // What is not finished goes on with what is true now.
        let new = self.take(&newest, now);
        let painted = self.painter.paint(&newest, area, over, budget, out);
        self.done = painted.bytes == 0 || painted.behind <= DONE;
        Painted { bytes: out.len() - begun, behind: painted.behind, new }
    }

    /// Shows it as an image, with another one set into it; `None` when that takes more than so many
    /// bytes.
    pub(super) fn print(
        &mut self,
        kind: Inline,
        inset: Option<&Inset>,
        budget: usize,
        now: Now,
        out: &mut Vec<u8>,
    ) -> Option<Painted> {
        let newest = self.newest.clone()?;
        if self.plate.as_ref().is_none_or(|plate| plate.kind() != kind) {
            self.plate = Some(Plate::new(kind));
        }
        let both = inset.and_then(|inset| set(&newest, self.place, inset));
        let picture = both.as_ref().unwrap_or(&newest);
        let bytes = self.plate.as_mut()?.print(picture, self.place, budget)?;
        out.extend_from_slice(&bytes);
        // Its cells are not those that were painted any more.
        self.painter.forget_all();
        self.is_image = true;
        if matches!(kind, Inline::Kitty { .. }) {
            crate::term::borrow_image(true);
        }
        let new = self.take(&newest, now);
        self.inset = inset.map(|inset| inset.picture.clone());
        self.done = true;
        Some(Painted { bytes: bytes.len(), behind: 0.0, new })
    }

    /// Takes its image away again, if there is one: the bytes go to `out`. One that lies in its cells
    /// goes with what is written there.
    pub(super) fn remove(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.is_image) {
            return;
        }
        if let Some(Inline::Kitty { id }) = self.plate.as_ref().map(Plate::kind) {
            out.extend(forget(id));
            crate::term::borrow_image(false);
        }
        self.painter.forget_all();
        (self.inset, self.done) = (None, false);
    }

    /// Whether an image of it is on the screen.
    pub(super) fn is_image(&self) -> bool {
        self.is_image
    }

    /// The newest one is what is shown from now on. Whether it was another one before.
    fn take(&mut self, newest: &Arc<Picture>, now: Now) -> bool {
        let new = self.shown.as_ref().is_none_or(|(shown, _)| !Arc::ptr_eq(shown, newest));
        if new {
            self.shown = Some((newest.clone(), now.mono));
        }
        (self.painted, self.cleared) = (now.mono, false);
        new
    }
}

/// A picture with the part of another one in it that lies over its cells; `None` when none does.
fn set(picture: &Picture, place: Rect, inset: &Inset) -> Option<Picture> {
    let common = inset.place.intersection(place);
    if common.is_empty() {
        return None;
    }
    let (width, height) = (f32::from(picture.width()), f32::from(picture.height()));
    // Samples of a cell.
    let (wide, tall) = (width / f32::from(place.width), height / f32::from(place.height));
    let size = |cells: u16, each: f32, most: u16| {
        ((f32::from(cells) * each).round() as u16).clamp(SIDE_MIN.min(most), most.max(SIDE_MIN))
    };
    let other = inset.picture.scaled(
        size(inset.place.width, wide, picture.width()),
        size(inset.place.height, tall, picture.height()),
        Fit::Crop,
    )?;
    Picture::paint(picture.width(), picture.height(), |x, y| {
        // Where on the screen the middle of the sample is, in cells, from the inset's corner.
        let across = f32::from(place.x) + (f32::from(x) + 0.5) / wide - f32::from(inset.place.x);
        let down = f32::from(place.y) + (f32::from(y) + 0.5) / tall - f32::from(inset.place.y);
        let (across, down) = (across / f32::from(inset.place.width), down / f32::from(inset.place.height));
        if !(0.0..1.0).contains(&across) || !(0.0..1.0).contains(&down) {
            return picture.rgb(x, y);
        }
        let at = |share: f32, of: u16| ((share * f32::from(of)) as u16).min(of - 1);
        other.rgb(at(across, other.width()), at(down, other.height()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_picture_stands_in_this_one() {
        let plain = |shade: u8| Picture::paint(160, 96, |_, _| [shade; 3]).expect("in bounds");
        let place = Rect::new(10, 2, 80, 24);
        let inset = |x, y| Inset { picture: Arc::new(plain(200)), place: Rect::new(x, y, 20, 6) };
        let both = set(&plain(50), place, &inset(70, 20)).expect("over it");
        let bright = |x, y| both.rgb(x, y)[0] > 150;
        assert!(bright(121, 73) && bright(159, 95) && !bright(118, 73) && !bright(121, 70));
        // Half of it beside the picture: only the other half is in it.
        let both = set(&plain(50), place, &inset(0, 2)).expect("over it");
        assert!(both.rgb(18, 10)[0] > 150 && both.rgb(22, 10)[0] < 100);
        assert!(set(&plain(50), place, &inset(95, 2)).is_none());
    }
}
