//! The threads that tasks run on.

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

/// A runtime of so many threads. One alone is the caller's own, so that nothing is handed over between threads.
///
/// # Errors
/// The system gives no more threads or files.
pub(crate) fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let mut builder = match threads {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}

/// How many processors this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does what takes long in the task that asks for it. Where there are several threads, another one goes on with the others'
/// tasks meanwhile.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
