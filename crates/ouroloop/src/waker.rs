//! Waking a loop from other threads, without a system call while it is awake.
//!
//! One atomic holds the loop's state:
//!
//! | state | who leaves it | to |
//! | --- | --- | --- |
//! | `AWAKE` | the loop, about to wait | `ASLEEP` ([`Waker::fall_asleep`]) |
//! | `AWAKE` | a waker | `NOTIFIED`: the loop will not fall asleep |
//! | `ASLEEP` | a waker | `NOTIFIED`, and it writes to the descriptor |
//! | `NOTIFIED` | the loop, at its next turn | `AWAKE` ([`Waker::awake`]) |
//!
//! Whoever wants the loop's attention publishes its work first and calls [`Waker::wake`] after.
//! The loop looks for work after [`Waker::awake`] and, before it waits, must get
//! [`Sleep::Granted`]: so work published at any moment is either seen or wakes the loop.

use crate::sync::{Arc, AtomicU8, Ordering};

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const NOTIFIED: u8 = 2;

/// What interrupts a wait: an eventfd or a pipe, or a test's stand-in.
pub trait Interrupt {
    /// Makes the present or next wait return.
    fn interrupt(&self);
}

/// The answer to a loop that wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sleep {
    /// Nobody has called since the turn began: wait; wakers will interrupt.
    Granted,
    /// Somebody called: do not block.
    Refused,
}

/// A shared handle by which any thread wakes the loop.
#[derive(Debug)]
pub struct Waker<I> {
    shared: Arc<Shared<I>>,
}

#[derive(Debug)]
struct Shared<I> {
    state: AtomicU8,
    interrupt: I,
}

impl<I> Clone for Waker<I> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<I: Interrupt> Waker<I> {
    /// A waker for a loop that is awake.
    pub fn new(interrupt: I) -> Self {
        Self { shared: Arc::new(Shared { state: AtomicU8::new(AWAKE), interrupt }) }
    }

    /// Makes the loop start another turn soon; a system call only if it sleeps.
    pub fn wake(&self) {
        if self.shared.state.swap(NOTIFIED, Ordering::AcqRel) == ASLEEP {
            self.shared.interrupt.interrupt();
        }
    }

    /// The loop is about to wait.
    pub fn fall_asleep(&self) -> Sleep {
        match self.shared.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Sleep::Granted,
            Err(_) => Sleep::Refused,
        }
    }

    /// The loop no longer waits and will look for work next; answers whether it was called.
    #[must_use]
    pub fn awake(&self) -> bool {
        self.shared.state.swap(AWAKE, Ordering::AcqRel) == NOTIFIED
    }

    /// What interrupts the wait.
    #[must_use]
    pub fn interrupt(&self) -> &I {
        &self.shared.interrupt
    }
}
