//! Synchronisation primitives: objects at which tasks queue up.
//!
//! Every class here derives from `LoopBound`, which knows the loop and holds the queue of
//! [`Waiters`](waiters::Waiters). A waiter is a future; who wakes one up ends its future, and the task that waited
//! takes the future out of the queue as the first thing it does. Between the two, a woken waiter
//! stands in the queue and is done: that is how a lock which is free but promised looks taken to
//! newcomers, and it is what the rules about fairness and cancellation hang on.
//!
//! A method that a program may have replaced, by a class of its own or an attribute, is called
//! through Python; [`is_plain`](primitive::is_plain) tells when nothing can have been replaced.

#[macro_use]
mod primitive;
mod barrier;
mod condition;
mod event;
mod lock;
mod loop_bound;
mod manager;
mod semaphore;
mod waiters;

use pyo3::prelude::*;

use primitive::Patched;

use crate::native::instance_dict::complete;

pub(crate) use barrier::Barrier;
pub(crate) use condition::Condition;
pub(crate) use event::Event;
pub(crate) use lock::Lock;
pub(crate) use semaphore::{BoundedSemaphore, Semaphore};

/// Remembers the methods of the classes as they are now.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn remember_methods(py: Python<'_>) -> PyResult<()> {
    fn remember<T: Patched>(py: Python<'_>) -> PyResult<()> {
        T::untouched().remember(&py.get_type::<T>())
    }
    remember::<Lock>(py)?;
    remember::<Condition>(py)?;
    remember::<Semaphore>(py)?;
    remember::<BoundedSemaphore>(py)?;
    remember::<Barrier>(py)
}

/// Makes the classes of this module complete.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    loop_bound::install(py)?;
    complete::<Lock>(py)?;
    complete::<Event>(py)?;
    complete::<Condition>(py)?;
    complete::<Semaphore>(py)?;
    complete::<BoundedSemaphore>(py)?;
    complete::<Barrier>(py)
}
