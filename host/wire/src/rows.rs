//! Rows: an object's bytes as batches of instances, and predictions as an output file.
//!
//! The way in is [`read`]: it gives [`Rows`], some at a time, so that a file of any size takes
//! little memory. A row that doesn't fit the signature is refused alone and the others go on; a
//! file whose structure is broken ends with [`RowsError::Broken`]. The way out is [`Writer`].
//!
//! All of it blocks: it runs on a thread of its own.

#[cfg(feature = "parquet")]
mod arrow;
mod csv;
mod filling;
mod format;
mod instances;
mod json;
mod jsonl;
mod list;
mod original;
#[cfg(feature = "parquet")]
mod parquet;
mod source;
mod table;
mod writer;

use std::fmt;
#[cfg(feature = "parquet")]
use std::fs::File;
use std::io::{self, Read};

use crate::{Batch, Code, Column, Failure, FailureFault, Manifest, Numeric, Refusal, Values};

pub use csv::Record;
pub use format::Format;
pub use instances::{InstanceConfig, InstanceType};
pub use list::{Reference, references};
pub use original::{Keep, Original};
pub use table::{FirstRecord, Header, read_table};
pub use writer::{Layout, Part, Shard, ShardBounds, Shards, WriteError, Writer, Written, shard_name};

/// Some rows of a file, in its order, with a batch of those that fit the signature.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The rows that were not refused. It is empty, and not to be predicted, where all were.
    pub batch: Batch,
    pub rows: Vec<Row>,
    /// The rows as they came, one for each of `rows`; none if they were not asked for.
    pub originals: Vec<Original>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub place: Place,
    /// Why it is no instance.
    pub refused: Option<Refusal>,
}

/// Where a row stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// From 0; a header and empty lines don't count.
    pub row: usize,
    /// The line that it begins in, from 1, where the file is text.
    pub line: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "row {} (line {line})", self.row),
            None => write!(f, "row {}", self.row),
        }
    }
}

impl Rows {
    /// The one instance of an object that is an instance itself; `name` is what the output calls it.
    pub fn object(name: &str, batch: Batch) -> Self {
        let row = Row { place: Place { row: 0, line: None }, refused: None };
        Self { batch, rows: vec![row], originals: vec![Original::Name(name.to_owned())] }
    }

    /// Refuses the row of instance `instance` after all, and takes it out of the batch.
    pub fn refuse(&mut self, instance: usize, refusal: Refusal) {
        let row = self.rows.iter_mut().filter(|row| row.refused.is_none()).nth(instance);
        if let Some(row) = row {
            row.refused = Some(refusal);
            if instance < self.batch.instances() {
                remove(&mut self.batch, instance);
            }
        }
    }

    /// Takes the row out that a failure is about, so that the others can go on: a failure by the caller's fault that names
    /// an instance, or is of the only one. Where the object is the one instance, the failure is of the whole.
    ///
    /// Gives whether there was one.
    pub fn refuse_failed(&mut self, failure: &Failure, instances: usize) -> bool {
        let whole = matches!(self.originals.as_slice(), [Original::Name(_)]);
        if whole || failure.fault != FailureFault::Caller {
            return false;
        }
        let instance = match failure.instance {
            Some(instance) => instance as usize,
            None if instances == 1 => 0,
            None => return false,
        };
        let place = self.accepted().nth(instance).and_then(|row| self.rows.get(row)).map(|row| row.place);
        let Some(place) = place else { return false };
        let mut why = failure.message.clone();
        if let Some(expected) = &failure.expected {
            why.push_str(&format!(": expected {expected}"));
        }
        if let Some(actual) = &failure.actual {
            why.push_str(if failure.expected.is_some() { ", got " } else { ": got " });
            why.push_str(actual);
        }
        let path = format!("instances[{}]", place.row);
        self.refuse(instance, Refusal { code: Code::InvalidInstance, path, why });
        true
    }

    /// The row of each instance, by its index in `rows`.
    pub fn accepted(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.iter().enumerate().filter(|(_, row)| row.refused.is_none()).map(|(index, _)| index)
    }

    /// How many rows were refused.
    pub fn refused(&self) -> usize {
        self.rows.iter().filter(|row| row.refused.is_some()).count()
    }
}

/// Takes one instance out of a batch.
fn remove(batch: &mut Batch, instance: usize) {
    let columns = match batch {
        Batch::Json(items) => {
            items.remove(instance);
            return;
        }
        Batch::Media(items) => {
            items.remove(instance);
            return;
        }
        Batch::Columns(columns) => columns,
    };
    for Column { shape, values, .. } in columns {
        let Some((rows, inner)) = shape.split_first_mut() else { continue };
        let size: usize = inner.iter().map(|&axis| axis as usize).product();
        *rows -= 1;
        match values {
            Values::Text(text) => {
                text.drain(instance * size..(instance + 1) * size);
            }
            Values::Numeric(Numeric { dtype, data }) => {
                let size = size * dtype.size_bytes();
                data.drain(instance * size..(instance + 1) * size);
            }
        }
    }
}

/// How much is held at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Rows that come at one time.
    pub rows: usize,
    /// Bytes from which on no further row is added.
    pub bytes: usize,
    /// Bytes that one row may have; a longer one is refused.
    pub row_bytes: usize,
}

/// Rows that go into one call: more gain nothing, and hold the others up.
const ROWS: usize = 1024;

/// Bytes of a batch of many rows.
const BATCH_BYTES: usize = 4 << 20;

impl Bounds {
    /// Batches for calls that take so many instances, and so many bytes of them.
    pub fn of(max_instances: usize, max_input_bytes: usize) -> Self {
        Self {
            rows: ROWS.min(max_instances).max(1),
            bytes: BATCH_BYTES.min(max_input_bytes / 2),
            row_bytes: max_input_bytes,
        }
    }
}

/// Why a file's rows end before the file does.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The bytes didn't come; another attempt may get them.
    #[error("can't read the input")]
    Read(#[source] io::Error),
    /// The file is not what it should be: no attempt reads it.
    #[error(transparent)]
    Broken(#[from] Refusal),
}

impl RowsError {
    /// An error of a decoder that reads from a [`source`].
    fn of(cause: io::Error) -> Self {
        match source::origin(cause) {
            Ok(own) => Self::Read(own),
            Err(decoder) => Self::Broken(broken(format!("not gzip: {decoder}"))),
        }
    }
}

/// The whole file is at fault.
fn broken(why: String) -> Refusal {
    Refusal { code: Code::InvalidInstance, path: String::new(), why }
}

/// The rows of a file, some at a time.
pub type Batches<'m> = Box<dyn Iterator<Item = Result<Rows, RowsError>> + Send + 'm>;

/// Reads a stream of instances for `manifest`. Text may be packed by gzip. How many bytes `input`
/// gives at a time makes no difference to what comes out.
///
/// # Errors
/// The beginning is not what it should be, such as a header without the signature's names, or the
/// format is Parquet, which [`read_file`] reads. What is broken further on comes as the last item.
pub fn read<'m>(
    manifest: &'m Manifest,
    format: Format,
    bounds: Bounds,
    keep: Keep,
    input: impl Read + Send + 'm,
) -> Result<Batches<'m>, RowsError> {
    let config = keep.config();
    match format {
        Format::Image => {
            let blob = whole(input, bounds.row_bytes)?;
            let rows = Rows::object("", crate::blob(manifest, blob, None)?);
            Ok(Box::new(std::iter::once(Ok(rows))))
        }
        Format::Jsonl => {
            let rows = jsonl::Texts::new(jsonl::Lines::new(source::text(input)?, bounds.row_bytes), config);
            Ok(filling::batches(manifest, bounds, &keep, rows))
        }
        Format::Json => {
            let rows = json::Elements::new(source::text(input)?, bounds.row_bytes, config)?;
            Ok(filling::batches(manifest, bounds, &keep, rows))
        }
        Format::Csv => {
            let rows = table::Table::new(manifest, source::text(input)?, bounds.row_bytes, config)?;
            Ok(filling::batches(manifest, bounds, &keep, rows))
        }
        Format::Parquet => {
            let why = if cfg!(feature = "parquet") {
                "a Parquet file is read from its end: expected a file, got a stream"
            } else {
                "Parquet is not read here: expected .json, .jsonl or .csv"
            };
            Err(broken(why.to_owned()).into())
        }
    }
}

/// Reads a file of instances that lies on the disk; Parquet can be read in no other way.
///
/// # Errors
/// As [`read`].
#[cfg(feature = "parquet")]
pub fn read_file<'m>(
    manifest: &'m Manifest,
    format: Format,
    bounds: Bounds,
    keep: Keep,
    file: File,
) -> Result<Batches<'m>, RowsError> {
    match format {
        Format::Parquet => {
            let rows = parquet::Table::new(manifest, bounds, &keep, file)?;
            Ok(filling::batches(manifest, bounds, &keep, rows))
        }
        _ => read(manifest, format, bounds, keep, file),
    }
}

/// All bytes of an object, at most `max_bytes`.
fn whole(input: impl Read, max_bytes: usize) -> Result<Vec<u8>, RowsError> {
    let mut bytes = Vec::new();
    input.take(max_bytes as u64 + 1).read_to_end(&mut bytes).map_err(RowsError::Read)?;
    if bytes.len() > max_bytes {
        let why = format!("expected at most {max_bytes} bytes (limit max_input_bytes), got more");
        return Err(Refusal { code: Code::TooLarge, path: String::new(), why }.into());
    }
    Ok(bytes)
}

/// A row that is longer than it may be.
fn too_long(place: Place, max_bytes: usize, bytes: usize) -> Refusal {
    let why = format!("expected at most {max_bytes} bytes, got {bytes}");
    Refusal { code: Code::TooLarge, path: format!("instances[{}]", place.row), why }
}

/// A row that is no text.
fn not_text(place: Place, cause: std::str::Utf8Error) -> Refusal {
    let why = format!("expected UTF-8, got other bytes after {} of them", cause.valid_up_to());
    Refusal { code: Code::InvalidInstance, path: format!("instances[{}]", place.row), why }
}

#[cfg(test)]
mod tests;
