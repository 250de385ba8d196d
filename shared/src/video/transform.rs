//! The 8 by 8 cosine transform and its quantiser, in integers.

/// Samples of a block, or its coefficients, in rows.
pub(super) type Block = [i32; 64];

/// The quantised coefficients of a block, in zigzag order.
pub(super) type Levels = [i16; 64];

/// Residual samples into coefficients, orthonormal, in 1/8 units.
pub(super) fn forward(residual: &Block) -> Block {
    // Rows first: ±255 · 2.83 · 2^13 stays below 2^23.
    let rows = pass(residual, |k, n| COSINE[k][n], SCALE_BITS - 3);
    transpose(&pass(&transpose(&rows), |k, n| COSINE[k][n], SCALE_BITS))
}

/// Coefficients into residual samples. Each coefficient lies within ±[`COEFFICIENT_MAX`], so no
/// sum reaches 2^31.
pub(super) fn inverse(coefficients: &Block) -> Block {
    let rows = pass(coefficients, |n, k| COSINE[k][n], SCALE_BITS - 2);
    transpose(&pass(&transpose(&rows), |n, k| COSINE[k][n], SCALE_BITS + 2))
}

/// The quantiser's width in 1/16: eight steps double it, from 2 to 470.
pub(super) fn step(quantiser: u8) -> i32 {
    const OCTAVE: [i32; 8] = [32, 35, 38, 41, 45, 49, 54, 59];
    OCTAVE[usize::from(quantiser % 8)] << (quantiser / 8)
}

/// Coefficients (1/8 units) into levels; `round` is added before the cut, in 1/256 of a step.
pub(super) fn quantise(coefficients: &Block, step: i32, round: i32) -> Levels {
    let mut levels = [0; 64];
    for (level, at) in levels.iter_mut().zip(ZIGZAG) {
        let value = coefficients[at];
        // Both in 1/16 units now.
        let size = (value.abs() * 2 + ((step * round) >> 8)) / step;
        *level = size.min(LEVEL_MAX) as i16 * value.signum() as i16;
    }
    levels
}

/// Levels into coefficients.
pub(super) fn restore(levels: &Levels, step: i32) -> Block {
    let mut coefficients = [0; 64];
    for (level, at) in levels.iter().zip(ZIGZAG) {
        let size = (i32::from(level.unsigned_abs()) * step + 8) >> 4;
        coefficients[at] = size.min(COEFFICIENT_MAX) * i32::from(level.signum());
    }
    coefficients
}

/// The largest level either side uses.
pub(super) const LEVEL_MAX: i32 = 2047;

/// Beyond what any residual of 8-bit samples has.
pub(super) const COEFFICIENT_MAX: i32 = 2047;

/// Low frequencies first.
pub(super) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

const SCALE_BITS: u32 = 13;

/// Row k is the k-th cosine of the orthonormal DCT-II, times 2^13.
const COSINE: [[i32; 8]; 8] = {
    // cos(i·π/16) / 2 in the same scale; the first row is cos(π/4) / 2.
    const HALF: [i32; 9] = [4096, 4017, 3784, 3406, 2896, 2276, 1567, 799, 0];
    let mut matrix = [[2896; 8]; 8];
    let mut k = 1;
    while k < 8 {
        let mut n = 0;
        while n < 8 {
            let angle = (2 * n + 1) * k % 32;
            let folded = if angle > 16 { 32 - angle } else { angle };
            matrix[k][n] = if folded <= 8 { HALF[folded] } else { -HALF[16 - folded] };
            n += 1;
        }
        k += 1;
    }
    matrix
};

fn pass(block: &Block, factor: impl Fn(usize, usize) -> i32, shift: u32) -> Block {
    let mut out = [0; 64];
    for (into, from) in out.chunks_exact_mut(8).zip(block.chunks_exact(8)) {
        for (at, value) in into.iter_mut().enumerate() {
            let sum: i32 = from.iter().enumerate().map(|(n, v)| v * factor(at, n)).sum();
            *value = (sum + (1 << (shift - 1))) >> shift;
        }
    }
    out
}

fn transpose(block: &Block) -> Block {
    let mut out = [0; 64];
    for y in 0..8 {
        for x in 0..8 {
            out[x * 8 + y] = block[y * 8 + x];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_its_own_way_back() {
        let mut state = 1u32;
        for spread in [1, 20, 255] {
            let residual: Block = std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as i32 % (2 * spread + 1) - spread
            });
            let back = inverse(&forward(&residual).map(|c| (c + 4) >> 3));
            for (one, other) in residual.iter().zip(back) {
                assert!((one - other).abs() <= 2, "{one} became {other}");
            }
        }
        assert_eq!(inverse(&forward(&[255; 64]).map(|c| c >> 3)), [255; 64]);
        assert!((forward(&[-255; 64])[0] + 255 * 8 * 8).abs() < 8);
    }

    #[test]
    fn the_largest_coefficients_do_not_overflow() {
        for sign in [1, -1] {
            let all = inverse(&[sign * COEFFICIENT_MAX; 64]);
            assert!(all[0] * sign > 0);
        }
    }

    #[test]
    fn levels_come_back_within_a_step() {
        for quantiser in [0, 20, 40, 63] {
            let step = step(quantiser);
            let coefficients: Block = std::array::from_fn(|at| (at as i32 * 389) % 8_000 - 4_000);
            let back = restore(&quantise(&coefficients, step, 128), step);
            for (one, other) in coefficients.iter().zip(back) {
                assert!((one / 8 - other).abs() <= step / 32 + 1, "{} and {other}, step {step}", one / 8);
            }
        }
    }
}
