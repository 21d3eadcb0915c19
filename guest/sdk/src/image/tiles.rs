//! [`Grid`]: a picture larger than the model's input, cut into overlapping tiles.

mod blend;
mod window;

use std::ops::Range;

pub use blend::Blender;
pub use window::Window;

use super::Layout;
use super::geometry::{edge, reflect};
use crate::{Failure, Tensor};

/// The longest side of a picture or tile: what is added to it then fits into 32 bits too.
const MAX_SIDE: usize = 1 << 30;

/// How a picture of `width` × `height` pixels is covered by square tiles.
///
/// Tiles are numbered row by row from the upper left. The picture is continued beyond its edges so
/// that a whole number of tiles covers it:
///
/// - [`Grid::new`]: tiles start at the picture's upper left pixel and follow each other every
///   `tile - overlap` pixels. To the right and at the bottom the picture is mirrored at the centre of
///   its last pixels (`numpy.pad` mode `reflect`), or its last pixels are repeated (mode `edge`)
///   along an axis shorter than what is missing. [`Window::Linear`] blends the tiles.
/// - [`Grid::tukey`]: the recipe of the published cloud masks (package `ukis-csmask` 1.0.0).
///   With `f` the overlap as a fraction and `m = floor(tile · f)`, the picture is mirrored at the
///   outer edge of its pixels (mode `symmetric`) by `m` pixels at the left and the top and by
///   `tile + 1 + m` at the right and the bottom. Tiles follow each other every
///   `floor(tile − tile · f)` pixels as long as they lie within that, so that some may lie outside
///   the picture altogether.
///   [`Window::Tukey`] blends the tiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    width: usize,
    height: usize,
    tile: usize,
    stride: usize,
    /// What is continued at the left and the top
    margin: usize,
    across: usize,
    down: usize,
    window: Window,
}

impl Grid {
    /// A grid of tiles that share `overlap` pixels with the next, blended by [`Window::Linear`].
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where a side is zero or `overlap` is not
    /// below `tile`.
    pub fn new(width: u32, height: u32, tile: u32, overlap: u32) -> Result<Self, Failure> {
        if overlap >= tile {
            return Err(Failure::model("tiles can't follow each other")
                .expected(format!("an overlap below the tile's {tile} pixels"))
                .actual(format!("{overlap} pixels")));
        }
        let window = Window::Linear { overlap };
        let [tile, overlap] = [tile, overlap].map(super::size);
        let stride = tile - overlap;
        let count = |len: usize| 1 + len.saturating_sub(tile).div_ceil(stride);
        Self::checked(width, height, Self { tile, stride, margin: 0, window, ..Self::EMPTY }, count)
    }

    /// A grid of tiles that share the fraction `overlap` of their side with the next, blended by
    /// [`Window::Tukey`].
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where a side is zero or `overlap` is not
    /// within 0 to 0.5.
    pub fn tukey(width: u32, height: u32, tile: u32, overlap: f64) -> Result<Self, Failure> {
        if !(0.0..=0.5).contains(&overlap) {
            return Err(Failure::model("tiles can't be blended by a Tukey window")
                .expected("an overlap of 0 to 0.5 of the tile's side")
                .actual(overlap.to_string()));
        }
        // Both are within 0..=tile: truncation is the floor that is meant.
        let shared = f64::from(tile) * overlap;
        let (margin, stride) = (shared as usize, (f64::from(tile) - shared) as usize);
        let tile = super::size(tile);
        let window = Window::Tukey { overlap };
        let count = |len: usize| 1 + (len + 2 * margin + 1) / stride.max(1);
        Self::checked(width, height, Self { tile, stride, margin, window, ..Self::EMPTY }, count)
    }

    const EMPTY: Self = Self {
        width: 0,
        height: 0,
        tile: 0,
        stride: 0,
        margin: 0,
        across: 0,
        down: 0,
        window: Window::Linear { overlap: 0 },
    };

    fn checked(
        width: u32,
        height: u32,
        mut grid: Self,
        count: impl Fn(usize) -> usize,
    ) -> Result<Self, Failure> {
        if width == 0 || height == 0 || grid.tile == 0 || grid.stride == 0 {
            return Err(Failure::model("a grid of tiles has an empty side")
                .expected("a picture and tiles of at least 1 x 1")
                .actual(format!("{width} x {height} and tiles of {}", grid.tile)));
        }
        (grid.width, grid.height) = (super::size(width), super::size(height));
        if [grid.width, grid.height, grid.tile].iter().any(|&side| side > MAX_SIDE) {
            return Err(Failure::model("a grid of tiles has too long a side")
                .expected(format!("at most {MAX_SIDE} pixels"))
                .actual(format!("{width} x {height} and tiles of {}", grid.tile)));
        }
        (grid.across, grid.down) = (count(grid.width), count(grid.height));
        Ok(grid)
    }

    /// The number of tiles, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a grid always has a tile")]
    pub fn len(&self) -> usize {
        self.across.saturating_mul(self.down)
    }

    /// Tiles in a row.
    pub fn across(&self) -> usize {
        self.across
    }

    /// Rows of tiles.
    pub fn down(&self) -> usize {
        self.down
    }

    /// The side of a tile in pixels.
    pub fn tile(&self) -> usize {
        self.tile
    }

    /// The pixels from the start of a tile to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    pub fn window(&self) -> Window {
        self.window
    }

    /// The tiles numbered `tiles` as `f32[n, bands, tile, tile]`.
    ///
    /// `picture` is `f32[1, bands, height, width]` or `f32[1, height, width, bands]`, as `layout`
    /// says, of the grid's height and width; the leading 1 may be missing.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where the picture has another shape or dtype,
    /// or `tiles` are not all in the grid.
    pub fn cut(&self, picture: &Tensor, layout: Layout, tiles: Range<usize>) -> Result<Tensor, Failure> {
        let samples = picture.items::<f32>()?;
        let shape = match picture.shape() {
            [1, rest @ ..] if rest.len() == 3 => rest,
            whole => whole,
        };
        let bands = match (layout, shape) {
            (Layout::Nchw, &[bands, height, width]) if (height, width) == (self.height, self.width) => bands,
            (Layout::Nhwc, &[height, width, bands]) if (height, width) == (self.height, self.width) => bands,
            _ => {
                return Err(Failure::model("the picture does not fit its grid of tiles")
                    .expected(match layout {
                        Layout::Nchw => format!("f32[1, bands, {}, {}]", self.height, self.width),
                        Layout::Nhwc => format!("f32[1, {}, {}, bands]", self.height, self.width),
                    })
                    .actual(picture.to_string()));
            }
        };
        if tiles.start > tiles.end || tiles.end > self.len() {
            return Err(Failure::model("the grid has not all these tiles")
                .expected(format!("tiles within 0..{}", self.len()))
                .actual(format!("{tiles:?}")));
        }
        let shape = [tiles.len(), bands, self.tile, self.tile];
        let count = shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
        let mut out = Vec::new();
        count.and_then(|count| out.try_reserve_exact(count).ok()).ok_or_else(|| {
            Failure::model("the tiles do not fit into memory").actual(format!("f32{shape:?}"))
        })?;
        for index in tiles {
            let columns = self.sources(index % self.across, self.across, self.width);
            let rows = self.sources(index / self.across, self.down, self.height);
            for band in 0..bands {
                for &y in &rows {
                    match layout {
                        Layout::Nchw => {
                            let line = &samples[(band * self.height + y) * self.width..][..self.width];
                            extend_line(&mut out, line, &columns);
                        }
                        Layout::Nhwc => {
                            let line = &samples[y * self.width * bands..][..self.width * bands];
                            out.extend(columns.iter().map(|&x| line[x * bands + band]));
                        }
                    }
                }
            }
        }
        Tensor::new(&shape, out)
    }

    /// Where along an axis of `len` pixels the pixels of a tile come from: the tile that is number
    /// `position` of `count`.
    fn sources(&self, position: usize, count: usize, len: usize) -> Vec<usize> {
        let missing = ((count - 1) * self.stride + self.tile).saturating_sub(len);
        let first = signed(position * self.stride) - signed(self.margin);
        let side = signed(len);
        (first..first + signed(self.tile))
            .map(|index| match self.window {
                Window::Tukey { .. } => symmetric(index, side),
                Window::Linear { .. } if missing < len => reflect(index, side),
                Window::Linear { .. } => edge(index, side),
            })
            .collect()
    }
}

/// A position within a picture: sides are below 2^32, so that sums of a few stay far below 2^63.
fn signed(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX / 4)
}

/// The index within `0..len` that `index` is mirrored to at the outer edges of the outermost pixels.
fn symmetric(index: i64, len: i64) -> usize {
    let within = index.rem_euclid(2 * len);
    within.min(2 * len - 1 - within) as usize
}

fn extend_line(out: &mut Vec<f32>, line: &[f32], columns: &[usize]) {
    // Inside the picture the columns follow each other, and a copy of the whole is several times faster.
    match (columns.first(), columns.last()) {
        (Some(&first), Some(&last)) if last + 1 == first + columns.len() && is_run(columns) => {
            out.extend_from_slice(&line[first..=last]);
        }
        _ => out.extend(columns.iter().map(|&x| line[x])),
    }
}

fn is_run(columns: &[usize]) -> bool {
    columns.windows(2).all(|pair| pair[0] + 1 == pair[1])
}
