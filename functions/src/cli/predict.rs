//! `ampoule predict`: predictions for files, a folder or standard input.

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use ampoule_host::{Batch, Model, Reuse};
use anyhow::{Context as _, bail};

use super::engine::EngineOptions;
use super::input::{self, Laid};
use super::limits::LimitOptions;
use super::outcome::{Spool, print};
use super::{Exit, progress};
use ampoule_wire::rows::{Format, Layout, Writer, Written};

/// Predicts for files, a folder, or standard input ("-").
///
/// Predictions are printed one to a line as JSON. Pictures are written to --output. A row that can't
/// be predicted has a line that says why, and the others go on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule predict iris.wasm rows.csv
  ampoule predict iris.wasm rows.parquet -o answers.parquet
  echo '[5.1, 3.5, 1.4, 0.2]' | ampoule predict iris.wasm -
  ampoule predict clouds.wasm scene.png -o mask.png
  ampoule predict clouds.wasm scenes/ -o masks/
  ampoule predict clouds.wasm scenes/ -o masks/ --engine onnxruntime --onnxruntime-library libonnxruntime.so.1.31.1")]
pub struct Predict {
    #[arg(value_name = "AMPOULE")]
    ampoule: PathBuf,
    /// Files or folders of instances; "-" is standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Where predictions go: a file, or for several pictures a folder [default: standard output]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// What the inputs are, where their names don't show it
    #[arg(short, long)]
    format: Option<Format>,
    /// How predictions are laid out [default: as OUTPUT ends]
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<Laid>,
    /// The parameters that go with every call, as a JSON object
    #[arg(short, long, value_name = "JSON")]
    parameters: Option<String>,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    limits: LimitOptions,
}

impl Predict {
    pub fn run(self) -> anyhow::Result<Exit> {
        if let Some(parameters) = &self.parameters {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(parameters)
                .context("--parameters: expected a JSON object")?;
        }
        let host = self.limits.host(Reuse::Never, &self.engine)?;
        let model = host.open(&self.ampoule)?;
        let files = input::listed(&self.inputs, model.manifest())?;
        let mut output = Output::new(self.output.clone(), files.len())?;
        let bar = progress::bar(files.len() as u64, "files");
        let runtime = super::runtime(None)?;
        let mut refused = 0;
        for (root, file) in &files {
            let name = file.strip_prefix(root).unwrap_or(file);
            let written = output
                .take(name, |out| self.file(&model, &runtime, file, out))
                .with_context(|| file.display().to_string())?;
            refused += written.refused;
            bar.inc(1);
        }
        bar.finish_and_clear();
        output.finish()?;
        Ok(if refused > 0 { Exit::Refused } else { Exit::Done })
    }

    /// Writes the predictions of one file to `out`.
    fn file(
        &self,
        model: &Model,
        runtime: &tokio::runtime::Runtime,
        file: &Path,
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<Written> {
        let manifest = model.manifest();
        let format = input::format(file, self.format, manifest)?;
        let layout = self.layout();
        let mut writer = Writer::new(&layout, manifest, format, out)?;
        for rows in input::rows(file, format, manifest, self.limits.bounds(), layout.keeps())? {
            let mut rows = rows?;
            let predictions =
                runtime.block_on(crate::rows::predict(&mut rows, model, self.parameters.as_deref()))?;
            for row in &rows.rows {
                if let Some(refusal) = &row.refused {
                    eprintln!("{}: {}: {refusal}", file.display(), row.place);
                }
            }
            if let (None, Batch::Media(_)) = (&self.output, &predictions)
                && std::io::stdout().is_terminal()
            {
                bail!(
                    "the prediction is a picture: say where it goes with --output, or redirect standard output"
                );
            }
            writer.write(&rows, &predictions)?;
        }
        Ok(writer.finish()?)
    }

    fn layout(&self) -> Layout {
        let ending = self.output.as_ref().and_then(|path| path.extension()?.to_str());
        match (self.layout, ending) {
            (Some(laid), _) => laid.layout(),
            (None, Some("csv")) => Layout::Csv,
            (None, Some("parquet")) => Layout::Parquet,
            _ => Layout::Own,
        }
    }
}

/// Where predictions go.
enum Output {
    Standard,
    /// All in one file.
    File(PathBuf, Spool),
    /// A file for each input.
    Folder(PathBuf),
}

impl Output {
    fn new(path: Option<PathBuf>, inputs: usize) -> anyhow::Result<Self> {
        Ok(match path {
            None => Self::Standard,
            Some(path) if inputs > 1 && !path.exists() && path.extension().is_none() => Self::Folder(path),
            Some(path) if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                Self::Folder(path)
            }
            Some(path) => {
                let spool = Spool::beside(&path)?;
                Self::File(path, spool)
            }
        })
    }

    /// Puts what `write` writes where the predictions for the input `name` go.
    fn take(
        &mut self,
        name: &Path,
        write: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<Written>,
    ) -> anyhow::Result<Written> {
        match self {
            Self::Standard => write(&mut Standard),
            Self::File(path, spool) => {
                let before = spool.bytes()?;
                let written = write(spool)?;
                if before > 0 && written.ending != "jsonl" {
                    bail!("{} holds the predictions of one input: name a folder for several", path.display());
                }
                Ok(written)
            }
            Self::Folder(folder) => {
                let path = folder.join(name);
                let mut spool = Spool::beside(&path)?;
                let written = write(&mut spool)?;
                spool.publish(&path.with_extension(written.ending))?;
                Ok(written)
            }
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::File(path, spool) => spool.publish(&path).map(|_| ()),
            _ => Ok(()),
        }
    }
}

/// Standard output, whose reader may go.
struct Standard;

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        print(bytes).map(|()| bytes.len()).map_err(std::io::Error::other)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
