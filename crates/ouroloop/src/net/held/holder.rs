//! A loop's hold on what its sockets are about to send.

use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::entries::{Held, LARGEST, Left, Ticket, lock};
use super::thread::{ASLEEP, LOST, wake};
use crate::fork::Owner;

/// What the sockets of a loop are about to send.
#[derive(Debug, Clone)]
pub struct Holder {
    pub(super) held: Arc<Mutex<Held>>,
    owner: Option<Owner>,
}

impl Holder {
    /// One that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let owner = Owner::current().ok().filter(|_| !LOST.load(Ordering::Relaxed));
        Self { held: Arc::default(), owner }
    }

    /// Belongs to a forked child from now on, whose parent held nothing any more; if another thread had the lock, nobody uses it.
    pub fn take_over(&self) {
        let Some(owner) = self.owner.as_ref().filter(|_| !LOST.load(Ordering::Relaxed)) else {
            return;
        };
        if let Ok(mut held) = self.held.try_lock() {
            held.watched = false;
            owner.take_over();
        }
    }

    /// Holds what is all that waits for a stream socket.
    ///
    /// `None` if it is much, or much is held already, and without memory or a thread.
    #[must_use]
    pub(crate) fn hold(&self, fd: BorrowedFd<'_>, bytes: &[u8]) -> Option<Ticket> {
        if bytes.len() > LARGEST || !self.is_usable() {
            return None;
        }
        let (ticket, watched) = {
            let mut held = lock(&self.held);
            (held.add(fd, bytes)?, held.watched)
        };
        if self.has_thread_look(watched) || lock(&self.held).was_sent(&ticket) {
            return Some(ticket);
        }
        let _ = lock(&self.held).remove(&ticket);
        None
    }

    /// Holds more for the same socket; answers whether it does.
    #[must_use]
    pub(crate) fn hold_more(&self, ticket: &Ticket, bytes: &[u8]) -> bool {
        if !self.is_usable() {
            return false;
        }
        let watched = {
            let mut held = lock(&self.held);
            held.append(ticket, bytes).then_some(held.watched)
        };
        watched.is_some_and(|watched| self.has_thread_look(watched))
    }

    /// Sees to it that the thread looks at what has just been held; answers whether there is one.
    #[inline]
    pub(super) fn has_thread_look(&self, watched: bool) -> bool {
        // It says that it falls asleep before it looks for the last time.
        if watched && !ASLEEP.load(Ordering::SeqCst) {
            return true;
        }
        let watched = wake(&self.held);
        lock(&self.held).watched = watched;
        watched
    }

    /// Takes back what is held.
    pub(crate) fn reclaim(&self, ticket: &Ticket) -> Left {
        if self.is_usable() { lock(&self.held).remove(ticket) } else { Left::default() }
    }

    /// Whether this is the process that made it.
    pub(super) fn is_usable(&self) -> bool {
        self.owner.as_ref().is_some_and(Owner::is_current)
    }
}

impl Default for Holder {
    fn default() -> Self {
        Self::new()
    }
}
