//! [`Store`]: objects under raw keys, as S3, Cloud Storage and folders keep them.
//!
//! The guarantees stand at the methods; `tests/tests/library/stores.rs` holds every implementation to them.
//! A key is data: it is never normalised, and what a store can't hold it refuses by name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use gcs::{Gcs, GcsSettings};
pub use local::Local;
pub use location::{Cloud, Location, LocationError, Place};
pub use s3::{KeyPair, S3, S3Settings};

mod gcs;
mod local;
mod location;
pub mod retry;
mod s3;

/// A bucket or a folder.
///
/// No method retries: who calls knows what a lost answer means. Dropping a call's future ends it;
/// the object is then as before or as asked for, never in between.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// How people name it: `s3://bucket`, `gs://bucket`, a path.
    fn name(&self) -> &str;

    /// Objects whose keys begin with `prefix`, in the order of their keys' UTF-8 bytes, some at a
    /// time. `page` is what the page before gave as its `next`. Every key comes as it is.
    async fn list(&self, prefix: &str, page: Option<&str>) -> Result<Page, StoreError>;

    /// What is known about an object, without its bytes.
    async fn head(&self, key: &str) -> Result<Object, StoreError>;

    /// An object's bytes, from `start`, as a stream; with `version`, only those of that version
    /// ([`StoreError::Changed`] otherwise). A stream that ends early ends with an error.
    async fn read(&self, key: &str, start: u64, version: Option<&Version>) -> Result<Reading, StoreError>;

    /// Writes an object whole, or not at all.
    ///
    /// The store is told the content's checksum and refuses other bytes where it can check.
    /// [`StoreError::Changed`] says that `expect` doesn't hold and nothing was written by this call
    /// as far as this attempt knows; after [`StoreError::Lost`] it may have been written.
    async fn write(
        &self,
        key: &str,
        content: &Content,
        about: &About,
        expect: &Expect,
    ) -> Result<Version, StoreError>;

    /// Deletes an object if it still is `version`: [`StoreError::Changed`] if it is another,
    /// [`StoreError::NotFound`] if there is none.
    async fn delete(&self, key: &str, version: &Version) -> Result<(), StoreError>;

    /// Sets one tag of that version and leaves the others as they are.
    async fn tag(&self, key: &str, version: &Version, name: &str, value: &str) -> Result<(), StoreError>;

    /// The tags of an object.
    async fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, StoreError>;
}

/// What tells one state of an object from the next, as its store writes it: an ETag, a generation, a file's facts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub String);

/// What is known about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub key: String,
    pub version: Version,
    pub bytes: u64,
    pub modified: Option<SystemTime>,
    /// Empty and absent in a listing, where stores don't tell.
    pub about: About,
    /// Sha256 of the content in lower-case hex where the store keeps one that it has checked.
    pub sha256: Option<String>,
}

/// What is written beside an object's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub content_type: Option<String>,
    /// User metadata. Names are lower-case letters, digits and `-`; values are ASCII.
    pub metadata: BTreeMap<String, String>,
}

/// Some objects of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<Object>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

/// An object's bytes on their way.
pub struct Reading {
    pub object: Object,
    pub bytes: BoxStream<'static, Result<Bytes, StoreError>>,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub enum Content {
    Bytes(Bytes),
    /// A file that stays as it is until the call ends; written in parts where it is large.
    File(PathBuf),
}

/// What a write expects to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No object of that key.
    Nothing,
    /// This version.
    Version(Version),
}

/// Why a store didn't do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{key:?}: no such object")]
    NotFound { key: String },
    /// A precondition doesn't hold: the object is there, or is another version.
    #[error("{key:?}: changed meanwhile")]
    Changed { key: String },
    /// The store was busy with the same key and did nothing.
    #[error("{key:?}: another write is under way")]
    Conflict { key: String },
    /// The store asks for fewer requests.
    #[error("the store is throttling")]
    Throttled { retry_after: Option<Duration> },
    /// No answer, or a broken one: whether it was done isn't known.
    #[error("the store's answer was lost: {cause}")]
    Lost { cause: String },
    /// Credentials, permissions or the bucket's name: nothing of this job can succeed.
    #[error("the store refuses us: {cause}")]
    Denied { cause: String },
    /// The bytes are not those that were written.
    #[error("{key:?}: expected content with checksum {expected}, got {actual}")]
    Corrupt { key: String, expected: String, actual: String },
    /// The store can't hold or give such an object.
    #[error("{key:?}: {cause}")]
    Unsupported { key: String, cause: String },
}
