//! Long chains of objects are taken apart one after the other, not one inside the other.
//!
//! An object whose last reference goes drops what it holds, and that may be the last reference to
//! the next one: a hundred thousand tasks of which each awaits the one before would need as many
//! nested calls. The interpreter has a trashcan for its own types; this is ours.
//!
//! 1. Each thread counts how many of our objects it takes apart at the moment, one inside the
//!    other.
//! 2. At [`DEEPEST`] an object waits in the thread's list instead: its count is zero, its
//!    finalizer has run, the garbage collector does not track it, and nobody owns it but the list.
//! 3. The outermost call empties the list before it returns.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;

use pyo3::ffi;

/// So many objects are taken apart one inside the other, as many as by the interpreter.
const DEEPEST: u32 = 50;

/// Takes an object apart and gives its memory back.
pub(crate) type TakeApart = unsafe fn(*mut ffi::PyObject);

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Never dropped, so that it serves to a thread's very end; it is empty then.
    static WAITING: RefCell<ManuallyDrop<Vec<(*mut ffi::PyObject, TakeApart)>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

/// Takes `object` apart, now or before the outermost call of this thread returns.
///
/// # Safety
/// To be called attached, from `tp_dealloc`, with an object that its finalizer and the garbage
/// collector have done with; `take_apart` must fit its class.
#[inline]
pub(crate) unsafe fn take_apart_or_put_off(object: *mut ffi::PyObject, take_apart: TakeApart) {
    let depth = DEPTH.get();
    if depth >= DEEPEST {
        WAITING.with_borrow_mut(|waiting| waiting.push((object, take_apart)));
        return;
    }
    DEPTH.set(depth + 1);
    // SAFETY: the caller's promise.
    unsafe { take_apart(object) };
    if depth == 0 {
        // SAFETY: as above, for each object that waits.
        unsafe { empty() };
    }
    DEPTH.set(depth);
}

/// # Safety
/// To be called attached.
#[inline]
unsafe fn empty() {
    loop {
        // No borrow is held during the calls: they put off more.
        let waiting = WAITING.with_borrow_mut(|waiting| std::mem::take(&mut **waiting));
        if waiting.is_empty() {
            return;
        }
        for (object, take_apart) in waiting {
            // SAFETY: rule 2; the object came with the function that fits its class.
            unsafe { take_apart(object) };
        }
    }
}
