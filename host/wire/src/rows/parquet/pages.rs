//! A look at a Parquet file's footer and page headers before they are believed: the library that
//! reads them makes room for the sizes that they claim.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;

use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaDataReader};

use super::{guarded, not_parquet};
use crate::Refusal;
use crate::rows::{Bounds, RowsError, broken};

/// Bytes of the footer: the schema and the place of every column chunk.
const MAX_FOOTER_BYTES: u64 = 64 << 20;

/// Groups within groups; the library calls itself for each.
const MAX_DEPTH: usize = 64;

/// Bytes of a page when it is unpacked. Writers make pages of about 1 MiB, but one value may need more.
const MIN_PAGE_BYTES: usize = 16 << 20;

/// Bytes that a page's header is looked for in; statistics may stand in it.
const HEADER_BYTES: usize = 64 << 10;

/// Bytes that the columns of some rows may take when they are unpacked.
const ROWS_BYTES: u64 = 32 << 20;

/// Checks that the file is whole and that no page claims more than a row may have, or 16 MiB. Gives
/// how many rows may be read at one time.
pub(super) fn check(file: &File, bounds: Bounds) -> Result<usize, RowsError> {
    let max_bytes = bounds.row_bytes.max(MIN_PAGE_BYTES);
    let bytes = file.metadata().map_err(RowsError::Read)?.len();
    let mut end = [0; 8];
    if bytes < 12 {
        return Err(not_parquet(&format!("expected 12 bytes or more, got {bytes}")));
    }
    read_exact(file, &mut end, bytes - 8)?;
    let (length, mark) = end.split_at(4);
    if mark != b"PAR1" {
        let got = mark.escape_ascii().to_string();
        return Err(not_parquet(&format!(
            "expected PAR1 at its end, got \"{got}\" (cut, or another format)"
        )));
    }
    let length = u64::from(u32::from_le_bytes(length.try_into().expect("four bytes")));
    if length > MAX_FOOTER_BYTES.min(bytes - 12) {
        let most = MAX_FOOTER_BYTES.min(bytes - 12);
        return Err(not_parquet(&format!("expected a footer of at most {most} bytes, got {length}")));
    }
    let mut footer = vec![0; usize::try_from(length).unwrap_or(0)];
    read_exact(file, &mut footer, bytes - 8 - length)?;
    check_depth(&footer).ok_or_else(|| not_parquet(&"its footer is damaged"))??;
    let metadata = guarded(|| ParquetMetaDataReader::decode_metadata(&footer))?;
    let mut most = 1;
    for (group, row_group) in metadata.row_groups().iter().enumerate() {
        let rows = u64::try_from(row_group.num_rows()).unwrap_or(0).max(1);
        let mut row_bytes = 0u64;
        for column in row_group.columns() {
            let column_bytes = check_chunk(file, column, rows, bytes - 8 - length, max_bytes).map_err(
                |cause| match cause {
                    RowsError::Broken(refusal) => {
                        let path = column.column_path().string();
                        broken(format!("row group {group}, column {path:?}: {}", refusal.why)).into()
                    }
                    read => read,
                },
            )?;
            row_bytes = row_bytes.saturating_add(column_bytes);
        }
        if row_bytes > max_bytes as u64 * 8 {
            let why = format!(
                "row group {group}: expected rows of at most {} bytes, got {row_bytes}",
                max_bytes * 8
            );
            return Err(broken(why).into());
        }
        most = most.max(row_bytes);
    }
    Ok(usize::try_from(ROWS_BYTES / most).unwrap_or(usize::MAX).clamp(1, bounds.rows))
}

/// Walks the pages of one column chunk; gives the most bytes that a row of it takes. Where a row is a
/// list, pages don't tell where it ends: then the mean is taken.
fn check_chunk(
    file: &File,
    column: &ColumnChunkMetaData,
    rows: u64,
    data_end: u64,
    max_bytes: usize,
) -> Result<u64, RowsError> {
    let start = match column.dictionary_page_offset() {
        Some(offset) if offset > 0 => offset.min(column.data_page_offset()),
        _ => column.data_page_offset(),
    };
    let (Ok(start), Ok(size)) = (u64::try_from(start), u64::try_from(column.compressed_size())) else {
        return Err(broken("expected an offset and a size, got a negative number".to_owned()).into());
    };
    let Some(end) = start.checked_add(size).filter(|end| *end <= data_end) else {
        let why = format!("expected its {size} bytes from {start} within the file's {data_end}");
        return Err(broken(why).into());
    };
    if let Compression::LZO | Compression::LZ4 = column.compression() {
        let why = format!("pages packed by {} are not supported", column.compression());
        return Err(broken(why).into());
    }
    let mut at = start;
    let mut buffer = Vec::new();
    let lists = column.column_descr().max_rep_level() > 0;
    let (mut row_bytes, mut all_bytes) = (0u64, 0u64);
    while at < end {
        let room = (end - at).min(HEADER_BYTES as u64);
        buffer.resize(usize::try_from(room).unwrap_or(HEADER_BYTES), 0);
        read_exact(file, &mut buffer, at)?;
        let damaged = || -> Refusal { broken(format!("the page at byte {at} has no header")) };
        let page = PageHeader::read(&buffer).ok_or_else(damaged)?;
        let (Ok(packed), Ok(unpacked)) = (u64::try_from(page.packed), usize::try_from(page.unpacked)) else {
            return Err(broken(format!("the page at byte {at} has a negative size")).into());
        };
        let data = at + page.header as u64;
        if packed > end - data {
            let why = format!("the page at byte {at}: expected at most {} bytes, got {packed}", end - data);
            return Err(broken(why).into());
        }
        if unpacked > max_bytes || packed > max_bytes as u64 {
            let why = format!(
                "the page at byte {at}: expected at most {max_bytes} bytes, got {}",
                packed.max(unpacked as u64)
            );
            return Err(broken(why).into());
        }
        check_unpacked(file, column.compression(), (at, data, packed), unpacked)?;
        if let Some(values) = page.values {
            let bytes = (unpacked as u64).max(values.saturating_mul(VALUE_BYTES));
            row_bytes = row_bytes.max(bytes.div_ceil(values.max(1)));
            all_bytes = all_bytes.saturating_add(bytes);
        }
        at = data + packed;
    }
    Ok(if lists { all_bytes.div_ceil(rows) } else { row_bytes })
}

/// What a value takes in memory at least, its levels included.
const VALUE_BYTES: u64 = 8;

/// The sizes of codecs that unpack without end are counted.
fn check_unpacked(
    file: &File,
    codec: Compression,
    (at, data, packed): (u64, u64, u64),
    unpacked: usize,
) -> Result<(), RowsError> {
    if !matches!(codec, Compression::GZIP(_) | Compression::BROTLI(_)) {
        return Ok(());
    }
    let mut bytes = vec![0; usize::try_from(packed).unwrap_or(0)];
    read_exact(file, &mut bytes, data)?;
    let mut sink = std::io::sink();
    let limit = unpacked as u64 + 1;
    // A page of the second layout begins with levels that are not packed: the reader tells what is wrong.
    let count = match codec {
        Compression::GZIP(_) => {
            std::io::copy(&mut flate2::read::MultiGzDecoder::new(bytes.as_slice()).take(limit), &mut sink)
        }
        _ => std::io::copy(&mut brotli::Decompressor::new(bytes.as_slice(), 4096).take(limit), &mut sink),
    };
    match count {
        Ok(count) if count > unpacked as u64 => {
            Err(broken(format!("the page at byte {at}: expected {unpacked} bytes unpacked, got more")).into())
        }
        _ => Ok(()),
    }
}

fn read_exact(file: &File, into: &mut [u8], at: u64) -> Result<(), RowsError> {
    file.read_exact_at(into, at).map_err(|cause| match cause.kind() {
        std::io::ErrorKind::UnexpectedEof => not_parquet(&"the file ends too early"),
        _ => RowsError::Read(cause),
    })
}

/// What a page header claims; `parquet.thrift`, `PageHeader`.
struct PageHeader {
    /// Bytes of the header itself.
    header: usize,
    unpacked: i64,
    packed: i64,
    /// How many values are in it, unless they are a dictionary.
    values: Option<u64>,
}

impl PageHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut thrift = Thrift { bytes, at: 0 };
        let (mut unpacked, mut packed, mut values) = (None, None, None);
        thrift.structure(0, |thrift, id, kind, depth| {
            match (id, kind) {
                (2, INTEGER) => unpacked = Some(thrift.zigzag()?),
                (3, INTEGER) => packed = Some(thrift.zigzag()?),
                // The headers of data pages of the first and the second layout begin with that number.
                (5 | 8, STRUCT) => thrift.structure(depth, |thrift, id, kind, depth| {
                    if (id, kind) == (1, INTEGER) {
                        values = Some(u64::try_from(thrift.zigzag()?).ok()?);
                        return Some(());
                    }
                    thrift.skip(kind, depth)
                })?,
                _ => thrift.skip(kind, depth)?,
            }
            Some(())
        })?;
        Some(Self { header: thrift.at, unpacked: unpacked?, packed: packed?, values })
    }
}

/// Whether the schema of a footer (`FileMetaData`, field 2, a list in depth-first order whose
/// elements count their children in field 5) is shallow enough; nothing if it is damaged.
fn check_depth(footer: &[u8]) -> Option<Result<(), RowsError>> {
    let mut thrift = Thrift { bytes: footer, at: 0 };
    let mut deep = false;
    thrift.structure(0, |thrift, id, kind, depth| {
        if (id, kind) != (2, LIST) {
            return thrift.skip(kind, depth);
        }
        let (count, kind) = thrift.list()?;
        // Children that are still to come, for each group that is open.
        let mut open: Vec<i64> = Vec::new();
        for _ in 0..count {
            if kind != STRUCT {
                return None;
            }
            let mut children = 0;
            thrift.structure(depth, |thrift, id, kind, depth| {
                if (id, kind) == (5, INTEGER) {
                    children = thrift.zigzag()?;
                    return Some(());
                }
                thrift.skip(kind, depth)
            })?;
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if children > 0 {
                open.push(children);
                deep |= open.len() > MAX_DEPTH;
            }
            while open.last().is_some_and(|left| *left <= 0) {
                open.pop();
            }
        }
        Some(())
    })?;
    let why = format!("expected at most {MAX_DEPTH} groups within one another, got more");
    Some(if deep { Err(not_parquet(&why)) } else { Ok(()) })
}

/// Thrift's compact protocol (thrift-compact-protocol.md), as far as sizes need it.
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

const INTEGER: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Structures within structures that are read.
const MAX_NESTING: usize = 16;

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn pass(&mut self, bytes: usize) -> Option<()> {
        self.at = self.at.checked_add(bytes).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// The count and the kind of a list's elements.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Some((count, head & 15))
    }

    /// Reads a structure: `field` is given each field's number and kind, and reads or skips it.
    fn structure(
        &mut self,
        depth: usize,
        mut field: impl FnMut(&mut Self, i64, u8, usize) -> Option<()>,
    ) -> Option<()> {
        if depth > MAX_NESTING {
            return None;
        }
        let mut id = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            id = match head >> 4 {
                0 => self.zigzag()?,
                step => id + i64::from(step),
            };
            field(self, id, head & 15, depth + 1)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1 | 2 => Some(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            8 => {
                let bytes = usize::try_from(self.varint()?).ok()?;
                self.pass(bytes)
            }
            9 | 10 => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    // Truths in a list take a byte each.
                    if matches!(kind, 1 | 2) { self.pass(1)? } else { self.skip(kind, depth + 1)? }
                }
                (depth <= MAX_NESTING).then_some(())
            }
            STRUCT => self.structure(depth, |thrift, _, kind, depth| thrift.skip(kind, depth)),
            13 => {
                let bytes = self.bytes.len() - self.at;
                self.pass(bytes)
            }
            _ => None,
        }
    }
}
