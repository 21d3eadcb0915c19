//! [`Softmax`], [`Sigmoid`] and [`Round`]: arithmetic that keeps an output's shape.

use serde::{Deserialize, Serialize};

use super::{Lanes, check_axis, with_floats};
use crate::table::real::{self, Formula, Real};
use crate::table::{Missing, Table, fault};
use crate::{Elements, Failure, Tensor};

/// `exp(x) / Σ exp(x)` along one axis, in place, computed as `exp(x - max)` so that nothing overflows.
///
/// `f32` and `f16` give `f32` (the sum is kept in `f64`), `f64` gives `f64`; the result is in 0..=1 and
/// sums to 1. A lane with NaN or +∞, or with nothing but -∞, becomes NaN.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Softmax {
    pub output: String,
    /// The classes' axis, the last one unless said; not 0.
    #[serde(default = "last")]
    pub axis: i32,
}

pub(super) fn last() -> i32 {
    -1
}

impl Softmax {
    /// # Errors
    /// A model failure for the instances' axis.
    pub fn check(&self) -> Result<(), Failure> {
        check_axis("softmax", self.axis)
    }

    /// # Errors
    /// A model failure where the output isn't there, isn't a float, or has no such axis.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        let tensor = table.get(&self.output)?;
        let lanes = Lanes::along("softmax", tensor, self.axis)?;
        let elements = with_floats!("softmax", tensor, items => Ok(softmax(items, &lanes)))?;
        let result = Tensor::from_elements(tensor.shape(), elements)?;
        table.replace(&self.output, result)
    }
}

fn softmax<T: Real>(items: &[T], lanes: &Lanes) -> Elements {
    let mut out = items.to_vec();
    if out.is_empty() {
        return T::wrap(out);
    }
    if lanes.inner == 1 {
        for lane in out.chunks_exact_mut(lanes.count) {
            let greatest = lane.iter().fold(lane[0], |most, &item| if item > most { item } else { most });
            let mut sum = 0.0;
            for item in &mut *lane {
                *item = (*item - greatest).exp();
                sum += item.wide();
            }
            let sum = T::of(sum);
            lane.iter_mut().for_each(|item| *item = *item / sum);
        }
        return T::wrap(out);
    }
    // Plane by plane: memory is walked in order however far apart a lane's elements lie.
    let mut sums = vec![0.0; lanes.inner];
    for block in out.chunks_exact_mut(lanes.count * lanes.inner) {
        let mut greatest = block[..lanes.inner].to_vec();
        for plane in block.chunks_exact(lanes.inner) {
            for (most, &item) in greatest.iter_mut().zip(plane) {
                if item > *most {
                    *most = item;
                }
            }
        }
        sums.fill(0.0);
        for plane in block.chunks_exact_mut(lanes.inner) {
            for ((item, &most), sum) in plane.iter_mut().zip(&greatest).zip(&mut sums) {
                *item = (*item - most).exp();
                *sum += item.wide();
            }
        }
        for plane in block.chunks_exact_mut(lanes.inner) {
            plane.iter_mut().zip(&sums).for_each(|(item, &sum)| *item = *item / T::of(sum));
        }
    }
    T::wrap(out)
}

/// `1 / (1 + exp(-x))`, in place, for outputs of any shape: the logistic function, in 0..=1.
///
/// `f32` and `f16` give `f32`, other numbers `f64`. NaN stays NaN.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sigmoid {
    pub output: String,
}

impl Sigmoid {
    /// # Errors
    /// None: every configuration can work.
    pub fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// # Errors
    /// A model failure where the output isn't there or isn't numeric.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        compute(table, &self.output, self)
    }
}

impl Formula for Sigmoid {
    const TAKES: &'static str = "a number";

    fn takes<T: Real>(_: T) -> bool {
        true
    }

    fn compute<T: Real>(&self, value: T, _: usize) -> T {
        let (zero, one) = (T::of(0.0), T::of(1.0));
        if value < zero {
            // exp(-x) would overflow long before the result is too small for the dtype.
            let power = value.exp();
            return power / (one + power);
        }
        one / (one + (zero - value).exp())
    }
}

/// Rounds to a number of decimal places, in place, for outputs of any shape: to the nearest, ties to
/// even, computed as NumPy's `round` does (`rint(x * 10^d) / 10^d`).
///
/// Integers stay as they are; `f16` becomes `f32`. NaN and infinities stay, and so does a value too
/// great for `x * 10^d`: it has no such places.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Round {
    pub output: String,
    /// Places behind the point, 0..=15.
    pub digits: u8,
}

impl Round {
    const MOST: u8 = 15;

    /// # Errors
    /// A model failure for more digits than a float has.
    pub fn check(&self) -> Result<(), Failure> {
        match self.digits {
            0..=Self::MOST => Ok(()),
            digits => Err(fault("round", "digits").expected("0..=15").actual(digits.to_string())),
        }
    }

    /// # Errors
    /// A model failure where the output isn't there or isn't numeric.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        match table.get(&self.output)?.elements() {
            Elements::F16(_) | Elements::F32(_) | Elements::F64(_) | Elements::String(_) => {
                compute(table, &self.output, self)
            }
            _ => Ok(()),
        }
    }
}

impl Formula for Round {
    const TAKES: &'static str = "a number";

    fn takes<T: Real>(_: T) -> bool {
        true
    }

    fn compute<T: Real>(&self, value: T, _: usize) -> T {
        let power = T::of(10f64.powi(i32::from(self.digits.min(Self::MOST))));
        let scaled = value * power;
        if scaled.wide().is_finite() { scaled.round_ties_even() / power } else { value }
    }
}

fn compute(table: &mut Table, output: &str, formula: &impl Formula) -> Result<(), Failure> {
    let tensor = table.get(output)?;
    let elements = real::map(output, tensor, 0, Missing::Keep, formula)?;
    let result = Tensor::from_elements(tensor.shape(), elements)?;
    table.replace(output, result)
}
