//! [`Report`]: a job's end, as a table for people and as JSON for machines.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::outcome::Spool;
use crate::job::{Job, Outcome, Step, Totals};

/// Objects without a prediction that are named on standard error; the report names all.
const NAMED: usize = 100;

/// What became of a job's objects. A line for each is written as it comes, so that many take no memory.
pub struct Report {
    job: Value,
    file: Option<(PathBuf, BufWriter<Spool>)>,
    lines: usize,
    named: usize,
    /// Why objects were skipped, and how many for each reason.
    skipped: BTreeMap<String, usize>,
    broken: Option<std::io::Error>,
}

impl Report {
    /// A report of `job`, to be written to `path`.
    ///
    /// # Errors
    /// No file can be made there.
    pub fn begin(job: &Job, path: Option<&Path>) -> anyhow::Result<Self> {
        let file = match path {
            Some(path) => Some((path.to_owned(), BufWriter::new(Spool::beside(path)?))),
            None => None,
        };
        let model = job.model();
        let about = json!({ "job": job.id(), "model": model.name(), "digest": model.digest() });
        let mut report =
            Self { job: about, file, lines: 0, named: 0, skipped: BTreeMap::new(), broken: None };
        report.write(b"{\"files\": [");
        Ok(report)
    }

    /// Notes an object. `say` is told of one that has no prediction.
    pub fn take(&mut self, step: &Step<'_>, say: impl Fn(String)) {
        let file = step.key;
        let line = match step.outcome {
            Outcome::Done { instances } => json!({ "file": file, "outcome": "done", "instances": instances }),
            Outcome::Skipped { why } => {
                *self.skipped.entry(why.clone()).or_default() += 1;
                json!({ "file": file, "outcome": "skipped", "why": why })
            }
            Outcome::Refused { code, error } => {
                json!({ "file": file, "outcome": "refused", "code": code, "error": error })
            }
            Outcome::Failed { error } => json!({ "file": file, "outcome": "failed", "error": error }),
            Outcome::Denied { error } => json!({ "file": file, "outcome": "denied", "error": error }),
        };
        if let Some(error) = line["error"].as_str() {
            self.named += 1;
            if self.named <= NAMED {
                say(format!("{}: {error}", file.escape_debug()));
            }
        }
        let comma: &[u8] = if self.lines == 0 { b"\n  " } else { b",\n  " };
        self.lines += 1;
        self.write(comma);
        self.write(line.to_string().as_bytes());
    }

    /// Prints the table and gives the report its name.
    ///
    /// # Errors
    /// The report can't be written.
    pub fn end(mut self, totals: &Totals, stopped: bool, took: Duration) -> anyhow::Result<()> {
        self.print(totals, stopped, took);
        let mut about = self.job.take();
        if let (Value::Object(about), Ok(Value::Object(totals))) = (&mut about, serde_json::to_value(totals))
        {
            about.extend(totals);
            about.insert("seconds".to_owned(), json!(took.as_secs_f64()));
            about.insert("stopped".to_owned(), json!(stopped));
        }
        // The totals follow the lines as further members of the same object.
        let text = about.to_string();
        self.write(b"\n],\n");
        self.write(text.strip_prefix('{').unwrap_or(&text).as_bytes());
        self.write(b"\n");
        let Some((path, file)) = self.file else { return Ok(()) };
        let failed = || format!("can't write {}", path.display());
        if let Some(cause) = self.broken {
            return Err(cause).with_context(failed);
        }
        let spool = file.into_inner().map_err(|broken| broken.into_error()).with_context(failed)?;
        spool.publish(&path).map(|_| ())
    }

    fn print(&self, totals: &Totals, stopped: bool, took: Duration) {
        if self.named > NAMED {
            eprintln!("… and {} more: --report names all", self.named - NAMED);
        }
        let seconds = took.as_secs_f64().max(1e-9);
        let rate = |count: usize| format!("{:.1}/s", count as f64 / seconds);
        let mut lines = vec![
            format!("done     {:>9}  {:>12}", totals.done, rate(totals.done)),
            format!("rows     {:>9}  {:>12}", totals.instances, rate(totals.instances)),
            format!("skipped  {:>9}", totals.skipped),
        ];
        lines.extend(self.skipped.iter().map(|(why, count)| format!("         {count:>9}  {why}")));
        lines.extend([
            format!("refused  {:>9}", totals.refused),
            format!("failed   {:>9}", totals.failed),
            format!("seconds  {seconds:>9.1}"),
        ]);
        if stopped || totals.unfinished {
            lines.push("There is more to do: run it again to go on.".to_owned());
        }
        let table = lines.join("\n") + "\n";
        // A reader that has gone changes nothing of what the job came to.
        let _ = std::io::stdout().write_all(table.as_bytes());
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some((_, file)) = &mut self.file
            && let Err(cause) = file.write_all(bytes)
        {
            self.broken.get_or_insert(cause);
        }
    }
}
