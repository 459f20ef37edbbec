//! What a queue keeps its items and waiters in, and how Python sees that.

use std::collections::VecDeque;

use pyo3::PyTraverseError;
use pyo3::exceptions::PyAttributeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::{Capacity, Queue, Side, State};
use crate::fresh;
use crate::room::Grow;
use crate::standard::Standard;
use crate::waiter::Waiter;

/// The items of a queue: its `_queue`.
#[derive(Debug)]
pub(super) enum Items {
    /// `_init` has not run, or keeps its items elsewhere.
    Unset,
    /// Those of a [`Queue`] whose `_queue` nobody has seen.
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

impl State {
    pub(super) fn is_full(&self, py: Python<'_>) -> bool {
        match self.capacity {
            Capacity::Bounded(size) => self.items.len(py) >= size,
            Capacity::Unbounded | Capacity::Odd => false,
        }
    }

    pub(super) fn list(&self, py: Python<'_>) -> Option<Py<PyList>> {
        match &self.items {
            Items::List(list) => Some(list.clone_ref(py)),
            _ => None,
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

/// A new, empty `collections.deque`.
pub(super) fn new_deque(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Standard::get(py)?.deque.bind(py).call0()
}

/// `_getters` or `_putters`, which Python uses directly from now on.
pub(super) fn show_waiters<'py>(
    slf: &Bound<'py, Queue>,
    side: Side,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let state = &slf.get().state;
    let known = |state: &mut State| match state.line(side) {
        Waiters::Own(_) => None,
        Waiters::Foreign(container) => Some(container.clone_ref(py)),
    };
    if let Some(container) = state.with(py, known) {
        return Ok(container.into_bound(py));
    }
    let deque = new_deque(py)?;
    let shown = Waiters::Foreign(deque.clone().unbind());
    if let Waiters::Own(waiters) =
        state.with(py, |state| std::mem::replace(state.line(side), shown))
    {
        for waiter in waiters {
            deque.call_method1(intern!(py, "append"), (waiter.into_object(),))?;
        }
    }
    Ok(deque)
}

/// `_queue`, which Python uses directly from now on.
///
/// # Errors
/// `AttributeError` before `_init` has set it.
pub(super) fn show_items<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    enum Found {
        Unset,
        Own,
        Known(Py<PyAny>),
    }
    let py = slf.py();
    let state = &slf.get().state;
    match state.with(py, |state| match &state.items {
        Items::Unset => Found::Unset,
        Items::Own(_) => Found::Own,
        Items::List(list) => Found::Known(list.clone_ref(py).into_any()),
        Items::Foreign(container) => Found::Known(container.clone_ref(py)),
    }) {
        Found::Unset => {
            let class = slf.get_type();
            let message = format!("'{}' object has no attribute '_queue'", class.name()?);
            Err(fresh::error::<PyAttributeError>(message))
        }
        Found::Known(container) => Ok(container.into_bound(py)),
        Found::Own => {
            let deque = new_deque(py)?;
            let shown = Items::Foreign(deque.clone().unbind());
            if let Items::Own(items) =
                state.with(py, |state| std::mem::replace(&mut state.items, shown))
            {
                for item in items {
                    deque.call_method1(intern!(py, "append"), (item,))?;
                }
            }
            Ok(deque)
        }
    }
}
