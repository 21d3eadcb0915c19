//! Items of a distributed map: objects are the job's, instances are predicted here.

use std::time::Instant;

use serde_json::value::RawValue;

use super::instances::{self, Instance, Predicted};
use super::{Failed, Function, MAX_REPLY_BYTES, json};
use crate::event::items::{Item, ItemResult, Items, Reply};
use crate::job::ObjectName;
use crate::store::Cloud;

/// What an item is to us.
enum Part {
    Object(ObjectName),
    /// The place among the instances.
    Instance(usize),
    /// An object of no bucket that anybody named.
    Nowhere(String),
}

impl Function {
    pub(super) async fn items(&self, items: Items, until: Instant) -> Result<Box<RawValue>, Failed> {
        let (mut parts, mut given) = (Vec::with_capacity(items.items.len()), Vec::new());
        for item in &items.items {
            let instance = match item {
                Item::Object { bucket, key, version } => {
                    let bucket = match bucket.clone().or_else(|| items.bucket.clone()) {
                        None => self.bucket()?,
                        named => named,
                    };
                    parts.push(match bucket {
                        Some(bucket) => Part::Object(ObjectName {
                            bucket,
                            key: key.clone(),
                            version: version.clone(),
                            sequencer: None,
                        }),
                        None => Part::Nowhere(key.clone()),
                    });
                    continue;
                }
                Item::Row(cells) => Instance::Row(cells),
                Item::Instance(text) => Instance::Json(text.get()),
            };
            parts.push(Part::Instance(given.len()));
            given.push(instance);
        }
        let objects: Vec<&ObjectName> = parts
            .iter()
            .filter_map(|part| if let Part::Object(object) = part { Some(object) } else { None })
            .collect();
        let mut outcomes = self.objects(&objects, until).await?.into_iter();
        let predicted = instances::predict(&self.model, given).await;

        let mut results = Vec::with_capacity(parts.len());
        let mut failed: Option<String> = None;
        let mut unfinished = 0;
        for part in &parts {
            let result = match part {
                Part::Object(object) => {
                    let outcome = outcomes.next().ok_or_else(|| "not done".to_owned());
                    outcome.and_then(|outcome| ItemResult::of_object(object.key.clone(), outcome))
                }
                Part::Instance(place) => match predicted.get(*place) {
                    Some(Predicted::Done(text)) => prediction(text),
                    Some(Predicted::Refused { code, error }) => {
                        Ok(ItemResult::Refused { key: None, code: (*code).to_owned(), error: error.clone() })
                    }
                    Some(Predicted::Failed { error }) => Err(error.clone()),
                    None => Err("not predicted".to_owned()),
                },
                Part::Nowhere(key) => Ok(ItemResult::Refused {
                    key: Some(key.clone()),
                    code: "no_bucket".to_owned(),
                    error: "expected a bucket in BatchInput.bucket or INPUT_BUCKET_NAME, got neither"
                        .to_owned(),
                }),
            };
            match result {
                Ok(result) => results.push(result),
                Err(error) => {
                    unfinished += 1;
                    failed.get_or_insert(error);
                }
            }
        }
        // The state machine tries all items again; what is done by then is passed over.
        if let Some(error) = failed {
            let all = parts.len();
            return Err(Failed::unfinished(format!("{unfinished} of {all} items are not done: {error}")));
        }
        let reply = json(&Reply { results })?;
        let bytes = reply.get().len();
        if bytes > MAX_REPLY_BYTES {
            let message = format!(
                "expected results of at most {MAX_REPLY_BYTES} bytes, got {bytes}: put fewer items in a batch"
            );
            return Err(Failed { kind: "OutputTooLarge", message });
        }
        Ok(reply)
    }

    /// The input bucket, by its bare name.
    fn bucket(&self) -> Result<Option<String>, Failed> {
        let Some(place) = &self.input else { return Ok(None) };
        match place.location(&Cloud::AWS) {
            Ok(location) => Ok(Some(location.bucket())),
            Err(cause) => Err(Failed::unfinished(format!("INPUT_BUCKET_NAME: {cause}"))),
        }
    }
}

fn prediction(text: &str) -> Result<ItemResult, String> {
    let prediction = RawValue::from_string(text.to_owned()).map_err(|cause| cause.to_string())?;
    Ok(ItemResult::Done { key: None, instances: None, prediction: Some(prediction) })
}
