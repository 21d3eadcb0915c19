//! Elements written to places that indices name.

use tract_onnx::tract_hir::internal::*;

use super::gather::{position, rows_of_indices};
use super::walk::{indices, place, strides};
use super::{Call, Kernel};
use crate::Tensor;

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "ScatterElements" | "Scatter" => scatter_elements,
        "ScatterND" => scatter_nd,
        "TensorScatter" => tensor_scatter,
        _ => return None,
    })
}

/// Writes `updates` to `places`, each combined with what is there.
fn combined(x: &Tensor, places: &[usize], updates: &Tensor, reduction: &str) -> TractResult<Tensor> {
    if reduction == "none" {
        return x.with(places, updates);
    }
    let combine: fn(f64, f64) -> f64 = match reduction {
        "add" => |a, b| a + b,
        "mul" => |a, b| a * b,
        "max" => f64::max,
        "min" => f64::min,
        other => bail!("expected the reduction none, add, mul, max or min, got {other:?}"),
    };
    let mut values = x.f64s()?;
    for (&at, update) in places.iter().zip(updates.f64s()?) {
        values[at] = combine(values[at], update);
    }
    Tensor::like(x, x.shape(), values)
}

fn scatter_elements(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, at, updates) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let axis = x.axis(call.int("axis", 0))?;
    ensure!(at.shape().len() == x.shape().len(), "expected {} axes, got {:?}", x.shape().len(), at.shape());
    ensure!(at.shape() == updates.shape(), "expected {:?} updates, got {:?}", at.shape(), updates.shape());
    let own = strides(x.shape());
    let places = indices(at.shape()).zip(at.i64s()?).map(|(mut index, i)| {
        index[axis] = position(i, x.shape()[axis])?;
        ensure!(index.iter().zip(x.shape()).all(|(i, dim)| i < dim), "indices exceed {:?}", x.shape());
        Ok(place(&index, &own))
    });
    let places = places.collect::<TractResult<Vec<_>>>()?;
    Ok(vec![combined(x, &places, updates, &call.text("reduction", "none"))?])
}

fn scatter_nd(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, at, updates) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let (starts, block) = rows_of_indices(x.shape(), at, 0)?;
    let places: Vec<usize> = starts.iter().flat_map(|&start| start..start + block).collect();
    ensure!(places.len() == updates.len(), "expected {} updates, got {}", places.len(), updates.len());
    Ok(vec![combined(x, &places, updates, &call.text("reduction", "none"))?])
}

fn tensor_scatter(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, updates) = (call.input(0)?, call.input(1)?);
    let axis = x.axis(call.int("axis", -2))?;
    let circular = call.text("mode", "linear") == "circular";
    let batch = x.shape().first().copied().unwrap_or(0);
    let starts = call.optional(2).map(Tensor::i64s).transpose()?.unwrap_or_else(|| vec![0; batch]);
    ensure!(starts.len() == batch && axis > 0, "expected {batch} write indices, got {}", starts.len());
    ensure!(updates.shape().len() == x.shape().len(), "expected {} axes in the update", x.shape().len());
    let own = strides(x.shape());
    let places = indices(updates.shape()).map(|mut index| {
        let start = *starts.get(index[0]).context("the update has more batches")?;
        let at = start + index[axis] as i64;
        index[axis] = if circular {
            at.rem_euclid(x.shape()[axis] as i64) as usize
        } else {
            position(at, x.shape()[axis])?
        };
        ensure!(index.iter().zip(x.shape()).all(|(i, dim)| i < dim), "the update exceeds {:?}", x.shape());
        Ok(place(&index, &own))
    });
    Ok(vec![x.with(&places.collect::<TractResult<Vec<_>>>()?, updates)?])
}
