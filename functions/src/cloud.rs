//! Cloud Run, Cloud Run functions, Azure Functions and other containers: one server that answers
//! requests and events.
//!
//! [`run`] is the program. What a process is for, its environment says: `run` makes of it a server
//! for a platform, or a task of a Cloud Run job. A request goes through `Entry::enter`: events
//! go to the job over the input bucket, everything else to the service that `ampoule serve` has.

mod answer;
mod azure;
mod background;
mod cloudevent;
mod pubsub;
mod run;
mod sent;
mod storage;
mod task;

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::job::Work;
use crate::lazy::Lazy;
use crate::serve::{BodyBounds, Front, LARGE, Refusal, Routes, read_body};
use sent::Sent;

pub use run::run;

/// What a function takes, as `FUNCTION_SIGNATURE_TYPE` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Requests at the service's paths; at `/`, requests and events.
    Http,
    /// Events, at every path.
    Event,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Cloud Run, or whatever else sends HTTP.
    Container(Signature),
    /// The Functions host.
    Azure(azure::Bindings),
}

/// What answers the requests of one process.
pub struct Function {
    platform: Platform,
    work: Lazy<dyn Work>,
    /// The input bucket, by its bare name: events of others are refused.
    bucket: Option<String>,
    /// How long work on one event may take.
    patience: Duration,
    bounds: BodyBounds,
}

/// A function and the service's own routes.
#[derive(Clone, Copy)]
struct Entry<'a> {
    function: &'a Function,
    routes: &'a Routes,
}

impl Function {
    pub fn new(
        platform: Platform,
        work: Lazy<dyn Work>,
        bucket: Option<String>,
        patience: Duration,
        bounds: BodyBounds,
    ) -> Self {
        Self { platform, work, bucket, patience, bounds }
    }
}

impl Front for Function {
    fn answer<'a>(&'a self, routes: &'a Routes, request: Request) -> BoxFuture<'a, Response> {
        Box::pin(Entry { function: self, routes }.enter(request))
    }
}

impl Entry<'_> {
    /// The way of one request.
    async fn enter(self, request: Request) -> Response {
        match &self.function.platform {
            Platform::Azure(bindings) => azure::answer(&self, bindings, request).await,
            Platform::Container(signature) => self.container(*signature, request).await,
        }
    }

    async fn container(&self, signature: Signature, request: Request) -> Response {
        let path = request.uri().path();
        // Browsers ask for these of their own accord; no function is meant.
        if matches!(path, "/robots.txt" | "/favicon.ico") {
            return Refusal::new(StatusCode::NOT_FOUND, "unknown_route", "nothing is here").into_response();
        }
        if request.method() == Method::OPTIONS
            && let Some(allowed) = handshake(request.headers())
        {
            return allowed;
        }
        if request.method() != Method::POST || (signature == Signature::Http && path != "/") {
            return self.serve(request).await;
        }
        let (mut head, body) = request.into_parts();
        let announced = Sent::is_announced(&head.headers);
        if signature == Signature::Http && !announced && !may_be_event(&head.headers) {
            head.uri = Uri::from_static(PREDICTIONS);
            return self.serve(Request::from_parts(head, body)).await;
        }
        let body = match read_body(&head.headers, body, &self.function.bounds).await {
            Ok(body) => body,
            Err(refusal) => return refusal.into_response(),
        };
        let sent = if body.len() > LARGE {
            crate::threads::in_place(|| Sent::read(&head.headers, &body))
        } else {
            Sent::read(&head.headers, &body)
        };
        match sent {
            Ok(Sent::Notice(notice)) => answer::answer(self.function, notice).await,
            Ok(Sent::Other { .. }) if signature == Signature::Http => {
                head.uri = Uri::from_static(PREDICTIONS);
                self.serve(rebuilt(head, body)).await
            }
            Ok(Sent::Other { got }) => {
                invalid(format!("expected a CloudEvent, a Pub/Sub message or a notification, got {got}"))
            }
            Err(malformed) => invalid(malformed.to_string()),
        }
    }

    /// Has the service's own routes answer.
    async fn serve(&self, request: Request) -> Response {
        self.routes.answer(request).await
    }
}

/// The route of requests that come to the function as such.
const PREDICTIONS: &str = "/predictions";

/// Whether a body may be an event by its shape: no sender of events packs it.
fn may_be_event(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::CONTENT_ENCODING)
        && matches!(&*sent::content_type(headers), "" | "application/json")
}

/// A request whose body was read.
fn rebuilt(mut head: axum::http::request::Parts, body: Bytes) -> Request {
    head.headers.remove(header::CONTENT_ENCODING);
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    head.headers.remove(header::TRANSFER_ENCODING);
    Request::from_parts(head, Body::from(body))
}

fn invalid(why: String) -> Response {
    tracing::info!(why, "an event was refused");
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_event", why).into_response()
}

/// The consent that a sender of `CloudEvents` asks for, such as Azure Event Grid ("HTTP 1.1 Web Hooks for
/// Event Delivery", section 4).
fn handshake(headers: &HeaderMap) -> Option<Response> {
    let origin = headers.get("webhook-request-origin")?.clone();
    let allow = [
        (header::ALLOW, HeaderValue::from_static("POST")),
        (header::HeaderName::from_static("webhook-allowed-rate"), HeaderValue::from_static("*")),
        (header::HeaderName::from_static("webhook-allowed-origin"), origin),
    ];
    Some((StatusCode::OK, allow).into_response())
}

#[cfg(test)]
mod tests;
