//! Objects' bytes on their way from Cloud Storage.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use google_cloud_storage::model_ext::{ObjectHighlights, ReadRange};
use google_cloud_storage::read_object::ReadObjectResponse;

use super::call::{Call, silent, status};
use super::{Gcs, about, object};
use crate::store::{Object, Reading, StoreError, Version};

pub async fn read(
    store: &Gcs,
    key: &str,
    start: u64,
    generation: Option<i64>,
) -> Result<Reading, StoreError> {
    let call = || async {
        let mut call = store.data.read_object(&store.bucket, key);
        if let Some(generation) = generation {
            call = call.set_if_generation_match(generation);
        }
        if start > 0 {
            call = call.set_read_range(ReadRange::offset(start));
        }
        match call.send().await {
            // No byte lies there, which is no failure of the object's.
            Err(error) if start > 0 && status(&error) == Some(416) => Ok(None),
            other => other.map(Some),
        }
    };
    let Some(response) = store.call(key).ask(call).await? else {
        let object = object(store.look(key, generation).await?);
        if object.bytes > start {
            // Someone has written a longer one since.
            return Err(StoreError::Lost { cause: format!("no byte {start} of {}", object.bytes) });
        }
        return Ok(Reading { object, bytes: stream::empty().boxed() });
    };
    let object = described(key, response.object());
    if let Some(expected) = generation.filter(|expected| object.version.0 != expected.to_string()) {
        let cause = format!("expected generation {expected}, got {}", object.version.0);
        return Err(StoreError::Lost { cause });
    }
    let source = Source {
        key: key.to_owned(),
        left: object.bytes.saturating_sub(start),
        patience: store.patience,
        response: Some(response),
    };
    let bytes = stream::unfold(source, |mut source| async move { Some((source.next().await?, source)) });
    Ok(Reading { object, bytes: bytes.boxed() })
}

/// What an answer's head says of an object; the time of its writing isn't in it.
fn described(key: &str, head: ObjectHighlights) -> Object {
    let (about, sha256) = about(head.content_type, head.metadata);
    Object {
        key: key.to_owned(),
        version: Version(head.generation.to_string()),
        bytes: u64::try_from(head.size).unwrap_or_default(),
        modified: None,
        about,
        sha256,
    }
}

struct Source {
    key: String,
    left: u64,
    patience: Duration,
    /// None after the end and after an error.
    response: Option<ReadObjectResponse>,
}

impl Source {
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        let mut response = self.response.take()?;
        let short = |left| StoreError::Lost { cause: format!("{left} bytes are missing at the end") };
        match tokio::time::timeout(self.patience, response.next()).await {
            Ok(Some(Ok(bytes))) => {
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let Some(left) = self.left.checked_sub(length) else {
                    let cause = format!("{} bytes too many at the end", length - self.left);
                    return Some(Err(StoreError::Lost { cause }));
                };
                self.left = left;
                self.response = Some(response);
                Some(Ok(bytes))
            }
            // A checksum that doesn't fit says nothing where bytes are missing.
            Ok(Some(Err(error))) => Some(Err(match Call::new(&self.key, self.patience).meaning(&error) {
                StoreError::Corrupt { .. } if self.left > 0 => short(self.left),
                error => error,
            })),
            Ok(None) if self.left > 0 => Some(Err(short(self.left))),
            Ok(None) => None,
            Err(_) => Some(Err(silent(self.patience))),
        }
    }
}
