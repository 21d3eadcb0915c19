//! The trees of a LightGBM file, read from its text straight into a [`Forest`].

use std::str::FromStr;

use super::Section;
use crate::Error;
use crate::forest::{
    Aggregate, Arithmetic, Base, Branch, Compare, Forest, Link, Node, Rounding, Set, Test, Way, ZERO,
};
use crate::import::budget::Budget;

/// In `decision_type`: in the set rather than less or equal.
const CATEGORICAL: u8 = 1;
/// In `decision_type`: what is missing goes left.
const DEFAULT_LEFT: u8 = 2;

/// Nodes, roots, weights and sets, and fields of a forest that the caller fills. `text` begins with the first tree.
pub(super) fn read(text: &str, per_iteration: usize, budget: &mut Budget) -> Result<Forest, Error> {
    let mut forest = Forest {
        features: 0,
        outputs: per_iteration,
        nodes: Vec::new(),
        roots: Vec::new(),
        weights: Vec::new(),
        sets: Vec::new(),
        aggregate: Aggregate::Sum,
        base: Vec::new(),
        base_order: Base::Last,
        scale: 1.0,
        arithmetic: Arithmetic::F64,
        compare: Compare::F64,
        link: Link::Identity,
    };
    // A value of a leaf takes two bytes at least, so this counts no more than the file holds.
    let values = |line: &str| line.strip_prefix("leaf_value=").map(|values| 1 + values.matches(' ').count());
    let leaves: usize = text.lines().filter_map(values).sum();
    budget.take::<Node>(leaves.saturating_mul(2))?;
    budget.take::<(u32, f64)>(leaves)?;
    forest.nodes.reserve_exact(leaves * 2);
    forest.weights.reserve_exact(leaves);
    let mut rest = text;
    while let Some(tree) = rest.strip_prefix("Tree=") {
        let end = tree.find("\nTree=").map(|at| at + 1).or_else(|| tree.find("\nend of trees"));
        let (section, after) = tree.split_at(end.unwrap_or(tree.len()));
        let at = forest.roots.len();
        let output = (at % per_iteration) as u32;
        add(Section(section), output, &mut forest, budget)
            .map_err(|e| Error::new(e.kind(), format!("LightGBM: tree {at}: {e}")))?;
        rest = after;
    }
    Ok(forest)
}

fn add(tree: Section, output: u32, forest: &mut Forest, budget: &mut Budget) -> Result<(), Error> {
    if tree.get("is_linear").is_some_and(|flag| flag != "0") {
        return Err(Error::unsupported("linear trees (linear_tree=true) are not run"));
    }
    let leaves = tree.count("num_leaves")?;
    let splits = leaves.checked_sub(1).ok_or_else(|| Error::model("expected leaves, got none"))?;
    let start = u32::try_from(forest.nodes.len()).map_err(|_| Error::model("too many nodes"))?;
    forest.roots.push(start);

    let first_set = forest.sets.len();
    add_sets(tree, &mut forest.sets, budget)?;
    let sets = forest.sets.len() - first_set;

    let mut features = Numbers::<u32>::of(tree, "split_feature");
    let mut thresholds = Numbers::<f64>::of(tree, "threshold");
    let mut decisions = Numbers::<u8>::of(tree, "decision_type");
    let mut lefts = Numbers::<i32>::of(tree, "left_child");
    let mut rights = Numbers::<i32>::of(tree, "right_child");
    let child = |child: i32| {
        // Below 0 it is a leaf, from -1 down; those lie behind the branches.
        let (at, count, from) = match usize::try_from(child) {
            Ok(at) => (at, splits, 0),
            Err(_) => (!child as usize, leaves, splits),
        };
        // A number of leaves that is a lie may lead beyond what 32 bits count.
        let place = u32::try_from(from + at).ok().and_then(|place| start.checked_add(place));
        place.filter(|_| at < count).ok_or_else(|| Error::model(format!("child {child} does not exist")))
    };
    // The file's lists run out before a number of leaves that is a lie makes this long.
    for _ in 0..splits {
        let (feature, threshold, decision) = (features.next()?, thresholds.next()?, decisions.next()?);
        let (left, right) = (child(lefts.next()?)?, child(rights.next()?)?);
        let branch = if decision & CATEGORICAL != 0 {
            if !(threshold >= 0.0 && threshold < sets as f64) {
                return Err(Error::model(format!("expected a set below {sets}, got {threshold}")));
            }
            let test = Test::Member((first_set + threshold as usize) as u32);
            Branch { feature, test, nan: Way::No, zero_is_missing: false, yes: left, no: right }
        } else {
            numerical(feature, threshold, decision, left, right)?
        };
        forest.nodes.push(Node::Branch(branch));
    }
    let mut values = Numbers::<f64>::of(tree, "leaf_value");
    for _ in 0..leaves {
        let first = u32::try_from(forest.weights.len()).map_err(|_| Error::model("too many leaves"))?;
        forest.weights.push((output, values.next()?));
        forest.nodes.push(Node::Leaf { first, count: 1 });
    }
    let over = [features.0.next(), thresholds.0.next(), lefts.0.next(), rights.0.next(), values.0.next()];
    match over.iter().any(Option::is_some) {
        true => Err(Error::model(format!("more values than those of {leaves} leaves"))),
        false => Ok(()),
    }
}

fn numerical(feature: u32, threshold: f64, decision: u8, left: u32, right: u32) -> Result<Branch, Error> {
    let way = |left: bool| if left { Way::Yes } else { Way::No };
    let default = way(decision & DEFAULT_LEFT != 0);
    let (nan, zero_is_missing) = match decision >> 2 & 3 {
        // NaN counts as 0.
        0 => (way(0.0 <= threshold), false),
        1 => (default, true),
        2 => (default, false),
        other => return Err(Error::unsupported(format!("missing values of type {other} are not known"))),
    };
    // All that counts as 0 goes where 0 goes.
    let threshold = match threshold {
        t if (0.0..ZERO).contains(&t) => ZERO,
        t if (-ZERO..0.0).contains(&t) => (-ZERO).next_down(),
        t => t,
    };
    Ok(Branch { feature, test: Test::LessEqual(threshold), nan, zero_is_missing, yes: left, no: right })
}

fn add_sets(tree: Section, sets: &mut Vec<Set>, budget: &mut Budget) -> Result<(), Error> {
    if tree.get("num_cat").is_none_or(|count| count == "0") {
        return Ok(());
    }
    let count = tree.count("num_cat")?;
    let mut ends = Numbers::<usize>::of(tree, "cat_boundaries");
    let mut words = Numbers::<u32>::of(tree, "cat_threshold");
    let mut from = ends.next()?;
    for _ in 0..count {
        let end = ends.next()?;
        let length = end.checked_sub(from).ok_or_else(|| Error::model("categories end before they begin"))?;
        budget.take::<Set>(3)?;
        let mut bits = Vec::new();
        for at in 0..length {
            let word = u64::from(words.next()?);
            if at % 2 == 0 {
                budget.take::<u64>(3)?;
                bits.push(word);
            } else if let Some(last) = bits.last_mut() {
                *last |= word << 32;
            }
        }
        sets.push(Set::Categories { bits, rounding: Rounding::TowardsZero });
        from = end;
    }
    Ok(())
}

/// The numbers of a line, separated by spaces.
struct Numbers<'a, T>(std::str::SplitAsciiWhitespace<'a>, &'static str, std::marker::PhantomData<T>);

impl<'a, T: FromStr> Numbers<'a, T> {
    fn of(tree: Section<'a>, key: &'static str) -> Self {
        Self(tree.get(key).unwrap_or_default().split_ascii_whitespace(), key, std::marker::PhantomData)
    }

    fn next(&mut self) -> Result<T, Error> {
        let text = self.0.next().ok_or_else(|| Error::model(format!("too few numbers in {}", self.1)))?;
        text.parse().map_err(|_| Error::model(format!("{}: expected a number, got {text:?}", self.1)))
    }
}
