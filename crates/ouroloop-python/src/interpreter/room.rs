//! What grows with what a program or a peer does grows fallibly.
//!
//! Rust's collections abort the process when there is no memory; Python raises `MemoryError`. So
//! whoever puts something into a collection that others can make grow does it by [`Grow::grow`], or
//! asks for room before anything has changed. A refused value comes back: it is to be dropped where
//! Python code may run.
//!
//! [`AttachedCell`](crate::native::cell::AttachedCell) is lent meanwhile without harm: Rust's allocator runs no
//! Python code.

use std::alloc::{Layout, alloc};
use std::collections::{TryReserveError, VecDeque};

use pyo3::ffi;
use pyo3::prelude::*;

/// The `MemoryError` that the interpreter keeps for when there is no memory.
#[cold]
#[inline(never)]
pub(crate) fn no_memory(py: Python<'_>) -> PyErr {
    // SAFETY: attached; the call sets an error.
    unsafe {
        ffi::PyErr_NoMemory();
    }
    PyErr::fetch(py)
}

/// A collection that may find no memory.
pub(crate) trait Grow<T> {
    /// Puts a value at the end, or gives it back.
    fn grow(&mut self, value: T) -> Result<(), T>;
}

impl<T> Grow<T> for Vec<T> {
    #[inline]
    fn grow(&mut self, value: T) -> Result<(), T> {
        if self.len() == self.capacity() && !make_room(|| self.try_reserve(1)) {
            return Err(value);
        }
        self.push(value);
        Ok(())
    }
}

impl<T> Grow<T> for VecDeque<T> {
    #[inline]
    fn grow(&mut self, value: T) -> Result<(), T> {
        if self.len() == self.capacity() && !make_room(|| self.try_reserve(1)) {
            return Err(value);
        }
        self.push_back(value);
        Ok(())
    }
}

/// Rare, and kept apart, so that what is put where there is room is a store.
#[cold]
fn make_room(reserve: impl FnOnce() -> Result<(), TryReserveError>) -> bool {
    reserve().is_ok()
}

/// An empty vector with room for so many.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn vector<T>(py: Python<'_>, capacity: usize) -> PyResult<Vec<T>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(capacity).map_err(|_| no_memory(py))?;
    Ok(vector)
}

/// What `items` gives, such as copies of what is in a cell; without memory nothing is taken from it.
///
/// # Errors
/// That there is no memory, as what can be answered while a cell is lent.
pub(crate) fn copies<T>(
    items: impl ExactSizeIterator<Item = T>,
) -> Result<Vec<T>, TryReserveError> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(items.len())?;
    vector.extend(items);
    Ok(vector)
}

/// What an iterator of Python's gives, however many there are.
///
/// # Errors
/// Those of the iterator; `MemoryError`.
pub(crate) fn gathered<T>(
    py: Python<'_>,
    items: impl IntoIterator<Item = PyResult<T>>,
) -> PyResult<Vec<T>> {
    let mut vector = Vec::new();
    for item in items {
        taken(py, vector.grow(item?))?;
    }
    Ok(vector)
}

/// A box, or the value back.
pub(crate) fn boxed<T>(value: T) -> Result<Box<T>, T> {
    const { assert!(size_of::<T>() > 0) };
    // SAFETY: the layout is not empty.
    let place = unsafe { alloc(Layout::new::<T>()) }.cast::<T>();
    if place.is_null() {
        return Err(value);
    }
    // SAFETY: a box is memory of this allocator and layout, with a value in it.
    unsafe {
        place.write(value);
        Ok(Box::from_raw(place))
    }
}

/// Answers for a value that may have been refused, which is dropped here.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn taken<T>(py: Python<'_>, answer: Result<(), T>) -> PyResult<()> {
    match answer {
        Ok(()) => Ok(()),
        Err(refused) => {
            drop(refused);
            Err(no_memory(py))
        }
    }
}
