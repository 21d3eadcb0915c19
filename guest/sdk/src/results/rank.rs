//! [`Argmax`] and [`TopK`]: which classes score best.

use serde::{Deserialize, Serialize};

use super::activation::last;
use super::{Lanes, check_axis, element, put, with_floats};
use crate::table::real::Real;
use crate::table::{Table, fault};
use crate::{Elements, Failure, Tensor};

/// The index of the greatest element along one axis, as `i64`; the first of equals. The axis goes:
/// `[N, C, H, W]` along axis 1 gives `[N, H, W]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Argmax {
    /// A float output. NaN is the model's failure.
    pub output: String,
    /// The classes' axis, the last one unless said; not 0.
    #[serde(default = "last")]
    pub axis: i32,
    /// The new column; unless said, the result replaces the output.
    #[serde(default)]
    pub to: Option<String>,
}

impl Argmax {
    /// # Errors
    /// A model failure for the instances' axis.
    pub fn check(&self) -> Result<(), Failure> {
        check_axis("argmax", self.axis)
    }

    /// # Errors
    /// A model failure where the output isn't there, isn't a float, holds NaN, has no such axis, or the
    /// axis is empty.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        let tensor = table.get(&self.output)?;
        let lanes = Lanes::along("argmax", tensor, self.axis)?;
        if lanes.count == 0 {
            return Err(fault("argmax", "axis").expected("at least one element").actual(tensor.to_string()));
        }
        let best = with_floats!("argmax", tensor, items => {
            argmax(items, &lanes)
                .map_err(|index| element(&self.output, tensor, index).expected("a number").actual("NaN"))
        })?;
        let result = Tensor::new(&Lanes::reduced(tensor, self.axis), best)?;
        put(table, &self.output, self.to.as_deref(), result)
    }
}

/// # Errors
/// The index of the first NaN.
fn argmax<T: Real>(items: &[T], lanes: &Lanes) -> Result<Vec<i64>, usize> {
    if let Some(index) = items.iter().position(|item| item.is_nan()) {
        return Err(index);
    }
    if items.is_empty() {
        return Ok(Vec::new());
    }
    if lanes.inner == 1 {
        return Ok(items.chunks_exact(lanes.count).map(greatest).collect());
    }
    let mut best = vec![0; lanes.outer * lanes.inner];
    for (block, best) in items.chunks_exact(lanes.count * lanes.inner).zip(best.chunks_exact_mut(lanes.inner))
    {
        let mut greatest = block[..lanes.inner].to_vec();
        for (class, plane) in (0i64..).zip(block.chunks_exact(lanes.inner)) {
            for ((best, greatest), &item) in best.iter_mut().zip(&mut greatest).zip(plane) {
                if item > *greatest {
                    (*best, *greatest) = (class, item);
                }
            }
        }
    }
    Ok(best)
}

/// The first of a lane's greatest elements.
fn greatest<T: Real>(lane: &[T]) -> i64 {
    let first = (0, lane[0]);
    let (best, _) = (0i64..).zip(lane).fold(first, |best, (class, &item)| match item > best.1 {
        true => (class, item),
        false => best,
    });
    best
}

/// The `k` classes that score best, best first; of equals, the one with the lower index first.
///
/// Adds two columns `[N, k]` behind the others and leaves the output: the classes' labels as text (their
/// indices as `i64` where there are no labels), and their scores in the output's dtype (`f32` for `f16`).
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TopK {
    /// A float output `[N, C]`. NaN is the model's failure.
    pub output: String,
    /// 1..=C.
    pub k: usize,
    /// One per class, in the classes' order.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
    /// The name of the column of labels, `label` unless said.
    #[serde(default = "label")]
    pub label: String,
    /// The name of the column of scores, `score` unless said.
    #[serde(default = "score")]
    pub score: String,
}

fn label() -> String {
    "label".to_owned()
}

fn score() -> String {
    "score".to_owned()
}

impl TopK {
    /// # Errors
    /// A model failure where `k` is 0 or beyond the labels, or both columns have one name.
    pub fn check(&self) -> Result<(), Failure> {
        const STEP: &str = "top-k";
        let most = self.labels.as_ref().map_or(usize::MAX, Vec::len);
        if self.k == 0 {
            return Err(fault(STEP, "k").expected("at least 1").actual("0"));
        }
        if self.k > most {
            return Err(fault(STEP, "k")
                .expected(format!("at most {most} (labels)"))
                .actual(self.k.to_string()));
        }
        if self.label == self.score {
            return Err(fault(STEP, "label, score")
                .expected("two names")
                .actual(format!("{:?} twice", self.label)));
        }
        Ok(())
    }

    /// # Errors
    /// A model failure where the output isn't there, isn't a float `[N, C]`, holds NaN, has fewer than
    /// `k` classes or another number of them than labels, or a name is taken.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        let tensor = table.get(&self.output)?;
        let &[rows, classes] = tensor.shape() else {
            return Err(fault("top-k", "output").expected("a shape [N, C]").actual(tensor.to_string()));
        };
        if let Some(labels) = self.labels.as_ref().filter(|labels| labels.len() != classes) {
            return Err(fault("top-k", "labels")
                .expected(format!("{classes} (classes of {tensor})"))
                .actual(labels.len().to_string()));
        }
        if self.k > classes {
            return Err(fault("top-k", "k")
                .expected(format!("at most {classes} (classes of {tensor})"))
                .actual(self.k.to_string()));
        }
        let (best, scores) = with_floats!("top-k", tensor, items => {
            top(items, classes, self.k)
                .map_err(|index| element(&self.output, tensor, index).expected("a number").actual("NaN"))
        })?;
        let named = match &self.labels {
            Some(labels) => Elements::String(best.iter().map(|&class| Some(labels[class].clone())).collect()),
            None => Elements::I64(best.iter().map(|&class| class as i64).collect()),
        };
        table.insert(self.label.as_str(), Tensor::from_elements(&[rows, self.k], named)?)?;
        table.insert(self.score.as_str(), Tensor::from_elements(&[rows, self.k], scores)?)
    }
}

/// The best `k` classes of every row, and their scores.
///
/// # Errors
/// The index of the first NaN.
fn top<T: Real>(items: &[T], classes: usize, k: usize) -> Result<(Vec<usize>, Elements), usize> {
    if let Some(index) = items.iter().position(|item| item.is_nan()) {
        return Err(index);
    }
    let rows = items.len() / classes.max(1);
    let (mut indices, mut scores) = (Vec::with_capacity(rows * k), Vec::with_capacity(rows * k));
    let mut best: Vec<(T, usize)> = Vec::with_capacity(k.min(classes).min(items.len()));
    for row in items.chunks_exact(classes.max(1)) {
        best.clear();
        for (class, &item) in row.iter().enumerate() {
            if best.len() == k {
                match best.last() {
                    Some(&(least, _)) if item > least => best.pop(),
                    _ => continue,
                };
            }
            let place = best.partition_point(|&(other, _)| other >= item);
            best.insert(place, (item, class));
        }
        indices.extend(best.iter().map(|&(_, class)| class));
        scores.extend(best.iter().map(|&(score, _)| score));
    }
    Ok((indices, T::wrap(scores)))
}
