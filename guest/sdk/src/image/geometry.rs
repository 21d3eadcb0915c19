//! Cutting and framing: crop, pad and letterbox.

use super::{Filter, Image, Pixels, filled, reserved, resize, same_type, sample_count, size};
use crate::Failure;

/// The `width` × `height` pixels whose upper left one is at (`left`, `top`).
///
/// # Errors
/// A [`Fault::Caller`](crate::Fault::Caller) failure where the picture does not hold them all, a
/// [`Fault::Model`](crate::Fault::Model) failure where a side is zero.
pub fn crop(image: &Image, left: u32, top: u32, width: u32, height: u32) -> Result<Image, Failure> {
    sample_count(width, height, image.bands)?;
    let (right, bottom) = (u64::from(left) + u64::from(width), u64::from(top) + u64::from(height));
    if right > u64::from(image.width) || bottom > u64::from(image.height) {
        return Err(Failure::caller("the picture is too small to crop")
            .expected(format!("at least {right} x {bottom} pixels"))
            .actual(format!("{} x {}", image.width, image.height)));
    }
    let bands = size(image.bands);
    let row = size(image.width) * bands;
    let pixels = same_type!(&image.pixels, items => items
        .chunks_exact(row)
        .skip(size(top))
        .take(size(height))
        .flat_map(|line| &line[size(left) * bands..][..size(width) * bands])
        .copied()
        .collect());
    Image::new(width, height, image.bands, pixels)
}

/// The middle `width` × `height` pixels.
///
/// Where an odd number of pixels is left over, the first edge is at half of it rounded to the even
/// number, as torchvision's `CenterCrop` does.
///
/// # Errors
/// As [`crop`].
pub fn centre_crop(image: &Image, width: u32, height: u32) -> Result<Image, Failure> {
    let left = half_to_even(image.width.saturating_sub(width));
    let top = half_to_even(image.height.saturating_sub(height));
    crop(image, left, top, width, height)
}

/// Half of `count`, rounded to the even number where that is a tie.
fn half_to_even(count: u32) -> u32 {
    let half = count / 2;
    if count.is_multiple_of(2) { half } else { half + half % 2 }
}

/// What [`pad`] fills the border with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This value, in the picture's own range
    Constant(f32),
    /// The nearest pixel of the picture
    Edge,
    /// The picture mirrored at the centre of its outermost pixels: `c b | a b c | b a`
    Reflect,
}

/// The picture with a border of `left`, `top`, `right` and `bottom` pixels, as `numpy.pad` has it.
///
/// # Errors
/// A [`Fault::Model`](crate::Fault::Model) failure where the result does not fit into memory or the
/// constant does not fit into the picture's samples.
pub fn pad(image: &Image, [left, top, right, bottom]: [u32; 4], mode: PadMode) -> Result<Image, Failure> {
    let sides = [(image.width, left, right), (image.height, top, bottom)]
        .map(|(middle, before, after)| before.checked_add(middle)?.checked_add(after));
    let [Some(width), Some(height)] = sides else {
        return Err(Failure::model("the border is too wide")
            .expected(format!("sides of at most {} pixels", u32::MAX)));
    };
    let count = sample_count(width, height, image.bands)?;
    let pixels = match mode {
        PadMode::Constant(value) => match &image.pixels {
            Pixels::U8(items) => {
                let value = whole(value, f32::from(u8::MAX))? as u8;
                Pixels::U8(framed(image, items, filled(count, value)?, width, left, top))
            }
            Pixels::U16(items) => {
                let value = whole(value, f32::from(u16::MAX))? as u16;
                Pixels::U16(framed(image, items, filled(count, value)?, width, left, top))
            }
            Pixels::F32(items) => Pixels::F32(framed(image, items, filled(count, value)?, width, left, top)),
        },
        PadMode::Edge | PadMode::Reflect => {
            let columns = border_indices(mode, image.width, left, width);
            let rows = border_indices(mode, image.height, top, height);
            same_type!(&image.pixels, items => gathered(image, items, &columns, &rows)?)
        }
    };
    Image::new(width, height, image.bands, pixels)
}

/// `value` where it is a whole number from 0 to `max`.
fn whole(value: f32, max: f32) -> Result<f32, Failure> {
    if value.fract() == 0.0 && (0.0..=max).contains(&value) {
        return Ok(value);
    }
    Err(Failure::model("the border's value does not fit the picture's samples")
        .expected(format!("a whole number from 0 to {max}"))
        .actual(value.to_string()))
}

/// `canvas`, `width` pixels wide, with the picture at (`left`, `top`).
fn framed<T: Copy>(
    image: &Image,
    items: &[T],
    mut canvas: Vec<T>,
    width: u32,
    left: u32,
    top: u32,
) -> Vec<T> {
    let bands = size(image.bands);
    let row = size(image.width) * bands;
    let lines = canvas.chunks_exact_mut(size(width) * bands).skip(size(top));
    for (to, from) in lines.zip(items.chunks_exact(row)) {
        to[size(left) * bands..][..row].copy_from_slice(from);
    }
    canvas
}

/// The source index of every index along a padded axis of `len` in all.
fn border_indices(mode: PadMode, middle: u32, before: u32, len: u32) -> Vec<usize> {
    (0..i64::from(len))
        .map(|index| {
            let index = index - i64::from(before);
            match mode {
                PadMode::Reflect => reflect(index, i64::from(middle)),
                _ => edge(index, i64::from(middle)),
            }
        })
        .collect()
}

/// The index within `0..len` nearest to `index`; `len` is at least 1.
pub(super) fn edge(index: i64, len: i64) -> usize {
    // Within 0..len, which came from a u32.
    index.clamp(0, len - 1) as usize
}

/// The index within `0..len` that `index` is mirrored to at the centres of the outermost pixels.
pub(super) fn reflect(index: i64, len: i64) -> usize {
    if len == 1 {
        return 0;
    }
    let within = index.rem_euclid(2 * (len - 1));
    within.min(2 * (len - 1) - within) as usize
}

fn gathered<T: Copy>(
    image: &Image,
    items: &[T],
    columns: &[usize],
    rows: &[usize],
) -> Result<Vec<T>, Failure> {
    let (width, _, bands) = image.dims();
    let mut out = reserved(columns.len() * rows.len() * bands)?;
    for &y in rows {
        let line = &items[y * width * bands..][..width * bands];
        columns.iter().for_each(|&x| out.extend_from_slice(&line[x * bands..][..bands]));
    }
    Ok(out)
}

/// Where [`fit`] puts the picture, in pixels of the result: what a box found there is mapped back by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// Where a picture of `from` (width, height) lies when it fills a frame of `to` as far as its shape allows.
///
/// It lies in the middle; sides and offsets are rounded to the nearest whole number, ties to even,
/// as Pillow's `ImageOps.pad` does.
pub fn fit_placement(from: (u32, u32), to: (u32, u32)) -> Placement {
    let [from_width, from_height, to_width, to_height] = [from.0, from.1, to.0, to.1].map(f64::from);
    let (mut width, mut height) = to;
    // Both roundings are of values between zero and a u32's side, so that the casts are exact.
    if from_width / from_height > to_width / to_height {
        height = ((from_height / from_width * to_width).round_ties_even() as u32).clamp(1, to.1.max(1));
    } else {
        width = ((from_width / from_height * to_height).round_ties_even() as u32).clamp(1, to.0.max(1));
    }
    Placement {
        left: half_to_even(to.0.saturating_sub(width)),
        top: half_to_even(to.1.saturating_sub(height)),
        width,
        height,
    }
}

/// The picture resized to fit into `width` × `height` with its shape kept, in the middle of a frame of
/// `value`: a letterbox. [`fit_placement`] says where it lies.
///
/// # Errors
/// As [`resize`] and [`pad`].
pub fn fit(image: &Image, width: u32, height: u32, filter: Filter, value: f32) -> Result<Image, Failure> {
    sample_count(width, height, image.bands)?;
    let place = fit_placement((image.width, image.height), (width, height));
    let resized = resize(image, place.width, place.height, filter)?;
    let border = [place.left, place.top, width - place.left - place.width, height - place.top - place.height];
    pad(&resized, border, PadMode::Constant(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(samples: &[u8]) -> Image {
        let width = u32::try_from(samples.len()).expect("small");
        Image::new(width, 1, 1, Pixels::U8(samples.to_vec())).expect("the length fits")
    }

    #[test]
    fn borders_continue_the_picture() {
        for (mode, expected) in [
            (PadMode::Constant(9.0), vec![9, 9, 9, 1, 2, 3, 9]),
            (PadMode::Edge, vec![1, 1, 1, 1, 2, 3, 3]),
            (PadMode::Reflect, vec![2, 3, 2, 1, 2, 3, 2]),
        ] {
            let padded = pad(&row(&[1, 2, 3]), [3, 0, 1, 0], mode).expect("it fits");
            assert_eq!(padded.pixels, Pixels::U8(expected), "{mode:?}");
        }
        let lone = pad(&row(&[7]), [2, 1, 1, 1], PadMode::Reflect).expect("one pixel reflects as itself");
        assert_eq!(lone.pixels, Pixels::U8(vec![7; 12]));
    }

    #[test]
    fn a_border_that_can_not_be_is_refused() {
        for value in [-1.0, 0.5, 256.0, f32::NAN] {
            assert!(pad(&row(&[1]), [1; 4], PadMode::Constant(value)).is_err(), "{value}");
        }
        assert!(pad(&row(&[1]), [u32::MAX, 0, 0, 0], PadMode::Edge).is_err());
    }

    #[test]
    fn a_crop_beyond_the_picture_says_what_it_needs() {
        let failure = crop(&row(&[1, 2, 3]), 2, 0, 2, 1).expect_err("one column is missing");
        assert_eq!(
            failure.to_string(),
            "the picture is too small to crop: expected at least 4 x 1 pixels, got 3 x 1"
        );
        assert!(crop(&row(&[1]), u32::MAX, 0, u32::MAX, 1).is_err());
        assert!(crop(&row(&[1]), 0, 0, 0, 1).is_err());
        assert!(centre_crop(&row(&[1]), 2, 2).is_err());
    }

    #[test]
    fn the_middle_is_found_as_torchvision_finds_it() {
        for (width, expected) in [(1, 3), (2, 2), (3, 2), (4, 2), (5, 1), (6, 0), (7, 0)] {
            let middle = centre_crop(&row(&[0, 1, 2, 3, 4, 5, 6]), width, 1).expect("it fits");
            let Pixels::U8(samples) = middle.pixels else { panic!("u8 stays u8") };
            assert_eq!(samples[0], expected, "{width} of 7");
        }
    }

    #[test]
    fn a_letterbox_keeps_the_shape() {
        for (from, to, expected) in [
            ((200, 100), (64, 64), (0, 16, 64, 32)),
            ((100, 200), (64, 64), (16, 0, 32, 64)),
            ((64, 64), (64, 64), (0, 0, 64, 64)),
            ((10_000, 1), (64, 64), (0, 32, 64, 1)),
        ] {
            let place = fit_placement(from, to);
            assert_eq!((place.left, place.top, place.width, place.height), expected, "{from:?} in {to:?}");
        }
    }
}
