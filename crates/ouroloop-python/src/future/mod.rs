//! `Future`: a result that is not there yet.
//!
//! # States
//!
//! | phase | `result` | `exception` | `callbacks` |
//! | --- | --- | --- | --- |
//! | `Pending` | none | none | any |
//! | `Cancelled` | none | none | none |
//! | `Finished` | or | or | none |
//!
//! `Pending` is left exactly once, by [`Future::finish`] alone, which hands every callback to the
//! loop. Whoever ends a future goes through it: `set_result`, `set_exception`, `cancel` and the
//! task's step.

#[cfg(Py_3_14)]
pub(crate) mod awaited_by;
mod class;
mod done;
mod ending;
pub(crate) mod iter;
pub(crate) mod kin;
mod links;
pub(crate) mod listen;
mod methods;
mod object;
mod state;

use pyo3::prelude::*;

use crate::native::{constructor, instance_dict, slots};

pub(crate) use done::{Bare, Done};
pub(crate) use ending::{Expire, Ready};
pub(crate) use kin::{cancel_awaited, exactly_native, is_cancelled, is_done};
pub(crate) use links::Link;
pub(crate) use object::{Future, stack_in_debug_mode};
pub(crate) use state::{FuturePhase, Home, Outcome};

/// Makes the classes of this module complete.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    object::VALUE_OFFSET.measure(&Bound::new(py, Future::new(Home::None))?);
    instance_dict::install::<Future>(py);
    slots::install_deallocate::<Future>(py);
    slots::install_await::<Future>(py);
    constructor::install_constructor::<Future>(py);
    kin::register::<Future>(py, kin::Which::Future, |future, message| {
        // SAFETY: it is asked about objects of exactly this class.
        Future::cancel(unsafe { future.cast_unchecked() }, message)
    });
    methods::install(py)?;
    slots::install_resume::<iter::FutureIter>(py);
    Ok(())
}
