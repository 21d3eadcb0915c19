//! Objects of Cloud Storage, as its events and notifications describe them.

use serde_json::Value;

use super::sent::Malformed;
use crate::event::Notice;
use crate::job::ObjectName;
use ampoule_wire::quoted;

/// What the resource of an object says it is.
pub const KIND: &str = "storage#object";

/// Reads an object's resource (`StorageObjectData`, which is that of the JSON API).
///
/// # Errors
/// The bucket, the name or the generation is missing or none.
pub fn object(resource: &Value) -> Result<Notice, Malformed> {
    let Value::Object(members) = resource else {
        return Err(malformed("expected an object's resource, got none"));
    };
    let text = |name: &str| match members.get(name) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(other) => {
            Err(malformed(format!("{name}: expected a string, got {}", quoted(&other.to_string()))))
        }
        None => Err(malformed(format!("expected \"{name}\", which is missing"))),
    };
    // Events have a string here, some samples a number.
    let generation = match members.get("generation") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(other) => {
            let got = quoted(&other.to_string());
            return Err(malformed(format!("generation: expected a number, got {got}")));
        }
    };
    written(text("bucket")?, text("name")?, generation)
}

/// Reads the attributes of a notification that Cloud Storage publishes; `None` where they are no such.
///
/// # Errors
/// They lack what such a notification has.
pub fn notification<'a>(attribute: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Notice>, Malformed> {
    let (Some(event), Some(bucket)) = (attribute("eventType"), attribute("bucketId")) else {
        return Ok(None);
    };
    if event != "OBJECT_FINALIZE" {
        return Ok(Some(Notice::Nothing { what: event.to_owned() }));
    }
    let name = attribute("objectId").ok_or_else(|| malformed("expected \"objectId\", which is missing"))?;
    written(bucket, name, attribute("objectGeneration").map(str::to_owned)).map(Some)
}

/// That an object was written.
///
/// # Errors
/// A name is empty, or the generation no number.
pub fn written(bucket: &str, name: &str, generation: Option<String>) -> Result<Notice, Malformed> {
    for (what, text) in [("bucket", bucket), ("name", name)] {
        if text.is_empty() {
            return Err(malformed(format!("{what}: expected a name, got an empty one")));
        }
    }
    if let Some(generation) = generation.as_ref().filter(|text| text.parse::<u64>().is_err()) {
        return Err(malformed(format!("generation: expected a number, got {}", quoted(generation))));
    }
    Ok(Notice::Objects(vec![ObjectName {
        bucket: bucket.to_owned(),
        key: name.to_owned(),
        version: generation,
        sequencer: None,
    }]))
}

fn malformed(why: impl Into<String>) -> Malformed {
    Malformed::new("Cloud Storage object", why)
}
