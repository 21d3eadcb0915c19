//! Columns: the input's, the predictions' with their types, and what is wrong with a row.

use std::io::Write;
use std::sync::Arc;

use crate::{Batch, Column, ColumnDtype, Field, Form, Manifest, Numeric, Values};
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::types as t;
use arrow_array::{
    Array as _, ArrayRef, ArrowPrimitiveType, BooleanArray, ListArray, PrimitiveArray, RecordBatch,
    StringArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::Schema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{Lay, WriteError, Written, check_columns, free_name};
use crate::rows::{InstanceConfig, Original, Rows};
use crate::{Filler, column_dtype};

/// Writes one row for each row of the input.
pub(super) struct Columns<'a, W: Write + Send> {
    manifest: &'a Manifest,
    /// Where the file goes, until its first rows have shown its columns.
    out: Option<W>,
    writer: Option<ArrowWriter<W>>,
    written: Written,
}

/// Bytes of a row group, which the writer holds in memory.
const GROUP_BYTES: usize = 32 << 20;

impl<'a, W: Write + Send> Columns<'a, W> {
    pub fn new(manifest: &'a Manifest, out: W) -> Self {
        let written = Written::new("application/vnd.apache.parquet", "parquet");
        Self { manifest, out: Some(out), writer: None, written }
    }

    fn writer(&mut self, schema: &Arc<Schema>) -> Result<&mut ArrowWriter<W>, WriteError> {
        if let Some(out) = self.out.take() {
            let properties = WriterProperties::builder()
                .set_created_by("ampoule".to_owned())
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .set_max_row_group_bytes(Some(GROUP_BYTES))
                .build();
            // The Arrow schema would say which of several Arrow types the rows came through.
            let options =
                ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
            self.writer =
                Some(ArrowWriter::try_new_with_options(out, schema.clone(), options).map_err(failed)?);
        }
        let writer = self.writer.as_mut().ok_or_else(|| WriteError::Contract("not open".to_owned()))?;
        Ok(writer)
    }

    /// Writes rows `from..to`, which came in one way, with the predictions from instance `instance` on.
    fn run(
        &mut self,
        rows: &Rows,
        (from, to): (usize, usize),
        (predictions, instance): (&Batch, usize),
    ) -> Result<(), WriteError> {
        let (originals, run) = (&rows.originals[from..to], &rows.rows[from..to]);
        let mut names: Vec<String> = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        // For each row, the instance that it is.
        let mut next = 0;
        let picks: Vec<Option<usize>> = run
            .iter()
            .map(|row| {
                let pick = row.refused.is_none().then_some(next);
                next += usize::from(pick.is_some());
                pick
            })
            .collect();
        match originals.first() {
            Some(Original::Columns(batch, index)) => {
                let slice = batch.slice(*index, to - from);
                for (field, array) in slice.schema_ref().fields().iter().zip(slice.columns()) {
                    names.push(field.name().clone());
                    arrays.push(array.clone());
                }
            }
            _ => self.decoded(originals, run, &picks, &mut names, &mut arrays)?,
        }
        let shifted: Vec<Option<usize>> = picks.iter().map(|pick| pick.map(|pick| pick + instance)).collect();
        for (name, array) in outputs(predictions, &self.manifest.outputs, &shifted)? {
            names.push(free_name(&name, &names));
            arrays.push(array);
        }
        names.push(free_name("error", &names));
        let errors = run.iter().map(|row| row.refused.as_ref().map(ToString::to_string));
        arrays.push(Arc::new(StringArray::from_iter(errors)));
        let fields: Vec<arrow_schema::Field> = names
            .iter()
            .zip(&arrays)
            .map(|(name, array)| arrow_schema::Field::new(name, array.data_type().clone(), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), arrays)
            .map_err(|cause| WriteError::Contract(cause.to_string()))?;
        self.writer(&schema)?.write(&batch).map_err(failed)
    }

    /// The columns of rows that came as text: those of the signature with its types, and others of a
    /// table as strings.
    fn decoded(
        &self,
        originals: &[Original],
        run: &[crate::rows::Row],
        picks: &[Option<usize>],
        names: &mut Vec<String>,
        arrays: &mut Vec<ArrayRef>,
    ) -> Result<(), WriteError> {
        let inputs = &self.manifest.inputs;
        let header = originals.iter().find_map(|original| match original {
            Original::Record(header, _) => Some(header.clone()),
            _ => None,
        });
        if originals.iter().any(|original| matches!(original, Original::Name(_))) {
            let values = originals.iter().map(|original| match original {
                Original::Name(name) => Some(name.as_str()),
                _ => None,
            });
            names.push("name".to_owned());
            arrays.push(Arc::new(StringArray::from_iter(values)));
            return Ok(());
        }
        let is_open = |field: &Field| !matches!(field.form(), Form::Tensor(..));
        if header.is_none() && inputs.iter().any(is_open) {
            let values = originals.iter().map(|original| match original {
                Original::Json(text) => Some(text.as_str()),
                _ => None,
            });
            names.push(inputs.first().map_or("instance", |input| &input.name).to_owned());
            arrays.push(Arc::new(StringArray::from_iter(values)));
            return Ok(());
        }
        let mut typed: Vec<Option<ArrayRef>> = vec![None; inputs.len()];
        if !inputs.iter().any(is_open) {
            let mut filler = Filler::new(self.manifest);
            for (row, original) in run.iter().zip(originals).filter(|(row, _)| row.refused.is_none()) {
                let filled = match original {
                    Original::Json(text) => filler.text(row.place.row, text),
                    Original::Record(header, record) => {
                        header.fill(row.place.row, record, &InstanceConfig::default(), &mut filler)
                    }
                    _ => Ok(()),
                };
                filled.map_err(|cause| WriteError::Contract(cause.to_string()))?;
            }
            if let Batch::Columns(columns) = filler.finish() {
                for ((place, column), field) in typed.iter_mut().zip(&columns).zip(inputs) {
                    *place = Some(array(column, field, picks));
                }
            }
        }
        let Some(header) = header else {
            for (input, array) in inputs.iter().zip(typed) {
                names.push(input.name.clone());
                arrays.push(array.ok_or_else(|| WriteError::Contract("no rows".to_owned()))?);
            }
            return Ok(());
        };
        for (column, (name, input)) in header.names.iter().zip(header.inputs()).enumerate() {
            match input {
                Some(input) => {
                    if let (Some(array), Some(field)) =
                        (typed.get_mut(input).and_then(Option::take), inputs.get(input))
                    {
                        names.push(free_name(&field.name, names));
                        arrays.push(array);
                    }
                }
                None => {
                    let cells = originals.iter().map(|original| match original {
                        Original::Record(_, record) => record.cells().nth(column).map(|(cell, _)| cell),
                        _ => None,
                    });
                    names.push(free_name(name, names));
                    arrays.push(Arc::new(StringArray::from_iter(cells)));
                }
            }
        }
        Ok(())
    }
}

impl<W: Write + Send> Lay for Columns<'_, W> {
    fn write(&mut self, rows: &Rows, predictions: &Batch) -> Result<(), WriteError> {
        check_columns(predictions, &self.manifest.outputs)?;
        let (mut from, mut instance) = (0, 0);
        while from < rows.rows.len() {
            let to = match rows.originals.get(from) {
                // Rows of one batch of columns follow one another in it.
                Some(Original::Columns(batch, _)) => {
                    let same = |original: &Original| matches!(original, Original::Columns(other, _) if Arc::ptr_eq(batch, other));
                    let others = rows.originals.get(from..).unwrap_or_default();
                    from + others.iter().take_while(|original| same(original)).count()
                }
                _ => rows.rows.len(),
            };
            self.run(rows, (from, to), (predictions, instance))?;
            instance += rows
                .rows
                .get(from..to)
                .unwrap_or_default()
                .iter()
                .filter(|row| row.refused.is_none())
                .count();
            from = to;
        }
        self.written.count(rows);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Written, WriteError> {
        if self.writer.is_none() {
            // No row has shown the input's columns: those of the signature are there.
            let rows = Rows { batch: Batch::Json(Vec::new()), rows: Vec::new(), originals: Vec::new() };
            self.run(&rows, (0, 0), (&Batch::Json(Vec::new()), 0))?;
        }
        let writer = self.writer.take().ok_or_else(|| WriteError::Contract("not open".to_owned()))?;
        writer.into_inner().map_err(failed)?.flush()?;
        Ok(self.written)
    }
}

/// The predictions' columns, null where there is none.
fn outputs(
    predictions: &Batch,
    outputs: &[Field],
    picks: &[Option<usize>],
) -> Result<Vec<(String, ArrayRef)>, WriteError> {
    let name = outputs.first().map_or("prediction", |field| &field.name).to_owned();
    let tensors = outputs.iter().all(|field| matches!(field.form(), Form::Tensor(..)));
    // Where every row was refused, the signature tells the types.
    let none = Batch::Media(Vec::new());
    let blobs = outputs.iter().any(|field| matches!(field.form(), Form::Media(_)));
    let predictions = if blobs && predictions.instances() == 0 { &none } else { predictions };
    Ok(match predictions {
        Batch::Columns(columns) if tensors => columns
            .iter()
            .zip(outputs)
            .map(|(column, field)| (field.name.clone(), array(column, field, picks)))
            .collect(),
        Batch::Media(items) => {
            let mut bytes = BinaryBuilder::new();
            let mut types = StringBuilder::new();
            for pick in picks {
                let item = pick.and_then(|pick| items.get(pick));
                bytes.append_option(item.map(|item| &item.bytes));
                types.append_option(item.map(|item| &item.content_type));
            }
            let types_name = format!("{name}_type");
            vec![(name, Arc::new(bytes.finish()) as ArrayRef), (types_name, Arc::new(types.finish()))]
        }
        Batch::Json(items) if !tensors => {
            let values = picks.iter().map(|pick| pick.and_then(|pick| items.get(pick)));
            vec![(name, Arc::new(StringArray::from_iter(values)) as ArrayRef)]
        }
        _ if tensors && picks.iter().all(Option::is_none) => {
            let empty = |field: &Field| {
                let Form::Tensor(dtype, shape) = field.form() else { return None };
                let shape = vec![0; 1 + shape.len()];
                let values = match column_dtype(dtype) {
                    Some(dtype) => Values::Numeric(Numeric { dtype, data: Vec::new() }),
                    None => Values::Text(Vec::new()),
                };
                let column = Column { name: field.name.clone(), shape, values };
                Some((field.name.clone(), array(&column, field, picks)))
            };
            outputs.iter().filter_map(empty).collect()
        }
        _ => return Err(WriteError::Contract("expected predictions of the signature's form".to_owned())),
    })
}

/// A column as an array: for each of `picks`, that instance's value or list, or null.
fn array(column: &Column, field: &Field, picks: &[Option<usize>]) -> ArrayRef {
    let axes = column.shape.get(1..).unwrap_or_default();
    if axes.is_empty() {
        return leaf(&column.values, picks, field.missing);
    }
    let sizes: Vec<usize> = axes.iter().map(|&axis| axis as usize).collect();
    let count: usize = sizes.iter().product();
    let elements: Vec<Option<usize>> =
        picks.iter().flatten().flat_map(|pick| (pick * count..(pick + 1) * count).map(Some)).collect();
    let mut inner = leaf(&column.values, &elements, field.missing);
    let rows = picks.iter().flatten().count();
    // From the innermost axis outwards: how many lists there are, and how long each is.
    for axis in (1..sizes.len()).rev() {
        let lists = rows * sizes.iter().take(axis).product::<usize>();
        let size = sizes.get(axis).copied().unwrap_or(0);
        inner = list(OffsetBuffer::from_lengths(std::iter::repeat_n(size, lists)), inner, None);
    }
    let outer = sizes.first().copied().unwrap_or(0);
    let lengths = picks.iter().map(|pick| if pick.is_some() { outer } else { 0 });
    let nulls = NullBuffer::from_iter(picks.iter().map(Option::is_some));
    list(OffsetBuffer::from_lengths(lengths), inner, Some(nulls))
}

fn list(offsets: OffsetBuffer<i32>, items: ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    let field = arrow_schema::Field::new_list_field(items.data_type().clone(), true);
    Arc::new(ListArray::new(Arc::new(field), offsets, items, nulls))
}

/// The elements `picks` of a column; where values may be missing, NaN is null.
fn leaf(values: &Values, picks: &[Option<usize>], missing: bool) -> ArrayRef {
    let Numeric { dtype, data } = match values {
        Values::Numeric(numeric) => numeric,
        Values::Text(text) => {
            let value = |pick: &Option<usize>| text.get((*pick)?)?.as_deref();
            return Arc::new(StringArray::from_iter(picks.iter().map(value)));
        }
    };
    match dtype {
        ColumnDtype::Bool => {
            let value = |pick: &Option<usize>| data.get((*pick)?).map(|byte| *byte != 0);
            Arc::new(BooleanArray::from_iter(picks.iter().map(value)))
        }
        ColumnDtype::U8 => numbers::<t::UInt8Type, 1>(data, picks, |bytes| Some(u8::from_le_bytes(bytes))),
        ColumnDtype::I8 => numbers::<t::Int8Type, 1>(data, picks, |bytes| Some(i8::from_le_bytes(bytes))),
        ColumnDtype::I16 => numbers::<t::Int16Type, 2>(data, picks, |bytes| Some(i16::from_le_bytes(bytes))),
        ColumnDtype::I32 => numbers::<t::Int32Type, 4>(data, picks, |bytes| Some(i32::from_le_bytes(bytes))),
        ColumnDtype::I64 => numbers::<t::Int64Type, 8>(data, picks, |bytes| Some(i64::from_le_bytes(bytes))),
        ColumnDtype::F16 => numbers::<t::Float16Type, 2>(data, picks, |bytes| {
            Some(half::f16::from_le_bytes(bytes)).filter(|number| !(missing && number.is_nan()))
        }),
        ColumnDtype::F32 => numbers::<t::Float32Type, 4>(data, picks, |bytes| {
            Some(f32::from_le_bytes(bytes)).filter(|number| !(missing && number.is_nan()))
        }),
        ColumnDtype::F64 => numbers::<t::Float64Type, 8>(data, picks, |bytes| {
            Some(f64::from_le_bytes(bytes)).filter(|number| !(missing && number.is_nan()))
        }),
    }
}

fn numbers<T: ArrowPrimitiveType, const N: usize>(
    data: &[u8],
    picks: &[Option<usize>],
    read: impl Fn([u8; N]) -> Option<T::Native>,
) -> ArrayRef {
    let value = |pick: &Option<usize>| {
        let start = (*pick)? * N;
        read(data.get(start..start + N)?.try_into().ok()?)
    };
    Arc::new(picks.iter().map(value).collect::<PrimitiveArray<T>>())
}

fn failed(cause: ParquetError) -> WriteError {
    match cause {
        ParquetError::External(cause) if cause.is::<std::io::Error>() => {
            WriteError::Io(*cause.downcast::<std::io::Error>().expect("it was looked at"))
        }
        other => WriteError::Contract(format!("the columns don't fit the file's: {other}")),
    }
}
