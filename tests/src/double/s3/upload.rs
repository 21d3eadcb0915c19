//! Uploads in parts.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::{Bytes, BytesMut};

use super::{S3, checked, condition, described, with_checksum, xml};
use crate::double::checksum::{self, Algorithm};
use crate::double::http::{Answer, Meaning, Request};
use crate::double::memory::{Draft, Memory};
use crate::double::refusal::Refusal;

/// Of every part but the last.
const MIN_PART_BYTES: usize = 5 << 20;
const MAX_PARTS: u32 = 10_000;

/// An upload that was begun.
pub struct Upload {
    bucket: String,
    key: String,
    /// Everything but the bytes.
    draft: Draft,
    algorithm: Option<Algorithm>,
    parts: BTreeMap<u32, Part>,
}

struct Part {
    bytes: Bytes,
    etag: String,
}

impl S3 {
    pub fn unfinished(&self) -> Vec<(String, String)> {
        let uploads = self.uploads.lock().expect("no holder of the lock panics");
        uploads.values().map(|upload| (upload.bucket.clone(), upload.key.clone())).collect()
    }

    pub(super) fn begin(
        &self,
        request: &Request,
        meaning: &Meaning,
        memory: &Memory,
    ) -> Result<Answer, Refusal> {
        let Meaning { bucket, key, .. } = meaning;
        memory.list(bucket, "", Bound::Unbounded, 0)?;
        let algorithm = request.header("x-amz-checksum-algorithm").and_then(Algorithm::of_name);
        let upload = Upload {
            bucket: bucket.clone(),
            key: key.clone(),
            draft: described(request)?,
            algorithm,
            parts: BTreeMap::new(),
        };
        let mut uploads = self.uploads.lock().expect("no holder of the lock panics");
        let number = uploads.last_key_value().and_then(|(id, _)| id.parse::<u64>().ok()).unwrap_or(0) + 1;
        let id = format!("{number:020}");
        uploads.insert(id.clone(), upload);
        let mut answer = Answer::new(200);
        if let Some(algorithm) = algorithm {
            let name = algorithm.name().to_ascii_uppercase();
            answer = answer.with("x-amz-checksum-algorithm", name).with("x-amz-checksum-type", "COMPOSITE");
        }
        Ok(answer.body(
            "application/xml",
            format!(
                "<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{}</Key>\
                 <UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
                xml::escape(key)
            ),
        ))
    }

    pub(super) fn part(&self, request: &Request, meaning: &Meaning) -> Result<Answer, Refusal> {
        let number = request.asks("partNumber").and_then(|number| number.parse().ok());
        let number = number.filter(|number| (1..=MAX_PARTS).contains(number));
        let number = number.ok_or_else(|| Refusal::Invalid("partNumber".to_owned()))?;
        let kept = checked(request, &meaning.content)?;
        let etag = format!("\"{}\"", checksum::hex(&checksum::md5(&meaning.content)));
        let mut uploads = self.uploads.lock().expect("no holder of the lock panics");
        let upload = uploads.get_mut(request.asks("uploadId").unwrap_or_default());
        let upload = upload.filter(|upload| upload.key == meaning.key).ok_or(Refusal::NoSuchUpload)?;
        upload.parts.insert(number, Part { bytes: meaning.content.clone(), etag: etag.clone() });
        let mut answer = Answer::new(200).with("etag", etag);
        if let Some((algorithm, sum)) = kept {
            answer = answer.with(format!("x-amz-checksum-{}", algorithm.name()), sum);
        }
        Ok(answer)
    }

    pub(super) fn complete(
        &self,
        request: &Request,
        meaning: &Meaning,
        memory: &Memory,
    ) -> Result<Answer, Refusal> {
        let named = xml::parts(&meaning.content)?;
        let id = request.asks("uploadId").unwrap_or_default();
        let mut uploads = self.uploads.lock().expect("no holder of the lock panics");
        let upload = uploads.get(id).filter(|upload| upload.key == meaning.key);
        let upload = upload.ok_or(Refusal::NoSuchUpload)?;
        let mut bytes = BytesMut::new();
        let (mut md5s, mut sums) = (Vec::new(), Vec::new());
        for (at, (number, etag)) in named.iter().enumerate() {
            let part = upload
                .parts
                .get(number)
                .filter(|part| part.etag.trim_matches('"') == etag.trim_matches('"'))
                .ok_or_else(|| Refusal::Named("InvalidPart", format!("part {number}")))?;
            if at + 1 < named.len() && part.bytes.len() < MIN_PART_BYTES {
                return Err(Refusal::Named("EntityTooSmall", format!("part {number}")));
            }
            md5s.extend(checksum::md5(&part.bytes));
            if let Some(algorithm) = upload.algorithm {
                sums.extend(algorithm.raw(&part.bytes));
            }
            bytes.extend_from_slice(&part.bytes);
        }
        if named.is_empty() || !named.is_sorted_by(|(before, _), (after, _)| before < after) {
            return Err(Refusal::Named("InvalidPartOrder", "parts in ascending order".to_owned()));
        }
        let count = named.len();
        let draft = Draft {
            bytes: bytes.freeze(),
            etag: Some(format!("\"{}-{count}\"", checksum::hex(&checksum::md5(&md5s)))),
            checksum: upload
                .algorithm
                .map(|algorithm| (algorithm, format!("{}-{count}", algorithm.of(&sums)))),
            ..upload.draft.clone()
        };
        let object =
            memory.write(&meaning.bucket, &meaning.key, draft, &condition(request), &request.who())?;
        uploads.remove(id);
        let object = request.seen(object);
        let sum = object.checksum.as_ref().map(|(algorithm, sum)| {
            let name = algorithm.name().to_ascii_uppercase();
            format!("<Checksum{name}>{sum}</Checksum{name}><ChecksumType>COMPOSITE</ChecksumType>")
        });
        let body = format!(
            "<CompleteMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag>{}\
             </CompleteMultipartUploadResult>",
            meaning.bucket,
            xml::escape(&meaning.key),
            xml::escape(&object.etag),
            sum.unwrap_or_default(),
        );
        Ok(with_checksum(Answer::new(200), &object).body("application/xml", body))
    }

    pub(super) fn abort(&self, request: &Request) -> Result<Answer, Refusal> {
        let id = request.asks("uploadId").unwrap_or_default();
        let mut uploads = self.uploads.lock().expect("no holder of the lock panics");
        uploads.remove(id).map(|_| Answer::new(204)).ok_or(Refusal::NoSuchUpload)
    }
}
