//! What leaves the loop instead of being told to its exception handler: `SystemExit` and `KeyboardInterrupt`.

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::prelude::*;

/// Whether an error leaves the loop.
#[inline]
pub(crate) fn leaves_loop(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}

/// As [`leaves_loop`], of an exception; no other object does.
#[inline]
pub(crate) fn exception_leaves_loop(exception: &Bound<'_, PyAny>) -> bool {
    exception.is_instance_of::<PySystemExit>() || exception.is_instance_of::<PyKeyboardInterrupt>()
}
