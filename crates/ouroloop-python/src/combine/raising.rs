//! Raising exception objects as a `raise` statement does.

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;

/// `raise exception`, while whatever the caller handles becomes its context.
pub(super) fn raise(exception: &Bound<'_, PyAny>) -> PyErr {
    // SAFETY: attached; both objects are alive, and anything but an exception is refused with an
    // error of the interpreter's own.
    unsafe { ffi::PyErr_SetObject(exception.get_type().as_ptr(), exception.as_ptr()) };
    PyErr::fetch(exception.py())
}

/// `raise exception from None`.
pub(super) fn raise_from_none(exception: &Bound<'_, PyBaseException>) -> PyErr {
    // SAFETY: attached, and it is an exception; no cause hides the context, too.
    unsafe { ffi::PyException_SetCause(exception.as_ptr(), std::ptr::null_mut()) };
    raise(exception.as_any())
}
