//! [`ProbabilityMap`]: a column per class, so that an answer names its numbers.

use serde::{Deserialize, Serialize};

use super::with_floats;
use crate::table::real::Real;
use crate::table::{Table, fault, width};
use crate::{Elements, Failure, Tensor};

/// Puts one column `[N]` per class, named by its label, in the place of an output: as JSON an
/// instance reads `{"setosa": 0.9, "versicolor": 0.1}` instead of `[0.9, 0.1]`.
///
/// The output is `[N, C]` with C labels; or `[N]` or `[N, 1]` with two labels: then it is the
/// probability `p` of the second, as binary classifiers give it, and the first gets `1 - p`. `f16`
/// becomes `f32`; NaN stays NaN.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProbabilityMap {
    pub output: String,
    /// One per class, each once, in the classes' order.
    pub labels: Vec<String>,
    /// What stands before each label in the column's name; nothing unless said.
    #[serde(default)]
    pub prefix: String,
}

const STEP: &str = "probability-map";

impl ProbabilityMap {
    /// # Errors
    /// A model failure where there are no labels or one is there twice.
    pub fn check(&self) -> Result<(), Failure> {
        let mut labels: Vec<&String> = self.labels.iter().collect();
        labels.sort_unstable();
        if labels.is_empty() {
            return Err(fault(STEP, "labels").expected("at least one").actual("none"));
        }
        match labels.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                Err(fault(STEP, "labels").expected("each once").actual(format!("{:?} twice", pair[0])))
            }
            None => Ok(()),
        }
    }

    /// # Errors
    /// A model failure where the output isn't there, isn't a float or has another number of classes, or a
    /// name is taken.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        let index = table.position(&self.output, 0)?;
        let tensor = table.at(index).1;
        let classes = width(tensor);
        let binary = classes == 1 && self.labels.len() == 2;
        if tensor.shape().len() > 2 || (classes != self.labels.len() && !binary) {
            return Err(fault(STEP, "output")
                .expected(format!("a shape [N, {}] (labels)", self.labels.len()))
                .actual(tensor.to_string()));
        }
        let rows = tensor.rows();
        let columns: Vec<Elements> = with_floats!(STEP, tensor, items => Ok(match binary {
            true => vec![complement(items), class(items, 1, 0)],
            false => (0..classes).map(|nth| class(items, classes, nth)).collect(),
        }))?;
        let named = self.labels.iter().map(|label| format!("{}{label}", self.prefix)).zip(columns);
        table.expand(
            index,
            named.map(|(name, elements)| Ok((name, Tensor::from_elements(&[rows], elements)?))),
        )
    }
}

fn class<T: Real>(items: &[T], classes: usize, nth: usize) -> Elements {
    T::wrap(items.iter().skip(nth).step_by(classes).copied().collect())
}

fn complement<T: Real>(items: &[T]) -> Elements {
    T::wrap(items.iter().map(|&item| T::of(1.0) - item).collect())
}
