//! `CloudEvents`: what an event says that comes in the binary or the structured mode of the HTTP binding.
//!
//! Source: CloudEvents 1.0.2, "HTTP Protocol Binding" and "JSON Event Format".

use axum::http::HeaderMap;
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use super::sent::{Malformed, content_type};
use super::{pubsub, storage};
use crate::event::Notice;
use ampoule_wire::media::essence;
use ampoule_wire::quoted;

/// How an event travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Attributes in headers, data in the body.
    Binary,
    /// All in a body of JSON.
    Structured,
    /// Several events in one body, which nobody sends who calls us.
    Batched,
}

impl Mode {
    /// The mode of an event; `None` where the headers announce none.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        match &*content_type(headers) {
            "application/cloudevents-batch+json" => Some(Self::Batched),
            // Other formats than JSON are refused as such later.
            kind if kind.starts_with("application/cloudevents") => Some(Self::Structured),
            _ => REQUIRED
                .iter()
                .any(|name| headers.contains_key(format!("ce-{name}").as_str()))
                .then_some(Self::Binary),
        }
    }
}

const REQUIRED: [&str; 4] = ["specversion", "type", "source", "id"];

/// Reads what an event says.
///
/// # Errors
/// An attribute is missing or none, or the data can't be read, or isn't what an event of its type has.
pub fn read(mode: Mode, headers: &HeaderMap, body: &[u8]) -> Result<Notice, Malformed> {
    match mode {
        Mode::Binary => binary(headers, body),
        Mode::Structured => structured(headers, body),
        Mode::Batched => Err(malformed("expected one event, got a batch")),
    }
}

fn binary(headers: &HeaderMap, body: &[u8]) -> Result<Notice, Malformed> {
    let attribute = |name: &'static str| -> Result<Option<String>, Malformed> {
        let mut values = headers.get_all(format!("ce-{name}")).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(malformed(format!("\"ce-{name}\" stands twice")));
        }
        let text =
            value.to_str().map_err(|_| malformed(format!("ce-{name}: expected ASCII, got other bytes")))?;
        decoded(name, text).map(Some)
    };
    let kind = content_type(headers);
    let data = match body {
        [] => Value::Null,
        body if kind.is_empty() || is_json(&kind) => serde_json::from_slice(body)
            .map_err(|cause| malformed(format!("data: expected JSON: {cause}")))?,
        _ => Value::Null,
    };
    notice(&attribute, &data)
}

fn structured(headers: &HeaderMap, body: &[u8]) -> Result<Notice, Malformed> {
    let kind = content_type(headers);
    if kind != "application/cloudevents+json" {
        return Err(malformed(format!("expected application/cloudevents+json, got {}", quoted(&kind))));
    }
    #[derive(Deserialize)]
    struct Event {
        specversion: Option<Value>,
        r#type: Option<Value>,
        source: Option<Value>,
        id: Option<Value>,
        subject: Option<Value>,
        datacontenttype: Option<String>,
        data: Option<Value>,
        data_base64: Option<String>,
    }
    let event: Event =
        serde_json::from_slice(body).map_err(|cause| malformed(format!("expected JSON: {cause}")))?;
    let data = match (event.data, event.data_base64) {
        (Some(_), Some(_)) => {
            return Err(malformed("expected \"data\" or \"data_base64\", got both"));
        }
        (Some(data), None) => data,
        (None, Some(text)) => {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|cause| malformed(format!("data_base64: expected base64: {cause}")))?;
            match event.datacontenttype.as_deref() {
                Some(kind) if !is_json(kind) => Value::Null,
                _ => serde_json::from_slice(&bytes)
                    .map_err(|cause| malformed(format!("data: expected JSON: {cause}")))?,
            }
        }
        (None, None) => Value::Null,
    };
    let attribute = |name: &'static str| {
        let value = match name {
            "specversion" => &event.specversion,
            "type" => &event.r#type,
            "source" => &event.source,
            "id" => &event.id,
            _ => &event.subject,
        };
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => {
                Err(malformed(format!("{name}: expected a string, got {}", quoted(&other.to_string()))))
            }
        }
    };
    notice(&attribute, &data)
}

/// What an event of these attributes and this data says. Data is null where there is none.
fn notice(
    attribute: &dyn Fn(&'static str) -> Result<Option<String>, Malformed>,
    data: &Value,
) -> Result<Notice, Malformed> {
    let required = |name| match attribute(name)? {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => Err(malformed(format!("expected \"{name}\", got an empty one"))),
        None => Err(malformed(format!("expected \"{name}\", which is missing"))),
    };
    let version = required("specversion")?;
    if !["1.0", "0.3"].contains(&version.as_str()) {
        return Err(malformed(format!("specversion: expected 1.0, got {}", quoted(&version))));
    }
    let kind = required("type")?;
    required("source")?;
    required("id")?;
    attribute("subject")?;
    match kind.as_str() {
        "google.cloud.storage.object.v1.finalized" => storage::object(data),
        "google.cloud.pubsub.topic.v1.messagePublished" => match data {
            Value::Object(members) => pubsub::wrapped(members),
            _ => Err(malformed("data: expected a Pub/Sub message")),
        },
        "google.cloud.scheduler.job.v1.executed" => Ok(Notice::Schedule),
        _ => Ok(Notice::Nothing { what: kind }),
    }
}

/// An attribute as it was before it became a header: section 3.1.3.2.
fn decoded(name: &str, text: &str) -> Result<String, Malformed> {
    // Whole values may stand in quotes, with backslashes before what they keep.
    let text = text.trim();
    let text = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) => {
            let mut plain = String::with_capacity(inner.len());
            let mut characters = inner.chars();
            while let Some(character) = characters.next() {
                plain.extend(if character == '\\' { characters.next() } else { Some(character) });
            }
            plain
        }
        None => text.to_owned(),
    };
    match percent_decode_str(&text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(malformed(format!("ce-{name}: expected UTF-8, got {}", quoted(&text)))),
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = essence(content_type);
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}

fn malformed(why: impl Into<String>) -> Malformed {
    Malformed::new("CloudEvent", why)
}
