//! One object's way through a job: read, predict, publish, verify, and only then touch the input.

use futures::FutureExt as _;

use super::identity::{self, Found, Identity};
use super::input::Input;
use super::predict::{self, Prediction};
use super::publish::{Agreement, Place, Proof, Publication, intact, publish};
use super::run::Job;
use super::spool::Spooled;
use super::trouble::{Stage, Trouble};
use super::{Outcome, dead};
use crate::settings::After;
use crate::store::retry::Retry;
use crate::store::{Object, StoreError};
use ampoule_wire::rows::Format;

/// The code of an object whose bytes came damaged whenever they were read.
pub const CORRUPT: &str = "corrupt_object";

/// The tag that an input gets, with what became of it.
const TAG: &str = "ampoule";

/// What became of an object, and whether another has taken its place meanwhile.
#[derive(Debug)]
pub struct Visited {
    pub outcome: Outcome,
    pub replaced: bool,
}

/// One object being done.
pub struct Visit<'j> {
    pub job: &'j Job,
    /// Its raw key.
    pub key: &'j str,
    /// The key without the input's prefix.
    pub name: &'j str,
    /// As it was read.
    pub object: Option<Object>,
    pub format: Option<Format>,
    pub tries: u32,
}

/// What happened to an input at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    AsAsked,
    /// Another was uploaded under its key, which stays.
    Replaced,
}

impl Job {
    /// Does the object of this raw key. `listed` is what a listing said of it.
    pub async fn visit(&self, key: &str, listed: Option<&Object>) -> Visited {
        let Some(name) = key.strip_prefix(&self.settings.input_prefix) else {
            let why = format!("its key doesn't begin with {:?}", self.settings.input_prefix);
            return Visited { outcome: Outcome::Skipped { why }, replaced: false };
        };
        if let Some(why) = self.passes_over(key, name, listed) {
            return Visited { outcome: Outcome::Skipped { why }, replaced: false };
        }
        let mut visit = Visit { job: self, key, name, object: listed.cloned(), format: None, tries: 0 };
        match visit.attempts().await {
            Ok((outcome, left)) => Visited { outcome, replaced: left == Left::Replaced },
            Err(trouble) => visit.settle(trouble).await,
        }
    }

    /// Why an object is no input, as far as its key shows.
    fn passes_over(&self, key: &str, name: &str, listed: Option<&Object>) -> Option<String> {
        let last = name.rsplit('/').next().unwrap_or(name);
        if name.ends_with('/') && listed.is_none_or(|object| object.bytes == 0) {
            return Some("it is a folder's marker".to_owned());
        }
        if self.settings.after == After::Move && key.starts_with(&self.settings.done_prefix) {
            return Some("it is done and was moved here".to_owned());
        }
        if self.settings.format.is_some() {
            return None;
        }
        if last.starts_with('.') {
            return Some("its name begins with a dot".to_owned());
        }
        match Format::of(name) {
            Some(format) if self.takes(format) => None,
            Some(_) => Some(format!("expected {}", self.expects())),
            None if last.contains('.') => {
                Some(format!("its ending shows no format: expected {}", self.expects()))
            }
            None => None,
        }
    }

    /// Whether the model takes objects of this format.
    fn takes(&self, format: Format) -> bool {
        (format == Format::Image) == self.model.manifest().takes_media().is_some()
    }

    fn expects(&self) -> &'static str {
        match self.model.manifest().takes_media() {
            Some(_) => "a picture (.png, .jpg, .webp, .tif)",
            None => "a table (.csv, .json, .jsonl, .parquet)",
        }
    }
}

impl Visit<'_> {
    async fn attempts(&mut self) -> Result<(Outcome, Left), Trouble> {
        let listed = self.object.take();
        loop {
            self.tries += 1;
            let error = match self.attempt(listed.as_ref().filter(|_| self.tries == 1)).await {
                Err(Trouble::Again(error)) => error,
                other => return other,
            };
            let retry = &self.job.input_retry;
            // Damaged on its way is as good as lost.
            match retry.delay(self.tries, &StoreError::Lost { cause: error.clone() }) {
                Some(delay) => tokio::time::sleep(delay).await,
                None if retry.is_last(self.tries) => {
                    return Err(Trouble::Refused { code: CORRUPT, stage: Stage::Read, error });
                }
                None => return Err(Trouble::Failed(error)),
            }
        }
    }

    async fn attempt(&mut self, listed: Option<&Object>) -> Result<(Outcome, Left), Trouble> {
        let job = self.job;
        let mut looked = None;
        if let (Some(listed), Some(format)) = (listed, job.settings.format.or_else(|| Format::of(self.name)))
        {
            if let Some(left) = self.done_before(listed, 0, format).await? {
                return Ok((Outcome::Skipped { why: DONE.to_owned() }, left));
            }
            looked = Some(&listed.version);
        }
        let input =
            Input::open(&job.input, &job.input_retry, self.key, None, job.settings.max_object_bytes).await?;
        let object = input.object.clone();
        if let Some(listed) = listed
            && listed.version == object.version
            && listed.bytes != object.bytes
        {
            return Err(Trouble::Again(format!("listed with {} bytes, got {}", listed.bytes, object.bytes)));
        }
        self.object = Some(object.clone());
        let hops = identity::hops(&object.about);
        if hops.is_some_and(|hops| hops > job.settings.max_hops) {
            return Err(Trouble::Skipped("it is a job's output".to_owned()));
        }
        let format = self.format_of(&object)?;
        self.format = Some(format);
        let hops = hops.unwrap_or(0);
        if looked != Some(&object.version)
            && let Some(left) = self.done_before(&object, hops, format).await?
        {
            return Ok((Outcome::Skipped { why: DONE.to_owned() }, left));
        }
        let prediction = predict::predict(&job.caller, format, input).await?;
        let identity = job.identity(self.key, &object, hops);
        let instances = prediction.instances;
        match self.publish(&identity, &object, format, &prediction).await {
            Err(Trouble::InTheWay { code, error }) => {
                dead::keep_other(self, &identity, &prediction, format).await?;
                Err(Trouble::InTheWay { code, error })
            }
            published => {
                published?;
                Ok((Outcome::Done { instances }, self.leave(&object, hops, "done").await?))
            }
        }
    }

    /// Whether a prediction of this state of the input is there, whole; then the input is treated as
    /// the job says.
    async fn done_before(&self, object: &Object, hops: u32, format: Format) -> Result<Option<Left>, Trouble> {
        let job = self.job;
        let key = job.keys.prediction(self.name, job.ending(format));
        let found = match job.output_retry.run(|| job.output.head(&key)).await {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(cause) => return Err(Trouble::of_output(cause)),
        };
        let Found::Same { sha256 } = job.identity(self.key, object, hops).look(&found) else {
            return Ok(None);
        };
        if !intact(job.output(), &found, found.bytes, &sha256, job.proof()).await? {
            return Ok(None);
        }
        Ok(Some(self.leave(object, hops, "done").await?))
    }

    fn format_of(&self, object: &Object) -> Result<Format, Trouble> {
        let job = self.job;
        let content_type = object.about.content_type.as_deref();
        let shown = job
            .settings
            .format
            .or_else(|| Format::of(self.name))
            .or_else(|| content_type.and_then(predict::format_of));
        match shown {
            Some(format) if job.takes(format) => Ok(format),
            // A picture's own first bytes show what it is.
            None if job.takes(Format::Image) => Ok(Format::Image),
            _ => Err(Trouble::Refused {
                code: "unknown_format",
                stage: Stage::Read,
                error: format!(
                    "expected {}, and neither its name nor its content type ({}) shows one",
                    job.expects(),
                    content_type.unwrap_or("none")
                ),
            }),
        }
    }

    async fn publish(
        &self,
        identity: &Identity,
        object: &Object,
        format: Format,
        prediction: &Prediction,
    ) -> Result<(), Trouble> {
        let job = self.job;
        let Prediction { spooled, content_type, .. } = prediction;
        let publication = Publication {
            key: job.keys.prediction(self.name, job.ending(format)),
            content: spooled.content.clone(),
            bytes: spooled.bytes,
            sha256: spooled.sha256.clone(),
            about: identity.about(content_type, &spooled.sha256),
        };
        let current = || self.is_current(object);
        publish(job.output(), &publication, identity, Agreement::Content, job.proof(), current).await
    }

    /// Whether the input still is as it was read.
    pub async fn is_current(&self, object: &Object) -> Result<bool, Trouble> {
        match self.job.input_retry.run(|| self.job.input.head(self.key)).await {
            Ok(now) => Ok(now.version == object.version),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(cause) => Err(Trouble::of_input(cause)),
        }
    }

    /// Treats an input whose prediction or record is safe as the job says.
    pub async fn leave(&self, object: &Object, hops: u32, state: &str) -> Result<Left, Trouble> {
        let job = self.job;
        let (key, version) = (self.key, &object.version);
        match job.settings.after {
            After::Keep => Ok(Left::AsAsked),
            After::Tag => insist(&job.input_retry, || job.input.tag(key, version, TAG, state)).await,
            After::Move if state == "done" => {
                let target = job.moved(self.name);
                let of = job.identity(self.key, object, hops);
                match self.copy(job.input(), target, &of, object).await {
                    Err(Trouble::Skipped(_) | Trouble::Replaced) => return Ok(Left::Replaced),
                    copied => copied?,
                }
                insist(&job.input_retry, || job.input.delete(key, version)).await
            }
            After::Delete | After::Move => insist(&job.input_retry, || job.input.delete(key, version)).await,
        }
    }

    /// Copies this version of the input to `target`.
    pub async fn copy(
        &self,
        place: Place<'_>,
        target: String,
        identity: &Identity,
        object: &Object,
    ) -> Result<(), Trouble> {
        let job = self.job;
        let max_bytes = job.settings.max_object_bytes;
        let input =
            Input::open(&job.input, &job.input_retry, self.key, Some(&object.version), max_bytes).await?;
        let Spooled { content, bytes, sha256, file } = input.spool().await?;
        let about = identity.about_copy(&object.about, &sha256);
        let publication = Publication { key: target, content, bytes, sha256, about };
        let current = || self.is_current(object);
        let outcome = publish(place, &publication, identity, Agreement::Content, Proof::Bytes, current).await;
        drop(file);
        outcome
    }

    /// Ends a visit that met trouble.
    async fn settle(&self, trouble: Trouble) -> Visited {
        let buried = match &trouble {
            Trouble::Refused { code, stage, error } => dead::bury(self, code, *stage, error).boxed().await,
            Trouble::InTheWay { code, error } => {
                dead::record(self, code, Stage::Write, error).await.map(|()| Left::AsAsked)
            }
            Trouble::Replaced => Ok(Left::Replaced),
            Trouble::Skipped(_) | Trouble::Again(_) | Trouble::Failed(_) | Trouble::Denied(_) => {
                Ok(Left::AsAsked)
            }
        };
        match buried {
            Ok(left) => Visited { outcome: trouble.outcome(), replaced: left == Left::Replaced },
            Err(Trouble::Denied(error)) => Visited { outcome: Outcome::Denied { error }, replaced: false },
            // Replaced while it was refused: the new one is another matter.
            Err(cause @ (Trouble::Skipped(_) | Trouble::Replaced)) => {
                Visited { outcome: cause.outcome(), replaced: true }
            }
            Err(cause) => {
                let error = format!("{trouble}; and it could not be put on record: {cause}");
                Visited { outcome: Outcome::Failed { error }, replaced: false }
            }
        }
    }
}

const DONE: &str = "its prediction is there";

/// Repeats a conditional change of an input until the store says what became of it.
async fn insist<F>(retry: &Retry, change: impl Fn() -> F) -> Result<Left, Trouble>
where
    F: Future<Output = Result<(), StoreError>>,
{
    match retry.run(change).await {
        // A twin was first, or an answer to us was lost.
        Ok(()) | Err(StoreError::NotFound { .. }) => Ok(Left::AsAsked),
        Err(StoreError::Changed { .. }) => Ok(Left::Replaced),
        Err(cause @ (StoreError::Denied { .. } | StoreError::Unsupported { .. })) => {
            Err(Trouble::Denied(cause.to_string()))
        }
        Err(cause) => Err(Trouble::Failed(cause.to_string())),
    }
}
