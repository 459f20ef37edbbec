//! What a native coroutine's `__await__` gives to Python code: an iterator over its steps.
//!
//! The coroutine itself is none to who asks, as any coroutine. An `await` steps through it all the same and makes
//! none of these.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::object::{Coroutine, answer};
use crate::native::slots::{self, Resume, Resumed};

/// The steps of a coroutine.
#[pyclass(frozen, name = "coroutine_wrapper", module = "ouroloop")]
pub(super) struct Wrapper {
    coroutine: Py<Coroutine>,
}

impl Wrapper {
    pub(super) fn new(coroutine: Py<Coroutine>) -> Self {
        Self { coroutine }
    }
}

impl Resume for Wrapper {
    fn resume(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Resumed {
        Coroutine::resume(slf.get().coroutine.bind(slf.py()), value)
    }
}

#[pymethods]
impl Wrapper {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Replaced by the slots that [`Resume`] describes; here so that the type has it.
    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        answer(py, Self::resume(slf, py.None().bind(py))).map(Some)
    }

    fn send(&self, value: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let coroutine = self.coroutine.bind(value.py()).clone();
        Coroutine::send(&coroutine, value)
    }

    #[pyo3(signature = (exception, value=None, traceback=None, /))]
    fn throw(
        &self,
        exception: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Coroutine::throw(self.coroutine.bind(exception.py()), exception, value, traceback)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        Coroutine::close(self.coroutine.bind(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.coroutine)
    }
}

/// Makes the class complete.
pub(super) fn install(py: Python<'_>) {
    slots::install_steps::<Wrapper>(py);
}
