//! `--engine onnxruntime`: the same ampoules, the same answers, and what it says where it can't.

use std::path::Path;
use std::process::{Command, Output};

use ampoule_tests::{Server, ampoule, cache, onnxruntime, root, run, said, sealed};
use serde_json::{Value, json};

/// `ampoule` with the other engine, whose library is named by a variable.
fn run_by(library: &Path, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(ampoule())
        .args(arguments)
        .current_dir(folder)
        .envs([("AMPOULE_CACHE", cache().as_path()), ("AMPOULE_ONNXRUNTIME_LIBRARY", library)])
        .env("AMPOULE_ENGINE", "onnxruntime")
        .output()
        .expect("the command starts")
}

/// The iris model in ONNX, whose scores a ZipMap names, sealed in `folder` as `flowers.wasm`.
fn flowers(folder: &Path) {
    let onnx = root().join("models/iris/model.onnx");
    let output = run(folder, &["seal", &onnx.to_string_lossy(), "--name", "flowers"]);
    assert!(output.status.success(), "{}", said(&output));
    let reference = std::fs::read(root().join("models/iris/reference.json")).expect("it is there");
    let reference: Value = serde_json::from_slice(&reference).expect("it is JSON");
    let rows = reference["instances"].as_array().expect("a list").iter().map(|row| format!("{row}\n"));
    std::fs::write(folder.join("rows.jsonl"), rows.collect::<String>()).expect("written");
}

fn predictions(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", said(output));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// Labels are equal, probabilities within 1e-6.
fn assert_near(expected: &[Value], got: &[Value]) {
    assert_eq!(expected.len(), got.len());
    for (expected, got) in expected.iter().zip(got) {
        assert_eq!(expected["label"], got["label"]);
        for class in 0..3 {
            let [expected, got] = [expected, got].map(|row| row["probabilities"][class].as_f64());
            let difference = expected.expect("a number") - got.expect("a number");
            assert!(difference.abs() <= 1e-6, "{expected:?}, got {got:?}");
        }
    }
}

#[test]
fn predictions_are_those_of_the_native_engine() {
    let Some(library) = onnxruntime() else { return };
    let out = tempfile::tempdir().expect("a folder can be made");
    flowers(out.path());
    let native = predictions(&run(out.path(), &["predict", "flowers.wasm", "rows.jsonl"]));
    assert_eq!(native.len(), 150);
    let library_option = ["--engine", "onnxruntime", "--onnxruntime-library", &*library.to_string_lossy()];
    let options = [["predict", "flowers.wasm", "rows.jsonl"].as_slice(), &library_option].concat();
    assert_near(&native, &predictions(&run(out.path(), &options)));
    assert_near(
        &native,
        &predictions(&run_by(&library, out.path(), &["predict", "flowers.wasm", "rows.jsonl"])),
    );

    let model = out.path().join("flowers.wasm");
    let server = Server::start(&[[&*model.to_string_lossy()].as_slice(), &library_option].concat());
    let answer = server.post("/predictions", &json!({"instances": [[5.1, 3.5, 1.4, 0.2]]}).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_near(&native[..1], answer.json()["predictions"].as_array().expect("a list"));
}

#[test]
fn masks_are_those_of_the_native_engine() {
    let Some(library) = onnxruntime() else { return };
    let out = tempfile::tempdir().expect("a folder can be made");
    let (model, scenes) = (sealed("clouds"), root().join("models/clouds/scenes"));
    let arguments = ["batch", &*model.to_string_lossy(), &*scenes.to_string_lossy(), "masks"];
    let output = run_by(&library, out.path(), &arguments);
    assert!(output.status.success(), "{}", said(&output));
    let (mut differing, mut all) = (0, 0);
    for scene in std::fs::read_dir(&scenes).expect("the scenes are there").flatten() {
        let name = scene.path().file_name().expect("a name").to_string_lossy().into_owned();
        let open = |path: &Path| image::open(path).expect("a picture").to_luma8();
        let mask = open(&out.path().join("masks").join(format!("{name}.png")));
        let reference =
            open(&root().join("models/clouds/reference").join(Path::new(&name).with_extension("png")));
        assert_eq!(mask.dimensions(), reference.dimensions());
        differing += mask.pixels().zip(reference.pixels()).filter(|(a, b)| a != b).count();
        all += mask.pixels().len();
    }
    println!("{differing} of {all} pixels differ");
    assert!(all > 0 && differing * 10_000 <= all, "{differing} of {all}");
}

#[test]
fn a_profile_measures_the_graph_as_a_whole() {
    let Some(library) = onnxruntime() else { return };
    let onnx = root().join("models/iris/model.onnx");
    let output = run_by(&library, &root(), &["profile", &onnx.to_string_lossy(), "--runs", "3"]);
    assert!(output.status.success(), "{}", said(&output));
    let table = said(&output);
    assert!(table.contains("in 1 nodes") && table.contains("onnxruntime"), "{table}");
}

#[test]
fn what_it_needs_is_said() {
    let out = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(out.path().join("text.so"), "no library").expect("written");
    let iris = sealed("iris");
    let predict = ["predict", &*iris.to_string_lossy(), "-", "--engine", "onnxruntime"];
    let output = run(out.path(), &predict);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--onnxruntime-library <FILE>"), "{}", said(&output));
    for (library, expected) in [
        ("none.so", "error: --engine onnxruntime: ONNX Runtime can't be loaded from none.so: "),
        ("text.so", "error: --engine onnxruntime: ONNX Runtime can't be loaded from text.so: "),
    ] {
        let output = run(out.path(), &[predict.as_slice(), &["--onnxruntime-library", library]].concat());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
    // Sealed from XGBoost's own file.
    let Some(library) = onnxruntime() else { return };
    let output = run_by(&library, out.path(), &["predict", &iris.to_string_lossy(), "-"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("ONNX Runtime has no form of a model of XGBoost"), "{}", said(&output));
}
