//! What S3's answers, and their absence, mean to a store's caller.

use std::error::Error;
use std::time::Duration;

use ampoule_host::hex;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStreamError;
use aws_smithy_checksums::body::validate::Error as ChecksumError;

use crate::store::StoreError;

/// A failed call's meaning.
pub(super) fn failure<E>(key: &str, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (answer, code, message) = match &error {
        SdkError::ServiceError(service) => {
            (service.raw(), service.err().code().unwrap_or_default(), service.err().message())
        }
        SdkError::ResponseError(broken) if !broken.raw().status().is_success() => (broken.raw(), "", None),
        SdkError::ConstructionFailure(_) if within::<CredentialsError>(&error).is_none() => {
            return StoreError::Unsupported { key: key.to_owned(), cause: causes(&error) };
        }
        _ => return unanswered(key, &error),
    };
    let status = answer.status().as_u16();
    let cause = match (code, message) {
        ("", _) => format!("status {status}"),
        (code, Some(message)) => format!("{code}: {message}"),
        (code, None) => code.to_owned(),
    };
    of_answer(key, status, code, cause, retry_after(answer))
}

fn of_answer(key: &str, status: u16, code: &str, cause: String, retry_after: Option<Duration>) -> StoreError {
    let key = key.to_owned();
    match (status, code) {
        // An error behind a success: S3 begins to answer before it has put parts together.
        (_, "PreconditionFailed") => StoreError::Changed { key },
        (_, "ConditionalRequestConflict") => StoreError::Conflict { key },
        (_, "NoSuchBucket" | "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
            StoreError::Denied { cause }
        }
        (
            _,
            "SlowDown" | "Throttling" | "ThrottlingException" | "TooManyRequests" | "RequestLimitExceeded",
        )
        | (429, _) => StoreError::Throttled { retry_after },
        // It is there and ours, but in an archive, or under a lock.
        (_, "InvalidObjectState") => StoreError::Unsupported { key, cause },
        (_, "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch") => {
            StoreError::Corrupt { key, expected: "as it was sent".to_owned(), actual: cause }
        }
        // "No such upload": one in parts that is over, done or given up by the bucket's own rules.
        (_, "NoSuchUpload" | "RequestTimeout" | "IncompleteBody" | "InternalError") | (..=300 | 408, _) => {
            StoreError::Lost { cause }
        }
        (
            400,
            "AuthorizationHeaderMalformed" | "InvalidBucketName" | "IllegalLocationConstraintException",
        ) => StoreError::Denied { cause },
        // To HEAD, S3 answers so without a body where credentials have expired or the region is another.
        (400, "") | (301 | 307 | 401..=403, _) => StoreError::Denied { cause },
        (404, _) => StoreError::NotFound { key },
        (409, _) => StoreError::Conflict { key },
        (412, _) => StoreError::Changed { key },
        (501, _) => StoreError::Unsupported { key, cause },
        (500.., _) => StoreError::Lost { cause },
        _ => StoreError::Unsupported { key, cause },
    }
}

/// Seconds, as S3 says it; a date isn't used.
pub(super) fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    answer.headers().get("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

/// There was no answer, or one that can't be read.
fn unanswered(key: &str, error: &(dyn Error + 'static)) -> StoreError {
    if let Some(ChecksumError::ChecksumMismatch { expected, actual }) = within(error) {
        return StoreError::Corrupt { key: key.to_owned(), expected: hex(expected), actual: hex(actual) };
    }
    let cause = causes(error);
    match within::<CredentialsError>(error) {
        // The machine's role may answer later.
        Some(CredentialsError::ProviderTimedOut(_)) => StoreError::Lost { cause },
        Some(_) => StoreError::Denied { cause },
        None => StoreError::Lost { cause },
    }
}

/// Bytes broke off.
pub(super) fn failure_of_body(key: &str, error: &ByteStreamError) -> StoreError {
    unanswered(key, error)
}

/// The first error of a kind in a chain of causes.
fn within<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// All causes in one line.
fn causes(error: &(dyn Error + 'static)) -> String {
    chain(error).fold(String::new(), |text, error| match (text, error.to_string()) {
        (text, next) if text.is_empty() => next,
        (text, next) if text.ends_with(&next) => text,
        (text, next) => format!("{text}: {next}"),
    })
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| Error::source(*error))
}
