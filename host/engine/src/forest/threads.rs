//! Rows of one call in several threads, where its caller allows them ([`allow`]) and there are enough rows to be worth it.
//! A row's scores don't depend on the others', so that they have the same bits whatever the number of threads.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

/// How many rows a thread goes down how many trees with, at least: rows times trees. A share has to take longer than a thread
/// takes to start and to end, some 50 µs; a row and tree take from 0.2 ns (shallow trees) to 10 ns (trees of 500 leaves).
const LEAST: usize = 1 << 18;

thread_local! {
    /// Threads that a call made in this one may use.
    static ALLOWED: Cell<usize> = const { Cell::new(1) };
}

/// Does `call`, in which ensembles may use so many threads, this one among them.
pub(crate) fn allow<T>(threads: usize, call: impl FnOnce() -> T) -> T {
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            ALLOWED.set(self.0);
        }
    }
    let _restore = Restore(ALLOWED.replace(threads));
    call()
}

/// How many threads share `rows` that each go down `trees`: at least 1.
pub(super) fn worth(rows: usize, trees: usize) -> usize {
    // A sandbox has one thread.
    if cfg!(target_family = "wasm") {
        return 1;
    }
    ALLOWED.get().min(rows.saturating_mul(trees) / LEAST).max(1)
}

/// Gives `threads` threads, this one among them, blocks of whole tiles of rows, `tile` rows each, and `scores` of the same rows.
/// `width` and `outputs` are a row's.
pub(super) fn spread<T: Sync, A: Send>(
    threads: usize,
    tile: usize,
    (rows, width): (&[T], usize),
    (scores, outputs): (&mut [A], usize),
    work: impl Fn(&[T], &mut [A]) + Sync,
) {
    let block = (rows.len() / width).div_ceil(tile).div_ceil(threads) * tile;
    let blocks = Mutex::new(rows.chunks(block * width).zip(scores.chunks_mut(block * outputs)));
    let next = || blocks.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((rows, scores)) = next() {
            work(rows, scores);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Where there is no thread to be had, the others do it.
            let _ = std::thread::Builder::new().name("engine".to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
}
