//! Windows that move over the axes behind batch and channel: `LpPool`, `MaxUnpool`, `Col2Im`; and `Det`.

use tract_onnx::tract_hir::internal::*;

use super::walk::{indices, place, strides};
use super::{Call, Kernel};
use crate::Tensor;
use crate::tensor::volume;

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "LpPool" => lp_pool,
        "MaxUnpool" => max_unpool,
        "Col2Im" => col2im,
        "Det" => determinants,
        _ => return None,
    })
}

/// The most elements of a window, each of which is listed.
const MOST_TAPS: usize = 1 << 20;

/// A window's size and how it moves, by axis.
struct Window {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    /// Before and after
    pads: Vec<(i64, i64)>,
}

impl Window {
    fn of(call: &Call, kernel: Vec<i64>, dims: &[usize]) -> TractResult<Self> {
        let rank = dims.len();
        let numbers = |name: &str| -> TractResult<Vec<i64>> {
            let numbers = call.ints(name).unwrap_or_else(|| vec![1; rank]);
            ensure!(
                numbers.len() == rank && numbers.iter().all(|&n| n > 0),
                "{name}: expected {rank} numbers above 0"
            );
            Ok(numbers)
        };
        ensure!(kernel.len() == rank && kernel.iter().all(|&n| n > 0), "expected a kernel of {rank} axes");
        let (strides, dilations) = (numbers("strides")?, numbers("dilations")?);
        let given = call.ints("pads").unwrap_or_else(|| vec![0; 2 * rank]);
        ensure!(given.len() == 2 * rank, "expected {} pads, got {}", 2 * rank, given.len());
        let auto = call.text("auto_pad", "NOTSET");
        let pad = |at: usize| match auto.as_str() {
            "SAME_UPPER" | "SAME_LOWER" => {
                let dim = dims[at] as i64;
                let count = (dim + strides[at] - 1) / strides[at];
                let all = ((count - 1) * strides[at] + (kernel[at] - 1) * dilations[at] + 1 - dim).max(0);
                if auto == "SAME_UPPER" { (all / 2, all - all / 2) } else { (all - all / 2, all / 2) }
            }
            "VALID" => (0, 0),
            _ => (given[at], given[at + rank]),
        };
        let pads = (0..rank).map(pad).collect();
        Ok(Self { kernel, strides, dilations, pads })
    }

    /// How many places the window takes on each axis.
    fn counts(&self, dims: &[usize], ceil: bool) -> TractResult<Vec<usize>> {
        let count = |at: usize| {
            let (before, after) = self.pads[at];
            let room = dims[at] as i64 + before + after - (self.kernel[at] - 1) * self.dilations[at] - 1;
            ensure!(room >= 0, "the window is larger than the input");
            let mut count =
                if ceil { (room + self.strides[at] - 1) / self.strides[at] } else { room / self.strides[at] }
                    + 1;
            // The last window has to begin inside of the input or of what is before it.
            if ceil && (count - 1) * self.strides[at] >= dims[at] as i64 + before {
                count -= 1;
            }
            Ok(usize::try_from(count)?)
        };
        (0..dims.len()).map(count).collect()
    }

    /// Where tap `tap` of the window at `at` lies in the input, if it does.
    fn tap(&self, at: &[usize], tap: &[usize], dims: &[usize]) -> Option<Vec<usize>> {
        let one = |axis: usize| {
            let x = at[axis] as i64 * self.strides[axis] - self.pads[axis].0
                + tap[axis] as i64 * self.dilations[axis];
            usize::try_from(x).ok().filter(|&x| x < dims[axis])
        };
        (0..dims.len()).map(one).collect()
    }

    fn taps(&self) -> TractResult<Vec<Vec<usize>>> {
        let kernel: Vec<usize> = self.kernel.iter().map(|&n| n as usize).collect();
        let size = volume(&kernel)?;
        ensure!(size <= MOST_TAPS, "expected a window of at most {MOST_TAPS} elements, got {size}");
        Ok(indices(&kernel).collect())
    }
}

fn lp_pool(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    ensure!(x.shape().len() >= 3, "expected three axes or more, got {:?}", x.shape());
    let (outer, dims) = x.shape().split_at(2);
    let window = Window::of(call, call.ints("kernel_shape").context("expected a kernel shape")?, dims)?;
    let counts = window.counts(dims, call.int("ceil_mode", 0) != 0)?;
    let p = call.int("p", 2) as f64;
    let (values, own, taps) = (x.f64s()?, strides(dims), window.taps()?);
    let size: usize = dims.iter().product();
    let shape = [outer, &counts].concat();
    let mut pooled = Vec::with_capacity(volume(&shape)?);
    for plane in values.chunks(size.max(1)) {
        for at in indices(&counts) {
            let places = taps.iter().filter_map(|tap| window.tap(&at, tap, dims));
            let sum: f64 = places.map(|index| plane[place(&index, &own)].abs().powf(p)).sum();
            pooled.push(sum.powf(1.0 / p));
        }
    }
    Ok(vec![Tensor::like(x, &shape, pooled)?])
}

fn max_unpool(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, at) = (call.input(0)?, call.input(1)?);
    ensure!(x.shape().len() >= 3 && at.shape() == x.shape(), "expected an index for each of {:?}", x.shape());
    let (outer, dims) = x.shape().split_at(2);
    let window = Window::of(call, call.ints("kernel_shape").context("expected a kernel shape")?, dims)?;
    let grown = (0..dims.len()).map(|axis| {
        let (before, after) = window.pads[axis];
        usize::try_from((dims[axis] as i64 - 1) * window.strides[axis] - before - after + window.kernel[axis])
    });
    let inner = grown.collect::<Result<Vec<_>, _>>()?;
    let small = [outer, &inner].concat();
    let shape: Vec<usize> = match call.optional(2) {
        Some(shape) => shape.i64s()?.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>()?,
        None => small.clone(),
    };
    ensure!(shape.len() == small.len(), "expected {} dims, got {}", small.len(), shape.len());
    volume(&small)?;
    // The indices count in the shape that the window gives, whatever shape is asked for.
    let (from, to) = (strides(&small), strides(&shape));
    let mut values = vec![0.0; volume(&shape)?];
    for (&index, value) in at.i64s()?.iter().zip(x.f64s()?) {
        let mut rest = usize::try_from(index)?;
        let mut sum = 0;
        for axis in 0..small.len() {
            let step = from[axis] as usize;
            let here = rest / step;
            ensure!(here < small[axis] && here < shape[axis], "index {index} lies outside of {shape:?}");
            sum += here * to[axis] as usize;
            rest %= step;
        }
        values[sum] = value;
    }
    Ok(vec![Tensor::like(x, &shape, values)?])
}

fn col2im(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let dims: Vec<usize> =
        call.input(1)?.i64s()?.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>()?;
    let window = Window::of(call, call.input(2)?.i64s()?, &dims)?;
    let counts = window.counts(&dims, false)?;
    let (taps, own) = (window.taps()?, strides(&dims));
    let &[batch, rows, columns] = x.shape() else { bail!("expected three axes, got {:?}", x.shape()) };
    let windows: usize = counts.iter().product();
    ensure!(columns == windows, "expected {windows} windows, got {columns}");
    ensure!(rows.is_multiple_of(taps.len()), "expected a multiple of {} rows, got {rows}", taps.len());
    let channels = rows / taps.len();
    let shape = [&[batch, channels], dims.as_slice()].concat();
    let size: usize = dims.iter().product();
    let mut sums = vec![0.0; volume(&shape)?];
    for (line, values) in x.f64s()?.chunks(columns.max(1)).enumerate() {
        let (plane, tap) = (line / taps.len(), &taps[line % taps.len()]);
        for (at, value) in indices(&counts).zip(values) {
            if let Some(index) = window.tap(&at, tap, &dims) {
                sums[plane * size + place(&index, &own)] += value;
            }
        }
    }
    Ok(vec![Tensor::like(x, &shape, sums)?])
}

/// Of the last two axes, by elimination with the largest pivot.
fn determinants(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    let rank = x.shape().len();
    ensure!(
        rank >= 2 && x.shape()[rank - 1] == x.shape()[rank - 2],
        "expected square matrices, got {:?}",
        x.shape()
    );
    let n = x.shape()[rank - 1];
    let one = |matrix: &[f64]| {
        let mut m = matrix.to_vec();
        let mut product = 1.0;
        for step in 0..n {
            let pivot = (step..n)
                .max_by(|&a, &b| m[a * n + step].abs().total_cmp(&m[b * n + step].abs()))
                .unwrap_or(step);
            if m[pivot * n + step] == 0.0 {
                return 0.0;
            }
            if pivot != step {
                (0..n).for_each(|column| m.swap(pivot * n + column, step * n + column));
                product = -product;
            }
            product *= m[step * n + step];
            for row in step + 1..n {
                let factor = m[row * n + step] / m[step * n + step];
                (step..n).for_each(|column| m[row * n + column] -= factor * m[step * n + column]);
            }
        }
        product
    };
    let values = x.f64s()?.chunks((n * n).max(1)).map(one).collect();
    Ok(vec![Tensor::like(x, &x.shape()[..rank - 2], values)?])
}
