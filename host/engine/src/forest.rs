//! [`Forest`]: any ensemble of decision trees, whatever file it came from. Importers fill it, [`Forest::check`] looks
//! whether it holds together, and the kernels are made from one that does.
//!
//! What it means, as a formula. A row goes down each tree from its root to a leaf; at a branch its value of one feature
//! is tested. The leaf's weights are aggregated per output over the trees, in the order of `roots`; with
//! `Aggregate::Sum` and f32 or f64 as [`Arithmetic`] says, rounding after each step,
//!
//! ```text
//! raw[o] = base[o] + w(tree 0) + w(tree 1) + …             Base::First
//! raw[o] = scale · (0 + w(tree 0) + w(tree 1) + …) + base[o]   Base::Last
//! ```
//!
//! and predictions are `link(raw)`.

mod check;
mod columns;
mod ensemble;
#[cfg(target_arch = "x86_64")]
mod gathers;
mod kernel;
mod leaves;
mod link;
mod masks;
mod real;
mod split;
mod threads;
mod walk;

pub(crate) use check::Checked;
pub(crate) use ensemble::{Ensemble, RowType, Rows, Scores};
pub(crate) use kernel::starting_scores;
pub(crate) use link::Link;
pub(crate) use real::Real;
#[cfg(feature = "graphs")]
pub(crate) use threads::allow;

/// An ensemble. Not yet checked: see [`Forest::check`].
#[derive(Clone, Debug)]
pub(crate) struct Forest {
    /// Rows are this wide
    pub(crate) features: usize,
    /// Raw scores of one row, at least 1
    pub(crate) outputs: usize,
    /// The nodes of all trees; children are positions in here
    pub(crate) nodes: Vec<Node>,
    /// Each tree's first node, in the order in which trees are added
    pub(crate) roots: Vec<u32>,
    /// What leaves add: output and weight
    pub(crate) weights: Vec<(u32, f64)>,
    /// What [`Test::Member`] refers to
    pub(crate) sets: Vec<Set>,
    pub(crate) aggregate: Aggregate,
    /// One for each output, or none at all for zeros
    pub(crate) base: Vec<f64>,
    pub(crate) base_order: Base,
    /// What sums are multiplied with before a base that comes last: 1 for all but CatBoost
    pub(crate) scale: f64,
    pub(crate) arithmetic: Arithmetic,
    pub(crate) compare: Compare,
    pub(crate) link: Link,
}

/// One node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Node {
    Branch(Branch),
    /// Adds `weights[first..first + count]`; a leaf may add nothing
    Leaf {
        first: u32,
        count: u32,
    },
}

/// A node with two children.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Branch {
    pub(crate) feature: u32,
    pub(crate) test: Test,
    /// Where NaN goes, whatever the test would say of it
    pub(crate) nan: Way,
    /// Whether a zero, of either sign and up to [`ZERO`], goes where NaN goes (LightGBM's `zero_as_missing`)
    pub(crate) zero_is_missing: bool,
    /// The child if the test holds
    pub(crate) yes: u32,
    /// The child if it doesn't
    pub(crate) no: u32,
}

/// The largest magnitude that counts as zero where zero is missing: LightGBM's `kZeroThreshold` (`meta.h`), an f32.
pub(crate) const ZERO: f64 = 1e-35f32 as f64;

/// What holds of a value that is a number. Thresholds are never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Test {
    /// `x < t`
    Less(f64),
    /// `x <= t`
    LessEqual(f64),
    /// `x > t`
    Greater(f64),
    /// `x >= t`
    GreaterEqual(f64),
    /// `x == t`
    Equal(f64),
    /// `x != t`
    NotEqual(f64),
    /// `x` is in the set at this position of [`Forest::sets`]
    Member(u32),
}

/// One of the two children of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Yes,
    No,
}

/// A set of numbers that a value may be in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Set {
    /// The categories whose bit is set: number `c` is bit `c % 64` of `bits[c / 64]`. A value that is no integer is
    /// rounded first; what is then negative or beyond the bits is no member
    Categories { bits: Vec<u64>, rounding: Rounding },
    /// These numbers themselves, in any order, none of them NaN (ONNX `BRANCH_MEMBER`)
    Values(Vec<f64>),
}

/// How a value becomes a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// -0.5 is no category (XGBoost refuses what is negative, then cuts off the fraction)
    Floor,
    /// -0.5 is category 0 (LightGBM cuts off the fraction, then refuses what is negative)
    TowardsZero,
}

/// How the trees' weights for one output become one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aggregate {
    Sum,
    /// The sum, without the base, divided by this number in the forest's arithmetic
    Average(f64),
    /// The least weight; 0 where no leaf speaks of the output
    Min,
    /// The greatest weight; 0 where no leaf speaks of the output
    Max,
}

/// When base values are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    First,
    Last,
}

/// In what precision weights are kept and aggregated, and links computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    F32,
    F64,
}

/// In what precision values and thresholds are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    /// Both are rounded to f32 first (XGBoost, CatBoost, scikit-learn)
    F32,
    /// f32 values are widened (LightGBM)
    F64,
}

impl Set {
    /// Whether `x`, which is no NaN, is a member.
    pub(crate) fn contains(&self, x: f64) -> bool {
        match self {
            Self::Values(values) => values.contains(&x),
            Self::Categories { bits, rounding } => {
                let whole = match rounding {
                    Rounding::Floor => x.floor(),
                    Rounding::TowardsZero => x.trunc(),
                };
                // Beyond what f64 holds exactly there are no bits either; the cast saturates.
                whole >= 0.0
                    && bits
                        .get(whole as usize / 64)
                        .is_some_and(|word| word >> (whole as usize % 64) & 1 == 1)
            }
        }
    }
}
