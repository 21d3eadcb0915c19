//! Functions of one number, element by element, computed in f64 and rounded once.

use tract_onnx::tract_hir::internal::*;

use super::{Call, Kernel};
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "Abs" => |call| whole(call, f64::abs, i64::wrapping_abs),
        "Neg" => |call| whole(call, |x| -x, i64::wrapping_neg),
        "Sign" => |call| whole(call, |x| if x == 0.0 { 0.0 } else { x.signum() }, i64::signum),
        "Ceil" => |call| map(call, f64::ceil),
        "Floor" => |call| map(call, f64::floor),
        "Round" => |call| map(call, f64::round_ties_even),
        "Sqrt" => |call| map(call, f64::sqrt),
        "Exp" => |call| map(call, f64::exp),
        "Log" => |call| map(call, f64::ln),
        "Reciprocal" => |call| map(call, |x| 1.0 / x),
        "Sigmoid" => |call| map(call, sigmoid),
        "Tanh" => |call| map(call, f64::tanh),
        "Relu" => |call| whole(call, |x| if x < 0.0 { 0.0 } else { x }, |x| x.max(0)),
        "Softplus" => |call| map(call, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        "Softsign" => |call| map(call, |x| x / (1.0 + x.abs())),
        "Sin" => |call| map(call, f64::sin),
        "Cos" => |call| map(call, f64::cos),
        "Tan" => |call| map(call, f64::tan),
        "Swish" => |call| {
            let alpha = call.float("alpha", 1.0);
            map(call, |x| x * sigmoid(alpha * x))
        },
        "Celu" => |call| {
            let alpha = call.float("alpha", 1.0);
            map(call, |x| x.max(0.0) + (alpha * (x / alpha).exp_m1()).min(0.0))
        },
        "IsNaN" => |call| test(call, f64::is_nan),
        "IsInf" => |call| {
            let (up, down) = (call.int("detect_positive", 1) != 0, call.int("detect_negative", 1) != 0);
            test(call, |x| x.is_infinite() && if x > 0.0 { up } else { down })
        },
        "Not" => |call| {
            let x = call.input(0)?;
            Ok(vec![Tensor::of_bools(x.shape(), x.slice::<bool>()?.iter().map(|b| !b).collect())?])
        },
        "Clip" => clip,
        _ => return None,
    })
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn map(call: &Call, of: impl Fn(f64) -> f64) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    ensure!(x.dtype().is_float(), "expected floats, got {}", x.dtype());
    Ok(vec![Tensor::like(x, x.shape(), x.f64s()?.into_iter().map(of).collect())?])
}

fn whole(call: &Call, float: fn(f64) -> f64, integer: fn(i64) -> i64) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    if x.dtype().is_float() {
        return map(call, float);
    }
    let unsigned = matches!(x.dtype(), Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64);
    ensure!(!(unsigned && call.node.op_type == "Neg"), "an unsigned number has no negative");
    if x.dtype() == Dtype::U64 {
        let sign = call.node.op_type == "Sign";
        return Ok(vec![if sign {
            Tensor::of_i64s(x.dtype(), x.shape(), x.i64s()?.iter().map(|&v| i64::from(v != 0)).collect())?
        } else {
            x.clone()
        }]);
    }
    Ok(vec![Tensor::of_i64s(x.dtype(), x.shape(), x.i64s()?.into_iter().map(integer).collect())?])
}

fn test(call: &Call, of: impl Fn(f64) -> bool) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    Ok(vec![Tensor::of_bools(x.shape(), x.f64s()?.into_iter().map(of).collect())?])
}

/// Held to the largest even where that is below the smallest.
fn clip(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let bound = |name: &str, at: usize| match call.attribute(name) {
        Some(attribute) => Ok(Some(f64::from(attribute.f))),
        None => call.optional(at).map(Tensor::number).transpose(),
    };
    let (low, high) = (bound("min", 1)?, bound("max", 2)?);
    if x.dtype().is_float() {
        let (low, high) = (low.unwrap_or(f64::NEG_INFINITY), high.unwrap_or(f64::INFINITY));
        let hold = |v: f64| if v.is_nan() { v } else { v.max(low).min(high) };
        return Ok(vec![Tensor::like(x, x.shape(), x.f64s()?.into_iter().map(hold).collect())?]);
    }
    ensure!(x.dtype() != Dtype::U64, "u64 is not held to bounds");
    let low = call.optional(1).map(Tensor::integer).transpose()?.unwrap_or(i64::MIN);
    let high = call.optional(2).map(Tensor::integer).transpose()?.unwrap_or(i64::MAX);
    Ok(vec![Tensor::of_i64s(
        x.dtype(),
        x.shape(),
        x.i64s()?.into_iter().map(|v| v.max(low).min(high)).collect(),
    )?])
}
