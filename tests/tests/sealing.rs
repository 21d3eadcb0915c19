//! Sealing, inspecting and opening: what the file promises.

use std::path::Path;
use std::process::Command;

use ampoule_tests::{cache, root, run, said, sealed};

fn model(name: &str) -> String {
    root().join("models").join(name).to_string_lossy().into_owned()
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
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["label"], 0);
    assert_eq!(lines[1]["probabilities"].as_array().map(Vec::len), Some(3));
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

#[test]
fn a_program_that_serves_has_no_compiler_in_it() {
    let build = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "-p", "ampoule-host", "--example", "open"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(build.status.success(), "{}", said(&build));
    let program = String::from_utf8_lossy(&build.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "open")
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
        .expect("cargo says where the program is");
    let bytes = std::fs::read(&program).expect("it was built");
    let contains = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(contains(b"wasmtime"), "its symbols were not stripped");
    for word in [b"cranelift_codegen".as_slice(), b"wasmtime_cranelift", b"wasmtime_wizer"] {
        assert!(!contains(word), "{} is in it", String::from_utf8_lossy(word));
    }

    // It runs what the command precompiled, and nothing else.
    let iris = sealed("iris");
    let ask = |cache: &Path| {
        Command::new(&program).arg(&iris).arg("[5.1, 3.5, 1.4, 0.2]").arg(cache).output().expect("it starts")
    };
    let rows = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(rows.path().join("row.json"), "[[5.1, 3.5, 1.4, 0.2]]").expect("written");
    let filled = run(rows.path(), &["predict", &iris.to_string_lossy(), "row.json"]);
    assert!(filled.status.success(), "{}", said(&filled));
    let answered = ask(&cache());
    assert!(answered.status.success() && said(&answered).contains("setosa"), "{}", said(&answered));
    let empty = tempfile::tempdir().expect("a folder can be made");
    let refused = ask(empty.path());
    assert!(!refused.status.success() && said(&refused).contains("NotPrecompiled"), "{}", said(&refused));
}
