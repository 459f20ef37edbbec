//! The way into a group's block and out of it: `__aenter__` and `__aexit__`.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyGeneratorExit;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyType};

use super::object::{TaskGroup, missing};
use crate::combine::tasks::{cancel, cancelling, uncancel};
use crate::coroutine::{Body, Incoming, iterator_of, step_into};
use crate::future::Future;
use crate::future::iter::await_step;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::slots::Resumed;
use crate::standard::{Standard, exception_of, raised, raised_from_none};
use crate::turn::Loop;

/// `__aenter__`: over in its first step.
pub(super) struct Entering(pub(super) Py<TaskGroup>);

impl Body for Entering {
    fn step(&mut self, py: Python<'_>, _incoming: Incoming<'_>) -> Resumed {
        match TaskGroup::enter(self.0.bind(py)) {
            Ok(()) => Resumed::Returned(self.0.clone_ref(py).into_any()),
            Err(error) => Resumed::Raised(error),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// Where the parent stands on its way out.
enum LeavingStage {
    Fresh,
    /// It waits for the last task, through a native future or what another one awaits by.
    Native(Py<Future>),
    Any(Py<PyAny>),
}

/// `__aexit__`.
pub(super) struct Leaving {
    group: Py<TaskGroup>,
    class: Option<Py<PyAny>>,
    exception: Option<Py<PyAny>>,
    stage: LeavingStage,
    /// The cancellation to raise at the end, unless there is worse.
    propagate: Option<Py<PyAny>>,
    /// The last cancellation that came while it waited.
    interruption: Option<Py<PyAny>>,
}

impl Leaving {
    pub(super) fn new(
        group: Py<TaskGroup>,
        class: Option<Py<PyAny>>,
        exception: Option<Py<PyAny>>,
    ) -> Self {
        Self {
            group,
            class,
            exception,
            stage: LeavingStage::Fresh,
            propagate: None,
            interruption: None,
        }
    }

    /// Whether a cancellation leaves the block.
    fn is_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(class) = &self.class else { return Ok(false) };
        let cancelled = Standard::get(py)?.cancelled_error.bind(py);
        class.bind(py).cast::<PyType>()?.is_subclass(cancelled)
    }

    fn begin(&mut self, group: &Bound<'_, TaskGroup>) -> PyResult<()> {
        let py = group.py();
        let this = group.get();
        this.state.with(py, |state| state.exiting = true);
        if let Some(exception) = &self.exception {
            TaskGroup::note_base_error(group, exception.bind(py))?;
        }
        if self.is_cancelled(py)? {
            self.propagate = self.exception.clone_ref(py);
        }
        if cfg!(not(Py_3_13)) {
            self.take_back_cancellation(this, py)?;
        }
        if self.class.is_some() && !this.state.with(py, |state| state.aborting) {
            TaskGroup::abort(group)?;
        }
        Ok(())
    }

    /// Takes back the group's own request to cancel the parent. If nobody else has one, there is
    /// no cancellation to propagate.
    fn take_back_cancellation(&mut self, group: &TaskGroup, py: Python<'_>) -> PyResult<()> {
        if !group.state.with(py, |state| state.parent_cancelled) {
            return Ok(());
        }
        if uncancel(&group.parent_task(py, "uncancel")?)? == 0 {
            self.propagate = None;
        } else if cfg!(Py_3_15) && self.propagate.is_none() {
            self.propagate = self.interruption.take();
        }
        Ok(())
    }

    /// Waits until there are no tasks; answers what to yield, if anything.
    fn wait(
        &mut self,
        group: &Bound<'_, TaskGroup>,
        incoming: Incoming<'_>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let py = group.py();
        let mut resumed = match std::mem::replace(&mut self.stage, LeavingStage::Fresh) {
            LeavingStage::Fresh => {
                self.begin(group)?;
                None
            }
            LeavingStage::Native(future) => {
                Some(self.wait_for_native(future.into_bound(py), incoming))
            }
            LeavingStage::Any(iterator) => Some(self.wait_for(iterator.into_bound(py), incoming)),
        };
        loop {
            if let Some(resumed) = resumed {
                match resumed {
                    Resumed::Yielded(object) => return Ok(Some(object)),
                    Resumed::Raised(error) => self.interrupted(group, error)?,
                    Resumed::Returned(_) => {}
                }
                drop(group.get().state.with(py, |state| state.completed.take()));
            }
            if group.get().task_count(py) == 0 {
                return Ok(None);
            }
            let completed = Self::completed(group)?;
            let none = Ok(py.None().into_bound(py));
            resumed = Some(match completed.cast_into_exact::<Future>() {
                Ok(native) => self.wait_for_native(native, none),
                Err(other) => self.wait_for(iterator_of(&other.into_inner())?, none),
            });
        }
    }

    /// The future that the last task ends.
    fn completed<'py>(group: &Bound<'py, TaskGroup>) -> PyResult<Bound<'py, PyAny>> {
        let py = group.py();
        let this = group.get();
        let completed = this.state.with(py, |state| state.completed.clone_ref(py));
        if let Some(completed) = completed {
            return Ok(completed.into_bound(py));
        }
        let event_loop = this.event_loop(py).ok_or_else(|| missing("create_future"))?;
        let completed = match event_loop.cast::<Loop>() {
            Ok(native) => Future::create(native)?.into_any(),
            Err(_) => event_loop.call_method0(intern!(py, "create_future"))?,
        };
        let reference = completed.clone().unbind();
        drop(this.state.with(py, |state| state.completed.replace(reference)));
        Ok(completed)
    }

    fn wait_for_native(&mut self, future: Bound<'_, Future>, incoming: Incoming<'_>) -> Resumed {
        let resumed = match incoming {
            Ok(_) => await_step(&future),
            Err(error) => Resumed::Raised(error),
        };
        if matches!(resumed, Resumed::Yielded(_)) {
            self.stage = LeavingStage::Native(future.unbind());
        }
        resumed
    }

    fn wait_for(&mut self, iterator: Bound<'_, PyAny>, incoming: Incoming<'_>) -> Resumed {
        let resumed = step_into(&iterator, incoming);
        if matches!(resumed, Resumed::Yielded(_)) {
            self.stage = LeavingStage::Any(iterator.unbind());
        }
        resumed
    }

    /// The wait was broken off: a cancellation of the parent becomes one of the tasks.
    fn interrupted(&mut self, group: &Bound<'_, TaskGroup>, error: PyErr) -> PyResult<()> {
        let py = group.py();
        if !error.matches(py, Standard::get(py)?.cancelled_error.bind(py))? {
            return Err(error);
        }
        let exception = exception_of(py, &error).into_any().unbind();
        self.interruption = Some(exception.clone_ref(py));
        if !group.get().state.with(py, |state| state.aborting) {
            self.propagate = Some(exception);
            TaskGroup::abort(group)?;
        }
        Ok(())
    }

    /// What leaves the block once every task has ended.
    fn finish(&mut self, group: &Bound<'_, TaskGroup>) -> PyResult<Py<PyAny>> {
        let py = group.py();
        let this = group.get();
        let base_error = this.state.with(py, |state| state.base_error.clone_ref(py));
        if let Some(error) = base_error {
            return Err(raised(error.bind(py).clone().into_any()));
        }
        if cfg!(Py_3_13) {
            self.take_back_cancellation(this, py)?;
        }
        let failed = this
            .state
            .with(py, |state| state.errors.as_ref().is_some_and(|errors| !errors.is_empty()));
        if let Some(cancellation) = self.propagate.take().filter(|_| !failed) {
            return Err(raised(cancellation.bind(py).clone().into_any()));
        }
        let mut errors = this.errors(py)?;
        if self.class.is_some() && !self.is_cancelled(py)? {
            let exception =
                self.exception.as_ref().map_or_else(|| py.None(), |error| error.clone_ref(py));
            errors.get_or_insert_default().push(exception);
        }
        match errors {
            Some(errors) if !errors.is_empty() => Err(self.group_of(group, errors)?),
            // From 3.15 on nothing that came this far goes further.
            _ => Ok(if cfg!(Py_3_15) {
                PyBool::new(py, true).to_owned().into_any().unbind()
            } else {
                py.None()
            }),
        }
    }

    /// The group of `errors` that is raised.
    fn group_of(&self, group: &Bound<'_, TaskGroup>, errors: Vec<Py<PyAny>>) -> PyResult<PyErr> {
        let py = group.py();
        if cfg!(Py_3_13) {
            let parent = group.get().parent_task(py, "cancelling")?;
            // Requests to cancel the parent from outside stay as many as they were.
            if cancelling(&parent)? > 0 {
                uncancel(&parent)?;
                cancel(&parent)?;
            }
        }
        if errors.len() == 1
            && let (Some(class), Some(exception)) = (&self.class, &self.exception)
            && class.bind(py).cast::<PyType>()?.is_subclass_of::<PyGeneratorExit>()?
        {
            return Ok(raised(exception.bind(py).clone().into_any()));
        }
        // SAFETY: attached; a static of the interpreter's.
        let class = unsafe { Bound::from_borrowed_ptr(py, ffi::PyExc_BaseExceptionGroup) };
        let errors = fresh::list(py, errors)?;
        let message = intern!(py, "unhandled errors in a TaskGroup");
        Ok(raised_from_none(class.call1((message, errors))?.cast_into()?))
    }
}

impl Body for Leaving {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let group = self.group.clone_ref(py).into_bound(py);
        let answer = match self.wait(&group, incoming) {
            Ok(Some(awaited)) => return Resumed::Yielded(awaited),
            Ok(None) => self.finish(&group),
            Err(error) => Err(error),
        };
        // Exceptions hold frames, and those may hold the group.
        drop(
            group.get().state.with(py, |state| {
                (state.parent.take(), state.errors.take(), state.base_error.take())
            }),
        );
        answer.map_or_else(Resumed::Raised, Resumed::Returned)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.group)?;
        visit.call(&self.class)?;
        visit.call(&self.exception)?;
        visit.call(&self.propagate)?;
        visit.call(&self.interruption)?;
        match &self.stage {
            LeavingStage::Fresh => Ok(()),
            LeavingStage::Native(future) => visit.call(future),
            LeavingStage::Any(iterator) => visit.call(iterator),
        }
    }

    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match &self.stage {
            LeavingStage::Fresh => None,
            LeavingStage::Native(future) => Some(future.clone_ref(py).into_any()),
            LeavingStage::Any(iterator) => Some(iterator.clone_ref(py)),
        }
    }

    fn within(&self) -> Option<&'static str> {
        cfg!(Py_3_14).then_some("TaskGroup._aexit")
    }
}
