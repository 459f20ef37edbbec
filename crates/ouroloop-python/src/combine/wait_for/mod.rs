//! `asyncio.wait_for`.
//!
//! From 3.12 on it is a time-out's block around an `await` ([`block`]), before that a task and a
//! timer that race to end one future (`race`). Without any time to wait both do the same.

#[cfg(Py_3_12)]
mod block;
#[cfg(not(Py_3_12))]
mod race;

use pyo3::prelude::*;

use crate::coroutine::Coroutine;

/// Waits for `fut`, but not longer than `timeout` seconds, `None` for as long as it takes.
///
/// When the time is over, or the wait is cancelled, `fut` is cancelled too.
#[pyfunction]
#[pyo3(name = "wait_for", signature = (fut, timeout))]
fn wait_for(py: Python<'_>, fut: Py<PyAny>, timeout: Py<PyAny>) -> PyResult<Bound<'_, Coroutine>> {
    #[cfg(Py_3_12)]
    return Coroutine::of(py, "wait_for", block::WaitFor::new(fut, timeout));
    #[cfg(not(Py_3_12))]
    Coroutine::new(py, "wait_for", |scope| {
        let (awaitable, delay) = (scope.keep(fut.bind(py)), scope.keep(timeout.bind(py)));
        race::race(scope, awaitable, delay)
    })
}

/// Gives `module` the function.
pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(wait_for, module)?)
}
