//! What combines awaitables and bounds their time: `asyncio.sleep`, `gather`, `wait`, `timeout`,
//! `TaskGroup` and their kin, and the ways from a coroutine, an awaitable or another thread's
//! future to a future of the loop.

mod as_completed;
mod cancel_and_wait;
mod chain;
mod child;
mod delay;
mod ensure;
pub(crate) mod gather;
mod shield;
mod sleep;
mod task_group;
mod tasks;
mod threads;
pub(crate) mod timeout;
mod wait;
mod wait_for;

use pyo3::prelude::*;

pub(crate) use chain::wrap as wrap_future;

/// Makes the classes of these modules complete.
pub(crate) fn install(py: Python<'_>) {
    gather::install(py);
    timeout::install(py);
}

/// Puts the names of these modules into `_native`.
pub(crate) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    as_completed::export(module)?;
    chain::export(module)?;
    ensure::export(module)?;
    gather::export(module)?;
    shield::export(module)?;
    sleep::export(module)?;
    task_group::export(module)?;
    threads::export(module)?;
    timeout::export(module)?;
    #[cfg(Py_3_14)]
    {
        use crate::future::awaited_by;
        let add = wrap_pyfunction!(awaited_by::future_add_to_awaited_by, module)?;
        module.add_function(add)?;
        let discard = wrap_pyfunction!(awaited_by::future_discard_from_awaited_by, module)?;
        module.add_function(discard)?;
    }
    wait::export(module)?;
    wait_for::export(module)
}
