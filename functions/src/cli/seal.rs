//! `ampoule seal`: a model becomes one file.

#[cfg(feature = "portable")]
mod portable;
#[cfg(not(feature = "portable"))]
#[path = "seal/absent.rs"]
mod portable;
mod signature;
mod source;

use std::path::{Path, PathBuf};

use ampoule_host::seal::{self, GraphFile};
use ampoule_host::{Ampoule, Manifest};
use anyhow::Context as _;

use self::source::Source;
use super::outcome::{print, publish};
use super::{Exit, progress};
use crate::guest_build::{self, System};

/// The predictors of models that need no code: for pictures, and for tables.
const PICTURES: &[u8] = include_bytes!(env!("AMPOULE_PREBUILT_PICTURES"));
const TABLES: &[u8] = include_bytes!(env!("AMPOULE_PREBUILT_TABLES"));

/// Seals a model into one file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule seal model.onnx                 writes model.wasm
  ampoule seal model.json                 what XGBoost, LightGBM or CatBoost saved
  ampoule seal models/iris -o iris.wasm   models/iris/ampoule.toml says what goes in
  ampoule seal models/iris --portable     runs by itself too: wasmtime run iris.wasm < rows.jsonl
  ampoule new iris --model model.onnx     writes an ampoule.toml to begin with")]
pub struct Seal {
    /// An ONNX model; XGBoost's .json or .ubj, LightGBM's .txt, CatBoost's .json; an ampoule.toml, or a folder that holds
    /// one
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The file to write [default: NAME.wasm]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The model's name, instead of the manifest's or the file's
    #[arg(long)]
    name: Option<String>,
    /// Puts an engine in that has the model ready: the file runs wherever components run. As a command (wasmtime run), or
    /// for HTTP (wasmtime serve)
    #[arg(long, value_name = "FRONT", num_args = 0..=1, default_missing_value = "run", require_equals = true)]
    portable: Option<Front>,
}

/// How a portable ampoule is asked. One file can't be both: a runtime gives each what the other lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Front {
    /// A command, as `ampoule predict` is one
    Run,
    /// An HTTP server's handler, as `ampoule serve` answers
    Http,
}

impl Seal {
    pub fn run(self) -> anyhow::Result<Exit> {
        let spinner = progress::spinner(format!("sealing {}", self.model.display()));
        let sealed = seal_path(&self.model, self.name.as_deref())?;
        let sealed = match self.portable {
            Some(front) => portable::portable(&sealed, front)?,
            None => sealed,
        };
        spinner.finish_and_clear();
        let output = self.output.unwrap_or_else(|| PathBuf::from(format!("{}.wasm", sealed.manifest().name)));
        publish(&output, sealed.bytes())?;
        let manifest = sealed.manifest();
        let facts = format!(
            "{}  {} {}  {} bytes\nsha256:{}\n",
            output.display(),
            manifest.name,
            manifest.version,
            sealed.bytes().len(),
            sealed.digest()
        );
        print(facts.as_bytes())?;
        Ok(Exit::Done)
    }
}

/// Seals what `path` names: a model, an ampoule.toml, or a folder that holds one.
///
/// # Errors
/// The file is none of those, or what it names is missing or doesn't fit together.
pub fn seal_path(path: &Path, name: Option<&str>) -> anyhow::Result<Ampoule> {
    let (source, folder) = Source::read(path)?;
    let graphs = source.graph_files(&folder)?;
    let mut manifest = manifest(&source, &graphs, path)?;
    let predictor = match &source.predictor {
        None if manifest.takes_media().is_some() => PICTURES.to_vec(),
        None => TABLES.to_vec(),
        Some(predictor) => component(&folder.join(predictor))?,
    };
    if let Some(name) = name {
        name.clone_into(&mut manifest.name);
    }
    let sealed = super::runtime(Some(1))?
        .block_on(seal::seal(manifest, &predictor, &graphs))
        .with_context(|| format!("can't seal {}", path.display()))?;
    Ok(Ampoule::from_bytes(sealed, "what was just sealed")?)
}

/// A predictor's component: a `.wasm` file as it is, a crate's folder built.
fn component(path: &Path) -> anyhow::Result<Vec<u8>> {
    let built;
    let file = if path.is_dir() {
        let target = path.join("target");
        built = guest_build::build(path, &target, &[], System::Closed).map_err(anyhow::Error::msg)?;
        &built
    } else {
        path
    };
    std::fs::read(file).with_context(|| format!("can't read the predictor {}", file.display()))
}

/// The manifest: what the source says, and what the graphs say where it is silent.
fn manifest(source: &Source, graphs: &[GraphFile], path: &Path) -> anyhow::Result<Manifest> {
    let described = graphs.iter().map(seal::describe).collect::<Result<Vec<_>, _>>()?;
    let mut pipeline = source.pipeline.clone();
    let (mut inputs, mut outputs) = (source.inputs.clone(), source.outputs.clone());
    if let Some(first) = described.first() {
        if inputs.is_empty() {
            let fields = match (first.features.as_slice(), first.facts.inputs.as_slice()) {
                (features @ [_, ..], [input]) => {
                    let codes = signature::codes(features, input);
                    if source.predictor.is_none() && !codes.is_empty() {
                        signature::set(&mut pipeline, "table", codes.into());
                    }
                    signature::of_features(features, input)
                }
                (_, inputs) => signature::of_inputs(inputs, &first.missing),
            };
            inputs = fields.context("the model's inputs need an ampoule.toml")?;
            // Every booster knows what to do where a number is missing.
            inputs.iter_mut().for_each(|field| field.missing |= first.objective.is_some());
        }
        if outputs.is_empty() {
            outputs = signature::of_outputs(&first.facts.outputs, &first.labels)
                .context("the model's outputs need an ampoule.toml")?;
        }
        if source.predictor.is_none() && signature::takes_one_at_a_time(&first.facts) {
            signature::set(&mut pipeline, "batch", 1.into());
        }
    }
    let name = match &source.name {
        Some(name) => name.clone(),
        None => signature::name_of(path),
    };
    let description = source.description.clone().or_else(|| {
        described
            .first()
            .map(|first| first.doc.trim().to_owned())
            .filter(|doc| !doc.is_empty() && doc.len() <= 500)
    });
    Ok(Manifest {
        ampoule: 1,
        name,
        version: source.version.clone().unwrap_or_else(|| "0.1.0".to_owned()),
        description,
        licence: source.licence.clone(),
        source: source.source.clone().or_else(|| described.first().and_then(origin)),
        inputs,
        outputs,
        graphs: Vec::new(),
        pipeline,
        samples: source.samples.clone(),
        settings: source.settings.clone(),
        predictor_sha256: String::new(),
        checked: None,
    })
}

/// What a booster was made with and for: `XGBoost 3.2.0, multi:softprob`.
fn origin(described: &seal::Description) -> Option<String> {
    described.objective.as_ref().map(|objective| format!("{}, {objective}", described.producer))
}
