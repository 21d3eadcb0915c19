//! `ampoule seal --portable`: one file, which gives the same answers natively, in the sandbox alone, and in a stock runtime.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ampoule_tests::{has, installed, portable, root, run, said, sealed};
use serde_json::Value;

use super::zoo::{json_lines, member};

/// The model in `models/NAME` or `tests/models/NAME`, sealed now to be portable.
pub fn sealed_now(name: &str, front: &str, out: &Path) -> PathBuf {
    let published = root().join("models").join(name);
    let model = if published.exists() { published } else { root().join("tests/models").join(name) };
    let path = out.join(format!("{name}.{front}.wasm"));
    let front = format!("--portable={front}");
    let output = run(out, &["seal", &model.to_string_lossy(), &front, "-o", &path.to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
    path
}

pub fn answered(output: &Output) -> &[u8] {
    assert!(output.status.success(), "{}", said(output));
    &output.stdout
}

/// The reference instances of iris, one to a line.
pub fn rows() -> String {
    let reference = std::fs::read(root().join("models/iris/reference.json")).expect("it is there");
    let reference: Value = serde_json::from_slice(&reference).expect("it is JSON");
    reference["instances"].as_array().expect("a list").iter().map(|row| format!("{row}\n")).collect()
}

#[test]
fn a_table_has_the_same_answers_in_every_engine() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let (iris, plain) = (portable("iris").to_string_lossy().into_owned(), sealed("iris"));
    let rows = rows() + "[1, 2]\n";
    std::fs::write(out.path().join("rows.jsonl"), &rows).expect("written");
    let ask = |ampoule: &str, engine: &str| {
        let output = run(out.path(), &["predict", ampoule, "rows.jsonl", "--engine", engine]);
        assert_eq!(output.status.code(), Some(3), "one row is refused: {}", said(&output));
        output.stdout
    };
    let native = ask(&iris, "native");
    assert_eq!(native.split(|&byte| byte == b'\n').count(), 152, "151 lines");
    assert_eq!(native, ask(&plain.to_string_lossy(), "native"), "the portable file against the plain one");
    assert_eq!(native, ask(&iris, "portable"), "native against the engine in the sandbox");

    let Some(python) = installed("python") else { return };
    let stock = Command::new(&python)
        .arg(root().join("tests/portable/command.py"))
        .args(["run", &*iris])
        .stdin(std::fs::File::open(out.path().join("rows.jsonl")).expect("it was written"))
        .output()
        .expect("Python starts");
    assert_eq!(stock.status.code(), Some(1), "one row is refused: {}", said(&stock));
    assert!(
        said(&stock).contains("row 150 (line 151): instances[150]: expected 4 values, got 2"),
        "{}",
        said(&stock)
    );
    assert_eq!(String::from_utf8_lossy(&native), String::from_utf8_lossy(&stock.stdout), "a stock runtime");

    let called = Command::new(&python)
        .arg(root().join("guest/front/embed.py"))
        .args([&*iris, "5.1", "3.5", "1.4", "0.2"])
        .output()
        .expect("Python starts");
    let text = String::from_utf8_lossy(answered(&called)).into_owned();
    assert!(text.starts_with("{'label': ['setosa'], 'probabilities': [0.99672"), "{text}");
}

#[test]
fn the_same_model_gives_the_same_file_and_says_what_it_is() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let again = sealed_now("iris", "run", out.path());
    let files = [&portable("iris"), &again].map(|file| std::fs::read(file).expect("it is there"));
    assert!(files[0] == files[1], "two files of {} and {} bytes differ", files[0].len(), files[1].len());
    let inspected = run(out.path(), &["inspect", "--json", &again.to_string_lossy()]);
    let facts: Value = serde_json::from_slice(answered(&inspected)).expect("it is JSON");
    assert_eq!(facts["portable"], Value::Bool(true));
    assert_eq!(facts["manifest"]["name"], "iris");
}

#[test]
fn made_up_rows_have_the_same_answers_in_the_sandbox() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let output = run(
        out.path(),
        &["check", &portable("iris").to_string_lossy(), "--only", "portable", "--fuzz", "500"],
    );
    let matrix = String::from_utf8_lossy(answered(&output)).into_owned();
    assert!(matrix.contains("instances  502\n"), "{matrix}");
    assert!(matrix.contains("portable  equal to the bit\n"), "{matrix}");
}

#[test]
fn pictures_have_the_same_masks_in_every_engine() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let clouds = portable("clouds");
    let scenes = root().join("models/clouds/scenes");
    for scene in ["coast.png", "large.jpg", "speck.png"] {
        let scene = scenes.join(scene);
        let ask = |engine: &str| {
            let output = run(
                out.path(),
                &["predict", &clouds.to_string_lossy(), &scene.to_string_lossy(), "--engine", engine],
            );
            answered(&output).to_vec()
        };
        let native = ask("native");
        assert!(native.starts_with(b"\x89PNG"), "a mask");
        assert!(native == ask("portable"), "{}: the masks differ", scene.display());
    }
}

/// What a stock runtime is called as, in `folder`.
pub fn stock(folder: &Path) -> Option<String> {
    let python = installed("python")?;
    let program = folder.join("wasmtime");
    let text = format!("#!/bin/sh\nexec {python:?} {:?} \"$@\"\n", root().join("tests/portable/command.py"));
    std::fs::write(&program, text).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    Some(program.to_string_lossy().into_owned())
}

/// Holds a portable file to the native engine in the `environments` that are on this machine: classes equal, scores within
/// 1e-5.
fn hold(folder: &Path, file: &str, instances: &str, environments: &[&str], wasmtime: &str) {
    let only = environments.join(",");
    let arguments =
        ["check", file, instances, "--only", &only, "--wasmtime", wasmtime, "--tolerance", "1e-5"];
    let output = run(folder, &[&arguments[..], &["--json"]].concat());
    let matrix: Value = serde_json::from_slice(answered(&output)).expect("it is JSON");
    assert_eq!((&matrix["refused"], &matrix["holds"]), (&0.into(), &true.into()), "{file}: {matrix:#}");
    println!("{file}: {}", matrix["environments"]);
}

/// Holds what `seal` makes of a model to the native engine wherever a portable file can run on this machine: the `wasmtime`
/// command in both its forms, its wheel for Python, Node and a browser.
fn hold_everywhere(folder: &Path, instances: &str, seal: impl Fn(&str) -> String) {
    let file = seal("--portable=run");
    let mut anywhere = vec!["portable"];
    anywhere.extend(has("node").then_some("node"));
    anywhere.extend(has("chromium").then_some("browser"));
    hold(folder, &file, instances, &anywhere, "wasmtime");
    if let Some(wheel) = stock(folder) {
        hold(folder, &file, instances, &["wasmtime"], &wheel);
    }
    let command = root().join("target/tools/bin/wasmtime");
    if !command.exists() {
        assert!(std::env::var_os("CI").is_none(), "wasmtime is missing: make test-all installs it");
        println!("skipped: wasmtime is missing (run `make test-all`)");
        return;
    }
    let command = command.to_string_lossy();
    hold(folder, &file, instances, &["wasmtime"], &command);
    hold(folder, &seal("--portable=http"), instances, &["wasmtime-serve"], &command);
}

/// Estimators of every kind, of which the first [`FEW`] are sealed each time, for each takes half a minute.
const ESTIMATORS: [&str; 10] = [
    "mixed_logistic",
    "text_tfidf",
    "stacking",
    "forest_classifier",
    "linear_regression_pair",
    "svc_rbf",
    "naive_gaussian",
    "mlp_classifier",
    "gaussian_process",
    "knn_classifier",
];

const FEW: usize = 3;

#[test]
fn estimators_answer_in_a_stock_runtime() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let Some(wheel) = stock(folder.path()) else { return };
    for name in &ESTIMATORS[..FEW] {
        let member = member(name);
        let file = member.seal_with(folder.path(), &["--portable"]);
        std::fs::write(folder.path().join("rows.jsonl"), json_lines(&member.instances())).expect("written");
        hold(folder.path(), &file, "rows.jsonl", &["wasmtime"], &wheel);
    }
}

#[test]
#[ignore = "takes minutes, see `make test-all`"]
fn half_of_the_estimators_answer_everywhere() {
    answer_everywhere(&ESTIMATORS[..5]);
}

#[test]
#[ignore = "takes minutes, see `make test-all`"]
fn the_other_half_answers_everywhere() {
    answer_everywhere(&ESTIMATORS[5..]);
}

fn answer_everywhere(estimators: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for name in estimators {
        let member = member(name);
        std::fs::write(folder.path().join("rows.jsonl"), json_lines(&member.instances())).expect("written");
        hold_everywhere(folder.path(), "rows.jsonl", |form| member.seal_with(folder.path(), &[form]));
    }
}

#[test]
#[ignore = "takes minutes, see `make test-all`"]
fn the_models_of_the_repository_answer_everywhere() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("rows.jsonl"), rows()).expect("written");
    let scenes = root().join("models/clouds/scenes").to_string_lossy().into_owned();
    for (name, instances) in [("iris", "rows.jsonl"), ("clouds", &scenes)] {
        hold_everywhere(folder.path(), instances, |form| {
            let front = form.trim_start_matches("--portable=");
            sealed_now(name, front, folder.path()).to_string_lossy().into_owned()
        });
    }
}

/// The published cloud mask of 39 MB in f16, whose file is no larger than its engine, the graph as it was sealed, which the native
/// engine takes, and 1.3 times the weights in f32, which the engine in the sandbox has.
#[test]
#[ignore = "takes minutes, see `make test-all`"]
fn the_published_cloud_mask_answers_everywhere() {
    let csmask = root().join("models/csmask");
    let model = csmask.join("model_4b_l1c.onnx");
    if !model.exists() {
        assert!(std::env::var_os("CI").is_none(), "the model is missing: run `make csmask`");
        println!("skipped: run `make csmask`");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let scene = csmask.join("golden/small.tif");
    hold_everywhere(folder.path(), &scene.to_string_lossy(), |form| {
        sealed_now("csmask", form.trim_start_matches("--portable="), folder.path())
            .to_string_lossy()
            .into_owned()
    });
    let bytes = |path: &Path| path.metadata().expect("it is there").len();
    let (file, graph) = (bytes(&folder.path().join("csmask.run.wasm")), bytes(&model));
    let weights = 2 * graph;
    // What a file of hardly any weights takes is its engine.
    let plain = member("linear_regression_pair").seal_with(folder.path(), &["--portable"]);
    let engine = bytes(&folder.path().join(plain));
    println!("csmask: {file} bytes, of the engine {engine}, the graph {graph}, weights in f32 {weights}");
    assert!(file <= engine + graph + weights * 13 / 10, "{file} bytes: {engine}, {graph}, {weights}");
}

/// What a component imports, without versions.
fn imports(component: &Path) -> Vec<String> {
    let bytes = std::fs::read(component).expect("it is there");
    let mut depth = 0;
    let mut names = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
        match payload.expect("a component") {
            wasmparser::Payload::ComponentImportSection(section) if depth == 0 => {
                names.extend(
                    section.into_iter().map(|import| import.expect("an import").name.name.to_owned()),
                );
            }
            wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => {
                depth += 1;
            }
            wasmparser::Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    names.iter().map(|name| name.split('@').next().expect("a name").to_owned()).collect()
}

#[test]
fn only_a_command_asks_for_a_system() {
    const SYSTEM: [&str; 5] = [
        "wasi:cli/environment",
        "wasi:cli/exit",
        "wasi:cli/terminal",
        "wasi:filesystem/",
        "wasi:random/insecure-seed",
    ];
    let asks = |path: &Path| {
        let asked = |name: &String| SYSTEM.iter().any(|system| name.starts_with(system));
        imports(path).into_iter().filter(asked).collect::<Vec<_>>()
    };
    let out = tempfile::tempdir().expect("a folder can be made");
    assert!(
        asks(&portable("iris")).iter().any(|name| name == "wasi:cli/environment"),
        "a command takes arguments"
    );
    for path in [sealed("iris"), sealed("clouds"), sealed_now("iris", "http", out.path())] {
        assert_eq!(asks(&path), Vec::<String>::new(), "{}", path.display());
    }
    // A server's handler gets these from any runtime (WASI 0.2's world wasi:http/proxy).
    let served = imports(&sealed_now("clouds", "http", out.path()));
    // What predictors and fronts both know is types alone.
    let proxy = [
        "ampoule:model/types",
        "wasi:io/",
        "wasi:clocks/",
        "wasi:random/random",
        "wasi:http/",
        "wasi:cli/std",
    ];
    assert!(served.iter().all(|name| proxy.iter().any(|given| name.starts_with(given))), "{served:?}");
}

#[test]
fn what_is_not_there_is_named() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let plain = sealed("iris").to_string_lossy().into_owned();
    std::fs::write(out.path().join("rows.jsonl"), "[5.1, 3.5, 1.4, 0.2]\n").expect("written");
    let output = run(out.path(), &["predict", &plain, "rows.jsonl", "--engine", "portable"]);
    assert!(!output.status.success());
    assert!(
        said(&output)
            .contains("iris brings no engine along: expected an ampoule that was sealed with --portable")
    );
    let output = run(out.path(), &["seal", &root().join("models/iris").to_string_lossy(), "--portable=ftp"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("[possible values: run, http]"), "{}", said(&output));
}
