//! The kernel's errors as Python's.

use std::io;

use ouroloop::multiplex::OutOfRange;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::errors::containment::settled;
use crate::interpreter::fresh;

/// The `OSError` that Python itself raises for `error`: of the subclass, and with the number and
/// the text, that belong to it.
///
/// [`PyErr::from`] keeps neither number nor text. A descriptor that `select` has no room for is the
/// `ValueError` of Python's own `select`.
pub(crate) fn os_error(py: Python<'_>, error: &io::Error) -> PyErr {
    if matches!(error.get_ref(), Some(refusal) if refusal.is::<OutOfRange>()) {
        return fresh::error::<PyValueError>(error.to_string());
    }
    let Some(number) = error.raw_os_error() else {
        return fresh::error::<PyOSError>(error.to_string());
    };
    let text = crate::interpreter::modules::module(py, intern!(py, "os"))
        .and_then(|os| os.call_method1(intern!(py, "strerror"), (number,)));
    match text {
        Ok(text) => settled(py, PyOSError::new_err((number, text.unbind()))),
        Err(error) => error,
    }
}
