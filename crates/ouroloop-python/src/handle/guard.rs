//! Handles whose callback one thread may run while another cancels it: see [`super::turnstile`].

use pyo3::prelude::*;

use super::object::Handle;
use super::turnstile::{Found, this_thread};

impl Handle {
    /// Runs `callback`, the one of the handle, while other threads wait.
    ///
    /// # Errors
    /// What `callback` answers, and what `wait` raises.
    #[cold]
    pub(super) fn run_guarded(
        handle: &Bound<'_, Handle>,
        callback: impl FnOnce() -> PyResult<()>,
    ) -> PyResult<()> {
        let py = handle.py();
        Self::pass(handle)?;
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
    pub(super) fn wait(slf: &Bound<'_, Handle>) -> PyResult<()> {
        if !slf.get().state.with(slf.py(), |state| state.guards) {
            return Ok(());
        }
        Self::pass(slf)
    }

    /// As [`Handle::wait`], of a handle that guards its callback.
    fn pass(handle: &Bound<'_, Handle>) -> PyResult<()> {
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
}
