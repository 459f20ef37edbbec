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

/// Completes the classes of these modules and gives `module` their names.
pub(crate) fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    sleep::install(module)?;
    timeout::install(module)?;
    wait_for::install(module)?;
    task_group::install(module)
}
