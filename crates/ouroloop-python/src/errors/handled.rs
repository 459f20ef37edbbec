//! The exception that Python code finds being handled.
//!
//! asyncio calls exception handlers from `except` clauses: there `sys.exc_info()` and
//! `logging.exception` know the error, and whatever else is raised gets it as its `__context__`.
//! Native code has no clauses. The interpreter keeps one such exception for each frame that can be
//! suspended and looks for the innermost; it is set for the length of a call and put back.

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;

/// Calls `body` as from an `except` clause that caught `error`.
pub(crate) fn while_handling<T>(error: &Bound<'_, PyBaseException>, body: impl FnOnce() -> T) -> T {
    let _before = Before::replaced_by(error);
    body()
}

/// What was being handled in this frame before, and will be again.
struct Before<'py>(Python<'py>, Option<Bound<'py, PyAny>>);

impl<'py> Before<'py> {
    fn replaced_by(error: &Bound<'py, PyBaseException>) -> Self {
        let py = error.py();
        let innermost = handled(py);
        set(py, None);
        // What is found now belongs to a frame further out, which keeps it.
        let outer = handled(py);
        let of_outer_frame = match (&innermost, &outer) {
            (Some(innermost), Some(outer)) => innermost.is(outer),
            _ => false,
        };
        set(py, Some(error.as_any()));
        Self(py, innermost.filter(|_| !of_outer_frame))
    }
}

impl Drop for Before<'_> {
    fn drop(&mut self) {
        set(self.0, self.1.as_ref());
    }
}

/// The innermost exception that is being handled.
pub(crate) fn handled(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: attached; the answer is null or a new reference.
    unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyErr_GetHandledException()) }
}

fn set(_: Python<'_>, error: Option<&Bound<'_, PyAny>>) {
    let error = error.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: attached. Null stands for none; anything else comes from `handled` or is the
    // `PyBaseException` of `replaced_by`, and the interpreter takes a reference of its own.
    unsafe { ffi::PyErr_SetHandledException(error) };
}
