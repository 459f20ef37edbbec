//! What puts awaitables together and bounds their time: `asyncio.sleep`, `timeout`, `wait_for`,
//! `TaskGroup`, ….

mod cancel_and_wait;
mod delay;
mod raising;
mod sleep;
mod task_group;
mod tasks;
pub(crate) mod timeout;
mod wait_for;

use pyo3::prelude::*;

/// Makes the classes of these modules complete.
pub(crate) fn install(py: Python<'_>) {
    timeout::install(py);
}

/// Puts the names of these modules into `_native`.
pub(crate) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    sleep::export(module)?;
    task_group::export(module)?;
    timeout::export(module)?;
    wait_for::export(module)
}
