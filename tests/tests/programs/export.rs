//! `ampoule export js`: the folder answers as the ampoule does, in Node and in a browser.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ampoule_tests::{has, portable, root, run, said, sealed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::portable::{answered, rows, sealed_now};

fn export(ampoule: &Path, folder: &Path, arguments: &[&str]) -> Output {
    let (ampoule, folder) = (ampoule.to_string_lossy(), folder.to_string_lossy());
    run(&root(), &[&["export", "js", &ampoule, "-o", &folder], arguments].concat())
}

fn exported(ampoule: &Path, folder: &Path) -> PathBuf {
    answered(&export(ampoule, folder, &[]));
    folder.to_owned()
}

/// The answers of an exported model to lists of instances; none where there is no Node.
fn ask(folder: &Path, questions: &Value) -> Option<Vec<Value>> {
    if !has("node") {
        println!("skipped: node is needed");
        return None;
    }
    let mut node = Command::new("node")
        .arg(root().join("tests/export/ask.mjs"))
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts");
    let text = questions.to_string();
    let mut stdin = node.stdin.take().expect("it is piped");
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = node.wait_with_output().expect("node ends");
    writing.join().expect("it doesn't panic").expect("node reads");
    let mut answer: Value = serde_json::from_slice(answered(&output)).expect("it is JSON");
    let Value::Array(answers) = answer["answers"].take() else { panic!("{answer}") };
    Some(answers)
}

/// The native engine's predictions for lines of instances.
fn native(ampoule: &Path, lines: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("rows.jsonl"), lines).expect("written");
    let output = run(folder.path(), &["predict", &ampoule.to_string_lossy(), "rows.jsonl"]);
    let text = String::from_utf8_lossy(answered(&output)).into_owned();
    text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("it is there").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_table_has_the_same_answers_in_node() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let folder = exported(&portable("iris"), &out.path().join("iris"));
    let rows: Vec<Value> = rows().lines().map(|row| serde_json::from_str(row).expect("it is JSON")).collect();
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let expected = native(&portable("iris"), &lines);
    assert_eq!((rows.len(), expected.len()), (150, 150));

    let first = json!({ "sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2 });
    let mut bad = rows[..3].to_vec();
    bad.push(json!([1, 2]));
    let mut questions = vec![json!(rows), json!([first]), json!([rows[0], { "$f32": rows[1] }]), json!([])];
    questions.extend([
        json!(bad),
        json!([[5.1, 3.5, "abc", 0.2]]),
        json!([[5.1, { "$number": "NaN" }, 1, 1]]),
    ]);
    questions.extend(rows.iter().map(|row| json!([row])));
    let Some(answers) = ask(&folder, &json!(questions)) else { return };
    assert_eq!(answers[0]["predictions"], json!(expected), "all at once");
    assert_eq!(
        answers[1]["predictions"],
        json!([native(&portable("iris"), &format!("{first}\n"))[0]]),
        "by name"
    );
    assert_eq!(answers[2]["predictions"], json!(expected[..2]), "a typed array");
    assert_eq!(answers[3]["predictions"], json!([]), "none");
    let refused = |instance: u32, path: &str, message: &str| json!({ "status": 400, "code": "invalid_instance", "path": path, "instance": instance, "message": message });
    let message = "instances[3]: expected 4 values, got 2";
    assert_eq!(answers[4]["refused"], refused(3, "instances[3]", message));
    let message = "instances[0][2]: expected a number, got \"abc\"";
    assert_eq!(answers[5]["refused"], refused(0, "instances[0][2]", message));
    let message = "instances[0][1]: expected a value that JSON can hold, got NaN";
    assert_eq!(answers[6]["refused"], refused(0, "instances[0][1]", message));
    // What was refused before changed nothing.
    for (index, expected) in expected.iter().enumerate() {
        assert_eq!(answers[7 + index]["predictions"], json!([expected]), "row {index}");
    }
}

#[test]
fn pictures_have_the_same_masks_in_node() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let folder = exported(&portable("clouds"), &out.path().join("clouds"));
    let scenes =
        ["coast.png", "large.jpg", "speck.png"].map(|name| root().join("models/clouds/scenes").join(name));
    let masks: Vec<Vec<u8>> = scenes
        .iter()
        .map(|scene| {
            let clouds = portable("clouds");
            let asked = ["predict", &clouds.to_string_lossy(), &scene.to_string_lossy()];
            answered(&run(out.path(), &asked)).to_vec()
        })
        .collect();
    let [coast, large, speck] = &scenes;
    let encoded = STANDARD.encode(std::fs::read(speck).expect("it is there"));
    let broken = b"\x89PNG and nothing else";
    let questions = json!([
        [{ "$file": coast }],
        [{ "$blob": large }, { "$file": speck }],
        [{ "b64": encoded }],
        [{ "b64": encoded }, { "$file": coast }],
        [{ "$file": speck }, { "$u8": broken }],
        [{ "$file": speck }, { "$u8": [1, 2, 3] }],
        [[1, 2, 3]],
    ]);
    let Some(answers) = ask(&folder, &questions) else { return };
    for (question, expected) in [(0, [0].as_slice()), (1, &[1, 2]), (2, &[2]), (3, &[2, 0])] {
        let predictions = answers[question]["predictions"].as_array().expect("a list").clone();
        assert_eq!(predictions.len(), expected.len(), "question {question}");
        for (prediction, &scene) in predictions.iter().zip(expected) {
            assert_eq!(prediction["content_type"], "image/png");
            assert!(prediction["cloud_fraction"].is_number(), "what is said about it: {prediction}");
            let bytes = STANDARD.decode(prediction["bytes"]["$u8"].as_str().expect("bytes")).expect("base64");
            assert!(
                bytes == masks[scene],
                "question {question}: another mask of {}",
                scenes[scene].display()
            );
        }
    }
    for (question, status, begin) in [
        (4, 422, "instances[1]: "),
        (
            5,
            400,
            "instances[1]: expected image/png or image/jpeg or image/webp or image/tiff, got application/octet",
        ),
        (6, 400, "instances[0]: expected"),
    ] {
        let refused = &answers[question]["refused"];
        assert_eq!((&refused["status"], &refused["code"]), (&status.into(), &"invalid_instance".into()));
        assert!(refused["message"].as_str().expect("a text").starts_with(begin), "{refused}");
    }
}

#[test]
fn tensors_come_nested_and_as_typed_arrays() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let typed = sealed_now("typed", "run", out.path());
    let folder = exported(&typed, &out.path().join("typed"));
    let instance = |vector: Value, tile: Value, count: Value, open: Value| {
        json!({ "vector": vector, "count": count, "flag": true, "tile": tile, "tiny": -3, "short": 300, "word": 70000,
            "half": 0.5, "wide": null, "age": 40, "colour": "red", "open": open })
    };
    let plain = instance(
        json!([0.1, -0.25, 3e-7]),
        json!([[1, 2], [3, 4]]),
        json!(9007199254740991_i64),
        json!([[1.5, 2], [3, 4]]),
    );
    let expected = native(&typed, &format!("{plain}\n"));
    let arrays = instance(
        json!({ "$f32": [0.1, -0.25, 3e-7] }),
        json!({ "$u8": [1, 2, 3, 4] }),
        json!(9007199254740991_i64),
        json!([{ "$f32": [1.5, 2] }, { "$f32": [3, 4] }]),
    );
    let flat = instance(json!([1, 2, 3]), json!({ "$u8": [1, 2, 3] }), json!(1), json!([[1]]));
    let Some(answers) = ask(&folder, &json!([[plain], [arrays], [flat]])) else { return };
    assert_eq!(answers[0]["predictions"], json!(expected));
    assert_eq!(answers[1]["predictions"], json!(expected));
    let message = answers[2]["refused"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("instances[0].tile"), "{}", answers[2]);
}

#[test]
fn an_instance_that_broke_answers_nothing_more() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let folder = exported(&portable("iris"), &out.path().join("iris"));
    std::fs::rename(folder.join("model.js"), folder.join("whole.js")).expect("renamed");
    std::fs::copy(root().join("tests/export/breaks.mjs"), folder.join("model.js")).expect("copied");
    let row = json!([[5.1, 3.5, 1.4, 0.2]]);
    let Some(answers) = ask(&folder, &json!([row, row])) else { return };
    let message = "the model failed: unreachable";
    let refused = json!({ "status": 500, "code": "guest_trap", "path": "", "message": message });
    assert_eq!(answers[0]["refused"], refused);
    assert_eq!(
        answers[1]["predictions"],
        json!(native(&portable("iris"), "[5.1, 3.5, 1.4, 0.2]\n")),
        "another answers"
    );
}

#[test]
fn the_folder_is_a_package_and_comes_again_the_same() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let folder = out.path().join("iris");
    let output = export(&portable("iris"), &folder, &["--name", "@me/iris"]);
    let text = String::from_utf8_lossy(answered(&output)).into_owned();
    let names = names(&folder);
    let mut bytes = 0;
    for name in &names {
        let size = std::fs::metadata(folder.join(name)).expect("it is there").len();
        bytes += size;
        assert!(text.contains(&format!("{}  {size} bytes\n", folder.join(name).display())), "{name}: {text}");
    }
    assert!(
        text.ends_with(&format!("{}  {bytes} bytes in {} files\n", folder.display(), names.len())),
        "{text}"
    );

    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("it is there");
    let package: Value = serde_json::from_str(&read("package.json")).expect("it is JSON");
    assert_eq!((&package["name"], &package["version"]), (&"@me/iris".into(), &"1.0.0".into()));
    assert_eq!((&package["license"], &package["type"]), (&"Apache-2.0".into(), &"module".into()));
    let mut listed: Vec<&str> =
        package["files"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    listed.push("package.json");
    listed.sort_unstable();
    assert_eq!(listed, names);
    let types = read("index.d.ts");
    assert!(types.contains("  label: \"setosa\" | \"versicolor\" | \"virginica\";\n"), "{types}");
    assert!(
        types.contains("Inputs | readonly [number, number, number, number] | Float32Array | Float64Array;"),
        "{types}"
    );
    assert!(types.contains("  probabilities: [number, number, number];\n"), "{types}");
    assert!(!read("model.js").contains("JCO_DEBUG"), "traces are taken out");

    // What an earlier export left behind goes, and other files stay.
    let before: Vec<_> =
        names.iter().map(|name| std::fs::read(folder.join(name)).expect("it is there")).collect();
    let stale =
        read("package.json").replace("\"index.d.ts\"", "\"index.d.ts\", \"model.core9.wasm\", \"../kept\"");
    for (name, text) in
        [("package.json", stale.as_str()), ("model.core9.wasm", ""), ("notes.txt", ""), ("../kept", "")]
    {
        std::fs::write(folder.join(name), text).expect("written");
    }
    answered(&export(&portable("iris"), &folder, &["--name", "@me/iris"]));
    let after: Vec<_> =
        names.iter().map(|name| std::fs::read(folder.join(name)).expect("it is there")).collect();
    assert!(before == after, "the same file gives the same package");
    assert!(!folder.join("model.core9.wasm").exists());
    assert!(folder.join("notes.txt").exists() && out.path().join("kept").exists());
}

#[test]
fn the_front_makes_no_difference() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let run = exported(&portable("iris"), &out.path().join("run"));
    let http = exported(&sealed_now("iris", "http", out.path()), &out.path().join("http"));
    for name in names(&run).iter().filter(|name| name.ends_with(".wasm") || *name == "model.js") {
        let [run, http] = [&run, &http].map(|folder| std::fs::read(folder.join(name)).expect("it is there"));
        assert!(run == http, "{name} differs");
    }
}

#[test]
fn what_can_not_be_exported_is_named() {
    let out = tempfile::tempdir().expect("a folder can be made");
    let folder = out.path().join("folder");
    let plain = sealed("iris");
    let output = export(&plain, &folder, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let expected = format!(
        "can't export {}: expected a portable ampoule, got one without an engine (seal it with --portable)",
        plain.display()
    );
    assert!(said(&output).contains(&expected), "{}", said(&output));
    assert!(!folder.exists(), "nothing is written");

    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("package.json"), "{\"name\": \"other\"}").expect("written");
    let output = export(&portable("iris"), &folder, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let expected = "holds other files: expected a new folder, an empty one or an earlier export (or --force)";
    assert!(said(&output).contains(expected), "{}", said(&output));
    assert_eq!(names(&folder), ["package.json"]);
    answered(&export(&portable("iris"), &folder, &["--force"]));

    let output = export(&portable("iris"), &folder, &["--name", "Iris"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn the_page_answers_without_a_server_of_its_own() {
    if !has("node") || !has("chromium") {
        println!("skipped: node and chromium are needed");
        return;
    }
    let tools = root().join("tests/docs");
    let installed = tools.join("node_modules").exists();
    assert!(installed || std::env::var_os("CI").is_none(), "make test installs playwright-core");
    if !installed {
        println!("skipped: run `make test`");
        return;
    }
    let out = tempfile::tempdir().expect("a folder can be made");
    let scene = root().join("models/clouds/scenes/coast.png");
    let clouds = portable("clouds");
    let asked = ["predict", &clouds.to_string_lossy(), &scene.to_string_lossy(), "-o", "mask.png"];
    answered(&run(out.path(), &asked));
    let output = Command::new("node")
        .args(["--test", "export.test.mjs"])
        .current_dir(&tools)
        .env("IRIS", exported(&portable("iris"), &out.path().join("iris")))
        .env("CLOUDS", exported(&portable("clouds"), &out.path().join("clouds")))
        .env("IMAGE", scene)
        .env("MASK", out.path().join("mask.png"))
        .env("SCREENSHOTS", root().join("target/screenshots"))
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn node_is_one_of_the_environments_of_a_check() {
    if !has("node") {
        println!("skipped: node is needed");
        return;
    }
    let out = tempfile::tempdir().expect("a folder can be made");
    let scene = root().join("models/clouds/scenes/speck.png").to_string_lossy().into_owned();
    std::fs::write(out.path().join("broken.png"), b"\x89PNG and nothing else").expect("written");
    std::fs::write(out.path().join("rows.jsonl"), "[5.1, 3.5, 1.4, 0.2]\n[1, 2]\n").expect("written");
    for (ampoule, inputs, instances) in [
        (&portable("iris"), ["rows.jsonl", "--fuzz", "200"].as_slice(), 202),
        (&portable("clouds"), &[&scene, "broken.png", "--fuzz", "2"], 4),
    ] {
        let ampoule = ampoule.to_string_lossy();
        let arguments = [&["check", &ampoule, "--only", "node"], inputs].concat();
        let matrix = String::from_utf8_lossy(answered(&run(out.path(), &arguments))).into_owned();
        assert!(matrix.contains(&format!("instances  {instances}")), "{matrix}");
        assert!(matrix.contains("node    equal to the bit"), "{matrix}");
    }
    let iris = portable("iris");
    let arguments = ["check", &iris.to_string_lossy(), "--only", "node", "--node", "no-such-node"];
    let output = run(out.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no program no-such-node (--node PATH)"), "{}", said(&output));
}
