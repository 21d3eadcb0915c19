//! [`Gathers`]: 16 trees side by side down one row's codes, with AVX-512.
//!
//! A step is one gather of 16 packed branches, and one look-up of their columns' codes in registers that hold the whole
//! row. It serves one row, and many rows in trees too deep for `masks`.
#![allow(
    unsafe_code,
    reason = "instructions that are asked for at run time, and gathers whose places were checked when the trees were laid out"
)]

use std::arch::x86_64::*;
use std::ops::Range;

use super::columns::{Place, TILE};
use super::leaves::Leaves;
use super::real::Real;
use super::split::ways;
use super::{Forest, Node};

/// Trees in a register.
const TREES: usize = 16;
/// Registers under way at once, so that one computes while others load.
const SETS: usize = 4;
/// Codes in a register.
const REGISTER: usize = 64;
/// Codes of the widest row.
pub(super) const MAX_STRIDE: usize = 4 * REGISTER;
/// Up to this depth all steps are taken; beyond it, as many as something moves in.
const SHALLOW: u32 = 6;

#[derive(Debug)]
pub(super) struct Gathers<A> {
    /// `below | column << 8 | next << 16`, `next` counted from the tree's base; goes there if the code is below, and
    /// otherwise to the position behind it. A leaf's is the position before itself, below 0
    steps: Vec<u32>,
    /// Where trees' positions are counted from; padded with trees of one leaf
    bases: Vec<i32>,
    depths: Vec<u32>,
    /// For each position of a leaf, its number, and its weight if its tree speaks of one output
    numbers: Vec<u32>,
    values: Vec<A>,
    /// Bytes of a row's codes: 64, 128 or 256
    pub(super) stride: usize,
}

/// Whether the processor has what this needs.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi")
}

impl<A: Real> Gathers<A> {
    /// `None` if there are more columns or larger trees than fit a packed branch.
    pub(super) fn of(
        forest: &Forest,
        places: &[Place],
        columns: usize,
        numbers: &[u32],
        leaves: &Leaves<A>,
    ) -> Option<Self> {
        let stride = [REGISTER, 2 * REGISTER, MAX_STRIDE].into_iter().find(|stride| columns <= *stride)?;
        let mut gathers =
            Self { steps: vec![], bases: vec![], depths: vec![], numbers: vec![], values: vec![], stride };
        let mut level = Vec::new();
        for &root in &forest.roots {
            let base = gathers.steps.len();
            gathers.bases.push(i32::try_from(base).ok()?);
            gathers.extend(2);
            let mut depth = 0;
            level.push((root, 1));
            loop {
                let mut next = Vec::with_capacity(level.len() * 2);
                for (at, to) in level.drain(..) {
                    match &forest.nodes[at as usize] {
                        Node::Leaf { .. } => {
                            let number = numbers[at as usize];
                            gathers.steps[base + to] = (to as u32 - 1) << 16;
                            gathers.numbers[base + to] = number;
                            gathers.values[base + to] = leaves.values[number as usize];
                        }
                        Node::Branch(branch) => {
                            let pair = gathers.steps.len() - base;
                            if pair + 1 > usize::from(u16::MAX) {
                                return None;
                            }
                            gathers.extend(2);
                            let Place { column, below } = places[at as usize];
                            gathers.steps[base + to] = u32::from(below) | column << 8 | (pair as u32) << 16;
                            let [yes, no] = ways(forest, branch);
                            next.extend([(yes, pair), (no, pair + 1)]);
                        }
                    }
                }
                if next.is_empty() {
                    break;
                }
                depth += 1;
                level = next;
            }
            gathers.depths.push(depth);
        }
        let nobody = i32::try_from(gathers.steps.len()).ok()?;
        gathers.extend(2);
        gathers.bases.extend([nobody; SETS * TREES]);
        Some(gathers)
    }

    fn extend(&mut self, count: usize) {
        let length = self.steps.len() + count;
        self.steps.resize(length, 0);
        self.numbers.resize(length, 0);
        self.values.resize(length, A::ZERO);
    }

    /// Adds these trees' leaves to `totals`, `[outputs, TILE]`, for `count` rows whose codes lie in `codes`, row by row.
    pub(super) fn many(
        &self,
        trees: Range<usize>,
        leaves: &Leaves<A>,
        codes: &[u8],
        count: usize,
        totals: &mut [A],
    ) {
        assert!(
            codes.len() >= count.next_multiple_of(SETS) * self.stride
                && count <= TILE
                && trees.end <= self.depths.len()
        );
        // SAFETY: made where the processor has it (`available`).
        unsafe {
            match self.stride / REGISTER {
                1 => self.many_in::<1>(trees, leaves, codes, count, totals),
                2 => self.many_in::<2>(trees, leaves, codes, count, totals),
                _ => self.many_in::<4>(trees, leaves, codes, count, totals),
            }
        }
    }

    /// Adds all trees' leaves to `totals`, `[outputs]`, for one row.
    pub(super) fn one(&self, leaves: &Leaves<A>, codes: &[u8], totals: &mut [A]) {
        assert!(codes.len() >= self.stride);
        // SAFETY: made where the processor has it (`available`).
        unsafe {
            match self.stride / REGISTER {
                1 => self.one_in::<1>(leaves, codes, totals),
                2 => self.one_in::<2>(leaves, codes, totals),
                _ => self.one_in::<4>(leaves, codes, totals),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
    fn many_in<const REGISTERS: usize>(
        &self,
        trees: Range<usize>,
        leaves: &Leaves<A>,
        codes: &[u8],
        count: usize,
        totals: &mut [A],
    ) {
        for first in trees.clone().step_by(TREES) {
            let last = (first + TREES).min(trees.end);
            let depth = self.depth(first..last);
            let base = self.base(first);
            for row in (0..count).step_by(SETS) {
                let rows =
                    [row, row + 1, row + 2, row + 3].map(|row| &codes[row * self.stride..][..self.stride]);
                let at = self.descend::<REGISTERS>([base; SETS], rows, depth);
                for (row, at) in (row..count).zip(at) {
                    self.add(first..last, leaves, at, &mut totals[row..], TILE);
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
    fn one_in<const REGISTERS: usize>(&self, leaves: &Leaves<A>, codes: &[u8], totals: &mut [A]) {
        let end = self.depths.len();
        for first in (0..end).step_by(SETS * TREES) {
            let starts =
                [first, first + TREES, first + 2 * TREES, first + 3 * TREES].map(|start| start.min(end));
            let depth = self.depth(first..(first + SETS * TREES).min(end));
            let at = self.descend::<REGISTERS>(starts.map(|start| self.base(start)), [codes; SETS], depth);
            for (start, at) in starts.into_iter().zip(at) {
                self.add(start..(start + TREES).min(end), leaves, at, totals, 1);
            }
        }
    }

    fn depth(&self, trees: Range<usize>) -> u32 {
        self.depths[trees].iter().copied().max().unwrap_or(0)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn base(&self, first: usize) -> __m512i {
        let bases: &[i32] = &self.bases[first..first + TREES];
        // SAFETY: as long as the register.
        unsafe { _mm512_loadu_si512(bases.as_ptr().cast()) }
    }

    /// From 16 trees' bases, in each of four registers, to the positions of their leaves; each register for its row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
    fn descend<const REGISTERS: usize>(
        &self,
        bases: [__m512i; SETS],
        rows: [&[u8]; SETS],
        depth: u32,
    ) -> [__m512i; SETS] {
        let one = _mm512_set1_epi32(1);
        let mut at = bases.map(|base| _mm512_add_epi32(base, one));
        let round = |at: &mut [__m512i; SETS]| {
            let mut moved = 0;
            for set in 0..SETS {
                // SAFETY: `of` gives roots and steps places in `steps`, and their columns are in the row.
                let next = unsafe { self.step::<REGISTERS>(bases[set], at[set], rows[set].as_ptr()) };
                moved |= _mm512_cmpneq_epi32_mask(next, at[set]);
                at[set] = next;
            }
            moved
        };
        if depth <= SHALLOW {
            for _ in 0..depth {
                round(&mut at);
            }
        } else {
            while round(&mut at) != 0 {}
        }
        at
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
    unsafe fn step<const REGISTERS: usize>(&self, base: __m512i, at: __m512i, row: *const u8) -> __m512i {
        // SAFETY: the caller's: positions in `steps`, and `REGISTERS` registers of codes.
        unsafe {
            let step = _mm512_i32gather_epi32::<4>(at, self.steps.as_ptr().cast());
            let codes = |at: usize| _mm512_loadu_si512(row.add(at * REGISTER).cast());
            let column = _mm512_srli_epi32::<8>(step);
            let code = match REGISTERS {
                1 => _mm512_permutexvar_epi8(column, codes(0)),
                2 => _mm512_permutex2var_epi8(codes(0), column, codes(1)),
                _ => {
                    let low = _mm512_permutex2var_epi8(codes(0), column, codes(1));
                    let high = _mm512_permutex2var_epi8(codes(2), column, codes(3));
                    _mm512_mask_blend_epi8(_mm512_movepi8_mask(column), low, high)
                }
            };
            // Only the lowest byte of four is a code, and a number to be below of.
            let behind = _mm512_mask_cmpge_epu8_mask(0x1111_1111_1111_1111, code, step);
            let next = _mm512_add_epi32(base, _mm512_srli_epi32::<16>(step));
            _mm512_add_epi32(next, _mm512_maskz_set1_epi8(behind, 1))
        }
    }

    /// Adds the leaves at these positions, tree by tree; each register's to another row or, in one row, one after the other.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
    fn add(&self, trees: Range<usize>, leaves: &Leaves<A>, at: __m512i, totals: &mut [A], stride: usize) {
        let own = &leaves.trees[trees];
        if leaves.single && leaves.adds() {
            let values = self.values_at(at);
            if let Some(output) = leaves.output {
                // In a register, since through memory each sum would wait for the last.
                let total = &mut totals[output as usize * stride];
                *total = values.iter().take(own.len()).fold(*total, |total, value| total + *value);
                return;
            }
            for (tree, value) in own.iter().zip(values) {
                if let Some(output) = tree.output {
                    let total = &mut totals[output as usize * stride];
                    *total = *total + value;
                }
            }
            return;
        }
        let mut positions = [0u32; TREES];
        // SAFETY: as long as the register.
        unsafe { _mm512_storeu_si512(positions.as_mut_ptr().cast(), at) };
        for (tree, position) in own.iter().zip(positions) {
            leaves.add(tree, [self.numbers[position as usize]].into_iter(), totals, stride);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")]
    fn values_at(&self, at: __m512i) -> [A; TREES] {
        let mut values = [A::ZERO; TREES];
        let (from, to) = (self.values.as_ptr(), values.as_mut_ptr());
        // SAFETY: positions are in `values`, and A is f32 or f64 as its size says.
        unsafe {
            if size_of::<A>() == 4 {
                _mm512_storeu_ps(to.cast(), _mm512_i32gather_ps::<4>(at, from.cast()));
            } else {
                let low = _mm512_i32gather_pd::<8>(_mm512_castsi512_si256(at), from.cast());
                let high = _mm512_i32gather_pd::<8>(_mm512_extracti64x4_epi64::<1>(at), from.cast());
                _mm512_storeu_pd(to.cast(), low);
                _mm512_storeu_pd(to.cast::<f64>().add(8), high);
            }
        }
        values
    }
}
