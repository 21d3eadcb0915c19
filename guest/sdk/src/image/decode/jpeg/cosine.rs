//! The inverse cosine transform of 8 × 8 coefficients, in whole numbers.
//!
//! In each direction it is the product with a matrix of cosines, whose symmetry leaves one product of the
//! even and one of the odd coefficients (T.81, A.3.3). Its factors have 13 bits behind the point, and 2
//! are kept between columns and rows, as in libjpeg's accurate transform, which takes the steps of
//! Loeffler, Ligtenberg and Moschytz (*Practical fast 1-D DCT algorithms with 11 multiplications*, ICASSP
//! 1989). The factors here are the sums of those that a coefficient meets there, each rounded by itself:
//! so both round alike, and the samples are the same.

/// The samples of a block, row by row, from its coefficients and the steps they were quantised by, both
/// row by row.
///
/// Numbers wrap: they don't for what an encoder writes, and a hostile file gets some picture.
pub(super) fn samples(coefficients: &[i16; 64], steps: &[u16; 64]) -> [[u8; 8]; 8] {
    let mut block = [[0; 8]; 8];
    let rows = coefficients.as_chunks::<8>().0.iter().zip(steps.as_chunks::<8>().0);
    for (row, (coefficients, steps)) in block.iter_mut().zip(rows) {
        for ((out, &coefficient), &step) in row.iter_mut().zip(coefficients).zip(steps) {
            *out = coefficient.wrapping_mul(step.cast_signed());
        }
    }
    if coefficients[1..].iter().all(|&coefficient| coefficient == 0) {
        return [[sample((block[0][0].wrapping_add(4)) >> 3); 8]; 8];
    }
    let block = transposed(&transformed::<{ BITS - KEPT }>(&block));
    let block = transposed(&transformed::<{ BITS + KEPT + 3 }>(&block));
    let mut out = [[0; 8]; 8];
    for (samples, values) in out.iter_mut().zip(&block) {
        for (out, &value) in samples.iter_mut().zip(values) {
            *out = sample(value);
        }
    }
    out
}

const BITS: u32 = 13;
const KEPT: u32 = 2;

/// From −128..=127 to 0..=255
fn sample(value: i16) -> u8 {
    value.saturating_add(128).clamp(0, 255) as u8
}

fn transposed(block: &[[i16; 8]; 8]) -> [[i16; 8]; 8] {
    std::array::from_fn(|column| std::array::from_fn(|row| block[row][column]))
}

/// `value` with [`BITS`] behind the point
const fn fixed(value: f64) -> i32 {
    (value * (1 << BITS) as f64 + 0.5) as i32
}

// What a coefficient is multiplied by on the steps of the paper
const ALL: i32 = fixed(1.175_875_602);
const PAIR_17: i32 = -fixed(0.899_976_223);
const PAIR_35: i32 = -fixed(2.562_915_447);
const PAIR_37: i32 = ALL - fixed(1.961_570_560);
const PAIR_15: i32 = ALL - fixed(0.390_180_644);
const TURN: i32 = fixed(0.541_196_100);

/// What coefficients 1, 3, 5 and 7 add to samples 0 to 3, and take from 7 to 4
const ODD: [[i32; 4]; 4] = [
    [fixed(1.501_321_110) + PAIR_17 + PAIR_15, ALL, PAIR_15, PAIR_17 + ALL],
    [ALL, fixed(3.072_711_026) + PAIR_35 + PAIR_37, PAIR_35 + ALL, PAIR_37],
    [PAIR_15, PAIR_35 + ALL, fixed(2.053_119_869) + PAIR_35 + PAIR_15, ALL],
    [PAIR_17 + ALL, PAIR_37, ALL, fixed(0.298_631_336) + PAIR_17 + PAIR_37],
];

/// The inverse transform of each column, √8 too large, less the last `DROPPED` of [`BITS`] more bits.
fn transformed<const DROPPED: u32>(block: &[[i16; 8]; 8]) -> [[i16; 8]; 8] {
    let mut out = [[0; 8]; 8];
    // A loop over columns becomes one over vectors.
    for column in 0..8 {
        let [in0, in1, in2, in3, in4, in5, in6, in7] =
            std::array::from_fn(|row| i32::from(block[row][column]));
        let turned2 = in2 * (TURN + fixed(0.765_366_865)) + in6 * TURN;
        let turned6 = in2 * TURN + in6 * (TURN - fixed(1.847_759_065));
        let (sum, difference) = ((in0 + in4) << BITS, (in0 - in4) << BITS);
        let even = [sum + turned2, difference + turned6, difference - turned6, sum - turned2];
        let half = 1 << (DROPPED - 1);
        for index in 0..4 {
            let [by1, by3, by5, by7] = ODD[index];
            let odd = in1 * by1 + in3 * by3 + (in5 * by5 + in7 * by7);
            out[index][column] = ((even[index] + half + odd) >> DROPPED) as i16;
            out[7 - index][column] = ((even[index] + half - odd) >> DROPPED) as i16;
        }
    }
    out
}
