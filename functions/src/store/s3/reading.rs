//! An object's bytes, and whether they are the right ones.

use std::time::Duration;

use ampoule_host::hex;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use futures::{StreamExt as _, stream};
use md5::{Digest as _, Md5};

use super::S3;
use super::failure::failure_of_body;
use super::terms::{about, sha256, size, time, version};
use crate::store::{Object, Reading, StoreError};

impl S3 {
    pub(super) fn reading(
        &self,
        key: &str,
        start: u64,
        answer: GetObjectOutput,
    ) -> Result<Reading, StoreError> {
        let left = size(answer.content_length())?;
        // A server that knows no ranges would give the begin again.
        let begins = answer.content_range().map_or(Some(0), range_start);
        if begins != Some(start) {
            let cause = format!("expected bytes from {start}, got {:?}", answer.content_range());
            return Err(StoreError::Lost { cause });
        }
        let object = Object {
            key: key.to_owned(),
            version: version(answer.e_tag())?,
            bytes: start + left,
            modified: answer.last_modified().and_then(time),
            sha256: answer.checksum_sha256().and_then(sha256),
            about: about(answer.content_type.clone(), answer.metadata.clone()),
        };
        let source = Source {
            md5: md5_of(&answer).filter(|_| start == 0).map(|expected| (Md5::new(), expected)),
            body: answer.body,
            left,
            patience: self.settings.read_timeout,
            key: key.to_owned(),
        };
        let bytes = stream::try_unfold(source, |mut source| async move {
            Ok(source.next().await?.map(|piece| (piece, source)))
        });
        Ok(Reading { object, bytes: bytes.boxed() })
    }
}

/// An object's bytes on their way.
struct Source {
    body: ByteStream,
    /// Where nothing else tells whether the bytes are right.
    md5: Option<(Md5, String)>,
    left: u64,
    patience: Duration,
    key: String,
}

impl Source {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, StoreError> {
        let lost = |cause: String| Err(StoreError::Lost { cause });
        let Ok(piece) = tokio::time::timeout(self.patience, self.body.next()).await else {
            return lost(format!("no bytes for {} seconds", self.patience.as_secs()));
        };
        let piece = piece.transpose().map_err(|error| failure_of_body(&self.key, &error))?;
        let Some(piece) = piece else {
            return if self.left == 0 {
                self.end().map(|()| None)
            } else {
                lost(format!("the bytes ended {} too early", self.left))
            };
        };
        let Some(left) = self.left.checked_sub(piece.len() as u64) else {
            return lost("more bytes than were announced".to_owned());
        };
        self.left = left;
        if let Some((digest, _)) = &mut self.md5 {
            digest.update(&piece);
        }
        Ok(Some(piece))
    }

    fn end(&mut self) -> Result<(), StoreError> {
        let Some((digest, expected)) = self.md5.take() else { return Ok(()) };
        let actual = hex(&digest.finalize());
        if actual == expected {
            Ok(())
        } else {
            Err(StoreError::Corrupt { key: self.key.clone(), expected, actual })
        }
    }
}

/// The content's MD5, for objects from the time before S3 kept checksums, which the SDK holds bytes to:
/// the ETag of an object in one part whose encryption, if any, is S3's own (S3's API reference, "Object").
fn md5_of(answer: &GetObjectOutput) -> Option<String> {
    let checksums = [
        answer.checksum_crc32(),
        answer.checksum_crc32_c(),
        answer.checksum_crc64_nvme(),
        answer.checksum_sha1(),
        answer.checksum_sha256(),
    ];
    let is_checked = checksums.into_iter().flatten().any(|checksum| !checksum.contains('-'));
    let is_plain = matches!(answer.server_side_encryption(), None | Some(ServerSideEncryption::Aes256))
        && answer.sse_customer_algorithm().is_none();
    let tag = version(answer.e_tag()).ok()?.0;
    let is_md5 = tag.len() == 32 && tag.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (!is_checked && is_plain && is_md5).then_some(tag)
}

/// The first byte of `bytes 5-9/10`.
fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_where_it_begins() {
        assert_eq!(range_start("bytes 5-9/10"), Some(5));
        assert_eq!(range_start("bytes 0-0/*"), Some(0));
        for odd in ["", "bytes", "bytes */10", "octets 5-9/10", "bytes -5/10"] {
            assert_eq!(range_start(odd), None, "{odd}");
        }
    }
}
