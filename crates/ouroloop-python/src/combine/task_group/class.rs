//! `TaskGroup` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyTuple};

use super::leave::{Entering, Leaving};
use super::object::{Home, State, TaskGroup, missing};
use crate::coroutine::Coroutine;
use crate::errors::leaving::exception_leaves_loop;
use crate::interpreter::fresh::{self, Text};
use crate::native::cell::AttachedCell;
use crate::standard::Standard;
use crate::turn::Loop;

/// Where a group makes a task.
enum Maker<'py> {
    Native(Bound<'py, Loop>),
    Any(Bound<'py, PyAny>),
}

impl TaskGroup {
    fn maker<'py>(&self, py: Python<'py>) -> PyResult<Maker<'py>> {
        self.state
            .with(py, |state| match &state.home {
                Home::None => None,
                Home::Native(native) => Some(Maker::Native(native.bind(py).clone())),
                Home::Any(event_loop) => Some(Maker::Any(event_loop.bind(py).clone())),
            })
            .ok_or_else(|| missing("create_task"))
    }

    fn flag(&self, py: Python<'_>, flag: impl FnOnce(&State) -> bool) -> bool {
        self.state.with(py, |state| flag(state))
    }
}

#[pymethods]
impl TaskGroup {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: AttachedCell::new(State::new()) }
    }

    fn __init__(&self, py: Python<'_>) {
        drop(self.state.replace(py, State::new()));
    }

    /// The standard class for native objects proper, so that `isinstance` holds; a subclass is
    /// its own.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if Self::is_exact(slf) {
            return Ok(Standard::get(slf.py())?.task_group.bind(slf.py()).clone());
        }
        Ok(slf.get_type().into_any())
    }

    fn __repr__(&self, py: Python<'_>) -> Text<String> {
        let tasks = self.task_count(py);
        let (errors, aborting, entered) = self.state.with(py, |state| {
            (state.errors.as_ref().map_or(0, Vec::len), state.aborting, state.entered)
        });
        let counted = |what: &str, count: usize| match count {
            0 => String::new(),
            count => format!(" {what}={count}"),
        };
        let phase = match (aborting, entered) {
            (true, _) => " cancelling",
            (false, true) => " entered",
            (false, false) => "",
        };
        let (tasks, errors) = (counted("tasks", tasks), counted("errors", errors));
        Text(format!("<TaskGroup{tasks}{errors}{phase}>"))
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::of(slf.py(), "TaskGroup.__aenter__", Entering(slf.clone().unbind()))
    }

    #[pyo3(signature = (et, exc, tb))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        et: Option<Py<PyAny>>,
        exc: Option<Py<PyAny>>,
        tb: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let _ = tb;
        let body = Leaving::new(slf.clone().unbind(), et, exc);
        Coroutine::of(slf.py(), "TaskGroup.__aexit__", body)
    }

    /// Makes a task that the group waits for.
    #[cfg(not(Py_3_14))]
    #[pyo3(signature = (coro, *, name=None, context=None))]
    fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: Bound<'py, PyAny>,
        name: Option<Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        Self::check_open(slf, &coro)?;
        let task = match slf.get().maker(py)? {
            Maker::Native(native) => Loop::make_task(&native, coro, name, context, None)?,
            Maker::Any(event_loop) => {
                let keywords = fresh::dict(py)?;
                if cfg!(Py_3_13) {
                    keywords.set_item(intern!(py, "name"), &name)?;
                }
                if let Some(context) = context {
                    keywords.set_item(intern!(py, "context"), context)?;
                }
                let task =
                    event_loop.call_method(intern!(py, "create_task"), (coro,), Some(&keywords))?;
                if cfg!(not(Py_3_13)) {
                    let tasks =
                        crate::interpreter::modules::module(py, intern!(py, "asyncio.tasks"))?;
                    tasks.call_method1(intern!(py, "_set_task_name"), (&task, name))?;
                }
                task
            }
        };
        Self::adopt(slf, &task)?;
        Ok(task)
    }

    /// Makes a task that the group waits for; the keywords are those of the loop's `create_task`.
    #[cfg(Py_3_14)]
    #[pyo3(signature = (coro, **kwargs))]
    fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: Bound<'py, PyAny>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        Self::check_open(slf, &coro)?;
        let task = match slf.get().maker(py)? {
            Maker::Native(native) => Loop::make_task(&native, coro, kwargs)?,
            Maker::Any(event_loop) => {
                event_loop.call_method(intern!(py, "create_task"), (coro,), kwargs)?
            }
        };
        Self::adopt(slf, &task)?;
        Ok(task)
    }

    /// Cancels what is in the group and its block, which is then left without an exception.
    #[cfg(Py_3_15)]
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let (entered, exiting, aborting) = this.state.with(py, |state| {
            state.cancel_on_enter |= !state.entered;
            (state.entered, state.exiting, state.aborting)
        });
        if !entered || aborting || (exiting && this.task_count(py) == 0) {
            return Ok(());
        }
        Self::abort(slf)?;
        match this.parent(py) {
            Some(parent) if !this.flag(py, |state| state.parent_cancelled) => {
                this.cancel_parent(&parent)
            }
            _ => Ok(()),
        }
    }

    #[pyo3(name = "_abort")]
    fn py_abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::abort_now(slf)
    }

    #[pyo3(name = "_on_task_done", signature = (task))]
    fn py_on_task_done(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::on_task_done(slf, task)
    }

    #[pyo3(name = "_is_base_error", signature = (exc))]
    #[staticmethod]
    fn py_is_base_error(exc: &Bound<'_, PyAny>) -> bool {
        exception_leaves_loop(exc)
    }

    #[getter(_tasks)]
    fn tasks_attribute<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        self.tasks(py)
    }

    #[getter(_errors)]
    fn errors_attribute<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.errors(py)?.map(|errors| fresh::list(py, errors)).transpose()
    }

    #[getter(_parent_task)]
    fn parent_attribute<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.parent(py)
    }

    #[getter(_loop)]
    fn loop_attribute<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop(py)
    }

    #[getter(_entered)]
    fn entered(&self, py: Python<'_>) -> bool {
        self.flag(py, |state| state.entered)
    }

    #[getter(_exiting)]
    fn exiting(&self, py: Python<'_>) -> bool {
        self.flag(py, |state| state.exiting)
    }

    #[getter(_aborting)]
    fn aborting(&self, py: Python<'_>) -> bool {
        self.flag(py, |state| state.aborting)
    }

    #[getter(_parent_cancel_requested)]
    fn parent_cancel_requested(&self, py: Python<'_>) -> bool {
        self.flag(py, |state| state.parent_cancelled)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                match &state.home {
                    Home::None => {}
                    Home::Native(native) => visit.call(native)?,
                    Home::Any(event_loop) => visit.call(event_loop)?,
                }
                visit.call(&state.parent)?;
                visit.call(&state.tasks)?;
                visit.call(&state.base_error)?;
                visit.call(&state.completed)?;
                state.errors.iter().flatten().try_for_each(|error| visit.call(error))
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.replace(py, State::new()));
    }
}
