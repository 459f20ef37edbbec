//! Rust futures as tasks of the same loop: [`run`], [`spawn`], [`sleep`], [`TcpListener`],
//! [`TcpStream`].
//!
//! A task is one more kind of callback: its entry stands in the ready queue among all others and
//! polls it once. Everything belongs to the thread that called [`run`]; only wakers travel.
//!
//! # A task's life
//!
//! | state | its future | left by | to |
//! | --- | --- | --- | --- |
//! | waiting | in the table | its waker, [`JoinHandle::abort`] | queued |
//! | queued | in the table | its entry comes up | polled; dropped if aborted |
//! | polled | on the stack | `Pending` | waiting, or queued if woken meanwhile |
//! | polled | on the stack | `Ready`, a panic | gone: the joiner is told |
//!
//! 1. A task stands in the ready queue at most once, however often it is woken: the waker's
//!    `queued` flag is set by whoever queues it and cleared just before the poll.
//! 2. No table of the runtime is borrowed while a future is polled or dropped, or a waker called
//!    or dropped: each of these is code of the user's, which may call the runtime.
//! 3. A future that has finished, panicked or was aborted is dropped before its joiner is woken.
//! 4. When [`run`]'s own future is done, every other task is dropped, wherever it stood; their
//!    joiners see [`JoinError::Aborted`].
//! 5. A descriptor is unwatched before it is closed, and its owner closes it when dropped.

mod entry;
mod here;
mod join;
mod outcome;
mod readiness;
mod runtime;
mod sleep;
mod spawn;
mod tcp;
mod waker;
mod watch;

pub use join::JoinHandle;
pub use outcome::JoinError;
pub use sleep::{Sleep, sleep};
pub use spawn::{run, run_on, spawn};
pub use tcp::{TcpListener, TcpStream};
