//! [`Location`]: where objects are, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Gcs, GcsSettings, Local, S3, S3Settings, Store, StoreError};

/// A bucket or a folder, and the begin of the keys that are meant.
///
/// Read from `s3://bucket/prefix`, `gs://bucket/prefix` or a path. Nothing in it is decoded: the
/// prefix of `s3://b/a%20b` has a percent sign.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    pub place: Place,
    /// Empty, or ends with `/`: `s3://b/in` means what lies in `in/`, and not `in-2/x`.
    pub prefix: String,
}

/// What a store is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    S3 { bucket: String },
    Gcs { bucket: String },
    Folder { path: PathBuf },
}

/// A text that names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: expected s3://bucket/prefix, gs://bucket/prefix or a path, got {got}")]
pub struct LocationError {
    text: String,
    got: String,
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let refuse = |got: String| Err(LocationError { text: text.to_owned(), got });
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => refuse("nothing".to_owned()),
                _ if text.contains('\0') => refuse("a path with a NUL".to_owned()),
                _ => Ok(Self { place: Place::Folder { path: text.into() }, prefix: String::new() }),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !matches!(scheme, "s3" | "gs") {
            return refuse(format!("the scheme {scheme:?}"));
        }
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if !(3..=222).contains(&bucket.len()) || !bucket.bytes().all(is_legal) {
            return refuse(format!(
                "the bucket {bucket:?} (3 letters and more of a-z, 0-9, \".\", \"-\", \"_\")"
            ));
        }
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        let bucket = bucket.to_owned();
        let place = if scheme == "s3" { Place::S3 { bucket } } else { Place::Gcs { bucket } };
        Ok(Self { place, prefix: format!("{prefix}{slash}") })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::S3 { bucket } => write!(out, "s3://{bucket}/{}", self.prefix),
            Place::Gcs { bucket } => write!(out, "gs://{bucket}/{}", self.prefix),
            Place::Folder { path } => write!(out, "{}", path.display()),
        }
    }
}

impl Location {
    /// The bucket's bare name as events have it, or the folder's path.
    pub fn bucket(&self) -> String {
        match &self.place {
            Place::S3 { bucket } | Place::Gcs { bucket } => bucket.clone(),
            Place::Folder { path } => path.to_string_lossy().into_owned(),
        }
    }

    /// Opens the store, with the endpoint, region and credentials that the environment names.
    ///
    /// A folder that isn't there is made by the first write to it; to list it is an error.
    ///
    /// # Errors
    /// [`StoreError::Denied`]: there are no credentials, or the environment's settings are wrong.
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        self.open_from(&Cloud::GOOGLE).await
    }

    /// The same for a program that runs in `cloud`.
    ///
    /// # Errors
    /// As [`Location::open`]; and the program has nothing to open such a store with.
    pub async fn open_from(&self, cloud: &Cloud) -> Result<Arc<dyn Store>, StoreError> {
        match &self.place {
            Place::Folder { path } => Ok(Arc::new(Local::new(path))),
            Place::S3 { bucket } => Ok(Arc::new(S3::connect(bucket, S3Settings::default()).await)),
            Place::Gcs { bucket } => (cloud.open_gcs)(bucket).await,
        }
    }
}

/// The cloud that a program runs in.
#[derive(Clone, Copy, Debug)]
pub struct Cloud {
    /// Of a bucket whose setting is only a name.
    pub scheme: &'static str,
    /// What nothing opens, the linker leaves out.
    open_gcs: for<'a> fn(&'a str) -> Opening<'a>,
}

type Opening<'a> = BoxFuture<'a, Result<Arc<dyn Store>, StoreError>>;

impl Cloud {
    /// Opens S3 and folders: with Google's libraries a function's package would be some 2 MB larger, and it has
    /// to be fetched before each cold start.
    pub const AWS: Self = Self { scheme: "s3", open_gcs: refuse_gcs };
    /// Opens every store.
    pub const GOOGLE: Self = Self { scheme: "gs", open_gcs };
}

fn open_gcs(bucket: &str) -> Opening<'_> {
    Box::pin(async move {
        let store: Arc<dyn Store> = Arc::new(Gcs::connect(bucket, GcsSettings::default()).await?);
        Ok(store)
    })
}

fn refuse_gcs(bucket: &str) -> Opening<'_> {
    Box::pin(async move {
        let cause =
            format!("expected s3://bucket or a path, got gs://{bucket}, which this program can't open");
        Err(StoreError::Denied { cause })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_or_a_path() {
        let s3 = |prefix: &str| Location {
            place: Place::S3 { bucket: "b.1-x".to_owned() },
            prefix: prefix.to_owned(),
        };
        let cases = [
            ("s3://b.1-x", s3("")),
            ("s3://b.1-x/", s3("")),
            ("s3://b.1-x/in", s3("in/")),
            ("s3://b.1-x/in/", s3("in/")),
            ("s3://b.1-x//in", s3("/in/")),
            ("s3://b.1-x/a%20b+c?d#e/../f", s3("a%20b+c?d#e/../f/")),
            (
                "gs://b_2/ü",
                Location { place: Place::Gcs { bucket: "b_2".to_owned() }, prefix: "ü/".to_owned() },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["in", "./in", "/tmp/in put/", "C:\\in", "s3:/b/x", "a:b"] {
            let location: Location = text.parse().expect("a path");
            assert_eq!(location.place, Place::Folder { path: text.into() });
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn events_name_a_bucket_without_its_scheme_and_prefix() {
        for (text, bucket) in
            [("s3://b.1-x/in/", "b.1-x"), ("gs://b_2", "b_2"), ("/srv/in put", "/srv/in put")]
        {
            let location: Location = text.parse().expect("a location");
            assert_eq!(location.bucket(), bucket);
        }
    }

    #[test]
    fn what_is_no_location_is_told_what_was_expected() {
        let cases = [
            ("", "nothing"),
            ("http://x/y", "the scheme \"http\""),
            ("S3://bucket/x", "the scheme \"S3\""),
            ("s3://", "the bucket \"\""),
            ("s3:///x", "the bucket \"\""),
            ("gs://ab", "the bucket \"ab\""),
            ("s3://b ucket/x", "the bucket \"b ucket\""),
            ("s3://user:secret@bucket/x", "the bucket"),
            ("a\0b", "a path with a NUL"),
        ];
        for (text, got) in cases {
            let error = text.parse::<Location>().expect_err(text).to_string();
            assert!(error.contains("expected s3://bucket/prefix, gs://bucket/prefix or a path"), "{error}");
            assert!(error.contains(got), "{error}");
        }
    }
}
