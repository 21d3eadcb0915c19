//! `ampoule new`: a folder to begin with.

use std::fs;
use std::path::{Path, PathBuf};

use ampoule_host::seal::{self, GraphFile};
use anyhow::{Context as _, bail};

use super::{Exit, outcome};

/// Makes a folder with an ampoule.toml and, with --predictor, a predictor in Rust.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule new wine --model wine.onnx               no code: a manifest that says what the model does
  ampoule new wine --model wine.onnx --predictor   a predictor in Rust beside it
  ampoule seal wine")]
pub struct New {
    /// The model's name, and the folder's
    name: PathBuf,
    /// The model, as `ampoule seal` takes it; it is copied into the folder
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Add a predictor in Rust, for what a pipeline can't say
    #[arg(long)]
    predictor: bool,
    /// Where the predictor finds the crate ampoule-guest [default: the sources that ampoule was built from]
    #[arg(long, value_name = "FOLDER", requires = "predictor")]
    sdk: Option<PathBuf>,
}

const MANIFEST: &str = include_str!("new/ampoule.toml");
const CARGO: &str = include_str!("new/Cargo.toml.in");
const PREDICTOR: &str = include_str!("new/predictor.rs.in");

impl New {
    pub fn run(self) -> anyhow::Result<Exit> {
        let name = self.name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !ampoule_host::is_name(name) {
            bail!("expected a name of a-z, 0-9, \".\", \"_\" and \"-\", got {name:?}");
        }
        if self.name.exists() {
            bail!("{} is there already", self.name.display());
        }
        let bytes = fs::read(&self.model).with_context(|| format!("can't read {}", self.model.display()))?;
        let describe = || seal::describe(&GraphFile::new("default".to_owned(), bytes.clone(), Vec::new())?);
        let facts = describe().with_context(|| format!("{} can't be used", self.model.display()))?.facts;
        let ending = self.model.extension().and_then(|ending| ending.to_str()).unwrap_or("onnx");
        let model = format!("model.{ending}");
        let tensors = |tensors: &[ampoule_host::GraphTensor]| {
            let line = |tensor: &ampoule_host::GraphTensor| {
                let axes: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
                format!("#   {}: {}[{}]\n", tensor.name, tensor.dtype, axes.join(", "))
            };
            tensors.iter().map(line).collect::<String>()
        };
        let manifest = MANIFEST
            .replace("{name}", name)
            .replace("{model}", &model)
            .replace("{inputs}", tensors(&facts.inputs).trim_end())
            .replace("{outputs}", tensors(&facts.outputs).trim_end())
            .replace(
                "{predictor}",
                if self.predictor { "predictor = \"predictor\"" } else { "# predictor = \"predictor\"" },
            );
        write(&self.name.join("ampoule.toml"), manifest.as_bytes())?;
        write(&self.name.join(model), &bytes)?;
        if self.predictor {
            let sdk = self.sdk()?;
            let sdk = toml::Value::String(sdk.display().to_string()).to_string();
            let folder = self.name.join("predictor");
            write(
                &folder.join("Cargo.toml"),
                CARGO.replace("{name}", name).replace("{sdk}", &sdk).as_bytes(),
            )?;
            write(&folder.join("src/lib.rs"), PREDICTOR.as_bytes())?;
        }
        let name = self.name.display();
        outcome::print(format!("{name} is there; next: ampoule seal {name}\n").as_bytes())?;
        Ok(Exit::Done)
    }

    fn sdk(&self) -> anyhow::Result<PathBuf> {
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/sdk");
        let sdk = self.sdk.clone().unwrap_or(built_from);
        sdk.canonicalize().ok().filter(|sdk| sdk.join("Cargo.toml").exists()).with_context(|| {
            format!("the crate ampoule-guest is not in {}: say where it is with --sdk", sdk.display())
        })
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("can't write {}", path.display()))
}
