//! What locks, queues and streams wait by, and the loop to which they belong.
//!
//! [`Waiter`] is the future by which something waits on whatever loop runs; a [`Binding`] ties an object to the loop
//! that it first waits on.

mod binding;
mod waiter;

pub(crate) use binding::Binding;
pub(crate) use waiter::{Waiter, Waiting, running_loop};
