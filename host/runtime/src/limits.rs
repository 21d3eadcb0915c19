//! [`Limits`]: what one call may use, and how many may run.

/// Every limit has a name, a unit and a default; an error that hits one says all three.
///
/// The limits hold for each call by itself, except the last three, which are the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds from the start of a call to its answer.
    pub deadline_ms: u64,
    /// Bytes that the sandbox's linear memories may grow to, all together.
    pub memory_bytes: usize,
    /// Bytes of the batch that a call hands to the sandbox.
    pub max_input_bytes: usize,
    /// Bytes of the batch that the sandbox hands back.
    pub max_output_bytes: usize,
    /// Bytes of all tensors that a call holds outside the sandbox at one time.
    pub max_tensor_bytes: usize,
    /// Instances in one call.
    pub max_instances: usize,
    /// Bytes of log that a call may write; the rest is dropped.
    pub max_log_bytes: usize,
    /// Calls that run at one time.
    pub max_concurrent_calls: usize,
    /// Calls that wait for one of those places; one more is refused at once.
    pub max_queued_calls: usize,
    /// Milliseconds that a call waits for a place before it is refused.
    pub max_queue_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline_ms: 30_000,
            memory_bytes: 512 << 20,
            max_input_bytes: 64 << 20,
            max_output_bytes: 64 << 20,
            max_tensor_bytes: 256 << 20,
            max_instances: 100_000,
            max_log_bytes: 64 << 10,
            max_concurrent_calls: 16,
            max_queued_calls: 1024,
            max_queue_ms: 1_000,
        }
    }
}

/// Which of the [`Limits`] a call hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    DeadlineMs,
    MemoryBytes,
    InputBytes,
    OutputBytes,
    TensorBytes,
    Instances,
}

impl Limit {
    /// The limit's name, as the command line and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DeadlineMs => "deadline_ms",
            Self::MemoryBytes => "memory_bytes",
            Self::InputBytes => "max_input_bytes",
            Self::OutputBytes => "max_output_bytes",
            Self::TensorBytes => "max_tensor_bytes",
            Self::Instances => "max_instances",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Self::DeadlineMs => "ms",
            Self::Instances => "instances",
            _ => "bytes",
        }
    }

    /// What `limits` sets it to.
    pub fn of(self, limits: &Limits) -> u64 {
        match self {
            Self::DeadlineMs => limits.deadline_ms,
            Self::MemoryBytes => limits.memory_bytes as u64,
            Self::InputBytes => limits.max_input_bytes as u64,
            Self::OutputBytes => limits.max_output_bytes as u64,
            Self::TensorBytes => limits.max_tensor_bytes as u64,
            Self::Instances => limits.max_instances as u64,
        }
    }
}
