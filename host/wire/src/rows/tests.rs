//! What rows come of which bytes, whatever the chunks they come in.

mod columns;
mod golden;
mod hostile;
mod layouts;
mod text;

use std::io::{self, Read};

use crate::{Batch, Field, Manifest};
use serde_json::{Value, json};

use super::{Bounds, Format, InstanceConfig, Keep, Layout, Rows, RowsError, Writer, read};
use crate::encode;

/// A manifest of these inputs and outputs.
fn manifest(inputs: &Value, outputs: &Value) -> Manifest {
    let text = json!({ "ampoule": 1, "name": "m", "version": "1", "inputs": inputs, "outputs": outputs });
    Manifest::from_json(text.to_string().as_bytes()).expect("a manifest")
}

/// A number, an integer, a word that may be missing.
fn typed() -> Manifest {
    manifest(
        &json!([
            { "name": "size", "dtype": "f64" },
            { "name": "count", "dtype": "i64" },
            { "name": "word", "dtype": "string", "missing": true },
        ]),
        &json!([{ "name": "y", "dtype": "f64" }]),
    )
}

/// Any JSON value.
fn open() -> Manifest {
    manifest(&json!([{ "name": "instance" }]), &json!([{ "name": "prediction" }]))
}

const BOUNDS: Bounds = Bounds { rows: 3, bytes: 1 << 20, row_bytes: 1 << 16 };

/// Gives its bytes some at a time, in sizes that go round.
struct Chunks<'a> {
    bytes: &'a [u8],
    sizes: &'a [usize],
    turn: usize,
}

impl Read for Chunks<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.turn % self.sizes.len()].min(into.len()).min(self.bytes.len());
        self.turn += 1;
        let (piece, rest) = self.bytes.split_at(size);
        into[..size].copy_from_slice(piece);
        self.bytes = rest;
        Ok(size)
    }
}

/// All rows of a file: the batches' instances as JSON, and each refusal; and how the file ends.
#[derive(Clone, Debug, PartialEq)]
struct Came {
    /// How many rows, and how many instances, came at a time.
    batches: Vec<(usize, usize)>,
    instances: Vec<Value>,
    refused: Vec<String>,
    end: Result<(), String>,
}

fn came(manifest: &Manifest, format: Format, input: impl Read + Send) -> Came {
    came_bounded(manifest, format, BOUNDS, input)
}

fn came_bounded(manifest: &Manifest, format: Format, bounds: Bounds, input: impl Read + Send) -> Came {
    let mut came = Came { batches: Vec::new(), instances: Vec::new(), refused: Vec::new(), end: Ok(()) };
    let batches = match read(manifest, format, bounds, Keep::Originals(InstanceConfig::default()), input) {
        Ok(batches) => batches,
        Err(cause) => return Came { end: Err(cause.to_string()), ..came },
    };
    for rows in batches {
        let rows = match rows {
            Ok(rows) => rows,
            Err(cause) => return Came { end: Err(cause.to_string()), ..came },
        };
        assert_eq!(rows.rows.len(), rows.originals.len());
        assert_eq!(rows.accepted().count(), rows.batch.instances());
        came.batches.push((rows.rows.len(), rows.batch.instances()));
        came.instances.extend(values(&rows.batch, &manifest.inputs));
        came.refused.extend(
            rows.rows.iter().filter_map(|row| Some(format!("{}: {}", row.place, row.refused.as_ref()?))),
        );
    }
    came
}

/// A batch as JSON values.
fn values(batch: &Batch, fields: &[Field]) -> Vec<Value> {
    let fields: Vec<Field> = fields.iter().map(|field| Field { missing: true, ..field.clone() }).collect();
    let encoder = encode::Encoder::new(batch, &fields);
    (0..batch.instances())
        .map(|row| {
            let mut text = Vec::new();
            encoder.write(row, &mut text).expect("missing numbers are null");
            serde_json::from_slice(&text).expect("JSON")
        })
        .collect()
}

/// Reads the same bytes in many chunkings, and holds them to the same result.
fn whatever_the_chunks(manifest: &Manifest, format: Format, bytes: &[u8]) -> Came {
    let whole = came(manifest, format, bytes);
    for sizes in [&[1][..], &[2], &[3], &[7], &[1, 64], &[5, 1, 1, 13], &[4096]] {
        let chunks = Chunks { bytes, sizes, turn: 0 };
        assert_eq!(came(manifest, format, chunks), whole, "in chunks of {sizes:?}");
    }
    whole
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    io::Write::write_all(&mut packer, bytes).expect("a vector takes all");
    packer.finish().expect("a vector takes all")
}

#[test]
fn a_store_that_fails_is_told_from_a_broken_file() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended"))
        }
    }
    let end = |input: Box<dyn Read + Send>| {
        let manifest = typed();
        let last = match read(&manifest, Format::Jsonl, BOUNDS, Keep::Nothing, input) {
            Ok(batches) => batches.last().expect("an error comes").expect_err("it is one"),
            Err(cause) => cause,
        };
        matches!(last, RowsError::Read(_))
    };
    let text = b"[1,2,\"x\"]\n".repeat(10_000);
    let packed = gzip(&text);
    let half = packed[..packed.len() / 2].to_vec();
    assert!(end(Box::new(io::Cursor::new(text).chain(Fails))), "in text");
    assert!(end(Box::new(io::Cursor::new(half.clone()).chain(Fails))), "in gzip");
    assert!(!end(Box::new(io::Cursor::new(half))), "half a gzip file is broken");
}

#[test]
fn a_row_may_be_refused_after_all() {
    let manifest = typed();
    let text = b"size,count,word\n1,2,a\nx,2,b\n3,4,c\n";
    let mut rows: Rows = read(&manifest, Format::Csv, BOUNDS, Keep::Nothing, &text[..])
        .expect("a table")
        .next()
        .expect("rows")
        .expect("they fit");
    let refusal = rows.rows[1].refused.clone().expect("x is no number");
    rows.refuse(1, refusal);
    assert_eq!(values(&rows.batch, &manifest.inputs), [json!({"size": 1.0, "count": 2, "word": "a"})]);
    assert_eq!(rows.accepted().collect::<Vec<_>>(), [0]);
    rows.refuse(0, rows.rows[1].refused.clone().expect("refused"));
    assert_eq!((rows.batch.instances(), rows.refused()), (0, 3));
}

#[test]
fn predictions_in_their_own_form_keep_the_rows_order() {
    let manifest = typed();
    let text = b"size,count,word\n1,2,a\nx,2,b\n3,4,c\n5,5,\n6,6,\"\"\n";
    let mut out = Vec::new();
    let mut writer = Writer::new(&Layout::Own, &manifest, Format::Csv, &mut out).expect("it begins");
    for rows in read(&manifest, Format::Csv, BOUNDS, Keep::Nothing, &text[..]).expect("a table") {
        let rows = rows.expect("they fit");
        let predictions =
            Batch::Json(rows.accepted().map(|row| format!("{}", rows.rows[row].place.row)).collect());
        writer.write(&rows, &predictions).expect("it is written");
        let short = Batch::Json(Vec::new());
        assert!(writer.write(&rows, &short).expect_err("too few").to_string().contains("predictions, got 0"));
    }
    let written = writer.finish().expect("it ends");
    assert_eq!((written.predicted, written.refused, written.ending), (4, 1, "jsonl"));
    let refused = r#"{"code":"invalid_instance","error":"instances[1].size: expected a number, got \"x\"","path":"instances[1].size"}"#;
    assert_eq!(String::from_utf8(out).expect("text"), format!("0\n{refused}\n2\n3\n4\n"));
}
