//! Pictures: from the bytes of a file to the tensor a model wants, and from its answer back to a file.
//!
//! The flow reads downwards: [`decode`] a file into an [`Image`], choose its bands ([`to_rgb`],
//! [`to_grey`], [`select`]), bring it to size ([`resize`], [`crop`], [`pad`], [`fit`]), make it a tensor
//! ([`to_tensor`]), cut a large one into tiles and blend the answers ([`Grid`], [`Blender`]), and
//! [`encode`] the result. [`steps`] holds the same operations as they are written in a manifest.
//!
//! ```
//! use ampoule_guest::image::{self, DecodeLimits, Filter, Layout, ToDtype};
//! # let file = image::encode::png_grey(3, 2, &[0, 50, 100, 150, 200, 250])?;
//! let picture = image::to_rgb(&image::decode(&file, &DecodeLimits::default())?)?;
//! let small = image::resize(&picture, 8, 8, Filter::Bilinear)?;
//! let tensor = image::to_tensor(&small, Layout::Nchw, 1.0 / 255.0, &[0.5], &[0.5], ToDtype::F32)?;
//! assert_eq!(tensor.shape(), [1, 3, 8, 8]);
//! # Ok::<(), ampoule_guest::Failure>(())
//! ```
//!
//! # Not guaranteed
//! Colour profiles and gamma are ignored, as Pillow ignores them: samples are taken as they are
//! stored. JPEG has the samples that Pillow has; lossy WebP agrees with it to within a few levels. Only
//! the first page of a TIFF is read. Georeferences are neither read nor written.

mod colour;
mod decode;
pub mod encode;
mod geometry;
mod normalise;
mod orientation;
mod resize;
pub mod steps;
mod tiles;

pub use colour::{bgr, select, to_grey, to_rgb};
pub use decode::{DecodeLimits, decode, decode_upright};
pub use geometry::{PadMode, Placement, centre_crop, crop, fit, fit_placement, pad};
pub use normalise::{Layout, ToDtype, to_tensor};
pub use resize::{Filter, resize, resize_shorter};
pub use tiles::{Blender, Grid, Window};

use crate::Failure;

/// The samples of an [`Image`], interleaved in the order (row, column, band).
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 0 is none, 255 is full
    U8(Vec<u8>),
    /// 0 is none, 65,535 is full; sensors often use less of the range
    U16(Vec<u16>),
    /// In the unit of whoever wrote the file
    F32(Vec<f32>),
}

/// Runs `$body` on the samples of whichever type and wraps what it returns as the same type.
macro_rules! same_type {
    ($pixels:expr, $items:ident => $body:expr) => {
        match $pixels {
            $crate::image::Pixels::U8($items) => $crate::image::Pixels::U8($body),
            $crate::image::Pixels::U16($items) => $crate::image::Pixels::U16($body),
            $crate::image::Pixels::F32($items) => $crate::image::Pixels::F32($body),
        }
    };
}
pub(crate) use same_type;

impl Pixels {
    pub fn len(&self) -> usize {
        match self {
            Self::U8(items) => items.len(),
            Self::U16(items) => items.len(),
            Self::F32(items) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of a sample, as messages name it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::U16(_) => "u16",
            Self::F32(_) => "f32",
        }
    }
}

/// A picture: `height` rows of `width` pixels of `bands` samples, none of them zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    width: u32,
    height: u32,
    bands: u32,
    pixels: Pixels,
}

impl Image {
    /// A picture of `pixels`, which are interleaved in the order (row, column, band).
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where an axis is zero or `pixels` has not
    /// `width` × `height` × `bands` samples.
    pub fn new(width: u32, height: u32, bands: u32, pixels: Pixels) -> Result<Self, Failure> {
        let expected = sample_count(width, height, bands)?;
        if pixels.len() != expected {
            return Err(Failure::model(format!(
                "a picture of {width} x {height} with {bands} bands can't hold these pixels"
            ))
            .expected(format!("{expected} samples"))
            .actual(format!("{} samples", pixels.len())));
        }
        Ok(Self { width, height, bands, pixels })
    }

    /// Pixels across, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Samples per pixel, at least 1.
    pub fn bands(&self) -> u32 {
        self.bands
    }

    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    pub fn into_pixels(self) -> Pixels {
        self.pixels
    }

    /// Width, height and bands as indices count them.
    fn dims(&self) -> (usize, usize, usize) {
        (size(self.width), size(self.height), size(self.bands))
    }
}

/// The number of samples of a picture.
///
/// # Errors
/// A [`Fault::Model`](crate::Fault::Model) failure where an axis is zero or memory can't hold them.
fn sample_count(width: u32, height: u32, bands: u32) -> Result<usize, Failure> {
    if width == 0 || height == 0 || bands == 0 {
        return Err(Failure::model("a picture has an empty axis")
            .expected("at least 1 x 1 with 1 band")
            .actual(format!("{width} x {height} with {bands} bands")));
    }
    // Four bytes is the widest sample, so that a later length in bytes can't overflow either.
    [height, bands, 4]
        .iter()
        .try_fold(size(width), |product, &axis| product.checked_mul(size(axis)))
        .map(|bytes| bytes / 4)
        .filter(|&samples| samples <= isize::MAX as usize / 4)
        .ok_or_else(|| {
            Failure::model("a picture is too large for the memory there is")
                .actual(format!("{width} x {height} with {bands} bands"))
        })
}

/// An empty vector that can take `count` items.
///
/// # Errors
/// A [`Fault::Caller`](crate::Fault::Caller) failure where there is not so much memory: a picture can
/// be within the limits and still grow beyond the sandbox on its way.
fn reserved<T>(count: usize) -> Result<Vec<T>, Failure> {
    let mut items = Vec::new();
    match items.try_reserve_exact(count) {
        Ok(()) => Ok(items),
        Err(_) => Err(Failure::caller("the picture needs more memory than there is")
            .actual(format!("{count} samples of {} bytes", size_of::<T>()))),
    }
}

/// As many `item`s as `count` says.
///
/// # Errors
/// As [`reserved`].
fn filled<T: Copy>(count: usize, item: T) -> Result<Vec<T>, Failure> {
    let mut items = reserved(count)?;
    items.resize(count, item);
    Ok(items)
}

/// A 32-bit count as an index: no target has fewer than 32 bits.
fn size(count: u32) -> usize {
    count as usize
}
