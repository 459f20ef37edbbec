//! Memory kept back for when there is none.
//!
//! What a peer or a program can make grow grows fallibly (`interpreter/room.rs`); the small things of Rust's own, such
//! as the message of an error or the state that a coroutine and its waits share, do not: Rust ends the process where one finds
//! no memory. So the first that finds none has the reserve go back to the C library, which serves it and some hundred
//! more from that. By then Python has raised `MemoryError`, and what is dropped makes room; the reserve is filled again
//! when something large is allocated or freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Small enough for the C library's heap: what it maps by itself would go back to the kernel.
const RESERVE: Layout = match Layout::from_size_align(64 * 1024, 16) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// Larger things are not worth the reserve.
const MOST_BYTES: usize = 4 * 1024;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator { reserve: AtomicPtr::new(ptr::null_mut()) };

/// The system's allocator, with a reserve.
struct Allocator {
    reserve: AtomicPtr<u8>,
}

/// Keeps memory back from now on.
pub(crate) fn keep() {
    ALLOCATOR.fill();
}

impl Allocator {
    /// Keeps memory back, if that is not the case yet and there is some.
    #[cold]
    fn fill(&self) {
        if !self.reserve.load(Ordering::Relaxed).is_null() {
            return;
        }
        // SAFETY: the layout is not empty.
        let reserve = unsafe { System.alloc(RESERVE) };
        let before = self.reserve.compare_exchange(
            ptr::null_mut(),
            reserve,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if before.is_err() && !reserve.is_null() {
            // SAFETY: allocated above by this layout, and another thread's is kept instead.
            unsafe { System.dealloc(reserve, RESERVE) };
        }
    }

    /// Gives the reserve up for something of this size; whether it may have helped.
    #[cold]
    fn give_up(&self, size: usize) -> bool {
        if size > MOST_BYTES {
            return false;
        }
        let reserve = self.reserve.swap(ptr::null_mut(), Ordering::AcqRel);
        if let Some(reserve) = NonNull::new(reserve) {
            // SAFETY: `fill` has allocated it by this layout, and the swap has made it this thread's alone.
            unsafe { System.dealloc(reserve.as_ptr(), RESERVE) };
        }
        // Another thread may have given it up a moment ago.
        true
    }

    /// Keeps memory back again beside a call for something large, which is rare enough.
    #[inline]
    fn fill_beside(&self, size: usize) {
        if size >= RESERVE.size() {
            self.fill();
        }
    }
}

// SAFETY: all memory is the system allocator's, by the caller's own layouts.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let mut memory = unsafe { System.alloc(layout) };
        if memory.is_null() {
            if self.give_up(layout.size()) {
                // SAFETY: the caller's promise.
                memory = unsafe { System.alloc(layout) };
            }
        } else {
            self.fill_beside(layout.size());
        }
        memory
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let mut memory = unsafe { System.alloc_zeroed(layout) };
        if memory.is_null() && self.give_up(layout.size()) {
            // SAFETY: the caller's promise.
            memory = unsafe { System.alloc_zeroed(layout) };
        }
        memory
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise: allocated here, which is by the system.
        unsafe { System.dealloc(memory, layout) };
        self.fill_beside(layout.size());
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`.
        let mut larger = unsafe { System.realloc(memory, layout, size) };
        if larger.is_null() && self.give_up(size) {
            // SAFETY: as above; the first call has left the memory as it was.
            larger = unsafe { System.realloc(memory, layout, size) };
        }
        larger
    }
}
