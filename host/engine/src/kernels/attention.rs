//! Attention: `Attention`, `LinearAttention`, and the convolution that stands beside it, `CausalConvWithState`.
//!
//! A value that the specification passes on in the input's dtype is rounded to it there, so that f16 and bf16 give
//! what the operators one after the other would.

use tract_onnx::tract_hir::internal::*;

use super::moves::permuted;
use super::unary::sigmoid;
use super::walk::{around, broadcast, spread};
use super::{Call, Kernel};
use crate::{Dtype, Tensor};

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "Attention" => attention,
        "LinearAttention" => linear_attention,
        "CausalConvWithState" => causal_conv,
        "Softmax" => |call| {
            ensure!(call.version >= 13, "a softmax over many axes is not read");
            let x = call.input(0)?;
            let axis = x.axis(call.int("axis", -1))?;
            let (outer, dim, inner) = around(x.shape(), axis);
            let mut values = x.f64s()?;
            for line in 0..outer * inner {
                let places = (0..dim).map(|at| (line / inner * dim + at) * inner + line % inner);
                let line: Vec<f64> = places.clone().map(|at| values[at]).collect();
                places.zip(softmax(&line, x.dtype())?).for_each(|(at, share)| values[at] = share);
            }
            Ok(vec![Tensor::like(x, x.shape(), values)?])
        },
        _ => return None,
    })
}

/// `[B, T, H·D]` as `[B, H, T, D]`.
fn heads(x: &Tensor, count: usize) -> TractResult<Tensor> {
    let &[batch, steps, width] = x.shape() else { bail!("expected three axes, got {:?}", x.shape()) };
    ensure!(count > 0 && width.is_multiple_of(count), "{width} can't be divided among {count} heads");
    permuted(&x.shaped(&[batch, steps, count, width / count])?, &[0, 2, 1, 3])
}

/// `past` and `x` after one another on axis 2.
fn grown(past: Option<&Tensor>, x: Tensor) -> TractResult<Tensor> {
    let Some(past) = past else { return Ok(x) };
    let (&[b, h, before, d], &[b2, h2, now, d2]) = (past.shape(), x.shape()) else {
        bail!("expected four axes")
    };
    ensure!((b, h, d) == (b2, h2, d2), "the past is {:?}, the present {:?}", past.shape(), x.shape());
    let whole = Tensor::chained(&[past.clone(), x], &[b * h * (before + now) * d])?;
    let places = (0..b * h).flat_map(|line| {
        let (old, new) = (line * before * d, past.len() + line * now * d);
        (old..old + before * d).chain(new..new + now * d)
    });
    whole.pick(&[b, h, before + now, d], places)
}

/// Each value rounded to `dtype` and back.
fn rounded(dtype: Dtype, values: Vec<f64>) -> TractResult<Vec<f64>> {
    match dtype {
        Dtype::F64 => Ok(values),
        Dtype::F32 => Ok(values.into_iter().map(|v| f64::from(v as f32)).collect()),
        _ => Tensor::of_f64s(dtype, &[values.len()], values)?.f64s(),
    }
}

fn attention(call: &Call) -> TractResult<Vec<Tensor>> {
    let (q, k, v) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let dtype = q.dtype();
    let flat = q.shape().len() == 3;
    let count = |name: &str| usize::try_from(call.int(name, 0));
    let split = |x: &Tensor, name: &str| if flat { heads(x, count(name)?) } else { Ok(x.clone()) };
    let (q, k, v) = (split(q, "q_num_heads")?, split(k, "kv_num_heads")?, split(v, "kv_num_heads")?);
    let (past_k, past_v, valid) = (call.optional(4), call.optional(5), call.optional(6));
    ensure!(past_k.is_some() == past_v.is_some(), "past key and value belong together");
    let (k, v) = (grown(past_k, k)?, grown(past_v, v)?);
    let &[batch, q_heads, rows, width] = q.shape() else { bail!("expected four axes, got {:?}", q.shape()) };
    let &[_, kv_heads, columns, _] = k.shape() else { bail!("expected four axes, got {:?}", k.shape()) };
    let &[_, _, _, v_width] = v.shape() else { bail!("expected four axes, got {:?}", v.shape()) };
    ensure!(
        k.shape() == [batch, kv_heads, columns, width],
        "queries {:?} don't fit to keys {:?}",
        q.shape(),
        k.shape()
    );
    ensure!(
        v.shape() == [batch, kv_heads, columns, v_width],
        "keys {:?} don't fit to values {:?}",
        k.shape(),
        v.shape()
    );
    ensure!(kv_heads > 0 && q_heads.is_multiple_of(kv_heads), "{q_heads} heads don't fit to {kv_heads}");
    let scale = call.attribute("scale").map_or(1.0 / (width as f64).sqrt(), |attribute| attribute.f.into());
    let scale = rounded(dtype, vec![scale.sqrt()])?[0];
    let scaled = |x: &Tensor| -> TractResult<Vec<f64>> {
        rounded(dtype, x.f64s()?.into_iter().map(|x| x * scale).collect())
    };
    let valid = valid.map(Tensor::i64s).transpose()?;
    ensure!(valid.as_ref().is_none_or(|valid| valid.len() == batch), "expected {batch} lengths");
    let bias = bias(call, dtype, past_k, valid.as_deref(), [batch, q_heads, rows, columns])?;
    let cap = call.float("softcap", 0.0);
    let mode = call.int("qk_matmul_output_mode", 0);
    let wide = match call.int("softmax_precision", 0) {
        0 => dtype,
        code => Dtype::from_onnx(i32::try_from(code)?).context("expected a dtype")?,
    };
    let (qs, ks, vs) = (scaled(&q)?, scaled(&k)?, v.f64s()?);
    let shape = [batch, q_heads, rows, v_width];
    let mut shown = Vec::new();
    let mut y = Vec::with_capacity(crate::tensor::volume(&shape)?);
    for line in 0..batch * q_heads * rows {
        let head = line / rows;
        let kv = head / q_heads * kv_heads + head % q_heads / (q_heads / kv_heads);
        let query = &qs[line * width..(line + 1) * width];
        let keys = &ks[kv * columns * width..(kv + 1) * columns * width];
        let products = keys.chunks(width.max(1)).map(|key| query.iter().zip(key).map(|(a, b)| a * b).sum());
        let mut scores: Vec<f64> = rounded(dtype, products.collect())?;
        if mode == 0 {
            shown.extend_from_slice(&scores);
        }
        if cap > 0.0 {
            scores = rounded(dtype, scores.iter().map(|s| (s / cap).tanh() * cap).collect())?;
        }
        if mode == 1 {
            shown.extend_from_slice(&scores);
        }
        let own = &bias[line * columns..(line + 1) * columns];
        let scores = rounded(dtype, scores.iter().zip(own).map(|(s, b)| s + b).collect())?;
        if mode == 2 {
            shown.extend_from_slice(&scores);
        }
        let nothing = own.iter().all(|b| *b == f64::NEG_INFINITY);
        let shares = if nothing { vec![0.0; columns] } else { softmax(&scores, wide)? };
        let shares = rounded(dtype, shares)?;
        if mode == 3 {
            shown.extend_from_slice(&shares);
        }
        let mut sums = vec![0.0; v_width];
        let values = &vs[kv * columns * v_width..(kv + 1) * columns * v_width];
        for (share, value) in
            shares.iter().zip(values.chunks(v_width.max(1))).filter(|(share, _)| **share != 0.0)
        {
            sums.iter_mut().zip(value).for_each(|(sum, v)| *sum += share * v);
        }
        y.extend(sums);
    }
    let mut y = Tensor::of_f64s(dtype, &shape, y)?;
    if flat {
        y = permuted(&y, &[0, 2, 1, 3])?.shaped(&[batch, rows, q_heads * v_width])?;
    }
    let shown = if call.wants(3) {
        Tensor::of_f64s(dtype, &[batch, q_heads, rows, columns], shown)?
    } else {
        y.clone()
    };
    Ok(vec![y, k, v, shown])
}

fn softmax(scores: &[f64], dtype: Dtype) -> TractResult<Vec<f64>> {
    let largest =
        scores.iter().copied().fold(f64::NEG_INFINITY, |a, b| if b.is_nan() || b > a { b } else { a });
    if largest == f64::NEG_INFINITY {
        return Ok(vec![0.0; scores.len()]);
    }
    let powers = rounded(dtype, scores.iter().map(|s| (s - largest).exp()).collect())?;
    let sum = match dtype {
        // Rounded at each step, as ONNX's own expected values are.
        Dtype::Bf16 => {
            powers.iter().try_fold(0.0, |sum, p| Ok::<_, TractError>(rounded(dtype, vec![sum + p])?[0]))?
        }
        _ => rounded(dtype, vec![powers.iter().sum()])?[0],
    };
    rounded(dtype, powers.iter().map(|p| p / sum).collect())
}

/// What is added to each score: the mask, and minus infinity for what a query may not see.
fn bias(
    call: &Call,
    dtype: Dtype,
    past: Option<&Tensor>,
    valid: Option<&[i64]>,
    shape: [usize; 4],
) -> TractResult<Vec<f64>> {
    let [batch, heads, rows, columns] = shape;
    let mut bias = match call.optional(3) {
        None => vec![0.0; crate::tensor::volume(&shape)?],
        Some(mask) => {
            let values: Vec<f64> = match mask.dtype() {
                Dtype::Bool => mask
                    .slice::<bool>()?
                    .iter()
                    .map(|&seen| if seen { 0.0 } else { f64::NEG_INFINITY })
                    .collect(),
                _ => rounded(dtype, mask.f64s()?)?,
            };
            let length = mask.shape().last().copied().unwrap_or(1);
            let (values, dims) = if length < columns && length > 0 && !mask.shape().is_empty() {
                // What the mask leaves out at the end isn't seen.
                let padded = values.chunks(length).flat_map(|line| {
                    line.iter().copied().chain(std::iter::repeat_n(f64::NEG_INFINITY, columns - length))
                });
                (padded.collect(), [&mask.shape()[..mask.shape().len() - 1], &[columns]].concat())
            } else {
                (values, mask.shape().to_vec())
            };
            ensure!(broadcast(&[&dims, &shape])? == shape, "the mask {dims:?} doesn't fit to {shape:?}");
            spread(&dims, &shape).map(|at| values[at]).collect()
        }
    };
    let causal = call.int("is_causal", 0) != 0;
    let (left, right) = (call.int("left_window_size", -1), call.int("right_window_size", -1));
    let before = past.map_or(0, |past| past.shape()[2] as i64);
    for (at, value) in bias.iter_mut().enumerate() {
        let (column, row) = ((at % columns) as i64, (at / columns % rows) as i64);
        let n = at / columns / rows / heads % batch.max(1);
        let offset = match valid {
            Some(valid) if past.is_none() => valid[n] - rows as i64,
            _ => before,
        };
        let ahead = column - (row + offset);
        let hidden = causal && ahead > 0
            || left >= 0 && -ahead > left
            || right >= 0 && ahead > right
            || valid.is_some_and(|valid| column >= valid[n]);
        if hidden {
            *value += f64::NEG_INFINITY;
        }
    }
    Ok(bias)
}

fn linear_attention(call: &Call) -> TractResult<Vec<Tensor>> {
    let (query, key, value) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let (q_heads, kv_heads) =
        (usize::try_from(call.int("q_num_heads", 0))?, usize::try_from(call.int("kv_num_heads", 0))?);
    ensure!(kv_heads > 0 && q_heads.is_multiple_of(kv_heads), "{q_heads} heads don't fit to {kv_heads}");
    let (q, k, v) = (heads(query, q_heads)?, heads(key, kv_heads)?, heads(value, kv_heads)?);
    let &[batch, _, steps, width] = q.shape() else { bail!("expected four axes") };
    let v_width = v.shape()[3];
    ensure!(
        k.shape() == [batch, kv_heads, steps, width],
        "queries {:?} don't fit to keys {:?}",
        q.shape(),
        k.shape()
    );
    ensure!(
        v.shape() == [batch, kv_heads, steps, v_width],
        "values {:?} don't fit to keys {:?}",
        v.shape(),
        k.shape()
    );
    let rule = call.text("update_rule", "gated_delta");
    let (decays, corrects) = match rule.as_str() {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => bail!("the update rule {other:?} is not known"),
    };
    let gate = |at: usize, wanted: bool| -> TractResult<Option<(Vec<f64>, usize)>> {
        let tensor = call.optional(at).filter(|_| wanted);
        ensure!(tensor.is_some() == wanted, "the rule {rule:?} needs input {at}");
        let Some(tensor) = tensor else { return Ok(None) };
        let last = tensor.shape().last().copied().unwrap_or(0);
        ensure!(
            tensor.shape() == [batch, steps, last],
            "expected [{batch}, {steps}, …], got {:?}",
            tensor.shape()
        );
        ensure!(
            [1, kv_heads, kv_heads * width].contains(&last),
            "input {at}: {last} doesn't fit to {kv_heads} heads"
        );
        Ok(Some((tensor.f64s()?, last)))
    };
    let (decay, beta) = (gate(4, decays)?, gate(5, corrects)?);
    ensure!(
        beta.as_ref().is_none_or(|(_, last)| *last <= kv_heads),
        "beta has more than a number for each head"
    );
    let state_shape = [batch, kv_heads, width, v_width];
    let (mut state, state_dtype) = match call.optional(3) {
        Some(past) => {
            ensure!(
                past.shape() == state_shape,
                "expected a state of {state_shape:?}, got {:?}",
                past.shape()
            );
            (past.f64s()?, past.dtype())
        }
        None => (vec![0.0; crate::tensor::volume(&state_shape)?], query.dtype()),
    };
    let given = call.float("scale", 0.0);
    let scale = if given == 0.0 { 1.0 / (width as f64).sqrt() } else { given };
    let (qs, ks, vs) = (q.f64s()?, k.f64s()?, v.f64s()?);
    let group = q_heads / kv_heads;
    let mut y = vec![0.0; crate::tensor::volume(&[batch, q_heads, steps, v_width])?];
    for n in 0..batch {
        for head in 0..kv_heads {
            let own = n * kv_heads + head;
            let memory = &mut state[own * width * v_width..(own + 1) * width * v_width];
            for t in 0..steps {
                let key = &ks[(own * steps + t) * width..][..width];
                let mut update = vs[(own * steps + t) * v_width..][..v_width].to_vec();
                if let Some((decay, last)) = &decay {
                    for (d, line) in memory.chunks_mut(v_width.max(1)).enumerate() {
                        let at =
                            if *last == kv_heads * width { head * width + d } else { head.min(last - 1) };
                        let kept = decay[(n * steps + t) * last + at].exp();
                        line.iter_mut().for_each(|m| *m *= kept);
                    }
                }
                if let Some((beta, last)) = &beta {
                    let share = beta[(n * steps + t) * last + head.min(last - 1)];
                    for (m, value) in update.iter_mut().enumerate() {
                        let held: f64 = (0..width).map(|d| memory[d * v_width + m] * key[d]).sum();
                        *value = share * (*value - held);
                    }
                }
                for (line, factor) in memory.chunks_mut(v_width.max(1)).zip(key) {
                    line.iter_mut().zip(&update).for_each(|(m, u)| *m += factor * u);
                }
                for q_head in head * group..(head + 1) * group {
                    let at = (n * q_heads + q_head) * steps + t;
                    let query = &qs[at * width..(at + 1) * width];
                    for (line, factor) in memory.chunks(v_width.max(1)).zip(query) {
                        y[at * v_width..(at + 1) * v_width]
                            .iter_mut()
                            .zip(line)
                            .for_each(|(y, m)| *y += scale * factor * m);
                    }
                }
            }
        }
    }
    let y = Tensor::of_f64s(query.dtype(), &[batch, q_heads, steps, v_width], y)?;
    let y = permuted(&y, &[0, 2, 1, 3])?.shaped(&[batch, steps, q_heads * v_width])?;
    Ok(vec![y, Tensor::of_f64s(state_dtype, &state_shape, state)?])
}

fn causal_conv(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, w) = (call.input(0)?, call.input(1)?);
    let &[batch, channels, length] = x.shape() else { bail!("expected three axes, got {:?}", x.shape()) };
    let &[filters, 1, taps] = w.shape() else { bail!("expected [channels, 1, taps], got {:?}", w.shape()) };
    ensure!(filters == channels && taps > 0, "expected {channels} filters, got {filters}");
    let kept = taps - 1;
    let past = match call.optional(3) {
        Some(past) => past.clone(),
        None => Tensor::of_f64s(x.dtype(), &[batch, channels, kept], vec![0.0; batch * channels * kept])?,
    };
    ensure!(
        past.shape() == [batch, channels, kept],
        "expected a state of {:?}, got {:?}",
        [batch, channels, kept],
        past.shape()
    );
    let lines = |tensor: &Tensor, n: usize| tensor.shaped(&[batch, channels, n, 1]);
    let padded = grown(Some(&lines(&past, kept)?), lines(x, length)?)?;
    let whole = kept + length;
    let (values, weights) = (padded.f64s()?, w.f64s()?);
    let bias = call.optional(2).map(Tensor::f64s).transpose()?.unwrap_or_else(|| vec![0.0; channels]);
    ensure!(bias.len() == channels, "expected {channels} biases, got {}", bias.len());
    let silu = match call.text("activation", "none").as_str() {
        "none" => false,
        "silu" | "swish" => true,
        other => bail!("the activation {other:?} is not known"),
    };
    let mut sums = Vec::with_capacity(x.len());
    for (line, values) in values.chunks(whole.max(1)).enumerate() {
        let channel = line % channels;
        let own = &weights[channel * taps..(channel + 1) * taps];
        for t in 0..length {
            sums.push(values[t..t + taps].iter().zip(own).map(|(v, w)| v * w).sum::<f64>() + bias[channel]);
        }
    }
    if silu {
        sums = rounded(x.dtype(), sums)?.into_iter().map(|v| v * sigmoid(v)).collect();
    }
    let state = padded.pick(
        &[batch, channels, kept],
        (0..batch * channels).flat_map(|line| line * whole + length..(line + 1) * whole),
    )?;
    Ok(vec![Tensor::like(x, x.shape(), sums)?, state])
}
