//! The end of a native step, as far as others can see it.

use pyo3::prelude::*;

use super::event_loop::Loop;
use super::report::report_caught;
use crate::interpreter::fresh;

impl Loop {
    /// No task of ours runs from here on.
    ///
    /// Whatever else may ask who runs (a handle, a standard task, a signal handler, the world
    /// outside the loop) is preceded by this: see [`Current`](super::current::Current).
    ///
    /// # Errors
    /// What an exception handler raises: asyncio refuses to leave a task of a loop that is not the running one any
    /// more, since the program has set another (3.14), and tells the handler so.
    #[inline]
    pub(crate) fn leave_task(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().current.leave(slf.as_any()).or_else(|error| report_refused(slf, error))
    }
}

#[cold]
fn report_refused(event_loop: &Bound<'_, Loop>, error: PyErr) -> PyResult<()> {
    let py = event_loop.py();
    let context = fresh::dict(py)?;
    context.set_item(intern!(py, "message"), intern!(py, "Exception in callback Task.__step()"))?;
    report_caught(event_loop.as_any(), error.value(py), &context)
}
