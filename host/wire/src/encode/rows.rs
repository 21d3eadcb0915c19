//! Predictions as the rows of a table (RFC 4180).

use crate::{Batch, Field, Values};
use serde_json::Value;

use super::{Encoder, Form, Writer};

/// One row for each prediction, ended by a line feed, without a header: the columns in their order,
/// an array in as many cells as it has elements, row-major.
///
/// A prediction that is a JSON value is one cell, or as many as an array of values has; a missing
/// value is an empty cell.
///
/// # Errors
/// As [`Encoder::write`]; and a blob fits into no row.
pub fn rows(batch: &Batch, outputs: &[Field]) -> Result<Vec<u8>, String> {
    let mut table = ::csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut write = |cells: &[String]| table.write_record(cells).map_err(|cause| cause.to_string());
    match Encoder::new(batch, outputs).0 {
        Form::Columns(columns) => {
            for row in 0..batch.instances() {
                let mut cells = Vec::new();
                for column in &columns {
                    column.cells(row, &mut cells)?;
                }
                write(&cells)?;
            }
        }
        Form::Json(items) => {
            for (index, item) in items.iter().enumerate() {
                let value = serde_json::from_str(item)
                    .map_err(|cause| format!("predictions[{index}]: expected JSON: {cause}"))?;
                write(&match value {
                    Value::Array(values) => values.into_iter().map(cell).collect(),
                    value => vec![cell(value)],
                })?;
            }
        }
        Form::Media(_) => return Err("predictions: expected rows of a table, got blobs".to_owned()),
    }
    table.into_inner().map_err(|cause| cause.to_string())
}

fn cell(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        value => value.to_string(),
    }
}

impl Writer<'_> {
    fn cells(&self, row: usize, cells: &mut Vec<String>) -> Result<(), String> {
        let shape = self.column.shape.get(1..).unwrap_or_default();
        let size: usize = shape.iter().map(|&axis| axis as usize).product();
        for index in row * size..(row + 1) * size {
            cells.push(match &self.column.values {
                Values::Text(text) => text.get(index).cloned().flatten().unwrap_or_default(),
                Values::Numeric(_) => {
                    let mut text = Vec::new();
                    self.scalar(index, &mut text)
                        .map_err(|why| format!("predictions[{row}].{}: {why}", self.column.name))?;
                    if text == b"null" { String::new() } else { String::from_utf8_lossy(&text).into_owned() }
                }
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Column, ColumnDtype, Media, Numeric};

    use super::*;
    use crate::encode::lines;

    fn column(name: &str, shape: &[u32], values: Values) -> Column {
        Column { name: name.to_owned(), shape: shape.to_vec(), values }
    }

    #[test]
    fn an_array_is_as_many_cells_as_it_has_elements() {
        let numbers: Vec<u8> =
            [0.5f32, f32::NAN, 2.0, -1.25].iter().flat_map(|number| number.to_le_bytes()).collect();
        let batch = Batch::Columns(vec![
            column("label", &[2], Values::Text(vec![Some("a, \"b\"".to_owned()), None])),
            column("scores", &[2, 2, 1], Values::Numeric(Numeric { dtype: ColumnDtype::F32, data: numbers })),
        ]);
        let field = |missing| {
            serde_json::from_value::<Field>(serde_json::json!({ "name": "scores", "missing": missing }))
                .expect("a field")
        };
        let table = rows(&batch, &[field(true)]).expect("it fits into a table");
        assert_eq!(String::from_utf8_lossy(&table), "\"a, \"\"b\"\"\",0.5,\n,2.0,-1.25\n");
        let why = rows(&batch, &[field(false)]).expect_err("a number is missing");
        assert_eq!(why, "predictions[0].scores: expected a finite number, got NaN");
    }

    #[test]
    fn json_is_one_line_and_its_values_are_cells() {
        let batch = Batch::Json(vec!["[1,\n \"x\", null]".to_owned(), "{\"a\": [1]}".to_owned()]);
        let answer = lines(&batch, &[]).expect("JSON has lines");
        assert_eq!(String::from_utf8_lossy(&answer), "[1,  \"x\", null]\n{\"a\": [1]}\n");
        let table = rows(&batch, &[]).expect("JSON fits into cells");
        assert_eq!(String::from_utf8_lossy(&table), "1,x,\n\"{\"\"a\"\":[1]}\"\n");
    }

    #[test]
    fn a_blob_fits_into_no_row() {
        let media = Media { content_type: "image/png".to_owned(), bytes: vec![1], metadata: None };
        let why = rows(&Batch::Media(vec![media]), &[]).expect_err("no row");
        assert!(why.contains("got blobs"), "{why}");
    }
}
