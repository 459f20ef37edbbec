//! The turn of the loop, seen from below: what stands in its queue, whatever it is.
//!
//! An [`Entry`] is one piece of work of some kind. Each kind stands in the room that makes it (a task's step in
//! `task/`, a transport's readiness in `transport/`) and says by [`Work`] what can be done with it; nothing in
//! here knows any of them, so a new kind touches its own room alone.

mod entry;
mod work;

pub(crate) use entry::{Entry, Subject};
pub(crate) use work::{KindOf, Placed, Watched, Work};
