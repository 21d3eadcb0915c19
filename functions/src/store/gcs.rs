//! [`Gcs`]: a bucket of Cloud Storage as a store.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use google_cloud_storage::client::{Storage, StorageControl};
use google_cloud_storage::model;
use google_cloud_wkt::FieldMask;

use super::{About, Content, Expect, Object, Page, Reading, Store, StoreError, Version};
use call::{Asked, Call};

mod call;
mod connect;
mod read;
mod write;

pub use connect::GcsSettings;

/// The most that a page may hold.
const PAGE: i32 = 1000;
/// In UTF-8; <https://cloud.google.com/storage/docs/objects#naming>.
const MAX_KEY_BYTES: usize = 1024;
/// Metadata of ours. Names with `_` can't be those of [`About::metadata`].
const SHA256: &str = "ampoule_sha256";
const TAG: &str = "tag_";
/// How often a tag is set anew when someone else changes the metadata meanwhile.
const TAG_TRIES: u32 = 4;

/// A bucket of Cloud Storage as a store, through Google's own client.
///
/// Objects' bytes go over the JSON API, everything else over gRPC, both at the same address.
///
/// **Keys** are taken as they are; Cloud Storage has no object called `.` or `..`, with a line break or
/// of more than 1,024 bytes. **Versions** are generations, which are never used twice.
///
/// **Checksums**: crc32c and md5 are sent with the bytes, checked by the service and compared with
/// what it says it stored; sha256 is kept in the metadata. A whole read is checked against crc32c.
///
/// **Tags** are metadata too, each under `tag_` and its name, so that they need no right but
/// `storage.objects.update` and no more than one request to be seen; the contexts of Cloud Storage
/// need rights of their own. They are set by comparing and swapping: two who tag at once both succeed.
///
/// Files of 16 MiB and more are uploaded resumably, in one stream. The client's own retries are off.
pub struct Gcs {
    name: String,
    /// As the client names it: `projects/_/buckets/NAME`.
    bucket: String,
    data: Storage,
    control: StorageControl,
    patience: Duration,
}

impl Gcs {
    fn call<'a>(&self, key: &'a str) -> Call<'a> {
        Call::new(key, self.patience)
    }

    async fn look(&self, key: &str, generation: Option<i64>) -> Result<model::Object, StoreError> {
        check(key)?;
        let call = || {
            let call = self.control.get_object().set_bucket(&self.bucket).set_object(key);
            call.set_or_clear_if_generation_match(generation).send()
        };
        let found = self.call(key).ask(call).await?;
        if found.name != key || found.generation <= 0 {
            return Err(StoreError::Lost { cause: format!("the answer is about {:?}", found.name) });
        }
        Ok(found)
    }
}

#[async_trait]
impl Store for Gcs {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&self, prefix: &str, page: Option<&str>) -> Result<Page, StoreError> {
        // A key has no line feed, so that one parts the service's token from the last key that came.
        let (token, last) = page.and_then(|page| page.split_once('\n')).unwrap_or_default();
        let request = || {
            let request = self.control.list_objects().set_parent(&self.bucket);
            request.set_prefix(prefix).set_page_size(PAGE)
        };
        let call = self.call(prefix).asked(Asked::Bucket);
        let listed = match call.ask(|| request().set_page_token(token).send()).await {
            // The token has run out, or isn't known any more.
            Err(StoreError::Unsupported { .. }) if !token.is_empty() => {
                call.ask(|| request().set_lexicographic_start(last).send()).await?
            }
            listed => listed?,
        };
        let mut objects: Vec<Object> =
            listed.objects.into_iter().map(object).filter(|object| object.key.as_str() > last).collect();
        // The service lists each once and in order; an answer that doesn't must not do harm.
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        objects.dedup_by(|one, other| one.key == other.key);
        let last = objects.last().map_or(last, |object| &object.key);
        let next =
            (!listed.next_page_token.is_empty()).then(|| format!("{}\n{last}", listed.next_page_token));
        Ok(Page { objects, next })
    }

    async fn head(&self, key: &str) -> Result<Object, StoreError> {
        Ok(object(self.look(key, None).await?))
    }

    async fn read(&self, key: &str, start: u64, version: Option<&Version>) -> Result<Reading, StoreError> {
        check(key)?;
        read::read(self, key, start, version.map(generation)).await
    }

    async fn write(
        &self,
        key: &str,
        content: &Content,
        about: &About,
        expect: &Expect,
    ) -> Result<Version, StoreError> {
        check(key)?;
        let expected = match expect {
            Expect::Nothing => 0,
            Expect::Version(version) => generation(version),
        };
        write::write(self, key, content, about, expected).await
    }

    async fn delete(&self, key: &str, version: &Version) -> Result<(), StoreError> {
        check(key)?;
        let generation = generation(version);
        let call = || {
            let call = self.control.delete_object().set_bucket(&self.bucket).set_object(key);
            call.set_if_generation_match(generation).send()
        };
        self.call(key).ask(call).await
    }

    async fn tag(&self, key: &str, version: &Version, name: &str, value: &str) -> Result<(), StoreError> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        {
            let cause = format!("tag {name:?}: expected letters, digits, \".\", \"_\" and \"-\"");
            return Err(StoreError::Unsupported { key: key.to_owned(), cause });
        }
        let generation = generation(version);
        for _ in 0..TAG_TRIES {
            let found = self.look(key, Some(generation)).await?;
            let mut metadata = found.metadata;
            metadata.insert(format!("{TAG}{name}"), value.to_owned());
            let changed = model::Object::new().set_bucket(&self.bucket).set_name(key).set_metadata(metadata);
            let call = || {
                let call = self.control.update_object().set_object(changed.clone());
                let call = call.set_update_mask(FieldMask::default().set_paths(["metadata"]));
                let call = call.set_if_generation_match(generation);
                call.set_if_metageneration_match(found.metageneration).send()
            };
            match self.call(key).ask(call).await {
                Ok(_) => return Ok(()),
                // Another version, which the next look tells, or other metadata.
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict { key: key.to_owned() })
    }

    async fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let metadata = self.look(key, None).await?.metadata.into_iter();
        Ok(metadata.filter_map(|(name, value)| Some((name.strip_prefix(TAG)?.to_owned(), value))).collect())
    }
}

impl fmt::Debug for Gcs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Gcs").field(&self.name).finish()
    }
}

/// Refuses what can't be a key.
fn check(key: &str) -> Result<(), StoreError> {
    let why = match key {
        "" => "a key has 1 byte or more",
        "." | ".." => "Cloud Storage has no such key",
        _ if key.len() > MAX_KEY_BYTES => "a key has up to 1,024 bytes",
        _ if key.contains(['\r', '\n']) => "a key has no line break",
        _ if key.starts_with(".well-known/acme-challenge/") => "Cloud Storage has no such key",
        _ => return Ok(()),
    };
    Err(StoreError::Unsupported { key: key.to_owned(), cause: why.to_owned() })
}

/// What isn't a generation is one that never was.
fn generation(version: &Version) -> i64 {
    version.0.parse().ok().filter(|generation| *generation > 0).unwrap_or(i64::MAX)
}

fn object(found: model::Object) -> Object {
    let modified = found.create_time.and_then(|time| SystemTime::try_from(time).ok());
    let (about, sha256) = about(found.content_type, found.metadata);
    Object {
        key: found.name,
        version: Version(found.generation.to_string()),
        bytes: u64::try_from(found.size).unwrap_or_default(),
        modified,
        about,
        sha256,
    }
}

/// What the writer said, and the checksum that was written with it.
fn about(content_type: String, mut metadata: HashMap<String, String>) -> (About, Option<String>) {
    let sha256 = metadata.remove(SHA256).filter(|digits| digits.len() == 64);
    metadata.retain(|name, _| !name.starts_with(TAG));
    let content_type = Some(content_type).filter(|content_type| !content_type.is_empty());
    (About { content_type, metadata: metadata.into_iter().collect() }, sha256)
}

/// An error and what caused it, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some of the client's errors tell their cause already.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
