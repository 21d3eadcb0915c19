//! [`Dense`]: a convolution over all channels (of its group), directly on blocked channels.
//!
//! A tile of up to four blocks of output channels times some neighbouring pixels of one row stays in registers; each
//! input value is spread over all lanes and multiplied by sixteen channels' weights at a time, which lie in memory in
//! the order they are used. Where a tile's kernel reaches over the left or right edge, its rows are copied beside zeros
//! first; rows above and below are left out. The loops go round so that what is read again is still in the cache.
#![allow(unsafe_code, reason = "the kernels read and write through pointers, see `lanes`")]

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{BLOCK, Isa, Lanes, Plain, add_products};
use super::map::{Operands, Program};
use super::shape::{Axis, Shape, Window};

/// Bytes of weights that a tile walks over before it moves on: they are read once per strip of pixels, so they and the
/// rows of input beneath should stay in the first cache.
const WEIGHT_BYTES: usize = 24 << 10;
/// Bytes of input that all output channels walk over before the next.
const INPUT_BYTES: usize = 256 << 10;
/// Pixels after which a row is cut, and which a row of a convolution without neighbours has.
const ROW: usize = 96;

pub(super) struct Dense {
    isa: Isa,
    input: Shape,
    output: Shape,
    window: Window,
    groups: usize,
    tiles: Vec<Tile>,
    /// Per group and tile: `[C / 16, ky, kx, lane, 16 * blocks]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// Floats of weights of a group.
    group: usize,
    /// Input blocks of a group.
    blocks: usize,
    /// Channels of a group's last input block.
    last: usize,
    place: Place,
    gathered: Option<Gathered>,
    segments: Vec<Segment>,
    /// Segments for which all output channels are computed before the next.
    band: usize,
    /// Input blocks summed before the next segment.
    chunk: usize,
}

/// Where the outputs go: all of them, or every n-th of rows and columns.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub y: usize,
    pub x: usize,
    pub step_y: usize,
    pub step_x: usize,
}

impl Place {
    pub(super) const WHOLE: Self = Self { y: 0, x: 0, step_y: 1, step_x: 1 };
}

/// An input of which only every n-th pixel is read, and those without neighbours: they are put side by side first.
struct Gathered {
    from: Shape,
    window: Window,
}

impl Gathered {
    /// # Safety
    ///
    /// `input` has a picture of `from`, `output` the pixels that are read.
    unsafe fn gather(&self, input: *const f32, mut output: *mut f32, blocks: usize) {
        let (Window { y, x }, pixel) = (&self.window, self.from.pixel());
        for block in 0..blocks {
            for row in 0..y.output {
                let line = block * self.from.plane() + row * y.stride * self.from.w * pixel;
                for column in 0..x.output {
                    // SAFETY: the window has no zeros around it, so that each of its pixels is the input's.
                    unsafe {
                        let from = input.add(line + column * x.stride * pixel);
                        output.copy_from_nonoverlapping(from, pixel);
                        output = output.add(pixel);
                    }
                }
            }
        }
    }
}

/// How many groups are computed as one, with zeros between them, so that each begins with a block of channels: the
/// fewest, or all. `inputs` and `outputs` of one group.
pub(super) fn joined(groups: usize, inputs: usize, outputs: usize) -> usize {
    let begins = |channels: usize| channels.is_multiple_of(BLOCK);
    let fits = |n: &usize| groups.is_multiple_of(*n) && begins(n * inputs) && begins(n * outputs);
    (1..=BLOCK).find(fits).unwrap_or(groups)
}

/// Neighbouring blocks of output channels.
#[derive(Clone, Copy)]
struct Tile {
    first: usize,
    blocks: usize,
    weights: usize,
}

/// Neighbouring pixels of one output row.
#[derive(Clone, Copy)]
struct Segment {
    y: usize,
    x: usize,
    length: usize,
}

/// Weights as ONNX has them, `[outputs, inputs / groups, kernel y, kernel x]`, and per output what they are multiplied by
/// and a bias.
pub(super) struct Weights<'a> {
    pub values: &'a [f32],
    pub factors: &'a [f32],
    pub bias: &'a [f32],
    pub groups: usize,
}

impl Dense {
    /// `window` in outputs of this convolution, which are `place`d in `output`.
    pub(super) fn new(
        isa: Isa,
        mut input: Shape,
        output: Shape,
        mut window: Window,
        place: Place,
        weights: &Weights,
    ) -> Self {
        let (c, o) = (input.c / weights.groups, output.c / weights.groups);
        let together = joined(weights.groups, c, o);
        let groups = weights.groups / together;
        let (own_c, own_o) = (c, o);
        let (c, o) = (c * together, o * together);
        let taps = window.y.kernel * window.x.kernel;
        let (kernel_y, kernel_x) = (window.y.kernel, window.x.kernel);
        let alone = |a: &Axis| a.kernel == 1 && a.pad == 0 && (a.output - 1) * a.stride < a.input;
        let whole = place.step_y == 1 && place.step_x == 1;
        let mut gathered = None;
        if whole && alone(&window.y) && alone(&window.x) {
            // No pixel has neighbours, so that the picture is one row, of those pixels that are read at all.
            if (window.y.output, window.x.output) != (input.h, input.w) {
                gathered = Some(Gathered { from: input, window });
            }
            (input.h, input.w) = (1, window.y.output * window.x.output);
            let row = |length| Axis { stride: 1, dilation: 1, input: length, output: length, ..window.x };
            window = Window { y: row(1), x: row(input.w) };
        }
        let lanes = input.pixel();
        let blocks = if groups == 1 { input.blocks() } else { c / BLOCK };
        let last = c - (blocks - 1) * lanes;

        let mut tiles = Vec::new();
        let mut packed = Vec::with_capacity(o.next_multiple_of(BLOCK) * c * taps * groups);
        let out_blocks = o.div_ceil(BLOCK);
        let count = out_blocks.div_ceil(widest(isa));
        for group in 0..groups {
            let mut first = 0;
            for at in 0..count {
                let wide = (out_blocks - first).div_ceil(count - at);
                if group == 0 {
                    tiles.push(Tile { first, blocks: wide, weights: packed.len() });
                }
                for ic in (0..blocks).map(|b| b * lanes) {
                    for tap in 0..taps {
                        for i in ic..(ic + lanes).min(c) {
                            packed.extend((first * BLOCK..(first + wide) * BLOCK).map(|oc| {
                                // The groups that are computed as one share no weights.
                                if oc >= o || oc / own_o != i / own_c {
                                    return 0.0;
                                }
                                let oc = group * o + oc;
                                weights.values[(oc * own_c + i % own_c) * taps + tap] * weights.factors[oc]
                            }));
                        }
                    }
                }
                first += wide;
            }
        }
        let mut bias = weights.bias.to_vec();
        bias.resize(output.blocks() * BLOCK, 0.0);

        let segments: Vec<Segment> = (0..window.y.output)
            .flat_map(|y| {
                let parts = window.x.output.div_ceil(ROW).max(1);
                let starts = (0..=parts).map(move |i| window.x.output * i / parts).collect::<Vec<_>>();
                (0..parts).map(move |i| Segment { y, x: starts[i], length: starts[i + 1] - starts[i] })
            })
            .filter(|s| s.length > 0)
            .collect();
        let tile_bytes = 4 * kernel_y * kernel_x * BLOCK * BLOCK * widest(isa);
        let chunk = (WEIGHT_BYTES / tile_bytes.max(1)).clamp(1, blocks);
        let chunk = blocks.div_ceil(blocks.div_ceil(chunk));
        // Either all weights are walked over once per band, or the input once per tile: what moves fewer bytes.
        let input_bytes = 4 * blocks * input.plane();
        let bands = input_bytes.div_ceil(INPUT_BYTES).clamp(1, segments.len().max(1));
        let weights_again = 4 * packed.len() / groups * (bands - 1);
        let input_again = input_bytes * (count - 1);
        let band = if weights_again < input_again { segments.len().div_ceil(bands) } else { segments.len() };
        let group = packed.len() / groups;
        Self {
            isa,
            input,
            output,
            window,
            groups,
            tiles,
            weights: packed,
            bias,
            group,
            blocks,
            last,
            place,
            gathered,
            segments,
            band: band.max(1),
            chunk,
        }
    }

    /// Floats of `scratch` that [`Dense::run`] needs.
    pub(super) fn scratch(&self) -> usize {
        if self.gathered.is_some() {
            return self.blocks * self.groups * self.input.plane();
        }
        let x = &self.window.x;
        let inner = x.inner();
        if inner == (0, x.output) {
            return 0;
        }
        self.chunk * self.window.y.kernel * self.columns(pixels(self.isa, 1)) * self.input.pixel()
    }

    /// Input columns under `pixels` outputs.
    fn columns(&self, pixels: usize) -> usize {
        let x = &self.window.x;
        (pixels - 1) * x.stride + (x.kernel.max(1) - 1) * x.dilation + 1
    }

    /// # Safety
    ///
    /// `input`, `output` and `scratch` have the floats of their shapes; `operands` those of `program`.
    pub(super) unsafe fn run(
        &self,
        input: *const f32,
        output: *mut f32,
        scratch: *mut f32,
        program: &Program,
        operands: &Operands,
    ) {
        let out_blocks = self.output.blocks();
        let group_blocks = out_blocks / self.groups;
        for n in 0..self.input.n {
            let blocks = self.blocks * self.groups;
            let input = match &self.gathered {
                // SAFETY: within the shapes; the scratch has room for one picture.
                Some(gathered) => unsafe {
                    gathered.gather(input.add(n * blocks * gathered.from.plane()), scratch, blocks);
                    scratch.cast_const()
                },
                // SAFETY: within the shapes.
                None => unsafe { input.add(n * blocks * self.input.plane()) },
            };
            for group in 0..self.groups {
                // SAFETY: within the shapes.
                let (input, weights) = unsafe {
                    (
                        input.add(group * self.blocks * self.input.plane()),
                        self.weights.as_ptr().add(group * self.group),
                    )
                };
                for band in self.segments.chunks(self.band) {
                    for tile in &self.tiles {
                        let channel = group * group_blocks + tile.first;
                        // SAFETY: within the shapes.
                        let output = unsafe { output.add((n * out_blocks + channel) * self.output.plane()) };
                        // SAFETY: as the caller's.
                        unsafe { self.tile(band, tile, channel, input, weights, output, scratch) };
                        if program.is_empty() {
                            continue;
                        }
                        for segment in band {
                            for block in 0..tile.blocks {
                                let at = (segment.y * self.window.x.output + segment.x) * BLOCK;
                                // SAFETY: within the shapes; a program is given only where the place is the whole.
                                unsafe {
                                    let row = output.add(block * self.output.plane() + at);
                                    program.run(
                                        self.isa,
                                        row,
                                        row,
                                        segment.length,
                                        operands.at(n, channel + block, at),
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the loop's state")]
    unsafe fn tile(
        &self,
        band: &[Segment],
        tile: &Tile,
        channel: usize,
        input: *const f32,
        weights: *const f32,
        output: *mut f32,
        scratch: *mut f32,
    ) {
        let Window { y, x } = &self.window;
        let pixel = self.input.pixel();
        let width = tile.blocks * BLOCK;
        let block_weights = y.kernel * x.kernel * pixel * width;
        let widest = pixels(self.isa, tile.blocks);
        for from in (0..self.blocks).step_by(self.chunk) {
            let to = (from + self.chunk).min(self.blocks);
            let last = if to == self.blocks { self.last } else { pixel };
            for segment in band {
                let (top, bottom) = if x.kernel == 0 { (0, 0) } else { y.taps(segment.y) };
                let row = y.first(segment.y) + (top * y.dilation) as isize;
                let strips = segment.length.div_ceil(widest);
                for strip in 0..strips {
                    let start = segment.length * strip / strips;
                    let count = segment.length * (strip + 1) / strips - start;
                    let left = x.first(segment.x + start);
                    let columns = self.columns(count);
                    let inside = left >= 0 && left as usize + columns <= x.input;
                    // SAFETY: the rows are those that lie on the input, and so are the columns; where they don't,
                    // they are copied to the scratch, which has room for the widest strip.
                    unsafe {
                        let (source, plane, line) = if inside || top == bottom {
                            // Without a row nothing is read.
                            let at =
                                if top == bottom { 0 } else { row as usize * x.input + left.max(0) as usize };
                            (
                                input.add(from * self.input.plane() + at * pixel),
                                self.input.plane(),
                                x.input * pixel,
                            )
                        } else {
                            let line = columns * pixel;
                            for block in from..to {
                                for tap in top..bottom {
                                    let from_row = row as usize + (tap - top) * y.dilation;
                                    let source =
                                        input.add(block * self.input.plane() + from_row * x.input * pixel);
                                    let target =
                                        scratch.add(((block - from) * (bottom - top) + tap - top) * line);
                                    beside_zeros(source, target, left, columns, x.input, pixel);
                                }
                            }
                            (scratch.cast_const(), (bottom - top) * line, line)
                        };
                        let dilated = if inside || top == bottom { line * y.dilation } else { line };
                        let place = &self.place;
                        let at = (place.y + segment.y * place.step_y) * self.output_width()
                            + place.x
                            + (segment.x + start) * place.step_x;
                        let strip = Strip {
                            input: source,
                            weights: weights
                                .add(tile.weights + from * block_weights + top * x.kernel * pixel * width),
                            bias: self.bias.as_ptr().add(channel * BLOCK),
                            output: output.add(at * BLOCK),
                            begins: from == 0,
                            blocks: to - from,
                            lanes: pixel,
                            last,
                            rows: bottom - top,
                            columns: x.kernel,
                            input_block: plane,
                            input_row: dilated,
                            input_column: x.dilation * pixel,
                            input_pixel: x.stride * pixel,
                            weights_block: block_weights,
                            weights_skipped: top * x.kernel * width,
                            weights_row: x.kernel * width,
                            output_block: self.output.plane(),
                            output_pixel: place.step_x * BLOCK,
                        };
                        kernel(self.isa, tile.blocks, count, strip.input_pixel)(&strip);
                    }
                }
            }
        }
    }

    fn output_width(&self) -> usize {
        // A flattened convolution has one row, so that only its column counts.
        self.output.w
    }
}

/// Copies `columns` pixels of a row from column `left` on, zeros where there are none.
unsafe fn beside_zeros(
    row: *const f32,
    to: *mut f32,
    left: isize,
    columns: usize,
    width: usize,
    pixel: usize,
) {
    let before = (-left).clamp(0, columns as isize) as usize;
    let past = (width as isize - left).clamp(before as isize, columns as isize) as usize;
    // SAFETY: before <= past <= columns, and the columns between are on the row.
    unsafe {
        to.write_bytes(0, before * pixel);
        if past > before {
            let from = row.add((left + before as isize) as usize * pixel);
            to.add(before * pixel).copy_from_nonoverlapping(from, (past - before) * pixel);
        }
        to.add(past * pixel).write_bytes(0, (columns - past) * pixel);
    }
}

/// What one call of a kernel computes: some pixels of one row, of one tile of channels.
struct Strip {
    input: *const f32,
    weights: *const f32,
    bias: *const f32,
    output: *mut f32,
    /// Starts from the bias rather than from what the output holds.
    begins: bool,
    blocks: usize,
    /// Channels of every input block but the last, and of the last.
    lanes: usize,
    last: usize,
    rows: usize,
    columns: usize,
    input_block: usize,
    input_row: usize,
    input_column: usize,
    input_pixel: usize,
    weights_block: usize,
    /// Per lane: of rows above the input, which are left out.
    weights_skipped: usize,
    weights_row: usize,
    output_block: usize,
    output_pixel: usize,
}

type Kernel = unsafe fn(&Strip);

/// Blocks of output channels in the widest tile: as many as leave registers for the pixels.
fn widest(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => 4,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => 1,
        #[cfg(all(target_family = "wasm", target_feature = "simd128"))]
        Isa::Simd128 => 1,
        Isa::Plain => 1,
    }
}

/// Pixels of the widest strip of a tile of so many blocks.
fn pixels(isa: Isa, blocks: usize) -> usize {
    match (isa, blocks) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, 1) => 14,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, 2) => 12,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, 3) => 8,
        #[cfg(all(target_family = "wasm", target_feature = "simd128"))]
        (Isa::Simd128, _) => 4,
        _ => 6,
    }
}

/// `S` is the distance of two input pixels in floats, where known: 16 or 32.
#[inline(always)]
unsafe fn dense<V: Lanes, const K: usize, const P: usize, const S: usize>(strip: &Strip) {
    for part in (0..BLOCK).step_by(V::Sums::WIDTH) {
        // SAFETY: as the caller's.
        unsafe { dense_part::<V::Sums, K, P, S>(strip, part) }
    }
}

/// Of the outputs from lane `part` of each block on.
#[inline(always)]
unsafe fn dense_part<V: Lanes, const K: usize, const P: usize, const S: usize>(strip: &Strip, part: usize) {
    let pixel = if S == 0 { strip.input_pixel } else { S };
    let output = strip.output.wrapping_add(part);
    // SAFETY: the strip's pointers and distances stay within their shapes.
    unsafe {
        let mut sums = [[V::splat(0.0); K]; P];
        for (p, sums) in sums.iter_mut().enumerate() {
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum = if strip.begins {
                    V::load(strip.bias.add(k * BLOCK + part))
                } else {
                    V::load(output.add(k * strip.output_block + p * strip.output_pixel))
                };
            }
        }
        for block in 0..strip.blocks {
            let lanes = if block + 1 == strip.blocks { strip.last } else { strip.lanes };
            // The last block may have fewer lanes, and its rows of weights are shorter then.
            let weights = strip.weights.add(block * strip.weights_block + part);
            let weights = weights.sub(strip.weights_skipped * (strip.lanes - lanes));
            for row in 0..strip.rows {
                let mut input = strip.input.add(block * strip.input_block + row * strip.input_row);
                let mut weight = weights.add(row * strip.weights_row * lanes);
                for _ in 0..strip.columns {
                    add_products(&mut sums, input, pixel, weight, lanes);
                    weight = weight.add(lanes * K * BLOCK);
                    input = input.add(strip.input_column);
                }
            }
        }
        for (p, sums) in sums.into_iter().enumerate() {
            for (k, sum) in sums.into_iter().enumerate() {
                sum.store(output.add(k * strip.output_block + p * strip.output_pixel));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const K: usize, const P: usize, const S: usize>(strip: &Strip) {
    // SAFETY: as the caller's; the feature is enabled here.
    unsafe { dense::<Avx512, K, P, S>(strip) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const K: usize, const P: usize, const S: usize>(strip: &Strip) {
    // SAFETY: as the caller's; the features are enabled here.
    unsafe { dense::<Avx2, K, P, S>(strip) }
}

#[cfg(all(target_family = "wasm", target_feature = "simd128"))]
unsafe fn simd128<const K: usize, const P: usize, const S: usize>(strip: &Strip) {
    // SAFETY: as the caller's.
    unsafe { dense::<super::lanes::Simd128<4>, K, P, S>(strip) }
}

unsafe fn plain<const K: usize, const P: usize, const S: usize>(strip: &Strip) {
    // SAFETY: as the caller's.
    unsafe { dense::<Plain, K, P, S>(strip) }
}

fn kernel(isa: Isa, blocks: usize, pixels: usize, distance: usize) -> Kernel {
    macro_rules! table {
        ($of:ident, $s:literal: $($k:literal => $($p:literal)*;)*) => {
            match (blocks, pixels) {
                $($(($k, $p) => $of::<$k, $p, $s>,)*)*
                _ => unreachable!("a strip is cut to at most {} pixels", self::pixels(isa, blocks)),
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    macro_rules! wide {
        ($s:literal) => {
            table!(avx512, $s:
                1 => 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
                2 => 1 2 3 4 5 6 7 8 9 10 11 12;
                3 => 1 2 3 4 5 6 7 8;
                4 => 1 2 3 4 5 6;
            )
        };
    }
    match (isa, distance) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, BLOCK) => wide!(16),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, 32) => wide!(32),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512, _) => wide!(0),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, BLOCK) => table!(avx2, 16: 1 => 1 2 3 4 5 6;),
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, _) => table!(avx2, 0: 1 => 1 2 3 4 5 6;),
        #[cfg(all(target_family = "wasm", target_feature = "simd128"))]
        (Isa::Simd128, BLOCK) => table!(simd128, 16: 1 => 1 2 3 4;),
        #[cfg(all(target_family = "wasm", target_feature = "simd128"))]
        (Isa::Simd128, _) => table!(simd128, 0: 1 => 1 2 3 4;),
        (Isa::Plain, _) => table!(plain, 0: 1 => 1 2 3 4 5 6;),
    }
}
