//! [`Source`]: an `ampoule.toml`, what its author writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ampoule_host::Field;
use ampoule_host::seal::GraphFile;
use anyhow::{Context as _, bail};
use serde::Deserialize;

/// What goes into an ampoule. All but the model may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub name: Option<String>,
    pub version: Option<String>,
    pub description: Option<String>,
    pub licence: Option<String>,
    pub source: Option<String>,
    /// The only graph, as a path from the manifest's folder; its name is `default`.
    model: Option<PathBuf>,
    /// Several graphs, or one with more to say.
    #[serde(default)]
    graphs: Vec<GraphSource>,
    /// A crate's folder or a component; without it the pipeline is all there is.
    pub predictor: Option<PathBuf>,
    #[serde(default)]
    pub inputs: Vec<Field>,
    #[serde(default)]
    pub outputs: Vec<Field>,
    pub pipeline: Option<serde_json::Value>,
    #[serde(default)]
    pub samples: Vec<serde_json::Value>,
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphSource {
    name: String,
    file: PathBuf,
    #[serde(default)]
    warm: Vec<Vec<Vec<usize>>>,
}

impl Source {
    /// Reads what `path` names, and gives the folder that its paths start from.
    pub fn read(path: &Path) -> anyhow::Result<(Self, PathBuf)> {
        let file = if path.is_dir() { path.join("ampoule.toml") } else { path.to_owned() };
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("toml") => {
                let text = std::fs::read_to_string(&file).with_context(|| {
                    let hint =
                        if path.is_dir() { " (a folder to be sealed holds an ampoule.toml)" } else { "" };
                    format!("can't read {}{hint}", file.display())
                })?;
                let source: Self =
                    toml::from_str(&text).with_context(|| format!("{} can't be used", file.display()))?;
                Ok((source, folder))
            }
            // What a file holds is seen by its content; these are the endings that the libraries give.
            Some("onnx" | "json" | "ubj" | "txt" | "model" | "bin" | "cbm") => {
                Ok((Self { model: file.file_name().map(PathBuf::from), ..Self::default() }, folder))
            }
            _ => {
                bail!(
                    "{}: expected a model (.onnx; XGBoost's .json or .ubj, LightGBM's .txt, CatBoost's .json), an \
                     ampoule.toml or a folder that holds one",
                    path.display()
                )
            }
        }
    }

    /// Reads the graphs' files.
    pub fn graph_files(&self, folder: &Path) -> anyhow::Result<Vec<GraphFile>> {
        let read = |file: &Path| {
            let path = folder.join(file);
            std::fs::read(&path).with_context(|| format!("can't read the model {}", path.display()))
        };
        let mut graphs = Vec::new();
        if let Some(model) = &self.model {
            if !self.graphs.is_empty() {
                bail!("expected `model` or `graphs`, got both");
            }
            graphs.push(GraphFile::new("default".to_owned(), read(model)?, Vec::new())?);
        }
        for graph in &self.graphs {
            graphs.push(GraphFile::new(graph.name.clone(), read(&graph.file)?, graph.warm.clone())?);
        }
        if graphs.is_empty() && self.predictor.is_none() {
            bail!("expected `model = \"FILE\"`, or a `predictor` that needs none");
        }
        Ok(graphs)
    }
}
