//! [`Clearing`]: an allocator that can leave no trace of what was freed.
//!
//! The memory that preparing a graph leaves is stored in the ampoule, byte by byte where it isn't zero. What the
//! optimiser worked with and gave back is in it too, unless it is cleared.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

struct Clearing;

static CLEARS: AtomicBool = AtomicBool::new(false);

/// Does `work`, of all blocks freed in which nothing is left but what the standard allocator itself writes into free ones.
pub(crate) fn clear_what_is_freed<T>(work: impl FnOnce() -> T) -> T {
    CLEARS.store(true, Ordering::Relaxed);
    let done = work();
    CLEARS.store(false, Ordering::Relaxed);
    done
}

// SAFETY: blocks are the standard allocator's own; nothing is written but to blocks that are given back.
unsafe impl GlobalAlloc for Clearing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if CLEARS.load(Ordering::Relaxed) {
            // SAFETY: the block is as large, and nobody uses it any more.
            unsafe { block.write_bytes(0, layout.size()) };
            // Nobody reads what is freed next, so that the compiler would leave the zeros out.
            std::hint::black_box(block);
        }
        // SAFETY: as the caller's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !CLEARS.load(Ordering::Relaxed) {
            // SAFETY: as the caller's.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller's size doesn't overflow with this alignment.
        let moved = unsafe { System.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both have as many bytes and are two blocks.
            unsafe {
                std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

#[global_allocator]
static ALLOCATOR: Clearing = Clearing;
