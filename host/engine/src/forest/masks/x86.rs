//! [`Masks`] on x86-64: with AVX-512, and with registers of AVX2.
#![allow(
    unsafe_code,
    reason = "instructions that are asked for at run time, and loads whose places were checked when the trees were laid out"
)]

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Lanes, MaskBranch, MaskTree, Masks, TILE, Work};
use crate::forest::leaves::Leaves;
use crate::forest::real::Real;

impl Lanes {
    /// The best there are.
    pub(crate) fn detect() -> Self {
        let all = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        if all && is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl") {
            Self::Avx512
        } else if is_x86_feature_detected!("avx2") {
            Self::Avx2
        } else {
            Self::Common
        }
    }
}

pub(super) fn add_avx2<A: Real>(masks: &Masks<A>, trees: Range<usize>, leaves: &Leaves<A>, work: Work<A>) {
    #[target_feature(enable = "avx2")]
    fn inner<A: Real>(masks: &Masks<A>, trees: Range<usize>, leaves: &Leaves<A>, mut work: Work<A>) {
        for tree in masks.trees[trees].iter().flatten() {
            for tile in work.tiles() {
                // SAFETY: this function has the feature.
                unsafe { masks.add_tree::<__m256i>(tree, leaves, tile) }
            }
            if tree.top {
                masks.add_rest::<true>(tree, leaves, &mut work);
            }
        }
    }
    // SAFETY: `Lanes::Avx2` is chosen where the processor has it.
    unsafe { inner(masks, trees, leaves, work) }
}

pub(super) fn add_avx512<A: Real>(masks: &Masks<A>, trees: Range<usize>, leaves: &Leaves<A>, work: Work<A>) {
    // SAFETY: `Lanes::Avx512` is chosen where the processor has it.
    unsafe { inner(masks, trees, leaves, work) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn inner<A: Real>(masks: &Masks<A>, trees: Range<usize>, leaves: &Leaves<A>, mut work: Work<A>) {
    for tree in masks.trees[trees].iter().flatten() {
        for tile in work.tiles() {
            match tree.depth {
                0 => masks.add_found(tree, leaves, &[0; TILE], tile),
                1 => one::<A, 1, 1>(masks, tree, leaves, tile),
                2 => one::<A, 2, 3>(masks, tree, leaves, tile),
                3 => one::<A, 3, 7>(masks, tree, leaves, tile),
                4 => one::<A, 4, 15>(masks, tree, leaves, tile),
                5 => one::<A, 5, 31>(masks, tree, leaves, tile),
                6 => one::<A, 6, 63>(masks, tree, leaves, tile),
                7 => one::<A, 7, 127>(masks, tree, leaves, tile),
                _ => one::<A, 8, 255>(masks, tree, leaves, tile),
            }
        }
        if tree.top {
            masks.add_rest::<false>(tree, leaves, &mut work);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn one<A: Real, const DEPTH: usize, const BRANCHES: usize>(
    masks: &Masks<A>,
    tree: &MaskTree,
    leaves: &Leaves<A>,
    tile: Work<A>,
) {
    let branches = &masks.branches[tree.branch as usize..][..BRANCHES];
    let way = ways::<DEPTH, BRANCHES>(branches, tile.codes.bytes);
    let mut found = _mm512_setzero_si512();
    for (level, way) in way.iter().enumerate() {
        let bit = _mm512_set1_epi8(1 << (DEPTH - 1 - level));
        found = _mm512_mask_add_epi8(found, *way, found, bit);
    }
    match tree.leaves.output {
        Some(output) if leaves.adds() && !tree.top => {
            let values = &masks.values[tree.leaf as usize..][..1 << DEPTH];
            let totals = &mut tile.totals[output as usize * TILE..][..TILE];
            add_values::<A, DEPTH>(values, found, way[0], totals);
        }
        _ => {
            let mut places = [0u8; TILE];
            // SAFETY: as long as the register.
            unsafe { _mm512_storeu_si512(places.as_mut_ptr().cast(), found) };
            masks.add_found(tree, leaves, &places, tile);
        }
    }
}

/// For each level, of which rows the branch on their way was left to the right.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn ways<const DEPTH: usize, const BRANCHES: usize>(branches: &[MaskBranch], codes: &[u8]) -> [u64; DEPTH] {
    let mut outcomes = [0u64; BRANCHES];
    for (outcome, branch) in outcomes.iter_mut().zip(branches) {
        debug_assert!(branch.offset as usize + TILE <= codes.len());
        // SAFETY: offsets are those of columns, and `codes` holds a tile of each.
        let codes = unsafe { _mm512_loadu_si512(codes.as_ptr().add(branch.offset as usize).cast()) };
        *outcome = _mm512_cmpge_epu8_mask(codes, _mm512_set1_epi32(branch.below as i32));
    }
    let mut ways = [0; DEPTH];
    for level in 0..DEPTH {
        let outcomes = &mut outcomes[(1 << level) - 1..(2 << level) - 1];
        for (above, way) in ways[..level].iter().enumerate() {
            let half = 1 << (level - 1 - above);
            for at in 0..half {
                outcomes[at] ^= (outcomes[at] ^ outcomes[at + half]) & way;
            }
        }
        ways[level] = outcomes[0];
    }
    ways
}

/// Adds to each row's total the value at the place found for it. `top` is the highest bit of those.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn add_values<A: Real, const DEPTH: usize>(values: &[A], found: __m512i, top: u64, totals: &mut [A]) {
    assert!(values.len() == 1 << DEPTH && totals.len() == TILE);
    if size_of::<A>() == 4 {
        let (from, to) = (values.as_ptr().cast::<f32>(), totals.as_mut_ptr().cast::<f32>());
        // SAFETY: the lengths are asserted, places are below 2^DEPTH, and A is f32.
        unsafe { add_f32::<DEPTH>(from, found, top, to) }
    } else {
        let (from, to) = (values.as_ptr().cast::<f64>(), totals.as_mut_ptr().cast::<f64>());
        // SAFETY: the lengths are asserted, places are below 2^DEPTH, and A is f64.
        unsafe { add_f64(from, found, to) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn add_f32<const DEPTH: usize>(values: *const f32, found: __m512i, top: u64, totals: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let parts = [
            _mm512_extracti32x4_epi32::<0>(found),
            _mm512_extracti32x4_epi32::<1>(found),
            _mm512_extracti32x4_epi32::<2>(found),
            _mm512_extracti32x4_epi32::<3>(found),
        ];
        let part = |at: usize| _mm512_loadu_ps(values.add(16 * at));
        for (quarter, bytes) in parts.into_iter().enumerate() {
            let places = _mm512_cvtepu8_epi32(bytes);
            let picked = match DEPTH {
                1..=4 => {
                    let table = _mm512_maskz_loadu_ps(((1u32 << (1 << DEPTH)) - 1) as u16, values);
                    _mm512_permutexvar_ps(places, table)
                }
                5 => _mm512_permutex2var_ps(part(0), places, part(1)),
                6 => {
                    let low = _mm512_permutex2var_ps(part(0), places, part(1));
                    let high = _mm512_permutex2var_ps(part(2), places, part(3));
                    _mm512_mask_blend_ps((top >> (16 * quarter)) as u16, low, high)
                }
                _ => _mm512_i32gather_ps::<4>(places, values),
            };
            let total = totals.add(16 * quarter);
            _mm512_storeu_ps(total, _mm512_add_ps(_mm512_loadu_ps(total), picked));
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn add_f64(values: *const f64, found: __m512i, totals: *mut f64) {
    // SAFETY: the caller's.
    unsafe {
        let parts = [
            _mm512_extracti32x4_epi32::<0>(found),
            _mm512_extracti32x4_epi32::<1>(found),
            _mm512_extracti32x4_epi32::<2>(found),
            _mm512_extracti32x4_epi32::<3>(found),
        ];
        for (quarter, bytes) in parts.into_iter().enumerate() {
            for (half, bytes) in [bytes, _mm_srli_si128::<8>(bytes)].into_iter().enumerate() {
                let picked = _mm512_i32gather_pd::<8>(_mm256_cvtepu8_epi32(bytes), values);
                let total = totals.add(16 * quarter + 8 * half);
                _mm512_storeu_pd(total, _mm512_add_pd(_mm512_loadu_pd(total), picked));
            }
        }
    }
}
