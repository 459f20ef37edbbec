//! `PriorityQueue` and `LifoQueue`: queues whose container is a list.

use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::containers::Items;
use super::{Queue, open, plain};
use crate::fresh;
use crate::instance_dict;
use crate::slots::Deallocate;

/// A native `asyncio.PriorityQueue`: gives the least item first.
#[pyclass(frozen, subclass, extends = Queue, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct PriorityQueue;

/// A native `asyncio.LifoQueue`: gives the item first that was put in last.
#[pyclass(frozen, subclass, extends = Queue, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct LifoQueue;

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
        plain::push_on_heap(&open::items(slf.as_super())?, item)
    }

    /// Take the least item from the heap; may be overridden.
    fn _get(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        plain::pop_from_heap(&open::items(slf.as_super())?)
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
        let items = open::items(slf.as_super())?;
        items.call_method1(intern!(slf.py(), "append"), (item,)).map(drop)
    }

    /// Take the item from the top of the stack; may be overridden.
    fn _get(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(open::items(slf.as_super())?.call_method0(intern!(slf.py(), "pop"))?.unbind())
    }
}

impl Deallocate for PriorityQueue {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: the caller's promise is the same.
        unsafe { super::strip(slf) }
    }
}

impl Deallocate for LifoQueue {
    fn original() -> &'static OnceLock<ffi::destructor> {
        static ORIGINAL: OnceLock<ffi::destructor> = OnceLock::new();
        &ORIGINAL
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: the caller's promise is the same.
        unsafe { super::strip(slf) }
    }
}

/// Makes both classes complete.
pub(super) fn install(py: Python<'_>) {
    instance_dict::install::<PriorityQueue>(py);
    instance_dict::install::<LifoQueue>(py);
    crate::slots::install_deallocate::<PriorityQueue>(py);
    crate::slots::install_deallocate::<LifoQueue>(py);
}
