//! The routes that Vertex AI and SageMaker expect of a container.

use ampoule_tests::{Answer, Server, root, sealed};
use serde_json::{Value, json};

const FLOWERS: [[f64; 4]; 2] = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]];
const TABLE: &str = "5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n";

fn iris(variables: &[(&str, &str)]) -> Server {
    Server::start_with(&[&sealed("iris").to_string_lossy()], variables)
}

fn clouds() -> Server {
    Server::start(&[&sealed("clouds").to_string_lossy()])
}

/// What `/predictions` says of the same flowers.
fn expected(server: &Server) -> Value {
    let answer = server.post("/predictions", &json!({ "instances": FLOWERS }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let predictions = answer.json()["predictions"].clone();
    assert_eq!((&predictions[0]["label"], &predictions[1]["label"]), (&json!("setosa"), &json!("virginica")));
    predictions
}

fn invoke(server: &Server, content_type: &str, accept: &str, body: &str) -> Answer {
    let headers = [("content-type", content_type), ("accept", accept)];
    server.ask("POST", "/invocations", &headers, body.as_bytes())
}

#[test]
fn instances_come_in_every_form_that_sagemaker_sends() {
    let server = iris(&[]);
    let expected = expected(&server);
    let features: Vec<Value> = FLOWERS.iter().map(|flower| json!({ "features": flower })).collect();
    let nested: Vec<Value> =
        FLOWERS.iter().map(|flower| json!({ "data": { "features": { "values": flower } } })).collect();
    let lines = |values: &[Value]| values.iter().map(|value| format!("{value}\n")).collect::<String>();
    let bare: Vec<Value> = FLOWERS.iter().map(|flower| json!(flower)).collect();
    for (content_type, body) in [
        ("text/csv", TABLE.to_owned()),
        ("text/csv; label_size=0", TABLE.replace('\n', "\r\n")),
        ("text/csv; header=absent", TABLE.trim_end().to_owned()),
        ("text/csv; header=present", format!("sepal_length,sepal_width,petal_length,petal_width\n{TABLE}")),
        ("application/json", json!({ "instances": FLOWERS }).to_string()),
        ("application/json", json!({ "instances": features }).to_string()),
        ("application/json", json!({ "instances": nested }).to_string()),
        ("application/jsonlines", lines(&bare)),
        ("application/jsonlines; charset=utf-8", lines(&features)),
        ("application/x-ndjson", format!("\r\n{}", lines(&nested).replace('\n', "\r\n"))),
    ] {
        let answer = invoke(&server, content_type, "*/*", &body);
        assert_eq!(answer.status, 200, "{content_type}: {body}: {}", answer.text());
        assert_eq!(answer.json()["predictions"], expected, "{content_type}: {body}");
    }
}

#[test]
fn answers_have_the_form_that_is_accepted() {
    let server = iris(&[]);
    let expected = expected(&server);
    let csv = invoke(&server, "text/csv", "text/csv", TABLE);
    assert_eq!((csv.status, csv.header("content-type")), (200, Some("text/csv; charset=utf-8")));
    let rows: Vec<Vec<String>> =
        csv.text().lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    assert_eq!(rows.len(), 2, "one row each and no header: {}", csv.text());
    for (row, prediction) in rows.iter().zip(expected.as_array().expect("a list")) {
        assert_eq!(row[0], prediction["label"].as_str().expect("a label"));
        let probabilities: Vec<f64> = row[1..].iter().map(|cell| cell.parse().expect("a number")).collect();
        assert_eq!(json!(probabilities), prediction["probabilities"]);
    }
    let lines = invoke(&server, "text/csv", "application/jsonlines", TABLE);
    assert_eq!((lines.status, lines.header("content-type")), (200, Some("application/jsonlines")));
    assert!(lines.text().ends_with('\n'));
    let lines: Vec<Value> =
        lines.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(json!(lines), expected);
    // The same holds at the server's own route.
    let headers = [("content-type", "text/csv"), ("accept", "text/csv;q=0.5, application/x-ndjson")];
    let own = server.ask("POST", "/predictions", &headers, TABLE.as_bytes());
    assert_eq!(own.header("content-type"), Some("application/jsonlines"));
    let refused = invoke(&server, "text/csv", "application/x-npy", TABLE);
    assert_eq!((refused.status, &refused.json()["code"]), (406, &json!("not_acceptable")));
}

#[test]
fn a_picture_is_invoked_as_it_is() {
    let server = clouds();
    let scene = std::fs::read(root().join("models/clouds/scenes/coast.png")).expect("the scene is there");
    let ask = |path: &str, content_type: &str, accept: &str| {
        server.ask("POST", path, &[("content-type", content_type), ("accept", accept)], &scene)
    };
    let expected = ask("/predictions", "image/png", "image/png");
    assert_eq!(expected.status, 200, "{}", expected.text());
    for content_type in ["image/png", "application/x-image", "image/*"] {
        let answer = ask("/invocations", content_type, "image/*");
        assert_eq!(answer.header("content-type"), Some("image/png"), "{content_type}: {}", answer.text());
        assert_eq!(answer.body, expected.body, "{content_type}");
    }
    let refused = ask("/invocations", "image/png", "text/csv");
    assert_eq!(refused.status, 406, "a mask is no row");
}

#[test]
fn what_is_wrong_with_an_invocation_is_said_with_its_place() {
    let server = iris(&[]);
    for (content_type, body, status, path) in [
        ("text/csv", "5.1,3.5,1.4\n", 400, None),
        ("text/csv", "5.1,3.5,1.4,0.2\n5.1,x,1.4,0.2\n", 400, Some("instances[1].sepal_width")),
        (
            "text/csv; header=absent",
            "sepal_length,sepal_width,petal_length,petal_width\n",
            400,
            Some("instances[0].sepal_length"),
        ),
        ("text/csv; header=present", "a,b,c,d\n1,2,3,4\n", 400, None),
        ("application/jsonlines", "[5.1, 3.5, 1.4, 0.2]\n[5.1, 3.5]\n", 400, Some("instances[1]")),
        ("application/jsonlines", "[5.1, 3.5, 1.4, 0.2]\n{", 400, None),
        ("application/json", r#"{"instances": [{"features": [5.1]}]}"#, 400, Some("instances[0]")),
        ("application/json", "[[5.1, 3.5, 1.4, 0.2]]", 400, None),
        ("text/libsvm", "0 1:2", 415, None),
        ("application/x-recordio-protobuf", "x", 415, None),
    ] {
        let answer = invoke(&server, content_type, "*/*", body);
        assert_eq!(answer.status, status, "{content_type}: {body}: {}", answer.text());
        if let Some(path) = path {
            assert_eq!(answer.json()["path"], path, "{content_type}: {body}: {}", answer.text());
        }
    }
    assert_eq!(invoke(&server, "application/jsonlines", "*/*", "\u{0}").status, 400);
    let bytes =
        server.ask("POST", "/invocations", &[("content-type", "application/jsonlines")], b"\xff\xfe\n");
    assert_eq!(bytes.status, 400, "{}", bytes.text());
}

#[test]
fn a_batch_transform_is_told_how_to_call_and_calls_so() {
    let server = iris(&[]);
    let parameters = server.get("/execution-parameters").json();
    assert_eq!(parameters["BatchStrategy"], "MULTI_RECORD");
    assert_eq!(parameters["MaxPayloadInMB"], 6);
    let concurrent = parameters["MaxConcurrentTransforms"].as_u64().expect("a number");
    assert!((1..=100 / 6).contains(&concurrent), "{concurrent} x 6 MB is at most 100 MB");
    assert_eq!(clouds().get("/execution-parameters").json()["BatchStrategy"], "SINGLE_RECORD");

    let job = [
        ("SAGEMAKER_BATCH", "true"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "40"),
        ("SAGEMAKER_BATCH_STRATEGY", "MULTI_RECORD"),
        ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "2"),
    ];
    let server = iris(&job);
    assert_eq!(
        server.get("/execution-parameters").json(),
        json!({ "MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 40 })
    );
    // Split by lines, records of JSON come one on each line, and go back so.
    let records = "[5.1, 3.5, 1.4, 0.2]\n{\"features\": [6.7, 3.0, 5.2, 2.3]}\n";
    let answer = invoke(&server, "application/json", "*/*", records);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(json!(lines), expected(&server));
    // A whole request is still one.
    let whole = invoke(&server, "application/json", "*/*", &json!({ "instances": FLOWERS }).to_string());
    assert_eq!(whole.json()["predictions"], json!(lines));
    // The announced payload is let in, beyond the server's usual 32 MiB.
    let rows = 39_000_000 / 16;
    let large = "5.1,3.5,1.4,0.2\n".repeat(rows);
    let refused = invoke(&server, "text/csv", "text/csv", &large);
    assert_eq!(refused.status, 413);
    assert!(refused.text().contains("max_instances"), "not the bytes but the rows: {}", refused.text());
}

#[test]
fn probes_need_no_token_and_calls_do() {
    let server = iris(&[("AMPOULE_TOKEN", "secret")]);
    assert_eq!(server.get("/ping").status, 200);
    assert_eq!(server.ask("POST", "/ping", &[], b"").status, 401);
    assert_eq!(server.get("/execution-parameters").status, 401);
    assert_eq!(invoke(&server, "text/csv", "*/*", TABLE).status, 401);
    let headers = [("content-type", "text/csv"), ("authorization", "Bearer secret")];
    assert_eq!(server.ask("POST", "/invocations", &headers, TABLE.as_bytes()).status, 200);
}

#[test]
fn the_operator_chooses_the_usual_form_of_invocations() {
    let server = iris(&[("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")]);
    let answer = server.ask("POST", "/invocations", &[("content-type", "text/csv")], TABLE.as_bytes());
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    let own = server.ask("POST", "/predictions", &[("content-type", "text/csv")], TABLE.as_bytes());
    assert_eq!(own.header("content-type"), Some("application/json"));
}

#[test]
fn vertex_may_choose_the_servers_own_paths() {
    for (health, predict) in [("/ping", "/invocations"), ("/health", "/predictions"), ("/h", "/v1/m:predict")]
    {
        let server = iris(&[
            ("AIP_HTTP_PORT", "0"),
            ("AIP_HEALTH_ROUTE", health),
            ("AIP_PREDICT_ROUTE", predict),
            ("AIP_STORAGE_URI", "gs://bucket/folder"),
            ("AIP_MODE", "PREDICTION"),
        ]);
        assert_eq!(server.get(health).status, 200, "{health}");
        let answer = server.post(predict, &json!({ "instances": FLOWERS, "parameters": {} }).to_string());
        assert_eq!(answer.json()["predictions"][0]["label"], "setosa", "{predict}");
    }
}
