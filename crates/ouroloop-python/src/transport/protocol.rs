//! What is alike for all transports about their protocols: limits, pausing, and failures.

use ouroloop::net::{Pressure, Watermarks};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use super::buffer_limits::{BufferLimit, buffer_limits};
use crate::errors::leaving::leaves_loop;
use crate::errors::logged::log_error;
use crate::future::{Future, Outcome};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::native::cell::AttachedCell;
use crate::standard::{Standard, exception_of};
use crate::transport::native_protocol::STREAM_PROTOCOL;
use crate::turn::Loop;
use crate::turn::report_caught;

/// Whether it is a stream's protocol. Python's `drain()` only asks the transport whether it is closing, and
/// then what was written has left.
///
/// # Errors
/// Those of `isinstance`.
pub(super) fn is_of_stream(protocol: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = protocol.py();
    Ok(STREAM_PROTOCOL.derived(protocol).is_some()
        || protocol.is_instance(Standard::get(py)?.flow_control.bind(py))?)
}

/// `set_write_buffer_limits(high, low)` on the marks that `marks` finds in a transport's state.
///
/// # Errors
/// `ValueError` unless `high >= low >= 0`.
pub(super) fn set_limits<T>(
    py: Python<'_>,
    state: &AttachedCell<T>,
    marks: impl FnOnce(&mut T) -> &mut Watermarks,
    high: Option<BufferLimit>,
    low: Option<BufferLimit>,
) -> PyResult<()> {
    let (high, low) = buffer_limits(high, low, 64 * 1024)?;
    // They are in order.
    state
        .with(py, |state| marks(state).set(Some(high), Some(low)))
        .map_err(|error| fresh::error::<PyValueError>(error.to_string()))
}

/// What a transport calls it when its descriptor cannot be watched.
pub(super) const NOT_WATCHED: &str = "Fatal error on transport";

/// Tells who waits for a transport that it is open, or why its descriptor cannot be watched.
///
/// # Errors
/// The reason, when nobody waits who could be told.
pub(super) fn tell_open(
    py: Python<'_>,
    waiter: Option<Py<Future>>,
    watched: PyResult<()>,
) -> PyResult<()> {
    let Some(waiter) = waiter.filter(|waiter| !waiter.bind(py).get().is_done(py)) else {
        return watched;
    };
    let outcome = match watched {
        Ok(()) => Outcome::Result(py.None()),
        Err(error) => Outcome::Exception(exception_of(py, &error).into_any().unbind()),
    };
    Future::finish(waiter.bind(py), outcome)
}

/// Pauses or resumes a protocol; its failure goes to the exception handler.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt` of the protocol.
pub(super) fn apply(
    pressure: Pressure,
    transport: &Bound<'_, PyAny>,
    event_loop: Option<Bound<'_, Loop>>,
    protocol: Option<Py<PyAny>>,
) -> PyResult<()> {
    let py = transport.py();
    let method = match pressure {
        Pressure::Unchanged => return Ok(()),
        Pressure::Pause => "pause_writing",
        Pressure::Resume => "resume_writing",
    };
    let Some(protocol) = protocol else { return Ok(()) };
    let _level = Level::enter(py)?;
    let Err(error) = protocol.bind(py).call_method0(fresh::interned(py, method)?) else {
        return Ok(());
    };
    if leaves_loop(py, &error) {
        return Err(error);
    }
    let Some(event_loop) = event_loop else { return Ok(()) };
    let message = format!("protocol.{method}() failed");
    call_exception_handler(&event_loop, transport, Some(protocol), &error, &message)
}

/// Reports an error that ends a connection. By asyncio's rule an `OSError` is the network's and is
/// only logged in debug mode; any other goes to the exception handler.
///
/// # Errors
/// Those of the logger.
pub(super) fn report_fatal(
    event_loop: &Bound<'_, Loop>,
    transport: &Bound<'_, PyAny>,
    protocol: Option<Py<PyAny>>,
    error: &PyErr,
    message: &str,
) -> PyResult<()> {
    let py = transport.py();
    if !error.is_instance_of::<PyOSError>(py) {
        return call_exception_handler(event_loop, transport, protocol, error, message);
    }
    if event_loop.get().is_debug(py) {
        let error = exception_of(py, error);
        log_error(intern!(py, "debug"), ("%r: %s", transport, message), error.as_any())?;
    }
    Ok(())
}

fn call_exception_handler(
    event_loop: &Bound<'_, Loop>,
    transport: &Bound<'_, PyAny>,
    protocol: Option<Py<PyAny>>,
    error: &PyErr,
    message: &str,
) -> PyResult<()> {
    let py = transport.py();
    let context = fresh::dict(py)?;
    context.set_item(intern!(py, "message"), Text(message))?;
    context.set_item(intern!(py, "transport"), transport)?;
    context.set_item(intern!(py, "protocol"), protocol)?;
    report_caught(event_loop, &exception_of(py, error), &context)
}
