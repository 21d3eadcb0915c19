//! `ampoule seal --portable`: one file, which gives the same answers natively, in the sandbox alone, and in a stock runtime.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use ampoule_tests::{installed, root, run, said, sealed};
use serde_json::Value;

/// The model in `models/NAME`, sealed to be portable.
pub fn portable(name: &str, front: &str, out: &Path) -> PathBuf {
    let published = root().join("models").join(name);
    let model = if published.exists() { published } else { root().join("tests/models").join(name) };
    let path = out.join(format!("{name}.{front}.wasm"));
    let front = format!("--portable={front}");
    let output = run(out, &["seal", &model.to_string_lossy(), &front, "-o", &path.to_string_lossy()]);
    assert!(output.status.success(), "{}", said(&output));
    path
}

/// Iris as a command, which several tests ask.
pub fn iris() -> &'static Path {
    static MADE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    made(&MADE, "iris")
}

/// Clouds as a command.
pub fn clouds() -> &'static Path {
    static MADE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    made(&MADE, "clouds")
}

fn made(once: &'static OnceLock<(tempfile::TempDir, PathBuf)>, name: &str) -> &'static Path {
    let made = || {
        let out = tempfile::tempdir().expect("a folder can be made");
        let path = portable(name, "run", out.path());
        (out, path)
    };
    &once.get_or_init(made).1
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
    let (iris, plain) = (iris().to_string_lossy(), sealed("iris"));
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
        .args([&*iris, "rows.jsonl", "stock.jsonl"])
        .current_dir(out.path())
        .output()
        .expect("Python starts");
    assert_eq!(stock.status.code(), Some(1), "one row is refused: {}", said(&stock));
    assert!(
        said(&stock).contains("row 150 (line 151): instances[150]: expected 4 values, got 2"),
        "{}",
        said(&stock)
    );
    let written = std::fs::read(out.path().join("stock.jsonl")).expect("it was written");
    assert_eq!(String::from_utf8_lossy(&native), String::from_utf8_lossy(&written), "a stock runtime");

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
    let again = portable("iris", "run", out.path());
    let files = [iris(), &again].map(|file| std::fs::read(file).expect("it is there"));
    assert!(files[0] == files[1], "two files of {} and {} bytes differ", files[0].len(), files[1].len());
    let inspected = run(out.path(), &["inspect", "--json", &again.to_string_lossy()]);
    let facts: Value = serde_json::from_slice(answered(&inspected)).expect("it is JSON");
    assert_eq!(facts["portable"], Value::Bool(true));
    assert_eq!(facts["manifest"]["name"], "iris");
}

#[test]
fn made_up_rows_have_the_same_answers_in_the_sandbox() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let output =
        run(out.path(), &["check", &iris().to_string_lossy(), "--only", "portable", "--fuzz", "500"]);
    let matrix = String::from_utf8_lossy(answered(&output)).into_owned();
    assert!(matrix.contains("instances  502\n"), "{matrix}");
    assert!(matrix.contains("portable  equal to the bit\n"), "{matrix}");
}

#[test]
fn pictures_have_the_same_masks_in_every_engine() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let clouds = clouds();
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
    assert!(asks(iris()).iter().any(|name| name == "wasi:cli/environment"), "a command takes arguments");
    for path in [sealed("iris"), sealed("clouds"), portable("iris", "http", out.path())] {
        assert_eq!(asks(&path), Vec::<String>::new(), "{}", path.display());
    }
    // A server's handler gets these from any runtime (WASI 0.2's world wasi:http/proxy).
    let served = imports(&portable("clouds", "http", out.path()));
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
