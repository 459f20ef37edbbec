//! How a task begins.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::object::{Name, Task};
use super::{registry, step};
use crate::context::copy_current;
use crate::future::{Future, Home};
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::native::{instance_dict, shelf};
use crate::standard::Standard;
use crate::turn::Loop;

/// What a task is made of, apart from its loop.
#[derive(Debug)]
pub(crate) struct Making<'py> {
    pub(crate) coroutine: Bound<'py, PyAny>,
    pub(crate) name: Option<Bound<'py, PyAny>>,
    pub(crate) context: Option<Bound<'py, PyAny>>,
    pub(crate) eager_start: bool,
}

impl Task {
    /// A task on a native loop, scheduled for the next turn (or stepped at once if eager).
    pub(crate) fn create<'py>(
        event_loop: &Bound<'py, Loop>,
        making: &Making<'py>,
    ) -> PyResult<Bound<'py, Self>> {
        let home = Home::Native(event_loop.clone().unbind());
        let py = event_loop.py();
        let task = if let Some(task) = shelf::take::<Self>(py) {
            task.as_super().get().set_home(py, home);
            shelf::track(&task);
            task
        } else {
            let parts = PyClassInitializer::from(Future::new(home)).add_subclass(Self::empty());
            let task = Bound::new(py, parts)?;
            instance_dict::drop_unused(task.as_any());
            task
        };
        if event_loop.get().is_debug(py) {
            task.as_super().get().remember_source(py, event_loop.as_any())?;
        }
        Self::begin(&task, making, event_loop.as_any())?;
        Ok(task)
    }

    /// The second half of making a task: its future has its loop.
    pub(super) fn begin(
        slf: &Bound<'_, Self>,
        making: &Making<'_>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        if !is_coroutine(&making.coroutine)? {
            slf.get().state.with(py, |state| state.log_destroy_pending = false);
            let message = fresh::text(format_args!(
                "a coroutine was expected, got {}",
                making.coroutine.repr()?
            ))?;
            return Err(fresh::error::<PyTypeError>(message));
        }
        // Before the context is looked at, as asyncio does.
        let name = Self::make_name(py, making.name.as_ref())?;
        let context = match &making.context {
            Some(context) => {
                // Up to 3.14 asyncio takes it, and the task never runs.
                if !context.is_instance_of::<pyo3::types::PyContext>() {
                    slf.get().state.with(py, |state| state.log_destroy_pending = false);
                    let class = context.get_type().name()?;
                    let message = fresh::text(format_args!(
                        "a contextvars.Context was expected, got {class}"
                    ))?;
                    return Err(fresh::error::<PyTypeError>(message));
                }
                context.clone().unbind()
            }
            None => copy_current(py)?,
        };
        let coroutine = making.coroutine.clone().unbind();
        drop(slf.get().state.with(py, |state| {
            let name = std::mem::replace(&mut state.name, name);
            (name, state.coroutine.replace(coroutine), state.context.replace(context))
        }));
        if making.eager_start {
            let started = is_running(event_loop).and_then(|running| {
                running.then(|| step::start_eagerly(slf, event_loop)).transpose()
            });
            match started {
                Ok(Some(())) => return Ok(()),
                Ok(None) => {}
                Err(error) => {
                    // Whoever made it hears of that, and nobody of a task that was lost.
                    slf.get().state.with(py, |state| state.log_destroy_pending = false);
                    return Err(error);
                }
            }
        }
        registry::register(slf)?;
        Self::schedule_step(slf)
    }

    /// The name given, or the next number; before 3.13 a given name uses up a number too.
    pub(super) fn make_name(py: Python<'_>, name: Option<&Bound<'_, PyAny>>) -> PyResult<Name> {
        match name {
            None => Ok(Name::Numbered(registry::next_number(py))),
            Some(name) => {
                if cfg!(not(Py_3_13)) {
                    registry::next_number(py);
                }
                if name.is_exact_instance_of::<PyString>() {
                    return Ok(Name::Given(name.clone().unbind()));
                }
                let _level = Level::enter(py)?;
                Ok(Name::Given(name.str()?.into_any().unbind()))
            }
        }
    }
}

/// `asyncio.iscoroutine`, without a call for the usual case.
fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: attached; compares the object's type.
    if unsafe { ffi::PyCoro_CheckExact(object.as_ptr()) != 0 } {
        return Ok(true);
    }
    Standard::get(object.py())?.iscoroutine.bind(object.py()).call1((object,))?.is_truthy()
}

fn is_running(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    match event_loop.cast::<Loop>() {
        Ok(native) => Ok(native.get().is_running(event_loop.py())),
        Err(_) => event_loop.call_method0(intern!(event_loop.py(), "is_running"))?.is_truthy(),
    }
}
