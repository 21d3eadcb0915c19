//! The double's S3 half: path style, as aws-sdk-s3 speaks it.

mod chunked;
mod list;
mod upload;
mod xml;

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::checksum::{self, Algorithm};
use super::fault::{Fault, Operation};
use super::http::{Answer, Dialect, Meaning, Request};
use super::memory::{Condition, Draft, Memory, Object};
use super::refusal::Refusal;
use upload::Upload;

/// In UTF-8; <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>.
const MAX_KEY_BYTES: usize = 1024;
/// User metadata, names and values together.
const MAX_METADATA_BYTES: usize = 2048;
const MAX_TAGS: usize = 10;

#[derive(Default)]
pub struct S3 {
    /// By upload id.
    uploads: Mutex<BTreeMap<String, Upload>>,
}

impl Dialect for S3 {
    fn understand(&self, request: &Request) -> Result<Meaning, Refusal> {
        let path = request.path.strip_prefix('/').unwrap_or(&request.path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(std::borrow::Cow::into_owned)
                .map_err(|_| Refusal::Invalid("the path is not UTF-8".to_owned()))
        };
        let (bucket, mut key) = (decoded(bucket)?, decoded(key)?);
        let has = |name| request.asks(name).is_some();
        let operation = match request.method.as_str() {
            _ if bucket.is_empty() => Operation::Bucket,
            "GET" if key.is_empty() && has("list-type") => Operation::List,
            _ if key.is_empty() => Operation::Bucket,
            "GET" if has("tagging") => Operation::Tags,
            "PUT" if has("tagging") => Operation::Tag,
            "GET" => Operation::Read,
            "HEAD" => Operation::Head,
            "PUT" if has("partNumber") => Operation::Part,
            "PUT" => Operation::Write,
            "DELETE" if has("uploadId") => Operation::Abort,
            "DELETE" => Operation::Delete,
            "POST" if has("uploads") => Operation::Begin,
            "POST" if has("uploadId") => Operation::Complete,
            method => return Err(Refusal::NotImplemented(format!("{method} {}", request.path))),
        };
        if operation == Operation::List {
            key = request.asks("prefix").unwrap_or_default().to_owned();
        }
        let content = match operation {
            Operation::Write | Operation::Part => chunked::content(request)?,
            _ => request.body.clone(),
        };
        Ok(Meaning { operation, bucket, key, content })
    }

    fn perform(&self, request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
        if meaning.key.len() > MAX_KEY_BYTES {
            return Err(Refusal::KeyTooLong);
        }
        let Meaning { bucket, key, .. } = meaning;
        match meaning.operation {
            Operation::List => list::answer(request, bucket, memory),
            Operation::Head | Operation::Read => read(request, meaning, memory),
            Operation::Write => {
                let draft = draft(request, meaning.content.clone())?;
                let object = memory.write(bucket, key, draft, &condition(request), &request.who())?;
                let object = request.seen(object);
                Ok(with_checksum(Answer::new(200).with("etag", &object.etag), &object))
            }
            Operation::Delete => {
                memory.delete(bucket, key, &condition(request), &request.who())?;
                Ok(Answer::new(204))
            }
            Operation::Tag => {
                let tags = xml::tags(&meaning.content)?;
                checked_tags(&tags)?;
                let set = |object: &mut Object| object.tags = tags;
                memory.describe(bucket, key, &condition(request), &request.who(), set)?;
                Ok(Answer::new(200))
            }
            Operation::Tags => {
                let object = memory.read(bucket, key)?;
                Ok(Answer::new(200).body("application/xml", xml::tagging(&object.tags)))
            }
            Operation::Begin => self.begin(request, meaning, memory),
            Operation::Part => self.part(request, meaning),
            Operation::Complete => self.complete(request, meaning, memory),
            Operation::Abort => self.abort(request),
            Operation::Bucket => bucket_request(request, bucket, memory),
        }
    }

    fn refuse(&self, request: &Request, refusal: &Refusal) -> Answer {
        let (status, code, message) = refusal.s3();
        let mut answer = Answer::new(status);
        match refusal {
            Refusal::SlowDown(Some(seconds)) => answer = answer.with("retry-after", seconds.to_string()),
            Refusal::Elsewhere => answer = answer.with("x-amz-bucket-region", "eu-west-1"),
            _ => {}
        }
        // An answer to HEAD has no body, so that its client knows no more than the status.
        if request.method == "HEAD" {
            return answer;
        }
        answer.body("application/xml", xml::error(code, &message, &request.path))
    }
}

fn bucket_request(request: &Request, bucket: &str, memory: &Memory) -> Result<Answer, Refusal> {
    let is_there = memory.buckets().iter().any(|name| name == bucket);
    match request.method.as_str() {
        "PUT" if request.query.iter().all(|(name, _)| name == "x-id") && !bucket.is_empty() => {
            memory.make_bucket(bucket);
            Ok(Answer::new(200).with("location", format!("/{bucket}")))
        }
        "HEAD" if is_there => Ok(Answer::new(200).with("x-amz-bucket-region", "us-east-1")),
        "HEAD" => Err(Refusal::NoSuchBucket),
        method => Err(Refusal::NotImplemented(format!("{method} {}", request.path))),
    }
}

fn read(request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
    let object = memory.read(&meaning.bucket, &meaning.key)?;
    condition(request).check(Some(&object))?;
    let object = request.seen(object);
    let range = request.range(object.bytes.len())?;
    let mut answer = Answer::new(if range.is_some() { 206 } else { 200 })
        .with("etag", &object.etag)
        .with("last-modified", httpdate::fmt_http_date(object.modified))
        .with("accept-ranges", "bytes")
        .with("content-type", object.content_type.as_deref().unwrap_or("binary/octet-stream"));
    for (name, value) in &object.metadata {
        answer = answer.with(format!("x-amz-meta-{name}"), value);
    }
    if !object.tags.is_empty() {
        answer = answer.with("x-amz-tagging-count", object.tags.len().to_string());
    }
    let bytes = match range {
        Some((from, to)) => {
            answer = answer.with("content-range", format!("bytes {from}-{}/{}", to - 1, object.bytes.len()));
            object.bytes.slice(from..to)
        }
        None => {
            if request.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"))
            {
                answer = with_checksum(answer, &object);
            }
            object.bytes
        }
    };
    if meaning.operation == Operation::Head {
        return Ok(answer.with("content-length", bytes.len().to_string()));
    }
    answer.body = bytes;
    Ok(answer)
}

fn condition(request: &Request) -> Condition {
    Condition {
        absent: request.header("if-none-match") == Some("*"),
        etag: request.header("if-match").map(str::to_owned),
        ..Condition::default()
    }
}

/// What a request that writes says of the object, with its content checked.
fn draft(request: &Request, bytes: Bytes) -> Result<Draft, Refusal> {
    let checksum = checked(request, &bytes)?;
    Ok(Draft { checksum, bytes, ..described(request)? })
}

/// Content type, metadata and tags.
fn described(request: &Request) -> Result<Draft, Refusal> {
    let mut metadata = BTreeMap::new();
    for (name, value) in &request.headers {
        let Some(name) = name.as_str().strip_prefix("x-amz-meta-") else { continue };
        let value = value.to_str().map_err(|_| Refusal::Invalid(format!("metadata {name:?}")))?;
        metadata.insert(name.to_owned(), value.to_owned());
    }
    if metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_METADATA_BYTES {
        return Err(Refusal::Named("MetadataTooLarge", "2 KB are the most".to_owned()));
    }
    let tags = request.header("x-amz-tagging").map(super::http::query).unwrap_or_default();
    let tags = tags.into_iter().collect();
    checked_tags(&tags)?;
    Ok(Draft {
        content_type: request.header("content-type").map(str::to_owned),
        metadata,
        tags,
        ..Draft::default()
    })
}

fn checked_tags(tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let fits = tags.len() <= MAX_TAGS
        && tags.iter().all(|(name, value)| {
            !name.is_empty() && name.chars().count() <= 128 && value.chars().count() <= 256
        });
    if fits {
        Ok(())
    } else {
        Err(Refusal::Named(
            "InvalidTag",
            "names of 1 to 128 letters, values of up to 256, 10 of them".to_owned(),
        ))
    }
}

/// Checks a body against every checksum that came with it, and gives the one that is kept.
fn checked(request: &Request, bytes: &[u8]) -> Result<Option<(Algorithm, String)>, Refusal> {
    if let Some(sent) = request.header("content-md5")
        && sent != checksum::base64(&checksum::md5(bytes))
    {
        return Err(Refusal::BadDigest);
    }
    let signed = request.header("x-amz-content-sha256").filter(|sha256| sha256.len() == 64);
    if signed.is_some_and(|sha256| sha256 != checksum::sha256_hex(bytes)) {
        return Err(Refusal::BadDigest);
    }
    let trailers = chunked::trailers(request);
    let mut kept = None;
    for algorithm in Algorithm::ALL {
        let name = format!("x-amz-checksum-{}", algorithm.name());
        let sent = request.header(&name).or_else(|| trailers.get(&name).map(String::as_str));
        if let Some(sent) = sent {
            if sent != algorithm.of(bytes) {
                return Err(Refusal::BadDigest);
            }
            kept = Some((algorithm, sent.to_owned()));
        }
    }
    Ok(kept)
}

fn with_checksum(answer: Answer, object: &Object) -> Answer {
    let Some((algorithm, sum)) = &object.checksum else { return answer };
    let kind = if sum.contains('-') { "COMPOSITE" } else { "FULL_OBJECT" };
    answer.with(format!("x-amz-checksum-{}", algorithm.name()), sum).with("x-amz-checksum-type", kind)
}

/// Whether a listing is to be untrue in this way.
fn is_distorted(request: &Request, fault: Fault) -> bool {
    request.distortion == Some(fault)
}
