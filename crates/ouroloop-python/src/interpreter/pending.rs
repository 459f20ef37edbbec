//! The exception that is on its way while something else runs.

use std::fmt;

use pyo3::ffi;
use pyo3::prelude::*;

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
