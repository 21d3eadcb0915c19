//! `wasi:nn`, spoken to a predictor: tensors, graphs by name, and compute.
//!
//! Implemented on the component linker rather than on generated traits, so that a tensor's bytes
//! are copied once on their way in (from the sandbox's memory into the engine's tensor) and once on
//! their way out. Graphs are shared by all calls; nothing here holds a lock while it computes.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ampoule_engine::{Dtype, Graph, Tensor, nn};
use wasmtime::component::{
    ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, WasmList,
};
use wasmtime::{Result, StoreContextMut};

use crate::call::Sandbox;
use crate::limits::Limit;

pub(crate) const VERSION: &str = "@0.2.0-rc-2024-10-28";

/// A compute that usually ends sooner runs where the call runs; a longer one goes to a worker
/// thread, so that no connection waits for it.
const INLINE: Duration = Duration::from_micros(200);

/// The machine's cores, and how many of them compute.
#[derive(Debug, Default)]
pub(crate) struct Cores {
    /// Asked for when they are first wanted: the system answers out of some files.
    all: OnceLock<usize>,
    busy: AtomicUsize,
}

/// Cores that compute, until it is dropped.
struct Taken<'c> {
    cores: &'c Cores,
    count: usize,
}

impl Cores {
    /// One for the caller, and as many as are idle, up to `wanted` in all.
    fn take(&self, wanted: usize) -> Taken<'_> {
        let all = *self.all.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from));
        let count = |busy: usize| all.saturating_sub(busy).min(wanted).max(1);
        let more = |busy| Some(busy + count(busy));
        let busy = self.busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).unwrap_or_default();
        Taken { cores: self, count: count(busy) }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.cores.busy.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// A graph of an open ampoule.
pub(crate) struct LoadedGraph {
    pub name: String,
    pub graph: Graph,
    /// Whether any input is of strings.
    takes_text: bool,
    cores: Arc<Cores>,
    /// A moving average of what one compute takes, in nanoseconds.
    typical_ns: AtomicU64,
}

impl LoadedGraph {
    /// # Errors
    /// [`Error::Manifest`](crate::Error::Manifest) where its names leave none for the bytes of strings.
    pub fn new(name: String, graph: Graph, cores: Arc<Cores>) -> Result<Self, crate::Error> {
        for tensors in [graph.inputs(), graph.outputs()] {
            nn::check_names(tensors)
                .map_err(|why| crate::Error::Manifest(format!("graphs.{name}: {why}")))?;
        }
        let takes_text = graph.inputs().iter().any(|input| input.dtype == Dtype::String);
        Ok(Self { name, graph, takes_text, cores, typical_ns: AtomicU64::new(u64::MAX) })
    }

    fn is_quick(&self) -> bool {
        Duration::from_nanos(self.typical_ns.load(Ordering::Relaxed)) < INLINE
    }

    fn run(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, ampoule_engine::Error> {
        let rows = inputs.iter().filter_map(|(_, tensor)| tensor.shape().first()).max().copied();
        let taken = (!self.is_quick()).then(|| self.cores.take(rows.unwrap_or(1)));
        let helpers = taken.as_ref().map_or(0, |taken| taken.count - 1);
        let start = Instant::now();
        let outputs = self.graph.run_with(inputs, helpers);
        let took = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let before = self.typical_ns.load(Ordering::Relaxed);
        let typical = if before == u64::MAX { took } else { before - before / 8 + took / 8 };
        self.typical_ns.store(typical, Ordering::Relaxed);
        outputs
    }
}

/// `wasi:nn/tensor.tensor-type`.
#[derive(Clone, Copy, Debug, ComponentType, Lower, Lift)]
#[component(enum)]
#[repr(u8)]
enum TensorType {
    #[component(name = "FP16")]
    Fp16,
    #[component(name = "FP32")]
    Fp32,
    #[component(name = "FP64")]
    Fp64,
    #[component(name = "BF16")]
    Bf16,
    #[component(name = "U8")]
    U8,
    #[component(name = "I32")]
    I32,
    #[component(name = "I64")]
    I64,
}

impl TensorType {
    fn dtype(self) -> Dtype {
        match self {
            Self::Fp16 => Dtype::F16,
            Self::Fp32 => Dtype::F32,
            Self::Fp64 => Dtype::F64,
            Self::Bf16 => Dtype::Bf16,
            Self::U8 => Dtype::U8,
            Self::I32 => Dtype::I32,
            Self::I64 => Dtype::I64,
        }
    }

    fn of(dtype: Dtype) -> Option<Self> {
        Some(match nn::travels_as(dtype)? {
            Dtype::F16 => Self::Fp16,
            Dtype::F32 => Self::Fp32,
            Dtype::F64 => Self::Fp64,
            Dtype::Bf16 => Self::Bf16,
            Dtype::U8 => Self::U8,
            Dtype::I32 => Self::I32,
            Dtype::I64 => Self::I64,
            _ => return None,
        })
    }
}

/// `wasi:nn/errors.error-code`.
#[derive(Clone, Copy, Debug, ComponentType, Lower, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the interface's whole enum; some codes have no cause here")]
enum ErrorCode {
    #[component(name = "invalid-argument")]
    InvalidArgument,
    #[component(name = "invalid-encoding")]
    InvalidEncoding,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "runtime-error")]
    RuntimeError,
    #[component(name = "unsupported-operation")]
    UnsupportedOperation,
    #[component(name = "too-large")]
    TooLarge,
    #[component(name = "not-found")]
    NotFound,
    #[component(name = "security")]
    Security,
    #[component(name = "unknown")]
    Unknown,
}

impl ErrorCode {
    fn of(cause: &ampoule_engine::Error) -> Self {
        match cause.kind() {
            ampoule_engine::ErrorKind::InvalidInput => Self::InvalidArgument,
            ampoule_engine::ErrorKind::InvalidModel => Self::InvalidEncoding,
            ampoule_engine::ErrorKind::Unsupported => Self::UnsupportedOperation,
            ampoule_engine::ErrorKind::Internal => Self::RuntimeError,
        }
    }
}

/// `wasi:nn/graph.graph-encoding` and `.execution-target`: read, and of no effect.
#[derive(Clone, Copy, Debug, ComponentType, Lower, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the interface's whole enum; the host decides by the sealed file")]
enum GraphEncoding {
    #[component(name = "openvino")]
    Openvino,
    #[component(name = "onnx")]
    Onnx,
    #[component(name = "tensorflow")]
    Tensorflow,
    #[component(name = "pytorch")]
    Pytorch,
    #[component(name = "tensorflowlite")]
    Tensorflowlite,
    #[component(name = "ggml")]
    Ggml,
    #[component(name = "autodetect")]
    Autodetect,
}

#[derive(Clone, Copy, Debug, ComponentType, Lower, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the interface's whole enum; compute is on the CPU")]
enum ExecutionTarget {
    #[component(name = "cpu")]
    Cpu,
    #[component(name = "gpu")]
    Gpu,
    #[component(name = "tpu")]
    Tpu,
}

/// What stands behind a `tensor` handle.
struct NnTensor {
    tensor: Tensor,
    /// As the predictor gave them: a tensor from outside keeps its own type for a bool.
    ty: TensorType,
}

/// What stands behind an `error` handle.
struct NnError {
    code: ErrorCode,
    data: String,
}

/// What stands behind the `graph` and `graph-execution-context` handles.
struct NnGraph(Arc<LoadedGraph>);
struct NnContext(Arc<LoadedGraph>);

type Store<'a> = StoreContextMut<'a, Sandbox>;
type Named = Vec<(String, Resource<NnTensor>)>;
type OrError<T> = (Result<T, Resource<NnError>>,);

pub(crate) fn add_to_linker(linker: &mut Linker<Sandbox>) -> Result<()> {
    let mut tensor = linker.instance(&format!("wasi:nn/tensor{VERSION}"))?;
    tensor_resource(&mut tensor)?;
    tensor.func_wrap(
        "[constructor]tensor",
        |mut store: Store<'_>, (dimensions, ty, data): (Vec<u32>, TensorType, WasmList<u8>)| {
            let bytes = data.as_le_slice(&store);
            let held = bytes.len();
            let shape: Vec<usize> = dimensions.iter().map(|&axis| axis as usize).collect();
            // The interface's constructor can't fail, so a tensor that is none is a trap with a reason.
            let tensor = Tensor::from_le_bytes(ty.dtype(), &shape, bytes)
                .map_err(|cause| wasmtime::format_err!("tensor of type {ty:?}: {cause}"))?;
            store.data_mut().hold(held)?;
            Ok((store.data_mut().table.push(NnTensor { tensor, ty })?,))
        },
    )?;
    tensor.func_wrap("[method]tensor.dimensions", |store: Store<'_>, (this,): (Resource<NnTensor>,)| {
        let shape = store.data().table.get(&this)?.tensor.shape();
        let dimensions: Result<Vec<u32>, _> = shape.iter().map(|&axis| u32::try_from(axis)).collect();
        Ok((dimensions.map_err(|_| wasmtime::format_err!("tensor: an axis is longer than 4,294,967,295"))?,))
    })?;
    tensor.func_wrap("[method]tensor.ty", |store: Store<'_>, (this,): (Resource<NnTensor>,)| {
        Ok((store.data().table.get(&this)?.ty,))
    })?;
    tensor.func_wrap("[method]tensor.data", |store: Store<'_>, (this,): (Resource<NnTensor>,)| {
        Ok((bytes::Bytes::from_owner(store.data().table.get(&this)?.tensor.clone()),))
    })?;

    let mut errors = linker.instance(&format!("wasi:nn/errors{VERSION}"))?;
    error_resource(&mut errors)?;
    errors.func_wrap("[method]error.code", |store: Store<'_>, (this,): (Resource<NnError>,)| {
        Ok((store.data().table.get(&this)?.code,))
    })?;
    errors.func_wrap("[method]error.data", |store: Store<'_>, (this,): (Resource<NnError>,)| {
        Ok((store.data().table.get(&this)?.data.clone(),))
    })?;

    let mut inference = linker.instance(&format!("wasi:nn/inference{VERSION}"))?;
    context_resource(&mut inference)?;
    tensor_resource(&mut inference)?;
    error_resource(&mut inference)?;
    inference.func_wrap_async(
        "[method]graph-execution-context.compute",
        |store: Store<'_>, (this, inputs): (Resource<NnContext>, Named)| {
            Box::new(compute(store, this, inputs))
        },
    )?;

    let mut graph = linker.instance(&format!("wasi:nn/graph{VERSION}"))?;
    graph.resource("graph", ResourceType::host::<NnGraph>(), |mut store: Store<'_>, rep| {
        store.data_mut().table.delete(Resource::<NnGraph>::new_own(rep))?;
        Ok(())
    })?;
    context_resource(&mut graph)?;
    tensor_resource(&mut graph)?;
    error_resource(&mut graph)?;
    graph.func_wrap(
        "[method]graph.init-execution-context",
        |mut store: Store<'_>, (this,): (Resource<NnGraph>,)| -> Result<OrError<Resource<NnContext>>> {
            let graph = store.data().table.get(&this)?.0.clone();
            Ok((Ok(store.data_mut().table.push(NnContext(graph))?),))
        },
    )?;
    graph.func_wrap(
        "load",
        |mut store: Store<'_>,
         _: (Vec<Vec<u8>>, GraphEncoding, ExecutionTarget)|
         -> Result<OrError<Resource<NnGraph>>> {
            // Bytes from inside the sandbox never reach the engine's parser.
            let data = "graphs are sealed in the ampoule: use load-by-name".to_owned();
            Ok((Err(store.data_mut().table.push(NnError { code: ErrorCode::UnsupportedOperation, data })?),))
        },
    )?;
    graph.func_wrap(
        "load-by-name",
        |mut store: Store<'_>, (name,): (String,)| -> Result<OrError<Resource<NnGraph>>> {
            let sandbox = store.data_mut();
            let found = sandbox.graphs.iter().find(|graph| graph.name == name).cloned();
            Ok((match found {
                Some(graph) => Ok(sandbox.table.push(NnGraph(graph))?),
                None => {
                    let names: Vec<&str> = sandbox.graphs.iter().map(|graph| graph.name.as_str()).collect();
                    let data = nn::no_graph(&name, &names);
                    Err(sandbox.table.push(NnError { code: ErrorCode::NotFound, data })?)
                }
            },))
        },
    )?;
    Ok(())
}

// An interface that uses another's resource imports it once more under its own name.

fn tensor_resource(interface: &mut LinkerInstance<'_, Sandbox>) -> Result<()> {
    interface.resource("tensor", ResourceType::host::<NnTensor>(), |mut store: Store<'_>, rep| {
        let tensor = store.data_mut().table.delete(Resource::<NnTensor>::new_own(rep))?;
        store.data_mut().release(tensor.tensor.as_bytes().len());
        Ok(())
    })
}

fn error_resource(interface: &mut LinkerInstance<'_, Sandbox>) -> Result<()> {
    interface.resource("error", ResourceType::host::<NnError>(), |mut store: Store<'_>, rep| {
        store.data_mut().table.delete(Resource::<NnError>::new_own(rep))?;
        Ok(())
    })
}

fn context_resource(interface: &mut LinkerInstance<'_, Sandbox>) -> Result<()> {
    interface.resource(
        "graph-execution-context",
        ResourceType::host::<NnContext>(),
        |mut store: Store<'_>, rep| {
            store.data_mut().table.delete(Resource::<NnContext>::new_own(rep))?;
            Ok(())
        },
    )
}

/// Runs the graph on tensors that the predictor hands over, and gives it the outputs.
async fn compute(mut store: Store<'_>, this: Resource<NnContext>, inputs: Named) -> Result<OrError<Named>> {
    let graph = store.data().table.get(&this)?.0.clone();
    let mut tensors = Vec::with_capacity(inputs.len());
    for (name, handle) in inputs {
        let held = store.data_mut().table.delete(handle)?;
        store.data_mut().release(held.tensor.as_bytes().len());
        tensors.push((name, held.tensor));
    }
    if graph.takes_text {
        // Strings take more room than what they are made of, so it is counted before they are there.
        let made = nn::made_bytes(graph.graph.inputs(), &tensors);
        store.data_mut().hold(made)?;
        store.data_mut().release(made);
    }
    let tensors = match nn::take(graph.graph.inputs(), tensors) {
        Ok(tensors) => tensors,
        Err(data) => {
            let error = NnError { code: ErrorCode::InvalidArgument, data };
            return Ok((Err(store.data_mut().table.push(error)?),));
        }
    };
    let start = Instant::now();
    store.data_mut().meter.infer_starts(start);
    let outcome = if graph.is_quick() {
        graph.run(tensors)
    } else {
        // The permit goes along: a compute that outlives its call's deadline still takes a place.
        let permit = store.data().permit.clone();
        let worker = tokio::task::spawn_blocking(move || {
            let outcome = graph.run(tensors);
            drop(permit);
            outcome
        });
        worker.await.map_err(|cause| wasmtime::format_err!("the engine failed: {cause}"))?
    };
    store.data_mut().meter.infer_ends(start);
    let sandbox = store.data_mut();
    let given = outcome.and_then(|outputs| {
        let given = outputs.into_iter().map(|(name, tensor)| {
            let (tensor, text) = nn::give(&name, tensor)?;
            Ok([Some((name, tensor)), text])
        });
        given.collect::<Result<Vec<_>, _>>()
    });
    let given = match given {
        Ok(given) => given,
        Err(cause) => {
            let error = NnError { code: ErrorCode::of(&cause), data: cause.to_string() };
            return Ok((Err(sandbox.table.push(error)?),));
        }
    };
    let mut named = Vec::with_capacity(given.len());
    for (name, tensor) in given.into_iter().flatten().flatten() {
        let ty = TensorType::of(tensor.dtype()).expect("what is given has a type");
        sandbox.hold(tensor.as_bytes().len())?;
        named.push((name, sandbox.table.push(NnTensor { tensor, ty })?));
    }
    Ok((Ok(named),))
}

impl Sandbox {
    /// Counts a tensor's bytes against the limit.
    fn hold(&mut self, bytes: usize) -> Result<()> {
        self.tensor_bytes = self.tensor_bytes.saturating_add(bytes);
        if self.tensor_bytes > self.limits.max_tensor_bytes {
            return Err(self.refuse(Limit::TensorBytes, self.tensor_bytes as u64));
        }
        Ok(())
    }

    fn release(&mut self, bytes: usize) {
        self.tensor_bytes = self.tensor_bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_cores_help_and_every_caller_has_one() {
        let cores = Cores { all: OnceLock::from(4), ..Cores::default() };
        let first = cores.take(3);
        assert_eq!(first.count, 3);
        let second = cores.take(9);
        assert_eq!(second.count, 1);
        let third = cores.take(9);
        assert_eq!(third.count, 1, "a caller computes even if no core is idle");
        drop(first);
        assert_eq!(cores.take(9).count, 2);
        drop((second, third));
        assert_eq!(cores.take(1).count, 1);
        assert_eq!(cores.busy.load(Ordering::Relaxed), 0);
    }
}
