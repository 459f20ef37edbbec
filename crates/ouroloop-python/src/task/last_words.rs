//! The end of a task, as an object.

use pyo3::prelude::*;

use super::object::{State, Task};
use super::registry;
use crate::future::{Future, FuturePhase, Home};
use crate::interpreter::fresh::{self, Text};
use crate::native::shelf::{self, Shelved};
use crate::native::slots::Deallocate;

impl Task {
    fn report_destroyed(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().state.with(py, |state| state.log_destroy_pending = false);
        let context = fresh::dict(py)?;
        context.set_item(intern!(py, "task"), slf)?;
        context.set_item(intern!(py, "message"), Text("Task was destroyed but it is pending!"))?;
        let future = slf.as_super().get();
        let source = future.state.with(py, |state| state.rare(py, |rare| &rare.source_traceback));
        if let Some(source) = source {
            context.set_item(intern!(py, "source_traceback"), source)?;
        }
        let event_loop = future.event_loop(py)?;
        event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))?;
        Ok(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // SAFETY: a class instance is dropped by `tp_dealloc`, attached.
        registry::forget(unsafe { Python::assume_attached() }, self);
    }
}

impl Deallocate for Task {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let pending = slf.as_super().get().state.with(py, |state| {
            state.phase == FuturePhase::Pending && !matches!(state.home, Home::None)
        });
        (pending && slf.get().state.with(py, |state| state.log_destroy_pending))
            || Future::has_last_words(slf.as_super())
    }

    fn last_words(slf: &Bound<'_, Self>) {
        let py = slf.py();
        // Whoever keeps it now, it is no task of its loop's any more.
        registry::forget(py, slf.get());
        if slf.as_super().get().phase(py) == FuturePhase::Pending
            && slf.get().state.with(py, |state| state.log_destroy_pending)
            && let Err(error) = Self::report_destroyed(slf)
        {
            error.write_unraisable(py, Some(slf.as_any()));
        }
        Future::last_words(slf.as_super());
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: the caller's promise is the same.
        unsafe { Future::strip(slf.as_super()) }
    }
}

impl Shelved for Task {
    has_shelf!();

    fn blank(slf: &Bound<'_, Self>) {
        let py = slf.py();
        registry::forget(py, slf.get());
        slf.get().state.replace(py, State::empty()).release(py);
        Future::blank(slf.as_super());
    }
}
