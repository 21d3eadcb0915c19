//! [`Standardise`] and [`MinMax`]: linear scaling, feature by feature.

use serde::{Deserialize, Serialize};

use super::choose::check_columns;
use super::real::{self, Formula, Real};
use super::{Missing, Table, fault};
use crate::Failure;

/// `(x - mean) / scale` for every feature, as scikit-learn's `StandardScaler` computes it.
///
/// A column `[N]` is one feature, a column `[N, …]` as many as one instance has elements; features
/// are counted through `columns` in order. `f32` and `f16` are computed in `f32` with the parameters
/// rounded to `f32`, and become `f32`; `f64`, integers and bools become `f64`. Infinities are
/// refused, as scikit-learn does.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Standardise {
    /// Each once.
    pub columns: Vec<String>,
    /// What is subtracted, in the feature's unit: one per feature, or none at all for 0 (`mean_`).
    #[serde(default)]
    pub mean: Vec<f64>,
    /// What is divided by, in the feature's unit: one per feature and not 0, or none at all for 1 (`scale_`).
    #[serde(default)]
    pub scale: Vec<f64>,
    /// NaN.
    #[serde(default)]
    pub missing: Missing,
}

impl Standardise {
    /// # Errors
    /// A model failure for parameters that aren't finite, a scale of 0, or lists of different lengths.
    pub fn check(&self) -> Result<(), Failure> {
        const STEP: &str = "standardise";
        check_columns(STEP, &self.columns)?;
        finite(STEP, "mean", &self.mean)?;
        finite(STEP, "scale", &self.scale)?;
        if let Some(index) = self.scale.iter().position(|&scale| scale == 0.0) {
            return Err(fault(STEP, "scale").expected("no zero").actual(format!("0 at {index}")));
        }
        if self.mean.is_empty() && self.scale.is_empty() {
            return Err(fault(STEP, "mean, scale").expected("one of them").actual("neither"));
        }
        if !self.mean.is_empty() && !self.scale.is_empty() {
            same_length(STEP, "scale", self.mean.len(), self.scale.len())?;
        }
        Ok(())
    }

    /// # Errors
    /// A caller failure for a value that isn't finite; a model failure where a column isn't there or
    /// isn't numeric, or the parameters are not as many as the features.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        scale(
            "standardise",
            "mean",
            table,
            &self.columns,
            self.mean.len().max(self.scale.len()),
            self.missing,
            self,
        )
    }
}

impl Formula for Standardise {
    const TAKES: &'static str = "a finite number";

    fn takes<T: Real>(value: T) -> bool {
        value.wide().is_finite()
    }

    fn compute<T: Real>(&self, value: T, feature: usize) -> T {
        let centred = self.mean.get(feature).map_or(value, |&mean| value - T::of(mean));
        self.scale.get(feature).map_or(centred, |&scale| centred / T::of(scale))
    }
}

/// Maps `min..=max` of every feature to a range, as scikit-learn's `MinMaxScaler` computes it:
/// `x * s + (low - min * s)` with `s = (high - low) / (max - min)`, or `s = high - low` where
/// `max = min`.
///
/// Features, dtypes and infinities as [`Standardise`]; for `f32` each of the two operations is computed
/// in `f64` and rounded.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MinMax {
    /// Each once.
    pub columns: Vec<String>,
    /// One per feature, in its unit (`data_min_`).
    pub min: Vec<f64>,
    /// One per feature, in its unit, and not below `min` (`data_max_`).
    pub max: Vec<f64>,
    /// `[low, high]` of the result, `[0, 1]` unless said.
    #[serde(default = "unit")]
    pub range: [f64; 2],
    /// Whether values outside of `min..=max` become `low` or `high`; otherwise they go beyond.
    #[serde(default)]
    pub clip: bool,
    /// NaN.
    #[serde(default)]
    pub missing: Missing,
}

fn unit() -> [f64; 2] {
    [0.0, 1.0]
}

impl MinMax {
    /// # Errors
    /// A model failure for parameters that aren't finite, a `max` below its `min`, an empty range,
    /// or lists of different lengths.
    pub fn check(&self) -> Result<(), Failure> {
        const STEP: &str = "min-max";
        check_columns(STEP, &self.columns)?;
        finite(STEP, "min", &self.min)?;
        finite(STEP, "max", &self.max)?;
        finite(STEP, "range", &self.range)?;
        same_length(STEP, "max", self.min.len(), self.max.len())?;
        for (index, (min, max)) in self.min.iter().zip(&self.max).enumerate() {
            if max < min {
                return Err(fault(STEP, &format!("max at {index}"))
                    .expected(format!("at least min, {min}"))
                    .actual(max.to_string()));
            }
        }
        let [low, high] = self.range;
        if low >= high {
            return Err(fault(STEP, "range").expected("low < high").actual(format!("[{low}, {high}]")));
        }
        Ok(())
    }

    /// # Errors
    /// As [`Standardise::apply`].
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        scale("min-max", "min", table, &self.columns, self.min.len(), self.missing, self)
    }
}

impl Formula for MinMax {
    const TAKES: &'static str = "a finite number";

    fn takes<T: Real>(value: T) -> bool {
        value.wide().is_finite()
    }

    #[inline]
    fn compute<T: Real>(&self, value: T, feature: usize) -> T {
        let (Some(min), Some(max)) = (self.min.get(feature), self.max.get(feature)) else {
            return value;
        };
        let [low, high] = self.range;
        // Ten roundings (scikit-learn's constant for "no spread at all") away from zero or less is none.
        let spread = if max - min < 10.0 * f64::EPSILON { 1.0 } else { max - min };
        let scale = (high - low) / spread;
        let scaled = T::of(T::of(value.wide() * scale).wide() + (low - min * scale));
        match self.clip {
            true if scaled < T::of(low) => T::of(low),
            true if scaled > T::of(high) => T::of(high),
            _ => scaled,
        }
    }
}

fn scale(
    step: &str,
    field: &str,
    table: &mut Table,
    columns: &[String],
    parameters: usize,
    missing: Missing,
    formula: &impl Formula,
) -> Result<(), Failure> {
    let features = table.map_features(columns, |name, tensor, range| {
        real::map(name, tensor, range.start, missing, formula).map(Some)
    })?;
    same_length(step, field, features, parameters)
}

pub(super) fn finite(step: &str, field: &str, values: &[f64]) -> Result<(), Failure> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => {
            Err(fault(step, field).expected("finite numbers").actual(format!("{} at {index}", values[index])))
        }
        None => Ok(()),
    }
}

/// A list has one value per feature.
pub(super) fn same_length(step: &str, field: &str, expected: usize, actual: usize) -> Result<(), Failure> {
    if expected == actual {
        return Ok(());
    }
    Err(fault(step, field).expected(format!("{expected} values")).actual(format!("{actual} values")))
}
