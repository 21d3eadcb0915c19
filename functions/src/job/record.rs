//! A job's own objects in the output store: its record, and how far it has come.

use bytes::Bytes;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::run::{Job, now};
use super::settings::After;
use super::trouble::Trouble;
use crate::store::{About, Content, Expect, StoreError, Version};

/// Bytes of a record that is ours.
const MAX_BYTES: usize = 64 << 10;

/// What a job is: written once, before its first object.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    job: String,
    model: String,
    /// The model's: no other may go on with the job.
    digest: String,
    input: String,
    input_prefix: String,
    output: String,
    output_prefix: String,
    after: String,
    config: String,
    host: String,
    started: String,
}

/// Where the next sweep begins, so that each comes further than the one before, however early it is
/// stopped. It is a hint: a sweep that begins in the middle goes on to the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The page that isn't done.
    pub page: Option<String>,
    /// The last key before that page.
    pub after: String,
}

/// Writes the job's record, or sees that the one that is there is of this model.
pub async fn begin(job: &Job) -> Result<(), Trouble> {
    let key = job.keys.record(&job.id);
    let settings = &job.settings;
    let after = match settings.after {
        After::Keep => "keep",
        After::Delete => "delete",
        After::Tag => "tag",
        After::Move => "move",
    };
    let record = Record {
        job: job.id.clone(),
        model: job.model.name().to_owned(),
        digest: job.model.digest().to_owned(),
        input: job.input.name().to_owned(),
        input_prefix: settings.input_prefix.clone(),
        output: job.output.name().to_owned(),
        output_prefix: settings.output_prefix.clone(),
        after: after.to_owned(),
        config: settings.digest(),
        host: concat!("ampoule ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: now(),
    };
    let content = serde_json::to_vec_pretty(&record).expect("strings are JSON");
    let mut tried = 0;
    loop {
        tried += 1;
        let cause = match write(job, &key, content.clone(), &Expect::Nothing).await {
            Ok(_) => return Ok(()),
            Err(cause @ (StoreError::Denied { .. } | StoreError::Unsupported { .. })) => {
                return Err(Trouble::Denied(cause.to_string()));
            }
            Err(cause) => cause,
        };
        match read(job, &key).await {
            Ok((bytes, _)) => return record.agrees_with(&key, &bytes),
            Err(cause @ StoreError::Denied { .. }) => return Err(Trouble::Denied(cause.to_string())),
            Err(_) => {}
        }
        let Some(delay) = job.output_retry.delay(tried, &cause) else {
            return Err(Trouble::Failed(format!("the job's record can't be written: {cause}")));
        };
        tokio::time::sleep(delay).await;
    }
}

impl Record {
    /// Sees that the record that is there is of the same model and settings.
    fn agrees_with(&self, key: &str, there: &[u8]) -> Result<(), Trouble> {
        let there: Self = serde_json::from_slice(there).map_err(|cause| {
            Trouble::Denied(format!("{key:?}: expected the record of a job, got another object ({cause})"))
        })?;
        if (&there.digest, &there.config) == (&self.digest, &self.config) {
            return Ok(());
        }
        Err(Trouble::Denied(format!(
            "the job {} began with the model {} ({}): expected that one and its settings, got {} ({})",
            self.job, there.model, there.digest, self.model, self.digest
        )))
    }
}

/// The checkpoint, and its version; nothing where there is none, or where it can't be read.
pub async fn checkpoint(job: &Job, share: &str) -> (Checkpoint, Option<Version>) {
    match read(job, &job.keys.checkpoint(&format!("{}{share}", job.id))).await {
        Ok((bytes, version)) => (serde_json::from_slice(&bytes).unwrap_or_default(), Some(version)),
        Err(_) => (Checkpoint::default(), None),
    }
}

/// Writes the checkpoint, if nobody else has; gives its version. That it can't be written is no matter.
pub async fn set_checkpoint(
    job: &Job,
    share: &str,
    checkpoint: &Checkpoint,
    version: Option<Version>,
) -> Option<Version> {
    let key = job.keys.checkpoint(&format!("{}{share}", job.id));
    let content = serde_json::to_vec(checkpoint).expect("strings are JSON");
    let expect = version.map_or(Expect::Nothing, Expect::Version);
    match write(job, &key, content, &expect).await {
        Ok(version) => Some(version),
        Err(cause) => {
            tracing::debug!(job = job.id, %cause, "the checkpoint could not be written");
            job.output.head(&key).await.ok().map(|object| object.version)
        }
    }
}

async fn write(job: &Job, key: &str, content: Vec<u8>, expect: &Expect) -> Result<Version, StoreError> {
    let about = About {
        content_type: Some("application/json".to_owned()),
        metadata: [("ampoule-output".to_owned(), "1".to_owned())].into(),
    };
    job.output.write(key, &Content::Bytes(Bytes::from(content)), &about, expect).await
}

async fn read(job: &Job, key: &str) -> Result<(Vec<u8>, Version), StoreError> {
    let mut reading = job.output_retry.read(&job.output, key, 0, None).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = reading.bytes.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > MAX_BYTES {
            let cause = format!("expected at most {MAX_BYTES} bytes of a job's own record");
            return Err(StoreError::Unsupported { key: key.to_owned(), cause });
        }
    }
    Ok((bytes, reading.object.version))
}
