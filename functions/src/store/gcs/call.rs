//! One request to Cloud Storage: how long it may take, and what its failure means.

use std::future::Future;
use std::time::Duration;

use google_cloud_gax::error::rpc::Code;
use google_cloud_storage::Error;
use google_cloud_storage::error::{ChecksumMismatch, ReadError, WriteError};

use super::chain;
use crate::store::StoreError;

/// A request about a key.
pub struct Call<'a> {
    key: &'a str,
    asked: Asked,
    patience: Duration,
}

/// What a request is about, as far as it changes what a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An object that is there, or not.
    Object,
    /// An object to be made.
    NewObject,
    Bucket,
}

impl<'a> Call<'a> {
    pub fn new(key: &'a str, patience: Duration) -> Self {
        Self { key, asked: Asked::Object, patience }
    }

    pub fn asked(self, asked: Asked) -> Self {
        Self { asked, ..self }
    }

    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Makes the request. One whose token is refused has done nothing and is made once more: the
    /// token may have run out on its way.
    pub async fn ask<T, F>(&self, call: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let first = self.once(call()).await;
        match first {
            Err(Failed { status: Some(401), .. }) => self.once(call()).await.map_err(|failed| failed.error),
            other => other.map_err(|failed| failed.error),
        }
    }

    async fn once<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
        match tokio::time::timeout(self.patience, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failed { status: status(&error), error: self.meaning(&error) }),
            Err(_) => Err(Failed { status: None, error: silent(self.patience) }),
        }
    }

    /// What a failure says of the object.
    pub fn meaning(&self, error: &Error) -> StoreError {
        let key = || self.key.to_owned();
        let cause = || chain(error);
        if let Some(mismatch) = mismatch(error) {
            return corrupt(self.key, mismatch);
        }
        match (status(error), self.asked) {
            (Some(404), Asked::Object) if !names_bucket(error) => StoreError::NotFound { key: key() },
            // The session of an upload; a bucket otherwise.
            (Some(404 | 410), Asked::NewObject) if !names_bucket(error) => {
                StoreError::Lost { cause: cause() }
            }
            (Some(301 | 307 | 401 | 403 | 404), _) => StoreError::Denied { cause: cause() },
            (Some(412), _) => StoreError::Changed { key: key() },
            (Some(409), _) => StoreError::Conflict { key: key() },
            (Some(429 | 503), _) => StoreError::Throttled { retry_after: retry_after(error) },
            (Some(400), Asked::NewObject) if names_checksum(error) => {
                StoreError::Corrupt { key: key(), expected: "as it was sent".to_owned(), actual: cause() }
            }
            (Some(400 | 413 | 414 | 501), _) => StoreError::Unsupported { key: key(), cause: cause() },
            (None, _) if error.is_authentication() => StoreError::Denied { cause: cause() },
            _ => StoreError::Lost { cause: cause() },
        }
    }
}

struct Failed {
    status: Option<u16>,
    error: StoreError,
}

/// The service said nothing for so long.
pub fn silent(patience: Duration) -> StoreError {
    StoreError::Lost { cause: format!("no answer within {} s", patience.as_secs()) }
}

/// The status of HTTP, or what a code of gRPC is called there; none where no answer came.
pub fn status(error: &Error) -> Option<u16> {
    if let Some(status) = error.http_status_code() {
        return Some(status);
    }
    Some(match error.status()?.code {
        Code::InvalidArgument => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::Aborted | Code::AlreadyExists => 409,
        Code::FailedPrecondition => 412,
        Code::OutOfRange => 416,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        _ => 500,
    })
}

fn retry_after(error: &Error) -> Option<Duration> {
    let seconds = error.http_headers()?.get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn names_bucket(error: &Error) -> bool {
    error.status().is_some_and(|status| status.message.contains("bucket does not exist"))
}

/// The service has no code of its own for bytes that aren't what their checksum says.
fn names_checksum(error: &Error) -> bool {
    error.status().is_some_and(|status| {
        let message = status.message.to_ascii_lowercase();
        ["checksum", "crc32c", "md5"].iter().any(|word| message.contains(word))
    })
}

fn mismatch(error: &Error) -> Option<&ChecksumMismatch> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(ReadError::ChecksumMismatch(mismatch)) = error.downcast_ref() {
            return Some(mismatch);
        }
        if let Some(WriteError::ChecksumMismatch { mismatch, .. }) = error.downcast_ref() {
            return Some(mismatch);
        }
        cause = error.source();
    }
    None
}

/// The client calls what the service says "want" when it reads and "got" when it writes; either way
/// the two sides differ.
fn corrupt(key: &str, mismatch: &ChecksumMismatch) -> StoreError {
    let (expected, actual) = match mismatch {
        ChecksumMismatch::Crc32c { got, want } => (format!("crc32c {want:08x}"), format!("{got:08x}")),
        ChecksumMismatch::Md5 { got, want } => (format!("md5 {want:x}"), format!("{got:x}")),
        ChecksumMismatch::Both { got, want } => (
            format!("crc32c {:08x}", want.crc32c.unwrap_or_default()),
            format!("{:08x}", got.crc32c.unwrap_or_default()),
        ),
        other => ("the written checksum".to_owned(), other.to_string()),
    };
    StoreError::Corrupt { key: key.to_owned(), expected, actual }
}
