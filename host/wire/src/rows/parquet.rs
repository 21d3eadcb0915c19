//! Parquet files: row groups one after the other, columns by name.

mod pages;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::{Dtype, Form, Manifest};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use super::arrow::{self, Value};
use super::filling::{RowSource, Taken};
use super::{Bounds, InstanceConfig, Keep, Original, Place, RowsError, broken};
use crate::{Code, Filler, Refusal};

/// The rows of a Parquet file.
pub(super) struct Table {
    batches: ParquetRecordBatchReader,
    columns: Columns,
    config: InstanceConfig,
    /// What was read last, and the next of its rows.
    batch: Arc<RecordBatch>,
    next: usize,
    row: usize,
}

/// What the columns are to the model.
enum Columns {
    /// For each input, its column and its dtype.
    Typed(Vec<(usize, Dtype)>),
    /// The column of the blobs.
    Blobs(usize),
    /// A row is one JSON object.
    Json,
}

impl Table {
    /// Opens a file: all its pages are looked at, so that one that was cut is refused at once.
    pub fn new(manifest: &Manifest, bounds: Bounds, keep: &Keep, file: File) -> Result<Self, RowsError> {
        let rows = pages::check(&file, bounds)?;
        guarded(|| {
            let found = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
            // Views share the texts of a dictionary, whatever the number of rows that name one.
            let schema = Arc::new(views(found.schema()));
            let metadata = ArrowReaderMetadata::try_new(
                found.metadata().clone(),
                ArrowReaderOptions::new().with_schema(schema),
            )?;
            let schema = metadata.schema().clone();
            let columns = match Columns::new(manifest, &schema) {
                Ok(columns) => columns,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(rows);
            let (builder, columns) = match (keep, columns) {
                (Keep::Nothing, columns @ (Columns::Typed(_) | Columns::Blobs(_))) => {
                    let needed = columns.needed();
                    let mask = ProjectionMask::roots(builder.parquet_schema(), needed.iter().copied());
                    (builder.with_projection(mask), columns.projected(&needed))
                }
                (_, columns) => (builder, columns),
            };
            let batches = builder.build()?;
            let batch = Arc::new(RecordBatch::new_empty(Arc::new(Schema::empty())));
            Ok(Ok(Self { batches, columns, config: keep.config(), batch, next: 0, row: 0 }))
        })?
        .map_err(RowsError::Broken)
    }
}

/// The schema with views for texts and bytes.
fn views(schema: &Schema) -> Schema {
    fn viewed(field: &Field) -> Field {
        let data_type = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
            DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
            DataType::List(item) => DataType::List(Arc::new(viewed(item))),
            DataType::LargeList(item) => DataType::LargeList(Arc::new(viewed(item))),
            DataType::FixedSizeList(item, size) => DataType::FixedSizeList(Arc::new(viewed(item)), *size),
            DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| viewed(field)).collect()),
            other => other.clone(),
        };
        field.clone().with_data_type(data_type)
    }
    let fields: Fields = schema.fields().iter().map(|field| viewed(field)).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

impl Columns {
    fn new(manifest: &Manifest, schema: &Schema) -> Result<Self, Refusal> {
        for field in schema.fields() {
            if !arrow::may_be_shown(field.data_type()) {
                let (name, kind) = (field.name(), field.data_type());
                return Err(broken(format!("column {name:?}: values of type {kind} are not supported")));
            }
        }
        let mut typed = Vec::with_capacity(manifest.inputs.len());
        for input in &manifest.inputs {
            let form = input.form();
            if form == Form::Json {
                return Ok(Self::Json);
            }
            let mut found =
                schema.fields().iter().enumerate().filter(|(_, field)| *field.name() == input.name);
            let (column, field) = match (found.next(), found.next()) {
                (Some(column), None) => column,
                (None, _) => {
                    return Err(broken(format!("expected a column \"{}\", which is missing", input.name)));
                }
                _ => return Err(broken(format!("column \"{}\" stands twice", input.name))),
            };
            let kind = field.data_type();
            let (dtype, fits) = match form {
                Form::Tensor(dtype, shape) => (dtype, arrow::may_become(kind, dtype, shape.len())),
                _ if matches!(kind, DataType::BinaryView | DataType::FixedSizeBinary(_)) => {
                    return Ok(Self::Blobs(column));
                }
                _ => (Dtype::U8, false),
            };
            if !fits {
                let (name, expected) = (&input.name, input.type_name());
                return Err(broken(format!("column \"{name}\": expected {expected}, got {kind}")));
            }
            typed.push((column, dtype));
        }
        Ok(Self::Typed(typed))
    }

    /// The columns that are read, in the file's order.
    fn needed(&self) -> Vec<usize> {
        let mut needed: Vec<usize> = match self {
            Self::Typed(typed) => typed.iter().map(|(column, _)| *column).collect(),
            Self::Blobs(column) => vec![*column],
            Self::Json => Vec::new(),
        };
        needed.sort_unstable();
        needed
    }

    /// The same where only `needed` are read.
    fn projected(self, needed: &[usize]) -> Self {
        let place = |column: usize| needed.binary_search(&column).unwrap_or(column);
        match self {
            Self::Typed(typed) => {
                Self::Typed(typed.into_iter().map(|(column, dtype)| (place(column), dtype)).collect())
            }
            Self::Blobs(column) => Self::Blobs(place(column)),
            Self::Json => Self::Json,
        }
    }
}

impl RowSource for Table {
    type Row = (Arc<RecordBatch>, usize);

    fn next(&mut self) -> Result<Option<Taken<Self::Row>>, RowsError> {
        while self.next >= self.batch.num_rows() {
            let row = self.row;
            let Some(batch) = guarded(|| self.batches.next().transpose().map_err(ParquetError::from))
                .map_err(|cause| match cause {
                    RowsError::Broken(refusal) => broken(format!("after row {row}: {}", refusal.why)).into(),
                    read => read,
                })?
            else {
                return Ok(None);
            };
            (self.batch, self.next) = (Arc::new(batch), 0);
        }
        let place = Place { row: self.row, line: None };
        let row = Ok((self.batch.clone(), self.next));
        self.next += 1;
        self.row += 1;
        Ok(Some(Taken { place, row }))
    }

    fn fill(&self, place: Place, (batch, index): &Self::Row, filler: &mut Filler<'_>) -> Result<(), Refusal> {
        let at = |column: usize| {
            batch.columns().get(column).map_or(Value::Null, |column| arrow::value(column.as_ref(), *index))
        };
        match &self.columns {
            Columns::Json => {
                let path = format!("instances[{}]", place.row);
                let instance = self.config.columns(batch, *index);
                let instance = instance.map_err(|why| Refusal { code: Code::InvalidInstance, path, why })?;
                filler.text(place.row, &instance)
            }
            Columns::Blobs(column) => filler.values(place.row, |values| match at(*column) {
                Value::Bytes(bytes) => values.blob(bytes.to_vec()),
                _ => values.blob(Vec::new()),
            }),
            Columns::Typed(typed) => filler.values(place.row, |values| {
                for (input, &(column, dtype)) in typed.iter().enumerate() {
                    values.input(input);
                    arrow::give(values, (input, dtype), 0, &at(column))?;
                }
                Ok(())
            }),
        }
    }

    fn bytes(_: &Self::Row) -> usize {
        // The batch is held by all its rows together.
        size_of::<Self::Row>()
    }

    fn original(&self, row: Option<Self::Row>) -> Original {
        row.map_or(Original::Lost, |(batch, index)| Original::Columns(batch, index))
    }
}

/// A row as a JSON object.
pub(super) fn object(batch: &RecordBatch, index: usize) -> String {
    let mut text = String::from("{");
    for (number, (field, column)) in batch.schema_ref().fields().iter().zip(batch.columns()).enumerate() {
        if number > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(field.name().as_str()).to_string());
        text.push(':');
        arrow::push_json(&arrow::value(column.as_ref(), index), &mut text);
    }
    text.push('}');
    text
}

/// What the Parquet library answers; a panic of it on a damaged file is an answer too.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, RowsError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ParquetError::External(cause))) if cause.is::<std::io::Error>() => {
            let cause = *cause.downcast::<std::io::Error>().expect("it was looked at");
            match cause.kind() {
                // A file that was cut, or whose pages are not what they say.
                std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::InvalidInput
                | std::io::ErrorKind::Other => Err(not_parquet(&cause)),
                _ => Err(RowsError::Read(cause)),
            }
        }
        Ok(Err(cause)) => Err(not_parquet(&cause)),
        Err(_) => Err(broken("not Parquet: its pages contradict its schema".to_owned()).into()),
    }
}

fn not_parquet(cause: &dyn std::fmt::Display) -> RowsError {
    let text: String = cause.to_string().chars().take(200).collect();
    broken(format!("not Parquet: {text}")).into()
}
