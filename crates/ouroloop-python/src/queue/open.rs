//! What an open queue does: asyncio's order of calls, through everything that can be overridden.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{Queue, Refusal, Side, finished, is_shut_down};
use crate::recursion::Level;
use crate::waiter::Waiter;

/// `qsize`.
pub(super) fn size(slf: &Bound<'_, Queue>) -> PyResult<usize> {
    items(slf)?.len()
}

/// `empty`.
pub(super) fn is_empty(slf: &Bound<'_, Queue>) -> PyResult<bool> {
    Ok(!items(slf)?.is_truthy()?)
}

/// `full`.
pub(super) fn is_full(slf: &Bound<'_, Queue>) -> PyResult<bool> {
    let py = slf.py();
    let maxsize = slf.getattr(intern!(py, "_maxsize"))?;
    if maxsize.le(0)? {
        return Ok(false);
    }
    slf.call_method0(intern!(py, "qsize"))?.ge(maxsize)
}

/// `_queue`.
pub(super) fn items<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    slf.getattr(intern!(slf.py(), "_queue"))
}

/// `put_nowait`.
///
/// # Errors
/// `QueueFull`, `QueueShutDown`; what an overridden method raises.
pub(super) fn put(slf: &Bound<'_, Queue>, item: Py<PyAny>) -> PyResult<()> {
    let py = slf.py();
    let _level = Level::enter(py)?;
    if is_shut_down(slf) {
        return Err(Refusal::ShutDown.error(py));
    }
    if super::is_full(slf)? {
        return Err(Refusal::Full.error(py));
    }
    slf.call_method1(intern!(py, "_put"), (item,))?;
    finished::count(slf)?;
    wake_next(slf, Side::Getters)
}

/// `get_nowait`.
///
/// # Errors
/// `QueueEmpty`, `QueueShutDown`; what an overridden method raises.
pub(super) fn get(slf: &Bound<'_, Queue>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let _level = Level::enter(py)?;
    if super::is_empty(slf)? {
        let refusal = if is_shut_down(slf) { Refusal::ShutDown } else { Refusal::Empty };
        return Err(refusal.error(py));
    }
    let item = slf.call_method0(intern!(py, "_get"))?;
    wake_next(slf, Side::Putters)?;
    Ok(item.unbind())
}

/// `self._wakeup_next(waiters)`.
pub(super) fn wake_next(slf: &Bound<'_, Queue>, side: Side) -> PyResult<()> {
    let py = slf.py();
    let waiters = slf.getattr(side.attribute(py))?;
    slf.call_method1(intern!(py, "_wakeup_next"), (waiters,)).map(drop)
}

/// Wakes the first waiter in a container that still waits, or all of them.
pub(super) fn wake(waiters: &Bound<'_, PyAny>, all: bool) -> PyResult<()> {
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
pub(super) fn line_up(slf: &Bound<'_, Queue>, side: Side, waiter: Waiter) -> PyResult<()> {
    let py = slf.py();
    let line = slf.getattr(side.attribute(py))?;
    line.call_method1(intern!(py, "append"), (waiter.into_object(),)).map(drop)
}

/// Takes a waiter out of its line, if it is there.
pub(super) fn leave_line(slf: &Bound<'_, Queue>, side: Side, waiter: &Waiter) -> PyResult<()> {
    let py = slf.py();
    let line = slf.getattr(side.attribute(py))?;
    match line.call_method1(intern!(py, "remove"), (waiter.bind(py),)) {
        Err(error) if !error.is_instance_of::<PyValueError>(py) => Err(error),
        _ => Ok(()),
    }
}
