//! [`Masks`]: shallow trees, and the top of deep ones, every branch of them compared for 64 rows at once.
//!
//! A tree is filled up to a perfect one, whose branches need no children's places. All branches of a row are decided,
//! though the row meets one on each level; a comparison then takes 64 rows for the price of a step of one. A row's leaf
//! is the number that the outcomes on its way write: on each level, the outcomes of half of the branches are dropped
//! for each outcome above.

#![allow(unsafe_code, reason = "loads whose places were checked when the trees were laid out")]

mod bytes;
mod one;
mod rest;
#[cfg(target_arch = "x86_64")]
mod x86;

use self::bytes::{BITS, Bytes, LookUp};
pub(super) use self::one::{MAX_COLUMNS, One};
use self::rest::{Laid, Rest};
use super::columns::{Place, TILE};
use super::leaves::{Leaves, TreeLeaves};
use super::real::Real;
use super::split::ways;
use super::{Forest, Node};

/// Deeper trees cost more than walking does; and a leaf's number fits a byte.
pub(super) const MAX_DEPTH: u32 = 8;

/// Branches that perfect trees may have beyond what the forest's size allows.
const SPARE: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Masks<A> {
    trees: Vec<Option<MaskTree>>,
    branches: Vec<MaskBranch>,
    /// For each leaf of each perfect tree its number, and its weight if its tree speaks of one output; of a deep tree's top,
    /// where the rest goes on
    numbers: Vec<u32>,
    values: Vec<A>,
    rest: Rest,
}

#[derive(Clone, Copy, Debug)]
struct MaskTree {
    depth: u32,
    branch: u32,
    leaf: u32,
    leaves: TreeLeaves,
    /// Whether this is the top of a deep tree alone
    top: bool,
}

/// Rows as [`Columns`](super::columns::Columns) encodes them, [`signed`] if the [`Lanes`] ask for it.
#[derive(Clone, Copy)]
pub(super) struct Encoded<'c> {
    /// `[tiles, columns, TILE]`
    pub(super) bytes: &'c [u8],
    pub(super) columns: usize,
    /// Up to [`TILE`] for each tile
    pub(super) rows: usize,
}

/// What a block of rows is worked out in.
pub(super) struct Work<'w, A> {
    pub(super) codes: Encoded<'w>,
    /// `[tiles, TILE]`
    pub(super) positions: &'w mut [u32],
    /// `[tiles, outputs, TILE]`
    pub(super) totals: &'w mut [A],
}

impl<A> Work<'_, A> {
    /// Each tile that has rows.
    #[inline(always)]
    fn tiles(&mut self) -> impl Iterator<Item = Work<'_, A>> {
        let codes @ Encoded { columns, rows, .. } = self.codes;
        let outputs = self.totals.len() / self.positions.len();
        let positions = self.positions.chunks_exact_mut(TILE);
        let parts = positions.zip(self.totals.chunks_exact_mut(outputs * TILE)).zip((0..rows).step_by(TILE));
        parts.zip(codes.bytes.chunks_exact(columns * TILE)).map(
            move |(((positions, totals), first), bytes)| {
                let codes = Encoded { bytes, rows: (rows - first).min(TILE), ..codes };
                Work { codes, positions, totals }
            },
        )
    }
}

/// What may be done with masks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) lanes: Lanes,
    /// Deeper trees are not compared whole
    pub(super) depth: u32,
    /// Whether the top of those is
    pub(super) tops: bool,
}

/// Goes `no`, to the right, where the code at `offset` is `below` or more.
#[derive(Clone, Copy, Debug)]
struct MaskBranch {
    offset: u32,
    /// The same byte four times
    below: u32,
}

/// Which instructions there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lanes {
    /// What every processor of the target has: SSE2, NEON, or simd128 where it is built in
    Common,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ and VL
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// What is decided at each branch of a perfect tree, level by level.
trait Outcomes<B> {
    /// 255 for what goes right there in a part of a tile, and 0 for all else.
    ///
    /// # Safety
    ///
    /// The tree has the branch, a tile has the part, and the processor has the instructions of `B`.
    unsafe fn outcome(&self, branch: usize, part: usize) -> B;
}

/// One tree, for a tile of rows.
struct OfRows<'t> {
    branches: &'t [MaskBranch],
    /// [`signed`]
    codes: &'t [u8],
}

impl<B: Bytes> Outcomes<B> for OfRows<'_> {
    #[inline(always)]
    unsafe fn outcome(&self, branch: usize, part: usize) -> B {
        // SAFETY: the caller's; offsets are those of columns, and `codes` holds a tile of each.
        unsafe {
            let MaskBranch { offset, below } = *self.branches.get_unchecked(branch);
            debug_assert!(offset as usize + TILE <= self.codes.len());
            let codes = B::load(self.codes.as_ptr().add(offset as usize + part * B::WIDTH));
            codes.above(B::splat(signed(below as u8 - 1)))
        }
    }
}

impl Lanes {
    /// Whether codes are [`signed`].
    pub(super) fn are_signed(self) -> bool {
        match self {
            Self::Common => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => false,
        }
    }
}

impl<A: Real> Masks<A> {
    /// Trees that are not taken are left to whoever walks.
    pub(super) fn of(
        forest: &Forest,
        places: &[Place],
        numbers: &[u32],
        leaves: &Leaves<A>,
        allowed: Use,
    ) -> Self {
        let laid = Laid { forest, places, numbers, signed: allowed.lanes.are_signed() };
        // A thin tree fills up to many times its size: a file of nothing else must not.
        let most = 3 * forest.nodes.len() + SPARE;
        let deepest = allowed.depth.min(MAX_DEPTH);
        // Measured: where a level more takes longer than a step.
        let top = allowed.tops.then_some(deepest.saturating_sub(2));
        let whole = |own: &TreeLeaves| own.depth <= deepest;
        let levels = |own: &TreeLeaves| if whole(own) { Some(own.depth) } else { top };
        let size = leaves.trees.iter().filter_map(levels).map(|depth| 1 << depth).sum::<usize>().min(most);
        let mut masks = Self {
            trees: Vec::with_capacity(leaves.trees.len()),
            branches: Vec::with_capacity(size),
            numbers: Vec::with_capacity(size),
            values: vec![],
            rest: Rest::new(if leaves.trees.iter().all(whole) { 0 } else { forest.nodes.len() }),
        };
        for (root, own) in forest.roots.iter().zip(&leaves.trees) {
            let depth = levels(own).filter(|depth| masks.branches.len() + (1 << depth) <= most);
            let tree = depth.map(|depth| {
                let (branch, leaf) = (masks.branches.len() as u32, masks.numbers.len() as u32);
                let lowest = masks.fill(forest, places, *root, depth);
                match whole(own) {
                    true => masks.numbers.extend(lowest.into_iter().map(|at| numbers[at as usize])),
                    false => masks.numbers.extend(masks.rest.extend(laid, &lowest)),
                }
                MaskTree { depth, branch, leaf, leaves: *own, top: !whole(own) }
            });
            masks.trees.push(tree);
        }
        // A position says nothing as a number, and its value is not asked for.
        let value = |number: &u32| leaves.values.get(*number as usize).copied().unwrap_or(A::ZERO);
        masks.values = masks.numbers.iter().map(value).collect();
        masks
    }

    /// Level by level; below a leaf lie branches that all lead to it. Gives the nodes that the last ones lead to.
    fn fill(&mut self, forest: &Forest, places: &[Place], root: u32, depth: u32) -> Vec<u32> {
        let mut level = vec![root];
        for _ in 0..depth {
            let mut next = Vec::with_capacity(level.len() * 2);
            for at in level {
                let Place { column, below } = places[at as usize];
                self.branches
                    .push(MaskBranch { offset: column * TILE as u32, below: u32::from_ne_bytes([below; 4]) });
                match &forest.nodes[at as usize] {
                    Node::Leaf { .. } => next.extend([at; 2]),
                    Node::Branch(branch) => next.extend(ways(forest, branch)),
                }
            }
            level = next;
        }
        level
    }

    pub(super) fn has(&self, tree: usize) -> bool {
        self.trees[tree].is_some()
    }

    pub(super) fn any(&self) -> bool {
        self.trees.iter().any(Option::is_some)
    }

    /// Adds a tree's leaves to the totals of one tile as [`Leaves::add`] does; of a deep one's top, gives the positions.
    ///
    /// # Safety
    ///
    /// The processor has the instructions of `B`.
    #[inline(always)]
    unsafe fn add_tree<B: Bytes>(&self, tree: &MaskTree, leaves: &Leaves<A>, tile: Work<A>) {
        let mut found = [0; TILE];
        let branches = &self.branches[tree.branch as usize..][..(1 << tree.depth) - 1];
        let codes = tile.codes.bytes;
        // SAFETY: the caller's.
        unsafe { find_tree::<B>(tree.depth, OfRows { branches, codes }, &mut found) };
        self.add_found(tree, leaves, &found, tile);
    }

    /// For each row the place of its leaf in the perfect tree.
    #[inline(always)]
    fn add_found(&self, tree: &MaskTree, leaves: &Leaves<A>, found: &[u8; TILE], tile: Work<A>) {
        let from = tree.leaf as usize;
        let numbers = &self.numbers[from..][..1 << tree.depth];
        // The mask says nothing new, but spares the check.
        let number = |at: u8| numbers[at as usize & (numbers.len() - 1)];
        match tree.leaves.output {
            _ if tree.top => {
                tile.positions.iter_mut().zip(found).for_each(|(to, found)| *to = number(*found));
            }
            Some(output) if leaves.adds() => {
                let values = &self.values[from..][..1 << tree.depth];
                let totals = &mut tile.totals[output as usize * TILE..][..TILE];
                for (total, at) in totals.iter_mut().zip(found) {
                    *total = *total + values[*at as usize & (values.len() - 1)];
                }
            }
            _ => leaves.add(&tree.leaves, found.iter().map(|at| number(*at)), tile.totals, TILE),
        }
    }

    /// Goes on from the positions of a deep tree's top. `SIGNED` says whether codes are.
    #[inline(always)]
    fn add_rest<const SIGNED: bool>(&self, tree: &MaskTree, leaves: &Leaves<A>, work: &mut Work<A>) {
        self.rest.descend::<SIGNED>(work.positions, work.codes);
        for tile in work.tiles() {
            let found = tile.positions[..tile.codes.rows].iter().copied();
            leaves.add(&tree.leaves, found, tile.totals, TILE);
        }
    }

    /// Adds these trees' leaves to the totals of rows encoded as `lanes` takes them.
    pub(super) fn add(
        &self,
        lanes: Lanes,
        trees: std::ops::Range<usize>,
        leaves: &Leaves<A>,
        mut work: Work<A>,
    ) {
        match lanes {
            Lanes::Common => {
                for tree in self.trees[trees].iter().flatten() {
                    for tile in work.tiles() {
                        // SAFETY: what the target always has.
                        unsafe { self.add_tree::<bytes::Common>(tree, leaves, tile) }
                    }
                    if tree.top {
                        self.add_rest::<true>(tree, leaves, &mut work);
                    }
                }
            }
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx2 => x86::add_avx2(self, trees, leaves, work),
            #[cfg(target_arch = "x86_64")]
            Lanes::Avx512 => x86::add_avx512(self, trees, leaves, work),
        }
    }
}

/// A code as [`Bytes`] compares it: in the order of codes, if it is read as a signed number. Registers of bytes have a
/// comparison for those alone.
pub(super) fn signed(code: u8) -> u8 {
    code ^ 0x80
}

/// The places of leaves in a perfect tree.
///
/// # Safety
///
/// The processor has the instructions of `B`.
#[inline(always)]
unsafe fn find_tree<B: Bytes>(depth: u32, outcomes: impl Outcomes<B>, found: &mut [u8; TILE]) {
    // SAFETY: the caller's.
    unsafe {
        match depth {
            0 => {}
            1 => find::<B, 1, 1>(outcomes, found),
            2 => find::<B, 2, 3>(outcomes, found),
            3 => find::<B, 3, 7>(outcomes, found),
            4 => find::<B, 4, 15>(outcomes, found),
            5 => B::find_deep::<5, 31>(outcomes, found),
            6 => B::find_deep::<6, 63>(outcomes, found),
            7 => B::find_deep::<7, 127>(outcomes, found),
            _ => B::find_deep::<8, 255>(outcomes, found),
        }
    }
}

/// # Safety
///
/// The processor has the instructions of `B`.
#[inline(always)]
unsafe fn find<B: Bytes, const DEPTH: usize, const BRANCHES: usize>(
    outcomes: impl Outcomes<B>,
    found: &mut [u8; TILE],
) {
    // SAFETY: the caller's.
    unsafe {
        // A branch is read once for all parts.
        let mut all = B::tile([B::splat(0); BRANCHES]);
        for at in 0..BRANCHES {
            for (part, all) in all.as_mut().iter_mut().enumerate() {
                all[at] = outcomes.outcome(at, part);
            }
        }
        for (part, outcomes) in all.as_mut().iter_mut().enumerate() {
            let (mut ways, mut place) = ([B::splat(0); DEPTH], B::splat(0));
            for level in 0..DEPTH {
                let outcomes = &mut outcomes[(1 << level) - 1..(2 << level) - 1];
                choose(&ways[..level], outcomes);
                ways[level] = outcomes[0];
                place = place.push(outcomes[0]);
            }
            place.store(found.as_mut_ptr().add(part * B::WIDTH));
        }
    }
}

/// As [`find`], with eight branches' outcomes in a byte: more work for a level, and less for a branch.
///
/// # Safety
///
/// The processor has the instructions of `B`.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128")),
    allow(dead_code, reason = "numbers look nothing up")
)]
#[inline(always)]
unsafe fn find_packed<B: LookUp, const DEPTH: usize, const BRANCHES: usize>(
    outcomes: impl Outcomes<B>,
    found: &mut [u8; TILE],
) {
    const { assert!(BRANCHES == (1 << DEPTH) - 1) };
    // SAFETY: the caller's.
    unsafe {
        // For each level where rows go right at its branches, eight of them to a byte; the first one's bit is the highest.
        let mut all = B::tile([B::splat(0); first_byte(MAX_DEPTH as usize)]);
        for level in 0..DEPTH {
            let (first, last) = ((1 << level) - 1, (2 << level) - 1);
            for (at, branch) in (first..last).step_by(8).enumerate() {
                let mut bytes = B::tile(B::splat(0));
                for branch in branch..last.min(branch + 8) {
                    for (part, byte) in bytes.as_mut().iter_mut().enumerate() {
                        *byte = byte.push(outcomes.outcome(branch, part));
                    }
                }
                for (all, byte) in all.as_mut().iter_mut().zip(bytes.as_mut()) {
                    all[first_byte(level) + at] = *byte;
                }
            }
        }
        for (part, outcomes) in all.as_mut().iter_mut().enumerate() {
            let (mut ways, mut place) = ([B::splat(0); DEPTH], B::splat(0));
            for level in 0..DEPTH {
                // The byte with a row's branch in it: its place says which, but for the lowest three bits.
                let bytes = &mut outcomes[first_byte(level)..first_byte(level + 1)];
                choose(&ways[..level.saturating_sub(3)], bytes);
                let within = if level > 3 { place.and(B::splat(7)) } else { place };
                let bit = B::look_up(&BITS[level.min(3)], within);
                ways[level] = bytes[0].and(bit).equal(bit);
                place = place.push(ways[level]);
            }
            place.store(found.as_mut_ptr().add(part * B::WIDTH));
        }
    }
}

/// Leaves that of a row's own branch, or byte of branches, as the first of a level's, by its ways on the levels above.
///
/// # Safety
///
/// The processor has the instructions of `B`.
#[inline(always)]
unsafe fn choose<B: Bytes>(ways: &[B], of: &mut [B]) {
    for (above, way) in ways.iter().enumerate() {
        let half = of.len() >> (above + 1);
        for at in 0..half {
            // SAFETY: the caller's.
            of[at] = unsafe { way.choose(of[at + half], of[at]) };
        }
    }
}

/// Where the bytes of a level begin: it has one for each eight branches.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128")),
    allow(dead_code, reason = "numbers look nothing up")
)]
const fn first_byte(level: usize) -> usize {
    if level <= 3 { level } else { (1 << (level - 3)) + 2 }
}
