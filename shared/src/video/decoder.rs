//! A frame into a picture.

use super::canvas::{Canvas, Inside, LARGEST, SMALLEST};
use super::codec::{Error, QUANTISER_MAX};
use super::direction;
use super::frame::{plan, quantiser, smoothing, still};
use super::head::{Head, Kind};
use super::model::{Coder, Model, Reading};
use super::picture::{HEIGHT_MAX, Picture, SIDE_MIN, WIDTH_MAX};
use super::references::References;
use super::smooth;
use super::syntax::{Block, block, split};
use super::tables::Tables;
use std::sync::Arc;

/// Turns frames into pictures, in order. Holds the newest ones of layer 0.
/// A copy goes its own way from there.
#[derive(Clone)]
pub struct Decoder {
    tables: Arc<Tables>,
    references: References,
}

impl Decoder {
    /// Waits for a keyframe.
    pub fn new() -> Self {
        Self::with_tables(Tables::builtin())
    }

    /// The same for an encoder with these tables.
    pub fn with_tables(tables: Arc<Tables>) -> Self {
        Self { tables, references: References::default() }
    }

    /// Number of the newest frame held, to be acknowledged: later frames may refer to it.
    pub fn newest(&self) -> Option<u16> {
        self.references.newest().map(|newest| newest.number)
    }

    /// The frame's picture. After an error the decoder is as it was before.
    ///
    /// # Errors
    /// [`Error::NeedReference`] when a frame that it refers to was lost, [`Error::Version`] and
    /// [`Error::Malformed`] for what is not a frame of ours.
    pub fn decode(&mut self, frame: &[u8]) -> Result<Picture, Error> {
        let model = Model::new(&self.tables);
        self.decode_by(frame, |symbols| Reading::new(model, symbols))
    }

    /// The same through any reader.
    pub(super) fn decode_by<'a, C: Coder>(
        &mut self,
        frame: &'a [u8],
        reader: impl FnOnce(&'a [u8]) -> C,
    ) -> Result<Picture, Error> {
        let (head, symbols) = Head::read(frame)?;
        let mut plan = plan(&self.references, &head)?;
        let (width, height) = plan.size;
        let sized = (SIDE_MIN..=WIDTH_MAX).contains(&width) && (SIDE_MIN..=HEIGHT_MAX).contains(&height);
        if !sized {
            return Err(Error::Malformed);
        }
        let mut coder = reader(symbols);
        if !matches!(head.kind, Kind::Key { .. }) {
            plan.base = quantiser(&mut coder, plan.base, 0);
        }
        if plan.base > QUANTISER_MAX {
            return Err(Error::Malformed);
        }
        let mut canvas = plan.canvas();
        let still = still(&mut coder, plan.setting.role, false);
        if still {
            canvas.stand_still();
        } else {
            for (x, y) in canvas.squares() {
                square(&mut coder, &mut canvas, x, y, LARGEST)?;
            }
            let strength = smoothing(&mut coder, plan.setting.role, 0);
            smooth::borders(&mut canvas);
            direction::insides(&mut canvas, strength);
        }
        if !coder.alive() {
            return Err(Error::Malformed);
        }
        let picture = canvas.planes.to_picture(width, height).ok_or(Error::Malformed)?;
        if head.layer == 0 {
            self.references.keep(plan.kept(head.number, canvas.planes));
        }
        Ok(picture)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

fn square<C: Coder>(
    coder: &mut C,
    canvas: &mut Canvas,
    x: usize,
    y: usize,
    side: usize,
) -> Result<(), Error> {
    let divides = match canvas.inside(x, y, side) {
        Inside::Not => return Ok(()),
        Inside::Part => true,
        Inside::Whole => side > SMALLEST && split(coder, canvas.setting, &canvas.grid, (x, y, side), false),
    };
    if divides {
        let half = side / 2;
        for (x, y) in [(x, y), (x + half, y), (x, y + half), (x + half, y + half)] {
            square(coder, canvas, x, y, half)?;
        }
        return Ok(());
    }
    let mut said = Block { x, y, side, ..Block::default() };
    block(coder, canvas.setting, &canvas.grid, &mut said);
    if !coder.alive() {
        return Err(Error::Malformed);
    }
    canvas.rebuild(&said);
    Ok(())
}
