//! [`Identity`]: which input, which model and which settings an output is of, as its metadata says.

use std::collections::BTreeMap;

use ampoule_host::sha256_hex;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keys;
use crate::store::{About, Object, Version};

/// Marks what a job wrote, so that none takes it for an input.
const OUTPUT: &str = "ampoule-output";
/// How many jobs stand between an output and what people brought.
const HOPS: &str = "ampoule-hops";
const BUCKET: &str = "ampoule-bucket";
const KEY_SHA256: &str = "ampoule-key-sha256";
/// The input's key in URL-safe base64, where the output's key doesn't show it.
const KEY: &str = "ampoule-key";
const VERSION: &str = "ampoule-version";
const MODEL: &str = "ampoule-model";
const CONFIG: &str = "ampoule-config";
const JOB: &str = "ampoule-job";
const SHA256: &str = "ampoule-sha256";

/// The most bytes of metadata that every store takes, names and values (S3: 2 KB).
const MAX_METADATA_BYTES: usize = 2_000;

/// What an output is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The input's store, as [`Store::name`](crate::store::Store::name) has it.
    pub bucket: String,
    /// The input's raw key.
    pub key: String,
    pub version: Version,
    /// The model's digest.
    pub model: String,
    /// The digest of the settings that decide what predictions look like.
    pub config: String,
    pub job: String,
    /// How many jobs stand between the input and what people brought.
    pub hops: u32,
}

/// What an object that stands where an output belongs is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An output of the same input, model and settings.
    Same { sha256: String },
    /// An output of another state of the input, by another model or with other settings.
    Stale,
    /// No output of that input at all.
    Foreign,
}

impl Identity {
    /// What is written beside an output whose content has this checksum.
    pub fn about(&self, content_type: &str, sha256: &str) -> About {
        let mut metadata = BTreeMap::from([
            (OUTPUT.to_owned(), "1".to_owned()),
            (HOPS.to_owned(), (self.hops + 1).to_string()),
            (BUCKET.to_owned(), ascii(&self.bucket)),
            (KEY_SHA256.to_owned(), sha256_hex(self.key.as_bytes())),
            (VERSION.to_owned(), ascii(&self.version.0)),
            (MODEL.to_owned(), self.model.clone()),
            (CONFIG.to_owned(), self.config.clone()),
            (JOB.to_owned(), self.job.clone()),
            (SHA256.to_owned(), sha256.to_owned()),
        ]);
        if keys::is_hash(&keys::escape(&self.key)) {
            let key = URL_SAFE_NO_PAD.encode(&self.key);
            if size(&metadata) + KEY.len() + key.len() <= MAX_METADATA_BYTES {
                metadata.insert(KEY.to_owned(), key);
            }
        }
        About { content_type: Some(content_type.to_owned()), metadata }
    }

    /// What is written beside a copy of the input: what stood beside it, as far as there is room.
    pub fn about_copy(&self, input: &About, sha256: &str) -> About {
        let content_type = input.content_type.as_deref().unwrap_or("application/octet-stream");
        let mut about = self.about(content_type, sha256);
        let mut room = MAX_METADATA_BYTES.saturating_sub(size(&about.metadata));
        for (name, value) in &input.metadata {
            let bytes = name.len() + value.len();
            if bytes <= room && !about.metadata.contains_key(name) {
                about.metadata.insert(name.clone(), value.clone());
                room -= bytes;
            }
        }
        about
    }

    /// What `object` is to us.
    pub fn look(&self, object: &Object) -> Found {
        let metadata = &object.about.metadata;
        let says = |name: &str, value: &str| metadata.get(name).is_some_and(|said| said == value);
        let of_this_key = says(OUTPUT, "1")
            && says(BUCKET, &ascii(&self.bucket))
            && says(KEY_SHA256, &sha256_hex(self.key.as_bytes()));
        let of_this_state =
            says(VERSION, &ascii(&self.version.0)) && says(MODEL, &self.model) && says(CONFIG, &self.config);
        match metadata.get(SHA256) {
            Some(sha256) if of_this_key && of_this_state => Found::Same { sha256: sha256.clone() },
            Some(_) if of_this_key => Found::Stale,
            _ => Found::Foreign,
        }
    }
}

/// How many jobs wrote an object one after another; none where it is no output.
pub fn hops(about: &About) -> Option<u32> {
    about.metadata.get(OUTPUT)?;
    Some(about.metadata.get(HOPS).and_then(|hops| hops.parse().ok()).unwrap_or(1))
}

fn size(metadata: &BTreeMap<String, String>) -> usize {
    metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// A text as metadata take it; a long one by its hash.
fn ascii(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && text.len() <= 128 { text.to_owned() } else { sha256_hex(text.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            bucket: "s3://in".to_owned(),
            key: "a b".to_owned(),
            version: Version("\"1\"".to_owned()),
            model: "m".to_owned(),
            config: "c".to_owned(),
            job: "j".to_owned(),
            hops: 0,
        }
    }

    fn object(about: About) -> Object {
        Object {
            key: "out/a%20b.jsonl".to_owned(),
            version: Version("9".to_owned()),
            bytes: 1,
            modified: None,
            about,
            sha256: None,
        }
    }

    #[test]
    fn an_output_says_what_it_is_of() {
        let ours = identity();
        let about = ours.about("application/jsonl", "5a");
        let same = Found::Same { sha256: "5a".to_owned() };
        let of = |change: fn(&mut Identity)| {
            let mut other = identity();
            change(&mut other);
            other.look(&object(about.clone()))
        };
        assert_eq!(ours.look(&object(about.clone())), same);
        assert_eq!(of(|other| other.job = "k".to_owned()), same);
        assert_eq!(of(|other| other.version = Version("2".to_owned())), Found::Stale);
        assert_eq!(of(|other| other.model = "n".to_owned()), Found::Stale);
        assert_eq!(of(|other| other.config = "d".to_owned()), Found::Stale);
        assert_eq!(of(|other| other.key = "b".to_owned()), Found::Foreign);
        assert_eq!(of(|other| other.bucket = "s3://b".to_owned()), Found::Foreign);
        assert_eq!(ours.look(&object(About::default())), Found::Foreign);
        assert_eq!((hops(&about), hops(&About::default())), (Some(1), None));
    }

    #[test]
    fn metadata_fit_every_store() {
        let mut ours = identity();
        ours.key = "é".repeat(512);
        ours.bucket = "/é".repeat(300);
        let mut input = About::default();
        for index in 0..100 {
            input.metadata.insert(format!("name-{index}"), "v".repeat(40));
        }
        for about in [ours.about("x/y", &"5".repeat(64)), ours.about_copy(&input, &"5".repeat(64))] {
            assert!(size(&about.metadata) <= MAX_METADATA_BYTES, "{}", size(&about.metadata));
            assert!(about.metadata.values().all(|value| value.is_ascii()));
            let key = URL_SAFE_NO_PAD.decode(&about.metadata[KEY]).expect("base64");
            assert_eq!(key, ours.key.as_bytes());
        }
        assert!(ours.about_copy(&input, "5").metadata.len() > 12);
    }
}
