//! [`Blender`]: the model's answers for the tiles, put together again.

use super::Grid;
use crate::{Failure, Tensor};

/// Adds up the answers tile by tile and holds no more than one row of tiles in full precision.
///
/// Sums are of `f64` in the order of the tiles, so that the result does not depend on batches.
pub struct Blender {
    grid: Grid,
    channels: usize,
    weights: Vec<f64>,
    /// The sums of the weights along each axis of the padded picture; their product is a pixel's.
    total_across: Vec<f64>,
    total_down: Vec<f64>,
    /// The rows that the current row of tiles covers, as (channel, row, column)
    sums: Vec<f64>,
    padded_width: usize,
    done: usize,
    out: Vec<f32>,
}

impl Blender {
    /// A blender of answers with `channels` channels for the tiles of `grid`.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where there is no channel or the picture
    /// does not fit into memory.
    pub fn new(grid: &Grid, channels: usize) -> Result<Self, Failure> {
        let weights = grid.window.weights(grid.tile);
        let total_across = totals(&weights, grid.across, grid.stride);
        let total_down = totals(&weights, grid.down, grid.stride);
        let padded_width = total_across.len();
        let (mut sums, mut out) = (Vec::new(), Vec::new());
        zeroed(&mut sums, [channels, grid.tile, padded_width])?;
        zeroed(&mut out, [channels, grid.height, grid.width])?;
        let grid = grid.clone();
        Ok(Self { grid, channels, weights, total_across, total_down, sums, padded_width, done: 0, out })
    }

    /// Adds the next answers, `f32[n, channels, tile, tile]`, in the order of the grid's tiles.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where the answers have another shape or
    /// dtype, or are more than there are tiles left.
    pub fn add(&mut self, answers: &Tensor) -> Result<(), Failure> {
        let tile = self.grid.tile;
        let samples = answers.items::<f32>()?;
        match *answers.shape() {
            [n, channels, height, width]
                if (channels, height, width) == (self.channels, tile, tile)
                    && n <= self.grid.len() - self.done => {}
            _ => {
                return Err(Failure::model("the answers for the tiles can't be put together")
                    .expected(format!(
                        "f32[at most {}, {}, {tile}, {tile}]",
                        self.grid.len() - self.done,
                        self.channels
                    ))
                    .actual(answers.to_string()));
            }
        }
        for answer in samples.chunks_exact(self.channels * tile * tile) {
            self.add_one(answer);
            self.done += 1;
            if self.done.is_multiple_of(self.grid.across) {
                self.flush();
            }
        }
        Ok(())
    }

    fn add_one(&mut self, answer: &[f32]) {
        let tile = self.grid.tile;
        let left = self.done % self.grid.across * self.grid.stride;
        // Lines come channel by channel in both.
        for ((line, from), row) in self
            .sums
            .chunks_exact_mut(self.padded_width)
            .zip(answer.chunks_exact(tile))
            .zip((0..tile).cycle())
        {
            let down = self.weights[row];
            for ((sum, &sample), across) in line[left..][..tile].iter_mut().zip(from).zip(&self.weights) {
                *sum += f64::from(sample) * (down * across);
            }
        }
    }

    /// Writes the rows that no later tile touches, and moves the rest up.
    fn flush(&mut self) {
        let Grid { width, height, tile, stride, margin, down, .. } = self.grid;
        let row_of_tiles = self.done / self.grid.across - 1;
        let finished = if row_of_tiles + 1 == down { tile } else { stride };
        for row in 0..finished {
            let padded = row_of_tiles * stride + row;
            let Some(y) = padded.checked_sub(margin).filter(|&y| y < height) else { continue };
            for channel in 0..self.channels {
                let from = &self.sums[(channel * tile + row) * self.padded_width + margin..][..width];
                let to = &mut self.out[(channel * height + y) * width..][..width];
                if self.grid.window.is_divided() {
                    let total = self.total_down[padded];
                    for ((to, &sum), across) in to.iter_mut().zip(from).zip(&self.total_across[margin..]) {
                        *to = rounded(sum / (total * across));
                    }
                } else {
                    to.iter_mut().zip(from).for_each(|(to, &sum)| *to = rounded(sum));
                }
            }
        }
        for channel in self.sums.chunks_exact_mut(tile * self.padded_width) {
            channel.copy_within(finished * self.padded_width.., 0);
            channel[(tile - finished) * self.padded_width..].fill(0.0);
        }
    }

    /// The whole picture: `f32[1, channels, height, width]`.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where answers are missing.
    pub fn finish(self) -> Result<Tensor, Failure> {
        if self.done != self.grid.len() {
            return Err(Failure::model("answers for tiles are missing")
                .expected(format!("{} tiles", self.grid.len()))
                .actual(format!("{} tiles", self.done)));
        }
        Tensor::new(&[1, self.channels, self.grid.height, self.grid.width], self.out)
    }
}

impl Grid {
    /// The answers for all tiles, `f32[n, channels, tile, tile]`, as one picture,
    /// `f32[1, channels, height, width]`. [`Blender`] takes them batch by batch.
    ///
    /// # Errors
    /// As [`Blender`]'s.
    pub fn blend(&self, answers: &Tensor) -> Result<Tensor, Failure> {
        let channels = answers.shape().get(1).copied().unwrap_or(0);
        let mut blender = Blender::new(self, channels)?;
        blender.add(answers)?;
        blender.finish()
    }
}

/// The sum of the weights at every pixel along an axis of `count` tiles.
fn totals(weights: &[f64], count: usize, stride: usize) -> Vec<f64> {
    let mut totals = vec![0.0; (count - 1) * stride + weights.len()];
    for start in (0..count).map(|index| index * stride) {
        totals[start..].iter_mut().zip(weights).for_each(|(total, weight)| *total += weight);
    }
    totals
}

fn zeroed<T: Clone + Default>(items: &mut Vec<T>, shape: [usize; 3]) -> Result<(), Failure> {
    let count = shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis));
    match count.filter(|&count| count > 0 && items.try_reserve_exact(count).is_ok()) {
        Some(count) => {
            items.resize(count, T::default());
            Ok(())
        }
        None => Err(Failure::model("the picture can't be put together from its tiles")
            .expected("at least one channel, and no more than memory holds")
            .actual(format!("{shape:?}"))),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "f32 is what a tensor holds; the sum is rounded once, here"
)]
fn rounded(sum: f64) -> f32 {
    sum as f32
}
