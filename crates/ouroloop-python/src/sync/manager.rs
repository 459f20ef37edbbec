//! `async with`: acquire on the way in, release on the way out.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::coroutine::{Body, Coroutine, Incoming, iterator_of, step_into};
use crate::native::slots::{Deallocate, Resumed};

/// The names of the coroutines, by which tracebacks and warnings call them.
pub(super) const ENTER: &str = "_ContextManagerMixin.__aenter__";
pub(super) const EXIT: &str = "_ContextManagerMixin.__aexit__";

/// A primitive that native code can release.
pub(super) trait Release: Deallocate {
    fn release_natively(slf: &Bound<'_, Self>) -> PyResult<()>;
}

fn over(answer: PyResult<()>, py: Python<'_>) -> Resumed {
    match answer {
        Ok(()) => Resumed::Returned(py.None()),
        Err(error) => Resumed::Raised(error),
    }
}

struct Exit<T>(Py<T>);

impl<T: Release> Body for Exit<T> {
    fn step(&mut self, py: Python<'_>, _incoming: Incoming<'_>) -> Resumed {
        over(T::release_natively(self.0.bind(py)), py)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// `__aexit__` of an object whose `release` is native.
pub(super) fn exit<'py, T: Release>(object: &Bound<'py, T>) -> PyResult<Bound<'py, Coroutine>> {
    Coroutine::of(object.py(), EXIT, Exit(object.clone().unbind()))
}

struct EnterByMethod {
    object: Py<PyAny>,
    acquiring: Option<Py<PyAny>>,
}

impl EnterByMethod {
    /// What the wait for `acquire()` is stepped through.
    fn acquiring<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(iterator) = &self.acquiring {
            return Ok(iterator.bind(py).clone());
        }
        let acquire = self.object.bind(py).call_method0(intern!(py, "acquire"))?;
        let iterator = iterator_of(&acquire)?;
        self.acquiring = Some(iterator.clone().unbind());
        Ok(iterator)
    }
}

impl Body for EnterByMethod {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        match self.acquiring(py) {
            Ok(iterator) => match step_into(&iterator, incoming) {
                Resumed::Returned(_) => Resumed::Returned(py.None()),
                other => other,
            },
            Err(error) => Resumed::Raised(error),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)?;
        visit.call(&self.acquiring)
    }
}

/// `__aenter__` of an object whose `acquire` may be anybody's.
pub(super) fn enter_by_method<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Coroutine>> {
    let object = object.clone();
    Coroutine::of(object.py(), ENTER, EnterByMethod { object: object.unbind(), acquiring: None })
}

struct ExitByMethod(Py<PyAny>);

impl Body for ExitByMethod {
    fn step(&mut self, py: Python<'_>, _incoming: Incoming<'_>) -> Resumed {
        over(self.0.bind(py).call_method0(intern!(py, "release")).map(drop), py)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

/// `__aexit__` of an object whose `release` may be anybody's.
pub(super) fn exit_by_method<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Coroutine>> {
    Coroutine::of(object.py(), EXIT, ExitByMethod(object.clone().unbind()))
}
