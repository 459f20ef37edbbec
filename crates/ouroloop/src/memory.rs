//! Memory of a burst that is over goes back to the kernel.
//!
//! glibc's `free` keeps large blocks for later, the more of them the larger they were, and gives
//! them back only from the end of its heap. A table that has shrunk from a million entries to a
//! hundred is worth asking it for the rest.

/// Tables that shrink by at least this many bytes are worth the call, which takes milliseconds.
pub(crate) const WORTH_RETURNING: usize = 4 * 1024 * 1024;

/// Asks the C library for what it keeps; where there is no such call, it does nothing.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the function only looks at the allocator's own free memory, under its own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
