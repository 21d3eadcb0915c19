//! Elements in another order, cut, joined, repeated or padded.

use tract_onnx::tract_hir::internal::*;

use super::walk::{Walk, around, broadcast, indices, place, spread, strides};
use super::{Call, Kernel};
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "Transpose" => transpose,
        "Expand" => expand,
        "Tile" => tile,
        "Concat" => concat,
        "Split" => split,
        "Slice" => slice,
        "Pad" => pad,
        "CenterCropPad" => center_crop_pad,
        "DepthToSpace" => depth_to_space,
        "SpaceToDepth" => space_to_depth,
        "ReverseSequence" => reverse_sequence,
        "Trilu" => trilu,
        "Where" => choose,
        "BitCast" => bit_cast,
        _ => return None,
    })
}

/// `x` with its axes in the order of `axes`.
pub(super) fn permuted(x: &Tensor, axes: &[usize]) -> TractResult<Tensor> {
    let own = strides(x.shape());
    let shape: Vec<usize> = axes.iter().map(|&axis| x.shape()[axis]).collect();
    x.pick(&shape, Walk::new(&shape, axes.iter().map(|&axis| own[axis]).collect(), 0))
}

fn transpose(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let axes: Vec<usize> = match call.ints("perm") {
        Some(axes) => axes.iter().map(|&axis| x.axis(axis)).collect::<TractResult<_>>()?,
        None => (0..x.shape().len()).rev().collect(),
    };
    ensure!((0..x.shape().len()).all(|axis| axes.contains(&axis)), "expected every axis once, got {axes:?}");
    Ok(vec![permuted(x, &axes)?])
}

/// `x` spread to `shape`.
pub(super) fn spread_to(x: &Tensor, shape: &[usize]) -> TractResult<Tensor> {
    x.pick(shape, spread(x.shape(), shape))
}

fn expand(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let wanted: Vec<usize> =
        call.input(1)?.i64s()?.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>()?;
    let shape = broadcast(&[x.shape(), &wanted])?;
    crate::tensor::volume(&shape)?;
    Ok(vec![spread_to(x, &shape)?])
}

fn tile(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let times = call.input(1)?.i64s()?;
    ensure!(times.len() == x.shape().len(), "expected {} repeats, got {}", x.shape().len(), times.len());
    let times: Vec<usize> = times.iter().map(|&n| usize::try_from(n)).collect::<Result<_, _>>()?;
    let grow = x.shape().iter().zip(&times).map(|(dim, n)| dim.checked_mul(*n).context("too large"));
    let shape: Vec<usize> = grow.collect::<TractResult<_>>()?;
    crate::tensor::volume(&shape)?;
    let own = strides(x.shape());
    let places = indices(&shape).map(|mut index| {
        index.iter_mut().zip(x.shape()).for_each(|(i, dim)| *i %= dim);
        place(&index, &own)
    });
    Ok(vec![x.pick(&shape, places)?])
}

fn concat(call: &Call) -> TractResult<Vec<Tensor>> {
    let tensors: Vec<Tensor> = call.inputs.iter().flatten().cloned().collect();
    let first = tensors.first().context("expected a tensor")?;
    let axis = first.axis(call.int("axis", 1))?;
    let mut shape = first.shape().to_vec();
    shape[axis] = tensors.iter().map(|t| t.shape().get(axis).copied().unwrap_or(0)).sum();
    for tensor in &tensors {
        let same = |at: usize| at == axis || tensor.shape()[at] == shape[at];
        let fits = tensor.shape().len() == shape.len() && (0..shape.len()).all(same);
        ensure!(fits, "{:?} doesn't fit to {:?}", tensor.shape(), first.shape());
    }
    let whole = Tensor::chained(&tensors, &[tensors.iter().map(Tensor::len).sum()])?;
    let outer: usize = shape[..axis].iter().product();
    let mut starts = Vec::new();
    let mut start = 0;
    for tensor in &tensors {
        starts.push((start, tensor.shape()[axis..].iter().product::<usize>()));
        start += tensor.len();
    }
    let blocks =
        (0..outer).flat_map(|o| starts.iter().map(move |&(start, block)| (start + o * block, block)));
    Ok(vec![whole.pick(&shape, blocks.flat_map(|(start, block)| start..start + block))?])
}

/// Positions `from..to` of `axis`.
pub(super) fn part(x: &Tensor, axis: usize, from: usize, to: usize) -> TractResult<Tensor> {
    let (outer, dim, inner) = around(x.shape(), axis);
    ensure!(from <= to && to <= dim, "expected a part of {dim}, got {from}..{to}");
    let mut shape = x.shape().to_vec();
    shape[axis] = to - from;
    x.pick(&shape, (0..outer).flat_map(|o| (o * dim + from) * inner..(o * dim + to) * inner))
}

fn split(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let axis = x.axis(call.int("axis", 0))?;
    let dim = x.shape()[axis];
    let count = call.node.output.len();
    let lengths: Vec<usize> = match call.ints_or_input("split", 1)? {
        Some(lengths) => lengths.iter().map(|&n| usize::try_from(n)).collect::<Result<_, _>>()?,
        None => {
            let each = dim.div_ceil(count);
            (0..count).map(|at| each.min(dim.saturating_sub(at * each))).collect()
        }
    };
    ensure!(lengths.iter().sum::<usize>() == dim, "expected parts of {dim} in all, got {lengths:?}");
    let mut from = 0;
    let part = |&length: &usize| {
        from += length;
        part(x, axis, from - length, from)
    };
    lengths.iter().map(part).collect()
}

fn slice(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let starts = call.ints_or_input("starts", 1)?.context("expected starts")?;
    let ends = call.ints_or_input("ends", 2)?.context("expected ends")?;
    let axes = call.ints_or_input("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = call.optional(4).map(Tensor::i64s).transpose()?.unwrap_or_else(|| vec![1; starts.len()]);
    let n = starts.len();
    ensure!(
        ends.len() == n && axes.len() == n && steps.len() == n,
        "expected {n} starts, ends, axes and steps"
    );
    let own = strides(x.shape());
    let (mut shape, mut by, mut first) = (x.shape().to_vec(), own.clone(), 0isize);
    for at in 0..n {
        let axis = x.axis(axes[at])?;
        let dim = i64::try_from(x.shape()[axis])?;
        let step = steps[at];
        ensure!(step != 0, "expected a step other than 0");
        let from_end = |place: i64| if place < 0 { place.saturating_add(dim) } else { place };
        let (low, high) = if step > 0 { (0, dim) } else { (-1, dim - 1) };
        let start = from_end(starts[at]).clamp(low.max(0), high.max(0));
        let end = from_end(ends[at]).clamp(low, high);
        let length = if step > 0 { end - start } else { start - end };
        let length = if dim == 0 { 0 } else { length.max(0) };
        shape[axis] = usize::try_from((length + step.abs() - 1) / step.abs())?;
        first += own[axis] * isize::try_from(start)?;
        by[axis] = own[axis].checked_mul(isize::try_from(step)?).unwrap_or(0);
    }
    Ok(vec![x.pick(&shape, Walk::new(&shape, by, first))?])
}

/// Pads by mode: where the element at `index` of the padded tensor comes from, `None` for the constant.
fn pad(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let pads = call.ints_or_input("pads", 1)?.context("expected pads")?;
    let mode = call.text("mode", "constant");
    let rank = x.shape().len();
    let axes: Vec<usize> = match call.optional(3) {
        Some(axes) => axes.i64s()?.iter().map(|&axis| x.axis(axis)).collect::<TractResult<_>>()?,
        None => (0..rank).collect(),
    };
    ensure!(pads.len() == 2 * axes.len(), "expected {} pads, got {}", 2 * axes.len(), pads.len());
    let (mut before, mut shape) = (vec![0i64; rank], x.shape().to_vec());
    for (at, &axis) in axes.iter().enumerate() {
        before[axis] = pads[at];
        let dim = i64::try_from(shape[axis])?
            .checked_add(pads[at])
            .and_then(|n| n.checked_add(pads[at + axes.len()]));
        shape[axis] = usize::try_from(dim.context("pads overflow")?)?;
    }
    crate::tensor::volume(&shape)?;
    let fill = match (call.optional(2), call.attribute("value")) {
        (Some(fill), _) => fill.clone(),
        (None, Some(value)) => Tensor::of_f64s(x.dtype(), &[], vec![value.f.into()])?,
        (None, None) if x.dtype() == Dtype::String => Tensor::of(Dtype::String, &[], vec![String::new()])?,
        (None, None) => Tensor::of_f64s(x.dtype(), &[], vec![0.0])?,
    };
    let own = strides(x.shape());
    // A reflection has a period of twice the way from one end to the other.
    let source = |at: i64, dim: i64| match mode.as_str() {
        _ if (0..dim).contains(&at) => Some(at),
        "edge" => Some(at.clamp(0, dim - 1)),
        "wrap" => Some(at.rem_euclid(dim)),
        "reflect" => {
            let period = (2 * (dim - 1)).max(1);
            let within = at.rem_euclid(period);
            Some(if within < dim { within } else { period - within })
        }
        _ => None,
    };
    ensure!(
        matches!(mode.as_str(), "constant" | "edge" | "wrap" | "reflect"),
        "expected the mode constant, edge, wrap or reflect, got {mode:?}"
    );
    ensure!(mode == "constant" || x.len() > 0, "there is nothing to repeat");
    let places = indices(&shape).map(|index| {
        let mut sum = 0usize;
        for axis in 0..rank {
            let at = source(index[axis] as i64 - before[axis], x.shape()[axis] as i64)?;
            sum += at as usize * own[axis] as usize;
        }
        Some(sum)
    });
    Ok(vec![x.pick_or(&fill, &shape, places)?])
}

fn center_crop_pad(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let wanted = call.input(1)?.i64s()?;
    let axes: Vec<usize> = match call.ints("axes") {
        Some(axes) => axes.iter().map(|&axis| x.axis(axis)).collect::<TractResult<_>>()?,
        None => (0..x.shape().len()).collect(),
    };
    ensure!(axes.len() == wanted.len(), "expected {} dims, got {}", axes.len(), wanted.len());
    let mut shape = x.shape().to_vec();
    let mut shift = vec![0i64; shape.len()];
    for (&axis, &dim) in axes.iter().zip(&wanted) {
        let had = i64::try_from(shape[axis])?;
        // Of an odd difference the smaller half goes first, for cropping and for padding.
        shift[axis] = if dim < had { (had - dim) / 2 } else { -((dim - had) / 2) };
        shape[axis] = usize::try_from(dim)?;
    }
    crate::tensor::volume(&shape)?;
    let own = strides(x.shape());
    let places = indices(&shape).map(|index| {
        let mut sum = 0;
        for axis in 0..index.len() {
            let at = usize::try_from(index[axis] as i64 + shift[axis]).ok()?;
            sum += (at < x.shape()[axis]).then(|| at * own[axis] as usize)?;
        }
        Some(sum)
    });
    let zero = if x.dtype() == Dtype::String {
        Tensor::of(Dtype::String, &[], vec![String::new()])?
    } else {
        Tensor::of_f64s(x.dtype(), &[], vec![0.0])?
    };
    Ok(vec![x.pick_or(&zero, &shape, places)?])
}

fn block(call: &Call) -> TractResult<usize> {
    let size = usize::try_from(call.int("blocksize", 0))?;
    ensure!(size > 0, "expected a blocksize above 0");
    Ok(size)
}

fn depth_to_space(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, b) = (call.input(0)?, block(call)?);
    let &[n, c, h, w] = x.shape() else { bail!("expected four axes, got {:?}", x.shape()) };
    ensure!(c.is_multiple_of(b * b), "expected a multiple of {} channels, got {c}", b * b);
    let depth = c / (b * b);
    let moved = match call.text("mode", "DCR").as_str() {
        "CRD" => permuted(&x.shaped(&[n, depth, b, b, h, w])?, &[0, 1, 4, 2, 5, 3])?,
        _ => permuted(&x.shaped(&[n, b, b, depth, h, w])?, &[0, 3, 4, 1, 5, 2])?,
    };
    Ok(vec![moved.shaped(&[n, depth, h * b, w * b])?])
}

fn space_to_depth(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, b) = (call.input(0)?, block(call)?);
    let &[n, c, h, w] = x.shape() else { bail!("expected four axes, got {:?}", x.shape()) };
    ensure!(h.is_multiple_of(b) && w.is_multiple_of(b), "expected multiples of {b}, got {h} by {w}");
    let parts = x.shaped(&[n, c, h / b, b, w / b, b])?;
    let moved = match call.text("mode", "DCR").as_str() {
        "CRD" => permuted(&parts, &[0, 1, 3, 5, 2, 4])?,
        _ => permuted(&parts, &[0, 3, 5, 1, 2, 4])?,
    };
    Ok(vec![moved.shaped(&[n, c * b * b, h / b, w / b])?])
}

fn reverse_sequence(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let lengths = call.input(1)?.i64s()?;
    let (batch, time) = (x.axis(call.int("batch_axis", 1))?, x.axis(call.int("time_axis", 0))?);
    ensure!(
        lengths.len() == x.shape()[batch],
        "expected {} lengths, got {}",
        x.shape()[batch],
        lengths.len()
    );
    let own = strides(x.shape());
    let places = indices(x.shape()).map(|mut index| {
        let length = usize::try_from(lengths[index[batch]]).unwrap_or(0);
        if index[time] < length {
            index[time] = length - 1 - index[time];
        }
        place(&index, &own)
    });
    Ok(vec![x.pick(x.shape(), places)?])
}

fn trilu(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let diagonal = call.optional(1).map(Tensor::integer).transpose()?.unwrap_or(0);
    let upper = call.int("upper", 1) != 0;
    let rank = x.shape().len();
    ensure!(rank >= 2, "expected two axes or more, got {rank}");
    let places = indices(x.shape()).enumerate().map(|(at, index)| {
        let distance = index[rank - 1] as i64 - index[rank - 2] as i64;
        let kept = if upper { distance >= diagonal } else { distance <= diagonal };
        kept.then_some(at)
    });
    Ok(vec![x.pick_or(&Tensor::of_f64s(x.dtype(), &[], vec![0.0])?, x.shape(), places)?])
}

fn choose(call: &Call) -> TractResult<Vec<Tensor>> {
    let (condition, yes, no) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let shape = broadcast(&[condition.shape(), yes.shape(), no.shape()])?;
    crate::tensor::volume(&shape)?;
    let both = Tensor::chained(&[yes.clone(), no.clone()], &[yes.len() + no.len()])?;
    let flags = condition.slice::<bool>()?;
    let sides = spread(yes.shape(), &shape).zip(spread(no.shape(), &shape));
    let places = spread(condition.shape(), &shape)
        .zip(sides)
        .map(|(at, (yes_at, no_at))| if flags[at] { yes_at } else { yes.len() + no_at });
    Ok(vec![both.pick(&shape, places)?])
}

fn bit_cast(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let to = Dtype::from_onnx(i32::try_from(call.int("to", 0))?).context("expected a dtype")?;
    ensure!(to.size_bytes() == x.dtype().size_bytes(), "{} is not as wide as {to}", x.dtype());
    Ok(vec![x.relabelled(to)?])
}
