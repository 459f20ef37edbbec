//! A callback that one thread runs and another cancels: what handles of `call_soon_threadsafe`
//! promise from Python 3.14 on.
//!
//! 1. While the callback runs, `cancel` and `cancelled` in another thread wait for its end. In
//!    the loop's own thread they do not.
//! 2. asyncio has a re-entrant lock for that in every handle. Here the loop only notes that it
//!    runs; the first thread that has to wait brings the lock, already acquired.
//! 3. Whoever gets the lock passes it on at once: it opens when the callback is over and stays
//!    open.

use std::ffi::c_ulong;

use pyo3::prelude::*;

use crate::interpreter::references::CloneRef as _;

/// Who runs a handle's callback and who waits for its end.
#[derive(Debug, Default)]
pub(crate) struct Turnstile {
    /// The thread that runs the callback; none has the identifier 0.
    pub(super) running: c_ulong,
    /// The lock on which other threads wait.
    pub(super) lock: Option<Py<PyAny>>,
}

/// What a thread finds.
pub(super) enum Found {
    /// Nobody runs the callback, or this thread does.
    Free,
    /// Another thread runs it; this is the lock to wait for, if there is one already.
    Busy(Option<Py<PyAny>>),
}

pub(super) fn this_thread() -> c_ulong {
    // SAFETY: no precondition.
    unsafe { pyo3::ffi::PyThread_get_thread_ident() }
}

impl Turnstile {
    /// Whether another thread runs the callback.
    pub(super) fn is_busy(&self) -> bool {
        self.running != 0 && self.running != this_thread()
    }

    pub(super) fn find(&self, py: Python<'_>) -> Found {
        if !self.is_busy() {
            return Found::Free;
        }
        Found::Busy(self.lock.clone_ref(py))
    }
}
