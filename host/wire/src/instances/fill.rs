//! [`Filler`]: a batch that is filled row by row, where a row that is refused leaves no trace.

use crate::{Batch, Manifest};
use serde::de::DeserializeSeed as _;

use super::blob::media;
use super::value::{ValueSeed, expected};
use super::{Builder, Code, Forms, InstanceSeed, Part, Refusal, Scalar, Sink};

/// Collects rows into a batch.
pub struct Filler<'a> {
    sink: Sink<'a>,
}

/// What stands in one cell of a table, for the input that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'c> {
    /// The index of its input.
    pub input: usize,
    pub text: &'c str,
    /// Whether the cell is a JSON text: it holds an array.
    pub json: bool,
}

impl<'a> Filler<'a> {
    /// An empty batch for `manifest`'s inputs.
    pub fn new(manifest: &'a Manifest) -> Self {
        Self { sink: Sink::new(&manifest.inputs, usize::MAX) }
    }

    /// How many rows are in it.
    pub fn rows(&self) -> usize {
        self.sink.count
    }

    /// Bytes that the values take.
    pub fn bytes(&self) -> usize {
        match &self.sink.forms {
            Forms::Columns(builders) => builders.iter().map(Builder::bytes).sum(),
            Forms::Media(_, items) => items.iter().map(|item| item.bytes.len()).sum(),
            Forms::Json(items) => items.iter().map(String::len).sum(),
        }
    }

    /// Adds the row that `text`, one JSON value, is.
    ///
    /// # Errors
    /// A [`Refusal`] whose path begins with `instances[ROW]`.
    pub fn text(&mut self, row: usize, text: &str) -> Result<(), Refusal> {
        self.whole(row, |sink| {
            let mut parser = serde_json::Deserializer::from_str(text);
            let parsed = InstanceSeed(sink).deserialize(&mut parser).and_then(|()| parser.end());
            parsed.map_err(|cause| sink.refusal(&cause))
        })
    }

    /// Adds a row of a table. The cells of one vector follow one another.
    ///
    /// # Errors
    /// A [`Refusal`] with the path `instances[ROW].INPUT`.
    pub fn cells<'c>(&mut self, row: usize, cells: impl Iterator<Item = Cell<'c>>) -> Result<(), Refusal> {
        self.whole(row, |sink| {
            for cell in cells {
                sink.cell(row, cell)?;
            }
            let Forms::Columns(builders) = &mut sink.forms else { return Ok(()) };
            builders.iter_mut().for_each(Builder::end_row);
            sink.count += 1;
            Ok(())
        })
    }

    /// Adds a row whose values `values` gives, input by input.
    ///
    /// # Errors
    /// As `values` does; its refusals are of this row.
    pub fn values(
        &mut self,
        row: usize,
        values: impl FnOnce(&mut RowValues<'_, 'a>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.whole(row, |sink| {
            values(&mut RowValues { sink: &mut *sink })?;
            if let Forms::Columns(builders) = &mut sink.forms {
                builders.iter_mut().for_each(Builder::end_row);
            }
            sink.count += 1;
            Ok(())
        })
    }

    /// Adds a row whole, or not at all.
    fn whole(
        &mut self,
        row: usize,
        add: impl FnOnce(&mut Sink<'a>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let rows = self.sink.count;
        self.sink.path.clear();
        self.sink.path.push(Part::Index(row));
        let added = add(&mut self.sink);
        if added.is_err() {
            self.sink.truncate(rows);
        }
        added
    }

    pub fn finish(self) -> Batch {
        self.sink.finish()
    }
}

/// Takes the values of one row.
pub struct RowValues<'s, 'a> {
    sink: &'s mut Sink<'a>,
}

impl RowValues<'_, '_> {
    /// Goes to input `input`, whose values follow.
    pub fn input(&mut self, input: usize) {
        let fields = self.sink.fields;
        self.sink.path.truncate(1);
        if let Some(field) = fields.get(input) {
            self.sink.path.push(Part::Key(&field.name));
        }
    }

    /// One value of `input`, within `axis` arrays.
    ///
    /// # Errors
    /// `expected …, got …`, at this place.
    pub fn scalar(&mut self, input: usize, axis: usize, value: Scalar<'_>) -> Result<(), Refusal> {
        self.sink.scalar(input, axis, value).map_err(|why| self.refuse(why))
    }

    /// An array of `size` elements, within `axis` others; `element` gives each.
    ///
    /// # Errors
    /// Its size is not the signature's, or as `element`.
    pub fn array(
        &mut self,
        input: usize,
        axis: usize,
        size: usize,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Some(builder) = self.sink.builder(input) else { return Ok(()) };
        if axis >= builder.rank() {
            let why = format!("{}, got an array", expected(builder, axis));
            return Err(self.refuse(why));
        }
        match builder.axis(axis) {
            Some(right) if right as usize != size => {
                return Err(self.refuse(format!("expected an array of {right}, got {size}")));
            }
            _ => {}
        }
        self.sink.path.push(Part::Index(0));
        for index in 0..size {
            if let Some(last) = self.sink.path.last_mut() {
                *last = Part::Index(index);
            }
            element(self, index)?;
        }
        self.sink.path.pop();
        if let Some(builder) = self.sink.builder(input) {
            builder.settle(axis, u32::try_from(size).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// A blob; its type is told by its first bytes.
    ///
    /// # Errors
    /// It is none that the model takes.
    pub fn blob(&mut self, bytes: Vec<u8>) -> Result<(), Refusal> {
        media(self.sink, bytes, None).map_err(|why| self.refuse(why))
    }

    fn refuse(&mut self, why: String) -> Refusal {
        let path = self.sink.place();
        Refusal { code: Code::InvalidInstance, path, why }
    }
}

impl Sink<'_> {
    /// Forgets the rows after the first `rows`, and why the last was refused.
    fn truncate(&mut self, rows: usize) {
        match &mut self.forms {
            Forms::Columns(builders) => builders.iter_mut().for_each(|builder| builder.truncate(rows)),
            Forms::Media(_, items) => items.truncate(rows),
            Forms::Json(items) => items.truncate(rows),
        }
        self.count = rows;
        self.refused = None;
    }

    fn cell(&mut self, row: usize, cell: Cell<'_>) -> Result<(), Refusal> {
        let fields = self.fields;
        if cell.json && !cell.text.trim().is_empty() {
            if let Some(field) = fields.get(cell.input) {
                self.path.push(Part::Key(&field.name));
            }
            let mut parser = serde_json::Deserializer::from_str(cell.text);
            let seed = ValueSeed { sink: &mut *self, input: cell.input, axis: 0, alone: false };
            let parsed = seed.deserialize(&mut parser).and_then(|()| parser.end());
            parsed.map_err(|cause| {
                let mut refusal = self.refusal(&cause);
                if refusal.path.is_empty() {
                    refusal.path = format!(
                        "instances[{row}].{}",
                        fields.get(cell.input).map_or("", |field| &field.name)
                    );
                }
                refusal
            })?;
            self.path.truncate(1);
            return Ok(());
        }
        let Forms::Columns(builders) = &mut self.forms else {
            let why = "expected pictures or JSON, got a table".to_owned();
            return Err(Refusal { code: Code::InvalidInstance, path: String::new(), why });
        };
        let Some(builder) = builders.get_mut(cell.input) else { return Ok(()) };
        let pushed =
            if cell.json { builder.push_missing() } else { builder.push(scalar(builder, cell.text)) };
        pushed.map_err(|why| Refusal {
            code: Code::InvalidInstance,
            path: format!("instances[{row}].{}", builder.field().name),
            why,
        })
    }
}

/// What a cell's text means to its column.
fn scalar<'c>(builder: &Builder<'_>, cell: &'c str) -> Scalar<'c> {
    let text = cell.trim();
    match builder.expects() {
        "a string" if text.is_empty() && builder.field().missing => Scalar::Null,
        "a string" => Scalar::Text(cell),
        _ if text.is_empty() => Scalar::Null,
        "true or false" => match text {
            "true" | "True" | "TRUE" | "1" => Scalar::Bool(true),
            "false" | "False" | "FALSE" | "0" => Scalar::Bool(false),
            _ => Scalar::Text(cell),
        },
        _ => {
            if let Ok(whole) = text.parse::<i64>() {
                return Scalar::Signed(whole);
            }
            match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Scalar::Float(number),
                Ok(number) if number.is_nan() && builder.field().missing => Scalar::Null,
                _ => Scalar::Text(cell),
            }
        }
    }
}
