//! Elements chosen by index or by a condition.

use std::collections::HashMap;

use tract_onnx::tract_hir::internal::*;

use super::walk::{around, indices, place, strides};
use super::{Call, Kernel, axis_of};
use crate::tensor::volume;
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "Gather" => gather,
        "GatherElements" => gather_elements,
        "GatherND" => gather_nd,
        "Compress" => compress,
        "NonZero" => non_zero,
        "OneHot" => one_hot,
        "Unique" => unique,
        _ => return None,
    })
}

/// An index from either end as a position below `dim`.
pub(super) fn position(index: i64, dim: usize) -> TractResult<usize> {
    let signed = i64::try_from(dim)?;
    ensure!(
        (-signed..signed).contains(&index),
        "expected an index from {} to {}, got {index}",
        -signed,
        signed - 1
    );
    Ok(usize::try_from(if index < 0 { index + signed } else { index })?)
}

fn gather(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, at) = (call.input(0)?, call.input(1)?);
    let axis = x.axis(call.int("axis", 0))?;
    let (outer, dim, inner) = around(x.shape(), axis);
    let at_indices = at.i64s()?.iter().map(|&i| position(i, dim)).collect::<TractResult<Vec<_>>>()?;
    let shape = [&x.shape()[..axis], at.shape(), &x.shape()[axis + 1..]].concat();
    volume(&shape)?;
    let places = (0..outer)
        .flat_map(|o| at_indices.iter().flat_map(move |i| (o * dim + i) * inner..(o * dim + i + 1) * inner));
    Ok(vec![x.pick(&shape, places)?])
}

fn gather_elements(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, at) = (call.input(0)?, call.input(1)?);
    let axis = x.axis(call.int("axis", 0))?;
    ensure!(at.shape().len() == x.shape().len(), "expected {} axes, got {:?}", x.shape().len(), at.shape());
    let at_indices =
        at.i64s()?.iter().map(|&i| position(i, x.shape()[axis])).collect::<TractResult<Vec<_>>>()?;
    let own = strides(x.shape());
    let places = indices(at.shape()).zip(&at_indices).map(|(mut index, &i)| {
        index[axis] = i;
        place(&index, &own)
    });
    Ok(vec![x.pick(at.shape(), places)?])
}

/// The positions that rows of indices speak of, and how many elements each stands for.
pub(super) fn rows_of_indices(x: &[usize], at: &Tensor, batch: usize) -> TractResult<(Vec<usize>, usize)> {
    let rank = at.shape().len();
    ensure!(rank >= 1 && batch < rank, "expected indices with more than {batch} axes, got {:?}", at.shape());
    let depth = at.shape()[rank - 1];
    ensure!(batch + depth <= x.len(), "expected at most {} indices in a row, got {depth}", x.len() - batch);
    let own = strides(x);
    let numbers = at.i64s()?;
    let rows = numbers.len().checked_div(depth).unwrap_or_else(|| at.shape()[..rank - 1].iter().product());
    let per_batch = at.shape()[batch..rank - 1].iter().product::<usize>().max(1);
    let block: usize = x[batch..].iter().product();
    let starts = (0..rows).map(|row| {
        let mut start = if batch == 0 { 0 } else { row / per_batch * block };
        for (at, &index) in numbers[row * depth..(row + 1) * depth].iter().enumerate() {
            start += position(index, x[batch + at])? * own[batch + at] as usize;
        }
        Ok(start)
    });
    Ok((starts.collect::<TractResult<_>>()?, x[batch + depth..].iter().product()))
}

fn gather_nd(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, at) = (call.input(0)?, call.input(1)?);
    let batch = usize::try_from(call.int("batch_dims", 0))?;
    ensure!(batch <= x.shape().len(), "expected at most {} batch axes, got {batch}", x.shape().len());
    let (starts, block) = rows_of_indices(x.shape(), at, batch)?;
    let (rank, depth) = (at.shape().len(), at.shape()[at.shape().len() - 1]);
    let shape = [&at.shape()[..rank - 1], &x.shape()[batch + depth..]].concat();
    Ok(vec![x.pick(&shape, starts.iter().flat_map(|&start| start..start + block))?])
}

fn compress(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let kept: Vec<usize> =
        call.input(1)?.i64s()?.iter().enumerate().filter(|(_, keep)| **keep != 0).map(|(at, _)| at).collect();
    let Some(axis) = call.attribute("axis") else {
        return Ok(vec![x.pick(&[kept.len()], kept.iter().copied())?]);
    };
    let axis = x.axis(axis.i)?;
    let (outer, dim, inner) = around(x.shape(), axis);
    ensure!(kept.iter().all(|&at| at < dim), "the condition is longer than {dim}");
    let mut shape = x.shape().to_vec();
    shape[axis] = kept.len();
    let places = (0..outer)
        .flat_map(|o| kept.iter().flat_map(move |at| (o * dim + at) * inner..(o * dim + at + 1) * inner));
    Ok(vec![x.pick(&shape, places)?])
}

fn non_zero(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let numbers = x.f64s()?;
    let found: Vec<Vec<usize>> =
        indices(x.shape()).zip(&numbers).filter(|(_, n)| **n != 0.0).map(|(index, _)| index).collect();
    let rank = x.shape().len();
    let values = (0..rank).flat_map(|axis| found.iter().map(move |index| index[axis] as i64)).collect();
    Ok(vec![Tensor::of(Dtype::I64, &[rank, found.len()], values)?])
}

fn one_hot(call: &Call) -> TractResult<Vec<Tensor>> {
    let (at, values) = (call.input(0)?, call.input(2)?);
    let depth = call.input(1)?.number()? as i64;
    let count = usize::try_from(depth)?;
    let axis = axis_of(call.int("axis", -1), at.shape().len() + 1)?;
    let mut shape = at.shape().to_vec();
    shape.insert(axis, count);
    volume(&shape)?;
    let hot: Vec<i64> =
        at.f64s()?.iter().map(|&i| if i < 0.0 { i as i64 + depth } else { i as i64 }).collect();
    ensure!(values.len() == 2, "expected the values off and on, got {}", values.len());
    let own = strides(at.shape());
    let places = indices(&shape).map(|mut index| {
        let here = index.remove(axis);
        usize::from(hot[place(&index, &own)] == here as i64)
    });
    Ok(vec![values.pick(&shape, places)?])
}

fn unique(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let sorted = call.int("sorted", 1) != 0;
    let axis = call.attribute("axis").map(|attribute| x.axis(attribute.i)).transpose()?;
    let flat = [x.len()];
    let shape = if axis.is_some() { x.shape() } else { flat.as_slice() };
    let (outer, dim, inner) = around(shape, axis.unwrap_or(0));
    let numbers: Vec<f64> = if x.dtype() == Dtype::String { Vec::new() } else { x.f64s()? };
    // Equal elements share a rank, so that slices can be compared by ranks whatever the dtype.
    let ranks: Vec<usize> = match x.strings() {
        Some(texts) => ranked(texts, |a, b| a.cmp(b)),
        None => ranked(&numbers, f64::total_cmp),
    };
    let slice = |at: usize| -> Vec<usize> {
        (0..outer)
            .flat_map(|o| (0..inner).map(move |i| (o * dim + at) * inner + i))
            .map(|p| ranks[p])
            .collect()
    };
    let mut seen: HashMap<Vec<usize>, usize> = HashMap::new();
    let (mut first, mut counts, mut inverse): (Vec<usize>, Vec<i64>, Vec<usize>) = Default::default();
    for at in 0..dim {
        let next = first.len();
        let group = *seen.entry(slice(at)).or_insert(next);
        if group == next {
            first.push(at);
            counts.push(0);
        }
        counts[group] += 1;
        inverse.push(group);
    }
    let mut order: Vec<usize> = (0..first.len()).collect();
    if sorted {
        order.sort_by_key(|&group| slice(first[group]));
    }
    let mut new_place = vec![0i64; order.len()];
    order.iter().enumerate().for_each(|(at, &group)| new_place[group] = at as i64);
    let mut shape = shape.to_vec();
    shape[axis.unwrap_or(0)] = order.len();
    let chosen: Vec<usize> = order.iter().map(|&group| first[group]).collect();
    let places = (0..outer)
        .flat_map(|o| chosen.iter().flat_map(move |at| (o * dim + at) * inner..(o * dim + at + 1) * inner));
    let as_i64 = |values: Vec<usize>| values.into_iter().map(|v| v as i64).collect::<Vec<_>>();
    Ok(vec![
        x.pick(&shape, places)?,
        Tensor::vector(&as_i64(chosen.clone()))?,
        Tensor::vector(&inverse.iter().map(|&group| new_place[group]).collect::<Vec<_>>())?,
        Tensor::vector(&order.iter().map(|&group| counts[group]).collect::<Vec<_>>())?,
    ])
}

/// The place of each value among all different ones.
fn ranked<T>(values: &[T], compare: impl Fn(&T, &T) -> std::cmp::Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| compare(&values[a], &values[b]));
    let mut ranks = vec![0; values.len()];
    for pair in 1..order.len() {
        let (before, here) = (order[pair - 1], order[pair]);
        ranks[here] = ranks[before] + usize::from(compare(&values[before], &values[here]).is_ne());
    }
    ranks
}
