//! A time-out's alarm as an entry of the loop's queue.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::Timeout;
use crate::context::copy_current;
use crate::event_loop::Loop;
use crate::handle::report_call;
use crate::interpreter::fresh::Text;
use crate::turn::{KindOf, Subject, Work};

/// A time-out's alarm of this number.
#[derive(Debug)]
pub(super) struct Deadline(pub(super) Py<Timeout>, pub(super) u32);

impl Work for Deadline {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Deadline> = KindOf::new("timeout.deadline");
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let timeout = self.0.bind(event_loop.py());
        Timeout::ring(timeout, self.1).or_else(|error| report_ring(event_loop, timeout, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

#[cold]
fn report_ring(
    event_loop: &Bound<'_, Loop>,
    timeout: &Bound<'_, Timeout>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    let callback = timeout.getattr(Text("_on_timeout"))?.unbind();
    report_call(event_loop, callback, None, copy_current(py)?, error)
}
