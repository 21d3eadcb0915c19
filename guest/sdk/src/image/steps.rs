//! The steps of a picture's way to the model as a manifest writes them, each with its `apply`.
//!
//! Every key is in kebab case, an unknown key is an error, and what has a default may be left out:
//!
//! ```
//! use ampoule_guest::image::{Filter, steps::Resize};
//! let step: Resize = serde_json::from_str(r#"{"width": 224, "height": 224, "filter": "bicubic"}"#)?;
//! assert_eq!(step.filter, Filter::Bicubic);
//! # Ok::<(), serde_json::Error>(())
//! ```

use serde::{Deserialize, Serialize};

use super::{DecodeLimits, Filter, Grid, Image, Layout, PadMode, ToDtype};
use crate::{Failure, Tensor};

/// What [`Decode`] makes of a file's bands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Three bands of `u8`, as [`to_rgb`](super::to_rgb) has them
    #[default]
    Rgb,
    /// One band of `u8`, as [`to_grey`](super::to_grey) has it
    Grey,
    /// The bands and samples of the file
    AsIs,
}

/// How [`Decode`] turns the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// Rows and columns as the file has them
    #[default]
    AsStored,
    /// As the file's EXIF orientation says
    Upright,
}

/// A file becomes a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Decode {
    pub mode: Mode,
    pub orientation: Turn,
    /// Width × height; 64 Mi unless given
    pub max_pixels: Option<u64>,
    /// Bytes of the decoded samples; 256 MiB unless given
    pub max_bytes: Option<u64>,
}

impl Decode {
    pub fn limits(&self) -> DecodeLimits {
        let default = DecodeLimits::default();
        DecodeLimits {
            max_pixels: self.max_pixels.unwrap_or(default.max_pixels),
            max_bytes: self.max_bytes.unwrap_or(default.max_bytes),
            ..default
        }
    }

    /// # Errors
    /// As [`decode`](super::decode), [`to_rgb`](super::to_rgb) and [`to_grey`](super::to_grey).
    pub fn apply(&self, bytes: &[u8]) -> Result<Image, Failure> {
        let image = match self.orientation {
            Turn::AsStored => super::decode(bytes, &self.limits())?,
            Turn::Upright => super::decode_upright(bytes, &self.limits())?,
        };
        match self.mode {
            Mode::Rgb => super::to_rgb(&image),
            Mode::Grey => super::to_grey(&image),
            Mode::AsIs => Ok(image),
        }
    }
}

/// Some bands in some order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bands {
    /// Counted from zero; `[2, 1, 0]` makes RGB of BGR
    pub select: Vec<u32>,
}

impl Bands {
    /// # Errors
    /// As [`select`](super::select).
    pub fn apply(&self, image: &Image) -> Result<Image, Failure> {
        super::select(image, &self.select)
    }
}

/// Another size, in pixels.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Resize {
    pub width: u32,
    pub height: u32,
    #[serde(default)]
    pub filter: Filter,
}

impl Resize {
    /// # Errors
    /// As [`resize`](super::resize).
    pub fn apply(&self, image: &Image) -> Result<Image, Failure> {
        super::resize(image, self.width, self.height, self.filter)
    }
}

/// Another size with the shape kept, the shorter side being `side` pixels.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResizeShorter {
    pub side: u32,
    #[serde(default)]
    pub filter: Filter,
}

impl ResizeShorter {
    /// # Errors
    /// As [`resize_shorter`](super::resize_shorter).
    pub fn apply(&self, image: &Image) -> Result<Image, Failure> {
        super::resize_shorter(image, self.side, self.filter)
    }
}

/// A part of the picture, in pixels.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Crop {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Crop {
    /// # Errors
    /// As [`crop`](super::crop).
    pub fn apply(&self, image: &Image) -> Result<Image, Failure> {
        super::crop(image, self.left, self.top, self.width, self.height)
    }
}

/// The middle of the picture, in pixels.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CentreCrop {
    pub width: u32,
    pub height: u32,
}

impl CentreCrop {
    /// # Errors
    /// As [`centre_crop`](super::centre_crop).
    pub fn apply(&self, image: &Image) -> Result<Image, Failure> {
        super::centre_crop(image, self.width, self.height)
    }
}

/// What a border is filled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// The step's `value`
    #[default]
    Constant,
    /// The nearest pixel
    Edge,
    /// The picture, mirrored at the centre of its outermost pixels
    Reflect,
}

/// A border, in pixels.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Pad {
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
    pub mode: Border,
    /// In the range of the picture's samples; for mode `constant` only
    pub value: f32,
}

impl Pad {
    /// # Errors
    /// As [`pad`](super::pad).
    pub fn apply(&self, image: &Image) -> Result<Image, Failure> {
        let mode = match self.mode {
            Border::Constant => PadMode::Constant(self.value),
            Border::Edge => PadMode::Edge,
            Border::Reflect => PadMode::Reflect,
        };
        super::pad(image, [self.left, self.top, self.right, self.bottom], mode)
    }
}

/// The whole picture in a frame, its shape kept: a letterbox.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fit {
    pub width: u32,
    pub height: u32,
    #[serde(default)]
    pub filter: Filter,
    /// What the frame is filled with, in the range of the picture's samples
    #[serde(default)]
    pub value: f32,
}

impl Fit {
    /// # Errors
    /// As [`fit`](super::fit).
    pub fn apply(&self, image: &Image) -> Result<Image, Failure> {
        super::fit(image, self.width, self.height, self.filter, self.value)
    }
}

/// A picture becomes a tensor: `(sample * scale - mean) / std`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ToTensor {
    pub layout: Layout,
    pub scale: f32,
    /// One value per band, one for all, or none for 0
    pub mean: Vec<f32>,
    /// One value per band, one for all, or none for 1
    pub std: Vec<f32>,
    pub dtype: ToDtype,
}

impl Default for ToTensor {
    fn default() -> Self {
        Self {
            layout: Layout::default(),
            scale: 1.0,
            mean: Vec::new(),
            std: Vec::new(),
            dtype: ToDtype::default(),
        }
    }
}

impl ToTensor {
    /// # Errors
    /// As [`to_tensor`](super::to_tensor).
    pub fn apply(&self, image: &Image) -> Result<Tensor, Failure> {
        super::to_tensor(image, self.layout, self.scale, &self.mean, &self.std, self.dtype)
    }
}

/// How the tiles' answers are weighted where they overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blend {
    /// [`Grid::new`]
    #[default]
    Linear,
    /// [`Grid::tukey`]
    Tukey,
}

/// A picture of any size becomes tiles that the model can take.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tile {
    /// The side of a tile in pixels
    pub size: u32,
    /// What a tile shares with the next: a whole number of pixels, or below 1 a fraction of the
    /// side. A Tukey window takes fractions only.
    #[serde(default)]
    pub overlap: f64,
    #[serde(default)]
    pub window: Blend,
}

impl Tile {
    /// The grid for a picture of `width` × `height` pixels.
    ///
    /// # Errors
    /// As [`Grid::new`] and [`Grid::tukey`], and where `overlap` is neither pixels nor a fraction.
    pub fn grid(&self, width: u32, height: u32) -> Result<Grid, Failure> {
        if self.window == Blend::Tukey {
            return Grid::tukey(width, height, self.size, self.overlap);
        }
        let pixels =
            if self.overlap < 1.0 { (f64::from(self.size) * self.overlap).floor() } else { self.overlap };
        if !(0.0..=f64::from(u32::MAX)).contains(&pixels) || pixels.fract() != 0.0 {
            return Err(Failure::model("tiles can't overlap like this")
                .expected("a whole number of pixels, or a fraction from 0 to below 1")
                .actual(self.overlap.to_string()));
        }
        // Whole and within u32, so that the cast is exact.
        Grid::new(width, height, self.size, pixels as u32)
    }

    /// The grid for `picture`, which is `[1, bands, height, width]` or `[1, height, width, bands]`
    /// as `layout` says, and all its tiles as `f32[n, bands, size, size]`.
    ///
    /// # Errors
    /// As [`Tile::grid`] and [`Grid::cut`].
    pub fn apply(&self, picture: &Tensor, layout: Layout) -> Result<(Grid, Tensor), Failure> {
        let side = |axis: usize| picture.shape().get(axis).and_then(|&side| u32::try_from(side).ok());
        let (height, width) = match layout {
            Layout::Nchw => (side(2), side(3)),
            Layout::Nhwc => (side(1), side(2)),
        };
        let (Some(height), Some(width), 4) = (height, width, picture.shape().len()) else {
            return Err(Failure::model("only one picture can be cut into tiles")
                .expected("a tensor of four axes")
                .actual(picture.to_string()));
        };
        let grid = self.grid(width, height)?;
        let tiles = grid.cut(picture, layout, 0..grid.len())?;
        Ok((grid, tiles))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_may_leave_out_what_has_a_default() {
        let decode: Decode = serde_json::from_str("{}").expect("all have one");
        assert_eq!((decode.mode, decode.limits()), (Mode::Rgb, DecodeLimits::default()));
        let tensor: ToTensor = serde_json::from_str(r#"{"layout": "nhwc", "dtype": "u8"}"#).expect("valid");
        assert_eq!((tensor.layout, tensor.dtype, tensor.scale), (Layout::Nhwc, ToDtype::U8, 1.0));
        let pad: Pad = serde_json::from_str(r#"{"left": 2, "mode": "reflect"}"#).expect("valid");
        assert_eq!((pad.left, pad.right, pad.mode), (2, 0, Border::Reflect));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<Decode>(r#"{"max_pixels": 1}"#).is_err());
        assert!(serde_json::from_str::<Resize>(r#"{"width": 1, "height": 1, "antialias": true}"#).is_err());
        assert!(serde_json::from_str::<Tile>(r#"{"size": 8, "window": "hann"}"#).is_err());
    }

    #[test]
    fn an_overlap_is_pixels_or_a_fraction() {
        for (overlap, stride) in [(0.0, 100), (0.2, 80), (1.0, 99), (20.0, 80)] {
            let tile = Tile { size: 100, overlap, window: Blend::Linear };
            assert_eq!(tile.grid(300, 200).expect("valid").stride(), stride, "{overlap}");
        }
        for overlap in [-1.0, 1.5, 100.0, f64::NAN, f64::INFINITY] {
            let tile = Tile { size: 100, overlap, window: Blend::Linear };
            assert!(tile.grid(300, 200).is_err(), "{overlap}");
            assert!(Tile { window: Blend::Tukey, ..tile }.grid(300, 200).is_err(), "{overlap}");
        }
    }
}
