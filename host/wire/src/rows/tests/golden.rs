//! What is read against what Python's csv, pandas and pyarrow read in the same files.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{BOUNDS, manifest, values};
use crate::rows::{Bounds, Format, InstanceConfig, InstanceType, Keep, read_file};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rows/tests/golden")
}

fn expected() -> Map<String, Value> {
    let text = std::fs::read(folder().join("expected.json")).expect("it is there");
    serde_json::from_slice(&text).expect("JSON")
}

/// All rows of a file as they came, or as inputs; none is refused.
fn rows(manifest: &crate::Manifest, name: &str, keep: &Keep) -> Vec<Value> {
    let file = File::open(folder().join(name)).expect("it is there");
    let format = Format::of(name).expect("a format");
    let bounds = Bounds { rows: 7, ..BOUNDS };
    let mut all = Vec::new();
    for rows in read_file(manifest, format, bounds, keep.clone(), file).expect("it begins") {
        let rows = rows.expect("it goes on");
        assert_eq!(rows.refused(), 0, "{name}: {:?}", rows.rows);
        all.extend(values(&rows.batch, &manifest.inputs));
    }
    all
}

#[test]
fn odd_tables_are_read_as_by_python() {
    let words: Vec<Value> = ["a", "b", "c", "d"].map(|name| json!({"name": name, "dtype": "string"})).into();
    let manifest = manifest(&json!(words), &json!([]));
    let expected = expected();
    for name in ["lf.csv", "crlf.csv", "all-quoted.csv"] {
        assert_eq!(json!(rows(&manifest, name, &Keep::Nothing)), expected[name], "{name}");
    }
}

#[test]
fn numbers_are_read_as_by_pandas() {
    let manifest =
        manifest(&json!([{ "name": "x", "dtype": "f64" }, { "name": "n", "dtype": "i64" }]), &json!([]));
    assert_eq!(json!(rows(&manifest, "numbers.csv", &Keep::Nothing)), expected()["numbers.csv"]);
}

/// A decimal is a number with all its digits: it is compared as text.
fn decimals(value: &Value) -> Value {
    match value {
        Value::Object(members) => match members.get("decimal") {
            Some(Value::String(digits)) => serde_json::from_str(digits).expect("a number"),
            _ => members.iter().map(|(name, value)| (name.clone(), decimals(value))).collect(),
        },
        Value::Array(items) => items.iter().map(decimals).collect(),
        other => other.clone(),
    }
}

#[test]
fn columns_of_all_types_are_read_as_by_pyarrow() {
    let expected = decimals(&expected()["columns"]);
    let config = InstanceConfig { instance_type: Some(InstanceType::Object), ..InstanceConfig::default() };
    for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"] {
        for keep in [Keep::Nothing, Keep::Originals(config.clone())] {
            let rows = rows(&super::open(), &format!("{codec}.parquet"), &keep);
            for (index, (ours, theirs)) in rows.iter().zip(expected.as_array().expect("rows")).enumerate() {
                assert_eq!(ours, theirs, "{codec}, row {index}");
            }
            assert_eq!(rows.len(), 60);
        }
    }
}

#[test]
fn columns_become_inputs_by_name() {
    let manifest = manifest(
        &json!([
            { "name": "v", "dtype": "f32", "shape": [3] },
            { "name": "n", "dtype": "i32" },
            { "name": "x", "dtype": "f64", "missing": true },
            { "name": "s", "dtype": "string", "missing": true },
            { "name": "flag", "dtype": "bool" },
        ]),
        &json!([]),
    );
    for keep in [Keep::Nothing, Keep::Originals(InstanceConfig::default())] {
        assert_eq!(json!(rows(&manifest, "signature.parquet", &keep)), expected()["signature.parquet"]);
    }
}
