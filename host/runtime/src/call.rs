//! [`Sandbox`]: what one call's store holds, and how a call's end is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Trap};

use crate::Error;
use crate::limits::{Limit, Limits};
use crate::nn::LoadedGraph;
use ampoule_wire::Batch;

/// The predictions of one call.
#[derive(Debug)]
pub struct Answer {
    pub predictions: Batch,
    pub timings: Timings,
    /// What the predictor wrote to its standard output and error, cut at `max_log_bytes`.
    pub log: String,
}

/// Where the time of a call went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Until the first compute: making the sandbox, and the predictor's work before the graph.
    pub preprocess: Duration,
    /// Inside the engine, over all computes.
    pub infer: Duration,
    /// The rest.
    pub postprocess: Duration,
}

/// The data of a call's store.
pub(crate) struct Sandbox {
    pub table: ResourceTable,
    pub graphs: Arc<[Arc<LoadedGraph>]>,
    pub limits: Arc<Limits>,
    pub tensor_bytes: usize,
    /// Bytes of all its linear memories.
    memory_bytes: usize,
    pub meter: Meter,
    pub started: Instant,
    /// The call's place; computes on other threads share it.
    pub permit: Option<Arc<OwnedSemaphorePermit>>,
    pub entropy: Entropy,
    log: Vec<u8>,
    /// The first limit that the call hit, kept because the trap that follows doesn't tell.
    hit: Option<(Limit, u64)>,
}

/// Where a predictor's random numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entropy {
    System,
    /// At seal time, where the same inputs must give the same bytes.
    Fixed,
}

/// Handles that a call may hold at one time.
const MAX_HANDLES: usize = 4096;

impl Sandbox {
    pub fn new(graphs: Arc<[Arc<LoadedGraph>]>, limits: Arc<Limits>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            table,
            graphs,
            limits,
            tensor_bytes: 0,
            memory_bytes: 0,
            meter: Meter::default(),
            started: Instant::now(),
            permit: None,
            entropy: Entropy::System,
            log: Vec::new(),
            hit: None,
        }
    }

    /// Makes ready for the next call.
    pub fn begin(&mut self, permit: Arc<OwnedSemaphorePermit>) {
        self.meter = Meter::default();
        self.permit = Some(permit);
        self.log.clear();
        self.hit = None;
    }

    /// Gives the place back and takes the log.
    pub fn end(&mut self) -> String {
        self.permit = None;
        String::from_utf8_lossy(&std::mem::take(&mut self.log)).into_owned()
    }

    pub fn log(&mut self, bytes: &[u8]) {
        let room = self.limits.max_log_bytes.saturating_sub(self.log.len());
        self.log.extend(bytes.iter().take(room));
    }

    /// Notes that a limit was hit and makes the trap that ends the call.
    pub fn refuse(&mut self, limit: Limit, actual: u64) -> wasmtime::Error {
        self.hit.get_or_insert((limit, actual));
        wasmtime::format_err!("{} was hit", limit.name())
    }

    /// What a failed call is told as.
    pub fn explain(&self, cause: &wasmtime::Error) -> Error {
        let limit = |limit: Limit, actual| Error::Limit { limit, allowed: limit.of(&self.limits), actual };
        if let Some((which, actual)) = self.hit {
            return limit(which, Some(actual));
        }
        if cause.to_string().contains("fuel allocated for hostcalls") {
            return limit(Limit::OutputBytes, None);
        }
        match cause.downcast_ref::<Trap>() {
            Some(Trap::UnreachableCodeReached) => {
                let log = String::from_utf8_lossy(&self.log);
                let panic =
                    log.lines().find(|line| line.contains("panicked at")).unwrap_or("unreachable code");
                Error::Trap(panic.trim().to_owned())
            }
            Some(trap) => Error::Trap(trap.to_string()),
            None => Error::Contract(format!("{:#}", cause.root_cause())),
        }
    }
}

impl ResourceLimiter for Sandbox {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // What can't succeed is not counted.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        // A component brings as many memories as it likes.
        let all = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        let allowed = all <= self.limits.memory_bytes;
        if allowed {
            self.memory_bytes = all;
        } else {
            self.hit.get_or_insert((Limit::MemoryBytes, all as u64));
        }
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= crate::host::MAX_TABLE_ELEMENTS)
    }
}

/// Splits a call's time by its computes.
#[derive(Default)]
pub(crate) struct Meter {
    first_infer: Option<Instant>,
    infer: Duration,
}

impl Meter {
    pub fn infer_starts(&mut self, now: Instant) {
        self.first_infer.get_or_insert(now);
    }

    pub fn infer_ends(&mut self, start: Instant) {
        self.infer += start.elapsed();
    }

    pub fn timings(&self, start: Instant) -> Timings {
        let total = start.elapsed();
        let preprocess = self.first_infer.map_or(total, |first| first.duration_since(start));
        Timings {
            preprocess,
            infer: self.infer,
            postprocess: total.saturating_sub(preprocess).saturating_sub(self.infer),
        }
    }
}
