//! TIFF 6.0 and BigTIFF: the first page, as strips or tiles of unsigned or float samples.
//!
//! Read here rather than by the `tiff` crate, which drops the extra samples of a picture whose first
//! three are red, green and blue: the near-infrared band of most four-band aerial pictures.

mod chunk;
mod directory;

use super::super::orientation::Orientation;
use super::super::{Image, Pixels, filled, size};
use super::{DecodeLimits, corrupt};
use crate::Failure;
use chunk::{Coding, Sample};
use directory::{Directory, Tag};

/// The orientation in the first directory; upright where it can't be read.
pub(super) fn orientation(bytes: &[u8]) -> Orientation {
    let value = Directory::first(bytes).and_then(|directory| directory.value_or(Tag::Orientation, 1));
    value.map(Orientation::from_tag).unwrap_or_default()
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<(Image, Orientation), Failure> {
    let directory = Directory::first(bytes)?;
    let layout = Layout::read(&directory, limits)?;
    let pixels = match layout.kind {
        Kind::U8 => Pixels::U8(layout.samples::<u8>(bytes)?),
        Kind::U16 => Pixels::U16(layout.samples::<u16>(bytes)?),
        Kind::F32 => Pixels::F32(layout.samples::<u32>(bytes)?.into_iter().map(f32::from_bits).collect()),
    };
    let orientation = Orientation::from_tag(directory.value_or(Tag::Orientation, 1)?);
    Ok((Image::new(layout.width, layout.height, layout.bands, pixels)?, orientation))
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    U8,
    U16,
    F32,
}

impl Kind {
    fn read(directory: &Directory) -> Result<Self, Failure> {
        let bits = directory.same_value_or(Tag::BitsPerSample, 1)?;
        let format = directory.same_value_or(Tag::SampleFormat, 1)?;
        match (bits, format) {
            // 4 is "undefined", which writers use for whole numbers.
            (8, 1 | 4) => Ok(Self::U8),
            (16, 1 | 4) => Ok(Self::U16),
            (32, 3) => Ok(Self::F32),
            _ => {
                let name = match format {
                    1 => "unsigned",
                    2 => "signed",
                    3 => "float",
                    _ => "other",
                };
                Err(Failure::caller("the TIFF's samples can't be read")
                    .expected("8- or 16-bit unsigned or 32-bit float samples")
                    .actual(format!("{bits}-bit {name} samples")))
            }
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }
}

/// Where the samples lie in the file.
struct Layout {
    width: u32,
    height: u32,
    bands: u32,
    kind: Kind,
    /// The larger the sample, the darker
    white_is_zero: bool,
    /// Each band in chunks of its own, all chunks of the first band first
    planar: bool,
    tiled: bool,
    /// Width and height of a chunk, which is a strip or a tile
    chunk: (u32, u32),
    offsets: Vec<u64>,
    counts: Vec<u64>,
    coding: Coding,
}

impl Layout {
    fn read(directory: &Directory, limits: &DecodeLimits) -> Result<Self, Failure> {
        let kind = Kind::read(directory)?;
        let [width, height] = [Tag::Width, Tag::Height].map(|tag| directory.value(tag));
        let (width, height) = (width?, height?);
        let bands = directory.value_or(Tag::Bands, 1)?;
        limits.check(width, height, bands, kind.bytes())?;
        let white_is_zero = match directory.value_or(Tag::Photometric, 1)? {
            0 if kind != Kind::F32 => true,
            1 | 2 => false,
            other => {
                let name = match other {
                    0 => "float samples where white is zero",
                    3 => "a palette",
                    5 => "inks (CMYK)",
                    6 => "YCbCr",
                    8..=10 => "CIE L*a*b*",
                    _ => "another colour space",
                };
                return Err(Failure::caller("the TIFF's colours can't be read")
                    .expected("grey, RGB or bands without a stated meaning")
                    .actual(name));
            }
        };
        let tiled = directory.has(Tag::TileWidth);
        let chunk = if tiled {
            (directory.value(Tag::TileWidth)?, directory.value(Tag::TileHeight)?)
        } else {
            (width, directory.value_or(Tag::RowsPerStrip, height)?.min(height))
        };
        if chunk.0 == 0 || chunk.1 == 0 {
            return Err(corrupt("TIFF", "its strips or tiles are empty"));
        }
        // The picture with its last tiles filled up is what is decoded.
        let padded =
            [(width, chunk.0), (height, chunk.1)].map(|(side, step)| side.checked_next_multiple_of(step));
        if tiled {
            let [width, height] = padded.map(|side| side.unwrap_or(u64::MAX));
            let limits = DecodeLimits { max_width: u32::MAX, max_height: u32::MAX, ..*limits };
            limits.check(width, height, bands, kind.bytes())?;
        }
        let (offsets, counts) = if tiled {
            (directory.values(Tag::TileOffsets)?, directory.values(Tag::TileByteCounts)?)
        } else {
            (directory.values(Tag::StripOffsets)?, directory.values(Tag::StripByteCounts)?)
        };
        let [width, height, bands] = [width, height, bands].map(narrow);
        Ok(Self {
            width: width?,
            height: height?,
            bands: bands?,
            kind,
            white_is_zero,
            planar: directory.value_or(Tag::PlanarConfiguration, 1)? == 2,
            tiled,
            chunk: (narrow(chunk.0)?, narrow(chunk.1)?),
            offsets,
            counts,
            coding: Coding::read(directory, kind == Kind::F32)?,
        })
    }

    /// All samples, interleaved.
    fn samples<T: Sample>(&self, bytes: &[u8]) -> Result<Vec<T>, Failure> {
        let (width, height, bands) = (size(self.width), size(self.height), size(self.bands));
        let (chunk_width, chunk_height) = (size(self.chunk.0), size(self.chunk.1));
        let (planes, chunk_bands) = if self.planar { (bands, 1) } else { (1, bands) };
        let across = width.div_ceil(chunk_width);
        let down = height.div_ceil(chunk_height);
        let chunks = across.checked_mul(down).and_then(|plane| plane.checked_mul(planes));
        if chunks.is_none_or(|chunks| chunks > self.offsets.len() || chunks > self.counts.len()) {
            return Err(corrupt("TIFF", "it has fewer strips or tiles than its picture needs"));
        }
        // Within the limits, which were checked.
        let mut out = filled(width * height * bands, T::default())?;
        let mut scratch = Vec::new();
        let places = (0..planes)
            .flat_map(|plane| (0..down).flat_map(move |y| (0..across).map(move |x| (plane, y, x))));
        for ((plane, y, x), (&offset, &count)) in places.zip(self.offsets.iter().zip(&self.counts)) {
            let (left, top) = (x * chunk_width, y * chunk_height);
            // The last strip holds the rows that are left; the last tile is full.
            let rows = if self.tiled { chunk_height } else { chunk_height.min(height - top) };
            let coded = usize::try_from(offset)
                .ok()
                .zip(usize::try_from(count).ok())
                .and_then(|(offset, count)| bytes.get(offset..offset.checked_add(count)?))
                .ok_or_else(|| corrupt("TIFF", "a strip or tile lies beyond its end"))?;
            let row = chunk_width * chunk_bands;
            scratch.clear();
            self.coding.decode::<T>(coded, row, rows, chunk_bands, &mut scratch)?;
            let columns = chunk_width.min(width - left);
            for (from, line) in scratch.chunks_exact(row).zip(top..height) {
                let to = &mut out[(line * width + left) * bands..][..columns * bands];
                if self.planar {
                    to.iter_mut().skip(plane).step_by(bands).zip(from).for_each(|(to, &from)| *to = from);
                } else {
                    to.copy_from_slice(&from[..columns * bands]);
                }
            }
        }
        if self.white_is_zero {
            out.iter_mut().for_each(|sample| *sample = sample.inverted());
        }
        Ok(out)
    }
}

fn narrow(value: u64) -> Result<u32, Failure> {
    u32::try_from(value).map_err(|_| corrupt("TIFF", format!("a size of {value}")))
}
