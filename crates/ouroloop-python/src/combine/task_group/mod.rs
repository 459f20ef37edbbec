//! `asyncio.TaskGroup`.
//!
//! | it is | flags | tasks |
//! | --- | --- | --- |
//! | new | none | none |
//! | open | `entered` | any |
//! | leaving ([`leave`]) | `entered`, `exiting` | any: the parent waits for `completed` |
//! | finished | `entered`, `exiting` | none |
//!
//! `aborting` comes on top once something has gone wrong: the tasks have been cancelled, and no new
//! one is taken in. `parent_cancelled` says that the group has cancelled its parent, which it has to
//! take back.
//!
//! A native task tells its group by a `DoneListener` that it has ended. A class derived in Python may
//! override `_on_task_done`, `_abort` and `_is_base_error`, which are then called as methods.

mod class;
mod leave;
mod object;

use pyo3::prelude::*;

pub(crate) use object::TaskGroup;

/// Gives `module` the class.
pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TaskGroup>()
}
