//! What a plain queue does: native code on native containers.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::containers::{Items, pop_front};
use super::finished;
use super::lines::wake_next;
use super::object::Queue;
use super::refusal::Refusal;
use super::state::{Discipline, Side};
use crate::interpreter::recursion::Level;
use crate::interpreter::room::{Grow, taken};
use crate::standard::Standard;

/// `qsize`.
#[inline]
pub(super) fn size(slf: &Bound<'_, Queue>) -> usize {
    slf.get().state.with(slf.py(), |state| state.items.len(slf.py()))
}

/// `full`.
#[inline]
pub(super) fn is_full(slf: &Bound<'_, Queue>) -> bool {
    slf.get().state.with(slf.py(), |state| state.is_full(slf.py()))
}

/// `put_nowait`.
///
/// # Errors
/// `QueueFull`, `QueueShutDown`; what comparing items raises.
#[inline]
pub(super) fn put(slf: &Bound<'_, Queue>, order: Discipline, item: Py<PyAny>) -> PyResult<()> {
    let py = slf.py();
    let refusal = slf.get().state.with(py, |state| {
        if state.shut_down {
            Some(Refusal::ShutDown)
        } else {
            state.is_full(py).then_some(Refusal::Full)
        }
    });
    if let Some(refusal) = refusal {
        return Err(refusal.error(py));
    }
    insert(slf, order, item)?;
    finished::count(slf)?;
    wake_next(slf, Side::Getters)
}

/// `get_nowait`.
///
/// # Errors
/// `QueueEmpty`, `QueueShutDown`; what comparing items raises.
#[inline]
pub(super) fn get(slf: &Bound<'_, Queue>, order: Discipline) -> PyResult<Py<PyAny>> {
    let py = slf.py();
    let Some(item) = remove(slf, order)? else {
        let shut_down = slf.get().state.with(py, |state| state.shut_down);
        return Err(if shut_down { Refusal::ShutDown } else { Refusal::Empty }.error(py));
    };
    wake_next(slf, Side::Putters)?;
    Ok(item)
}

/// `_put`.
#[inline]
pub(super) fn insert(slf: &Bound<'_, Queue>, order: Discipline, item: Py<PyAny>) -> PyResult<()> {
    let py = slf.py();
    let state = &slf.get().state;
    if order == Discipline::First {
        // A queue that is not plain is excluded by the caller.
        return taken(
            py,
            state.with(py, |state| match &mut state.items {
                Items::Own(items) => items.grow(item),
                _ => Err(item),
            }),
        );
    }
    match state.with(py, |state| state.list(py)) {
        Some(list) if order == Discipline::Least => push_on_heap(list.bind(py).as_any(), item),
        Some(list) => list.bind(py).append(item),
        None => Ok(()),
    }
}

/// `_get`, or nothing when there is nothing.
#[inline]
pub(super) fn remove(slf: &Bound<'_, Queue>, order: Discipline) -> PyResult<Option<Py<PyAny>>> {
    let py = slf.py();
    let state = &slf.get().state;
    if order == Discipline::First {
        return Ok(state.with(py, |state| match &mut state.items {
            Items::Own(items) => pop_front(items),
            _ => None,
        }));
    }
    let Some(list) = state.with(py, |state| state.list(py)) else { return Ok(None) };
    let list = list.into_bound(py);
    if list.is_empty() {
        return Ok(None);
    }
    if order == Discipline::Least {
        return pop_from_heap(list.as_any()).map(Some);
    }
    pop_last(&list).map(Some)
}

/// `heapq.heappush`: whatever comparing raises leaves the heap as that does.
pub(super) fn push_on_heap(heap: &Bound<'_, PyAny>, item: Py<PyAny>) -> PyResult<()> {
    let _level = Level::enter(heap.py())?;
    Standard::get(heap.py())?.heappush.bind(heap.py()).call1((heap, item)).map(drop)
}

/// `heapq.heappop`.
pub(super) fn pop_from_heap(heap: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let _level = Level::enter(heap.py())?;
    Ok(Standard::get(heap.py())?.heappop.bind(heap.py()).call1((heap,))?.unbind())
}

fn pop_last(list: &Bound<'_, PyList>) -> PyResult<Py<PyAny>> {
    let top = list.len() - 1;
    let item = list.get_item(top)?;
    list.del_item(top)?;
    Ok(item.unbind())
}
