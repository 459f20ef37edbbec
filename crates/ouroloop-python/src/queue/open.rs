//! What an open queue does: asyncio's order of calls, through everything that can be overridden.

use pyo3::prelude::*;

use super::lines::call_wake_next;
use super::object::{Queue, is_shut_down, items_of};
use super::refusal::Refusal;
use super::state::Side;
use super::{calls, finished};
use crate::interpreter::recursion::Level;

/// `qsize`.
pub(super) fn size(slf: &Bound<'_, Queue>) -> PyResult<usize> {
    items_of(slf)?.len()
}

/// `empty`.
pub(super) fn is_empty(slf: &Bound<'_, Queue>) -> PyResult<bool> {
    Ok(!items_of(slf)?.is_truthy()?)
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
    if calls::is_full(slf)? {
        return Err(Refusal::Full.error(py));
    }
    slf.call_method1(intern!(py, "_put"), (item,))?;
    finished::count(slf)?;
    call_wake_next(slf, Side::Getters)
}

/// `get_nowait`.
///
/// # Errors
/// `QueueEmpty`, `QueueShutDown`; what an overridden method raises.
pub(super) fn get(slf: &Bound<'_, Queue>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let _level = Level::enter(py)?;
    if calls::is_empty(slf)? {
        let refusal = if is_shut_down(slf) { Refusal::ShutDown } else { Refusal::Empty };
        return Err(refusal.error(py));
    }
    let item = slf.call_method0(intern!(py, "_get"))?;
    call_wake_next(slf, Side::Putters)?;
    Ok(item.unbind())
}
