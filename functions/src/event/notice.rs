//! [`Notice`]: a message that objects are there, or that it is time to look for them.
//!
//! The same message comes by itself, within an SNS notification, or as the body of an SQS message.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Keys, Unreadable, parse};
use crate::job::ObjectName;
use ampoule_wire::quoted;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// These were written.
    Objects(Vec<ObjectName>),
    /// It is time to look.
    Schedule,
    /// Nothing that asks for work: a test, a deletion, a changed tag.
    Nothing { what: String },
}

/// SNS within SQS within SNS is as deep as anybody builds.
const MAX_DEPTH: usize = 3;

impl Notice {
    /// Reads a message's text.
    ///
    /// # Errors
    /// It is no notice, or a broken one.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        Self::within(text, 0)
    }

    pub(super) fn of(keys: &Keys<'_>) -> Result<Self, Unreadable> {
        Self::of_depth(keys, 0)
    }

    fn within(text: &str, depth: usize) -> Result<Self, Unreadable> {
        Self::of_depth(&Keys::of(text)?, depth)
    }

    fn of_depth(keys: &Keys<'_>, depth: usize) -> Result<Self, Unreadable> {
        if depth > MAX_DEPTH {
            return Err(invalid("SNS", format!("expected at most {MAX_DEPTH} envelopes, got more")));
        }
        if keys.text("Event").as_deref() == Some("s3:TestEvent") {
            return Ok(Self::Nothing { what: "s3:TestEvent".to_owned() });
        }
        if let Some(records) = keys.get("Records") {
            return match super::source(records)?.as_deref() {
                Some("aws:s3" | "minio:s3") => notification(records),
                Some("aws:sns") => topic(records, depth),
                None => Ok(Self::Nothing { what: "an event without records".to_owned() }),
                Some(_) => Err(keys.unknown()),
            };
        }
        if keys.text("Type").as_deref() == Some("Notification")
            && let Some(message) = keys.text("Message")
        {
            return Self::within(&message, depth + 1);
        }
        if let (Some(kind), Some(source)) = (keys.text("detail-type"), keys.text("source")) {
            return match (source.as_str(), kind.as_str()) {
                ("aws.s3", "Object Created") => created(keys),
                ("aws.s3", kind) if kind.starts_with("Object ") => {
                    Ok(Self::Nothing { what: kind.to_owned() })
                }
                ("aws.events" | "aws.scheduler", "Scheduled Event") => Ok(Self::Schedule),
                _ => Err(keys.unknown()),
            };
        }
        Err(keys.unknown())
    }
}

/// S3's own notification (structure 2.x), and `MinIO`'s.
fn notification(records: &RawValue) -> Result<Notice, Unreadable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Record {
        event_version: Option<String>,
        event_name: String,
        s3: Option<S3>,
    }
    #[derive(Deserialize)]
    struct S3 {
        bucket: Bucket,
        object: Object,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Object {
        key: String,
        e_tag: Option<String>,
        sequencer: Option<String>,
    }
    let records: Vec<Record> = parse(records.get(), "S3 notification")?;
    let mut objects = Vec::with_capacity(records.len());
    let mut others = Vec::new();
    for Record { event_version, event_name, s3 } in records {
        let invalid = |why| invalid("S3 notification", why);
        // A minor version only adds fields.
        if let Some(version) = event_version.filter(|version| version.split('.').next() != Some("2")) {
            return Err(invalid(format!("expected eventVersion 2, got {}", quoted(&version))));
        }
        // S3 itself leaves the prefix off.
        let name = event_name.strip_prefix("s3:").unwrap_or(&event_name);
        if !name.starts_with("ObjectCreated:") {
            others.push(name.to_owned());
            continue;
        }
        let s3 = s3.ok_or_else(|| invalid("expected \"s3\", which is missing".to_owned()))?;
        objects.push(ObjectName {
            bucket: named(s3.bucket.name, "S3 notification")?,
            key: decoded(&s3.object.key).map_err(invalid)?,
            version: etag(s3.object.e_tag),
            sequencer: s3.object.sequencer.filter(|text| !text.is_empty()),
        });
    }
    if objects.is_empty() {
        return Ok(Notice::Nothing { what: others.join(", ") });
    }
    Ok(Notice::Objects(objects))
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

/// EventBridge's "Object Created", whose keys are not encoded.
fn created(keys: &Keys<'_>) -> Result<Notice, Unreadable> {
    #[derive(Deserialize)]
    struct Detail {
        bucket: Bucket,
        object: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        key: String,
        etag: Option<String>,
        sequencer: Option<String>,
    }
    let detail = keys.get("detail").map_or("null", RawValue::get);
    let Detail { bucket, object } = parse(detail, "EventBridge event")?;
    if object.key.is_empty() {
        return Err(invalid("EventBridge event", "expected a key, got an empty one".to_owned()));
    }
    Ok(Notice::Objects(vec![ObjectName {
        bucket: named(bucket.name, "EventBridge event")?,
        key: object.key,
        version: etag(object.etag),
        sequencer: object.sequencer.filter(|text| !text.is_empty()),
    }]))
}

/// What SNS hands to a function.
fn topic(records: &RawValue, depth: usize) -> Result<Notice, Unreadable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Record {
        sns: Sns,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Sns {
        message: String,
    }
    let records: Vec<Record> = parse(records.get(), "SNS")?;
    let mut objects = Vec::new();
    let mut other = Notice::Nothing { what: "an SNS event without records".to_owned() };
    for record in records {
        match Notice::within(&record.sns.message, depth + 1)? {
            Notice::Objects(more) => objects.extend(more),
            Notice::Schedule => other = Notice::Schedule,
            nothing if other != Notice::Schedule => other = nothing,
            Notice::Nothing { .. } => {}
        }
    }
    Ok(if objects.is_empty() { other } else { Notice::Objects(objects) })
}

/// Undoes S3's form encoding, once.
pub(super) fn decoded(key: &str) -> Result<String, String> {
    let broken = |why| format!("the key {} is not form-encoded: {why}", quoted(key));
    if key.is_empty() {
        return Err("expected a key, got an empty one".to_owned());
    }
    let spaced = key.replace('+', " ");
    let whole = |part: &str| {
        let digits = part.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !spaced.split('%').skip(1).all(whole) {
        return Err(broken("a % without two digits"));
    }
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| broken("its bytes are not UTF-8"))
}

fn named(bucket: String, what: &'static str) -> Result<String, Unreadable> {
    if bucket.is_empty() {
        return Err(invalid(what, "expected a bucket's name, got an empty one".to_owned()));
    }
    Ok(bucket)
}

/// An `ETag` as stores give it in a header has quotes, in an event it has none.
pub(super) fn etag(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim_matches('"').to_owned()).filter(|text| !text.is_empty())
}

fn invalid(what: &'static str, why: String) -> Unreadable {
    Unreadable::Invalid { what, why }
}

/// Which of `objects` are still worth a look: of those of one key that can be ordered, the latest,
/// and of the same event that came twice, the first.
pub fn latest(objects: &[&ObjectName]) -> Vec<bool> {
    let mut latest: HashMap<(&str, &str), (usize, String)> = HashMap::new();
    let mut is_latest = vec![true; objects.len()];
    for (index, object) in objects.iter().enumerate() {
        let Some(order) = object.sequencer.as_deref().and_then(order) else { continue };
        match latest.entry((&object.bucket, &object.key)) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert((index, order));
            }
            std::collections::hash_map::Entry::Occupied(mut taken) => {
                let (other, known) = taken.get();
                let passed = if is_later(&order, known) { *other } else { index };
                if let Some(passed) = is_latest.get_mut(passed) {
                    *passed = false;
                }
                if passed != index {
                    taken.insert((index, order));
                }
            }
        }
    }
    is_latest
}

/// A sequencer in a form that can be compared; none where it is no hexadecimal number.
fn order(sequencer: &str) -> Option<String> {
    let hexadecimal = !sequencer.is_empty() && sequencer.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| sequencer.to_ascii_uppercase())
}

/// The shorter of two sequencers is padded with zeros on the right before they are compared.
fn is_later(a: &str, b: &str) -> bool {
    let width = a.len().max(b.len());
    format!("{a:0<width$}") > format!("{b:0<width$}")
}
