//! Long chains of objects are taken apart one after the other, not one inside the other.
//!
//! An object whose last reference goes drops what it holds, and that may be the last reference to
//! the next one: a hundred thousand tasks of which each awaits the one before would need as many
//! nested calls. The interpreter has a trashcan for its own types; this is ours.
//!
//! 1. It counts how many of our objects are finalized or taken apart at the moment, one inside the
//!    other.
//! 2. At [`DEEPEST`], or where the stack has no room for another, an object waits in the list
//!    instead: its count is zero, the garbage collector does not track it, and nobody owns it
//!    but the list. What it has to say it says when its turn comes. Without memory for that it is
//!    taken apart inside after all.
//! 3. The outermost call empties the list before it returns. (When threads alternate in the middle
//!    of finalizers, that is the last of the outermost.)
//! 4. The outermost itself never waits: nobody would come for it.

use pyo3::ffi;
use pyo3::prelude::*;

use crate::cell::AttachedCell;
use crate::recursion::has_room;
use crate::room::Grow;

/// So many objects are taken apart one inside the other, as many as by the interpreter.
const DEEPEST: u32 = 50;

/// So many need no look at the stack: each takes a few hundred bytes of it.
const SHALLOW: u32 = 8;

/// Takes an object apart and gives its memory back, after its finalizer if that has not run.
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
    // SAFETY: the caller's promise.
    unsafe { enter_or_put_off(py, object, take_apart, SHALLOW) };
}

/// The same for an object whose finalizer runs first, and may go to any depth.
///
/// # Safety
/// That of [`take_apart_or_put_off`], except that the finalizer is called by `finish`.
pub(crate) unsafe fn finish_or_put_off(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    finish: TakeApart,
) {
    // SAFETY: the caller's promise.
    unsafe { enter_or_put_off(py, object, finish, 1) };
}

/// # Safety
/// That of the callers.
#[inline]
unsafe fn enter_or_put_off(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    take_apart: TakeApart,
    shallow: u32,
) {
    let enters = DEPTH.with(py, |depth| {
        let enters = *depth < shallow || may_enter(*depth);
        *depth += u32::from(enters);
        enters
    });
    if !enters {
        // SAFETY: the caller's promise.
        return unsafe { put_off(py, object, take_apart) };
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

#[cold]
fn may_enter(depth: u32) -> bool {
    depth < DEEPEST && has_room()
}

/// # Safety
/// That of [`take_apart_or_put_off`].
#[cold]
unsafe fn put_off(py: Python<'_>, object: *mut ffi::PyObject, take_apart: TakeApart) {
    if WAITING.with(py, |waiting| waiting.grow((object, take_apart))).is_err() {
        // No memory for the list: one inside the other after all.
        // SAFETY: the caller's promise.
        unsafe { take_apart(object) };
    }
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
