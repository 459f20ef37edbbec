//! What a queue keeps its items and waiters in.

use std::collections::VecDeque;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::interpreter::room::Grow;
use crate::waiting::Waiter;

/// The items of a queue: its `_queue`.
#[derive(Debug)]
pub(super) enum Items {
    /// `_init` has not run, or keeps its items elsewhere.
    Unset,
    /// Those of a `Queue` whose `_queue` nobody has seen.
    Own(VecDeque<Py<PyAny>>),
    /// A list: the heap of a `PriorityQueue`, the stack of a `LifoQueue`.
    List(Py<PyList>),
    /// Any other container, which only Python knows how to use.
    Foreign(Py<PyAny>),
}

impl Items {
    /// How many there are, if that can be told without Python.
    pub(super) fn len(&self, py: Python<'_>) -> usize {
        match self {
            Self::Unset | Self::Foreign(_) => 0,
            Self::Own(items) => items.len(),
            Self::List(list) => list.bind(py).len(),
        }
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Unset => Ok(()),
            Self::Own(items) => items.iter().try_for_each(|item| visit.call(item)),
            Self::List(list) => visit.call(list),
            Self::Foreign(container) => visit.call(container),
        }
    }
}

/// Those who wait in one line: `_getters` or `_putters`.
#[derive(Debug)]
pub(super) enum Waiters {
    /// Nobody has seen the container.
    Own(VecDeque<Waiter>),
    /// The container that Python was shown, or has set.
    Foreign(Py<PyAny>),
}

impl Waiters {
    pub(super) const fn new() -> Self {
        Self::Own(VecDeque::new())
    }

    pub(super) fn are_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    pub(super) fn is_own_and_empty(&self) -> bool {
        matches!(self, Self::Own(waiters) if waiters.is_empty())
    }

    /// How many wait, if that can be told without Python.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Own(waiters) => waiters.len(),
            Self::Foreign(_) => 0,
        }
    }

    /// Appends to a line of our own; gives the waiter back if it is not.
    pub(super) fn push(&mut self, waiter: Waiter) -> Result<(), Waiter> {
        match self {
            Self::Own(waiters) => waiters.grow(waiter),
            Self::Foreign(_) => Err(waiter),
        }
    }

    /// The first of a line of our own.
    pub(super) fn pop(&mut self) -> Option<Waiter> {
        match self {
            Self::Own(waiters) => pop_front(waiters),
            Self::Foreign(_) => None,
        }
    }

    /// Takes a waiter out of a line of our own.
    pub(super) fn remove(&mut self, waiter: &Waiter) -> Option<Waiter> {
        match self {
            Self::Own(waiters) => {
                let place = waiters.iter().position(|other| other.is(waiter))?;
                waiters.remove(place)
            }
            Self::Foreign(_) => None,
        }
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Own(waiters) => waiters.iter().try_for_each(|waiter| waiter.visit(visit)),
            Self::Foreign(container) => visit.call(container),
        }
    }
}

/// No container smaller than this gives memory back.
const WORTH_SHRINKING: usize = 64;

/// Takes the first entry, and gives memory back once three quarters of it lie idle.
#[inline]
pub(super) fn pop_front<T>(entries: &mut VecDeque<T>) -> Option<T> {
    let entry = entries.pop_front();
    if entries.capacity() > WORTH_SHRINKING && entries.len() < entries.capacity() / 4 {
        entries.shrink_to(entries.capacity() / 2);
    }
    entry
}
