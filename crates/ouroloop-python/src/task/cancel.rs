//! How a task is cancelled.

use pyo3::exceptions::PyRecursionError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::object::Task;
use super::registry;
use crate::future::{FuturePhase, cancel_awaited};
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::overrides::{self, Attributes};

/// What a request to cancel a task found.
enum CancelRequest {
    /// The task has ended.
    Done,
    /// It was counted; the task awaits this, if anything.
    Counted(Option<Py<PyAny>>),
}

impl Task {
    /// `Task.cancel`.
    ///
    /// Goes down a chain of tasks that await each other by a loop: it may be of any length.
    ///
    /// # Errors
    /// `RecursionError` for tasks that await each other in a circle; what a foreign future's
    /// `cancel` raises.
    pub(crate) fn cancel(slf: &Bound<'_, Self>, message: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let CancelRequest::Counted(mut awaited) = Self::request_cancel(slf) else {
            return Ok(false);
        };
        let mut task = slf.clone();
        let mut left = registry::live_count(py);
        loop {
            let passed_on = match awaited.take().map(|object| object.into_bound(py)) {
                None => false,
                Some(object) => match Self::with_own_cancel(&object) {
                    Some(next) => {
                        if let CancelRequest::Counted(further) = Self::request_cancel(next) {
                            left = left.checked_sub(1).ok_or_else(|| {
                                fresh::error::<PyRecursionError>("maximum recursion depth exceeded")
                            })?;
                            task = next.clone();
                            awaited = further;
                            continue;
                        }
                        false
                    }
                    None => cancel_awaited(&object, message.as_ref())?,
                },
            };
            if !passed_on {
                task.get().state.with(py, |state| state.must_cancel = true);
                let future = task.as_super().get();
                drop(
                    future
                        .state
                        .with(py, |state| state.set_rare(|rare| &mut rare.cancel_message, message)),
                );
            }
            return Ok(true);
        }
    }

    /// The object as a task whose `cancel` is this class's, be it of a derived one.
    fn with_own_cancel<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Self>> {
        static ORIGINAL: PyOnceLock<Attributes> = PyOnceLock::new();
        if let Ok(task) = object.cast_exact::<Self>() {
            return Some(task);
        }
        let task = object.cast::<Self>().ok()?;
        overrides::judge(task, &["cancel", "__getattribute__"], &ORIGINAL).0.then_some(task)
    }

    /// Counts a request to cancel a task.
    fn request_cancel(slf: &Bound<'_, Self>) -> CancelRequest {
        let py = slf.py();
        let pending = slf.as_super().get().state.with(py, |state| {
            state.log_traceback = false;
            state.phase == FuturePhase::Pending
        });
        if !pending {
            return CancelRequest::Done;
        }
        CancelRequest::Counted(slf.get().state.with(py, |state| {
            state.cancel_requests += 1;
            state.awaited.clone_ref(py)
        }))
    }
}
