//! The calls of `google.storage.v2.Storage` that aren't about bytes.

use std::ops::Bound;

use bytes::{BufMut as _, Bytes, BytesMut};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use prost::Message;

use super::message::{Checksums, DeleteObject, GetObject, ListObjects, Object, ObjectList, UpdateObject};
use super::{unknown, upload};
use crate::double::fault::{Fault, Operation};
use crate::double::http::{Answer, Meaning, Request};
use crate::double::memory::{Condition, Memory, Object as Stored};
use crate::double::refusal::Refusal;

pub const SERVICE: &str = "/google.storage.v2.Storage/";
const MAX_PAGE: usize = 1000;
/// What `grpc-message` must not hold as it is.
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

pub fn understand(request: &Request) -> Result<Meaning, Refusal> {
    let (operation, bucket, key) = match request.path.strip_prefix(SERVICE) {
        Some("GetObject") => {
            let call: GetObject = decoded(request)?;
            (Operation::Head, call.bucket, call.object)
        }
        Some("ListObjects") => {
            let call: ListObjects = decoded(request)?;
            (Operation::List, call.parent, call.prefix)
        }
        Some("DeleteObject") => {
            let call: DeleteObject = decoded(request)?;
            (Operation::Delete, call.bucket, call.object)
        }
        Some("UpdateObject") => {
            let object = decoded::<UpdateObject>(request)?.object.unwrap_or_default();
            (Operation::Tag, object.bucket, object.name)
        }
        _ => return Err(unknown(request)),
    };
    let bucket = bucket.strip_prefix("projects/_/buckets/");
    let bucket = bucket.ok_or_else(|| Refusal::Invalid("the bucket's name".to_owned()))?.to_owned();
    Ok(Meaning { operation, bucket, key, content: Bytes::new() })
}

pub fn perform(request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
    let Meaning { bucket, key, .. } = meaning;
    match meaning.operation {
        Operation::Head => {
            let call: GetObject = decoded(request)?;
            let object = memory.read(bucket, key)?;
            is_generation(call.generation, &object)?;
            condition(call.if_generation_match, call.if_metageneration_match).check(Some(&object))?;
            Ok(answer(&described(bucket, key, request.seen(object))))
        }
        Operation::Delete => {
            let call: DeleteObject = decoded(request)?;
            if call.generation != 0 {
                is_generation(call.generation, &memory.read(bucket, key)?)?;
            }
            let condition = condition(call.if_generation_match, call.if_metageneration_match);
            memory.delete(bucket, key, &condition, &request.who())?;
            // `google.protobuf.Empty`.
            Ok(answer(&()))
        }
        Operation::Tag => update(request, meaning, memory),
        _ => list(request, meaning, memory),
    }
}

/// An error before any message, which is a head with no body.
pub fn refuse(code: u8, message: &str) -> Answer {
    Answer::new(200)
        .with("content-type", "application/grpc")
        .with("grpc-status", code.to_string())
        .with("grpc-message", utf8_percent_encode(message, MESSAGE).to_string())
}

fn update(request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
    let call: UpdateObject = decoded(request)?;
    let given = call.object.unwrap_or_default();
    let paths = call.update_mask.unwrap_or_default().paths;
    if paths != ["metadata"] {
        return Err(Refusal::NotImplemented(format!("an update of {paths:?}")));
    }
    if given.generation != 0 {
        is_generation(given.generation, &memory.read(&meaning.bucket, &meaning.key)?)?;
    }
    let metadata = given.metadata.into_iter().collect();
    upload::check_metadata(&metadata)?;
    let condition = condition(call.if_generation_match, call.if_metageneration_match);
    let set = |object: &mut Stored| object.metadata = metadata;
    let object = memory.describe(&meaning.bucket, &meaning.key, &condition, &request.who(), set)?;
    Ok(answer(&described(&meaning.bucket, &meaning.key, request.seen(object))))
}

fn list(request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal> {
    let call: ListObjects = decoded(request)?;
    let limit = usize::try_from(call.page_size).ok().filter(|size| (1..MAX_PAGE).contains(size));
    let from = match call.page_token.as_str() {
        "" => Bound::Included(call.lexicographic_start.as_str()),
        token => Bound::Excluded(token.strip_prefix("after ").ok_or(Refusal::InvalidToken)?),
    };
    let (objects, more) = memory.list(&meaning.bucket, &meaning.key, from, limit.unwrap_or(MAX_PAGE))?;
    let next_page_token = objects.last().filter(|_| more).map(|(key, _)| format!("after {key}"));
    let mut objects: Vec<Object> =
        objects.into_iter().map(|(key, object)| described(&meaning.bucket, &key, object)).collect();
    if request.distortion == Some(Fault::ListedTwice)
        && let Some(first) = objects.first().cloned()
    {
        objects.push(first);
    }
    if request.distortion == Some(Fault::ListedBackwards) {
        objects.reverse();
    }
    Ok(answer(&ObjectList { objects, next_page_token: next_page_token.unwrap_or_default() }))
}

/// Over gRPC, the generation of a call names a version, and another one isn't there.
fn is_generation(generation: i64, object: &Stored) -> Result<(), Refusal> {
    let is_it = generation == 0 || u64::try_from(generation) == Ok(object.generation);
    if is_it { Ok(()) } else { Err(Refusal::NoSuchKey) }
}

fn condition(generation: Option<i64>, metageneration: Option<i64>) -> Condition {
    let number = |number: Option<i64>| number.map(|number| u64::try_from(number).unwrap_or(u64::MAX));
    Condition {
        present: true,
        absent: generation == Some(0),
        generation: number(generation),
        metageneration: number(metageneration),
        ..Condition::default()
    }
}

fn described(bucket: &str, key: &str, object: Stored) -> Object {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    Object {
        name: key.to_owned(),
        bucket: format!("projects/_/buckets/{bucket}"),
        generation: signed(object.generation),
        metageneration: signed(object.metageneration),
        storage_class: "STANDARD".to_owned(),
        size: signed(object.bytes.len() as u64),
        content_type: object.content_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
        create_time: Some(object.modified.into()),
        checksums: Some(Checksums { crc32c: Some(object.crc32c), md5_hash: object.md5.into() }),
        update_time: Some(object.modified.into()),
        metadata: object.metadata.into_iter().collect(),
        etag: format!("CP{:x}=", object.generation),
    }
}

/// The message of a request: a byte that says that it isn't compressed, its length, and itself.
fn decoded<M: Message + Default>(request: &Request) -> Result<M, Refusal> {
    let malformed = || Refusal::Invalid("a malformed message".to_owned());
    let message = request.body.get(5..).filter(|_| request.body.first() == Some(&0)).ok_or_else(malformed)?;
    M::decode(message).map_err(|_| malformed())
}

fn answer(message: &impl Message) -> Answer {
    let message = message.encode_to_vec();
    let mut body = BytesMut::with_capacity(5 + message.len());
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.extend_from_slice(&message);
    let mut answer = Answer::new(200).body("application/grpc", body.freeze());
    answer.trailers.push(("grpc-status", "0".to_owned()));
    answer
}
