//! Messages that Pub/Sub pushes: in its envelope, or unwrapped.
//!
//! What is within is a notification of Cloud Storage, or a schedule: a message whose data is the
//! word `sweep`, as a job of Cloud Scheduler publishes it.

use axum::http::HeaderMap;
use base64::Engine as _;
use serde_json::{Map, Value};

use super::sent::{Malformed, header};
use super::storage;
use crate::event::Notice;
use ampoule_wire::quoted;

/// Whether the headers are those of a push without envelope and with its metadata.
pub fn is_unwrapped(headers: &HeaderMap) -> bool {
    headers.contains_key("x-goog-pubsub-message-id")
        || headers.contains_key("x-goog-pubsub-subscription-name")
}

/// Reads a message without envelope: its attributes are headers, its data is the body.
///
/// # Errors
/// It is no message that we know.
pub fn unwrapped(headers: &HeaderMap, body: &[u8]) -> Result<Notice, Malformed> {
    match storage::notification(|name| header(headers, name))? {
        Some(notice) => Ok(notice),
        None => data(body),
    }
}

/// Reads `{"message": {…}, "subscription": …}`.
///
/// # Errors
/// It is no envelope, or within it is no message that we know.
pub fn wrapped(envelope: &Map<String, Value>) -> Result<Notice, Malformed> {
    let Some(Value::Object(message)) = envelope.get("message") else {
        return Err(malformed("message: expected an object"));
    };
    if !message.contains_key("messageId") && !message.contains_key("message_id") {
        return Err(malformed("message: expected \"messageId\", which is missing"));
    }
    self::message(message)
}

/// Reads a message: its attributes, or else its data.
///
/// # Errors
/// It is no message that we know.
pub fn message(message: &Map<String, Value>) -> Result<Notice, Malformed> {
    let attributes = match message.get("attributes") {
        None | Some(Value::Null) => None,
        Some(Value::Object(attributes)) => Some(attributes),
        Some(other) => {
            let got = quoted(&other.to_string());
            return Err(malformed(format!("attributes: expected an object, got {got}")));
        }
    };
    if let Some(attributes) = attributes
        && let Some(notice) = storage::notification(|name| attributes.get(name)?.as_str())?
    {
        return Ok(notice);
    }
    match message.get("data") {
        None | Some(Value::Null) => data(b""),
        Some(Value::String(text)) => {
            let decoded = base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|cause| malformed(format!("data: expected base64: {cause}")))?;
            data(&decoded)
        }
        Some(other) => Err(malformed(format!("data: expected base64, got {}", quoted(&other.to_string())))),
    }
}

/// What a message's data says where its attributes say nothing.
fn data(bytes: &[u8]) -> Result<Notice, Malformed> {
    if bytes.trim_ascii() == b"sweep" {
        return Ok(Notice::Schedule);
    }
    match serde_json::from_slice::<Value>(bytes) {
        Ok(resource) if resource.get("kind").and_then(Value::as_str) == Some(storage::KIND) => {
            storage::object(&resource)
        }
        _ => {
            let got = String::from_utf8_lossy(bytes);
            let why = format!(
                "expected the attributes or the object of a Cloud Storage notification, or the data \"sweep\", \
                 got {}",
                quoted(&got)
            );
            Err(malformed(why))
        }
    }
}

fn malformed(why: impl Into<String>) -> Malformed {
    Malformed::new("Pub/Sub message", why)
}
