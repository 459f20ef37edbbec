//! `put_nowait` and `get_nowait`, as other methods of the queue call them.

use pyo3::prelude::*;

use super::object::Queue;
use super::state::Manner;
use super::{hooked, plain};

/// `put_nowait(item)`, as a method of the queue calls it.
#[inline]
pub(super) fn put_nowait(slf: &Bound<'_, Queue>, item: Py<PyAny>) -> PyResult<Py<PyAny>> {
    match Manner::of(slf) {
        Manner::Plain(order) => plain::put(slf, order, item)?,
        Manner::Hooked => hooked::put(slf, item)?,
        Manner::Open => {
            return Ok(slf.call_method1(intern!(slf.py(), "put_nowait"), (item,))?.unbind());
        }
    }
    Ok(slf.py().None())
}

/// `get_nowait()`, as a method of the queue calls it.
#[inline]
pub(super) fn get_nowait(slf: &Bound<'_, Queue>) -> PyResult<Py<PyAny>> {
    match Manner::of(slf) {
        Manner::Plain(order) => plain::get(slf, order),
        Manner::Hooked => hooked::get(slf),
        Manner::Open => Ok(slf.call_method0(intern!(slf.py(), "get_nowait"))?.unbind()),
    }
}
