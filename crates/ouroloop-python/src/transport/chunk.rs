//! What a program writes, on its way into a write queue.

use std::ptr::NonNull;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use crate::interpreter::fresh::{self, Text};

/// A piece of a write queue: a `bytes` object that is alive as long as its address is used.
///
/// Never one of a subclass: it is dropped while the queue's state is lent, and the end of a plain
/// one runs no Python code.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// It keeps what `start` points to alive.
    owner: Py<PyBytes>,
    start: NonNull<u8>,
    length: usize,
}

impl Chunk {
    pub(crate) fn new(bytes: &Bound<'_, PyBytes>) -> Self {
        debug_assert!(bytes.is_exact_instance_of::<PyBytes>(), "its end may run Python code");
        let content = bytes.as_bytes();
        Self {
            start: NonNull::from(content).cast(),
            length: content.len(),
            owner: bytes.clone().unbind(),
        }
    }

    /// The `bytes` object.
    pub(crate) fn object<'py>(&self, py: Python<'py>) -> &Bound<'py, PyBytes> {
        self.owner.bind(py)
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `bytes` objects never change or move, and `owner` keeps this one alive.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

/// Whether it is one of the kinds of objects that transports write.
pub(crate) fn is_bytes_like(data: &Bound<'_, PyAny>) -> bool {
    data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>()
}

/// The bytes of `data` from `start` on; its owner may change it after this.
pub(crate) fn copy_from<'py>(
    data: &Bound<'py, PyAny>,
    start: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = data.py();
    let view = PyMemoryView::from(data)?;
    let view = view.call_method1(intern!(py, "cast"), (Text("B"),)).or_else(|_| {
        let flat = view.call_method0(intern!(py, "tobytes"))?;
        PyMemoryView::from(&flat).map(Bound::into_any)
    })?;
    let rest = view.get_item(fresh::slice(py, start, None)?)?;
    Ok(rest.call_method0(intern!(py, "tobytes"))?.cast_into()?)
}
