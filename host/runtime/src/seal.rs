//! Sealing: a manifest, a predictor and graphs become one file. Build-time work.
//!
//! The predictor's `load` is run once, here, and what it leaves in memory is snapshotted into the
//! file: an instance starts loaded, and a manifest that the predictor can't use is refused before
//! anything is served. The same inputs always give the same bytes.

use std::borrow::Cow;
use std::sync::Arc;

pub use ampoule_engine::{Feature, FeatureKind};

use ampoule_engine::{Dim as EngineDim, Graph};
use wasm_encoder::{ComponentSection as _, CustomSection};
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, WasmList};
use wasmtime::{Config, Engine, Store};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::ampoule::{GRAPH_SECTION, LOADED_SECTION, MANIFEST_SECTION, sha256_hex};
use crate::batch::Opened;
use crate::call::{Entropy, Sandbox};
use crate::manifest::{Dim, GraphFacts, GraphTensor};
use crate::{Ampoule, Error, Limits, Manifest, nn, wasi};

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
        nn::text::check_names(tensors)
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
    let mut append = |name: String, data: &[u8]| {
        let section = CustomSection { name: Cow::Owned(name), data: Cow::Borrowed(data) };
        section.append_to_component(&mut sealed);
    };
    append(LOADED_SECTION.to_owned(), &[]);
    append(MANIFEST_SECTION.to_owned(), text.as_bytes());
    for graph in graphs {
        append(format!("{GRAPH_SECTION}{}", graph.name), &graph.bytes);
    }
    // What is handed out can be opened again.
    Ok(Ampoule::from_bytes(sealed, &manifest.name)?.into_bytes())
}

/// Runs the predictor's `load` and gives the predictor as it is afterwards.
async fn load(predictor: &[u8], manifest: &str) -> Result<Vec<u8>, Error> {
    if !wasmparser::Parser::is_component(predictor) {
        return Err(Error::Contract("expected a WebAssembly component (build for wasm32-wasip2)".to_owned()));
    }
    let contract = |cause: wasmtime::Error| Error::Contract(format!("{cause:#}"));
    let mut config = Config::new();
    config.wasm_component_model(true).concurrency_support(false).wasm_relaxed_simd(false);
    let engine = Engine::new(&config).map_err(|cause| Error::sandbox(&cause))?;
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    let (context, instrumented) = wizer.instrument_component(predictor).map_err(contract)?;
    let component = Component::new(&engine, &instrumented).map_err(contract)?;

    let mut linker = Linker::new(&engine);
    wasi::add_to_linker(&mut linker).map_err(|cause| Error::sandbox(&cause))?;
    nn::add_to_linker(&mut linker).map_err(|cause| Error::sandbox(&cause))?;
    wasi::add_imported(&mut linker, &component).map_err(contract)?;
    linker.define_unknown_imports_as_traps(&component).map_err(contract)?;
    // One page beyond the limit of calls is the snapshot's own.
    let limits = Limits { memory_bytes: Limits::default().memory_bytes + (64 << 10), ..Limits::default() };
    let mut sandbox = Sandbox::new(Arc::from([]), Arc::new(limits));
    sandbox.entropy = Entropy::Fixed;
    let mut store = Store::new(&engine, sandbox);
    store.limiter(|sandbox| sandbox);
    store.set_hostcall_fuel(usize::MAX);
    let instance = linker.instantiate_async(&mut store, &component).await.map_err(contract)?;
    let opened = Opened::new(&mut store, &instance).map_err(contract)?;
    match opened.ampoule_model_predictor().call_load(&mut store, manifest).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => return Err(Error::Failure(failure)),
        Err(cause) => return Err(store.data().explain(&cause)),
    }
    let mut state = Loaded { store, instance };
    wizer.snapshot_component(&context, &mut state).await.map_err(contract)
}

/// The loaded predictor as the snapshot reads it: through getters that the instrumentation added.
struct Loaded {
    store: Store<Sandbox>,
    instance: Instance,
}

impl Loaded {
    async fn get<T>(&mut self, instance: &str, function: &str) -> T
    where
        T: Lift + Send + Sync + 'static,
        (T,): ComponentNamedList + Lift,
    {
        const ADDED: &str = "the instrumentation added this getter";
        let (_, exports) = self.instance.get_export(&mut self.store, None, instance).expect(ADDED);
        let (_, index) = self.instance.get_export(&mut self.store, Some(&exports), function).expect(ADDED);
        let getter = self.instance.get_typed_func::<(), (T,)>(&mut self.store, index).expect(ADDED);
        getter.call_async(&mut self.store, ()).await.expect("a getter does not trap").0
    }
}

impl ComponentInstanceState for Loaded {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        let list: WasmList<u8> = self.get(instance, func).await;
        contents(list.as_le_slice(&self.store));
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.get(instance, func).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.get(instance, func).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.get::<f32>(instance, func).await.to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.get::<f64>(instance, func).await.to_bits()
    }
}
