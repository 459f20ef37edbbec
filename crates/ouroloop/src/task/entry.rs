//! What stands in the ready queue of a loop that drives futures.

use crate::callback::Callback;
use crate::inbox::Inbox;
use crate::interrupt::InterruptDescriptor;

/// An entry of the ready queue. Keys are never reused: one that comes up too late names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Poll the future that `run` was given.
    Main,
    /// Poll a spawned task.
    Task(u64),
    /// A sleeper's time has come.
    Sleeper(u64),
    /// A watched descriptor is readable.
    Readable(u64),
    /// A watched descriptor is writable.
    Writable(u64),
}

impl Callback for Entry {
    fn again(&self) -> Self {
        *self
    }
}

/// One runtime's letter box; which one it is also tells runtimes apart.
pub(super) type Mailbox = Inbox<Entry, InterruptDescriptor>;
