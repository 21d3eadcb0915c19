//! Tables: a header that is held against the signature, and records below it.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use crate::{Batch, Dim, Field, Form, Manifest};

use super::csv::{Flaw, Record, Records};
use super::filling::{RowSource, Taken};
use super::{InstanceConfig, Original, Place, RowsError, broken, not_text, source, too_long};
use crate::{Cell, Code, Filler, Refusal, quoted};

/// The columns of a table, and what each is to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// One for each column.
    pub names: Vec<String>,
    /// For each column, the input that it belongs to.
    columns: Vec<Option<Column>>,
    /// Whether a row is one JSON value: the signature says no more about it.
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    input: usize,
    /// Whether its cells are JSON texts.
    json: bool,
}

impl Header {
    /// Finds the columns. The first record is a header if it holds the name of an input; columns are
    /// then found by name, and others are passed over. Without a header, the columns are the inputs in
    /// order, a vector's elements side by side. For a model that takes any JSON, the first record is a
    /// header always. What is `announced` needs no look.
    ///
    /// # Errors
    /// A [`Refusal`] that names the columns that are missing, or counts them.
    fn new(
        manifest: &Manifest,
        first: &Record,
        announced: Option<FirstRecord>,
    ) -> Result<(Self, FirstRecord), Refusal> {
        let names: Vec<String> = first.cells().map(|(cell, _)| cell.trim().to_owned()).collect();
        let inputs = &manifest.inputs;
        if matches!(inputs.first().map(|input| input.form()), Some(Form::Json)) {
            let columns = vec![None; names.len()];
            return Ok((Self { names, columns, json: true }, FirstRecord::Header));
        }
        if let Some(input) = inputs.iter().find(|input| matches!(input.form(), Form::Media(_))) {
            return Err(unfit(input));
        }
        let by_name: HashMap<&str, usize> =
            inputs.iter().enumerate().map(|(index, input)| (input.name.as_str(), index)).collect();
        let found: Vec<Option<usize>> =
            names.iter().map(|name| by_name.get(name.as_str()).copied()).collect();
        let is_row = found.iter().all(Option::is_none);
        if announced.map_or(is_row, |kind| kind == FirstRecord::Row) {
            return Self::positional(manifest, &names);
        }
        let mut times = vec![0; inputs.len()];
        for &input in found.iter().flatten() {
            times[input] += 1;
        }
        for (times, input) in times.iter().zip(inputs) {
            match times {
                1 => {}
                0 => {
                    return Err(broken(format!("expected a column \"{}\", which is missing", input.name)));
                }
                _ => return Err(broken(format!("column \"{}\" stands twice", input.name))),
            }
        }
        let column = |input: Option<usize>| {
            let input = input?;
            let json = inputs.get(input).is_some_and(|input| !matches!(input.form(), Form::Tensor(_, [])));
            Some(Column { input, json })
        };
        let columns = found.into_iter().map(column).collect();
        Ok((Self { names, columns, json: false }, FirstRecord::Header))
    }

    fn positional(manifest: &Manifest, got: &[String]) -> Result<(Self, FirstRecord), Refusal> {
        let (mut names, mut columns) = (Vec::new(), Vec::new());
        for (index, input) in manifest.inputs.iter().enumerate() {
            let column = Some(Column { input: index, json: false });
            match input.form() {
                Form::Tensor(_, []) => {
                    names.push(input.name.clone());
                    columns.push(column);
                }
                Form::Tensor(_, [Dim::Fixed(size)]) => {
                    names.extend((0..*size).map(|element| format!("{}_{element}", input.name)));
                    columns.extend((0..*size).map(|_| column));
                }
                _ => return Err(unfit(input)),
            }
        }
        if columns.len() != got.len() {
            let shown: Vec<String> = got.iter().take(8).map(|name| quoted(name)).collect();
            let why = format!("expected {} columns, got {} ({})", columns.len(), got.len(), shown.join(", "));
            return Err(broken(why));
        }
        Ok((Self { names, columns, json: false }, FirstRecord::Row))
    }

    /// Adds a record to a batch.
    ///
    /// # Errors
    /// A [`Refusal`] with the path `instances[ROW].INPUT`.
    pub(super) fn fill(
        &self,
        row: usize,
        record: &Record,
        config: &InstanceConfig,
        filler: &mut Filler<'_>,
    ) -> Result<(), Refusal> {
        if record.len() != self.names.len() {
            let why = format!("expected {} cells, got {}", self.names.len(), record.len());
            return Err(Refusal { code: Code::InvalidInstance, path: format!("instances[{row}]"), why });
        }
        if self.json {
            let path = format!("instances[{row}]");
            let instance = config.record(&self.names, record);
            let instance = instance.map_err(|why| Refusal { code: Code::InvalidInstance, path, why })?;
            return filler.text(row, &instance);
        }
        let cells = self.columns.iter().zip(record.cells()).filter_map(|(column, (text, _))| {
            let Column { input, json } = (*column)?;
            Some(Cell { input, text, json })
        });
        filler.cells(row, cells)
    }
}

fn unfit(input: &Field) -> Refusal {
    let (name, kind) = (&input.name, input.type_name());
    broken(format!("input \"{name}\" ({kind}) doesn't fit into a table"))
}

/// A record as a JSON array: a cell in quotes is a string, one without is a number if it reads as
/// one, and null if it is empty.
pub(super) fn array(record: &Record) -> String {
    let mut text = String::from("[");
    for (index, cell) in record.cells().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push_value(cell, &mut text);
    }
    text.push(']');
    text
}

/// A cell as a JSON value.
pub(super) fn push_value((cell, quoted): (&str, bool), into: &mut String) {
    let bare = cell.trim();
    if !quoted && bare.is_empty() {
        into.push_str("null");
    } else if !quoted && is_number(bare) {
        into.push_str(bare);
    } else {
        into.push_str(&serde_json::Value::from(cell).to_string());
    }
}

/// Whether a text is a number as JSON writes them.
fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && serde_json::from_str::<f64>(text).is_ok()
}

impl Header {
    /// For each column, the input that it belongs to.
    pub(super) fn inputs(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        self.columns.iter().map(|column| column.map(|column| column.input))
    }
}

/// What the first record of a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRecord {
    Header,
    Row,
}

/// The rows of a table.
pub(super) struct Table<R> {
    records: Records<R>,
    header: Arc<Header>,
    /// The first record and its line, where it is a row.
    first: Option<super::csv::Read>,
    row: usize,
    config: InstanceConfig,
}

impl<R: BufRead> Table<R> {
    /// Reads the first record and finds the columns.
    pub fn new(
        manifest: &Manifest,
        input: R,
        max_bytes: usize,
        config: InstanceConfig,
    ) -> Result<Self, RowsError> {
        Self::announced(manifest, input, max_bytes, config, None)
    }

    /// The same where it may be known what the first record is.
    fn announced(
        manifest: &Manifest,
        input: R,
        max_bytes: usize,
        config: InstanceConfig,
        announced: Option<FirstRecord>,
    ) -> Result<Self, RowsError> {
        let mut records = Records::new(input, max_bytes);
        let Some(first) = records.next()? else {
            let header = Arc::new(Header { names: Vec::new(), columns: Vec::new(), json: false });
            return Ok(Self { records, header, first: None, row: 0, config });
        };
        let place = Place { row: 0, line: Some(first.line) };
        let record = first.record.as_ref().map_err(|flaw| flaw.refusal(place, records.max_bytes))?;
        let (header, kind) = Header::new(manifest, record, announced)?;
        let first = (kind == FirstRecord::Row).then_some(first);
        Ok(Self { records, header: Arc::new(header), first, row: 0, config })
    }
}

impl Flaw {
    fn refusal(&self, place: Place, max_bytes: usize) -> Refusal {
        match self {
            Self::TooLong(bytes) => too_long(place, max_bytes, *bytes),
            Self::NotText(cause) => not_text(place, *cause),
        }
    }
}

impl<R: BufRead + Send> RowSource for Table<R> {
    type Row = Record;

    fn next(&mut self) -> Result<Option<Taken<Record>>, RowsError> {
        let read = match self.first.take() {
            Some(first) => first,
            None => match self.records.next()? {
                Some(read) => read,
                None => return Ok(None),
            },
        };
        let place = Place { row: self.row, line: Some(read.line) };
        self.row += 1;
        let row = read.record.map_err(|flaw| flaw.refusal(place, self.records.max_bytes));
        Ok(Some(Taken { place, row }))
    }

    fn fill(&self, place: Place, row: &Record, filler: &mut Filler<'_>) -> Result<(), Refusal> {
        self.header.fill(place.row, row, &self.config, filler)
    }

    fn bytes(row: &Record) -> usize {
        row.bytes()
    }

    fn original(&self, row: Option<Record>) -> Original {
        Original::Record(self.header.clone(), row.unwrap_or_default())
    }
}

/// Reads a whole table that lies in memory, of at most `max_rows` rows; `first` says what its first
/// record is, where that is known.
///
/// # Errors
/// A [`Refusal`] for the first row that doesn't fit, or of what is wrong with the table.
pub fn read_table(
    manifest: &Manifest,
    table: &[u8],
    max_rows: usize,
    first: Option<FirstRecord>,
) -> Result<Batch, Refusal> {
    let refusal = |cause| match cause {
        RowsError::Broken(refusal) => refusal,
        RowsError::Read(cause) => broken(format!("can't read the table: {cause}")),
    };
    let config = InstanceConfig::default();
    let mut rows =
        Table::announced(manifest, source::unmarked(table), usize::MAX, config, first).map_err(refusal)?;
    let mut filler = Filler::new(manifest);
    while let Some(Taken { place, row }) = rows.next().map_err(refusal)? {
        if place.row >= max_rows {
            let why = format!("expected at most {max_rows} instances (limit max_instances), got more");
            return Err(Refusal { code: Code::TooLarge, path: String::new(), why });
        }
        rows.fill(place, &row?, &mut filler)?;
    }
    Ok(filler.finish())
}
