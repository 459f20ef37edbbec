//! What a native coroutine does between two `await`s of its caller.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::native::slots::Resumed;

/// What a step brings: the value sent (`None` from every task), or the exception thrown.
pub(crate) type Incoming<'py> = Result<Bound<'py, PyAny>, PyErr>;

/// A coroutine's body: a state machine, or an `async fn` ([`super::Scope`]).
///
/// The first step always brings `Ok(None)`. After it has returned or raised, a body is dropped and
/// not stepped again. A suspended body that nobody wants any more is stepped with `GeneratorExit`.
pub(crate) trait Body {
    /// Runs to the next object to wait for, or to the end.
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed;

    /// Shows the garbage collector every reference that the body holds.
    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;

    /// What a suspended body steps through, for `cr_await`; only takes a reference.
    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let _ = py;
        None
    }

    /// The qualified name of the coroutine that asyncio has between this one, suspended, and what
    /// it waits for.
    fn within(&self) -> Option<&'static str> {
        None
    }
}
