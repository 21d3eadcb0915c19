//! Records of Kinesis and Kafka, each of which is an instance, and the answers to them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::queue::Failures;
use super::{Unreadable, parse};

/// Records of one shard of Kinesis, in their order.
#[derive(Debug)]
pub struct Shard {
    /// The stream's name.
    pub stream: String,
    pub records: Vec<ShardRecord>,
    /// With a tumbling window, the state that the window's next call wants handed on.
    pub state: Option<Box<RawValue>>,
}

#[derive(Debug)]
pub struct ShardRecord {
    pub shard: String,
    /// What orders the shard's records, and names one in a reply.
    pub sequence: String,
    pub partition_key: String,
    pub value: Result<Vec<u8>, String>,
}

/// Records of several partitions of Kafka's topics.
#[derive(Debug)]
pub struct Topics {
    /// By partition, as the event names it: `TOPIC-NUMBER`.
    pub partitions: BTreeMap<String, Vec<TopicRecord>>,
}

#[derive(Debug)]
pub struct TopicRecord {
    pub topic: String,
    pub partition: i64,
    pub offset: i64,
    /// None where the record deletes a key.
    pub value: Option<Result<Vec<u8>, String>>,
}

impl Shard {
    pub(super) fn read(payload: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Payload {
            #[serde(rename = "Records", default)]
            records: Vec<Record>,
            window: Option<Box<RawValue>>,
            state: Option<Box<RawValue>>,
            #[serde(rename = "eventSourceARN")]
            arn: Option<String>,
        }
        #[derive(Deserialize)]
        struct Record {
            kinesis: Kinesis,
            #[serde(rename = "eventID")]
            id: Option<String>,
            #[serde(rename = "eventSourceARN")]
            arn: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kinesis {
            #[serde(default)]
            sequence_number: String,
            #[serde(default)]
            partition_key: String,
            data: String,
        }
        let payload: Payload = parse(payload, "Kinesis")?;
        let arn = payload.records.iter().find_map(|record| record.arn.clone()).or(payload.arn);
        let stream = arn.as_deref().and_then(|arn| arn.rsplit_once('/')).map_or("", |(_, name)| name);
        let record = |record: Record| ShardRecord {
            // `SHARD:SEQUENCE`
            shard: record.id.unwrap_or_default().split(':').next().unwrap_or_default().to_owned(),
            value: base64(&record.kinesis.data).and_then(alone),
            sequence: record.kinesis.sequence_number,
            partition_key: record.kinesis.partition_key,
        };
        let state = || RawValue::from_string("{}".to_owned()).expect("braces are JSON");
        Ok(Self {
            stream: stream.to_owned(),
            records: payload.records.into_iter().map(record).collect(),
            state: payload.window.map(|_| payload.state.unwrap_or_else(state)),
        })
    }
}

impl Topics {
    pub(super) fn read(payload: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Payload {
            records: BTreeMap<String, Vec<Record>>,
        }
        #[derive(Deserialize)]
        struct Record {
            topic: String,
            partition: i64,
            offset: i64,
            value: Option<String>,
        }
        let payload: Payload = parse(payload, "Kafka")?;
        let record = |record: Record| TopicRecord {
            value: record.value.as_deref().map(base64),
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
        };
        let partition = |(name, records): (_, Vec<Record>)| (name, records.into_iter().map(record).collect());
        Ok(Self { partitions: payload.records.into_iter().map(partition).collect() })
    }
}

fn base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|cause| format!("expected base64, got other text ({cause})"))
}

/// The producer library packs many records into one, which then begins with these bytes.
const AGGREGATED: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

fn alone(value: Vec<u8>) -> Result<Vec<u8>, String> {
    if value.starts_with(&AGGREGATED) {
        return Err("expected one record, got an aggregate of the Kinesis Producer Library \
                    (switch its aggregation off)"
            .to_owned());
    }
    Ok(value)
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The text of its prediction.
    Prediction(String),
    /// It holds nothing.
    Nothing,
    /// It can't be predicted, now or later.
    Refused { code: String, error: String },
}

/// One answer, with where its record stands: a line of a file, or a member of a reply.
#[derive(Debug, Serialize)]
pub struct Line<'a, P> {
    #[serde(flatten)]
    pub position: P,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<LineError<'a>>,
}

#[derive(Debug, Serialize)]
pub struct LineError<'a> {
    code: &'a str,
    message: &'a str,
}

/// Where a record of Kafka stands.
#[derive(Debug, Serialize)]
pub struct TopicPosition<'a> {
    topic: &'a str,
    partition: i64,
    offset: i64,
}

/// Where a record of Kinesis stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardPosition<'a> {
    partition_key: &'a str,
    sequence_number: &'a str,
}

impl TopicRecord {
    pub fn position(&self) -> TopicPosition<'_> {
        TopicPosition { topic: &self.topic, partition: self.partition, offset: self.offset }
    }
}

impl ShardRecord {
    pub fn position(&self) -> ShardPosition<'_> {
        ShardPosition { partition_key: &self.partition_key, sequence_number: &self.sequence }
    }
}

impl<'a, P> Line<'a, P> {
    pub fn of(position: P, answer: &'a Answer) -> Self {
        let (prediction, error) = match answer {
            // A prediction was encoded as JSON by us.
            Answer::Prediction(text) => (serde_json::from_str(text).ok(), None),
            Answer::Nothing => (None, None),
            Answer::Refused { code, error } => (None, Some(LineError { code, message: error })),
        };
        Self { position, prediction, error }
    }
}

/// The reply to Kafka: answers in the form that the records came in.
#[derive(Debug, Serialize)]
pub struct TopicsReply<'a> {
    pub records: BTreeMap<&'a str, Vec<Line<'a, TopicPosition<'a>>>>,
    /// Objects that the answers were written to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<String>,
    #[serde(flatten)]
    pub failures: Failures,
}

/// The reply to Kinesis.
#[derive(Debug, Serialize)]
pub struct ShardReply<'a> {
    pub records: Vec<Line<'a, ShardPosition<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<String>,
    #[serde(flatten)]
    pub failures: Failures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a RawValue>,
}
