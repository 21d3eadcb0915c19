//! [`to_tensor`]: samples to the numbers a model was trained on.

use super::{Image, Pixels, reserved, size};
use crate::{Failure, Tensor};

/// The order of a picture's axes in a tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// (picture, band, row, column), the usual one of PyTorch and ONNX
    #[default]
    Nchw,
    /// (picture, row, column, band), the usual one of TensorFlow
    Nhwc,
}

/// What [`to_tensor`] makes of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ToDtype {
    /// The sample as it is; only from `u8`, and only without scale, mean and deviation
    U8,
    #[default]
    F32,
}

/// The picture as one tensor: `[1, bands, height, width]` or `[1, height, width, bands]`.
///
/// For [`ToDtype::F32`], `(sample * scale - mean[band]) / std[band]`, each step rounded to `f32`.
/// `mean` and `std` have one value per band or one for all; empty, they are 0 and 1.
/// For statistics of samples in 0 to 1, as torchvision publishes them, `scale` is 1/255.
///
/// # Errors
/// A [`Fault::Caller`](crate::Fault::Caller) failure where the picture has not as many bands as the
/// statistics, or is not `u8` where that is asked for. A [`Fault::Model`](crate::Fault::Model)
/// failure where a number is not finite, a deviation is zero, or `u8` is to be scaled.
pub fn to_tensor(
    image: &Image,
    layout: Layout,
    scale: f32,
    mean: &[f32],
    std: &[f32],
    dtype: ToDtype,
) -> Result<Tensor, Failure> {
    let (width, height, bands) = image.dims();
    let shape = match layout {
        Layout::Nchw => [1, bands, height, width],
        Layout::Nhwc => [1, height, width, bands],
    };
    if dtype == ToDtype::U8 {
        if scale != 1.0 || !mean.is_empty() || !std.is_empty() {
            return Err(Failure::model("a u8 tensor can't be scaled")
                .expected("dtype f32, or scale 1 without mean and std"));
        }
        let Pixels::U8(items) = &image.pixels else {
            return Err(Failure::caller("the picture's samples do not fit a u8 tensor")
                .expected("u8 samples")
                .actual(format!("{} samples", image.pixels.type_name())));
        };
        return match layout {
            Layout::Nhwc => Tensor::new(&shape, items.clone()),
            Layout::Nchw => Tensor::new(&shape, planes(items, bands, |_, sample| sample)?),
        };
    }
    let recipe = Recipe {
        scale: finite("scale", scale)?,
        mean: per_band("mean", mean, 0.0, image.bands)?,
        std: per_band("std", std, 1.0, image.bands)?,
    };
    if recipe.std.contains(&0.0) {
        return Err(Failure::model("std divides by zero").expected("deviations other than 0"));
    }
    let items = match &image.pixels {
        Pixels::U8(items) => recipe.run(items, layout)?,
        Pixels::U16(items) => recipe.run(items, layout)?,
        Pixels::F32(items) => recipe.run(items, layout)?,
    };
    Tensor::new(&shape, items)
}

fn finite(what: &str, value: f32) -> Result<f32, Failure> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Failure::model(format!("{what} is no finite number")).actual(value.to_string()))
}

/// One value for each band: those given, the one given repeated, or `default`.
fn per_band(what: &str, values: &[f32], default: f32, bands: u32) -> Result<Vec<f32>, Failure> {
    values.iter().try_for_each(|&value| finite(what, value).map(|_| ()))?;
    match values {
        [] => Ok(vec![default; size(bands)]),
        [value] => Ok(vec![*value; size(bands)]),
        _ if values.len() == size(bands) => Ok(values.to_vec()),
        _ => Err(Failure::caller(format!("the picture has not as many bands as {what} has values"))
            .expected(format!("{} bands", values.len()))
            .actual(format!("{bands} bands"))),
    }
}

/// The statistics, one per band.
struct Recipe {
    scale: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Recipe {
    fn run<T: Copy + Into<f32>>(&self, items: &[T], layout: Layout) -> Result<Vec<f32>, Failure> {
        match layout {
            Layout::Nchw => planes(items, self.mean.len(), |band, sample| self.one(band, sample.into())),
            Layout::Nhwc => {
                let mut out = reserved(items.len())?;
                for pixel in items.chunks_exact(self.mean.len()) {
                    out.extend(pixel.iter().enumerate().map(|(band, &sample)| self.one(band, sample.into())));
                }
                Ok(out)
            }
        }
    }

    #[inline]
    fn one(&self, band: usize, sample: f32) -> f32 {
        (sample * self.scale - self.mean[band]) / self.std[band]
    }
}

/// Interleaved samples as one plane per band, each sample through `map`.
fn planes<T: Copy, U>(items: &[T], bands: usize, map: impl Fn(usize, T) -> U) -> Result<Vec<U>, Failure> {
    let mut out = reserved(items.len())?;
    for band in 0..bands {
        out.extend(items.chunks_exact(bands).map(|pixel| map(band, pixel[band])));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_bands() -> Image {
        Image::new(2, 1, 2, Pixels::U8(vec![0, 10, 20, 30])).expect("the length fits")
    }

    #[test]
    fn both_layouts_hold_the_same_numbers() {
        let planar = to_tensor(&two_bands(), Layout::Nchw, 0.5, &[1.0, 2.0], &[2.0, 4.0], ToDtype::F32)
            .expect("two bands");
        assert_eq!(planar.shape(), [1, 2, 1, 2]);
        assert_eq!(planar.items::<f32>().expect("f32"), [-0.5, 4.5, 0.75, 3.25]);
        let interleaved = to_tensor(&two_bands(), Layout::Nhwc, 0.5, &[1.0, 2.0], &[2.0, 4.0], ToDtype::F32)
            .expect("two bands");
        assert_eq!(interleaved.shape(), [1, 1, 2, 2]);
        assert_eq!(interleaved.items::<f32>().expect("f32"), [-0.5, 0.75, 4.5, 3.25]);
    }

    #[test]
    fn bytes_stay_bytes() {
        let tensor = to_tensor(&two_bands(), Layout::Nchw, 1.0, &[], &[], ToDtype::U8).expect("u8");
        assert_eq!(tensor.items::<u8>().expect("u8"), [0, 20, 10, 30]);
        assert!(to_tensor(&two_bands(), Layout::Nchw, 0.5, &[], &[], ToDtype::U8).is_err());
    }

    #[test]
    fn statistics_that_do_not_fit_are_refused() {
        let three = to_tensor(&two_bands(), Layout::Nchw, 1.0, &[0.0; 3], &[], ToDtype::F32);
        let failure = three.expect_err("three values, two bands");
        assert_eq!(
            failure.to_string(),
            "the picture has not as many bands as mean has values: expected 3 bands, got 2 bands"
        );
        for (scale, mean, std) in [(f32::NAN, 0.0, 1.0), (1.0, f32::INFINITY, 1.0), (1.0, 0.0, 0.0)] {
            let refused = to_tensor(&two_bands(), Layout::Nchw, scale, &[mean], &[std], ToDtype::F32);
            assert!(refused.is_err(), "{scale} {mean} {std}");
        }
    }
}
