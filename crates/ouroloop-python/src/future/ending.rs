//! What ends futures from the loop's queue: time, and descriptors.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::object::Future;
use super::state::Outcome;
use crate::turn::{KindOf, Loop, Subject, Watched, Work};

/// A sleep is over: its future gets this result unless it is done.
#[derive(Debug)]
pub(crate) struct Expire(pub(crate) Py<Future>, pub(crate) Py<PyAny>);

/// The descriptor that this future waits for is ready.
#[derive(Debug)]
pub(crate) struct Ready(pub(crate) Py<Future>);

impl Work for Expire {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Expire> = KindOf::new("future.expire");
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        finish_unless_done(self.0.bind(event_loop.py()), self.1)
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)?;
        visit.call(&self.1)
    }
}

impl Work for Ready {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Ready> = KindOf::new("future.ready").watched();
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        finish_unless_done(self.0.bind(py), py.None())
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Watched for Ready {
    fn again(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }
}

fn finish_unless_done(future: &Bound<'_, Future>, result: Py<PyAny>) -> PyResult<()> {
    if future.get().is_done(future.py()) {
        return Ok(());
    }
    Future::finish(future, Outcome::Result(result))
}
