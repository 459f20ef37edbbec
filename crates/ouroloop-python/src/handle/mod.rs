//! `Handle` and `TimerHandle`: what Python code gets for a callback it has scheduled.
//!
//! | file | owns |
//! | --- | --- |
//! | `object.rs`, `class.rs` | a handle, and its face for Python |
//! | `timer.rs` | a handle that is due at a time |
//! | `scheduled.rs`, `pending.rs` | a callback that waits in the loop, and the thin handle that knows its place |
//! | `entries.rs` | what else stands in the queue: a callback whose handle the loop owns |
//! | `turnstile.rs`, `guard.rs` | who may cancel a callback that another thread runs (3.14) |
//! | `confine.rs` | errors of the loop's own callbacks, told as those of handles |

mod class;
mod confine;
mod entries;
#[cfg(Py_3_14)]
mod guard;
mod object;
mod pending;
mod scheduled;
mod timer;
#[cfg(Py_3_14)]
mod turnstile;

pub(crate) use confine::{confine, report_call};
pub(crate) use entries::{HandleCall, Nothing};
pub(crate) use object::{Contents, Handle};
pub(crate) use scheduled::Scheduled;
pub(crate) use timer::{TimerHandle, When};
