//! `ampoule batch`: a bucket or folder of inputs becomes a bucket or folder of predictions.

mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ampoule_host::Reuse;
use anyhow::{Context as _, bail};
use indicatif::ProgressBar;

use super::Exit;
use super::engine::EngineOptions;
use super::input::Laid;
use super::limits::LimitOptions;
use super::progress::Objects;
use crate::job::{Job, JobSettings, Outcome, Share, Step, Sweep};
use crate::settings::After;
use crate::store::{Location, Place, Store};
use ampoule_wire::rows::Format;
use report::Report;

/// Predicts for every object of a bucket or folder.
///
/// Pictures become pictures, tables (.csv, .json, .jsonl, .parquet) become .jsonl, or what
/// --layout says: OUT/NAME.png, OUT/NAME.jsonl.
/// An object that can't be predicted is on record as OUT/_dead/NAME.error.json, and the others go on.
/// A job that was stopped or killed goes on where it was when the same command is run again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule batch clouds.wasm scenes/ masks/
  ampoule batch clouds.wasm inbox/ masks/ --input delete --report report.json
  ampoule batch iris.wasm s3://flowers/new/ s3://flowers/species/ --input move --done-prefix done/")]
pub struct Batch {
    #[arg(value_name = "AMPOULE")]
    ampoule: PathBuf,
    /// The inputs: a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX
    #[arg(value_name = "IN")]
    input: Location,
    /// Where predictions go, in the same forms; a folder is made if it isn't there
    #[arg(value_name = "OUT")]
    output: Location,
    /// What happens to an input once its prediction is safe
    #[arg(long = "input", value_name = "WHAT", default_value = "keep")]
    after: After,
    /// What the keys of moved inputs begin with, in the bucket or folder of the inputs
    #[arg(long, value_name = "PREFIX", default_value = "_done/")]
    done_prefix: String,
    /// What the names of inputs that can't be predicted begin with, under OUT
    #[arg(long, value_name = "PREFIX", default_value = "_dead/")]
    dead_prefix: String,
    /// What the inputs are, where their names don't show it
    #[arg(short, long)]
    format: Option<Format>,
    /// How predictions of tables are laid out
    #[arg(long, value_name = "LAYOUT", default_value = "own")]
    layout: Laid,
    /// The parameters that go with every call, as a JSON object
    #[arg(short, long, value_name = "JSON")]
    parameters: Option<String>,
    /// Objects that are worked on at one time, if the stores bear it
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    at_once: usize,
    /// Stop when more than this share of the objects can't be predicted (and at least 20 of them)
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    max_refused: f64,
    /// The job's name, where several of the same model and places are to be told apart
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Write the report, as JSON, to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    limits: LimitOptions,
}

impl Batch {
    pub fn run(self) -> anyhow::Result<Exit> {
        let host = self.limits.host(Reuse::Never, &self.engine)?;
        let model = host.open(&self.ampoule)?;
        let runtime = super::runtime(None)?;
        let exit = runtime.block_on(async {
            let settings = JobSettings {
                input_prefix: self.input.prefix.clone(),
                output_prefix: self.output.prefix.clone(),
                dead_prefix: format!("{}{}", self.output.prefix, self.dead_prefix),
                after: self.after,
                done_prefix: self.done_prefix.clone(),
                format: self.format,
                layout: self.layout.layout(),
                parameters: self.parameters.clone(),
                max_objects_at_once: self.at_once,
                max_refused_share: self.max_refused,
                name: self.job.clone(),
                ..JobSettings::default()
            };
            let (input, output) = (self.inputs().await?, self.outputs().await?);
            let job = Job::new(model, input.clone(), output, settings).map_err(anyhow::Error::msg)?;
            self.work(&job, input).await
        });
        // What still runs after a stop is not waited for: its output is whole or not there.
        runtime.shutdown_timeout(Duration::from_millis(100));
        exit
    }

    async fn inputs(&self) -> anyhow::Result<Arc<dyn Store>> {
        let mut input = self.input.clone();
        if let Place::Folder { path } = &mut input.place {
            *path = path
                .canonicalize()
                .ok()
                .filter(|path| path.is_dir())
                .with_context(|| format!("{}: expected a folder of inputs", self.input))?;
        }
        Ok(input.open().await?)
    }

    async fn outputs(&self) -> anyhow::Result<Arc<dyn Store>> {
        let mut output = self.output.clone();
        if let Place::Folder { path } = &mut output.place {
            std::fs::create_dir_all(&path)
                .with_context(|| format!("can't make the folder {}", path.display()))?;
            *path = path.canonicalize().with_context(|| path.display().to_string())?;
        }
        Ok(output.open().await?)
    }

    async fn work(&self, job: &Job, input: Arc<dyn Store>) -> anyhow::Result<Exit> {
        let progress = Objects::new();
        let bar = progress.bar.clone();
        let counting =
            (!bar.is_hidden()).then(|| tokio::spawn(count(input, self.input.prefix.clone(), bar.clone())));
        let mut report = Report::begin(job, self.report.as_deref())?;
        let start = Instant::now();
        let mut stopped = false;
        let stop = async {
            crate::serve::stopped().await;
            stopped = true;
            // The second time is meant: what is begun ends in the middle, which the next run mends.
            tokio::spawn(async {
                crate::serve::stopped().await;
                std::process::exit(130);
            });
        };
        // Work at a terminal has no end but its own.
        let until = start + Duration::from_secs(365 * 86_400);
        let sweep = Sweep::begin(job, Share::WHOLE, until).await?;
        let totals = sweep
            .run(stop, |step: Step<'_>| {
                progress.take(if let Outcome::Done { instances } = step.outcome { *instances } else { 0 });
                report.take(&step, |line| bar.suspend(|| eprintln!("{line}")));
            })
            .await;
        if let Some(counting) = counting {
            counting.abort();
        }
        bar.finish_and_clear();
        let totals = totals.with_context(|| format!("{} to {}", self.input, self.output))?;
        let objects = totals.objects();
        // Where inputs leave, an empty place is one that is done.
        if objects == 0 && !stopped && matches!(self.after, After::Keep | After::Tag) {
            bail!("{}: expected objects to predict, found none", self.input);
        }
        report.end(&totals, stopped, start.elapsed())?;
        if totals.unfinished && !stopped {
            eprintln!(
                "stopped: {} of {objects} objects can't be predicted, more than {} %: is it the right ampoule? (--max-refused)",
                totals.refused,
                self.max_refused * 100.0
            );
        }
        Ok(match totals {
            _ if stopped => Exit::Stopped,
            _ if !totals.is_complete() => Exit::Failed,
            _ if totals.refused > 0 => Exit::Refused,
            _ => Exit::Done,
        })
    }
}

/// Counts the inputs, so that the bar has an end.
async fn count(input: Arc<dyn Store>, prefix: String, bar: ProgressBar) {
    let (mut page, mut objects) = (None, 0);
    while let Ok(listed) = input.list(&prefix, page.as_deref()).await {
        objects += listed.objects.len() as u64;
        page = listed.next;
        if page.is_none() {
            return bar.set_length(objects);
        }
    }
}
