//! [`Threshold`] and [`Labels`]: from scores and class indices to what they mean.

use serde::{Deserialize, Serialize};

use super::{element, put, with_floats};
use crate::table::number::{self, whole};
use crate::table::real::Real;
use crate::table::{Missing, Table, fault};
use crate::{Dtype, Elements, Failure, Tensor, f16_to_f32};

/// Whether a score passes a bound, for outputs of any shape. The bound is rounded to the output's dtype
/// first, so that `0.7` from an `f32` model is at `0.7`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Threshold {
    /// A float output. NaN is the model's failure.
    pub output: String,
    /// The bound, in the output's unit; finite.
    pub at: f64,
    /// How a score must compare with `at`; `>=` unless said.
    #[serde(default)]
    pub passes: Comparison,
    /// The new column; unless said, the result replaces the output.
    #[serde(default)]
    pub to: Option<String>,
    /// `bool` unless said, or `u8` for a mask of 0 and 1.
    #[serde(default = "boolean")]
    pub dtype: Dtype,
}

/// A comparison of a score with a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Comparison {
    #[default]
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = ">")]
    Above,
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = "<")]
    Below,
}

fn boolean() -> Dtype {
    Dtype::Bool
}

impl Threshold {
    /// # Errors
    /// A model failure for a bound that isn't finite, or a dtype that is neither `bool` nor `u8`.
    pub fn check(&self) -> Result<(), Failure> {
        if !self.at.is_finite() {
            return Err(fault("threshold", "at").expected("a finite number").actual(self.at.to_string()));
        }
        match self.dtype {
            Dtype::Bool | Dtype::U8 => Ok(()),
            dtype => Err(fault("threshold", "dtype").expected("bool or u8").actual(dtype.name())),
        }
    }

    /// # Errors
    /// A model failure where the output isn't there, isn't a float or holds NaN, or `to` is taken.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        let tensor = table.get(&self.output)?;
        let passed = with_floats!("threshold", tensor, items => {
            self.passed(items)
                .map_err(|index| element(&self.output, tensor, index).expected("a number").actual("NaN"))
        })?;
        let elements = match self.dtype {
            Dtype::U8 => Elements::U8(passed.into_iter().map(u8::from).collect()),
            _ => Elements::Bool(passed),
        };
        let result = Tensor::from_elements(tensor.shape(), elements)?;
        put(table, &self.output, self.to.as_deref(), result)
    }

    fn passed<T: Real>(&self, items: &[T]) -> Result<Vec<bool>, usize> {
        if let Some(index) = items.iter().position(|item| item.is_nan()) {
            return Err(index);
        }
        let at = T::of(self.at);
        Ok(match self.passes {
            Comparison::AtLeast => items.iter().map(|&item| item >= at).collect(),
            Comparison::Above => items.iter().map(|&item| item > at).collect(),
            Comparison::AtMost => items.iter().map(|&item| item <= at).collect(),
            Comparison::Below => items.iter().map(|&item| item < at).collect(),
        })
    }
}

/// The label of every class index, for outputs of any shape.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Labels {
    /// Whole numbers of any numeric dtype (bools are 0 and 1). One without a label is the model's failure.
    pub output: String,
    /// The first is that of class 0.
    pub labels: Vec<String>,
    /// The new column of strings; unless said, the result replaces the output.
    #[serde(default)]
    pub to: Option<String>,
}

impl Labels {
    /// # Errors
    /// A model failure where there are no labels.
    pub fn check(&self) -> Result<(), Failure> {
        match self.labels.len() {
            0 => Err(fault("labels", "labels").expected("at least one").actual("none")),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// A model failure where the output isn't there or isn't numeric, a value is no index of a label, or
    /// `to` is taken.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        let tensor = table.get(&self.output)?;
        let labels = self.labels(tensor.elements()).map_err(|index| match tensor.dtype() {
            Dtype::String => fault("labels", "output").expected("class indices").actual(tensor.to_string()),
            _ => element(&self.output, tensor, index)
                .expected(format!("a class index in 0..{}", self.labels.len()))
                .actual(number::text(tensor.elements(), index).unwrap_or_else(|| "NaN".to_owned())),
        })?;
        let result = Tensor::from_elements(tensor.shape(), Elements::String(labels))?;
        put(table, &self.output, self.to.as_deref(), result)
    }

    /// # Errors
    /// The index of the first element that has no label.
    fn labels(&self, elements: &Elements) -> Result<Vec<Option<String>>, usize> {
        let label = |(index, class): (usize, Option<i64>)| {
            let class = class.and_then(|class| usize::try_from(class).ok());
            class.and_then(|class| self.labels.get(class)).map(|label| Some(label.clone())).ok_or(index)
        };
        match elements {
            Elements::F16(items) => {
                items.iter().map(|&bits| whole(f64::from(f16_to_f32(bits)))).enumerate().map(label).collect()
            }
            Elements::F32(items) => {
                items.iter().map(|&item| whole(f64::from(item))).enumerate().map(label).collect()
            }
            Elements::F64(items) => items.iter().map(|&item| whole(item)).enumerate().map(label).collect(),
            integers => {
                let mut classes: Vec<i64> = Vec::with_capacity(integers.len());
                number::convert(integers, 0..integers.len(), Missing::Error, |class| classes.push(class))?;
                classes.into_iter().map(Some).enumerate().map(label).collect()
            }
        }
    }
}
