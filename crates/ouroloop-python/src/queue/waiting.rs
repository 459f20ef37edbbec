//! The coroutines of a queue: `put`, `get` and `join`.
//!
//! `put` and `get` try, and while the queue refuses, wait in their line and try again. An
//! operation that has nothing to wait for ends in its first step, without a future.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::calls::{get_nowait, is_empty, is_full, put_nowait};
use super::finished;
use super::lines::{self, wake_next};
use super::object::{Queue, is_shut_down};
use super::refusal::Refusal;
use super::state::{Manner, Side};
use crate::coroutine::{Body, Incoming, iterator_of, step_into};
use crate::errors::handled::while_handling;
use crate::interpreter::room::taken;
use crate::native::slots::Resumed;
use crate::standard::exception_of;
use crate::waiting::Waiter;

/// A place in a line before a queue, and the wait there.
struct Place {
    queue: Py<Queue>,
    side: Side,
    wait: Option<PlaceWait>,
}

struct PlaceWait {
    waiter: Waiter,
    iterator: Py<PyAny>,
}

impl Place {
    fn of(queue: &Bound<'_, Queue>, side: Side) -> Self {
        Self { queue: queue.clone().unbind(), side, wait: None }
    }

    /// Hands what a step brings to the wait; `None` when nothing is waited for any more.
    fn go_on(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Option<Resumed> {
        let wait = self.wait.as_ref()?;
        let resumed = step_into(wait.iterator.bind(py), incoming);
        if let Resumed::Yielded(_) = resumed {
            return Some(resumed);
        }
        let wait = self.wait.take()?;
        let Resumed::Raised(error) = resumed else { return None };
        let queue = self.queue.bind(py);
        let left = while_handling(&exception_of(py, &error), || {
            // An error gets its context when its exception is made.
            leave(queue, self.side, &wait.waiter).inspect_err(|error| _ = error.value(py))
        });
        Some(Resumed::Raised(left.err().unwrap_or(error)))
    }

    /// Stands in line.
    fn line_up(&mut self, py: Python<'_>) -> PyResult<()> {
        let queue = self.queue.bind(py);
        let event_loop = if Manner::has_lines(queue) {
            queue.get().binding.event_loop(queue.as_any())?
        } else {
            queue.call_method0(intern!(py, "_get_loop"))?
        };
        let waiter = Waiter::create(&event_loop)?;
        let iterator = iterator_of(waiter.bind(py))?.unbind();
        let placed = waiter.clone_ref(py);
        let (own, answer) = if Manner::has_lines(queue) {
            queue.get().state.with(py, |state| {
                let line = state.line(self.side);
                (line.are_own(), line.push(placed))
            })
        } else {
            (false, Err(placed))
        };
        match answer {
            Err(placed) if !own => lines::append(queue, self.side, placed)?,
            answer => taken(py, answer)?,
        }
        self.wait = Some(PlaceWait { waiter, iterator });
        Ok(())
    }

    /// Runs until `attempt` succeeds or something has to be waited for.
    fn run(
        &mut self,
        py: Python<'_>,
        incoming: Incoming<'_>,
        mut attempt: impl FnMut(&Bound<'_, Queue>) -> PyResult<Option<Py<PyAny>>>,
    ) -> Resumed {
        let mut resumed = self.go_on(py, incoming);
        loop {
            if let Some(resumed) = resumed {
                return resumed;
            }
            match attempt(self.queue.bind(py)) {
                Ok(Some(answer)) => return Resumed::Returned(answer),
                Ok(None) => {}
                Err(error) => return Resumed::Raised(error),
            }
            if let Err(error) = self.line_up(py) {
                return Resumed::Raised(error);
            }
            resumed = self.go_on(py, Ok(py.None().into_bound(py)));
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)?;
        self.wait.iter().try_for_each(|wait| {
            wait.waiter.visit(visit)?;
            visit.call(&wait.iterator)
        })
    }
}

/// Ends a wait that failed; a wake-up that came meanwhile goes to the next in line.
fn leave(queue: &Bound<'_, Queue>, side: Side, waiter: &Waiter) -> PyResult<()> {
    let py = queue.py();
    waiter.cancel(py)?;
    if Manner::has_lines(queue) {
        drop(queue.get().state.with(py, |state| state.line(side).remove(waiter)));
    } else {
        lines::remove(queue, side, waiter)?;
    }
    let refuses = match side {
        Side::Getters => is_empty(queue)?,
        Side::Putters => is_full(queue)?,
    };
    if refuses || waiter.is_cancelled(py)? {
        return Ok(());
    }
    wake_next(queue, side)
}

/// `await queue.put(item)`.
pub(super) struct Put {
    place: Place,
    item: Option<Py<PyAny>>,
}

impl Put {
    pub(super) fn new(queue: &Bound<'_, Queue>, item: Py<PyAny>) -> Self {
        Self { place: Place::of(queue, Side::Putters), item: Some(item) }
    }
}

impl Body for Put {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let item = &mut self.item;
        self.place.run(py, incoming, |queue| {
            if is_full(queue)? {
                return if is_shut_down(queue) {
                    Err(Refusal::ShutDown.error(py))
                } else {
                    Ok(None)
                };
            }
            item.take().map(|item| put_nowait(queue, item)).transpose()
        })
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.item)?;
        self.place.visit(visit)
    }
}

/// `await queue.get()`.
pub(super) struct Get {
    place: Place,
}

impl Get {
    pub(super) fn new(queue: &Bound<'_, Queue>) -> Self {
        Self { place: Place::of(queue, Side::Getters) }
    }
}

impl Body for Get {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        self.place.run(py, incoming, |queue| {
            if !is_empty(queue)? {
                return get_nowait(queue).map(Some);
            }
            // asyncio asks once more; a class that counts the questions would see it.
            if is_shut_down(queue) && is_empty(queue)? {
                return Err(Refusal::ShutDown.error(py));
            }
            Ok(None)
        })
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.place.visit(visit)
    }
}

/// `await queue.join()`.
pub(super) struct Join {
    queue: Py<Queue>,
    iterator: Option<Py<PyAny>>,
}

impl Join {
    pub(super) fn new(queue: &Bound<'_, Queue>) -> Self {
        Self { queue: queue.clone().unbind(), iterator: None }
    }

    /// What to step through; `None` when everything is done.
    fn begin(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let queue = self.queue.bind(py);
        if queue.get().state.with(py, |state| state.unfinished <= 0) {
            return Ok(None);
        }
        let wait = finished::event(queue)?.call_method0(intern!(py, "wait"))?;
        iterator_of(&wait).map(|iterator| Some(iterator.unbind()))
    }
}

impl Body for Join {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        if self.iterator.is_none() {
            match self.begin(py) {
                Ok(Some(iterator)) => self.iterator = Some(iterator),
                Ok(None) => return Resumed::Returned(py.None()),
                Err(error) => return Resumed::Raised(error),
            }
        }
        let Some(iterator) = &self.iterator else { return Resumed::Returned(py.None()) };
        match step_into(iterator.bind(py), incoming) {
            Resumed::Returned(_) => Resumed::Returned(py.None()),
            resumed => resumed,
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)?;
        visit.call(&self.iterator)
    }
}
