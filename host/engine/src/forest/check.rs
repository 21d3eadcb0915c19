//! Whether a [`Forest`] holds together: what the kernels take for granted.

use std::ops::Deref;

use super::{Aggregate, Base, Forest, Node, Set, Test};
use crate::Error;

/// Features and outputs that an ensemble may have.
const MAX_WIDTH: usize = 1 << 24;
/// Outputs of which some may have no weight. Each takes memory for each row, whatever the file says of it.
const MAX_EMPTY: usize = 1 << 12;

/// A forest that holds together: [`Forest::check`] gives it, and nothing changes it.
#[derive(Clone, Debug)]
pub(crate) struct Checked(Forest);

impl Checked {
    #[cfg(feature = "graphs")]
    pub(crate) fn into_forest(self) -> Forest {
        self.0
    }
}

impl Deref for Checked {
    type Target = Forest;

    fn deref(&self) -> &Forest {
        &self.0
    }
}

impl Forest {
    /// # Errors
    ///
    /// `InvalidModel` for a child, feature, output, weight or set that does not exist, a node with two parents (which
    /// also excludes cycles), and numbers that are NaN where none can be; it names the node.
    pub(crate) fn check(self) -> Result<Checked, Error> {
        self.holds_together()?;
        Ok(Checked(self))
    }

    fn holds_together(&self) -> Result<(), Error> {
        let (features, outputs) = (self.features, self.outputs);
        if features > MAX_WIDTH || !(1..=MAX_WIDTH).contains(&outputs) {
            return Err(Error::model(format!(
                "trees: expected at most {MAX_WIDTH} features and 1 to {MAX_WIDTH} outputs, got {features} and {outputs}"
            )));
        }
        if outputs > MAX_EMPTY.max(self.weights.len()) {
            let got = self.weights.len();
            return Err(Error::model(format!(
                "trees: expected weights for {outputs} outputs, got {got} weights"
            )));
        }
        if ![0, outputs].contains(&self.base.len()) {
            let got = self.base.len();
            return Err(Error::model(format!("trees: expected {outputs} base values, got {got}")));
        }
        if self.base.iter().any(|base| base.is_nan()) || !self.scale.is_finite() {
            return Err(Error::model("trees: a base value is NaN, or the scale is no finite number"));
        }
        if self.base_order == Base::First && (self.scale != 1.0 || self.aggregate != Aggregate::Sum) {
            return Err(Error::model("trees: a base that comes first goes with plain sums only"));
        }
        if matches!(self.aggregate, Aggregate::Average(count) if count.is_nan() || count == 0.0) {
            return Err(Error::model("trees: the average of no trees"));
        }
        // Kernels count nodes, weights and sets in 32 bits, and need some numbers for themselves.
        let most = self.nodes.len().max(self.weights.len()).max(self.sets.len());
        if most > u32::MAX as usize / 8 {
            return Err(Error::model(format!("trees: too large ({most} nodes, weights or sets)")));
        }
        self.sets.iter().enumerate().try_for_each(|(at, set)| self.check_set(at, set))?;
        if let Some((output, weight)) =
            self.weights.iter().find(|(o, w)| *o as usize >= outputs || w.is_nan())
        {
            return Err(Error::model(format!(
                "trees: expected weights for outputs below {outputs}, got {weight} for output {output}"
            )));
        }
        // Kernels look at nodes that no root leads to as well.
        self.nodes.iter().enumerate().try_for_each(|(at, node)| self.check_node(at, node))?;
        let mut reached = vec![false; self.nodes.len()];
        let mut waiting = Vec::new();
        for &root in &self.roots {
            waiting.push(root);
            while let Some(at) = waiting.pop() {
                let missing = || Error::model(format!("trees: node {at} does not exist"));
                let node = self.nodes.get(at as usize).ok_or_else(missing)?;
                if std::mem::replace(&mut reached[at as usize], true) {
                    return Err(Error::model(format!("trees: node {at} has two parents")));
                }
                if let Node::Branch(branch) = node {
                    waiting.extend([branch.no, branch.yes]);
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn check_node(&self, at: usize, node: &Node) -> Result<(), Error> {
        match node {
            Node::Leaf { first, count } => {
                let end = u64::from(*first) + u64::from(*count);
                if end > self.weights.len() as u64 {
                    let got = self.weights.len();
                    return Err(Error::model(format!("trees: leaf {at}: expected {end} weights, got {got}")));
                }
            }
            Node::Branch(branch) => {
                if branch.feature as usize >= self.features {
                    let (expected, got) = (self.features, branch.feature);
                    return Err(Error::model(format!(
                        "trees: node {at}: expected a feature below {expected}, got {got}"
                    )));
                }
                match branch.test {
                    Test::Member(set) if set as usize >= self.sets.len() => {
                        return Err(Error::model(format!("trees: node {at}: set {set} does not exist")));
                    }
                    Test::Less(t)
                    | Test::LessEqual(t)
                    | Test::Greater(t)
                    | Test::GreaterEqual(t)
                    | Test::Equal(t)
                    | Test::NotEqual(t)
                        if t.is_nan() =>
                    {
                        return Err(Error::model(format!("trees: node {at}: the threshold is NaN")));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn check_set(&self, at: usize, set: &Set) -> Result<(), Error> {
        match set {
            Set::Values(values) if values.iter().any(|value| value.is_nan()) => {
                Err(Error::model(format!("trees: set {at}: a member is NaN")))
            }
            // f32 holds every integer up to here, so that neighbouring categories stay apart.
            Set::Categories { bits, .. } if bits.len() > (1 << 24) / 64 => {
                Err(Error::model(format!("trees: set {at}: expected categories below {}", 1 << 24)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arithmetic, Branch, Compare, Link, Way};
    use super::*;

    /// `x[0] <= 1`, a leaf on either side.
    fn stump() -> Forest {
        let test = Test::LessEqual(1.0);
        let branch = Branch { feature: 0, test, nan: Way::Yes, zero_is_missing: false, yes: 1, no: 2 };
        Forest {
            features: 1,
            outputs: 1,
            nodes: vec![
                Node::Branch(branch),
                Node::Leaf { first: 0, count: 1 },
                Node::Leaf { first: 1, count: 1 },
            ],
            roots: vec![0],
            weights: vec![(0, 1.0), (0, 2.0)],
            sets: vec![],
            aggregate: Aggregate::Sum,
            base: vec![],
            base_order: Base::Last,
            scale: 1.0,
            arithmetic: Arithmetic::F32,
            compare: Compare::F32,
            link: Link::Identity,
        }
    }

    #[test]
    fn what_does_not_hold_together_is_named() {
        fn branch(forest: &mut Forest) -> &mut Branch {
            let Node::Branch(branch) = &mut forest.nodes[0] else { panic!("no branch") };
            branch
        }
        type Spoil = fn(&mut Forest);
        let cases: [(Spoil, &str); 17] = [
            (
                |f| {
                    let mut stray = *branch(f);
                    stray.feature = 7;
                    f.nodes.push(Node::Branch(stray));
                },
                "trees: node 3: expected a feature below 1, got 7",
            ),
            (|f| branch(f).yes = 0, "trees: node 0 has two parents"),
            (|f| branch(f).yes = 2, "trees: node 2 has two parents"),
            (|f| branch(f).no = 3, "trees: node 3 does not exist"),
            (|f| f.roots.push(1), "trees: node 1 has two parents"),
            (|f| f.roots.push(9), "trees: node 9 does not exist"),
            (|f| branch(f).feature = 1, "trees: node 0: expected a feature below 1, got 1"),
            (|f| branch(f).test = Test::Less(f64::NAN), "trees: node 0: the threshold is NaN"),
            (|f| branch(f).test = Test::Member(0), "trees: node 0: set 0 does not exist"),
            (|f| f.nodes[1] = Node::Leaf { first: 1, count: 2 }, "trees: leaf 1: expected 3 weights, got 2"),
            (
                |f| f.nodes[1] = Node::Leaf { first: u32::MAX, count: 1 },
                "trees: leaf 1: expected 4294967296 weights, got 2",
            ),
            (|f| f.weights[1].0 = 1, "trees: expected weights for outputs below 1, got 2 for output 1"),
            (
                |f| f.weights[0].1 = f64::NAN,
                "trees: expected weights for outputs below 1, got NaN for output 0",
            ),
            (|f| f.base = vec![0.0; 2], "trees: expected 1 base values, got 2"),
            (|f| f.sets.push(Set::Values(vec![f64::NAN])), "trees: set 0: a member is NaN"),
            (|f| f.outputs = 1 << 13, "trees: expected weights for 8192 outputs, got 2 weights"),
            (
                |f| f.outputs = 0,
                "trees: expected at most 16777216 features and 1 to 16777216 outputs, got 1 and 0",
            ),
        ];
        assert!(stump().check().is_ok());
        for (spoil, expected) in cases {
            let mut forest = stump();
            spoil(&mut forest);
            assert_eq!(forest.check().map(|_| ()).map_err(|e| e.to_string()), Err(expected.to_owned()));
        }
    }
}
