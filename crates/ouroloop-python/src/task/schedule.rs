//! A task's next step, put into its loop's queue.

use pyo3::prelude::*;

use super::entries::{Step, Throw};
use super::methods::StepMethod;
use super::object::Task;
use crate::future::Home;
use crate::interpreter::fresh;
use crate::turn::{Loop, Work as _};

impl Task {
    /// Queues the task's next step.
    pub(crate) fn schedule_step(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::schedule(slf, None)
    }

    /// Queues a step that throws `error` into the coroutine.
    pub(crate) fn schedule_throw(slf: &Bound<'_, Self>, error: PyErr) -> PyResult<()> {
        Self::schedule(slf, Some(error.into_value(slf.py()).into_any()))
    }

    /// The next step after a bare `yield`, on the loop whose turn this is.
    #[inline]
    pub(super) fn step_again(slf: &Bound<'_, Self>, event_loop: &Bound<'_, Loop>) {
        event_loop.get().push(slf.py(), Step(slf.clone().unbind()).entry());
    }

    fn schedule(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let native = slf.as_super().get().state.with(py, |state| match &state.home {
            Home::Native(native) => Some(native.clone_ref(py)),
            _ => None,
        });
        if let Some(native) = native.map(|native| native.into_bound(py)) {
            let native = native.get();
            native.check_schedulable(py)?;
            native.reserve(py, 1)?;
            let task = slf.clone().unbind();
            native.push(
                py,
                match error {
                    None => Step(task).entry(),
                    Some(error) => Throw(task, error).entry(),
                },
            );
            return Ok(());
        }
        let event_loop = slf.as_super().get().event_loop(py)?;
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "context"), slf.get().context(py))?;
        let method = Bound::new(py, StepMethod::new(slf.clone().unbind(), error))?;
        event_loop.call_method(intern!(py, "call_soon"), (method,), Some(&keywords))?;
        Ok(())
    }
}
