//! [`Leaves`]: what each leaf adds, numbered as the kernels find them, and how it is added.

use super::real::Real;
use super::{Aggregate, Forest, Node};

/// A leaf's number is counted through the whole forest: tree by tree, and in a tree from the `yes` side.
#[derive(Debug)]
pub(super) struct Leaves<A> {
    pub(super) trees: Vec<TreeLeaves>,
    /// For each leaf its weight, if its tree speaks of one output only
    pub(super) values: Vec<A>,
    /// For each leaf where its weights lie, if there is a tree whose values don't say all
    lists: Vec<(u32, u32)>,
    weights: Vec<(u32, A)>,
    aggregate: Aggregate,
    /// Whether each tree speaks of one output
    pub(super) single: bool,
    /// The one output that all trees speak of, if `single`
    pub(super) output: Option<u32>,
}

/// The leaves of one tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct TreeLeaves {
    /// The one output that every leaf adds exactly one weight to, if it is so
    pub(super) output: Option<u32>,
    /// Steps from the root to the deepest
    pub(super) depth: u32,
}

impl<A: Real> Leaves<A> {
    /// `roots` and `nodes` as [`Forest`] has them; for each node the number of its leaf comes back too.
    pub(super) fn of(forest: &Forest) -> (Self, Vec<u32>) {
        let mut leaves = Self {
            trees: Vec::with_capacity(forest.roots.len()),
            values: Vec::new(),
            lists: Vec::new(),
            weights: Vec::new(),
            aggregate: forest.aggregate,
            single: true,
            output: None,
        };
        // Nobody asks for that of a node which no root leads to.
        let mut numbers = vec![u32::MAX; forest.nodes.len()];
        let mut waiting = Vec::new();
        for &root in &forest.roots {
            let (mut output, mut single, mut deepest) = (None, true, 0);
            waiting.push((root, 0));
            while let Some((at, depth)) = waiting.pop() {
                match &forest.nodes[at as usize] {
                    Node::Branch(branch) => waiting.extend([branch.no, branch.yes].map(|at| (at, depth + 1))),
                    Node::Leaf { first, count } => {
                        deepest = deepest.max(depth);
                        numbers[at as usize] = leaves.values.len() as u32;
                        let own = &forest.weights[*first as usize..][..*count as usize];
                        single &= own.len() == 1 && own[0].0 == *output.get_or_insert(own[0].0);
                        leaves.values.push(own.first().map_or(A::ZERO, |(_, weight)| A::of(*weight)));
                    }
                }
            }
            leaves.single &= single;
            leaves.trees.push(TreeLeaves { output: output.filter(|_| single), depth: deepest });
        }
        let output = leaves.trees.first().and_then(|tree| tree.output);
        leaves.output = output.filter(|_| leaves.trees.iter().all(|tree| tree.output == output));
        if !leaves.single || !leaves.adds() {
            leaves.weights =
                forest.weights.iter().map(|(output, weight)| (*output, A::of(*weight))).collect();
            leaves.lists = vec![(0, 0); leaves.values.len()];
            for (node, number) in forest.nodes.iter().zip(&numbers) {
                if let (Node::Leaf { first, count }, Some(list)) =
                    (node, leaves.lists.get_mut(*number as usize))
                {
                    *list = (*first, first + count);
                }
            }
        }
        (leaves, numbers)
    }

    /// Whether weights are added up.
    pub(super) fn adds(&self) -> bool {
        matches!(self.aggregate, Aggregate::Sum | Aggregate::Average(_))
    }

    /// What an output starts from: of the least and the greatest NaN, which any weight takes the place of.
    pub(super) fn start(&self) -> A {
        if self.adds() { A::ZERO } else { A::NAN }
    }

    /// Adds one tree's leaves, one for each row, to `totals`: output `o` of row `r` is at `o * stride + r`.
    #[inline(always)]
    pub(super) fn add(
        &self,
        tree: &TreeLeaves,
        leaves: impl Iterator<Item = u32>,
        totals: &mut [A],
        stride: usize,
    ) {
        match tree.output {
            Some(output) if self.adds() => {
                let totals = &mut totals[output as usize * stride..];
                for (total, leaf) in totals.iter_mut().zip(leaves) {
                    *total = *total + self.values[leaf as usize];
                }
            }
            _ => self.add_lists(leaves, totals, stride),
        }
    }

    #[inline(never)]
    fn add_lists(&self, leaves: impl Iterator<Item = u32>, totals: &mut [A], stride: usize) {
        for (row, leaf) in leaves.enumerate() {
            let (from, to) = self.lists[leaf as usize];
            for (output, weight) in &self.weights[from as usize..to as usize] {
                let total = &mut totals[*output as usize * stride + row];
                *total = match self.aggregate {
                    Aggregate::Sum | Aggregate::Average(_) => *total + *weight,
                    Aggregate::Min => total.min(*weight),
                    Aggregate::Max => total.max(*weight),
                };
            }
        }
    }
}
