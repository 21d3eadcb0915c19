//! Items of a distributed map of Step Functions, alone or in batches, and their results.
//!
//! An item is an object of a bucket where the map lists one, and an instance otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Keys, Unreadable, notice, parse};
use crate::job::Outcome;

/// The items of one call.
#[derive(Debug)]
pub struct Items {
    /// Where the objects among them lie, as `BatchInput.bucket` says.
    pub bucket: Option<String>,
    pub items: Vec<Item>,
}

/// One item.
#[derive(Debug)]
pub enum Item {
    /// An object by its raw key, as `ListObjectsV2` and an inventory name it.
    Object { bucket: Option<String>, key: String, version: Option<String> },
    /// A row of a CSV file: its cells by the names of the columns.
    Row(BTreeMap<String, String>),
    /// Any other JSON value.
    Instance(Box<RawValue>),
}

impl Items {
    pub(super) fn read(payload: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Payload {
            items: Vec<Box<RawValue>>,
            batch_input: Option<Box<RawValue>>,
        }
        #[derive(Default, Deserialize)]
        struct Shared {
            #[serde(alias = "Bucket")]
            bucket: Option<String>,
        }
        let payload: Payload = parse(payload, WHAT)?;
        let shared: Shared = match &payload.batch_input {
            Some(text) => serde_json::from_str(text.get()).unwrap_or_default(),
            None => Shared::default(),
        };
        let bucket = shared.bucket.filter(|bucket| !bucket.is_empty());
        let items = payload.items.into_iter().map(|item| Item::of(item, bucket.is_some())).collect();
        Ok(Self { bucket, items })
    }
}

impl Item {
    fn of(text: Box<RawValue>, of_bucket: bool) -> Self {
        let Ok(keys) = Keys::of(text.get()) else { return Self::Instance(text) };
        let listed = ["ETag", "Size", "LastModified", "StorageClass", "Bucket"];
        if (of_bucket || listed.iter().any(|name| keys.has(name)))
            && let Some(key) = keys.text("Key").filter(|key| !key.is_empty())
        {
            return Self::Object {
                bucket: keys.text("Bucket"),
                key,
                version: notice::etag(keys.text("ETag")),
            };
        }
        match serde_json::from_str(text.get()) {
            Ok(row) => Self::Row(row),
            Err(_) => Self::Instance(text),
        }
    }
}

const WHAT: &str = "Step Functions";

/// What became of one item.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum ItemResult {
    Done {
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        instances: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        prediction: Option<Box<RawValue>>,
    },
    Skipped {
        key: String,
        why: String,
    },
    Refused {
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        code: String,
        error: String,
    },
}

impl ItemResult {
    /// The result of an object.
    ///
    /// # Errors
    /// Why it is to be done again.
    pub fn of_object(key: String, outcome: Outcome) -> Result<Self, String> {
        Ok(match outcome {
            Outcome::Done { instances } => {
                Self::Done { key: Some(key), instances: Some(instances), prediction: None }
            }
            Outcome::Skipped { why } => Self::Skipped { key, why },
            Outcome::Refused { code, error } => {
                Self::Refused { key: Some(key), code: code.to_owned(), error }
            }
            Outcome::Failed { error } | Outcome::Denied { error } => return Err(error),
        })
    }
}

/// What the state gets: a result for each item, in their order.
#[derive(Debug, Serialize)]
pub struct Reply {
    pub results: Vec<ItemResult>,
}
