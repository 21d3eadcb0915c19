//! Hostile predictors and files: what misbehaves inside the sandbox stays there, and what is no
//! ampoule is not opened.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::table::{Case, Good, SETTLED, hold};
use ampoule_tests::{Server, ampoule, eventually, portable, run, said, sealed};

/// What runs the graphs of the hostile predictor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Native,
    /// The one in its sandbox.
    Portable,
}

impl Engine {
    const ALL: [Self; 2] = [Self::Native, Self::Portable];

    fn sealed(self, name: &str) -> PathBuf {
        match self {
            Self::Native => sealed(name),
            Self::Portable => portable(name),
        }
    }

    /// Either `native` or `portable`.
    fn either<T>(self, native: T, portable: T) -> T {
        match self {
            Self::Native => native,
            Self::Portable => portable,
        }
    }
}

fn hostile(engine: Engine, more: &[&str]) -> (Server, Good) {
    hostile_with(engine, more, &SETTLED)
}

fn hostile_with(engine: Engine, more: &[&str], variables: &[(&str, &str)]) -> (Server, Good) {
    let model = engine.sealed("hostile");
    let mut all = vec![
        model.to_str().expect("a path of the repository is text"),
        "--engine",
        engine.either("native", "portable"),
        "--deadline-ms",
        // What fills the memory there is slower.
        engine.either("500", "2000"),
        "--memory-mib",
        "64",
        "--max-output-bytes",
        "1048576",
        "--max-tensor-bytes",
        "1048576",
    ];
    all.extend_from_slice(more);
    (Server::start_with(&all, variables), Good::json("{\"instances\":[\"compute\"]}"))
}

/// Holds both engines to what `cases` states for each.
fn hold_each(cases: impl Fn(Engine) -> Vec<Case>) {
    for engine in Engine::ALL {
        println!("{engine:?}");
        let (mut server, good) = hostile(engine, &[]);
        hold(&mut server, &good, &cases(engine));
    }
}

pub(super) fn deed(deed: &str) -> Case {
    Case::json(deed, format!("{{\"instances\":[\"{deed}\"]}}"))
}

/// The predictor's fault: a reply in general words.
pub(super) fn broken(name: &str, code: &'static str) -> Case {
    deed(name).status(500).code(code).says("the model failed on this request")
}

/// The time was over.
pub(super) fn late(name: &str) -> Case {
    deed(name).status(504).code("deadline_exceeded").says("deadline_ms: expected at most ")
}

/// A limit was hit: a reply in general words too.
pub(super) fn limited(name: &str, code: &'static str) -> Case {
    deed(name).status(500).code(code).says("the model ran into one of its limits")
}

pub(super) fn fine(name: &str, answer: &str) -> Case {
    deed(name).status(200).says(&format!("{{\"predictions\":[{answer}]}}"))
}

#[test]
fn a_predictor_that_does_not_end_is_ended() {
    let cases = |_| {
        vec![
            late("spin"),
            late("spin-host"),
            broken("recurse", "guest_trap").hides("out of bounds"),
            broken("unreachable", "guest_trap"),
            broken("out-of-bounds", "guest_trap").hides("out of bounds"),
            broken("abort", "guest_trap"),
            broken("panic:canary-7f3a", "guest_trap").hides("canary-7f3a"),
            broken("exit:0", "guest_contract").hides("exit"),
            broken("exit:1", "guest_contract").hides("exit"),
            limited("grow-on", "guest_oom"),
            limited("grow:64", "guest_oom"),
            limited("grow:65", "guest_oom"),
            limited("allocate:1024", "guest_oom"),
            limited("allocate:2047", "guest_oom"),
            fine("grow:48", "true"),
            fine("grow-politely", "true"),
            fine("log:100", "true"),
            fine("log-lines:8", "true"),
        ]
    };
    hold_each(cases);
}

#[test]
fn predictions_that_are_none_are_refused() {
    let contract = |name: &str| broken(name, "guest_contract");
    let cases = |_| {
        vec![
            contract("none"),
            contract("more"),
            contract("output-many:1000"),
            limited("output-many:100000", "output_too_large"),
            contract("not-json"),
            contract("two-values"),
            contract("breaks-out").hides("forged"),
            contract("empty-json"),
            contract("nan-json"),
            contract("no-utf8"),
            contract("columns-none"),
            contract("columns-twice"),
            contract("columns-short"),
            contract("columns-long"),
            contract("columns-overflow"),
            contract("columns-flat"),
            contract("columns-rows"),
            contract("columns-uneven"),
            contract("columns-wide"),
            contract("columns-deep"),
            contract("text-short"),
            contract("text-wide"),
            contract("nan").hides("NaN"),
            contract("infinity").hides("inf"),
            contract("media-list"),
            contract("media-half"),
            contract("media-twice"),
            contract("media-lies"),
            limited("output:1025", "output_too_large"),
            limited("output:8192", "output_too_large"),
            deed("output:1023").status(200),
            deed("deep-json:100000").status(200),
            // A type's line end stays within the JSON.
            deed("media-type").status(200).says("\"content_type\":\"a/b\\r\\nset-cookie: c=d\""),
            Case::json("one answer for two", "{\"instances\":[\"nan-json\",\"compute\"]}")
                .status(500)
                .code("guest_contract"),
            fine("an echo", "\"an echo\""),
            Case::json("depth", format!("{{\"instances\":[{}1{}]}}", "[".repeat(10_000), "]".repeat(10_000)))
                .status(200),
            Case::json("a million digits", format!("{{\"instances\":[{}]}}", "9".repeat(1_000_000)))
                .status(200),
            Case::json("too much", format!("{{\"instances\":[{}]}}", "9".repeat(1 << 20)))
                .status(500)
                .code("output_too_large"),
        ]
    };
    hold_each(cases);
}

#[test]
fn a_failure_reaches_the_caller_only_where_it_is_theirs() {
    let model = |name: &str| broken(name, "model_failure");
    let cases = |engine: Engine| {
        // What the host refuses to make, the engine in the sandbox gives up at.
        let refused = engine.either("guest_contract", "guest_trap");
        vec![
            deed("fault-caller:nothing")
                .status(422)
                .code("invalid_instance")
                .at("instances[0]")
                .says("instances[0]: not today: expected a deed, got nothing"),
            deed("fault-control")
                .status(422)
                .code("invalid_instance")
                .says("a\r\nset-cookie: b\u{1b}[31m\u{2028}\"}"),
            model("fault-model:canary-7f3a").hides("canary-7f3a"),
            broken("fault-long:65", "guest_contract"),
            deed("fault-long:64").status(422).code("invalid_instance"),
            model("unknown-graph").hides("identity"),
            model("own-graph").hides("load-by-name"),
            model("wrong-name").hides("unknown"),
            model("wrong-dtype").hides("f32"),
            model("wrong-shape").hides("f32"),
            model("no-inputs"),
            model("input-twice").hides("twice"),
            broken("empty-tensor", "guest_contract"),
            broken("tensor-short", refused).hides("bytes"),
            broken("tensor-long", refused),
            broken("tensor-overflow", refused),
            deed("tensor-deep").either(&[200, 500]),
            // There, tensors lie in the sandbox's own memory.
            limited("tensors", engine.either("tensors_too_large", "guest_oom")),
            broken("handles", "guest_contract"),
            broken("handle-twice", "guest_contract"),
            broken("handle-forged", "guest_contract"),
        ]
    };
    hold_each(cases);
}

#[test]
fn strings_that_are_none_never_reach_a_graph() {
    let model = |name: &str| broken(name, "model_failure").hides("utf8");
    let cases = |engine: Engine| {
        vec![
            fine("text-echo", "\"y TensorType::I32[3] 12, y.utf8 TensorType::U8[3] 3\""),
            fine("text-empty:0", "\"y TensorType::I32[0] 0, y.utf8 TensorType::U8[0] 0\""),
            fine("text-empty:1000", "\"y TensorType::I32[1000] 4000, y.utf8 TensorType::U8[0] 0\""),
            model("text-alone"),
            model("text-bytes-alone"),
            model("text-few"),
            model("text-long"),
            model("text-negative"),
            model("text-broken"),
            model("text-cut"),
            model("text-floats"),
            model("text-square"),
            model("text-shape"),
            model("text-number"),
            match engine {
                // The lengths alone would fit: a string takes more room than its length.
                Engine::Native => limited("text-empty:200000", "tensors_too_large"),
                Engine::Portable => fine(
                    "text-empty:200000",
                    "\"y TensorType::I32[200000] 800000, y.utf8 TensorType::U8[0] 0\"",
                ),
            },
        ]
    };
    hold_each(cases);
}

#[test]
fn nothing_lies_outside_the_sandbox() {
    let secrets = [SETTLED.as_slice(), &[("CANARY", "7f3a")]].concat();
    let outside = |name: &str| broken(name, "guest_contract").hides("wasi:");
    let cases = [
        outside("read-file"),
        outside("write-file"),
        outside("connect"),
        outside("sleep"),
        outside("random:1073741824"),
        outside("random:4097"),
        fine("random:4096", "4096"),
        fine("environment", "0"),
        fine("arguments", "0"),
        fine("stdin", "0"),
    ];
    for engine in Engine::ALL {
        let (mut server, good) = hostile_with(engine, &[], &secrets);
        hold(&mut server, &good, &cases);
    }
    assert!(!Path::new("/tmp/hostile").exists(), "nothing was written");
}

#[test]
fn nothing_is_kept_for_the_next_caller_unless_the_operator_says_so() {
    let ask = |server: &Server, deed: &str| {
        let answer = server.post("/predictions", &format!("{{\"instances\":[\"{deed}\"]}}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    };
    let recalled = |server: &Server, kept: &str| {
        assert_eq!(ask(server, "remember:canary"), "{\"predictions\":[true]}");
        for _ in 0..20 {
            assert_eq!(ask(server, "recall"), format!("{{\"predictions\":[\"{kept}\"]}}"));
        }
    };
    for engine in Engine::ALL {
        let (fresh, _) = hostile(engine, &[]);
        recalled(&fresh, "");
        let (reused, good) = hostile(engine, &["--reuse", "1000"]);
        recalled(&reused, "canary");
        // A sandbox that trapped or ran out of time is not used again.
        let expected = good.ask(&reused);
        for (deed, status) in
            [("unreachable", 500), ("spin", 504), ("grow-on", 500), ("handles", 500), ("columns-short", 500)]
        {
            assert_eq!(ask(&reused, "remember:canary"), "{\"predictions\":[true]}");
            assert_eq!(
                reused.post("/predictions", &format!("{{\"instances\":[\"{deed}\"]}}")).status,
                status,
                "{deed}"
            );
            assert_eq!(ask(&reused, "recall"), "{\"predictions\":[\"\"]}", "{deed}");
            assert_eq!(good.ask(&reused), expected, "{deed}");
        }
    }
}

#[test]
fn a_hostile_model_does_not_change_the_answers_of_another() {
    for engine in Engine::ALL {
        let iris = engine.sealed("iris");
        let (server, compute) = hostile(engine, &[iris.to_str().expect("a path of the repository is text")]);
        let flower =
            Good { path: "/models/iris/predictions", ..Good::json("{\"instances\":[[5.1,3.5,1.4,0.2]]}") };
        let (expected, computed) = (flower.ask(&server), compute.ask(&server));
        let deeds =
            ["spin", "grow-on", "log:100", "tensors", "handles", "output:8192", "recurse", "spin-host"];
        std::thread::scope(|scope| {
            let asked: Vec<_> = deeds
                .map(|deed| format!("{{\"instances\":[\"{deed}\"]}}"))
                .into_iter()
                .map(|body| {
                    let server = &server;
                    scope.spawn(move || {
                        for _ in 0..5 {
                            server.post("/predictions", &body);
                        }
                    })
                })
                .collect();
            while asked.iter().any(|asked| !asked.is_finished()) {
                assert_eq!(flower.ask(&server), expected);
            }
        });
        assert_eq!(compute.ask(&server), computed);
    }
}

/// A number of LEB128 (WebAssembly §5.2.2).
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

/// A custom section (§5.5.3).
fn section(name: &str, data: &[u8]) -> Vec<u8> {
    part(0, &[&leb128(name.len()), name.as_bytes(), data].concat())
}

/// A section of any kind (§5.5.2).
pub(super) fn part(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[kind][..], &leb128(data.len()), data].concat()
}

/// `bytes` with the first `old` replaced by `new` of the same length.
fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).rposition(|window| window == old.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{old} stands in the file"));
    [&bytes[..at], new.as_bytes(), &bytes[at + old.len()..]].concat()
}

#[test]
fn a_file_that_is_no_ampoule_is_not_opened() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let whole = fs::read(sealed("hostile")).expect("it was sealed");
    let component = b"\0asm\x0d\0\x01\0";
    let manifest =
        r#"{"ampoule":1,"name":"x","version":"1","inputs":[{"name":"a"}],"outputs":[],"graphs":[]}"#;
    let with =
        |manifest: &str| [component.as_slice(), &section("ampoule:manifest", manifest.as_bytes())].concat();
    let noise: Vec<u8> = (0u64..5000).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let graph = r#""graphs":[{"name":"g","bytes":1,"sha256":"00","inputs":[],"outputs":[]}]"#;
    let mut cases: Vec<(String, Vec<u8>, &str)> = (0..16)
        .map(|part| {
            (format!("cut at {part}/16"), whole[..whole.len() * part / 16].to_vec(), "is not an ampoule: ")
        })
        .collect();
    let mut add = |name: &str, bytes: Vec<u8>, says: &'static str| cases.push((name.to_owned(), bytes, says));
    add("one byte short", whole[..whole.len() - 1].to_vec(), "is not an ampoule: ");
    add("garbage behind", [whole.as_slice(), b"garbage"].concat(), "is not an ampoule: ");
    add("noise", noise.clone(), "expected a WebAssembly component");
    add("noise behind a component's head", [component.as_slice(), &noise].concat(), "is not an ampoule: ");
    add("zeros", vec![0; 4096], "expected a WebAssembly component");
    add("text", b"#!/bin/sh\necho\n".to_vec(), "expected a WebAssembly component");
    add("a core module", b"\0asm\x01\0\0\0".to_vec(), "expected a component, got a core module");
    add(
        "native code",
        fs::read(ampoule()).expect("the command is there")[..4096].to_vec(),
        "expected a component, got precompiled or native code",
    );
    add(
        "a model",
        fs::read(ampoule_tests::root().join("tests/models/identity/model.onnx")).expect("it is there"),
        "expected a WebAssembly component",
    );
    add(
        "a component and nothing else",
        component.to_vec(),
        "a component without a manifest (make an ampoule of it with `ampoule seal`)",
    );
    add(
        "two manifests",
        [whole.as_slice(), &section("ampoule:manifest", manifest.as_bytes())].concat(),
        "two manifests",
    );
    add("a manifest that is no JSON", with("name = \"x\""), "manifest: expected ident at line 1 column 2");
    add(
        "a manifest that is no UTF-8",
        [component.as_slice(), &section("ampoule:manifest", b"\xff\xfe")].concat(),
        "manifest: ",
    );
    add("an empty manifest", with(""), "manifest: EOF while parsing a value");
    add("a deep manifest", with(&"[".repeat(100_000)), "manifest: ");
    add(
        "an unknown field",
        with(&manifest.replace("\"version\"", "\"run\":\"rm\",\"version\"")),
        "manifest: unknown field `run`",
    );
    add(
        "a field twice",
        with(&manifest.replace("\"version\"", "\"name\":\"y\",\"version\"")),
        "manifest: duplicate field `name`",
    );
    add(
        "a later layout",
        with(&manifest.replace("\"ampoule\":1", "\"ampoule\":2")),
        "manifest: ampoule: expected layout 1, got 2",
    );
    add(
        "a name that is a path",
        with(&manifest.replace("\"x\"", "\"../x\"")),
        "manifest: name: expected [a-z0-9][a-z0-9._-]{0,63}, got \"../x\"",
    );
    add(
        "a name too long",
        with(&manifest.replace("\"x\"", &format!("\"{}\"", "x".repeat(65)))),
        "manifest: name: expected",
    );
    add(
        "no inputs",
        with(&manifest.replace("[{\"name\":\"a\"}]", "[]")),
        "manifest: inputs: expected at least one, got none",
    );
    add(
        "an input twice",
        with(&manifest.replace(
            "{\"name\":\"a\"}",
            "{\"name\":\"a\",\"dtype\":\"f32\"},{\"name\":\"a\",\"dtype\":\"f32\"}",
        )),
        "manifest: inputs: \"a\" stands twice",
    );
    add(
        "a dtype that is none",
        with(&manifest.replace("\"a\"}", "\"a\",\"dtype\":\"f99\"}")),
        "manifest: unknown variant `f99`",
    );
    add(
        "a negative shape",
        with(&manifest.replace("\"a\"}", "\"a\",\"dtype\":\"f32\",\"shape\":[-1]}")),
        "manifest: ",
    );
    add(
        "a range upside down",
        with(&manifest.replace("\"a\"}", "\"a\",\"dtype\":\"f32\",\"range\":[1,0]}")),
        "manifest: inputs.a.range: expected [low, high], got [1, 0]",
    );
    add(
        "a graph that is not there",
        with(&manifest.replace("\"graphs\":[]", graph)),
        "the file of graph \"g\" is missing",
    );
    add(
        "a graph twice",
        [
            with(&manifest.replace("\"graphs\":[]", graph)),
            section("ampoule:graph/g", b"1"),
            section("ampoule:graph/g", b"2"),
        ]
        .concat(),
        "graph \"g\" stands twice",
    );
    for (name, bytes, says) in &cases {
        let path = folder.path().join("file.wasm");
        fs::write(&path, bytes).expect("it can be written");
        fs::write(folder.path().join("x.jsonl"), "1\n").expect("it can be written");
        for arguments in [
            &["inspect", "file.wasm"][..],
            &["serve", "file.wasm", "--port", "0"],
            &["predict", "file.wasm", "x.jsonl"],
        ] {
            let output = run(folder.path(), arguments);
            let shown = said(&output);
            assert_eq!(output.status.code(), Some(1), "{name}: {arguments:?}: {shown}");
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                error.starts_with("error: ") && error.contains(says),
                "{name}: {arguments:?}: expected {says:?} in {shown}"
            );
            assert!(!error.contains("panicked"), "{name}: {shown}");
        }
    }
    // What can be read but not run: `inspect` doesn't run it.
    let other = |old: &str, new: &str| replaced(&whole, old, new);
    let digest = ampoule_tests::double::checksum::sha256_hex(
        &fs::read(ampoule_tests::root().join("tests/models/identity/model.onnx")).expect("it is there"),
    );
    for (name, bytes, says) in [
        (
            "a graph that was changed",
            other("Identity", "Abs\0\0\0\0\0"),
            "graphs.echo: its file is not the one that was sealed",
        ),
        (
            "a digest that was changed",
            other(&digest, &"0".repeat(64)),
            "graphs.identity: its file is not the one that was sealed",
        ),
        ("a component that exports nothing", with(manifest), "predictor: "),
    ] {
        fs::write(folder.path().join("file.wasm"), &bytes).expect("it can be written");
        assert_eq!(run(folder.path(), &["inspect", "file.wasm"]).status.code(), Some(0), "{name}");
        for arguments in [&["serve", "file.wasm", "--port", "0"][..], &["predict", "file.wasm", "x.jsonl"]] {
            let output = run(folder.path(), arguments);
            assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
            assert!(said(&output).contains(says), "{name}: expected {says:?} in {}", said(&output));
        }
    }
    println!("{} files", cases.len() + 3);
}

/// The log of a server until it listens.
fn log_until_ready(model: &Path, cache: &Path) -> String {
    let mut child = Command::new(ampoule())
        .args(["serve", "--port", "0"])
        .arg(model)
        .env("AMPOULE_CACHE", cache)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut heard = String::new();
    for line in BufReader::new(child.stderr.take().expect("it is piped")).lines() {
        let line = line.expect("the log is text");
        heard.push_str(&line);
        heard.push('\n');
        if line.contains("\"listening\"") {
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    heard
}

#[test]
fn precompiled_code_that_was_changed_is_not_run() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (model, cache) = (sealed("hostile"), folder.path().join("cache"));
    let ready = |precompiled: bool| format!("\"precompiled\":{precompiled}");
    let first = log_until_ready(&model, &cache);
    assert!(first.contains(&ready(false)), "{first}");
    let entry: PathBuf = fs::read_dir(&cache)
        .expect("the cache is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ending| ending == "cwasm"))
        .expect("the code is kept");
    let whole = fs::read(&entry).expect("it can be read");
    let second = log_until_ready(&model, &cache);
    assert!(second.contains(&ready(true)), "{second}");
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let end = whole.len();
    for (name, bytes) in [
        ("a bit of the code", changed(end / 2)),
        ("the first bit of the code", changed(40)),
        ("the last bit of the code", changed(end - 1)),
        ("a bit of the signature", changed(20)),
        ("a bit of the digest", changed(end - 50)),
        ("the code cut short", whole[..end - 1].to_vec()),
        ("the code made longer", [whole.as_slice(), b"\0"].concat()),
        ("code without a signature", whole[40..].to_vec()),
        ("nothing", Vec::new()),
        ("another head", changed(0)),
        ("a native program", fs::read(ampoule()).expect("the command is there")[..8192].to_vec()),
    ] {
        fs::write(&entry, bytes).expect("it can be written");
        let log = log_until_ready(&model, &cache);
        assert!(log.contains(&ready(false)), "{name}: {log}");
        assert!(log.contains("precompiled code was changed; it is not used"), "{name}: {log}");
        assert!(log.contains("\"listening\""), "{name}: {log}");
        // What was compiled instead is kept again.
        assert!(
            eventually(Duration::from_secs(60), || fs::read(&entry).is_ok_and(|bytes| bytes == whole)),
            "{name}"
        );
    }
    fs::write(cache.join("key"), [7; 32]).expect("it can be written");
    let log = log_until_ready(&model, &cache);
    assert!(log.contains(&ready(false)) && log.contains("was changed"), "another key: {log}");
    fs::write(cache.join("key"), [7; 31]).expect("it can be written");
    let log = log_until_ready(&model, &cache);
    assert!(log.contains("expected a key of 32 bytes, got 31 (remove it)"), "{log}");
}
