//! A task's steps as entries of the loop's queue.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::methods::StepMethod;
use super::object::Task;
use super::step;
use crate::future::listen::{Listen, has_ear};
use crate::handle::report_call;
use crate::turn::{Entry, KindOf, Loop, Subject, Work};

/// The task's next step.
#[derive(Debug)]
pub(super) struct Step(pub(super) Py<Task>);

/// A step that throws an exception into the coroutine.
#[derive(Debug)]
pub(super) struct Throw(pub(super) Py<Task>, pub(super) Py<PyAny>);

/// The step after the future that the task waited for has ended.
#[derive(Debug)]
struct Wakeup(Py<Task>, Py<PyAny>);

impl Work for Step {
    const LEAVES_TASK: bool = false;

    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Step> = KindOf::new("task.step");
        &KIND
    }

    #[inline]
    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let task = self.0.into_bound(event_loop.py());
        step::step(&task, event_loop, None).or_else(|error| report_step(event_loop, &task, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Work for Throw {
    const LEAVES_TASK: bool = false;

    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Throw> = KindOf::new("task.throw");
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        let task = self.0.into_bound(py);
        let error = PyErr::from_value(self.1.into_bound(py));
        step::step(&task, event_loop, Some(error))
            .or_else(|error| report_step(event_loop, &task, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)?;
        visit.call(&self.1)
    }
}

impl Work for Wakeup {
    const LEAVES_TASK: bool = false;

    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Wakeup> = KindOf::new("task.wakeup");
        &KIND
    }

    #[inline]
    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        let (task, future) = (self.0.into_bound(py), self.1.into_bound(py));
        step::wake(&task, event_loop, &future)
            .or_else(|error| report_wakeup(event_loop, &task, &future, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)?;
        visit.call(&self.1)
    }
}

/// A task listens to the future that it awaits.
impl Listen for Task {
    #[cfg(Py_3_14)]
    const AWAITS: bool = true;

    has_ear!(Task);

    fn hear(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        step::wake_anywhere(slf, future)
    }

    fn callable<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::wakeup_method(slf)
    }

    fn context(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(slf.get().context(slf.py()))
    }

    #[inline]
    fn entry(owner: Py<Self>, future: Py<PyAny>) -> Entry {
        Wakeup(owner, future).entry()
    }

    fn awaiter<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        Some(slf.as_any().clone())
    }
}

#[cold]
fn report_step(event_loop: &Bound<'_, Loop>, task: &Bound<'_, Task>, error: PyErr) -> PyResult<()> {
    let py = event_loop.py();
    let callback = Bound::new(py, StepMethod::new(task.clone().unbind(), None))?;
    report_call(event_loop, callback.into_any().unbind(), None, task.get().context(py), error)
}

#[cold]
fn report_wakeup(
    event_loop: &Bound<'_, Loop>,
    task: &Bound<'_, Task>,
    future: &Bound<'_, PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    let callback = Task::wakeup_method(task)?.unbind();
    report_call(event_loop, callback, Some(future.clone().unbind()), task.get().context(py), error)
}
