//! `RNN`, `GRU` and `LSTM`, one step of one row after the other; sums in f64, the gates in f32.

use tract_onnx::tract_hir::internal::*;

use super::{Call, Kernel};
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "RNN" => |call| run(call, 1, &["Tanh"]),
        "GRU" => |call| run(call, 3, &["Sigmoid", "Tanh"]),
        "LSTM" => |call| run(call, 4, &["Sigmoid", "Tanh", "Tanh"]),
        _ => return None,
    })
}

type Activation = Box<dyn Fn(f32) -> f32>;

/// One direction's weights.
struct Cell<'a> {
    /// `[gates · hidden, input]`
    w: &'a [f32],
    /// `[gates · hidden, hidden]`
    r: &'a [f32],
    /// Of the input and of the state, `[gates · hidden]` each
    biases: (Vec<f32>, Vec<f32>),
    /// `[3 · hidden]`, for input, output and forget gate
    peepholes: Option<&'a [f32]>,
    activations: &'a [Activation],
    hidden: usize,
    clip: Option<f32>,
    reset_after: bool,
    input_forget: bool,
}

fn run(call: &Call, gates: usize, defaults: &[&str]) -> TractResult<Vec<Tensor>> {
    let batch_first = call.int("layout", 0) != 0;
    let swap = |x: &Tensor| if batch_first { super::moves::permuted(x, &[1, 0, 2]) } else { Ok(x.clone()) };
    let x = call.input(0)?;
    ensure!(x.shape().len() == 3, "expected three axes, got {:?}", x.shape());
    let like = x.dtype();
    let x = swap(x)?;
    let (w, r) = (call.input(1)?, call.input(2)?);
    let &[steps, batch, width] = x.shape() else { bail!("expected three axes, got {:?}", x.shape()) };
    let &[directions, rows, hidden] = r.shape() else { bail!("expected three axes, got {:?}", r.shape()) };
    ensure!(hidden > 0 && rows == gates * hidden, "expected {} rows of weights, got {rows}", gates * hidden);
    ensure!(
        w.shape() == [directions, rows, width],
        "expected {:?}, got {:?}",
        [directions, rows, width],
        w.shape()
    );
    let way = call.text("direction", "forward");
    ensure!(
        directions == 1 + usize::from(way == "bidirectional"),
        "{way:?} doesn't fit to {directions} directions"
    );
    let (w, r, inputs) = (w.f32s()?, r.f32s()?, x.f32s()?);
    let optional = |at: usize, count: usize, batched: bool| -> TractResult<Option<Vec<f32>>> {
        let Some(tensor) = call.optional(at) else { return Ok(None) };
        ensure!(tensor.len() == count, "input {at}: expected {count} elements, got {}", tensor.len());
        Ok(Some(if batched { swap(tensor)?.f32s()? } else { tensor.f32s()? }))
    };
    let bias = optional(3, directions * 2 * rows, false)?;
    let lengths = match call.optional(4) {
        Some(lengths) => {
            lengths.i64s()?.iter().map(|&n| usize::try_from(n).unwrap_or(0).min(steps)).collect()
        }
        None => vec![steps; batch],
    };
    ensure!(lengths.len() == batch, "expected {batch} lengths, got {}", lengths.len());
    let first_h = optional(5, directions * batch * hidden, true)?;
    let lstm = gates == 4;
    let first_c = if lstm { optional(6, directions * batch * hidden, true)? } else { None };
    let peepholes = if lstm { optional(7, directions * 3 * hidden, false)? } else { None };
    let activations = activations(call, directions, defaults)?;
    let mut y = vec![0f32; crate::tensor::volume(&[steps, directions, batch, hidden])?];
    let mut last_h = first_h.unwrap_or_else(|| vec![0.0; directions * batch * hidden]);
    let mut last_c = first_c.unwrap_or_else(|| vec![0.0; directions * batch * hidden]);
    for d in 0..directions {
        let biases = match &bias {
            Some(bias) => {
                let own = &bias[d * 2 * rows..(d + 1) * 2 * rows];
                (own[..rows].to_vec(), own[rows..].to_vec())
            }
            None => (vec![0.0; rows], vec![0.0; rows]),
        };
        let cell = Cell {
            w: &w[d * rows * width..(d + 1) * rows * width],
            r: &r[d * rows * hidden..(d + 1) * rows * hidden],
            biases,
            peepholes: peepholes.as_deref().map(|p| &p[d * 3 * hidden..(d + 1) * 3 * hidden]),
            activations: &activations[d * defaults.len()..(d + 1) * defaults.len()],
            hidden,
            clip: call.attribute("clip").map(|attribute| attribute.f),
            reset_after: call.int("linear_before_reset", 0) != 0,
            input_forget: call.int("input_forget", 0) != 0,
        };
        let backwards = way == "reverse" || d == 1;
        for b in 0..batch {
            let own = (d * batch + b) * hidden..(d * batch + b + 1) * hidden;
            for step in 0..lengths[b] {
                let t = if backwards { lengths[b] - 1 - step } else { step };
                let input = &inputs[(t * batch + b) * width..][..width];
                let (h, c) = (&mut last_h[own.clone()], &mut last_c[own.clone()]);
                match gates {
                    1 => cell.plain(input, h),
                    3 => cell.gated(input, h),
                    _ => cell.long_short(input, h, c),
                }
                y[((t * directions + d) * batch + b) * hidden..][..hidden].copy_from_slice(h);
            }
        }
    }
    let whole = Tensor::of(Dtype::F32, &[steps, directions, batch, hidden], y)?;
    let state = |values: Vec<f32>| -> TractResult<Tensor> {
        let state = Tensor::of(Dtype::F32, &[directions, batch, hidden], values)?;
        cast(swap(&state)?, like)
    };
    let whole = if batch_first { super::moves::permuted(&whole, &[2, 0, 1, 3])? } else { whole };
    let mut outputs = vec![cast(whole, like)?, state(last_h)?];
    if lstm {
        outputs.push(state(last_c)?);
    }
    Ok(outputs)
}

fn cast(tensor: Tensor, to: Dtype) -> TractResult<Tensor> {
    if to == Dtype::F32 { Ok(tensor) } else { Tensor::of_f64s(to, tensor.shape(), tensor.f64s()?) }
}

fn activations(call: &Call, directions: usize, defaults: &[&str]) -> TractResult<Vec<Activation>> {
    let named: Vec<String> = match call.attribute("activations") {
        Some(attribute) if !attribute.strings.is_empty() => {
            attribute.strings.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        }
        _ => defaults.iter().map(|&name| name.to_owned()).cycle().take(directions * defaults.len()).collect(),
    };
    let expected = directions * defaults.len();
    ensure!(named.len() == expected, "expected {expected} activations, got {}", named.len());
    let numbers = |name: &str| call.attribute(name).map(|a| a.floats.clone()).unwrap_or_default();
    let (alphas, betas) = (numbers("activation_alpha"), numbers("activation_beta"));
    let each = named.iter().enumerate().map(|(at, name)| {
        let alpha = |default: f32| alphas.get(at).copied().unwrap_or(default);
        let beta = |default: f32| betas.get(at).copied().unwrap_or(default);
        let of: Activation = match name.to_ascii_lowercase().as_str() {
            "sigmoid" => Box::new(|x| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32),
            "tanh" => Box::new(|x| f64::from(x).tanh() as f32),
            "relu" => Box::new(|x: f32| x.max(0.0)),
            "softsign" => Box::new(|x: f32| x / (1.0 + x.abs())),
            "softplus" => Box::new(|x| f64::from(x).exp().ln_1p() as f32),
            "leakyrelu" => {
                let a = alpha(0.01);
                Box::new(move |x: f32| if x < 0.0 { a * x } else { x })
            }
            "thresholdedrelu" => {
                let a = alpha(1.0);
                Box::new(move |x: f32| if x > a { x } else { 0.0 })
            }
            "elu" => {
                let a = alpha(1.0);
                Box::new(move |x: f32| if x < 0.0 { a * x.exp_m1() } else { x })
            }
            "affine" => {
                let (a, b) = (alpha(1.0), beta(0.0));
                Box::new(move |x: f32| a * x + b)
            }
            "scaledtanh" => {
                let (a, b) = (alpha(1.0), beta(1.0));
                Box::new(move |x: f32| a * (b * x).tanh())
            }
            "hardsigmoid" => {
                let (a, b) = (alpha(0.2), beta(0.5));
                Box::new(move |x: f32| (a * x + b).clamp(0.0, 1.0))
            }
            other => bail!("the activation {other:?} is not known"),
        };
        Ok(of)
    });
    each.collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

impl Cell<'_> {
    /// The activation `of` of `sum`, held to the clip first.
    fn gate(&self, of: usize, sum: f64) -> f32 {
        let sum = sum as f32;
        (self.activations[of])(self.clip.map_or(sum, |clip| sum.clamp(-clip, clip)))
    }

    fn input_sum(&self, x: &[f32], row: usize) -> f64 {
        dot(x, &self.w[row * x.len()..(row + 1) * x.len()]) + f64::from(self.biases.0[row])
    }

    fn state_sum(&self, h: &[f32], row: usize) -> f64 {
        dot(h, &self.r[row * h.len()..(row + 1) * h.len()]) + f64::from(self.biases.1[row])
    }

    fn plain(&self, x: &[f32], h: &mut [f32]) {
        let next: Vec<f32> =
            (0..self.hidden).map(|at| self.gate(0, self.input_sum(x, at) + self.state_sum(h, at))).collect();
        h.copy_from_slice(&next);
    }

    /// Rows in the order update, reset, hidden.
    fn gated(&self, x: &[f32], h: &mut [f32]) {
        let n = self.hidden;
        let of = |gate: usize, at: usize| {
            self.gate(0, self.input_sum(x, gate * n + at) + self.state_sum(h, gate * n + at))
        };
        let update: Vec<f32> = (0..n).map(|at| of(0, at)).collect();
        let reset: Vec<f32> = (0..n).map(|at| of(1, at)).collect();
        let kept: Vec<f32> = reset.iter().zip(h.iter()).map(|(r, h)| r * h).collect();
        let next: Vec<f32> = (0..n)
            .map(|at| {
                let row = 2 * n + at;
                let state = if self.reset_after {
                    f64::from(reset[at]) * self.state_sum(h, row)
                } else {
                    self.state_sum(&kept, row)
                };
                let hidden = self.gate(1, self.input_sum(x, row) + state);
                (1.0 - update[at]) * hidden + update[at] * h[at]
            })
            .collect();
        h.copy_from_slice(&next);
    }

    /// Rows in the order input, output, forget, cell.
    fn long_short(&self, x: &[f32], h: &mut [f32], c: &mut [f32]) {
        let n = self.hidden;
        let sum =
            |gate: usize, at: usize| self.input_sum(x, gate * n + at) + self.state_sum(h, gate * n + at);
        let peep = |gate: usize, at: usize, c: f32| {
            self.peepholes.map_or(0.0, |p| f64::from(p[gate * n + at]) * f64::from(c))
        };
        let mut next = vec![0.0; n];
        for at in 0..n {
            let input = self.gate(0, sum(0, at) + peep(0, at, c[at]));
            let forget =
                if self.input_forget { 1.0 - input } else { self.gate(0, sum(2, at) + peep(2, at, c[at])) };
            let cell = forget * c[at] + input * self.gate(1, sum(3, at));
            let output = self.gate(0, sum(1, at) + peep(1, at, cell));
            next[at] = output * (self.activations[2])(cell);
            c[at] = cell;
        }
        h.copy_from_slice(&next);
    }
}
