//! [`Log1p`], [`Clip`] and [`Bin`]: one formula for every feature.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::choose::check_columns;
use super::number::{Number, convert, with_number};
use super::real::{self, Formula, Real};
use super::{Missing, Table, cell, fault};
use crate::{Dtype, Elements, Failure, Tensor};

/// `ln(1 + x)`, for columns of any shape. Dtypes as [`Standardise`](super::Standardise).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Log1p {
    /// Each once. Values must be above -1.
    pub columns: Vec<String>,
    /// NaN.
    #[serde(default)]
    pub missing: Missing,
}

impl Log1p {
    /// # Errors
    /// A model failure where there are no columns or one is named twice.
    pub fn check(&self) -> Result<(), Failure> {
        check_columns("log1p", &self.columns)
    }

    /// # Errors
    /// A caller failure for -1 or less; a model failure where a column isn't there or isn't numeric.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        table.map_features(&self.columns, |name, tensor, _| {
            real::map(name, tensor, 0, self.missing, self).map(Some)
        })?;
        Ok(())
    }
}

impl Formula for Log1p {
    const TAKES: &'static str = "a number above -1";

    fn takes<T: Real>(value: T) -> bool {
        value > T::of(-1.0)
    }

    fn compute<T: Real>(&self, value: T, _: usize) -> T {
        value.ln_1p()
    }
}

/// Moves values below `min` to `min` and values above `max` to `max`, for columns of any shape.
///
/// Integers keep their dtype and need whole bounds that it holds; `f16` becomes `f32`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Clip {
    /// Each once.
    pub columns: Vec<String>,
    /// The least value, in the columns' unit.
    #[serde(default)]
    pub min: Option<f64>,
    /// The greatest value, in the columns' unit.
    #[serde(default)]
    pub max: Option<f64>,
    /// NaN.
    #[serde(default)]
    pub missing: Missing,
}

impl Clip {
    /// # Errors
    /// A model failure for no bound, a NaN, or `max` below `min`.
    pub fn check(&self) -> Result<(), Failure> {
        check_columns("clip", &self.columns)?;
        let (min, max) = (self.min.unwrap_or(f64::NEG_INFINITY), self.max.unwrap_or(f64::INFINITY));
        if self.min.is_none() && self.max.is_none() {
            return Err(fault("clip", "min, max").expected("one of them").actual("neither"));
        }
        if min.is_nan() || max.is_nan() || min > max {
            return Err(fault("clip", "min, max").expected("min <= max").actual(format!("{min}, {max}")));
        }
        Ok(())
    }

    /// # Errors
    /// A caller failure for a missing value; a model failure where a column isn't there or isn't
    /// numeric, or a bound isn't of its dtype.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        table.map_features(&self.columns, |name, tensor, _| {
            match tensor.dtype() {
                Dtype::F16 | Dtype::F32 | Dtype::F64 | Dtype::String => {
                    real::map(name, tensor, 0, self.missing, self)
                }
                dtype => with_number!(dtype, T => self.integers::<T>(name, tensor), Err(real::strings(name, tensor))),
            }
            .map(Some)
        })?;
        Ok(())
    }

    fn integers<T: Number>(&self, name: &str, tensor: &Tensor) -> Result<Elements, Failure> {
        let bound = |field: &str, value: Option<f64>, open: i64| match value {
            Some(value) if T::from_f64(value).is_none() => Err(fault("clip", field)
                .expected(format!("a value of column {name:?}, {}", tensor.dtype()))
                .actual(value.to_string())),
            Some(value) => Ok(super::number::whole(value).unwrap_or(open)),
            None => Ok(open),
        };
        let (min, max) = (bound("min", self.min, i64::MIN)?, bound("max", self.max, i64::MAX)?);
        let elements = tensor.elements();
        let mut items: Vec<T> = Vec::with_capacity(elements.len());
        convert(elements, 0..elements.len(), self.missing, |item: i64| {
            items.push(T::from_i64(item.max(min).min(max)).expect("item and bounds are values of the dtype"));
        })
        .map_err(|index| cell(name, tensor, index))?;
        Ok(T::wrap(items))
    }
}

impl Formula for Clip {
    const TAKES: &'static str = "a number";

    fn takes<T: Real>(_: T) -> bool {
        true
    }

    fn compute<T: Real>(&self, value: T, _: usize) -> T {
        let raised = match self.min.map(T::of) {
            Some(min) if value < min => min,
            _ => value,
        };
        match self.max.map(T::of) {
            Some(max) if raised > max => max,
            _ => raised,
        }
    }
}

/// The number of the interval that a value lies in, as scikit-learn's `KBinsDiscretizer` counts
/// with `encode = "ordinal"`.
///
/// Interval `i` is `edges[i] <= x < edges[i + 1]`; values beyond the outer edges belong to the first
/// and the last interval. Dtypes as [`Standardise`](super::Standardise); edges are compared in `f64`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bin {
    /// A column of any shape.
    pub column: String,
    /// Ascending, the outer ones included, in the column's unit (`bin_edges_`): one more than intervals.
    pub edges: Vec<f64>,
    /// NaN.
    #[serde(default)]
    pub missing: Missing,
}

impl Bin {
    /// # Errors
    /// A model failure for fewer than two edges, or edges that don't ascend.
    pub fn check(&self) -> Result<(), Failure> {
        if self.edges.len() < 2 {
            return Err(fault("bin", "edges").expected("at least 2").actual(self.edges.len().to_string()));
        }
        match self.edges.windows(2).position(|pair| pair[0].partial_cmp(&pair[1]) != Some(Ordering::Less)) {
            Some(index) => Err(fault("bin", "edges").expected("ascending numbers").actual(format!(
                "{}, {}",
                self.edges[index],
                self.edges[index + 1]
            ))),
            None => Ok(()),
        }
    }

    /// # Errors
    /// A caller failure for a missing value; a model failure where the column isn't there or isn't numeric.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        table.map_features(std::slice::from_ref(&self.column), |name, tensor, _| {
            real::map(name, tensor, 0, self.missing, self).map(Some)
        })?;
        Ok(())
    }
}

impl Formula for Bin {
    const TAKES: &'static str = "a number";

    fn takes<T: Real>(_: T) -> bool {
        true
    }

    fn compute<T: Real>(&self, value: T, _: usize) -> T {
        if value.is_nan() {
            return value;
        }
        let inner = self.edges.get(1..self.edges.len().saturating_sub(1)).unwrap_or_default();
        T::of(inner.partition_point(|&edge| edge <= value.wide()) as f64)
    }
}
