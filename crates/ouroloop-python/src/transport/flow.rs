//! Flow control: the limits of a write queue, and the protocol that is told of them.

use ouroloop::net::{Pressure, Watermarks};
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::cell::AttachedCell;
use crate::event_loop::Loop;
use crate::standard::exception_of;

/// `set_write_buffer_limits(high, low)`: moves the marks that `marks` finds in `state`.
///
/// # Errors
/// `ValueError` unless `high >= low >= 0`.
pub(crate) fn set_limits<S>(
    py: Python<'_>,
    state: &AttachedCell<S>,
    marks: impl FnOnce(&mut S) -> &mut Watermarks,
    high: Option<i64>,
    low: Option<i64>,
) -> PyResult<()> {
    let high = high.unwrap_or_else(|| low.map_or(64 * 1024, |low| low.saturating_mul(4)));
    let low = low.unwrap_or_else(|| high.div_euclid(4));
    let set = match (usize::try_from(high), usize::try_from(low)) {
        (Ok(high), Ok(low)) => {
            state.with(py, |state| marks(state).set(Some(high), Some(low)).is_ok())
        }
        _ => false,
    };
    if !set {
        let message = format!("high ({high}) must be >= low ({low}) must be >= 0");
        return Err(PyValueError::new_err(message));
    }
    Ok(())
}

/// Pauses or resumes the protocol of `transport`, whose errors go to the exception handler.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` of the protocol.
pub(crate) fn apply(
    pressure: Pressure,
    transport: &Bound<'_, PyAny>,
    protocol: Option<Py<PyAny>>,
    event_loop: Option<Bound<'_, Loop>>,
) -> PyResult<()> {
    let py = transport.py();
    let method = match pressure {
        Pressure::Unchanged => return Ok(()),
        Pressure::Pause => "pause_writing",
        Pressure::Resume => "resume_writing",
    };
    let Some(protocol) = protocol else { return Ok(()) };
    let Err(error) = protocol.bind(py).call_method0(PyString::intern(py, method)) else {
        return Ok(());
    };
    if error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py) {
        return Err(error);
    }
    let Some(event_loop) = event_loop else { return Ok(()) };
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), format!("protocol.{method}() failed"))?;
    context.set_item(intern!(py, "exception"), exception_of(py, &error))?;
    context.set_item(intern!(py, "transport"), transport)?;
    context.set_item(intern!(py, "protocol"), protocol)?;
    event_loop.call_method1(intern!(py, "call_exception_handler"), (context,)).map(drop)
}
