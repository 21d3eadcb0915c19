//! What becomes of a notice: the work it asks for, and the status that its sender understands.
//!
//! A 2xx acknowledges; anything else has the sender tell it again. So what is done, skipped or among
//! the dead letters is acknowledged, and what may succeed another time is not.

use std::time::Instant;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::Function;
use crate::event::Notice;
use crate::job::{ObjectName, Outcome, Share};
use crate::serve::Refusal;
use ampoule_wire::quoted;

/// Does what a notice asks for.
pub async fn answer(function: &Function, notice: Notice) -> Response {
    let until = Instant::now() + function.patience;
    let outcome = match notice {
        Notice::Nothing { what } => {
            tracing::info!(what, "nothing to do");
            return StatusCode::NO_CONTENT.into_response();
        }
        Notice::Schedule => sweep(function, until).await,
        Notice::Objects(objects) => work(function, &objects, until).await,
    };
    outcome.unwrap_or_else(|refusal| {
        tracing::warn!(code = refusal.code, error = refusal.message, "not acknowledged");
        refusal.into_response()
    })
}

async fn work(function: &Function, objects: &[ObjectName], until: Instant) -> Result<Response, Refusal> {
    let own = function.bucket.as_deref().ok_or_else(no_bucket)?;
    if let Some(foreign) = objects.iter().find(|object| object.bucket != own) {
        let why = format!("expected an object of the bucket {own:?}, got one of {}", quoted(&foreign.bucket));
        return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden_bucket", why));
    }
    let work = open(function).await?;
    let mut unfinished = None;
    for object in objects {
        let outcome = work.object(object, until).await;
        outcome.log(&object.key);
        // The others of the event are done all the same; they are skipped when it comes again.
        match outcome {
            Outcome::Denied { .. } => unfinished = Some(unavailable("denied", "the store refuses us")),
            Outcome::Failed { .. } if unfinished.is_none() => {
                unfinished = Some(unavailable("unfinished", "the object is not done: send the event again"));
            }
            _ => {}
        }
    }
    unfinished.map_or_else(|| Ok(StatusCode::NO_CONTENT.into_response()), Err)
}

async fn sweep(function: &Function, until: Instant) -> Result<Response, Refusal> {
    function.bucket.as_deref().ok_or_else(no_bucket)?;
    let work = open(function).await?;
    let totals = work.sweep(Share::WHOLE, until).await.map_err(|cause| {
        tracing::error!(cause = format!("{cause:#}"), "the sweep failed");
        unavailable("unfinished", "the bucket can't be worked through now")
    })?;
    let report = serde_json::to_string(&totals).expect("numbers are JSON");
    tracing::info!(report, "swept");
    if !totals.is_complete() {
        return Err(unavailable("unfinished", &format!("objects are left: {report}")));
    }
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    Ok((json, report).into_response())
}

async fn open(function: &Function) -> Result<std::sync::Arc<dyn crate::job::Work>, Refusal> {
    function.work.get().await.map_err(|cause| {
        tracing::error!(cause = format!("{cause:#}"), "the stores can't be opened");
        unavailable("unfinished", "the bucket can't be opened now")
    })
}

fn no_bucket() -> Refusal {
    let why = "expected no events: this function works on no bucket (set INPUT_BUCKET_NAME)";
    Refusal::new(StatusCode::FORBIDDEN, "forbidden_bucket", why)
}

fn unavailable(code: &'static str, why: &str) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, why)
}
