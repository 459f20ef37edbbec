//! What methods of a queue call of each other, by its manner: `full`, `empty`, `put_nowait`, `get_nowait`.

use pyo3::prelude::*;

use super::object::Queue;
use super::state::Manner;
use super::{hooked, plain};

/// `full()`, as a method of the queue calls it.
#[inline]
pub(super) fn is_full(slf: &Bound<'_, Queue>) -> PyResult<bool> {
    match Manner::of(slf) {
        Manner::Plain(_) => Ok(plain::is_full(slf)),
        Manner::Hooked => hooked::is_full(slf),
        Manner::Open => slf.call_method0(intern!(slf.py(), "full"))?.is_truthy(),
    }
}

/// `empty()`, as a method of the queue calls it.
#[inline]
pub(super) fn is_empty(slf: &Bound<'_, Queue>) -> PyResult<bool> {
    match Manner::of(slf) {
        Manner::Plain(_) => Ok(plain::size(slf) == 0),
        Manner::Hooked => hooked::is_empty(slf),
        Manner::Open => slf.call_method0(intern!(slf.py(), "empty"))?.is_truthy(),
    }
}

/// `put_nowait(item)`, as a method of the queue calls it.
#[inline]
pub(super) fn put_nowait(slf: &Bound<'_, Queue>, item: Py<PyAny>) -> PyResult<Py<PyAny>> {
    match Manner::of(slf) {
        Manner::Plain(discipline) => plain::put(slf, discipline, item)?,
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
        Manner::Plain(discipline) => plain::get(slf, discipline),
        Manner::Hooked => hooked::get(slf),
        Manner::Open => Ok(slf.call_method0(intern!(slf.py(), "get_nowait"))?.unbind()),
    }
}
