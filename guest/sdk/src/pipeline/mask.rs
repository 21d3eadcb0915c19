//! [`Mask`]: a prediction for each pixel, drawn as a picture.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Frame;
use crate::image::{Filter, Image, Pixels, encode, resize};
use crate::table::Table;
use crate::{Elements, Failure, Media};

/// The manifest's `pipeline.mask`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mask {
    /// The output to draw: a class or a truth for each pixel, `[1, H, W]` or `[1, 1, H, W]`, or with
    /// [`MaskForm::Tiff`] bands of f32.
    pub output: String,
    #[serde(default)]
    pub form: MaskForm,
    /// What each class is called; its share of the pixels stands in the prediction's metadata.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The grey of each class, or without it its number (a truth is 0 or 255).
    #[serde(default)]
    pub greys: Vec<u8>,
    /// The colour of each class, for [`MaskForm::Palette`].
    #[serde(default)]
    pub palette: Vec<[u8; 3]>,
}

/// The file that a mask becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskForm {
    /// PNG, 8-bit grey.
    #[default]
    Grey,
    /// PNG, 8-bit palette.
    Palette,
    /// TIFF in the output's own dtype, such as the probabilities of each class.
    Tiff,
}

impl Mask {
    /// Draws the first row of `self.output` at the size of the picture.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where the output is no mask.
    pub fn draw(&self, table: &Table, frame: &Frame) -> Result<Media, Failure> {
        let tensor = table.get(&self.output)?;
        let refuse = |expected: &str| {
            Failure::model(format!("output \"{}\" is no mask", self.output))
                .expected(expected)
                .actual(tensor.to_string())
        };
        let (bands, height, width) = match *tensor.shape() {
            [1, height, width] => (1, height, width),
            [1, bands, height, width] => (bands, height, width),
            _ => return Err(refuse("[1, H, W] or [1, bands, H, W]")),
        };
        let side = |side: usize| u32::try_from(side).map_err(|_| refuse("sides below 2^32"));
        let (width, height) = (side(width)?, side(height)?);
        if self.form == MaskForm::Tiff {
            let Elements::F32(items) = tensor.elements() else { return Err(refuse("f32")) };
            let pixels = Pixels::F32(interleave(items, bands));
            let image = fit(Image::new(width, height, side(bands)?, pixels)?, frame)?;
            let bytes = encode::tiff(&image)?;
            return Ok(Media { content_type: "image/tiff".to_owned(), bytes, metadata: None });
        }
        if bands != 1 {
            return Err(refuse("one band"));
        }
        let truth = matches!(tensor.elements(), Elements::Bool(_));
        let classes: Vec<u8> = match tensor.elements() {
            Elements::Bool(items) => items.iter().map(|&item| u8::from(item)).collect(),
            Elements::U8(items) => items.clone(),
            Elements::I64(items) => items
                .iter()
                .map(|&class| u8::try_from(class).map_err(|_| refuse("classes from 0 to 255")))
                .collect::<Result<_, _>>()?,
            _ => return Err(refuse("bool, u8 or i64")),
        };
        let image = fit(Image::new(width, height, 1, Pixels::U8(classes))?, frame)?;
        let Pixels::U8(classes) = image.pixels() else { return Err(refuse("u8")) };
        let metadata = self.shares(classes)?;
        let bytes = match self.form {
            MaskForm::Palette => encode::png_palette(frame.width, frame.height, classes, &self.palette)?,
            _ => {
                let grey = |&class: &u8| match self.greys.get(usize::from(class)) {
                    Some(&grey) => grey,
                    None if truth && class == 1 => 255,
                    None => class,
                };
                encode::png_grey(frame.width, frame.height, &classes.iter().map(grey).collect::<Vec<_>>())?
            }
        };
        Ok(Media { content_type: "image/png".to_owned(), bytes, metadata })
    }

    /// `{"share": {"clear": 0.75, "cloud": 0.25}}`, to four places.
    fn shares(&self, classes: &[u8]) -> Result<Option<String>, Failure> {
        if self.labels.is_empty() || classes.is_empty() {
            return Ok(None);
        }
        let mut counts = [0u32; 256];
        for &class in classes {
            counts[usize::from(class)] += 1;
        }
        let share = |count: u32| (f64::from(count) / classes.len() as f64 * 1e4).round() / 1e4;
        let shares: BTreeMap<&str, f64> =
            self.labels.iter().zip(counts).map(|(label, count)| (label.as_str(), share(count))).collect();
        let text = serde_json::to_string(&BTreeMap::from([("share", shares)]));
        text.map(Some).map_err(|cause| Failure::model(cause.to_string()))
    }
}

/// The mask at the picture's own size: by the nearest pixel, since classes can't be mixed.
fn fit(mask: Image, frame: &Frame) -> Result<Image, Failure> {
    if (mask.width(), mask.height()) == (frame.width, frame.height) {
        return Ok(mask);
    }
    resize(&mask, frame.width, frame.height, Filter::Nearest)
}

/// Bands after one another to bands beside one another.
fn interleave(items: &[f32], bands: usize) -> Vec<f32> {
    let plane = items.len() / bands.max(1);
    (0..items.len()).map(|index| items[index % bands * plane + index / bands]).collect()
}
