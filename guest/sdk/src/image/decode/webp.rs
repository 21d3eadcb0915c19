//! WebP, by the `image-webp` crate.

use std::io::Cursor;

use image_webp::WebPDecoder;

use super::super::orientation::Orientation;
use super::super::{Image, Pixels, filled};
use super::{DecodeLimits, corrupt, exif_orientation};
use crate::Failure;

/// The bytes of a RIFF file's own header, and of each chunk's.
const RIFF_HEADER: usize = 12;
const CHUNK_HEADER: usize = 8;

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<(Image, Orientation), Failure> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| corrupt("WebP", error))?;
    if decoder.is_animated() {
        return Err(Failure::caller("an animation is no picture")
            .expected("a WebP of one frame")
            .actual("an animated WebP"));
    }
    let (width, height) = decoder.dimensions();
    let bands = if decoder.has_alpha() { 4 } else { 3 };
    let samples = limits.check(u64::from(width), u64::from(height), u64::from(bands), 1)?;
    if let Some(frame) = lossy_frame(bytes).filter(|&frame| frame != (width, height)) {
        return Err(corrupt("WebP", format!("a frame of {frame:?} in a picture of {:?}", (width, height))));
    }
    decoder.set_memory_limit(usize::try_from(limits.max_bytes).unwrap_or(usize::MAX));
    let mut buffer = filled(samples, 0)?;
    decoder.read_image(&mut buffer).map_err(|error| corrupt("WebP", error))?;
    let exif = decoder.exif_metadata().ok().flatten();
    let image = Image::new(width, height, bands, Pixels::U8(buffer))?;
    Ok((image, exif_orientation(exif.as_deref())))
}

/// The size that the first lossy frame states itself (RFC 9649, §2.5; RFC 6386, §9.1).
///
/// The decoder takes memory for that size before it compares it with the file's.
fn lossy_frame(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.get(RIFF_HEADER..)?;
    loop {
        let (header, body) = rest.split_at_checked(CHUNK_HEADER)?;
        if header.starts_with(b"VP8 ") {
            let side = |at: usize| {
                let low = *body.get(at)?;
                let high = *body.get(at + 1)?;
                Some(u32::from(u16::from_le_bytes([low, high]) & 0x3fff))
            };
            return Some((side(6)?, side(8)?));
        }
        let len = u32::from_le_bytes(header[4..].try_into().ok()?);
        rest = body.get(usize::try_from(len).ok()?.checked_next_multiple_of(2)?..)?;
    }
}
