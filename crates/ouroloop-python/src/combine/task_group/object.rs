//! A group: its tasks, their errors, and the task that it was entered by.

use pyo3::exceptions::{PyAttributeError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PySet;

use crate::combine::tasks::cancel;
use crate::context::{copy_of, run_in};
use crate::errors::leaving::exception_leaves_loop;
use crate::future::listen::{DoneListener, Listen, has_ear};
use crate::future::{Future, Link, Outcome, exactly_native, is_cancelled, is_done};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::{copies, gathered, no_memory};
use crate::native::cell::AttachedCell;
use crate::task::{Task, registry};
use crate::turn::Loop;
use crate::waiting::running_loop;

/// The loop on which a group makes its tasks.
#[derive(Debug)]
pub(super) enum Home {
    None,
    /// A native loop whose `create_task` is its own.
    Native(Py<Loop>),
    Any(Py<PyAny>),
}

impl Home {
    pub(super) fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(native) = event_loop.cast::<Loop>() {
            let method = event_loop.getattr(intern!(event_loop.py(), "create_task"))?;
            // SAFETY: attached; compares the object's type.
            if unsafe { pyo3::ffi::PyCFunction_CheckExact(method.as_ptr()) != 0 } {
                return Ok(Self::Native(native.clone().unbind()));
            }
        }
        Ok(Self::Any(event_loop.clone().unbind()))
    }

    pub(super) fn object<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match self {
            Self::None => None,
            Self::Native(native) => Some(native.bind(py).as_any().clone()),
            Self::Any(event_loop) => Some(event_loop.bind(py).clone()),
        }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) entered: bool,
    pub(super) exiting: bool,
    pub(super) aborting: bool,
    pub(super) parent_cancelled: bool,
    /// `cancel()` came before the group was entered.
    pub(super) cancel_on_enter: bool,
    pub(super) home: Home,
    pub(super) parent: Option<Py<PyAny>>,
    pub(super) tasks: Option<Py<PySet>>,
    /// `None` once they have been raised.
    pub(super) errors: Option<Vec<Py<PyAny>>>,
    pub(super) base_error: Option<Py<PyAny>>,
    /// What the parent waits for while it leaves.
    pub(super) completed: Option<Py<PyAny>>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            entered: false,
            exiting: false,
            aborting: false,
            parent_cancelled: false,
            cancel_on_enter: false,
            home: Home::None,
            parent: None,
            tasks: None,
            errors: Some(Vec::new()),
            base_error: None,
            completed: None,
        }
    }
}

/// Asynchronous context manager that waits for the tasks made by it.
///
/// An exception of a task, other than `CancelledError`, cancels the rest and the block itself; what
/// was raised leaves the block as an exception group.
#[pyclass(frozen, subclass, weakref, dict, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct TaskGroup {
    pub(super) state: AttachedCell<State>,
}

impl Listen for TaskGroup {
    has_ear!(TaskGroup);

    fn hear(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let quiet = exactly_native(task)
            .is_some_and(|task| task.get().state.with(py, |state| state.exception.is_none()));
        if !quiet
            && let Some(event_loop) = slf.get().event_loop(py)
            && let Ok(native) = event_loop.cast::<Loop>()
        {
            // A failure may lead to code of the user's: no task runs there.
            Loop::leave_task(native)?;
        }
        Self::on_task_done(slf, task)
    }

    fn callable<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr(intern!(slf.py(), "_on_task_done"))
    }

    fn awaiter<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        slf.get().parent(slf.py())
    }
}

impl TaskGroup {
    pub(super) fn is_exact(slf: &Bound<'_, Self>) -> bool {
        slf.as_any().is_exact_instance_of::<Self>()
    }

    pub(super) fn parent<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.parent.as_ref().map(|task| task.bind(py).clone()))
    }

    /// The task in which the group was entered.
    ///
    /// # Errors
    /// `AttributeError`, asyncio's own, when there is none (any more).
    pub(super) fn parent_task<'py>(
        &self,
        py: Python<'py>,
        attribute: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.parent(py).ok_or_else(|| missing(attribute))
    }

    pub(super) fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.home.object(py))
    }

    /// The set of tasks that have not ended.
    pub(super) fn tasks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        let tasks = self.state.with(py, |state| state.tasks.clone_ref(py));
        if let Some(tasks) = tasks {
            return Ok(tasks.into_bound(py));
        }
        let tasks = PySet::empty(py)?;
        let before = self.state.with(py, |state| state.tasks.replace(tasks.clone().unbind()));
        drop(before);
        Ok(tasks)
    }

    pub(super) fn task_count(&self, py: Python<'_>) -> usize {
        let tasks = self.state.with(py, |state| state.tasks.clone_ref(py));
        tasks.map_or(0, |tasks| tasks.bind(py).len())
    }

    /// What is not its own, when the block is entered.
    pub(super) fn enter(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if this.state.with(py, |state| state.entered) {
            let message =
                fresh::text(format_args!("TaskGroup {} has already been entered", slf.repr()?))?;
            return Err(fresh::error::<PyRuntimeError>(message));
        }
        let event_loop = if let Some(event_loop) = this.event_loop(py) {
            event_loop
        } else {
            let event_loop = running_loop(py)?;
            let home = Home::of(&event_loop)?;
            drop(this.state.with(py, |state| std::mem::replace(&mut state.home, home)));
            event_loop
        };
        let Some(parent) = registry::current(&event_loop)? else {
            let message = fresh::text(format_args!(
                "TaskGroup {} cannot determine the parent task",
                slf.repr()?
            ))?;
            return Err(fresh::error::<PyRuntimeError>(message));
        };
        let (before, cancel_on_enter) = this.state.with(py, |state| {
            state.entered = true;
            (state.parent.replace(parent.unbind()), state.cancel_on_enter)
        });
        drop(before);
        if cancel_on_enter { slf.call_method0(intern!(py, "cancel")).map(drop) } else { Ok(()) }
    }

    /// Makes sure that a new task may be taken in.
    ///
    /// # Errors
    /// `RuntimeError`; from 3.13 on the coroutine is closed.
    pub(super) fn check_open(slf: &Bound<'_, Self>, coroutine: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let (entered, exiting, aborting) =
            slf.get().state.with(py, |state| (state.entered, state.exiting, state.aborting));
        let problem = if !entered {
            "has not been entered"
        } else if exiting && slf.get().task_count(py) == 0 {
            "is finished"
        } else if aborting {
            "is shutting down"
        } else {
            return Ok(());
        };
        if cfg!(Py_3_13) {
            coroutine.call_method0(intern!(py, "close"))?;
        }
        Err(fresh::error_saying::<PyRuntimeError>(format_args!(
            "TaskGroup {} {problem}",
            slf.repr()?
        )))
    }

    /// Takes in a task that was just made.
    pub(super) fn adopt(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        // An eager task may be done: what comes of that waits for the next turn all the same. Its error
        // would cancel the parent before the parent waits.
        this.tasks(py)?.add(task)?;
        let native = exactly_native(task);
        match native {
            Some(native) if Self::is_exact(slf) => {
                Future::add_link(native, Link::Listener(DoneListener::new(slf)))?;
            }
            _ => {
                #[cfg(Py_3_14)]
                if let Some(parent) = this.parent(py) {
                    crate::standard::Standard::get(py)?.add_to_awaited_by.record(task, &parent)?;
                }
                let callback = slf.getattr(intern!(py, "_on_task_done"))?;
                task.call_method1(intern!(py, "add_done_callback"), (callback,))?;
            }
        }
        let late = cfg!(Py_3_15) && this.state.with(py, |state| state.aborting);
        if late && !is_done(task)? { cancel(task) } else { Ok(()) }
    }

    pub(super) fn is_base_error(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<bool> {
        if Self::is_exact(slf) {
            return Ok(exception_leaves_loop(error));
        }
        slf.call_method1(intern!(slf.py(), "_is_base_error"), (error,))?.is_truthy()
    }

    /// Cancels what has not ended.
    pub(super) fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        if Self::is_exact(slf) {
            return Self::abort_now(slf);
        }
        slf.call_method0(intern!(slf.py(), "_abort")).map(drop)
    }

    pub(super) fn abort_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        slf.get().state.with(py, |state| state.aborting = true);
        if slf.get().task_count(py) == 0 {
            return Ok(());
        }
        // A task's `cancel` may be Python code.
        let tasks = gathered(py, slf.get().tasks(py)?.try_iter()?)?;
        for task in &tasks {
            if !is_done(task)? {
                cancel(task)?;
            }
        }
        Ok(())
    }

    /// What its tasks have failed with, none before it was entered.
    pub(super) fn errors(&self, py: Python<'_>) -> PyResult<Option<Vec<Py<PyAny>>>> {
        let errors = self.state.with(py, |state| {
            let errors = state.errors.as_ref()?;
            Some(copies(errors.iter().map(|error| error.clone_ref(py))))
        });
        errors.transpose().map_err(|_| no_memory(py))
    }

    /// Cancels the parent, once.
    pub(super) fn cancel_parent(&self, parent: &Bound<'_, PyAny>) -> PyResult<()> {
        self.state.with(parent.py(), |state| state.parent_cancelled = true);
        cancel(parent)
    }

    /// A task has ended.
    pub(super) fn on_task_done(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let tasks = this.tasks(py)?;
        tasks.discard(task)?;
        #[cfg(Py_3_14)]
        if exactly_native(task).is_none()
            && let Some(parent) = this.parent(py)
        {
            crate::standard::Standard::get(py)?.discard_from_awaited_by.record(task, &parent)?;
        }
        if tasks.is_empty() {
            this.complete(py)?;
        }
        let Some(exception) = failure_of(task)? else { return Ok(()) };
        let parent = this.parent(py);
        let context = parent.as_ref().and_then(|parent| {
            parent.cast_exact::<Task>().ok().map(|parent| parent.get().context(py))
        });
        let fail = || Self::on_failure(slf, task, exception.bind(py));
        match context {
            // What the parent awaits may have a `cancel` in Python.
            Some(context) => run_in(py, &copy_of(py, &context)?, fail),
            None => fail(),
        }
    }

    /// The last task has ended: the parent, if it waits for that, need not any longer.
    pub(super) fn complete(&self, py: Python<'_>) -> PyResult<()> {
        let completed = self.state.with(py, |state| state.completed.clone_ref(py));
        let Some(completed) = completed else { return Ok(()) };
        let completed = completed.bind(py);
        if is_done(completed)? {
            return Ok(());
        }
        match completed.cast_exact::<Future>() {
            Ok(native) => Future::finish(
                native,
                Outcome::Result(true.into_pyobject(py)?.to_owned().into_any().unbind()),
            ),
            Err(_) => completed.call_method1(intern!(py, "set_result"), (true,)).map(drop),
        }
    }

    /// A task has raised.
    pub(super) fn on_failure(
        slf: &Bound<'_, Self>,
        task: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let kept = exception.clone().unbind();
        this.state
            .with(py, |state| match &mut state.errors {
                Some(errors) => {
                    errors.push(kept);
                    Ok(())
                }
                None => Err(kept),
            })
            .map_err(|_| missing("append"))?;
        Self::note_base_error(slf, exception)?;
        let parent = this.parent_task(py, "done")?;
        if is_done(&parent)? {
            return this.report_late(task, &parent, exception);
        }
        let (aborting, cancelled) =
            this.state.with(py, |state| (state.aborting, state.parent_cancelled));
        if aborting || cancelled {
            return Ok(());
        }
        Self::abort(slf)?;
        this.cancel_parent(&parent)
    }

    /// Remembers the first exception that has to leave the loop.
    pub(super) fn note_base_error(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        if Self::is_base_error(slf, exception)? {
            let error = exception.clone().unbind();
            let surplus = slf.get().state.with(py, |state| {
                if state.base_error.is_some() {
                    return Some(error);
                }
                state.base_error.replace(error)
            });
            drop(surplus);
        }
        Ok(())
    }

    #[cold]
    pub(super) fn report_late(
        &self,
        task: &Bound<'_, PyAny>,
        parent: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = task.py();
        let Some(event_loop) = self.event_loop(py) else { return Ok(()) };
        let context = fresh::dict(py)?;
        let message = fresh::text(format_args!(
            "Task {} has errored out but its parent task {} is already completed",
            task.repr()?,
            parent.str()?
        ))?;
        context.set_item(intern!(py, "message"), Text(message))?;
        context.set_item(intern!(py, "exception"), exception)?;
        context.set_item(intern!(py, "task"), task)?;
        event_loop.call_method1(intern!(py, "call_exception_handler"), (context,)).map(drop)
    }
}

/// The exception that a task has ended with; none for a result and for a cancellation.
pub(super) fn failure_of(task: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let py = task.py();
    if let Some(native) = exactly_native(task) {
        return Ok(native.get().failure(py));
    }
    if is_cancelled(task)? {
        return Ok(None);
    }
    let exception = task.call_method0(intern!(py, "exception"))?;
    Ok(Some(exception.unbind()).filter(|exception| !exception.is_none(py)))
}

/// Python's own error for an attribute of something that is not there any more.
pub(super) fn missing(attribute: &str) -> PyErr {
    fresh::error::<PyAttributeError>(format!("'NoneType' object has no attribute '{attribute}'"))
}
