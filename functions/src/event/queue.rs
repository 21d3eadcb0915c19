//! Messages of SQS, and the list of those that failed.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Notice, Unreadable, parse};

/// The messages of one call, in their order.
#[derive(Debug)]
pub struct Queue {
    pub messages: Vec<Message>,
    pub order: Order,
}

/// Whether messages must be done one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Any,
    /// A FIFO queue: what follows a message that failed has failed too.
    Strict,
}

/// One message.
#[derive(Debug)]
pub struct Message {
    /// Empty where the event has none; such a message can't be named in a reply.
    pub id: String,
    pub notice: Result<Notice, Unreadable>,
}

impl Queue {
    pub(super) fn read(records: &RawValue) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Record {
            #[serde(rename = "messageId")]
            message_id: Option<String>,
            body: Option<String>,
            #[serde(rename = "eventSourceARN")]
            event_source_arn: Option<String>,
        }
        let records: Vec<Record> = parse(records.get(), "SQS")?;
        // Messages of other queues may have a group too, so that alone says nothing.
        let fifo =
            |record: &Record| record.event_source_arn.as_deref().is_some_and(|arn| arn.ends_with(".fifo"));
        let order = if records.iter().any(fifo) { Order::Strict } else { Order::Any };
        let message = |record: Record| Message {
            id: record.message_id.unwrap_or_default(),
            notice: Notice::read(record.body.as_deref().unwrap_or_default()),
        };
        Ok(Self { messages: records.into_iter().map(message).collect(), order })
    }
}

/// The reply that names what failed: messages of SQS, records of Kinesis or Kafka.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failures {
    #[serde(rename = "batchItemFailures")]
    failures: Vec<Failure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Failure {
    #[serde(rename = "itemIdentifier")]
    id: Identifier,
}

/// What a reply names something by.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Identifier {
    /// A message of SQS, or a record's sequence number.
    Name(String),
    /// A record of Kafka: `TOPIC-NUMBER` and its place there.
    Offset { partition: String, offset: i64 },
}

impl Failures {
    /// The reply that names these.
    ///
    /// # Errors
    /// One of them has no name: an empty one would mean all of them, so that all have to fail.
    pub fn of(ids: impl IntoIterator<Item = Identifier>) -> Result<Self, NoName> {
        let failure = |id| match id {
            Identifier::Name(name) if name.is_empty() => Err(NoName),
            id => Ok(Failure { id }),
        };
        Ok(Self { failures: ids.into_iter().map(failure).collect::<Result<_, _>>()? })
    }
}

/// Something failed that can't be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what failed has no identifier, so that all of it has to come again")]
pub struct NoName;
