//! `Queue`, `PriorityQueue` and `LifoQueue`.
//!
//! # Three manners
//!
//! | a queue is | when | its items are in | its waiters in |
//! | --- | --- | --- | --- |
//! | *plain* | none of our methods is overridden | a container of Rust's, or the list of the ordered classes | lines of Rust's |
//! | *hooked* | `_init`, `_put` or `_get` is overridden, no other | the class's own container | lines of Rust's |
//! | *open* | otherwise, and once Python code has seen a container of Rust's | Python's containers | Python's containers |
//!
//! Native code in [`plain`] and [`hooked`] calls nothing that could be overridden; [`open`] calls
//! everything that can, in asyncio's order.
//!
//! 1. The manner is asked for anew after everything that may have run Python code; classes and
//!    objects may change while a queue waits ([`manner`]).
//! 2. Showing `_queue`, `_getters` or `_putters` moves what is inside into a `deque`, which is the
//!    container from then on ([`shown`]): whoever changes it changes the queue.
//! 3. A waiter is taken out of its line by whoever wakes it. One that was woken but cannot go on
//!    wakes the next in line ([`waiting`]).

mod calls;
mod class;
mod containers;
mod finished;
mod hooked;
mod lines;
mod manner;
mod object;
mod open;
mod ordered;
mod plain;
mod refusal;
mod shown;
mod state;
mod waiting;

use pyo3::prelude::*;

use crate::native::instance_dict;

pub(crate) use manner::remember_methods;
pub(crate) use object::{LifoQueue, PriorityQueue, Queue};

/// Makes the classes of this module complete.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    object::measure(py)?;
    // The classes that are derived in Rust have to be made while a queue has just the size of its
    // Rust value, to which they add nothing: so the dictionary of all three lies in one place.
    ordered::install(py);
    instance_dict::install::<Queue>(py);
    crate::native::slots::install_deallocate::<Queue>(py);
    Ok(())
}
