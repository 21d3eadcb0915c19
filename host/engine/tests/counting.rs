//! How much memory an act takes at most: an allocator that counts, for tests and fuzz targets.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `act`, which may have eight times `bytes` and 64 MB in use at one time. Where it takes far more, the process ends
/// with a backtrace before the machine's memory does.
pub fn bounded<T>(title: &str, bytes: &[u8], act: impl FnOnce() -> T) -> T {
    let before = IN_USE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let (length, allowed) = (bytes.len(), 8 * bytes.len() + (64 << 20));
    CEILING.store(before + allowed + FAR, Ordering::Relaxed);
    let result = act();
    CEILING.store(usize::MAX, Ordering::Relaxed);
    let most = MOST.load(Ordering::Relaxed).saturating_sub(before);
    assert!(most <= allowed, "{title}: expected at most {allowed} bytes for a file of {length}, got {most}");
    result
}

/// Bytes beyond what is allowed at which there is no more waiting for the end.
const FAR: usize = 64 << 20;

#[cold]
fn end(size: usize) -> ! {
    CEILING.store(usize::MAX, Ordering::Relaxed);
    let backtrace = std::backtrace::Backtrace::force_capture();
    eprintln!("{size} bytes more are too many:\n{backtrace}");
    std::process::abort()
}

/// Lets a panic of the engine's own end the process, whoever would catch it; nothing is said of those that tract has, which
/// the engine catches and answers with an error.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map_or("", |location| location.file());
            if ["engine/src/", "engine/tests/", "engine/fuzz/"].iter().any(|own| file.contains(own)) {
                print(panic);
                std::process::abort();
            }
        }));
    });
}

/// Counts the bytes in use, and the most there were.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
static CEILING: AtomicUsize = AtomicUsize::new(usize::MAX);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator is")]
// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(in_use, Ordering::Relaxed);
        if in_use > CEILING.load(Ordering::Relaxed) {
            end(layout.size());
        }
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}
