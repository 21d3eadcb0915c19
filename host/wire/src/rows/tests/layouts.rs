//! Outputs: what is written of rows and predictions.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use crate::{Batch, Column, ColumnDtype, Manifest, Numeric, Values};
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow_array::RecordBatch;
use bytes::Bytes;
use serde_json::json;

use super::{BOUNDS, manifest, open};
use crate::rows::{
    Format, InstanceConfig, InstanceType, Layout, Part, Rows, ShardBounds, Shards, Writer, Written, parquet,
    read, shard_name,
};

/// A number and a vector in; a label that an input is named like, probabilities and a truth out.
fn model() -> Manifest {
    manifest(
        &json!([
            { "name": "x", "dtype": "f64" },
            { "name": "label", "dtype": "string", "missing": true },
        ]),
        &json!([
            { "name": "label", "dtype": "string" },
            { "name": "p", "dtype": "f32", "shape": [2] },
            { "name": "y", "dtype": "f64", "missing": true },
        ]),
    )
}

/// What such a model would say.
fn predictions(rows: &Rows) -> Batch {
    let places: Vec<usize> = rows.accepted().map(|row| rows.rows[row].place.row).collect();
    let count = u32::try_from(places.len()).expect("few");
    let label = places.iter().map(|row| Some(format!("l{row}"))).collect();
    let p = places.iter().flat_map(|row| [*row as f32, 0.5].map(f32::to_le_bytes)).flatten().collect();
    let y = places.iter().map(|row| if *row == 0 { f64::NAN } else { *row as f64 });
    let y = y.flat_map(f64::to_le_bytes).collect();
    Batch::Columns(vec![
        Column { name: "label".to_owned(), shape: vec![count], values: Values::Text(label) },
        Column {
            name: "p".to_owned(),
            shape: vec![count, 2],
            values: Values::Numeric(Numeric { dtype: ColumnDtype::F32, data: p }),
        },
        Column {
            name: "y".to_owned(),
            shape: vec![count],
            values: Values::Numeric(Numeric { dtype: ColumnDtype::F64, data: y }),
        },
    ])
}

const TABLE: &str = "id,x,label\n7,1.5,\"a,b\"\n8,oops,c\n9,2,\n10,3\n11,4,é\n";

const LINES: &str = "{\"x\":1.5,\"label\":\"a,b\"}\n{\"x\":\"oops\",\"label\":\"c\"}\n[2,null]\n[\n{\"label\":\"é\",\"x\":4}\n";

fn written(model: &Manifest, layout: &Layout, format: Format, text: &str) -> (Vec<u8>, Written) {
    let mut out = Vec::new();
    let mut writer = Writer::new(layout, model, format, &mut out).expect("it begins");
    for rows in read(model, format, BOUNDS, layout.keeps(), text.as_bytes()).expect("it begins") {
        let rows = rows.expect("rows");
        writer.write(&rows, &predictions(&rows)).expect("it is written");
    }
    let written = writer.finish().expect("it ends");
    (out, written)
}

#[test]
fn a_table_repeats_the_input_beside_the_predictions() {
    let (out, about) = written(&model(), &Layout::Csv, Format::Csv, TABLE);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "id,x,label,predicted_label,p,y,error\n\
         7,1.5,\"a,b\",l0,\"[0.0,0.5]\",,\n\
         8,oops,c,,,,\"instances[1].x: expected a number, got \"\"oops\"\"\"\n\
         9,2,,l2,\"[2.0,0.5]\",2.0,\n\
         10,3,,,,,\"instances[3]: expected 3 cells, got 2\"\n\
         11,4,é,l4,\"[4.0,0.5]\",4.0,\n"
    );
    assert_eq!((about.predicted, about.refused, about.ending), (3, 2, "csv"));
    let (out, _) = written(&model(), &Layout::Csv, Format::Jsonl, LINES);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "x,label,predicted_label,p,y,error\n\
         1.5,\"a,b\",l0,\"[0.0,0.5]\",,\n\
         oops,c,,,,\"instances[1].x: expected a number, got \"\"oops\"\"\"\n\
         2,,l2,\"[2.0,0.5]\",2.0,\n\
         ,,,,,not JSON: EOF while parsing a list at line 1 column 1\n\
         4,é,l4,\"[4.0,0.5]\",4.0,\n"
    );
    let (out, _) = written(&model(), &Layout::Csv, Format::Jsonl, "");
    assert_eq!(String::from_utf8(out).expect("text"), "x,label,predicted_label,p,y,error\n");
}

fn read_back(bytes: Vec<u8>) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("Parquet");
    assert_eq!(reader.metadata().file_metadata().created_by(), Some("ampoule"));
    let batches: Vec<RecordBatch> =
        reader.build().expect("it begins").collect::<Result<_, _>>().expect("it is whole");
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| parquet::object(batch, row))).collect()
}

#[test]
fn columns_have_the_signatures_types() {
    for (format, text, id) in [(Format::Csv, TABLE, true), (Format::Jsonl, LINES, false)] {
        let (out, about) = written(&model(), &Layout::Parquet, format, text);
        assert_eq!((about.predicted, about.refused, about.ending), (3, 2, "parquet"));
        assert_eq!(written(&model(), &Layout::Parquet, format, text).0, out, "the same bytes");
        let schema = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(out.clone())).expect("Parquet");
        let types: Vec<String> = schema
            .schema()
            .fields()
            .iter()
            .map(|field| format!("{}: {}", field.name(), field.data_type()))
            .collect();
        let expected = [
            "id: Utf8",
            "x: Float64",
            "label: Utf8",
            "predicted_label: Utf8",
            "p: List(Float32)",
            "y: Float64",
            "error: Utf8",
        ];
        let types: Vec<&str> =
            types.iter().map(|name| name.split(", field").next().unwrap_or(name)).collect();
        assert_eq!(types, expected[usize::from(!id)..]);
        let rows = read_back(out);
        let id = |id: &str| if format == Format::Csv { format!("\"id\":\"{id}\",") } else { String::new() };
        assert_eq!(
            rows[0],
            format!(
                "{{{}\"x\":1.5,\"label\":\"a,b\",\"predicted_label\":\"l0\",\"p\":[0.0,0.5],\"y\":null,\"error\":null}}",
                id("7")
            )
        );
        assert_eq!(
            rows[2],
            format!(
                "{{{}\"x\":2.0,\"label\":null,\"predicted_label\":\"l2\",\"p\":[2.0,0.5],\"y\":2.0,\"error\":null}}",
                id("9")
            )
        );
        assert_eq!(
            rows[1],
            format!(
                "{{{}\"x\":null,\"label\":null,\"predicted_label\":null,\"p\":null,\"y\":null,\"error\":\"instances[1].x: expected a number, got \\\"oops\\\"\"}}",
                id("8")
            )
        );
        assert_eq!(rows.len(), 5);
    }
    assert!(read_back(written(&model(), &Layout::Parquet, Format::Csv, "").0).is_empty());
    let all_bad = "x,label\na,b\nc,d\n";
    assert_eq!(read_back(written(&model(), &Layout::Parquet, Format::Csv, all_bad).0).len(), 2);
}

#[test]
fn columns_go_in_and_out_with_their_types() {
    let (first, _) = written(&model(), &Layout::Parquet, Format::Csv, "id,x,label\n7,1.5,a\n8,2.5,\n");
    let model = model();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&first).expect("it is written");
    let mut out = Vec::new();
    let mut writer = Writer::new(&Layout::Parquet, &model, Format::Parquet, &mut out).expect("it begins");
    let keep = Layout::Parquet.keeps();
    for rows in crate::rows::read_file(&model, Format::Parquet, BOUNDS, keep, file).expect("it begins") {
        let rows = rows.expect("rows");
        writer.write(&rows, &predictions(&rows)).expect("it is written");
    }
    writer.finish().expect("it ends");
    let rows = read_back(out);
    assert_eq!(
        rows[1],
        "{\"id\":\"8\",\"x\":2.5,\"label\":null,\"predicted_label\":\"l1\",\"p\":[1.0,0.5],\"y\":1.0,\"error\":null,\
         \"predicted_predicted_label\":\"l1\",\"predicted_p\":[1.0,0.5],\"predicted_y\":1.0,\"predicted_error\":null}"
    );
}

fn lines(part: Part, config: &InstanceConfig, model: &Manifest, format: Format, text: &str) -> Vec<String> {
    let layout = Layout::Vertex(part, config.clone());
    let (out, _) = written(model, &layout, format, text);
    String::from_utf8(out).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn lines_are_those_of_vertex() {
    let plain = InstanceConfig::default();
    assert_eq!(
        lines(Part::Results, &plain, &model(), Format::Csv, TABLE),
        [
            r#"{"instance":[7,1.5,"a,b"],"prediction":{"label":"l0","p":[0.0,0.5],"y":null}}"#,
            r#"{"instance":[9,2,null],"prediction":{"label":"l2","p":[2.0,0.5],"y":2.0}}"#,
            r#"{"instance":[11,4,"é"],"prediction":{"label":"l4","p":[4.0,0.5],"y":4.0}}"#,
        ]
    );
    assert_eq!(
        lines(Part::Errors, &plain, &model(), Format::Jsonl, LINES),
        [
            r#"{"instance":{"x":"oops","label":"c"},"error":{"code":3,"message":"instances[1].x: expected a number, got \"oops\""}}"#,
            r#"{"instance":"[","error":{"code":3,"message":"not JSON: EOF while parsing a list at line 1 column 1"}}"#,
        ]
    );
    let keyed = InstanceConfig { key_field: Some("id".to_owned()), ..plain.clone() };
    assert_eq!(
        lines(Part::Results, &keyed, &model(), Format::Csv, TABLE)[0],
        r#"{"key":7,"prediction":{"label":"l0","p":[0.0,0.5],"y":null}}"#
    );
    assert_eq!(
        lines(Part::Errors, &keyed, &model(), Format::Csv, TABLE)[0],
        r#"{"key":8,"error":{"code":3,"message":"instances[1].x: expected a number, got \"oops\""}}"#
    );
    let object = InstanceConfig { instance_type: Some(InstanceType::Object), ..plain };
    assert_eq!(
        lines(Part::Results, &object, &model(), Format::Csv, TABLE)[0],
        r#"{"instance":{"id":7,"x":1.5,"label":"a,b"},"prediction":{"label":"l0","p":[0.0,0.5],"y":null}}"#
    );
    let pretty = "[{\n \"x\": 1,\r\n \"label\": \"a\\nb\"}]";
    assert_eq!(
        lines(Part::Results, &object, &model(), Format::Json, pretty)[0],
        r#"{"instance":{  "x": 1,   "label": "a\nb"},"prediction":{"label":"l0","p":[0.0,0.5],"y":null}}"#
    );
}

#[test]
fn fields_are_chosen_as_the_job_says() {
    let text = "{\"id\":1,\"a\":[1, 2],\"b\":\"x\",\"a b\":1e400}\n{\"id\":2}\n[1]\n";
    let case = |config: &InstanceConfig| {
        let layout = Layout::Vertex(Part::Results, config.clone());
        let model = open();
        let mut came = Vec::new();
        for rows in read(&model, Format::Jsonl, BOUNDS, layout.keeps(), text.as_bytes()).expect("it begins") {
            let rows = rows.expect("rows");
            let Batch::Json(items) = rows.batch else { panic!("any JSON") };
            let refused = rows.rows.iter().filter_map(|row| row.refused.as_ref().map(ToString::to_string));
            came.extend(items.into_iter().chain(refused));
        }
        came
    };
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let plain = InstanceConfig::default();
    let no_object = "instances[2]: expected an object of fields (see instanceConfig)";
    assert_eq!(
        case(&InstanceConfig { key_field: Some("id".to_owned()), ..plain.clone() }),
        ["{\"a\":[1, 2],\"b\":\"x\",\"a b\":1e400}", "{}", no_object]
    );
    assert_eq!(
        case(&InstanceConfig {
            instance_type: Some(InstanceType::Array),
            included_fields: strings(&["b", "a"]),
            ..plain.clone()
        }),
        ["[\"x\",[1, 2]]", "instances[1]: expected the field \"b\", which is missing", no_object]
    );
    assert_eq!(
        case(&InstanceConfig { excluded_fields: strings(&["a b", "id"]), ..plain.clone() }),
        ["{\"a\":[1, 2],\"b\":\"x\"}", "{}", no_object]
    );
    let both = InstanceConfig { included_fields: strings(&["a"]), excluded_fields: strings(&["b"]), ..plain };
    assert!(both.check().is_err());
    let said: InstanceConfig =
        serde_json::from_str(r#"{"instanceType":"array","keyField":"k","includedFields":["a"]}"#)
            .expect("it fits");
    assert_eq!((said.instance_type, said.key_field.as_deref()), (Some(InstanceType::Array), Some("k")));
}

#[test]
fn shards_are_bounded() {
    #[derive(Clone, Default)]
    struct Place(Arc<Mutex<Vec<u8>>>);
    impl Write for Place {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one writer").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let model = model();
    let text = "x,label\n".to_owned() + &"1,a\n".repeat(20);
    for (layout, bounds, count) in [
        (Layout::Own, ShardBounds { rows: 6, bytes: u64::MAX }, 4),
        (Layout::Csv, ShardBounds { rows: 1000, bytes: 150 }, 4),
        (Layout::Parquet, ShardBounds { rows: 9, bytes: u64::MAX }, 3),
    ] {
        let mut places = Vec::new();
        let mut shards = Shards::new(&layout, &model, Format::Csv, bounds, |index| {
            assert_eq!(index, places.len());
            places.push(Place::default());
            Ok(places[index].clone())
        });
        for rows in read(&model, Format::Csv, BOUNDS, layout.keeps(), text.as_bytes()).expect("it begins") {
            let rows = rows.expect("rows");
            shards.write(&rows, &predictions(&rows)).expect("it is written");
        }
        let done = shards.finish().expect("it ends");
        assert_eq!(done.len(), count, "{layout:?}");
        assert_eq!(done.iter().map(|shard| shard.written.predicted).sum::<usize>(), 20);
        for (shard, place) in done.iter().zip(&places) {
            assert_eq!(shard.bytes, place.0.lock().expect("done").len() as u64);
            assert!(shard.bytes > 0);
        }
    }
    assert_eq!(shard_name(Part::Results, 0, 12), "prediction.results-00000-of-00012");
    assert_eq!(shard_name(Part::Errors, 3, 12), "prediction.errors_stats-00003-of-00012");
}
