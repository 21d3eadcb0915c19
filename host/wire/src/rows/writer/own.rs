//! Predictions in their own form.

use std::io::Write;

use crate::{Batch, Field, Manifest};

use super::{Lay, WriteError, Written};
use crate::encode::Encoder;
use crate::rows::{Format, Rows};
use crate::{Refusal, media};

/// A picture, or lines of JSON.
pub(super) struct Own<'a, W> {
    outputs: &'a [Field],
    /// Whether the input is one instance, so that a blob may be the whole output.
    alone: bool,
    out: W,
    line: Vec<u8>,
    written: Written,
}

impl<'a, W> Own<'a, W> {
    pub fn new(manifest: &'a Manifest, format: Format, out: W) -> Self {
        let written = Written {
            predicted: 0,
            refused: 0,
            content_type: "application/jsonl".to_owned(),
            ending: "jsonl",
        };
        Self { outputs: &manifest.outputs, alone: format == Format::Image, out, line: Vec::new(), written }
    }
}

impl<W: Write> Lay for Own<'_, W> {
    fn write(&mut self, rows: &Rows, predictions: &Batch) -> Result<(), WriteError> {
        if let (true, Batch::Media(items), [_]) = (self.alone, predictions, rows.rows.as_slice())
            && let [item] = items.as_slice()
        {
            self.out.write_all(&item.bytes)?;
            self.written.content_type.clone_from(&item.content_type);
            self.written.ending = media::ending(&item.content_type);
            self.written.predicted += 1;
            return Ok(());
        }
        let encoder = Encoder::new(predictions, self.outputs);
        let mut instance = 0;
        self.line.clear();
        for row in &rows.rows {
            match &row.refused {
                Some(refusal) => {
                    refused(refusal, &mut self.line);
                    self.written.refused += 1;
                }
                None => {
                    encoder.write(instance, &mut self.line).map_err(WriteError::Contract)?;
                    instance += 1;
                }
            }
            self.line.push(b'\n');
            if self.line.len() > FLUSH_BYTES {
                self.out.write_all(&self.line)?;
                self.line.clear();
            }
        }
        self.written.predicted += instance;
        self.out.write_all(&self.line)?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Written, WriteError> {
        self.out.flush()?;
        Ok(self.written)
    }
}

/// Lines are handed on when this many bytes have come together.
const FLUSH_BYTES: usize = 1 << 20;

/// A refused row as the server's refusals are written.
fn refused(refusal: &Refusal, out: &mut Vec<u8>) {
    let line = serde_json::json!({
        "error": refusal.to_string(), "code": refusal.code.name(), "path": refusal.path,
    });
    out.extend_from_slice(line.to_string().as_bytes());
}
