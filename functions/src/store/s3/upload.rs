//! Writing an object, in one request or in parts.

use std::path::Path;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::failure::failure;
use super::terms::{quoted, version};
use super::{S3, S3Settings};
use crate::store::{About, Content, Expect, StoreError, Version};

/// Parts that are on their way at once.
const PARTS_AT_ONCE: usize = 2;
/// S3's bounds of a multipart upload (S3's user guide, "Amazon S3 multipart upload limits").
const MAX_PARTS: u64 = 10_000;
const MIN_PART_BYTES: u64 = 5 << 20;

impl S3 {
    pub(super) async fn upload(
        &self,
        key: &str,
        content: &Content,
        about: &About,
        expect: &Expect,
    ) -> Result<Version, StoreError> {
        let bytes = length(content).await?;
        let written = if bytes > self.settings.whole_bytes {
            self.upload_parts(key, content, bytes, about, expect).await
        } else {
            self.upload_whole(key, content, bytes, about, expect).await
        };
        match (written, expect) {
            // Of a version that was expected there is nothing left.
            (Err(StoreError::NotFound { key }), Expect::Version(_)) => Err(StoreError::Changed { key }),
            // The bucket is there, or it would be called by its name.
            (Err(StoreError::NotFound { key }), Expect::Nothing) => Err(StoreError::Unsupported {
                key,
                cause: "the server has no place for such a key".to_owned(),
            }),
            (written, _) => written,
        }
    }

    async fn upload_whole(
        &self,
        key: &str,
        content: &Content,
        bytes: u64,
        about: &About,
        expect: &Expect,
    ) -> Result<Version, StoreError> {
        let digest = digest(content, 0, bytes).await?;
        let body = body(content, 0, bytes).await?;
        let (none_match, if_match) = conditions(expect);
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .body(body)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(BASE64_STANDARD.encode(digest))
            .set_content_type(about.content_type.clone())
            .set_metadata(Some(about.metadata.clone().into_iter().collect()))
            .set_if_none_match(none_match)
            .set_if_match(if_match)
            .customize()
            .config_override(limits(&self.settings, bytes))
            // The signature covers the checksum, and the checksum the content.
            .disable_payload_signing();
        let written = request.send().await.map_err(|error| failure(key, error))?;
        same(key, &BASE64_STANDARD.encode(digest), written.checksum_sha256())?;
        version(written.e_tag())
    }

    async fn upload_parts(
        &self,
        key: &str,
        content: &Content,
        bytes: u64,
        about: &About,
        expect: &Expect,
    ) -> Result<Version, StoreError> {
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_type(ChecksumType::Composite)
            .set_content_type(about.content_type.clone())
            .set_metadata(Some(about.metadata.clone().into_iter().collect()))
            .send()
            .await
            .map_err(|error| failure(key, error))?;
        let id = begun.upload_id.ok_or_else(|| lost("an upload without an id"))?;
        let begun = Begun(Some(Arc::new(Parts {
            client: self.client.clone(),
            settings: self.settings.clone(),
            bucket: self.bucket.clone(),
            key: key.to_owned(),
            id,
        })));
        let Some(parts) = begun.0.clone() else { return Err(lost("an upload that ended before it began")) };

        let size = self.settings.part_bytes.max(MIN_PART_BYTES).max(bytes.div_ceil(MAX_PARTS));
        let starts = (0..bytes.div_ceil(size)).map(|index| (index, index * size));
        let sent = stream::iter(starts)
            .map(|(index, start)| {
                let parts = Arc::clone(&parts);
                async move { parts.send(content, index, start, size.min(bytes - start)).await }
            })
            .buffered(PARTS_AT_ONCE);
        let sent: Vec<(CompletedPart, [u8; 32])> = sent.try_collect().await?;

        let all = sent.iter().fold(Sha256::new(), |all, (_, digest)| all.chain_update(digest));
        let checksum = format!("{}-{}", BASE64_STANDARD.encode(all.finalize()), sent.len());
        let list = sent.into_iter().map(|(part, _)| part).collect();
        let (none_match, if_match) = conditions(expect);
        let written = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(&parts.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(list)).build())
            .set_if_none_match(none_match)
            .set_if_match(if_match)
            .customize()
            // S3 puts the parts together while we wait.
            .config_override(limits(&self.settings, bytes))
            .send()
            .await
            .map_err(|error| failure(key, error))?;
        same(key, &checksum, written.checksum_sha256().filter(|given| given.contains('-')))?;
        let version = version(written.e_tag())?;
        begun.done();
        Ok(version)
    }
}

/// An upload in parts.
struct Parts {
    client: Client,
    settings: S3Settings,
    bucket: String,
    key: String,
    id: String,
}

impl Parts {
    async fn send(
        &self,
        content: &Content,
        index: u64,
        start: u64,
        bytes: u64,
    ) -> Result<(CompletedPart, [u8; 32]), StoreError> {
        let number = i32::try_from(index + 1).map_err(|_| lost("more parts than there can be"))?;
        let digest = digest(content, start, bytes).await?;
        let checksum = BASE64_STANDARD.encode(digest);
        let sent = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(number)
            .body(body(content, start, bytes).await?)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(&checksum)
            .customize()
            .config_override(limits(&self.settings, bytes))
            .disable_payload_signing()
            .send()
            .await
            .map_err(|error| failure(&self.key, error))?;
        same(&self.key, &checksum, sent.checksum_sha256())?;
        let part = CompletedPart::builder()
            .part_number(number)
            .e_tag(sent.e_tag.ok_or_else(|| lost("a part without an ETag"))?)
            .checksum_sha256(checksum)
            .build();
        Ok((part, digest))
    }

    async fn give_up(&self) {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.key);
        if let Err(error) = request.upload_id(&self.id).send().await {
            let cause = failure(&self.key, error);
            tracing::warn!(bucket = self.bucket, key = self.key, %cause, "parts of an object may be left");
        }
    }
}

/// An upload that is given up if it isn't done, also where its future is dropped.
struct Begun(Option<Arc<Parts>>);

impl Begun {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let (Some(parts), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { parts.give_up().await });
        }
    }
}

/// `If-None-Match` and `If-Match`.
fn conditions(expect: &Expect) -> (Option<String>, Option<String>) {
    match expect {
        Expect::Nothing => (Some("*".to_owned()), None),
        Expect::Version(version) => (None, Some(quoted(version))),
    }
}

fn limits(settings: &S3Settings, bytes: u64) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::Config::builder().timeout_config(settings.timeouts(bytes))
}

/// Holds what a server says it stored to what was sent; one that says nothing has checked nothing.
fn same(key: &str, sent: &str, stored: Option<&str>) -> Result<(), StoreError> {
    match stored {
        Some(stored) if stored != sent => Err(StoreError::Corrupt {
            key: key.to_owned(),
            expected: sent.to_owned(),
            actual: stored.to_owned(),
        }),
        _ => Ok(()),
    }
}

async fn length(content: &Content) -> Result<u64, StoreError> {
    match content {
        Content::Bytes(bytes) => Ok(bytes.len() as u64),
        Content::File(path) => waiting(path, |path| Ok(path.metadata()?.len())).await,
    }
}

/// The sha256 of some of the content.
async fn digest(content: &Content, start: u64, bytes: u64) -> Result<[u8; 32], StoreError> {
    match content {
        Content::Bytes(_) => {
            let piece = slice(content, start, bytes)?;
            let hashed = tokio::task::spawn_blocking(move || Sha256::digest(&piece).into());
            hashed.await.map_err(lost)
        }
        Content::File(path) => {
            waiting(path, move |path| {
                use std::io::{Read as _, Seek as _, SeekFrom};
                let mut file = std::fs::File::open(path)?;
                file.seek(SeekFrom::Start(start))?;
                let (mut digest, mut left, mut piece) = (Sha256::new(), file.take(bytes), vec![0; 256 << 10]);
                loop {
                    let read = left.read(&mut piece)?;
                    let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break };
                    digest.update(read);
                }
                Ok(digest.finalize().into())
            })
            .await
        }
    }
}

/// Some of the content, as a request's body.
async fn body(content: &Content, start: u64, bytes: u64) -> Result<ByteStream, StoreError> {
    match content {
        Content::Bytes(_) => Ok(ByteStream::from(slice(content, start, bytes)?)),
        Content::File(path) => ByteStream::read_from()
            .path(path)
            .offset(start)
            .length(Length::Exact(bytes))
            .buffer_size(256 << 10)
            .build()
            .await
            .map_err(|cause| lost(format!("{}: {cause}", path.display()))),
    }
}

fn slice(content: &Content, start: u64, bytes: u64) -> Result<bytes::Bytes, StoreError> {
    let Content::Bytes(all) = content else { return Err(lost("expected bytes, got a file")) };
    let range = usize::try_from(start).ok().zip(usize::try_from(start + bytes).ok());
    match range {
        Some((start, end)) if end <= all.len() => Ok(all.slice(start..end)),
        _ => Err(lost("a part that lies beyond the content")),
    }
}

/// Works on a file where waiting for the disk stops nobody.
async fn waiting<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let named = path.display().to_string();
    let path = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&path)).await.map_err(lost)?;
    done.map_err(|cause| lost(format!("{named}: {cause}")))
}

fn lost(cause: impl ToString) -> StoreError {
    StoreError::Lost { cause: cause.to_string() }
}
