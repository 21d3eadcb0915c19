//! CatBoost's trees, symmetric ([`Oblivious`]) and others ([`Trees`]), planted as a [`Forest`].

use serde::{Deserialize, Deserializer};

use super::{FloatFeature, wrong};
use crate::Error;
use crate::forest::{Aggregate, Arithmetic, Base, Branch, Compare, Forest, Link, Node, Test};
use crate::import::budget::Budget;
use crate::import::list::{Number, Numbers, each};

/// Trees that ask the same question all over a level; CatBoost grows 16 levels at most.
const MAX_DEPTH: usize = 24;

#[derive(Default)]
pub(super) struct Oblivious {
    /// Of each tree, from the lowest bit of a leaf's position to the highest
    splits: Vec<(u32, f32)>,
    values: Vec<f64>,
    /// Splits and values of each tree
    lengths: Vec<(usize, usize)>,
}

/// Trees of any form, as their nodes come: those below a branch before it.
#[derive(Default)]
pub(super) struct Trees {
    nodes: Vec<Compact>,
    values: Vec<f64>,
    roots: Vec<u32>,
}

#[derive(Clone, Copy)]
enum Compact {
    Leaf { first: u32, count: u32 },
    Branch { split: (u32, f32), left: u32, right: u32 },
}

#[derive(Deserialize)]
struct ObliviousTree {
    leaf_values: Vec<f64>,
    /// A tree of one leaf may have none
    splits: Option<Vec<Split>>,
}

#[derive(Deserialize)]
struct Split {
    border: Option<Number<f32>>,
    float_feature_index: Option<u32>,
    split_type: String,
}

/// A node as the file has it.
#[derive(Deserialize)]
struct TreeNode {
    left: Option<Box<TreeNode>>,
    right: Option<Box<TreeNode>>,
    split: Option<Split>,
    value: Option<Numbers>,
}

impl Split {
    fn read(&self) -> Result<(u32, f32), String> {
        match (self.split_type.as_str(), self.float_feature_index, self.border) {
            ("FloatFeature", Some(feature), Some(Number(border))) => Ok((feature, border)),
            ("FloatFeature", ..) => Err("expected a border of a float feature".to_owned()),
            (other, ..) => Err(format!("splits of type {other:?} are not read")),
        }
    }
}

/// As each node keeps it: yes is right.
fn branch(split: (u32, f32), left: u32, right: u32, features: &[FloatFeature]) -> Result<Node, Error> {
    let (feature, border) = split;
    let (feature, nan) = match features.get(feature as usize) {
        Some(feature) => feature.column(),
        None => {
            return Err(wrong(&format!("expected a float feature below {}, got {feature}", features.len())));
        }
    };
    let test = Test::Greater(border.into());
    Ok(Node::Branch(Branch { feature, test, nan, zero_is_missing: false, yes: right, no: left }))
}

fn forest(nodes: Vec<Node>, roots: Vec<u32>, weights: Vec<(u32, f64)>) -> Forest {
    Forest {
        features: 0,
        outputs: 1,
        nodes,
        roots,
        weights,
        sets: Vec::new(),
        aggregate: Aggregate::Sum,
        base: Vec::new(),
        base_order: Base::Last,
        scale: 1.0,
        arithmetic: Arithmetic::F64,
        compare: Compare::F32,
        link: Link::Identity,
    }
}

impl Oblivious {
    /// With how many outputs: `outputs` where that is known.
    pub(super) fn plant(
        self,
        features: &[FloatFeature],
        outputs: Option<usize>,
        budget: &mut Budget,
    ) -> Result<(Forest, usize), Error> {
        let first = self.lengths.first().map(|(splits, values)| values >> splits);
        let outputs = outputs.or(first).unwrap_or(1);
        let leaves: usize = self.lengths.iter().map(|(splits, _)| 1usize << splits).sum();
        budget.take::<Node>(leaves * 2)?;
        budget.take::<(u32, f64)>(self.values.len())?;
        let mut nodes = Vec::with_capacity(leaves * 2);
        let mut roots = Vec::with_capacity(self.lengths.len());
        let mut weights = Vec::with_capacity(self.values.len());
        let (mut splits, mut values) = (self.splits.as_slice(), self.values.as_slice());
        for (at, &(depth, count)) in self.lengths.iter().enumerate() {
            let expected = outputs.checked_mul(1 << depth);
            if outputs == 0 || expected != Some(count) {
                return Err(wrong(&format!(
                    "tree {at}: expected {depth} splits and {outputs} values in each leaf, got {count} in all"
                )));
            }
            let start = u32::try_from(nodes.len()).map_err(|_| wrong("too many nodes"))?;
            roots.push(start);
            let (own, rest) = splits.split_at(depth);
            splits = rest;
            // The highest bit first, so that leaves come in their order; node i has children 2i + 1 and 2i + 2.
            for (level, split) in own.iter().rev().enumerate() {
                for i in (1u32 << level) - 1..(2u32 << level) - 1 {
                    nodes.push(branch(*split, start + 2 * i + 1, start + 2 * i + 2, features)?);
                }
            }
            let (own, rest) = values.split_at(count);
            values = rest;
            for leaf in own.chunks_exact(outputs) {
                let first = u32::try_from(weights.len()).map_err(|_| wrong("too many leaves"))?;
                nodes.push(Node::Leaf { first, count: outputs as u32 });
                weights.extend(leaf.iter().enumerate().map(|(output, value)| (output as u32, *value)));
            }
        }
        Ok((forest(nodes, roots, weights), outputs))
    }
}

impl Trees {
    /// With how many outputs: `outputs` where that is known.
    pub(super) fn plant(
        self,
        features: &[FloatFeature],
        outputs: Option<usize>,
    ) -> Result<(Forest, usize), Error> {
        let first = self.nodes.iter().find_map(|node| match node {
            Compact::Leaf { count, .. } => Some(*count as usize),
            Compact::Branch { .. } => None,
        });
        let outputs = outputs.or(first).unwrap_or(1);
        let plant = |node: &Compact| match *node {
            Compact::Leaf { first, count } if count as usize == outputs => Ok(Node::Leaf { first, count }),
            Compact::Leaf { count, .. } => {
                Err(wrong(&format!("expected {outputs} values in each leaf, got {count}")))
            }
            Compact::Branch { split, left, right } => branch(split, left, right, features),
        };
        let nodes = self.nodes.iter().map(plant).collect::<Result<_, Error>>()?;
        let weights =
            self.values.iter().enumerate().map(|(at, value)| ((at % outputs) as u32, *value)).collect();
        Ok((forest(nodes, self.roots, weights), outputs))
    }

    fn push(&mut self, node: TreeNode) -> Result<u32, String> {
        let compact = match node {
            TreeNode { left: Some(left), right: Some(right), split: Some(split), .. } => {
                let split = split.read()?;
                Compact::Branch { split, left: self.push(*left)?, right: self.push(*right)? }
            }
            TreeNode { value: Some(value), left: None, right: None, .. } => {
                let first = u32::try_from(self.values.len()).map_err(|_| "too many values")?;
                match value {
                    Numbers::One(value) => self.values.push(value),
                    Numbers::Many(values) => self.values.extend(values),
                }
                Compact::Leaf { first, count: self.values.len() as u32 - first }
            }
            _ => return Err("expected a split with two children, or a value".to_owned()),
        };
        self.nodes.push(compact);
        u32::try_from(self.nodes.len() - 1).map_err(|_| "too many nodes".to_owned())
    }
}

impl<'a> Deserialize<'a> for Oblivious {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        each(reader, "a list of trees", Self::default(), |trees, ObliviousTree { leaf_values, splits }| {
            let splits = splits.unwrap_or_default();
            if splits.len() > MAX_DEPTH {
                return Err(format!("expected at most {MAX_DEPTH} splits, got {}", splits.len()));
            }
            trees.lengths.push((splits.len(), leaf_values.len()));
            trees.values.extend_from_slice(&leaf_values);
            for split in &splits {
                trees.splits.push(split.read()?);
            }
            Ok(())
        })
    }
}

impl<'a> Deserialize<'a> for Trees {
    fn deserialize<D: Deserializer<'a>>(reader: D) -> Result<Self, D::Error> {
        each(reader, "a list of trees", Self::default(), |trees, tree| {
            let root = trees.push(tree)?;
            trees.roots.push(root);
            Ok(())
        })
    }
}
