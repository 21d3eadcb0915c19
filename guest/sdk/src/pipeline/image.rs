//! A picture on its way into the graph.

use serde::Deserialize;

use crate::image::steps::{Bands, CentreCrop, Crop, Decode, Fit, Pad, Resize, ResizeShorter, Tile, ToTensor};
use crate::image::{Grid, Image};
use crate::{Failure, Tensor};

/// The manifest's `pipeline.image`: from a file's bytes to tensors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageSteps {
    #[serde(default)]
    pub decode: Decode,
    /// In order.
    #[serde(default)]
    pub steps: Vec<Step>,
    #[serde(default)]
    pub tensor: ToTensor,
    /// For pictures of any size and a graph that takes one size.
    #[serde(default)]
    pub tile: Option<Tile>,
}

/// One step on a picture, written as an object with the step's name as its only key.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    Bands(Bands),
    Resize(Resize),
    ResizeShorter(ResizeShorter),
    Crop(Crop),
    CentreCrop(CentreCrop),
    Pad(Pad),
    Fit(Fit),
}

/// How a picture went into the graph, so that its prediction can be put together.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The picture's own size in pixels, as it was decoded.
    pub width: u32,
    pub height: u32,
    /// How many computes it takes.
    pub computes: usize,
    /// How it was cut into tiles.
    pub grid: Option<Grid>,
}

impl ImageSteps {
    /// Finds the faults that show without any picture.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if let Some(tile) = &self.tile {
            tile.grid(1, 1).map_err(|failure| Failure {
                message: format!("pipeline.image.tile: {}", failure.message),
                ..failure
            })?;
        }
        Ok(())
    }

    /// Decodes a picture and hands `take` the tensors of each of its computes, `batch` tiles at most.
    ///
    /// # Errors
    /// A [`Fault::Caller`](crate::Fault::Caller) failure where the bytes are no picture of ours.
    pub fn open(
        &self,
        bytes: &[u8],
        batch: Option<usize>,
        take: &mut dyn FnMut(Tensor) -> Result<(), Failure>,
    ) -> Result<Frame, Failure> {
        let mut image = self.decode.apply(bytes)?;
        let (width, height) = (image.width(), image.height());
        for step in &self.steps {
            image = step.apply(&image)?;
        }
        let tensor = self.tensor.apply(&image)?;
        let Some(tile) = &self.tile else {
            take(tensor)?;
            return Ok(Frame { width, height, computes: 1, grid: None });
        };
        let grid = tile.grid(image.width(), image.height())?;
        let batch = batch.unwrap_or(1);
        let mut computes = 0;
        for start in (0..grid.len()).step_by(batch) {
            take(grid.cut(&tensor, self.tensor.layout, start..(start + batch).min(grid.len()))?)?;
            computes += 1;
        }
        Ok(Frame { width, height, computes, grid: Some(grid) })
    }
}

impl Step {
    fn apply(&self, image: &Image) -> Result<Image, Failure> {
        match self {
            Self::Bands(step) => step.apply(image),
            Self::Resize(step) => step.apply(image),
            Self::ResizeShorter(step) => step.apply(image),
            Self::Crop(step) => step.apply(image),
            Self::CentreCrop(step) => step.apply(image),
            Self::Pad(step) => step.apply(image),
            Self::Fit(step) => step.apply(image),
        }
    }
}
