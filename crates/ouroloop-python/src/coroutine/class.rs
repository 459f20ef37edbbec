//! `coroutine` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::frame;
use super::object::{Coroutine, Stand, answer};
use super::wrapper::Wrapper;
use crate::future::iter::thrown;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::native::shelf::{self, Shelved};
use crate::native::slots::{Deallocate, Resumed};
use crate::standard::Standard;

#[pymethods]
impl Coroutine {
    /// For who asks by name; an `await` goes by the slot that `Resume` describes.
    fn __await__(slf: Py<Self>) -> Wrapper {
        Wrapper::new(slf)
    }

    pub(super) fn send<'py>(
        slf: &Bound<'py, Self>,
        value: Bound<'py, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        answer(slf.py(), Self::step(slf, Ok(value)))
    }

    #[pyo3(signature = (exception, value=None, traceback=None, /))]
    pub(super) fn throw(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let error = thrown(exception, value, traceback)?;
        answer(slf.py(), Self::step(slf, Err(error)))
    }

    pub(super) fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().stand.with(py, |stand| matches!(stand, Stand::Finished)) {
            return Ok(());
        }
        match Self::step(slf, Err(PyGeneratorExit::new_err(()))) {
            Resumed::Yielded(_) => {
                Err(fresh::error::<PyRuntimeError>("coroutine ignored GeneratorExit"))
            }
            Resumed::Returned(_) => Ok(()),
            Resumed::Raised(error) if error.is_instance_of::<PyGeneratorExit>(py) => Ok(()),
            Resumed::Raised(error) => Err(error),
        }
    }

    #[getter]
    fn __name__(&self, py: Python<'_>) -> Text<&'static str> {
        let name = self.name(py);
        Text(name.rsplit('.').next().unwrap_or(name))
    }

    #[getter]
    fn __qualname__(&self, py: Python<'_>) -> Text<&'static str> {
        Text(self.name(py))
    }

    /// What the interpreter's own coroutines say they are, so that `isinstance` and
    /// `inspect.iscoroutine` hold.
    #[getter]
    fn __class__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(Standard::get(slf.py())?.coroutine.clone_ref(slf.py()))
    }

    /// The frame of a stand-in ([`super::frame`]), until the coroutine is over.
    #[getter]
    fn cr_frame<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        if slf.get().stand.with(py, |stand| matches!(stand, Stand::Finished)) {
            return Ok(None);
        }
        let stand_in = frame::stand_in(slf.as_any(), slf.get().name(py))?;
        stand_in.getattr(intern!(py, "cr_frame")).map(Some)
    }

    #[getter]
    fn cr_code<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        frame::code(py, self.name(py))
    }

    /// Where it was made, if that was to be known.
    #[getter]
    fn cr_origin(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.origin.with(py, |origin| origin.clone_ref(py))
    }

    #[getter]
    fn cr_suspended(&self, py: Python<'_>) -> bool {
        self.stand.with(py, |stand| matches!(stand, Stand::Suspended(_) | Stand::Paused(_)))
    }

    /// One of the names that `inspect` has for it.
    #[cfg(Py_3_15)]
    #[getter]
    fn cr_state(&self, py: Python<'_>) -> Text<&'static str> {
        Text(self.stand.with(py, |stand| match stand {
            Stand::Fresh(_) | Stand::Pausing(_) => "CORO_CREATED",
            Stand::Suspended(_) | Stand::Paused(_) => "CORO_SUSPENDED",
            Stand::Stepping => "CORO_RUNNING",
            Stand::Finished => "CORO_CLOSED",
        }))
    }

    /// What it waits for, as far as its body tells.
    #[getter]
    fn cr_await(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let (within, awaited) = slf.get().stand.with(py, |stand| match stand {
            Stand::Suspended(body) => (body.within(), body.awaited(py)),
            _ => (None, None),
        });
        match within {
            Some(name) => {
                frame::stand_in(slf.as_any(), name).map(|stand_in| Some(stand_in.unbind()))
            }
            None => Ok(awaited),
        }
    }

    #[getter]
    fn cr_running(&self, py: Python<'_>) -> bool {
        self.stand.with(py, |stand| matches!(stand, Stand::Stepping))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> Text<String> {
        Text(format!("<coroutine object {} at {:p}>", slf.get().name(slf.py()), slf.as_ptr()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.stand.traverse(|stand| match stand {
                Stand::Fresh(body) | Stand::Suspended(body) => body.visit(&visit),
                Stand::Pausing(result) | Stand::Paused(result) => visit.call(result),
                Stand::Stepping | Stand::Finished => Ok(()),
            })?;
            self.origin.traverse(|origin| visit.call(origin))
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.stand.replace(py, Stand::Finished));
    }
}

impl Deallocate for Coroutine {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().stand.with(slf.py(), |stand| !matches!(stand, Stand::Finished))
    }

    /// Warns of a coroutine that never ran; closes one that waits, so that its body can clean up
    /// while everything it refers to is whole.
    fn last_words(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let said = if slf
            .get()
            .stand
            .with(py, |stand| matches!(stand, Stand::Fresh(_) | Stand::Pausing(_)))
        {
            Self::warn(slf)
        } else {
            Self::close(slf)
        };
        if let Err(error) = said {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }
}

impl Shelved for Coroutine {
    has_shelf!();

    fn blank(slf: &Bound<'_, Self>) {
        // A body is left only by a coroutine that had last words, which is never shelved.
        drop(slf.get().stand.replace(slf.py(), Stand::Finished));
        if let Some(origin) = slf.get().origin.with(slf.py(), Option::take) {
            origin.drop_ref(slf.py());
        }
    }
}
