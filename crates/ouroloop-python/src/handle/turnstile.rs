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

use super::Handle;

/// Who runs a handle's callback and who waits for its end.
#[derive(Debug, Default)]
pub(crate) struct Turnstile {
    /// The thread that runs the callback; none has the identifier 0.
    running: c_ulong,
    /// The lock on which other threads wait.
    pub(crate) lock: Option<Py<PyAny>>,
}

/// What a thread finds.
enum Found {
    /// Nobody runs the callback, or this thread does.
    Free,
    /// Another thread runs it; this is the lock to wait for, if there is one already.
    Busy(Option<Py<PyAny>>),
}

fn this_thread() -> c_ulong {
    // SAFETY: no precondition.
    unsafe { pyo3::ffi::PyThread_get_thread_ident() }
}

impl Turnstile {
    /// Whether another thread runs the callback.
    fn is_busy(&self) -> bool {
        self.running != 0 && self.running != this_thread()
    }

    fn find(&self, py: Python<'_>) -> Found {
        if !self.is_busy() {
            return Found::Free;
        }
        Found::Busy(self.lock.as_ref().map(|lock| lock.clone_ref(py)))
    }
}

/// Runs `callback`, the one of the handle, while other threads wait.
///
/// # Errors
/// What `callback` answers, and what `wait` raises.
#[cold]
pub(crate) fn run_guarded(
    handle: &Bound<'_, Handle>,
    callback: impl FnOnce() -> PyResult<()>,
) -> PyResult<()> {
    let py = handle.py();
    wait(handle)?;
    let before = handle
        .get()
        .turnstile(py, |turnstile| std::mem::replace(&mut turnstile.running, this_thread()));
    let answer = callback();
    let lock = handle.get().turnstile(py, |turnstile| {
        turnstile.running = before;
        if before == 0 { turnstile.lock.take() } else { None }
    });
    if let Some(lock) = lock {
        lock.call_method0(py, intern!(py, "release"))?;
    }
    answer
}

/// Waits until no other thread runs the handle's callback.
///
/// # Errors
/// What a signal handler raises in the meantime.
pub(crate) fn wait(handle: &Bound<'_, Handle>) -> PyResult<()> {
    let py = handle.py();
    loop {
        match handle.get().turnstile(py, |turnstile| turnstile.find(py)) {
            Found::Free => return Ok(()),
            Found::Busy(Some(lock)) => {
                lock.call_method0(py, intern!(py, "acquire"))?;
                lock.call_method0(py, intern!(py, "release"))?;
            }
            Found::Busy(None) => {
                let lock = crate::interpreter::modules::module(py, intern!(py, "_thread"))?
                    .call_method0(intern!(py, "allocate_lock"))?;
                lock.call_method0(intern!(py, "acquire"))?;
                let mut lock = Some(lock.unbind());
                // Things may have changed since: then it was brought in vain.
                handle.get().turnstile(py, |turnstile| {
                    if turnstile.is_busy() && turnstile.lock.is_none() {
                        turnstile.lock = lock.take();
                    }
                });
            }
        }
    }
}
