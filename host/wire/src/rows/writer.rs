//! [`Writer`]: predictions as an output file. The same rows and predictions give the same bytes.

mod csv;
mod own;
#[cfg(feature = "parquet")]
mod parquet;
mod shards;
mod vertex;

use std::io::{self, Write};

use crate::{Batch, Field, Manifest};

use super::{Format, InstanceConfig, Keep, Rows};

pub use shards::{Shard, ShardBounds, Shards};
pub use vertex::{Part, shard_name};

/// How an output is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The prediction's own form: the picture that it is, or JSON, one line for each row of the
    /// input. The line of a refused row is `{"error": …, "code": …, "path": …}`.
    Own,
    /// A table of the input's columns, the predictions' and `error`, a row for each row of the input.
    Csv,
    /// The same as columns: those of the signature have its types, nested ones are lists.
    Parquet,
    /// One part of what Vertex AI's batch prediction writes.
    Vertex(Part, InstanceConfig),
}

impl Layout {
    /// What its writer needs of the rows.
    pub fn keeps(&self) -> Keep {
        match self {
            Self::Own => Keep::Nothing,
            Self::Csv | Self::Parquet => Keep::Originals(InstanceConfig::default()),
            Self::Vertex(_, config) => Keep::Originals(config.clone()),
        }
    }
}

/// What a finished output is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Rows with a prediction.
    pub predicted: usize,
    /// Rows without.
    pub refused: usize,
    pub content_type: String,
    /// The ending that its name should have, without the dot.
    pub ending: &'static str,
}

impl Written {
    fn new(content_type: &str, ending: &'static str) -> Self {
        Self { predicted: 0, refused: 0, content_type: content_type.to_owned(), ending }
    }

    fn count(&mut self, rows: &Rows) {
        let refused = rows.refused();
        self.refused += refused;
        self.predicted += rows.rows.len() - refused;
    }
}

/// Why an output can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("can't write the output")]
    Io(#[from] io::Error),
    /// The model's answer is not what its signature says.
    #[error("{0}")]
    Contract(String),
}

/// Writes the predictions of one file. It blocks.
pub struct Writer<'a>(Box<dyn Lay + Send + 'a>);

/// One layout.
trait Lay {
    fn write(&mut self, rows: &Rows, predictions: &Batch) -> Result<(), WriteError>;
    fn finish(self: Box<Self>) -> Result<Written, WriteError>;
}

impl<'a> Writer<'a> {
    /// A writer for the predictions that `manifest`'s model makes of a file of format `format`.
    ///
    /// # Errors
    /// The beginning can't be written.
    pub fn new(
        layout: &Layout,
        manifest: &'a Manifest,
        format: Format,
        out: impl Write + Send + 'a,
    ) -> Result<Self, WriteError> {
        Ok(Self(match layout {
            Layout::Own => Box::new(own::Own::new(manifest, format, out)),
            Layout::Csv => Box::new(csv::Table::new(manifest, out)),
            #[cfg(feature = "parquet")]
            Layout::Parquet => Box::new(parquet::Columns::new(manifest, out)),
            #[cfg(not(feature = "parquet"))]
            Layout::Parquet => return Err(WriteError::Contract("Parquet is not written here".to_owned())),
            Layout::Vertex(part, config) => {
                Box::new(vertex::Lines::new(*part, config.clone(), &manifest.outputs, out))
            }
        }))
    }

    /// Writes the predictions of some rows; there is one for each that was not refused.
    ///
    /// # Errors
    /// They can't be written, or are not what the signature says.
    pub fn write(&mut self, rows: &Rows, predictions: &Batch) -> Result<(), WriteError> {
        let (expected, actual) = (rows.accepted().count(), predictions.instances());
        if expected != actual {
            return Err(WriteError::Contract(format!("expected {expected} predictions, got {actual}")));
        }
        self.0.write(rows, predictions)
    }

    /// Writes what is left. Without it the output is not whole.
    ///
    /// # Errors
    /// It can't be written.
    pub fn finish(self) -> Result<Written, WriteError> {
        self.0.finish()
    }
}

/// The columns that predictions become: those of the signature; any JSON and blobs are one column of
/// JSON texts.
fn prediction_columns(outputs: &[Field]) -> Vec<String> {
    match outputs {
        [] => vec!["prediction".to_owned()],
        outputs => outputs.iter().map(|field| field.name.clone()).collect(),
    }
}

/// A name that none of `taken` has: `label`, `predicted_label`, `predicted_predicted_label`, …
fn free_name(name: &str, taken: &[String]) -> String {
    let mut name = name.to_owned();
    while taken.contains(&name) {
        name = format!("predicted_{name}");
    }
    name
}

/// Checks that predictions are the columns that the signature names, in its order.
fn check_columns(predictions: &Batch, outputs: &[Field]) -> Result<(), WriteError> {
    let Batch::Columns(columns) = predictions else { return Ok(()) };
    let same = columns.len() == outputs.len().max(1)
        && columns.iter().zip(outputs).all(|(column, field)| column.name == field.name);
    if same {
        return Ok(());
    }
    let names = |names: Vec<&str>| names.join(", ");
    let expected = names(outputs.iter().map(|field| field.name.as_str()).collect());
    let got = names(columns.iter().map(|column| column.name.as_str()).collect());
    Err(WriteError::Contract(format!("expected predictions of {expected}, got {got}")))
}
