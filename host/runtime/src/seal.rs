//! Sealing: a manifest, a predictor and graphs become one file. Build-time work.
//!
//! The predictor's `load` is run once, here, and what it leaves in memory is snapshotted into the
//! file: an instance starts loaded, and a manifest that the predictor can't use is refused before
//! anything is served. The same inputs always give the same bytes.

mod portable;
mod prune;
mod snapshot;

use std::borrow::Cow;

pub use ampoule_engine::{Feature, FeatureKind};
pub use portable::{Given, Parts, embedded, portable, shapes};

use ampoule_engine::{Dim as EngineDim, Graph};
use wasm_encoder::{ComponentSection as _, CustomSection};

use self::snapshot::Running;
use crate::ampoule::{GRAPH_SECTION, LOADED_SECTION, MANIFEST_SECTION, sha256_hex};
use crate::bindings::Opened;
use crate::{Ampoule, Error, Limits, Manifest};
use ampoule_wire::{Dim, GraphFacts, GraphTensor};

/// A graph to be sealed.
pub struct GraphFile {
    /// The name that `load-by-name` will find it under.
    pub name: String,
    /// An ONNX file, or a booster in the form that loads fastest.
    pub bytes: Vec<u8>,
    /// Shapes to be made ready when the ampoule is opened: for each, one shape for each input.
    pub warm: Vec<Vec<Vec<usize>>>,
}

impl GraphFile {
    /// `bytes` are an ONNX file, or what XGBoost (JSON or UBJSON), LightGBM (text) or CatBoost (JSON) saved.
    ///
    /// # Errors
    /// [`Error::Graph`] where one of the last can't be used.
    pub fn new(name: String, bytes: Vec<u8>, warm: Vec<Vec<Vec<usize>>>) -> Result<Self, Error> {
        match ampoule_engine::compact(&bytes) {
            Ok(compact) => Ok(Self { name, bytes: compact.unwrap_or(bytes), warm }),
            Err(source) => Err(Error::Graph { name, source }),
        }
    }
}

/// What a graph's file says of itself.
pub struct Description {
    pub facts: GraphFacts,
    /// The classes of its last classifier, in the order of its scores.
    pub labels: Vec<String>,
    /// Its documentation; may be empty.
    pub doc: String,
    /// What wrote it, such as `XGBoost 3.2.0`; may be empty.
    pub producer: String,
    /// What a booster was trained for, in its library's words.
    pub objective: Option<String>,
    /// Inputs in which the graph itself has a use for NaN, as a missing value.
    pub missing: Vec<String>,
    /// The columns of a booster's only input, where its file names them.
    pub features: Vec<Feature>,
}

/// Reads what a graph's file says of itself, without making it ready to run.
///
/// # Errors
/// [`Error::Graph`] where the file is no graph.
pub fn describe(graph: &GraphFile) -> Result<Description, Error> {
    let refuse = |source| Error::Graph { name: graph.name.clone(), source };
    let said = Graph::describe(&graph.bytes).map_err(refuse)?;
    for tensors in [&said.inputs, &said.outputs] {
        ampoule_engine::nn::check_names(tensors)
            .map_err(|why| Error::Manifest(format!("graphs.{}: {why}", graph.name)))?;
    }
    let tensor = |info: &ampoule_engine::TensorInfo| GraphTensor {
        name: info.name.clone(),
        dtype: info.dtype.name().to_owned(),
        shape: info.shape.iter().map(dim).collect(),
    };
    let facts = GraphFacts {
        name: graph.name.clone(),
        bytes: graph.bytes.len() as u64,
        sha256: sha256_hex(&graph.bytes),
        inputs: said.inputs.iter().map(tensor).collect(),
        outputs: said.outputs.iter().map(tensor).collect(),
        warm: graph.warm.clone(),
    };
    // Others may keep anything under this name.
    let objective = said.task.and_then(|_| said.metadata.into_iter().find(|(name, _)| name == "objective"));
    Ok(Description {
        facts,
        labels: said.labels,
        doc: said.doc,
        producer: said.producer,
        objective: objective.map(|(_, objective)| objective),
        missing: said.missing,
        features: said.features,
    })
}

fn dim(dim: &EngineDim) -> Dim {
    match dim {
        EngineDim::Fixed(size) => {
            u32::try_from(*size).map_or_else(|_| Dim::Symbol(size.to_string()), Dim::Fixed)
        }
        EngineDim::Symbol(name) => Dim::Symbol(name.clone()),
    }
}

/// Seals `predictor` (a component) and `graphs` under `manifest`, whose `graphs` and
/// `predictor_sha256` are filled in here. Gives the file's bytes.
///
/// # Errors
/// By kind: a manifest that doesn't hold together, a graph that can't be read, a predictor that
/// doesn't keep to the contract, and [`Error::Failure`] with what `load` itself said.
pub async fn seal(mut manifest: Manifest, predictor: &[u8], graphs: &[GraphFile]) -> Result<Vec<u8>, Error> {
    manifest.graphs = graphs.iter().map(|graph| Ok(describe(graph)?.facts)).collect::<Result<_, Error>>()?;
    manifest.predictor_sha256 = sha256_hex(predictor);
    manifest.check()?;
    let text = manifest.to_json();
    let mut sealed = load(predictor, &text).await?;
    let graphs = graphs.iter().map(|graph| (graph.name.as_str(), graph.bytes.as_slice()));
    append_sections(&mut sealed, &text, graphs);
    // What is handed out can be opened again.
    Ok(Ampoule::from_bytes(sealed, &manifest.name)?.into_bytes())
}

/// Puts what an ampoule says of itself behind its code.
fn append_sections<'g>(
    component: &mut Vec<u8>,
    manifest: &str,
    graphs: impl Iterator<Item = (&'g str, &'g [u8])>,
) {
    append(component, LOADED_SECTION, &[]);
    append(component, MANIFEST_SECTION, manifest.as_bytes());
    for (name, file) in graphs {
        append(component, &format!("{GRAPH_SECTION}{name}"), file);
    }
}

fn append(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let section = CustomSection { name: Cow::Borrowed(name), data: Cow::Borrowed(data) };
    section.append_to_component(component);
}

/// Runs the predictor's `load` and gives the predictor as it is afterwards.
async fn load(predictor: &[u8], manifest: &str) -> Result<Vec<u8>, Error> {
    if !wasmparser::Parser::is_component(predictor) {
        return Err(Error::Contract("expected a WebAssembly component (build for wasm32-wasip2)".to_owned()));
    }
    let contract = |cause: wasmtime::Error| Error::Contract(format!("{cause:#}"));
    let mut running = Running::start(predictor, Limits::default().memory_bytes).await?;
    let opened = Opened::new(&mut running.store, &running.instance).map_err(contract)?;
    match opened.ampoule_model_predictor().call_load(&mut running.store, manifest).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => return Err(Error::Failure(failure)),
        Err(cause) => return Err(running.store.data().explain(&cause)),
    }
    running.snapshot().await
}
