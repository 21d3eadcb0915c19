//! Sealing, inspecting and opening: what the file promises.

use std::process::{Command, Output};

use ampoule_tests::{root, run, said, sealed};

fn model(name: &str) -> String {
    root().join("models").join(name).to_string_lossy().into_owned()
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

#[test]
fn sealing_twice_gives_the_same_bytes() {
    let out = tempfile::tempdir().expect("a folder can be made");
    for file in ["a.wasm", "b.wasm"] {
        let output = run(out.path(), &["seal", &model("iris"), "-o", file]);
        assert!(output.status.success(), "{}", said(&output));
    }
    let read = |file: &str| std::fs::read(out.path().join(file)).expect("it was sealed");
    assert!(read("a.wasm") == read("b.wasm"));
}

#[test]
fn the_digest_is_the_sha256_of_the_file() {
    let file = sealed("iris");
    let output = run(&root(), &["inspect", "--json", &file.to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let sum = Command::new("sha256sum").arg(&file).output().expect("sha256sum is there");
    let sum = String::from_utf8(sum.stdout).expect("it is text");
    assert_eq!(facts["digest"], format!("sha256:{}", sum.split(' ').next().expect("a digest")));
    assert_eq!(facts["manifest"]["inputs"][0]["unit"], "cm");
    assert_eq!(facts["bytes"], std::fs::metadata(&file).expect("it is there").len());
}

#[test]
fn a_model_without_a_manifest_is_sealed_by_what_it_says_itself() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let onnx = root().join("models/iris/model.onnx");
    let output = run(out.path(), &["seal", &onnx.to_string_lossy(), "--name", "flowers"]);
    assert!(output.status.success(), "{}", said(&output));
    std::fs::write(out.path().join("rows.jsonl"), "[5.1, 3.5, 1.4, 0.2]\n[6.0, 2.7, 5.1, 1.6]\n")
        .expect("written");
    let output = run(out.path(), &["predict", "flowers.wasm", "rows.jsonl"]);
    assert!(output.status.success(), "{}", said(&output));
    let lines = lines(&output);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["label"], 0);
    assert_eq!(lines[1]["probabilities"].as_array().map(Vec::len), Some(3));
}

#[test]
fn what_a_library_saved_is_sealed_as_it_is() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let saved = root().join("models/iris/model.json");
    let output = run(out.path(), &["seal", &saved.to_string_lossy(), "--name", "flowers"]);
    assert!(output.status.success(), "{}", said(&output));
    let reference = std::fs::read(root().join("models/iris/reference.json")).expect("it is there");
    let reference: serde_json::Value = serde_json::from_slice(&reference).expect("it is JSON");
    std::fs::write(out.path().join("rows.json"), reference["instances"].to_string()).expect("written");
    let output = run(out.path(), &["predict", "flowers.wasm", "rows.json"]);
    assert!(output.status.success(), "{}", said(&output));
    let lines = lines(&output);
    assert_eq!(lines.len(), 150);
    for (row, line) in lines.iter().enumerate() {
        assert_eq!(line["label"], reference["labels"][row], "row {row}");
        for class in 0..3 {
            let number = |value: &serde_json::Value| value.as_f64().expect("a number");
            let (got, expected) =
                (number(&line["probabilities"][class]), number(&reference["probabilities"][row][class]));
            assert!((got - expected).abs() < 2e-7, "row {row}: expected {expected}, got {got}");
        }
    }
    let output = run(out.path(), &["inspect", "flowers.wasm"]);
    assert!(said(&output).contains("XGBoost 3.2.0, multi:softprob"), "{}", said(&output));
}

#[test]
fn a_boosters_columns_and_categories_are_the_signature() {
    columns_and_categories("xgb_frame.json", 3);
    columns_and_categories("lgb_frame.txt", 2);
}

/// `other` is a row that the trees answer otherwise than row 1.
fn columns_and_categories(name: &str, other: usize) {
    let out = tempfile::tempdir().expect("a folder can be made");
    let saved = root().join("host/engine/tests/boosters").join(name);
    let output = run(out.path(), &["seal", &saved.to_string_lossy(), "-o", "frame.wasm"]);
    assert!(output.status.success(), "{name}: {}", said(&output));
    // The codes are the categories' positions: black, blue, green or grün, red, white; 2001, 2002, 2003.
    let rows = [
        (r#"{"colour": "red", "year": 2002, "length": 1.5}"#, [3.0, 1.0, 1.5]),
        (r#"{"colour": "black", "year": 2003, "length": -0.25}"#, [0.0, 2.0, -0.25]),
        (r#"{"colour": null, "year": 2001, "length": null}"#, [f32::NAN, 0.0, f32::NAN]),
        (r#"{"colour": "white", "year": null, "length": 0}"#, [4.0, f32::NAN, 0.0]),
    ];
    let graph =
        ampoule_engine::Graph::load(&std::fs::read(&saved).expect("it is there"), &Default::default())
            .expect("it is a model");
    let dtype = graph.inputs()[0].dtype;
    let coded = rows.iter().flat_map(|(_, codes)| codes);
    let coded: Vec<u8> = match dtype {
        ampoule_engine::Dtype::F64 => coded.flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
        _ => coded.flat_map(|x| x.to_le_bytes()).collect(),
    };
    let coded = ampoule_engine::Tensor::from_le_bytes(dtype, &[rows.len(), 3], &coded);
    let answer = graph.run(vec![("input".to_owned(), coded.expect("it has that size"))]).expect("an answer");
    let bytes = answer[0].1.as_bytes();
    let expected: Vec<f64> = match dtype {
        ampoule_engine::Dtype::F64 => bytes.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect(),
        _ => bytes.as_chunks().0.iter().map(|x| f64::from(f32::from_le_bytes(*x))).collect(),
    };
    assert!(expected[0] != expected[1] && expected[1] != expected[other], "{name}: {expected:?}");

    let texts: Vec<&str> = rows.iter().map(|(row, _)| *row).collect();
    std::fs::write(out.path().join("rows.jsonl"), texts.join("\n")).expect("written");
    let output = run(out.path(), &["predict", "frame.wasm", "rows.jsonl"]);
    assert!(output.status.success(), "{name}: {}", said(&output));
    let number =
        |line: &serde_json::Value| line.as_f64().or_else(|| line["prediction"].as_f64()).expect("a number");
    let got: Vec<f64> = lines(&output).iter().map(number).collect();
    match dtype {
        ampoule_engine::Dtype::F64 => assert_eq!(got, expected, "{name}"),
        _ => assert!(
            got.iter().zip(&expected).all(|(a, b)| *a as f32 == *b as f32),
            "{name}: {got:?}, {expected:?}"
        ),
    }

    std::fs::write(out.path().join("odd.jsonl"), r#"{"colour": "pink", "year": 2001, "length": 1}"#)
        .expect("written");
    let output = run(out.path(), &["predict", "frame.wasm", "odd.jsonl"]);
    assert!(said(&output).contains("expected one of \"black\", \"blue\""), "{name}: {}", said(&output));
}

#[test]
fn a_manifest_that_the_predictor_cant_use_is_refused_when_it_is_sealed() {
    let out = tempfile::tempdir().expect("a folder can be made");
    std::fs::copy(root().join("tests/models/identity/model.onnx"), out.path().join("model.onnx"))
        .expect("copied");
    for (manifest, expected) in [
        (
            "model = \"model.onnx\"\n[pipeline]\ntable = [{ standardize = {} }]\n",
            "unknown variant `standardize`",
        ),
        (
            "model = \"model.onnx\"\n[pipeline]\nresults = [{ softmax = { output = \"y\", axis = 0 } }]\n",
            "results[0]",
        ),
        ("model = \"other.onnx\"\n", "can't read the model"),
        ("name = \"No Spaces\"\nmodel = \"model.onnx\"\n", "expected [a-z0-9]"),
        ("modle = \"model.onnx\"\n", "unknown field `modle`"),
        ("", "expected `model ="),
    ] {
        std::fs::write(out.path().join("ampoule.toml"), manifest).expect("written");
        let output = run(out.path(), &["seal", "."]);
        assert_eq!(output.status.code(), Some(1), "{manifest}: {}", said(&output));
        assert!(said(&output).contains(expected), "{manifest}: expected {expected:?} in {}", said(&output));
    }
}

#[test]
fn a_new_predictor_seals_and_answers() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let onnx = root().join("tests/models/identity/model.onnx");
    let sdk = root().join("guest/sdk");
    let arguments =
        ["new", "mine", "--model", &onnx.to_string_lossy(), "--predictor", "--sdk", &sdk.to_string_lossy()];
    let output = run(out.path(), &arguments);
    assert!(output.status.success(), "{}", said(&output));
    let output = run(out.path(), &["seal", "mine"]);
    assert!(output.status.success(), "{}", said(&output));
    std::fs::write(out.path().join("row.json"), "[[1, 2, 3, 4]]").expect("written");
    let output = run(out.path(), &["predict", "mine.wasm", "row.json"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[1.0,2.0,3.0,4.0]", "{}", said(&output));
}
