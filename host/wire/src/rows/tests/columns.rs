//! Parquet files that were made by hand, cut, or lie.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::sync::Arc;

use crate::Manifest;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::{BOUNDS, Came, manifest, typed, values};
use crate::rows::{Bounds, Format, Keep, read_file};

/// A file without a name that holds these bytes.
fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file can be made");
    file.write_all(bytes).expect("it is written");
    file.rewind().expect("it is a file");
    file
}

fn came(manifest: &Manifest, bounds: Bounds, bytes: &[u8]) -> Came {
    let mut came = Came { batches: Vec::new(), instances: Vec::new(), refused: Vec::new(), end: Ok(()) };
    let batches = match read_file(manifest, Format::Parquet, bounds, Keep::Nothing, file(bytes)) {
        Ok(batches) => batches,
        Err(cause) => return Came { end: Err(cause.to_string()), ..came },
    };
    for rows in batches {
        let rows = match rows {
            Ok(rows) => rows,
            Err(cause) => return Came { end: Err(cause.to_string()), ..came },
        };
        came.batches.push((rows.rows.len(), rows.batch.instances()));
        came.instances.extend(values(&rows.batch, &manifest.inputs));
        came.refused.extend(
            rows.rows.iter().filter_map(|row| Some(format!("{}: {}", row.place, row.refused.as_ref()?))),
        );
    }
    came
}

fn parquet(columns: Vec<(&str, ArrayRef)>, codec: Compression) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let properties =
        WriterProperties::builder().set_compression(codec).set_max_row_group_row_count(Some(64)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("it begins");
    writer.write(&batch).expect("it is written");
    writer.close().expect("it ends");
    bytes
}

fn sample(codec: Compression) -> Vec<u8> {
    let rows = 200;
    parquet(
        vec![
            (
                "word",
                Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("w{row}")))) as ArrayRef,
            ),
            ("size", Arc::new(Float64Array::from_iter_values((0..rows).map(f64::from)))),
            ("count", Arc::new(Int64Array::from_iter_values(0..i64::from(rows)))),
        ],
        codec,
    )
}

#[test]
fn a_value_that_does_not_fit_is_refused_alone() {
    let bytes = parquet(
        vec![
            (
                "size",
                Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(4.0)])) as ArrayRef,
            ),
            ("count", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.5]))),
            ("word", Arc::new(StringArray::from(vec![None, Some("b"), Some("c"), Some("d")]))),
        ],
        Compression::SNAPPY,
    );
    let came = came(&typed(), BOUNDS, &bytes);
    assert_eq!(came.instances, [json!({"size": 1.0, "count": 1, "word": null})]);
    assert_eq!(
        came.refused,
        [
            "row 1: instances[1].size: expected a number, got null",
            "row 2: instances[2].size: expected a number that f64 can hold, got NaN",
            "row 3: instances[3].count: expected an integer, got 4.5",
        ]
    );
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let words = || Arc::new(StringArray::from(vec!["a"])) as ArrayRef;
    let numbers = || Arc::new(Float64Array::from(vec![1.0])) as ArrayRef;
    for (columns, why) in [
        (vec![("size", numbers()), ("word", words())], "expected a column \"count\", which is missing"),
        (
            vec![("size", words()), ("count", numbers()), ("word", words())],
            "column \"size\": expected f64, got Utf8View",
        ),
        (
            vec![("size", numbers()), ("count", numbers()), ("word", numbers())],
            "column \"word\": expected string, got Float64",
        ),
    ] {
        assert_eq!(came(&typed(), BOUNDS, &parquet(columns, Compression::SNAPPY)).end, Err(why.to_owned()));
    }
}

#[test]
fn batches_go_over_row_groups() {
    let came = came(&typed(), Bounds { rows: 150, ..BOUNDS }, &sample(Compression::SNAPPY));
    assert_eq!(came.batches, [(150, 150), (50, 50)]);
    assert_eq!(came.instances[199], json!({"size": 199.0, "count": 199, "word": "w199"}));
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let whole = sample(Compression::SNAPPY);
    for sixteenth in 0..16 {
        let came = came(&typed(), BOUNDS, &whole[..whole.len() * sixteenth / 16]);
        let why = came.end.expect_err("it was cut");
        assert!(why.starts_with("not Parquet: "), "{why}");
    }
    // The footer is there, and what it speaks of is not.
    let footer = u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().expect("four bytes"));
    let tail = whole.len() - 8 - footer as usize;
    let mut headless = b"PAR1".to_vec();
    headless.extend_from_slice(&whole[tail..]);
    let why = came(&typed(), BOUNDS, &headless).end.expect_err("it has no pages");
    assert!(why.starts_with("row group 0, column \"word\": expected its "), "{why}");
}

#[test]
fn a_flipped_bit_ends_in_an_error_or_in_other_values() {
    for codec in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::GZIP(Default::default())] {
        let whole = sample(codec);
        let mut errors = 0;
        for place in (0..whole.len()).step_by(3) {
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << (place % 8);
            let came = came(&typed(), BOUNDS, &flipped);
            errors += usize::from(came.end.is_err());
        }
        assert!(errors > 50, "{errors} of {} for {codec}", whole.len());
    }
}

/// Replaces the size that the first page's header claims: it begins with field 1, the kind of page,
/// and then field 2, the size of what is unpacked, as a varint.
fn with_page_size(whole: &[u8], size: u32) -> Vec<u8> {
    let mut lying = whole.to_vec();
    assert_eq!((lying[4], lying[6]), (0x15, 0x15), "two integers");
    let end = 7 + lying[7..].iter().position(|byte| byte & 0x80 == 0).expect("a varint ends");
    let mut varint = Vec::new();
    let mut zigzag = u64::from(size) << 1;
    while zigzag >= 0x80 {
        varint.push((zigzag as u8) | 0x80);
        zigzag >>= 7;
    }
    varint.push(zigzag as u8);
    lying.splice(7..=end, varint);
    lying
}

#[test]
fn a_page_that_lies_about_its_size_is_refused_before_room_is_made() {
    for codec in
        [Compression::SNAPPY, Compression::GZIP(Default::default()), Compression::ZSTD(Default::default())]
    {
        let whole = sample(codec);
        for (size, why) in [(2_000_000_000, "expected at most 16777216 bytes, got 2000000000"), (1, "")] {
            let end = came(&typed(), BOUNDS, &with_page_size(&whole, size)).end;
            let said = end.expect_err("it lies");
            assert!(said.contains(why), "{codec} {size}: {said}");
        }
    }
}

#[test]
fn a_page_that_unpacks_to_more_than_it_says_is_refused() {
    let zeros = Arc::new(StringArray::from(vec!["0".repeat(1 << 20); 3])) as ArrayRef;
    let whole = parquet(vec![("size", zeros)], Compression::GZIP(Default::default()));
    let came = came(&typed(), BOUNDS, &with_page_size(&whole, 100));
    let why = came.end.expect_err("it lies");
    assert!(why.contains("expected 100 bytes unpacked, got more"), "{why}");
}

#[test]
fn large_rows_come_a_few_at_a_time() {
    let texts = (0..64).map(|row| format!("{row}").repeat(500_000)).collect::<Vec<_>>();
    let whole = parquet(
        vec![
            ("size", Arc::new(Float64Array::from(vec![1.0; 64])) as ArrayRef),
            ("count", Arc::new(Int64Array::from(vec![1; 64]))),
            ("word", Arc::new(StringArray::from(texts))),
        ],
        Compression::ZSTD(Default::default()),
    );
    let bounds = Bounds { rows: 1000, bytes: 1 << 20, row_bytes: 16 << 20 };
    let came = came(&typed(), bounds, &whole);
    assert_eq!((came.instances.len(), came.end), (64, Ok(())));
    assert!(came.batches.iter().all(|&(rows, _)| rows <= 3), "{:?}", came.batches);
}

#[test]
fn blobs_come_from_a_column_of_bytes() {
    let pictures = manifest(&json!([{ "name": "image", "media": ["image/png"] }]), &json!([]));
    let bytes = arrow_array::BinaryArray::from(vec![&b"\x89PNG\r\n"[..], b"GIF89a"]);
    let whole = parquet(
        vec![("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef), ("image", Arc::new(bytes))],
        Compression::SNAPPY,
    );
    let came = came(&pictures, BOUNDS, &whole);
    assert_eq!(came.instances, [json!({"content_type": "image/png", "b64": "iVBORw0K"})]);
    assert_eq!(came.refused.len(), 1, "{:?}", came.refused);
}

#[test]
fn deep_groups_are_refused_by_the_footer() {
    // A schema of groups of one child each, in Thrift's compact protocol.
    let mut footer = vec![0x15, 2, 0x19, 0xfc];
    let varint = |mut number: u64| {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push((number as u8) | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let depth = 500_000;
    footer.extend(varint(depth));
    for _ in 0..depth {
        // Field 4, the name "a"; field 5, one child.
        footer.extend([0x48, 1, b'a', 0x15, 2, 0]);
    }
    footer.push(0);
    let mut whole = b"PAR1".to_vec();
    whole.extend(&footer);
    whole.extend(u32::try_from(footer.len()).expect("it is small").to_le_bytes());
    whole.extend(b"PAR1");
    let end = came(&typed(), BOUNDS, &whole).end;
    assert_eq!(end, Err("not Parquet: expected at most 64 groups within one another, got more".to_owned()));
}

#[test]
fn what_is_no_parquet_is_named() {
    for (bytes, why) in [
        (&b""[..], "not Parquet: expected 12 bytes or more, got 0"),
        (
            b"size,count,word\n1,2,a\n",
            "not Parquet: expected PAR1 at its end, got \"2,a\\n\" (cut, or another format)",
        ),
        (b"PAR1\0\0\0\0PAR1", "not Parquet: its footer is damaged"),
        (b"PAR1\xff\xff\xff\xffPAR1", "not Parquet: expected a footer of at most 0 bytes, got 4294967295"),
    ] {
        assert_eq!(came(&typed(), BOUNDS, bytes).end, Err(why.to_owned()));
    }
}
