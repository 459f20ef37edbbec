//! What a hooked queue does: native code around a container that the class brought along.
//!
//! The container is reached by `_put` and `_get`, asked for its length, and for its truth.

use pyo3::prelude::*;

use super::containers::Items;
use super::finished;
use super::lines::wake_next;
use super::object::{Queue, is_shut_down, items_of};
use super::refusal::Refusal;
use super::state::{Capacity, Side};
use crate::interpreter::recursion::Level;

/// The container.
fn items<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let known = slf.get().state.with(py, |state| match &state.items {
        Items::List(list) => Some(list.clone_ref(py).into_any()),
        Items::Foreign(container) => Some(container.clone_ref(py)),
        Items::Unset | Items::Own(_) => None,
    });
    known.map_or_else(|| items_of(slf), |container| Ok(container.into_bound(py)))
}

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
    match slf.get().state.with(slf.py(), |state| state.capacity) {
        Capacity::Bounded(capacity) => Ok(size(slf)? >= capacity),
        Capacity::Unbounded | Capacity::Odd => Ok(false),
    }
}

/// `put_nowait`.
///
/// # Errors
/// `QueueFull`, `QueueShutDown`; what `_put` raises.
pub(super) fn put(slf: &Bound<'_, Queue>, item: Py<PyAny>) -> PyResult<()> {
    let py = slf.py();
    let _level = Level::enter(py)?;
    if is_shut_down(slf) {
        return Err(Refusal::ShutDown.error(py));
    }
    if is_full(slf)? {
        return Err(Refusal::Full.error(py));
    }
    slf.call_method1(intern!(py, "_put"), (item,))?;
    finished::count(slf)?;
    wake_next(slf, Side::Getters)
}

/// `get_nowait`.
///
/// # Errors
/// `QueueEmpty`, `QueueShutDown`; what `_get` raises.
pub(super) fn get(slf: &Bound<'_, Queue>) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let _level = Level::enter(py)?;
    if is_empty(slf)? {
        let refusal = if is_shut_down(slf) { Refusal::ShutDown } else { Refusal::Empty };
        return Err(refusal.error(py));
    }
    let item = slf.call_method0(intern!(py, "_get"))?;
    wake_next(slf, Side::Putters)?;
    Ok(item.unbind())
}
