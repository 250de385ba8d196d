//! A picture into a frame.

use super::codec::{Ask, Chain, FRAME_MAX, Frame, GOLDEN_EVERY, Layers, QUANTISER_MAX, Rate};
use super::decoder::{add, deblock, place, predict, rebuild};
use super::head::{Head, Kind as FrameKind};
use super::picture::{Fit, Picture};
use super::predict::{Edge, Motion, Padded, Plane};
use super::range::{Counter, Writer};
use super::references::References;
use super::syntax::{Around, Brief, Contexts, Kind, Macroblock, macroblock};
use super::transform::{forward, inverse, quantise, restore, step};

/// Turns pictures into frames, in order. Holds the last picture and the newest golden ones.
pub struct Encoder {
    width: u16,
    height: u16,
    rate: Rate,
    layers: Layers,
    chain: Chain,
    /// Of the next frame.
    number: u16,
    /// Frames since the last golden one, that one included.
    phase: u8,
    references: References<Padded>,
    /// The newest golden frame that all receivers hold.
    acknowledged: Option<u16>,
    quantiser: u8,
    /// Bytes spent beyond the budget so far; below zero when some are left.
    debt: i64,
}

impl Encoder {
    /// For pictures of one size, or `None` when that is out of bounds.
    pub fn new(width: u16, height: u16, rate: Rate) -> Option<Self> {
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
            number: 0,
            phase: 0,
            references: References::default(),
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

    /// All receivers hold the golden frame of this number. An older one than is known already, or
    /// one that decoders may have dropped since, changes nothing.
    pub fn acknowledge(&mut self, golden: u16) {
        let age = |number: u16| self.number.wrapping_sub(number);
        if self.references.golden(golden).is_some()
            && self.acknowledged.is_none_or(|known| age(golden) < age(known))
        {
            self.acknowledged = Some(golden);
        }
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
        let source = Padded::from_picture(&scaled);
        let acknowledged = self.acknowledged.and_then(|number| self.references.golden(number)).cloned();
        let last = self.references.last().cloned();
        let last = last
            .filter(|last| (1..=Head::DISTANCE_MAX.into()).contains(&self.number.wrapping_sub(last.number)));
        let from = match (ask, self.chain) {
            (Ask::Keyframe, _) => None,
            (Ask::Recover, _) => acknowledged.map(|golden| (FrameKind::Golden, golden)),
            (Ask::Any, Chain::Acknowledged) if acknowledged.is_some() => {
                acknowledged.map(|golden| (FrameKind::Golden, golden))
            }
            (Ask::Any, _) => last.map(|last| {
                let distance = self.number.wrapping_sub(last.number) as u8;
                (FrameKind::Last { distance }, last)
            }),
        };
        let keyframe = from.is_none();
        let golden = keyframe || ask == Ask::Recover || self.phase >= GOLDEN_EVERY;
        if golden {
            self.phase = 0;
        }
        let layer = u8::from(self.layers == Layers::Two && self.phase % 2 == 1);
        let ceiling = self.ceiling(keyframe);
        let (bytes, padded) = loop {
            let (kind, distance) = match &from {
                None => {
                    let (quantiser, width, height) = (self.quantiser, self.width, self.height);
                    (FrameKind::Key { quantiser, width, height }, 0)
                }
                Some((kind, reference)) => (*kind, self.number.wrapping_sub(reference.number) as u8),
            };
            let head = Head { number: self.number, golden, layer, kind };
            let from = from.as_ref().map(|(_, reference)| &*reference.picture);
            let (bytes, padded) = write(&source, from, head, self.quantiser, distance);
            if bytes.len() <= ceiling || self.quantiser == QUANTISER_MAX {
                break (bytes, padded);
            }
            // Three quarters of an octave roughly halve a frame.
            self.quantiser = (self.quantiser + 6).min(QUANTISER_MAX);
        };
        if layer == 0 {
            self.references.keep(self.number, padded, golden);
        }
        let number = self.number;
        self.number = number.wrapping_add(1);
        self.phase += 1;
        self.spend(bytes.len(), keyframe);
        Frame { bytes, number, keyframe, golden, layer }
    }

    /// The longest frame that is sent as it is.
    fn ceiling(&self, keyframe: bool) -> usize {
        match self.rate {
            Rate::Quality(_) => FRAME_MAX,
            Rate::Budget { .. } => {
                let share = self.share() as usize;
                (share * if keyframe { 10 } else { 4 }).clamp(64, FRAME_MAX)
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

/// The finest that a stream with a budget gets.
const QUANTISER_FINE: u8 = 12;

/// One frame, and the picture that a decoder makes of it.
fn write(
    source: &Padded,
    from: Option<&Padded>,
    head: Head,
    quantiser: u8,
    distance: u8,
) -> (Vec<u8>, Padded) {
    let columns = source.planes[0].width / 16;
    let count = columns * source.planes[0].height / 16;
    let mut bytes = Vec::with_capacity(256);
    head.write(&mut bytes);
    match head.kind {
        FrameKind::Key { .. } => {}
        FrameKind::Golden => bytes.extend([quantiser, distance]),
        FrameKind::Last { .. } => bytes.push(quantiser),
    }
    let mut writer = Writer::new(bytes);
    let mut contexts = Contexts::new();
    let mut briefs = vec![Brief::default(); count];
    let mut into = source.clone();
    for at in 0..count {
        let around = Around::of(&briefs, columns, at);
        let mut search = Search {
            source,
            from,
            columns,
            at,
            around: &around,
            contexts: &contexts,
            step: step(quantiser),
            best: (u64::MAX, Macroblock::BLANK),
        };
        search.run(&mut into);
        let mut block = search.best.1;
        macroblock(&mut writer, &mut contexts, &around, from.is_none(), &mut block);
        rebuild(&mut into, from, columns, at, &block, step(quantiser));
        briefs[at] = block.brief();
    }
    deblock(&mut into, &briefs, columns, quantiser);
    (writer.finish(), into)
}

/// The cheapest way to say one macroblock: squared error plus bits, weighed by the quantiser.
struct Search<'a> {
    source: &'a Padded,
    from: Option<&'a Padded>,
    columns: usize,
    at: usize,
    around: &'a Around,
    contexts: &'a Contexts,
    step: i32,
    best: (u64, Macroblock),
}

impl Search<'_> {
    fn run(&mut self, into: &mut Padded) {
        if let Some(from) = self.from {
            let near = self.around.motion();
            let skip = Macroblock { kind: Kind::Skip, motion: [near; 4], ..Macroblock::BLANK };
            let error = self.consider(into, skip);
            // Below a quarter of what the quantiser itself does, nothing else can be worth it.
            let step = self.step as u64;
            if error * 256 < step * step * 8 {
                return;
            }
            let luma = &from.planes[0];
            let whole = self.closest(luma, 0, 16, near, &self.candidates(near));
            self.consider(into, Macroblock { kind: Kind::Whole, motion: [whole; 4], ..Macroblock::BLANK });
            let mut motion = [whole; 4];
            for part in 0..4 {
                let near = if part == 0 { near } else { motion[part / 3] };
                motion[part] = self.closest(luma, part, 8, near, &[whole, near]);
            }
            if motion != [whole; 4] {
                self.consider(into, Macroblock { kind: Kind::Quarters, motion, ..Macroblock::BLANK });
            }
        }
        self.consider(into, Macroblock::BLANK);
    }

    /// Completes a proposal with edges and levels, weighs it and keeps it if it is the best.
    /// Returns its squared error. Leaves its samples in the picture.
    fn consider(&mut self, into: &mut Padded, mut block: Macroblock) -> u64 {
        let mut error = 0;
        if block.kind == Kind::Edges {
            for part in 0..4 {
                block.edges[part] =
                    self.closest_edge(into, part..part + 1, |block, edge| block.edges[part] = edge);
                error += self.fill(into, &mut block, part);
            }
            block.chroma_edge = self.closest_edge(into, 4..6, |block, edge| block.chroma_edge = edge);
            error += self.fill(into, &mut block, 4) + self.fill(into, &mut block, 5);
        } else {
            error = (0..6).map(|part| self.fill(into, &mut block, part)).sum();
        }
        let mut counter = Counter::default();
        let mut contexts = self.contexts.clone();
        let mut said = block;
        macroblock(&mut counter, &mut contexts, self.around, self.from.is_none(), &mut said);
        let cost = error * 256 + u64::from(counter.cost) * self.weight();
        if cost < self.best.0 {
            self.best = (cost, block);
        }
        error
    }

    /// What a bit is worth in squared error: about 0.11 squared steps.
    fn weight(&self) -> u64 {
        let step = self.step as u64;
        ((step * step * WEIGHT) >> 16).max(1)
    }

    /// Predicts one block, finds its levels, puts the result into the picture; its squared error.
    fn fill(&self, into: &mut Padded, block: &mut Macroblock, part: usize) -> u64 {
        let (plane, x, y) = place(self.columns, self.at, part);
        let mut wanted = [0; 64];
        self.source.planes[plane].take(x, y, 8, &mut wanted);
        let mut samples = [0; 64];
        let from = self.from.map(|f| &f.planes[plane]);
        predict(&into.planes[plane], from, x, y, block, part, &mut samples);
        let plain = difference(&wanted, &samples);
        if block.kind != Kind::Skip {
            let residual = std::array::from_fn(|i| i32::from(wanted[i]) - i32::from(samples[i]));
            let round = if block.kind == Kind::Edges { ROUND_EDGES } else { ROUND_MOVED };
            let levels = quantise(&forward(&residual), self.step, round);
            // A lone level of one far up costs more than it is worth.
            let weight: u32 = levels
                .iter()
                .enumerate()
                .map(|(at, level)| match level.unsigned_abs() {
                    0 => 0,
                    1 => [4, 3, 3, 2, 2, 2][at.min(5)],
                    _ => 16,
                })
                .sum();
            if weight > 2 {
                let mut better = samples;
                add(&mut better, &inverse(&restore(&levels, self.step)));
                let error = difference(&wanted, &better);
                // Eight bits at least for a block that says something.
                if error * 256 + 8 * 256 * self.weight() < plain * 256 {
                    block.levels[part] = levels;
                    block.coded[part] = true;
                    into.planes[plane].put(x, y, 8, &better);
                    return error;
                }
            }
        }
        into.planes[plane].put(x, y, 8, &samples);
        plain
    }

    fn closest_edge(
        &self,
        into: &Padded,
        parts: std::ops::Range<usize>,
        set: impl Fn(&mut Macroblock, Edge),
    ) -> Edge {
        let error = |edge: Edge| -> u64 {
            let mut block = Macroblock::BLANK;
            set(&mut block, edge);
            parts
                .clone()
                .map(|part| {
                    let (plane, x, y) = place(self.columns, self.at, part);
                    let (mut wanted, mut samples) = ([0; 64], [0; 64]);
                    self.source.planes[plane].take(x, y, 8, &mut wanted);
                    predict(&into.planes[plane], None, x, y, &block, part, &mut samples);
                    difference(&wanted, &samples)
                })
                .sum()
        };
        Edge::ALL.into_iter().min_by_key(|edge| error(*edge)).unwrap_or_default()
    }

    fn candidates(&self, near: Motion) -> [Motion; 5] {
        let of = |brief: Option<Brief>| brief.map_or(Motion::default(), |b| b.motion[3]);
        let around = self.around;
        [near, Motion::default(), of(around.left), of(around.above), of(around.above_right)]
    }

    /// The motion whose samples are closest, from the best candidate downhill: whole samples in
    /// shrinking diamonds, then halves, then quarters.
    fn closest(&self, luma: &Plane, part: usize, size: usize, near: Motion, from: &[Motion]) -> Motion {
        let (_, x, y) = place(self.columns, self.at, part);
        let mut wanted = [0; 256];
        let wanted = &mut wanted[..size * size];
        self.source.planes[0].take(x, y, size, wanted);
        // Absolute differences grow with the step, not with its square.
        let rate = self.step as u32 * 3 / 64;
        let cost = |motion: Motion| -> u32 {
            let mut samples = [0; 256];
            let samples = &mut samples[..size * size];
            luma.moved(x, y, size, (i32::from(motion.x) * 2, i32::from(motion.y) * 2), samples);
            let error: u32 = wanted.iter().zip(&*samples).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            let far = |a: i16, b: i16| 2 * (u32::from(a.abs_diff(b)) + 1).ilog2() + u32::from(a != b);
            error + (far(motion.x, near.x) + far(motion.y, near.y)) * rate
        };
        let whole = |m: Motion| Motion::new(i32::from(m.x + 2) & !3, i32::from(m.y + 2) & !3);
        let starts = from.iter().flat_map(|m| [*m, whole(*m)]);
        let mut best = starts.map(|m| (cost(m), m)).min_by_key(|(cost, _)| *cost).unwrap_or((u32::MAX, near));
        // Quarters start from a good guess, so they look less far.
        let far = [(16, 1), (8, 2), (4, 4), (2, 1), (1, 1)];
        for (stride, tries) in far.into_iter().skip(if size == 8 { 2 } else { 0 }) {
            // Between samples the corners count, farther out a cross is enough.
            let around = [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)];
            let around = if stride < 4 { &around[..] } else { &around[..4] };
            for _ in 0..tries {
                let (x, y) = (i32::from(best.1.x), i32::from(best.1.y));
                let nearby = around.iter().map(|(dx, dy)| Motion::new(x + dx * stride, y + dy * stride));
                let found = nearby.map(|m| (cost(m), m)).min_by_key(|(cost, _)| *cost);
                match found {
                    Some(found) if found.0 < best.0 => best = found,
                    _ => break,
                }
            }
        }
        best.1
    }
}

/// 0.11 steps squared, in 1/65536; the step is in 1/16, so 0.11 · 256.
const WEIGHT: u64 = 28;

/// Rounding of levels, in 1/256 step: towards zero, since zeros are cheap.
const ROUND_EDGES: i32 = 85;
const ROUND_MOVED: i32 = 50;

fn difference(a: &[u8; 64], b: &[u8; 64]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum()
}
