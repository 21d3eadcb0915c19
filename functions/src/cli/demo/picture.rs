//! The demonstration's picture: scene, true mask and predicted mask side by side.

use std::path::Path;

use anyhow::{Context as _, bail};
use image::{ImageFormat, RgbImage, imageops};

/// A cell's sides and the space between cells, in pixels.
const WIDTH: u32 = 200;
const HEIGHT: u32 = 150;
const GAP: u32 = 6;

/// Groups of three cells in a row of the sheet.
const ACROSS: u32 = 2;

/// Draws a sheet of all scenes of `clouds` with their masks in `masks`; gives a PNG.
///
/// # Errors
/// A picture is missing or can't be read.
pub fn sheet(clouds: &Path, masks: &Path) -> anyhow::Result<Vec<u8>> {
    let scenes = super::super::input::files(&clouds.join("scenes"))?;
    if scenes.is_empty() {
        bail!("{} holds no scenes", clouds.join("scenes").display());
    }
    let down = u32::try_from(scenes.len())?.div_ceil(ACROSS);
    let group = 3 * (WIDTH + GAP) + GAP;
    let mut sheet =
        RgbImage::from_pixel(ACROSS * group + GAP, down * (HEIGHT + GAP) + GAP, image::Rgb([38, 42, 48]));
    for (index, scene) in scenes.iter().enumerate() {
        let name = scene.file_name().context("a scene has a name")?;
        let truth = clouds.join("truth").join(name).with_extension("png");
        let predicted = masks.join(format!("{}.png", name.to_string_lossy()));
        let index = i64::try_from(index)?;
        let (column, row) = (index % i64::from(ACROSS), index / i64::from(ACROSS));
        for (cell, path) in [scene.as_path(), &truth, &predicted].into_iter().enumerate() {
            let picture =
                image::open(path).with_context(|| format!("can't read {}", path.display()))?.to_rgb8();
            let (width, height) = fit(picture.width(), picture.height());
            let small = imageops::resize(&picture, width, height, imageops::FilterType::Triangle);
            let left =
                i64::from(GAP) + column * i64::from(group) + i64::try_from(cell)? * i64::from(WIDTH + GAP);
            let top = i64::from(GAP) + row * i64::from(HEIGHT + GAP);
            let x = left + i64::from((WIDTH - width) / 2);
            let y = top + i64::from((HEIGHT - height) / 2);
            imageops::overlay(&mut sheet, &small, x, y);
        }
    }
    let mut png = std::io::Cursor::new(Vec::new());
    sheet.write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

/// The largest size of the same shape that fits into a cell.
fn fit(width: u32, height: u32) -> (u32, u32) {
    let across = WIDTH * height;
    let down = HEIGHT * width;
    if across < down {
        (WIDTH, (WIDTH * height / width).max(1))
    } else {
        ((HEIGHT * width / height).max(1), HEIGHT)
    }
}
