//! `bytes` objects: filled before anybody sees them, and kept until they are sent.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// No read is larger than this, as under asyncio.
pub(crate) const LARGEST_READ: usize = 256 * 1024;

/// From this size on, the copy out of the loop's own buffer costs more than fresh room.
pub(crate) const LARGE_READ: usize = 20 * 1024;

/// Has the C library keep memory of a read's size instead of giving it back to the kernel.
///
/// glibc maps large blocks one by one, and a block that is cut to size and freed is unmapped, so
/// that each read would pay for fresh pages. Its threshold for that rises to the size of the
/// largest mapped block that was ever freed: one such block is freed here.
pub(crate) fn keep_read_memory() {
    let block: Vec<u8> = Vec::with_capacity(2 * LARGEST_READ);
    drop(std::hint::black_box(block));
}

unsafe extern "C" {
    /// Documented in the C API of `bytes`, although its name looks private.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, length: ffi::Py_ssize_t) -> c_int;
}

/// Room for bytes that are about to be read, which becomes a `bytes` object without a copy.
pub(crate) struct Room<'py> {
    /// The only reference to it.
    bytes: Bound<'py, PyBytes>,
    length: usize,
}

impl<'py> Room<'py> {
    /// Room for `length` bytes, of any content.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn new(py: Python<'py>, length: usize) -> PyResult<Self> {
        let wanted = ffi::Py_ssize_t::try_from(length).unwrap_or(ffi::Py_ssize_t::MAX);
        // SAFETY: attached; answers a new `bytes` object or NULL with an error set.
        let bytes = unsafe {
            let bytes = ffi::PyBytes_FromStringAndSize(std::ptr::null(), wanted);
            Bound::from_owned_ptr_or_err(py, bytes)?.cast_into_unchecked()
        };
        Ok(Self { bytes, length })
    }

    /// The room, to be written to.
    pub(crate) fn content(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the object is of this size and known to nobody else until it is finished.
        unsafe {
            let start = ffi::PyBytes_AsString(self.bytes.as_ptr()).cast();
            std::slice::from_raw_parts_mut(start, self.length)
        }
    }

    /// The first `length` bytes, all of which were written, as an object of that size.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn finish(self, length: usize) -> PyResult<Bound<'py, PyBytes>> {
        if length >= self.length {
            return Ok(self.bytes);
        }
        let py = self.bytes.py();
        let mut bytes = self.bytes.into_ptr();
        let wanted = ffi::Py_ssize_t::try_from(length).unwrap_or(ffi::Py_ssize_t::MAX);
        // SAFETY: `bytes` is the only reference. The call moves the object and keeps it the only
        // one, or frees it, sets an error and leaves NULL.
        unsafe {
            _PyBytes_Resize(&raw mut bytes, wanted);
            Ok(Bound::from_owned_ptr_or_err(py, bytes)?.cast_into_unchecked())
        }
    }
}

/// A piece of the write queue: a `bytes` object that is alive as long as its address is used.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// It keeps what `start` points to alive.
    owner: Py<PyBytes>,
    start: NonNull<u8>,
    length: usize,
}

impl Chunk {
    pub(crate) fn new(bytes: &Bound<'_, PyBytes>) -> Self {
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
