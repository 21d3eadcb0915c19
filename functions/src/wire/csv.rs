//! Tables of comma-separated values (RFC 4180) as instances.

use std::io::Read;

use ampoule_host::{Batch, Dim, Form, Manifest};

use super::{Code, Decoder, Refusal, quoted};

/// Reads a table in chunks of rows.
///
/// The first row is a header if it holds the name of an input; columns are then found by name, and
/// others are passed over. Without a header the columns are the inputs in order.
pub struct Table<'m, R> {
    manifest: &'m Manifest,
    reader: ::csv::Reader<R>,
    /// For each column of the table, the input that it belongs to.
    columns: Vec<Option<usize>>,
    /// The first row, where it is no header.
    first: Option<::csv::StringRecord>,
    /// Rows read so far.
    row: usize,
}

impl<'m, R: Read> Table<'m, R> {
    /// Reads the first row and finds the columns.
    ///
    /// # Errors
    /// A [`Refusal`] that names the columns that are missing, or counts them.
    pub fn new(manifest: &'m Manifest, input: R) -> Result<Self, Refusal> {
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
        let mut first = ::csv::StringRecord::new();
        let some =
            reader.read_record(&mut first).map_err(|cause| invalid("", format!("not CSV: {cause}")))?;
        let inputs = &manifest.inputs;
        let trim = |cell: &str| cell.trim_start_matches('\u{feff}').trim().to_owned();
        let names: Vec<String> = first.iter().map(trim).collect();
        let is_header = names.iter().any(|name| inputs.iter().any(|input| input.name == *name));
        if !some {
            return Ok(Self { manifest, reader, columns: Vec::new(), first: None, row: 0 });
        }
        if is_header {
            if let Some(vector) = inputs.iter().find(|input| !matches!(input.form(), Form::Tensor(_, []))) {
                let why = format!(
                    "expected a table without a header: \"{}\" ({}) is no column",
                    vector.name,
                    vector.type_name()
                );
                return Err(invalid("", why));
            }
            let position = |name: &String| inputs.iter().position(|input| input.name == *name);
            let columns: Vec<Option<usize>> = names.iter().map(position).collect();
            for (index, input) in inputs.iter().enumerate() {
                match columns.iter().filter(|column| **column == Some(index)).count() {
                    1 => {}
                    0 => {
                        return Err(invalid(
                            "",
                            format!("expected a column \"{}\", which is missing", input.name),
                        ));
                    }
                    _ => return Err(invalid("", format!("column \"{}\" stands twice", input.name))),
                }
            }
            return Ok(Self { manifest, reader, columns, first: None, row: 0 });
        }
        let columns = positional(manifest)?;
        if columns.len() != names.len() {
            let shown: Vec<String> = names.iter().take(8).map(|name| quoted(name)).collect();
            let why =
                format!("expected {} columns, got {} ({})", columns.len(), names.len(), shown.join(", "));
            return Err(invalid("", why));
        }
        Ok(Self { manifest, reader, columns, first: Some(first), row: 0 })
    }

    /// The next `rows` rows, or fewer at the end; `None` when there are none left.
    ///
    /// # Errors
    /// A [`Refusal`] with the path `instances[ROW].INPUT`, the rows of the whole table counted from zero.
    pub fn next(&mut self, rows: usize) -> Result<Option<Batch>, Refusal> {
        let mut sink = Decoder::new(self.manifest, rows).rows();
        let start = self.row;
        let mut record = ::csv::StringRecord::new();
        while self.row - start < rows {
            match self.first.take() {
                Some(first) => record = first,
                None => {
                    let read = self.reader.read_record(&mut record);
                    if !read.map_err(|cause| invalid("", format!("not CSV: {cause}")))? {
                        break;
                    }
                }
            }
            if record.len() != self.columns.len() {
                let why = format!("expected {} cells, got {}", self.columns.len(), record.len());
                return Err(invalid(&format!("instances[{}]", self.row), why));
            }
            let cells =
                self.columns.iter().zip(record.iter()).filter_map(|(input, cell)| Some(((*input)?, cell)));
            sink.push(self.row, cells)?;
            self.row += 1;
        }
        Ok((self.row > start).then(|| sink.finish()))
    }
}

/// The inputs of a table without header: each scalar input a column, each vector as many as it is long.
fn positional(manifest: &Manifest) -> Result<Vec<Option<usize>>, Refusal> {
    let mut columns = Vec::new();
    for (index, input) in manifest.inputs.iter().enumerate() {
        let count = match input.form() {
            Form::Tensor(_, []) => Some(1),
            Form::Tensor(_, [Dim::Fixed(size)]) => usize::try_from(*size).ok(),
            _ => None,
        };
        let Some(count) = count else {
            return Err(invalid(
                "",
                format!("input \"{}\" ({}) doesn't fit into a table", input.name, input.type_name()),
            ));
        };
        columns.extend(std::iter::repeat_n(Some(index), count));
    }
    Ok(columns)
}

fn invalid(path: &str, why: String) -> Refusal {
    Refusal { code: Code::InvalidInstance, path: path.to_owned(), why }
}
