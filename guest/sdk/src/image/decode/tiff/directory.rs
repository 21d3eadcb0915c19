//! [`Directory`]: the fields of a file's first page.

use super::super::corrupt;
use crate::Failure;

/// The fields that are read: TIFF 6.0, appendix A; supplement 1 for 317; SampleFormat §19.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u16)]
pub(super) enum Tag {
    Width = 256,
    Height = 257,
    BitsPerSample = 258,
    Compression = 259,
    Photometric = 262,
    FillOrder = 266,
    StripOffsets = 273,
    Orientation = 274,
    Bands = 277,
    RowsPerStrip = 278,
    StripByteCounts = 279,
    PlanarConfiguration = 284,
    Predictor = 317,
    TileWidth = 322,
    TileHeight = 323,
    TileOffsets = 324,
    TileByteCounts = 325,
    SampleFormat = 339,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    Little,
    Big,
}

/// The first directory. No offset is followed but that of the directory and of its fields'
/// values, each once, so that a file can't send the reader in circles.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    pub order: Order,
    big: bool,
    entries: &'a [u8],
}

impl<'a> Directory<'a> {
    pub fn first(bytes: &'a [u8]) -> Result<Self, Failure> {
        let (order, big) = match bytes {
            [b'I', b'I', 42, 0, ..] => (Order::Little, false),
            [b'M', b'M', 0, 42, ..] => (Order::Big, false),
            [b'I', b'I', 43, 0, 8, 0, 0, 0, ..] => (Order::Little, true),
            [b'M', b'M', 0, 43, 0, 8, 0, 0, ..] => (Order::Big, true),
            _ => return Err(corrupt("TIFF", "its header is none")),
        };
        let mut this = Self { bytes, order, big, entries: &[] };
        let (at, count_bytes) = if big { (this.number(8, 8)?, 8) } else { (this.number(4, 4)?, 2) };
        let count = this.number(at, count_bytes)?;
        let len = count.checked_mul(this.entry_bytes()).ok_or_else(outside)?;
        let start = at.checked_add(count_bytes).ok_or_else(outside)?;
        this.entries = this.slice(start, len)?;
        Ok(this)
    }

    pub fn has(&self, tag: Tag) -> bool {
        self.find(tag).is_some()
    }

    /// All values of a field of whole numbers.
    pub fn values(&self, tag: Tag) -> Result<Vec<u64>, Failure> {
        let entry = self.find(tag).ok_or_else(|| corrupt("TIFF", format!("it has no field {tag:?}")))?;
        let width = match self.decoded(&entry[2..4]) {
            1 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            kind => return Err(corrupt("TIFF", format!("its field {tag:?} has type {kind}"))),
        };
        let inline = if self.big { &entry[12..] } else { &entry[8..] };
        let count = self.decoded(if self.big { &entry[4..12] } else { &entry[4..8] });
        let len = count.checked_mul(width).ok_or_else(outside)?;
        let held = match usize::try_from(len).ok().and_then(|len| inline.get(..len)) {
            Some(held) => held,
            None => self.slice(self.decoded(inline), len)?,
        };
        Ok(held.chunks_exact(width as usize).map(|value| self.decoded(value)).collect())
    }

    /// The first value of a field that must be there.
    pub fn value(&self, tag: Tag) -> Result<u64, Failure> {
        let values = self.values(tag)?;
        values.first().copied().ok_or_else(|| corrupt("TIFF", format!("its field {tag:?} is empty")))
    }

    /// The first value of a field, or what the specification sets where it is missing.
    pub fn value_or(&self, tag: Tag, default: u64) -> Result<u64, Failure> {
        if self.has(tag) { self.value(tag) } else { Ok(default) }
    }

    /// The one value that a field states for every band.
    pub fn same_value_or(&self, tag: Tag, default: u64) -> Result<u64, Failure> {
        if !self.has(tag) {
            return Ok(default);
        }
        let values = self.values(tag)?;
        let first = self.value(tag)?;
        if values.iter().all(|&value| value == first) {
            return Ok(first);
        }
        Err(Failure::caller("the TIFF's bands can't be read")
            .expected(format!("one value of {tag:?} for all bands"))
            .actual(format!("{:?}", &values[..values.len().min(8)])))
    }

    fn find(&self, tag: Tag) -> Option<&'a [u8]> {
        // The size of an entry is 12 or 20.
        let mut entries = self.entries.chunks_exact(self.entry_bytes() as usize);
        entries.find(|entry| self.decoded(&entry[..2]) == tag as u64)
    }

    fn entry_bytes(&self) -> u64 {
        if self.big { 20 } else { 12 }
    }

    fn number(&self, at: u64, len: u64) -> Result<u64, Failure> {
        self.slice(at, len).map(|bytes| self.decoded(bytes))
    }

    fn decoded(&self, bytes: &[u8]) -> u64 {
        let append = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        match self.order {
            Order::Big => bytes.iter().fold(0, append),
            Order::Little => bytes.iter().rev().fold(0, append),
        }
    }

    fn slice(&self, at: u64, len: u64) -> Result<&'a [u8], Failure> {
        let end = at.checked_add(len).ok_or_else(outside)?;
        let (at, end) = usize::try_from(at).ok().zip(usize::try_from(end).ok()).ok_or_else(outside)?;
        self.bytes.get(at..end).ok_or_else(outside)
    }
}

fn outside() -> Failure {
    corrupt("TIFF", "a field or directory lies beyond its end")
}
