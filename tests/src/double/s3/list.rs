//! `ListObjectsV2`.

use std::ops::Bound;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{is_distorted, xml};
use crate::double::clock;
use crate::double::fault::Fault;
use crate::double::http::{Answer, Request};
use crate::double::memory::Memory;
use crate::double::refusal::Refusal;

const MAX_KEYS: usize = 1000;
/// What `encoding-type=url` leaves as it is; a space becomes `+`.
const URL: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b'/').remove(b' ');

pub fn answer(request: &Request, bucket: &str, memory: &Memory) -> Result<Answer, Refusal> {
    if request.asks("delimiter").is_some_and(|delimiter| !delimiter.is_empty()) {
        return Err(Refusal::NotImplemented("ListObjectsV2 with a delimiter".to_owned()));
    }
    let prefix = request.asks("prefix").unwrap_or_default();
    let after = match request.asks("continuation-token") {
        Some(token) => untoken(token).ok_or(Refusal::InvalidToken)?,
        None => request.asks("start-after").unwrap_or_default().to_owned(),
    };
    let limit = match request.asks("max-keys") {
        Some(limit) => {
            limit.parse::<usize>().map_err(|_| Refusal::Invalid(format!("max-keys {limit:?}")))?.min(MAX_KEYS)
        }
        None => MAX_KEYS,
    };
    let (mut objects, more) = memory.list(bucket, prefix, Bound::Excluded(&after), limit)?;
    let next = objects.last().filter(|_| more).map(|(key, _)| token(key));
    if is_distorted(request, Fault::ListedTwice)
        && let Some(first) = objects.first().cloned()
    {
        objects.push(first);
    }
    if is_distorted(request, Fault::ListedBackwards) {
        objects.reverse();
    }
    let encoded = request.asks("encoding-type") == Some("url");
    let text = |key: &str| {
        if encoded { utf8_percent_encode(key, URL).to_string().replace(' ', "+") } else { xml::escape(key) }
    };
    let mut page = String::new();
    for (key, object) in &objects {
        page.push_str(&format!(
            "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            text(key),
            clock::iso(object.modified),
            xml::escape(&object.etag),
            object.bytes.len(),
        ));
    }
    let mut head = format!(
        "<Name>{bucket}</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{limit}</MaxKeys>\
         <IsTruncated>{more}</IsTruncated>",
        text(prefix),
        objects.len(),
    );
    if encoded {
        head.push_str("<EncodingType>url</EncodingType>");
    }
    if let Some(next) = next {
        head.push_str(&format!("<NextContinuationToken>{next}</NextContinuationToken>"));
    }
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{head}{page}</ListBucketResult>"
    );
    Ok(Answer::new(200).body("application/xml", body))
}

/// A token that no client can take for a key.
fn token(key: &str) -> String {
    format!("1{}", crate::double::checksum::hex(key.as_bytes()))
}

fn untoken(token: &str) -> Option<String> {
    let hex = token.strip_prefix('1')?;
    let bytes: Option<Vec<u8>> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
    String::from_utf8(bytes?).ok()
}
