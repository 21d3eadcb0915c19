//! [`Error`]: everything that can go wrong between a batch and its predictions.

use std::path::PathBuf;

use crate::limits::Limit;
use ampoule_wire::{Failure, FailureFault as GuestFault, InvalidManifest};

/// Whose fault an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What was asked for can't be answered: mend the request.
    Caller,
    /// The ampoule is at fault: its file, its predictor or its graph.
    Model,
    /// The host is: it is overloaded, or something below it failed.
    Host,
}

/// The two questions that whoever gets an [`Error`] has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub fault: Fault,
    /// Whether the same call may succeed later.
    pub retry: bool,
}

/// Why an ampoule can't be opened or a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no ampoule, or a damaged one.
    #[error("{name} is not an ampoule: {why}")]
    NotAnAmpoule { name: String, why: String },
    #[error("manifest: {0}")]
    Manifest(String),
    #[error("can't {action} {path}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    /// The predictor doesn't keep to the contract: its imports, its exports, or what it returned.
    #[error("predictor: {0}")]
    Contract(String),
    /// The predictor's own answer: no prediction, and why.
    #[error("{}", .0.describe())]
    Failure(Failure),
    /// The predictor trapped: a bug in it.
    #[error("the predictor trapped: {0}")]
    Trap(String),
    /// A limit of [`Limits`](crate::Limits) was hit.
    #[error("{}: expected at most {allowed} {unit}{}", .limit.name(), actual.map(|n| format!(", got {n}")).unwrap_or_default(), unit = .limit.unit())]
    Limit { limit: Limit, allowed: u64, actual: Option<u64> },
    /// Every place is taken and the queue is full, or no place came free in time.
    #[error("all {running} places are taken and {queued} calls wait")]
    Overloaded { running: usize, queued: usize },
    /// There is no precompiled code for this ampoule, and no compiler in this build.
    #[error("no precompiled code for this ampoule: {0}")]
    NotPrecompiled(String),
    #[error("graph \"{name}\"")]
    Graph { name: String, source: ampoule_engine::Error },
    /// The engine that is sealed in, for the portable form, can't make the graph ready.
    #[error("graph \"{graph}\" in the sandbox: {why}")]
    Portable { graph: String, why: String },
    /// The sandbox's own engine is asked for, and the file brings none.
    #[error("{0} brings no engine along: expected an ampoule that was sealed with --portable")]
    NotPortable(String),
    #[error("sandbox: {0}")]
    Sandbox(String),
}

impl From<InvalidManifest> for Error {
    fn from(invalid: InvalidManifest) -> Self {
        Self::Manifest(invalid.0)
    }
}

impl Error {
    pub fn kind(&self) -> Kind {
        let (fault, retry) = match self {
            Self::Failure(Failure { fault: GuestFault::Caller, .. }) => (Fault::Caller, false),
            Self::Limit { limit: Limit::InputBytes | Limit::Instances, .. } => (Fault::Caller, false),
            Self::Limit { limit: Limit::DeadlineMs, .. } => (Fault::Model, true),
            Self::Overloaded { .. } => (Fault::Host, true),
            Self::Io { .. } | Self::Sandbox(_) => (Fault::Host, true),
            Self::NotPrecompiled(_) => (Fault::Host, false),
            _ => (Fault::Model, false),
        };
        Kind { fault, retry }
    }

    /// A stable word for programs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnAmpoule { .. } => "not_an_ampoule",
            Self::Manifest(_) => "invalid_manifest",
            Self::Io { .. } => "io",
            Self::Contract(_) => "guest_contract",
            Self::Failure(Failure { fault: GuestFault::Caller, .. }) => "invalid_instance",
            Self::Failure(_) => "model_failure",
            Self::Trap(_) => "guest_trap",
            Self::Limit { limit, .. } => match limit {
                Limit::DeadlineMs => "deadline_exceeded",
                Limit::MemoryBytes => "guest_oom",
                Limit::InputBytes | Limit::Instances => "too_large",
                Limit::OutputBytes => "output_too_large",
                Limit::TensorBytes => "tensors_too_large",
            },
            Self::Overloaded { .. } => "overloaded",
            Self::NotPrecompiled(_) => "not_precompiled",
            Self::Graph { .. } | Self::Portable { .. } => "invalid_graph",
            Self::NotPortable(_) => "not_portable",
            Self::Sandbox(_) => "sandbox",
        }
    }

    pub(crate) fn sandbox(cause: &wasmtime::Error) -> Self {
        Self::Sandbox(format!("{cause:#}"))
    }
}
