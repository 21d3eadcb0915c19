//! [`Sliding`]: a window over each channel by itself: depthwise convolutions, greatest and mean of a pool.
//!
//! Strips of pixels stay in registers. Where the window reaches over the left or right edge, a strip goes down a column
//! instead of along a row, so that its pixels share the elements of the window that lie on the input.
#![allow(unsafe_code, reason = "the kernels read and write through pointers, see `lanes`")]

use super::dense::Weights;
use super::lanes::{BLOCK, Isa, Lanes, on};
use super::map::{Operands, Program};
use super::shape::{Shape, Window};

/// Pixels of a strip: with two registers for each, sixteen have room for them.
const STRIP: usize = 6;

pub(super) enum Kind {
    /// `[C / 16, ky, kx, 16]`, and a bias per channel
    Depthwise {
        weights: Vec<f32>,
        bias: Vec<f32>,
    },
    Greatest,
    /// Divided by the window's elements, or by those that lie on the input.
    Mean {
        whole: bool,
    },
    Sum,
}

pub(super) struct Sliding {
    pub isa: Isa,
    pub kind: Kind,
    pub input: Shape,
    pub output: Shape,
    pub window: Window,
}

impl Kind {
    pub(super) fn depthwise(weights: &Weights) -> Self {
        let channels = weights.bias.len();
        let (taps, blocks) = (weights.values.len() / channels, channels.div_ceil(BLOCK));
        let mut packed = vec![0.0; blocks * BLOCK * taps];
        for (c, values) in weights.values.chunks_exact(taps).enumerate() {
            for (tap, value) in values.iter().enumerate() {
                packed[(c / BLOCK * taps + tap) * BLOCK + c % BLOCK] = *value * weights.factors[c];
            }
        }
        let mut bias = weights.bias.to_vec();
        bias.resize(blocks * BLOCK, 0.0);
        Self::Depthwise { weights: packed, bias }
    }
}

/// What one call of a kernel computes: `count` pixels with the same elements of the window.
struct Strip {
    input: *const f32,
    weights: *const f32,
    bias: *const f32,
    output: *mut f32,
    count: usize,
    rows: usize,
    columns: usize,
    input_row: usize,
    input_column: usize,
    input_pixel: usize,
    weights_row: usize,
    output_pixel: usize,
    divisor: f32,
}

impl Sliding {
    /// # Safety
    ///
    /// `input` and `output` have the floats of their shapes; `operands` those of `program`.
    pub(super) unsafe fn run(
        &self,
        input: *const f32,
        output: *mut f32,
        program: &Program,
        operands: &Operands,
    ) {
        let (blocks, plane) = (self.output.blocks(), self.output.plane());
        let Window { y, x } = &self.window;
        let (inner_x, inner_y) = (x.inner(), y.inner());
        let edges = || (0..inner_x.0).chain(inner_x.1..x.output);
        for at in 0..self.output.n * blocks {
            // SAFETY: within the shapes: the ranges are those of the outputs.
            unsafe {
                let (input, output) = (input.add(at * self.input.plane()), output.add(at * plane));
                let call = |row, column, count, down| {
                    let strip = self.strip(at % blocks, input, output, row, column, count, down);
                    let (isa, strip) = (self.isa, &strip);
                    match self.kind {
                        Kind::Depthwise { .. } => on!(isa, products(strip: &Strip)),
                        Kind::Greatest => on!(isa, greatest(strip: &Strip)),
                        Kind::Mean { .. } | Kind::Sum => on!(isa, sums(strip: &Strip)),
                    }
                };
                for column in edges() {
                    for row in (inner_y.0..inner_y.1).step_by(STRIP) {
                        call(row, column, STRIP.min(inner_y.1 - row), true);
                    }
                }
                for row in 0..y.output {
                    if row < inner_y.0 || row >= inner_y.1 {
                        edges().for_each(|column| call(row, column, 1, false));
                    }
                    let length = inner_x.1 - inner_x.0;
                    let strips = length.div_ceil(STRIP);
                    for strip in 0..strips {
                        let start = length * strip / strips;
                        let end = length * (strip + 1) / strips;
                        call(row, inner_x.0 + start, end - start, false);
                    }
                    if !program.is_empty() {
                        let begin = row * x.output * BLOCK;
                        let line = output.add(begin);
                        let operands = operands.at(at / blocks, at % blocks, begin);
                        program.run(self.isa, line, line, x.output, operands);
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the loop's state")]
    fn strip(
        &self,
        block: usize,
        input: *const f32,
        output: *mut f32,
        row: usize,
        column: usize,
        count: usize,
        down: bool,
    ) -> Strip {
        let Window { y, x } = &self.window;
        let ((top, bottom), (left, right)) = (y.taps(row), x.taps(column));
        let line = x.input * BLOCK;
        let on_input = |axis: &super::shape::Axis, output, tap| {
            (axis.first(output) + (tap * axis.dilation) as isize).max(0) as usize
        };
        let (weights, bias) = match &self.kind {
            Kind::Depthwise { weights, bias } => (
                weights.as_ptr().wrapping_add(((block * y.kernel + top) * x.kernel + left) * BLOCK),
                bias.as_ptr().wrapping_add(block * BLOCK),
            ),
            _ => (std::ptr::null(), std::ptr::null()),
        };
        let taps = match self.kind {
            Kind::Mean { whole: true } => y.kernel * x.kernel,
            Kind::Mean { whole: false } => (bottom - top) * (right - left),
            _ => 1,
        };
        Strip {
            // The first element of the window that lies on the input; if none does, nothing is read.
            input: input.wrapping_add(on_input(y, row, top) * line + on_input(x, column, left) * BLOCK),
            weights,
            bias,
            output: output.wrapping_add((row * x.output + column) * BLOCK),
            count,
            rows: bottom - top,
            columns: right - left,
            input_row: y.dilation * line,
            input_column: x.dilation * BLOCK,
            input_pixel: if down { y.stride * line } else { x.stride * BLOCK },
            weights_row: x.kernel * BLOCK,
            output_pixel: if down { x.output * BLOCK } else { BLOCK },
            divisor: taps.max(1) as f32,
        }
    }
}

#[inline(always)]
unsafe fn products<V: Lanes>(strip: &Strip) {
    // SAFETY: as the caller's.
    unsafe {
        let bias = V::load(strip.bias);
        sized(
            strip,
            bias,
            #[inline(always)]
            |sum: V, x, at| x.mul_add(V::load(strip.weights.add(at)), sum),
            |sum| sum,
        );
    }
}

#[inline(always)]
unsafe fn greatest<V: Lanes>(strip: &Strip) {
    // SAFETY: as the caller's.
    unsafe { sized(strip, V::splat(f32::NEG_INFINITY), |sum: V, x, _| sum.max(x), |sum| sum) }
}

#[inline(always)]
unsafe fn sums<V: Lanes>(strip: &Strip) {
    // SAFETY: as the caller's.
    unsafe {
        let divisor = V::splat(strip.divisor);
        sized(strip, V::splat(0.0), |sum: V, x, _| sum.add(x), |sum| sum.div(divisor));
    }
}

#[inline(always)]
unsafe fn sized<V: Lanes>(strip: &Strip, start: V, each: impl Fn(V, V, usize) -> V, last: impl Fn(V) -> V) {
    // SAFETY: as the caller's.
    unsafe {
        match strip.count {
            1 => slide::<V, 1>(strip, start, each, last),
            2 => slide::<V, 2>(strip, start, each, last),
            3 => slide::<V, 3>(strip, start, each, last),
            4 => slide::<V, 4>(strip, start, each, last),
            5 => slide::<V, 5>(strip, start, each, last),
            _ => slide::<V, STRIP>(strip, start, each, last),
        }
    }
}

#[inline(always)]
unsafe fn slide<V: Lanes, const P: usize>(
    strip: &Strip,
    start: V,
    each: impl Fn(V, V, usize) -> V,
    last: impl Fn(V) -> V,
) {
    // SAFETY: as the caller's: the strip stays within its shapes.
    unsafe {
        let mut sums = [start; P];
        for row in 0..strip.rows {
            for column in 0..strip.columns {
                let input = strip.input.add(row * strip.input_row + column * strip.input_column);
                let at = row * strip.weights_row + column * BLOCK;
                for (p, sum) in sums.iter_mut().enumerate() {
                    *sum = each(*sum, V::load(input.add(p * strip.input_pixel)), at);
                }
            }
        }
        for (p, sum) in sums.into_iter().enumerate() {
            last(sum).store(strip.output.add(p * strip.output_pixel));
        }
    }
}
