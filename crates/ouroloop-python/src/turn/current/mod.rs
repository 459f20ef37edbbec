//! Where the standard module keeps the running task of a loop, written without a call.
//!
//! Every step writes it, so it has to be cheap, and everybody reads it (`asyncio.current_task`, C
//! tasks that check who runs), so it has to be in the standard place:
//!
//! * up to 3.13 a dictionary from loop to task, `asyncio.tasks._current_tasks`. The first step
//!   goes through `PyDict_SetItem`; the following ones exchange the value of the entry in place.
//! * from 3.14 on a field of the thread's state, behind the one for the running loop.
//!
//! Neither place has a public address. Both are found by writing a known object the public way and
//! looking for it (see `prove` and `find`); where it is not found, every write is a public call.

#[cfg(not(Py_3_14))]
mod dictionary;
pub(crate) mod standard;
#[cfg(Py_3_14)]
mod thread_state;

use pyo3::prelude::*;

use crate::native::cell::AttachedCell;

#[cfg(not(Py_3_14))]
use dictionary as place;
#[cfg(Py_3_14)]
use thread_state as place;

/// The running task of one loop, as native steps write it.
///
/// A native step leaves its entry in place, because usually the next callback is a native step too
/// and overwrites it; [`Current::leave`] takes it away.
#[derive(Debug)]
pub(crate) struct Current {
    entered: AttachedCell<bool>,
    place: AttachedCell<place::Place>,
}

impl Current {
    pub(crate) const fn new() -> Self {
        Self { entered: AttachedCell::new(false), place: AttachedCell::new(place::Place::UNKNOWN) }
    }

    /// The loop begins to run in this thread, whose state holds the place.
    ///
    /// # Errors
    /// What the standard module's functions raise.
    #[cfg(Py_3_14)]
    pub(crate) fn begin_run(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        self.place.set(py, place::Place::of(event_loop)?);
        // A task that forks is the running one in the child too, but of a loop that does not run.
        let exchanged = self.place.with(py, |place| place.exchange(event_loop, None, false));
        if exchanged.map(drop).is_err() {
            place::write(event_loop, None)?;
        }
        Ok(())
    }

    /// Writes `task` as the running one, for a step from the ready queue.
    ///
    /// # Errors
    /// `RuntimeError` if `event_loop` is not the running loop (3.14).
    #[inline]
    pub(crate) fn enter(
        &self,
        event_loop: &Bound<'_, PyAny>,
        task: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = event_loop.py();
        let entered = self.entered.replace(py, true);
        let exchanged =
            self.place.with(py, |place| place.exchange(event_loop, Some(task), entered));
        if exchanged.map(drop).is_ok() {
            return Ok(());
        }
        match place::write(event_loop, Some(task)) {
            Ok(Some(place)) => self.place.set(py, place),
            Ok(None) => {}
            Err(refusal) => {
                self.entered.set(py, false);
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// The running task of any kind, if one runs and the place is known.
    #[cfg(Py_3_14)]
    #[inline]
    pub(crate) fn read<'py>(&self, event_loop: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        self.place.with(event_loop.py(), |place| place.read(event_loop))
    }

    /// No native step runs from here on.
    ///
    /// # Errors
    /// As [`Current::enter`].
    #[inline]
    pub(crate) fn leave(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        if !self.entered.replace(py, false) {
            return Ok(());
        }
        let exchanged = self.place.with(py, |place| place.exchange(event_loop, None, true));
        if exchanged.map(drop).is_err() {
            place::write(event_loop, None)?;
        }
        Ok(())
    }
}
