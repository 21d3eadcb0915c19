//! Steps from a model's outputs to an answer: probabilities, classes, labels, masks.
//!
//! Outputs have the instances on their first axis, so a [`Table`] holds them. A
//! pipeline is a list of [`Step`]s, as a manifest writes it; the flow enters at [`Step::apply`].
//!
//! ```
//! use ampoule_guest::Tensor;
//! use ampoule_guest::results::Step;
//! use ampoule_guest::table::Table;
//!
//! let steps: Vec<Step> = serde_json::from_str(
//!     r#"[
//!         {"softmax": {"output": "logits"}},
//!         {"top-k": {"output": "logits", "k": 1, "labels": ["cat", "dog"]}},
//!         {"drop": {"columns": ["logits"]}}
//!     ]"#,
//! )?;
//! let mut table = Table::new();
//! table.insert("logits", Tensor::new(&[1, 2], vec![0f32, 0.0])?)?;
//! for step in &steps {
//!     step.check()?;
//!     step.apply(&mut table)?;
//! }
//! assert_eq!(table.get("score")?.items::<f32>()?, [0.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A step with a `to` adds that column behind the others and leaves the output; without `to` the
//! result takes the output's place. An axis is counted with the instances' as 0 and from behind when
//! negative, as NumPy does; no step reduces the instances' axis, so that no instance's answer
//! depends on another's.
//!
//! NaN goes through arithmetic (softmax, sigmoid, round) as NaN. A decision about NaN (argmax,
//! top-k, threshold, label) is the model's failure. `f16` becomes `f32`.
//!
//! # Not guaranteed
//! After a failure the table holds the columns of some moment within the step; drop it.

mod activation;
mod decide;
mod probability;
mod rank;
mod step;

pub use activation::{Round, Sigmoid, Softmax};
pub use decide::{Comparison, Labels, Threshold};
pub use probability::ProbabilityMap;
pub use rank::{Argmax, TopK};
pub use step::Step;

use crate::table::{Table, fault, width};
use crate::{Failure, Tensor};

/// A tensor around one axis: `outer` blocks of `count` planes of `inner` elements.
struct Lanes {
    outer: usize,
    count: usize,
    inner: usize,
}

impl Lanes {
    /// The lanes along `axis`, which must be one of an instance.
    fn along(step: &str, tensor: &Tensor, axis: i32) -> Result<Self, Failure> {
        let shape = tensor.shape();
        let from_front = match usize::try_from(axis) {
            Ok(axis) => Some(axis),
            Err(_) => shape.len().checked_sub(axis.unsigned_abs() as usize),
        };
        match from_front {
            Some(axis) if (1..shape.len()).contains(&axis) => Ok(Self {
                outer: product(&shape[..axis]),
                count: shape[axis],
                inner: product(&shape[axis + 1..]),
            }),
            _ => Err(fault(step, "axis")
                .expected(format!("an axis of {tensor} behind the instances"))
                .actual(axis.to_string())),
        }
    }

    /// The shape of `tensor` without the axis.
    fn reduced(tensor: &Tensor, axis: i32) -> Vec<usize> {
        let mut shape = tensor.shape().to_vec();
        let axis = usize::try_from(axis).unwrap_or_else(|_| shape.len() - axis.unsigned_abs() as usize);
        shape.remove(axis);
        shape
    }
}

fn product(axes: &[usize]) -> usize {
    axes.iter().fold(1, |product, &axis| product.saturating_mul(axis))
}

/// An axis that can't be one of an instance whatever the tensor.
fn check_axis(step: &str, axis: i32) -> Result<(), Failure> {
    match axis {
        0 => Err(fault(step, "axis").expected("an axis behind the instances").actual("0")),
        _ => Ok(()),
    }
}

/// Runs `$body` with the elements of a float tensor as `$items`: `&[f32]`, also for `f16`, or `&[f64]`.
macro_rules! with_floats {
    ($step:expr, $tensor:expr, $items:ident => $body:expr) => {
        match $tensor.elements() {
            $crate::Elements::F32(items) => {
                let $items = items.as_slice();
                $body
            }
            $crate::Elements::F64(items) => {
                let $items = items.as_slice();
                $body
            }
            $crate::Elements::F16(bits) => {
                let widened: Vec<f32> = bits.iter().map(|&bits| $crate::f16_to_f32(bits)).collect();
                let $items = widened.as_slice();
                $body
            }
            _ => Err($crate::table::fault($step, "output")
                .expected("f16, f32 or f64")
                .actual($tensor.to_string())),
        }
    };
}
use with_floats;

/// A failure of the model at the element `index` of an output: names the instance and which of its
/// elements, where it has several.
fn element(output: &str, tensor: &Tensor, index: usize) -> Failure {
    let width = width(tensor).max(1);
    let feature = if width == 1 { String::new() } else { format!("[{}]", index % width) };
    Failure::model(format!("output {output:?}{feature}")).at(index / width)
}

/// Adds `tensor` as the column `to`, or puts it in the place of `output`.
fn put(table: &mut Table, output: &str, to: Option<&str>, tensor: Tensor) -> Result<(), Failure> {
    match to {
        Some(to) if to != output => table.insert(to, tensor),
        _ => table.replace(output, tensor),
    }
}
