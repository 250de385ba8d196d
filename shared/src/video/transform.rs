//! The cosine transform of squares of 4 to 32 samples, and the quantiser, in integers.

/// Residual samples into coefficients in 1/8 units, rows first, orthonormal. Of a side of 32 only
/// the lower half is kept in each direction: [`kept`].
pub(super) fn forward(residual: &[i32], side: usize, out: &mut [i32]) {
    let keep = kept(side);
    let bits = side.ilog2();
    let mut half = [0i32; 32 * 16];
    for k in 0..keep {
        let into = &mut half[k * side..][..side];
        for (n, row) in residual.chunks_exact(side).enumerate() {
            let factor = cosine(k, n, side);
            for (sum, value) in into.iter_mut().zip(row) {
                *sum += value * factor;
            }
        }
        for value in into {
            *value = (*value + (1 << (7 + bits))) >> (8 + bits);
        }
    }
    for k in 0..keep {
        let row = &half[k * side..][..side];
        for (j, into) in out[k * keep..][..keep].iter_mut().enumerate() {
            let sum: i32 = row.iter().enumerate().map(|(n, value)| value * cosine(j, n, side)).sum();
            *into = (sum + (1 << 13)) >> 14;
        }
    }
}

/// Coefficients into residual samples. Sums wrap for coefficients that no encoder writes: the
/// result is nonsense then, but the same nonsense everywhere.
pub(super) fn inverse(coefficients: &[i32], side: usize, out: &mut [i32]) {
    let keep = kept(side);
    let bits = side.ilog2();
    // Most coefficients are zero: what lies beyond these two is not looked at.
    let (mut rows, mut columns) = (0, 0);
    for (at, value) in coefficients[..keep * keep].iter().enumerate() {
        if *value != 0 {
            rows = at / keep + 1;
            columns = columns.max(at % keep + 1);
        }
    }
    let mut half = [0i32; 32 * 16];
    for n in 0..side {
        let into = &mut half[n * keep..][..columns];
        for (k, row) in coefficients.chunks_exact(keep).enumerate().take(rows) {
            let factor = cosine(k, n, side);
            for (sum, value) in into.iter_mut().zip(row) {
                *sum = sum.wrapping_add(value.wrapping_mul(factor));
            }
        }
        for value in into {
            *value = value.wrapping_add(1 << (8 + bits)) >> (9 + bits);
        }
    }
    for (n, into) in out.chunks_exact_mut(side).take(side).enumerate() {
        into.fill(1 << 18);
        for (k, value) in half[n * keep..][..columns].iter().enumerate() {
            let cosines = &BY_SIDE[side.ilog2() as usize - 2][k];
            for (sum, factor) in into.iter_mut().zip(cosines) {
                *sum = sum.wrapping_add(value.wrapping_mul(*factor));
            }
        }
        for value in into {
            *value >>= 19;
        }
    }
}

/// How many coefficients are kept in each direction.
pub(super) fn kept(side: usize) -> usize {
    side.min(16)
}

/// The quantiser's width in 1/16: eight steps double it, from 2 to 470.
pub(super) fn step(quantiser: u8) -> i32 {
    const OCTAVE: [i32; 8] = [32, 35, 38, 41, 45, 49, 54, 59];
    OCTAVE[usize::from(quantiser % 8)] << (quantiser / 8)
}

/// A level into its coefficient, in 1/8 units.
pub(super) fn restore(level: i16, step: i32) -> i32 {
    let size = (i32::from(level.unsigned_abs()) * step + 1) >> 1;
    size.min(COEFFICIENT_MAX) * i32::from(level.signum())
}

/// Beyond what any residual of 8-bit samples has.
const COEFFICIENT_MAX: i32 = 1 << 16;

/// The largest level either side uses.
pub(super) const LEVEL_MAX: i16 = 4095;

/// Low frequencies first: the places of a square's kept coefficients, diagonal by diagonal.
pub(super) fn scan(side: usize) -> &'static [Place] {
    match side {
        4 => &SCAN_4,
        8 => &SCAN_8,
        _ => &SCAN_16,
    }
}

/// A coefficient's frequency across and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub x: u8,
    pub y: u8,
}

const fn diagonals<const COUNT: usize>(side: usize) -> [Place; COUNT] {
    let mut places = [Place { x: 0, y: 0 }; COUNT];
    let mut at = 0;
    let mut sum = 0;
    while sum < 2 * side - 1 {
        let mut step = 0;
        while step <= sum {
            // There and back again, as a zigzag.
            let (x, y) = if sum % 2 == 0 { (step, sum - step) } else { (sum - step, step) };
            if x < side && y < side {
                places[at] = Place { x: x as u8, y: y as u8 };
                at += 1;
            }
            step += 1;
        }
        sum += 1;
    }
    places
}

const SCAN_4: [Place; 16] = diagonals(4);
const SCAN_8: [Place; 64] = diagonals(8);
const SCAN_16: [Place; 256] = diagonals(16);

fn cosine(k: usize, n: usize, side: usize) -> i32 {
    BY_SIDE[side.ilog2() as usize - 2][k][n]
}

/// For sides of 4, 8, 16 and 32: row k is the k-th cosine of the DCT-II times 2^13, the first
/// one divided by √2, so that a square's transform is orthonormal times half its side.
static BY_SIDE: [[[i32; 32]; 32]; 4] = [cosines(4), cosines(8), cosines(16), cosines(32)];

const fn cosines(side: usize) -> [[i32; 32]; 32] {
    // 2^13 · cos(i·π/64), rounded.
    const QUARTER: [i32; 33] = [
        8192, 8182, 8153, 8103, 8035, 7946, 7839, 7713, 7568, 7405, 7225, 7027, 6811, 6580, 6333, 6070, 5793,
        5501, 5197, 4880, 4551, 4212, 3862, 3503, 3135, 2760, 2378, 1990, 1598, 1202, 803, 402, 0,
    ];
    let mut matrix = [[0; 32]; 32];
    let mut k = 0;
    while k < side {
        let mut n = 0;
        while n < side {
            let angle = (2 * n + 1) * k * (32 / side) % 128;
            let folded = if angle > 64 { 128 - angle } else { angle };
            let value = if folded <= 32 { QUARTER[folded] } else { -QUARTER[64 - folded] };
            matrix[k][n] = if k == 0 { 5793 } else { value };
            n += 1;
        }
        k += 1;
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_its_own_way_back() {
        let mut state = 1u32;
        for side in [4, 8, 16, 32] {
            for spread in [1, 20, 255] {
                let residual: Vec<i32> = (0..side * side)
                    .map(|at| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        // A side of 32 keeps low frequencies only.
                        let smooth = (at % side) as i32 * spread / 32 - spread / 2;
                        let noise = (state >> 16) as i32 % (2 * spread + 1) - spread;
                        if side == 32 { smooth } else { noise }
                    })
                    .collect();
                let mut coefficients = vec![0; kept(side) * kept(side)];
                let mut back = vec![0; side * side];
                forward(&residual, side, &mut coefficients);
                inverse(&coefficients, side, &mut back);
                let worst = residual.iter().zip(&back).map(|(a, b)| (a - b).abs()).max();
                assert!(worst <= Some(if side == 32 { 6 } else { 1 }), "{worst:?} at {side}, ±{spread}");
            }
            let mut flat = vec![0; 256];
            forward(&vec![-255; side * side], side, &mut flat);
            assert!((flat[0] + 255 * 8 * side as i32).abs() < 8 && flat[1] == 0);
        }
    }

    #[test]
    fn nonsense_does_not_panic() {
        for side in [4, 8, 16, 32] {
            let mut out = vec![0; side * side];
            inverse(&vec![COEFFICIENT_MAX; 256], side, &mut out);
        }
    }

    #[test]
    fn scans_visit_each_place_once() {
        for side in [4, 8, 16] {
            let mut seen = vec![false; side * side];
            for place in scan(side) {
                seen[usize::from(place.y) * side + usize::from(place.x)] = true;
            }
            assert!(seen.iter().all(|seen| *seen));
            assert_eq!(scan(side)[..3].iter().map(|p| p.x + p.y).collect::<Vec<_>>(), [0, 1, 1]);
        }
    }
}
