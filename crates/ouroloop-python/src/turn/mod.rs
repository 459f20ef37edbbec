//! The loop's heart: its queue, its timers, the descriptors that it watches, who runs.
//!
//! An [`Entry`] is one piece of work of some kind. Each kind stands in the room that makes it (a task's step in
//! `task/`, a transport's readiness in `transport/`) and says by [`Work`] what can be done with it; nothing in
//! here knows any of them, so a new kind touches its own room alone. What Python sees of a loop are the chapters of
//! `event_loop/`, on top of everything.
//!
//! | file | owns |
//! | --- | --- |
//! | `entry.rs`, `work.rs` | an entry of the queue, and how a room makes entries of work of its own |
//! | `event_loop.rs` | [`Loop`] itself: its state, whose it is, whether it runs |
//! | `timekeeping.rs`, `clock.rs`, `timers.rs` | whose time it goes by, and timers that are no handles |
//! | `watching.rs` | descriptors, and the transports on them |
//! | `unsent.rs` | what callbacks have written and what leaves when the turn is over |
//! | `current/` | the running task, where the standard module looks for it |
//! | `leaving.rs` | the end of a native step |
//! | `signals.rs`, `wakeup.rs` | the pipe by which signals wake it |
//! | `fork.rs` | a loop in a forked child |
//! | `hooks.rs` | who watches what it does |
//! | `executor.rs` | what it keeps of its default executor |
//! | `report.rs` | what is told to exception handlers, warned of and logged |

mod clock;
pub(crate) mod current;
mod entry;
mod event_loop;
mod executor;
mod fork;
pub(crate) mod hooks;
mod leaving;
mod report;
pub(crate) mod signals;
mod timekeeping;
mod timers;
mod unsent;
pub(crate) mod wakeup;
mod watching;
mod work;

use pyo3::prelude::*;

pub(crate) use clock::seconds_of;
pub(crate) use entry::{Entry, Subject};
pub(crate) use event_loop::{Loop, LoopPhase, SCRATCH_BYTES, Unsent, closed, thread_identifier};
pub(crate) use executor::{Bell, Executor};
pub(crate) use report::{log_debug, report_caught, warn_resource};
pub(crate) use work::{KindOf, Placed, Watched, Work};

/// Looks up what the heart needs of the standard library.
///
/// # Errors
/// Those of imports.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    #[cfg(not(Py_3_12))]
    wakeup::install(py)?;
    hooks::install()?;
    current::standard::install(py)
}
