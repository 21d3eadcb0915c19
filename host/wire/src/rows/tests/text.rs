//! Tables, lines and JSON texts.

use serde_json::json;

use super::{BOUNDS, Came, came, came_bounded, gzip, manifest, open, typed, whatever_the_chunks};
use crate::rows::{Bounds, Format, Reference, references};

fn table(text: &str) -> Came {
    whatever_the_chunks(&typed(), Format::Csv, text.as_bytes())
}

fn row(size: f64, count: i64, word: &str) -> serde_json::Value {
    json!({ "size": size, "count": count, "word": word })
}

#[test]
fn a_table_is_read_however_its_lines_end() {
    let expected = [row(1.5, 2, "a"), row(-0.25, 9_007_199_254_740_993, "b\nc"), row(3.0, 4, "d\"e")];
    for text in [
        "size,count,word\n1.5,2,a\n-0.25,9007199254740993,\"b\nc\"\n3,4,\"d\"\"e\"\n",
        "size,count,word\r\n1.5,2,a\r\n-0.25,9007199254740993,\"b\nc\"\r\n3,4,\"d\"\"e\"",
        "\u{feff}size,count,word\r1.5,2,a\r-2.5e-1,9007199254740993,\"b\nc\"\r3,4,d\"e\r",
        "\n\nword,x,count,size\n\na,,2,1.5\n\"b\nc\",,9007199254740993,-.25\n\"d\"\"e\",\",\",4,3e0\n\n",
    ] {
        let came = table(text);
        assert_eq!(came.instances, expected, "{text:?}");
        assert_eq!((came.refused.len(), came.end), (0, Ok(())), "{text:?}");
        assert_eq!(came.batches, [(3, 3)], "{text:?}");
    }
}

#[test]
fn a_row_that_does_not_fit_is_refused_alone() {
    let came = table("size,count,word\n1,2,a\n1,x,b\n1,2\n\n1,2,\"d\ne\"\n,2,f\n1,2.5,g\n7,8,h");
    assert_eq!(
        came.refused,
        [
            "row 1 (line 3): instances[1].count: expected an integer, got \"x\"",
            "row 2 (line 4): instances[2]: expected 3 cells, got 2",
            "row 4 (line 8): instances[4].size: expected a number, got null",
            "row 5 (line 9): instances[5].count: expected an integer, got 2.5",
        ]
    );
    assert_eq!(came.instances, [row(1.0, 2, "a"), row(1.0, 2, "d\ne"), row(7.0, 8, "h")]);
    assert_eq!(came.batches, [(3, 1), (3, 1), (1, 1)]);
    assert_eq!(came.end, Ok(()));
}

#[test]
fn without_a_header_the_columns_are_the_inputs_in_order() {
    assert_eq!(table("1,2,a\n3,4,b\n").instances, [row(1.0, 2, "a"), row(3.0, 4, "b")]);
    let vector = manifest(&json!([{ "name": "v", "dtype": "f32", "shape": [3] }]), &json!([]));
    let came = whatever_the_chunks(&vector, Format::Csv, b"1,2,3\n4,5,x\n7,8,9\n");
    assert_eq!(came.instances, [json!([1.0, 2.0, 3.0]), json!([7.0, 8.0, 9.0])]);
    assert_eq!(came.refused, ["row 1 (line 2): instances[1].v: expected a number, got \"x\""]);
}

#[test]
fn under_a_header_an_array_stands_in_one_cell() {
    let both = manifest(
        &json!([{ "name": "v", "dtype": "f32", "shape": [2] }, { "name": "n", "dtype": "i32" }]),
        &json!([]),
    );
    let came =
        whatever_the_chunks(&both, Format::Csv, b"n,v\n1,\"[1,2]\"\n2,\"[1]\"\n3,x\n4,\n5,\"[3,4]\"\n");
    assert_eq!(came.instances, [json!({"v": [1.0, 2.0], "n": 1}), json!({"v": [3.0, 4.0], "n": 5})]);
    assert_eq!(
        came.refused,
        [
            "row 1 (line 3): instances[1].v: expected an array of 2, got 1",
            "row 2 (line 4): instances[2].v: not JSON: expected value at line 1 column 1",
            "row 3 (line 5): instances[3].v: expected a number, got null",
        ]
    );
}

#[test]
fn where_the_signature_is_open_quotes_make_strings() {
    let came = whatever_the_chunks(&open(), Format::Csv, b"a,b,c,d\n1,\"1\",,\"\"\n-2.50,x,1e5,01\n");
    assert_eq!(came.instances, [json!([1, "1", null, ""]), json!([-2.50, "x", 1e5, "01"])]);
}

#[test]
fn a_header_that_does_not_fit_names_the_column() {
    for (text, why) in [
        ("size,word\n1,a\n", "expected a column \"count\", which is missing"),
        ("size,size,count,word\n", "column \"size\" stands twice"),
        ("a,b\n", "expected 3 columns, got 2 (\"a\", \"b\")"),
        ("size;count;word\n", "expected 3 columns, got 1 (\"size;count;word\")"),
    ] {
        assert_eq!(table(text).end, Err(why.to_owned()), "{text:?}");
    }
}

#[test]
fn lines_are_read_and_blank_ones_are_not_counted() {
    let text = "\u{feff}[1, 2, \"a\"]\r\n\n  \t\n{\"count\": 2, \"size\": 1}\n[1,2\n\n[1,2,null]";
    let came = whatever_the_chunks(&typed(), Format::Jsonl, text.as_bytes());
    let missing = json!({ "size": 1.0, "count": 2, "word": null });
    assert_eq!(came.instances, [row(1.0, 2, "a"), missing.clone(), missing]);
    assert_eq!(came.refused, ["row 2 (line 5): not JSON: EOF while parsing a list at line 1 column 4"]);
    assert_eq!(came.batches, [(3, 2), (1, 1)]);
}

#[test]
fn the_elements_of_an_array_are_read_one_by_one() {
    for text in [
        r#"{"instances": [[1,2,"a"], {"size": 3, "count": 4, "word": "]}\""} , "x", [5,6,null]]}"#,
        "\u{feff} [\n[1,2,\"a\"],{\"size\":3,\"count\":4,\"word\":\"]}\\\"\"},\"x\",[5,6,null]\n]\n",
    ] {
        let came = whatever_the_chunks(&typed(), Format::Json, text.as_bytes());
        let missing = json!({ "size": 5.0, "count": 6, "word": null });
        assert_eq!(came.instances, [row(1.0, 2, "a"), row(3.0, 4, "]}\""), missing], "{text}");
        assert!(came.refused[0].ends_with("got \"x\""), "{:?}", came.refused);
        assert_eq!((came.refused.len(), came.end), (1, Ok(())));
    }
    for text in ["[]", " [ ] ", "{\"instances\":[]}", "{ \"instances\" : [ ] }\n"] {
        assert_eq!(came(&typed(), Format::Json, text.as_bytes()).end, Ok(()), "{text}");
    }
}

#[test]
fn a_broken_json_text_names_the_place() {
    for (text, why) in [
        ("", "expected JSON, got nothing"),
        ("7", "expected an object with \"instances\", or an array of instances, got '7' at byte 0 (line 1)"),
        ("{}", "expected \"instances\", got none"),
        ("{\"rows\":[]}", "expected \"instances\", got \"rows\""),
        ("{\"instances\":7}", "\"instances\": expected an array, got '7' at byte 13 (line 1)"),
        (
            "{\"instances\":[],\"parameters\":{}}",
            "expected \"instances\" alone, got \"parameters\" (a file has none: they go with the command or the job)",
        ),
        ("{\"instances\":[],\"instances\":[]}", "\"instances\" stands twice"),
        (
            "[[1,2,null]",
            "expected a comma or the array's end after instances[0], got the text's end at byte 11 (line 1)",
        ),
        ("[[1,2,null],\n[1,", "expected the end of a value, got the text's after byte 16"),
        (
            "[[1,2,null] [1,2,null]]",
            "expected a comma or the array's end after instances[0], got '[' at byte 12 (line 1)",
        ),
        ("[[1,2,null],]", "expected a value for instances[1], got ']' at byte 12 (line 1)"),
        ("[[1,2,null]] x", "expected the text's end, got 'x' at byte 13 (line 1)"),
        (
            "{\"instances\":[]",
            "expected the object's end after \"instances\", got the text's end at byte 15 (line 1)",
        ),
        ("[,]", "expected a value for instances[0], got ',' at byte 1 (line 1)"),
    ] {
        let came = whatever_the_chunks(&typed(), Format::Json, text.as_bytes());
        assert_eq!(came.end, Err(why.to_owned()), "{text:?}");
    }
}

#[test]
fn gzip_is_unpacked_by_its_mark() {
    let text = "size,count,word\n1,2,a\n3,4,b\n";
    let plain = table(text);
    let mut parts = gzip(&text.as_bytes()[..20]);
    parts.extend(gzip(&text.as_bytes()[20..]));
    for packed in [gzip(text.as_bytes()), parts] {
        assert_eq!(whatever_the_chunks(&typed(), Format::Csv, &packed), plain);
    }
}

#[test]
fn another_shape_begins_another_batch() {
    let open = manifest(&json!([{ "name": "x", "dtype": "f32", "shape": ["n"] }]), &json!([]));
    let came = whatever_the_chunks(&open, Format::Jsonl, b"[1]\n[2]\n[3,4]\n[\"x\"]\n[5,6]\n[]\n[7]\n");
    let expected =
        [json!([1.0]), json!([2.0]), json!([3.0, 4.0]), json!([5.0, 6.0]), json!([]), json!([7.0])];
    assert_eq!(came.instances, expected);
    assert_eq!(came.batches, [(2, 2), (3, 2), (1, 1), (1, 1)]);
    assert_eq!(came.refused, ["row 3 (line 4): instances[3][0]: expected a number, got \"x\""]);
}

#[test]
fn a_batch_is_bounded_in_bytes_too() {
    let bounds = Bounds { rows: 1000, bytes: 100, ..BOUNDS };
    let text = "[1,2,\"abcdefgh\"]\n".repeat(10);
    let came = came_bounded(&typed(), Format::Jsonl, bounds, text.as_bytes());
    assert_eq!(came.instances.len(), 10);
    assert!(came.batches.len() > 3, "{:?}", came.batches);
}

#[test]
fn a_list_names_objects() {
    let text = "gs://bucket/a b.png\n\ns3://b/x//../%2B+é\r\n  folder/c.png  \nhttp://x/y\ngs://bucket\n";
    let named: Vec<String> = references(text.as_bytes())
        .expect("a list")
        .map(|item| match item {
            Ok(Reference { place, name }) => format!("{place} {name:?}"),
            Err(cause) => cause.to_string(),
        })
        .collect();
    assert_eq!(
        named,
        [
            "row 0 (line 1) Gs { bucket: \"bucket\", key: \"a b.png\" }",
            "row 1 (line 3) S3 { bucket: \"b\", key: \"x//../%2B+é\" }",
            "row 2 (line 4) Path(\"folder/c.png\")",
            "line 5: expected s3://, gs:// or a path, got \"http://x/y\"",
            "line 6: expected a bucket and a key, got \"gs://bucket\"",
        ]
    );
}

#[test]
fn a_name_shows_the_format() {
    for (name, format) in [
        ("a/b.csv", Some(Format::Csv)),
        ("a.CSV.GZ", Some(Format::Csv)),
        ("x.jsonl", Some(Format::Jsonl)),
        ("x.ndjson.gz", Some(Format::Jsonl)),
        ("x.json", Some(Format::Json)),
        ("x.tif", Some(Format::Image)),
        ("x.png.gz", None),
        ("csv", None),
        ("a.csv/b", None),
    ] {
        assert_eq!(Format::of(name), format, "{name}");
    }
}
