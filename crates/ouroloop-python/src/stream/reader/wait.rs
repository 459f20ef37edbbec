//! Waiting for data: the bodies of the reader's coroutines.
//!
//! A coroutine has a [`Goal`] and attempts it; while there is not enough, it waits for one piece and
//! attempts it again. What is there at once is given out in the first step, without a future.
//!
//! 1. Between its steps a wait stands in the reader's state as its `waiter`.
//! 2. Whoever wakes it takes it from there first: a second coroutine may wait as soon as the first is
//!    woken.
//! 3. The coroutine that goes on, by data or an exception, clears the place, whoever stands there: that
//!    is asyncio's rule.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::object::StreamReader;
use crate::coroutine::{Body, Incoming, iterator_of, step_into};
use crate::native::slots::Resumed;
use crate::waiting::Waiting;

/// What a coroutine of a reader is to give.
pub(super) trait Goal {
    /// The method that messages name.
    const METHOD: &'static str;

    /// Takes it out of the buffer, if it is there; otherwise, waits for more.
    fn attempt(&mut self, reader: &Bound<'_, StreamReader>) -> PyResult<Option<Py<PyAny>>>;

    /// How much it takes at once, if any amount will do.
    fn wanted(&self) -> usize {
        0
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

/// A wait for one piece.
enum PieceWait {
    Native(Waiting),
    /// What the coroutine of a `_wait_for_data` that is not ours is stepped through.
    Method(Py<PyAny>),
}

impl PieceWait {
    fn begin(reader: &Bound<'_, StreamReader>, method: &str, wanted: usize) -> PyResult<Self> {
        if StreamReader::is_plain(reader) {
            return StreamReader::begin_wait(reader, method, wanted)
                .map(|waiter| Self::Native(Waiting::new(waiter)));
        }
        let wait = reader.call_method1(intern!(reader.py(), "_wait_for_data"), (method,))?;
        Ok(Self::Method(iterator_of(&wait)?.unbind()))
    }

    fn step(&mut self, reader: &Bound<'_, StreamReader>, incoming: Incoming<'_>) -> Resumed {
        let py = reader.py();
        match self {
            Self::Native(waiting) => {
                let resumed = waiting.step(py, incoming);
                if !matches!(resumed, Resumed::Yielded(_)) {
                    reader.get().end_wait(py);
                }
                resumed
            }
            Self::Method(iterator) => step_into(iterator.bind(py), incoming),
        }
    }

    /// Ends its references.
    #[inline]
    fn release(self, py: Python<'_>) {
        match self {
            Self::Native(waiting) => waiting.release(py),
            Self::Method(iterator) => iterator.drop_ref(py),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Native(waiting) => waiting.visit(visit),
            Self::Method(iterator) => visit.call(iterator),
        }
    }
}

/// The body of a coroutine that reads.
pub(super) struct Reading<G> {
    reader: Py<StreamReader>,
    wait: Option<PieceWait>,
    goal: G,
}

impl<G: Goal> Reading<G> {
    pub(super) fn new(reader: &Bound<'_, StreamReader>, goal: G) -> Self {
        Self { reader: reader.clone().unbind(), wait: None, goal }
    }
}

impl<G: Goal> Body for Reading<G> {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let reader = self.reader.bind(py);
        let mut resumed = self.wait.as_mut().map(|wait| wait.step(reader, incoming));
        loop {
            if let Some(resumed @ Resumed::Yielded(_)) = resumed {
                return resumed;
            }
            if let Some(wait) = self.wait.take() {
                wait.release(py);
            }
            match resumed {
                Some(Resumed::Returned(nothing)) => nothing.drop_ref(py),
                Some(raised) => return raised,
                None => {}
            }
            match self.goal.attempt(reader) {
                Ok(Some(taken)) => return Resumed::Returned(taken),
                Ok(None) => {}
                Err(error) => return Resumed::Raised(error),
            }
            match PieceWait::begin(reader, G::METHOD, self.goal.wanted()) {
                Ok(wait) => {
                    let wait = self.wait.insert(wait);
                    resumed = Some(wait.step(reader, Ok(py.None().into_bound(py))));
                }
                Err(error) => return Resumed::Raised(error),
            }
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.reader)?;
        self.wait.as_ref().map_or(Ok(()), |wait| wait.visit(visit))?;
        self.goal.visit(visit)
    }
}

/// `await reader._wait_for_data(func_name)`.
pub(super) struct WaitForData {
    reader: Py<StreamReader>,
    method: Py<PyAny>,
    waiting: Option<Waiting>,
}

impl WaitForData {
    pub(super) fn new(reader: &Bound<'_, StreamReader>, method: Py<PyAny>) -> Self {
        Self { reader: reader.clone().unbind(), method, waiting: None }
    }
}

impl Body for WaitForData {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let reader = self.reader.bind(py);
        if self.waiting.is_none() {
            let begun =
                self.method.bind(py).str().and_then(|method| {
                    StreamReader::begin_wait(reader, &method.to_string_lossy(), 0)
                });
            match begun {
                Ok(waiter) => self.waiting = Some(Waiting::new(waiter)),
                Err(error) => return Resumed::Raised(error),
            }
        }
        let Some(waiting) = &mut self.waiting else { return Resumed::Returned(py.None()) };
        let resumed = waiting.step(py, incoming);
        match resumed {
            Resumed::Yielded(_) => resumed,
            over => {
                reader.get().end_wait(py);
                match over {
                    Resumed::Returned(_) => Resumed::Returned(py.None()),
                    over => over,
                }
            }
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.reader)?;
        visit.call(&self.method)?;
        self.waiting.as_ref().map_or(Ok(()), |waiting| waiting.visit(visit))
    }
}
