//! The way of one request for predictions: decode, predict, encode.

use std::io::Write as _;
use std::sync::LazyLock;
use std::time::Instant;

use ampoule_host::Media;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::accept::{Answer, Wanted};
use super::body::{self, Bounds};
use super::form::Form;
use super::refusal::Refusal;
use super::{Served, Service};
use ampoule_wire::encode;

/// Whose ways a route follows where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Own,
    /// `/invocations`: instances may be wrapped, and the platform chooses the usual form of an answer.
    SageMaker,
}

/// Answers a request for predictions of `name`.
pub(crate) async fn answer(
    service: &Service,
    name: &str,
    dialect: Dialect,
    request: Request<Body>,
) -> Response {
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
    let mut response = match predict(service, served, dialect, request, start).await {
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
    dialect: Dialect,
    request: Request<Body>,
    start: Instant,
) -> Result<Response, Failed> {
    let (head, body) = request.into_parts();
    let (mut form, wanted) = (Form::of(&head.headers)?, Wanted::of(&head.headers));
    let settings = &service.settings;
    let body = body::read(&head.headers, body, &Bounds::of(settings)).await?;
    let mut usual = Answer::Json;
    if dialect == Dialect::SageMaker {
        usual = service.settings.transform.usual();
        if form == Form::Json && settings.transform.may_be_lines(&body) {
            (form, usual) = (Form::Lines, Answer::Lines);
        } else if form == Form::Json {
            form = Form::Wrapped;
        }
    }
    let decode_start = Instant::now();
    let (instances, parameters) = if body.len() > body::LARGE {
        crate::threads::in_place(|| form.decode(&served.model, body))?
    } else {
        form.decode(&served.model, body)?
    };
    let decode = decode_start.elapsed();
    let count = instances.instances();
    let outputs = &served.model.manifest().outputs;
    let chosen = wanted.choose(outputs, count, usual)?;
    let answer = served
        .model
        .predict(instances, parameters)
        .await
        .map_err(|cause| Failed { refusal: Refusal::of(&cause), cause: Some(cause) })?;
    if !answer.log.is_empty() {
        tracing::debug!(model = served.model.name(), log = answer.log, "the predictor's log");
    }
    let blob = match chosen {
        Answer::Raw => wanted.raw(answer.predictions),
        _ => Err(answer.predictions),
    };
    let response = match blob {
        Ok(media) => raw(media),
        Err(predictions) => {
            let encoded = match chosen {
                Answer::Json | Answer::Raw => encode::answer(&predictions, outputs),
                Answer::Lines => encode::lines(&predictions, outputs),
                Answer::Csv => encode::rows(&predictions, outputs),
            };
            let encoded = encoded.map_err(|why| {
                let cause = ampoule_host::Error::Contract(why);
                Failed { refusal: Refusal::of(&cause), cause: Some(cause) }
            })?;
            let mut response = Response::new(Body::from(encoded));
            // Room for what is said below too.
            response.headers_mut().reserve(4);
            let content_type = HeaderValue::from_static(chosen.content_type());
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            response
        }
    };
    served.meters.answered(count, decode, &answer.timings, start.elapsed());
    // Answers that are ready together are sent together: a caller woken once reads several.
    tokio::task::yield_now().await;
    Ok(response)
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
    let mut text = [0; 32];
    let mut rest = &mut text[..];
    write!(rest, "{:x}-{number:x}", *PROCESS).expect("8 and 16 digits at the most");
    let left = rest.len();
    HeaderValue::from_bytes(&text[..text.len() - left]).expect("hex digits are a header's text")
}
