//! A descriptor that tasks wait for, and who they are.
//!
//! A descriptor of a task's is watched for reading from the first wait on, and stays watched
//! between waits: a task that reads, answers and reads again costs no change of interest. A wait
//! for writing is the exception among writes, and a socket is writable nearly always, so that
//! watch ends with the wait. The kernel's reports are level-triggered: one that finds nobody
//! waiting would come again in every look.
//!
//! | state of a direction | waiters | event | to |
//! | --- | --- | --- | --- |
//! | any | any | a waiter comes | `Watched` |
//! | any | some | the last one is cancelled | `Unwatched` |
//! | `Watched` | some | a report wakes them | read: `Watched`; write: `Unwatched` |
//! | `Watched` | none | a report, the first in vain | `InVain` |
//! | `InVain` | none | a report, the second in vain | `Unwatched` |
//!
//! Two reports are out of date before they are run, and both are normal:
//!
//! 1. The look of the turn between a waiter's wake-up and its poll sees the descriptor ready once
//!    more. This is the one report in vain that a watch survives.
//! 2. If that poll then empties the descriptor and waits again, the report finds a waiter. It is
//!    older than the wait, so it wakes nobody: only a later look can know better.

use std::os::fd::RawFd;
use std::task::Waker;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Read,
    Write,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unwatched,
    Watched,
    InVain,
}

pub(super) struct Waiter {
    pub(super) key: u64,
    /// The last look before the wait began.
    pub(super) since: u64,
    pub(super) waker: Waker,
}

pub(super) struct Direction {
    pub(super) state: State,
    pub(super) waiters: Vec<Waiter>,
}

impl Direction {
    pub(super) const fn new() -> Self {
        Self { state: State::Unwatched, waiters: Vec::new() }
    }

    /// A report of the given look.
    pub(super) fn reported(&mut self, look: u64) -> Reported {
        if self.waiters.is_empty() {
            if self.state == State::Watched {
                self.state = State::InVain;
                return Reported::Ignored;
            }
            self.state = State::Unwatched;
            return Reported::UselessWatch;
        }
        if self.waiters.iter().all(|waiter| waiter.since == look) {
            return Reported::Ignored;
        }
        self.state = State::Watched;
        let mut due = std::mem::take(&mut self.waiters);
        self.waiters = due.extract_if(.., |waiter| waiter.since == look).collect();
        Reported::Due(due)
    }

    /// Keeps the room of waiters that are gone for those to come.
    pub(super) fn keep_room(&mut self, room: Vec<Waiter>) {
        if self.waiters.capacity() == 0 {
            self.waiters = room;
        }
    }

    pub(super) fn place(&self, waiter: u64) -> Option<usize> {
        self.waiters.iter().position(|other| other.key == waiter)
    }
}

/// What a report means for its direction.
pub(super) enum Reported {
    /// Nothing is to be done.
    Ignored,
    /// Nobody waits, for the second time: the watch is to be ended.
    UselessWatch,
    /// These are to be woken.
    Due(Vec<Waiter>),
}

/// A descriptor of a task's.
pub(super) struct Watch {
    pub(super) fd: RawFd,
    pub(super) next_waiter: u64,
    pub(super) read: Direction,
    pub(super) write: Direction,
}

impl Watch {
    pub(super) fn side(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Read => &mut self.read,
            Side::Write => &mut self.write,
        }
    }
}
