//! The objects of the double, and the history of what was done to them.
//!
//! Both halves share one memory. A condition is checked and a change made under one lock, so of any
//! number of writers that expect nothing exactly one succeeds.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use bytes::Bytes;

use super::checksum::{Algorithm, crc32c, hex, md5, sha256_hex};
use super::refusal::Refusal;

/// An object as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bytes: Bytes,
    /// Grows with every write, over all buckets.
    pub generation: u64,
    /// Grows with every change of what is written beside the bytes.
    pub metageneration: u64,
    /// With quotes, as S3 gives it.
    pub etag: String,
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    /// The checksum that an S3 writer sent, which was checked: algorithm and base64.
    pub checksum: Option<(Algorithm, String)>,
    /// Of the bytes as they were written.
    pub sha256: String,
    pub md5: Vec<u8>,
    pub crc32c: u32,
    pub modified: SystemTime,
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub bytes: Bytes,
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub checksum: Option<(Algorithm, String)>,
    /// Of a multipart upload; by content otherwise.
    pub etag: Option<String>,
}

/// What a request expects to find. Nothing set expects nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// No object of that key.
    pub absent: bool,
    /// An object of that key, whichever.
    pub present: bool,
    /// An object with this ETag; `*` is any.
    pub etag: Option<String>,
    pub generation: Option<u64>,
    pub metageneration: Option<u64>,
}

/// What was done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Written,
    Deleted,
    /// Tags or metadata were set.
    Described,
}

/// A change that took place.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The place in the order of all changes, from 0.
    pub number: usize,
    pub at: SystemTime,
    pub bucket: String,
    pub key: String,
    pub deed: Deed,
    /// The generation that was written, deleted or described.
    pub generation: u64,
    /// The generation that a write put an end to.
    pub replaced: Option<u64>,
    /// Sha256 of the content in hex, of a deleted object too.
    pub sha256: String,
    pub etag: String,
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    /// The header `x-double-who` of the request, or its `user-agent`; `test` for the test itself and
    /// `rival` for what a fault did.
    pub who: String,
}

#[derive(Default)]
struct State {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    history: Vec<Entry>,
    generation: u64,
    page: Option<usize>,
}

/// All buckets.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

impl Memory {
    /// Makes a bucket where there is none.
    pub fn make_bucket(&self, bucket: &str) {
        self.state().buckets.entry(bucket.to_owned()).or_default();
    }

    /// The most that a page of a listing holds from now on, whatever was asked for.
    pub fn set_page(&self, objects: usize) {
        self.state().page = Some(objects);
    }

    pub fn buckets(&self) -> Vec<String> {
        self.state().buckets.keys().cloned().collect()
    }

    pub fn history(&self) -> Vec<Entry> {
        self.state().history.clone()
    }

    pub fn read(&self, bucket: &str, key: &str) -> Result<Object, Refusal> {
        let state = self.state();
        let objects = state.buckets.get(bucket).ok_or(Refusal::NoSuchBucket)?;
        objects.get(key).cloned().ok_or(Refusal::NoSuchKey)
    }

    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Object> {
        self.state().buckets.get(bucket).cloned().unwrap_or_default()
    }

    /// Up to `limit` objects with keys that begin with `prefix`, from `from` on, in the order of their
    /// bytes, and whether there are more.
    pub fn list(
        &self,
        bucket: &str,
        prefix: &str,
        from: Bound<&str>,
        limit: usize,
    ) -> Result<(Vec<(String, Object)>, bool), Refusal> {
        let state = self.state();
        let objects = state.buckets.get(bucket).ok_or(Refusal::NoSuchBucket)?;
        let from = match from {
            Bound::Included(key) | Bound::Excluded(key) if key >= prefix => from,
            _ => Bound::Included(prefix),
        };
        let mut found =
            objects.range::<str, _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        let limit = state.page.map_or(limit, |page| page.min(limit));
        let page = found.by_ref().take(limit).map(|(key, object)| (key.clone(), object.clone())).collect();
        Ok((page, found.next().is_some()))
    }

    pub fn write(
        &self,
        bucket: &str,
        key: &str,
        draft: Draft,
        condition: &Condition,
        who: &str,
    ) -> Result<Object, Refusal> {
        let mut state = self.state();
        let before = state.buckets.get(bucket).ok_or(Refusal::NoSuchBucket)?.get(key);
        condition.check(before)?;
        let replaced = before.map(|object| object.generation);
        state.generation += 1;
        let md5 = md5(&draft.bytes);
        let object = Object {
            etag: draft.etag.unwrap_or_else(|| format!("\"{}\"", hex(&md5))),
            sha256: sha256_hex(&draft.bytes),
            crc32c: crc32c(&draft.bytes),
            md5,
            bytes: draft.bytes,
            generation: state.generation,
            metageneration: 1,
            content_type: draft.content_type,
            metadata: draft.metadata,
            tags: draft.tags,
            checksum: draft.checksum,
            modified: SystemTime::now(),
        };
        state.record(bucket, key, Deed::Written, &object, replaced, who);
        state.buckets.entry(bucket.to_owned()).or_default().insert(key.to_owned(), object.clone());
        Ok(object)
    }

    /// Deletes an object; without a condition one that isn't there as well, as S3 does.
    pub fn delete(
        &self,
        bucket: &str,
        key: &str,
        condition: &Condition,
        who: &str,
    ) -> Result<Option<Object>, Refusal> {
        let mut state = self.state();
        let before = state.buckets.get(bucket).ok_or(Refusal::NoSuchBucket)?.get(key);
        condition.check(before)?;
        let gone = state.buckets.get_mut(bucket).and_then(|objects| objects.remove(key));
        if let Some(object) = &gone {
            state.record(bucket, key, Deed::Deleted, object, None, who);
        }
        Ok(gone)
    }

    /// Changes what is written beside an object's bytes.
    pub fn describe(
        &self,
        bucket: &str,
        key: &str,
        condition: &Condition,
        who: &str,
        change: impl FnOnce(&mut Object),
    ) -> Result<Object, Refusal> {
        let mut state = self.state();
        let objects = state.buckets.get_mut(bucket).ok_or(Refusal::NoSuchBucket)?;
        let object = objects.get_mut(key).ok_or(Refusal::NoSuchKey)?;
        condition.check(Some(object))?;
        change(object);
        object.metageneration += 1;
        let object = object.clone();
        state.record(bucket, key, Deed::Described, &object, None, who);
        Ok(object)
    }

    /// Turns one bit of an object's bytes, as a failing disk does: nothing else of it changes.
    pub fn rot(&self, bucket: &str, key: &str) {
        let mut state = self.state();
        let object = state.buckets.get_mut(bucket).and_then(|objects| objects.get_mut(key));
        if let Some(object) = object {
            object.bytes = flipped(&object.bytes);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the lock panics")
    }
}

impl State {
    fn record(
        &mut self,
        bucket: &str,
        key: &str,
        deed: Deed,
        object: &Object,
        replaced: Option<u64>,
        who: &str,
    ) {
        self.history.push(Entry {
            number: self.history.len(),
            at: SystemTime::now(),
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            deed,
            generation: object.generation,
            replaced,
            sha256: object.sha256.clone(),
            etag: object.etag.clone(),
            metadata: object.metadata.clone(),
            tags: object.tags.clone(),
            who: who.to_owned(),
        });
    }
}

impl Condition {
    pub fn absent() -> Self {
        Self { absent: true, ..Self::default() }
    }

    /// Whether it holds for what is there.
    pub fn check(&self, object: Option<&Object>) -> Result<(), Refusal> {
        let Some(object) = object else {
            // S3 calls the object of an unmet `If-Match` missing, Cloud Storage its condition unmet.
            return if self.present || self.etag.is_some() {
                Err(Refusal::NoSuchKey)
            } else if self.generation.is_some_and(|generation| generation != 0)
                || self.metageneration.is_some()
            {
                Err(Refusal::PreconditionFailed)
            } else {
                Ok(())
            };
        };
        let holds = !self.absent
            && self
                .etag
                .as_deref()
                .is_none_or(|etag| etag == "*" || etag.trim_matches('"') == object.etag.trim_matches('"'))
            && self.generation.is_none_or(|generation| generation == object.generation)
            && self.metageneration.is_none_or(|generation| generation == object.metageneration);
        if holds { Ok(()) } else { Err(Refusal::PreconditionFailed) }
    }
}

/// The same bytes with one bit turned, in the middle.
pub fn flipped(bytes: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x10;
    }
    bytes.into()
}
