//! Results as files: PNG for what people look at, TIFF for what programs read.
//!
//! The same input gives the same bytes: there are no times, names or random numbers in them.

mod tiff;

pub use tiff::tiff;

use super::size;
use crate::Failure;

/// A PNG of one 8-bit grey band: `samples` are `[height, width]`, 0 is black.
///
/// # Errors
/// A [`Fault::Model`](crate::Fault::Model) failure where a side is zero or above 2^31 − 1, or the
/// number of samples is not `width` × `height`.
pub fn png_grey(width: u32, height: u32, samples: &[u8]) -> Result<Vec<u8>, Failure> {
    png(width, height, samples, ::png::ColorType::Grayscale, None)
}

/// A PNG of three 8-bit bands: `samples` are `[height, width, 3]` in the order red, green, blue.
///
/// # Errors
/// As [`png_grey`], for `width` × `height` × 3 samples.
pub fn png_rgb(width: u32, height: u32, samples: &[u8]) -> Result<Vec<u8>, Failure> {
    png(width, height, samples, ::png::ColorType::Rgb, None)
}

/// A PNG of 8-bit indices into `palette`, `[height, width]`: a mask whose classes have colours.
///
/// # Errors
/// As [`png_grey`], and where `palette` has not 1 to 256 colours or an index is beyond it.
pub fn png_palette(width: u32, height: u32, indices: &[u8], palette: &[[u8; 3]]) -> Result<Vec<u8>, Failure> {
    if !(1..=256).contains(&palette.len()) {
        return Err(Failure::model("a palette has the wrong length")
            .expected("1 to 256 colours")
            .actual(format!("{} colours", palette.len())));
    }
    if let Some(index) = indices.iter().find(|&&index| usize::from(index) >= palette.len()) {
        return Err(Failure::model("an index has no colour in the palette")
            .expected(format!("indices below {}", palette.len()))
            .actual(index.to_string()));
    }
    png(width, height, indices, ::png::ColorType::Indexed, Some(palette.as_flattened()))
}

fn png(
    width: u32,
    height: u32,
    samples: &[u8],
    color: ::png::ColorType,
    palette: Option<&[u8]>,
) -> Result<Vec<u8>, Failure> {
    expect_count(samples.len(), width, height, color.samples())?;
    let mut out = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut out, width, height);
    encoder.set_color(color);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder.set_compression(::png::Compression::Balanced);
    if let Some(palette) = palette {
        // Indices are no levels: differences between neighbours mean nothing.
        encoder.set_filter(::png::Filter::NoFilter);
        encoder.set_palette(palette);
    }
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(samples)?;
        writer.finish()
    });
    match written {
        Ok(()) => Ok(out),
        Err(error) => Err(Failure::model(format!("a PNG can't be written: {error}"))),
    }
}

fn expect_count(actual: usize, width: u32, height: u32, bands: usize) -> Result<(), Failure> {
    let expected = size(width).checked_mul(size(height)).and_then(|pixels| pixels.checked_mul(bands));
    if expected == Some(actual) && actual > 0 {
        return Ok(());
    }
    Err(Failure::model("the samples do not make a picture")
        .expected(format!("{width} x {height} x {bands} samples, at least one"))
        .actual(format!("{actual} samples")))
}

#[cfg(test)]
mod tests {
    use super::super::{DecodeLimits, Image, Pixels, decode};
    use super::*;

    #[test]
    fn a_png_reads_back_as_it_was_written() {
        let samples: Vec<u8> = (0..60).map(|i| i * 4).collect();
        for (file, bands, expected) in [
            (png_grey(10, 6, &samples), 1, samples.clone()),
            (png_rgb(5, 4, &samples), 3, samples.clone()),
            (
                png_palette(2, 2, &[0, 1, 1, 0], &[[1, 2, 3], [250, 251, 252]]),
                3,
                vec![1, 2, 3, 250, 251, 252, 250, 251, 252, 1, 2, 3],
            ),
        ] {
            let image = decode(&file.expect("written"), &DecodeLimits::default()).expect("read");
            assert_eq!((image.bands(), image.into_pixels()), (bands, Pixels::U8(expected)));
        }
    }

    #[test]
    fn a_tiff_reads_back_as_it_was_written() {
        for bands in [1, 3, 4, 7] {
            let count = 31 * 17 * bands;
            for pixels in [
                Pixels::U8((0..count).map(|i| (i % 251).try_into().expect("below 256")).collect()),
                Pixels::U16((0..count).map(|i| (i * 37 % 65_521).try_into().expect("u16")).collect()),
                Pixels::F32((0..count).map(|i| f32::from(i as u16) / 7.0 - 20.0).collect()),
            ] {
                let image = Image::new(31, 17, bands, pixels).expect("the length fits");
                let file = tiff(&image).expect("written");
                assert_eq!(decode(&file, &DecodeLimits::default()).expect("read"), image);
                assert_eq!(file, tiff(&image).expect("written again"));
            }
        }
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(png_grey(2, 2, &[0; 3]).is_err());
        assert!(png_grey(0, 0, &[]).is_err());
        assert!(png_rgb(u32::MAX, u32::MAX, &[0; 3]).is_err());
        assert!(png_palette(1, 1, &[1], &[[0; 3]]).is_err());
        assert!(png_palette(1, 1, &[0], &[]).is_err());
    }
}
