//! [`resize`]: another size, as Pillow computes it.

mod convolve;

use super::{DecodeLimits, Image, Pixels, reserved, same_type, sample_count, size};
use crate::Failure;

/// How [`resize`] computes a pixel from its neighbours.
///
/// When it shrinks a picture, a filter widens with the scale, so that every pixel counts: Pillow does
/// this, and OpenCV does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// The pixel whose centre is nearest
    Nearest,
    /// A triangle, 1 pixel to each side
    #[default]
    Bilinear,
    /// The cubic convolution kernel with a = −0.5, 2 pixels to each side
    Bicubic,
    /// The windowed sinc, 3 pixels to each side
    Lanczos,
}

/// The picture at `width` × `height` pixels.
///
/// Every band is computed on its own: alpha is a band like the others and does not weight them.
/// Rows are computed before columns, and `u8` and `u16` are rounded and clipped to their range after
/// each. With that order the result is Pillow's: equal for whole numbers, to the last bits for `f32`.
/// Pillow up to 12 has that order always, Pillow 13 takes the cheaper one: beside hard edges, where
/// [`Filter::Bicubic`] and [`Filter::Lanczos`] overshoot and are clipped, its bytes may then differ by
/// a few levels. 16-bit samples that overshoot are clipped here; Pillow garbles their lower byte.
///
/// # Errors
/// A [`Fault::Model`](crate::Fault::Model) failure where a side is zero or memory can't hold the result.
pub fn resize(image: &Image, width: u32, height: u32, filter: Filter) -> Result<Image, Failure> {
    sample_count(width, height, image.bands)?;
    if (width, height) == (image.width, image.height) {
        return Ok(image.clone());
    }
    let pixels = match filter {
        Filter::Nearest => {
            let step = match image.pixels {
                Pixels::U16(_) => Step::Multiplied,
                Pixels::U8(_) | Pixels::F32(_) => Step::Added,
            };
            same_type!(&image.pixels, items => nearest(image, items, width, height, step)?)
        }
        Filter::Bilinear => convolve::convolve(image, width, height, convolve::BILINEAR)?,
        Filter::Bicubic => convolve::convolve(image, width, height, convolve::BICUBIC)?,
        Filter::Lanczos => convolve::convolve(image, width, height, convolve::LANCZOS)?,
    };
    Image::new(width, height, image.bands, pixels)
}

/// The picture with its shape kept and its shorter side at `side` pixels.
///
/// The longer side is `side · longer / shorter`, rounded down, as torchvision's `Resize` of one
/// number has it.
///
/// # Errors
/// As [`resize`], and a [`Fault::Caller`](crate::Fault::Caller) failure where a long and narrow picture
/// would become larger than a decoded one may be by default.
pub fn resize_shorter(image: &Image, side: u32, filter: Filter) -> Result<Image, Failure> {
    let (shorter, longer) = (image.width.min(image.height), image.width.max(image.height));
    let other = u64::from(side) * u64::from(longer) / u64::from(shorter);
    let max_pixels = DecodeLimits::default().max_pixels;
    match u32::try_from(other) {
        Ok(other) if u64::from(other) * u64::from(side) <= max_pixels => {
            let (width, height) = if image.width <= image.height { (side, other) } else { (other, side) };
            resize(image, width, height, filter)
        }
        _ => Err(Failure::caller("the picture is too long for its shorter side to be resized")
            .expected(format!("at most {max_pixels} pixels as the result"))
            .actual(format!("{side} x {other}"))),
    }
}

/// How the position of a pixel's centre is computed: the last bit decides on which side of an edge it
/// falls, and Pillow does it in two ways.
#[derive(Clone, Copy)]
enum Step {
    /// One step further than the pixel before; for 8-bit and float samples
    Added,
    /// The target's position times the step; for 16-bit samples
    Multiplied,
}

fn nearest<T: Copy>(
    image: &Image,
    items: &[T],
    width: u32,
    height: u32,
    step: Step,
) -> Result<Vec<T>, Failure> {
    let bands = size(image.bands);
    let columns = nearest_indices(image.width, width, step);
    let mut out = reserved(size(width) * size(height) * bands)?;
    for y in nearest_indices(image.height, height, step) {
        let row = &items[y * size(image.width) * bands..][..size(image.width) * bands];
        match bands {
            1 => out.extend(columns.iter().map(|&x| row[x])),
            _ => columns.iter().for_each(|&x| out.extend_from_slice(&row[x * bands..][..bands])),
        }
    }
    Ok(out)
}

/// The source index of every target index along one axis.
fn nearest_indices(from: u32, to: u32, step: Step) -> Vec<usize> {
    let scale = f64::from(from) / f64::from(to);
    let mut added = scale * 0.5;
    (0..to)
        .map(|index| {
            let position = match step {
                Step::Added => added,
                Step::Multiplied => (f64::from(index) + 0.5) * scale,
            };
            added += scale;
            // A non-negative f64 to an integer: truncation is the floor that is meant.
            (position as usize).min(size(from) - 1)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_zero_or_beyond_memory_is_refused() {
        let dot = Image::new(1, 1, 1, Pixels::U8(vec![9])).expect("one sample");
        assert!(resize(&dot, 0, 4, Filter::Bilinear).is_err());
        assert!(resize(&dot, u32::MAX, u32::MAX, Filter::Nearest).is_err());
    }

    #[test]
    fn the_shorter_side_decides_and_a_ribbon_is_refused() {
        for (from, to) in [((40, 20), (16, 8)), ((20, 50), (8, 20)), ((9, 10), (8, 8))] {
            let pixels = Pixels::U8(vec![1; size(from.0) * size(from.1)]);
            let image = Image::new(from.0, from.1, 1, pixels).expect("it fits");
            let resized = resize_shorter(&image, 8, Filter::Bilinear).expect("it fits");
            assert_eq!((resized.width, resized.height), to);
        }
        let ribbon = Image::new(1, 65_535, 1, Pixels::U8(vec![0; 65_535])).expect("it fits");
        let failure = resize_shorter(&ribbon, 224, Filter::Nearest).expect_err("three gigabytes");
        assert_eq!(failure.actual.as_deref(), Some("224 x 14679840"));
    }

    #[test]
    fn one_pixel_fills_any_size_with_any_number_of_bands() {
        for bands in 1..=9u32 {
            let samples: Vec<u8> = (0..bands).map(|band| u8::try_from(band * 20).expect("small")).collect();
            let dot = Image::new(1, 1, bands, Pixels::U8(samples.clone())).expect("it fits");
            for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
                let grown = resize(&dot, 5, 3, filter).expect("a size");
                assert_eq!(grown.pixels, Pixels::U8(samples.repeat(15)), "{bands} bands, {filter:?}");
            }
        }
    }
}
