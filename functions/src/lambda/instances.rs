//! Instances that came one by one, predicted together: one that can't be predicted fails alone.

use std::collections::BTreeMap;
use std::io::Cursor;

use ampoule_host::{Batch, Column, Error, Fault, Field, Manifest, Model, Numeric, Values};
use futures::StreamExt as _;

use ampoule_wire::rows::{self, Bounds, Format, Keep, RowsError};
use ampoule_wire::{self as wire, Code, Refusal, encode, media};

/// One instance, as it came.
pub enum Instance<'a> {
    /// The text of a JSON value, or a blob as it is.
    Bytes(Vec<u8>),
    /// The text of a JSON value.
    Json(&'a str),
    /// Cells by the names of their columns.
    Row(&'a BTreeMap<String, String>),
}

/// What became of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicted {
    /// The text of its prediction.
    Done(String),
    /// It can't be predicted, now or later.
    Refused { code: &'static str, error: String },
    /// It may be predicted another time.
    Failed { error: String },
}

/// Predicts each of `instances`; a result for each, in their order.
pub async fn predict(model: &Model, instances: Vec<Instance<'_>>) -> Vec<Predicted> {
    let mut results: Vec<Option<Predicted>> = instances.iter().map(|_| None).collect();
    let mut calls: Vec<(Vec<usize>, Batch)> = Vec::new();
    let (mut lines, mut table) = (Texts::lines(), Texts::table(model.manifest()));
    for (index, instance) in instances.into_iter().enumerate() {
        let refused = match instance {
            Instance::Json(text) => lines.line(index, text),
            Instance::Row(cells) => table.record(index, model.manifest(), cells),
            Instance::Bytes(bytes) => match text(model.manifest(), bytes) {
                Ok(Value::Text(text)) => lines.line(index, &text),
                Ok(Value::Blob(blob)) => {
                    calls.push((vec![index], blob));
                    Ok(())
                }
                Err(refusal) => Err(refusal),
            },
        };
        if let (Err(refusal), Some(result)) = (refused, results.get_mut(index)) {
            *result = Some(refuse(refusal));
        }
    }
    let bounds = crate::rows::bounds(model.host().limits());
    for (texts, format) in [(lines, Format::Jsonl), (table.written(), Format::Csv)] {
        texts.read(model.manifest(), format, bounds, &mut calls, &mut results);
    }
    let at_once = model.host().limits().max_concurrent_calls.max(1);
    let calls = calls.into_iter().map(|(indices, batch)| async move {
        let predicted = call(model, batch).await;
        indices.into_iter().zip(predicted)
    });
    let mut calls = futures::stream::iter(calls).buffer_unordered(at_once);
    while let Some(predicted) = calls.next().await {
        for (index, predicted) in predicted {
            if let Some(result) = results.get_mut(index) {
                *result = Some(predicted);
            }
        }
    }
    let missing = || Predicted::Failed { error: "no prediction came".to_owned() };
    results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
}

/// Each came by itself, so that its number in a file says nothing.
fn refuse(refusal: Refusal) -> Predicted {
    let path = refusal.path.trim_start_matches(|other| other != ']').trim_start_matches([']', '.']);
    let path = if refusal.path.starts_with("instances[") { path } else { &refusal.path }.to_owned();
    Predicted::Refused { code: refusal.code.name(), error: Refusal { path, ..refusal }.to_string() }
}

/// What a value's bytes are.
enum Value {
    Text(String),
    Blob(Batch),
}

fn text(manifest: &Manifest, bytes: Vec<u8>) -> Result<Value, Refusal> {
    let is_blob = manifest.takes_media().is_some()
        // A blob can come within JSON too.
        && (media::sniff(&bytes).is_some() || !matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'"')));
    if is_blob {
        return wire::blob(manifest, bytes, None).map(Value::Blob);
    }
    String::from_utf8(bytes).map(Value::Text).map_err(|_| Refusal {
        code: Code::InvalidJson,
        path: String::new(),
        why: "expected JSON in UTF-8, got other bytes".to_owned(),
    })
}

/// Instances as the file that they would stand in.
struct Texts<F> {
    file: F,
    /// Whose each row is.
    owners: Vec<usize>,
}

impl Texts<csv::Writer<Vec<u8>>> {
    /// A table whose columns are the inputs.
    fn table(manifest: &Manifest) -> Self {
        let mut table = Self { file: csv::Writer::from_writer(Vec::new()), owners: Vec::new() };
        table.cells(manifest.inputs.iter().map(|input| input.name.as_str()));
        table
    }

    fn record(
        &mut self,
        owner: usize,
        manifest: &Manifest,
        cells: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let cell = |input: &Field| {
            cells.get(&input.name).map(String::as_str).ok_or_else(|| Refusal {
                code: Code::InvalidInstance,
                path: String::new(),
                why: format!("expected a column \"{}\", which is missing", input.name),
            })
        };
        let cells: Vec<&str> = manifest.inputs.iter().map(cell).collect::<Result<_, _>>()?;
        self.cells(cells.into_iter());
        self.owners.push(owner);
        Ok(())
    }

    fn cells<'c>(&mut self, cells: impl Iterator<Item = &'c str>) {
        self.file.write_record(cells).expect("records of one length can be written into memory");
    }

    fn written(self) -> Texts<Vec<u8>> {
        let file = self.file.into_inner().expect("memory takes what is written");
        Texts { file, owners: self.owners }
    }
}

impl Texts<Vec<u8>> {
    fn lines() -> Self {
        Self { file: Vec::new(), owners: Vec::new() }
    }

    fn line(&mut self, owner: usize, text: &str) -> Result<(), Refusal> {
        if text.trim().is_empty() {
            let why = "expected JSON, got nothing".to_owned();
            return Err(Refusal { code: Code::InvalidJson, path: String::new(), why });
        }
        // Outside of strings a line's end is a space, and inside it is none.
        self.file.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        self.file.push(b'\n');
        self.owners.push(owner);
        Ok(())
    }

    /// Reads the file into calls, and the results of rows that are no instances.
    fn read(
        self,
        manifest: &Manifest,
        format: Format,
        bounds: Bounds,
        calls: &mut Vec<(Vec<usize>, Batch)>,
        results: &mut [Option<Predicted>],
    ) {
        if self.owners.is_empty() {
            return;
        }
        let batches = rows::read(manifest, format, bounds, Keep::Nothing, Cursor::new(self.file));
        let mut refuse_all = |cause: &RowsError| {
            let error = cause.to_string();
            for owner in &self.owners {
                if let Some(result @ None) = results.get_mut(*owner) {
                    *result = Some(Predicted::Refused { code: "invalid_instance", error: error.clone() });
                }
            }
        };
        let batches = match batches {
            Ok(batches) => batches,
            Err(cause) => return refuse_all(&cause),
        };
        let mut given = Vec::new();
        for rows in batches {
            match rows {
                Ok(rows) => given.push(rows),
                Err(cause) => return refuse_all(&cause),
            }
        }
        for rows in given {
            let mut owners = Vec::with_capacity(rows.rows.len());
            for row in rows.rows {
                let Some(&owner) = self.owners.get(row.place.row) else { continue };
                match row.refused {
                    None => owners.push(owner),
                    Some(refusal) => {
                        if let Some(result) = results.get_mut(owner) {
                            *result = Some(refuse(refusal));
                        }
                    }
                }
            }
            if !owners.is_empty() {
                calls.push((owners, rows.batch));
            }
        }
    }
}

/// Predicts a batch; where the model refuses it, each of its instances by itself.
async fn call(model: &Model, batch: Batch) -> Vec<Predicted> {
    let count = batch.instances();
    let kept = (count > 1).then(|| batch.clone());
    let (refused, kept) = match (predicted(model, batch).await, kept) {
        (Ok(texts), _) => return texts.into_iter().map(Predicted::Done).collect(),
        (Err(error), Some(kept)) if !error.kind().retry => (error, kept),
        (Err(error), _) => return vec![failed(model, &error); count],
    };
    tracing::debug!(cause = %refused, count, "predicting one by one");
    let mut all = Vec::with_capacity(count);
    for batch in split(&kept) {
        all.push(match predicted(model, batch).await {
            Ok(texts) => texts.into_iter().next().map_or_else(|| failed(model, &refused), Predicted::Done),
            Err(error) => failed(model, &error),
        });
    }
    all
}

/// The texts of a batch's predictions.
async fn predicted(model: &Model, batch: Batch) -> Result<Vec<String>, Error> {
    let count = batch.instances();
    let answer = model.predict(batch, None).await?;
    // No JSON text has a zero in it.
    let mut joined = Vec::new();
    encode::predictions(&answer.predictions, &model.manifest().outputs, b"\0", &mut joined)
        .map_err(Error::Contract)?;
    let texts: Result<Vec<String>, _> =
        joined.split(|&byte| byte == 0).map(|text| String::from_utf8(text.to_vec())).collect();
    match texts {
        Ok(texts) if texts.len() == count => Ok(texts),
        _ => Err(Error::Contract(format!("expected {count} predictions as JSON, got others"))),
    }
}

fn failed(model: &Model, error: &Error) -> Predicted {
    let kind = error.kind();
    if kind.fault != Fault::Caller {
        tracing::error!(model = model.name(), code = error.code(), cause = %error, "a call failed");
    }
    match (kind.fault, kind.retry) {
        (Fault::Caller, false) => Predicted::Refused { code: error.code(), error: error.to_string() },
        (Fault::Model, false) => {
            Predicted::Refused { code: error.code(), error: "the model failed on it".to_owned() }
        }
        _ => Predicted::Failed { error: error.to_string() },
    }
}

/// Each instance of a batch by itself.
fn split(batch: &Batch) -> Vec<Batch> {
    match batch {
        Batch::Json(items) => items.iter().map(|item| Batch::Json(vec![item.clone()])).collect(),
        Batch::Media(items) => items.iter().map(|item| Batch::Media(vec![item.clone()])).collect(),
        Batch::Columns(columns) => {
            let row = |row: usize| {
                let column = |column: &Column| {
                    let rows = column.shape.first().map_or(1, |&rows| rows as usize).max(1);
                    let values = match &column.values {
                        Values::Numeric(Numeric { dtype, data }) => {
                            let size = data.len() / rows;
                            let data = data.get(row * size..(row + 1) * size).unwrap_or_default().to_vec();
                            Values::Numeric(Numeric { dtype: *dtype, data })
                        }
                        Values::Text(text) => {
                            let size = text.len() / rows;
                            Values::Text(text.get(row * size..(row + 1) * size).unwrap_or_default().to_vec())
                        }
                    };
                    let mut shape = column.shape.clone();
                    if let Some(rows) = shape.first_mut() {
                        *rows = 1;
                    }
                    Column { name: column.name.clone(), shape, values }
                };
                Batch::Columns(columns.iter().map(column).collect())
            };
            (0..batch.instances()).map(row).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_one_empty_cell_is_a_row() {
        let manifest = r#"{"ampoule": 1, "name": "m", "version": "1",
            "inputs": [{"name": "x", "dtype": "string"}], "outputs": [{"name": "y", "dtype": "f64"}]}"#;
        let manifest = Manifest::from_json(manifest.as_bytes()).expect("a manifest");
        let mut table = Texts::table(&manifest);
        for (owner, cell) in ["", "b", "", "a\"\r\n,"].into_iter().enumerate() {
            let cells = BTreeMap::from([("x".to_owned(), cell.to_owned())]);
            table.record(owner + 1, &manifest, &cells).expect("the input is there");
        }
        let (mut calls, mut results) = (Vec::new(), vec![None; 5]);
        let bounds = Bounds { rows: 10, bytes: 1 << 20, row_bytes: 1 << 16 };
        table.written().read(&manifest, Format::Csv, bounds, &mut calls, &mut results);
        assert_eq!(results, vec![None; 5]);
        let [(owners, Batch::Columns(columns))] = calls.as_slice() else {
            panic!("expected one call of rows")
        };
        assert_eq!(owners, &[1, 2, 3, 4]);
        let [Column { values: Values::Text(cells), .. }] = columns.as_slice() else {
            panic!("expected a column of texts, got {columns:?}")
        };
        let cells: Vec<_> = cells.iter().map(Option::as_deref).collect();
        assert_eq!(cells, [Some(""), Some("b"), Some(""), Some("a\"\r\n,")]);
    }
}
