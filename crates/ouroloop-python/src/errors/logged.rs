//! Errors that asyncio's logger is told of.

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::interpreter::fresh;
use crate::standard::Standard;

/// Logs an error: `logger.debug(*arguments, exc_info=exc_info)`, if `level` is `debug`.
///
/// # Errors
/// Those of the logger.
pub(crate) fn log_error<'py>(
    level: &Bound<'py, PyString>,
    arguments: impl PyCallArgs<'py>,
    exc_info: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = level.py();
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "exc_info"), exc_info)?;
    let logger = Standard::get(py)?.logger.bind(py);
    logger.call_method(level, arguments, Some(&keywords)).map(drop)
}
