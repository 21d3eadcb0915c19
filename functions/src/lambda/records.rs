//! Records of Kinesis and Kafka: each value is an instance, and its prediction goes into the reply
//! and, where there is a bucket of predictions, into an object named by the records' places.

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::instances::{self, Instance, Predicted};
use super::{Failed, Function, MAX_REPLY_BYTES, json};
use crate::event::queue::{Failures, Identifier};
use crate::event::records::{Answer, Line, Shard, ShardReply, TopicRecord, Topics, TopicsReply};
use crate::store::{About, Content, Expect, StoreError};

impl Function {
    /// Answers a shard's records up to the first that failed; the shard goes on from there.
    pub(super) async fn shard(&self, mut shard: Shard) -> Result<Box<RawValue>, Failed> {
        let values = shard.records.iter_mut().map(|record| Some(take(&mut record.value))).collect();
        let (mut answers, error) = until_failed(self.answers(values).await);
        let mut failed = error.is_some();
        // Without a bucket that keeps its error, a refused record is left to the platform's own destination.
        if self.output.is_none()
            && let Some(refused) = answers.iter().position(|answer| matches!(answer, Answer::Refused { .. }))
        {
            answers.truncate(refused);
            failed = true;
        }
        let lines: Vec<_> = shard
            .records
            .iter()
            .zip(&answers)
            .map(|(record, answer)| Line::of(record.position(), answer))
            .collect();
        let mut written = Vec::new();
        if let (Some(first), Some(last)) = (shard.records.first(), answers.len().checked_sub(1)) {
            let last = shard.records.get(last).map_or("", |record| &record.sequence);
            let name = format!("{}-{last}", first.sequence);
            written.extend(self.keep(&[&shard.stream, &first.shard, &name], &lines).await?);
        }
        let first_failed = shard.records.get(answers.len()).filter(|_| failed);
        let failures = Failures::of(first_failed.map(|record| Identifier::Name(record.sequence.clone())))?;
        let state = shard.state.as_deref();
        let mut reply = ShardReply { records: lines, written, failures, state };
        let whole = json(&reply)?;
        fitting(whole, !reply.written.is_empty(), || {
            reply.records.clear();
            json(&reply)
        })
    }

    /// Answers records of several partitions.
    ///
    /// # Errors
    /// Some may be predicted another time: then all come again, since not every function's topics read
    /// which have failed.
    pub(super) async fn topics(&self, mut topics: Topics) -> Result<Box<RawValue>, Failed> {
        let values = topics.partitions.values_mut().flatten();
        let values: Vec<_> = values.map(|record| record.value.as_mut().map(take)).collect();
        let count = values.len();
        let (answers, failed) = until_failed(self.answers(values).await);
        if let Some(error) = failed {
            let done = answers.len();
            return Err(Failed::unfinished(format!("{done} of {count} records were predicted: {error}")));
        }
        let mut answers = answers.iter();
        let mut refused = Vec::new();
        let mut records = BTreeMap::new();
        for (partition, given) in &topics.partitions {
            let answered: Vec<(&TopicRecord, &Answer)> = given.iter().zip(answers.by_ref()).collect();
            let is_refused = |(_, answer): &&(_, &Answer)| matches!(answer, Answer::Refused { .. });
            if let Some((record, _)) = answered.iter().find(is_refused) {
                refused.push(Identifier::Offset { partition: partition.clone(), offset: record.offset });
            }
            let lines: Vec<_> =
                answered.into_iter().map(|(record, answer)| Line::of(record.position(), answer)).collect();
            records.insert(partition.as_str(), lines);
        }
        let mut written = Vec::new();
        for (partition, lines) in &records {
            let given = topics.partitions.get(*partition).map(Vec::as_slice).unwrap_or_default();
            if let (Some(first), Some(last)) = (given.first(), given.last()) {
                let (number, name) =
                    (first.partition.to_string(), format!("{:020}-{:020}", first.offset, last.offset));
                written.extend(self.keep(&[&first.topic, &number, &name], lines).await?);
            }
        }
        // With a bucket the errors are on record; without one the platform's own destination may take them.
        let failures = Failures::of(if self.output.is_some() { Vec::new() } else { refused })?;
        let mut reply = TopicsReply { records, written, failures };
        let whole = json(&reply)?;
        fitting(whole, !reply.written.is_empty(), || {
            reply.records.clear();
            json(&reply)
        })
    }

    /// An answer to each value, or why it may get one another time.
    async fn answers(&self, values: Vec<Option<Result<Vec<u8>, String>>>) -> Vec<Result<Answer, String>> {
        let mut given = Vec::new();
        let parts: Vec<Option<Answer>> = values
            .into_iter()
            .map(|value| match value {
                None => Some(Answer::Nothing),
                Some(Err(error)) => Some(Answer::Refused { code: "invalid_record".to_owned(), error }),
                Some(Ok(bytes)) => {
                    given.push(Instance::Bytes(bytes));
                    None
                }
            })
            .collect();
        let mut predicted = instances::predict(&self.model, given).await.into_iter();
        let answer = |part: Option<Answer>| match part {
            Some(answer) => Ok(answer),
            None => match predicted.next() {
                Some(Predicted::Done(text)) => Ok(Answer::Prediction(text)),
                Some(Predicted::Refused { code, error }) => {
                    tracing::warn!(code, error, "a record was refused");
                    Ok(Answer::Refused { code: code.to_owned(), error })
                }
                Some(Predicted::Failed { error }) => Err(error),
                None => Err("not predicted".to_owned()),
            },
        };
        parts.into_iter().map(answer).collect()
    }

    /// Writes answers as JSON lines under the names of their place, if there is a bucket for them.
    /// The same records always go to the same key, so that a batch that comes twice is written once.
    async fn keep<P: Serialize>(
        &self,
        names: &[&str],
        lines: &[Line<'_, P>],
    ) -> Result<Option<String>, Failed> {
        let Some(place) = self.output.as_ref().filter(|_| !lines.is_empty()) else { return Ok(None) };
        let names: Vec<String> = names.iter().map(|name| segment(name)).collect();
        let key = format!("{}{}.jsonl", place.prefix, names.join("/"));
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)
                .map_err(|cause| Failed::unfinished(format!("an answer is no JSON: {cause}")))?;
            text.push(b'\n');
        }
        let failed = |cause: &dyn std::fmt::Display| {
            Failed::unfinished(format!("the predictions are not written to {key:?}: {cause}"))
        };
        let store = self.resources.output.get().await.map_err(|cause| failed(&format!("{cause:#}")))?;
        let about = About { content_type: Some("application/jsonl".to_owned()), ..About::default() };
        let content = Content::Bytes(Bytes::from(text));
        match store.write(&key, &content, &about, &Expect::Nothing).await {
            // These records were answered before: by the same model the same.
            Ok(_) | Err(StoreError::Changed { .. }) => Ok(Some(key)),
            Err(cause) => Err(failed(&cause)),
        }
    }
}

/// The answers before the first that failed, and why that did.
fn until_failed(answers: Vec<Result<Answer, String>>) -> (Vec<Answer>, Option<String>) {
    let mut done = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Ok(answer) => done.push(answer),
            Err(error) => {
                tracing::error!(error, "a record failed");
                return (done, Some(error));
            }
        }
    }
    (done, None)
}

/// A reply that Lambda takes: where it is too large, what was written need not be said again.
fn fitting(
    whole: Box<RawValue>,
    is_written: bool,
    shorter: impl FnOnce() -> Result<Box<RawValue>, Failed>,
) -> Result<Box<RawValue>, Failed> {
    let bytes = whole.get().len();
    if bytes <= MAX_REPLY_BYTES {
        return Ok(whole);
    }
    if is_written {
        return shorter();
    }
    let message = format!(
        "expected predictions of at most {MAX_REPLY_BYTES} bytes in a reply, got {bytes}: \
         name a bucket for them in OUTPUT_BUCKET_NAME, or put fewer records in a batch"
    );
    Err(Failed { kind: "OutputTooLarge", message })
}

/// A part of a key that is one part, whatever the name holds.
fn segment(name: &str) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    match name {
        "" => "_".to_owned(),
        name if name.bytes().all(|byte| byte == b'.') => name.replace('.', "%2E"),
        name => utf8_percent_encode(name, PLAIN).to_string(),
    }
}

fn take(value: &mut Result<Vec<u8>, String>) -> Result<Vec<u8>, String> {
    std::mem::replace(value, Ok(Vec::new()))
}
