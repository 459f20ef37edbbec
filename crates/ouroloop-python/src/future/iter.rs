//! What `await future` steps through.

use std::sync::OnceLock;

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::{Future, Phase};
use crate::cell::AttachedCell;
use crate::shelf::{self, Shelf, Shelved};
use crate::slots::{Deallocate, Resume, Resumed};

/// The iterator of `Future.__await__`: it yields the future once if that is pending, then gives
/// its result.
#[pyclass(frozen, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct FutureIter {
    future: AttachedCell<Option<Py<Future>>>,
}

impl FutureIter {
    pub(crate) fn create<'py>(future: &Bound<'py, Future>) -> PyResult<Bound<'py, Self>> {
        let py = future.py();
        let reference = Some(future.clone().unbind());
        let Some(iterator) = shelf::take::<Self>(py) else {
            return Bound::new(py, Self { future: AttachedCell::new(reference) });
        };
        iterator.get().future.set(py, reference);
        shelf::track(&iterator);
        Ok(iterator)
    }
}

impl Deallocate for FutureIter {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }
}

impl Shelved for FutureIter {
    fn shelf() -> &'static Shelf {
        static SHELF: Shelf = Shelf::new();
        &SHELF
    }

    fn blank(slf: &Bound<'_, Self>) {
        if let Some(future) = slf.get().future.take(slf.py()) {
            future.drop_ref(slf.py());
        }
    }
}

/// What a step of an `await` finds.
enum Step {
    Wait,
    AlreadyWaiting,
    Done,
}

/// A step of `await future`, for bodies that do without the iterator: the first, and each one that
/// brings no exception.
#[inline]
pub(crate) fn await_step(future: &Bound<'_, Future>) -> Resumed {
    let step = future.get().state.with(future.py(), |state| match state.phase {
        Phase::Pending if state.blocking => Step::AlreadyWaiting,
        Phase::Pending => {
            state.blocking = true;
            Step::Wait
        }
        _ => Step::Done,
    });
    match step {
        Step::Done => match Future::result(future) {
            Ok(result) => Resumed::Returned(result),
            Err(error) => Resumed::Raised(error),
        },
        Step::Wait => Resumed::Yielded(future.as_any().clone().unbind()),
        Step::AlreadyWaiting => {
            Resumed::Raised(PyRuntimeError::new_err("await wasn't used with future"))
        }
    }
}

impl Resume for FutureIter {
    #[inline]
    fn resume(slf: &Bound<'_, Self>, _value: &Bound<'_, PyAny>) -> Resumed {
        let py = slf.py();
        let Some(future) = slf.get().future.take(py) else {
            return Resumed::Returned(py.None());
        };
        let future = future.into_bound(py);
        let pending = !future.get().is_done(py);
        let resumed = await_step(&future);
        if pending {
            slf.get().future.set(py, Some(future.unbind()));
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
            Resumed::Returned(result) => {
                Err(PyErr::new::<pyo3::exceptions::PyStopIteration, _>((result,)))
            }
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
        return Err(PyTypeError::new_err("throw() third argument must be a traceback object"));
    }
    let instance = if let Ok(class) = exception.cast::<PyType>() {
        match value {
            Some(value) if value.is_instance(class)? => value.clone(),
            Some(value) => class.call1((value,))?,
            None => class.call0()?,
        }
    } else if value.is_some() {
        return Err(PyTypeError::new_err("instance exception may not have a separate value"));
    } else {
        exception.clone()
    };
    if !instance.is_instance_of::<PyBaseException>() {
        let kind = exception.get_type();
        let message = "exceptions must be classes or instances deriving from BaseException, not";
        return Err(PyTypeError::new_err(format!("{message} {}", kind.name()?)));
    }
    if let Some(traceback) = traceback {
        instance.setattr("__traceback__", traceback)?;
    }
    Ok(PyErr::from_value(instance))
}
