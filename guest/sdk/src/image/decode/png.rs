//! PNG, by the `png` crate.

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};

use super::super::orientation::Orientation;
use super::super::{Image, Pixels, filled};
use super::{DecodeLimits, corrupt, exif_orientation};
use crate::Failure;

/// What ancillary chunks may take in memory, in bytes, beside the picture.
const ANCILLARY_BYTES: usize = 16 << 20;

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<(Image, Orientation), Failure> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: ANCILLARY_BYTES });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(unreadable)?;
    let (width, height) = header.size();
    let sample_bytes = if header.bit_depth == BitDepth::Sixteen { 2 } else { 1 };
    // A palette or a transparent colour, which come later, can add bands: four is the most.
    limits.check(u64::from(width), u64::from(height), header.color_type.samples() as u64, sample_bytes)?;

    let mut reader = decoder.read_info().map_err(unreadable)?;
    if reader.info().animation_control.is_some_and(|animation| animation.num_frames > 1) {
        return Err(Failure::caller("an animation is no picture")
            .expected("a PNG of one frame")
            .actual("APNG"));
    }
    let (color, depth) = reader.output_color_type();
    let bands = match color {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb => 3,
        ColorType::Rgba => 4,
        ColorType::Indexed => return Err(corrupt("PNG", "its palette is missing")),
    };
    let samples = limits.check(u64::from(width), u64::from(height), u64::from(bands), sample_bytes)?;
    let buffer_bytes = reader.output_buffer_size().ok_or_else(|| corrupt("PNG", "it overflows"))?;
    let mut buffer = filled(buffer_bytes, 0)?;
    reader.next_frame(&mut buffer).map_err(unreadable)?;
    let orientation = exif_orientation(reader.info().exif_metadata.as_deref());
    reader.finish().map_err(unreadable)?;

    let pixels = match depth {
        BitDepth::Sixteen => {
            Pixels::U16(buffer.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect())
        }
        _ => Pixels::U8(buffer),
    };
    if pixels.len() != samples {
        return Err(corrupt("PNG", "its rows do not make its picture"));
    }
    Ok((Image::new(width, height, bands, pixels)?, orientation))
}

fn unreadable(error: DecodingError) -> Failure {
    match error {
        DecodingError::LimitsExceeded => Failure::caller("the PNG's chunks beside the picture are too large")
            .expected(format!("at most {ANCILLARY_BYTES} bytes")),
        error => corrupt("PNG", error),
    }
}
