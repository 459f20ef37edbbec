//! Waking a task from anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use crate::task::entry::{Entry, Mailbox};
use crate::task::here;

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
        if !here::queue(&self.mailbox, self.entry) {
            // A runtime that has ended has dropped the task.
            let _ = self.mailbox.send(self.entry);
        }
    }
}
