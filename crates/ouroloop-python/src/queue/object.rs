//! The three classes of queues, as objects.

use pyo3::prelude::*;

use super::state::State;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::ValueOffset;
use crate::waiting::Binding;

/// A native `asyncio.Queue`.
#[pyclass(frozen, subclass, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Queue {
    pub(super) state: AttachedCell<State>,
    pub(super) binding: Binding,
}

/// A native `asyncio.PriorityQueue`: gives the least item first.
#[pyclass(frozen, subclass, extends = Queue, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct PriorityQueue;

/// A native `asyncio.LifoQueue`: gives the item first that was put in last.
#[pyclass(frozen, subclass, extends = Queue, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct LifoQueue;

pub(super) static VALUE_OFFSET: ValueOffset = ValueOffset::new();

impl Queue {
    pub(super) const fn new() -> Self {
        Self { state: AttachedCell::new(State::new()), binding: Binding::new() }
    }
}

drops_its_dictionary!(Queue);
drops_its_dictionary!(PriorityQueue);
drops_its_dictionary!(LifoQueue);

#[inline]
pub(super) fn is_shut_down(slf: &Bound<'_, Queue>) -> bool {
    slf.get().state.with(slf.py(), |state| state.shut_down)
}

/// `_queue`, as a method in Python finds it.
#[inline]
pub(super) fn items_of<'py>(slf: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    slf.getattr(intern!(slf.py(), "_queue"))
}

/// Finds out how a queue lies in its object.
///
/// # Errors
/// `MemoryError`.
pub(super) fn measure(py: Python<'_>) -> PyResult<()> {
    VALUE_OFFSET.measure(&Bound::new(py, Queue::new())?);
    Ok(())
}
