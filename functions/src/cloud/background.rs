//! Events as functions of the first generation got them: `{"context": {…}, "data": {…}}`.
//!
//! Source: Functions Framework, "Event conversion" (docs/mapping.md of its conformance suite).

use serde_json::{Map, Value};

use super::sent::Malformed;
use super::{pubsub, storage};
use crate::event::Notice;
use ampoule_wire::quoted;

/// Reads an event; its context stands in `context`, or beside the data.
///
/// # Errors
/// It has no type, or its data isn't what an event of its type has.
pub fn read(event: &Map<String, Value>) -> Result<Notice, Malformed> {
    let context = match event.get("context") {
        None => event,
        Some(Value::Object(context)) => context,
        Some(other) => {
            let got = quoted(&other.to_string());
            return Err(malformed(format!("context: expected an object, got {got}")));
        }
    };
    let text = |name: &str| match context.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.as_str()),
        Some(other) => {
            Err(malformed(format!("{name}: expected a string, got {}", quoted(&other.to_string()))))
        }
        None => Err(malformed(format!("expected \"{name}\", which is missing"))),
    };
    text("eventId")?;
    let data = event.get("data").unwrap_or(&Value::Null);
    match text("eventType")? {
        "google.storage.object.finalize" | "providers/cloud.storage/eventTypes/object.change"
            if is_gone(data) =>
        {
            Ok(Notice::Nothing { what: "a deleted object".to_owned() })
        }
        "google.storage.object.finalize" | "providers/cloud.storage/eventTypes/object.change" => {
            match data.get("name") {
                Some(_) => storage::object(data),
                None => resource(context.get("resource")),
            }
        }
        "google.pubsub.topic.publish" | "providers/cloud.pubsub/eventTypes/topic.publish" => match data {
            Value::Object(message) => pubsub::message(message),
            other => Err(malformed(format!("data: expected an object, got {}", quoted(&other.to_string())))),
        },
        other => Ok(Notice::Nothing { what: other.to_owned() }),
    }
}

/// Before there were types of events, a deletion was a change too.
fn is_gone(data: &Value) -> bool {
    data.get("resourceState").and_then(Value::as_str) == Some("not_exists")
}

/// `projects/_/buckets/B/objects/NAME`, with `#GENERATION` at its end or without.
fn resource(resource: Option<&Value>) -> Result<Notice, Malformed> {
    let name = match resource {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Object(members)) => members.get("name").and_then(Value::as_str),
        _ => None,
    };
    let name = name.ok_or_else(|| malformed("resource: expected a name, got none"))?;
    let parts =
        name.split_once("/buckets/").and_then(|(_, rest)| rest.split_once("/objects/")).ok_or_else(|| {
            malformed(format!("resource: expected a bucket and an object, got {}", quoted(name)))
        })?;
    let (bucket, object) = parts;
    match object.rsplit_once('#').filter(|(_, generation)| generation.parse::<u64>().is_ok()) {
        Some((object, generation)) => storage::written(bucket, object, Some(generation.to_owned())),
        None => storage::written(bucket, object, None),
    }
}

fn malformed(why: impl Into<String>) -> Malformed {
    Malformed::new("background event", why)
}
