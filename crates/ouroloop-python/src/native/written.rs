//! Objects that are taken apart before their Rust value was written.
//!
//! Before 3.13, `object.__new__` makes the dictionary of a new object, or its attributes' place, and drops
//! the object when there is no memory for it. PyO3 writes the Rust value after that. Such an object is all
//! zero, as its memory was allocated.
//!
//! A value that is all zero owns nothing, whoever wrote it: no reference and no allocation is at address
//! zero, and no class keeps a bare descriptor. So the two need not be told apart: no value is dropped.
//! But behind the value are places for the dictionary and the list of weak references, which the object may
//! have got since: these are let go.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{PyClass, Python};

/// Whether there is something to drop in the object, from its head to the end of the value of `T`.
#[inline]
pub(crate) fn is_written<T: PyClass<Frozen = True> + Sync>(object: &Bound<'_, T>) -> bool {
    let start = object.as_ptr().wrapping_add(1).cast::<usize>();
    let end = std::ptr::from_ref(object.get()).wrapping_add(1).addr();
    let words = (end - start.addr()) / size_of::<usize>();
    // SAFETY: the words lie in the object's memory, which is aligned for them and was zeroed by its allocator;
    // the reads are volatile, so that nothing is concluded from what a value leaves open.
    (0..words).any(|place| unsafe { start.add(place).read_volatile() } != 0)
}

/// Gives back the memory of an object that is not written, and what lies behind its value.
///
/// # Safety
/// To be called attached from `tp_dealloc`, with an object for which [`is_written`] says no.
#[cold]
pub(crate) unsafe fn give_back<T: PyClass>(py: Python<'_>, object: *mut ffi::PyObject) {
    let native = T::type_object_raw(py);
    // SAFETY: the caller's promise. The places that `T` has in its objects are those of the interpreter's
    // documentation, null until they are used; what a class derived in Python has let go is null again.
    // An instance of a heap type owns a reference to it.
    unsafe {
        let class = ffi::Py_TYPE(object);
        if ffi::PyType_IS_GC(class) != 0 {
            ffi::PyObject_GC_UnTrack(object.cast());
        }
        if (*native).tp_weaklistoffset > 0 {
            ffi::PyObject_ClearWeakRefs(object);
        }
        if (*native).tp_dictoffset > 0 {
            ffi::Py_CLEAR(object.byte_offset((*native).tp_dictoffset).cast());
        }
        if let Some(free) = (*class).tp_free {
            free(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}
