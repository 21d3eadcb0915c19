//! [`convolve`]: every pixel as a weighted sum of its neighbours, first along rows, then along columns.
//!
//! The arithmetic is Pillow's, so that the bytes are: weights of 22 fractional bits for `u8`, sums in
//! `f64` for the others. The inner loops are written for the compiler to vectorise.

use super::super::{Image, Pixels, filled, reserved, sample_count, size};
use crate::Failure;

/// A weight for every distance, and the distance from which on it is zero, in pixels of the
/// smaller picture.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    radius: f64,
    weight: fn(f64) -> f64,
}

pub(super) const BILINEAR: Kernel = Kernel { radius: 1.0, weight: triangle };
pub(super) const BICUBIC: Kernel = Kernel { radius: 2.0, weight: cubic };
pub(super) const LANCZOS: Kernel = Kernel { radius: 3.0, weight: windowed_sinc };

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// R. Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = −0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

/// C. Duchon, "Lanczos filtering in one and two dimensions" (1979), with three lobes.
fn windowed_sinc(x: f64) -> f64 {
    let sinc = |x: f64| {
        let x = x * std::f64::consts::PI;
        if x == 0.0 { 1.0 } else { x.sin() / x }
    };
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

/// The samples of the picture at another size.
///
/// # Errors
/// A [`Fault::Model`](crate::Fault::Model) failure where memory can't hold them.
pub(super) fn convolve(image: &Image, width: u32, height: u32, kernel: Kernel) -> Result<Pixels, Failure> {
    sample_count(width, image.height, image.bands)?;
    Ok(match &image.pixels {
        Pixels::U8(items) => Pixels::U8(both_ways(image, items, width, height, kernel)?),
        Pixels::U16(items) => Pixels::U16(both_ways(image, items, width, height, kernel)?),
        Pixels::F32(items) => Pixels::F32(both_ways(image, items, width, height, kernel)?),
    })
}

fn both_ways<T: Sample>(
    image: &Image,
    items: &[T],
    width: u32,
    height: u32,
    kernel: Kernel,
) -> Result<Vec<T>, Failure> {
    let bands = size(image.bands);
    let wide;
    let items = if width == image.width {
        items
    } else {
        let taps = Taps::new::<T>(image.width, width, kernel);
        wide = along_rows(items, size(image.width), bands, &taps)?;
        &wide
    };
    if height == image.height {
        return Ok(items.to_vec());
    }
    along_columns(items, size(width) * bands, &Taps::new::<T>(image.height, height, kernel))
}

/// For every target pixel along an axis, which source pixels count and how much.
struct Taps<W> {
    /// The first source pixel and the number of them; their weights follow each other.
    spans: Vec<(usize, usize)>,
    weights: Vec<W>,
}

impl<W> Taps<W> {
    fn new<T: Sample<Weight = W>>(from: u32, to: u32, kernel: Kernel) -> Self {
        let scale = f64::from(from) / f64::from(to);
        // Where the picture shrinks, the kernel grows with the scale.
        let stretch = scale.max(1.0);
        let radius = kernel.radius * stretch;
        let (mut spans, mut weights) = (Vec::with_capacity(size(to)), Vec::new());
        for index in 0..to {
            let centre = (f64::from(index) + 0.5) * scale;
            // Casts saturate at zero, and truncation is the rounding that is meant.
            let first = (centre - radius + 0.5) as usize;
            let end = ((centre + radius + 0.5) as usize).min(size(from));
            let raw: Vec<f64> = (first..end)
                .map(|pixel| (kernel.weight)((pixel as f64 - centre + 0.5) * (1.0 / stretch)))
                .collect();
            let total: f64 = raw.iter().sum();
            spans.push((first, raw.len()));
            weights.extend(
                raw.iter().map(|weight| T::weight(if total == 0.0 { *weight } else { weight / total })),
            );
        }
        Self { spans, weights }
    }

    /// The first source pixel and the weights for each target pixel.
    fn iter(&self) -> impl Iterator<Item = (usize, &[W])> {
        let mut rest = self.weights.as_slice();
        self.spans.iter().map(move |&(first, count)| {
            let weights;
            (weights, rest) = rest.split_at(count);
            (first, weights)
        })
    }
}

fn along_rows<T: Sample>(
    items: &[T],
    width: usize,
    bands: usize,
    taps: &Taps<T::Weight>,
) -> Result<Vec<T>, Failure> {
    let mut out = filled(items.len() / width * taps.spans.len(), T::default())?;
    let rows = items.chunks_exact(width * bands).zip(out.chunks_exact_mut(taps.spans.len() * bands));
    for (from, to) in rows {
        // Up to four bands at once: their number is then known to the compiler.
        for band in (0..bands).step_by(4) {
            match bands - band {
                1 => row::<T, 1>(from, to, bands, band, taps),
                2 => row::<T, 2>(from, to, bands, band, taps),
                3 => row::<T, 3>(from, to, bands, band, taps),
                _ => row::<T, 4>(from, to, bands, band, taps),
            }
        }
    }
    Ok(out)
}

/// The `N` bands from `band` on of one row.
fn row<T: Sample, const N: usize>(
    from: &[T],
    to: &mut [T],
    bands: usize,
    band: usize,
    taps: &Taps<T::Weight>,
) {
    for (to, (first, weights)) in to.chunks_exact_mut(bands).zip(taps.iter()) {
        let mut sums = [T::START; N];
        let pixels = from[first * bands..].chunks_exact(bands);
        for (pixel, &weight) in pixels.zip(weights) {
            if let Some(samples) = pixel[band..].first_chunk::<N>() {
                for (sum, &sample) in sums.iter_mut().zip(samples) {
                    *sum = sample.added(*sum, weight);
                }
            }
        }
        for (to, sum) in to[band..].iter_mut().zip(sums) {
            *to = T::rounded(sum);
        }
    }
}

fn along_columns<T: Sample>(items: &[T], row: usize, taps: &Taps<T::Weight>) -> Result<Vec<T>, Failure> {
    let mut out = reserved(row * taps.spans.len())?;
    let mut sums = filled(row, T::START)?;
    for (first, weights) in taps.iter() {
        sums.fill(T::START);
        for (from, &weight) in items[first * row..].chunks_exact(row).zip(weights) {
            for (sum, &sample) in sums.iter_mut().zip(from) {
                *sum = sample.added(*sum, weight);
            }
        }
        out.extend(sums.iter().map(|&sum| T::rounded(sum)));
    }
    Ok(out)
}

/// A sample, and how its weighted sums are computed.
trait Sample: Copy + Default {
    type Weight: Copy;
    type Sum: Copy;
    const START: Self::Sum;
    fn weight(weight: f64) -> Self::Weight;
    fn added(self, sum: Self::Sum, weight: Self::Weight) -> Self::Sum;
    fn rounded(sum: Self::Sum) -> Self;
}

/// Fractional bits of a weight for `u8`: eight bits are the sample's and two are for overshoot.
const FRACTION: u32 = 32 - 8 - 2;

impl Sample for u8 {
    type Weight = i32;
    type Sum = i32;
    const START: i32 = 1 << (FRACTION - 1);

    fn weight(weight: f64) -> i32 {
        // Normalised weights are below 2 in magnitude, so that the cast is exact.
        (weight * f64::from(1 << FRACTION)).round() as i32
    }

    fn added(self, sum: i32, weight: i32) -> i32 {
        sum.wrapping_add(i32::from(self).wrapping_mul(weight))
    }

    fn rounded(sum: i32) -> u8 {
        // Within the range after the clamp.
        (sum >> FRACTION).clamp(0, 255) as u8
    }
}

impl Sample for u16 {
    type Weight = f64;
    type Sum = f64;
    const START: f64 = 0.0;

    fn weight(weight: f64) -> f64 {
        weight
    }

    fn added(self, sum: f64, weight: f64) -> f64 {
        sum + f64::from(self) * weight
    }

    fn rounded(sum: f64) -> u16 {
        // The cast clips to the range.
        sum.round() as u16
    }
}

impl Sample for f32 {
    type Weight = f64;
    type Sum = f64;
    const START: f64 = 0.0;

    fn weight(weight: f64) -> f64 {
        weight
    }

    fn added(self, sum: f64, weight: f64) -> f64 {
        sum + f64::from(self) * weight
    }

    fn rounded(sum: f64) -> f32 {
        sum as f32
    }
}
