//! What pictures are made of, by what the terminal can do and which colours the text has.

use crate::media::form::May;
use crate::media::tty::inline::Inline;
use crate::media::tty::{Colours, Look};
use crate::term::{Caps, Depth, Image, Images};
use crate::ui::theme::Theme;
use crate::ui::video::mode;

/// How many of the palette's entries pictures set: theirs, then the own one.
const ENTRIES: [u8; 2] = [24, 8];

/// From how many bytes on an image is better than characters, by measure (`bench terminal`).
const JPEG: u32 = 3_000;
const KITTY: u32 = 5_000;
/// The same where the person wants it: fewer are not worth looking at.
const JPEG_LEAST: u32 = 1_200;
const KITTY_LEAST: u32 = 3_600;

/// Which image the terminal is given, and when that is worth it.
pub(super) fn images(caps: Caps) -> (Option<Inline>, May) {
    let kind = |image| match image {
        Image::Jpeg => Inline::Jpeg,
        Image::Kitty => Inline::Kitty { id: crate::term::image_id() },
    };
    let from = |bytes, wanted| May::From { bytes, wanted };
    match caps.images {
        Images::None | Images::Sixel => (None, May::Not),
        Images::Shared => (None, May::Shared),
        Images::Unwanted => (None, May::Unwanted),
        Images::Auto(image) => {
            (Some(kind(image)), from(if image == Image::Jpeg { JPEG } else { KITTY }, false))
        }
        Images::Always(image) => {
            (Some(kind(image)), from(if image == Image::Jpeg { JPEG_LEAST } else { KITTY_LEAST }, true))
        }
    }
}

/// What both pictures are made of. Notes which entries of the palette they may set, for whoever
/// gives the terminal back in a hurry.
pub(super) fn looks(caps: Caps, theme: &Theme) -> (Look, Look) {
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
pub(super) fn free(used: &[u8], count: u8) -> Option<u8> {
    (16..=255 - count).find(|first| !used.iter().any(|entry| (*first..first + count).contains(entry)))
}
