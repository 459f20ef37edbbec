//! Another reference to an object that may not be there.

use pyo3::prelude::*;

/// [`Py::clone_ref`] of what a `Py` may be missing from.
pub(crate) trait CloneRef {
    /// Another reference to the same object, if there is one.
    fn clone_ref(&self, py: Python<'_>) -> Self;
}

impl<T> CloneRef for Option<Py<T>> {
    #[inline]
    fn clone_ref(&self, py: Python<'_>) -> Self {
        self.as_ref().map(|object| object.clone_ref(py))
    }
}
