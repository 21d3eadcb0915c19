//! A plain ampoule asks for standard `wasi:nn`: on wasmtime's own implementation of that interface, with tract behind it and
//! graphs offered by name, the predictor of a sealed file gives the answers that our host gives.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ampoule_host::{Decoder, Host, HostConfig, Model, encode};
use ampoule_tests::{cache, root, run, said, sealed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::zoo::member;

/// Scores may be so far apart.
const TOLERANCE: f64 = 1e-5;

/// The program in `tests/standard`.
fn standard() -> PathBuf {
    let target = root().join("target/standard");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(root().join("tests/standard/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", said(&output));
    target.join("release/ampoule-standard")
}

/// What it does with a request.
fn ask(program: &Path, ampoule: &Path, body: &str) -> Output {
    let mut child = Command::new(program)
        .arg(ampoule)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was built");
    let sent = child.stdin.take().expect("it is piped").write_all(body.as_bytes());
    sent.expect("it reads what it is given");
    child.wait_with_output().expect("it ends")
}

/// What our host predicts.
fn ours(model: &Model, body: &str) -> Vec<Value> {
    let request = Decoder::new(model.manifest(), 1000).request(body.as_bytes()).expect("instances");
    let answer = model.predict_blocking(request.instances, None).expect("it predicts");
    let mut lines = Vec::new();
    encode::predictions(&answer.predictions, &model.manifest().outputs, b"\n", &mut lines).expect("numbers");
    values(&lines)
}

fn values(lines: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(lines).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Scores are near one another, everything else is equal.
fn hold(place: &str, ours: &Value, other: &Value) {
    match (ours, other) {
        (Value::Array(ours), Value::Array(other)) if ours.len() == other.len() => {
            ours.iter().zip(other).for_each(|(ours, other)| hold(place, ours, other));
        }
        (Value::Object(ours), Value::Object(other)) if ours.keys().eq(other.keys()) => {
            ours.iter().for_each(|(name, ours)| hold(&format!("{place}.{name}"), ours, &other[name]));
        }
        (Value::Number(ours), Value::Number(other)) if ours.is_f64() => {
            let [ours, other] = [ours, other].map(|number| number.as_f64().expect("a number"));
            assert!(
                (ours - other).abs() <= TOLERANCE * ours.abs().max(1.0),
                "{place}: expected {ours}, got {other}"
            );
        }
        _ => assert_eq!(ours, other, "{place}"),
    }
}

#[test]
#[ignore = "builds for minutes, see `make test-all`"]
fn plain_ampoules_run_on_wasmtimes_own_wasi_nn() {
    let program = standard();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let iris = folder.path().join("iris_onnx.wasm");
    let model = root().join("models/iris/model.onnx");
    let output = run(folder.path(), &["seal", &model.to_string_lossy(), "-o", &iris.to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
    let flowers = member("linear_svc").instances();
    let flowers = flowers.iter().map(|flower| flower["x"].clone()).collect();
    let mut cases = vec![(iris, flowers)];
    // What tract knows of ai.onnx.ml.
    for name in ["gradient_boosting_three", "extra_tree", "linear_svc", "linear_regression_pair"] {
        let member = member(name);
        cases.push((folder.path().join(member.seal(folder.path())), member.instances()));
    }
    let scenes = ["coast.png", "speck.png", "wide.png"].map(|scene| {
        let bytes = std::fs::read(root().join("models/clouds/scenes").join(scene)).expect("it is there");
        json!({ "b64": STANDARD.encode(bytes) })
    });
    cases.push((sealed("clouds"), scenes.to_vec()));

    let host = Host::new(HostConfig { cache: Some(cache()), ..HostConfig::default() }).expect("it starts");
    for (file, instances) in cases {
        let body = json!({ "instances": instances }).to_string();
        let output = ask(&program, &file, &body);
        assert!(output.status.success(), "{}: {}", file.display(), said(&output));
        let (ours, other) = (ours(&host.open(&file).expect("it opens"), &body), values(&output.stdout));
        assert_eq!((ours.len(), other.len()), (instances.len(), instances.len()), "{}", file.display());
        for (index, (ours, other)) in ours.iter().zip(&other).enumerate() {
            hold(&format!("{}: instances[{index}]", file.display()), ours, other);
        }
    }

    let broken = json!({ "instances": [{ "b64": STANDARD.encode(b"\x89PNG") }] }).to_string();
    let output = ask(&program, &sealed("clouds"), &broken);
    assert!(!output.status.success() && said(&output).contains("instances[0]: "), "{}", said(&output));
}
