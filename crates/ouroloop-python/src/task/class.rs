//! `Task` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::create::Making;
use super::object::{Name, State, Task};
use super::registry;
use crate::future::{Future, Home};
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::constructor::Construct;
use crate::native::method::Arguments;
use crate::native::slots::Deallocate;
use crate::standard::Standard;
use crate::turn::Loop;

#[pymethods]
impl Task {
    #[cfg(Py_3_12)]
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(coro, *, loop=None, name=None, context=None, eager_start=False)"
    )]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Future::new(Home::None)).add_subclass(Self::empty())
    }

    #[cfg(not(Py_3_12))]
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(coro, *, loop=None, name=None, context=None)"
    )]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Future::new(Home::None)).add_subclass(Self::empty())
    }

    #[cfg(not(Py_3_12))]
    #[pyo3(signature = (coro, *, r#loop=None, name=None, context=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        coro: Bound<'_, PyAny>,
        r#loop: Option<Bound<'_, PyAny>>,
        name: Option<Bound<'_, PyAny>>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Self::initialize(
            slf,
            r#loop,
            &Making { coroutine: coro, name, context, eager_start: false },
        )
    }

    #[cfg(Py_3_12)]
    #[pyo3(signature = (coro, *, r#loop=None, name=None, context=None, eager_start=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        coro: Bound<'_, PyAny>,
        r#loop: Option<Bound<'_, PyAny>>,
        name: Option<Bound<'_, PyAny>>,
        context: Option<Bound<'_, PyAny>>,
        eager_start: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let eager_start = eager_start.map_or(Ok(false), |eager| eager.is_truthy())?;
        Self::initialize(slf, r#loop, &Making { coroutine: coro, name, context, eager_start })
    }

    /// The standard class for native objects proper, so that `isinstance` holds; a subclass is
    /// its own.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let class = slf.get_type();
        if class.is(slf.py().get_type::<Self>()) {
            return Ok(Standard::get(slf.py())?.task.bind(slf.py()).clone());
        }
        Ok(class.into_any())
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let _level = Level::enter(slf.py())?;
        slf.as_super().get().event_loop(slf.py())?;
        Standard::get(slf.py())?.task_repr.bind(slf.py()).call1((slf,))
    }

    #[pyo3(name = "cancel", signature = (msg=None))]
    fn py_cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        Self::cancel(slf, msg)
    }

    fn __del__(slf: &Bound<'_, Self>) {
        Self::finalize(slf);
    }

    pub(crate) fn cancelling(&self, py: Python<'_>) -> u32 {
        self.state.with(py, |state| state.cancel_requests)
    }

    pub(crate) fn uncancel(&self, py: Python<'_>) -> u32 {
        self.state.with(py, |state| {
            state.cancel_requests = state.cancel_requests.saturating_sub(1);
            if cfg!(Py_3_13) && state.cancel_requests == 0 {
                state.must_cancel = false;
            }
            state.cancel_requests
        })
    }

    fn get_coro(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.coroutine(py)
    }

    #[cfg(Py_3_12)]
    fn get_context(&self, py: Python<'_>) -> Py<PyAny> {
        self.context(py)
    }

    fn get_name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.name(py)
    }

    #[pyo3(name = "set_name", signature = (value, /))]
    fn py_set_name(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let exact = value.is_exact_instance_of::<PyString>();
        let name = if exact { value.clone() } else { value.str()?.into_any() };
        self.set_name(value.py(), Name::Given(name.unbind()));
        Ok(())
    }

    #[pyo3(signature = (*, limit=None))]
    fn get_stack<'py>(
        slf: &Bound<'py, Self>,
        limit: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Standard::get(slf.py())?.task_get_stack.bind(slf.py()).call1((slf, limit))
    }

    #[pyo3(signature = (*, limit=None, file=None))]
    fn print_stack<'py>(
        slf: &Bound<'py, Self>,
        limit: Option<&Bound<'py, PyAny>>,
        file: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Standard::get(slf.py())?.task_print_stack.bind(slf.py()).call1((slf, limit, file))
    }

    #[pyo3(signature = (result, /))]
    fn set_result(&self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = result;
        Err(unsupported("set_result"))
    }

    #[pyo3(signature = (exception, /))]
    fn set_exception(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = exception;
        Err(unsupported("set_exception"))
    }

    #[getter(_coro)]
    fn coroutine_attribute(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.coroutine(py)
    }

    #[getter(_fut_waiter)]
    fn fut_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.awaited.clone_ref(py))
    }

    #[getter(_must_cancel)]
    fn must_cancel(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.must_cancel)
    }

    #[getter(_num_cancels_requested)]
    fn num_cancels_requested(&self, py: Python<'_>) -> u32 {
        self.cancelling(py)
    }

    #[getter(_log_destroy_pending)]
    fn log_destroy_pending(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.log_destroy_pending)
    }

    #[setter(_log_destroy_pending)]
    fn set_log_destroy_pending(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = value.is_truthy()?;
        self.state.with(py, |state| state.log_destroy_pending = value);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                visit.call(&state.coroutine)?;
                visit.call(&state.context)?;
                visit.call(&state.awaited)?;
                match &state.name {
                    Name::Given(name) => visit.call(name),
                    Name::Numbered(_) => Ok(()),
                }
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.with(py, |state| {
            (state.coroutine.take(), state.context.take(), state.awaited.take())
        }));
    }
}

impl Task {
    fn coroutine(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.coroutine.clone_ref(py))
    }

    /// `Task.__init__`: a second call starts the task over, as asyncio has it.
    pub(super) fn initialize(
        slf: &Bound<'_, Self>,
        event_loop: Option<Bound<'_, PyAny>>,
        making: &Making<'_>,
    ) -> PyResult<()> {
        let py = slf.py();
        let event_loop = Future::default_loop(py, event_loop)?;
        slf.as_super().get().initialize(&event_loop)?;
        registry::forget(py, slf.get());
        drop(slf.get().state.replace(py, State::empty()));
        Self::begin(slf, making, &event_loop)
    }
}

impl Construct for Task {
    /// `Task(coro, loop=loop, …)` of a native loop.
    fn construct<'py>(arguments: &Arguments<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (Some(coroutine), 1) = (arguments.get(0), arguments.len()) else { return Ok(None) };
        let mut making = Making {
            coroutine: coroutine.to_owned(),
            name: None,
            context: None,
            eager_start: false,
        };
        let mut event_loop = None;
        for (name, value) in arguments.keywords() {
            match name.to_str()? {
                "loop" => event_loop = value.cast::<Loop>().ok(),
                "name" => making.name = given(value),
                "context" => making.context = given(value),
                "eager_start" if cfg!(Py_3_12) => making.eager_start = value.is_truthy()?,
                _ => return Ok(None),
            }
        }
        let Some(event_loop) = event_loop else { return Ok(None) };
        Ok(Some(Self::create(&event_loop, &making)?.into_any()))
    }
}

/// An optional argument's value.
fn given<'py>(value: Borrowed<'_, 'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    (!value.is_none()).then(|| value.to_owned())
}

/// asyncio's error for operations that only the coroutine performs.
fn unsupported(operation: &str) -> PyErr {
    fresh::error::<PyRuntimeError>(format!("Task does not support {operation} operation"))
}
