//! `Task`: a future that drives a coroutine.
//!
//! # The life of a task
//!
//! | it is | `awaited` | in the loop's ready queue |
//! | --- | --- | --- |
//! | about to step | none | one `Step`, `Throw` or `Wakeup` |
//! | stepping | none | nothing (what the step schedules comes after) |
//! | waiting | the future | nothing; the future's links hold one `Wakeup` |
//! | done | none | nothing |
//!
//! [`step`] carries out the transitions. `must_cancel` remembers a cancellation that found no
//! future to pass it on to; the next step throws it into the coroutine.

mod cancel;
mod class;
mod create;
mod entries;
mod last_words;
mod maker;
mod methods;
mod object;
pub(crate) mod registry;
mod schedule;
pub(crate) mod standard_step;
mod step;
pub(crate) mod substitutes;

use pyo3::prelude::*;

use crate::future::kin;
use crate::native::{constructor, instance_dict, slots};

pub(crate) use create::Making;
#[cfg(all(Py_3_13, not(Py_3_14)))]
pub(crate) use maker::unexpected;
pub(crate) use object::Task;

/// Makes the classes of this module complete.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    instance_dict::install::<Task>(py);
    slots::install_deallocate::<Task>(py);
    constructor::install_constructor::<Task>(py);
    kin::register::<Task>(py, kin::Which::Task, |task, message| {
        // SAFETY: it is asked about objects of exactly this class.
        Task::cancel(unsafe { task.cast_unchecked() }, message)
    });
    registry::install(py)
}
