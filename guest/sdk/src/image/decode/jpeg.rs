//! JPEG, by the `zune-jpeg` crate.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::super::orientation::Orientation;
use super::super::{Image, Pixels};
use super::{DecodeLimits, corrupt, exif_orientation};
use crate::Failure;

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<(Image, Orientation), Failure> {
    let header = Header::read(bytes)?;
    let out = if header.components == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let bands = if header.components == 1 { 1 } else { 3 };
    let samples = limits.check(header.width.into(), header.height.into(), bands.into(), 1)?;

    // Limits have been checked; the decoder's own are lower than ours may be.
    let options = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(out);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let buffer = decoder.decode().map_err(|error| corrupt("JPEG", error))?;
    if buffer.len() != samples {
        return Err(corrupt("JPEG", "its components do not make its picture"));
    }
    let image = Image::new(header.width.into(), header.height.into(), bands, Pixels::U8(buffer))?;
    Ok((image, exif_orientation(header.exif)))
}

/// What the segments before the coded picture say (ITU-T T.81, annex B).
struct Header<'a> {
    width: u16,
    height: u16,
    components: u8,
    exif: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// Reads up to the first scan, and looks for the end of the picture behind it: the decoder
    /// paints what is missing grey, where a failure is wanted.
    fn read(bytes: &'a [u8]) -> Result<Self, Failure> {
        let ended = || corrupt("JPEG", "it ends before its picture does");
        let mut frame = None;
        let mut exif = None;
        let mut rest = bytes.get(2..).ok_or_else(ended)?;
        loop {
            let marker;
            (marker, rest) = next_marker(rest).ok_or_else(ended)?;
            if matches!(marker, 0x01 | 0xd0..=0xd8) {
                continue;
            }
            let (len, _) = rest.split_first_chunk::<2>().ok_or_else(ended)?;
            let len = usize::from(u16::from_be_bytes(*len));
            let segment;
            (segment, rest) = rest.split_at_checked(len.max(2)).ok_or_else(ended)?;
            let segment = &segment[2..];
            match marker {
                0xc0..=0xc2 if frame.is_none() => frame = Some(Self::frame(segment)?),
                0xc0..=0xc2 => return Err(corrupt("JPEG", "it has two frames")),
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    return Err(Failure::caller("the JPEG's coding can't be read")
                        .expected("baseline or progressive with Huffman codes (SOF 0 to 2)")
                        .actual(format!("SOF {}", marker - 0xc0)));
                }
                0xe1 if exif.is_none() && segment.starts_with(b"Exif\0\0") => exif = Some(segment),
                0xd9 => return Err(ended()),
                0xda => break,
                _ => {}
            }
        }
        if !rest.windows(2).any(|pair| pair == [0xff, 0xd9]) {
            return Err(ended());
        }
        let frame = frame.ok_or_else(|| corrupt("JPEG", "its frame is missing"))?;
        Ok(Self { exif, ..frame })
    }

    fn frame(segment: &[u8]) -> Result<Self, Failure> {
        let &[precision, h1, h0, w1, w0, components, ..] = segment else {
            return Err(corrupt("JPEG", "its frame header is too short"));
        };
        if precision != 8 {
            return Err(Failure::caller("the JPEG's samples can't be read")
                .expected("8 bits")
                .actual(format!("{precision} bits")));
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err(Failure::caller("the JPEG's components can't be read")
                .expected("1 (grey), 3 (colour) or 4 (CMYK) components")
                .actual(format!("{components} components")));
        }
        let [height, width] = [[h1, h0], [w1, w0]].map(u16::from_be_bytes);
        Ok(Self { width, height, components, exif: None })
    }
}

/// The next marker and what follows it; 0xff may be repeated as a fill byte.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let start = bytes.iter().position(|&byte| byte == 0xff)?;
    let code = start + bytes[start..].iter().position(|&byte| byte != 0xff)?;
    Some((bytes[code], &bytes[code + 1..]))
}
