//! Uploads over the JSON API: whole in one request, or resumable in several.
//!
//! <https://cloud.google.com/storage/docs/uploads-downloads>

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use super::{Gcs, condition, description, unknown};
use crate::double::checksum;
use crate::double::fault::Operation;
use crate::double::http::{Answer, Meaning, Request};
use crate::double::memory::{Condition, Draft, Memory, Object};
use crate::double::refusal::Refusal;

/// Of every chunk but the last the length is a multiple of this.
const QUANTUM_BYTES: usize = 256 << 10;
/// Names and values together.
const MAX_METADATA_BYTES: usize = 8 << 10;

/// A resumable upload.
pub struct Session {
    bucket: String,
    key: String,
    about: Value,
    condition: Condition,
    received: BytesMut,
    done: Option<Object>,
}

/// What a chunk's `Content-Range` says.
struct Span {
    /// Where the chunk begins; a question has none.
    from: Option<usize>,
    /// Of the whole object, once it is known.
    total: Option<usize>,
}

impl Gcs {
    pub fn understand_upload(&self, request: &Request, bucket: &str) -> Result<Meaning, Refusal> {
        let key = request.asks("name").unwrap_or_default().to_owned();
        let meaning =
            |operation, key, content| Ok(Meaning { operation, bucket: bucket.to_owned(), key, content });
        match (request.method.as_str(), request.asks("uploadType"), request.asks("upload_id")) {
            ("POST", Some("multipart"), _) => meaning(Operation::Write, key, parts(request)?.media),
            ("POST", Some("resumable"), _) => meaning(Operation::Begin, key, Bytes::new()),
            ("PUT", _, Some(id)) => {
                let sessions = self.sessions.lock().expect("no holder of the lock panics");
                let session = sessions.get(id).ok_or(Refusal::NoSuchUpload)?;
                let span = Span::of(request)?;
                let ends = span.from.is_some()
                    && span.total == span.from.map(|from| from + request.body.len())
                    || span.from.is_none() && span.total == Some(0);
                let operation = if ends { Operation::Complete } else { Operation::Part };
                meaning(operation, session.key.clone(), request.body.clone())
            }
            _ => Err(unknown(request)),
        }
    }

    pub fn begin(&self, request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
        let condition = condition(request)?;
        let there = match memory.read(&meaning.bucket, &meaning.key) {
            Ok(object) => Some(object),
            Err(Refusal::NoSuchKey) => None,
            Err(refusal) => return Err(refusal),
        };
        condition.check(there.as_ref())?;
        let about = serde_json::from_slice(&request.body).map_err(|_| Refusal::Invalid("JSON".to_owned()))?;
        let mut sessions = self.sessions.lock().expect("no holder of the lock panics");
        let id = format!("upload-{}", sessions.len());
        let session = Session {
            bucket: meaning.bucket.clone(),
            key: meaning.key.clone(),
            about,
            condition,
            received: BytesMut::new(),
            done: None,
        };
        sessions.insert(id.clone(), session);
        let address = format!(
            "http://{}/upload/storage/v1/b/{}/o?uploadType=resumable&upload_id={id}",
            self.address, meaning.bucket
        );
        Ok(Answer::new(200).with("location", address))
    }

    /// A chunk of a resumable upload, or the question how far it is.
    pub fn resume(&self, request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
        let mut sessions = self.sessions.lock().expect("no holder of the lock panics");
        let session = sessions.get_mut(request.asks("upload_id").unwrap_or_default());
        let session = session.ok_or(Refusal::NoSuchUpload)?;
        if let Some(object) = &session.done {
            return Ok(described(request, &session.bucket, &session.key, object.clone()));
        }
        let span = Span::of(request)?;
        if let Some(from) = span.from {
            if from != session.received.len() {
                return Err(Refusal::Invalid(format!(
                    "expected byte {}, got {from}",
                    session.received.len()
                )));
            }
            let ends = span.total == Some(from + meaning.content.len());
            if !ends && !meaning.content.len().is_multiple_of(QUANTUM_BYTES) {
                return Err(Refusal::Invalid("a chunk of no multiple of 256 KiB".to_owned()));
            }
            session.received.extend_from_slice(&meaning.content);
        }
        if span.total != Some(session.received.len()) {
            let answer = Answer::new(308);
            return Ok(match session.received.len() {
                0 => answer,
                length => answer.with("range", format!("bytes=0-{}", length - 1)),
            });
        }
        let bytes = session.received.clone().freeze();
        let mut about = session.about.clone();
        for hash in request.header("x-goog-hash").unwrap_or_default().split(',') {
            if let Some(crc32c) = hash.trim().strip_prefix("crc32c=") {
                about["crc32c"] = crc32c.into();
            }
        }
        let draft = draft(&about, bytes)?;
        let done = memory.write(&session.bucket, &session.key, draft, &session.condition, &request.who())?;
        session.done = Some(done.clone());
        Ok(described(request, &session.bucket, &session.key, done))
    }
}

/// An upload whole in one request: a description, the bytes, and perhaps checksums behind them.
pub fn write(request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
    let mut about = parts(request)?.about;
    if let (Some(about), Some(behind)) = (about.as_object_mut(), parts(request)?.behind.as_object()) {
        about.extend(behind.clone());
    }
    let Meaning { bucket, key, content, .. } = meaning;
    let draft = draft(&about, content.clone())?;
    let object = memory.write(bucket, key, draft, &condition(request)?, &request.who())?;
    Ok(described(request, bucket, key, object))
}

fn described(request: &Request, bucket: &str, key: &str, object: Object) -> Answer {
    let description = description(bucket, key, &request.seen(object));
    Answer::new(200).body("application/json; charset=UTF-8", description.to_string())
}

/// The object that a description and its bytes make, if its checksums are those of the bytes.
fn draft(about: &Value, bytes: Bytes) -> Result<Draft, Refusal> {
    let differs = |name: &str, sum: &[u8]| {
        about.get(name).and_then(Value::as_str).is_some_and(|told| told != checksum::base64(sum))
    };
    if differs("crc32c", &checksum::crc32c(&bytes).to_be_bytes())
        || differs("md5Hash", &checksum::md5(&bytes))
    {
        return Err(Refusal::BadDigest);
    }
    let mut metadata = BTreeMap::new();
    for (name, value) in about.get("metadata").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().ok_or_else(|| Refusal::Invalid(format!("metadata {name:?}")))?;
        metadata.insert(name.clone(), value.to_owned());
    }
    check_metadata(&metadata)?;
    let content_type = about.get("contentType").and_then(Value::as_str).map(str::to_owned);
    Ok(Draft { bytes, content_type, metadata, ..Draft::default() })
}

pub fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_METADATA_BYTES {
        return Err(Refusal::Invalid("The metadata is larger than 8 KiB.".to_owned()));
    }
    Ok(())
}

/// A `multipart/related` body.
struct Parts {
    about: Value,
    media: Bytes,
    /// What stands behind the bytes; null if nothing does.
    behind: Value,
}

fn parts(request: &Request) -> Result<Parts, Refusal> {
    let malformed = || Refusal::Invalid("a malformed multipart body".to_owned());
    let kind = request.header("content-type").unwrap_or_default();
    let boundary = kind.split_once("boundary=").ok_or_else(malformed)?.1.trim_matches('"');
    let delimiter = format!("\r\n--{boundary}");
    let body = &request.body;
    let mut at = body.strip_prefix(delimiter.trim_start().as_bytes()).map(|rest| body.len() - rest.len());
    let mut bodies = Vec::new();
    while let Some(from) = at {
        let rest = body.get(from..).unwrap_or_default();
        if rest.starts_with(b"--") {
            break;
        }
        let end = from + position(rest, delimiter.as_bytes()).ok_or_else(malformed)?;
        let part = body.slice(from..end);
        let head = position(&part, b"\r\n\r\n").ok_or_else(malformed)?;
        bodies.push(part.slice(head + 4..));
        at = Some(end + delimiter.len());
    }
    let json = |bytes: &Bytes| serde_json::from_slice(bytes).map_err(|_| malformed());
    let (about, media, behind) = match bodies.as_slice() {
        [about, media] => (json(about)?, media.clone(), Value::Null),
        [about, media, behind] => (json(about)?, media.clone(), json(behind)?),
        _ => return Err(malformed()),
    };
    Ok(Parts { about, media, behind })
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    // Boundaries and heads begin with a carriage return, so few places need a closer look.
    let mut at = 0;
    while let Some(found) = bytes.get(at..)?.iter().position(|byte| Some(byte) == wanted.first()) {
        at += found;
        if bytes.get(at..)?.starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

impl Span {
    fn of(request: &Request) -> Result<Self, Refusal> {
        let bad = || Refusal::Invalid("Content-Range".to_owned());
        let Some(text) = request.header("content-range") else {
            return Ok(Self { from: Some(0), total: Some(request.body.len()) });
        };
        let (span, total) =
            text.strip_prefix("bytes ").and_then(|text| text.split_once('/')).ok_or_else(bad)?;
        let total = if total == "*" { None } else { Some(total.parse().map_err(|_| bad())?) };
        if span == "*" {
            return Ok(Self { from: None, total });
        }
        let (from, to) = span.split_once('-').ok_or_else(bad)?;
        let from: usize = from.parse().map_err(|_| bad())?;
        if to != "*" && to.parse() != Ok(from + request.body.len() - 1) {
            return Err(bad());
        }
        // A chunk whose end isn't told is the last.
        let total = if to == "*" { Some(from + request.body.len()) } else { total };
        Ok(Self { from: Some(from), total })
    }
}
