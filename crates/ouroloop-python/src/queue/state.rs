//! What a queue holds.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::containers::{Items, Waiters};
use crate::native::overrides;

#[derive(Debug)]
pub(super) struct State {
    /// As it was given; `None` before `__init__` has run.
    pub(super) maxsize: Option<Py<PyAny>>,
    pub(super) capacity: Capacity,
    pub(super) items: Items,
    pub(super) getters: Waiters,
    pub(super) putters: Waiters,
    /// How many items were put for which `task_done` was not called.
    pub(super) unfinished: i64,
    pub(super) finished: Finished,
    /// Never set before Python 3.13.
    pub(super) shut_down: bool,
    pub(super) verdict: Option<Verdict>,
}

impl State {
    pub(super) const fn new() -> Self {
        Self {
            maxsize: None,
            capacity: Capacity::Unbounded,
            items: Items::Unset,
            getters: Waiters::new(),
            putters: Waiters::new(),
            unfinished: 0,
            finished: Finished::new(),
            shut_down: false,
            verdict: None,
        }
    }

    #[inline]
    pub(super) fn is_full(&self, py: Python<'_>) -> bool {
        match self.capacity {
            Capacity::Bounded(size) => self.items.len(py) >= size,
            Capacity::Unbounded | Capacity::Odd => false,
        }
    }

    #[inline]
    pub(super) fn list(&self, py: Python<'_>) -> Option<Py<PyList>> {
        match &self.items {
            Items::List(list) => Some(list.clone_ref(py)),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn line(&mut self, side: Side) -> &mut Waiters {
        match side {
            Side::Getters => &mut self.getters,
            Side::Putters => &mut self.putters,
        }
    }

    /// Whether the containers are such as a manner needs.
    #[inline]
    pub(super) fn suits(&self, manner: Manner) -> bool {
        !matches!(self.capacity, Capacity::Odd)
            && self.getters.are_own()
            && self.putters.are_own()
            && matches!(
                (manner, &self.items),
                (Manner::Plain(Discipline::First), Items::Own(_))
                    | (Manner::Plain(Discipline::Least | Discipline::Last), Items::List(_))
                    | (Manner::Hooked, Items::List(_) | Items::Foreign(_))
            )
    }
}

/// How many items a queue takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Capacity {
    Unbounded,
    Bounded(usize),
    /// Something that only Python can compare with a number.
    Odd,
}

impl Capacity {
    pub(super) fn of(maxsize: &Bound<'_, PyAny>) -> Self {
        if maxsize.is_exact_instance_of::<pyo3::types::PyInt>() {
            return match maxsize.extract::<i64>() {
                Ok(size) if size <= 0 => Self::Unbounded,
                Ok(size) => usize::try_from(size).map_or(Self::Unbounded, Self::Bounded),
                // As good as unbounded, unless it is far below zero, which is just that.
                Err(_) => Self::Unbounded,
            };
        }
        match maxsize.cast_exact::<pyo3::types::PyFloat>() {
            Ok(size) if size.value().is_infinite() => Self::Unbounded,
            _ => Self::Odd,
        }
    }
}

/// Which item a class of queues gives first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discipline {
    /// The one that was put first.
    First,
    /// The least.
    Least,
    /// The one that was put last.
    Last,
}

/// The two lines before a queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Getters,
    Putters,
}

impl Side {
    #[inline]
    pub(super) fn attribute(self, py: Python<'_>) -> &Bound<'_, pyo3::types::PyString> {
        match self {
            Self::Getters => intern!(py, "_getters"),
            Self::Putters => intern!(py, "_putters"),
        }
    }
}

/// How a queue works, see the top of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Plain(Discipline),
    Hooked,
    Open,
}

/// Whether everything that was put is done, for which `join` waits; see [`finished`](super::finished).
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) raised: bool,
    pub(super) event: Option<Py<PyAny>>,
    /// Python code has the event and may have set or cleared it.
    pub(super) shown: bool,
}

impl Finished {
    pub(super) const fn new() -> Self {
        Self { raised: true, event: None, shown: false }
    }

    /// Notes whether everything is done; answers the event that has to be told.
    #[inline]
    pub(super) fn note(&mut self, py: Python<'_>, raised: bool) -> Option<Py<PyAny>> {
        let changed = std::mem::replace(&mut self.raised, raised) != raised;
        let event = self.event.as_ref().filter(|_| changed || self.shown)?;
        Some(event.clone_ref(py))
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event)
    }

    /// Lets the event go, for `tp_clear`.
    pub(super) fn take(&mut self) -> Option<Py<PyAny>> {
        self.event.take()
    }
}

/// The manner that was found for a queue.
pub(super) type Verdict = overrides::Verdict<Manner>;
