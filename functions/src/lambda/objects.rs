//! Objects that an event names: each is the job's, and its outcome becomes what the caller understands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::StreamExt as _;
use serde_json::value::RawValue;

use super::{Failed, Function, json};
use crate::event::queue::{Failures, Identifier, Message, Order, Queue};
use crate::event::tasks::Tasks;
use crate::event::{Notice, notice};
use crate::job::{ObjectName, Outcome, Share, Totals, Work};

impl Function {
    /// Does these objects, some at a time; an outcome for each, in their order.
    pub(super) async fn objects(
        &self,
        objects: &[&ObjectName],
        until: Instant,
    ) -> Result<Vec<Outcome>, Failed> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let at_once = self.model.host().limits().max_concurrent_calls;
        Ok(all(&self.work().await?, objects, until, at_once).await)
    }

    pub(super) async fn queue(&self, queue: Queue, until: Instant) -> Result<Box<RawValue>, Failed> {
        let failed = match queue.order {
            Order::Any => self.messages(&queue.messages.iter().collect::<Vec<_>>(), until).await,
            Order::Strict => self.in_order(&queue.messages, until).await,
        };
        let failed =
            queue.messages.iter().zip(&failed).filter(|(_, failed)| **failed).map(|(message, _)| message);
        json(&Failures::of(failed.map(|message| Identifier::Name(message.id.clone())))?)
    }

    /// Does messages one after another until one fails; it and all after it have failed.
    async fn in_order(&self, messages: &[Message], until: Instant) -> Vec<bool> {
        let mut failed = Vec::with_capacity(messages.len());
        for message in messages {
            failed.extend(self.messages(&[message], until).await);
            if failed.last() == Some(&true) {
                break;
            }
        }
        failed.resize(messages.len(), true);
        failed
    }

    /// Does messages, and says of each whether it failed.
    async fn messages(&self, messages: &[&Message], until: Instant) -> Vec<bool> {
        let mut failed = vec![false; messages.len()];
        let (mut owners, mut objects) = (Vec::new(), Vec::new());
        for ((index, message), failed) in messages.iter().enumerate().zip(&mut failed) {
            match &message.notice {
                Ok(Notice::Nothing { what }) => tracing::info!(id = message.id, what, "nothing to do"),
                Ok(Notice::Schedule) => {
                    if let Err(cause) = self.sweep(until).await {
                        tracing::error!(id = message.id, %cause, "a sweep failed");
                        *failed = true;
                    }
                }
                Ok(Notice::Objects(named)) => {
                    objects.extend(named);
                    owners.extend(named.iter().map(|_| index));
                }
                Err(cause) => {
                    // It stays in the queue, which gives it to its own dead-letter queue in time.
                    tracing::error!(id = message.id, %cause, "a message can't be read");
                    *failed = true;
                }
            }
        }
        let outcomes = match self.objects(&objects, until).await {
            Ok(outcomes) => outcomes,
            Err(cause) => {
                tracing::error!(%cause, "no object can be done");
                vec![Outcome::Failed { error: cause.to_string() }; objects.len()]
            }
        };
        for (owner, outcome) in owners.iter().zip(&outcomes) {
            if let (Outcome::Failed { .. } | Outcome::Denied { .. }, Some(failed)) =
                (outcome, failed.get_mut(*owner))
            {
                *failed = true;
            }
        }
        failed
    }

    /// Looks through the input place.
    pub(super) async fn sweep(&self, until: Instant) -> Result<Totals, Failed> {
        let totals = self.work().await?.sweep(Share::WHOLE, until).await?;
        tracing::info!(
            totals.done,
            totals.skipped,
            totals.refused,
            totals.failed,
            totals.unfinished,
            "swept"
        );
        Ok(totals)
    }

    pub(super) async fn tasks(&self, tasks: &Tasks, until: Instant) -> Result<Box<RawValue>, Failed> {
        let objects: Vec<&ObjectName> =
            tasks.tasks.iter().filter_map(|task| task.object.as_ref().ok()).collect();
        let mut done = match self.objects(&objects, until).await {
            Ok(outcomes) => outcomes,
            Err(cause) => vec![Outcome::Failed { error: cause.to_string() }; objects.len()],
        }
        .into_iter();
        let outcome = |task: &crate::event::tasks::Task| match &task.object {
            Ok(_) => done.next().unwrap_or(Outcome::Failed { error: "not done".to_owned() }),
            Err(cause) => Outcome::Refused { code: "invalid_task", error: cause.to_string() },
        };
        let outcomes: Vec<Outcome> = tasks.tasks.iter().map(outcome).collect();
        json(&tasks.reply(&outcomes))
    }
}

/// Does objects, `at_once` at one time. What a later event of the same key has overtaken is skipped,
/// and once one is denied, none is begun any more.
async fn all(work: &Arc<dyn Work>, objects: &[&ObjectName], until: Instant, at_once: usize) -> Vec<Outcome> {
    let denied = Arc::new(AtomicBool::new(false));
    let one = |(object, is_latest): (&&ObjectName, bool)| {
        let (work, object, denied) = (work.clone(), (*object).clone(), denied.clone());
        async move {
            if !is_latest {
                return Outcome::Skipped { why: "a later event of the same key came with it".to_owned() };
            }
            if denied.load(Ordering::Relaxed) {
                let error = "not begun: the store refuses us".to_owned();
                return Outcome::Denied { error };
            }
            if Instant::now() >= until {
                return Outcome::Failed { error: "not begun: the time ran out".to_owned() };
            }
            let key = object.key.clone();
            // A task of its own, so that a bug met with one object is that object's failure.
            let outcome = tokio::spawn(async move { work.object(&object, until).await }).await;
            let outcome = outcome.unwrap_or_else(|cause| Outcome::Failed { error: cause.to_string() });
            outcome.log(&key);
            if matches!(outcome, Outcome::Denied { .. }) {
                denied.store(true, Ordering::Relaxed);
            }
            outcome
        }
    };
    let each = objects.iter().zip(notice::latest(objects)).map(one);
    futures::stream::iter(each).buffered(at_once.max(1)).collect().await
}

/// What outcomes come to.
pub(super) fn totals(outcomes: &[Outcome]) -> Totals {
    let mut totals = Totals::default();
    outcomes.iter().for_each(|outcome| totals.count(outcome));
    totals
}
