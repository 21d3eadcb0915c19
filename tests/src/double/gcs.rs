//! The double's Cloud Storage half: objects' bytes over the JSON API, everything else over gRPC, as
//! Google's own client speaks it.

mod grpc;
mod message;
mod upload;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::fault::Operation;
use super::http::{Answer, Dialect, Meaning, Request};
use super::memory::{Condition, Memory, Object};
use super::refusal::Refusal;
use super::{checksum, clock};
use upload::Session;

/// In UTF-8; <https://cloud.google.com/storage/docs/objects#naming>.
const MAX_KEY_BYTES: usize = 1024;

pub struct Gcs {
    /// Where the double listens; clients needn't name the port in `Host`.
    address: SocketAddr,
    /// Resumable uploads by their id, finished ones too.
    sessions: Mutex<BTreeMap<String, Session>>,
}

impl Gcs {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, sessions: Mutex::default() }
    }
}

impl Dialect for Gcs {
    fn understand(&self, request: &Request) -> Result<Meaning, Refusal> {
        if request.path.starts_with(grpc::SERVICE) {
            return grpc::understand(request);
        }
        if let Some(rest) = request.path.strip_prefix("/upload/storage/v1/b/") {
            let bucket = rest.strip_suffix("/o").ok_or_else(|| unknown(request))?;
            return self.understand_upload(request, bucket);
        }
        let rest = request.path.strip_prefix("/storage/v1/b/").and_then(|rest| rest.split_once("/o/"));
        let (bucket, key) = rest.ok_or_else(|| unknown(request))?;
        if request.method != "GET" || request.asks("alt") != Some("media") {
            return Err(unknown(request));
        }
        let key = percent_decode_str(key).decode_utf8().map_err(|_| Refusal::Invalid("key".to_owned()))?;
        Ok(Meaning {
            operation: Operation::Read,
            bucket: bucket.to_owned(),
            key: key.into_owned(),
            content: Default::default(),
        })
    }

    fn perform(&self, request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
        if meaning.operation != Operation::List {
            check_key(&meaning.key)?;
        }
        if request.path.starts_with(grpc::SERVICE) {
            return grpc::perform(request, meaning, memory);
        }
        match meaning.operation {
            Operation::Read => read(request, meaning, memory),
            Operation::Write => upload::write(request, meaning, memory),
            Operation::Begin => self.begin(request, meaning, memory),
            _ => self.resume(request, meaning, memory),
        }
    }

    fn refuse(&self, request: &Request, refusal: &Refusal) -> Answer {
        let (status, code, message) = refusal.gcs();
        let answer = if request.path.starts_with(grpc::SERVICE) {
            grpc::refuse(code, &message)
        } else {
            let error = json!({"error": {
                "code": status,
                "message": message,
                "errors": [{"message": message, "domain": "global", "reason": reason(refusal)}],
            }});
            Answer::new(status).body("application/json; charset=UTF-8", error.to_string())
        };
        match refusal {
            Refusal::SlowDown(Some(seconds)) => answer.with("retry-after", seconds.to_string()),
            _ => answer,
        }
    }
}

fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoSuchBucket | Refusal::NoSuchKey | Refusal::NoSuchUpload => "notFound",
        Refusal::PreconditionFailed => "conditionNotMet",
        Refusal::Conflict => "conflict",
        Refusal::SlowDown(_) | Refusal::Internal => "backendError",
        Refusal::TooManyRequests => "rateLimitExceeded",
        Refusal::ExpiredToken | Refusal::ClockSkew => "authError",
        Refusal::ReadOnly => "forbidden",
        Refusal::InvalidRange => "requestedRangeNotSatisfiable",
        _ => "invalid",
    }
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if key.len() > MAX_KEY_BYTES {
        return Err(Refusal::KeyTooLong);
    }
    let is_legal = !key.is_empty()
        && !key.contains(['\r', '\n'])
        && key != "."
        && key != ".."
        && !key.starts_with(".well-known/acme-challenge/");
    if is_legal { Ok(()) } else { Err(Refusal::Invalid(format!("Disallowed object name {key:?}"))) }
}

fn read(request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
    let object = memory.read(&meaning.bucket, &meaning.key)?;
    if number(request, "generation")?.is_some_and(|generation| generation != object.generation) {
        return Err(Refusal::NoSuchKey);
    }
    condition(request)?.check(Some(&object))?;
    let object = request.seen(object);
    let range = request.range(object.bytes.len())?;
    let hash = format!(
        "crc32c={},md5={}",
        checksum::base64(&object.crc32c.to_be_bytes()),
        checksum::base64(&object.md5)
    );
    let mut answer = Answer::new(if range.is_some() { 206 } else { 200 })
        .with("content-type", object.content_type.as_deref().unwrap_or("application/octet-stream"))
        .with("last-modified", httpdate::fmt_http_date(object.modified))
        .with("x-goog-generation", object.generation.to_string())
        .with("x-goog-metageneration", object.metageneration.to_string())
        .with("x-goog-stored-content-encoding", "identity")
        .with("x-goog-stored-content-length", object.bytes.len().to_string())
        .with("x-goog-storage-class", "STANDARD")
        .with("x-goog-hash", hash)
        .with("etag", format!("CP{:x}=", object.generation));
    for (name, value) in &object.metadata {
        answer = answer.with(format!("x-goog-meta-{name}"), value);
    }
    answer.body = match range {
        Some((from, to)) => {
            answer = answer.with("content-range", format!("bytes {from}-{}/{}", to - 1, object.bytes.len()));
            object.bytes.slice(from..to)
        }
        None => object.bytes,
    };
    Ok(answer)
}

fn condition(request: &Request) -> Result<Condition, Refusal> {
    let generation = number(request, "ifGenerationMatch")?;
    Ok(Condition {
        absent: generation == Some(0),
        generation: generation.filter(|generation| *generation != 0),
        metageneration: number(request, "ifMetagenerationMatch")?,
        ..Condition::default()
    })
}

fn number(request: &Request, name: &str) -> Result<Option<u64>, Refusal> {
    let number = request.asks(name).map(str::parse).transpose();
    number.map_err(|_| Refusal::Invalid(format!("{name} is no number")))
}

/// An object as the JSON API and events describe it.
pub fn description(bucket: &str, key: &str, object: &Object) -> Value {
    let time = clock::iso(object.modified);
    json!({
        "kind": "storage#object",
        "id": format!("{bucket}/{key}/{}", object.generation),
        "name": key,
        "bucket": bucket,
        "generation": object.generation.to_string(),
        "metageneration": object.metageneration.to_string(),
        "contentType": object.content_type.as_deref().unwrap_or("application/octet-stream"),
        "size": object.bytes.len().to_string(),
        "storageClass": "STANDARD",
        "timeCreated": time,
        "updated": time,
        "crc32c": checksum::base64(&object.crc32c.to_be_bytes()),
        "md5Hash": checksum::base64(&object.md5),
        "etag": format!("CP{:x}=", object.generation),
        "metadata": object.metadata,
    })
}

fn unknown(request: &Request) -> Refusal {
    Refusal::NotImplemented(format!("{} {}", request.method, request.path))
}
