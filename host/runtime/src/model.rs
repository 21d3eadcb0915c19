//! [`Model`]: a loaded ampoule, and the way of one prediction through it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ampoule_engine::{Graph, LoadOptions};
use wasmtime::Store;

use crate::bindings::{Opened, OpenedPre};
use crate::call::{Answer, Sandbox};
use crate::host::{Engine, Reuse, beside};
use crate::limits::Limit;
use crate::nn::LoadedGraph;
use crate::precompiled::{Cache, Code, Kept};
use crate::{Ampoule, Batch, Error, Host, HostConfig, Manifest, precompiled};

/// A call that usually takes longer is run by a worker thread from its start.
const LONG_CALL: Duration = Duration::from_micros(500);

/// The most text of a predictor's failure: it is a sentence for a person, and becomes an answer.
const MAX_FAILURE_BYTES: usize = 64 << 10;

/// A loaded ampoule. Cheap to clone; all clones share the code and the graphs.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

type Graphs = Arc<[Arc<LoadedGraph>]>;

struct Inner {
    host: Host,
    digest: String,
    manifest: Manifest,
    manifest_text: String,
    pre: OpenedPre<Sandbox>,
    graphs: Graphs,
    /// Sandboxes that wait for their next call, with [`Reuse::Calls`].
    idle: Mutex<Vec<Used>>,
    /// Whether `load` already ran, at seal time, and its effect lies in the sandbox's first memory.
    loaded: bool,
    /// A moving average of what a call takes, computes on worker threads not counted.
    typical_ns: AtomicU64,
    opening: Opening,
}

/// What opening a model took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    /// Verifying the sandbox's code and making it ready.
    pub code: Duration,
    /// Parsing and optimising the graphs, beside that.
    pub graphs: Duration,
    /// All of it.
    pub total: Duration,
    /// Whether precompiled code was found.
    pub precompiled: bool,
}

/// A sandbox and how many calls it has answered.
struct Used {
    store: Store<Sandbox>,
    predictor: Opened,
    calls: u32,
}

/// An ampoule and what the cache has of it: what of an opening needs no engine.
pub(crate) struct Unopened {
    ampoule: Ampoule,
    kept: Kept,
    verifying: Duration,
}

impl Unopened {
    pub fn read(path: &Path, cache: Option<&Cache>, engine: &Engine) -> Result<Self, Error> {
        Self::of(Ampoule::open(path)?, cache, engine)
    }

    pub fn of(ampoule: Ampoule, cache: Option<&Cache>, engine: &Engine) -> Result<Self, Error> {
        let start = Instant::now();
        let code = match engine {
            Engine::Native | Engine::OnnxRuntime(_) => Code::Predictor,
            Engine::Portable if ampoule.is_portable() => Code::Whole,
            Engine::Portable => return Err(Error::NotPortable(ampoule.manifest().name.clone())),
        };
        let kept = precompiled::find(cache, &ampoule, code);
        Ok(Self { ampoule, kept, verifying: start.elapsed() })
    }
}

/// The ampoule's code, linked; whether it was precompiled; and the time that took.
fn open_code(
    host: &Host,
    ampoule: &Ampoule,
    kept: Kept,
) -> Result<(OpenedPre<Sandbox>, bool, Duration), Error> {
    let start = Instant::now();
    let contract = |cause: wasmtime::Error| Error::Contract(format!("{cause:#}"));
    let (component, precompiled) = precompiled::component(host, ampoule, kept)?;
    let mut linker = host.inner.linker.clone();
    crate::wasi::add_imported(&mut linker, &component)
        .and_then(|()| linker.define_unknown_imports_as_traps(&component))
        .map_err(contract)?;
    let pre = linker.instantiate_pre(&component).and_then(OpenedPre::new).map_err(contract)?;
    Ok((pre, precompiled, start.elapsed()))
}

/// The ampoule's graphs, and the time that took.
fn open_graphs(host: &Host, ampoule: &Ampoule) -> Result<(Graphs, Duration), Error> {
    let start = Instant::now();
    // Otherwise they lie in the sandbox's first memory.
    let Some(engine) = host.inner.graphs.outside() else { return Ok((Arc::default(), Duration::ZERO)) };
    let graphs = ampoule.manifest().graphs.iter().enumerate().map(|(index, facts)| {
        let engine = engine.clone();
        let options = LoadOptions { warm: facts.warm.clone(), engine, ..LoadOptions::default() };
        let graph = Graph::load(ampoule.graph(index), &options)
            .map_err(|source| Error::Graph { name: facts.name.clone(), source })?;
        Ok(Arc::new(LoadedGraph::new(facts.name.clone(), graph, host.inner.cores.clone())?))
    });
    Ok((graphs.collect::<Result<_, Error>>()?, start.elapsed()))
}

impl Model {
    /// Opens the ampoule at `path`, plain or portable, in a host of its own with the settings that [`HostConfig`] has by
    /// default. Compiles its code, which takes a second or so; [`Host::with_model`] with a cache does so once.
    ///
    /// # Errors
    /// As [`Host::new`] and [`Host::open`]; without the feature `seal`, [`Error::NotPrecompiled`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Host::with_model(HostConfig::default(), path.as_ref())
    }

    /// Makes the code and the graphs ready, side by side.
    pub(crate) fn ready(host: Host, unopened: Unopened) -> Result<Self, Error> {
        let start = Instant::now();
        let Unopened { ampoule, kept, verifying } = unopened;
        if !kept.is_there() {
            ampoule.check_graphs()?;
        }
        let (code, graphs) = beside(|| open_graphs(&host, &ampoule), || open_code(&host, &ampoule, kept));
        let (pre, precompiled, code) = code?;
        let (graphs, took) = graphs?;
        let total = verifying + start.elapsed();
        let opening = Opening { code: verifying + code, graphs: took, total, precompiled };
        let inner = Inner {
            host,
            digest: ampoule.digest().to_owned(),
            loaded: ampoule.is_loaded(),
            manifest_text: ampoule.manifest_text().to_owned(),
            manifest: ampoule.manifest().clone(),
            pre,
            graphs,
            idle: Mutex::new(Vec::new()),
            typical_ns: AtomicU64::new(0),
            opening,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn name(&self) -> &str {
        &self.inner.manifest.name
    }

    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// Sha256 of the sealed file, lower-case hex.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    pub fn opening(&self) -> Opening {
        self.inner.opening
    }

    /// For each graph, the shapes that were planned for.
    #[cfg(feature = "seal")]
    pub(crate) fn planned(&self) -> impl Iterator<Item = Vec<Vec<Vec<usize>>>> + '_ {
        self.inner.graphs.iter().map(|graph| graph.graph.planned())
    }

    pub fn host(&self) -> &Host {
        &self.inner.host
    }

    /// Predicts every instance of `instances`, or none. `parameters` is the text of a JSON object.
    ///
    /// A batch without instances is answered without a call. Must be awaited on a tokio runtime
    /// with its timer enabled.
    ///
    /// # Errors
    /// [`Error::kind`] says whose fault it is, and whether the same call may succeed later.
    pub async fn predict(&self, instances: Batch, parameters: Option<String>) -> Result<Answer, Error> {
        let limits = self.inner.host.limits();
        let within = |limit: Limit, actual: usize| {
            let (allowed, actual) = (limit.of(limits), actual as u64);
            if actual > allowed { Err(Error::Limit { limit, allowed, actual: Some(actual) }) } else { Ok(()) }
        };
        within(Limit::Instances, instances.instances())?;
        within(Limit::InputBytes, instances.bytes())?;
        if instances.instances() == 0 {
            let predictions = Batch::Json(Vec::new());
            return Ok(Answer { predictions, timings: crate::Timings::default(), log: String::new() });
        }
        let deadline = Duration::from_millis(limits.deadline_ms);
        let permit = Arc::new(self.inner.host.admit().await?);
        let late = Error::Limit { limit: Limit::DeadlineMs, allowed: limits.deadline_ms, actual: None };
        let model = self.clone();
        let call = async move { model.call(instances, parameters, permit).await };
        if Duration::from_nanos(self.inner.typical_ns.load(Ordering::Relaxed)) < LONG_CALL {
            return tokio::time::timeout(deadline, call).await.unwrap_or(Err(late));
        }
        let runtime = tokio::runtime::Handle::current();
        let worker = move || runtime.block_on(async { tokio::time::timeout(deadline, call).await });
        match tokio::task::spawn_blocking(worker).await {
            Ok(outcome) => outcome.unwrap_or(Err(late)),
            Err(cause) => Err(Error::Sandbox(cause.to_string())),
        }
    }

    /// Predicts as [`Model::predict`] does, for programs that are not asynchronous. Threads may call at one time.
    ///
    /// # Errors
    /// As [`Model::predict`].
    ///
    /// # Panics
    /// On a thread of a tokio runtime: await [`Model::predict`] there.
    pub fn predict_blocking(&self, instances: Batch, parameters: Option<String>) -> Result<Answer, Error> {
        self.inner.host.runtime()?.block_on(self.predict(instances, parameters))
    }

    /// The call itself: a sandbox, the predictor, and a look at what it returned.
    async fn call(
        &self,
        instances: Batch,
        parameters: Option<String>,
        permit: Arc<tokio::sync::OwnedSemaphorePermit>,
    ) -> Result<Answer, Error> {
        let start = Instant::now();
        // The place is given back after `used`, which comes later, is dropped: then there is room for the next.
        let place = permit;
        let mut used = match self.take_idle() {
            Some(used) => used,
            None => self.sandbox(place.clone()).await?,
        };
        used.store.data_mut().begin(place.clone());
        let count = instances.instances();
        let outcome = used
            .predictor
            .ampoule_model_predictor()
            .call_predict(&mut used.store, &instances, parameters.as_deref())
            .await;
        let timings = used.store.data().meter.timings(start);
        self.note(timings.preprocess + timings.postprocess);
        let predictions = match outcome {
            Ok(Ok(predictions)) => predictions,
            Ok(Err(failure)) => {
                let texts = [Some(&failure.message), failure.expected.as_ref(), failure.actual.as_ref()];
                let bytes: usize = texts.into_iter().flatten().map(String::len).sum();
                if bytes > MAX_FAILURE_BYTES {
                    return Err(Error::Contract(format!(
                        "a failure: expected at most {MAX_FAILURE_BYTES} bytes, got {bytes}"
                    )));
                }
                self.keep(used);
                return Err(Error::Failure(failure));
            }
            Err(cause) => {
                let error = used.store.data().explain(&cause);
                let log = used.store.data_mut().end();
                if !log.is_empty() {
                    tracing::debug!(model = self.name(), log, "the predictor's log before it failed");
                }
                return Err(error);
            }
        };
        let log = used.store.data_mut().end();
        let allowed = self.inner.host.limits().max_output_bytes;
        let bytes = predictions.bytes();
        if bytes > allowed {
            let limit = Limit::OutputBytes;
            return Err(Error::Limit { limit, allowed: allowed as u64, actual: Some(bytes as u64) });
        }
        predictions.check(count).map_err(Error::Contract)?;
        self.keep(used);
        Ok(Answer { predictions, timings, log })
    }

    /// A fresh sandbox with the predictor loaded in it.
    async fn sandbox(&self, permit: Arc<tokio::sync::OwnedSemaphorePermit>) -> Result<Used, Error> {
        let host = &self.inner.host.inner;
        let mut store =
            Store::new(&host.engine, Sandbox::new(self.inner.graphs.clone(), host.limits.clone()));
        store.data_mut().begin(permit);
        store.limiter(|sandbox| sandbox);
        store.set_hostcall_fuel(host.limits.max_output_bytes.max(host.limits.max_tensor_bytes));
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let predictor = match self.inner.pre.instantiate_async(&mut store).await {
            Ok(predictor) => predictor,
            Err(cause) => return Err(store.data().explain(&cause)),
        };
        if !self.inner.loaded {
            match predictor.ampoule_model_predictor().call_load(&mut store, &self.inner.manifest_text).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => return Err(Error::Failure(failure)),
                Err(cause) => return Err(store.data().explain(&cause)),
            }
        }
        Ok(Used { store, predictor, calls: 0 })
    }

    fn take_idle(&self) -> Option<Used> {
        match self.inner.host.inner.reuse {
            Reuse::Never => None,
            Reuse::Calls(_) => self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner).pop(),
        }
    }

    fn keep(&self, mut used: Used) {
        let Reuse::Calls(calls) = self.inner.host.inner.reuse else { return };
        used.calls += 1;
        used.store.data_mut().end();
        if used.calls < calls {
            let mut idle = self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < self.inner.host.limits().max_concurrent_calls {
                idle.push(used);
            }
        }
    }

    fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let before = self.inner.typical_ns.load(Ordering::Relaxed);
        self.inner.typical_ns.store(before - before / 8 + took / 8, Ordering::Relaxed);
    }
}
