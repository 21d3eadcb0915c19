//! [`SmallBlocks`]: blocks of up to 256 bytes from free lists of their own, all others from the standard allocator.
//!
//! A call makes some hundred small blocks (names, shapes, the four values of a flower), and the
//! standard allocator of the sandbox took a third of a small model's own instructions for them. A
//! block here is taken from the list of its size, and goes back to it. Memory in those lists isn't
//! given to other sizes: at most what was in use at one time is kept so.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::{NonNull, null_mut};

/// The sizes' step, and the alignment of every block. Bytes.
const STEP: usize = 16;
/// Up to `STEP * CLASSES` bytes is small.
const CLASSES: usize = 16;
/// Taken from the standard allocator at a time. Bytes.
const CHUNK: usize = 4096;

/// For one thread: the sandbox has no others.
pub struct SmallBlocks(UnsafeCell<Lists>);

struct Lists {
    /// For each size, the first free block.
    free: [Option<NonNull<Free>>; CLASSES],
    /// What is left of the last chunk.
    next: *mut u8,
    left: usize,
}

/// A free block holds the place of the next one.
struct Free {
    next: Option<NonNull<Free>>,
}

impl SmallBlocks {
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Lists { free: [None; CLASSES], next: null_mut(), left: 0 }))
    }
}

/// The list of a small block; `None` for a large one.
fn class(layout: Layout) -> Option<usize> {
    let class = layout.size().wrapping_sub(1) / STEP;
    (class < CLASSES && layout.align() <= STEP).then_some(class)
}

impl Lists {
    fn take(&mut self, class: usize) -> *mut u8 {
        if let Some(block) = self.free[class] {
            // SAFETY: what is in a list is free, and was written by `give`.
            self.free[class] = unsafe { block.as_ref() }.next;
            return block.as_ptr().cast();
        }
        let size = (class + 1) * STEP;
        if self.left < size {
            // SAFETY: the size isn't 0, and the alignment is a power of two.
            let chunk = unsafe { System.alloc(Layout::from_size_align_unchecked(CHUNK, STEP)) };
            if chunk.is_null() {
                return chunk;
            }
            (self.next, self.left) = (chunk, CHUNK);
        }
        let block = self.next;
        // SAFETY: `left` bytes of the chunk follow.
        self.next = unsafe { block.add(size) };
        self.left -= size;
        block
    }

    /// # Safety
    /// `block` came from `take` with this class, and nobody uses it any more.
    unsafe fn give(&mut self, block: NonNull<u8>, class: usize) {
        let block = block.cast::<Free>();
        // SAFETY: it is ours again, and large and aligned enough for a pointer.
        unsafe { block.write(Free { next: self.free[class] }) };
        self.free[class] = Some(block);
    }
}

// SAFETY: blocks don't overlap, and are as large and aligned as asked; one thread at a time.
unsafe impl GlobalAlloc for SmallBlocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class(layout) {
            // SAFETY: no reference to the lists outlives its call, and there is one thread.
            Some(class) => unsafe { &mut *self.0.get() }.take(class),
            // SAFETY: as the caller's.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match (class(layout), NonNull::new(block)) {
            // SAFETY: as above, and the layout is the one that the block was made with.
            (Some(class), Some(block)) => unsafe { (*self.0.get()).give(block, class) },
            // SAFETY: as the caller's.
            _ => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class(layout).is_none() {
            // SAFETY: as the caller's.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as the caller's.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block has as many bytes.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's size doesn't overflow with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            // SAFETY: as the caller's.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            (one, other) if one == other => block,
            _ => {
                // SAFETY: as the caller's.
                let moved = unsafe { self.alloc(wanted) };
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
    }
}

// SAFETY: the sandbox has one thread.
#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
unsafe impl Sync for SmallBlocks {}

#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
#[global_allocator]
static ALLOCATOR: SmallBlocks = SmallBlocks::new();

#[cfg(test)]
mod tests {
    use super::*;

    /// A block in use: its bytes are all `mark`.
    struct Block {
        start: *mut u8,
        layout: Layout,
        mark: u8,
    }

    impl Block {
        fn check(&self) {
            assert_eq!(self.start.align_offset(self.layout.align()), 0, "{:?}", self.layout);
            // SAFETY: it is in use and was filled.
            let bytes = unsafe { std::slice::from_raw_parts(self.start, self.layout.size()) };
            assert!(bytes.iter().all(|&byte| byte == self.mark), "{:?} was overwritten", self.layout);
        }

        fn fill(&mut self, mark: u8) {
            self.mark = mark;
            // SAFETY: it is in use.
            unsafe { self.start.write_bytes(mark, self.layout.size()) };
        }
    }

    #[test]
    fn blocks_keep_their_bytes_whatever_comes_and_goes() {
        let lists = SmallBlocks::new();
        let mut blocks: Vec<Block> = Vec::new();
        let mut state = 42u64;
        let mut random = |below: usize| {
            // Any generator does: a linear congruential one (Knuth, MMIX).
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        let steps = if cfg!(miri) { 500 } else { 100_000 };
        for step in 0..steps {
            let mark = step as u8;
            let size = 1 + if random(4) == 0 { random(2000) } else { random(300) };
            match random(5) {
                0 | 1 if blocks.len() < 400 => {
                    let layout = Layout::from_size_align(size, 1 << random(6)).expect("a layout");
                    let zeroed = random(2) == 0;
                    // SAFETY: the size isn't 0.
                    let start =
                        unsafe { if zeroed { lists.alloc_zeroed(layout) } else { lists.alloc(layout) } };
                    assert!(!start.is_null());
                    let mut block = Block { start, layout, mark: 0 };
                    if zeroed {
                        block.check();
                    }
                    block.fill(mark);
                    blocks.push(block);
                }
                2 if !blocks.is_empty() => {
                    let mut block = blocks.swap_remove(random(blocks.len()));
                    block.check();
                    let kept = block.layout.size().min(size);
                    // SAFETY: it is in use with this layout, and the size isn't 0.
                    block.start = unsafe { lists.realloc(block.start, block.layout, size) };
                    block.layout = Layout::from_size_align(size, block.layout.align()).expect("a layout");
                    Block {
                        layout: Layout::from_size_align(kept, block.layout.align()).expect("a layout"),
                        ..block
                    }
                    .check();
                    block.fill(mark);
                    blocks.push(block);
                }
                3 if !blocks.is_empty() => {
                    let block = blocks.swap_remove(random(blocks.len()));
                    block.check();
                    // SAFETY: it is in use with this layout.
                    unsafe { lists.dealloc(block.start, block.layout) };
                }
                _ => {}
            }
        }
        for block in blocks {
            block.check();
            // SAFETY: it is in use with this layout.
            unsafe { lists.dealloc(block.start, block.layout) };
        }
    }

    #[test]
    fn a_block_that_went_back_is_the_next_of_its_size() {
        let lists = SmallBlocks::new();
        let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: sizes aren't 0, and blocks go back with the layout of their size's class.
        unsafe {
            let first = lists.alloc(layout(17));
            assert_eq!(lists.realloc(first, layout(17), 32), first);
            lists.dealloc(first, layout(32));
            assert_ne!(lists.alloc(layout(33)), first);
            assert_eq!(lists.alloc(layout(20)), first);
        }
    }
}
