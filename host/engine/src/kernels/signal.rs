//! `DFT`, in f64.

use std::f64::consts::PI;

use tract_onnx::tract_hir::internal::*;

use super::walk::around;
use super::{Call, Kernel};
use crate::Tensor;
use crate::tensor::volume;

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "DFT" => dft,
        _ => return None,
    })
}

fn dft(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let rank = x.shape().len();
    ensure!(rank >= 2, "expected two axes or more, got {:?}", x.shape());
    let parts = x.shape()[rank - 1];
    ensure!((1..=2).contains(&parts), "expected the last axis to be real or complex, got {parts}");
    let axis = match (call.attribute("axis"), call.optional(2)) {
        (_, Some(axis)) => axis.integer()?,
        (Some(axis), None) => axis.i,
        (None, None) => {
            if call.version < 20 {
                1
            } else {
                -2
            }
        }
    };
    let axis = x.axis(axis)?;
    ensure!(axis + 1 < rank, "the last axis can't be transformed");
    let (inverse, onesided) = (call.int("inverse", 0) != 0, call.int("onesided", 0) != 0);
    let given = call.optional(1).map(Tensor::integer).transpose()?.map(usize::try_from).transpose()?;
    let dim = x.shape()[axis];
    let n = given.unwrap_or(if inverse && onesided { 2 * dim.saturating_sub(1) } else { dim });
    ensure!(n > 0, "expected a length above 0");
    let kept = if onesided && !inverse { n / 2 + 1 } else { n };
    let real = inverse && onesided;
    let mut shape = x.shape().to_vec();
    (shape[axis], shape[rank - 1]) = (kept, if real { 1 } else { 2 });
    let mut values = vec![0.0; volume(&shape)?];
    let out_parts = shape[rank - 1];
    let (outer, _, inner) = around(&x.shape()[..rank - 1], axis);
    let numbers = x.f64s()?;
    for o in 0..outer {
        for i in 0..inner {
            let mut line = vec![(0.0, 0.0); n];
            for (at, slot) in line.iter_mut().enumerate().take(dim) {
                let place = ((o * dim + at) * inner + i) * parts;
                *slot = (numbers[place], if parts == 2 { numbers[place + 1] } else { 0.0 });
            }
            if real {
                // The other half is its mirror.
                for at in dim..n {
                    let (re, im) = line[n - at];
                    line[at] = (re, -im);
                }
            }
            let scale = if inverse { 1.0 / n as f64 } else { 1.0 };
            for (at, (re, im)) in transformed(&line, inverse).into_iter().enumerate().take(kept) {
                let place = ((o * kept + at) * inner + i) * out_parts;
                values[place] = re * scale;
                if out_parts == 2 {
                    values[place + 1] = im * scale;
                }
            }
        }
    }
    Ok(vec![Tensor::like(x, &shape, values)?])
}

/// By halves while the length is even, the rest term by term.
fn transformed(x: &[(f64, f64)], inverse: bool) -> Vec<(f64, f64)> {
    let n = x.len();
    let sign = if inverse { 1.0 } else { -1.0 };
    let turn = |k: usize| {
        let angle = sign * 2.0 * PI * (k % n) as f64 / n as f64;
        (angle.cos(), angle.sin())
    };
    let times = |(a, b): (f64, f64), (c, d): (f64, f64)| (a * c - b * d, a * d + b * c);
    if n.is_multiple_of(2) {
        let even = transformed(&x.iter().step_by(2).copied().collect::<Vec<_>>(), inverse);
        let odd = transformed(&x.iter().skip(1).step_by(2).copied().collect::<Vec<_>>(), inverse);
        let mut sums = vec![(0.0, 0.0); n];
        for k in 0..n / 2 {
            let turned = times(odd[k], turn(k));
            sums[k] = (even[k].0 + turned.0, even[k].1 + turned.1);
            sums[k + n / 2] = (even[k].0 - turned.0, even[k].1 - turned.1);
        }
        return sums;
    }
    let turns: Vec<(f64, f64)> = (0..n).map(turn).collect();
    let term = |k: usize| {
        x.iter().enumerate().fold((0.0, 0.0), |(re, im), (at, &v)| {
            let (a, b) = times(v, turns[k * at % n]);
            (re + a, im + b)
        })
    };
    (0..n).map(term).collect()
}
