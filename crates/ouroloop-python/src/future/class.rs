//! `Future` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyGenericAlias, PyList, PyTuple, PyType};

use super::iter::FutureIter;
use super::links::Link;
use super::object::{Future, VALUE_OFFSET};
use super::state::{FuturePhase, Home, State};
use crate::context::copy_current;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::{gathered, vector};
use crate::native::constructor::Construct;
use crate::native::instance_dict;
use crate::native::method::Arguments;
use crate::native::slots::Deallocate;
use crate::standard::{Standard, invalid_state, raised};
use crate::turn::Loop;

impl Future {
    /// The loop for an object made without `loop=`.
    pub(crate) fn default_loop<'py>(
        py: Python<'py>,
        event_loop: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match event_loop.filter(|event_loop| !event_loop.is_none()) {
            Some(event_loop) => Ok(event_loop),
            None => Ok(Standard::get(py)?.get_event_loop.bind(py).call0()?),
        }
    }

    /// Gives an object that Python made its loop; a second call starts it over, as asyncio has it.
    pub(crate) fn initialize(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        if cfg!(Py_3_15) && self.state.with(py, |state| !matches!(state.home, Home::None)) {
            let message = "_asyncio.Future object is already initialized";
            return Err(fresh::error::<PyRuntimeError>(message));
        }
        drop(self.state.replace(py, State::new(Home::of(event_loop))));
        self.remember_source(py, event_loop)
    }
}

impl Construct for Future {
    /// `Future(loop=loop)` of a native loop.
    fn construct<'py>(arguments: &Arguments<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let event_loop = arguments.only_keyword("loop").filter(|_| arguments.len() == 0);
        match event_loop.map(Borrowed::cast::<Loop>) {
            Some(Ok(native)) => Ok(Some(Self::create(&native)?.into_any())),
            _ => Ok(None),
        }
    }
}

#[pymethods]
impl Future {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(*, loop=None)")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new(Home::None)
    }

    #[pyo3(signature = (*, r#loop=None))]
    fn __init__(slf: &Bound<'_, Self>, r#loop: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let event_loop = Self::default_loop(slf.py(), r#loop)?;
        slf.get().initialize(&event_loop)
    }

    /// The standard class for native objects proper, so that `isinstance` holds; a subclass is
    /// its own.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let class = slf.get_type();
        if class.is(slf.py().get_type::<Self>()) {
            return Ok(Standard::get(slf.py())?.future.bind(slf.py()).clone());
        }
        Ok(class.into_any())
    }

    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyGenericAlias>> {
        PyGenericAlias::new(cls.py(), cls.as_any(), item)
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let _level = Level::enter(slf.py())?;
        slf.get().check_initialized(slf.py())?;
        Standard::get(slf.py())?.future_repr.bind(slf.py()).call1((slf,))
    }

    #[getter(__dict__)]
    fn instance_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        instance_dict::get(slf.as_any())
    }

    fn __del__(slf: &Bound<'_, Self>) {
        Self::finalize(slf);
    }

    fn cancelled(&self, py: Python<'_>) -> bool {
        self.phase(py) == FuturePhase::Cancelled
    }

    fn exception(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        slf.get().event_loop(py).map_err(|_| invalid_state(py, NOT_INITIALIZED))?;
        let (phase, exception) = slf.get().state.with(py, |state| {
            if state.phase == FuturePhase::Finished {
                state.log_traceback = false;
            }
            (state.phase, state.exception.clone_ref(py))
        });
        match phase {
            FuturePhase::Cancelled => Err(raised(Self::make_cancelled_error(slf)?)),
            FuturePhase::Pending => Err(invalid_state(py, "Exception is not set.")),
            FuturePhase::Finished => Ok(exception),
        }
    }

    #[pyo3(signature = (exception, /))]
    fn set_exception(slf: &Bound<'_, Self>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().check_initialized(slf.py())?;
        Self::finish_with_error(slf, exception)
    }

    #[pyo3(name = "cancel", signature = (msg=None))]
    fn py_cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        slf.get().check_initialized(slf.py())?;
        Self::cancel(slf, msg)
    }

    #[pyo3(signature = (r#fn, /, *, context=None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        r#fn: Py<PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        slf.get().check_initialized(slf.py())?;
        let context = match context {
            Some(context) => context,
            None => copy_current(slf.py())?,
        };
        Self::add_link(slf, Link::Call { callback: r#fn, context })
    }

    #[pyo3(signature = (r#fn, /))]
    fn remove_done_callback(slf: &Bound<'_, Self>, r#fn: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        slf.get().check_initialized(py)?;
        // Comparing calls Python code, which may change the list: work on a copy, then take out
        // exactly what compared equal.
        let links = slf.get().all_links(py)?;
        let (mut removed, mut gone) = (vector(py, links.len())?, vector(py, links.len())?);
        for link in links {
            let equal = match &link {
                Link::Call { callback, .. } => callback.bind(py).eq(r#fn)?,
                Link::Listener(listener) => listener.callable(py)?.eq(r#fn)?,
            };
            if equal {
                removed.push(link);
            }
        }
        slf.get().state.with(py, |state| {
            state.links.retain(|link| !removed.iter().any(|removed| removed.is(link)), &mut gone);
        });
        Ok(gone.len())
    }

    fn get_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.event_loop(py)
    }

    fn __iter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, FutureIter>> {
        slf.get().check_initialized(slf.py())?;
        FutureIter::create(&slf)
    }

    fn __await__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, FutureIter>> {
        Self::__iter__(slf)
    }

    #[pyo3(name = "_make_cancelled_error")]
    fn make_cancelled_error<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Self::cancelled_error(slf)?.into_value(slf.py()).into_bound(slf.py()).into_any())
    }

    #[getter(_state)]
    fn state_name(&self, py: Python<'_>) -> Text<&'static str> {
        Text(self.phase(py).name())
    }

    #[getter(_asyncio_future_blocking)]
    fn blocking(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.blocking)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, py: Python<'_>, value: bool) {
        self.state.with(py, |state| state.blocking = value);
    }

    #[getter(_loop)]
    fn loop_or_none(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.home.object().map(|object| object.clone_ref(py)))
    }

    #[getter(_callbacks)]
    fn callbacks<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let links = self.all_links(py)?;
        if links.is_empty() {
            return Ok(None);
        }
        let pairs = links.into_iter().map(|link| {
            let (callback, context) = link.into_call(py)?;
            fresh::tuple(py, [callback, context])
        });
        fresh::list(py, gathered(py, pairs)?).map(Some)
    }

    #[getter(_result)]
    fn raw_result(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.result.clone_ref(py))
    }

    #[getter(_exception)]
    fn raw_exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.exception.clone_ref(py))
    }

    #[getter(_log_traceback)]
    fn log_traceback(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.log_traceback)
    }

    #[setter(_log_traceback)]
    fn set_log_traceback(&self, py: Python<'_>, value: bool) -> PyResult<()> {
        if value {
            return Err(fresh::error::<PyValueError>("_log_traceback can only be set to False"));
        }
        self.state.with(py, |state| state.log_traceback = false);
        Ok(())
    }

    #[getter(_source_traceback)]
    fn source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.rare(py, |rare| &rare.source_traceback))
    }

    #[getter(_cancel_message)]
    fn cancel_message(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.rare(py, |rare| &rare.cancel_message))
    }

    #[setter(_cancel_message)]
    fn set_cancel_message(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        drop(self.state.with(py, |state| state.set_rare(|rare| &mut rare.cancel_message, value)));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.state.traverse(|state| state.visit(&visit))
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: futures and tasks have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        drop(self.state.with(py, State::clear));
    }
}

/// asyncio's text for an object whose `__init__` has not run.
pub(crate) const NOT_INITIALIZED: &str = "Future object is not initialized.";
