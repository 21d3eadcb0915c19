//! Values between the elements of a picture, by the four around: `AffineGrid`, `RoiAlign`, `DeformConv`.

use tract_onnx::tract_hir::internal::*;

use super::walk::indices;
use super::{Call, Kernel};
use crate::Tensor;
use crate::tensor::volume;

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "AffineGrid" => affine_grid,
        "RoiAlign" => roi_align,
        "DeformConv" => deform_conv,
        _ => return None,
    })
}

fn affine_grid(call: &Call) -> TractResult<Vec<Tensor>> {
    let theta = call.input(0)?;
    let size: Vec<usize> =
        call.input(1)?.i64s()?.iter().map(|&n| usize::try_from(n)).collect::<Result<_, _>>()?;
    ensure!(matches!(size.len(), 4 | 5), "expected 4 or 5 dims, got {}", size.len());
    let (batch, dims) = (size[0], &size[2..]);
    let rank = dims.len();
    ensure!(
        theta.shape() == [batch, rank, rank + 1],
        "expected [{batch}, {rank}, {}], got {:?}",
        rank + 1,
        theta.shape()
    );
    let corners = call.int("align_corners", 0) != 0;
    let matrix = theta.f64s()?;
    let shape = [&[batch], dims, &[rank]].concat();
    let mut values = Vec::with_capacity(volume(&shape)?);
    for index in indices(&[&[batch], dims].concat()) {
        let at = |axis: usize| {
            let (place, dim) = (index[1 + axis] as f64, dims[axis] as f64);
            if corners { -1.0 + 2.0 * place / (dim - 1.0) } else { (2.0 * place + 1.0) / dim - 1.0 }
        };
        // The last axis is x, the first of a point.
        let point: Vec<f64> = (0..rank).rev().map(at).chain([1.0]).collect();
        for row in 0..rank {
            let weights = &matrix[(index[0] * rank + row) * (rank + 1)..][..rank + 1];
            values.push(weights.iter().zip(&point).map(|(w, p)| w * p).sum());
        }
    }
    Ok(vec![Tensor::like(theta, &shape, values)?])
}

fn roi_align(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, rois, batches) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let &[n, channels, height, width] = x.shape() else { bail!("expected four axes, got {:?}", x.shape()) };
    ensure!(height > 0 && width > 0, "the picture is empty");
    let (ph, pw) =
        (usize::try_from(call.int("output_height", 1))?, usize::try_from(call.int("output_width", 1))?);
    let default = if call.version < 16 { "output_half_pixel" } else { "half_pixel" };
    let half = call.text("coordinate_transformation_mode", default) == "half_pixel";
    let (offset, scale) = (if half { 0.5 } else { 0.0 }, call.float("spatial_scale", 1.0));
    let samples = usize::try_from(call.int("sampling_ratio", 0))?;
    let max = call.text("mode", "avg") == "max";
    let (values, boxes, batches) = (x.f64s()?, rois.f64s()?, batches.i64s()?);
    ensure!(boxes.len() == batches.len() * 4, "expected {} boxes, got {:?}", batches.len(), rois.shape());
    let shape = [batches.len(), channels, ph, pw];
    let mut pooled = Vec::with_capacity(volume(&shape)?);
    for (corners, &batch) in boxes.chunks(4).zip(&batches) {
        let batch = super::gather::position(batch, n)?;
        let [x1, y1, x2, y2] = [0, 1, 2, 3].map(|at| corners[at] * scale - offset);
        let least = if half { f64::NEG_INFINITY } else { 1.0 };
        let (bin_h, bin_w) = ((y2 - y1).max(least) / ph as f64, (x2 - x1).max(least) / pw as f64);
        let count = |bin: f64| if samples > 0 { samples } else { bin.ceil().clamp(0.0, 4096.0) as usize };
        let (rows, columns) = (count(bin_h), count(bin_w));
        for channel in 0..channels {
            let plane = &values[(batch * channels + channel) * height * width..][..height * width];
            for bin in 0..ph * pw {
                let (top, left) = (y1 + (bin / pw) as f64 * bin_h, x1 + (bin % pw) as f64 * bin_w);
                let (mut sum, mut most) = (0.0, None::<f64>);
                for sample in 0..rows * columns {
                    let y = top + ((sample / columns) as f64 + 0.5) * bin_h / rows as f64;
                    let x = left + ((sample % columns) as f64 + 0.5) * bin_w / columns as f64;
                    let parts = corner_parts(plane, height, width, y, x);
                    sum += parts.iter().sum::<f64>();
                    // The largest of the four parts, not of their sums.
                    let best = parts.into_iter().fold(f64::NEG_INFINITY, f64::max);
                    most = Some(most.map_or(best, |most| most.max(best)));
                }
                pooled.push(if max { most.unwrap_or(0.0) } else { sum / (rows * columns).max(1) as f64 });
            }
        }
    }
    Ok(vec![Tensor::like(x, &shape, pooled)?])
}

/// What the four elements around a point give to it. Up to one element outside the border goes on, further is zero.
fn corner_parts(plane: &[f64], height: usize, width: usize, y: f64, x: f64) -> [f64; 4] {
    if y < -1.0 || y > height as f64 || x < -1.0 || x > width as f64 {
        return [0.0; 4];
    }
    let place = |at: f64, dim: usize| {
        let at = at.max(0.0);
        let low = at as usize;
        if low + 1 >= dim { (dim - 1, dim - 1, 0.0) } else { (low, low + 1, at - low as f64) }
    };
    let ((top, bottom, down), (left, right, over)) = (place(y, height), place(x, width));
    [
        (1.0 - down) * (1.0 - over) * plane[top * width + left],
        (1.0 - down) * over * plane[top * width + right],
        down * (1.0 - over) * plane[bottom * width + left],
        down * over * plane[bottom * width + right],
    ]
}

/// Between elements, with zeros around the picture.
fn bilinear(plane: &[f64], height: usize, width: usize, y: f64, x: f64) -> f64 {
    let (top, left) = (y.floor(), x.floor());
    let mut sum = 0.0;
    for (row, weight) in [(top, 1.0 - (y - top)), (top + 1.0, y - top)] {
        for (column, share) in [(left, 1.0 - (x - left)), (left + 1.0, x - left)] {
            if row >= 0.0 && column >= 0.0 && row < height as f64 && column < width as f64 {
                sum += weight * share * plane[row as usize * width + column as usize];
            }
        }
    }
    sum
}

fn deform_conv(call: &Call) -> TractResult<Vec<Tensor>> {
    let (x, w, offsets) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let &[batch, channels, height, width] = x.shape() else {
        bail!("expected four axes, got {:?}", x.shape())
    };
    let &[filters, depth, kh, kw] = w.shape() else { bail!("expected four axes, got {:?}", w.shape()) };
    let &[_, _, oh, ow] = offsets.shape() else { bail!("expected four axes, got {:?}", offsets.shape()) };
    let pair = |name: &str, default: i64| -> TractResult<[f64; 2]> {
        let ints = call.ints(name).unwrap_or_else(|| vec![default; 2]);
        ensure!(ints.len() >= 2, "{name}: expected two numbers or more");
        Ok([ints[0] as f64, ints[1] as f64])
    };
    let (strides, dilations, pads) = (pair("strides", 1)?, pair("dilations", 1)?, pair("pads", 0)?);
    let groups = usize::try_from(call.int("group", 1))?.max(1);
    let offset_groups = usize::try_from(call.int("offset_group", 1))?.max(1);
    ensure!(
        depth * groups == channels && filters.is_multiple_of(groups),
        "the weights don't fit to {channels} channels"
    );
    ensure!(channels.is_multiple_of(offset_groups), "the offsets don't fit to {channels} channels");
    let taps = kh * kw;
    let expected = [batch, offset_groups * taps * 2, oh, ow];
    ensure!(offsets.shape() == expected, "expected offsets of {expected:?}, got {:?}", offsets.shape());
    let mask = call.optional(4).map(Tensor::f64s).transpose()?;
    ensure!(mask.as_ref().is_none_or(|mask| mask.len() * 2 == offsets.len()), "the mask doesn't fit");
    let bias = call.optional(3).map(Tensor::f64s).transpose()?;
    ensure!(bias.as_ref().is_none_or(|bias| bias.len() == filters), "expected {filters} biases");
    let (values, weights, moves) = (x.f64s()?, w.f64s()?, offsets.f64s()?);
    let shape = [batch, filters, oh, ow];
    let mut sums = vec![0.0; volume(&shape)?];
    for index in indices(&[batch, channels, taps, oh, ow]) {
        let &[n, channel, tap, i, j] = index.as_slice() else { continue };
        let group = channel / (channels / offset_groups);
        let moved = |part: usize| {
            moves[(((n * offset_groups + group) * taps + tap) * 2 + part) * oh * ow + i * ow + j]
        };
        let y = i as f64 * strides[0] - pads[0] + (tap / kw) as f64 * dilations[0] + moved(0);
        let x = j as f64 * strides[1] - pads[1] + (tap % kw) as f64 * dilations[1] + moved(1);
        let plane = &values[(n * channels + channel) * height * width..][..height * width];
        let mut value = bilinear(plane, height, width, y, x);
        if let Some(mask) = &mask {
            value *= mask[((n * offset_groups + group) * taps + tap) * oh * ow + i * ow + j];
        }
        let own = channel / depth;
        for filter in own * (filters / groups)..(own + 1) * (filters / groups) {
            let weight = weights[(filter * depth + channel % depth) * taps + tap];
            sums[((n * filters + filter) * oh + i) * ow + j] += weight * value;
        }
    }
    if let Some(bias) = bias {
        sums.iter_mut().enumerate().for_each(|(at, sum)| *sum += bias[at / (oh * ow) % filters]);
    }
    Ok(vec![Tensor::like(x, &shape, sums)?])
}
