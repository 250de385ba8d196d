//! A picture into a frame.

use super::canvas::{Canvas, Inside, LARGEST, SMALLEST};
use super::codec::{Ask, Chain, FRAME_MAX, Frame, GOLDEN_EVERY, Layers, QUANTISER_MAX, Rate};
use super::direction;
use super::fine::{Fine, Square};
use super::frame::{Plan, STRENGTHS, plan, quantiser, smoothing, still};
use super::head::{Head, Kind};
use super::model::{Model, Writing};
use super::picture::{Fit, Picture};
use super::plane::Planes;
use super::references::{Held, References};
use super::search::{Search, error};
use super::smooth;
use super::syntax::{Block, block, split};
use super::tables::Tables;
use std::sync::Arc;

/// Turns pictures into frames, in order. Holds the newest ones of layer 0.
/// A copy goes its own way from there.
#[derive(Clone)]
pub struct Encoder {
    width: u16,
    height: u16,
    rate: Rate,
    layers: Layers,
    chain: Chain,
    tables: Arc<Tables>,
    /// Of the next frame.
    number: u16,
    /// Frames since the last golden one, that one included.
    phase: u8,
    references: References,
    /// The references of the last frame at quarters of a sample.
    fine: Vec<(Arc<Held>, Arc<Fine>)>,
    /// The newest frame that all receivers hold.
    acknowledged: Option<u16>,
    quantiser: u8,
    /// Bytes spent beyond the budget so far; below zero when some are left.
    debt: i64,
}

impl Encoder {
    /// For pictures of one size, or `None` when that is out of bounds.
    pub fn new(width: u16, height: u16, rate: Rate) -> Option<Self> {
        Self::with_tables(width, height, rate, Tables::builtin())
    }

    /// The same for a decoder with these tables.
    pub fn with_tables(width: u16, height: u16, rate: Rate, tables: Arc<Tables>) -> Option<Self> {
        Picture::grey(width, height)?;
        let quantiser = match rate {
            Rate::Quality(quantiser) => quantiser.min(QUANTISER_MAX),
            Rate::Budget { bytes_per_second, fps } => {
                let share = u64::from(bytes_per_second) / u64::from(fps.max(1));
                first_quantiser(share, u64::from(width) * u64::from(height))
            }
        };
        Some(Self {
            width,
            height,
            rate,
            layers: Layers::One,
            chain: Chain::Last,
            tables,
            number: 0,
            phase: 0,
            references: References::default(),
            fine: Vec::new(),
            acknowledged: None,
            quantiser,
            debt: 0,
        })
    }

    /// The same, with frames that a relay may leave out.
    pub fn with_layers(self, layers: Layers) -> Self {
        Self { layers, ..self }
    }

    /// Other layers from the next picture on.
    pub fn set_layers(&mut self, layers: Layers) {
        self.layers = layers;
    }

    /// Another chain from the next picture on.
    pub fn set_chain(&mut self, chain: Chain) {
        self.chain = chain;
    }

    /// All receivers hold the frame of this number. An older one than is known already, or
    /// one that decoders may have dropped since, changes nothing.
    pub fn acknowledge(&mut self, held: u16) {
        let age = |number: u16| self.number.wrapping_sub(number);
        if self.references.get(held).is_some() && self.acknowledged.is_none_or(|known| age(held) < age(known))
        {
            self.acknowledged = Some(held);
        }
    }

    /// Another size from the next picture on, which is a keyframe. False when that is out of bounds:
    /// then nothing changes. Numbers go on, so that nobody takes an old frame for a new one.
    pub fn resize(&mut self, width: u16, height: u16) -> bool {
        let tables = self.tables.clone();
        let Some(new) = Self::with_tables(width, height, self.rate, tables) else { return false };
        *self = Self { number: self.number, layers: self.layers, chain: self.chain, ..new };
        true
    }

    /// Another rate from the next picture on.
    pub fn set_rate(&mut self, rate: Rate) {
        if let Rate::Quality(quantiser) = rate {
            self.quantiser = quantiser.min(QUANTISER_MAX);
        }
        if rate != self.rate {
            self.debt = 0;
        }
        self.rate = rate;
    }

    /// The picture's frame. A picture of another size is scaled first.
    pub fn encode(&mut self, picture: &Picture, ask: Ask) -> Frame {
        let scaled = picture.scaled(self.width, self.height, Fit::Crop).expect("the size was checked");
        let source = Planes::from_picture(&scaled);
        let away = |number: u16| u8::try_from(self.number.wrapping_sub(number)).ok().filter(|away| *away > 0);
        let from = |number: u16| away(number).map(|distance| Kind::From { distance });
        let last = self.references.newest().and_then(|last| from(last.number));
        let known = self.acknowledged.filter(|number| self.references.get(*number).is_some());
        let known = known.and_then(from);
        let from = match (ask, self.chain) {
            (Ask::Keyframe, _) => None,
            (Ask::Recover, _) => known,
            (Ask::Any, Chain::Acknowledged) => known.or(last),
            (Ask::Any, Chain::Last) => last,
        };
        let keyframe = from.is_none();
        let golden = keyframe || ask == Ask::Recover || self.phase >= GOLDEN_EVERY;
        if golden {
            self.phase = 0;
        }
        let layer = u8::from(self.layers == Layers::Two && self.phase % 2 == 1);
        let ceiling = self.ceiling(keyframe);
        let (bytes, plan, canvas) = loop {
            let key = Kind::Key { quantiser: self.quantiser, width: self.width, height: self.height };
            let kind = from.unwrap_or(key);
            let head = Head { number: self.number, golden, layer, kind };
            let mut plan = plan(&self.references, &head).expect("it refers to what is held");
            let expected = plan.base;
            plan.base = self.quantiser;
            let fine = plan.from().map(|held| held.map(|held| self.fine(&held)));
            let (bytes, canvas) = write(&source, &self.tables, &head, &plan, expected, fine);
            if bytes.len() <= ceiling || self.quantiser == QUANTISER_MAX {
                break (bytes, plan, canvas);
            }
            // Each step coarser makes a frame about a tenth smaller; one more, to be done soon.
            let (mut over, mut coarser) = (bytes.len(), 1);
            while over > ceiling {
                over -= over / 11 + 1;
                coarser += 1;
            }
            self.quantiser = self.quantiser.saturating_add(coarser).min(QUANTISER_MAX);
        };
        self.fine.retain(|(held, _)| plan.from().iter().flatten().any(|from| Arc::ptr_eq(from, held)));
        if layer == 0 {
            self.references.keep(plan.kept(self.number, canvas.planes));
        }
        let number = self.number;
        self.number = number.wrapping_add(1);
        self.phase += 1;
        self.spend(bytes.len(), keyframe);
        Frame { bytes, number, keyframe, golden, layer }
    }

    /// The last picture of layer 0 as decoders show it.
    #[cfg(test)]
    pub(super) fn shown(&self) -> Option<Picture> {
        self.references.newest().and_then(|last| last.held.planes.to_picture(self.width, self.height))
    }

    /// A reference at quarters of a sample, made once for each.
    fn fine(&mut self, held: &Arc<Held>) -> Arc<Fine> {
        if let Some((_, fine)) = self.fine.iter().find(|(known, _)| Arc::ptr_eq(known, held)) {
            return fine.clone();
        }
        let fine = Arc::new(Fine::of(&held.planes.planes[0]));
        self.fine.push((held.clone(), fine.clone()));
        fine
    }

    /// The longest frame that is sent as it is.
    fn ceiling(&self, keyframe: bool) -> usize {
        match self.rate {
            Rate::Quality(_) => FRAME_MAX,
            Rate::Budget { .. } => {
                let share = self.share() as usize;
                let datagrams = (usize::from(self.width) * usize::from(self.height)).div_ceil(DATAGRAM_AREA);
                // A large budget is spent on what comes after.
                let whole = (datagrams * DATAGRAM).max(share + share / 4);
                (share * if keyframe { 10 } else { 4 }).min(whole).clamp(64, FRAME_MAX)
            }
        }
    }

    /// Bytes for each picture.
    fn share(&self) -> i64 {
        match self.rate {
            Rate::Quality(_) => 0,
            Rate::Budget { bytes_per_second, fps } => i64::from(bytes_per_second) / i64::from(fps.max(1)),
        }
    }

    /// Moves the quantiser so that the debt of a second is gone within about another one.
    fn spend(&mut self, bytes: usize, keyframe: bool) {
        let Rate::Budget { bytes_per_second, fps } = self.rate else { return };
        let (share, second) = (self.share().max(1), i64::from(bytes_per_second).max(1));
        let bytes = bytes as i64;
        // Two seconds' worth of thrift may be spent later; a spike is paid back over three.
        self.debt = (self.debt + bytes - share).clamp(-2 * second, 3 * second);
        // What frames may cost from here on, so that the debt melts within a second.
        let allowed = (share - self.debt / i64::from(fps.max(1))).max(share / 4);
        let change = match bytes * 16 / allowed.max(1) {
            _ if keyframe => 0,
            0..=6 => -2,
            7..=13 => -1,
            14..=18 => 0,
            19..=26 => 1,
            27..=40 => 2,
            _ => 4,
        };
        let moved = i16::from(self.quantiser) + change;
        self.quantiser = moved.clamp(QUANTISER_FINE.into(), QUANTISER_MAX.into()) as u8;
    }
}

/// Where a stream with a budget of `share` bytes a picture starts: an eighth of a bit a sample needs
/// about 32, and twice as many allow half the width.
fn first_quantiser(share: u64, samples: u64) -> u8 {
    let octaves = i64::from((share * 64 * 256 / samples).max(1).ilog2()) - 8;
    (32 - 8 * octaves).clamp(QUANTISER_FINE.into(), 56) as u8
}

/// What a datagram takes of a frame, and for how many luma samples of a keyframe or cut one is enough.
const DATAGRAM: usize = 1_050;
const DATAGRAM_AREA: usize = 7_680;

/// The finest that a stream with a budget gets.
const QUANTISER_FINE: u8 = 12;

/// One frame, and the picture that a decoder makes of it.
fn write(
    source: &Planes,
    tables: &Tables,
    head: &Head,
    plan: &Plan,
    expected: u8,
    fine: [Option<Arc<Fine>>; 2],
) -> (Vec<u8>, Canvas) {
    let start = |stands: bool| {
        let mut bytes = Vec::with_capacity(256);
        head.write(&mut bytes);
        let mut coder = Writing::new(Model::new(tables), bytes);
        if !matches!(head.kind, Kind::Key { .. }) {
            quantiser(&mut coder, expected, plan.base);
        }
        still(&mut coder, plan.setting.role, stands);
        coder
    };
    let mut coder = start(false);
    let mut canvas = plan.canvas();
    let search = Search::new(source, fine, canvas.steps[0] * plan.thrift() / 100);
    let mut cost = 0;
    for (x, y) in canvas.squares() {
        let at = (x, y, LARGEST);
        let found = search.square(&mut canvas, &coder.model, at, [None; 2]);
        cost += found.cost;
        // Once more from the start, as a decoder will see it.
        canvas.clear(x, y, LARGEST);
        put(&mut coder, &mut canvas, at, &mut found.blocks.into_iter().peekable());
    }
    if canvas.from[0].as_ref().is_some_and(|held| search.cost_of(&held.planes) <= cost) {
        canvas.stand_still();
        return (start(true).finish(), canvas);
    }
    smooth::borders(&mut canvas);
    let strength = best_smoothing(source, &mut canvas);
    smoothing(&mut coder, plan.setting.role, strength);
    (coder.finish(), canvas)
}

/// Writes the blocks of a square and puts them into the picture.
fn put(
    coder: &mut Writing,
    canvas: &mut Canvas,
    (x, y, side): Square,
    blocks: &mut std::iter::Peekable<std::vec::IntoIter<Block>>,
) {
    let inside = canvas.inside(x, y, side);
    let Some(first) = blocks.peek().filter(|_| inside != Inside::Not) else { return };
    let divides = first.side < side;
    if inside == Inside::Whole && side > SMALLEST {
        split(coder, canvas.setting, &canvas.grid, (x, y, side), divides);
    }
    if divides {
        let half = side / 2;
        for (x, y) in [(x, y), (x + half, y), (x, y + half), (x + half, y + half)] {
            put(coder, canvas, (x, y, half), blocks);
        }
    } else if let Some(mut said) = blocks.next() {
        block(coder, canvas.setting, &canvas.grid, &mut said);
        canvas.rebuild(&said);
    }
}

/// Smooths the picture as strongly as brings it closest to the source, and says how strongly.
fn best_smoothing(source: &Planes, canvas: &mut Canvas) -> usize {
    let plain = canvas.planes.planes[0].clone();
    let error = |canvas: &Canvas| error(&source.planes[0], &canvas.planes.planes[0]);
    let mut best = (error(canvas), 0);
    let mut smoothest = plain.clone();
    for strength in 1..STRENGTHS {
        direction::insides(canvas, strength);
        let found = error(canvas);
        let smoothed = std::mem::replace(&mut canvas.planes.planes[0], plain.clone());
        if found >= best.0 {
            break;
        }
        best = (found, strength);
        smoothest = smoothed;
    }
    canvas.planes.planes[0] = smoothest;
    best.1
}
