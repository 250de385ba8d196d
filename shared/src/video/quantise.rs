//! Which levels say a square's residual most cheaply.

use super::levels::{Seen, Shape, reach_cost};
use super::model::{BIT, Model};
use super::transform::{LEVEL_MAX, kept, restore, scan};

/// What errors and bits are worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    /// A bit in squared luma error, in 1/256.
    bit: u64,
    /// A bit in absolute luma error, in 1/65,536.
    bit_plain: u64,
}

/// A bit is worth this many squared steps, in 1/1,024.
const BIT_STEPS: u64 = 148;

impl Weight {
    /// For a quantiser's width in 1/16.
    pub fn new(step: i32) -> Self {
        let step = step as u64;
        Self { bit: ((step * step * BIT_STEPS) >> 10).max(1), bit_plain: step * 6 }
    }

    /// What a squared error and bits cost together, in 1/256.
    pub fn cost(&self, error: u64, bits: u32) -> u64 {
        (error << 8) + self.bits(bits)
    }

    /// What bits cost, in 1/256 of a squared error.
    pub fn bits(&self, bits: u32) -> u64 {
        self.bit * u64::from(bits) / u64::from(BIT)
    }

    /// The same with an absolute error.
    pub fn plain(&self, error: u32, bits: u32) -> u64 {
        (u64::from(error) << 8) + ((self.bit_plain * u64::from(bits)) >> 8)
    }
}

/// What errors of chroma count against those of luma, in quarters.
pub(super) const CHROMA_SHARE: u64 = 3;

/// Coefficients into levels, from the highest frequency down: each level as it is, one smaller or
/// zero, and each place as the outermost one, whatever costs least with what was chosen before.
pub(super) fn quantised(
    model: &Model,
    weight: &Weight,
    shape: Shape,
    coefficients: &[i32],
    step: i32,
    levels: &mut Vec<i16>,
) {
    levels.clear();
    let (places, keep) = (scan(shape.side), kept(shape.side));
    let at =
        |place: super::transform::Place| coefficients[usize::from(place.y) * keep + usize::from(place.x)];
    let nearest =
        |size: i64| ((4 * size + i64::from(step)) / (2 * i64::from(step))).min(LEVEL_MAX.into()) as i16;
    let size = |at: i32| i64::from(at.unsigned_abs());
    let Some(top) = places.iter().rposition(|place| nearest(size(at(*place)) - i64::from(step / 10)) > 0)
    else {
        return;
    };
    let share = if shape.chroma { CHROMA_SHARE } else { 4 };
    // Coefficients are in 1/8, costs in 1/256.
    let error = |size: i64, level: i16| {
        let rest = size - i64::from(restore(level, step));
        (rest * rest) as u64 * share
    };
    let mut chosen = [0i16; 256];
    let mut chain: Option<(usize, u64, Seen)> = None;
    // What it costs to say nothing so far.
    let mut none = 0;
    for index in (0..=top).rev() {
        let place = places[index];
        let value = at(place);
        let size = size(value);
        let high = nearest(size);
        let sign = |level: i16| if value < 0 { -level } else { level };
        if let Some((_, cost, seen)) = &mut chain {
            let mut best = (error(size, 0) + weight.bits(seen.cost(model, place, 0)), 0);
            for level in (high - 1).max(1)..=high {
                let cost = error(size, level) + weight.bits(seen.cost(model, place, level));
                best = best.min((cost, level));
            }
            *cost += best.0;
            seen.add(place, best.1);
            chosen[index] = sign(best.1);
        }
        if high > 0 {
            let mut fresh = Seen::new(shape);
            let reach = weight.bits(reach_cost(model, shape, index + 1));
            for level in (high - 1).max(1)..=high {
                let cost =
                    none + reach + error(size, level) + weight.bits(fresh.size_cost(model, place, level));
                if chain.as_ref().is_none_or(|(_, best, _)| cost < *best) {
                    fresh = Seen::new(shape);
                    fresh.add(place, level);
                    chosen[index] = sign(level);
                    chain = Some((index, cost, fresh));
                    fresh = Seen::new(shape);
                }
            }
        }
        none += error(size, 0);
    }
    if let Some((end, cost, _)) = chain
        && cost + weight.bits(BIT) < none
    {
        levels.extend(&chosen[..=end]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::Tables;
    use super::*;

    #[test]
    fn large_coefficients_stay_and_small_ones_go() {
        let model = Model::new(&Tables::blank());
        let shape = Shape { side: 8, chroma: false, edges: false, slant: 0, role: 0, coded: 0 };
        let mut coefficients = vec![0; 64];
        (coefficients[0], coefficients[8], coefficients[63]) = (-1_000, 400, 90);
        let mut levels = Vec::new();
        quantised(&model, &Weight::new(256), shape, &coefficients, 256, &mut levels);
        assert_eq!(levels.len(), 3, "{levels:?}");
        assert_eq!((levels[0], levels[1].max(levels[2])), (-8, 3));
        quantised(&model, &Weight::new(4_000), shape, &coefficients, 4_000, &mut levels);
        assert!(levels.is_empty());
    }
}
