//! [`Walk`]: the way down a tree, node by node, comparing the values themselves. It takes every forest on every processor.
//!
//! Both children of a node lie side by side, the one where the cut holds first, so that a step adds the outcome of the
//! comparison to a position; a leaf's step leads to itself. No branch depends on the values, and several walks go on
//! side by side: one computes while another loads.
#![allow(
    unsafe_code,
    reason = "positions are checked once, when the nodes are laid out, instead of at each step"
)]

use std::borrow::Cow;
use std::ops::Range;

use super::leaves::TreeLeaves;
use super::real::Real;
use super::split::{Membership, Rule, Source, Sources, Split};
use super::{Checked, Node, Set};

/// 12 bytes for f32.
#[derive(Clone, Copy, Debug)]
struct Step<T> {
    /// NaN for a leaf
    cut: T,
    /// Which value to compare; with [`MEMBER`] set, which membership to ask instead
    column: u32,
    /// Where to go if `x <= cut`; otherwise to the position behind it
    next: u32,
}

const MEMBER: u32 = 1 << 31;

/// Walks that go on side by side.
const LANES: usize = 16;
/// Up to this depth a walk takes as many steps as its deepest tree needs; beyond it stops where nothing moves.
const SHALLOW: u32 = 8;

#[derive(Debug)]
pub(super) struct Walk<T> {
    /// Position 0 is nobody's, so that a leaf can say that it lies behind another position
    steps: Vec<Step<T>>,
    /// For each position of a leaf, its number
    leaves: Vec<u32>,
    trees: Vec<Root>,
    memberships: Vec<Membership<T>>,
    sets: Vec<Set>,
    /// What the columns of a row are made of, where they aren't the features themselves
    sources: Option<Vec<Source>>,
    features: usize,
}

#[derive(Clone, Copy, Debug)]
struct Root {
    position: u32,
    depth: u32,
}

impl<T: Real> Walk<T> {
    /// `numbers` are the forest's leaves', `trees` say how deep each is, and `sources` are its cuts'.
    pub(super) fn of(forest: &Checked, numbers: &[u32], trees: &[TreeLeaves], sources: Sources<T>) -> Self {
        let plain = |source: &Source| !source.missing_goes_yes && !source.zero_is_missing;
        let sources = (!sources.list.iter().all(plain)).then_some(sources);
        let blank = Step { cut: T::NAN, column: 0, next: 0 };
        let mut walk = Self {
            steps: Vec::with_capacity(forest.nodes.len() + 1),
            leaves: Vec::with_capacity(forest.nodes.len() + 1),
            trees: Vec::with_capacity(forest.roots.len()),
            memberships: Vec::new(),
            sets: forest.sets.clone(),
            sources: None,
            features: forest.features,
        };
        walk.steps.push(blank);
        walk.leaves.push(0);
        let mut waiting = Vec::new();
        for (&root, TreeLeaves { depth, .. }) in forest.roots.iter().zip(trees) {
            let first = walk.steps.len();
            walk.steps.push(blank);
            walk.leaves.push(0);
            waiting.push((root, first));
            while let Some((from, to)) = waiting.pop() {
                match &forest.nodes[from as usize] {
                    Node::Leaf { .. } => {
                        walk.steps[to].next = to as u32 - 1;
                        walk.leaves[to] = numbers[from as usize];
                    }
                    Node::Branch(branch) => {
                        let split = Split::<T>::of(forest, branch);
                        let pair = walk.steps.len();
                        walk.steps.extend([blank; 2]);
                        walk.leaves.extend([0; 2]);
                        walk.steps[to] = walk.step_of(&split, sources.as_ref(), pair as u32);
                        waiting.extend([(split.no, pair + 1), (split.yes, pair)]);
                    }
                }
            }
            walk.trees.push(Root { position: first as u32, depth: *depth });
        }
        walk.sources = sources.map(|sources| sources.list);
        walk
    }

    fn step_of(&mut self, split: &Split<T>, sources: Option<&Sources<T>>, next: u32) -> Step<T> {
        if let Rule::Cut(cut) = split.rule {
            let column = sources.map_or(split.source.feature, |sources| sources.place(&split.source) as u32);
            return Step { cut, column, next };
        }
        let column = MEMBER | self.memberships.len() as u32;
        self.memberships.push(Membership { source: split.source, rule: split.rule });
        Step { cut: T::NAN, column, next }
    }

    /// The values that steps compare: `rows` themselves, or made of them.
    pub(super) fn block<'r>(&self, rows: &'r [T], width: usize) -> Block<'r, T> {
        assert!(
            width > 0 && width >= self.features && rows.len().is_multiple_of(width),
            "rows fit the forest"
        );
        let values: Cow<[T]> = match &self.sources {
            None => rows.into(),
            Some(sources) => {
                let value = |source: &Source, row: &[T]| {
                    let x = row[source.feature as usize];
                    match source.is_missing(x) {
                        false => x,
                        true if source.missing_goes_yes => -T::INFINITY,
                        true => T::NAN,
                    }
                };
                let rows = rows.chunks_exact(width);
                rows.flat_map(|row| sources.iter().map(move |source| value(source, row))).collect()
            }
        };
        let columns = self.sources.as_ref().map_or(width, Vec::len);
        Block { rows, width, values, columns }
    }

    /// The leaves of all rows of a block in one tree, [`LANES`] or 1 at a time, in their order.
    #[inline(always)]
    pub(super) fn many(&self, tree: usize, block: &Block<T>, mut found: impl FnMut(usize, &[u32])) {
        let root = self.trees[tree];
        let count = block.rows.len() / block.width;
        let whole = count - count % LANES;
        for first in (0..whole).step_by(LANES) {
            found(first, &self.leaves_of([root.position; LANES], root.depth, |lane| block.row(first + lane)));
        }
        for row in whole..count {
            found(row, &self.leaves_of([root.position], root.depth, |_| block.row(row)));
        }
    }

    /// The leaves of a block's first row in each tree of a range.
    #[inline(always)]
    pub(super) fn one(&self, trees: Range<usize>, block: &Block<T>, mut found: impl FnMut(usize, u32)) {
        let row = block.row(0);
        let roots = &self.trees[trees.clone()];
        let depth = |roots: &[Root]| roots.iter().map(|root| root.depth).max().unwrap_or(0);
        // So few steps that the processor has several trees under way by itself.
        if depth(roots) <= SHALLOW {
            for (tree, root) in trees.zip(roots) {
                found(tree, self.leaves_of([root.position], root.depth, |_| row)[0]);
            }
            return;
        }
        for (first, roots) in trees.step_by(LANES).zip(roots.chunks(LANES)) {
            let mut positions = [roots[0].position; LANES];
            positions.iter_mut().zip(roots).for_each(|(position, root)| *position = root.position);
            let leaves = self.leaves_of(positions, depth(roots), |_| row);
            leaves.iter().zip(roots).enumerate().for_each(|(at, (leaf, _))| found(first + at, *leaf));
        }
    }

    /// From a root for each lane to the number of its leaf.
    #[inline(always)]
    fn leaves_of<'r, const N: usize>(
        &self,
        mut at: [u32; N],
        depth: u32,
        row: impl Fn(usize) -> (&'r [T], &'r [T]),
    ) -> [u32; N] {
        if self.memberships.is_empty() {
            self.descend::<N, false>(&mut at, depth, row);
        } else {
            self.descend::<N, true>(&mut at, depth, row);
        }
        at.map(|at| self.leaves[at as usize])
    }

    #[inline(always)]
    fn descend<'r, const N: usize, const MEMBERS: bool>(
        &self,
        at: &mut [u32; N],
        depth: u32,
        row: impl Fn(usize) -> (&'r [T], &'r [T]),
    ) {
        let round = |at: &mut [u32; N]| {
            let mut moved = 0;
            for (lane, at) in at.iter_mut().enumerate() {
                let (values, row) = row(lane);
                let next = self.step::<MEMBERS>(*at, values, row);
                moved |= next ^ *at;
                *at = next;
            }
            moved
        };
        if depth <= SHALLOW {
            for _ in 0..depth {
                round(at);
            }
        } else {
            while round(at) != 0 {}
        }
    }

    /// From a position to the next. `at` comes from a root or an earlier step, and the slices from [`Block::row`].
    #[inline(always)]
    fn step<const MEMBERS: bool>(&self, at: u32, values: &[T], row: &[T]) -> u32 {
        // SAFETY: `of` gives roots, and each step's `next` and the position behind it, places in `steps`.
        let step = unsafe { self.steps.get_unchecked(at as usize) };
        if MEMBERS && step.column & MEMBER != 0 {
            let membership = &self.memberships[(step.column & !MEMBER) as usize];
            let x = row[membership.source.feature as usize];
            return step.next + u32::from(!membership.holds(x, &self.sets));
        }
        // SAFETY: a column is a feature, and rows are as wide as the forest (`block`), or a place in `sources`, which
        // values are made of; a leaf's is 0, and neither is empty.
        let x = unsafe { values.get_unchecked(step.column as usize) };
        let with = *x <= step.cut;
        step.next + u32::from(!with)
    }
}

/// Rows, and the values that steps compare.
#[derive(Debug)]
pub(super) struct Block<'r, T: Clone> {
    rows: &'r [T],
    width: usize,
    values: Cow<'r, [T]>,
    columns: usize,
}

impl<T: Clone> Block<'_, T> {
    fn row(&self, at: usize) -> (&[T], &[T]) {
        (&self.values[at * self.columns..][..self.columns], &self.rows[at * self.width..][..self.width])
    }
}
