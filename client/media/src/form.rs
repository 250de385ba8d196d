//! Whether a picture is shown in characters or as an image, and why: pure.
//!
//! Characters cost what changed, an image costs all of itself each time and comes in one piece. So it
//! is worth it only where the terminal takes a good one at once, and has for a while.

use std::time::Duration;
use subrosa_shared::time::{Millis, Now};

/// What a picture is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Characters with colours.
    #[default]
    Cells,
    /// An image file.
    Image,
}

/// Whether images may be used, and from how many bytes on they are worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// The terminal takes none.
    Not,
    /// A multiplexer lies between.
    Shared,
    /// The settings name characters.
    Unwanted,
    /// Where the terminal takes so many bytes at once.
    From {
        /// How many.
        bytes: u32,
        /// The settings want it wherever one fits.
        wanted: bool,
    },
}

/// Why it is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Images may not be used.
    Never(May),
    /// It is not known yet what the terminal takes.
    Unknown,
    /// A piece of so many bytes is too little for an image, which needs that many.
    Little(u32, u32),
    /// Something lies over the picture.
    Covered,
    /// There is room for one.
    Room(u32),
    /// The settings say so.
    Wanted,
}

/// What pictures are made of, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// What.
    pub form: Form,
    /// Why.
    pub why: Why,
}

/// The form over time.
#[derive(Debug)]
pub struct Forms {
    may: May,
    image: bool,
    /// Since when the other one would be right.
    other: Option<Millis>,
    why: Why,
}

/// It stays an image down to this share of what it takes to become one.
const STAYS: f32 = 0.7;
/// How long there must be room before it becomes an image, and too little before it is none.
const UP: Duration = Duration::from_secs(2);
const DOWN: Duration = Duration::from_millis(400);

impl Default for Made {
    fn default() -> Self {
        Self { form: Form::Cells, why: Why::Never(May::Not) }
    }
}

impl Made {
    /// For the person.
    pub fn said(&self) -> String {
        // A piece is what the terminal takes in the time that a typed key may wait.
        let kbps = |bytes: u32| u64::from(bytes) * 8 / super::drain::BURST.as_millis().max(1) as u64;
        match self.why {
            Why::Never(May::Shared) => {
                "pictures in characters: a multiplexer lies before the terminal".into()
            }
            Why::Never(May::Unwanted) => "pictures in characters, as set in video.cells".into(),
            Why::Never(_) => "pictures in characters: the terminal takes no images".into(),
            Why::Unknown => "pictures in characters, until it is known how much the terminal takes".into(),
            Why::Little(has, needs) => format!(
                "pictures in characters: an image needs {} kbit/s, the terminal takes {}",
                kbps(needs),
                kbps(has)
            ),
            Why::Covered => "pictures in characters while something lies over them".into(),
            Why::Room(bytes) => {
                format!("pictures as images of up to {bytes} bytes: the terminal takes them at once")
            }
            Why::Wanted => "pictures as images, as set in video.cells".into(),
        }
    }
}

impl Forms {
    /// Characters at first.
    pub fn new(may: May) -> Self {
        Self { may, image: false, other: None, why: Why::Never(may) }
    }

    /// The terminal can do something else, or the settings say so.
    pub fn set(&mut self, may: May) {
        if self.may != may {
            *self = Self::new(may);
        }
    }

    /// What it is now, when the terminal takes so many bytes at once (`None`: not known) and something
    /// lies over the picture or not.
    pub fn look(&mut self, piece: Option<u32>, covered: bool, now: Now) -> Made {
        let May::From { bytes, wanted } = self.may else {
            return Made { form: Form::Cells, why: Why::Never(self.may) };
        };
        let Some(piece) = piece else {
            return Made { form: Form::Cells, why: Why::Unknown };
        };
        let needs = if self.image { (bytes as f32 * STAYS) as u32 } else { bytes };
        if (piece >= needs) == self.image {
            self.other = None;
        } else {
            let since = *self.other.get_or_insert(now.mono);
            if now.mono.since(since) >= if self.image { DOWN } else { UP } {
                (self.image, self.other) = (!self.image, None);
            }
        }
        self.why = match self.image {
            _ if covered && self.image => Why::Covered,
            true if wanted => Why::Wanted,
            true => Why::Room(piece),
            false if piece >= bytes => Why::Unknown,
            false => Why::Little(piece, bytes),
        };
        let form = if self.image && !covered { Form::Image } else { Form::Cells };
        Made { form, why: self.why }
    }

    /// An image did not fit after all.
    pub fn refuse(&mut self, now: Now) {
        (self.image, self.other) = (false, Some(now.mono));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { wall: Millis(0), mono: Millis(10_000 + ms) }
    }

    const AUTO: May = May::From { bytes: 3_000, wanted: false };

    #[test]
    fn an_image_needs_room_for_a_while_and_characters_do_not_wait() {
        let mut forms = Forms::new(AUTO);
        assert_eq!(forms.look(None, false, at(0)).why, Why::Unknown);
        assert_eq!(forms.look(Some(9_000), false, at(0)).form, Form::Cells);
        assert_eq!(forms.look(Some(2_000), false, at(1_900)).why, Why::Little(2_000, 3_000));
        assert_eq!(forms.look(Some(3_000), false, at(2_000)).form, Form::Cells);
        let made = forms.look(Some(3_000), false, at(4_000));
        assert_eq!((made.form, made.why), (Form::Image, Why::Room(3_000)));
        assert_eq!(forms.look(Some(3_000), true, at(4_010)).why, Why::Covered);
        assert_eq!(forms.look(Some(3_000), true, at(4_010)).form, Form::Cells);
        assert_eq!(forms.look(Some(2_200), false, at(4_020)).form, Form::Image, "less is still enough");
        assert_eq!(forms.look(Some(2_000), false, at(4_100)).form, Form::Image);
        assert_eq!(forms.look(Some(2_000), false, at(4_500)).form, Form::Cells);
        forms.refuse(at(5_000));
        assert_eq!(forms.look(Some(9_000), false, at(6_900)).form, Form::Cells);
        assert_eq!(forms.look(Some(9_000), false, at(7_000)).form, Form::Image);
    }

    #[test]
    fn a_rate_at_the_edge_does_not_flutter() {
        let mut forms = Forms::new(AUTO);
        let mut last = Form::Cells;
        let changes = (0..60_000)
            .step_by(30)
            .filter(|ms| {
                let piece = if (ms / 30) % 3 == 0 { 2_300 } else { 3_300 };
                let form = forms.look(Some(piece), false, at(*ms)).form;
                std::mem::replace(&mut last, form) != form
            })
            .count();
        assert!(changes <= 1, "{changes}");
    }

    #[test]
    fn each_reason_is_a_sentence() {
        let said = |may, piece| {
            let mut forms = Forms::new(may);
            forms.look(piece, false, at(0));
            forms.look(piece, false, at(5_000)).said()
        };
        assert_eq!(said(May::Not, None), "pictures in characters: the terminal takes no images");
        assert!(said(May::Shared, Some(9_000)).ends_with("a multiplexer lies before the terminal"));
        assert!(said(May::Unwanted, Some(9_000)).ends_with("as set in video.cells"));
        assert!(said(AUTO, None).ends_with("how much the terminal takes"));
        assert_eq!(
            said(AUTO, Some(900)),
            "pictures in characters: an image needs 800 kbit/s, the terminal takes 240"
        );
        assert!(said(AUTO, Some(9_000)).starts_with("pictures as images of up to 9000 bytes"));
        assert!(said(May::From { bytes: 900, wanted: true }, Some(9_000)).ends_with("as set in video.cells"));
    }
}
