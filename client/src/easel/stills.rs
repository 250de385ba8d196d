//! Pictures that stay where they are, as images: previews of files in a conversation, one looked at by
//! itself.

use crate::media::tty::inline::{Inline, Plate, forget, hide, put};
use crate::media::tty::sixel;
use crate::term::{Caps, Image, Images, STILLS, borrow_still, still_id};
use crate::ui::view::{Still, StillId};
use ratatui::layout::Rect;

/// The bytes of one image at most.
const MOST: usize = 48 * 1024;
/// A terminal that takes fewer bytes a second gets characters, which can come in pieces.
const RATE_MIN: u32 = 24_000;

/// How the terminal is given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// In its cells: gone with what is written there.
    Jpeg,
    /// The same.
    Sixel,
    /// Under a number, over the text.
    Kitty,
}

/// What is on the screen, and what kitty keeps.
#[derive(Debug, Default)]
pub(super) struct Stills {
    way: Option<Way>,
    /// Dots of a cell, when the terminal says.
    dots: (u16, u16),
    slots: Vec<Slot>,
    /// Counts what was shown, to forget what was shown longest ago.
    turn: u64,
}

/// One image.
#[derive(Debug)]
struct Slot {
    of: StillId,
    at: Option<Rect>,
    /// Where among those that are numbered.
    number: u8,
    used: u64,
}

impl Stills {
    /// The terminal can do something else.
    pub(super) fn look(&mut self, caps: Caps, out: &mut Vec<u8>) {
        let way = match caps.images {
            Images::Auto(Image::Jpeg) | Images::Always(Image::Jpeg) => Some(Way::Jpeg),
            Images::Auto(Image::Kitty) | Images::Always(Image::Kitty) => Some(Way::Kitty),
            Images::Sixel => Some(Way::Sixel),
            Images::None | Images::Shared | Images::Unwanted => None,
        };
        if way != self.way {
            self.release(out);
            self.way = way;
        }
    }

    /// A cell has so many dots.
    pub(super) fn sized(&mut self, dots: (u16, u16)) {
        self.dots = dots;
    }

    /// Whether pictures may be left to be images, on a terminal that takes so many bytes a second.
    pub(super) fn wanted(&self, rate: Option<u32>) -> bool {
        let known = self.way != Some(Way::Sixel) || (self.dots.0 > 0 && self.dots.1 > 0);
        self.way.is_some() && known && rate.is_none_or(|rate| rate >= RATE_MIN)
    }

    /// These belong on the screen now, and no others.
    pub(super) fn place(&mut self, stills: &[Still], out: &mut Vec<u8>) {
        for slot in &mut self.slots {
            // One that only moves is moved.
            let here = stills.iter().any(|still| still.of == slot.of);
            if !here && slot.at.take().is_some() && self.way == Some(Way::Kitty) {
                out.extend(hide(still_id(slot.number)));
            }
        }
        for still in stills.iter().take(usize::from(STILLS)) {
            self.show(still, out);
        }
    }

    /// The screen was cleared, or somebody else had it: nothing of it is there.
    pub(super) fn forget(&mut self) {
        for slot in self.slots.drain(..) {
            borrow_still(slot.number, false);
        }
    }

    /// Takes all of them away.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        if self.way == Some(Way::Kitty) {
            for slot in &self.slots {
                out.extend(forget(still_id(slot.number)));
            }
        }
        self.forget();
    }

    fn show(&mut self, still: &Still, out: &mut Vec<u8>) {
        self.turn += 1;
        let (turn, at) = (self.turn, still.at);
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.of == still.of) {
            slot.used = turn;
            if slot.at == Some(at) {
                return;
            }
            slot.at = Some(at);
            if self.way == Some(Way::Kitty) {
                // It has it already.
                return out.extend(put(still_id(slot.number), at));
            }
        } else {
            let number = self.free(out);
            self.slots.push(Slot { of: still.of, at: Some(at), number, used: turn });
        }
        let number = self.slots.iter().find(|slot| slot.of == still.of).map_or(0, |slot| slot.number);
        let bytes = match self.way {
            None => None,
            Some(Way::Jpeg) => Plate::new(Inline::Jpeg).print(&still.picture, at, MOST),
            Some(Way::Kitty) => {
                borrow_still(number, true);
                Plate::new(Inline::Kitty { id: still_id(number) }).print(&still.picture, at, MOST)
            }
            Some(Way::Sixel) => sixel::print(&still.picture, at, self.dots),
        };
        out.extend(bytes.unwrap_or_default());
    }

    /// A number that nothing has, or that of what was shown longest ago.
    fn free(&mut self, out: &mut Vec<u8>) -> u8 {
        let unused = (0..STILLS).find(|number| self.slots.iter().all(|slot| slot.number != *number));
        unused.unwrap_or_else(|| {
            let oldest = self.slots.iter().enumerate().min_by_key(|(_, slot)| slot.used);
            let slot = self.slots.swap_remove(oldest.map_or(0, |(at, _)| at));
            if self.way == Some(Way::Kitty) {
                out.extend(forget(still_id(slot.number)));
            }
            slot.number
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::{Cells, Depth, Mux};
    use std::sync::Arc;
    use subrosa_shared::id::MessageId;
    use subrosa_shared::video::picture::Picture;

    fn caps(images: Images) -> Caps {
        let (depth, cells, mux) = (Depth::True, Cells::Half, Mux::None);
        Caps { depth, unicode: true, mux, cells, adaptive: false, sync: true, repeat: false, images }
    }

    fn still(of: u8, at: Rect) -> Still {
        let picture = Picture::paint(64, 48, |x, y| [of.wrapping_mul(9), x as u8, y as u8]);
        let picture = Arc::new(picture.expect("in bounds"));
        Still { of: StillId::Preview(MessageId([of; 16])), at, picture }
    }

    fn places(stills: &mut Stills, all: &[Still]) -> String {
        let mut out = Vec::new();
        stills.place(all, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn kitty_is_sent_each_once_moves_it_and_takes_it_away() {
        let mut stills = Stills::default();
        stills.look(caps(Images::Auto(Image::Kitty)), &mut Vec::new());
        assert!(stills.wanted(None) && stills.wanted(Some(1_000_000)) && !stills.wanted(Some(8_000)));
        let (here, there) = (Rect::new(10, 3, 36, 12), Rect::new(10, 2, 36, 12));
        let id = still_id(0);
        let first = places(&mut stills, &[still(1, here)]);
        assert!(first.starts_with("\x1b7\x1b[4;11H\x1b_Ga=T,f=100,i="), "{}", &first[..40]);
        assert!(first.contains(&format!("i={id},p=1,c=36,r=12,C=1,q=2")));
        assert_eq!(places(&mut stills, &[still(1, here)]), "", "it is there");
        let moved = places(&mut stills, &[still(1, there)]);
        let put = format!("\x1b7\x1b[3;11H\x1b_Ga=p,i={id},p=1,c=36,r=12,C=1,q=2\x1b\\\x1b8");
        assert_eq!(moved, put);
        assert_eq!(places(&mut stills, &[]), format!("\x1b_Ga=d,d=i,i={id},q=2\x1b\\"), "out of sight");
        assert!(places(&mut stills, &[still(1, here)]).contains("a=p,"), "back without being sent again");
        let mut out = Vec::new();
        stills.release(&mut out);
        assert_eq!(String::from_utf8(out).expect("ASCII"), format!("\x1b_Ga=d,d=I,i={id},q=2\x1b\\"));
        assert!(places(&mut stills, &[still(1, here)]).contains("a=T,"), "it was forgotten there");
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut stills = Stills::default();
        stills.look(caps(Images::Always(Image::Kitty)), &mut Vec::new());
        for of in 0..STILLS {
            places(&mut stills, &[still(of, Rect::new(0, 0, 20, 8))]);
        }
        let one_more = places(&mut stills, &[still(99, Rect::new(0, 0, 20, 8))]);
        assert!(one_more.contains(&format!("a=d,d=I,i={}", still_id(0))), "what was shown longest ago goes");
        assert_eq!(stills.slots.len(), usize::from(STILLS));
    }

    #[test]
    fn others_are_sent_it_wherever_it_stands() {
        for (images, begins) in [
            (Images::Auto(Image::Jpeg), "\x1b]1337;File=inline=1;width=36;height=12;"),
            (Images::Sixel, "\x1bP0;1q"),
        ] {
            let mut stills = Stills::default();
            stills.look(caps(images), &mut Vec::new());
            stills.sized((8, 16));
            assert!(stills.wanted(None));
            for y in [3, 2, 3] {
                let bytes = places(&mut stills, &[still(1, Rect::new(10, y, 36, 12))]);
                assert!(
                    bytes.contains(begins) && bytes.contains(&format!("\x1b[{};11H", y + 1)),
                    "{images:?}"
                );
            }
            assert_eq!(places(&mut stills, &[]), "", "it goes with what is written there");
        }
        let mut stills = Stills::default();
        stills.look(caps(Images::Sixel), &mut Vec::new());
        assert!(!stills.wanted(None), "the size of a cell is not known");
    }

    #[test]
    fn behind_a_multiplexer_and_where_characters_are_set_there_are_none() {
        for images in [Images::None, Images::Shared, Images::Unwanted] {
            let mut stills = Stills::default();
            stills.look(caps(images), &mut Vec::new());
            assert!(!stills.wanted(None));
        }
    }
}
