//! A function before routes that only say where they were asked, over work that is played.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use axum::Router;
use serde_json::{Value, json};

use super::*;
use crate::job::{ObjectName, Outcome, Share, Totals};

/// Work whose outcome stands in the key.
#[derive(Default)]
struct Played {
    done: Mutex<Vec<ObjectName>>,
    sweeps: Mutex<usize>,
    left: bool,
}

#[async_trait]
impl Work for Played {
    async fn object(&self, object: &ObjectName, _: Instant) -> Outcome {
        self.done.lock().expect("no test panics here").push(object.clone());
        match object.key.as_str() {
            "failed" => Outcome::Failed { error: "the store is away".to_owned() },
            "denied" => Outcome::Denied { error: "secret role".to_owned() },
            "refused" => Outcome::Refused { code: "invalid_instance", error: "no picture".to_owned() },
            "skipped" => Outcome::Skipped { why: "done already".to_owned() },
            _ => Outcome::Done { instances: 1 },
        }
    }

    async fn sweep(&self, share: Share, _: Instant) -> anyhow::Result<Totals> {
        assert_eq!(share, Share::WHOLE);
        *self.sweeps.lock().expect("no test panics here") += 1;
        Ok(Totals { done: 3, unfinished: self.left, ..Totals::default() })
    }
}

struct Asked {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("expected JSON, got {:?}", self.body))
    }
}

async fn ask(
    platform: Platform,
    work: &Arc<Played>,
    bucket: Option<&str>,
    request: axum::http::request::Builder,
    body: impl Into<Body>,
) -> Asked {
    let routes = Router::new().fallback(|request: Request| async move {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
        let accept = head.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if body.as_ref() == b"bad" {
            return (StatusCode::UNPROCESSABLE_ENTITY, "no picture").into_response();
        }
        let kind = sent::content_type(&head.headers);
        let said = json!({
            "route": format!("{} {}", head.method, head.uri), "type": kind, "accept": accept,
            "body": String::from_utf8_lossy(&body),
        });
        said.to_string().into_response()
    });
    let work: Arc<dyn Work> = work.clone();
    let bounds = BodyBounds { max_bytes: 1 << 16, max_decoded_bytes: 1 << 16, pause: Duration::from_secs(5) };
    let function = Function::new(
        platform,
        Lazy::ready(work),
        bucket.map(str::to_owned),
        Duration::from_secs(60),
        bounds,
    );
    let routes = Routes::from(routes);
    let request = request.body(body.into()).expect("a request");
    let (head, body) = function.answer(&routes, request).await.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body = String::from_utf8_lossy(&body).into_owned();
    Asked { status: head.status.as_u16(), headers: head.headers, body }
}

const HTTP: Platform = Platform::Container(Signature::Http);
const EVENT: Platform = Platform::Container(Signature::Event);

fn finalized(bucket: &str, key: &str) -> (axum::http::request::Builder, String) {
    let request = Request::post("/")
        .header("content-type", "application/json")
        .header("ce-id", "1")
        .header("ce-specversion", "1.0")
        .header("ce-source", "//storage.googleapis.com/projects/_/buckets/b")
        .header("ce-type", "google.cloud.storage.object.v1.finalized");
    (request, json!({ "bucket": bucket, "name": key, "generation": "7" }).to_string())
}

#[tokio::test]
async fn an_event_is_acknowledged_once_nothing_is_left_to_do() {
    for (key, status, code) in [
        ("x.png", 204, None),
        ("skipped", 204, None),
        ("refused", 204, None),
        ("failed", 503, Some("unfinished")),
        ("denied", 503, Some("denied")),
    ] {
        for platform in [HTTP, EVENT] {
            let work = Arc::<Played>::default();
            let (request, body) = finalized("scenes", key);
            let asked = ask(platform, &work, Some("scenes"), request, body).await;
            assert_eq!(asked.status, status, "{key}: {}", asked.body);
            assert_eq!(work.done.lock().expect("whole").len(), 1, "{key}");
            match code {
                None => assert_eq!(asked.body, "", "{key}"),
                Some(code) => {
                    assert_eq!(asked.json()["code"], code);
                    assert!(asked.headers.contains_key("retry-after"), "{key}");
                    assert!(!asked.body.contains("secret"), "{}", asked.body);
                }
            }
        }
    }
}

#[tokio::test]
async fn an_event_of_another_bucket_is_refused_by_its_name() {
    let work = Arc::<Played>::default();
    let (request, body) = finalized("theirs", "x.png");
    let asked = ask(EVENT, &work, Some("scenes"), request, body).await;
    assert_eq!(asked.status, 403);
    assert_eq!(asked.json()["code"], "forbidden_bucket");
    assert_eq!(asked.json()["error"], "expected an object of the bucket \"scenes\", got one of \"theirs\"");
    let (request, body) = finalized("scenes", "x.png");
    let asked = ask(EVENT, &work, None, request, body).await;
    assert_eq!((asked.status, asked.json()["code"].as_str()), (403, Some("forbidden_bucket")));
    assert!(work.done.lock().expect("whole").is_empty());
}

#[tokio::test]
async fn a_schedule_sweeps_and_comes_again_while_objects_are_left() {
    for (left, status) in [(false, 200), (true, 503)] {
        let work = Arc::new(Played { left, ..Played::default() });
        let request = Request::post("/").header("x-cloudscheduler", "true");
        let asked = ask(HTTP, &work, Some("scenes"), request, "").await;
        assert_eq!(asked.status, status, "{}", asked.body);
        assert_eq!(*work.sweeps.lock().expect("whole"), 1);
        assert!(asked.body.contains("done"), "{}", asked.body);
    }
}

#[tokio::test]
async fn a_request_for_predictions_is_never_an_event() {
    let push = r#"{"message":{"messageId":"1","data":"c3dlZXA="},"subscription":"s"}"#;
    let work = Arc::<Played>::default();
    for path in ["/predictions", "/invocations", "/models/m/predictions", "/anything"] {
        let request = Request::post(path).header("content-type", "application/json");
        let asked = ask(HTTP, &work, Some("scenes"), request, push).await;
        assert_eq!(asked.json()["route"], format!("POST {path}"));
        assert_eq!(asked.json()["body"], push);
        let (request, body) = finalized("scenes", "x.png");
        let asked = ask(HTTP, &work, Some("scenes"), request.uri(path), body).await;
        assert_eq!(asked.json()["route"], format!("POST {path}"), "not even by its headers");
    }
    // The function as such predicts too.
    for body in [r#"{"instances": [[1]]}"#, "{", "[]"] {
        let request = Request::post("/").header("content-type", "application/json");
        let asked = ask(HTTP, &work, Some("scenes"), request, body).await;
        assert_eq!(asked.json()["route"], "POST /predictions");
        assert_eq!(asked.json()["body"], body);
    }
    let request = Request::post("/").header("content-type", "text/csv");
    assert_eq!(ask(HTTP, &work, Some("scenes"), request, "1,2").await.json()["type"], "text/csv");
    assert_eq!(*work.sweeps.lock().expect("whole"), 0);
    assert!(work.done.lock().expect("whole").is_empty());
    // At the function itself the same message is one.
    let request = Request::post("/").header("content-type", "application/json");
    assert_eq!(ask(HTTP, &work, Some("scenes"), request, push).await.status, 200);
    assert_eq!(*work.sweeps.lock().expect("whole"), 1);
}

#[tokio::test]
async fn a_function_of_events_takes_nothing_else_at_any_path() {
    let work = Arc::<Played>::default();
    for path in ["/", "/predictions", "/some/path"] {
        let request = Request::post(path).header("content-type", "application/json");
        let asked = ask(EVENT, &work, Some("scenes"), request, r#"{"instances": [[1]]}"#).await;
        assert_eq!((asked.status, asked.json()["code"].as_str()), (400, Some("invalid_event")), "{path}");
        let (request, body) = finalized("scenes", "x.png");
        assert_eq!(ask(EVENT, &work, Some("scenes"), request.uri(path), body).await.status, 204, "{path}");
    }
    let request = Request::post("/").header("content-type", "application/json");
    let large = ask(EVENT, &work, Some("scenes"), request, "x".repeat(1 << 17)).await;
    assert_eq!(large.status, 413);
    // Probes and pages are still there.
    assert_eq!(ask(EVENT, &work, None, Request::get("/health"), "").await.json()["route"], "GET /health");
}

#[tokio::test]
async fn browsers_files_are_not_there() {
    let work = Arc::<Played>::default();
    for platform in [HTTP, EVENT] {
        for path in ["/robots.txt", "/favicon.ico"] {
            for request in [Request::get(path), Request::post(path)] {
                let asked = ask(platform.clone(), &work, None, request, "").await;
                assert_eq!(asked.status, 404, "{path}");
                assert!(!asked.headers.contains_key("etag"));
            }
        }
    }
}

#[tokio::test]
async fn event_grid_gets_the_consent_that_it_asks_for() {
    let work = Arc::<Played>::default();
    let request = Request::options("/").header("webhook-request-origin", "eventgrid.azure.net");
    let asked = ask(EVENT, &work, Some("scenes"), request, "").await;
    assert_eq!(asked.status, 200);
    let header = |name| asked.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("webhook-allowed-origin"), Some("eventgrid.azure.net"));
    assert_eq!(header("webhook-allowed-rate"), Some("*"));
    let other = ask(EVENT, &work, Some("scenes"), Request::options("/"), "").await;
    assert_eq!(other.json()["route"], "OPTIONS /");
}

fn azure() -> Platform {
    Platform::Azure(azure::Bindings { http: "res".to_owned(), blob: "prediction".to_owned() })
}

async fn invoke(envelope: &Value) -> Asked {
    let request = Request::post("/Predict")
        .header("content-type", "application/json; charset=utf-8")
        .header("x-azure-functions-invocationid", "e6bf1a1b");
    ask(azure(), &Arc::default(), None, request, envelope.to_string()).await
}

#[tokio::test]
async fn a_forwarded_request_goes_to_its_path_below_the_prefix() {
    for (path, route) in [
        ("/api/predictions", "/predictions"),
        ("/api/models/m/predictions?code=x", "/models/m/predictions"),
        ("/predictions", "/predictions"),
        ("/api", "/"),
        ("/apiary", "/apiary"),
    ] {
        let request = Request::post(path).header("content-type", "application/json");
        // Below the prefix no body is looked at.
        let body = if path.starts_with("/api/") { r#"{"Data":{},"Metadata":{}}"# } else { "{}" };
        let asked = ask(azure(), &Arc::default(), None, request, body).await;
        assert_eq!(asked.json()["route"], format!("POST {route}"), "{path}");
        assert_eq!(asked.json()["body"], body);
    }
}

#[tokio::test]
async fn a_request_within_an_invocation_is_answered_within_one() {
    let envelope = |headers: Value, body: Value| {
        json!({
            "Data": { "req": {
                "Url": "https://app.azurewebsites.net/api/predictions?code=1", "Method": "POST", "Query": "{}",
                "Headers": headers, "Params": {}, "Identities": [], "Body": body,
            } },
            "Metadata": { "sys": { "MethodName": "Predict", "UtcNow": "2026-01-01T00:00:00Z" } },
        })
    };
    let json_body = json!({ "Content-Type": ["application/json"], "Accept": ["text/csv"] });
    let asked = invoke(&envelope(json_body, json!("{\"instances\":[]}"))).await;
    assert_eq!(asked.status, 200, "{}", asked.body);
    let reply = asked.json();
    let out = &reply["Outputs"]["res"];
    assert_eq!((&out["statusCode"], &out["status"]), (&json!("200"), &json!("200")));
    assert!(out["headers"].is_object());
    assert_eq!(&reply["ReturnValue"], out);
    assert_eq!(reply["Logs"], json!([]));
    let said: Value = serde_json::from_str(out["body"].as_str().expect("text")).expect("JSON");
    assert_eq!(said["route"], "POST /predictions");
    assert_eq!((&said["type"], &said["accept"]), (&json!("application/json"), &json!("text/csv")));
    assert_eq!(said["body"], "{\"instances\":[]}");
    // Bytes come in base64, and a picture can't go back as it is.
    let bytes = json!({ "content-type": ["application/octet-stream"], "accept": ["image/png"] });
    let reply = invoke(&envelope(bytes, json!("UE5H"))).await.json();
    let said: Value =
        serde_json::from_str(reply["Outputs"]["res"]["body"].as_str().expect("text")).expect("JSON");
    assert_eq!((&said["type"], &said["accept"]), (&json!("application/x-image"), &json!("application/json")));
    assert_eq!(said["body"], "PNG");
    // A refusal is the caller's, not the invocation's.
    let reply = invoke(&envelope(json!({}), json!("bad"))).await;
    assert_eq!((reply.status, &reply.json()["Outputs"]["res"]["statusCode"]), (200, &json!("422")));
}

#[tokio::test]
async fn a_blob_becomes_a_prediction_in_an_output() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    for (name, content, kind, body) in [
        ("\"scenes/x.png\"", "UE5H", "application/x-image", "PNG"),
        ("rows.csv", "\"1,2\\n3,4\\n\"", "text/csv", "1,2\n3,4\n"),
        ("rows.csv", "MSwyCg==", "text/csv", "1,2\n"),
        ("a.jsonl", "WzFd", "application/jsonlines", "[1]"),
        ("a.json", "e30=", "application/json", "{}"),
    ] {
        let envelope = json!({
            "Data": { "blob": content },
            "Metadata": { "Uri": "\"https://a.blob.core.windows.net/in/x\"", "name": name, "Properties": "{}" },
        });
        let reply = invoke(&envelope).await.json();
        let out = reply["Outputs"]["prediction"].as_str().expect("base64");
        let said: Value = serde_json::from_slice(&STANDARD.decode(out).expect("base64")).expect("JSON");
        assert_eq!(said["route"], "POST /predictions");
        assert_eq!((&said["type"], &said["body"]), (&json!(kind), &json!(body)), "{name}");
        assert_eq!(reply["ReturnValue"], out);
        assert!(reply["Logs"][0].as_str().is_some_and(|log| log.contains(name.trim_matches('"'))));
    }
    // The host tries again, and then puts the blob aside.
    let poison = json!({ "Data": { "blob": "YmFk" }, "Metadata": { "name": "x.png" } });
    assert_eq!(invoke(&poison).await.status, 422);
}

#[tokio::test]
async fn other_invocations_are_refused_by_what_they_hold() {
    for (data, metadata, expected) in [
        (json!({ "timer": { "Schedule": {} } }), json!({}), "got Data of \"timer\""),
        (json!({}), json!({}), "expected an HTTP or a blob trigger"),
        (json!({ "item": "hello" }), json!({ "DequeueCount": "1" }), "got Data of \"item\""),
        (json!({ "a": "eA==", "b": "eA==" }), json!({ "Uri": "x" }), "got several"),
        (json!({ "req": { "Url": 7, "Method": "POST" } }), json!({}), "expected an HTTP request"),
        (json!({ "req": { "Url": "://", "Method": "POST" } }), json!({}), "expected a method and a URL"),
    ] {
        let asked = invoke(&json!({ "Data": data, "Metadata": metadata })).await;
        assert_eq!(asked.status, 400, "{}", asked.body);
        assert!(asked.json()["error"].as_str().is_some_and(|why| why.contains(expected)), "{}", asked.body);
    }
    // No invocation at all goes on as it is.
    let request = Request::post("/predictions").header("content-type", "application/json");
    let asked = ask(azure(), &Arc::default(), None, request, r#"{"instances": []}"#).await;
    assert_eq!(asked.json()["route"], "POST /predictions");
}
