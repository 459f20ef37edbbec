//! Callbacks as entries of the loop's queue.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::object::Handle;
use crate::turn::Loop;
use crate::turn::{KindOf, Subject, Watched, Work};

/// A callback whose handle the loop owns.
#[derive(Debug)]
pub(crate) struct HandleCall(pub(crate) Py<Handle>);

/// What was cancelled in the queue.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Work for HandleCall {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<HandleCall> = KindOf::new("handle.call").watched();
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        Handle::run(&self.0.into_bound(event_loop.py()))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Watched for HandleCall {
    fn again(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }
}

impl Work for Nothing {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Nothing> = KindOf::new("handle.nothing");
        &KIND
    }

    fn run(self, _: &Bound<'_, Loop>) -> PyResult<()> {
        Ok(())
    }

    fn subject(&self, _: Python<'_>) -> Option<Subject> {
        None
    }

    fn visit(&self, _: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}
