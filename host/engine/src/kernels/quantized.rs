//! Linear quantization: `q = saturate(round(x / scale) + zero point)` and back, and a product of quantized matrices.

use tract_onnx::tract_hir::internal::*;

use super::walk::{broadcast, indices, place, spread, strides};
use super::{Call, Kernel};
use crate::narrow::encode;
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "QuantizeLinear" => quantize,
        "DequantizeLinear" => dequantize,
        "QLinearMatMul" => matmul,
        "QLinearAdd" => |call| combined(call, |a, b| a + b),
        "QLinearMul" => |call| combined(call, |a, b| a * b),
        "MatMul" => |call| {
            let (a, b) = (call.input(0)?, call.input(1)?);
            let (shape, values) = product(a.shape(), &a.f64s()?, b.shape(), &b.f64s()?)?;
            Ok(vec![Tensor::like(a, &shape, values)?])
        },
        _ => return None,
    })
}

/// For each element of `shape`, which of the scales is its own: one for all, one along `axis`, or one for each block.
fn scale_places(call: &Call, shape: &[usize], scale: &Tensor) -> TractResult<Vec<usize>> {
    let count: usize = shape.iter().product();
    if scale.len() == 1 {
        return Ok(vec![0; count]);
    }
    let axis = super::axis_of(call.int("axis", 1), shape.len())?;
    if scale.shape().len() == 1 {
        ensure!(scale.len() == shape[axis], "expected {} scales, got {}", shape[axis], scale.len());
        return Ok(indices(shape).map(|index| index[axis]).collect());
    }
    ensure!(
        scale.shape().len() == shape.len(),
        "expected {} axes of scales, got {:?}",
        shape.len(),
        scale.shape()
    );
    let block = match usize::try_from(call.int("block_size", 0))? {
        0 => shape[axis].div_ceil(scale.shape()[axis].max(1)),
        block => block,
    };
    let fits = (0..shape.len())
        .all(|at| scale.shape()[at] == if at == axis { shape[at].div_ceil(block) } else { shape[at] });
    ensure!(fits, "scales {:?} don't fit to {shape:?} in blocks of {block}", scale.shape());
    let own = strides(scale.shape());
    let places = indices(shape).map(|mut index| {
        index[axis] /= block;
        place(&index, &own)
    });
    Ok(places.collect())
}

fn quantize(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, scale, zero) = (call.input(0)?, call.input(1)?, call.optional(2));
    let dtype = match (zero, call.int("output_dtype", 0)) {
        (Some(zero), _) => zero.dtype(),
        (None, 0) => Dtype::U8,
        (None, code) => Dtype::from_onnx(i32::try_from(code)?).context("expected a dtype")?,
    };
    let (low, high) = match dtype {
        Dtype::U8 => (0.0, 255.0),
        Dtype::I8 => (-128.0, 127.0),
        Dtype::U16 => (0.0, 65535.0),
        Dtype::I16 => (-32768.0, 32767.0),
        Dtype::U4 => (0.0, 15.0),
        Dtype::I4 => (-8.0, 7.0),
        Dtype::U2 => (0.0, 3.0),
        Dtype::I2 => (-2.0, 1.0),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    };
    let saturate = call.int("saturate", 1) != 0;
    let (scales, places) = (scale.f64s()?, scale_places(call, x.shape(), scale)?);
    let zeros = zero.map(Tensor::f64s).transpose()?.unwrap_or_else(|| vec![0.0; scales.len()]);
    ensure!(zeros.len() == scales.len(), "expected {} zero points, got {}", scales.len(), zeros.len());
    // In f32, where a quotient halfway between two integers may be another than in f64.
    let scaled =
        x.f32s()?.into_iter().zip(places).map(|(v, at)| (f64::from(v / scales[at] as f32), zeros[at]));
    if dtype.is_float() {
        let codes = scaled.map(|(v, zero)| encode(dtype, v + zero, saturate)).collect();
        return Ok(vec![Tensor::of(dtype, x.shape(), codes)?]);
    }
    let values = scaled.map(|(v, zero)| (v.round_ties_even() + zero).clamp(low, high)).collect();
    Ok(vec![Tensor::of_f64s(dtype, x.shape(), values)?])
}

fn dequantize(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, scale, zero) = (call.input(0)?, call.input(1)?, call.optional(2));
    let dtype = match call.int("output_dtype", 0) {
        0 => scale.dtype(),
        code => Dtype::from_onnx(i32::try_from(code)?).context("expected a dtype")?,
    };
    let (scales, places) = (scale.f64s()?, scale_places(call, x.shape(), scale)?);
    let zeros = zero.map(Tensor::f64s).transpose()?.unwrap_or_else(|| vec![0.0; scales.len()]);
    ensure!(zeros.len() == scales.len(), "expected {} zero points, got {}", scales.len(), zeros.len());
    let values = x.f64s()?.into_iter().zip(places).map(|(v, at)| (v - zeros[at]) * scales[at]);
    Ok(vec![Tensor::of_f64s(dtype, x.shape(), values.collect())?])
}

/// numpy's `matmul`.
pub(super) fn product(a: &[usize], x: &[f64], b: &[usize], y: &[f64]) -> TractResult<(Vec<usize>, Vec<f64>)> {
    ensure!(!a.is_empty() && !b.is_empty(), "expected matrices, got {a:?} and {b:?}");
    let left = if a.len() == 1 { vec![1, a[0]] } else { a.to_vec() };
    let right = if b.len() == 1 { vec![b[0], 1] } else { b.to_vec() };
    let (&[m, k], &[k2, n]) = (&left[left.len() - 2..], &right[right.len() - 2..]) else {
        bail!("expected matrices")
    };
    ensure!(k == k2, "expected {k} rows, got {k2}");
    let (outer_a, outer_b) = (&left[..left.len() - 2], &right[..right.len() - 2]);
    let outer = broadcast(&[outer_a, outer_b])?;
    let mut shape = outer.clone();
    if a.len() > 1 {
        shape.push(m);
    }
    if b.len() > 1 {
        shape.push(n);
    }
    let mut values = Vec::with_capacity(crate::tensor::volume(&[&outer[..], &[m, n]].concat())?);
    for (i, j) in spread(outer_a, &outer).zip(spread(outer_b, &outer)) {
        let (rows, columns) = (&x[i * m * k..(i + 1) * m * k], &y[j * k * n..(j + 1) * k * n]);
        for row in 0..m {
            let mut sums = vec![0.0; n];
            for (at, factor) in rows[row * k..(row + 1) * k].iter().enumerate() {
                sums.iter_mut().zip(&columns[at * n..(at + 1) * n]).for_each(|(sum, v)| *sum += factor * v);
            }
            values.extend(sums);
        }
    }
    Ok((shape, values))
}

fn matmul(call: &Call) -> TractResult<Vec<Tensor>> {
    let centred = |at: usize, row_wise: bool| -> TractResult<(Vec<usize>, Vec<f64>)> {
        let (x, scale, zero) = (call.input(at)?, call.input(at + 1)?, call.input(at + 2)?);
        let (scales, zeros) = (scale.f64s()?, zero.f64s()?);
        let shape = x.shape();
        let line = |place: usize| match (shape.len(), row_wise) {
            (0 | 1, _) => 0,
            (rank, true) => place / shape[rank - 1] % shape[rank - 2],
            (rank, false) => place % shape[rank - 1],
        };
        let of = |values: &[f64], place: usize| -> TractResult<f64> {
            let at = if values.len() == 1 { 0 } else { line(place) };
            values.get(at).copied().context("there are too few scales or zero points")
        };
        let values = x.f64s()?.into_iter().enumerate();
        let values = values.map(|(place, v)| Ok((v - of(&zeros, place)?) * of(&scales, place)?));
        Ok((shape.to_vec(), values.collect::<TractResult<_>>()?))
    };
    let ((a, x), (b, y)) = (centred(0, true)?, centred(3, false)?);
    let (shape, values) = product(&a, &x, &b, &y)?;
    let (scale, zero) = (call.input(6)?.number()?, call.input(7)?);
    let (low, high) = if zero.dtype() == Dtype::U8 { (0.0, 255.0) } else { (-128.0, 127.0) };
    let offset = zero.number()?;
    let values = values.iter().map(|v| ((v / scale) as f32).round_ties_even());
    let values = values.map(|v| (f64::from(v) + offset).clamp(low, high)).collect();
    Ok(vec![Tensor::of_f64s(zero.dtype(), &shape, values)?])
}

/// `QLinearAdd` and `QLinearMul` of `com.microsoft` 1, which ONNX Runtime's quantizer writes.
fn combined(call: &Call, of: fn(f64, f64) -> f64) -> TractResult<Vec<Tensor>> {
    let zero = |at: usize| call.optional(at).map(Tensor::number).transpose();
    let values = |at: usize| -> TractResult<Vec<f64>> {
        let (scale, zero) = (call.input(at + 1)?.number()?, zero(at + 2)?.unwrap_or(0.0));
        Ok(call.input(at)?.f64s()?.into_iter().map(|v| (v - zero) * scale).collect())
    };
    let (a, b) = (call.input(0)?, call.input(3)?);
    let shape = broadcast(&[a.shape(), b.shape()])?;
    let (x, y) = (values(0)?, values(3)?);
    let (scale, offset) = (call.input(6)?.number()?, zero(7)?.unwrap_or(0.0));
    let (low, high) = match a.dtype() {
        Dtype::U8 => (0.0, 255.0),
        Dtype::I8 => (-128.0, 127.0),
        other => bail!("expected u8 or i8, got {other}"),
    };
    let pairs = spread(a.shape(), &shape).zip(spread(b.shape(), &shape)).map(|(i, j)| of(x[i], y[j]));
    let rounded = pairs.map(|v| (f64::from((v / scale) as f32).round_ties_even() + offset).clamp(low, high));
    Ok(vec![Tensor::like(a, &shape, rounded.collect())?])
}
