//! `wasi:nn` by the engine compiled to WebAssembly. It is plugged into a predictor when an ampoule is sealed to be
//! portable, with the graphs ready in its memory.
//!
//! It is built with SIMD (`simd128`), or without it for runtimes that have none, and gives the same answers then, several
//! times slower.

#![cfg(target_family = "wasm")]

mod allocator;
mod bindings;

use std::sync::{Arc, Mutex, PoisonError};

#[cfg(not(feature = "graphs"))]
use ampoule_engine::CompactBooster as Graph;
#[cfg(feature = "graphs")]
use ampoule_engine::{Asked, Graph, LoadOptions};
use ampoule_engine::{Dtype, ErrorKind, nn};

use bindings::exports::wasi::nn::{errors, graph, inference, tensor};
use errors::ErrorCode;
use tensor::TensorType;

struct Component;

/// The graphs that were prepared, in this order.
static GRAPHS: Mutex<Vec<Arc<Prepared>>> = Mutex::new(Vec::new());

/// A graph and the name that it is found under.
struct Prepared {
    name: String,
    graph: Graph,
}

impl bindings::Guest for Component {
    fn prepare(name: String, file: Vec<u8>, shapes: Vec<Vec<Vec<u32>>>, batches: bool) -> Result<(), String> {
        // What crates register of themselves serves those who read and plan graphs.
        wit_bindgen::rt::run_ctors_once();
        allocator::clear_what_is_freed(|| {
            let graph = load(&file, &shapes, batches);
            drop(file);
            let graph = graph.map_err(|cause| whole(&cause))?;
            nn::check_names(graph.inputs())?;
            nn::check_names(graph.outputs())?;
            GRAPHS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(Prepared { name, graph }));
            Ok(())
        })
    }
}

#[cfg(feature = "graphs")]
fn load(file: &[u8], shapes: &[Vec<Vec<u32>>], batches: bool) -> Result<Graph, ampoule_engine::Error> {
    let warm = shapes.iter().map(|inputs| inputs.iter().map(|shape| sizes(shape)).collect()).collect();
    let asked = if batches { Asked::WarmInBatches } else { Asked::Warm };
    Graph::load(file, &LoadOptions { warm, asked, ..LoadOptions::default() })
}

/// Rows of any number, whatever `shapes` are.
#[cfg(not(feature = "graphs"))]
fn load(file: &[u8], _shapes: &[Vec<Vec<u32>>], _batches: bool) -> Result<Graph, ampoule_engine::Error> {
    Graph::load(file)
}

fn sizes(shape: &[u32]) -> Vec<usize> {
    shape.iter().map(|&axis| axis as usize).collect()
}

/// An error with what lies behind it, in one line.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// What stands behind a `tensor` handle.
struct Tensor {
    tensor: ampoule_engine::Tensor,
    /// As it was given: a tensor from outside keeps its own type for a bool.
    ty: TensorType,
}

impl tensor::GuestTensor for Tensor {
    fn new(dimensions: Vec<u32>, ty: TensorType, data: Vec<u8>) -> Self {
        // The interface's constructor can't fail, so a tensor that is none is a trap with a reason.
        match ampoule_engine::Tensor::from_le_bytes(dtype(ty), &sizes(&dimensions), &data) {
            Ok(tensor) => Self { tensor, ty },
            Err(cause) => panic!("tensor of type {ty:?}: {cause}"),
        }
    }

    fn dimensions(&self) -> Vec<u32> {
        let axis = |&axis: &usize| u32::try_from(axis).expect("a sandbox's memory is counted in 32 bits");
        self.tensor.shape().iter().map(axis).collect()
    }

    fn ty(&self) -> TensorType {
        self.ty
    }

    fn data(&self) -> Vec<u8> {
        self.tensor.as_bytes().to_vec()
    }
}

fn dtype(ty: TensorType) -> Dtype {
    match ty {
        TensorType::Fp16 => Dtype::F16,
        TensorType::Fp32 => Dtype::F32,
        TensorType::Fp64 => Dtype::F64,
        TensorType::Bf16 => Dtype::Bf16,
        TensorType::U8 => Dtype::U8,
        TensorType::I32 => Dtype::I32,
        TensorType::I64 => Dtype::I64,
    }
}

fn tensor_type(dtype: Dtype) -> Option<TensorType> {
    Some(match nn::travels_as(dtype)? {
        Dtype::F16 => TensorType::Fp16,
        Dtype::F32 => TensorType::Fp32,
        Dtype::F64 => TensorType::Fp64,
        Dtype::Bf16 => TensorType::Bf16,
        Dtype::U8 => TensorType::U8,
        Dtype::I32 => TensorType::I32,
        Dtype::I64 => TensorType::I64,
        _ => return None,
    })
}

/// What stands behind an `error` handle.
struct Failed {
    code: ErrorCode,
    data: String,
}

impl Failed {
    fn handle(code: ErrorCode, data: String) -> errors::Error {
        errors::Error::new(Self { code, data })
    }

    fn of(cause: &ampoule_engine::Error) -> errors::Error {
        let code = match cause.kind() {
            ErrorKind::InvalidInput => ErrorCode::InvalidArgument,
            ErrorKind::InvalidModel => ErrorCode::InvalidEncoding,
            ErrorKind::Unsupported => ErrorCode::UnsupportedOperation,
            ErrorKind::Internal => ErrorCode::RuntimeError,
        };
        Self::handle(code, cause.to_string())
    }
}

impl errors::GuestError for Failed {
    fn code(&self) -> ErrorCode {
        self.code
    }

    fn data(&self) -> String {
        self.data.clone()
    }
}

impl graph::GuestGraph for Arc<Prepared> {
    fn init_execution_context(&self) -> Result<inference::GraphExecutionContext, errors::Error> {
        Ok(inference::GraphExecutionContext::new(Context(self.clone())))
    }
}

/// What stands behind a `graph-execution-context` handle.
struct Context(Arc<Prepared>);

impl inference::GuestGraphExecutionContext for Context {
    fn compute(
        &self,
        inputs: Vec<inference::NamedTensor>,
    ) -> Result<Vec<inference::NamedTensor>, errors::Error> {
        let graph = &self.0.graph;
        let given = inputs.into_iter().map(|(name, tensor)| (name, tensor.into_inner::<Tensor>().tensor));
        let given = nn::take(graph.inputs(), given.collect())
            .map_err(|why| Failed::handle(ErrorCode::InvalidArgument, why))?;
        let outputs = graph.run(given).map_err(|cause| Failed::of(&cause))?;
        let mut named = Vec::with_capacity(outputs.len());
        for (name, tensor) in outputs {
            let (tensor, text) = nn::give(&name, tensor).map_err(|cause| Failed::of(&cause))?;
            for (name, tensor) in [Some((name, tensor)), text].into_iter().flatten() {
                let ty = tensor_type(tensor.dtype()).expect("what is given has a type");
                named.push((name, tensor::Tensor::new(Tensor { tensor, ty })));
            }
        }
        Ok(named)
    }
}

impl tensor::Guest for Component {
    type Tensor = Tensor;
}

impl errors::Guest for Component {
    type Error = Failed;
}

impl inference::Guest for Component {
    type GraphExecutionContext = Context;
}

impl graph::Guest for Component {
    type Graph = Arc<Prepared>;

    fn load(
        _: Vec<graph::GraphBuilder>,
        _: graph::GraphEncoding,
        _: graph::ExecutionTarget,
    ) -> Result<graph::Graph, errors::Error> {
        let why = "graphs are sealed in the ampoule: use load-by-name".to_owned();
        Err(Failed::handle(ErrorCode::UnsupportedOperation, why))
    }

    fn load_by_name(name: String) -> Result<graph::Graph, errors::Error> {
        let graphs = GRAPHS.lock().unwrap_or_else(PoisonError::into_inner);
        match graphs.iter().find(|graph| graph.name == name) {
            Some(found) => Ok(graph::Graph::new(found.clone())),
            None => {
                let names: Vec<&str> = graphs.iter().map(|graph| graph.name.as_str()).collect();
                Err(Failed::handle(ErrorCode::NotFound, nn::no_graph(&name, &names)))
            }
        }
    }
}

bindings::export!(Component with_types_in bindings);
