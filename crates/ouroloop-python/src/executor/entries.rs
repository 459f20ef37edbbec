//! The outcome of a job as an entry of the loop's queue.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyAssertionError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::context::copy_current;
use crate::errors::concurrent::convert;
use crate::future::{Future, FuturePhase, Outcome};
use crate::handle::report_call;
use crate::interpreter::fresh::Text;
use crate::turn::Loop;
use crate::turn::{KindOf, Subject, Work};

/// Another thread has done what this future waits for: it is to end so.
#[derive(Debug)]
pub(super) struct Settle(pub(super) Py<Future>, pub(super) Outcome);

impl Work for Settle {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Settle> = KindOf::new("executor.settle");
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let future = self.0.bind(event_loop.py());
        settle(future, self.1).or_else(|error| report_settle(event_loop, future, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)?;
        self.1.visit(visit)
    }
}

/// Ends the future of a job, in the loop's thread.
///
/// # Errors
/// Those of ending a future, and `AssertionError` if somebody else has ended it.
fn settle(future: &Bound<'_, Future>, outcome: Outcome) -> PyResult<()> {
    match future.get().phase(future.py()) {
        FuturePhase::Cancelled => return Ok(()),
        FuturePhase::Finished => return Err(PyAssertionError::new_err(())),
        FuturePhase::Pending => {}
    }
    match outcome {
        Outcome::Result(_) => Future::finish(future, outcome),
        Outcome::Exception(error) => {
            Future::finish_with_error(future, &convert(error.bind(future.py()))?)
        }
        Outcome::Cancelled { message } => Future::cancel(future, message).map(drop),
    }
}

#[cold]
fn report_settle(
    event_loop: &Bound<'_, Loop>,
    future: &Bound<'_, Future>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    let callback = future.getattr(Text("set_exception"))?.unbind();
    report_call(event_loop, callback, None, copy_current(py)?, error)
}
