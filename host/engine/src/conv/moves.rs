//! What only moves or mixes pixels: into the blocked layout and out of it, concatenation of channels, resizing.
#![allow(unsafe_code, reason = "the kernels read and write through pointers, see `lanes`")]

use super::lanes::{BLOCK, Isa, Lanes, on};
use super::shape::{Layout, Shape};

/// From `[N, C, H, W]` into `shape`'s layout.
///
/// # Safety
///
/// `input` has N * C * H * W floats, `output` those of `shape`.
pub(super) unsafe fn enter(input: *const f32, output: *mut f32, shape: &Shape) {
    let (pixels, step) = (shape.h * shape.w, shape.pixel());
    for at in 0..shape.n * shape.blocks() {
        let (n, block) = (at / shape.blocks(), at % shape.blocks());
        let first = block * BLOCK;
        let channels = (shape.c - first).min(step);
        // SAFETY: within the shapes.
        unsafe {
            let from = input.add((n * shape.c + first) * pixels);
            let to = output.add(at * shape.plane());
            if shape.layout == Layout::Blocked && channels == BLOCK {
                let to = std::slice::from_raw_parts_mut(to.cast::<[f32; BLOCK]>(), pixels);
                for (pixel, lanes) in to.iter_mut().enumerate() {
                    *lanes = std::array::from_fn(|c| *from.add(c * pixels + pixel));
                }
                continue;
            }
            for c in 0..channels {
                let from = std::slice::from_raw_parts(from.add(c * pixels), pixels);
                for (pixel, x) in from.iter().enumerate() {
                    *to.add(pixel * step + c) = *x;
                }
            }
            for pixel in 0..pixels {
                for c in channels..step {
                    *to.add(pixel * step + c) = 0.0;
                }
            }
        }
    }
}

/// From `shape`, which is blocked, to `[N, C, H, W]`.
///
/// # Safety
///
/// As for [`enter`], the other way round.
pub(super) unsafe fn leave(input: *const f32, output: *mut f32, shape: &Shape) {
    let pixels = shape.h * shape.w;
    for at in 0..shape.n * shape.blocks() {
        let (n, block) = (at / shape.blocks(), at % shape.blocks());
        for c in block * BLOCK..((block + 1) * BLOCK).min(shape.c) {
            // SAFETY: within the shapes.
            unsafe {
                let from = input.add(at * shape.plane() + c % BLOCK);
                let to = std::slice::from_raw_parts_mut(output.add((n * shape.c + c) * pixels), pixels);
                for (pixel, x) in to.iter_mut().enumerate() {
                    *x = *from.add(pixel * BLOCK);
                }
            }
        }
    }
}

/// Copies `count` channels from number `first` of `from` on to number `place` of `to` and on; both blocked.
///
/// # Safety
///
/// `input` and `output` have the floats of their shapes, which have so many channels and differ in no other dim.
pub(super) unsafe fn channels(
    input: *const f32,
    (from, first): (&Shape, usize),
    output: *mut f32,
    (to, place): (&Shape, usize),
    count: usize,
) {
    let plane = from.plane();
    for n in 0..from.n {
        // SAFETY: within the shapes.
        unsafe {
            let input = input.add(n * from.blocks() * plane);
            let output = output.add(n * to.blocks() * plane);
            if first.is_multiple_of(BLOCK) && place.is_multiple_of(BLOCK) {
                let input = input.add(first / BLOCK * plane);
                let output = output.add(place / BLOCK * plane);
                output.copy_from_nonoverlapping(input, count.div_ceil(BLOCK) * plane);
                continue;
            }
            for (source, target) in (first..first + count).zip(place..) {
                let from = input.add(source / BLOCK * plane + source % BLOCK);
                let to = output.add(target / BLOCK * plane + target % BLOCK);
                for pixel in (0..plane).step_by(BLOCK) {
                    *to.add(pixel) = *from.add(pixel);
                }
            }
        }
    }
}

/// For each output index of an axis, the input indices it is mixed from and their weights.
#[derive(Clone, Debug)]
pub(super) struct Taps(pub Vec<Vec<(usize, f32)>>);

/// Every output pixel is a weighted sum of the pixels that `rows` and `columns` name.
///
/// # Safety
///
/// `input` and `output` have the floats of their shapes, which are blocked; the taps name rows and columns of `input`,
/// at least one for each of `output`.
pub(super) unsafe fn resize(
    isa: Isa,
    input: *const f32,
    from: &Shape,
    output: *mut f32,
    to: &Shape,
    rows: &Taps,
    columns: &Taps,
) {
    // SAFETY: as the caller's.
    unsafe {
        on!(isa, mix(input: *const f32, from: &Shape, output: *mut f32, to: &Shape, rows: &Taps, columns: &Taps));
    }
}

#[inline(always)]
unsafe fn mix<V: Lanes>(
    input: *const f32,
    from: &Shape,
    output: *mut f32,
    to: &Shape,
    rows: &Taps,
    columns: &Taps,
) {
    for plane in 0..from.n * from.blocks() {
        for (row, rows) in rows.0.iter().enumerate() {
            // SAFETY: as the caller's.
            unsafe {
                let (input, output) =
                    (input.add(plane * from.plane()), output.add(plane * to.plane() + row * to.w * BLOCK));
                for (column, columns) in columns.0.iter().enumerate() {
                    let to = output.add(column * BLOCK);
                    if let ([(row, whole_row)], [(column, whole)]) = (rows.as_slice(), columns.as_slice())
                        && (*whole_row, *whole) == (1.0, 1.0)
                    {
                        V::load(input.add((row * from.w + column) * BLOCK)).store(to);
                        continue;
                    }
                    let mut sum = V::splat(0.0);
                    for (row, weight) in rows {
                        let line = input.add(row * from.w * BLOCK);
                        let mut part = V::splat(0.0);
                        for (column, weight) in columns {
                            part = V::load(line.add(column * BLOCK)).mul_add(V::splat(*weight), part);
                        }
                        sum = part.mul_add(V::splat(*weight), sum);
                    }
                    sum.store(to);
                }
            }
        }
    }
}
