//! [`Winograd`]: a convolution of 3 × 3 neighbours with a quarter of its multiplications.
//!
//! Winograd's minimal filtering F(4 × 4, 3 × 3), as A. Lavin and S. Gray have it ("Fast Algorithms for Convolutional
//! Neural Networks", 2015), with the points 0, ±1, ±2: a tile of 4 × 4 outputs is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` of the
//! 6 × 6 inputs `d` beneath it. `G g Gᵀ` is made with the plan; summed over channels, the product at each of the 36 places
//! is that of two matrices. A strip of tiles at a time is transformed, multiplied and transformed back, small enough to
//! stay in the second cache.
//!
//! An output's rounding is relative to the greatest of its tile rather than of its own neighbours, and what is no
//! number, or has no end, spreads over a tile.
#![allow(unsafe_code, reason = "the kernels read and write through pointers, see `lanes`")]

use super::dense::Weights;
use super::lanes::{BLOCK, Isa, Lanes, add_products, on};
use super::map::{Operands, Program};
use super::shape::{Axis, Layout, Shape, Window};

/// Outputs of a tile along an axis, the inputs beneath them, and their places.
const OUT: usize = 4;
const IN: usize = 6;
const PLACES: usize = IN * IN;

/// A pixel of zeros.
static ZEROS: [f32; BLOCK] = [0.0; BLOCK];

/// Bytes that a strip of tiles is to take, inputs and outputs.
const STRIP_BYTES: usize = 192 << 10;
/// Tiles of a strip at the least: as many use the weights of a place before the next.
const STRIP_TILES: usize = 16;
/// Bytes of weights of one convolution: all are read once for each strip.
const MAX_WEIGHT_BYTES: usize = 1 << 20;

pub(super) struct Winograd {
    isa: Isa,
    input: Shape,
    output: Shape,
    /// Tensors whose channels follow each other in the input.
    sources: Vec<Source>,
    /// Zeros above and at the left of the input.
    pad: [isize; 2],
    /// `[36, group of blocks, channel, 16 * blocks of the group]`
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// Tiles of the picture, down and across.
    tiles: [usize; 2],
    /// Tiles of the largest strip, down and across.
    strip: [usize; 2],
}

/// Channels of the input, in blocks, and where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub shape: Shape,
    pub pixels: Pixels,
}

/// How a source's pixels are the input's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pixels {
    Same,
    /// Each is two by two of the input's.
    Doubled,
}

impl Source {
    /// Transforms to zero at some places of a tile, where a pair of pixels lies in its middle.
    fn vanishes(&self, pad: [isize; 2]) -> bool {
        self.pixels == Pixels::Doubled && pad == [1, 1]
    }
}

/// Whether the inputs of a place are made of the differences `d1 - d2` and `d3 - d4` alone, along one of the axes.
fn between(place: usize) -> bool {
    place / IN == 2 || place % IN == 2
}

/// Neighbouring tiles of a picture.
#[derive(Clone, Copy)]
struct Strip {
    n: usize,
    y: usize,
    x: usize,
    rows: usize,
    columns: usize,
}

impl Winograd {
    /// Bytes of weights, where these kernels can compute the convolution and gain by it.
    pub(super) fn pays(input: &Shape, output: &Shape, window: &Window, groups: usize) -> Option<usize> {
        let fits = |a: &Axis| a.kernel == 3 && a.stride == 1 && a.dilation == 1;
        if groups != 1 || !fits(&window.y) || !fits(&window.x) || input.layout != Layout::Blocked {
            return None;
        }
        let tiles = output.h.div_ceil(OUT) * output.w.div_ceil(OUT);
        // What lies beyond the picture is computed for nothing, and so are a block's lanes without a channel.
        let full = 4 * tiles * OUT * OUT <= 5 * output.h * output.w
            && input.c >= BLOCK
            && output.c >= BLOCK
            && 4 * output.blocks() * BLOCK <= 5 * output.c;
        let bytes = 4 * PLACES * input.c * output.blocks() * BLOCK;
        (full && tiles >= STRIP_TILES && bytes <= MAX_WEIGHT_BYTES).then_some(bytes)
    }

    /// For what [`Winograd::pays`] allows.
    pub(super) fn new(isa: Isa, input: Shape, output: Shape, window: &Window, weights: &Weights) -> Self {
        let blocks = output.blocks();
        let mut packed = vec![0.0; PLACES * input.c * blocks * BLOCK];
        let width = blocks * BLOCK;
        for oc in 0..output.c {
            for ic in 0..input.c {
                let kernel = &weights.values[(oc * input.c + ic) * 9..][..9];
                let spread = spread_kernel(kernel, weights.factors[oc]);
                // The group that the output's block is in, its first block, and its blocks.
                let group = oc / BLOCK / group_blocks(isa);
                let first = group * group_blocks(isa);
                let own = group_blocks(isa).min(blocks - first);
                let at = first * BLOCK * input.c + ic * own * BLOCK + (oc - first * BLOCK);
                for (place, value) in spread.into_iter().enumerate() {
                    packed[place * input.c * width + at] = value;
                }
            }
        }
        let mut bias = weights.bias.to_vec();
        bias.resize(width, 0.0);
        let tiles = [output.h.div_ceil(OUT), output.w.div_ceil(OUT)];
        let tile_bytes = 4 * PLACES * BLOCK * (input.blocks() + blocks);
        let most = (STRIP_BYTES / tile_bytes).max(STRIP_TILES);
        let strip = if tiles[1] > most {
            [1, tiles[1].div_ceil(tiles[1].div_ceil(most))]
        } else {
            [(most / tiles[1]).min(tiles[0]), tiles[1]]
        };
        let sources = vec![Source { shape: input, pixels: Pixels::Same }];
        let pad = [window.y.pad, window.x.pad];
        Self { isa, input, output, sources, pad, weights: packed, bias, tiles, strip }
    }

    /// Reads the input's channels from these, whose blocks are the input's, one after another.
    pub(super) fn read_from(&mut self, sources: Vec<Source>) {
        debug_assert_eq!(sources.iter().map(|s| s.shape.c).sum::<usize>(), self.input.c);
        self.sources = sources;
    }

    /// Blocks at the input's beginning that add nothing to the products between pairs of pixels.
    fn vanishing(&self) -> usize {
        self.sources.iter().take_while(|s| s.vanishes(self.pad)).map(|s| s.shape.blocks()).sum()
    }

    /// Places for tiles in the scratch: a multiple of what the products take at a time.
    fn room(&self) -> usize {
        (self.strip[0] * self.strip[1]).next_multiple_of(GROUP_TILES)
    }

    /// Floats from a place to the next, of so many blocks: an odd number of cache lines, so that the places of a tile don't
    /// share the cache's few sets.
    fn place(&self, blocks: usize) -> usize {
        (blocks * self.room() + 1) * BLOCK
    }

    /// Floats of `scratch` that [`Winograd::run`] needs.
    pub(super) fn scratch(&self) -> usize {
        PLACES * (self.place(self.input.blocks()) + self.place(self.output.blocks()))
    }

    /// # Safety
    ///
    /// `inputs`, one for each source, `output` and `scratch` have the floats of their shapes; `operands` those of `program`.
    pub(super) unsafe fn run(
        &self,
        inputs: &[*const f32],
        output: *mut f32,
        scratch: *mut f32,
        program: &Program,
        operands: &Operands,
    ) {
        let blocks = self.output.blocks();
        for n in 0..self.input.n {
            // SAFETY: within the shape.
            let output = unsafe { output.add(n * blocks * self.output.plane()) };
            for y in (0..self.tiles[0]).step_by(self.strip[0]) {
                for x in (0..self.tiles[1]).step_by(self.strip[1]) {
                    let rows = self.strip[0].min(self.tiles[0] - y);
                    let columns = self.strip[1].min(self.tiles[1] - x);
                    let strip = Strip { n, y, x, rows, columns };
                    // SAFETY: as the caller's; the strip lies on the picture.
                    unsafe { self.strip(inputs, output, scratch, strip) };
                    if program.is_empty() {
                        continue;
                    }
                    let length = (columns * OUT).min(self.output.w - x * OUT);
                    for block in 0..blocks {
                        for row in y * OUT..((y + rows) * OUT).min(self.output.h) {
                            let at = (row * self.output.w + x * OUT) * BLOCK;
                            // SAFETY: within the shapes.
                            unsafe {
                                let row = output.add(block * self.output.plane() + at);
                                program.run(self.isa, row, row, length, operands.at(n, block, at));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Transforms the inputs beneath a strip of tiles, multiplies, and transforms back.
    unsafe fn strip(&self, inputs: &[*const f32], output: *mut f32, scratch: *mut f32, strip: Strip) {
        let this = self;
        // SAFETY: as the caller's.
        unsafe {
            on!(this.isa, compute(this: &Winograd, inputs: &[*const f32], output: *mut f32, scratch: *mut f32, strip: Strip));
        }
    }
}

/// Tiles that products are taken of at a time, at the most: the room of a strip is a multiple.
const GROUP_TILES: usize = 16;

/// Blocks of output channels whose sums stay in registers.
fn group_blocks(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => 2,
        _ => 1,
    }
}

/// Tiles whose sums stay in registers beside so many blocks.
fn group_tiles(isa: Isa, blocks: usize) -> usize {
    match (isa, blocks) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, 1) => 16,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, _) => 8,
        #[cfg(all(target_family = "wasm", target_feature = "simd128"))]
        (Isa::Simd128, _) => 4,
        _ => 4,
    }
}

#[inline(always)]
unsafe fn compute<V: Lanes>(
    this: &Winograd,
    inputs: &[*const f32],
    output: *mut f32,
    scratch: *mut f32,
    strip: Strip,
) {
    let room = this.room();
    let (in_blocks, out_blocks) = (this.input.blocks(), this.output.blocks());
    let (in_place, out_place) = (this.place(in_blocks), this.place(out_blocks));
    let products = scratch.wrapping_add(PLACES * in_place);
    let count = strip.rows * strip.columns;
    // SAFETY: the scratch has room for both, and everything else lies within the shapes.
    unsafe {
        let mut first = 0;
        for (source, input) in this.sources.iter().zip(inputs) {
            for block in 0..source.shape.blocks() {
                let plane = input.add((strip.n * source.shape.blocks() + block) * source.shape.plane());
                for row in 0..strip.rows {
                    let y = ((strip.y + row) * OUT) as isize - this.pad[0];
                    let x = (strip.x * OUT) as isize - this.pad[1];
                    let to = scratch.add(((first + block) * room + row * strip.columns) * BLOCK);
                    for part in (0..BLOCK).step_by(V::Line::WIDTH) {
                        let (plane, to) = (plane.add(part), to.add(part));
                        this.enter::<V::Line>(source, plane, [y, x], strip.columns, to, in_place);
                    }
                }
            }
            first += source.shape.blocks();
        }
        multiply::<V>(this, scratch, products, count);
        for block in 0..out_blocks {
            let plane = output.add(block * this.output.plane());
            let bias = this.bias.as_ptr().add(block * BLOCK);
            for tile in 0..count {
                let y = (strip.y + tile / strip.columns) * OUT;
                let x = (strip.x + tile % strip.columns) * OUT;
                let from = products.add((block * room + tile) * BLOCK);
                this.leave::<V>(from, out_place, bias, plane, y, x);
            }
        }
    }
}

impl Winograd {
    /// Transforms the inputs of `count` tiles side by side, the first of which begins at row `y` and column `x`, where there
    /// may be zeros. Neighbours share two of their six columns.
    #[inline(always)]
    unsafe fn enter<V: Lanes>(
        &self,
        source: &Source,
        plane: *const f32,
        [y, x]: [isize; 2],
        count: usize,
        to: *mut f32,
        place: usize,
    ) {
        let half = if source.pixels == Pixels::Doubled { 1 } else { 0 };
        let vanishes = source.vanishes(self.pad);
        // Where a row begins, and the floats from a pixel to the next: none for a row of zeros.
        let mut rows = [(ZEROS.as_ptr(), 0); IN];
        for (row, y) in rows.iter_mut().zip(y..) {
            if (0..self.input.h as isize).contains(&y) {
                *row = (plane.wrapping_add((y as usize >> half) * source.shape.w * BLOCK), BLOCK);
            }
        }
        // SAFETY: only what is on the input is read.
        unsafe {
            let mut columns = [[V::splat(0.0); IN]; IN];
            columns[0] = self.column(&rows, half, x);
            columns[1] = self.column(&rows, half, x + 1);
            for tile in 0..count {
                let x = x + (tile * OUT) as isize;
                if tile + 1 < count {
                    soon(to.wrapping_add((tile + 1) * BLOCK), place);
                }
                columns[2] = self.column(&rows, half, x + 2);
                columns[3] = self.column(&rows, half, x + 3);
                columns[4] = self.column(&rows, half, x + 4);
                columns[5] = self.column(&rows, half, x + 5);
                let to = to.add(tile * BLOCK);
                for y in 0..IN {
                    let mut line = [V::splat(0.0); IN];
                    for (line, column) in line.iter_mut().zip(&columns) {
                        *line = column[y];
                    }
                    for (x, made) in spread_line(line).into_iter().enumerate() {
                        if !(vanishes && between(y * IN + x)) {
                            made.store(to.add((y * IN + x) * place));
                        }
                    }
                }
                columns[0] = columns[4];
                columns[1] = columns[5];
            }
        }
    }

    /// `Bᵀ d` of one column.
    #[inline(always)]
    unsafe fn column<V: Lanes>(&self, rows: &[(*const f32, usize); IN], half: usize, x: isize) -> [V; IN] {
        // SAFETY: as the caller's.
        unsafe {
            let mut d = [V::splat(0.0); IN];
            if x >= 0 && x < self.input.w as isize {
                for (d, (row, pixel)) in d.iter_mut().zip(rows) {
                    *d = V::load(row.add((x as usize >> half) * pixel));
                }
            }
            spread_line(d)
        }
    }

    /// Transforms the products of a tile whose outputs begin at row `y` and column `x`, as far as they are on the output.
    #[inline(always)]
    unsafe fn leave<V: Lanes>(
        &self,
        from: *const f32,
        place: usize,
        bias: *const f32,
        plane: *mut f32,
        y: usize,
        x: usize,
    ) {
        let (rows, columns) = (OUT.min(self.output.h - y), OUT.min(self.output.w - x));
        let row = self.output.w * BLOCK;
        // SAFETY: only what is on the output is written.
        unsafe {
            let plane = plane.add((y * self.output.w + x) * BLOCK);
            if rows == OUT && columns == OUT {
                return gather::<V>(from, place, bias, plane, row);
            }
            let mut patch = [0.0f32; OUT * OUT * BLOCK];
            gather::<V>(from, place, bias, patch.as_mut_ptr(), OUT * BLOCK);
            for y in 0..rows {
                let from = patch.as_ptr().add(y * OUT * BLOCK);
                plane.add(y * row).copy_from_nonoverlapping(from, columns * BLOCK);
            }
        }
    }
}

/// Fetches the lines that a tile is written to, one at each place, into the first cache.
#[inline(always)]
fn soon(to: *const f32, place: usize) {
    for at in 0..PLACES {
        let line = to.wrapping_add(at * place);
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            // SAFETY: a hint, which reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }
}

/// `Bᵀ d`.
#[inline(always)]
unsafe fn spread_line<V: Lanes>(d: [V; IN]) -> [V; IN] {
    // SAFETY: as the caller's.
    unsafe {
        let (two, four) = (V::splat(2.0), V::splat(4.0));
        let (minus_two, minus_four, minus_five) = (V::splat(-2.0), V::splat(-4.0), V::splat(-5.0));
        let (even, odd) = (minus_four.mul_add(d[2], d[4]), minus_four.mul_add(d[1], d[3]));
        let (far, near) = (d[4].sub(d[2]), d[3].sub(d[1]));
        [
            four.mul_add(d[0], minus_five.mul_add(d[2], d[4])),
            even.add(odd),
            even.sub(odd),
            two.mul_add(near, far),
            minus_two.mul_add(near, far),
            four.mul_add(d[1], minus_five.mul_add(d[3], d[5])),
        ]
    }
}

/// `Aᵀ m A` of the products at 36 places, and the bias.
#[inline(always)]
unsafe fn gather<V: Lanes>(from: *const f32, place: usize, bias: *const f32, to: *mut f32, row: usize) {
    for part in (0..BLOCK).step_by(V::Line::WIDTH) {
        // SAFETY: as the caller's.
        unsafe {
            gather_part::<V::Line>(from.add(part), place, V::Line::load(bias.add(part)), to.add(part), row)
        }
    }
}

/// Of as many channels as the lanes are wide.
#[inline(always)]
unsafe fn gather_part<V: Lanes>(from: *const f32, place: usize, bias: V, to: *mut f32, row: usize) {
    // SAFETY: as the caller's.
    unsafe {
        let mut half = [[V::splat(0.0); IN]; OUT];
        for x in 0..IN {
            let mut m = [V::splat(0.0); IN];
            for (y, m) in m.iter_mut().enumerate() {
                *m = V::load(from.add((y * IN + x) * place));
            }
            for (half, made) in half.iter_mut().zip(gather_line(m)) {
                half[x] = made;
            }
        }
        for (y, half) in half.into_iter().enumerate() {
            for (x, made) in gather_line(half).into_iter().enumerate() {
                made.add(bias).store(to.add(y * row + x * BLOCK));
            }
        }
    }
}

/// `Aᵀ m`.
#[inline(always)]
unsafe fn gather_line<V: Lanes>(m: [V; IN]) -> [V; OUT] {
    // SAFETY: as the caller's.
    unsafe {
        let (near_sum, near_difference) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (far_sum, far_difference) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(near_sum).add(far_sum),
            V::splat(2.0).mul_add(far_difference, near_difference),
            V::splat(4.0).mul_add(far_sum, near_sum),
            V::splat(8.0).mul_add(far_difference, near_difference).add(m[5]),
        ]
    }
}

/// `G g Gᵀ` times `factor`, rounded once.
fn spread_kernel(g: &[f32], factor: f32) -> [f32; PLACES] {
    let line = |g: [f64; 3]| {
        let (sum, far) = (g[0] + g[2], g[0] + 4.0 * g[2]);
        [
            g[0] / 4.0,
            -(sum + g[1]) / 6.0,
            -(sum - g[1]) / 6.0,
            (far + 2.0 * g[1]) / 24.0,
            (far - 2.0 * g[1]) / 24.0,
            g[2],
        ]
    };
    let at = |y: usize, x: usize| f64::from(g[y * 3 + x]) * f64::from(factor);
    let columns: [[f64; IN]; 3] = std::array::from_fn(|x| line([at(0, x), at(1, x), at(2, x)]));
    let mut made = [0.0; PLACES];
    for y in 0..IN {
        for (x, value) in line([columns[0][y], columns[1][y], columns[2][y]]).into_iter().enumerate() {
            made[y * IN + x] = value as f32;
        }
    }
    made
}

/// The sums over channels at each place.
#[inline(always)]
unsafe fn multiply<V: Lanes>(this: &Winograd, inputs: *const f32, products: *mut f32, count: usize) {
    let room = this.room();
    let (channels, in_blocks, out_blocks) = (this.input.c, this.input.blocks(), this.output.blocks());
    let wide = group_blocks(this.isa) == 2;
    let vanishing = this.vanishing();
    let mut weights = this.weights.as_ptr();
    for place in 0..PLACES {
        let mut block = 0;
        while block < out_blocks {
            let blocks = if wide && block + 1 < out_blocks { 2 } else { 1 };
            let at_once = group_tiles(this.isa, blocks);
            let skipped = if between(place) { vanishing } else { 0 };
            let strip = Products {
                channels: channels - (skipped * BLOCK).min(channels),
                input_block: room * BLOCK,
                weights: weights.wrapping_add(skipped * BLOCK * blocks * BLOCK),
                output_block: room * BLOCK,
            };
            for tile in (0..count).step_by(at_once) {
                // SAFETY: the room is a multiple of the tiles at once.
                unsafe {
                    let input = inputs.add(place * this.place(in_blocks) + (skipped * room + tile) * BLOCK);
                    let output = products.add(place * this.place(out_blocks) + (block * room + tile) * BLOCK);
                    match at_once {
                        8 => strip.run::<V, 2, 8>(input, output),
                        16 => strip.run::<V, 1, 16>(input, output),
                        _ => strip.run::<V, 1, 4>(input, output),
                    }
                }
            }
            weights = weights.wrapping_add(channels * blocks * BLOCK);
            block += blocks;
        }
    }
}

/// Products at one place.
struct Products {
    channels: usize,
    input_block: usize,
    /// `[channel, 16 * blocks]`
    weights: *const f32,
    output_block: usize,
}

impl Products {
    /// Of `P` tiles, for `K` blocks of outputs.
    #[inline(always)]
    unsafe fn run<V: Lanes, const K: usize, const P: usize>(&self, input: *const f32, output: *mut f32) {
        for part in (0..BLOCK).step_by(V::Sums::WIDTH) {
            // SAFETY: as the caller's.
            unsafe { self.run_part::<V::Sums, K, P>(input, self.weights.add(part), output.add(part)) }
        }
    }

    #[inline(always)]
    unsafe fn run_part<V: Lanes, const K: usize, const P: usize>(
        &self,
        input: *const f32,
        mut weight: *const f32,
        output: *mut f32,
    ) {
        // SAFETY: as the caller's.
        unsafe {
            let mut sums = [[V::splat(0.0); K]; P];
            for block in 0..self.channels.div_ceil(BLOCK) {
                let from = input.add(block * self.input_block);
                let lanes = BLOCK.min(self.channels - block * BLOCK);
                add_products(&mut sums, from, BLOCK, weight, lanes);
                weight = weight.add(lanes * K * BLOCK);
            }
            for (p, sums) in sums.into_iter().enumerate() {
                for (k, sum) in sums.into_iter().enumerate() {
                    sum.store(output.add(k * self.output_block + p * BLOCK));
                }
            }
        }
    }
}
