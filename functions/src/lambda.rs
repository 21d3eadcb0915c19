//! AWS Lambda: one event in, one reply out.
//!
//! [`run`] is the program. A [`Function`] is what it sets up once; [`Function::answer`] is the way
//! of one event: [`Event`] says who calls, `http` asks the service that `ampoule serve` has, `objects`
//! hands work on to the job, and `records` and `items` predict what stands in the event itself.

mod http;
mod instances;
mod items;
mod objects;
mod records;
mod run;

use std::sync::Arc;
use std::time::Instant;

use ampoule_host::Model;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::event::queue::NoName;
use crate::event::{Event, Notice, Unreadable};
use crate::job::{ObjectName, Outcome, Work};
use crate::resources::Resources;
use crate::serve::{self, Entrance};
use crate::settings::{Place, ResponseMode, Settings};

pub use run::run;

/// Bytes of a reply that Lambda takes: 6 MB.
const MAX_REPLY_BYTES: usize = 6 << 20;

/// What answers the events of one process.
pub struct Function {
    model: Model,
    entrance: Entrance,
    resources: Resources,
    input: Option<Place>,
    output: Option<Place>,
    response_mode: ResponseMode,
}

/// What goes back.
pub enum Reply {
    Json(Box<RawValue>),
    /// An HTTP answer that leaves piece by piece.
    Stream(Response),
}

/// An event that has to come again, or that can't be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failed {
    /// A stable word for programs; a state machine can retry by it.
    pub kind: &'static str,
    pub message: String,
}

impl Function {
    /// A function of one model.
    ///
    /// # Errors
    /// The settings don't fit together.
    pub fn new(model: Model, settings: &Settings, resources: Resources) -> anyhow::Result<Self> {
        Ok(Self {
            entrance: serve::entrance(vec![model.clone()], settings.service.clone())?,
            model,
            resources,
            input: settings.input.clone(),
            output: settings.output.clone(),
            response_mode: settings.response_mode,
        })
    }

    /// Answers one payload, by `until`. `id` names the call in the log.
    ///
    /// # Errors
    /// The event can't be read, or has to come again.
    pub async fn answer(&self, payload: &str, until: Instant, id: &str) -> Result<Reply, Failed> {
        let text = match Event::read(payload)? {
            Event::Http(request) => return self.http(request, until, id).await,
            Event::Notice(notice) => self.notice(notice, until).await,
            Event::Queue(queue) => self.queue(queue, until).await,
            Event::Tasks(tasks) => self.tasks(&tasks, until).await,
            Event::Items(items) => self.items(items, until).await,
            Event::Shard(shard) => self.shard(shard).await,
            Event::Topics(topics) => self.topics(topics).await,
        };
        Ok(Reply::Json(text?))
    }

    async fn notice(&self, notice: Notice, until: Instant) -> Result<Box<RawValue>, Failed> {
        match notice {
            Notice::Nothing { what } => {
                tracing::info!(what, "nothing to do");
                json(&serde_json::json!({ "ignored": what }))
            }
            Notice::Schedule => json(&self.sweep(until).await?),
            Notice::Objects(objects) => {
                let outcomes = self.objects(&objects.iter().collect::<Vec<_>>(), until).await?;
                if let Some(failed) = Failed::of(&objects, &outcomes) {
                    return Err(failed);
                }
                json(&objects::totals(&outcomes))
            }
        }
    }

    async fn work(&self) -> Result<Arc<dyn Work>, Failed> {
        Ok(self.resources.work.get().await?)
    }
}

impl Failed {
    /// It may succeed another time.
    fn unfinished(message: String) -> Self {
        Self { kind: "Unfinished", message }
    }

    /// What the objects that failed come to, if any did.
    fn of(objects: &[ObjectName], outcomes: &[Outcome]) -> Option<Self> {
        let failed = objects.iter().zip(outcomes).filter_map(|(object, outcome)| match outcome {
            Outcome::Failed { error } => Some(("Unfinished", object, error)),
            Outcome::Denied { error } => Some(("Denied", object, error)),
            _ => None,
        });
        let failed: Vec<_> = failed.collect();
        // What nobody can do tells more than what one object met with.
        let (kind, object, error) =
            failed.iter().find(|(kind, ..)| *kind == "Denied").or_else(|| failed.first())?;
        let (count, all) = (failed.len(), objects.len());
        let message = format!("{count} of {all} objects are not done; {:?}: {error}", object.key);
        Some(Self { kind, message })
    }
}

impl From<Unreadable> for Failed {
    fn from(cause: Unreadable) -> Self {
        let kind = match cause {
            Unreadable::Unknown { .. } => "UnknownEvent",
            Unreadable::Invalid { .. } => "InvalidEvent",
        };
        Self { kind, message: cause.to_string() }
    }
}

impl From<NoName> for Failed {
    fn from(cause: NoName) -> Self {
        Self::unfinished(cause.to_string())
    }
}

impl From<anyhow::Error> for Failed {
    fn from(cause: anyhow::Error) -> Self {
        Self::unfinished(format!("{cause:#}"))
    }
}

fn json<T: Serialize>(reply: &T) -> Result<Box<RawValue>, Failed> {
    serde_json::value::to_raw_value(reply)
        .map_err(|cause| Failed::unfinished(format!("the reply is no JSON: {cause}")))
}
