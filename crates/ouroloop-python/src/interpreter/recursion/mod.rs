//! How deep native code may nest.
//!
//! Whatever native code steps into can lead back to native code: a coroutine that awaits a
//! coroutine, a finalizer that closes another one, a transport above a transport. The interpreter
//! counts its own calls, and a program that nests without end gets a `RecursionError`. Native frames
//! that call one another are no calls of the interpreter's, so each that may come round again
//! enters a [`Level`], under two rules:
//!
//! 1. It is a call for the interpreter's count (`Py_EnterRecursiveCall`), with the interpreter's
//!    limit.
//! 2. Up to 3.13 that limit knows nothing of how large frames are, or how small a thread's stack
//!    is: ten thousand levels from 3.12 on, which a stack of 8 MiB does not hold. So there must be
//!    room on the thread's [`stack`], too. From 3.14 on the interpreter's call looks at the stack itself.
//!
//! Where nothing can be refused, since an object dies, a lack of room is a reason to do it later
//! ([`crate::native::trashcan`]).
//!
//! What only waits for a future of its own steps into nothing else, and enters no level.

mod stack;
mod system;

use std::marker::PhantomData;

use pyo3::exceptions::PyRecursionError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::interpreter::fresh;

pub(crate) use stack::has_room;

/// One level of native code that may come round again; the level ends when it is dropped.
#[must_use = "the level ends when it is dropped"]
#[derive(Debug)]
pub(crate) struct Level<'py>(PhantomData<Python<'py>>);

impl<'py> Level<'py> {
    /// One level deeper.
    ///
    /// # Errors
    /// `RecursionError`.
    #[inline]
    pub(crate) fn enter(py: Python<'py>) -> PyResult<Self> {
        if cfg!(not(Py_3_14)) && !has_room() {
            return Err(no_room());
        }
        // SAFETY: attached; the text is static.
        if unsafe { ffi::Py_EnterRecursiveCall(c" in native code".as_ptr()) } != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Self(PhantomData))
    }
}

impl Drop for Level<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: made by `enter` alone; the token in the type keeps it in this thread, attached.
        unsafe { ffi::Py_LeaveRecursiveCall() };
    }
}

#[cold]
fn no_room() -> PyErr {
    fresh::error::<PyRecursionError>(
        "maximum recursion depth exceeded: the stack is nearly used up",
    )
}
