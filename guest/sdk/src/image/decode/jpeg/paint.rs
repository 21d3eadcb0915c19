//! Planes of components become rows of pixels: chroma in between is interpolated, colours become RGB.
//!
//! Numbers and rounding are those that libjpeg documents as *fancy upsampling* and that JFIF 1.02 gives
//! for colours, so that pixels are the same as those of programs built on it.

use super::super::super::filled;
use super::frame::{Component, Frame};
use crate::Failure;

/// What the components stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    Rgb,
    /// Luma and two chroma
    Ycc,
    /// Cyan, magenta, yellow and black, inverted as Adobe writes them
    Cmyk,
    /// [`Cmyk`](Colours::Cmyk), the complements of the first three as [`Ycc`](Colours::Ycc)
    Ycck,
}

/// The pixels of all rows, grey or RGB.
pub(super) fn pixels(frame: &Frame, colours: Colours, samples: usize) -> Result<Vec<u8>, Failure> {
    let bands = if colours == Colours::Grey { 1 } else { 3 };
    let mut out = filled(samples, 0)?;
    let mut lines: Vec<Line> = frame.components.iter().map(|component| Line::new(frame, component)).collect();
    for (y, row) in out.chunks_exact_mut(frame.width * bands).enumerate() {
        let drawn = lines.iter_mut().zip(&frame.components).map(|(line, component)| line.draw(component, y));
        let drawn: Vec<&[u8]> = drawn.collect();
        match (colours, drawn.as_slice()) {
            (Colours::Rgb | Colours::Cmyk, [red, green, blue, ..]) => interleave(row, [red, green, blue]),
            (Colours::Ycc | Colours::Ycck, [luma, blue, red, ..]) => from_chroma(row, luma, blue, red),
            (_, [grey, ..]) => row.copy_from_slice(&grey[..row.len()]),
            (_, []) => {}
        }
        if let [_, _, _, black] = drawn.as_slice() {
            let inverted = if colours == Colours::Ycck { 255 } else { 0 };
            for (pixel, &black) in row.as_chunks_mut::<3>().0.iter_mut().zip(*black) {
                *pixel = pixel.map(|ink| shaded(ink ^ inverted, black));
            }
        }
    }
    Ok(out)
}

fn interleave(row: &mut [u8], [first, second, third]: [&[u8]; 3]) {
    let pixels = row.as_chunks_mut::<3>().0.iter_mut();
    for (((pixel, &first), &second), &third) in pixels.zip(first).zip(second).zip(third) {
        *pixel = [first, second, third];
    }
}

/// Luma and chroma to RGB with 16 bits behind the point (JFIF 1.02, *Conversion to and from RGB*).
fn from_chroma(row: &mut [u8], luma: &[u8], blue: &[u8], red: &[u8]) {
    const HALF: i32 = 1 << 15;
    const fn fixed(value: f64) -> i32 {
        (value * 65_536.0 + 0.5) as i32
    }
    let pixels = row.as_chunks_mut::<3>().0.iter_mut();
    for (((pixel, &luma), &blue), &red) in pixels.zip(luma).zip(blue).zip(red) {
        let (luma, blue, red) = (i32::from(luma), i32::from(blue) - 128, i32::from(red) - 128);
        *pixel = [
            luma + ((fixed(1.402) * red + HALF) >> 16),
            luma + ((HALF - fixed(0.344_14) * blue - fixed(0.714_14) * red) >> 16),
            luma + ((fixed(1.772) * blue + HALF) >> 16),
        ]
        .map(|value| value.clamp(0, 255) as u8);
    }
}

/// An inverted ink under inverted black: `ink · black / 255`, rounded.
fn shaded(ink: u8, black: u8) -> u8 {
    ((u32::from(ink) * u32::from(black) + 127) / 255) as u8
}

/// One row of a component at the picture's width.
struct Line {
    samples: Vec<u8>,
    /// The rows of the component mixed, times 4 or as they are
    mixed: Vec<u16>,
    across: Ratio,
    down: Ratio,
}

/// How many samples of the picture one of the component stands for, in one direction.
#[derive(Clone, Copy)]
enum Ratio {
    /// Each is repeated this often.
    Repeat(usize),
    /// Two, each 3/4 of the nearer sample and 1/4 of the next.
    Between,
}

impl Line {
    fn new(frame: &Frame, component: &Component) -> Self {
        let (across, down) = (frame.across / component.across, frame.down / component.down);
        // So libjpeg: too narrow is not interpolated, nor is any other ratio than 1:2.
        let narrow = component.width <= 2;
        let (across, down) = match (across, down) {
            (2, 1) if !narrow => (Ratio::Between, Ratio::Repeat(1)),
            (1, 2) => (Ratio::Repeat(1), Ratio::Between),
            (2, 2) if !narrow => (Ratio::Between, Ratio::Between),
            (across, down) => (Ratio::Repeat(across), Ratio::Repeat(down)),
        };
        let width = frame.across / component.across * component.width;
        Self { samples: vec![0; width], mixed: vec![0; component.width], across, down }
    }

    /// What row `y` of the picture needs of the component.
    fn draw<'a>(&'a mut self, component: &'a Component, y: usize) -> &'a [u8] {
        let (near, next) = match self.down {
            Ratio::Repeat(times) => (y / times, y / times),
            Ratio::Between if y.is_multiple_of(2) => (y / 2, (y / 2).saturating_sub(1)),
            Ratio::Between => (y / 2, (y / 2 + 1).min(component.height - 1)),
        };
        let (near, next) = (component.row(near), component.row(next));
        match (self.across, self.down) {
            (Ratio::Repeat(1), Ratio::Repeat(_)) => return near,
            (Ratio::Repeat(times), Ratio::Repeat(_)) => {
                for (samples, &sample) in self.samples.chunks_exact_mut(times).zip(near) {
                    samples.fill(sample);
                }
            }
            (Ratio::Repeat(_), Ratio::Between) => {
                // Rounded down above a sample's middle, up below it.
                let half = 1 + (y % 2) as u16;
                for ((sample, &near), &next) in self.samples.iter_mut().zip(near).zip(next) {
                    *sample = ((3 * u16::from(near) + u16::from(next) + half) >> 2) as u8;
                }
            }
            (Ratio::Between, Ratio::Repeat(_)) => {
                for (mixed, &near) in self.mixed.iter_mut().zip(near) {
                    *mixed = near.into();
                }
                between::<2>(&mut self.samples, &self.mixed, [1, 2]);
            }
            (Ratio::Between, Ratio::Between) => {
                for ((mixed, &near), &next) in self.mixed.iter_mut().zip(near).zip(next) {
                    *mixed = 3 * u16::from(near) + u16::from(next);
                }
                between::<4>(&mut self.samples, &self.mixed, [8, 7]);
            }
        }
        &self.samples
    }
}

/// Two samples of each, 3/4 of it and 1/4 of its neighbour on that side; `halves` are added before the last
/// `BITS` are dropped, one for the left and one for the right.
fn between<const BITS: u32>(out: &mut [u8], mixed: &[u16], halves: [u16; 2]) {
    let side = |near: u16, next: u16, half: u16| ((3 * near + next + half) >> BITS) as u8;
    let pairs = out.as_chunks_mut::<2>().0;
    let last = mixed.len() - 1;
    let [left, right] = halves;
    pairs[0] = [side(mixed[0], mixed[0], left), side(mixed[0], mixed[1], right)];
    for (pair, around) in pairs[1..last].iter_mut().zip(mixed.windows(3)) {
        *pair = [side(around[1], around[0], left), side(around[1], around[2], right)];
    }
    pairs[last] = [side(mixed[last], mixed[last - 1], left), side(mixed[last], mixed[last], right)];
}
