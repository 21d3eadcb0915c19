//! [`One`]: one row down shallow trees, 64 of them side by side as [`Masks`] has rows.
//!
//! Each byte of a register is a tree's. At a branch they look at different columns, which are looked up in registers that
//! hold the row's codes.
#![allow(
    unsafe_code,
    reason = "instructions that are asked for at run time, and loads whose places were checked when the trees were laid out"
)]

use super::bytes::LookUp;
use super::{Lanes, MaskBranch, MaskTree, Masks, Outcomes, SPARE, TILE, find_tree, signed};
use crate::forest::leaves::Leaves;
use crate::forest::real::Real;

/// Codes of the widest row.
pub(in crate::forest) const MAX_COLUMNS: usize = MAX_TABLES * TABLE;
/// Codes that are looked up at once.
const TABLE: usize = 16;
const MAX_TABLES: usize = 8;

/// For trees that [`Masks`] takes whole, all of them.
#[derive(Debug)]
pub(in crate::forest) struct One {
    /// For each [`TILE`] trees how deep the deepest is, and where its branches begin
    groups: Vec<(u32, usize)>,
    /// Trees filled up to the deepest of their group; a branch of each side by side
    branches: Vec<Branches>,
    /// Where each tree's leaves are in [`Masks`], and how many levels it was filled up
    leaves: Vec<(u32, u32)>,
    tables: usize,
}

/// The same branch of each tree of a group: it goes to the right where the code of its column is above.
#[derive(Clone, Copy, Debug)]
struct Branches {
    columns: [u8; TILE],
    /// [`signed`]
    above: [u8; TILE],
}

/// A group of trees, for one row.
struct OfTrees<'g> {
    branches: &'g [Branches],
    /// [`signed`] codes, twice each
    tables: &'g [[u8; 2 * TABLE]],
}

impl<B: LookUp> Outcomes<B> for OfTrees<'_> {
    #[inline(always)]
    unsafe fn outcome(&self, branch: usize, part: usize) -> B {
        // SAFETY: the caller's.
        unsafe {
            let branches = self.branches.get_unchecked(branch);
            let columns = B::load(branches.columns.as_ptr().add(part * B::WIDTH));
            let above = B::load(branches.above.as_ptr().add(part * B::WIDTH));
            let mut code = B::splat(0);
            for (at, table) in self.tables.iter().enumerate() {
                code = code.or(B::look_up_below_16(table, columns.minus(B::splat((at * TABLE) as u8))));
            }
            code.above(above)
        }
    }
}

impl One {
    /// `None` where trees, or columns, are more than are worth it, or bytes are not looked up.
    pub(in crate::forest) fn of<A>(masks: &Masks<A>, columns: usize, lanes: Lanes) -> Option<Self> {
        let tables = columns.div_ceil(TABLE);
        if tables > MAX_TABLES || !lanes.look_up() {
            return None;
        }
        let mut one = Self { groups: vec![], branches: vec![], leaves: vec![], tables };
        for group in masks.trees.chunks(TILE) {
            let whole = |tree: &Option<MaskTree>| tree.filter(|tree| !tree.top);
            let group: Vec<MaskTree> = group.iter().map(whole).collect::<Option<_>>()?;
            let depth = group.iter().map(|tree| tree.depth).max().unwrap_or(0);
            if !lanes.worth(depth, tables) {
                return None;
            }
            let first = one.branches.len();
            one.groups.push((depth, first));
            // Below a leaf all branches lead to the left, whose column is 0 in every row.
            let left = Branches { columns: [0; TILE], above: [signed(0); TILE] };
            one.branches.resize(first + (1 << depth) - 1, left);
            // One deep tree among small ones fills up all of them: a file of nothing else must not.
            if one.branches.len() * TILE > 4 * masks.branches.len() + SPARE {
                return None;
            }
            for (at, tree) in group.iter().enumerate() {
                let own = &masks.branches[tree.branch as usize..][..(1 << tree.depth) - 1];
                for (branches, MaskBranch { offset, below }) in one.branches[first..].iter_mut().zip(own) {
                    branches.columns[at] = (*offset as usize / TILE) as u8;
                    branches.above[at] = signed(*below as u8 - 1);
                }
                one.leaves.push((tree.leaf, depth - tree.depth));
            }
        }
        Some(one)
    }

    /// Adds all trees' leaves to `totals`, `[outputs]`, for one row's codes, the first of [`MAX_COLUMNS`].
    pub(in crate::forest) fn add<A: Real>(
        &self,
        masks: &Masks<A>,
        leaves: &Leaves<A>,
        codes: &[u8; MAX_COLUMNS],
        totals: &mut [A],
    ) {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2")]
            fn inner<A: Real>(
                one: &One,
                masks: &Masks<A>,
                leaves: &Leaves<A>,
                codes: &[u8; MAX_COLUMNS],
                totals: &mut [A],
            ) {
                // SAFETY: this function has the feature.
                unsafe { one.add_in::<A, std::arch::x86_64::__m256i>(masks, leaves, codes, totals) }
            }
            // SAFETY: `Lanes::look_up` says that the processor has it.
            unsafe { inner(self, masks, leaves, codes, totals) }
        }
        #[cfg(any(target_arch = "aarch64", all(target_family = "wasm", target_feature = "simd128")))]
        // SAFETY: what the target always has.
        unsafe {
            self.add_in::<A, super::bytes::Common>(masks, leaves, codes, totals)
        }
        #[cfg(not(any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            all(target_family = "wasm", target_feature = "simd128")
        )))]
        {
            let _ = (masks, leaves, codes, totals);
            unreachable!("made where bytes are looked up");
        }
    }

    /// # Safety
    ///
    /// The processor has the instructions of `B`.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128")),
        allow(dead_code, reason = "numbers look nothing up")
    )]
    #[inline(always)]
    unsafe fn add_in<A: Real, B: LookUp>(
        &self,
        masks: &Masks<A>,
        leaves: &Leaves<A>,
        codes: &[u8; MAX_COLUMNS],
        totals: &mut [A],
    ) {
        let mut tables = [[0; 2 * TABLE]; MAX_TABLES];
        for (table, codes) in tables.iter_mut().zip(codes.as_chunks::<TABLE>().0) {
            *table = std::array::from_fn(|at| signed(codes[at % TABLE]));
        }
        let tables = &tables[..self.tables];
        let groups = self.groups.iter().zip(self.leaves.chunks(TILE)).zip(leaves.trees.chunks(TILE));
        for (((depth, first), own), trees) in groups {
            let branches = &self.branches[*first..][..(1 << depth) - 1];
            let mut found = [0; TILE];
            // SAFETY: the caller's.
            unsafe { find_tree::<B>(*depth, OfTrees { branches, tables }, &mut found) };
            let places = own
                .iter()
                .zip(found)
                .map(|((leaf, filled), found)| (leaf + u32::from(found >> filled)) as usize);
            match leaves.output {
                Some(output) if leaves.adds() => {
                    // In a register, since through memory each sum would wait for the last.
                    let total = &mut totals[output as usize];
                    *total = places.fold(*total, |total, place| total + masks.values[place]);
                }
                _ if leaves.single && leaves.adds() => {
                    for (tree, place) in trees.iter().zip(places) {
                        if let Some(output) = tree.output {
                            totals[output as usize] = totals[output as usize] + masks.values[place];
                        }
                    }
                }
                _ => {
                    for (tree, place) in trees.iter().zip(places) {
                        leaves.add(tree, [masks.numbers[place]].into_iter(), totals, 1);
                    }
                }
            }
        }
    }
}

impl Lanes {
    /// Whether bytes are looked up by bytes.
    fn look_up(self) -> bool {
        match self {
            Self::Common => cfg!(any(target_arch = "aarch64", target_feature = "simd128")),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => true,
        }
    }

    /// Whether all branches of trees so deep are compared sooner than they are walked down.
    fn worth(self, depth: u32, tables: usize) -> bool {
        let width = match self {
            Self::Common => 16,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => 32,
        };
        // Instructions of a branch and of a step.
        ((4 * tables + 4) << depth) / width <= 16 * depth as usize + 16
    }
}
