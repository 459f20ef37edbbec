//! Long chains of objects are taken apart one after the other, not one inside the other.
//!
//! An object whose last reference goes drops what it holds, and that may be the last reference to
//! the next one: a hundred thousand tasks of which each awaits the one before would need as many
//! nested calls. The interpreter has a trashcan for its own types; this is ours.
//!
//! 1. It counts how many of our objects are taken apart at the moment, one inside the other.
//! 2. At [`DEEPEST`] an object waits in the list instead: its count is zero, its finalizer has
//!    run, the garbage collector does not track it, and nobody owns it but the list.
//!    Without memory for that it is taken apart inside after all.
//! 3. The outermost call empties the list before it returns. (When threads alternate in the middle
//!    of finalizers, that is the last of the outermost.)

use pyo3::ffi;
use pyo3::prelude::*;

use crate::cell::AttachedCell;
use crate::room::Grow;

/// So many objects are taken apart one inside the other, as many as by the interpreter.
const DEEPEST: u32 = 50;

/// Takes an object apart and gives its memory back.
pub(crate) type TakeApart = unsafe fn(*mut ffi::PyObject);

static DEPTH: AttachedCell<u32> = AttachedCell::new(0);
static WAITING: AttachedCell<Vec<(*mut ffi::PyObject, TakeApart)>> = AttachedCell::new(Vec::new());

/// Takes `object` apart, now or before the outermost call returns.
///
/// # Safety
/// To be called from `tp_dealloc`, with an object that its finalizer and the garbage collector
/// have done with; `take_apart` must fit its class.
#[inline]
pub(crate) unsafe fn take_apart_or_put_off(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    take_apart: TakeApart,
) {
    let enters = DEPTH.with(py, |depth| {
        let enters = *depth < DEEPEST;
        *depth += u32::from(enters);
        enters
    });
    if !enters {
        if WAITING.with(py, |waiting| waiting.grow((object, take_apart))).is_err() {
            // No memory for the list: one inside the other after all.
            // SAFETY: the caller's promise.
            unsafe { take_apart(object) };
        }
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { take_apart(object) };
    let outermost = DEPTH.with(py, |depth| *depth == 1);
    if outermost && WAITING.with(py, |waiting| !waiting.is_empty()) {
        // SAFETY: for each object that waits, as above.
        unsafe { empty(py) };
    }
    DEPTH.with(py, |depth| *depth -= 1);
}

/// # Safety
/// The objects that wait and their functions fit.
#[cold]
unsafe fn empty(py: Python<'_>) {
    loop {
        // Nothing is lent during the calls: they put off more.
        let waiting = WAITING.with(py, std::mem::take);
        if waiting.is_empty() {
            return;
        }
        for (object, take_apart) in waiting {
            // SAFETY: rule 2; the object came with the function that fits its class.
            unsafe { take_apart(object) };
        }
    }
}
