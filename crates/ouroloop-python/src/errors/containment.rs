//! Panics stay inside: what the interpreter or OpenSSL calls answers in every case.
//!
//! A panic that leaves an `extern "C"` function ends the process. Each function of this crate that is put
//! into a slot or a table of C functions therefore has its body run here. PyO3 does the same for the
//! methods that it generates, by its `PanicException`; ours becomes a `RuntimeError` that says it
//! is a bug, so that a loop that meets it in one callback goes on with the next. Where nothing can be
//! raised `sys.unraisablehook` gets it.
//!
//! What a panic leaves behind is not poisoned: an [`crate::native::cell::AttachedCell`] has no flag, and the rule for the code
//! inside `with` (nothing there calls out) leaves little that could panic half-way.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::interpreter::fresh;
use crate::interpreter::pending::Pending;

/// The error by which Python learns of a panic.
#[cold]
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    fresh::error::<PyRuntimeError>(format!("a bug in ouroloop: panic: {text}"))
}

/// Runs what can raise.
///
/// # Errors
/// `RuntimeError` for a panic.
#[inline]
pub(crate) fn contained<R>(body: impl FnOnce() -> R) -> PyResult<R> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| panicked(&*panic))
}

/// [`contained`], for what can raise by itself.
///
/// # Errors
/// Those of the body, and `RuntimeError` for a panic.
#[inline]
pub(crate) fn contained_result<R>(body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    contained(body).and_then(|answer| answer)
}

/// Runs what cannot raise, and may be called while an exception is on its way.
#[inline]
pub(crate) fn contained_unraisable(py: Python<'_>, body: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
        let _pending = Pending::put_aside(py);
        panicked(&*panic).write_unraisable(py, None);
    }
}

/// Runs what neither raises nor knows of Python; a panic is answered by `instead`.
#[inline]
pub(crate) fn contained_natively<R>(instead: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(instead)
}

/// The error as an object: one that native code has made is none until somebody looks at it.
///
/// PyO3 makes the object in a stretch without the interpreter's lock, and asks for that again, which it
/// refuses when the interpreter ends. Here the interpreter makes it.
#[inline]
pub(crate) fn settled(py: Python<'_>, error: PyErr) -> PyErr {
    let _pending = Pending::put_aside(py);
    error.restore(py);
    PyErr::fetch(py)
}
