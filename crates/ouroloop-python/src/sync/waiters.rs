//! The queue of those who wait, and the wait itself.

use std::collections::{TryReserveError, VecDeque};

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::primitive::truth;
use crate::interpreter::room::{Grow, copies, taken};
use crate::native::cell::AttachedCell;
use crate::waiting::Waiter;

/// Futures in the order in which they came.
///
/// Looking at a foreign future runs Python code, which may change the queue: walks go by index and
/// hold nothing but the future they look at.
#[derive(Debug)]
pub(crate) struct Waiters {
    queue: AttachedCell<VecDeque<Waiter>>,
}

impl Waiters {
    pub(super) fn new() -> Self {
        Self { queue: AttachedCell::new(VecDeque::new()) }
    }

    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(super) fn push(&self, py: Python<'_>, waiter: Waiter) -> PyResult<()> {
        let answer = self.queue.with(py, |queue| queue.grow(waiter));
        taken(py, answer)
    }

    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> usize {
        self.queue.with(py, |queue| queue.len())
    }

    /// Takes a waiter out, wherever it stands; answers whether it was there.
    #[inline]
    pub(super) fn remove(&self, py: Python<'_>, waiter: &Bound<'_, PyAny>) -> bool {
        let removed = self.queue.with(py, |queue| {
            let place = queue.iter().position(|other| other.bind(py).is(waiter))?;
            queue.remove(place)
        });
        removed.is_some()
    }

    /// Has those of `other` wait here, and nobody else.
    pub(super) fn take_over(&self, py: Python<'_>, other: &Self) {
        self.queue.set(py, other.queue.with(py, std::mem::take));
    }

    pub(super) fn clear(&self, py: Python<'_>) {
        self.queue.set(py, VecDeque::new());
    }

    #[inline]
    fn at(&self, py: Python<'_>, place: usize) -> Option<Waiter> {
        self.queue.with(py, |queue| queue.get(place).map(|waiter| waiter.clone_ref(py)))
    }

    /// Whether somebody waits who was not cancelled, woken or not.
    #[inline]
    pub(super) fn has_living(&self, py: Python<'_>) -> PyResult<bool> {
        let mut place = 0;
        while let Some(waiter) = self.at(py, place) {
            if !waiter.is_cancelled(py)? {
                return Ok(true);
            }
            place += 1;
        }
        Ok(false)
    }

    /// Wakes the first waiter up unless that is under way.
    #[inline]
    pub(super) fn wake_first(&self, py: Python<'_>) -> PyResult<()> {
        match self.at(py, 0) {
            Some(waiter) if !waiter.is_done(py)? => waiter.set_result(py, truth(py, true)),
            _ => Ok(()),
        }
    }

    /// The first waiter who was neither woken nor cancelled.
    pub(super) fn first_pending(&self, py: Python<'_>) -> PyResult<Option<Waiter>> {
        let mut place = 0;
        while let Some(waiter) = self.at(py, place) {
            if !waiter.is_done(py)? {
                return Ok(Some(waiter));
            }
            place += 1;
        }
        Ok(None)
    }

    /// Wakes up everybody who waits, or as many of them as `enough` does not refuse: it is asked
    /// before each waiter with the number of those woken so far.
    #[inline]
    pub(super) fn wake_until(
        &self,
        py: Python<'_>,
        answer: bool,
        enough: impl Fn(usize) -> bool,
    ) -> PyResult<()> {
        let (mut place, mut woken) = (0, 0);
        while let Some(waiter) = self.at(py, place) {
            if enough(woken) {
                break;
            }
            if !waiter.is_done(py)? {
                woken += 1;
                waiter.set_result(py, truth(py, answer))?;
            }
            place += 1;
        }
        Ok(())
    }

    /// Copies of those who wait, without memory none.
    pub(super) fn all(&self, py: Python<'_>) -> Result<Vec<Waiter>, TryReserveError> {
        self.queue.with(py, |queue| copies(queue.iter().map(|waiter| waiter.clone_ref(py))))
    }

    /// The `waiters:3` of a representation, if anybody waits.
    pub(super) fn describe(&self, py: Python<'_>, state: &str) -> String {
        match self.len(py) {
            0 => state.to_owned(),
            count => format!("{state}, waiters:{count}"),
        }
    }

    /// # Safety
    /// To be called from `tp_traverse` alone.
    pub(super) unsafe fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the caller's promise.
        unsafe { self.queue.traverse(|queue| queue.iter().try_for_each(|one| one.visit(visit))) }
    }
}
