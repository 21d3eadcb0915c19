//! The options that bound a call, shared by all commands that predict.

use ampoule_host::{Engine, Host, HostConfig, Limits, Reuse};

use super::cache;
use super::engine::EngineOptions;
use ampoule_wire::rows::Bounds;

/// What a call may use.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitOptions {
    /// Milliseconds that a call may take
    #[arg(long, env = "AMPOULE_DEADLINE_MS", default_value_t = Limits::default().deadline_ms, value_name = "MS")]
    deadline_ms: u64,
    /// Mebibytes of memory that a sandbox may grow to
    #[arg(long, env = "AMPOULE_MEMORY_MIB", default_value_t = Limits::default().memory_bytes >> 20, value_name = "MIB",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=4096))]
    memory_mib: usize,
    /// Bytes that a call hands to the model
    #[arg(long, env = "AMPOULE_MAX_INPUT_BYTES", default_value_t = Limits::default().max_input_bytes, value_name = "BYTES")]
    max_input_bytes: usize,
    /// Bytes that the model hands back
    #[arg(long, env = "AMPOULE_MAX_OUTPUT_BYTES", default_value_t = Limits::default().max_output_bytes, value_name = "BYTES")]
    max_output_bytes: usize,
    /// Bytes of all tensors that a call holds at one time
    #[arg(long, env = "AMPOULE_MAX_TENSOR_BYTES", default_value_t = Limits::default().max_tensor_bytes, value_name = "BYTES")]
    max_tensor_bytes: usize,
    /// Instances in one call
    #[arg(long, env = "AMPOULE_MAX_INSTANCES", default_value_t = Limits::default().max_instances, value_name = "N")]
    max_instances: usize,
    /// Calls that run at one time
    #[arg(long, env = "AMPOULE_MAX_CONCURRENT_CALLS", default_value_t = Limits::default().max_concurrent_calls, value_name = "N",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    max_concurrent_calls: usize,
    /// Calls that wait for a place; one more is refused at once
    #[arg(long, env = "AMPOULE_MAX_QUEUED_CALLS", default_value_t = Limits::default().max_queued_calls, value_name = "N")]
    max_queued_calls: usize,
    /// Milliseconds that a call waits for a place
    #[arg(long, env = "AMPOULE_MAX_QUEUE_MS", default_value_t = Limits::default().max_queue_ms, value_name = "MS")]
    max_queue_ms: u64,
}

impl LimitOptions {
    /// A host with these limits, the user's cache of precompiled code, and what runs its graphs.
    pub fn host(&self, reuse: Reuse, engine: &EngineOptions) -> anyhow::Result<Host> {
        self.host_of(reuse, engine.open()?)
    }

    /// The same with what runs its graphs already opened.
    pub fn host_of(&self, reuse: Reuse, graphs: Engine) -> anyhow::Result<Host> {
        let (limits, cache) = (self.limits(), cache::folder());
        Ok(Host::new(HostConfig { limits, reuse, cache, graphs })?)
    }

    /// The variables by which another of our programs takes the same limits.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AMPOULE_DEADLINE_MS", self.deadline_ms.to_string()),
            ("AMPOULE_MEMORY_MIB", self.memory_mib.to_string()),
            ("AMPOULE_MAX_INPUT_BYTES", self.max_input_bytes.to_string()),
            ("AMPOULE_MAX_OUTPUT_BYTES", self.max_output_bytes.to_string()),
            ("AMPOULE_MAX_TENSOR_BYTES", self.max_tensor_bytes.to_string()),
            ("AMPOULE_MAX_INSTANCES", self.max_instances.to_string()),
            ("AMPOULE_MAX_CONCURRENT_CALLS", self.max_concurrent_calls.to_string()),
            ("AMPOULE_MAX_QUEUED_CALLS", self.max_queued_calls.to_string()),
            ("AMPOULE_MAX_QUEUE_MS", self.max_queue_ms.to_string()),
        ]
    }

    /// How files of instances are read.
    pub fn bounds(&self) -> Bounds {
        crate::rows::bounds(&self.limits())
    }

    fn limits(&self) -> Limits {
        Limits {
            deadline_ms: self.deadline_ms,
            memory_bytes: self.memory_mib << 20,
            max_input_bytes: self.max_input_bytes,
            max_output_bytes: self.max_output_bytes,
            max_tensor_bytes: self.max_tensor_bytes,
            max_instances: self.max_instances,
            max_concurrent_calls: self.max_concurrent_calls,
            max_queued_calls: self.max_queued_calls,
            max_queue_ms: self.max_queue_ms,
            ..Limits::default()
        }
    }
}
