//! The three classes of queues, as objects.

use std::sync::OnceLock;

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;

use super::state::State;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict;
use crate::native::slots::Deallocate;
use crate::waiting::Binding;

/// A native `asyncio.Queue`.
#[pyclass(frozen, subclass, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Queue {
    pub(super) state: AttachedCell<State>,
    pub(super) binding: Binding,
}

/// A native `asyncio.PriorityQueue`: gives the least item first.
#[pyclass(frozen, subclass, extends = Queue, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct PriorityQueue;

/// A native `asyncio.LifoQueue`: gives the item first that was put in last.
#[pyclass(frozen, subclass, extends = Queue, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct LifoQueue;

/// How far behind the beginning of its object a queue's Rust value lies.
static VALUE_OFFSET: OnceLock<usize> = OnceLock::new();

impl Queue {
    pub(super) const fn new() -> Self {
        Self { state: AttachedCell::new(State::new()), binding: Binding::new() }
    }

    /// The object of which this is the value.
    pub(super) fn object(&self) -> *mut ffi::PyObject {
        let offset = VALUE_OFFSET.get().copied().unwrap_or_default();
        std::ptr::from_ref(self).wrapping_byte_sub(offset).cast::<ffi::PyObject>().cast_mut()
    }
}

/// Drops the dictionary of a queue that is taken apart.
///
/// # Safety
/// As for [`Deallocate::strip`].
unsafe fn strip<T: PyClass>(slf: &Bound<'_, T>) {
    // SAFETY: queues have a dictionary.
    if let Some(dict) = unsafe { instance_dict::take(slf.as_ptr()) } {
        dict.drop_ref(slf.py());
    }
}

impl Deallocate for Queue {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: the caller's promise is the same.
        unsafe { strip(slf) }
    }
}

impl Deallocate for PriorityQueue {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: the caller's promise is the same.
        unsafe { strip(slf) }
    }
}

impl Deallocate for LifoQueue {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: the caller's promise is the same.
        unsafe { strip(slf) }
    }
}

#[inline]
pub(super) fn is_shut_down(slf: &Bound<'_, Queue>) -> bool {
    slf.get().state.with(slf.py(), |state| state.shut_down)
}

/// `_queue`, as a method in Python finds it.
#[inline]
pub(super) fn items_of<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    slf.getattr(intern!(slf.py(), "_queue"))
}

/// Finds out how a queue lies in its object.
///
/// # Errors
/// `MemoryError`.
pub(super) fn measure(py: Python<'_>) -> PyResult<()> {
    let example = Bound::new(py, Queue::new())?;
    let (start, value) = (example.as_ptr().addr(), std::ptr::from_ref(example.get()).addr());
    VALUE_OFFSET.get_or_init(|| value - start);
    Ok(())
}
