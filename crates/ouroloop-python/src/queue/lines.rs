//! Those who wait before a queue: waking them, and how they get in and out of lines that Python has seen.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::object::Queue;
use super::state::{Manner, Side};
use crate::waiting::Waiter;

/// Wakes the first in line who still waits.
#[inline]
pub(super) fn wake_next(slf: &Bound<'_, Queue>, side: Side) -> PyResult<()> {
    let py = slf.py();
    let state = &slf.get().state;
    while !state.with(py, |state| state.line(side).is_own_and_empty()) {
        if !Manner::has_lines(slf) {
            return call_wake_next(slf, side);
        }
        if let Some(waiter) = state.with(py, |state| state.line(side).pop())
            && !waiter.is_done(py)?
        {
            return waiter.set_result(py, py.None());
        }
    }
    Ok(())
}

/// `self._wakeup_next(waiters)`.
pub(super) fn call_wake_next(slf: &Bound<'_, Queue>, side: Side) -> PyResult<()> {
    let py = slf.py();
    let waiters = slf.getattr(side.attribute(py))?;
    slf.call_method1(intern!(py, "_wakeup_next"), (waiters,)).map(drop)
}

/// Wakes the first waiter in a container that still waits, or all of them.
pub(super) fn wake_in(waiters: &Bound<'_, PyAny>, all: bool) -> PyResult<()> {
    let py = waiters.py();
    while waiters.is_truthy()? {
        let waiter = Waiter::of(waiters.call_method0(intern!(py, "popleft"))?);
        if !waiter.is_done(py)? {
            waiter.set_result(py, py.None())?;
            if !all {
                break;
            }
        }
    }
    Ok(())
}

/// Appends a waiter to its line.
pub(super) fn append(slf: &Bound<'_, Queue>, side: Side, waiter: Waiter) -> PyResult<()> {
    let py = slf.py();
    let line = slf.getattr(side.attribute(py))?;
    line.call_method1(intern!(py, "append"), (waiter.into_object(),)).map(drop)
}

/// Takes a waiter out of its line, if it is there.
pub(super) fn remove(slf: &Bound<'_, Queue>, side: Side, waiter: &Waiter) -> PyResult<()> {
    let py = slf.py();
    let line = slf.getattr(side.attribute(py))?;
    match line.call_method1(intern!(py, "remove"), (waiter.bind(py),)) {
        Err(error) if !error.is_instance_of::<PyValueError>(py) => Err(error),
        _ => Ok(()),
    }
}
