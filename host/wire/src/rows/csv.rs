//! Records of comma-separated values (RFC 4180), each of bounded size.

use std::io::BufRead;

use super::{RowsError, broken};

/// One row of a table: its cells, and which of them stood in quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<u32>,
    quoted: Vec<bool>,
}

impl Record {
    /// How many cells it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The cells, each with whether it stood in quotes.
    pub fn cells(&self) -> impl Iterator<Item = (&str, bool)> {
        let mut start = 0;
        self.ends.iter().zip(&self.quoted).map(move |(&end, &quoted)| {
            let cell = self.text.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            (cell, quoted)
        })
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * CELL_BYTES
    }
}

/// What a cell costs beside its text.
const CELL_BYTES: usize = 8;

/// The most that a record may take; offsets into it are `u32`.
const MAX_RECORD_BYTES: usize = 16 << 20;

/// Reads one record after another. Records end with LF, CRLF or CR; empty lines are passed over. A quote
/// has its meaning at the beginning of a cell only, as most writers of such files understand it.
pub(super) struct Records<R> {
    input: R,
    pub max_bytes: usize,
    /// Lines that have ended.
    lines: u64,
    /// Whether the last byte was a CR that ended a record: an LF belongs to it.
    after_cr: bool,
}

/// A record that was read.
pub(super) struct Read {
    /// The line that it begins in, from 1.
    pub line: u64,
    pub record: Result<Record, Flaw>,
}

/// Why a record can't be held.
pub(super) enum Flaw {
    /// This many bytes, or more.
    TooLong(usize),
    NotText(std::str::Utf8Error),
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Before the first byte of a record.
    Record,
    /// Before the first byte of a further cell.
    Cell,
    Plain,
    Quoted,
    /// After a quote within quotes: the cell's end, or the first of two that stand for one.
    Closed,
}

impl<R: BufRead> Records<R> {
    pub fn new(input: R, max_bytes: usize) -> Self {
        Self { input, max_bytes: max_bytes.min(MAX_RECORD_BYTES), lines: 0, after_cr: false }
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// The input can't be read, or ends within quotes.
    pub fn next(&mut self) -> Result<Option<Read>, RowsError> {
        let mut state = State::Record;
        let mut taking = Taking { max_bytes: self.max_bytes, ..Taking::default() };
        let (mut first, mut opened) = (self.lines + 1, 0);
        loop {
            let chunk = self.input.fill_buf().map_err(RowsError::of)?;
            if chunk.is_empty() {
                match state {
                    State::Record => return Ok(None),
                    State::Quoted => {
                        let why = format!(
                            "line {opened}: expected a closing quote for the cell that begins here, got the file's end"
                        );
                        return Err(broken(why).into());
                    }
                    _ => {
                        taking.end_cell();
                        return Ok(Some(Read { line: first, record: taking.finish() }));
                    }
                }
            }
            let mut at = 0;
            while let Some(&byte) = chunk.get(at) {
                let rest = chunk.get(at..).unwrap_or_default();
                if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                    at += 1;
                    continue;
                }
                match (state, byte) {
                    (State::Record, b'\n' | b'\r') => {
                        self.lines += 1;
                        self.after_cr = byte == b'\r';
                        at += 1;
                    }
                    (State::Record | State::Cell, b'"') => {
                        if state == State::Record {
                            first = self.lines + 1;
                        }
                        opened = self.lines + 1;
                        taking.quoted = true;
                        state = State::Quoted;
                        at += 1;
                    }
                    (State::Record, _) => {
                        first = self.lines + 1;
                        state = State::Cell;
                    }
                    (State::Quoted, _) => {
                        let end = memchr::memchr2(b'"', b'\n', rest);
                        let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                        taking.push(piece);
                        at += piece.len();
                        match end.and_then(|end| rest.get(end)) {
                            Some(b'"') => {
                                state = State::Closed;
                                at += 1;
                            }
                            Some(_) => {
                                taking.push(b"\n");
                                self.lines += 1;
                                at += 1;
                            }
                            None => {}
                        }
                    }
                    (State::Closed, b'"') => {
                        taking.push(b"\"");
                        state = State::Quoted;
                        at += 1;
                    }
                    (_, b',') => {
                        taking.end_cell();
                        state = State::Cell;
                        at += 1;
                    }
                    (_, b'\n' | b'\r') => {
                        taking.end_cell();
                        self.lines += 1;
                        self.after_cr = byte == b'\r';
                        self.input.consume(at + 1);
                        return Ok(Some(Read { line: first, record: taking.finish() }));
                    }
                    (_, _) => {
                        let end = memchr::memchr3(b',', b'\n', b'\r', rest).unwrap_or(rest.len());
                        taking.push(rest.get(..end).unwrap_or_default());
                        state = State::Plain;
                        at += end;
                    }
                }
            }
            self.input.consume(at);
        }
    }
}

/// A record as it comes.
#[derive(Default)]
struct Taking {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    quotes: Vec<bool>,
    /// Whether the cell at hand stands in quotes.
    quoted: bool,
    /// What the record takes, kept or not.
    size: usize,
    max_bytes: usize,
}

impl Taking {
    fn push(&mut self, piece: &[u8]) {
        self.size += piece.len();
        if self.fits() {
            self.bytes.extend_from_slice(piece);
        }
    }

    fn end_cell(&mut self) {
        self.size += CELL_BYTES;
        let quoted = std::mem::take(&mut self.quoted);
        if self.fits() {
            self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
            self.quotes.push(quoted);
        }
    }

    /// Whether it may still be kept; what was, is let go as soon as it may not.
    fn fits(&mut self) -> bool {
        if self.size > self.max_bytes {
            (self.bytes, self.ends, self.quotes) = (Vec::new(), Vec::new(), Vec::new());
        }
        self.size <= self.max_bytes
    }

    fn finish(self) -> Result<Record, Flaw> {
        if self.size > self.max_bytes {
            return Err(Flaw::TooLong(self.size));
        }
        match String::from_utf8(self.bytes) {
            Ok(text) => Ok(Record { text, ends: self.ends, quoted: self.quotes }),
            Err(cause) => Err(Flaw::NotText(cause.utf8_error())),
        }
    }
}
