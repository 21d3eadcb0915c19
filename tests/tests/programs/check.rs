//! `ampoule check`: what it finds the same, what it finds different, and what it says of it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use ampoule_tests::{Server, ampoule, cache, has, installed, portable, root, run, said, sealed};
use serde_json::{Value, json};

use super::portable::stock;
use super::zoo::{json_lines, member};

/// Runs `ampoule check` of the sealed `model` in `folder`.
fn check(folder: &Path, model: &str, arguments: &[&str]) -> Output {
    check_file(folder, &sealed(model), arguments)
}

/// The same of a file; temporary files go to `folder/tmp`, and none is left there.
fn check_file(folder: &Path, file: &Path, arguments: &[&str]) -> Output {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).expect("a folder can be made");
    let output = Command::new(ampoule())
        .arg("check")
        .arg(file)
        .args(arguments)
        .current_dir(folder)
        .envs([("AMPOULE_CACHE", &cache()), ("TMPDIR", &temporary)])
        .output()
        .expect("the command starts");
    let left: Vec<PathBuf> =
        std::fs::read_dir(&temporary).expect("it is there").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?} is left");
    output
}

fn matrix(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("expected JSON, got {}", said(output)))
}

/// Names and outcomes of a matrix's rows.
fn outcomes(matrix: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let rows = matrix["environments"].as_array().expect("a list");
    rows.iter().map(|row| (text(&row["name"]), text(&row["outcome"]))).collect()
}

fn digest(model: &str) -> String {
    let output = run(&root(), &["inspect", "--json", &sealed(model).to_string_lossy()]);
    let facts: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    facts["digest"].as_str().expect("a text").to_owned()
}

/// A program that this file's tests start.
fn ours(name: &str) -> PathBuf {
    root().join("tests/check").join(name)
}

/// A program in Python in `folder`; none where there is no Python.
fn script(folder: &Path, name: &str, text: &str) -> Option<String> {
    std::fs::write(folder.join(name), text).expect("written");
    has("python3").then(|| format!("python:{name}"))
}

const ALL_SETOSA: &str = "\
import json, sys
for line in sys.stdin:
    print(json.dumps({'label': 'setosa'}))
";

#[test]
fn every_program_gives_the_same_answers() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("rows.jsonl"), "[5.1, 3.5, 1.4, 0.2]\n[1, 2]\n[6.7, 3.0, 5.2, 2.3]\n")
        .expect("written");
    let scenes = root().join("models/clouds/scenes");
    let [coast, speck] =
        ["coast.png", "speck.png"].map(|name| scenes.join(name).to_string_lossy().into_owned());
    std::fs::write(folder.path().join("broken.png"), b"\x89PNG and nothing else").expect("written");
    let cases: [(&str, &[&str], u64, u64); 3] = [
        ("iris", &["--fuzz", "100"], 102, 0),
        ("iris", &["rows.jsonl"], 3, 1),
        ("clouds", &[&coast, &speck, "broken.png", "--fuzz", "2"], 5, 1),
    ];
    for (model, arguments, instances, refused) in cases {
        let arguments = [arguments, &["--only", "serve,cloud,lambda,batch", "--json"]].concat();
        let output = check(folder.path(), model, &arguments);
        assert_eq!(output.status.code(), Some(0), "{model}: {}", said(&output));
        let matrix = matrix(&output);
        let expected =
            ["serve", "cloud", "lambda", "batch"].map(|name| (name.to_owned(), "equal".to_owned()));
        assert_eq!(outcomes(&matrix), expected, "{matrix:#}");
        assert_eq!(matrix["digest"], digest(model));
        assert_eq!(
            (&matrix["instances"], &matrix["refused"]),
            (&instances.into(), &refused.into()),
            "{matrix:#}"
        );
        assert_eq!((&matrix["model"], &matrix["holds"]), (&model.into(), &true.into()));
    }
}

/// A table, pictures and a pipeline of scikit-learn: one file each, wherever it can run on this machine.
#[test]
fn one_file_gives_the_same_answers_everywhere() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let pipeline = member("mixed_logistic");
    std::fs::write(folder.path().join("people.jsonl"), json_lines(&pipeline.instances())).expect("written");
    std::fs::write(folder.path().join("broken.png"), b"\x89PNG and nothing else").expect("written");
    let coast = root().join("models/clouds/scenes/coast.png").to_string_lossy().into_owned();
    let booster = format!("xgboost:{}", root().join("models/iris/model.json").display());
    let python = installed("python").map(|python| python.to_string_lossy().into_owned());
    let stock = stock(folder.path());
    let mut environments = vec!["portable", "serve", "cloud", "lambda", "batch"];
    environments.extend(stock.as_ref().map(|_| "wasmtime"));
    environments.extend(has("node").then_some("node"));
    environments.extend(has("chromium").then_some("browser"));
    let only = environments.join(",");
    for (file, instances) in [
        (portable("iris"), ["--fuzz", "30"].as_slice()),
        (portable("clouds"), &[&coast, "broken.png", "--fuzz", "1"]),
        (folder.path().join(pipeline.seal_with(folder.path(), &["--portable"])), &["people.jsonl"]),
    ] {
        let mut arguments = [instances, &["--json", "--only", &only]].concat();
        if let (Some(stock), Some(python)) = (&stock, &python) {
            arguments.extend(["--wasmtime", stock, "--python", python]);
            arguments.extend(["--against", &booster].iter().filter(|_| instances == ["--fuzz", "30"]));
        }
        let output = check_file(folder.path(), &file, &arguments);
        assert_eq!(output.status.code(), Some(0), "{}: {}", file.display(), said(&output));
        let found = outcomes(&matrix(&output));
        assert!(found.len() >= environments.len(), "{found:?}");
        // The trainer's own sums are in single precision too.
        let equal = |(name, outcome): &(String, String)| outcome == "equal" || name.starts_with("xgboost:");
        assert!(found.iter().all(equal), "{}: {found:?}", file.display());
    }
}

#[test]
fn an_answer_that_is_another_is_named() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let Some(wrong) = script(folder.path(), "wrong.py", ALL_SETOSA) else { return };
    let output = check(folder.path(), "iris", &["--only", "batch", "--against", &wrong]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let expected =
        "python:wrong.py  DIFFERENT in 1 of 2 (instances[1].label: \"setosa\" instead of \"versicolor\")";
    assert!(said(&output).contains(expected), "{}", said(&output));
    assert!(said(&output).contains("batch            equal to the bit"), "{}", said(&output));

    // The label alone, and rightly.
    std::fs::write(folder.path().join("rows.csv"), "5.1,3.5,1.4,0.2\n").expect("written");
    let output = check(folder.path(), "iris", &["rows.csv", "--only", "batch", "--against", &wrong]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("equal to the bit; compared: label"), "{}", said(&output));
}

#[test]
fn numbers_may_be_as_far_apart_as_the_tolerance_says() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let rows = "5.1,3.5,1.4,0.2\n";
    std::fs::write(folder.path().join("rows.csv"), rows).expect("written");
    let near = "print('{\"probabilities\": [0.99672763, 0.002651675, 0.0006216493]}')\n";
    let Some(near) = script(folder.path(), "near.py", near) else { return };
    for (tolerance, code, expected) in [
        ("1e-5", 0, "within 1e-5 (largest difference 1.0e-6 at instances[0].probabilities[0])"),
        ("1e-7", 1, "DIFFERENT in 1 of 1 (instances[0].probabilities[0]: "),
        ("0", 1, "DIFFERENT in 1 of 1 (instances[0].probabilities[0]: "),
    ] {
        let arguments = ["rows.csv", "--only", "batch", "--against", &near, "--tolerance", tolerance];
        let output = check(folder.path(), "iris", &arguments);
        assert_eq!(output.status.code(), Some(code), "{tolerance}: {}", said(&output));
        assert!(said(&output).contains(expected), "{tolerance}: {}", said(&output));
    }
}

#[test]
fn servers_are_asked_where_they_are() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let server = Server::start(&[&sealed("iris").to_string_lossy()]);
    let there = format!("http://{}", server.address);
    let elsewhere = format!("{there}/models/other/predictions");
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let gone = format!("http://{}", free.local_addr().expect("it is bound"));
    drop(free);
    let against = ["--against", &there, "--against", &elsewhere, "--against", &gone];
    let output = check(folder.path(), "iris", &[["--only", "batch", "--json"].as_slice(), &against].concat());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let matrix = matrix(&output);
    let rows: Vec<String> = outcomes(&matrix).into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(rows, ["equal", "equal", "failed", "failed"], "{matrix:#}");
    let why = |row: usize| matrix["environments"][row]["why"].as_str().unwrap_or_default().to_owned();
    assert!(why(2).starts_with("it answered 404: no model \"other\""), "{}", why(2));
    assert!(why(3).contains("error sending request"), "{}", why(3));
}

#[test]
fn a_container_is_asked_and_gone_afterwards() {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if !has("buildah") || !root {
        eprintln!("skipped: buildah and root are needed");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let docker = folder.path().join("docker");
    std::fs::copy(ours("docker"), &docker).expect("it can be copied");
    let docker = docker.to_string_lossy().into_owned();
    let arguments = ["--fuzz", "10", "--only", "container", "--container", &docker, "--json"];
    let output = check(folder.path(), "iris", &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(outcomes(&matrix(&output)), [("container".to_owned(), "equal".to_owned())]);
    let removed = std::fs::read_to_string(format!("{docker}.containers/removed")).expect("it was removed");
    let name = std::fs::read_to_string(format!("{docker}.containers/name")).expect("it was named");
    let expected = format!("--force {}\n{}:iris\n", name.trim(), name.trim());
    assert_eq!(removed, expected);
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn a_browser_that_a_script_starts_ends_with_the_check() {
    if !has("chromium") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let wrapper = ours("browser").to_string_lossy().into_owned();
    let output =
        check_file(folder.path(), &portable("iris"), &["--only", "browser", "--browser", &wrapper, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(outcomes(&matrix(&output)), [("browser".to_owned(), "equal".to_owned())]);
    // A browser has the name of its profile's folder in its arguments.
    let profile = folder.path().to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").expect("it is there").flatten();
    let arguments = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let left: Vec<String> = arguments
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains(&profile))
        .collect();
    assert!(left.is_empty(), "{left:?} runs on");
}

#[test]
fn a_server_of_tensors_is_asked_with_its_key() {
    if !has("python3") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let server = Server::start(&[&sealed("iris").to_string_lossy()]);
    let tensors = Command::new("python3")
        .arg(ours("tensors.py"))
        .arg(format!("http://{}/predictions", server.address))
        .stdout(Stdio::piped())
        .spawn();
    let mut tensors = Ends(tensors.expect("Python starts"));
    let mut port = String::new();
    let mut stdout = BufReader::new(tensors.0.stdout.take().expect("it is piped"));
    stdout.read_line(&mut port).expect("it says its port");
    let url = format!("http://127.0.0.1:{}/v2/models/iris/infer", port.trim());
    let arguments = ["--only", "batch", "--fuzz", "70", "--against", &url];
    let key = ["--header", "Authorization: Bearer key"];
    let given = check(folder.path(), "iris", &[&arguments[..], &key].concat());
    let refused = check(folder.path(), "iris", &arguments);
    assert_eq!(given.status.code(), Some(0), "{}", said(&given));
    let equal = |line: &str| line.starts_with(&url) && line.ends_with("  equal to the bit");
    assert!(said(&given).lines().any(equal), "{}", said(&given));
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let expected = "failed: it answered 401: no key (--header NAME:VALUE sends what it asks for)";
    assert!(said(&refused).contains(expected), "{}", said(&refused));
}

#[test]
fn what_was_found_the_same_is_put_on_record() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("iris.wasm");
    std::fs::copy(sealed("iris"), &file).expect("it can be copied");
    let facts = || {
        let output = run(folder.path(), &["inspect", "--json", "iris.wasm"]);
        serde_json::from_slice::<Value>(&output.stdout).expect("it is JSON")
    };
    let unchecked = facts();
    assert_eq!(unchecked["checked"], Value::Null);
    // Twice: the second is of the same file, whatever the first wrote into it.
    for (arguments, tolerance, instances) in
        [(["--fuzz", "8", "--tolerance", "1e-6"].as_slice(), 1e-6, 10), (["--fuzz", "3"].as_slice(), 1e-6, 5)]
    {
        let arguments =
            [["check", "iris.wasm", "--only", "batch,serve", "--record"].as_slice(), arguments].concat();
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let now = facts();
        assert_eq!(now["checked"], true);
        let digest = now["digest"].as_str().expect("a text");
        assert!(
            said(&output).contains(&format!("iris.wasm: recorded, and {digest} now")),
            "{}",
            said(&output)
        );
        let expected = json!({
            "sha256": unchecked["digest"].as_str().expect("a text").trim_start_matches("sha256:"),
            "tolerance": tolerance,
            "environments": {
                "batch": { "instances": instances, "largest_difference": 0.0 },
                "serve": { "instances": instances, "largest_difference": 0.0 },
            },
        });
        assert_eq!(now["manifest"]["checked"], expected);
    }
    // The record is no part of a prediction.
    let predicted = |file: &str| {
        std::fs::write(folder.path().join("rows.csv"), "5.1,3.5,1.4,0.2\n").expect("written");
        run(folder.path(), &["predict", file, "rows.csv"]).stdout
    };
    assert_eq!(predicted("iris.wasm"), predicted(&sealed("iris").to_string_lossy()));

    // A record of another file is none of this one.
    let mut bytes = std::fs::read(&file).expect("it is there");
    let at = bytes.windows(10).position(|window| window == b"\"version\":").expect("it has a version");
    let digit = bytes[at..].iter().position(u8::is_ascii_digit).expect("a number") + at;
    bytes[digit] = b'7';
    std::fs::write(&file, bytes).expect("written");
    assert_eq!(facts()["checked"], false);
    let page = run(folder.path(), &["inspect", "iris.wasm"]);
    assert!(said(&page).contains("ANOTHER FILE: expected sha256:"), "{}", said(&page));

    // Nothing is put on record where an answer is another, or nothing was asked.
    let Some(wrong) = script(folder.path(), "wrong.py", ALL_SETOSA) else { return };
    for (arguments, expected) in [
        (["--only", "batch", "--against", &wrong].as_slice(), "DIFFERENT in 1 of 2"),
        (
            &["--without", "serve,cloud,container,lambda,batch"],
            "nothing is recorded: the native engine was compared with nothing",
        ),
    ] {
        let before = std::fs::read(&file).expect("it is there");
        let output = run(folder.path(), &[&["check", "iris.wasm", "--record"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
        assert!(before == std::fs::read(&file).expect("it is there"), "the file was written");
    }
}

#[test]
fn made_up_instances_come_again_with_their_seed() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let keeps = "import sys\nopen('seen.jsonl', 'w').write(sys.stdin.read())\n";
    let Some(keeps) = script(folder.path(), "keeps.py", keeps) else { return };
    let seen = |seed: &str| {
        let arguments = ["--only", "batch", "--fuzz", "50", "--seed", seed, "--against", &keeps];
        let output = check(folder.path(), "iris", &arguments);
        // It gives no answers.
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("failed: expected 52 lines of JSON, got 0"), "{}", said(&output));
        std::fs::read_to_string(folder.path().join("seen.jsonl")).expect("it was written")
    };
    let first = seen("3");
    assert_eq!(first.lines().count(), 52);
    assert_eq!(first, seen("3"));
    assert_ne!(first, seen("4"));
}

#[test]
fn a_report_holds_what_the_matrix_says() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let Some(wrong) = script(folder.path(), "<b>wrong.py", ALL_SETOSA) else { return };
    let arguments = ["--only", "batch", "--against", &wrong, "--json", "--report", "report"];
    let output = check(folder.path(), "iris", &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let read =
        |name: &str| std::fs::read_to_string(folder.path().join("report").join(name)).expect("written");
    assert_eq!(serde_json::from_str::<Value>(&read("report.json")).expect("it is JSON"), matrix(&output));
    let page = read("report.html");
    for expected in [
        "<tr class=\"equal\"><th>batch</th><td>equal to the bit</td></tr>",
        "python:&lt;b&gt;wrong.py",
        "instances[1].label: &quot;setosa&quot; instead of &quot;versicolor&quot;",
        &digest("iris"),
    ] {
        assert!(page.contains(expected), "expected {expected} in\n{page}");
    }
    assert!(!page.contains("<b>"), "a file's name is markup");

    // A scene in place of its mask: of another kind in every pixel.
    let echoes = "\
import json, sys
for line in sys.stdin:
    print(json.dumps({'b64': json.loads(line)['b64']}))
";
    let Some(echoes) = script(folder.path(), "echoes.py", echoes) else { return };
    let arguments = ["--fuzz", "1", "--only", "batch", "--against", &echoes, "--report", "report"];
    let output = check(folder.path(), "clouds", &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("DIFFERENT in 1 of 1 (instances[0] pixel ("), "{}", said(&output));
    let page = read("report.html");
    // The reference, the other and their difference; then an example and its mask.
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 5);
    assert_eq!(
        page.matches("src=").count() + page.matches("href=").count(),
        5,
        "nothing comes from elsewhere"
    );
}

#[test]
fn what_cant_be_checked_is_said() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("bad.jsonl"), "[1]\n").expect("written");
    let cases: [(&[&str], i32, &str); 13] = [
        (&["--tolerance", "much"], 2, "expected a number of 0 or more, such as 1e-5"),
        (&["--tolerance", "-1"], 2, "expected a number of 0 or more, such as 1e-5"),
        (
            &["--only", "moon"],
            2,
            "[possible values: portable, wasmtime, wasmtime-serve, node, browser, serve, cloud, container, lambda, batch]",
        ),
        (
            &["--against", "ftp://x"],
            2,
            "expected http://…, https://…, onnxruntime, python:FILE or xgboost:MODEL",
        ),
        (&["--only", "batch", "--without", "batch"], 1, "nothing is left to ask"),
        (&["--only", "wasmtime"], 1, "not here: the file is not portable (seal it with --portable)"),
        (&["--only", "node"], 1, "not here: the file is not portable (seal it with --portable)"),
        (&["--only", "container", "--container", "./none"], 1, "not here: can't start none"),
        (&["--header", "Bearer"], 2, "expected NAME:VALUE, such as \"Authorization: Bearer TOKEN\""),
        (&["--only", "batch", "--against", "http://[::1/infer"], 2, "not a URL"),
        (
            &["--only", "batch", "--against", "onnxruntime"],
            1,
            "failed: expected --onnxruntime-library, got none",
        ),
        (&["none.jsonl"], 1, "can't read none.jsonl"),
        (
            &["bad.jsonl"],
            1,
            "nothing to compare: the native engine predicts none of 1 instances: instances[0]: ",
        ),
    ];
    for (arguments, code, expected) in cases {
        let output = check(folder.path(), "iris", arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(
            said(&output).contains(expected),
            "{arguments:?}: expected {expected:?} in {}",
            said(&output)
        );
    }
    // What isn't here is no fault where nobody asked for it by name.
    let output = check(folder.path(), "iris", &["--without", "serve,cloud,container,lambda"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("portable        not here: the file is not portable"),
        "{}",
        said(&output)
    );
}
