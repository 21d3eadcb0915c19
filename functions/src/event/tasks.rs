//! Tasks of S3 Batch Operations (schemas 1.0 and 2.0), and their results.

use serde::{Deserialize, Serialize};

use super::{Unreadable, notice, parse};
use crate::job::{ObjectName, Outcome};
use ampoule_wire::quoted;

/// The tasks of one call.
#[derive(Debug)]
pub struct Tasks {
    version: String,
    invocation: String,
    pub tasks: Vec<Task>,
}

/// One object that is to be done.
#[derive(Debug)]
pub struct Task {
    id: String,
    pub object: Result<ObjectName, Unreadable>,
}

impl Tasks {
    pub(super) fn read(payload: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Payload {
            invocation_schema_version: String,
            invocation_id: String,
            tasks: Vec<Given>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Given {
            task_id: String,
            s3_key: Option<String>,
            s3_bucket_arn: Option<String>,
            s3_bucket: Option<String>,
        }
        let payload: Payload = parse(payload, WHAT)?;
        let version = payload.invocation_schema_version;
        if !["1.0", "2.0"].contains(&version.as_str()) {
            let why = format!("expected invocationSchemaVersion 1.0 or 2.0, got {}", quoted(&version));
            return Err(Unreadable::Invalid { what: WHAT, why });
        }
        let task = |given: Given| {
            let bucket = match (given.s3_bucket, given.s3_bucket_arn) {
                (Some(name), _) => Ok(name),
                (None, Some(arn)) => Ok(bucket(&arn)),
                (None, None) => Err("expected s3Bucket or s3BucketArn, got neither".to_owned()),
            };
            let object = bucket.and_then(|bucket| {
                let key = notice::decoded(given.s3_key.as_deref().unwrap_or_default())?;
                Ok(ObjectName { bucket, key, version: None, sequencer: None })
            });
            Task { id: given.task_id, object: object.map_err(|why| Unreadable::Invalid { what: WHAT, why }) }
        };
        Ok(Self {
            version,
            invocation: payload.invocation_id,
            tasks: payload.tasks.into_iter().map(task).collect(),
        })
    }

    /// The reply: one result for each task, in their order.
    pub fn reply(&self, outcomes: &[Outcome]) -> Reply<'_> {
        let result = |(task, outcome): (&'_ Task, &Outcome)| {
            let (code, text) = match outcome {
                Outcome::Done { instances: 1 } => ("Succeeded", "1 prediction".to_owned()),
                Outcome::Done { instances } => ("Succeeded", format!("{instances} predictions")),
                Outcome::Skipped { why } => ("Succeeded", why.clone()),
                Outcome::Refused { code, error } => ("PermanentFailure", format!("{code}: {error}")),
                // Credentials can be mended, and then the same task can succeed.
                Outcome::Failed { error } | Outcome::Denied { error } => ("TemporaryFailure", error.clone()),
            };
            TaskResult { task_id: task.id.clone(), result_code: code, result_string: cut(text) }
        };
        Reply {
            invocation_schema_version: &self.version,
            // Only what is done is said to be: a task without a result is to come again.
            treat_missing_keys_as: "TemporaryFailure",
            invocation_id: &self.invocation,
            results: self.tasks.iter().zip(outcomes).map(result).collect(),
        }
    }
}

const WHAT: &str = "S3 Batch Operations";

/// Characters of a result in the job's report.
const MAX_RESULT: usize = 1000;

fn cut(text: String) -> String {
    if text.chars().count() <= MAX_RESULT {
        text
    } else {
        text.chars().take(MAX_RESULT).chain(['…']).collect()
    }
}

/// The bucket's name within its ARN; of an access point the ARN itself is the name.
fn bucket(arn: &str) -> String {
    match arn.split_once(":::") {
        Some((_, name)) => name.to_owned(),
        None => arn.to_owned(),
    }
}

/// What S3 Batch Operations wants back.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply<'a> {
    invocation_schema_version: &'a str,
    treat_missing_keys_as: &'static str,
    invocation_id: &'a str,
    results: Vec<TaskResult>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskResult {
    task_id: String,
    result_code: &'static str,
    result_string: String,
}
