//! A task's steps as entries of the loop's queue.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::{StepMethod, Task, step, wakeup_method};
use crate::event_loop::Loop;
use crate::handle::report_call;
use crate::turn::{KindOf, Subject, Work};

/// The task's next step.
#[derive(Debug)]
pub(crate) struct Step(pub(crate) Py<Task>);

/// A step that throws an exception into the coroutine.
#[derive(Debug)]
pub(crate) struct Throw(pub(crate) Py<Task>, pub(crate) Py<PyAny>);

/// The step after the future that the task waited for has ended.
#[derive(Debug)]
pub(crate) struct Wakeup(pub(crate) Py<Task>, pub(crate) Py<PyAny>);

impl Work for Step {
    const LEAVES_TASK: bool = false;

    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Step> = KindOf::new("task.step");
        &KIND
    }

    #[inline]
    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let task = self.0.bind(event_loop.py());
        step::step(task, event_loop, None).or_else(|error| report_step(event_loop, task, error))
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
        let task = self.0.bind(py);
        let error = PyErr::from_value(self.1.into_bound(py));
        step::step(task, event_loop, Some(error))
            .or_else(|error| report_step(event_loop, task, error))
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
        let (task, future) = (self.0.bind(py), self.1.bind(py));
        step::wake(task, event_loop, future)
            .or_else(|error| report_wakeup(event_loop, task, future, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)?;
        visit.call(&self.1)
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
    let callback = wakeup_method(task)?.unbind();
    report_call(event_loop, callback, Some(future.clone().unbind()), task.get().context(py), error)
}
