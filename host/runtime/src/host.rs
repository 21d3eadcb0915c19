//! [`Host`]: the process's one engine, its limits, and the places that calls run in.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use ampoule_engine::OnnxRuntime;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::call::Sandbox;
use crate::model::Unopened;
use crate::precompiled::Cache;
use crate::{Ampoule, Error, Limits, Model, nn, wasi};

/// Elements of a table: enough for the largest predictors, which count their functions there.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Bytes of stack that a predictor has.
const MAX_WASM_STACK_BYTES: usize = 512 << 10;

/// Places of past sandboxes that stay in memory, ready for the next of the same model.
const WARM_SANDBOXES: u32 = 4;

/// How long a predictor runs before the thread may turn to other calls.
const TICK: Duration = Duration::from_millis(1);

/// Ticks without a call, begun or running, after which the ticker sleeps.
const IDLE_TICKS: u32 = 200;

/// How a [`Host`] is set up.
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    pub limits: Limits,
    /// What happens to a sandbox after its call.
    pub reuse: Reuse,
    /// Where precompiled code is kept; without it, every start compiles.
    pub cache: Option<PathBuf>,
    /// What runs the graphs.
    pub graphs: Engine,
}

/// What runs the graphs of ampoules.
#[derive(Clone, Debug, Default)]
pub enum Engine {
    /// This library's own, in the process
    #[default]
    Native,
    /// ONNX Runtime, in the process; boosters are refused
    OnnxRuntime(OnnxRuntime),
    /// The one that a portable ampoule brings along, in the sandbox: for models whose author is not trusted. Ampoules
    /// that bring none are refused
    Portable,
}

impl Engine {
    /// What runs graphs outside of the sandbox.
    pub(crate) fn outside(&self) -> Option<ampoule_engine::Engine> {
        match self {
            Self::Native => Some(ampoule_engine::Engine::Native),
            Self::OnnxRuntime(library) => Some(ampoule_engine::Engine::OnnxRuntime(library.clone())),
            Self::Portable => None,
        }
    }
}

/// What happens to a sandbox after its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// It is thrown away: nothing of one caller survives into the next.
    #[default]
    Never,
    /// It answers this many calls, one after another: for an operator who serves one tenant.
    Calls(u32),
}

/// The process's engine. Cheap to clone; all clones are one host.
#[derive(Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub engine: wasmtime::Engine,
    pub linker: Linker<Sandbox>,
    pub limits: Arc<Limits>,
    pub reuse: Reuse,
    pub cache: Option<Arc<Cache>>,
    pub graphs: Engine,
    /// Shared by the computes of all models.
    pub cores: Arc<nn::Cores>,
    places: Arc<Semaphore>,
    queued: AtomicUsize,
    ticker: Ticker,
    runtime: Blocking,
}

/// What calls that block their thread wait on, made for the first of them.
#[derive(Default)]
struct Blocking(OnceLock<Runtime>);

impl Drop for Blocking {
    fn drop(&mut self) {
        // A host may be dropped where nothing may wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Host {
    /// Sets up the engine.
    ///
    /// # Errors
    /// [`Error::Sandbox`] where the machine can't give the address space, [`Error::Io`] for the cache.
    pub fn new(config: HostConfig) -> Result<Self, Error> {
        let cache = open_cache(config.cache.as_deref())?;
        Self::on(config, cache)
    }

    /// Sets up a host and opens its first ampoule, as [`Host::new`] and [`Host::open`] do, but side by side.
    ///
    /// # Errors
    /// As theirs.
    pub fn with_model(config: HostConfig, path: &Path) -> Result<Model, Error> {
        let cache = open_cache(config.cache.as_deref())?;
        let engine = config.graphs.clone();
        let (host, read) =
            beside(|| Unopened::read(path, cache.as_deref(), &engine), || Self::on(config, cache.clone()));
        Model::ready(host?, read?)
    }

    fn on(config: HostConfig, cache: Option<Arc<Cache>>) -> Result<Self, Error> {
        let settings = engine_config(&config.limits, config.reuse);
        let engine = wasmtime::Engine::new(&settings).map_err(|cause| Error::sandbox(&cause))?;
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker).map_err(|cause| Error::sandbox(&cause))?;
        nn::add_to_linker(&mut linker).map_err(|cause| Error::sandbox(&cause))?;
        let places = Arc::new(Semaphore::new(config.limits.max_concurrent_calls));
        let inner = Inner {
            ticker: Ticker::start(engine.clone(), places.clone(), config.limits.max_concurrent_calls),
            engine,
            linker,
            places,
            limits: Arc::new(config.limits),
            reuse: config.reuse,
            cache,
            graphs: config.graphs,
            cores: Arc::default(),
            queued: AtomicUsize::new(0),
            runtime: Blocking::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens the ampoule at `path`: reads it, makes its code and its graphs ready.
    ///
    /// # Errors
    /// By kind: the file, the manifest, the contract, or a graph that can't be run.
    pub fn open(&self, path: &Path) -> Result<Model, Error> {
        Model::ready(self.clone(), Unopened::read(path, self.inner.cache.as_deref(), &self.inner.graphs)?)
    }

    /// Opens an ampoule that was read already.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub fn open_ampoule(&self, ampoule: Ampoule) -> Result<Model, Error> {
        Model::ready(self.clone(), Unopened::of(ampoule, self.inner.cache.as_deref(), &self.inner.graphs)?)
    }

    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Calls that run now.
    pub fn running(&self) -> usize {
        self.inner.limits.max_concurrent_calls - self.inner.places.available_permits()
    }

    /// What a thread of its own waits on.
    pub(crate) fn runtime(&self) -> Result<&Runtime, Error> {
        let runtime = &self.inner.runtime.0;
        if let Some(made) = runtime.get() {
            return Ok(made);
        }
        let made = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let made = made.map_err(|cause| Error::Sandbox(format!("no runtime: {cause}")))?;
        Ok(runtime.get_or_init(|| made))
    }

    /// Takes a place for a call, waiting for one no longer than the limits say.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let inner = &self.inner;
        inner.ticker.wake();
        if let Ok(permit) = inner.places.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let overloaded = |queued| Error::Overloaded { running: inner.limits.max_concurrent_calls, queued };
        let queued = Queued::enter(&inner.queued);
        if queued.before >= inner.limits.max_queued_calls {
            return Err(overloaded(queued.before));
        }
        let wait = Duration::from_millis(inner.limits.max_queue_ms);
        match tokio::time::timeout(wait, inner.places.clone().acquire_owned()).await {
            Ok(permit) => Ok(permit.expect("the places are never closed")),
            Err(_) => Err(overloaded(queued.before)),
        }
    }
}

fn open_cache(folder: Option<&Path>) -> Result<Option<Arc<Cache>>, Error> {
    Ok(folder.map(|folder| Cache::open(folder.to_owned())).transpose()?.map(Arc::new))
}

/// Runs `other` on a thread of its own while `own` runs here; gives what `own` gave first.
pub(crate) fn beside<O, T: Send>(other: impl FnOnce() -> T + Send, own: impl FnOnce() -> O) -> (O, T) {
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, other)
            .expect("a process can start a thread");
        let own = own();
        (own, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Bytes of stack of a thread that opens something: what a main thread has.
const STACK_BYTES: usize = 8 << 20;

/// One call's stay in the queue; it ends however the wait ends.
struct Queued<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Queued<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The settings of every engine that makes or runs our code; code made under others is refused.
pub(crate) fn engine_config(limits: &Limits, reuse: Reuse) -> Config {
    let calls = u32::try_from(limits.max_concurrent_calls).unwrap_or(u32::MAX);
    // With reuse, every open model may keep as many idle sandboxes as calls run at one time.
    let sandboxes = calls.saturating_mul(8);
    // Each has a guard page of its own, a call to the system that a start waits for.
    let stacks = match reuse {
        // A call holds its place until its sandbox is gone.
        Reuse::Never => calls,
        Reuse::Calls(_) => sandboxes,
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(sandboxes)
        .total_core_instances(sandboxes.saturating_mul(4))
        .total_memories(sandboxes)
        .total_tables(sandboxes.saturating_mul(4))
        .total_stacks(stacks)
        .max_core_instances_per_component(16)
        .max_memories_per_component(4)
        .max_tables_per_component(16)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(limits.memory_bytes.next_multiple_of(64 << 10))
        // The next call takes the place that is warmest; few warm places are few resident pages.
        .max_unused_warm_slots(WARM_SANDBOXES)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(16 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(MAX_WASM_STACK_BYTES)
        .async_stack_size(2 << 20)
        .memory_guaranteed_dense_image_size(256 << 20)
        .generate_address_map(false)
        // A debugger's; a panic ends at the host call that it happens in.
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(None)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The thread that counts the engine's epochs, so that a predictor that runs long lets others run.
struct Ticker {
    shared: Arc<TickerState>,
    thread: Thread,
    _handle: JoinHandle<()>,
}

#[derive(Default)]
struct TickerState {
    asleep: AtomicBool,
    woken: AtomicBool,
    stopped: AtomicBool,
}

impl Ticker {
    /// A call that runs holds one of the `free` places.
    fn start(engine: wasmtime::Engine, places: Arc<Semaphore>, free: usize) -> Self {
        let shared = Arc::new(TickerState::default());
        let state = shared.clone();
        let tick = move || {
            // Nobody calls at the start.
            let mut idle = IDLE_TICKS;
            while !state.stopped.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                engine.increment_epoch();
                let busy = state.woken.swap(false, Ordering::Relaxed) || places.available_permits() < free;
                idle = if busy { 0 } else { idle + 1 };
                if idle >= IDLE_TICKS && !state.asleep.swap(true, Ordering::SeqCst) {
                    std::thread::park();
                    state.asleep.store(false, Ordering::SeqCst);
                    idle = 0;
                }
            }
        };
        let handle = std::thread::Builder::new()
            .name("epochs".to_owned())
            .spawn(tick)
            .expect("a process can start a thread");
        Self { shared, thread: handle.thread().clone(), _handle: handle }
    }

    /// Says that a call begins.
    fn wake(&self) {
        self.shared.woken.store(true, Ordering::Relaxed);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}
