//! Waking a task from anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use crate::callback::Callback;
use crate::inbox::Inbox;
use crate::interrupt::InterruptDescriptor;
use crate::task::runtime;

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

/// What a task's wakers share.
#[derive(Debug)]
pub(super) struct TaskWaker {
    entry: Entry,
    queued: AtomicBool,
    mailbox: Arc<Mailbox>,
}

impl TaskWaker {
    /// The waker of a task that is not queued yet.
    pub(super) fn new(entry: Entry, mailbox: Arc<Mailbox>) -> Arc<Self> {
        Arc::new(Self { entry, queued: AtomicBool::new(false), mailbox })
    }

    /// The entry has come up; from now on a wake-up queues the task again.
    pub(super) fn begin(&self) {
        // Acquire: what a waker's thread wrote before it found the task queued already is seen by
        // the poll that follows.
        self.queued.swap(false, Ordering::AcqRel);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if !runtime::queue_here(&self.mailbox, self.entry) {
            // A runtime that has ended has dropped the task.
            let _ = self.mailbox.send(self.entry);
        }
    }
}
