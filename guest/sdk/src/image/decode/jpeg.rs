//! JPEG (ITU-T T.81): baseline, extended and progressive, with Huffman codes and 8 bits.
//!
//! Pixels are the same as those of libjpeg-turbo and of what is built on it, as Pillow is. Segments are
//! read here; a [`Scan`] fills the blocks of a [`Frame`] from its [`bits`], [`cosine`] makes samples of
//! them, and [`paint`] makes pixels of the samples.
//!
//! *Not guaranteed*: where a progressive file's last scans are left out, libjpeg smooths what it has;
//! here it is shown as it is.

mod bits;
mod cosine;
mod frame;
mod paint;
mod scan;
mod standard;

use self::bits::{ENDED, next_marker};
use self::frame::{Frame, Tables};
use self::paint::Colours;
use self::scan::Scan;
use super::super::orientation::Orientation;
use super::super::{Image, Pixels};
use super::{DecodeLimits, corrupt, exif_orientation};
use crate::Failure;

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<(Image, Orientation), Failure> {
    let ended = || corrupt("JPEG", ENDED);
    let broken = |reason| corrupt("JPEG", reason);
    let mut tables = Tables::new();
    let mut frame: Option<(Frame, usize)> = None;
    let mut marks = Marks::default();
    let mut exif = None;
    let mut rest = bytes.get(2..).ok_or_else(ended)?;
    loop {
        let marker;
        (marker, rest) = next_marker(rest).ok_or_else(ended)?;
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        if marker == 0xd9 {
            break;
        }
        let (len, _) = rest.split_first_chunk::<2>().ok_or_else(ended)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let segment;
        (segment, rest) = rest.split_at_checked(len.max(2)).ok_or_else(ended)?;
        let segment = &segment[2..];
        match marker {
            0xc0..=0xc2 if frame.is_none() => {
                let [width, height, components] = Frame::claims(segment)?.map(u64::from);
                let samples = limits.check(width, height, if components == 1 { 1 } else { 3 }, 1)?;
                frame = Some((Frame::new(segment, marker == 0xc2)?, samples));
            }
            0xc0..=0xc2 => return Err(corrupt("JPEG", "it has two frames")),
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(Failure::caller("the JPEG's coding can't be read")
                    .expected("baseline or progressive with Huffman codes (SOF 0 to 2)")
                    .actual(format!("SOF {}", marker - 0xc0)));
            }
            0xc4 => tables.read_codes(segment).map_err(broken)?,
            0xda => {
                let (frame, _) = frame.as_mut().ok_or_else(|| broken("its frame is missing"))?;
                let scan = Scan::new(segment, frame, &tables).map_err(broken)?;
                rest = scan.read(rest, frame).map_err(broken)?;
            }
            0xdb => tables.read_steps(segment).map_err(broken)?,
            0xdd => tables.read_restart_interval(segment).map_err(broken)?,
            0xe0 if segment.starts_with(b"JFIF\0") => marks.jfif = true,
            0xe1 if exif.is_none() && segment.starts_with(b"Exif\0\0") => exif = Some(segment),
            0xee if segment.starts_with(b"Adobe") => marks.adobe = segment.get(11).copied(),
            _ => {}
        }
    }
    let (mut frame, samples) = frame.ok_or_else(ended)?;
    frame.finish()?;
    let pixels = paint::pixels(&frame, marks.colours(&frame), samples)?;
    let side = |length: usize| length as u32;
    let bands = (pixels.len() / (frame.width * frame.height)) as u32;
    let image = Image::new(side(frame.width), side(frame.height), bands, Pixels::U8(pixels))?;
    Ok((image, exif_orientation(exif)))
}

/// What tells the colours
#[derive(Default)]
struct Marks {
    jfif: bool,
    /// Adobe's number of a transform: 0 for none, 1 for three components, 2 for four
    adobe: Option<u8>,
}

impl Marks {
    /// As libjpeg takes them: JFIF allows chroma only, then Adobe's mark counts, then names.
    fn colours(&self, frame: &Frame) -> Colours {
        let names: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        match (names.as_slice(), self.adobe) {
            ([_], _) => Colours::Grey,
            ([_, _, _], Some(0)) if !self.jfif => Colours::Rgb,
            (b"RGB", None) if !self.jfif => Colours::Rgb,
            ([_, _, _], _) => Colours::Ycc,
            (_, None | Some(0)) => Colours::Cmyk,
            (_, Some(_)) => Colours::Ycck,
        }
    }
}
