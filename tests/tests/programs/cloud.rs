//! The program `cloud` as the platforms run it, with the official SDK and Google's own framework beside it.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ampoule_tests::{Answer, Server, cache, eventually, root, run, said, sealed, serving, terminate};
use serde_json::{Value, json};

type Header<'a> = (&'a str, &'a str);

const FLOWER: &str = r#"{"instances": [[5.1, 3.5, 1.4, 0.2]]}"#;

/// The program with a model whose code is in the cache, and with nothing else in its environment.
fn cloud(model: &str, variables: &[(&str, &str)]) -> Command {
    let model = sealed(model);
    // `ampoule` leaves the code of what it opens in the cache.
    let warmed =
        run(&root(), &["predict", &model.to_string_lossy(), sample(&model).to_str().expect("a path")]);
    assert!(warmed.status.success(), "{}", said(&warmed));
    let mut command = Command::new(serving("cloud"));
    command
        .env_clear()
        .env("AMPOULE_MODEL", model)
        .env("AMPOULE_CACHE", cache())
        .envs(variables.iter().copied());
    command
}

fn sample(model: &Path) -> PathBuf {
    if model.ends_with("clouds.wasm") {
        root().join("models/clouds/scenes/coast.png")
    } else {
        let rows = model.with_extension("rows.csv");
        std::fs::write(&rows, "5.1,3.5,1.4,0.2\n").expect("a file can be written");
        rows
    }
}

fn start(model: &str, variables: &[(&str, &str)]) -> Server {
    Server::of(&mut cloud(model, variables))
}

/// Folders of inputs and predictions, as the program's buckets.
struct Buckets {
    folder: tempfile::TempDir,
}

impl Buckets {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        for name in ["in", "out"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder can be made");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join("in").join(key), bytes).expect("a file can be written");
    }

    /// The keys of inputs or predictions.
    fn keys(&self, name: &str) -> Vec<String> {
        let mut keys = Vec::new();
        collect(&self.folder.path().join(name), "", &mut keys);
        keys.sort();
        keys
    }

    fn server(&self, more: &[(&'static str, &str)]) -> Server {
        start(
            "iris",
            &self.variables(more).iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(),
        )
    }

    fn variables(&self, more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("PORT", "0".to_owned()),
            ("INPUT_BUCKET_NAME", self.path("in")),
            ("OUTPUT_BUCKET_NAME", self.path("out")),
            ("INPUT_ACTION", "delete".to_owned()),
        ];
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        variables
    }
}

/// Files below a folder that are objects: what a store keeps beside them begins with a dot.
fn collect(folder: &Path, prefix: &str, keys: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name.starts_with("_jobs") {
            continue;
        }
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{prefix}{name}/"), keys);
        } else {
            keys.push(format!("{prefix}{name}"));
        }
    }
}

fn finalized(bucket: &str, key: &str) -> String {
    json!({ "kind": "storage#object", "bucket": bucket, "name": key }).to_string()
}

const EVENT: [(&str, &str); 5] = [
    ("content-type", "application/json"),
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "//storage.googleapis.com/projects/_/buckets/b"),
    ("ce-type", "google.cloud.storage.object.v1.finalized"),
];

fn send(server: &Server, headers: &[(&str, &str)], body: &str) -> Answer {
    server.ask("POST", "/", headers, body.as_bytes())
}

#[test]
fn a_container_answers_as_the_local_server_does() {
    let server = start("iris", &[("PORT", "0")]);
    let local = Server::start(&[&sealed("iris").to_string_lossy()]);
    let csv = [("content-type", "text/csv"), ("accept", "text/csv")];
    for (method, path, headers, body) in [
        ("POST", "/predictions", &[("content-type", "application/json")][..], FLOWER),
        ("POST", "/invocations", &csv[..], "5.1,3.5,1.4,0.2\n"),
        ("POST", "/predictions", &[("content-type", "application/json")][..], r#"{"instances": [[1]]}"#),
        ("POST", "/models/none/predictions", &[][..], "{}"),
        ("GET", "/health", &[][..], ""),
        ("GET", "/ping", &[][..], ""),
        ("GET", "/execution-parameters", &[][..], ""),
        ("GET", "/models", &[][..], ""),
        ("GET", "/openapi.json", &[][..], ""),
        ("DELETE", "/predictions", &[][..], ""),
        ("GET", "/nothing", &[][..], ""),
    ] {
        let [ours, theirs] =
            [&server, &local].map(|server| server.ask(method, path, headers, body.as_bytes()));
        assert_eq!((ours.status, &ours.body), (theirs.status, &theirs.body), "{method} {path}");
        assert_eq!(ours.header("content-type"), theirs.header("content-type"), "{method} {path}");
        assert_eq!(ours.header("etag"), None);
    }
    // The function itself predicts as well, and what browsers look for is not there.
    assert_eq!(server.post("/", FLOWER).json()["predictions"][0]["label"], "setosa");
    for path in ["/robots.txt", "/favicon.ico"] {
        assert_eq!(server.get(path).status, 404);
    }
}

#[test]
fn vertex_and_sagemaker_start_it_in_their_own_ways() {
    let vertex = start(
        "iris",
        &[("AIP_HTTP_PORT", "0"), ("AIP_HEALTH_ROUTE", "/v1/health"), ("AIP_PREDICT_ROUTE", "/v1/m:predict")],
    );
    assert_eq!(vertex.get("/v1/health").status, 200);
    assert_eq!(vertex.post("/v1/m:predict", FLOWER).json()["predictions"][0]["label"], "setosa");

    let mut command = cloud("iris", &[("SAGEMAKER_BIND_TO_PORT", "0"), ("SAGEMAKER_BATCH", "true")]);
    let sagemaker = Server::of(command.arg("serve"));
    assert_eq!(sagemaker.get("/ping").status, 200);
    let headers = [("content-type", "application/json"), ("accept", "application/json")];
    let answer = sagemaker.ask("POST", "/invocations", &headers, b"[5.1, 3.5, 1.4, 0.2]\n");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let output = Command::new(serving("cloud")).arg("train").output().expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("expected no argument or \"serve\""), "{}", said(&output));
}

#[test]
fn what_it_cant_start_with_is_said() {
    let nowhere = tempfile::tempdir().expect("a folder can be made");
    let empty = nowhere.path().to_string_lossy().into_owned();
    for (variables, expected) in [
        (vec![("AMPOULE_CACHE", empty.as_str())], "no precompiled code"),
        (vec![("AMPOULE_MODEL", "/nothing.wasm")], "/nothing.wasm"),
        (vec![("PORT", "http")], "PORT: expected a whole number"),
        (
            vec![("FUNCTION_SIGNATURE_TYPE", "typed")],
            "FUNCTION_SIGNATURE_TYPE: expected http, event, cloudevent",
        ),
        (vec![("AIP_HEALTH_ROUTE", "health")], "AIP_HEALTH_ROUTE: expected a path that begins with /"),
        (vec![("SAGEMAKER_MAX_PAYLOAD_IN_MB", "x")], "SAGEMAKER_MAX_PAYLOAD_IN_MB: expected a number"),
        (
            vec![("CLOUD_RUN_TASK_INDEX", "2"), ("CLOUD_RUN_TASK_COUNT", "2")],
            "CLOUD_RUN_TASK_INDEX: expected",
        ),
        (vec![("FUNCTIONS_CUSTOMHANDLER_PORT", "70000")], "FUNCTIONS_CUSTOMHANDLER_PORT: expected"),
    ] {
        let output = cloud("iris", &variables).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{variables:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "expected {expected:?} in {}", said(&output));
    }
}

#[test]
fn an_event_of_a_foreign_bucket_is_refused_and_others_are_passed_over() {
    let buckets = Buckets::new();
    let server = buckets.server(&[("FUNCTION_SIGNATURE_TYPE", "cloudevent")]);
    let foreign = send(&server, &EVENT, &finalized("theirs", "x.csv"));
    assert_eq!((foreign.status, &foreign.json()["code"]), (403, &json!("forbidden_bucket")));
    assert!(foreign.text().contains("theirs"), "{}", foreign.text());
    let mut deleted = EVENT;
    deleted[4].1 = "google.cloud.storage.object.v1.deleted";
    assert_eq!(send(&server, &deleted, &finalized("theirs", "x.csv")).status, 204);
    let without = start("iris", &[("PORT", "0"), ("FUNCTION_SIGNATURE_TYPE", "event")]);
    let refused = send(&without, &EVENT, &finalized("theirs", "x.csv"));
    assert!(refused.status == 403 && refused.text().contains("INPUT_BUCKET_NAME"), "{}", refused.text());
}

#[test]
fn a_token_guards_events_as_it_guards_requests() {
    let buckets = Buckets::new();
    let server = buckets.server(&[("AMPOULE_TOKEN", "secret")]);
    assert_eq!(send(&server, &EVENT, &finalized("theirs", "x.csv")).status, 401);
    assert_eq!(send(&server, &[("x-cloudscheduler", "true")], "").status, 401);
    assert_eq!(server.post("/", FLOWER).status, 401);
    assert_eq!(server.get("/health").status, 200);
    let mut allowed = EVENT.to_vec();
    allowed.push(("authorization", "Bearer secret"));
    assert_eq!(send(&server, &allowed, &finalized("theirs", "x.csv")).status, 403);
}

#[test]
fn uploads_become_predictions_whatever_brings_the_news() {
    let buckets = Buckets::new();
    let server = buckets.server(&[]);
    let bucket = buckets.path("in");
    let notification = |key: &str| json!({ "eventType": "OBJECT_FINALIZE", "bucketId": bucket, "objectId": key, "payloadFormat": "NONE" });
    let json = [("content-type", "application/json")];
    let structured = json!({
        "specversion": "1.0", "id": "1", "source": "//storage", "type": "google.cloud.storage.object.v1.finalized",
        "data": { "bucket": bucket, "name": "b c.csv" },
    });
    let wrapped =
        json!({ "message": { "messageId": "1", "attributes": notification("c.csv") }, "subscription": "s" });
    let legacy = json!({
        "context": { "eventId": "1", "eventType": "google.storage.object.finalize", "resource": {} },
        "data": { "bucket": bucket, "name": "d.csv" },
    });
    let unwrapped = [
        ("x-goog-pubsub-message-id", "1"),
        ("eventType", "OBJECT_FINALIZE"),
        ("bucketId", bucket.as_str()),
        ("objectId", "e.csv"),
    ];
    let minio = json!({ "EventName": "s3:ObjectCreated:Put", "Records": [{
        "eventVersion": "2.0", "eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put",
        "s3": { "bucket": { "name": bucket }, "object": { "key": "f%2B.csv" } },
    }] });
    let cases: [(&str, &[Header], String); 6] = [
        ("a.csv", &EVENT, finalized(&bucket, "a.csv")),
        ("b c.csv", &[("content-type", "application/cloudevents+json")], structured.to_string()),
        ("c.csv", &json, wrapped.to_string()),
        ("d.csv", &json, legacy.to_string()),
        ("e.csv", &unwrapped, String::new()),
        ("f+.csv", &json, minio.to_string()),
    ];
    for (key, headers, body) in &cases {
        buckets.put(key, b"5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n");
        for time in ["first", "again"] {
            let answer = send(&server, headers, body);
            assert_eq!(answer.status, 204, "{key}, {time}: {}", answer.text());
        }
        assert_eq!(buckets.keys("in"), Vec::<String>::new(), "{key} is done");
    }
    let predictions = buckets.keys("out");
    assert_eq!(predictions.len(), cases.len(), "{predictions:?}");
    for key in &predictions {
        let text = std::fs::read_to_string(Path::new(&buckets.path("out")).join(key)).expect("text");
        let labels: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["label"].clone())
            .collect();
        assert_eq!(labels, ["setosa", "virginica"], "{key}");
    }
}

#[test]
fn poison_is_put_aside_and_acknowledged() {
    let buckets = Buckets::new();
    let server = buckets.server(&[]);
    buckets.put("bad.csv", b"1,2\n");
    let answer = send(&server, &EVENT, &finalized(&buckets.path("in"), "bad.csv"));
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(buckets.keys("in"), Vec::<String>::new());
    let aside = buckets.keys("out");
    assert!(aside.iter().any(|key| key.starts_with("_dead/") && key.contains("bad.csv")), "{aside:?}");
}

#[test]
fn a_schedule_sweeps_the_bucket() {
    let buckets = Buckets::new();
    for number in 0..5 {
        buckets.put(&format!("{number}.csv"), b"5.1,3.5,1.4,0.2\n");
    }
    let server = buckets.server(&[]);
    let answer = send(&server, &[("x-cloudscheduler", "true"), ("x-cloudscheduler-jobname", "nightly")], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["done"], 5, "{}", answer.text());
    assert_eq!((buckets.keys("in").len(), buckets.keys("out").len()), (0, 5));
    assert_eq!(send(&server, &[("x-cloudscheduler", "true")], "").json()["done"], 0);
}

#[test]
fn the_tasks_of_a_job_share_the_bucket() {
    let buckets = Buckets::new();
    for number in 0..40 {
        buckets.put(&format!("{number}.csv"), b"5.1,3.5,1.4,0.2\n");
    }
    let task = |index: &str| -> Output {
        let variables: Vec<(&str, String)> = buckets
            .variables(&[("CLOUD_RUN_TASK_INDEX", index), ("CLOUD_RUN_TASK_COUNT", "3")])
            .into_iter()
            .filter(|(name, _)| *name != "PORT")
            .collect();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        cloud("iris", &variables).output().expect("it runs")
    };
    let mut done = Vec::new();
    for index in ["0", "1", "2"] {
        let output = task(index);
        assert!(output.status.success(), "{}", said(&output));
        let report: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        assert_eq!((report["task"].to_string(), &report["tasks"]), (index.to_owned(), &json!(3)));
        done.push(report["done"].as_u64().expect("a number"));
    }
    assert!(done.iter().sum::<u64>() == 40 && done.iter().all(|&count| count > 0), "{done:?}");
    assert_eq!((buckets.keys("in").len(), buckets.keys("out").len()), (0, 40));
    // A bucket that isn't there fails the task.
    std::fs::remove_dir_all(buckets.path("in")).expect("it can be removed");
    let output = task("0");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[test]
fn azure_functions_get_their_envelopes() {
    let server = start("iris", &[("FUNCTIONS_CUSTOMHANDLER_PORT", "0")]);
    assert!(server.address.ip().is_loopback());
    let json = [("content-type", "application/json"), ("x-azure-functions-invocationid", "1")];
    let forwarded = server.ask("POST", "/api/predictions", &json, FLOWER.as_bytes());
    assert_eq!(forwarded.json()["predictions"][0]["label"], "setosa", "{}", forwarded.text());
    let http = json!({
        "Data": { "req": {
            "Url": "http://localhost:7071/api/predictions", "Method": "POST", "Query": {}, "Params": {},
            "Headers": { "Content-Type": ["application/json"], "Host": ["localhost:7071"] }, "Body": FLOWER,
        } },
        "Metadata": { "sys": { "MethodName": "Predict" } },
    });
    let reply = server.ask("POST", "/Predict", &json, http.to_string().as_bytes());
    let out = reply.json()["Outputs"]["res"].clone();
    assert_eq!(out["statusCode"], "200", "{}", reply.text());
    let body: Value = serde_json::from_str(out["body"].as_str().expect("text")).expect("JSON");
    assert_eq!(body, forwarded.json());
    let blob = json!({
        "Data": { "blob": "\"5.1,3.5,1.4,0.2\\n\"" },
        "Metadata": { "Uri": "\"https://a.blob.core.windows.net/in/rows.csv\"", "name": "\"rows.csv\"" },
    });
    let reply = server.ask("POST", "/Upload", &json, blob.to_string().as_bytes()).json();
    use base64::Engine as _;
    let out = reply["Outputs"]["prediction"].as_str().expect("base64");
    let out = base64::engine::general_purpose::STANDARD.decode(out).expect("base64");
    let line: Value = serde_json::from_slice(&out).expect("a line of JSON");
    assert_eq!(line, body["predictions"][0]);
    let timer = json!({ "Data": { "timer": {} }, "Metadata": {} }).to_string();
    assert_eq!(server.ask("POST", "/Nightly", &json, timer.as_bytes()).status, 400);
}

#[test]
fn a_picture_in_a_blob_becomes_a_mask() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let server = start("clouds", &[("FUNCTIONS_CUSTOMHANDLER_PORT", "0")]);
    let scene = std::fs::read(root().join("models/clouds/scenes/coast.png")).expect("the scene is there");
    let blob =
        json!({ "Data": { "blob": STANDARD.encode(&scene) }, "Metadata": { "name": "coast" } }).to_string();
    let headers = [("content-type", "application/json")];
    let reply = server.ask("POST", "/Mask", &headers, blob.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mask =
        STANDARD.decode(reply.json()["Outputs"]["prediction"].as_str().expect("base64")).expect("base64");
    let headers = [("content-type", "image/png"), ("accept", "image/png")];
    assert_eq!(mask, server.ask("POST", "/predictions", &headers, &scene).body);
}

#[test]
fn it_ends_soon_after_it_is_asked_to() {
    let server = start("iris", &[("PORT", "0")]);
    // Someone is still sending.
    let mut stream = server.connect();
    stream
        .write_all(b"POST /predictions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{")
        .expect("sent");
    assert_eq!(server.get("/health").status, 200);
    terminate(server.process_id());
    assert!(server.ended().success());
}

/// Google's own framework with a function of ours; none where it is not installed.
struct Framework {
    child: Child,
    server: std::net::SocketAddr,
}

impl Framework {
    fn start(target: &str) -> Option<Self> {
        let python = python()?;
        let server =
            TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a port is free");
        let child = Command::new(python)
            .args(["-m", "functions_framework", "--host", "127.0.0.1"])
            .args(["--target", target, "--signature-type", target, "--port", &server.port().to_string()])
            .arg("--source")
            .arg(root().join("tests/tests/programs/cloud/function.py"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python runs");
        let framework = Self { child, server };
        let up = || std::net::TcpStream::connect(framework.server).is_ok();
        assert!(eventually(Duration::from_secs(120), up), "the framework listens");
        Some(framework)
    }

    fn send(&self, headers: &[(&str, &str)], body: &str) -> u16 {
        Answer::of(self.server, "POST", "/", headers, body.as_bytes()).expect("it answers").status
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// The interpreter with the SDK and the framework.
fn python() -> Option<PathBuf> {
    let python = root().join("target/venv/bin/python");
    let there = Command::new(&python)
        .args(["-c", "import cloudevents, functions_framework"])
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "make test installs the framework");
    if !there {
        eprintln!("skipped: make test installs the framework");
    }
    there.then_some(python)
}

#[test]
fn malformed_events_are_refused_as_googles_framework_refuses_them() {
    let (Some(cloudevent), Some(event)) = (Framework::start("cloudevent"), Framework::start("event")) else {
        return;
    };
    let without = |name: &str| EVENT.into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    let with = |name: &'static str, value: &'static str| {
        EVENT
            .into_iter()
            .map(|(known, old)| (known, if known == name { value } else { old }))
            .collect::<Vec<_>>()
    };
    let object = finalized("scenes", "x.csv");
    let json = vec![("content-type", "application/json")];
    let structured = vec![("content-type", "application/cloudevents+json")];
    let whole = json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "google.cloud.storage.object.v1.deleted", "data": {} });
    let lacking = |name: &str| {
        let mut event = whole.clone();
        event.as_object_mut().and_then(|event| event.remove(name));
        event.to_string()
    };
    let legacy = json!({
        "context": { "eventId": "1", "timestamp": "2020-01-01T00:00:00Z", "eventType": "google.pubsub.topic.publish",
                     "resource": { "service": "pubsub.googleapis.com", "name": "projects/p/topics/t", "type": "x" } },
        "data": { "attributes": { "eventType": "OBJECT_DELETE", "bucketId": "b" }, "data": "e30=" },
    });
    let cases: Vec<(&Framework, &str, Vec<Header>, String)> = vec![
        (
            &cloudevent,
            "cloudevent",
            with("ce-type", "google.cloud.storage.object.v1.deleted"),
            object.clone(),
        ),
        (&cloudevent, "cloudevent", structured.clone(), whole.to_string()),
        (&cloudevent, "cloudevent", json.clone(), legacy.to_string()),
        (&cloudevent, "cloudevent", without("ce-id"), object.clone()),
        (&cloudevent, "cloudevent", without("ce-source"), object.clone()),
        (&cloudevent, "cloudevent", without("ce-type"), object.clone()),
        (&cloudevent, "cloudevent", with("ce-specversion", "7"), object.clone()),
        (&cloudevent, "cloudevent", structured.clone(), lacking("id")),
        (&cloudevent, "cloudevent", structured.clone(), lacking("source")),
        (&cloudevent, "cloudevent", structured.clone(), lacking("type")),
        (&cloudevent, "cloudevent", structured.clone(), lacking("specversion")),
        (&cloudevent, "cloudevent", json.clone(), String::new()),
        (&cloudevent, "cloudevent", json.clone(), "{}".to_owned()),
        (&event, "event", json.clone(), legacy.to_string()),
        (&event, "event", json.clone(), "{}".to_owned()),
        (&event, "event", json.clone(), String::new()),
    ];
    let buckets = Buckets::new();
    let [ours_cloudevent, ours_event] =
        ["cloudevent", "event"].map(|kind| buckets.server(&[("FUNCTION_SIGNATURE_TYPE", kind)]));
    for (framework, kind, headers, body) in cases {
        let ours = if kind == "event" { &ours_event } else { &ours_cloudevent };
        let (theirs, ours) = (framework.send(&headers, &body), send(ours, &headers, &body));
        let class = |status: u16| status / 100;
        assert_eq!(class(ours.status), class(theirs), "{kind}: {headers:?} {body}: {}", ours.text());
        if class(theirs) == 4 {
            assert_eq!((ours.status, theirs), (400, 400), "{kind}: {headers:?} {body}");
        }
    }
}

#[test]
fn a_hundred_events_of_the_official_sdk_come_at_one_time() {
    let Some(python) = python() else { return };
    let buckets = Buckets::new();
    let server = buckets.server(&[("FUNCTION_SIGNATURE_TYPE", "cloudevent")]);
    for mode in ["binary", "structured"] {
        let keys: Vec<String> = (0..100).map(|number| format!("{mode} ü+{number}.csv")).collect();
        for key in &keys {
            buckets.put(key, b"5.1,3.5,1.4,0.2\n");
        }
        let asked = json!({
            "url": format!("http://{}/", server.address), "bucket": buckets.path("in"), "keys": keys, "mode": mode,
        });
        let mut sender = Command::new(&python)
            .arg(root().join("tests/tests/programs/cloud/send.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut stdin = sender.stdin.take().expect("it is piped");
        stdin.write_all(asked.to_string().as_bytes()).expect("it reads");
        drop(stdin);
        let output = sender.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", said(&output));
        let statuses: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(statuses, vec![json!(204); 100], "{}", said(&output));
        assert_eq!(buckets.keys("in"), Vec::<String>::new());
    }
    assert_eq!(buckets.keys("out").len(), 200);
}
