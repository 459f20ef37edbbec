//! Callbacks on their way from other threads into the ready queue.

use crate::sync::{Arc, Mutex};
use crate::waker::{Interrupt, Waker};

/// Why an inbox did not take a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed<C>(
    /// The callback, handed back.
    pub C,
);

#[derive(Debug)]
struct Letters<C> {
    waiting: Vec<C>,
    open: bool,
}

/// The loop's end and, cloned, every sender's end of a first-in-first-out mailbox.
#[derive(Debug)]
pub struct Inbox<C, I> {
    letters: Arc<Mutex<Letters<C>>>,
    waker: Waker<I>,
}

impl<C, I> Clone for Inbox<C, I> {
    fn clone(&self) -> Self {
        Self { letters: Arc::clone(&self.letters), waker: self.waker.clone() }
    }
}

impl<C, I: Interrupt> Inbox<C, I> {
    /// An open, empty inbox that wakes the loop by `waker`.
    #[must_use]
    pub fn new(waker: Waker<I>) -> Self {
        let letters = Letters { waiting: Vec::new(), open: true };
        Self { letters: Arc::new(Mutex::new(letters)), waker }
    }

    /// Leaves a callback for the loop and wakes it.
    ///
    /// # Errors
    /// [`Closed`], with the callback, once the loop has closed.
    pub fn send(&self, callback: C) -> Result<(), Closed<C>> {
        {
            let mut letters = self.lock();
            if !letters.open {
                return Err(Closed(callback));
            }
            letters.waiting.push(callback);
        }
        self.waker.wake();
        Ok(())
    }

    /// Takes what has arrived, in order of arrival.
    #[must_use]
    pub fn take(&self) -> Vec<C> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// Takes what has arrived, in order of arrival, if `room` says that there is room for so much.
    pub(crate) fn take_if(&self, room: impl FnOnce(usize) -> bool) -> Option<Vec<C>> {
        let mut letters = self.lock();
        room(letters.waiting.len()).then(|| std::mem::take(&mut letters.waiting))
    }

    /// Refuses callbacks from now on and takes what has arrived.
    #[must_use]
    pub fn close(&self) -> Vec<C> {
        let mut letters = self.lock();
        letters.open = false;
        std::mem::take(&mut letters.waiting)
    }

    /// Whether a thread is in the middle of something, as one of the parent's may have been at a fork.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.letters.try_lock(), Err(std::sync::TryLockError::WouldBlock))
    }

    #[cfg(not(loom))]
    fn lock(&self) -> std::sync::MutexGuard<'_, Letters<C>> {
        // No code of a caller runs under the lock, so a poisoned one is still consistent.
        self.letters.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(loom)]
    #[expect(clippy::unwrap_used, reason = "loom's lock is never poisoned in a model that passes")]
    fn lock(&self) -> loom::sync::MutexGuard<'_, Letters<C>> {
        self.letters.lock().unwrap()
    }
}
