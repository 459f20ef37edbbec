//! Long chains of objects are taken apart one after the other, not one inside the other.
//!
//! An object whose last reference goes drops what it holds, and that may be the last reference to
//! the next one: a hundred thousand tasks of which each awaits the one before would need as many
//! nested calls. The interpreter has a trashcan for its own types; this is ours.
//!
//! 1. It counts how many of our objects a thread finalizes or takes apart at the moment, one inside
//!    the other. What other threads do is theirs: one may stay in a finalizer for good, or be missing
//!    in a forked child.
//! 2. At [`DEEPEST`], or where the stack has no room for another, an object waits in the list
//!    instead: its count is zero, the garbage collector does not track it, and nobody owns it
//!    but the list. What it has to say it says when its turn comes. Without memory for that it is
//!    taken apart inside after all.
//! 3. The thread's outermost call empties its list before it returns.
//! 4. The outermost itself never waits: nobody would come for it.

use std::cell::Cell;

use pyo3::ffi;

use crate::interpreter::recursion::has_room;
use crate::interpreter::room::Grow;

/// So many objects are taken apart one inside the other, as many as by the interpreter.
const DEEPEST: u32 = 50;

/// So many need no look at the stack: each takes a few hundred bytes of it.
const SHALLOW: u32 = 8;

/// Takes an object apart and gives its memory back, after its finalizer if that has not run.
pub(crate) type TakeApart = unsafe fn(*mut ffi::PyObject);

/// What a thread is in the middle of.
#[derive(Clone, Copy)]
struct Nesting {
    depth: u32,
    /// Whether anything is in the list.
    some_wait: bool,
}

thread_local! {
    static NESTING: Cell<Nesting> = const { Cell::new(Nesting { depth: 0, some_wait: false }) };
    static WAITING: Cell<Vec<(*mut ffi::PyObject, TakeApart)>> = const { Cell::new(Vec::new()) };
}

/// Takes `object` apart, now or before the outermost call returns.
///
/// # Safety
/// To be called from `tp_dealloc`, with an object that its finalizer and the garbage collector
/// have done with; `take_apart` must fit its class.
#[inline]
pub(crate) unsafe fn take_apart_or_put_off(object: *mut ffi::PyObject, take_apart: TakeApart) {
    // SAFETY: the caller's promise.
    unsafe { enter_or_put_off(object, take_apart, SHALLOW) };
}

/// The same for an object whose finalizer runs first, and may go to any depth.
///
/// # Safety
/// That of [`take_apart_or_put_off`], except that the finalizer is called by `finish`.
pub(crate) unsafe fn finish_or_put_off(object: *mut ffi::PyObject, finish: TakeApart) {
    // SAFETY: the caller's promise.
    unsafe { enter_or_put_off(object, finish, 1) };
}

/// # Safety
/// That of the callers.
#[inline]
unsafe fn enter_or_put_off(object: *mut ffi::PyObject, take_apart: TakeApart, shallow: u32) {
    NESTING.with(|nesting| {
        let before = nesting.get();
        if before.depth >= shallow && !may_enter(before.depth) {
            // SAFETY: the caller's promise.
            return unsafe { put_off(nesting, object, take_apart) };
        }
        nesting.set(Nesting { depth: before.depth + 1, ..before });
        // SAFETY: the caller's promise.
        unsafe { take_apart(object) };
        let after = nesting.get();
        if after.some_wait && after.depth == 1 {
            // SAFETY: for each object that waits, as above.
            unsafe { empty(nesting) };
        }
        // Not what it was before: who switches stacks (greenlets) may leave in another order than it entered.
        let after = nesting.get();
        nesting.set(Nesting { depth: after.depth - 1, ..after });
    });
}

#[cold]
fn may_enter(depth: u32) -> bool {
    depth < DEEPEST && has_room()
}

/// # Safety
/// That of [`take_apart_or_put_off`].
#[cold]
unsafe fn put_off(nesting: &Cell<Nesting>, object: *mut ffi::PyObject, take_apart: TakeApart) {
    // A thread that has ended its own things has no list any more.
    let waits = WAITING.try_with(|waiting| {
        let mut all = waiting.take();
        let grown = all.grow((object, take_apart));
        waiting.set(all);
        grown.is_ok()
    });
    if waits == Ok(true) {
        nesting.set(Nesting { some_wait: true, ..nesting.get() });
    } else {
        // No memory for the list: one inside the other after all.
        // SAFETY: the caller's promise.
        unsafe { take_apart(object) };
    }
}

/// # Safety
/// The objects that wait and their functions fit.
#[cold]
unsafe fn empty(nesting: &Cell<Nesting>) {
    loop {
        nesting.set(Nesting { some_wait: false, ..nesting.get() });
        // The list is free during the calls: they put off more.
        let Ok(waiting) = WAITING.try_with(Cell::take) else { return };
        if waiting.is_empty() {
            return;
        }
        for (object, take_apart) in waiting {
            // SAFETY: rule 2; the object came with the function that fits its class.
            unsafe { take_apart(object) };
        }
    }
}
