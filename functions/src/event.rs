//! [`Event`]: what a Lambda function was called with, told from its shape.
//!
//! Nothing here does anything: a payload's text becomes an event, or is refused with what was seen.
//! Each module holds what one kind of caller sends and what it wants back.

pub mod http;
pub mod items;
pub mod notice;
pub mod queue;
pub mod records;
pub mod tasks;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use notice::Notice;

use ampoule_wire::quoted;

/// What a function was called with.
#[derive(Debug)]
pub enum Event {
    /// A function URL, API Gateway or a load balancer; wants an HTTP answer.
    Http(http::Request),
    /// S3, `MinIO`, EventBridge or SNS; wants any answer, or an error to tell it again.
    Notice(Notice),
    /// SQS; wants the messages that failed.
    Queue(queue::Queue),
    /// S3 Batch Operations; wants a code for each task.
    Tasks(tasks::Tasks),
    /// A distributed map of Step Functions; wants a result.
    Items(items::Items),
    /// A shard of Kinesis; wants the record that failed.
    Shard(records::Shard),
    /// Partitions of Kafka; wants an answer, or an error to send all of it again.
    Topics(records::Topics),
}

/// A payload that is no event, or a broken one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Nobody who calls us sends this.
    #[error("expected {EXPECTED}; got {got}")]
    Unknown { got: String },
    /// Its kind is clear, but it can't be read.
    #[error("{what}: {why}")]
    Invalid { what: &'static str, why: String },
}

const EXPECTED: &str = "an HTTP request (function URL, API Gateway, load balancer), a notification of S3, \
                        EventBridge or SNS, messages of SQS, tasks of S3 Batch Operations, items of a \
                        Step Functions map, or records of Kafka or Kinesis";

impl Event {
    /// Reads a payload.
    ///
    /// # Errors
    /// Nobody who calls us sends such a payload, or it is a broken one.
    pub fn read(payload: &str) -> Result<Self, Unreadable> {
        let keys = Keys::of(payload)?;
        // These look like HTTP requests, but want no HTTP answer.
        if keys.is_authorizer() || keys.is_web_socket() {
            return Err(keys.unknown());
        }
        if let Some(caller) = http::Caller::of(&keys) {
            return http::Request::read(payload, caller).map(Self::Http);
        }
        if keys.has("invocationSchemaVersion") && keys.has("tasks") {
            return tasks::Tasks::read(payload).map(Self::Tasks);
        }
        if let Some(records) = keys.get("Records") {
            let source = source(records)?;
            match source.as_deref() {
                Some("aws:sqs") => return queue::Queue::read(records).map(Self::Queue),
                Some("aws:kinesis") => return records::Shard::read(payload).map(Self::Shard),
                None if keys.has("window") => return records::Shard::read(payload).map(Self::Shard),
                _ => {}
            }
        }
        match keys.text("eventSource").as_deref() {
            Some("aws:kafka" | "SelfManagedKafka") if keys.has("records") => {
                return records::Topics::read(payload).map(Self::Topics);
            }
            _ => {}
        }
        if keys.has("Items") {
            return items::Items::read(payload).map(Self::Items);
        }
        Notice::of(&keys).map(Self::Notice)
    }
}

/// The members of a JSON object, unread.
pub(crate) struct Keys<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Keys<'a> {
    fn of(text: &'a str) -> Result<Self, Unreadable> {
        serde_json::from_str(text).map(Self).map_err(|_| Unreadable::Unknown { got: kind(text).to_owned() })
    }

    fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).copied().filter(|value| value.get() != "null")
    }

    fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str(self.get(key)?.get()).ok()
    }

    /// Whether the object under `key` has the member `inner`.
    fn holds(&self, key: &str, inner: &str) -> bool {
        self.get(key).and_then(|object| Keys::of(object.get()).ok()).is_some_and(|keys| keys.has(inner))
    }

    fn is_authorizer(&self) -> bool {
        self.has("methodArn") || self.has("routeArn")
    }

    fn is_web_socket(&self) -> bool {
        self.holds("requestContext", "connectionId")
    }

    /// The refusal of this object, by the name of what it looks like.
    fn unknown(&self) -> Unreadable {
        let source = self.get("Records").and_then(|records| source(records).ok().flatten());
        let got = if let Some(source) = source.or_else(|| self.text("eventSource")) {
            format!("records of {}", quoted(&source))
        } else if let (Some(detail), Some(source)) = (self.text("detail-type"), self.text("source")) {
            format!("the EventBridge event {} of {}", quoted(&detail), quoted(&source))
        } else if self.is_authorizer() {
            "a request to an API Gateway authorizer".to_owned()
        } else if self.is_web_socket() {
            "a message of a WebSocket API".to_owned()
        } else if self.0.is_empty() {
            "an empty object".to_owned()
        } else {
            const SHOWN: usize = 6;
            let shown: Vec<String> = self.0.keys().take(SHOWN).map(|key| quoted(key)).collect();
            let more = if self.0.len() > SHOWN { ", …" } else { "" };
            format!("an object with {}{more}", shown.join(", "))
        };
        Unreadable::Unknown { got }
    }
}

/// The one source that all records name; none where there are no records.
fn source(records: &RawValue) -> Result<Option<String>, Unreadable> {
    #[derive(Deserialize)]
    struct Record {
        #[serde(alias = "EventSource", rename = "eventSource")]
        source: Option<String>,
    }
    let invalid = |why| Unreadable::Invalid { what: "Records", why };
    let records: Vec<Record> = parse(records.get(), "Records")?;
    let Some(first) = records.first() else { return Ok(None) };
    let Some(source) = &first.source else {
        return Err(Unreadable::Unknown { got: "records without an event source".to_owned() });
    };
    match records.iter().find(|record| record.source.as_ref() != Some(source)) {
        None => Ok(Some(source.clone())),
        Some(other) => {
            let other = quoted(other.source.as_deref().unwrap_or_default());
            Err(invalid(format!("expected records of one source, got {} and {other}", quoted(source))))
        }
    }
}

/// Reads a part whose kind is clear.
fn parse<'a, T: Deserialize<'a>>(text: &'a str, what: &'static str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|cause| Unreadable::Invalid { what, why: cause.to_string() })
}

/// What a text is that is no JSON object.
fn kind(text: &str) -> &'static str {
    match text.trim_start().as_bytes().first() {
        None => "nothing",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') => "null",
        Some(b'-' | b'0'..=b'9') => "a number",
        Some(_) => "no JSON object",
    }
}
