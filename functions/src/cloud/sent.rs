//! [`Sent`]: who sends a request to a cloud function, and what they say.
//!
//! What a request means is told from its headers first and then from the shape of its body; nothing
//! here does anything.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{background, cloudevent, pubsub, storage};
use crate::event::Notice;
use ampoule_wire::media::essence;
use ampoule_wire::quoted;

/// What a request to a cloud function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A platform's message.
    Notice(Notice),
    /// Nothing that a platform sends.
    Other { got: String },
}

/// A message that is a platform's by its looks, and can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Malformed {
    pub what: &'static str,
    pub why: String,
}

impl Malformed {
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, why: why.into() }
    }
}

impl Sent {
    /// Whether the headers alone say that a platform sends the request.
    pub fn is_announced(headers: &HeaderMap) -> bool {
        headers.contains_key(SCHEDULER)
            || cloudevent::Mode::of(headers).is_some()
            || pubsub::is_unwrapped(headers)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// It is a platform's by its looks, and lacks what such a message has.
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Malformed> {
        if headers.get(SCHEDULER).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true")) {
            return Ok(Self::Notice(Notice::Schedule));
        }
        if let Some(mode) = cloudevent::Mode::of(headers) {
            return cloudevent::read(mode, headers, body).map(Self::Notice);
        }
        if pubsub::is_unwrapped(headers) {
            return pubsub::unwrapped(headers, body).map(Self::Notice);
        }
        // The members stay unread: a request for predictions can be large.
        let keys: BTreeMap<String, &RawValue> = match serde_json::from_slice(body) {
            Ok(keys) => keys,
            Err(_) if body.is_empty() => return Ok(Self::Other { got: "nothing".to_owned() }),
            Err(_) => return Ok(Self::Other { got: "no JSON object".to_owned() }),
        };
        let has = |name: &str| keys.contains_key(name);
        if has("message") && has("subscription") {
            return pubsub::wrapped(&members(body)?).map(Self::Notice);
        }
        if has("data") && (has("context") || has("eventType")) {
            return background::read(&members(body)?).map(Self::Notice);
        }
        if keys.get("kind").is_some_and(|kind| serde_json::from_str(kind.get()).ok() == Some(storage::KIND)) {
            return storage::object(&Value::Object(members(body)?)).map(Self::Notice);
        }
        if has("Records") || has("detail-type") || has("Event") {
            let text =
                std::str::from_utf8(body).map_err(|why| Malformed::new("notification", why.to_string()))?;
            return Notice::read(text)
                .map(Self::Notice)
                .map_err(|why| Malformed::new("notification", why.to_string()));
        }
        let shown: Vec<String> = keys.keys().take(6).map(|name| quoted(name)).collect();
        Ok(Self::Other { got: format!("an object with {}", shown.join(", ")) })
    }
}

/// A message whole.
fn members(body: &[u8]) -> Result<Map<String, Value>, Malformed> {
    serde_json::from_slice(body).map_err(|why| Malformed::new("message", why.to_string()))
}

/// What Cloud Scheduler sets on the requests of its jobs.
const SCHEDULER: &str = "x-cloudscheduler";

/// A header's text, if it has one.
pub(super) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The essence of the content type, in lower case.
pub(super) fn content_type(headers: &HeaderMap) -> Cow<'_, str> {
    essence(header(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
