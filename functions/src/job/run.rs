//! [`Job`]: one model and one set of settings over two stores.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ampoule_host::Model;
use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use tokio::sync::OnceCell;

use super::identity::Identity;
use super::keys::{self, Keys};
use super::pace::{Pace, Paced};
use super::predict::{self, Caller};
use super::publish::{Place, Proof};
use super::record;
use super::settings::{After, JobSettings, short};
use super::sweep::Sweep;
use super::trouble::Trouble;
use super::{ObjectName, Outcome, Share, Totals, Work};
use crate::settings::Settings;
use crate::store::retry::Retry;
use crate::store::{Cloud, Object, Store};
use crate::threads;
use ampoule_wire::rows::Format;

/// One model and one set of settings over two stores. Cheap to clone; all clones are one job.
#[derive(Clone, Debug)]
pub struct Job {
    inner: Arc<Inner>,
}

impl std::ops::Deref for Job {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

/// What all objects of a job share.
pub struct Inner {
    /// The job's name in records and metadata.
    pub(super) id: String,
    pub(super) model: Model,
    pub(super) input: Arc<dyn Store>,
    pub(super) output: Arc<dyn Store>,
    pub(super) settings: JobSettings,
    pub(super) keys: Keys,
    pub(super) caller: Caller,
    /// The patience with each of the stores.
    pub(super) input_retry: Arc<Retry>,
    pub(super) output_retry: Arc<Retry>,
    pub(super) pace: Arc<Pace>,
    /// Whether the job is on record.
    begun: OnceCell<()>,
    config: String,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("model", &self.model.digest())
            .field("input", &self.input)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

impl Job {
    /// A job of `model` from `input` to `output`.
    ///
    /// # Errors
    /// A sentence that names the setting that can't be, such as an output among the inputs.
    pub fn new(
        model: Model,
        input: Arc<dyn Store>,
        output: Arc<dyn Store>,
        settings: JobSettings,
    ) -> Result<Self, String> {
        let keys = settings.check(input.name(), output.name())?;
        let config = settings.digest();
        let id = settings.name.clone().unwrap_or_else(|| {
            short(&format!(
                "{}\n{config}\n{}\n{}\n{}\n{}",
                model.digest(),
                input.name(),
                settings.input_prefix,
                output.name(),
                settings.output_prefix
            ))
        });
        if id.is_empty()
            || id.len() > 64
            || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(format!("expected a job's name of up to 64 letters, digits and \"-\", got {id:?}"));
        }
        let at_once = model.host().limits().max_concurrent_calls;
        let calls = at_once.min(threads::processors() + 1);
        let pace = Pace::new(settings.max_objects_at_once);
        let paced = |store| Arc::new(Paced { store, pace: pace.clone() });
        let inner = Inner {
            id,
            input: paced(input),
            output: paced(output),
            caller: Caller::new(model.clone(), settings.parameters.clone(), settings.layout.clone(), calls),
            input_retry: Arc::default(),
            output_retry: Arc::default(),
            model,
            settings,
            keys,
            pace,
            begun: OnceCell::new(),
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The job of a cloud function: from the input to the output bucket that `settings` name,
    /// opened as a program of `cloud` does.
    ///
    /// # Errors
    /// A bucket isn't named, can't be opened, or lies in the other.
    pub async fn open(model: &Model, settings: &Settings, cloud: &Cloud) -> anyhow::Result<Self> {
        let location = |place: &Option<crate::settings::Place>, variable: &str| match place {
            Some(place) => place.location(cloud).with_context(|| variable.to_owned()),
            None => bail!("{variable}: expected a bucket's name, got nothing"),
        };
        let input = location(&settings.input, "INPUT_BUCKET_NAME")?;
        let output = location(&settings.output, "OUTPUT_BUCKET_NAME")?;
        let told = JobSettings {
            input_prefix: input.prefix.clone(),
            output_prefix: output.prefix.clone(),
            dead_prefix: settings.dead_letter_prefix.clone(),
            after: settings.after,
            done_prefix: settings.done_prefix.clone(),
            max_objects_at_once: settings.limits.max_concurrent_calls,
            ..JobSettings::default()
        };
        let (input, output) = (input.open_from(cloud).await?, output.open_from(cloud).await?);
        Self::new(model.clone(), input, output, told).map_err(anyhow::Error::msg)
    }

    /// The job's name in records and metadata.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The key of the output store where the prediction of the object `name` goes; `name` is its key
    /// without the input's prefix.
    pub fn prediction_key(&self, name: &str) -> String {
        let format = self.settings.format.or_else(|| Format::of(name));
        let takes_pictures = self.model.manifest().takes_media().is_some();
        let default = if takes_pictures { Format::Image } else { Format::Jsonl };
        self.keys.prediction(name, self.ending(format.unwrap_or(default)))
    }

    /// The ending of the keys of predictions of objects of this format.
    pub(super) fn ending(&self, format: Format) -> &'static str {
        predict::ending(&self.settings.layout, self.model.manifest(), format)
    }

    /// The input store, and the patience with it.
    pub(super) fn input(&self) -> Place<'_> {
        Place { store: &self.input, retry: &self.input_retry }
    }

    /// The output store, and the patience with it.
    pub(super) fn output(&self) -> Place<'_> {
        Place { store: &self.output, retry: &self.output_retry }
    }

    /// Puts the job on record, pinned to its model, unless it is there.
    pub(super) async fn begin(&self) -> Result<(), Trouble> {
        self.begun.get_or_try_init(|| record::begin(self)).await.map(|_| ())
    }

    pub(super) fn identity(&self, key: &str, object: &Object, hops: u32) -> Identity {
        Identity {
            bucket: self.input.name().to_owned(),
            key: key.to_owned(),
            version: object.version.clone(),
            model: self.model.digest().to_owned(),
            config: self.config.clone(),
            job: self.id.clone(),
            hops,
        }
    }

    /// How a prediction is verified: where the input leaves, byte for byte.
    pub(super) fn proof(&self) -> Proof {
        match self.settings.after {
            After::Keep | After::Tag => Proof::Length,
            After::Delete | After::Move => Proof::Bytes,
        }
    }

    /// Where a done input is moved to.
    pub(super) fn moved(&self, name: &str) -> String {
        let prefix = &self.settings.done_prefix;
        if prefix.len() + name.len() > MAX_KEY_BYTES {
            return format!("{prefix}{}", keys::escape(name));
        }
        format!("{prefix}{name}")
    }
}

/// Bytes of a key that every store takes.
const MAX_KEY_BYTES: usize = 1024;

#[async_trait]
impl Work for Job {
    async fn object(&self, object: &ObjectName, until: Instant) -> Outcome {
        let own = self.input.name();
        let bucket = own.split_once("://").map_or(own, |(_, bucket)| bucket);
        if object.bucket != bucket && object.bucket != own {
            let error = format!("expected objects of {own}, got one of the bucket {:?}", object.bucket);
            return Outcome::Denied { error };
        }
        let work = async {
            if let Err(trouble) = self.begin().await {
                return trouble.outcome();
            }
            let _place = self.pace.place().await;
            let outcome = self.visit(&object.key, None).await.outcome;
            if matches!(outcome, Outcome::Done { .. }) {
                self.pace.went_well();
            }
            outcome
        };
        match tokio::time::timeout_at(until.into(), work).await {
            Ok(outcome) => outcome,
            Err(_) => super::too_late(),
        }
    }

    async fn sweep(&self, share: Share, until: Instant) -> anyhow::Result<Totals> {
        Sweep::begin(self, share, until).await?.run(std::future::pending(), |_| {}).await
    }
}

/// The time as records have it (RFC 3339, UTC, whole seconds).
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    time.fmt(DateTimeFormat::DateTime).expect("a year has four digits")
}
