//! What `await future` steps through.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::object::Future;
use super::state::FuturePhase;
use crate::interpreter::fresh::{self, Text};
use crate::native::cell::AttachedCell;
use crate::native::slots::{Await, Resume, Resumed, ended_with};

/// The iterator that `Future.__await__()` answers to Python code which calls it itself.
///
/// `await future` does without: see [`Future`]'s own [`Resume`].
#[pyclass(frozen, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct FutureIter {
    future: AttachedCell<Option<Py<Future>>>,
}

made_at_the_start!(FutureIter);

impl FutureIter {
    pub(crate) fn create<'py>(future: &Bound<'py, Future>) -> PyResult<Bound<'py, Self>> {
        let reference = Some(future.clone().unbind());
        Bound::new(future.py(), Self { future: AttachedCell::new(reference) })
    }
}

/// A step of `await future`: it yields the future if that is pending, else gives its result.
#[inline]
pub(crate) fn await_step(future: &Bound<'_, Future>) -> Resumed {
    enum Finding {
        Pending,
        AlreadyAwaited,
        Done,
    }
    let finding = future.get().state.with(future.py(), |state| match state.phase {
        FuturePhase::Pending if state.blocking => Finding::AlreadyAwaited,
        FuturePhase::Pending => {
            state.blocking = true;
            Finding::Pending
        }
        _ => Finding::Done,
    });
    match finding {
        Finding::Pending => Resumed::Yielded(future.clone().into_any().unbind()),
        Finding::Done => Future::result(future).map_or_else(Resumed::Raised, Resumed::Returned),
        Finding::AlreadyAwaited => {
            Resumed::Raised(fresh::error::<PyRuntimeError>("await wasn't used with future"))
        }
    }
}

/// What `await future` steps through is the future itself: whatever a step does depends on the
/// future's state alone. It has no `send`, `throw` and `close`, which `await` does not miss.
impl Resume for Future {
    const DROPS: bool = false;

    #[inline]
    fn resume(slf: &Bound<'_, Self>, _value: &Bound<'_, PyAny>) -> Resumed {
        await_step(slf)
    }
}

impl Await for Future {
    #[inline]
    fn check(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().check_initialized(slf.py())
    }
}

impl Resume for FutureIter {
    fn resume(slf: &Bound<'_, Self>, _value: &Bound<'_, PyAny>) -> Resumed {
        let py = slf.py();
        let Some(future) = slf.get().future.fetch(py) else {
            return Resumed::Returned(py.None());
        };
        let resumed = await_step(future.bind(py));
        if matches!(resumed, Resumed::Returned(_)) || future.get().is_done(py) {
            drop(slf.get().future.take(py));
        }
        resumed
    }
}

#[pymethods]
impl FutureIter {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Replaced by the slots that [`Resume`] describes; here so that the type has them.
    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        match Self::resume(slf, slf.py().None().bind(slf.py())) {
            Resumed::Yielded(future) => Ok(Some(future)),
            Resumed::Returned(_) => Ok(None),
            Resumed::Raised(error) => Err(error),
        }
    }

    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn send(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match Self::resume(slf, value) {
            Resumed::Yielded(future) => Ok(future),
            Resumed::Returned(result) => Err(ended_with(slf.py(), result)),
            Resumed::Raised(error) => Err(error),
        }
    }

    #[pyo3(signature = (exception, value=None, traceback=None, /))]
    fn throw(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        drop(slf.get().future.take(slf.py()));
        Err(thrown(exception, value, traceback)?)
    }

    fn close(&self, py: Python<'_>) {
        drop(self.future.take(py));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe { self.future.traverse(|future| visit.call(future)) }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.future.take(unsafe { Python::assume_attached() }));
    }
}

/// The error that `throw(exception, value, traceback)` of a generator raises.
///
/// # Errors
/// `TypeError` when the arguments do not make an exception.
pub(crate) fn thrown(
    exception: &Bound<'_, PyAny>,
    value: Option<&Bound<'_, PyAny>>,
    traceback: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyErr> {
    use pyo3::exceptions::{PyBaseException, PyDeprecationWarning, PyTypeError};
    let py = exception.py();
    if cfg!(Py_3_12) && (value.is_some() || traceback.is_some()) {
        let message = c"the (type, exc, tb) signature of throw() is deprecated, use the \
                        single-arg signature instead.";
        PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), message, 1)?;
    }
    let value = value.filter(|value| !value.is_none());
    let traceback = traceback.filter(|traceback| !traceback.is_none());
    if traceback.is_some_and(|traceback| !traceback.is_instance_of::<pyo3::types::PyTraceback>()) {
        return Err(fresh::error::<PyTypeError>(
            "throw() third argument must be a traceback object",
        ));
    }
    let instance = if let Ok(class) = exception.cast::<PyType>() {
        match value {
            Some(value) if value.is_instance(class)? => value.clone(),
            Some(value) => class.call1((value,))?,
            None => class.call0()?,
        }
    } else if value.is_some() {
        return Err(fresh::error::<PyTypeError>(
            "instance exception may not have a separate value",
        ));
    } else {
        exception.clone()
    };
    if !instance.is_instance_of::<PyBaseException>() {
        let kind = exception.get_type();
        let message = "exceptions must be classes or instances deriving from BaseException, not";
        return Err(fresh::error_saying::<PyTypeError>(format_args!("{message} {}", kind.name()?)));
    }
    if let Some(traceback) = traceback {
        instance.setattr(Text("__traceback__"), traceback)?;
    }
    Ok(PyErr::from_value(instance))
}
