//! Ranks with AVX-512: of a tile's values of one feature, and of one row's features.
#![allow(
    unsafe_code,
    reason = "instructions that are asked for at run time, and gathers whose places the search itself bounds"
)]

use std::arch::x86_64::*;

use super::{Columns, TILE};
use crate::forest::real::Real;

/// Features of one row that are ranked side by side.
const WIDTH: usize = 16;
/// Registers of those under way at once.
const SETS: usize = 4;

/// What [`One::encode`] needs of [`Columns`], feature by feature, padded to whole registers.
#[derive(Debug)]
pub(in crate::forest) struct One {
    features: Vec<i32>,
    /// Where its cuts start, less one
    cuts: Vec<i32>,
    /// Half of its cuts, rounded up
    halves: Vec<i32>,
    /// What NaN is encoded as
    missing: Vec<u8>,
    rounds: u32,
    count: usize,
}

impl One {
    /// `None` if values are f64, or a feature has several columns.
    pub(in crate::forest) fn of<T: Real>(columns: &Columns<T>) -> Option<Self> {
        let cuts = i32::try_from(columns.cuts.len()).is_ok();
        if !cuts || !columns.plain || columns.ranked.is_empty() || size_of::<T>() != 4 {
            return None;
        }
        let count = columns.ranked.len();
        let padded = (0..count.next_multiple_of(WIDTH * SETS))
            .map(|at| columns.ranked.get(at).unwrap_or(&columns.ranked[0]));
        let longest = columns.ranked.iter().map(|ranked| ranked.cuts.len() + 1).max().unwrap_or(1);
        Some(Self {
            features: padded.clone().map(|ranked| ranked.source.feature as i32).collect(),
            cuts: padded.clone().map(|ranked| ranked.cuts.start as i32 - 1).collect(),
            halves: padded.clone().map(|ranked| ranked.cuts.len().div_ceil(2) as i32).collect(),
            missing: padded.map(|ranked| if ranked.source.missing_goes_yes { 0 } else { 255 }).collect(),
            rounds: longest.ilog2(),
            count,
        })
    }

    /// Codes of one row, as [`Columns::encode_one`] has them.
    pub(in crate::forest) fn encode<T: Real>(&self, columns: &Columns<T>, row: &[T], codes: &mut [u8]) {
        // Columns from 1 on, each of one feature; what is written behind the last one is overwritten or never read.
        assert!(
            codes.len() > self.features.len() && self.features.iter().all(|at| (*at as usize) < row.len())
        );
        // SAFETY: made where the processor has it; features are in the row, and cuts found as `rank` finds them.
        unsafe { self.inner(columns.cuts.as_ptr().cast(), row.as_ptr().cast(), &mut codes[1..]) }
        codes[0] = 0;
        columns.encode_members(row, codes);
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn inner(&self, cuts: *const f32, row: *const f32, codes: &mut [u8]) {
        // SAFETY: the caller's; the arrays are whole registers long.
        unsafe {
            for first in (0..self.count).step_by(WIDTH * SETS) {
                let load = |from: &[i32], set: usize| {
                    _mm512_loadu_si512(from.as_ptr().add(first + set * WIDTH).cast())
                };
                let (mut x, mut at, mut half) = (
                    [_mm512_setzero_ps(); SETS],
                    [_mm512_setzero_si512(); SETS],
                    [_mm512_setzero_si512(); SETS],
                );
                for set in 0..SETS {
                    x[set] = _mm512_i32gather_ps::<4>(load(&self.features, set), row);
                    at[set] = load(&self.cuts, set);
                    half[set] = load(&self.halves, set);
                }
                for _ in 0..self.rounds {
                    for set in 0..SETS {
                        // Shorter lists are through before others are.
                        let left = _mm512_test_epi32_mask(half[set], half[set]);
                        let next = _mm512_add_epi32(at[set], half[set]);
                        let cut = _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), left, next, cuts);
                        let below = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(left, cut, x[set]);
                        at[set] = _mm512_mask_mov_epi32(at[set], below, next);
                        half[set] = _mm512_srli_epi32::<1>(half[set]);
                    }
                }
                for set in 0..SETS {
                    let rank = _mm512_sub_epi32(at[set], load(&self.cuts, set));
                    let code = _mm512_cvtepi32_epi8(rank);
                    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x[set], x[set]);
                    let to = first + set * WIDTH;
                    let missing = _mm_loadu_si128(self.missing.as_ptr().add(to).cast());
                    // A byte of 255 for each bit.
                    let nan = _mm512_cvtepi32_epi8(_mm512_maskz_set1_epi32(nan, -1));
                    let code = _mm_or_si128(_mm_and_si128(nan, missing), _mm_andnot_si128(nan, code));
                    _mm_storeu_si128(codes.as_mut_ptr().add(to).cast(), code);
                }
            }
        }
    }
}

/// As [`super::rank`]. To be called where the processor has AVX-512 F.
pub(in crate::forest) fn rank<T: Real>(cuts: &[T], values: &[T; TILE], ranks: &mut [u32; TILE]) {
    assert!((cuts.len() + 1).is_power_of_two() && cuts.len() < i32::MAX as usize);
    // SAFETY: the processor has it; T is f32 or f64 as its size says; a rank and half of what is left never exceed the
    // length, which is a power of two less one.
    unsafe {
        if size_of::<T>() == 4 {
            rank_f32(cuts.as_ptr().cast(), cuts.len(), values.as_ptr().cast(), ranks);
        } else {
            rank_f64(cuts.as_ptr().cast(), cuts.len(), values.as_ptr().cast(), ranks);
        }
    }
}

/// The first four halvings look cuts up in a register, the others gather them.
#[target_feature(enable = "avx512f")]
unsafe fn rank_f32(cuts: *const f32, length: usize, values: *const f32, ranks: &mut [u32; TILE]) {
    const SETS: usize = TILE / WIDTH;
    // SAFETY: the caller's.
    unsafe {
        let (mut half, mut x, mut rank) =
            (length.div_ceil(2), [_mm512_setzero_ps(); SETS], [_mm512_setzero_si512(); SETS]);
        for (set, x) in x.iter_mut().enumerate() {
            *x = _mm512_loadu_ps(values.add(set * WIDTH));
        }
        if length >= WIDTH - 1 {
            // The last cut of each sixteenth but the last, each at the number of sixteenths up to there.
            let step = length.div_ceil(WIDTH) as i32;
            let count = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
            let places =
                _mm512_sub_epi32(_mm512_mullo_epi32(count, _mm512_set1_epi32(step)), _mm512_set1_epi32(1));
            let pivots = _mm512_mask_i32gather_ps::<4>(_mm512_setzero_ps(), !1, places, cuts);
            for bit in [8, 4, 2, 1] {
                let bit = _mm512_set1_epi32(bit);
                for (x, rank) in x.iter().zip(&mut rank) {
                    let further = _mm512_or_si512(*rank, bit);
                    let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_permutexvar_ps(further, pivots), *x);
                    *rank = _mm512_mask_mov_epi32(*rank, below, further);
                }
            }
            for rank in &mut rank {
                *rank = _mm512_mullo_epi32(*rank, _mm512_set1_epi32(step));
            }
            half = step as usize / 2;
        }
        while half > 0 {
            let more = _mm512_set1_epi32(half as i32);
            for (x, rank) in x.iter().zip(&mut rank) {
                let cut = _mm512_i32gather_ps::<4>(*rank, cuts.add(half - 1));
                let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(cut, *x);
                *rank = _mm512_mask_add_epi32(*rank, below, *rank, more);
            }
            half /= 2;
        }
        for (set, rank) in rank.into_iter().enumerate() {
            _mm512_storeu_si512(ranks.as_mut_ptr().add(set * WIDTH).cast(), rank);
        }
    }
}

#[target_feature(enable = "avx512f,avx512vl")]
unsafe fn rank_f64(cuts: *const f64, length: usize, values: *const f64, ranks: &mut [u32; TILE]) {
    const WIDTH: usize = 8;
    const SETS: usize = 4;
    // SAFETY: the caller's.
    unsafe {
        for first in (0..TILE).step_by(WIDTH * SETS) {
            let mut x = [_mm512_setzero_pd(); SETS];
            for (set, x) in x.iter_mut().enumerate() {
                *x = _mm512_loadu_pd(values.add(first + set * WIDTH));
            }
            let (mut half, mut rank) = (length.div_ceil(2), [_mm256_setzero_si256(); SETS]);
            while half > 0 {
                let more = _mm256_set1_epi32(half as i32);
                for (x, rank) in x.iter().zip(&mut rank) {
                    let cut = _mm512_i32gather_pd::<8>(*rank, cuts.add(half - 1));
                    let below = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(cut, *x);
                    *rank = _mm256_mask_add_epi32(*rank, below, *rank, more);
                }
                half /= 2;
            }
            for (set, rank) in rank.into_iter().enumerate() {
                _mm256_storeu_si256(ranks.as_mut_ptr().add(first + set * WIDTH).cast(), rank);
            }
        }
    }
}
