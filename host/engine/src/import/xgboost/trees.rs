//! [`Trees`]: XGBoost's trees, read one after the other into compact nodes, and planted as a [`Forest`].

use serde::{Deserialize, Deserializer};

use crate::Error;
use crate::forest::{
    Aggregate, Arithmetic, Base, Branch, Compare, Forest, Link, Node, Rounding, Set, Test, Way,
};
use crate::import::budget::Budget;
use crate::import::list::{Count, Flag, Number, each};

#[derive(Default)]
pub(super) struct Trees {
    nodes: Vec<Compact>,
    /// Where the nodes of each tree begin
    starts: Vec<u32>,
    /// Where in `categories` each set ends; it begins where the one before it ends
    sets: Vec<u32>,
    categories: Vec<u32>,
    /// Leaves with several values
    vectors: Vec<f32>,
    /// Values in each of those, 1 where they are in the nodes
    width: usize,
}

/// 16 bytes. The file may spend as little as 7 on it.
struct Compact {
    feature: u32,
    /// Of a branch, the position within the tree; [`LEAF`] in a leaf
    left: u32,
    /// Of a leaf with several values, the position in `vectors`
    right: u32,
    /// A threshold, the value of a leaf, or the bits of a set's number
    value: f32,
}

const LEAF: u32 = u32::MAX;
/// In `feature`: missing values go left.
const DEFAULT_LEFT: u32 = 1 << 31;
/// In `feature`: what is in the set goes right.
const CATEGORICAL: u32 = 1 << 30;
/// Larger categories are none (`common::OutOfRangeCat`).
const MAX_CATEGORY: u32 = 1 << 24;

/// A tree as the file has it: an entry for each node.
#[derive(Deserialize)]
struct Tree {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<u32>,
    split_conditions: Vec<Number<f32>>,
    default_left: Vec<Flag>,
    /// Since 1.3: 1 for a categorical split
    #[serde(default)]
    split_type: Vec<u8>,
    /// The categories that go right, of all nodes
    #[serde(default)]
    categories: Vec<u32>,
    #[serde(default)]
    categories_nodes: Vec<u32>,
    #[serde(default)]
    categories_segments: Vec<Count>,
    #[serde(default)]
    categories_sizes: Vec<Count>,
    /// `[nodes, width]` where leaves have several values, before 3.2
    #[serde(default)]
    base_weights: Vec<Number<f32>>,
    /// `[leaves, width]`, since 3.2; a leaf's right child is its position
    #[serde(default)]
    leaf_weights: Vec<Number<f32>>,
    tree_param: Parameters,
}

#[derive(Deserialize)]
struct Parameters {
    /// 0 in old files, 1, or the number of outputs
    #[serde(default)]
    size_leaf_vector: Count,
}

impl<'a> Deserialize<'a> for Trees {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        each(reader, "a list of trees", Self::default(), |trees, tree| {
            let at = trees.len();
            trees.push(tree).map_err(|e| format!("tree {at}: {e}"))
        })
    }
}

impl Trees {
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether leaves have several values.
    pub(super) fn vectors(&self) -> bool {
        self.width > 1
    }

    /// Leaves out all but the first so many.
    pub(super) fn truncate(&mut self, trees: usize) {
        if let Some(start) = self.starts.get(trees) {
            self.nodes.truncate(*start as usize);
            self.starts.truncate(trees);
        }
    }

    fn push(&mut self, tree: Tree) -> Result<(), String> {
        let nodes = tree.left_children.len();
        let lengths = [
            ("right_children", tree.right_children.len()),
            ("split_indices", tree.split_indices.len()),
            ("split_conditions", tree.split_conditions.len()),
            ("default_left", tree.default_left.len()),
        ];
        if let Some((name, got)) = lengths.iter().find(|(_, length)| *length != nodes) {
            return Err(format!("expected {nodes} {name}, got {got}"));
        }
        let split_types = tree.split_type.len();
        if nodes == 0 || split_types != 0 && split_types != nodes {
            return Err(format!("expected split types of {nodes} nodes, got {split_types}"));
        }
        let width = tree.tree_param.size_leaf_vector.0.max(1);
        if self.starts.is_empty() {
            self.width = width;
        } else if self.width != width {
            return Err(format!("expected {} values in a leaf, got {width}", self.width));
        }
        self.starts.push(u32::try_from(self.nodes.len()).map_err(|_| "too many nodes")?);
        let first_set = self.sets.len();
        self.push_sets(&tree)?;
        let (mut set, first_vector) = (first_set, self.vectors.len());
        for at in 0..nodes {
            let node = if tree.left_children[at] == -1 {
                self.leaf(&tree, at, first_vector)?
            } else {
                let child = |list: &[i32]| {
                    let child = u32::try_from(list[at]).ok().filter(|child| (*child as usize) < nodes);
                    child.ok_or_else(|| {
                        format!("node {at}: expected children below {nodes}, got {}", list[at])
                    })
                };
                let mut feature = tree.split_indices[at];
                if feature >= CATEGORICAL {
                    return Err(format!("node {at}: feature {feature} is too large"));
                }
                feature |= if tree.default_left[at].0 { DEFAULT_LEFT } else { 0 };
                let mut value = tree.split_conditions[at].0;
                if tree.split_type.get(at) == Some(&1) {
                    // They come in the order of the nodes.
                    let of = tree.categories_nodes.get(set - first_set).map(|node| *node as usize);
                    if of != Some(at) {
                        return Err(format!("node {at}: expected categories, got those of {of:?}"));
                    }
                    feature |= CATEGORICAL;
                    value = f32::from_bits(u32::try_from(set).map_err(|_| "too many sets")?);
                    set += 1;
                }
                Compact {
                    feature,
                    left: child(&tree.left_children)?,
                    right: child(&tree.right_children)?,
                    value,
                }
            };
            self.nodes.push(node);
        }
        Ok(())
    }

    fn leaf(&mut self, tree: &Tree, at: usize, first_vector: usize) -> Result<Compact, String> {
        let mut leaf = Compact { feature: 0, left: LEAF, right: 0, value: tree.split_conditions[at].0 };
        if self.vectors() {
            let (weights, row) = match (tree.leaf_weights.as_slice(), tree.right_children[at]) {
                ([], _) => (tree.base_weights.as_slice(), at),
                (weights, row) => (weights, usize::try_from(row).unwrap_or(usize::MAX)),
            };
            let range =
                row.checked_mul(self.width).and_then(|from| Some(from..from.checked_add(self.width)?));
            let values = range.and_then(|range| weights.get(range));
            let values = values.ok_or_else(|| format!("leaf {at}: expected {} values", self.width))?;
            // Several leaves of a damaged file may name the same values.
            if self.vectors.len() + self.width > first_vector + weights.len() {
                return Err(format!("leaf {at}: its values are another's"));
            }
            leaf.right = u32::try_from(self.vectors.len()).map_err(|_| "too many values")?;
            self.vectors.extend(values.iter().map(|x| x.0));
        }
        Ok(leaf)
    }

    fn push_sets(&mut self, tree: &Tree) -> Result<(), String> {
        let of = tree.categories_nodes.len();
        if tree.categories_segments.len() != of || tree.categories_sizes.len() != of {
            return Err(format!("expected categories of {of} nodes"));
        }
        let mut at = 0;
        for (Count(from), Count(size)) in tree.categories_segments.iter().zip(&tree.categories_sizes) {
            // One after the other, so that none is counted twice.
            let set = tree.categories.get(at..).and_then(|rest| rest.get(..*size)).filter(|_| *from == at);
            let set = set.ok_or_else(|| format!("expected {size} categories from {at} on, got others"))?;
            self.categories.extend_from_slice(set);
            self.sets.push(u32::try_from(self.categories.len()).map_err(|_| "too many categories")?);
            at += size;
        }
        Ok(())
    }

    /// The nodes, roots, weights and sets of a forest, whose other fields are not yet those of the model. `outputs_of`
    /// the trees; `factors` by which they count, if any.
    pub(super) fn plant(
        self,
        outputs_of: &[Count],
        factors: Option<&[Number<f32>]>,
        outputs: usize,
        budget: &mut Budget,
    ) -> Result<Forest, Error> {
        let wrong = |message: String| Error::model(format!("XGBoost: {message}"));
        if self.vectors() && self.width != outputs {
            return Err(wrong(format!("expected {outputs} values in a leaf, got {}", self.width)));
        }
        if factors.is_some_and(|factors| factors.len() < self.len()) {
            return Err(wrong(format!("expected weights of {} trees", self.len())));
        }
        let leaves = self.nodes.iter().filter(|node| node.left == LEAF).count();
        budget.take::<Node>(self.nodes.len())?;
        budget.take::<(u32, f64)>(leaves.saturating_mul(self.width))?;
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut weights: Vec<(u32, f64)> = Vec::with_capacity(leaves * self.width);
        for (tree, &start) in self.starts.iter().enumerate() {
            let end = self.starts.get(tree + 1).map_or(self.nodes.len(), |next| *next as usize);
            let factor = factors.map(|factors| factors[tree].0);
            let weight = |value: f32| f64::from(factor.map_or(value, |factor| value * factor));
            let output =
                u32::try_from(outputs_of[tree].0).map_err(|_| wrong("too many outputs".to_owned()))?;
            for node in &self.nodes[start as usize..end] {
                if node.left != LEAF {
                    nodes.push(Node::Branch(node.branch(start)));
                    continue;
                }
                let first = u32::try_from(weights.len()).map_err(|_| wrong("too many leaves".to_owned()))?;
                if self.vectors() {
                    let values = &self.vectors[node.right as usize..][..self.width];
                    weights.extend(values.iter().enumerate().map(|(at, value)| (at as u32, weight(*value))));
                } else {
                    weights.push((output, weight(node.value)));
                }
                nodes.push(Node::Leaf { first, count: self.width as u32 });
            }
        }
        Ok(Forest {
            features: 0,
            outputs,
            nodes,
            weights,
            sets: self.sets(budget)?,
            roots: self.starts,
            aggregate: Aggregate::Sum,
            base: Vec::new(),
            base_order: Base::First,
            scale: 1.0,
            arithmetic: Arithmetic::F32,
            compare: Compare::F32,
            link: Link::Identity,
        })
    }

    fn sets(&self, budget: &mut Budget) -> Result<Vec<Set>, Error> {
        budget.take::<Set>(self.sets.len())?;
        let mut sets = Vec::with_capacity(self.sets.len());
        let mut from = 0;
        for &end in &self.sets {
            let categories = &self.categories[from..end as usize];
            let most = categories.iter().copied().max().map_or(0, |most| most as usize + 1);
            if most > MAX_CATEGORY as usize {
                return Err(Error::model(format!(
                    "XGBoost: expected categories below {MAX_CATEGORY}, got {}",
                    most - 1
                )));
            }
            budget.take::<u64>(most.div_ceil(64))?;
            let mut bits = vec![0; most.div_ceil(64)];
            categories.iter().for_each(|category| bits[*category as usize / 64] |= 1u64 << (category % 64));
            sets.push(Set::Categories { bits, rounding: Rounding::Floor });
            from = end as usize;
        }
        Ok(sets)
    }
}

impl Compact {
    /// `tree` is where its nodes begin. Yes is left for a number that is less, and right for a category in the set.
    fn branch(&self, tree: u32) -> Branch {
        let (left, right) = (tree + self.left, tree + self.right);
        let feature = self.feature & !(DEFAULT_LEFT | CATEGORICAL);
        let default_left = self.feature & DEFAULT_LEFT != 0;
        if self.feature & CATEGORICAL != 0 {
            let nan = if default_left { Way::No } else { Way::Yes };
            let test = Test::Member(self.value.to_bits());
            return Branch { feature, test, nan, zero_is_missing: false, yes: right, no: left };
        }
        let nan = if default_left { Way::Yes } else { Way::No };
        let test = Test::Less(self.value.into());
        Branch { feature, test, nan, zero_is_missing: false, yes: left, no: right }
    }
}
