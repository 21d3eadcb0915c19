//! S3's words for what a store speaks of: keys, ETags, sizes, times and checksums.

use std::collections::HashMap;
use std::time::SystemTime;

use ampoule_host::hex;
use aws_sdk_s3::primitives::DateTime;
use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::store::{About, StoreError, Version};

/// Bytes of a key (S3's user guide, "Naming Amazon S3 objects").
const MAX_KEY_BYTES: usize = 1_024;

pub(super) fn legal(key: &str) -> Result<(), StoreError> {
    let refuse = |cause: String| Err(StoreError::Unsupported { key: key.to_owned(), cause });
    match key.len() {
        0 => refuse("expected a key of one byte or more".to_owned()),
        // The SDK takes such a key for one that was forgotten.
        _ if key.trim().is_empty() => refuse("expected a key that isn't white space alone".to_owned()),
        bytes if bytes > MAX_KEY_BYTES => {
            refuse(format!("expected at most {MAX_KEY_BYTES} bytes, got {bytes}"))
        }
        _ => Ok(()),
    }
}

/// An ETag as a version: its quotes are the header's, not the tag's.
pub(super) fn version(e_tag: Option<&str>) -> Result<Version, StoreError> {
    let tag = e_tag.ok_or_else(|| StoreError::Lost { cause: "an answer without an ETag".to_owned() })?;
    let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    Ok(Version(bare.unwrap_or(tag).to_owned()))
}

pub(super) fn quoted(version: &Version) -> String {
    format!("\"{}\"", version.0)
}

pub(super) fn size(bytes: Option<i64>) -> Result<u64, StoreError> {
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| StoreError::Lost { cause: format!("expected a size, got {bytes:?}") })
}

pub(super) fn time(time: &DateTime) -> Option<SystemTime> {
    SystemTime::try_from(*time).ok()
}

/// A whole object's checksum in hex; of an object in parts (`…-N`) there is none.
pub(super) fn sha256(base64: &str) -> Option<String> {
    let digest = BASE64_STANDARD.decode(base64).ok()?;
    (digest.len() == 32).then(|| hex(&digest))
}

pub(super) fn about(content_type: Option<String>, metadata: Option<HashMap<String, String>>) -> About {
    About { content_type, metadata: metadata.unwrap_or_default().into_iter().collect() }
}

/// A key from a listing with `encoding-type=url`, which encodes as forms do: a plus is a space.
pub(super) fn decoded(key: &str) -> Result<String, String> {
    let spaced = key.replace('+', " ");
    let text = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    text.map(Into::into).map_err(|_| format!("a listed key that is no UTF-8: {key:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_key_is_decoded_once_and_as_forms_are() {
        let cases = [
            ("a/b.png", "a/b.png"),
            ("a+b", "a b"),
            ("a%2Bb", "a+b"),
            ("a%20b%2520", "a b%20"),
            ("%E9%9B%B2%2F%01", "雲/\u{1}"),
            ("%zz%", "%zz%"),
        ];
        for (listed, key) in cases {
            assert_eq!(decoded(listed).as_deref(), Ok(key));
        }
        assert!(decoded("%FF").is_err());
    }

    #[test]
    fn an_etag_loses_its_quotes_once() {
        let cases = [("\"abc-2\"", "abc-2"), ("abc", "abc"), ("\"\"a\"\"", "\"a\""), ("\"a", "\"a")];
        for (tag, expected) in cases {
            assert_eq!(version(Some(tag)).map(|version| version.0).ok().as_deref(), Some(expected));
        }
        assert!(matches!(version(None), Err(StoreError::Lost { .. })));
        assert_eq!(quoted(&Version("abc".to_owned())), "\"abc\"");
    }

    #[test]
    fn a_checksum_is_that_of_a_whole_object() {
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert!(sha256(empty).is_some_and(|hex| hex.starts_with("e3b0c44298fc1c14")));
        assert_eq!(sha256(&format!("{empty}-3")), None);
        assert_eq!(sha256("AAAA"), None);
    }

    #[test]
    fn a_key_that_cannot_be_sent_is_refused_with_the_reason() {
        for key in ["", " ", "\n\t", &"x".repeat(1_025)] {
            let refused = legal(key).expect_err(key).to_string();
            assert!(refused.contains("expected"), "{refused}");
        }
        for key in ["/", "..", "\u{0}", " x", &"é".repeat(512)] {
            assert!(legal(key).is_ok(), "{key}");
        }
    }
}
