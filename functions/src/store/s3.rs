//! [`S3`]: a bucket of Amazon S3, or of what speaks its protocol.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Error;
use aws_sdk_s3::types::{ChecksumMode, EncodingType, Tag, Tagging};
use futures::{StreamExt as _, stream};

use super::{About, Content, Expect, Object, Page, Reading, Store, StoreError, Version};
use failure::failure;
use terms::{about, decoded, legal, quoted, sha256, size, time, version};

mod connect;
mod failure;
mod reading;
mod terms;
mod upload;

pub use connect::{KeyPair, S3Settings};

/// Tags of an object (S3's user guide, "Categorizing your objects using tags").
const MAX_TAGS: usize = 10;

/// A bucket.
///
/// **Keys** of 1 to 1,024 bytes go to the server as they are, percent-encoded once; white space alone
/// is refused here. What a server makes of a key is its habit: S3 itself keeps every one.
///
/// **Versions** are ETags without quotes: a version that is written again with the same bytes is the same.
///
/// **Checksums.** The content's sha256 goes with every write and the server refuses other bytes;
/// [`Object::sha256`] gives it back, but for objects in parts, for which S3 keeps a checksum for each part.
///
/// **Parts.** Content beyond [`S3Settings::part_bytes`] goes in parts, which are given up if the
/// write fails or is dropped. The precondition is checked with the last step.
///
/// **Order.** S3 lists keys in the order of their bytes; a server that keeps folders may list by those.
///
/// **Tags** have no precondition in S3: the version is looked at first, and of two who tag at once one wins.
#[derive(Clone, Debug)]
pub struct S3 {
    client: Client,
    bucket: String,
    name: String,
    settings: S3Settings,
}

#[async_trait]
impl Store for S3 {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&self, prefix: &str, page: Option<&str>) -> Result<Page, StoreError> {
        let (token, last) = page.map(|page| page.split_once('\n').unwrap_or((page, ""))).unzip();
        let request = self.client.list_objects_v2().bucket(&self.bucket).encoding_type(EncodingType::Url);
        let request = request.set_prefix((!prefix.is_empty()).then(|| prefix.to_owned()));
        let mut listed = request.clone().set_continuation_token(token.map(str::to_owned)).send().await;
        if last.is_some() && listed.as_ref().is_err_and(is_refused_token) {
            listed = request.set_start_after(last.map(str::to_owned)).send().await;
        }
        let listed = listed.map_err(|error| self.nowhere(failure(prefix, error)))?;
        let broken = |cause: String| StoreError::Lost { cause };
        // An empty answer isn't an empty listing.
        let more = listed.is_truncated().ok_or_else(|| broken("a listing without its end".to_owned()))?;
        let encoded = listed.encoding_type() == Some(&EncodingType::Url);
        let mut objects = Vec::with_capacity(listed.contents().len());
        for entry in listed.contents() {
            let key = entry.key().ok_or_else(|| broken("a listed object without a key".to_owned()))?;
            let key = if encoded { decoded(key).map_err(broken)? } else { key.to_owned() };
            objects.push(Object {
                version: version(entry.e_tag())?,
                bytes: size(entry.size())?,
                modified: entry.last_modified().and_then(time),
                about: About::default(),
                sha256: None,
                key,
            });
        }
        let next = match (more, listed.next_continuation_token(), objects.last()) {
            (false, _, _) => None,
            (true, Some(token), Some(last)) => Some(format!("{token}\n{}", last.key)),
            (true, Some(token), None) => Some(token.to_owned()),
            (true, None, _) => return Err(broken("a listing that goes on without saying where".to_owned())),
        };
        Ok(Page { objects, next })
    }

    async fn head(&self, key: &str) -> Result<Object, StoreError> {
        legal(key)?;
        let request = self.client.head_object().bucket(&self.bucket).key(key);
        let head = request.checksum_mode(ChecksumMode::Enabled).send().await.map_err(|error| {
            // Its answers have no body, and so no code that would tell.
            let busy = error.raw_response().is_some_and(|answer| answer.status().as_u16() == 503);
            let retry_after = error.raw_response().and_then(failure::retry_after);
            if busy { StoreError::Throttled { retry_after } } else { failure(key, error) }
        })?;
        Ok(Object {
            key: key.to_owned(),
            version: version(head.e_tag())?,
            bytes: size(head.content_length())?,
            modified: head.last_modified().and_then(time),
            sha256: head.checksum_sha256().and_then(sha256),
            about: about(head.content_type, head.metadata),
        })
    }

    async fn read(&self, key: &str, start: u64, version: Option<&Version>) -> Result<Reading, StoreError> {
        legal(key)?;
        let request = self.client.get_object().bucket(&self.bucket).key(key);
        let request = request
            .set_if_match(version.map(quoted))
            .set_range((start > 0).then(|| format!("bytes={start}-")));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 416) => {
                return self.end(key, start, version).await;
            }
            Err(error) => return Err(self.gone(failure(key, error)).await),
        };
        let reading = self.reading(key, start, answer)?;
        match version {
            Some(version) if reading.object.version != *version => Err(StoreError::Lost {
                cause: format!("expected version {}, got {}", version.0, reading.object.version.0),
            }),
            _ => Ok(reading),
        }
    }

    async fn write(
        &self,
        key: &str,
        content: &Content,
        about: &About,
        expect: &Expect,
    ) -> Result<Version, StoreError> {
        legal(key)?;
        self.upload(key, content, about, expect).await
    }

    async fn delete(&self, key: &str, version: &Version) -> Result<(), StoreError> {
        legal(key)?;
        let request = self.client.delete_object().bucket(&self.bucket).key(key).if_match(quoted(version));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.gone(failure(key, error)).await),
        }
    }

    async fn tag(&self, key: &str, version: &Version, name: &str, value: &str) -> Result<(), StoreError> {
        legal(key)?;
        let head = self.client.head_object().bucket(&self.bucket).key(key).send();
        let head = head.await.map_err(|error| failure(key, error))?;
        if self::version(head.e_tag())? != *version {
            return Err(StoreError::Changed { key: key.to_owned() });
        }
        // Where the bucket keeps versions, a newer one doesn't get the tag.
        let id = head.version_id().filter(|id| *id != "null").map(str::to_owned);
        let mut tags = self.tags_of(key, id.clone()).await?;
        tags.insert(name.to_owned(), value.to_owned());
        if tags.len() > MAX_TAGS {
            let cause = format!("expected at most {MAX_TAGS} tags, got {}", tags.len());
            return Err(StoreError::Unsupported { key: key.to_owned(), cause });
        }
        let built: Result<Vec<Tag>, _> =
            tags.into_iter().map(|(name, value)| Tag::builder().key(name).value(value).build()).collect();
        let tagging = built.and_then(|tags| Tagging::builder().set_tag_set(Some(tags)).build());
        let tagging = tagging.map_err(|cause| StoreError::Unsupported {
            key: key.to_owned(),
            cause: format!("the tags can't be sent: {cause}"),
        })?;
        let request = self.client.put_object_tagging().bucket(&self.bucket).key(key).set_version_id(id);
        request.tagging(tagging).send().await.map(|_| ()).map_err(|error| failure(key, error))
    }

    async fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, StoreError> {
        legal(key)?;
        self.tags_of(key, None).await
    }
}

impl S3 {
    async fn tags_of(&self, key: &str, id: Option<String>) -> Result<BTreeMap<String, String>, StoreError> {
        let request = self.client.get_object_tagging().bucket(&self.bucket).key(key).set_version_id(id);
        let tags = request.send().await.map_err(|error| failure(key, error))?;
        Ok(tags.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// What is read from beyond the last byte: nothing, if the object is the one that is meant.
    async fn end(&self, key: &str, start: u64, version: Option<&Version>) -> Result<Reading, StoreError> {
        let object = self.head(key).await?;
        if version.is_some_and(|version| *version != object.version) || object.bytes > start {
            return Err(StoreError::Changed { key: key.to_owned() });
        }
        Ok(Reading { object, bytes: stream::empty().boxed() })
    }

    /// Some servers say "changed" of what isn't there, too.
    async fn gone(&self, error: StoreError) -> StoreError {
        let StoreError::Changed { key } = error else { return error };
        match self.head(&key).await {
            Err(StoreError::NotFound { key }) => StoreError::NotFound { key },
            _ => StoreError::Changed { key },
        }
    }

    /// Of a listing, "not found" is said of the bucket.
    fn nowhere(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::NotFound { .. } => {
                StoreError::Denied { cause: format!("{}: no such bucket", self.name) }
            }
            other => other,
        }
    }
}

/// Whether a listing doesn't know its page's token, or knows it no more.
fn is_refused_token(error: &SdkError<ListObjectsV2Error>) -> bool {
    error.code() == Some("InvalidArgument")
}
