//! Objects that are made and dropped all the time are kept on a shelf instead of being freed.
//!
//! 1. An object on a shelf has a count of zero, is not tracked by the garbage collector and holds
//!    no reference: its Rust value is the *blank* one, initialised and alive.
//! 2. Only objects of exactly the class go there; one of a subclass is freed as usual. So is one
//!    whose finalizer has run, because the interpreter would not run it again.
//! 3. [`take`] gives an object a count of one; the caller fills it in and only then has [`track`]
//!    show it to the garbage collector.
//! 4. [`Shelved::blank`] drops with [`Py::drop_ref`]: outside of PyO3's own calls, and `tp_dealloc`
//!    may be one, a plain drop of a `Py` is put off until the next one.
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::interpreter::tricks;
use crate::native::cell::AttachedCell;
use crate::native::slots::Deallocate;

/// The kept objects of one class.
#[derive(Debug)]
pub(crate) struct Shelf {
    objects: AttachedCell<Vec<NonNull<ffi::PyObject>>>,
}

impl Shelf {
    pub(crate) const fn new() -> Self {
        Self { objects: AttachedCell::new(Vec::new()) }
    }

    /// Whether there is room for one more.
    #[inline]
    fn has_room(&self, py: Python<'_>, capacity: usize) -> bool {
        self.objects
            .with(py, |objects| objects.len() < objects.capacity() || make_room(objects, capacity))
    }
}

/// Makes all the room that a shelf will have, before its first object; there is none if tricks are off.
#[cold]
fn make_room(objects: &mut Vec<NonNull<ffi::PyObject>>, capacity: usize) -> bool {
    objects.capacity() == 0 && !tricks::are_off() && objects.try_reserve_exact(capacity).is_ok()
}

/// In an implementation of [`Shelved`]: the shelf of this class.
macro_rules! has_shelf {
    () => {
        fn shelf() -> &'static $crate::native::shelf::Shelf {
            static SHELF: $crate::native::shelf::Shelf = $crate::native::shelf::Shelf::new();
            &SHELF
        }
    };
}

/// A class whose objects are kept on a shelf.
pub(crate) trait Shelved: Deallocate {
    /// No more objects than this are kept.
    const CAPACITY: usize = 2048;

    /// Where they are kept; `has_shelf!()` makes it.
    fn shelf() -> &'static Shelf;
    /// Drops every reference that the object holds at once (rule 4), leaving the blank value.
    fn blank(slf: &Bound<'_, Self>);
}

/// A blank object, not tracked yet; `None` when the shelf is empty.
#[inline]
pub(crate) fn take<T: Shelved>(py: Python<'_>) -> Option<Bound<'_, T>> {
    // Empty all the time if tricks are off.
    let object = T::shelf().objects.with(py, Vec::pop)?.as_ptr();
    // SAFETY: by rule 1 this is a complete object that nobody else knows; it becomes a new
    // reference of exactly class `T` (rule 2).
    unsafe {
        ffi::PyObject_Init(object, T::type_object_raw(py));
        Some(Bound::from_owned_ptr(py, object).cast_into_unchecked())
    }
}

/// Shows an object from the shelf to the garbage collector, once it is filled in.
#[inline]
pub(crate) fn track<T: Shelved>(object: &Bound<'_, T>) {
    // SAFETY: attached; the object is complete and, by rule 3, not tracked yet.
    unsafe { ffi::PyObject_GC_Track(object.as_ptr().cast()) };
}

/// Hides an object that is not from the shelf from the garbage collector: it refers to nothing yet.
pub(crate) fn untrack<T: Shelved>(object: &Bound<'_, T>) {
    // SAFETY: attached; the object is alive.
    unsafe { ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) };
}

/// Shows an object to the garbage collector, which may know it already.
#[inline]
pub(crate) fn track_again<T>(object: &Bound<'_, T>) {
    // SAFETY: attached; the object is complete, and of a type that the collector knows.
    unsafe {
        if ffi::PyObject_GC_IsTracked(object.as_ptr()) == 0 {
            ffi::PyObject_GC_Track(object.as_ptr().cast());
        }
    }
}

/// Whether there are weak references to the object.
#[inline]
pub(crate) fn has_weak_references(object: &Bound<'_, PyAny>) -> bool {
    let pointer = object.as_ptr();
    // SAFETY: the offset is that of a pointer inside the object.
    unsafe {
        let offset = (*ffi::Py_TYPE(pointer)).tp_weaklistoffset;
        offset > 0 && !(*pointer.byte_offset(offset).cast::<*mut ffi::PyObject>()).is_null()
    }
}

/// Puts an object whose count is zero on its shelf; answers whether it did.
///
/// # Safety
/// To be called from `tp_dealloc`, after the finalizer, with an object that the garbage collector
/// does not track any more.
#[inline]
pub(crate) unsafe fn put<T: Shelved>(object: &Bound<'_, T>) -> bool {
    let py = object.py();
    let pointer = object.as_ptr();
    let class = T::type_object_raw(py);
    // SAFETY: attached; the object is complete.
    let keep = unsafe {
        ffi::Py_TYPE(pointer) == class
            && ffi::PyObject_GC_IsFinalized(pointer) == 0
            && T::shelf().has_room(py, T::CAPACITY)
    };
    if !keep {
        return false;
    }
    if has_weak_references(object.as_any()) {
        // SAFETY: attached; weak references go before what they could be used to reach.
        unsafe { ffi::PyObject_ClearWeakRefs(pointer) };
    }
    T::blank(object);
    if !T::shelf().has_room(py, T::CAPACITY) {
        // What the object held has filled the shelf meanwhile.
        return false;
    }
    // SAFETY: every instance of a heap type owns a reference to it; `take` makes a new one.
    unsafe { ffi::Py_DECREF(class.cast()) };
    let object = NonNull::new(pointer).expect("a reference is not null");
    T::shelf().objects.with(py, |objects| objects.push(object));
    true
}
