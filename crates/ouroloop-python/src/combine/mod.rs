//! What combines awaitables: `gather`, `wait`, `shield`, `as_completed`, and the ways from a
//! coroutine, an awaitable or another thread's future to a future of the loop.

mod as_completed;
mod chain;
mod child;
mod ensure;
pub(crate) mod gather;
mod shield;
mod threads;
mod wait;

use pyo3::prelude::*;

pub(crate) use chain::wrap as wrap_future;

/// Makes the classes of this module complete.
pub(crate) fn install(py: Python<'_>) {
    gather::install(py);
}

/// Puts the functions of this module into `_native`.
pub(crate) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    as_completed::export(module)?;
    chain::export(module)?;
    ensure::export(module)?;
    gather::export(module)?;
    shield::export(module)?;
    threads::export(module)?;
    #[cfg(Py_3_14)]
    {
        use crate::future::awaited_by;
        let add = wrap_pyfunction!(awaited_by::future_add_to_awaited_by, module)?;
        module.add_function(add)?;
        let discard = wrap_pyfunction!(awaited_by::future_discard_from_awaited_by, module)?;
        module.add_function(discard)?;
    }
    wait::export(module)
}
