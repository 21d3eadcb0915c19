//! Operators of two or more tensors, element by element, each spread to a common shape.

use tract_onnx::tract_hir::internal::*;

use super::walk::{broadcast, spread};
use super::{Call, Kernel};
use crate::tensor::volume;
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "Add" => |call| numbers(call, |a, b| a + b, i64::wrapping_add),
        "Sub" => |call| numbers(call, |a, b| a - b, i64::wrapping_sub),
        "Mul" => |call| numbers(call, |a, b| a * b, i64::wrapping_mul),
        "Div" => divide,
        "Mod" => remainder,
        "Pow" => power,
        "Max" => |call| folded(call, |a, b| if a.is_nan() || a > b { a } else { b }, i64::max),
        "Min" => |call| folded(call, |a, b| if a.is_nan() || a < b { a } else { b }, i64::min),
        "Sum" => |call| folded(call, |a, b| a + b, i64::wrapping_add),
        "Mean" => mean,
        "And" => |call| logic(call, |a, b| a && b),
        "Or" => |call| logic(call, |a, b| a || b),
        "Xor" => |call| logic(call, |a, b| a != b),
        "BitwiseAnd" => |call| integers(call, |a, b| a & b),
        "BitwiseOr" => |call| integers(call, |a, b| a | b),
        "BitwiseXor" => |call| integers(call, |a, b| a ^ b),
        "BitShift" => shift,
        "Equal" => equal,
        "Greater" => |call| compared(call, |a, b| a > b, |a, b| a > b),
        "GreaterOrEqual" => |call| compared(call, |a, b| a >= b, |a, b| a >= b),
        "Less" => |call| compared(call, |a, b| a < b, |a, b| a < b),
        "LessOrEqual" => |call| compared(call, |a, b| a <= b, |a, b| a <= b),
        "PRelu" => |call| {
            numbers(
                call,
                |x, slope| if x < 0.0 { x * slope } else { x },
                |x, s| if x < 0 { x * s } else { x },
            )
        },
        "SwiGLU" => swiglu,
        _ => return None,
    })
}

fn common(a: &Tensor, b: &Tensor) -> TractResult<Vec<usize>> {
    let shape = broadcast(&[a.shape(), b.shape()])?;
    volume(&shape)?;
    Ok(shape)
}

/// `f` of each pair of the spread values of `a` and `b`.
fn zipped<T: Copy, U>(
    a: &Tensor,
    b: &Tensor,
    shape: &[usize],
    of: (&[T], &[T]),
    f: impl Fn(T, T) -> U,
) -> Vec<U> {
    spread(a.shape(), shape).zip(spread(b.shape(), shape)).map(|(i, j)| f(of.0[i], of.1[j])).collect()
}

fn pair(
    a: &Tensor,
    b: &Tensor,
    float: fn(f64, f64) -> f64,
    integer: fn(i64, i64) -> i64,
) -> TractResult<Tensor> {
    ensure!(a.dtype() == b.dtype(), "expected two of one dtype, got {} and {}", a.dtype(), b.dtype());
    let shape = common(a, b)?;
    if a.dtype().is_float() {
        return Tensor::like(a, &shape, zipped(a, b, &shape, (&a.f64s()?, &b.f64s()?), float));
    }
    Tensor::of_i64s(a.dtype(), &shape, zipped(a, b, &shape, (&a.i64s()?, &b.i64s()?), integer))
}

fn numbers(
    call: &Call,
    float: fn(f64, f64) -> f64,
    integer: fn(i64, i64) -> i64,
) -> TractResult<Vec<Tensor>> {
    Ok(vec![pair(call.input(0)?, call.input(1)?, float, integer)?])
}

fn integers(call: &Call, of: fn(i64, i64) -> i64) -> TractResult<Vec<Tensor>> {
    numbers(call, |_, _| f64::NAN, of)
}

fn divide(call: &Call) -> TractResult<Vec<Tensor>> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    if !a.dtype().is_float() {
        ensure!(b.i64s()?.iter().all(|&x| x != 0), "an integer is divided by zero");
    }
    if a.dtype() == Dtype::U64 {
        return numbers(call, |a, b| a / b, |a, b| (a as u64 / b as u64) as i64);
    }
    numbers(call, |a, b| a / b, i64::wrapping_div)
}

fn remainder(call: &Call) -> TractResult<Vec<Tensor>> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    if !a.dtype().is_float() {
        ensure!(b.i64s()?.iter().all(|&x| x != 0), "an integer is divided by zero");
    }
    match (call.int("fmod", 0) != 0, a.dtype()) {
        (_, Dtype::U64) => numbers(call, |a, b| a % b, |a, b| (a as u64 % b as u64) as i64),
        (true, _) => numbers(call, |a, b| a % b, i64::wrapping_rem),
        // The sign of the divisor.
        (false, _) => numbers(
            call,
            |a, b| a - b * (a / b).floor(),
            |a, b| {
                let rest = a.wrapping_rem(b);
                if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
            },
        ),
    }
}

/// In the dtype of the base.
fn power(call: &Call) -> TractResult<Vec<Tensor>> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let shape = common(a, b)?;
    if a.dtype().is_float() || b.dtype().is_float() {
        return Ok(vec![Tensor::like(a, &shape, zipped(a, b, &shape, (&a.f64s()?, &b.f64s()?), f64::powf))?]);
    }
    let of = |base: i64, exponent: i64| match u32::try_from(exponent) {
        Ok(exponent) => base.wrapping_pow(exponent),
        Err(_) => (base as f64).powf(exponent as f64) as i64,
    };
    Ok(vec![Tensor::of_i64s(a.dtype(), &shape, zipped(a, b, &shape, (&a.i64s()?, &b.i64s()?), of))?])
}

fn folded(call: &Call, float: fn(f64, f64) -> f64, integer: fn(i64, i64) -> i64) -> TractResult<Vec<Tensor>> {
    let mut total = call.input(0)?.clone();
    for at in 1..call.inputs.len() {
        let next = call.input(at)?;
        total = match (total.dtype(), next.dtype()) {
            (Dtype::U64, Dtype::U64) => {
                // Above the range of i64 the order of the wrapped numbers is another; it is kept by turning a bit.
                let turn = |t: &Tensor| {
                    Tensor::of_i64s(Dtype::I64, t.shape(), t.i64s()?.iter().map(|x| x ^ i64::MIN).collect())
                };
                let best = pair(&turn(&total)?, &turn(next)?, float, integer)?;
                Tensor::of_i64s(
                    Dtype::U64,
                    best.shape(),
                    best.i64s()?.iter().map(|x| x ^ i64::MIN).collect(),
                )?
            }
            _ => pair(&total, next, float, integer)?,
        };
    }
    Ok(vec![total])
}

fn mean(call: &Call) -> TractResult<Vec<Tensor>> {
    let sum = folded(call, |a, b| a + b, i64::wrapping_add)?.remove(0);
    let count = call.inputs.len() as f64;
    Ok(vec![Tensor::like(&sum, sum.shape(), sum.f64s()?.iter().map(|x| x / count).collect())?])
}

fn logic(call: &Call, of: fn(bool, bool) -> bool) -> TractResult<Vec<Tensor>> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let shape = common(a, b)?;
    Ok(vec![Tensor::of_bools(&shape, zipped(a, b, &shape, (a.slice::<bool>()?, b.slice::<bool>()?), of))?])
}

/// Bits beyond the width are gone: by as much as the width or more nothing is left but the sign, going right.
fn shift(call: &Call) -> TractResult<Vec<Tensor>> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    let shape = common(a, b)?;
    let width = 8 * a.dtype().size_bytes() as i64;
    let right = call.text("direction", "") == "RIGHT";
    let unsigned = a.dtype() == Dtype::U64;
    let of = |x: i64, by: i64| match (right, (0..width).contains(&by)) {
        (true, true) if unsigned => ((x as u64) >> by) as i64,
        (true, true) => x >> by,
        (false, true) => x << by,
        (true, false) if x < 0 && !unsigned => -1,
        (_, false) => 0,
    };
    let shifts = if unsigned {
        b.i64s()?.into_iter().map(|by| if by < 0 { width } else { by }).collect()
    } else {
        b.i64s()?
    };
    Ok(vec![Tensor::of_i64s(a.dtype(), &shape, zipped(a, b, &shape, (&a.i64s()?, &shifts), of))?])
}

fn equal(call: &Call) -> TractResult<Vec<Tensor>> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    if let (Some(x), Some(y)) = (a.strings(), b.strings()) {
        let shape = common(a, b)?;
        let pairs = spread(a.shape(), &shape).zip(spread(b.shape(), &shape));
        return Ok(vec![Tensor::of_bools(&shape, pairs.map(|(i, j)| x[i] == y[j]).collect())?]);
    }
    compared(call, |a, b| a == b, |a, b| a == b)
}

fn compared(
    call: &Call,
    float: fn(f64, f64) -> bool,
    integer: fn(i128, i128) -> bool,
) -> TractResult<Vec<Tensor>> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    ensure!(a.dtype() == b.dtype(), "expected two of one dtype, got {} and {}", a.dtype(), b.dtype());
    let shape = common(a, b)?;
    let flags = if a.dtype().is_float() {
        zipped(a, b, &shape, (&a.f64s()?, &b.f64s()?), float)
    } else {
        let unsigned = a.dtype() == Dtype::U64;
        let wide = |x: i64| if unsigned { i128::from(x as u64) } else { i128::from(x) };
        zipped(a, b, &shape, (&a.i64s()?, &b.i64s()?), |x, y| integer(wide(x), wide(y)))
    };
    Ok(vec![Tensor::of_bools(&shape, flags)?])
}

fn swiglu(call: &Call) -> TractResult<Vec<Tensor>> {
    let (a, b) = (call.input(0)?, call.input(1)?);
    ensure!(a.shape() == b.shape() && a.dtype() == b.dtype(), "expected two of one shape and dtype");
    let alpha = call.float("alpha", 1.0);
    let gate = |x: f64| x / (1.0 + (-alpha * x).exp());
    let values = a.f64s()?.iter().zip(b.f64s()?).map(|(&x, y)| gate(x) * y).collect();
    Ok(vec![Tensor::like(a, a.shape(), values)?])
}
