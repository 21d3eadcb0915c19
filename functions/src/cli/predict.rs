//! `ampoule predict`: predictions for files, a folder or standard input.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use ampoule_host::{Batch, Media, Model, Reuse};
use anyhow::{Context as _, bail};

use super::input::{self, Format};
use super::limits::LimitOptions;
use super::outcome::{Existing, print, publish};
use super::{Exit, progress};
use crate::wire::{encode, media};

/// Predicts for files, a folder, or standard input ("-").
///
/// Predictions are printed one to a line as JSON. Pictures are written to --output.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule predict iris.wasm rows.csv
  echo '[5.1, 3.5, 1.4, 0.2]' | ampoule predict iris.wasm -
  ampoule predict clouds.wasm scene.png -o mask.png
  ampoule predict clouds.wasm scenes/ -o masks/")]
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
    /// The parameters that go with every call, as a JSON object
    #[arg(short, long, value_name = "JSON")]
    parameters: Option<String>,
    #[command(flatten)]
    limits: LimitOptions,
}

impl Predict {
    pub fn run(self) -> anyhow::Result<Exit> {
        if let Some(parameters) = &self.parameters {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(parameters)
                .context("--parameters: expected a JSON object")?;
        }
        let host = self.limits.host(Reuse::Never)?;
        let model = host.open(&self.ampoule)?;
        let files = self.files(&model)?;
        let mut output = Output::new(self.output.clone(), files.len())?;
        let bar = progress::bar(files.len() as u64, "files");
        let runtime = super::runtime(None)?;
        for (root, file) in &files {
            let name = file.strip_prefix(root).unwrap_or(file);
            let mut outcome = || -> anyhow::Result<()> {
                for batch in
                    input::batches(file, self.format, model.manifest(), self.limits.max_input_bytes())?
                {
                    let answer = runtime.block_on(model.predict(batch?, self.parameters.clone()))?;
                    output.take(&model, name, answer.predictions)?;
                }
                Ok(())
            };
            outcome().with_context(|| file.display().to_string())?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        output.finish()?;
        Ok(Exit::Done)
    }

    /// Every file, with the folder that it was found in.
    fn files(&self, model: &Model) -> anyhow::Result<Vec<(PathBuf, PathBuf)>> {
        let mut files = Vec::new();
        for path in &self.inputs {
            if !path.is_dir() {
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                files.push((folder, path.clone()));
                continue;
            }
            let pictures = model.manifest().takes_media().is_some();
            let wanted = |file: &PathBuf| match Format::of(file) {
                Some(Format::Image) => pictures,
                Some(_) => !pictures,
                None => false,
            };
            let before = files.len();
            files.extend(input::files(path)?.into_iter().filter(wanted).map(|file| (path.clone(), file)));
            if files.len() == before {
                let expected = if pictures { "pictures" } else { ".json, .jsonl or .csv files" };
                bail!("{}: expected {expected}, found none", path.display());
            }
        }
        Ok(files)
    }
}

/// Where predictions go.
enum Output {
    Lines {
        file: Option<PathBuf>,
        lines: Vec<u8>,
    },
    /// One picture to a file.
    File(PathBuf),
    Folder(PathBuf),
}

/// Lines are handed on when this many bytes have come together.
const FLUSH: usize = 1 << 20;

impl Output {
    fn new(path: Option<PathBuf>, inputs: usize) -> anyhow::Result<Self> {
        Ok(match path {
            None => Self::Lines { file: None, lines: Vec::new() },
            Some(path) if inputs > 1 && !path.exists() && path.extension().is_none() => Self::Folder(path),
            Some(path) if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                Self::Folder(path)
            }
            Some(path) => Self::File(path),
        })
    }

    fn take(&mut self, model: &Model, name: &Path, predictions: Batch) -> anyhow::Result<()> {
        if let Batch::Media(items) = predictions {
            return self.take_media(name, items);
        }
        if let Self::File(path) = self {
            *self = Self::Lines { file: Some(path.clone()), lines: Vec::new() };
        }
        match self {
            Self::Lines { file, lines } => {
                encode::predictions(&predictions, &model.manifest().outputs, b"\n", lines)
                    .map_err(anyhow::Error::msg)?;
                if predictions.instances() > 0 {
                    lines.push(b'\n');
                }
                if file.is_none() && lines.len() > FLUSH {
                    print(lines)?;
                    lines.clear();
                }
                Ok(())
            }
            Self::Folder(folder) => {
                let mut lines = Vec::new();
                encode::predictions(&predictions, &model.manifest().outputs, b"\n", &mut lines)
                    .map_err(anyhow::Error::msg)?;
                lines.push(b'\n');
                let path = folder.join(name).with_extension("jsonl");
                publish(&path, &lines, Existing::Replace).map(|_| ())
            }
            Self::File(_) => unreachable!("became lines above"),
        }
    }

    fn take_media(&mut self, name: &Path, items: Vec<Media>) -> anyhow::Result<()> {
        for item in items {
            match self {
                Self::File(path) => {
                    publish(path, &item.bytes, Existing::Replace)?;
                }
                Self::Folder(folder) => {
                    let path = folder.join(name).with_extension(media::ending(&item.content_type));
                    publish(&path, &item.bytes, Existing::Replace)?;
                }
                Self::Lines { .. } if std::io::stdout().is_terminal() => {
                    bail!(
                        "the prediction is a picture: say where it goes with --output, or redirect standard output"
                    );
                }
                Self::Lines { .. } => print(&item.bytes)?,
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Lines { file: Some(file), lines } => publish(&file, &lines, Existing::Replace).map(|_| ()),
            Self::Lines { file: None, lines } => print(&lines),
            _ => Ok(()),
        }
    }
}
