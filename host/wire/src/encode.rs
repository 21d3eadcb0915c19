//! Predictions on the wire: JSON values or rows of a table, one for each instance.

mod rows;

use std::io::Write as _;

use crate::{Batch, Column, ColumnDtype, Field, Media, Numeric, Values};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use rows::rows;

/// Appends one JSON value for each prediction to `out`, with `separator` between them.
///
/// # Errors
/// As [`Encoder::write`].
pub fn predictions(
    batch: &Batch,
    outputs: &[Field],
    separator: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let encoder = Encoder::new(batch, outputs);
    for row in 0..batch.instances() {
        if row > 0 {
            out.extend_from_slice(separator);
        }
        encoder.write(row, out)?;
    }
    Ok(())
}

/// Writes predictions as JSON values, one by one.
pub struct Encoder<'a>(Form<'a>);

enum Form<'a> {
    Json(&'a [String]),
    Media(&'a [Media]),
    Columns(Vec<Writer<'a>>),
}

impl<'a> Encoder<'a> {
    pub fn new(batch: &'a Batch, outputs: &[Field]) -> Self {
        let missing =
            |column: &Column| outputs.iter().any(|field| field.name == column.name && field.missing);
        let writer = |column: &'a Column| Writer { column, missing: missing(column) };
        Self(match batch {
            Batch::Json(items) => Form::Json(items),
            Batch::Media(items) => Form::Media(items),
            Batch::Columns(columns) => Form::Columns(columns.iter().map(writer).collect()),
        })
    }

    /// Appends the prediction of instance `row`. That of one column is its bare value, of several an
    /// object in the columns' order. A blob is `{"content_type": …, "b64": …}` with its metadata's
    /// keys beside them.
    ///
    /// # Errors
    /// The path of a number that JSON can't hold (NaN or an infinity) where the signature doesn't say
    /// that it may be missing; where it does, the number is `null`.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match &self.0 {
            Form::Json(items) => {
                out.extend_from_slice(items.get(row).map_or("null", String::as_str).as_bytes());
                Ok(())
            }
            Form::Media(items) => {
                if let Some(item) = items.get(row) {
                    blob(item, out);
                }
                Ok(())
            }
            Form::Columns(writers) => match writers.as_slice() {
                [writer] => writer.write(row, out),
                writers => {
                    for (index, writer) in writers.iter().enumerate() {
                        out.push(if index == 0 { b'{' } else { b',' });
                        json(&writer.column.name, out);
                        out.push(b':');
                        writer.write(row, out)?;
                    }
                    out.push(b'}');
                    Ok(())
                }
            },
        }
    }
}

impl Encoder<'_> {
    /// Appends the values of one column of columns.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub fn write_column(&self, column: usize, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match &self.0 {
            Form::Columns(writers) => writers
                .get(column)
                .map_or_else(|| Err(format!("no column {column}")), |writer| writer.write(row, out)),
            _ => self.write(row, out),
        }
    }
}

fn json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("strings and numbers are JSON");
}

fn blob(media: &Media, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"content_type\":");
    json(&media.content_type, out);
    // The metadata was checked to be an object: its members follow the opening brace.
    if let Some(members) = media.metadata.as_deref().and_then(members) {
        out.push(b',');
        out.extend_from_slice(members.as_bytes());
    }
    out.extend_from_slice(b",\"b64\":\"");
    out.extend_from_slice(STANDARD.encode(&media.bytes).as_bytes());
    out.extend_from_slice(b"\"}");
}

/// What stands between an object's braces; `None` where it is empty.
fn members(object: &str) -> Option<&str> {
    let inner = object.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    (!inner.is_empty()).then_some(inner)
}

/// Writes the values of one column.
struct Writer<'a> {
    column: &'a Column,
    missing: bool,
}

impl Writer<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let shape = self.column.shape.get(1..).unwrap_or_default();
        let size: usize = shape.iter().map(|&axis| axis as usize).product();
        let mut next = row * size;
        self.axis(shape, &mut next, out)
            .map_err(|why| format!("predictions[{row}].{}: {why}", self.column.name))
    }

    fn axis(&self, shape: &[u32], next: &mut usize, out: &mut Vec<u8>) -> Result<(), String> {
        let Some((&size, inner)) = shape.split_first() else {
            let index = *next;
            *next += 1;
            return self.scalar(index, out);
        };
        out.push(b'[');
        for index in 0..size {
            if index > 0 {
                out.push(b',');
            }
            self.axis(inner, next, out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn scalar(&self, index: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let Numeric { dtype, data } = match &self.column.values {
            Values::Numeric(numeric) => numeric,
            Values::Text(text) => {
                json(text.get(index).unwrap_or(&None), out);
                return Ok(());
            }
        };
        match dtype {
            ColumnDtype::Bool => json(&(at::<1>(data, index) != [0]), out),
            ColumnDtype::U8 => json(&u8::from_le_bytes(at(data, index)), out),
            ColumnDtype::I8 => json(&i8::from_le_bytes(at(data, index)), out),
            ColumnDtype::I16 => json(&i16::from_le_bytes(at(data, index)), out),
            ColumnDtype::I32 => json(&i32::from_le_bytes(at(data, index)), out),
            ColumnDtype::I64 => json(&i64::from_le_bytes(at(data, index)), out),
            ColumnDtype::F16 => {
                let value = half::f16::from_le_bytes(at(data, index)).to_f32();
                return self.float(value.is_finite(), f64::from(value), |out| json(&value, out), out);
            }
            ColumnDtype::F32 => {
                let value = f32::from_le_bytes(at(data, index));
                return self.float(value.is_finite(), f64::from(value), |out| json(&value, out), out);
            }
            ColumnDtype::F64 => {
                let value = f64::from_le_bytes(at(data, index));
                return self.float(value.is_finite(), value, |out| json(&value, out), out);
            }
        }
        Ok(())
    }

    fn float(
        &self,
        finite: bool,
        value: f64,
        write: impl Fn(&mut Vec<u8>),
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match (finite, self.missing) {
            (true, _) => write(out),
            (false, true) => out.extend_from_slice(b"null"),
            (false, false) => return Err(format!("expected a finite number, got {value}")),
        }
        Ok(())
    }
}

/// The `index`th element of `N` bytes; a column that was checked has it.
fn at<const N: usize>(data: &[u8], index: usize) -> [u8; N] {
    let start = index * N;
    data.get(start..start + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

/// The body of an answer: `{"predictions":[…]}`.
///
/// # Errors
/// As [`predictions`].
pub fn answer(batch: &Batch, outputs: &[Field]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(64);
    out.write_all(b"{\"predictions\":[").expect("a vector takes all bytes");
    predictions(batch, outputs, b",", &mut out)?;
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// One JSON value on each line.
///
/// # Errors
/// As [`Encoder::write`].
pub fn lines(batch: &Batch, outputs: &[Field]) -> Result<Vec<u8>, String> {
    let encoder = Encoder::new(batch, outputs);
    let mut out = Vec::new();
    for row in 0..batch.instances() {
        let start = out.len();
        encoder.write(row, &mut out)?;
        // A predictor may lay its JSON out over several lines; within a string they are escaped.
        for byte in out.iter_mut().skip(start) {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        out.push(b'\n');
    }
    Ok(out)
}
