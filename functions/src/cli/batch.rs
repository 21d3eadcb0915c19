//! `ampoule batch`: a folder of inputs becomes a folder of predictions.
//!
//! For each file: read, predict, write the prediction so that it is whole or not there, read it
//! back, and only then delete the input where that was asked for. A file that can't be predicted
//! goes on record beside the predictions, and the others go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ampoule_host::{Batch as Instances, Fault, Model, Reuse, sha256_hex};
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::input::{self, Format};
use super::limits::LimitOptions;
use super::outcome::{Existing, Published, publish};
use super::{Exit, progress};
use crate::wire::{Refusal, encode, media};

/// Predicts for every file of a folder.
///
/// Pictures become pictures, tables (.csv, .json, .jsonl) become .jsonl, under the same names. A
/// file that can't be predicted is left where it is, and OUT/_dead/NAME.error.json says why.
/// What is in OUT already is not done again, so that a job that was stopped can be resumed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule batch clouds.wasm scenes/ masks/
  ampoule batch clouds.wasm inbox/ masks/ --input delete --report report.json")]
pub struct Batch {
    #[arg(value_name = "AMPOULE")]
    ampoule: PathBuf,
    /// The folder of inputs
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The folder of predictions; made if it isn't there
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// What happens to an input once its prediction is safe
    #[arg(long = "input", value_name = "WHAT", default_value = "keep")]
    after: After,
    /// Write the report, as JSON, to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitOptions,
}

/// What happens to an input once its prediction is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum After {
    Keep,
    Delete,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum Outcome {
    Done {
        instances: usize,
    },
    /// Its prediction was there already.
    Skipped,
    /// It can't be predicted.
    Refused {
        error: String,
    },
    /// The machine or the ampoule failed; the same file may be done another time.
    Failed {
        error: String,
    },
}

/// A job's end, for machines.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: &'a str,
    digest: &'a str,
    files: Vec<Line>,
    done: usize,
    skipped: usize,
    refused: usize,
    failed: usize,
    instances: usize,
    seconds: f64,
    stopped: bool,
}

#[derive(Debug, Serialize)]
struct Line {
    file: PathBuf,
    #[serde(flatten)]
    outcome: Outcome,
}

impl Batch {
    pub fn run(self) -> anyhow::Result<Exit> {
        let host = self.limits.host(Reuse::Never)?;
        let model = host.open(&self.ampoule)?;
        if !self.input.is_dir() {
            bail!("{}: expected a folder of inputs", self.input.display());
        }
        fs::create_dir_all(&self.output)
            .with_context(|| format!("can't make the folder {}", self.output.display()))?;
        let (input, output) = (self.input.canonicalize()?, self.output.canonicalize()?);
        if output.starts_with(&input) || input.starts_with(&output) {
            bail!(
                "{} and {} lie in one another: predictions would become inputs",
                self.input.display(),
                self.output.display()
            );
        }
        let job = Arc::new(Job {
            pictures: model.manifest().takes_media().is_some(),
            model,
            input,
            output,
            after: self.after,
            max_bytes: self.limits.max_input_bytes(),
        });
        let files: Vec<PathBuf> =
            input::files(&job.input)?.into_iter().filter(|file| job.takes(file)).collect();
        if files.is_empty() {
            bail!("{}: expected {}, found none", self.input.display(), job.expects());
        }
        let start = Instant::now();
        let runtime = super::runtime(None)?;
        let (lines, stopped) = runtime.block_on(job.clone().work(files, self.limits.max_concurrent_calls()));
        // What still runs after a stop is not waited for: its output is whole or not there.
        runtime.shutdown_timeout(Duration::from_millis(100));
        let report = job.report(lines, stopped, start.elapsed());
        report.print();
        if let Some(path) = &self.report {
            publish(path, &serde_json::to_vec_pretty(&report)?, Existing::Replace)?;
        }
        Ok(match &report {
            Report { stopped: true, .. } => Exit::Stopped,
            Report { failed, .. } if *failed > 0 => Exit::Failed,
            Report { refused, .. } if *refused > 0 => Exit::Refused,
            _ => Exit::Done,
        })
    }
}

/// What all files of a job share.
struct Job {
    model: Model,
    pictures: bool,
    input: PathBuf,
    output: PathBuf,
    after: After,
    max_bytes: usize,
}

impl Job {
    fn takes(&self, file: &Path) -> bool {
        Format::of(file).is_some_and(|format| (format == Format::Image) == self.pictures)
    }

    fn expects(&self) -> &'static str {
        if self.pictures { "pictures (.png, .jpg, .webp, .tif)" } else { "tables (.csv, .json, .jsonl)" }
    }

    /// Does the files, `at_once` at one time, until all are done or the process is asked to stop.
    async fn work(self: Arc<Self>, files: Vec<PathBuf>, at_once: usize) -> (Vec<Line>, bool) {
        let bar = progress::bar(files.len() as u64, "files");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let places = Arc::new(Semaphore::new(at_once.min(cores + 1)));
        let mut running = JoinSet::new();
        let mut lines = Vec::with_capacity(files.len());
        let stop = crate::serve::stopped();
        tokio::pin!(stop);
        let mut stopped = false;
        let mut files = files.into_iter();
        let mut next = files.next();
        while next.is_some() || !running.is_empty() {
            tokio::select! {
                biased;
                () = &mut stop, if !stopped => {
                    stopped = true;
                    next = None;
                }
                place = places.clone().acquire_owned(), if next.is_some() => {
                    let (job, file) = (self.clone(), next.take().expect("the branch is taken when there is one"));
                    next = files.next();
                    running.spawn(async move {
                        let _place = place;
                        let outcome = job.file(&file).await;
                        Line { file: file.strip_prefix(&job.input).unwrap_or(&file).to_owned(), outcome }
                    });
                }
                Some(line) = running.join_next(), if !running.is_empty() => {
                    bar.inc(1);
                    match line {
                        Ok(line) => lines.push(line),
                        Err(cause) => tracing::error!(%cause, "a file's task failed"),
                    }
                }
                else => {}
            }
        }
        bar.finish_and_clear();
        lines.sort_by(|a, b| a.file.cmp(&b.file));
        (lines, stopped)
    }

    async fn file(&self, file: &Path) -> Outcome {
        match self.one(file).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let text = format!("{error:#}");
                let refused = error.chain().any(|cause| {
                    cause.is::<Refusal>()
                        || cause
                            .downcast_ref::<ampoule_host::Error>()
                            .is_some_and(|error| !error.kind().retry && error.kind().fault != Fault::Host)
                });
                if !refused {
                    return Outcome::Failed { error: text };
                }
                let name = file.strip_prefix(&self.input).unwrap_or(file);
                let record = serde_json::json!({
                    "file": name, "error": text, "model": self.model.name(), "digest": self.model.digest(),
                });
                let mut beside = self.output.join("_dead").join(name).into_os_string();
                beside.push(".error.json");
                match publish(Path::new(&beside), record.to_string().as_bytes(), Existing::Replace) {
                    Ok(_) => Outcome::Refused { error: text },
                    Err(cause) => Outcome::Failed { error: format!("{text}; and {cause:#}") },
                }
            }
        }
    }

    async fn one(&self, file: &Path) -> anyhow::Result<Outcome> {
        let name = file.strip_prefix(&self.input).unwrap_or(file);
        let before = identity(file)?;
        // Until it is known what a picture becomes, the usual ending tells whether it was done.
        if self.after == After::Keep && self.output_of(name, None).exists() {
            return Ok(Outcome::Skipped);
        }
        let mut instances = 0;
        let mut lines = Vec::new();
        let mut picture = None;
        for batch in input::batches(file, None, self.model.manifest(), self.max_bytes)? {
            let batch: Instances = batch?;
            instances += batch.instances();
            match self.model.predict(batch, None).await?.predictions {
                Instances::Media(mut items) if self.pictures && items.len() == 1 => picture = items.pop(),
                predictions => {
                    encode::predictions(&predictions, &self.model.manifest().outputs, b"\n", &mut lines)
                        .map_err(ampoule_host::Error::Contract)?;
                    lines.push(b'\n');
                }
            }
        }
        let (path, bytes) = match picture {
            Some(picture) => {
                (self.output_of(name, Some(media::ending(&picture.content_type))), picture.bytes)
            }
            None => (self.output_of(name, Some("jsonl")), lines),
        };
        if publish(&path, &bytes, Existing::Keep)? == Published::Kept && self.after == After::Keep {
            return Ok(Outcome::Skipped);
        }
        let written = fs::read(&path).with_context(|| format!("can't read {} back", path.display()))?;
        if sha256_hex(&written) != sha256_hex(&bytes) {
            bail!(
                "{} holds another prediction than this file's: the input is left where it is",
                path.display()
            );
        }
        if self.after == After::Delete && identity(file)? == before {
            fs::remove_file(file).with_context(|| format!("can't delete {}", file.display()))?;
        }
        Ok(Outcome::Done { instances })
    }

    /// Where a file's prediction goes: under its whole name, so that `a.png` and `a.jpg` don't meet.
    fn output_of(&self, name: &Path, ending: Option<&str>) -> PathBuf {
        let own = name.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_owned();
        let usual = self.model.manifest().outputs.first().and_then(|field| field.media.first());
        let ending = ending.unwrap_or_else(|| match usual {
            Some(content_type) if self.pictures => media::ending(content_type),
            _ => "jsonl",
        });
        if own == ending {
            return self.output.join(name);
        }
        let mut path = self.output.join(name).into_os_string();
        path.push(format!(".{ending}"));
        path.into()
    }

    fn report(&self, files: Vec<Line>, stopped: bool, took: Duration) -> Report<'_> {
        let count = |wanted: fn(&Outcome) -> bool| files.iter().filter(|line| wanted(&line.outcome)).count();
        let instances =
            |line: &Line| if let Outcome::Done { instances } = line.outcome { instances } else { 0 };
        Report {
            model: self.model.name(),
            digest: self.model.digest(),
            done: count(|outcome| matches!(outcome, Outcome::Done { .. })),
            skipped: count(|outcome| matches!(outcome, Outcome::Skipped)),
            refused: count(|outcome| matches!(outcome, Outcome::Refused { .. })),
            failed: count(|outcome| matches!(outcome, Outcome::Failed { .. })),
            instances: files.iter().map(instances).sum(),
            seconds: took.as_secs_f64(),
            files,
            stopped,
        }
    }
}

/// What tells one state of a file from the next.
fn identity(file: &Path) -> anyhow::Result<(u64, u64, Option<std::time::SystemTime>)> {
    let facts = fs::symlink_metadata(file).with_context(|| format!("can't read {}", file.display()))?;
    Ok((std::os::unix::fs::MetadataExt::ino(&facts), facts.len(), facts.modified().ok()))
}

impl Report<'_> {
    fn print(&self) {
        for line in &self.files {
            if let Outcome::Refused { error } | Outcome::Failed { error } = &line.outcome {
                eprintln!("{}: {error}", line.file.display());
            }
        }
        let rate = self.done as f64 / self.seconds.max(1e-9);
        println!(
            "{} done, {} skipped, {} refused, {} failed in {:.1} s ({rate:.1} files/s){}",
            self.done,
            self.skipped,
            self.refused,
            self.failed,
            self.seconds,
            if self.stopped { "; stopped: run it again to go on" } else { "" }
        );
    }
}
