//! The program of a Lambda function, run by a platform of our own and by cargo-lambda's.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ampoule_tests::platform::{Platform, Posted, Process};
use ampoule_tests::{Answer, cache, eventually, root, run, said, sealed, serving};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

type Variable<'a> = (&'a str, &'a OsStr);

const SETOSA: [f64; 4] = [5.1, 3.5, 1.4, 0.2];

/// The sealed model, its code precompiled by the command.
fn precompiled(name: &str) -> PathBuf {
    let file = sealed(name);
    let input = match name {
        "iris" => {
            let folder = tempfile::tempdir().expect("a folder can be made");
            let rows = folder.path().join("row.json");
            std::fs::write(&rows, "[[5.1, 3.5, 1.4, 0.2]]").expect("written");
            let output = run(&root(), &["predict", &file.to_string_lossy(), &rows.to_string_lossy()]);
            assert!(output.status.success(), "{}", said(&output));
            return file;
        }
        _ => root().join("models").join(name).join("scenes/coast.png"),
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let out = folder.path().join("out.png");
    let output = run(
        &root(),
        &["predict", &file.to_string_lossy(), &input.to_string_lossy(), "-o", &out.to_string_lossy()],
    );
    assert!(output.status.success(), "{}", said(&output));
    file
}

/// A function of `model` with these settings.
fn start(platform: &Platform, model: &Path, more: &[(&str, &str)]) -> Process {
    let cache = cache();
    let mut variables: Vec<(&str, &OsStr)> =
        vec![("AMPOULE_MODEL", model.as_os_str()), ("AMPOULE_CACHE", cache.as_os_str())];
    variables.extend(more.iter().map(|(name, value)| (*name, OsStr::new(*value))));
    Process::start(&serving("bootstrap"), platform, &variables)
}

fn url(method: &str, path: &str, headers: &Value, body: &str, is_encoded: bool) -> String {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers,
        "requestContext": { "http": { "method": method, "path": path }, "stage": "$default", "domainName": "x.lambda-url.eu-central-1.on.aws" },
        "body": body, "isBase64Encoded": is_encoded
    })
    .to_string()
}

fn predictions(row: &[f64]) -> String {
    let body = json!({ "instances": [row] }).to_string();
    url("POST", "/predictions", &json!({ "content-type": "application/json" }), &body, false)
}

/// The body of an HTTP answer that was wrapped.
fn body(posted: &Posted) -> Value {
    assert_eq!(posted.kind, "response", "{posted:?}");
    let reply = posted.json();
    serde_json::from_str(reply["body"].as_str().expect("a text")).unwrap_or_else(|_| panic!("{reply}"))
}

#[test]
fn a_program_that_serves_has_no_compiler_in_it() {
    let bytes = std::fs::read(serving("bootstrap")).expect("it was built");
    let contains = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(contains(b"wasmtime"), "its symbols were not stripped");
    for word in [b"cranelift_codegen".as_slice(), b"wasmtime_cranelift", b"wasmtime_wizer"] {
        assert!(!contains(word), "{} is in it", String::from_utf8_lossy(word));
    }
}

#[test]
fn one_process_answers_every_kind_of_event_and_outlives_the_bad_ones() {
    let platform = Platform::start();
    let mut process = start(&platform, &precompiled("iris"), &[]);
    for _ in 0..2 {
        assert_eq!(body(&platform.invoke(&predictions(&SETOSA)))["predictions"][0]["label"], "setosa");
        assert_eq!(body(&platform.invoke(&url("GET", "/health", &json!({}), "", false)))["status"], "ok");

        let bad = platform.invoke(&predictions(&[1.0]));
        assert_eq!(
            (bad.json()["statusCode"].as_u64(), &body(&bad)["code"]),
            (Some(400), &json!("invalid_instance"))
        );

        let items = platform.invoke(&json!({ "Items": [SETOSA, "x"] }).to_string()).json();
        assert_eq!(items["results"][0]["prediction"]["label"], "setosa", "{items}");
        assert_eq!(items["results"][1]["outcome"], "refused");

        let value = STANDARD.encode(json!(SETOSA).to_string());
        let kafka = json!({ "eventSource": "aws:kafka", "records": { "t-0": [{ "topic": "t", "partition": 0, "offset": 5, "value": value }] } });
        let kafka = platform.invoke(&kafka.to_string()).json();
        assert_eq!(kafka["records"]["t-0"][0]["prediction"]["label"], "setosa", "{kafka}");

        let kinesis = json!({ "Records": [{ "eventSource": "aws:kinesis", "kinesis": { "sequenceNumber": "1", "data": value } }] });
        let kinesis = platform.invoke(&kinesis.to_string()).json();
        assert_eq!(kinesis["records"][0]["prediction"]["label"], "setosa", "{kinesis}");

        let test = platform.invoke(&json!({ "Event": "s3:TestEvent" }).to_string());
        assert_eq!(test.json(), json!({ "ignored": "s3:TestEvent" }));

        for (payload, kind) in [
            ("{}", "UnknownEvent"),
            ("[]", "UnknownEvent"),
            ("{\"Records\":[{\"eventSource\":\"aws:s3\"}]}", "InvalidEvent"),
        ] {
            let error = platform.invoke(payload);
            assert_eq!(
                (error.kind.as_str(), &error.json()["errorType"]),
                ("error", &json!(kind)),
                "{payload}"
            );
            assert!(
                error.json()["errorMessage"]
                    .as_str()
                    .is_some_and(|text| text.contains("expected") || text.contains("missing")),
                "{error:?}"
            );
        }
        // What isn't JSON at all, the runtime's library refuses.
        assert_eq!(platform.invoke("{").kind, "error");
    }
    assert!(process.is_alive());
}

#[test]
fn a_buffered_picture_is_base64_and_a_streamed_one_is_not() {
    let model = precompiled("clouds");
    let scene = root().join("models/clouds/scenes/coast.png");
    let scene = STANDARD.encode(std::fs::read(scene).expect("it can be read"));
    let headers = json!({ "content-type": "image/png", "accept": "image/png" });
    let event = url("POST", "/predictions", &headers, &scene, true);

    let platform = Platform::start();
    let _process = start(&platform, &model, &[]);
    let reply = platform.invoke(&event).json();
    assert_eq!((&reply["statusCode"], &reply["isBase64Encoded"]), (&json!(200), &json!(true)), "{reply}");
    assert_eq!(reply["headers"]["content-type"], "image/png");
    let buffered = STANDARD.decode(reply["body"].as_str().expect("a text")).expect("base64");
    assert!(buffered.starts_with(b"\x89PNG"));

    let platform = Platform::start();
    let _process = start(&platform, &model, &[("AMPOULE_RESPONSE_MODE", "stream")]);
    let posted = platform.invoke(&event);
    let header = |name: &str| posted.headers.get(name).map(String::as_str);
    assert_eq!(header("lambda-runtime-function-response-mode"), Some("streaming"));
    assert_eq!(header("content-type"), Some("application/vnd.awslambda.http-integration-response"));
    let (prelude, streamed) = posted.streamed();
    assert_eq!(
        (&prelude["statusCode"], &prelude["headers"]["content-type"]),
        (&json!(200), &json!("image/png"))
    );
    assert!(streamed == buffered, "the streamed mask is another");
}

#[test]
fn an_event_without_time_is_not_begun() {
    let platform = Platform::start();
    let _process = start(
        &platform,
        &precompiled("iris"),
        &[("INPUT_BUCKET_NAME", "in"), ("AMPOULE_MARGIN_MS", "600000")],
    );
    let body = json!({ "Records": [{ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "in" }, "object": { "key": "a.csv", "sequencer": "1" } } }] });
    let event =
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "m", "body": body.to_string() }] });
    let posted = platform.invoke_within(&event.to_string(), Duration::from_secs(60));
    assert_eq!(posted.json(), json!({ "batchItemFailures": [{ "itemIdentifier": "m" }] }));
}

#[test]
fn a_function_finds_its_model_and_its_code_beside_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let model = precompiled("iris");
    std::fs::copy(&model, folder.path().join("iris.wasm")).expect("copied");
    std::fs::create_dir(folder.path().join("cache")).expect("made");
    for entry in std::fs::read_dir(cache()).expect("it is filled").flatten() {
        std::fs::copy(entry.path(), folder.path().join("cache").join(entry.file_name())).expect("copied");
    }
    let platform = Platform::start();
    let root = [("LAMBDA_TASK_ROOT", folder.path().as_os_str())];
    let _process = Process::start(&serving("bootstrap"), &platform, &root);
    assert_eq!(body(&platform.invoke(&predictions(&SETOSA)))["predictions"][0]["label"], "setosa");
}

#[test]
fn a_function_that_cant_begin_says_why() {
    let model = precompiled("iris");
    let none = tempfile::tempdir().expect("a folder can be made");
    let several = tempfile::tempdir().expect("a folder can be made");
    for name in ["a.wasm", "b.wasm"] {
        std::fs::write(several.path().join(name), "x").expect("written");
    }
    let broken = several.path().join("a.wasm");
    let apart = tempfile::tempdir().expect("a folder can be made");
    let alone = apart.path().join("iris.wasm");
    std::fs::copy(&model, &alone).expect("copied");
    let cache = cache();
    let stale = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(stale.path().join("key"), [0; 32]).expect("written");
    let cases: &[(&[Variable], &str, &str)] = &[
        (&[("LAMBDA_TASK_ROOT", none.path().as_os_str())], "Settings", "expected a sealed file (.wasm) in "),
        (
            &[("LAMBDA_TASK_ROOT", several.path().as_os_str())],
            "Settings",
            "expected one sealed file (.wasm) in ",
        ),
        (&[("AMPOULE_MODEL", alone.as_os_str())], "Settings", "no precompiled code: expected the folder "),
        (
            &[("AMPOULE_MODEL", model.as_os_str()), ("AMPOULE_CACHE", stale.path().as_os_str())],
            "not_precompiled",
            "no precompiled code for this ampoule",
        ),
        (
            &[("AMPOULE_MODEL", broken.as_os_str()), ("AMPOULE_CACHE", cache.as_os_str())],
            "not_an_ampoule",
            "is not an ampoule",
        ),
        (
            &[("AMPOULE_MEMORY_MIB", OsStr::new("much"))],
            "Settings",
            "AMPOULE_MEMORY_MIB: expected a whole number of MiB",
        ),
        (
            &[("INPUT_ACTION", OsStr::new("burn"))],
            "Settings",
            "INPUT_ACTION: expected keep, delete, tag, move",
        ),
    ];
    for (variables, kind, message) in cases {
        let platform = Platform::start();
        let process = Process::start(&serving("bootstrap"), &platform, variables);
        let posted = platform.init_error();
        let error = posted.json();
        assert_eq!(error["errorType"], *kind, "{error}");
        assert_eq!(posted.headers.get("lambda-runtime-function-error-type"), Some(&format!("Init.{kind}")));
        assert!(
            error["errorMessage"].as_str().is_some_and(|text| text.contains(message)),
            "{message}: {error}"
        );
        let (status, log) = process.ended();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(message), "{log}");
    }
}

#[test]
fn outside_of_lambda_it_says_where_it_belongs() {
    let output = Command::new(serving("bootstrap")).env_clear().output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("inside AWS Lambda, which sets AWS_LAMBDA_RUNTIME_API"),
        "{}",
        said(&output)
    );
}

#[test]
fn cargo_lambdas_emulator_runs_the_same_program() {
    let Some(emulator) = Emulator::start() else { return };
    let (model, cache) = (precompiled("iris"), cache());
    let variables = [("AMPOULE_MODEL", model.as_os_str()), ("AMPOULE_CACHE", cache.as_os_str())];
    let address = format!("http://127.0.0.1:{}/.rt", emulator.port);
    let mut process = Process::attach(&serving("bootstrap"), &address, &variables);
    let row = json!({ "instances": [SETOSA] }).to_string();
    let answer = emulator.post("/lambda-url/_/predictions", &row);
    assert_eq!(answer.json()["predictions"][0]["label"], "setosa");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let refused = emulator.post("/lambda-url/_/predictions", "{\"instances\":[[1]]}");
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_instance")));
    let invoke = "/2015-03-31/functions/_/invocations";
    let items = emulator.post(invoke, &json!({ "Items": [SETOSA] }).to_string());
    assert_eq!(items.json()["results"][0]["prediction"]["label"], "setosa");
    let unknown = emulator.post(invoke, "{}");
    assert!(unknown.text().contains("UnknownEvent"), "{}", unknown.text());
    assert!(process.is_alive());
}

/// cargo-lambda's emulator of the platform; it ends with the test.
struct Emulator {
    child: Child,
    port: u16,
}

impl Emulator {
    fn start() -> Option<Self> {
        let installed = root().join("target/venv/bin/cargo-lambda");
        let program = if installed.exists() { installed } else { "cargo-lambda".into() };
        let asked = Command::new(&program).args(["lambda", "--version"]).output();
        if !asked.is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "cargo-lambda is missing");
            eprintln!("no cargo-lambda: its emulator is not tested");
            return None;
        }
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = free.local_addr().expect("it has an address").port();
        drop(free);
        let child = Command::new(program)
            .args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1"])
            .args(["--invoke-port", &port.to_string()])
            .current_dir(root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let emulator = Self { child, port };
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(eventually(Duration::from_secs(60), listens), "cargo-lambda does not listen");
        Some(emulator)
    }
}

impl Emulator {
    fn post(&self, path: &str, body: &str) -> Answer {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time can be set");
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        Answer::read(&mut stream).unwrap_or_else(|why| panic!("{path}: {why}"))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
