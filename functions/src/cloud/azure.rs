//! Azure Functions: what the Functions host asks of a custom handler.
//!
//! Where `enableForwardingHttpRequest` is set, an HTTP trigger's request comes as it is, below the
//! app's route prefix. Every other trigger, and an HTTP trigger without that setting, comes as an
//! *invocation*: `{"Data": {…}, "Metadata": {…}}`, posted to the function's name.
//!
//! Source: "Azure Functions custom handlers"; where that is silent, `Workers/Http` of the Functions
//! host, which reads the replies.

use std::collections::BTreeMap;

use ampoule_host::sha256_hex;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Entry, PREDICTIONS, rebuilt};
use crate::serve::{Refusal, read_body};
use ampoule_wire::quoted;
use ampoule_wire::rows::Format;

/// The names that `function.json` gives to outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bindings {
    /// Of an HTTP trigger's answer.
    pub http: String,
    /// Of a blob trigger's prediction.
    pub blob: String,
}

/// The prefix of an app's routes where `host.json` names no other.
const ROUTE_PREFIX: &str = "/api";

/// Answers one request of the Functions host.
pub(super) async fn answer(entry: &Entry<'_>, bindings: &Bindings, mut request: Request) -> Response {
    let path = request.uri().path();
    if let Some(rest) =
        path.strip_prefix(ROUTE_PREFIX).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    {
        match own_path(rest) {
            Some(uri) => *request.uri_mut() = uri,
            None => return refuse("expected a path of letters, got another"),
        }
        return entry.serve(request).await;
    }
    let json = super::sent::content_type(request.headers()) == "application/json";
    if request.method() != Method::POST || !json {
        return entry.serve(request).await;
    }
    let (head, body) = request.into_parts();
    let body = match read_body(&head.headers, body, &entry.function.bounds).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let Ok(invocation) = serde_json::from_slice::<Invocation>(&body) else {
        return entry.serve(rebuilt(head, body)).await;
    };
    match invocation.trigger() {
        Ok(Trigger::Http(asked)) => http(entry, bindings, asked).await,
        Ok(Trigger::Blob(content)) => blob(entry, bindings, &invocation, content).await,
        Err(why) => refuse(&why),
    }
}

/// What the host posts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Invocation {
    #[serde(rename = "Data")]
    data: BTreeMap<String, Value>,
    #[serde(rename = "Metadata")]
    metadata: BTreeMap<String, Value>,
}

/// What an invocation is about.
enum Trigger<'a> {
    Http(Asked),
    /// A blob's content as the host writes it.
    Blob(&'a str),
}

/// An HTTP request within an invocation.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    url: String,
    method: String,
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    body: Option<Value>,
}

impl Invocation {
    fn trigger(&self) -> Result<Trigger<'_>, String> {
        let is_request = |value: &&Value| value.get("Url").is_some() && value.get("Method").is_some();
        if let Some(request) = self.data.values().find(is_request) {
            return Asked::deserialize(request)
                .map(Trigger::Http)
                .map_err(|cause| format!("Data: expected an HTTP request: {cause}"));
        }
        let mut contents = self.data.values().filter_map(Value::as_str);
        match (contents.next(), contents.next()) {
            (Some(content), None) if self.is_blob() => Ok(Trigger::Blob(content)),
            (Some(_), Some(_)) => Err("Data: expected one blob, got several".to_owned()),
            _ => {
                let names: Vec<String> = self.data.keys().take(6).map(|name| quoted(name)).collect();
                Err(format!("expected an HTTP or a blob trigger, got Data of {}", names.join(", ")))
            }
        }
    }

    /// Whether the metadata is that of a blob; other triggers have no address.
    fn is_blob(&self) -> bool {
        ["Uri", "BlobTrigger", "name"].iter().any(|name| self.text(name).is_some())
    }

    /// A text of the metadata. The host writes some as JSON within JSON.
    fn text(&self, name: &str) -> Option<String> {
        let text = self.metadata.get(name)?.as_str()?;
        Some(serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()))
    }

    /// The blob's name, for its ending and the log.
    fn name(&self) -> String {
        let path = ["name", "BlobTrigger", "Uri"].iter().find_map(|name| self.text(name));
        let path = path.unwrap_or_default();
        path.split('?').next().unwrap_or_default().to_owned()
    }
}

/// Answers a request within an invocation. Its answer is text: the host has no other.
async fn http(entry: &Entry<'_>, bindings: &Bindings, asked: Asked) -> Response {
    let (Ok(method), Some(uri)) = (Method::from_bytes(asked.method.as_bytes()), asked.path()) else {
        return refuse(&format!("Data: expected a method and a URL, got {}", quoted(&asked.url)));
    };
    let kind = asked.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let binary = kind.starts_with("application/octet-stream");
    let body = match (asked.body.as_ref(), binary) {
        (None | Some(Value::Null), _) => Vec::new(),
        // Of all content types, the host hands on the bytes of this one only.
        (Some(Value::String(text)), true) => match STANDARD.decode(text) {
            Ok(bytes) => bytes,
            Err(cause) => return refuse(&format!("Data: Body: expected base64: {cause}")),
        },
        (Some(Value::String(text)), false) => text.clone().into_bytes(),
        (Some(other), _) => other.to_string().into_bytes(),
    };
    let mut request = Request::builder().method(method).uri(uri);
    for name in ["content-type", "accept", "authorization", "x-request-id"] {
        let value = match (name, asked.header(name)) {
            ("content-type", Some(_)) if binary => "application/x-image",
            // A picture's bytes are no text: they come in JSON.
            ("accept", Some(value)) if value.contains("image/") => "application/json",
            (_, Some(value)) => value,
            (_, None) => continue,
        };
        if let Ok(value) = HeaderValue::from_str(value) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(Body::from(body)) else {
        return refuse("Data: expected an HTTP request, got none");
    };
    let (head, body) = entry.serve(request).await.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let headers: BTreeMap<&str, &str> = head
        .headers
        .iter()
        .filter(|(name, _)| *name != header::CONTENT_LENGTH && *name != header::CONNECTION)
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let answer = json!({
        "statusCode": head.status.as_str(),
        "status": head.status.as_str(),
        "body": String::from_utf8_lossy(&body),
        "headers": headers,
    });
    reply(&bindings.http, answer, Vec::new())
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        let (_, values) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        values.first().map(String::as_str)
    }

    /// The path below the route prefix.
    fn path(&self) -> Option<Uri> {
        let url: Uri = self.url.parse().ok()?;
        let path = url.path();
        own_path(path.strip_prefix(ROUTE_PREFIX).filter(|rest| rest.starts_with('/')).unwrap_or(path))
    }
}

fn own_path(path: &str) -> Option<Uri> {
    if path.is_empty() { Some(Uri::from_static("/")) } else { path.parse().ok() }
}

/// Predicts for a blob. The prediction is an output; a blob without one fails the invocation, so
/// that the host tries again and then has it in its queue of poison blobs.
async fn blob(entry: &Entry<'_>, bindings: &Bindings, invocation: &Invocation, content: &str) -> Response {
    let name = invocation.name();
    let content_type = match Format::of(&name) {
        Some(Format::Json) => "application/json",
        Some(Format::Jsonl) => "application/jsonlines",
        Some(Format::Csv) => "text/csv",
        Some(Format::Image) | None => "application/x-image",
        Some(Format::Parquet) => return refuse("expected a blob of rows or a picture, got Parquet"),
    };
    let encoding = if name.ends_with(".gz") { "gzip" } else { "identity" };
    let bytes = decoded(content);
    let digest = sha256_hex(&bytes);
    let request = Request::post(PREDICTIONS)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONTENT_ENCODING, encoding)
        .header(header::ACCEPT, "image/*, application/jsonlines;q=0.5");
    let Ok(request) = request.body(Body::from(bytes)) else {
        return refuse("Data: expected a blob, got none");
    };
    let answered = entry.serve(request).await;
    if answered.status() != StatusCode::OK {
        tracing::warn!(name, status = answered.status().as_u16(), "no prediction for a blob");
        return answered;
    }
    match read(answered.into_body()).await {
        Ok(body) => {
            let log = format!("predicted {name} (sha256 {digest}): {} bytes", body.len());
            // The host turns base64 into bytes again.
            reply(&bindings.blob, Value::String(STANDARD.encode(&body)), vec![log])
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// A blob's bytes: they come in base64, or as a JSON string where `dataType` is `string`.
fn decoded(content: &str) -> Vec<u8> {
    if content.starts_with('"')
        && let Ok(text) = serde_json::from_str::<String>(content)
    {
        return text.into_bytes();
    }
    STANDARD.decode(content).unwrap_or_else(|_| content.as_bytes().to_vec())
}

/// What goes back to the host: the value under its binding's name, and as the value returned for a
/// function whose output is `$return`.
fn reply(binding: &str, value: Value, logs: Vec<String>) -> Response {
    let reply = json!({ "Outputs": { binding: value.clone() }, "Logs": logs, "ReturnValue": value });
    ([(header::CONTENT_TYPE, "application/json")], reply.to_string()).into_response()
}

/// An answer's whole body: as long as the limits of a prediction let it be.
async fn read(body: Body) -> Result<bytes::Bytes, Refusal> {
    axum::body::to_bytes(body, usize::MAX).await.map_err(|_| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer could not be read")
    })
}

fn refuse(why: &str) -> Response {
    tracing::info!(why, "an invocation was refused");
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_event", why).into_response()
}
