//! What the loop tells of: errors that native code caught, objects that nobody closed, debug mode's news.

use pyo3::exceptions::{PyBaseException, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::event_loop::Loop;
use crate::errors::handled::while_handling;
use crate::interpreter::fresh::{self, Text};
use crate::standard::{Standard, warner};

/// Has `event_loop` told of an error that native code caught.
///
/// # Errors
/// What the exception handler raises.
pub(crate) fn report_caught(
    event_loop: &Bound<'_, PyAny>,
    error: &Bound<'_, PyBaseException>,
    context: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let py = event_loop.py();
    // The order of asyncio's contexts: handlers print them as they are.
    let ordered = fresh::dict(py)?;
    let (message, exception) = (intern!(py, "message"), intern!(py, "exception"));
    if let Some(text) = context.get_item(message)? {
        ordered.set_item(message, text)?;
    }
    ordered.set_item(exception, error)?;
    for (key, value) in fresh::items(context)? {
        if !ordered.contains(&key)? {
            ordered.set_item(key, value)?;
        }
    }
    while_handling(error, || {
        event_loop.call_method1(intern!(py, "call_exception_handler"), (ordered,)).map(drop)
    })
}

/// Issues a `ResourceWarning` about `source`.
pub(crate) fn warn_resource(source: &Bound<'_, PyAny>, message: &str) -> PyResult<()> {
    let py = source.py();
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "source"), source)?;
    let category = py.get_type::<PyResourceWarning>();
    warner(py)?.call((Text(message), category), Some(&keywords)).map(drop)
}

/// Logs at the debug level, in debug mode only; otherwise the text is not made.
///
/// # Errors
/// Those of the text and of the logger.
pub(crate) fn log_debug(
    event_loop: &Loop,
    py: Python<'_>,
    text: impl FnOnce() -> PyResult<String>,
) -> PyResult<()> {
    if event_loop.is_debug(py) {
        let logger = Standard::get(py)?.logger.bind(py);
        logger.call_method1(intern!(py, "debug"), (intern!(py, "%s"), Text(text()?)))?;
    }
    Ok(())
}
