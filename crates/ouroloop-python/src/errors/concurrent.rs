//! Errors of `concurrent.futures`, which asyncio has of its own.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::standard::Standard;

/// An exception of `concurrent.futures` as the one of asyncio that corresponds to it.
///
/// # Errors
/// Those of making the other exception.
pub(crate) fn convert<'py>(error: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = error.py();
    let standard = Standard::get(py)?;
    let kind = error.get_type();
    let class = if kind.is(&standard.concurrent_cancelled_error) {
        standard.cancelled_error.bind(py).clone()
    } else if kind.is(&standard.concurrent_invalid_state_error) {
        standard.invalid_state_error.bind(py).clone()
    } else {
        return Ok(error.clone());
    };
    let args = error.getattr(intern!(py, "args"))?.cast_into::<PyTuple>()?;
    let converted = class.call1(args)?;
    let traceback = error.getattr(intern!(py, "__traceback__"))?;
    converted.setattr(intern!(py, "__traceback__"), traceback)?;
    Ok(converted)
}
