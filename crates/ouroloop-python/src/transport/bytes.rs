//! Reading into `bytes` objects, which are filled before anybody sees them.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use ouroloop::net::Received;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::interpreter::fresh;
use crate::interpreter::room::no_memory;
use crate::turn::{Loop, SCRATCH_BYTES};

/// No read is larger than this, as under asyncio.
pub(crate) const LARGEST_READ: usize = 256 * 1024;

/// As much free memory may stay with the process: pieces of 64 KiB for 250 connections.
const KEPT_MEMORY: usize = 16 * 1024 * 1024;

/// From this size on, the copy out of the loop's own buffer costs more than fresh room.
pub(crate) const LARGE_READ: usize = 20 * 1024;

/// One read into a `bytes` object of the right size, no larger than `most` or [`SCRATCH_BYTES`]; an error
/// is a read that brought nothing.
///
/// A read of usual size goes through the loop's own buffer. One that is `expected` to be large,
/// as the last one was, goes straight into a `bytes`, which is cut to size after.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn read<'py>(
    event_loop: &Bound<'py, Loop>,
    expected: usize,
    most: usize,
    receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> Received,
) -> PyResult<Result<Bound<'py, PyBytes>, Received>> {
    let py = event_loop.py();
    if expected > LARGE_READ {
        let room = if expected < SCRATCH_BYTES / 2 { SCRATCH_BYTES } else { LARGEST_READ };
        let mut room = Room::new(py, room.min(most))?;
        return match receive(room.content()) {
            Received::Data(length) => room.finish(length).map(Ok),
            nothing => Ok(Err(nothing)),
        };
    }
    let mut scratch = Scratch::borrow(event_loop)?;
    match receive(&mut scratch.room()[..most.max(SCRATCH_BYTES)]) {
        // SAFETY: every caller reads by the engine, which initialises as many bytes as it answers.
        Received::Data(length) => fresh::bytes(py, unsafe { scratch.filled(length) }).map(Ok),
        nothing => Ok(Err(nothing)),
    }
}

/// What came of one read, in one piece or two.
pub(crate) type Pair<'py> = (Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

/// One read into two `bytes` objects of up to `size` each: the second has what does not fit into the first.
/// An error is a read that brought nothing.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn read_pair(
    py: Python<'_>,
    size: usize,
    receive: impl FnOnce(&mut [MaybeUninit<u8>], &mut [MaybeUninit<u8>]) -> Received,
) -> PyResult<Result<Pair<'_>, Received>> {
    let (mut first, mut second) = (Room::new(py, size)?, Room::new(py, size)?);
    let length = match receive(first.content(), second.content()) {
        Received::Data(length) => length,
        nothing => return Ok(Err(nothing)),
    };
    let rest = length.saturating_sub(size);
    let second = if rest > 0 { Some(second.finish(rest)?) } else { None };
    Ok(Ok((first.finish(length.min(size))?, second)))
}

/// The loop's own buffer, borrowed for one read; who needs it meanwhile gets another. It has room for
/// the largest: what a peer has sent comes in as many pieces as under asyncio.
pub(crate) struct Scratch<'a, 'py> {
    event_loop: &'a Bound<'py, Loop>,
    memory: Vec<u8>,
}

impl<'a, 'py> Scratch<'a, 'py> {
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn borrow(event_loop: &'a Bound<'py, Loop>) -> PyResult<Self> {
        let py = event_loop.py();
        let mut memory = event_loop.get().scratch.replace(py, Vec::new());
        memory.clear();
        memory.try_reserve(LARGEST_READ).map_err(|_| no_memory(py))?;
        Ok(Self { event_loop, memory })
    }

    /// Where to read to.
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        &mut self.memory.spare_capacity_mut()[..LARGEST_READ]
    }

    /// What was read.
    ///
    /// # Safety
    /// The first `length` bytes of [`Scratch::room`] must have been written.
    pub(crate) unsafe fn filled(&mut self, length: usize) -> &[u8] {
        // SAFETY: the caller's promise; the room begins at the start of the vector, which is empty.
        unsafe { self.memory.set_len(length) };
        &self.memory
    }
}

impl Drop for Scratch<'_, '_> {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        drop(self.event_loop.get().scratch.replace(self.event_loop.py(), memory));
    }
}

/// Has the C library keep memory of a turn's reads instead of giving it back to the kernel.
///
/// glibc maps large blocks one by one, and a block that is cut to size and freed is unmapped; of
/// what is not mapped it gives back what is free at the heap's end. Either way each read would pay
/// for fresh pages, and where tasks take what was read every turn for all connections together.
/// Both thresholds rise with the size of the largest mapped block that was ever freed, the second
/// to twice that: one such block is freed here, untouched.
pub(crate) fn keep_read_memory() {
    let mut block: Vec<u8> = Vec::new();
    // Without memory there is nothing to keep.
    if block.try_reserve_exact(KEPT_MEMORY / 2).is_ok() {
        drop(std::hint::black_box(block));
    }
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
