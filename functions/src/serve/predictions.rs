//! The way of one request for predictions: decode, predict, encode.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use ampoule_host::{Batch, Media};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;

use super::body::{self, Bounds};
use super::refusal::Refusal;
use super::{Served, Service};
use crate::wire::{self, Decoder, encode};

/// Answers a request for predictions of `name`.
pub(crate) async fn answer(service: Arc<Service>, name: &str, request: Request<Body>) -> Response {
    let start = Instant::now();
    let Some(served) = service.models.get(name) else {
        service.metrics.refused("unknown_model");
        let names: Vec<&str> = service.models.keys().map(String::as_str).collect();
        let shown: String = name.chars().take(64).collect();
        let why = format!("no model {shown:?} is served here: expected {}", names.join(" or "));
        return Refusal::new(StatusCode::NOT_FOUND, "unknown_model", why).closing().into_response();
    };
    let id = request_id(request.headers());
    let _flight = served.meters.enter();
    let mut response = match predict(&service, served, request, start).await {
        Ok(response) => response,
        Err(Failed { refusal, cause }) => {
            served.meters.refused(refusal.code);
            let id = id.to_str().unwrap_or_default();
            match cause {
                Some(cause) if refusal.status.is_server_error() => {
                    let cause = format!("{:#}", anyhow::Error::new(cause));
                    tracing::error!(
                        request_id = id,
                        model = name,
                        code = refusal.code,
                        cause,
                        "request failed"
                    );
                }
                _ => tracing::info!(request_id = id, model = name, code = refusal.code, "request refused"),
            }
            refusal.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert("x-request-id", id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A refusal, and what it was made from where it came from the host.
struct Failed {
    refusal: Refusal,
    cause: Option<ampoule_host::Error>,
}

impl<R: Into<Refusal>> From<R> for Failed {
    fn from(refusal: R) -> Self {
        Self { refusal: refusal.into(), cause: None }
    }
}

async fn predict(
    service: &Service,
    served: &Served,
    request: Request<Body>,
    start: Instant,
) -> Result<Response, Failed> {
    let (head, body) = request.into_parts();
    let form = Form::of(&head.headers)?;
    let settings = &service.settings;
    let bounds = Bounds {
        max_bytes: settings.max_body_bytes,
        max_decoded_bytes: settings.max_decoded_bytes,
        pause: settings.body_timeout,
    };
    let body = body::read(&head.headers, body, &bounds).await?;
    let decode_start = Instant::now();
    let (instances, parameters) = if body.len() > body::LARGE {
        tokio::task::block_in_place(|| decode(served, &form, body))?
    } else {
        decode(served, &form, body)?
    };
    let decode = decode_start.elapsed();
    let count = instances.instances();
    let answer = served
        .model
        .predict(instances, parameters)
        .await
        .map_err(|cause| Failed { refusal: Refusal::of(&cause), cause: Some(cause) })?;
    if !answer.log.is_empty() {
        tracing::debug!(model = served.model.name(), log = answer.log, "the predictor's log");
    }
    let response = match (&answer.predictions, wanted(&head.headers)) {
        (Batch::Media(items), Some(wanted)) if items.len() == 1 && items.iter().all(&wanted) => {
            let Batch::Media(mut items) = answer.predictions else { unreachable!("matched above") };
            raw(items.remove(0))
        }
        (predictions, _) => {
            let encoded = encode::answer(predictions, &served.model.manifest().outputs);
            let encoded = encoded.map_err(|why| {
                let cause = ampoule_host::Error::Contract(why);
                Failed { refusal: Refusal::of(&cause), cause: Some(cause) }
            })?;
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], encoded).into_response()
        }
    };
    served.meters.answered(count, decode, &answer.timings, start.elapsed());
    Ok(response)
}

/// What a body is.
enum Form {
    Json,
    Csv,
    /// A blob of this type.
    Blob(String),
}

impl Form {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(said) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Json) };
        let said = said.to_str().unwrap_or("no text");
        let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Ok(Self::Json),
            "text/csv" => Ok(Self::Csv),
            essence if essence.starts_with("image/") => Ok(Self::Blob(essence.to_owned())),
            _ => {
                let shown: String = said.chars().take(80).collect();
                let why = format!("expected application/json, text/csv or image/*, got {shown:?}");
                Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", why).closing())
            }
        }
    }
}

fn decode(served: &Served, form: &Form, body: Bytes) -> Result<(Batch, Option<String>), Refusal> {
    let manifest = served.model.manifest();
    let max_instances = served.model.host().limits().max_instances;
    Ok(match form {
        Form::Json => {
            let request = Decoder::new(manifest, max_instances).request(&body)?;
            (request.instances, request.parameters)
        }
        Form::Csv => {
            let mut table = wire::csv::Table::new(manifest, body.as_ref())?;
            let rows = table.next(max_instances)?.unwrap_or(Batch::Json(Vec::new()));
            if table.next(1)?.is_some() {
                let why =
                    format!("expected at most {max_instances} instances (limit max_instances), got more");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why));
            }
            (rows, None)
        }
        Form::Blob(content_type) => (wire::blob(manifest, body.into(), Some(content_type))?, None),
    })
}

/// Whether the caller wants a blob as it is: `Accept` names its type, and not JSON before it.
fn wanted(headers: &HeaderMap) -> Option<impl Fn(&Media) -> bool> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?.to_ascii_lowercase();
    let first = accept.split(',').next()?.split(';').next()?.trim().to_owned();
    Some(move |media: &Media| match first.strip_suffix("/*") {
        Some(kind) => media.content_type.split('/').next() == Some(kind),
        None => media.content_type == first,
    })
}

/// A blob as it is; what was said about it travels in a header.
fn raw(media: Media) -> Response {
    let mut response = media.bytes.into_response();
    if let Ok(content_type) = HeaderValue::from_str(&media.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    let metadata =
        media.metadata.filter(|text| text.is_ascii()).and_then(|text| HeaderValue::from_str(&text).ok());
    if let Some(metadata) = metadata {
        response.headers_mut().insert("x-prediction-metadata", metadata);
    }
    response
}

/// The caller's id for the request if it is a plain word, or one of ours.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty()
            && bytes.len() <= 128
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
    };
    if let Some(given) = headers.get("x-request-id").filter(plain) {
        return given.clone();
    }
    static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    HeaderValue::from_str(&format!("{:x}-{number:x}", *PROCESS)).expect("hex digits are a header's text")
}
