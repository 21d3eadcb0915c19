//! Lists of objects: each line names one.

use std::io::Read;

use super::jsonl::{Line, Lines};
use super::{Place, RowsError, broken, source};

/// An object that a list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub place: Place,
    pub name: Name,
}

/// Where an object is. Keys are raw: nothing in them is decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// `s3://BUCKET/KEY`.
    S3 { bucket: String, key: String },
    /// `gs://BUCKET/KEY`.
    Gs { bucket: String, key: String },
    /// Anything else: a path, or a key of the bucket that the list lies in.
    Path(String),
}

/// A line is at most this long: a key has 1,024 bytes at most.
const MAX_LINE_BYTES: usize = 8 << 10;

/// The objects that a list names, one to a line. Blank lines are passed over, and so is white space
/// around a name. The list may be packed by gzip.
///
/// # Errors
/// It can't be read. An item is an error where a line names no object.
pub fn references<'a>(
    input: impl Read + Send + 'a,
) -> Result<impl Iterator<Item = Result<Reference, RowsError>> + Send + 'a, RowsError> {
    let mut lines = Lines::new(source::text(input)?, MAX_LINE_BYTES);
    let mut row = 0;
    Ok(std::iter::from_fn(move || {
        let Line { number: line, length, bytes } = match lines.next() {
            Ok(next) => next?,
            Err(cause) => return Some(Err(cause)),
        };
        let place = Place { row, line: Some(line) };
        row += 1;
        let named = if length > MAX_LINE_BYTES {
            Err(format!("expected the name of an object, got a line of {length} bytes"))
        } else {
            std::str::from_utf8(bytes.trim_ascii()).map_err(|_| "expected UTF-8".to_owned()).and_then(name)
        };
        Some(match named {
            Ok(name) => Ok(Reference { place, name }),
            Err(why) => Err(broken(format!("line {line}: {why}")).into()),
        })
    }))
}

fn name(line: &str) -> Result<Name, String> {
    let parts = |rest: &str| match rest.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
            Ok((bucket.to_owned(), key.to_owned()))
        }
        _ => Err(format!("expected a bucket and a key, got {}", crate::quoted(line))),
    };
    if let Some(rest) = line.strip_prefix("s3://") {
        return parts(rest).map(|(bucket, key)| Name::S3 { bucket, key });
    }
    if let Some(rest) = line.strip_prefix("gs://") {
        return parts(rest).map(|(bucket, key)| Name::Gs { bucket, key });
    }
    match line.split_once("://") {
        Some((scheme, _)) if !scheme.contains('/') => {
            Err(format!("expected s3://, gs:// or a path, got {}", crate::quoted(line)))
        }
        _ => Ok(Name::Path(line.to_owned())),
    }
}
