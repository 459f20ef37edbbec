//! Native coroutines: objects that Python awaits and Rust carries out.
//!
//! A [`Coroutine`] is stepped like any Python coroutine, by `send`, `throw` and `close`. What it does
//! is its [`Body`]: a state machine where every nanosecond counts, an `async fn` elsewhere.
//!
//! | it is | `stand` | a step |
//! | --- | --- | --- |
//! | not started | `Fresh(body)` | runs the body |
//! | waiting | `Suspended(body)` | runs the body |
//! | about to let one turn pass | `Pausing(result)` | yields `None` |
//! | letting it pass | `Paused(result)` | returns the result |
//! | running | `Stepping` | `ValueError` |
//! | over | `Finished` | `RuntimeError` |

mod body;
mod class;
mod drive;
mod frame;
mod object;
mod origin;
mod scope;
mod wrapper;

use pyo3::prelude::*;

use crate::native::slots;

pub(crate) use body::{Body, Incoming};
pub(crate) use drive::{iterator_of, left_by, step_into};
pub(crate) use object::Coroutine;
#[cfg(Py_3_12)]
pub(crate) use scope::async_body;
pub(crate) use scope::{Kept, Scope, next_turn, nothing};

/// Makes the class complete.
///
/// # Errors
/// What the functions of `sys` raise.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    slots::install_deallocate::<Coroutine>(py);
    slots::install_resume::<Coroutine>(py);
    wrapper::install(py);
    origin::find(py)
}
