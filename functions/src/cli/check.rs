//! `ampoule check`: whether an ampoule's answers are the same everywhere.
//!
//! [`instances`] are made or read, the native engine answers them, each [`environment`] that is at hand answers them too,
//! and [`compare`] tells the answers apart.

mod compare;
mod container;
mod environment;
mod ground;
mod http;
mod instances;
mod javascript;
mod lambda;
mod matrix;
mod report;
mod v2;
mod wasmtime;

use std::path::PathBuf;
use std::time::Duration;

use ampoule_host::{Ampoule, Engine, sha256_hex};
use ampoule_wire::rows::Format;
use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use reqwest::Url;

use self::compare::Answer;
use self::environment::{Against, Environment, Local, Subject};
use self::ground::{Ground, Stopped};
use self::http::Header;
use self::instances::Source;
use self::matrix::{Matrix, Row};
use super::limits::LimitOptions;
use super::outcome::{print, publish};
use super::{Exit, progress};

/// How far numbers may be apart where nothing says so.
const TOLERANCE: f64 = 1e-5;

/// Checks that an ampoule gives the same answers everywhere.
///
/// Instances are answered by the native engine, and then by every environment that is at hand: numbers have to be equal to
/// the bit or within the tolerance, texts and labels the same, masks equal pixel by pixel. What the native engine refuses
/// has to be refused everywhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule check iris.wasm                          the manifest's samples
  ampoule check iris.wasm rows.csv --fuzz 1000     a table, and a thousand made-up rows
  ampoule check clouds.wasm scenes/ --report out   pictures; out/report.html shows where masks differ
  ampoule check iris.wasm --only serve,lambda      these, and 1 where one of them is not here
  ampoule check iris.wasm --fuzz 1000 --record     puts into the manifest what was found the same
  ampoule check iris.wasm --against xgboost:model.json --against https://example.org/v1/models/iris:predict
  ampoule check iris.wasm --against https://example.org/v2/models/iris/infer --header \"Authorization: Bearer $TOKEN\"

--against asks what else is to give the same answers:
  URL               a server that takes {\"instances\": [...]} and gives {\"predictions\": [...]}: Vertex AI, KServe V1,
                    MLflow; without a path, POST /predictions
  URL/infer         a server that takes and gives tensors: KServe V2, Triton, MLServer. Columns are one matrix where it
                    has one input, and otherwise a tensor each; of its outputs those are compared that the manifest names
  onnxruntime       ONNX Runtime, from --onnxruntime-library
  python:FILE       a program that gets an instance on each line as JSON, and prints a prediction for each
  xgboost:MODEL     a model that XGBoost saved, run by XGBoost for Python

Exit codes: 0 the answers are the same; 1 some differ, an environment failed, or one of --only is not here.")]
pub struct Check {
    #[arg(value_name = "AMPOULE")]
    ampoule: PathBuf,
    /// Files or folders of instances; "-" is standard input [default: the manifest's samples]
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// What the inputs are, where their names don't show it
    #[arg(short, long)]
    format: Option<Format>,
    /// Instances that are made up from the signature, besides the others
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=100_000))]
    fuzz: usize,
    /// What made-up instances come from: the same seed makes the same
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// How far numbers may be apart, absolute or relative, whichever is larger [default: 1e-5, or less if that is on record]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = tolerance)]
    tolerance: Option<f64>,
    /// The environments to ask, all of which have to be here
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<Local>,
    /// Environments to leave out
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    without: Vec<Local>,
    /// What else is to give the same answers: a URL, onnxruntime, python:FILE or xgboost:MODEL
    #[arg(long, value_name = "WHAT")]
    against: Vec<Against>,
    /// Put the digest, the tolerance and what came of it into the file's manifest, if the answers are the same
    #[arg(long)]
    record: bool,
    /// Print the matrix as JSON
    #[arg(long)]
    json: bool,
    /// Write report.json and report.html into this folder
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Seconds that one start, one request or one run may take
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    #[command(flatten)]
    tools: Tools,
    #[command(flatten)]
    limits: LimitOptions,
}

/// Programs and libraries of others.
#[derive(Debug, clap::Args)]
struct Tools {
    /// The program wasmtime
    #[arg(long, value_name = "PATH", default_value = "wasmtime")]
    wasmtime: PathBuf,
    /// The program node, 18 or later
    #[arg(long, value_name = "PATH", default_value = "node")]
    node: PathBuf,
    /// Chromium or Chrome [default: one in PATH]
    #[arg(long, value_name = "PATH")]
    browser: Option<PathBuf>,
    /// Docker or Podman [default: one in PATH that can run containers]
    #[arg(long, value_name = "PATH")]
    container: Option<PathBuf>,
    /// A header for the servers of --against, such as "Authorization: Bearer TOKEN"
    #[arg(long, value_name = "NAME:VALUE")]
    header: Vec<Header>,
    /// The program that runs Python, with what the scripts import
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
    /// ONNX Runtime's shared library, 1.17 or newer
    #[arg(long, env = "AMPOULE_ONNXRUNTIME_LIBRARY", value_name = "FILE")]
    onnxruntime_library: Option<PathBuf>,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(tolerance) if tolerance.is_finite() && tolerance >= 0.0 => Ok(tolerance),
        _ => Err("expected a number of 0 or more, such as 1e-5".to_owned()),
    }
}

impl Check {
    pub fn run(self) -> anyhow::Result<Exit> {
        let environments = self.environments()?;
        let ampoule = Ampoule::open(&self.ampoule)?;
        if ampoule.is_packed() {
            bail!("{}: expected a sealed file, got one from a package", self.ampoule.display());
        }
        let matrix = match self.matrix(&ampoule, environments) {
            Err(cause) if cause.is::<Stopped>() => return Ok(Exit::Stopped),
            matrix => matrix?,
        };
        if let Some(folder) = &self.report {
            report::write(folder, &matrix)?;
        }
        // Before a reader of the table may go.
        let recorded = match self.record && matrix.holds() {
            true => self.put_on_record(&ampoule, &matrix),
            false => Ok(()),
        };
        let text = if self.json { format!("{:#}\n", matrix.json()) } else { matrix.table() };
        print(text.as_bytes())?;
        recorded?;
        Ok(if matrix.holds() { Exit::Done } else { Exit::Failed })
    }

    /// Writes the file anew, with the matrix in its manifest.
    fn put_on_record(&self, ampoule: &Ampoule, matrix: &Matrix) -> anyhow::Result<()> {
        let Some(digest) = ampoule.unrecorded_digest() else {
            bail!("nothing is recorded: expected a file as `ampoule seal` writes it, got another manifest");
        };
        let Some(checked) = matrix.checked(digest) else {
            bail!("nothing is recorded: the native engine was compared with nothing");
        };
        let recorded = ampoule.with_record(Some(checked));
        // The file that a link leads to.
        let path =
            self.ampoule.canonicalize().with_context(|| format!("can't find {}", self.ampoule.display()))?;
        if std::fs::read(&path).ok().as_deref() != Some(ampoule.bytes()) {
            bail!("nothing is recorded: {} is another file now", self.ampoule.display());
        }
        publish(&path, &recorded)?;
        eprintln!("{}: recorded, and sha256:{} now", self.ampoule.display(), sha256_hex(&recorded));
        Ok(())
    }

    fn matrix(&self, ampoule: &Ampoule, environments: Vec<Environment>) -> anyhow::Result<Matrix> {
        let file = std::path::absolute(&self.ampoule)?;
        let manifest = ampoule.manifest();
        let source = Source {
            inputs: &self.inputs,
            format: self.format,
            fuzz: self.fuzz,
            seed: self.seed,
            bounds: self.limits.bounds(),
        };
        let instances = source.instances(manifest)?;
        let ground = Ground::new(Duration::from_secs(self.timeout))?;
        let subject = Subject::new(ampoule, &file, &ground, &self.tools, &self.limits);
        let spinner = progress::spinner("native");
        let reference = subject.here(Engine::Native, &instances)?;
        let given = |answer: &&Answer| matches!(answer, Answer::Given(_));
        if reference.iter().filter(given).count() == 0 {
            let why = match reference.first() {
                Some(Answer::Refused(why) | Answer::Failed(why)) => why.as_str(),
                _ => "there are none",
            };
            bail!(
                "nothing to compare: the native engine predicts none of {} instances: {why}",
                instances.len()
            );
        }
        // A file says itself what is on record: no more than usual goes by that.
        let on_record = manifest.checked.as_ref().filter(|_| ampoule.is_checked() == Some(true));
        let on_record = on_record.map_or(TOLERANCE, |checked| checked.tolerance.min(TOLERANCE));
        let tolerance = self.tolerance.unwrap_or(on_record);
        let mut matrix = Matrix::new(ampoule, instances, reference, tolerance, self.seed);
        for environment in environments {
            spinner.set_message(environment.to_string());
            let row = self.row(&environment, &subject, &matrix)?;
            matrix.rows.push(row);
        }
        spinner.finish_and_clear();
        Ok(matrix)
    }

    /// What `--only`, `--without` and `--against` ask for.
    fn environments(&self) -> anyhow::Result<Vec<Environment>> {
        let wanted = |local: &Local| {
            (self.only.is_empty() || self.only.contains(local)) && !self.without.contains(local)
        };
        let local = Local::value_variants().iter().copied().filter(wanted).map(Environment::Local);
        let against = self.against.iter().cloned().map(Environment::Against);
        let environments: Vec<Environment> = local.chain(against).collect();
        let mut servers = environments.iter().filter_map(Environment::server).map(Url::origin);
        let first = servers.next();
        if !self.tools.header.is_empty() && servers.any(|server| Some(server) != first) {
            bail!("--header is for one server: expected --against one of them, got several");
        }
        if environments.is_empty() {
            bail!("nothing is left to ask: --without names all that --only does");
        }
        Ok(environments)
    }

    fn row(&self, environment: &Environment, subject: &Subject<'_>, matrix: &Matrix) -> anyhow::Result<Row> {
        let name = environment.to_string();
        if let Some(why) = environment.absent(subject) {
            let wanted = matches!(environment, Environment::Local(local) if self.only.contains(local));
            return Ok(Row::absent(name, why, wanted));
        }
        let mut asked = matrix.asked(environment.takes_valid_only());
        asked
            .retain(|&index| matrix.instances.get(index).is_some_and(|instance| environment.takes(instance)));
        let instances: Vec<_> =
            asked.iter().filter_map(|&index| matrix.instances.get(index).cloned()).collect();
        match environment.ask(subject, &instances) {
            Ok(answers) => {
                let partial = environment.is_partial(subject.ampoule.manifest());
                Ok(matrix.compare(name, &asked, answers, partial))
            }
            Err(cause) if cause.is::<Stopped>() => Err(cause),
            Err(cause) => Ok(Row::failed(name, compare::line(&format!("{cause:#}")))),
        }
    }
}
