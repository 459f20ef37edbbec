//! What ends futures from the loop's queue: time, and descriptors.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::object::Future;
use super::state::Outcome;
use crate::context::copy_current;
use crate::handle::report_call;
use crate::standard::Standard;
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
        finish_unless_done(event_loop, self.0, self.1)
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
        finish_unless_done(event_loop, self.0, event_loop.py().None())
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

/// Ends a future that has not ended; what goes wrong (a loop's own `call_soon` that raises in debug mode, no memory) is
/// told as asyncio's callback would have it.
fn finish_unless_done(
    event_loop: &Bound<'_, Loop>,
    future: Py<Future>,
    result: Py<PyAny>,
) -> PyResult<()> {
    let py = event_loop.py();
    if future.get().is_done(py) {
        return Ok(());
    }
    Future::finish(future.bind(py), Outcome::Result(result.clone_ref(py))).or_else(|error| {
        let callback = Standard::get(py)?.set_result_unless_cancelled.clone_ref(py);
        report_call(event_loop, callback, [future.into_any(), result], copy_current(py)?, error)
    })
}
