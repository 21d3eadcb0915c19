//! AWS Lambda: the program `bootstrap` under a Runtime API of our own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};

use super::compare::Answer;
use super::ground::{Ground, Running};
use super::http;

/// How far from now an event's deadline is.
const DEADLINE: Duration = Duration::from_secs(900);

/// What Lambda is to a function: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.
pub struct Platform {
    pub address: SocketAddr,
    events: mpsc::UnboundedSender<String>,
    replies: mpsc::UnboundedReceiver<Result<Vec<u8>, String>>,
}

struct Shared {
    events: Mutex<mpsc::UnboundedReceiver<String>>,
    replies: mpsc::UnboundedSender<Result<Vec<u8>, String>>,
}

impl Platform {
    /// Listens on the loopback for as long as the ground's runtime lives.
    ///
    /// # Errors
    /// It can't.
    pub fn start(ground: &Ground) -> anyhow::Result<Self> {
        let (events, waiting) = mpsc::unbounded_channel();
        let (said, replies) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { events: Mutex::new(waiting), replies: said });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared);
        Ok(Self { address: ground.serve(router)?, events, replies })
    }

    /// Asks the function by events of API Gateway, of format 2.0.
    ///
    /// # Errors
    /// It says that it failed, ends, or says nothing.
    pub fn ask(
        &mut self,
        ground: &Ground,
        function: &mut Running,
        instances: &[Value],
    ) -> anyhow::Result<Vec<Answer>> {
        http::ask(instances, &http::Instances, |body| {
            self.events.send(event(&body)).context("the Runtime API is gone")?;
            let reply = ground.hears(&mut self.replies, function)?;
            let reply = reply.map_err(|error| anyhow::anyhow!("the function failed: {error}"))?;
            let reply: Value = serde_json::from_slice(&reply).context("the function's reply is not JSON")?;
            let status = reply["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
            let status = status.with_context(|| format!("expected a statusCode, got {reply}"))?;
            let text = reply["body"].as_str().unwrap_or_default();
            let body = match reply["isBase64Encoded"].as_bool() {
                Some(true) => STANDARD.decode(text).context("the reply's body is not base64")?,
                _ => text.as_bytes().to_vec(),
            };
            Ok((status, body))
        })
    }
}

/// An event of API Gateway's HTTP API.
fn event(body: &str) -> String {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/predictions",
        "rawQueryString": "",
        "headers": { "content-type": "application/json" },
        "requestContext": {
            "http": { "method": "POST", "path": "/predictions", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1" },
            "requestId": "check",
            "stage": "$default",
            "domainName": "check.execute-api.eu-central-1.amazonaws.com",
        },
        "body": body,
        "isBase64Encoded": false,
    })
    .to_string()
}

/// Waits for an event, as long as it takes.
async fn next(State(shared): State<Arc<Shared>>) -> Response {
    let Some(event) = shared.events.lock().await.recv().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", (now + DEADLINE).as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:check".to_owned(),
        ),
    ];
    (headers, event).into_response()
}

async fn response(State(shared): State<Arc<Shared>>, Path(_): Path<String>, body: Bytes) -> StatusCode {
    let _ = shared.replies.send(Ok(body.to_vec()));
    StatusCode::ACCEPTED
}

async fn error(State(shared): State<Arc<Shared>>, Path(_): Path<String>, body: Bytes) -> StatusCode {
    let _ = shared.replies.send(Err(String::from_utf8_lossy(&body).into_owned()));
    StatusCode::ACCEPTED
}

async fn init_error(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let _ = shared.replies.send(Err(String::from_utf8_lossy(&body).into_owned()));
    StatusCode::ACCEPTED
}
