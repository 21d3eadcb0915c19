//! The portable form: an ampoule that brings its engine along, and runs wherever components run.
//!
//! The engine is prepared first, with the graphs ready in its memory, and put together with the predictor second: what is
//! put together can't be prepared any more.

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};
use wasm_encoder::{ComponentSection as _, RawSection};
use wasmparser::Payload;

use super::prune::pruned;
use super::snapshot::Running;
use super::{append, append_sections};
use crate::ampoule::PREDICTOR_SECTION;
use crate::{Ampoule, Batch, Error, Model};
use ampoule_wire::{Dim, GraphFacts};

/// Bytes of memory that the engine may take while it makes graphs ready: all that 32 bits can count, but for the last
/// page.
const ENGINE_BYTES: usize = (4 << 30) - (128 << 10);

/// What an engine exports that is done with once its graphs are ready.
const PREPARING: [&str; 2] = ["prepare", "cabi_post_prepare"];

/// What the predictor gets from the engine.
const PLUGGED: [&str; 4] = ["tensor", "errors", "inference", "graph"];

/// What the whole exports.
const PREDICTOR: &str = "ampoule:model/predictor@0.1.0";

/// What it exports for a program that holds it.
const ASKING: &str = "ampoule:model/asking@0.1.0";

/// What an engine alone exports, without its version.
const GRAPH: &str = "wasi:nn/graph";

/// What an ampoule is put together with.
pub struct Parts<'p> {
    /// A component of the world `engine`.
    pub engine: &'p [u8],
    /// The same, and smaller, for boosters in their compact form alone.
    pub boosters: &'p [u8],
    /// One of the world `front`, with what it exports beside `load`.
    pub front: &'p [u8],
}

/// Puts an ampoule together with an engine that has its graphs ready. The same inputs always give the same bytes.
///
/// `shapes` are what each of the manifest's graphs is going to be given; [`shapes`] finds them.
///
/// # Errors
/// By kind: a graph that the engine refuses, or parts that don't fit together.
pub async fn portable(ampoule: &Ampoule, parts: &Parts<'_>, shapes: &[Given]) -> Result<Vec<u8>, Error> {
    if ampoule.is_packed() || ampoule.is_portable() {
        let why = "expected a sealed file, neither portable yet nor out of a package".to_owned();
        return Err(Error::NotAnAmpoule { name: ampoule.manifest().name.clone(), why });
    }
    let mut graphs = (0..ampoule.manifest().graphs.len()).map(|index| ampoule.graph(index));
    let engine = if graphs.all(ampoule_engine::is_compact) { parts.boosters } else { parts.engine };
    let engine = prepared(ampoule, engine, shapes).await?;
    let front = loaded_front(parts.front, ampoule.manifest_text()).await?;
    let mut predictor = without_sections(ampoule.bytes(), &ampoule.manifest().name)?;
    append(&mut predictor, PREDICTOR_SECTION, &[]);
    let mut whole = compose(engine, predictor, front, &["wasi:", PREDICTOR])
        .map_err(|cause| Error::Contract(format!("{cause:#}")))?;
    let graphs = ampoule.manifest().graphs.iter().enumerate();
    let graphs = graphs.map(|(index, facts)| (facts.name.as_str(), ampoule.graph(index)));
    append_sections(&mut whole, ampoule.manifest_text(), graphs);
    Ok(Ampoule::from_bytes(whole, &ampoule.manifest().name)?.into_bytes())
}

/// Puts the parts of a portable ampoule together anew, with a component of the world `embedded` as their front. It exports
/// `ampoule:model/asking` alone, and is no ampoule any more. The same inputs always give the same bytes.
///
/// # Errors
/// By kind: an ampoule that isn't portable, or parts that don't fit together.
pub async fn embedded(ampoule: &Ampoule, front: &[u8]) -> Result<Vec<u8>, Error> {
    let name = &ampoule.manifest().name;
    let refuse = |why: &str| Error::NotAnAmpoule { name: name.clone(), why: why.to_owned() };
    if !ampoule.is_portable() {
        return Err(refuse("expected a file that was sealed with --portable, got one without an engine"));
    }
    let engine = engine(ampoule.bytes()).ok_or_else(|| refuse("no engine is found in it"))?;
    let front = loaded_front(front, ampoule.manifest_text()).await?;
    compose(engine.to_vec(), ampoule.predictor().to_vec(), front, &[ASKING])
        .map_err(|cause| Error::Contract(format!("{cause:#}")))
}

/// The engine within a portable ampoule: the component that gives graphs.
fn engine(ampoule: &[u8]) -> Option<&[u8]> {
    let (mut depth, mut part) = (0usize, 0..0);
    for payload in wasmparser::Parser::new(0).parse_all(ampoule) {
        match payload.ok()? {
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => {
                if depth == 0 {
                    part = unchecked_range;
                }
                depth += 1;
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                let gives = |name: &str| name.strip_prefix(GRAPH).is_some_and(|rest| rest.starts_with('@'));
                if section.into_iter().flatten().any(|export| gives(export.name.name)) {
                    return ampoule.get(part);
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The engine with all graphs ready.
async fn prepared(ampoule: &Ampoule, engine: &[u8], shapes: &[Given]) -> Result<Vec<u8>, Error> {
    let contract = |cause: wasmtime::Error| Error::Contract(format!("{cause:#}"));
    let mut running = Running::start(engine, ENGINE_BYTES).await?;
    let prepare = running
        .instance
        .get_typed_func::<(&str, &[u8], Vec<Vec<Vec<u32>>>, bool), (Result<(), String>,)>(
            &mut running.store,
            "prepare",
        )
        .map_err(contract)?;
    for (index, facts) in ampoule.manifest().graphs.iter().enumerate() {
        let given = shapes.get(index);
        let shapes = given.into_iter().flat_map(|given| &given.shapes);
        let shapes = shapes.map(|inputs| inputs.iter().map(|shape| axes(shape)).collect()).collect();
        let batches = given.is_none_or(|given| given.batches);
        let arguments = (facts.name.as_str(), ampoule.graph(index), shapes, batches);
        let prepared = match prepare.call_async(&mut running.store, arguments).await {
            Ok((prepared,)) => prepared,
            Err(cause) => return Err(running.store.data().explain(&cause)),
        };
        prepared.map_err(|why| Error::Portable { graph: facts.name.clone(), why })?;
    }
    pruned(&running.snapshot().await?, &PREPARING)
}

/// The front that knows the manifest.
async fn loaded_front(front: &[u8], manifest: &str) -> Result<Vec<u8>, Error> {
    let contract = |cause: wasmtime::Error| Error::Contract(format!("{cause:#}"));
    let mut running = Running::start(front, crate::Limits::default().memory_bytes).await?;
    let load = running
        .instance
        .get_typed_func::<(&str,), (Result<(), String>,)>(&mut running.store, "load")
        .map_err(contract)?;
    match load.call_async(&mut running.store, (manifest,)).await {
        Ok((Ok(()),)) => running.snapshot().await,
        Ok((Err(why),)) => Err(Error::Manifest(why)),
        Err(cause) => Err(running.store.data().explain(&cause)),
    }
}

/// An ampoule's predictor, without what stands beside it in its file.
fn without_sections(ampoule: &[u8], name: &str) -> Result<Vec<u8>, Error> {
    let mut bare = wasm_encoder::Component::HEADER.to_vec();
    let mut depth = 0usize;
    for payload in wasmparser::Parser::new(0).parse_all(ampoule) {
        let refuse = |cause: wasmparser::BinaryReaderError| Error::NotAnAmpoule {
            name: name.to_owned(),
            why: cause.to_string(),
        };
        let payload = payload.map_err(refuse)?;
        let ours =
            matches!(&payload, Payload::CustomSection(section) if section.name().starts_with("ampoule:"));
        if let (0, false, Some((id, range))) = (depth, ours, payload.as_section()) {
            RawSection { id, data: &ampoule[range] }.append_to_component(&mut bare);
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(bare)
}

fn axes(shape: &[usize]) -> Vec<u32> {
    shape.iter().map(|&axis| u32::try_from(axis).unwrap_or(u32::MAX)).collect()
}

type Anything = Box<dyn std::error::Error + Send + Sync>;

/// Plugs the engine into the predictor and that into the front. The whole exports what of them begins so.
fn compose(
    engine: Vec<u8>,
    predictor: Vec<u8>,
    front: Vec<u8>,
    exports: &[&str],
) -> Result<Vec<u8>, Anything> {
    let wanted = |name: &str| exports.iter().any(|begin| name.starts_with(begin));
    let mut graph = CompositionGraph::new();
    let engine = instantiate(&mut graph, "ampoule:engine", engine)?;
    let predictor = instantiate(&mut graph, "ampoule:predictor", predictor)?;
    let front = instantiate(&mut graph, "ampoule:front", front)?;
    for interface in PLUGGED {
        let name = format!("wasi:nn/{interface}{}", crate::nn::VERSION);
        let given = graph.alias_instance_export(engine.node, &name)?;
        // A predictor imports what it uses alone.
        if predictor.imports.contains(&name) {
            graph.set_instantiation_argument(predictor.node, &name, given)?;
        }
    }
    let predict = graph.alias_instance_export(predictor.node, PREDICTOR)?;
    graph.set_instantiation_argument(front.node, PREDICTOR, predict)?;
    if wanted(PREDICTOR) {
        graph.export(predict, PREDICTOR)?;
    }
    for name in front.exports.iter().filter(|name| wanted(name)) {
        let export = graph.alias_instance_export(front.node, name)?;
        graph.export(export, name)?;
    }
    Ok(graph.encode(EncodeOptions::default())?)
}

/// An instance of a composition.
struct Instantiated {
    node: NodeId,
    imports: Vec<String>,
    exports: Vec<String>,
}

fn instantiate(graph: &mut CompositionGraph, name: &str, bytes: Vec<u8>) -> Result<Instantiated, Anything> {
    let package = Package::from_bytes(name, None, bytes, graph.types_mut()).map_err(|e| format!("{e:#}"))?;
    let world = &graph.types()[package.ty()];
    let (imports, exports) =
        (world.imports.keys().cloned().collect(), world.exports.keys().cloned().collect());
    let package = graph.register_package(package)?;
    Ok(Instantiated { node: graph.instantiate(package), imports, exports })
}

/// What a graph is going to be given.
pub struct Given {
    /// One shape for each input; none where that is not known
    pub shapes: Vec<Vec<Vec<usize>>>,
    /// Whether it may come in batches of other sizes too
    pub batches: bool,
}

/// What each graph of `model` is given, found by predicting `trials`, each of which may fail. For a graph that one plan serves
/// whatever its shapes are, that is what it declares, in batches of any size; for one whose shapes follow from what is sent,
/// no shapes.
///
/// `batches` says whether the predictor may give graphs batches of other sizes than the trials showed.
pub async fn shapes(model: &Model, trials: Vec<Batch>, batches: bool) -> Vec<Given> {
    for trial in trials {
        if let Err(cause) = model.predict(trial, None).await {
            tracing::debug!(%cause, "a trial failed");
        }
    }
    let graphs = model.manifest().graphs.iter().zip(model.planned());
    graphs
        .map(|(facts, planned)| match planned.as_slice() {
            [] => Given { shapes: declared(facts).into_iter().collect(), batches: true },
            [_] => Given { shapes: planned, batches },
            _ => Given { shapes: Vec::new(), batches },
        })
        .collect()
}

/// The shapes that a graph declares, of one instance, where nothing but the number of instances is open.
fn declared(facts: &GraphFacts) -> Option<Vec<Vec<usize>>> {
    let shape = |dims: &[Dim]| {
        let axis = |(at, dim): (usize, &Dim)| match dim {
            Dim::Fixed(size) => Some(*size as usize),
            Dim::Symbol(_) => (at == 0).then_some(1),
        };
        dims.iter().enumerate().map(axis).collect()
    };
    facts.inputs.iter().map(|input| shape(&input.shape)).collect()
}
