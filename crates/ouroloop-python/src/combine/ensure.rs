//! From awaitables to futures: `ensure_future`, `create_task`, `isfuture`, `iscoroutine`.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::child::loop_of;
use crate::coroutine::{Body, Coroutine, Incoming, iterator_of, step_into};
use crate::future::exactly_native;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::slots::Resumed;
use crate::standard::Standard;
use crate::task::{Making, Task};
use crate::turn::Loop;
use crate::waiting::running_loop;

/// Who makes the tasks of a loop.
#[derive(Debug)]
pub(super) enum Maker<'py> {
    /// We do, at once.
    Native(Bound<'py, Loop>),
    /// The loop's `create_task`, which is not ours or has been given a factory.
    Foreign(Bound<'py, PyAny>),
}

impl<'py> Maker<'py> {
    pub(super) fn of(event_loop: &Bound<'py, PyAny>) -> PyResult<Self> {
        match event_loop.cast::<Loop>() {
            Ok(native) if Loop::makes_native_tasks(native)? => Ok(Self::Native(native.clone())),
            _ => Ok(Self::Foreign(event_loop.clone())),
        }
    }

    /// `event_loop.create_task(coroutine)`.
    pub(super) fn make(&self, coroutine: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Native(event_loop) => {
                event_loop.get().check_closed(event_loop.py())?;
                let making = Making { coroutine, name: None, context: None, eager_start: false };
                Ok(Task::create(event_loop, &making)?.into_any())
            }
            Self::Foreign(event_loop) => {
                event_loop.call_method1(intern!(event_loop.py(), "create_task"), (coroutine,))
            }
        }
    }
}

/// Makes futures of whatever can be awaited.
#[derive(Debug, Default)]
pub(super) struct Ensure<'py> {
    event_loop: Option<Bound<'py, PyAny>>,
    maker: Option<Maker<'py>>,
}

impl<'py> Ensure<'py> {
    /// Tasks are made on `event_loop`, or on the current one if there is none; futures have to
    /// be of the one that is given.
    pub(super) fn on(event_loop: Option<Bound<'py, PyAny>>) -> Self {
        Self { event_loop, maker: None }
    }

    /// The loop that later futures have to be of.
    pub(super) fn event_loop(&self) -> Option<&Bound<'py, PyAny>> {
        self.event_loop.as_ref()
    }

    /// The first future decides on the loop if nobody else has.
    pub(super) fn settle_on_loop_of(&mut self, future: &Bound<'py, PyAny>) -> PyResult<()> {
        if self.event_loop.is_none() {
            self.event_loop = Some(loop_of(future)?);
            self.maker = None;
        }
        Ok(())
    }

    /// `asyncio.ensure_future(object)`.
    ///
    /// # Errors
    /// `TypeError` for what cannot be awaited, `ValueError` for a future of another loop; those of
    /// finding a loop and of making a task.
    pub(super) fn future_of(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        let mut wrapped = false;
        let coroutine = if is_exact_coroutine(object) {
            object.clone()
        } else if is_future(object)? {
            if let Some(event_loop) = &self.event_loop
                && !loop_of(object)?.is(event_loop)
            {
                let message = "The future belongs to a different loop than the one specified as \
                               the loop argument";
                return Err(fresh::error::<PyValueError>(message));
            }
            return Ok(object.clone());
        } else if is_coroutine(object)? {
            object.clone()
        } else if Standard::get(py)?.isawaitable.bind(py).call1((object,))?.is_truthy()? {
            wrapped = true;
            Awaiting::coroutine(object)?.into_any()
        } else {
            let message = "An asyncio.Future, a coroutine or an awaitable is required";
            return Err(fresh::error::<PyTypeError>(message));
        };
        let answer = self.maker(py)?.make(coroutine);
        match answer {
            Err(error) if !wrapped && error.is_instance_of::<PyRuntimeError>(py) => {
                object.call_method0(intern!(py, "close"))?;
                Err(error)
            }
            answer => answer,
        }
    }

    fn maker(&mut self, py: Python<'py>) -> PyResult<&Maker<'py>> {
        if self.maker.is_none() {
            self.maker = Some(match &self.event_loop {
                Some(event_loop) => Maker::of(event_loop)?,
                None => Maker::of(&Standard::get(py)?.get_event_loop.bind(py).call0()?)?,
            });
        }
        Ok(self.maker.as_ref().expect("it was just made"))
    }
}

/// A coroutine of the interpreter's or of ours: what nearly every task is made of.
pub(super) fn is_exact_coroutine(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: attached; compares the object's type.
    (unsafe { ffi::PyCoro_CheckExact(object.as_ptr()) != 0 })
        || object.is_exact_instance_of::<Coroutine>()
}

/// `asyncio.isfuture`.
pub(super) fn is_future(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if exactly_native(object).is_some() {
        return Ok(true);
    }
    Standard::get(object.py())?.isfuture.bind(object.py()).call1((object,))?.is_truthy()
}

/// `asyncio.iscoroutine`.
pub(super) fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if is_exact_coroutine(object) {
        return Ok(true);
    }
    if exactly_native(object).is_some() {
        return Ok(false);
    }
    Standard::get(object.py())?.iscoroutine.bind(object.py()).call1((object,))?.is_truthy()
}

/// The body of the coroutine that stands for an awaitable which is none: a task wants one.
struct Awaiting {
    awaitable: Option<Py<PyAny>>,
    iterator: Option<Py<PyAny>>,
}

impl Awaiting {
    const NAME: &str =
        if cfg!(Py_3_12) { "ensure_future.<locals>._wrap_awaitable" } else { "_wrap_awaitable" };

    fn coroutine<'py>(awaitable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Coroutine>> {
        let body = Self { awaitable: Some(awaitable.clone().unbind()), iterator: None };
        Coroutine::of(awaitable.py(), Self::NAME, body)
    }
}

impl Body for Awaiting {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        if let Some(awaitable) = self.awaitable.take() {
            match iterator_of(awaitable.bind(py)) {
                Ok(iterator) => self.iterator = Some(iterator.unbind()),
                Err(error) => return Resumed::Raised(error),
            }
        }
        match &self.iterator {
            Some(iterator) => step_into(iterator.bind(py), incoming),
            None => Resumed::Returned(py.None()),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.awaitable)?;
        visit.call(&self.iterator)
    }

    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.iterator.clone_ref(py)
    }
}

/// Make a future of a coroutine, a future or any other awaitable.
///
/// A future is given back as it is, and has to be one of `loop` if that is given. Anything else
/// becomes a task of `loop`, or of the current loop.
#[pyfunction]
#[pyo3(signature = (coro_or_future, *, r#loop=None))]
fn ensure_future<'py>(
    coro_or_future: &Bound<'py, PyAny>,
    r#loop: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    Ensure::on(r#loop).future_of(coro_or_future)
}

/// Tell whether an object is a future, or says that it can stand for one.
#[pyfunction]
#[pyo3(signature = (obj))]
fn isfuture(obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    is_future(obj)
}

/// Tell whether an object is a coroutine object.
#[pyfunction]
#[pyo3(signature = (obj))]
fn iscoroutine(obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    is_coroutine(obj)
}

/// Schedule a coroutine as a task of the running loop and return the task.
#[cfg(not(Py_3_14))]
#[pyfunction]
#[pyo3(signature = (coro, *, name=None, context=None))]
fn create_task<'py>(
    coro: Bound<'py, PyAny>,
    name: Option<Bound<'py, PyAny>>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    let event_loop = match Maker::of(&running_loop(py)?)? {
        Maker::Native(event_loop) => {
            event_loop.get().check_closed(py)?;
            let making = Making { coroutine: coro, name, context, eager_start: false };
            return Ok(Task::create(&event_loop, &making)?.into_any());
        }
        Maker::Foreign(event_loop) => event_loop,
    };
    let keywords = fresh::dict(py)?;
    if cfg!(Py_3_13) {
        keywords.set_item(intern!(py, "name"), &name)?;
    }
    if let Some(context) = context {
        keywords.set_item(intern!(py, "context"), context)?;
    }
    let task = event_loop.call_method(intern!(py, "create_task"), (coro,), Some(&keywords))?;
    if cfg!(not(Py_3_13))
        && let Some(name) = name
    {
        match task.getattr_opt(intern!(py, "set_name"))? {
            Some(set_name) => drop(set_name.call1((name,))?),
            None => PyErr::warn(
                py,
                &py.get_type::<pyo3::exceptions::PyDeprecationWarning>(),
                c"Task.set_name() was added in Python 3.8, the method support will be mandatory \
                  for third-party task implementations since 3.13.",
                1,
            )?,
        }
    }
    Ok(task)
}

/// Schedule a coroutine as a task of the running loop and return the task.
///
/// The keywords are those of the loop's `create_task`.
#[cfg(Py_3_14)]
#[pyfunction]
#[pyo3(signature = (coro, **kwargs))]
fn create_task<'py>(
    coro: Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, pyo3::types::PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    let event_loop = running_loop(py)?;
    match kwargs {
        None => Maker::of(&event_loop)?.make(coro),
        Some(_) => event_loop.call_method(intern!(py, "create_task"), (coro,), kwargs),
    }
}

pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ensure_future, module)?)?;
    module.add_function(wrap_pyfunction!(create_task, module)?)?;
    module.add_function(wrap_pyfunction!(isfuture, module)?)?;
    module.add_function(wrap_pyfunction!(iscoroutine, module)?)
}
