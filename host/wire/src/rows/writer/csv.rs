//! A table: the input's columns, the predictions', and what is wrong with a row.

use std::io::Write;

use crate::{Batch, Form, Manifest};
use serde_json::value::RawValue;

use super::{Lay, WriteError, Written, check_columns, free_name, prediction_columns};
use crate::encode::Encoder;
#[cfg(feature = "parquet")]
use crate::rows::arrow;
use crate::rows::instances::Members;
use crate::rows::{Original, Rows};

/// Writes one row for each row of the input.
pub(super) struct Table<'a, W: Write> {
    manifest: &'a Manifest,
    out: ::csv::Writer<W>,
    /// How many columns the input has, once its first row has shown them.
    inputs: Option<usize>,
    written: Written,
}

impl<'a, W: Write> Table<'a, W> {
    pub fn new(manifest: &'a Manifest, out: W) -> Self {
        let out = ::csv::WriterBuilder::new().has_headers(false).from_writer(out);
        Self { manifest, out, inputs: None, written: Written::new("text/csv", "csv") }
    }

    fn header(&mut self, first: Option<&Original>) -> Result<usize, WriteError> {
        if let Some(inputs) = self.inputs {
            return Ok(inputs);
        }
        let mut names = match first {
            Some(Original::Record(header, _)) => header.names.clone(),
            #[cfg(feature = "parquet")]
            Some(Original::Columns(batch, _)) => {
                batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect()
            }
            Some(Original::Name(_)) => vec!["name".to_owned()],
            _ => self.manifest.inputs.iter().map(|input| input.name.clone()).collect(),
        };
        let inputs = names.len();
        for name in prediction_columns(&self.manifest.outputs) {
            names.push(free_name(&name, &names));
        }
        names.push(free_name("error", &names));
        self.out.write_record(&names).map_err(failed)?;
        self.inputs = Some(inputs);
        Ok(inputs)
    }
}

impl<W: Write> Lay for Table<'_, W> {
    fn write(&mut self, rows: &Rows, predictions: &Batch) -> Result<(), WriteError> {
        check_columns(predictions, &self.manifest.outputs)?;
        let first = rows.originals.iter().find(|original| !matches!(original, Original::Lost));
        let inputs = self.header(first)?;
        let encoder = Encoder::new(predictions, &self.manifest.outputs);
        let outputs = prediction_columns(&self.manifest.outputs).len();
        let mut instance = 0;
        let mut cells: Vec<String> = Vec::new();
        for (row, original) in rows.rows.iter().zip(&rows.originals) {
            cells.clear();
            push_cells(original, self.manifest, &mut cells);
            cells.resize(inputs, String::new());
            match &row.refused {
                Some(refusal) => {
                    cells.resize(inputs + outputs, String::new());
                    cells.push(refusal.to_string());
                }
                None => {
                    for column in 0..outputs {
                        let mut json = Vec::new();
                        encoder.write_column(column, instance, &mut json).map_err(WriteError::Contract)?;
                        cells.push(cell(std::str::from_utf8(&json).unwrap_or_default()));
                    }
                    cells.push(String::new());
                    instance += 1;
                }
            }
            self.out.write_record(&cells).map_err(failed)?;
        }
        // So that whoever counts the bytes knows of all.
        self.out.flush()?;
        self.written.count(rows);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Written, WriteError> {
        self.header(None)?;
        self.out.flush()?;
        Ok(self.written)
    }
}

/// The cells of a row as it came; none where it isn't of the input's shape.
fn push_cells(original: &Original, manifest: &Manifest, into: &mut Vec<String>) {
    match original {
        Original::Lost => {}
        Original::Name(name) => into.push(name.clone()),
        Original::Record(_, record) => into.extend(record.cells().map(|(cell, _)| cell.to_owned())),
        #[cfg(feature = "parquet")]
        Original::Columns(batch, index) => into.extend(
            batch
                .columns()
                .iter()
                .map(|column| arrow::cell(&arrow::value(column.as_ref(), *index)).into_owned()),
        ),
        Original::Json(text) => {
            let inputs = &manifest.inputs;
            let members = serde_json::from_str::<Members<'_>>(text);
            let items = serde_json::from_str::<Vec<&RawValue>>(text);
            match (inputs.as_slice(), members, items) {
                ([input], ..) if matches!(input.form(), Form::Json | Form::Media(_)) => into.push(cell(text)),
                (inputs, Ok(Members(members)), _) => into.extend(inputs.iter().map(|input| {
                    let found = members.iter().find(|(name, _)| *name == input.name);
                    found.map(|(_, value)| cell(value.get())).unwrap_or_default()
                })),
                ([_], ..) => into.push(cell(text)),
                (_, _, Ok(items)) => into.extend(items.iter().map(|item| cell(item.get()))),
                _ => {}
            }
        }
    }
}

/// A JSON text as a cell: strings without quotes, nothing for null.
fn cell(json: &str) -> String {
    if json == "null" {
        return String::new();
    }
    serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned())
}

fn failed(cause: ::csv::Error) -> WriteError {
    WriteError::Io(cause.into())
}
