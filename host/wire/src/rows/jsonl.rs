//! Lines of JSON, one instance each.

use std::io::BufRead;

use super::filling::{RowSource, Taken};
use super::{InstanceConfig, Original, Place, RowsError, not_text, too_long};
use crate::{Filler, Refusal};

/// The lines of a text, each of bounded length.
pub(super) struct Lines<R> {
    input: R,
    max_bytes: usize,
    /// Lines read so far.
    line: u64,
    /// The last line, as far as it may be kept.
    bytes: Vec<u8>,
}

/// A line that was read.
pub(super) struct Line<'l> {
    /// From 1.
    pub number: u64,
    pub length: usize,
    /// Its bytes, unless they are more than may be kept.
    pub bytes: &'l [u8],
}

impl<R: BufRead> Lines<R> {
    pub fn new(input: R, max_bytes: usize) -> Self {
        Self { input, max_bytes, line: 0, bytes: Vec::new() }
    }

    /// The next line that isn't blank.
    pub fn next(&mut self) -> Result<Option<Line<'_>>, RowsError> {
        loop {
            let Some(length) = self.fill()? else { return Ok(None) };
            if length > self.max_bytes || self.bytes.iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Ok(Some(Line { number: self.line, length, bytes: &self.bytes }));
            }
        }
    }

    /// Reads one line and gives its length, or nothing at the end.
    fn fill(&mut self) -> Result<Option<usize>, RowsError> {
        self.bytes.clear();
        let (mut length, mut some) = (0, false);
        loop {
            let chunk = self.input.fill_buf().map_err(RowsError::of)?;
            if chunk.is_empty() && !some {
                return Ok(None);
            }
            some = true;
            let end = memchr::memchr(b'\n', chunk);
            let piece = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            length += piece.len();
            if length <= self.max_bytes {
                self.bytes.extend_from_slice(piece);
            } else {
                self.bytes = Vec::new();
            }
            let ended = end.is_some() || chunk.is_empty();
            let taken = piece.len() + usize::from(end.is_some());
            self.input.consume(taken);
            if ended {
                self.line += 1;
                return Ok(Some(length));
            }
        }
    }
}

/// Instances as JSON texts, one on each line.
pub(super) struct Texts<R> {
    lines: Lines<R>,
    row: usize,
    config: InstanceConfig,
}

impl<R> Texts<R> {
    pub fn new(lines: Lines<R>, config: InstanceConfig) -> Self {
        Self { lines, row: 0, config }
    }
}

impl<R: BufRead + Send> RowSource for Texts<R> {
    type Row = String;

    fn next(&mut self) -> Result<Option<Taken<String>>, RowsError> {
        let max_bytes = self.lines.max_bytes;
        let Some(Line { number, length, bytes }) = self.lines.next()? else { return Ok(None) };
        let place = Place { row: self.row, line: Some(number) };
        self.row += 1;
        let row = if length > max_bytes {
            Err(too_long(place, max_bytes, length))
        } else {
            let bytes = bytes.trim_ascii();
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|cause| not_text(place, cause))
        };
        Ok(Some(Taken { place, row }))
    }

    fn fill(&self, place: Place, row: &String, filler: &mut Filler<'_>) -> Result<(), Refusal> {
        filler.text(place.row, &self.config.instance(place, row)?)
    }

    fn bytes(row: &String) -> usize {
        row.len()
    }

    fn original(&self, row: Option<String>) -> Original {
        row.map_or(Original::Lost, Original::Json)
    }
}
