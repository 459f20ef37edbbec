//! Panics stay inside: what the interpreter or OpenSSL calls answers in every case.
//!
//! A panic that leaves an `extern "C"` function ends the process. Each function of this crate that is put
//! into a slot or a table of C functions therefore has its body run here. PyO3 does the same for the
//! methods that it generates, by its `PanicException`; ours becomes a `RuntimeError` that says it
//! is a bug, so that a loop that meets it in one callback goes on with the next. Where nothing can be
//! raised `sys.unraisablehook` gets it.
//!
//! What a panic leaves behind is not poisoned: an [`crate::cell::AttachedCell`] has no flag, and the rule for the code
//! inside `with` (nothing there calls out) leaves little that could panic half-way.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

/// The error by which Python learns of a panic.
#[cold]
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    PyRuntimeError::new_err(format!("a bug in ouroloop: panic: {text}"))
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

/// The exception that is on its way while a finalizer runs: put aside, and back when this is dropped.
///
/// Not by `PyErr::take`, which resumes a panic when it finds one that has become an exception.
pub(crate) struct Pending<'py> {
    #[cfg(Py_3_12)]
    exception: *mut ffi::PyObject,
    #[cfg(not(Py_3_12))]
    parts: [*mut ffi::PyObject; 3],
    _py: Python<'py>,
}

impl fmt::Debug for Pending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}

impl<'py> Pending<'py> {
    #[inline]
    pub(crate) fn put_aside(py: Python<'py>) -> Self {
        #[cfg(Py_3_12)]
        // SAFETY: attached; the reference, if there is one, is owned from here on.
        return Self { exception: unsafe { ffi::PyErr_GetRaisedException() }, _py: py };
        #[cfg(not(Py_3_12))]
        {
            let mut parts = [std::ptr::null_mut(); 3];
            let [kind, value, traceback] = &mut parts;
            // SAFETY: attached; the references that there are are owned from here on.
            unsafe { ffi::PyErr_Fetch(kind, value, traceback) };
            Self { parts, _py: py }
        }
    }
}

impl Drop for Pending<'_> {
    #[inline]
    fn drop(&mut self) {
        // An error that was raised meanwhile has been given to the unraisable hook, or would be lost
        // with the finalizer.
        #[cfg(Py_3_12)]
        if !self.exception.is_null() {
            // SAFETY: attached, as when it was made; the call takes over what is owned.
            unsafe { ffi::PyErr_SetRaisedException(self.exception) };
        }
        #[cfg(not(Py_3_12))]
        if !self.parts[0].is_null() {
            let [kind, value, traceback] = self.parts;
            // SAFETY: as above.
            unsafe { ffi::PyErr_Restore(kind, value, traceback) };
        }
    }
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
