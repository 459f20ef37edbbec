//! Timers that are no handles.

use ouroloop::EventLoop;
use ouroloop::clock::from_seconds;
use ouroloop::timers::TimerId;
use pyo3::prelude::*;

use super::entry::Entry;
use super::event_loop::Loop;
use crate::interpreter::room::no_memory;

impl Loop {
    /// Makes sure that there is room for one more timer.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(crate) fn reserve_timer(&self, py: Python<'_>) -> PyResult<()> {
        self.engine.with(py, EventLoop::reserve_timer).map_err(|_| no_memory(py))
    }

    /// Adds a timer for the time `when` of this loop's clock, for which there is room.
    pub(crate) fn add_timer(&self, py: Python<'_>, when: f64, entry: Entry) -> TimerId {
        let deadline = from_seconds(when);
        self.engine.with(py, |engine| engine.schedule(deadline, entry))
    }

    /// Schedules a callback without a handle for the time `when` of this loop's clock.
    ///
    /// # Errors
    /// Those of [`Loop::check_schedulable`]; `MemoryError`.
    pub(crate) fn schedule_at(&self, py: Python<'_>, when: f64, entry: Entry) -> PyResult<TimerId> {
        self.check_schedulable(py)?;
        self.reserve_timer(py)?;
        Ok(self.add_timer(py, when, entry))
    }

    /// Takes a timer back, with what it holds; one that has fired stays as it is.
    pub(crate) fn unschedule(&self, py: Python<'_>, timer: TimerId) {
        drop(self.engine.with(py, |engine| engine.cancel(timer)));
    }
}
