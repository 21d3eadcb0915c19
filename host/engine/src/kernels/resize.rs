//! `Resize` and `Upsample`: each axis by weights of its neighbours (ONNX, Resize 19).

use tract_onnx::tract_hir::internal::*;

use super::walk::{around, indices};
use super::{Call, Kernel};
use crate::Tensor;
use crate::tensor::volume;

pub(super) fn find(operator: &str) -> Option<Kernel> {
    Some(match operator {
        "Resize" => resize,
        "Upsample" => resize,
        _ => return None,
    })
}

/// How one axis is resized.
struct Axis {
    from: usize,
    to: usize,
    scale: f64,
    roi: (f64, f64),
}

/// The neighbours of one place and their weights; `None` outside of the region, where a constant stands.
type Weights = Option<Vec<(usize, f64)>>;

struct Mode {
    interpolation: String,
    coordinates: String,
    nearest: String,
    cubic: f64,
    exclude_outside: bool,
    antialias: bool,
}

fn resize(call: &Call) -> TractResult<Vec<Tensor>> {
    let x = call.input(0)?;
    // Before version 11 there is no region, and the top left corner is fixed.
    let old = call.version < 11 || call.node.op_type == "Upsample";
    let mode = Mode {
        interpolation: call.text("mode", "nearest"),
        coordinates: call
            .text("coordinate_transformation_mode", if old { "asymmetric" } else { "half_pixel" }),
        nearest: call.text("nearest_mode", if old { "floor" } else { "round_prefer_floor" }),
        cubic: call.float("cubic_coeff_a", -0.75),
        exclude_outside: call.int("exclude_outside", 0) != 0,
        antialias: call.int("antialias", 0) != 0,
    };
    let mut values = x.f64s()?;
    let mut shape = x.shape().to_vec();
    let mut outside: Vec<(usize, Vec<bool>)> = Vec::new();
    for (at, axis) in axes(call, x.shape(), old)?.into_iter().enumerate() {
        let whole = mode.coordinates != "tf_crop_and_resize" || axis.roi == (0.0, 1.0);
        if axis.from == axis.to && axis.scale == 1.0 && whole {
            continue;
        }
        let weights: Vec<Weights> =
            (0..axis.to).map(|place| mode.weights(&axis, place)).collect::<TractResult<_>>()?;
        (values, shape) = along(&values, &shape, at, &weights)?;
        outside.push((at, weights.iter().map(Option::is_none).collect()));
    }
    let constant = call.float("extrapolation_value", 0.0);
    if outside.iter().any(|(_, flags)| flags.contains(&true)) {
        for (value, index) in values.iter_mut().zip(indices(&shape)) {
            if outside.iter().any(|(axis, flags)| flags[index[*axis]]) {
                *value = constant;
            }
        }
    }
    Ok(vec![Tensor::like(x, &shape, values)?])
}

fn axes(call: &Call, shape: &[usize], old: bool) -> TractResult<Vec<Axis>> {
    let rank = shape.len();
    let chosen: Vec<usize> = match call.ints("axes") {
        Some(axes) => axes.iter().map(|&axis| super::axis_of(axis, rank)).collect::<TractResult<_>>()?,
        None => (0..rank).collect(),
    };
    let given = |at: usize| call.optional(at).filter(|tensor| tensor.len() > 0);
    let mut axes: Vec<Axis> =
        shape.iter().map(|&dim| Axis { from: dim, to: dim, scale: 1.0, roi: (0.0, 1.0) }).collect();
    let scales = match call.attribute("scales") {
        Some(attribute) => Some(attribute.floats.iter().map(|&s| f64::from(s)).collect()),
        None => given(if old { 1 } else { 2 }).map(Tensor::f64s).transpose()?,
    };
    let n = chosen.len();
    match (scales, given(3)) {
        (Some(scales), _) => {
            ensure!(scales.len() == n, "expected {n} scales, got {}", scales.len());
            for (&at, scale) in chosen.iter().zip(scales) {
                ensure!(scale > 0.0, "expected a scale above 0, got {scale}");
                axes[at].scale = scale;
                axes[at].to = (scale * shape[at] as f64).floor() as usize;
            }
        }
        (None, Some(sizes)) => {
            let sizes: Vec<usize> =
                sizes.i64s()?.iter().map(|&s| usize::try_from(s)).collect::<Result<_, _>>()?;
            ensure!(sizes.len() == n, "expected {n} sizes, got {}", sizes.len());
            let ratios = chosen.iter().zip(&sizes).map(|(&at, &size)| size as f64 / shape[at] as f64);
            let common = match call.text("keep_aspect_ratio_policy", "stretch").as_str() {
                "not_larger" => Some(ratios.fold(f64::INFINITY, f64::min)),
                "not_smaller" => Some(ratios.fold(0.0, f64::max)),
                _ => None,
            };
            for (&at, &size) in chosen.iter().zip(&sizes) {
                axes[at].scale = common.unwrap_or(size as f64 / shape[at] as f64);
                axes[at].to = common.map_or(size, |scale| (scale * shape[at] as f64 + 0.5).floor() as usize);
            }
        }
        (None, None) => bail!("expected scales or sizes"),
    }
    if let Some(roi) = given(1).filter(|_| !old) {
        let roi = roi.f64s()?;
        ensure!(roi.len() == 2 * n, "expected {} numbers of a region, got {}", 2 * n, roi.len());
        chosen.iter().enumerate().for_each(|(at, &axis)| axes[axis].roi = (roi[at], roi[at + n]));
    }
    volume(&axes.iter().map(|axis| axis.to).collect::<Vec<_>>())?;
    Ok(axes)
}

fn along(
    x: &[f64],
    shape: &[usize],
    axis: usize,
    weights: &[Weights],
) -> TractResult<(Vec<f64>, Vec<usize>)> {
    let (outer, dim, inner) = around(shape, axis);
    let mut to = shape.to_vec();
    to[axis] = weights.len();
    let mut values = vec![0.0; volume(&to)?];
    for o in 0..outer {
        for (at, weights) in weights.iter().enumerate() {
            let line = &mut values[(o * to[axis] + at) * inner..][..inner];
            for &(from, weight) in weights.iter().flatten() {
                let source = &x[(o * dim + from) * inner..][..inner];
                line.iter_mut().zip(source).for_each(|(sum, v)| *sum += weight * v);
            }
        }
    }
    Ok((values, to))
}

impl Mode {
    /// Where place `to` of an axis lies in the original.
    fn origin(&self, axis: &Axis, to: usize) -> TractResult<f64> {
        let (x, from, length) = (to as f64, axis.from as f64, axis.scale * axis.from as f64);
        Ok(match self.coordinates.as_str() {
            "half_pixel" => (x + 0.5) / axis.scale - 0.5,
            "half_pixel_symmetric" => {
                let adjustment = axis.to as f64 / length;
                from / 2.0 * (1.0 - adjustment) + (x + 0.5) / axis.scale - 0.5
            }
            "pytorch_half_pixel" if axis.to <= 1 => -0.5,
            "pytorch_half_pixel" => (x + 0.5) / axis.scale - 0.5,
            "align_corners" if length <= 1.0 || axis.to <= 1 => 0.0,
            "align_corners" => x * (from - 1.0) / (length - 1.0),
            "asymmetric" => x / axis.scale,
            "tf_crop_and_resize" => {
                let (start, end) = axis.roi;
                let within = match axis.to {
                    0 | 1 => (end - start) * (from - 1.0) / 2.0,
                    _ => x * (end - start) * (from - 1.0) / (length - 1.0),
                };
                within + start * (from - 1.0)
            }
            other => bail!("the coordinates {other:?} are not known"),
        })
    }

    fn weights(&self, axis: &Axis, to: usize) -> TractResult<Weights> {
        let origin = self.origin(axis, to)?;
        let last = axis.from as f64 - 1.0;
        if self.coordinates == "tf_crop_and_resize" && !(0.0..=last).contains(&origin) {
            return Ok(None);
        }
        let scale = if self.antialias { axis.scale.min(1.0) } else { 1.0 };
        // Weights by distance, and from which distance on they are zero.
        let (reach, weight): (f64, Box<dyn Fn(f64) -> f64>) = match self.interpolation.as_str() {
            "nearest" => {
                let place = match self.nearest.as_str() {
                    "round_prefer_floor" => (origin - 0.5).ceil(),
                    "round_prefer_ceil" => (origin + 0.5).floor(),
                    "floor" => origin.floor(),
                    "ceil" => origin.ceil(),
                    other => bail!("the nearest mode {other:?} is not known"),
                };
                return Ok(Some(vec![(place.clamp(0.0, last) as usize, 1.0)]));
            }
            "linear" => (1.0, Box::new(|d: f64| (1.0 - d).max(0.0))),
            "cubic" => (2.0, Box::new(|d: f64| cubic(d, self.cubic))),
            other => bail!("the mode {other:?} is not known"),
        };
        let (first, end) = ((origin - reach / scale).floor() as i64, (origin + reach / scale).ceil() as i64);
        let mut neighbours: Vec<(usize, f64)> = Vec::new();
        for place in first..=end {
            let w = weight((place as f64 - origin).abs() * scale);
            let inside = (0..axis.from as i64).contains(&place);
            if w != 0.0 && (inside || !self.exclude_outside) {
                neighbours.push(((place as f64).clamp(0.0, last) as usize, w));
            }
        }
        let sum: f64 = neighbours.iter().map(|(_, w)| w).sum();
        if (self.antialias || self.exclude_outside) && sum != 0.0 {
            neighbours.iter_mut().for_each(|(_, w)| *w /= sum);
        }
        Ok(Some(neighbours))
    }
}

/// Keys' convolution kernel with parameter `a`.
fn cubic(d: f64, a: f64) -> f64 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}
