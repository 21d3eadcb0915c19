//! `NegativeLogLikelihoodLoss` and `SoftmaxCrossEntropyLoss`.

use tract_onnx::tract_hir::internal::*;

use super::walk::around;
use super::{Call, Kernel};
use crate::Tensor;

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "NegativeLogLikelihoodLoss" => |call| {
            let x = call.input(0)?;
            Ok(vec![loss(call, x, &x.f64s()?)?])
        },
        "SoftmaxCrossEntropyLoss" => |call| {
            let x = call.input(0)?;
            let logs = log_softmax(x)?;
            Ok(vec![loss(call, x, &logs)?, Tensor::like(x, x.shape(), logs)?])
        },
        _ => return None,
    })
}

/// Over the classes, axis 1.
fn log_softmax(x: &Tensor) -> TractResult<Vec<f64>> {
    ensure!(x.shape().len() >= 2, "expected two axes or more, got {:?}", x.shape());
    let (outer, classes, inner) = around(x.shape(), 1);
    let mut values = x.f64s()?;
    for o in 0..outer {
        for i in 0..inner {
            let places = (0..classes).map(|c| (o * classes + c) * inner + i);
            let largest = places.clone().map(|at| values[at]).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = places.clone().map(|at| (values[at] - largest).exp()).sum();
            places.for_each(|at| values[at] -= largest + sum.ln());
        }
    }
    Ok(values)
}

fn loss(call: &Call, x: &Tensor, logs: &[f64]) -> TractResult<Tensor> {
    ensure!(x.shape().len() >= 2, "expected two axes or more, got {:?}", x.shape());
    let (outer, classes, inner) = around(x.shape(), 1);
    let targets = call.input(1)?;
    ensure!(targets.len() == outer * inner, "expected {} targets, got {}", outer * inner, targets.len());
    let weights = call.optional(2).map(Tensor::f64s).transpose()?;
    let ignored = call.attribute("ignore_index").map(|attribute| attribute.i);
    let (mut losses, mut total) = (Vec::with_capacity(targets.len()), 0.0);
    for (at, &target) in targets.i64s()?.iter().enumerate() {
        if Some(target) == ignored {
            losses.push(0.0);
            continue;
        }
        let class = super::gather::position(target, classes)?;
        let weight = match &weights {
            Some(weights) => *weights.get(class).context("there are fewer weights than classes")?,
            None => 1.0,
        };
        total += weight;
        losses.push(-weight * logs[(at / inner * classes + class) * inner + at % inner]);
    }
    let sum: f64 = losses.iter().sum();
    match call.text("reduction", "mean").as_str() {
        "none" => Tensor::like(x, targets.shape(), losses),
        "sum" => Tensor::like(x, &[], vec![sum]),
        "mean" => Tensor::like(x, &[], vec![sum / total]),
        other => bail!("expected the reduction none, sum or mean, got {other:?}"),
    }
}
