//! Finds clouds: cuts a picture into tiles that overlap, asks the graph for each, and blends the
//! answers into a mask of the picture's size.

use ampoule_guest::image::{Blender, DecodeLimits, Grid, Layout, ToDtype, decode, encode, to_rgb, to_tensor};
use ampoule_guest::table::Table;
use ampoule_guest::{Batch, Call, Failure, Frame, Manifest, Media, Predictor};

/// Tiles that the graph is given at one time, as many as the host may compute at once.
const TILES: usize = 16;

struct Clouds {
    mean: Vec<f32>,
    std: Vec<f32>,
    tile: u32,
    overlap: u32,
    threshold: f32,
}

impl Predictor for Clouds {
    fn load(manifest: &Manifest) -> Result<Self, Failure> {
        Ok(Self {
            mean: manifest.setting("mean")?,
            std: manifest.setting("std")?,
            tile: manifest.setting("tile")?,
            overlap: manifest.setting("overlap")?,
            threshold: manifest.setting("threshold")?,
        })
    }

    fn preprocess(&self, call: &mut Call<'_>, instances: Batch) -> Result<Vec<Table>, Failure> {
        let mut tiles = Vec::new();
        for (index, media) in instances.into_media()?.iter().enumerate() {
            let image = decode(&media.bytes, &DecodeLimits::default()).and_then(|image| to_rgb(&image));
            let image = image.map_err(|failure| failure.at(index))?;
            let (width, height) = (image.width(), image.height());
            let grid = Grid::new(width, height, self.tile, self.overlap)?;
            let pixels = to_tensor(&image, Layout::Nchw, 1.0 / 255.0, &self.mean, &self.std, ToDtype::F32)?;
            let computes = grid.len().div_ceil(TILES);
            for first in (0..grid.len()).step_by(TILES) {
                let some = grid.cut(&pixels, Layout::Nchw, first..grid.len().min(first + TILES))?;
                tiles.push(Table::from_columns([("pixels".to_owned(), some)])?);
            }
            call.frames.push(Frame { width, height, computes, grid: Some(grid) });
        }
        Ok(tiles)
    }

    fn postprocess(&self, call: &mut Call<'_>, outputs: Vec<Table>) -> Result<Batch, Failure> {
        let mut outputs = outputs.iter();
        let mut masks = Vec::with_capacity(call.frames.len());
        for frame in &call.frames {
            let grid = frame.grid.as_ref().ok_or_else(|| Failure::model("a picture was not cut"))?;
            let mut blender = Blender::new(grid, 1)?;
            for tile in outputs.by_ref().take(frame.computes) {
                blender.add(tile.get("probability")?)?;
            }
            let probability = blender.finish()?;
            let probability = probability.items::<f32>()?;
            let cloudy = probability.iter().filter(|&&p| p >= self.threshold).count();
            let mask: Vec<u8> =
                probability.iter().map(|&p| if p >= self.threshold { 255 } else { 0 }).collect();
            masks.push(Media {
                content_type: "image/png".to_owned(),
                bytes: encode::png_grey(frame.width, frame.height, &mask)?,
                metadata: Some(format!("{{\"cloud_fraction\":{:.4}}}", cloudy as f64 / mask.len() as f64)),
            });
        }
        Ok(Batch::Media(masks))
    }
}

ampoule_guest::export!(Clouds);
