//! [`Split`]: a branch brought to one form, `x <= cut` or a set, whatever comparison the file has.
//!
//! With values of type `T` the form is exact: `x < t` is `x <= t'` with the number before t, `x > t` and `x >= t` are
//! those with the children exchanged, and an f64 threshold that f32 values are compared with may be rounded down.

use std::marker::PhantomData;

use super::real::Real;
use super::{Branch, Compare, Forest, Node, Set, Test, Way, ZERO};

/// What a branch looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Source {
    pub(super) feature: u32,
    pub(super) missing_goes_yes: bool,
    pub(super) zero_is_missing: bool,
}

impl Source {
    /// How many different ones look at one feature.
    const KEYS: usize = 4;

    /// A number below [`Source::KEYS`] times the features, in the order of sources.
    fn key(self) -> usize {
        let Self { feature, missing_goes_yes, zero_is_missing } = self;
        Self::KEYS * feature as usize + 2 * usize::from(missing_goes_yes) + usize::from(zero_is_missing)
    }

    /// Whether the test is not asked.
    pub(super) fn is_missing<T: Real>(&self, x: T) -> bool {
        x.is_nan() || self.zero_is_missing && x.abs().wide() <= ZERO
    }
}

/// The different sources of a forest's cuts, in order. Whether a branch is one depends on the type of its values.
pub(super) struct Sources<T> {
    pub(super) list: Vec<Source>,
    /// The place of each in the list by its key, if a forest has more nodes than sources could have keys: branches are many,
    /// and a search for each takes longer than all else that is done for them
    by_key: Option<Vec<u32>>,
    values: PhantomData<T>,
}

impl<T: Real> Sources<T> {
    pub(super) fn of(forest: &Forest) -> Self {
        let all = forest.nodes.iter().filter_map(|node| match node {
            Node::Branch(branch) => {
                let Split { source, rule, .. } = Split::<T>::of(forest, branch);
                matches!(rule, Rule::Cut(_)).then_some(source)
            }
            Node::Leaf { .. } => None,
        });
        let keys = forest.features * Source::KEYS;
        let mut by_key = (keys <= forest.nodes.len()).then(|| vec![u32::MAX; keys]);
        let mut list = match &mut by_key {
            None => all.collect::<Vec<Source>>(),
            Some(seen) => all.filter(|source| std::mem::replace(&mut seen[source.key()], 0) != 0).collect(),
        };
        list.sort_unstable();
        list.dedup();
        if let Some(by_key) = &mut by_key {
            list.iter().enumerate().for_each(|(place, source)| by_key[source.key()] = place as u32);
        }
        Self { list, by_key, values: PhantomData }
    }

    /// Where one of them is in the list.
    pub(super) fn place(&self, source: &Source) -> usize {
        let place = match &self.by_key {
            Some(by_key) => by_key[source.key()] as usize,
            None => self.list.partition_point(|other| other < source),
        };
        assert!(place < self.list.len(), "a source of the forest's cuts");
        place
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule<T> {
    /// `x <= cut`
    Cut(T),
    /// `x == value`
    Equal(T),
    /// In the forest's set
    Member(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Split<T> {
    pub(super) source: Source,
    pub(super) rule: Rule<T>,
    pub(super) yes: u32,
    pub(super) no: u32,
}

impl<T: Real> Split<T> {
    #[inline(always)]
    pub(super) fn of(forest: &Forest, branch: &Branch) -> Self {
        let (mut yes, mut no) = (branch.yes, branch.no);
        let mut missing_goes_yes = branch.nan == Way::Yes;
        let mut flip = || {
            std::mem::swap(&mut yes, &mut no);
            missing_goes_yes = !missing_goes_yes;
        };
        let narrow = |t: f64| if forest.compare == Compare::F32 { f64::from(t as f32) } else { t };
        // The number before t in the precision of the comparison; none is below -inf.
        let before = |t: f64| match forest.compare {
            _ if t == f64::NEG_INFINITY => None,
            Compare::F32 => Some(f64::from((t as f32).next_down())),
            Compare::F64 => Some(t.next_down()),
        };
        let cut = match branch.test {
            Test::LessEqual(t) => Some(narrow(t)),
            Test::Less(t) => before(narrow(t)),
            Test::Greater(t) => {
                flip();
                Some(narrow(t))
            }
            Test::GreaterEqual(t) => {
                flip();
                before(narrow(t))
            }
            Test::NotEqual(_) => {
                flip();
                None
            }
            Test::Equal(_) | Test::Member(_) => None,
        };
        let rule = match (branch.test, cut) {
            (Test::Member(set), _) => Rule::Member(set),
            // A value that `T` does not have equals none.
            (Test::Equal(t) | Test::NotEqual(t), _) => {
                let t = narrow(t);
                let value = T::of(t);
                Rule::Equal(if value.wide() == t { value } else { T::NAN })
            }
            (_, Some(cut)) => Rule::Cut(T::at_most(cut)),
            // No number goes yes: the opposite is that every one does.
            (_, None) => {
                flip();
                Rule::Cut(T::INFINITY)
            }
        };
        let zero_is_missing = branch.zero_is_missing;
        Self { source: Source { feature: branch.feature, missing_goes_yes, zero_is_missing }, rule, yes, no }
    }
}

/// The children of a branch in the order of its [`Split`].
pub(super) fn ways(forest: &Forest, branch: &Branch) -> [u32; 2] {
    let split = Split::<f64>::of(forest, branch);
    [split.yes, split.no]
}

/// Whether a row goes yes at a branch whose rule is no cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Membership<T> {
    pub(super) source: Source,
    pub(super) rule: Rule<T>,
}

impl<T: Real> Membership<T> {
    /// `sets` are the forest's.
    pub(super) fn holds(&self, x: T, sets: &[Set]) -> bool {
        if self.source.is_missing(x) {
            return self.source.missing_goes_yes;
        }
        match self.rule {
            Rule::Cut(cut) => x <= cut,
            Rule::Equal(value) => x == value,
            Rule::Member(set) => sets.get(set as usize).is_some_and(|set| set.contains(x.wide())),
        }
    }
}
