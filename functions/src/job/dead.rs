//! The dead-letter prefix: what can't be predicted, and why.

use serde_json::json;

use super::identity::Identity;
use super::object::{CORRUPT, Left, Visit};
use super::predict::Prediction;
use super::publish::{Agreement, Proof, Publication, publish};
use super::spool::Spooled;
use super::trouble::{Stage, Trouble};
use crate::settings::After;
use crate::store::{Object, Version};
use ampoule_wire::rows::Format;

/// Puts an object that can't be predicted on record; where inputs leave, it leaves too, once a copy is
/// safe.
pub async fn bury(visit: &Visit<'_>, code: &str, stage: Stage, error: &str) -> Result<Left, Trouble> {
    let job = visit.job;
    let settings = &job.settings;
    let leaves = matches!(settings.after, After::Delete | After::Move);
    let Some(object) = &visit.object else {
        record(visit, code, stage, error).await?;
        return Ok(Left::AsAsked);
    };
    // What is too large to be copied, or can't be read whole, stays where it is.
    let copied = leaves && object.bytes <= settings.max_object_bytes && code != CORRUPT;
    if copied {
        let identity = job.identity(visit.key, object, 0);
        visit.copy(job.output(), job.keys.dead(visit.name), &identity, object).await?;
    }
    record(visit, code, stage, error).await?;
    if leaves && !copied { Ok(Left::AsAsked) } else { visit.leave(object, 0, "refused").await }
}

/// Writes the record of an object that has no prediction.
pub async fn record(visit: &Visit<'_>, code: &str, stage: Stage, error: &str) -> Result<(), Trouble> {
    let job = visit.job;
    let unread = Object {
        key: visit.key.to_owned(),
        version: Version(String::new()),
        bytes: 0,
        modified: None,
        about: crate::store::About::default(),
        sha256: None,
    };
    let object = visit.object.as_ref().unwrap_or(&unread);
    let identity = job.identity(visit.key, object, 0);
    let content = json!({
        "file": visit.name,
        "bucket": job.input.name(),
        "key": visit.key,
        "version": object.version.0,
        "bytes": object.bytes,
        "code": code,
        "stage": stage,
        "error": error,
        "attempts": visit.tries,
        "model": job.model.name(),
        "digest": job.model.digest(),
        "job": job.id,
        "host": concat!("ampoule ", env!("CARGO_PKG_VERSION")),
        "time": super::run::now(),
    });
    let mut text = serde_json::to_vec_pretty(&content).expect("strings and numbers are JSON");
    text.push(b'\n');
    let spooled = Spooled::of(text);
    let publication = Publication {
        key: job.keys.error(visit.name),
        about: identity.about("application/json", &spooled.sha256),
        content: spooled.content,
        bytes: spooled.bytes,
        sha256: spooled.sha256,
    };
    let current = || async {
        match &visit.object {
            Some(object) => visit.is_current(object).await,
            None => Ok(true),
        }
    };
    match publish(job.output(), &publication, &identity, Agreement::Identity, Proof::Bytes, current).await {
        Err(Trouble::InTheWay { error, .. }) => Err(Trouble::Failed(error)),
        written => written,
    }
}

/// Keeps a prediction that can't go where it belongs.
pub async fn keep_other(
    visit: &Visit<'_>,
    identity: &Identity,
    prediction: &Prediction,
    format: Format,
) -> Result<(), Trouble> {
    let job = visit.job;
    let Prediction { spooled, content_type, .. } = prediction;
    let publication = Publication {
        key: job.keys.other(visit.name, job.ending(format)),
        content: spooled.content.clone(),
        bytes: spooled.bytes,
        sha256: spooled.sha256.clone(),
        about: identity.about(content_type, &spooled.sha256),
    };
    let current = || async { Ok(true) };
    match publish(job.output(), &publication, identity, Agreement::Identity, Proof::Length, current).await {
        Err(Trouble::InTheWay { error, .. }) => Err(Trouble::Failed(error)),
        written => written,
    }
}
