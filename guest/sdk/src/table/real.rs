//! Formulas over float columns: one place for dtypes and missing values.

use super::{Missing, cell, number};
use crate::{Elements, Failure, Tensor, f16_to_f32};

/// The floats that formulas are computed in.
pub(crate) trait Real:
    Copy
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
{
    /// The nearest value of this type.
    fn of(value: f64) -> Self;
    fn wide(self) -> f64;
    fn is_nan(self) -> bool;
    fn exp(self) -> Self;
    fn ln_1p(self) -> Self;
    fn round_ties_even(self) -> Self;
    fn wrap(items: Vec<Self>) -> Elements;
}

macro_rules! real {
    ($($type:ident => $variant:ident),*) => {$(
        impl Real for $type {
            fn of(value: f64) -> Self {
                value as Self
            }
            fn wide(self) -> f64 {
                f64::from(self)
            }
            fn is_nan(self) -> bool {
                $type::is_nan(self)
            }
            fn exp(self) -> Self {
                $type::exp(self)
            }
            fn ln_1p(self) -> Self {
                $type::ln_1p(self)
            }
            fn round_ties_even(self) -> Self {
                $type::round_ties_even(self)
            }
            fn wrap(items: Vec<Self>) -> Elements {
                Elements::$variant(items)
            }
        }
    )*};
}
real!(f32 => F32, f64 => F64);

/// What a step computes from one element.
pub(crate) trait Formula {
    /// What it takes, for messages.
    const TAKES: &'static str;
    /// Whether it takes `value`; NaN never comes here.
    fn takes<T: Real>(value: T) -> bool;
    /// `feature` counts the elements of one instance across the step's columns.
    fn compute<T: Real>(&self, value: T, feature: usize) -> T;
}

/// Computes `formula` for every element of a column whose features begin at `first`.
///
/// `f32` and `f16` are computed in, and become, `f32`; `f64`, integers and bools `f64`.
///
/// # Errors
/// A caller failure for a value that the formula doesn't take, or a missing one unless `missing` is
/// `keep`; a model failure for strings.
pub(crate) fn map(
    name: &str,
    tensor: &Tensor,
    first: usize,
    missing: Missing,
    formula: &impl Formula,
) -> Result<Elements, Failure> {
    match tensor.elements() {
        Elements::F32(items) => over(name, tensor, items, first, missing, formula),
        Elements::F64(items) => over(name, tensor, items, first, missing, formula),
        Elements::F16(items) => {
            let items: Vec<f32> = items.iter().map(|&bits| f16_to_f32(bits)).collect();
            over(name, tensor, &items, first, missing, formula)
        }
        Elements::String(_) => Err(strings(name, tensor)),
        integers => {
            let mut items: Vec<f64> = Vec::with_capacity(integers.len());
            number::convert(integers, 0..integers.len(), missing, |item| items.push(item))
                .map_err(|index| cell(name, tensor, index).expected("an integer that f64 holds exactly"))?;
            over(name, tensor, &items, first, missing, formula)
        }
    }
}

fn over<T: Real, F: Formula>(
    name: &str,
    tensor: &Tensor,
    items: &[T],
    first: usize,
    missing: Missing,
    formula: &F,
) -> Result<Elements, Failure> {
    let keep = missing == Missing::Keep;
    let refused = items.iter().position(|&item| if item.is_nan() { !keep } else { !F::takes(item) });
    if let Some(index) = refused {
        return Err(cell(name, tensor, index).expected(F::TAKES));
    }
    let width = super::width(tensor);
    Ok(T::wrap(match width {
        1 => items.iter().map(|&item| formula.compute(item, first)).collect(),
        _ => {
            let mut out = Vec::with_capacity(items.len());
            for row in items.chunks_exact(width.max(1)) {
                out.extend(row.iter().zip(first..).map(|(&item, feature)| formula.compute(item, feature)));
            }
            out
        }
    }))
}

/// The failure of a step that computes, at a column of strings.
pub(crate) fn strings(name: &str, tensor: &Tensor) -> Failure {
    Failure::model(format!("column {name:?} is no number (cast or encode it first)"))
        .expected("a numeric dtype")
        .actual(tensor.to_string())
}
