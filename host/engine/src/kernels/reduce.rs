//! Reductions over axes, and running sums and products along one.

use tract_onnx::tract_hir::internal::*;

use super::walk::{Walk, around, strides};
use super::{Call, Kernel};
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "ReduceSum" => |call| reduced(call, 0.0, |a, x| a + x, |a, _| a),
        "ReduceMean" => |call| reduced(call, 0.0, |a, x| a + x, |a, n| a / n),
        "ReduceProd" => |call| reduced(call, 1.0, |a, x| a * x, |a, _| a),
        "ReduceMax" => {
            |call| reduced(call, f64::NEG_INFINITY, |a, x| if x.is_nan() || x > a { x } else { a }, |a, _| a)
        }
        "ReduceMin" => {
            |call| reduced(call, f64::INFINITY, |a, x| if x.is_nan() || x < a { x } else { a }, |a, _| a)
        }
        "ReduceL1" => |call| reduced(call, 0.0, |a, x| a + x.abs(), |a, _| a),
        "ReduceL2" => |call| reduced(call, 0.0, |a, x| a + x * x, |a, _| a.sqrt()),
        "ReduceSumSquare" => |call| reduced(call, 0.0, |a, x| a + x * x, |a, _| a),
        "ReduceLogSum" => |call| reduced(call, 0.0, |a, x| a + x, |a, _| a.ln()),
        "ReduceLogSumExp" => log_sum_exp,
        "CumSum" => |call| running(call, 0.0, |a, x| a + x),
        "CumProd" => |call| running(call, 1.0, |a, x| a * x),
        _ => return None,
    })
}

/// Axes that are reduced, and the shapes with 1 for them and without them.
type Axes = (Vec<usize>, Vec<usize>, Vec<usize>);

/// `None` if nothing is to be done.
fn axes(call: &Call) -> TractResult<Option<Axes>> {
    let x = call.input(0)?;
    let given = call.ints_or_input("axes", 1)?.unwrap_or_default();
    if given.is_empty() && call.int("noop_with_empty_axes", 0) != 0 {
        return Ok(None);
    }
    let axes: Vec<usize> = match given.is_empty() {
        true => (0..x.shape().len()).collect(),
        false => given.iter().map(|&axis| x.axis(axis)).collect::<TractResult<_>>()?,
    };
    let dims = x.shape().iter().enumerate();
    let kept = dims.clone().map(|(at, &dim)| if axes.contains(&at) { 1 } else { dim }).collect();
    let left = dims.filter(|(at, _)| !axes.contains(at)).map(|(_, &dim)| dim).collect();
    Ok(Some((axes, kept, left)))
}

fn reduced(
    call: &Call,
    start: f64,
    step: fn(f64, f64) -> f64,
    end: fn(f64, f64) -> f64,
) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let Some((_, kept, left)) = axes(call)? else {
        return Ok(vec![Tensor::like(
            x,
            x.shape(),
            x.f64s()?.iter().map(|&v| end(step(start, v), 1.0)).collect(),
        )?]);
    };
    let mut totals = vec![start; kept.iter().product()];
    for (at, value) in into(x.shape(), &kept).zip(x.f64s()?) {
        totals[at] = step(totals[at], value);
    }
    let count = x.len() as f64 / totals.len() as f64;
    totals.iter_mut().for_each(|total| *total = end(*total, count));
    if x.dtype() == Dtype::Bool {
        totals.iter_mut().for_each(|total| *total = f64::from(u8::from(*total > 0.0)));
    }
    Ok(vec![Tensor::like(x, if call.int("keepdims", 1) != 0 { &kept } else { &left }, totals)?])
}

/// Where each element goes in a tensor of `kept`, whose reduced dims are 1.
fn into(shape: &[usize], kept: &[usize]) -> Walk {
    let steps = strides(kept).into_iter().zip(kept).map(|(step, &dim)| if dim == 1 { 0 } else { step });
    Walk::new(shape, steps.collect(), 0)
}

/// Around the largest, so that nothing overflows.
fn log_sum_exp(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let Some((_, kept, left)) = axes(call)? else {
        return Ok(vec![x.clone()]);
    };
    let values = x.f64s()?;
    let places: Vec<usize> = into(x.shape(), &kept).collect();
    let count = kept.iter().product();
    let mut largest = vec![f64::NEG_INFINITY; count];
    places.iter().zip(&values).for_each(|(&at, &v)| largest[at] = largest[at].max(v));
    let mut sums = vec![0.0; count];
    places.iter().zip(&values).for_each(|(&at, &v)| {
        sums[at] += if largest[at].is_infinite() { v.exp() } else { (v - largest[at]).exp() };
    });
    let finite = |max: f64| if max.is_infinite() { 0.0 } else { max };
    let totals = sums.iter().zip(&largest).map(|(sum, &max)| sum.ln() + finite(max)).collect();
    Ok(vec![Tensor::like(x, if call.int("keepdims", 1) != 0 { &kept } else { &left }, totals)?])
}

fn running(call: &Call, start: f64, step: fn(f64, f64) -> f64) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let axis = x.axis(call.input(1)?.integer()?)?;
    let (exclusive, reverse) = (call.int("exclusive", 0) != 0, call.int("reverse", 0) != 0);
    let (outer, dim, inner) = around(x.shape(), axis);
    let mut values = x.f64s()?;
    for o in 0..outer {
        for i in 0..inner {
            let mut total = start;
            for at in 0..dim {
                let at = if reverse { dim - 1 - at } else { at };
                let value = &mut values[(o * dim + at) * inner + i];
                let next = step(total, *value);
                *value = if exclusive { total } else { next };
                total = next;
            }
        }
    }
    Ok(vec![Tensor::like(x, x.shape(), values)?])
}
