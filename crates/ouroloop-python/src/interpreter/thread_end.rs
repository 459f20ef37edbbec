//! Threads that the interpreter's end finds at work stop for ever, without being unwound.
//!
//! Once the interpreter ends, whoever asks for its lock must not have it. Python 3.14 has such a thread
//! wait for ever. Before, `pthread_exit` ends it, and with glibc that *unwinds* the thread's stack as an
//! exception would: through frames of Rust, whose destructors would touch objects without the lock, and
//! where `catch_unwind` ends the process, since it is no panic. Any native method that runs Python code can
//! end so, in the middle, in any thread that the end does not wait for.
//!
//! Before a frame of Rust goes, whoever unwinds asks the language's *personality routine* what there is to do.
//! The linker has that go through a function of ours (`build.rs`), which does not come back when the
//! interpreter ends. Other systems' `pthread_exit` unwinds nothing.

use std::ffi::{c_int, c_void};

/// Bit of `actions`: nobody catches this, the stack goes as a whole (`_UA_FORCE_UNWIND` of the C++ ABI for
/// exception handling, which names the arguments and answers, too).
const FORCED: c_int = 8;

type Context = *mut c_void;
type Exception = *mut c_void;

unsafe extern "C" {
    fn __real_rust_eh_personality(
        version: c_int,
        actions: c_int,
        class: u64,
        exception: Exception,
        context: Context,
    ) -> c_int;

    #[cfg_attr(Py_3_13, link_name = "Py_IsFinalizing")]
    #[cfg_attr(not(Py_3_13), link_name = "_Py_IsFinalizing")]
    fn is_finalizing() -> c_int;
}

/// Asked for each frame of Rust that a panic, or the thread's end, comes by.
///
/// # Safety
/// To be called by the unwinder alone.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_rust_eh_personality(
    version: c_int,
    actions: c_int,
    class: u64,
    exception: Exception,
    context: Context,
) -> c_int {
    // SAFETY: reads one word, and may be called by any thread at any time.
    if actions & FORCED != 0 && unsafe { is_finalizing() } != 0 {
        loop {
            // SAFETY: only waits for a signal, of which there may be some.
            unsafe { libc::pause() };
        }
    }
    // SAFETY: the arguments are those of the routine that is called in its place.
    unsafe { __real_rust_eh_personality(version, actions, class, exception, context) }
}
