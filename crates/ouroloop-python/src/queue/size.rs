//! Whether a queue is full or empty, as its methods ask it.

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
