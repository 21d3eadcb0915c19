//! Bands: colour to grey and back, and any choice of bands in any order.

use super::{Image, Pixels, same_type, size};
use crate::Failure;

/// The weights of red, green and blue in a grey level, in 1/65536: ITU-R BT.601 luma
/// (0.299, 0.587, 0.114), rounded as Pillow's `convert("L")` has them.
const LUMA: [u32; 3] = [19595, 38470, 7471];

/// Three bands: red, green, blue.
///
/// One band is taken as grey and repeated; a second or fourth band is taken as alpha and dropped
/// without blending, as Pillow's `convert("RGB")` does. `u16` becomes `u8` by its upper eight bits;
/// `f32` stays as it is.
///
/// # Errors
/// A [`Fault::Caller`](crate::Fault::Caller) failure for more than four bands: [`select`] three.
pub fn to_rgb(image: &Image) -> Result<Image, Failure> {
    let order: &[u32] = match colour_bands(image, "red, green and blue")? {
        1 => &[0, 0, 0],
        _ => &[0, 1, 2],
    };
    let picked = select(image, order)?;
    Image::new(image.width, image.height, 3, upper_bits(picked.pixels))
}

/// One band: the grey level.
///
/// `L = (19595 R + 38470 G + 7471 B + 32768) / 65536` in whole numbers for `u8`, as Pillow's
/// `convert("L")` has it; alpha is dropped. `u16` becomes `u8` by its upper eight bits first;
/// `f32` is weighted by 0.299, 0.587 and 0.114.
///
/// # Errors
/// As [`to_rgb`].
pub fn to_grey(image: &Image) -> Result<Image, Failure> {
    if colour_bands(image, "a grey level")? == 1 {
        let first = select(image, &[0])?;
        return Image::new(image.width, image.height, 1, upper_bits(first.pixels));
    }
    let pixels = match to_rgb(image)?.pixels {
        Pixels::F32(items) => Pixels::F32(
            items.as_chunks::<3>().0.iter().map(|[r, g, b]| r * 0.299 + g * 0.587 + b * 0.114).collect(),
        ),
        Pixels::U8(items) => Pixels::U8(items.as_chunks::<3>().0.iter().map(luma).collect()),
        Pixels::U16(items) => Pixels::U16(items),
    };
    Image::new(image.width, image.height, 1, pixels)
}

/// How many bands carry colour, 1 or 3; the rest is alpha.
fn colour_bands(image: &Image, wanted: &str) -> Result<u32, Failure> {
    match image.bands {
        1 | 2 => Ok(1),
        3 | 4 => Ok(3),
        bands => Err(Failure::caller(format!("the picture has too many bands to tell {wanted}"))
            .expected("1 to 4 bands")
            .actual(format!("{bands} bands"))),
    }
}

fn luma(rgb: &[u8; 3]) -> u8 {
    let sum: u32 = rgb.iter().zip(LUMA).map(|(&sample, weight)| u32::from(sample) * weight).sum();
    // The weights sum to 65536, so that the result is at most 255.
    u8::try_from((sum + 0x8000) >> 16).unwrap_or(u8::MAX)
}

/// `u16` as `u8`, by the upper eight bits.
fn upper_bits(pixels: Pixels) -> Pixels {
    match pixels {
        Pixels::U16(items) => Pixels::U8(items.iter().map(|&item| item.to_be_bytes()[0]).collect()),
        other => other,
    }
}

/// The bands `order`, counted from zero, in that order; a band may come twice.
///
/// # Errors
/// A [`Fault::Caller`](crate::Fault::Caller) failure where the picture lacks one of them, a
/// [`Fault::Model`](crate::Fault::Model) failure where `order` is empty.
pub fn select(image: &Image, order: &[u32]) -> Result<Image, Failure> {
    if let Some(missing) = order.iter().find(|&&band| band >= image.bands) {
        return Err(Failure::caller(format!("the picture has no band {missing}"))
            .expected(format!("at least {} bands", u64::from(*missing) + 1))
            .actual(format!("{} bands", image.bands)));
    }
    let bands = u32::try_from(order.len()).unwrap_or(u32::MAX);
    super::sample_count(image.width, image.height, bands)?;
    if order.iter().copied().eq(0..image.bands) {
        return Ok(image.clone());
    }
    let order: Vec<usize> = order.iter().map(|&band| size(band)).collect();
    let pixels = same_type!(&image.pixels, items => pick(items, size(image.bands), &order));
    Image::new(image.width, image.height, bands, pixels)
}

fn pick<T: Copy>(items: &[T], bands: usize, order: &[usize]) -> Vec<T> {
    // The common cases with a length known to the compiler, which then needs no inner loop.
    match *order {
        [only] => items.iter().skip(only).step_by(bands).copied().collect(),
        [a, b, c] => items.chunks_exact(bands).flat_map(|pixel| [pixel[a], pixel[b], pixel[c]]).collect(),
        _ => items.chunks_exact(bands).flat_map(|pixel| order.iter().map(move |&band| pixel[band])).collect(),
    }
}

/// Red and blue exchanged: RGB becomes BGR, BGR becomes RGB; a fourth band stays.
///
/// # Errors
/// A [`Fault::Caller`](crate::Fault::Caller) failure unless there are 3 or 4 bands.
pub fn bgr(image: &Image) -> Result<Image, Failure> {
    match image.bands {
        3 => select(image, &[2, 1, 0]),
        4 => select(image, &[2, 1, 0, 3]),
        bands => Err(Failure::caller("only a colour picture has red and blue to exchange")
            .expected("3 or 4 bands")
            .actual(format!("{bands} bands"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(bands: u32, pixels: Pixels) -> Image {
        let width = u32::try_from(pixels.len()).expect("small") / bands;
        Image::new(width, 1, bands, pixels).expect("the length fits")
    }

    #[test]
    fn bands_become_red_green_and_blue() {
        for (bands, from, to) in [
            (1, vec![7u8, 8], vec![7, 7, 7, 8, 8, 8]),
            (2, vec![7, 0, 8, 255], vec![7, 7, 7, 8, 8, 8]),
            (3, vec![1, 2, 3], vec![1, 2, 3]),
            (4, vec![1, 2, 3, 0, 4, 5, 6, 255], vec![1, 2, 3, 4, 5, 6]),
        ] {
            let rgb = to_rgb(&picture(bands, Pixels::U8(from))).expect("up to four bands");
            assert_eq!(rgb.pixels, Pixels::U8(to), "{bands} bands");
        }
        let deep = to_rgb(&picture(1, Pixels::U16(vec![0x12ff]))).expect("one band");
        assert_eq!(deep.pixels, Pixels::U8(vec![0x12; 3]));
    }

    #[test]
    fn grey_is_the_weighted_sum() {
        let grey = to_grey(&picture(3, Pixels::U8(vec![255, 255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255])));
        assert_eq!(grey.expect("three bands").pixels, Pixels::U8(vec![255, 76, 150, 29]));
    }

    #[test]
    fn bands_are_chosen_in_any_order_and_a_missing_one_is_named() {
        let five = picture(5, Pixels::U8(vec![0, 1, 2, 3, 4]));
        assert_eq!(select(&five, &[4, 0, 0, 2]).expect("there").pixels, Pixels::U8(vec![4, 0, 0, 2]));
        let failure = select(&five, &[5]).expect_err("no sixth band");
        assert_eq!(failure.to_string(), "the picture has no band 5: expected at least 6 bands, got 5 bands");
        assert!(select(&five, &[]).is_err());
        assert!(to_rgb(&five).is_err());
        assert!(bgr(&five).is_err());
    }
}
