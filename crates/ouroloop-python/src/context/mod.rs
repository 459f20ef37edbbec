//! Running native code inside a `contextvars.Context`.

mod layout;
mod snapshot;

pub(crate) use snapshot::Snapshot;

use pyo3::ffi;
use pyo3::prelude::*;

/// A copy of the calling thread's current context.
#[inline]
pub(crate) fn copy_current(py: Python<'_>) -> PyResult<Py<PyAny>> {
    // SAFETY: the thread is attached; the call answers a new reference or NULL with an error set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()).map(Bound::unbind) }
}

/// A copy of a context.
///
/// # Errors
/// `TypeError` if it is none.
pub(crate) fn copy_of(py: Python<'_>, context: &Py<PyAny>) -> PyResult<Py<PyAny>> {
    // SAFETY: attached; the object is alive, a wrong type is an error, and the answer is a new
    // reference or NULL with an error set.
    unsafe {
        let copy = ffi::PyContext_Copy(context.as_ptr());
        Bound::from_owned_ptr_or_err(py, copy).map(Bound::unbind)
    }
}

/// Runs `body` with `context` as the current context, as `context.run(body)` would.
///
/// # Errors
/// `RuntimeError` if the context is entered already, `TypeError` if it is no context.
#[inline]
pub(crate) fn run_in<R>(
    py: Python<'_>,
    context: &Py<PyAny>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    // SAFETY: the thread is attached and `context` is a live object; a wrong type is an error.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    let answer = body();
    // SAFETY: this thread entered `context` above, and `body` left the contexts that it entered.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
        let error = PyErr::fetch(py);
        return answer.and(Err(error));
    }
    answer
}
