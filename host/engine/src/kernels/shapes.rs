//! Shapes themselves, and the same elements in another shape.

use tract_onnx::tract_hir::internal::*;

use super::{Call, Kernel, axis_of};
use crate::tensor::volume;
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "Identity" => |call| Ok(vec![call.input(0)?.clone()]),
        "Shape" => shape,
        "Size" => |call| Ok(vec![Tensor::of(Dtype::I64, &[], vec![i64::try_from(call.input(0)?.len())?])?]),
        "Reshape" => reshape,
        "Flatten" => flatten,
        "Squeeze" => squeeze,
        "Unsqueeze" => unsqueeze,
        "ConstantOfShape" => constant_of_shape,
        "Constant" => constant,
        "Range" => range,
        "EyeLike" => eye_like,
        "Dropout" => dropout,
        _ => return None,
    })
}

fn shape(call: &Call) -> TractResult<Vec<Tensor>> {
    let shape = call.input(0)?.shape();
    let rank = i64::try_from(shape.len())?;
    let at = |place: i64| usize::try_from((if place < 0 { place + rank } else { place }).clamp(0, rank));
    let (start, end) = (at(call.int("start", 0))?, at(call.int("end", rank))?);
    let dims: Vec<i64> = shape[start..end.max(start)].iter().map(|&dim| dim as i64).collect();
    Ok(vec![Tensor::vector(&dims)?])
}

fn reshape(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let wanted = call.ints_or_input("shape", 1)?.context("expected a shape")?;
    let keeps_zero = call.int("allowzero", 0) != 0;
    let mut shape = Vec::with_capacity(wanted.len());
    for (at, &dim) in wanted.iter().enumerate() {
        shape.push(match dim {
            -1 => 1,
            0 if !keeps_zero => *x.shape().get(at).context("a zero stands for a dim that the input lacks")?,
            dim => usize::try_from(dim)?,
        });
    }
    if let Some(at) = wanted.iter().position(|&dim| dim == -1) {
        let known = volume(&shape)?;
        ensure!(known > 0 && x.len().is_multiple_of(known), "{:?} can't become {wanted:?}", x.shape());
        shape[at] = x.len() / known;
    }
    Ok(vec![x.shaped(&shape)?])
}

fn flatten(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let rank = i64::try_from(x.shape().len())?;
    let axis = call.int("axis", 1);
    ensure!((-rank..=rank).contains(&axis), "expected an axis from {} to {rank}, got {axis}", -rank);
    let (rows, columns) = x.shape().split_at(usize::try_from(if axis < 0 { axis + rank } else { axis })?);
    Ok(vec![x.shaped(&[rows.iter().product(), columns.iter().product()])?])
}

fn squeeze(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let shape = match call.ints_or_input("axes", 1)? {
        None => x.shape().iter().copied().filter(|&dim| dim != 1).collect(),
        Some(axes) => {
            let axes: Vec<usize> = axes.iter().map(|&axis| x.axis(axis)).collect::<TractResult<_>>()?;
            ensure!(axes.iter().all(|&axis| x.shape()[axis] == 1), "{:?} has other dims than 1", x.shape());
            let kept = x.shape().iter().enumerate().filter(|(at, _)| !axes.contains(at));
            kept.map(|(_, &dim)| dim).collect::<Vec<_>>()
        }
    };
    Ok(vec![x.shaped(&shape)?])
}

fn unsqueeze(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let axes = call.ints_or_input("axes", 1)?.context("expected axes")?;
    let rank = x.shape().len() + axes.len();
    let axes: Vec<usize> = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<TractResult<_>>()?;
    let mut dims = x.shape().iter();
    let dim = |at| if axes.contains(&at) { Some(1) } else { dims.next().copied() };
    let shape: Option<Vec<usize>> = (0..rank).map(dim).collect();
    Ok(vec![x.shaped(&shape.context("an axis is given twice")?)?])
}

fn constant_of_shape(call: &Call) -> TractResult<Vec<Tensor>> {
    let dims = call.input(0)?.i64s()?;
    let shape: Vec<usize> = dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>()?;
    let value = match call.attribute("value").and_then(|attribute| attribute.t.as_ref()) {
        Some(proto) => Tensor::from_proto(proto)?,
        None => Tensor::of(Dtype::F32, &[1], vec![0f32])?,
    };
    ensure!(value.len() == 1, "expected one value, got {:?}", value.shape());
    Ok(vec![value.pick(&shape, std::iter::repeat_n(0, volume(&shape)?))?])
}

fn constant(call: &Call) -> TractResult<Vec<Tensor>> {
    let attribute = call.node.attribute.first().context("expected a value")?;
    let text = |bytes: &Vec<u8>| Ok(String::from_utf8(bytes.clone())?);
    Ok(vec![match attribute.name.as_str() {
        "value" => Tensor::from_proto(attribute.t.as_ref().context("expected a tensor")?)?,
        "value_int" => Tensor::of(Dtype::I64, &[], vec![attribute.i])?,
        "value_ints" => Tensor::vector(&attribute.ints)?,
        "value_float" => Tensor::of(Dtype::F32, &[], vec![attribute.f])?,
        "value_floats" => Tensor::of(Dtype::F32, &[attribute.floats.len()], attribute.floats.clone())?,
        "value_string" => Tensor::of(Dtype::String, &[], vec![text(&attribute.s)?])?,
        "value_strings" => {
            let texts = attribute.strings.iter().map(text).collect::<TractResult<Vec<_>>>()?;
            Tensor::of(Dtype::String, &[texts.len()], texts)?
        }
        other => bail!("a constant's {other} is not read"),
    }])
}

fn range(call: &Call) -> TractResult<Vec<Tensor>> {
    let (start, limit, delta) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let count = |numbers: f64| if numbers > 0.0 { numbers.ceil() as usize } else { 0 };
    if start.dtype().is_float() {
        let (first, step) = (start.number()?, delta.number()?);
        ensure!(step != 0.0, "expected a step other than 0");
        let n = count((limit.number()? - first) / step);
        volume(&[n])?;
        return Ok(vec![Tensor::like(start, &[n], (0..n).map(|i| first + i as f64 * step).collect())?]);
    }
    let (first, end, step) = (start.integer()?, limit.integer()?, delta.integer()?);
    ensure!(step != 0, "expected a step other than 0");
    let distance = i128::from(end) - i128::from(first);
    let n = usize::try_from((distance + i128::from(step - step.signum())) / i128::from(step)).unwrap_or(0);
    volume(&[n])?;
    Ok(vec![Tensor::of_i64s(start.dtype(), &[n], (0..n as i64).map(|i| first + i * step).collect())?])
}

fn eye_like(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let &[rows, columns] = x.shape() else { bail!("expected two axes, got {:?}", x.shape()) };
    let dtype = match call.int("dtype", 0) {
        0 => x.dtype(),
        code => Dtype::from_onnx(i32::try_from(code)?).context("expected a dtype")?,
    };
    let diagonal = call.int("k", 0);
    let ones = (0..rows as i64)
        .flat_map(|r| (0..columns as i64).map(move |c| if c - r == diagonal { 1.0 } else { 0.0 }));
    Ok(vec![Tensor::of_f64s(dtype, x.shape(), ones.collect())?])
}

/// Without training, or with nothing to drop.
fn dropout(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let training = call.optional(2).map(Tensor::truth).transpose()?.unwrap_or(false);
    let ratio = call.optional(1).map(Tensor::number).transpose()?.unwrap_or(0.5);
    ensure!(!training || ratio == 0.0, "nothing is dropped at random here");
    Ok(vec![x.clone(), Tensor::of_bools(x.shape(), vec![true; x.len()])?])
}
