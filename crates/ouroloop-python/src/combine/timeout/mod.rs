//! `asyncio.timeout`, `timeout_at` and `Timeout`.
//!
//! | phase | alarm | left by |
//! | --- | --- | --- |
//! | `Created` | none | `enter` |
//! | `Entered` | set, unless there is no deadline | the alarm; `exit` |
//! | `Expiring` | none: the task has been cancelled | `exit` |
//! | `Expired`, `Exited` | none | |
//!
//! On a native loop the alarm is an entry among the engine's timers, or in the ready queue when the
//! deadline has passed already, and no object of Python's. Each entry carries the number of the
//! alarm that it was set for, and one that is out of date does nothing: the ready queue cannot
//! be searched.

mod class;
mod conversion;
mod object;
mod when;

use pyo3::prelude::*;

pub(super) use conversion::timeout_from;
pub(super) use object::Timeout;
#[cfg(Py_3_12)]
pub(super) use object::task_of;
#[cfg(Py_3_12)]
pub(super) use when::When;

/// Makes the class complete.
pub(super) fn install(py: Python<'_>) {
    crate::native::slots::install_deallocate::<Timeout>(py);
}

/// Gives `module` the names.
pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Timeout>()?;
    module.add_function(wrap_pyfunction!(class::timeout, module)?)?;
    module.add_function(wrap_pyfunction!(class::timeout_at, module)?)
}
