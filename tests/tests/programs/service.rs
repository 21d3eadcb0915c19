//! `ampoule serve`, as its callers and its operators meet it.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use ampoule_tests::{Answer, Server, eventually, installed, root, run, said, sealed, terminate};
use serde_json::json;

const FLOWER: &str = r#"{"instances": [[5.1, 3.5, 1.4, 0.2]]}"#;

fn both() -> Server {
    Server::start(&[&sealed("iris").to_string_lossy(), &sealed("clouds").to_string_lossy()])
}

#[test]
fn instances_are_taken_in_order_by_name_and_as_a_table() {
    let server = both();
    let in_order = server.post("/predictions", FLOWER);
    assert_eq!(in_order.status, 200, "{}", in_order.text());
    assert_eq!(in_order.json()["predictions"][0]["label"], "setosa");
    let by_name = server.post(
        "/models/iris/predictions",
        r#"{"instances": [{"petal_width": 0.2, "petal_length": 1.4, "sepal_width": 3.5, "sepal_length": 5.1}]}"#,
    );
    assert_eq!(by_name.json(), in_order.json());
    let table = "petal_width,petal_length,sepal_width,sepal_length,ignored\n0.2,1.4,3.5,5.1,x\n";
    let table = server.ask("POST", "/predictions", &[("content-type", "text/csv")], table.as_bytes());
    assert_eq!(table.json(), in_order.json());
    assert_eq!(server.post("/predictions", r#"{"instances": []}"#).json(), json!({ "predictions": [] }));
}

#[test]
fn a_picture_comes_as_its_bytes_or_as_base64() {
    let server = both();
    let scene = root().join("models/clouds/scenes/coast.png");
    let bytes = std::fs::read(scene).expect("the scene is there");
    let headers = [("content-type", "image/png"), ("accept", "image/png")];
    let raw = server.ask("POST", "/models/clouds/predictions", &headers, &bytes);
    assert_eq!((raw.status, raw.header("content-type")), (200, Some("image/png")));
    let mask = image::load_from_memory(&raw.body).expect("a PNG");
    assert_eq!((mask.width(), mask.height()), (200, 150));
    assert!(raw.header("x-prediction-metadata").is_some_and(|text| text.contains("cloud_fraction")));
    let answer = server.ask("POST", "/models/clouds/predictions", &[("content-type", "image/png")], &bytes);
    let prediction = &answer.json()["predictions"][0];
    assert_eq!(prediction["content_type"], "image/png");
    assert!(prediction["cloud_fraction"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)));
}

#[test]
fn vertex_variables_are_followed() {
    let variables =
        [("AIP_HTTP_PORT", "0"), ("AIP_HEALTH_ROUTE", "/v1/health"), ("AIP_PREDICT_ROUTE", "/v1/x:predict")];
    let server = Server::start_with(&[&sealed("iris").to_string_lossy()], &variables);
    assert_eq!(server.get("/v1/health").status, 200);
    let answer = server.post("/v1/x:predict", FLOWER);
    assert_eq!(answer.json()["predictions"][0]["label"], "setosa");
}

#[test]
fn openapi_is_valid_and_lists_every_model() {
    let server = both();
    let document = server.get("/openapi.json");
    assert_eq!(document.status, 200);
    assert!(document.json()["paths"]["/models/clouds/predictions"]["post"].is_object());
    let Some(python) = installed("python") else { return };
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    file.as_file().write_all(&document.body).expect("written");
    let check = Command::new(python)
        .args(["-m", "openapi_spec_validator"])
        .arg(file.path())
        .output()
        .expect("it runs");
    assert!(check.status.success(), "{}", said(&check));
}

#[test]
fn metrics_count_what_was_asked_and_split_its_time() {
    let server = both();
    for _ in 0..3 {
        assert_eq!(server.post("/predictions", FLOWER).status, 200);
    }
    server.post("/predictions", r#"{"instances": [["x"]]}"#);
    let text = server.get("/metrics").text();
    for line in [
        r#"ampoule_requests_total{model="iris",outcome="ok"} 3"#,
        r#"ampoule_requests_total{model="iris",outcome="invalid_instance"} 1"#,
        r#"ampoule_request_duration_seconds_count{model="iris",stage="decode"} 3"#,
        r#"ampoule_request_duration_seconds_count{model="iris",stage="preprocess"} 3"#,
        r#"ampoule_request_duration_seconds_count{model="iris",stage="infer"} 3"#,
        r#"ampoule_request_duration_seconds_count{model="iris",stage="postprocess"} 3"#,
        r#"ampoule_instances_total{model="iris",version="1.0.0"} 3"#,
        r#"ampoule_requests_in_flight{model="iris",version="1.0.0"} 0"#,
    ] {
        assert!(text.contains(line), "expected {line} in\n{text}");
    }
    assert!(text.contains("ampoule_model_load_seconds{"), "{text}");
}

#[test]
fn a_request_keeps_its_id() {
    let server = both();
    let headers = [("content-type", "application/json"), ("x-request-id", "abc-1")];
    let answer = server.ask("POST", "/predictions", &headers, FLOWER.as_bytes());
    assert_eq!(answer.header("x-request-id"), Some("abc-1"));
    let answer = server.post("/predictions", FLOWER);
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()));
}

#[test]
fn requests_in_flight_finish_when_the_server_is_stopped() {
    let server = both();
    let scene = std::fs::read(root().join("models/clouds/scenes/large.jpg")).expect("the scene is there");
    let mut stream = server.connect();
    let head = format!(
        "POST /models/clouds/predictions HTTP/1.1\r\nhost: {}\r\ncontent-type: image/jpeg\r\ncontent-length: {}\r\n\r\n",
        server.address,
        scene.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&scene)).expect("sent");
    let busy = || {
        server
            .get("/metrics")
            .text()
            .contains("ampoule_requests_in_flight{model=\"clouds\",version=\"1.0.0\"} 1")
    };
    assert!(eventually(Duration::from_secs(60), busy), "the request is in flight");
    terminate(server.process_id());
    let answer = Answer::read(&mut stream).expect("it is answered");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(server.ended().success());
}

#[test]
fn what_cant_be_served_is_said_before_anything_listens() {
    let iris = sealed("iris").to_string_lossy().into_owned();
    let server = Server::start(&[&iris]);
    let taken = server.address.port().to_string();
    for (arguments, code, expected) in [
        (vec!["serve", &iris, "--port", &taken], 1, "is taken"),
        (vec!["serve", &iris, "--host", "0.0.0.0"], 1, "can be reached from outside"),
        (vec!["serve", &iris, &iris, "--port", "0"], 1, "two ampoules are named \"iris\""),
        (vec!["serve", "missing.wasm"], 1, "can't read missing.wasm"),
        (vec!["serve"], 2, "required"),
        (vec!["serve", &iris, "--port", "banana"], 2, "banana"),
        (vec!["serve", &iris, "--log", "loud"], 1, "expected a log level of error, warn, info or debug"),
    ] {
        let output = run(&root(), &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(
            said(&output).contains(expected),
            "{arguments:?}: expected {expected:?} in {}",
            said(&output)
        );
    }
}
