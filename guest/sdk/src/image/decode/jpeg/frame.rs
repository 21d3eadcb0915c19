//! [`Frame`] and [`Tables`]: what the segments before a scan say (T.81, annex B).

use super::super::super::filled;
use super::super::corrupt;
use super::bits::{Codes, Reason};
use super::{cosine, standard};
use crate::Failure;

/// Row by row, where the coefficients of a block lie that come along its diagonals (T.81, figure A.6).
pub(super) const DIAGONALS: [u8; 64] = diagonals();

const fn diagonals() -> [u8; 64] {
    let mut out = [0; 64];
    let (mut row, mut column, mut index) = (0i8, 0i8, 0);
    while index < 64 {
        out[index] = (row * 8 + column) as u8;
        let upwards = (row + column) % 2 == 0;
        (row, column) = match (upwards, row, column) {
            (true, _, 7) => (row + 1, column),
            (true, 0, _) => (row, column + 1),
            (true, ..) => (row - 1, column + 1),
            (false, 7, _) => (row, column + 1),
            (false, _, 0) => (row + 1, column),
            (false, ..) => (row + 1, column - 1),
        };
        index += 1;
    }
    out
}

/// A picture's size and components, of which each scan adds to some.
pub(super) struct Frame {
    pub width: usize,
    pub height: usize,
    pub progressive: bool,
    pub components: Vec<Component>,
    /// The largest sampling factors
    pub across: usize,
    pub down: usize,
    /// Units of as many blocks of each component as its sampling factors say
    pub units_across: usize,
    pub units_down: usize,
}

pub(super) struct Component {
    pub id: u8,
    /// Sampling factors, 1 to 4
    pub across: usize,
    pub down: usize,
    /// Samples that the picture needs; whole blocks are coded.
    pub width: usize,
    pub height: usize,
    /// Blocks in a row, up to a whole unit
    pub blocks_across: usize,
    table: usize,
    /// What coefficients were quantised by, row by row, once a scan has begun
    pub steps: Option<[u16; 64]>,
    /// By coefficient, how many of its last bits are to come; all, if there is no bit yet
    pub lacking: [Option<u8>; 64],
    /// All coefficients, where they come in several scans
    pub coefficients: Vec<i16>,
    samples: Vec<u8>,
}

impl Frame {
    /// The size and the number of components, as the header has them: what the limits are about.
    pub(super) fn claims(segment: &[u8]) -> Result<[u16; 3], Failure> {
        let &[precision, h1, h0, w1, w0, components, ..] = segment else {
            return Err(corrupt("JPEG", "its frame header is too short"));
        };
        if precision != 8 {
            return Err(Failure::caller("the JPEG's samples can't be read")
                .expected("8 bits")
                .actual(format!("{precision} bits")));
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err(Failure::caller("the JPEG's components can't be read")
                .expected("1 (grey), 3 (colour) or 4 (CMYK) components")
                .actual(format!("{components} components")));
        }
        Ok([u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]), components.into()])
    }

    /// From the header, whose claims are within the limits.
    pub(super) fn new(segment: &[u8], progressive: bool) -> Result<Self, Failure> {
        let [width, height, count] = Self::claims(segment)?.map(usize::from);
        let described = segment[6..].as_chunks::<3>().0;
        let mut components: Vec<Component> =
            described.iter().take(count).map(|&described| Component::new(described)).collect();
        if components.len() < count {
            return Err(corrupt("JPEG", "its frame header is too short"));
        }
        if let [grey] = components.as_mut_slice() {
            // One component is not sampled beside another.
            (grey.across, grey.down) = (1, 1);
        }
        let mut factors = components.iter().flat_map(|component| [component.across, component.down]);
        if factors.any(|factor| !(1..=4).contains(&factor)) {
            return Err(corrupt("JPEG", "a sampling factor is none of 1 to 4"));
        }
        let largest = |factor: fn(&Component) -> usize| components.iter().map(factor).max().unwrap_or(1);
        let (across, down) = (largest(|component| component.across), largest(|component| component.down));
        let (units_across, units_down) = (width.div_ceil(8 * across), height.div_ceil(8 * down));
        for component in &mut components {
            let factors = [component.across, component.down];
            if !across.is_multiple_of(factors[0]) || !down.is_multiple_of(factors[1]) {
                return Err(Failure::caller("the JPEG's sampling can't be read")
                    .expected(format!("sampling factors that divide the largest, {across} x {down}"))
                    .actual(format!("{} x {}", factors[0], factors[1])));
            }
            component.width = (width * component.across).div_ceil(across);
            component.height = (height * component.down).div_ceil(down);
            component.blocks_across = units_across * component.across;
            let blocks = component.blocks_across * units_down * component.down;
            if progressive {
                component.coefficients = filled(blocks * 64, 0)?;
            } else {
                component.samples = filled(blocks * 64, 0)?;
            }
        }
        Ok(Self { width, height, progressive, components, across, down, units_across, units_down })
    }

    /// Makes samples of what the scans have left as coefficients. Fails where there has been no scan.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        for component in &mut self.components {
            if component.lacking[0].is_none() {
                return Err(corrupt("JPEG", "a component is missing"));
            }
            if self.progressive {
                let coefficients = std::mem::take(&mut component.coefficients);
                component.samples = filled(coefficients.len(), 0)?;
                for (block, coefficients) in coefficients.as_chunks().0.iter().enumerate() {
                    component.draw(block, coefficients);
                }
            }
        }
        Ok(())
    }
}

impl Component {
    fn new([id, factors, table]: [u8; 3]) -> Self {
        Self {
            id,
            across: (factors >> 4).into(),
            down: (factors & 15).into(),
            width: 0,
            height: 0,
            blocks_across: 0,
            table: table.into(),
            steps: None,
            lacking: [None; 64],
            coefficients: Vec::new(),
            samples: Vec::new(),
        }
    }

    /// How many of its blocks a unit has.
    pub(super) fn blocks_in_unit(&self) -> usize {
        self.across * self.down
    }

    /// Keeps the steps that hold as its first scan begins: a later table is for others.
    pub(super) fn begin(&mut self, tables: &Tables) -> Result<(), Reason> {
        let table = tables.steps.get(self.table).copied().flatten();
        self.steps = Some(self.steps.or(table).ok_or("a quantisation table is missing")?);
        Ok(())
    }

    /// Puts the samples of a block in their place; blocks are counted row by row.
    #[inline]
    pub(super) fn draw(&mut self, block: usize, coefficients: &[i16; 64]) {
        let Some(steps) = &self.steps else { return };
        let (row, column) = (block / self.blocks_across, block % self.blocks_across);
        let stride = self.blocks_across * 8;
        let rows = self.samples[row * 8 * stride..].chunks_exact_mut(stride);
        for (row, samples) in rows.zip(cosine::samples(coefficients, steps)) {
            row[column * 8..][..8].copy_from_slice(&samples);
        }
    }

    /// One row of the samples that the picture needs.
    pub(super) fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.blocks_across * 8..][..self.width]
    }
}

/// The tables that hold for the next scan, by their numbers.
pub(super) struct Tables {
    /// Row by row
    steps: [Option<[u16; 64]>; 4],
    /// For first coefficients, and for the others
    pub codes: [[Option<Box<Codes>>; 4]; 2],
    /// In units, 0 for none
    pub restart_interval: usize,
}

impl Tables {
    /// Before any segment.
    pub(super) fn new() -> Self {
        Self { steps: [None; 4], codes: standard::codes(), restart_interval: 0 }
    }

    /// Reads a segment DQT.
    pub(super) fn read_steps(&mut self, mut segment: &[u8]) -> Result<(), Reason> {
        const SHORT: Reason = "a quantisation table is too short";
        while let [kind, rest @ ..] = segment {
            let bytes = if kind >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * bytes).ok_or(SHORT)?;
            let steps =
                self.steps.get_mut(usize::from(kind & 15)).ok_or("a quantisation table has no number")?;
            let mut table = [0; 64];
            for (&place, value) in DIAGONALS.iter().zip(values.chunks_exact(bytes)) {
                table[usize::from(place)] = value.iter().fold(0, |value, &byte| value << 8 | u16::from(byte));
            }
            *steps = Some(table);
            segment = rest;
        }
        Ok(())
    }

    /// Reads a segment DHT.
    pub(super) fn read_codes(&mut self, mut segment: &[u8]) -> Result<(), Reason> {
        const SHORT: Reason = "a Huffman table is too short";
        while let [kind, rest @ ..] = segment {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(count).ok_or(SHORT)?;
            let tables = self.codes.get_mut(usize::from(kind >> 4));
            let codes = tables.and_then(|tables| tables.get_mut(usize::from(kind & 15)));
            let codes = codes.ok_or("a Huffman table has no number")?;
            *codes = Some(Box::new(Codes::new(counts, symbols)?));
            segment = rest;
        }
        Ok(())
    }

    /// Reads a segment DRI.
    pub(super) fn read_restart_interval(&mut self, segment: &[u8]) -> Result<(), Reason> {
        let interval = segment.first_chunk().ok_or("its restart interval is too short")?;
        self.restart_interval = u16::from_be_bytes(*interval).into();
        Ok(())
    }
}
