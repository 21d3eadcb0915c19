//! How much memory an act takes at most: an allocator that counts, for tests and fuzz targets.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `act`, which may have eight times `bytes` and 64 MB in use at one time.
pub fn bounded<T>(title: &str, bytes: &[u8], act: impl FnOnce() -> T) -> T {
    let before = IN_USE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let result = act();
    let most = MOST.load(Ordering::Relaxed).saturating_sub(before);
    let (length, allowed) = (bytes.len(), 8 * bytes.len() + (64 << 20));
    assert!(most <= allowed, "{title}: expected at most {allowed} bytes for a file of {length}, got {most}");
    result
}

/// Counts the bytes in use, and the most there were.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator is")]
// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(in_use, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}
