//! `PriorityQueue` and `LifoQueue` as Python sees them: queues whose container is a list.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::containers::Items;
use super::object::{LifoQueue, PriorityQueue, Queue, items_of};
use super::plain;
use crate::interpreter::fresh;
use crate::native::instance_dict;

fn start_list(slf: &Bound<'_, Queue>) -> PyResult<()> {
    let list = fresh::list(slf.py(), [(); 0])?.unbind();
    slf.get().set_items(slf.py(), Items::List(list));
    Ok(())
}

#[pymethods]
impl PriorityQueue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=0)")]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Queue::new()).add_subclass(Self)
    }

    /// Make the heap of the items; may be overridden.
    fn _init(slf: &Bound<'_, Self>, maxsize: Bound<'_, PyAny>) -> PyResult<()> {
        let _ = maxsize;
        start_list(slf.as_super())
    }

    /// Put an item on the heap; may be overridden.
    fn _put(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        plain::push_on_heap(&items_of(slf.as_super())?, item)
    }

    /// Take the least item from the heap; may be overridden.
    fn _get(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        plain::pop_from_heap(&items_of(slf.as_super())?)
    }
}

#[pymethods]
impl LifoQueue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=0)")]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Queue::new()).add_subclass(Self)
    }

    /// Make the stack of the items; may be overridden.
    fn _init(slf: &Bound<'_, Self>, maxsize: Bound<'_, PyAny>) -> PyResult<()> {
        let _ = maxsize;
        start_list(slf.as_super())
    }

    /// Put an item on the stack; may be overridden.
    fn _put(slf: &Bound<'_, Self>, item: Py<PyAny>) -> PyResult<()> {
        let items = items_of(slf.as_super())?;
        items.call_method1(intern!(slf.py(), "append"), (item,)).map(drop)
    }

    /// Take the item from the top of the stack; may be overridden.
    fn _get(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(items_of(slf.as_super())?.call_method0(intern!(slf.py(), "pop"))?.unbind())
    }
}

/// Makes both classes complete.
pub(super) fn install(py: Python<'_>) {
    instance_dict::install::<PriorityQueue>(py);
    instance_dict::install::<LifoQueue>(py);
    crate::native::slots::install_deallocate::<PriorityQueue>(py);
    crate::native::slots::install_deallocate::<LifoQueue>(py);
}
