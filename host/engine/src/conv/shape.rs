//! [`Shape`] and [`Layout`] of what flows between steps, and [`Window`]: what a kernel sees of it.

use super::lanes::BLOCK;

/// Where the elements of an `[N, C, H, W]` tensor lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[N, C / 16, H, W, 16]`: C rounded up, what lies beyond C is of no meaning
    Blocked,
    /// `[N, H, W, C]`: few channels, read by dense convolutions only
    Pixels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub n: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
    pub layout: Layout,
}

impl Shape {
    pub(super) fn blocked(n: usize, c: usize, h: usize, w: usize) -> Self {
        Self { n, c, h, w, layout: Layout::Blocked }
    }

    /// Blocks of channels; one for pixels.
    pub(super) fn blocks(&self) -> usize {
        match self.layout {
            Layout::Blocked => self.c.div_ceil(BLOCK),
            Layout::Pixels => 1,
        }
    }

    /// Floats from a pixel to the next.
    pub(super) fn pixel(&self) -> usize {
        match self.layout {
            Layout::Blocked => BLOCK,
            Layout::Pixels => self.c,
        }
    }

    /// Floats of a block of channels of one picture.
    pub(super) fn plane(&self) -> usize {
        self.h * self.w * self.pixel()
    }

    pub(super) fn floats(&self) -> usize {
        self.n * self.blocks() * self.plane()
    }
}

/// One axis of a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Elements of the kernel
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Zeros before the input; negative where its first elements are skipped
    pub pad: isize,
    pub input: usize,
    pub output: usize,
}

impl Axis {
    /// The input index under the kernel's first element; may lie outside.
    pub(super) fn first(&self, output: usize) -> isize {
        (output * self.stride) as isize - self.pad
    }

    /// The kernel's elements that lie on the input, for one output index: from, and one past the last.
    pub(super) fn taps(&self, output: usize) -> (usize, usize) {
        let (first, step) = (self.first(output), self.dilation as isize);
        let from = (-first).max(0).div_euclid(step) + isize::from((-first).max(0) % step != 0);
        let past = (self.input as isize - first).max(0);
        let to = (past + step - 1) / step;
        let to = to.clamp(0, self.kernel as isize) as usize;
        ((from as usize).min(to), to)
    }

    /// The output indices whose whole kernel lies on the input: from, and one past the last.
    pub(super) fn inner(&self) -> (usize, usize) {
        let whole = |o: &usize| self.taps(*o) == (0, self.kernel);
        let from = (0..self.output).find(whole).unwrap_or(0);
        let to = (from..self.output).rev().find(whole).map_or(from, |last| last + 1);
        (from, to)
    }
}

/// A kernel over height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub y: Axis,
    pub x: Axis,
}
