//! Errors of protocols: of which callback the exception handler is told.
//!
//! On asyncio a method of a protocol is either a callback of the loop's itself (`connection_made`) or
//! is called by a callback, which is a method of the transport's (`_read_ready`). The handler is
//! told of a handle with that callback. Here:
//!
//! 1. A method that is a callback itself is looked up where asyncio schedules it, once, and kept
//!    until it is called. Looking it up again to report what it raised would run the program's
//!    code again, which may raise, and that error would be nobody's.
//! 2. Where a method of the transport's calls, the transport stands here with the method of that
//!    name of asyncio's own transport: a [`Step`]. Nothing of the program's is looked up.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::context::{Snapshot, run_in};
use crate::handle::{Contents, Handle};
use crate::interpreter::fresh;
use crate::turn::Loop;

/// A method of one of asyncio's transports: its module, class and name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step(pub(super) &'static str, pub(super) &'static str, pub(super) &'static str);

impl Step {
    /// The method of `transport`, for showing.
    ///
    /// # Errors
    /// `AttributeError` where a program has removed it, or a version has no such method.
    fn of<'py>(self, transport: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = transport.py();
        let Self(module, class, method) = self;
        let function = crate::interpreter::modules::module(py, &fresh::interned(py, module)?)?
            .getattr(fresh::interned(py, class)?)?
            .getattr(fresh::interned(py, method)?)?;
        function.call_method1(intern!(py, "__get__"), (transport,))
    }

    /// Reports an error of a protocol that `transport` called within this step.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`, which leave the loop; any error once the connection has ended and
    /// the transport has no loop any more.
    #[cold]
    pub(super) fn report(
        self,
        event_loop: Option<Bound<'_, Loop>>,
        transport: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        context: Py<PyAny>,
        error: PyErr,
    ) -> PyResult<()> {
        let Some(event_loop) = event_loop else { return Err(error) };
        let callback = self.of(transport).unwrap_or_else(|_| transport.clone()).unbind();
        report_callback(&event_loop, callback, args, context, error)
    }
}

/// Reports an error of a callback that the loop made, as that of a handle.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`, which leave the loop.
#[cold]
pub(super) fn report_callback(
    event_loop: &Bound<'_, Loop>,
    callback: Py<PyAny>,
    args: &Bound<'_, PyTuple>,
    context: Py<PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let args = args.clone().into_any().unbind();
    let contents = Contents { callback, args, context: Snapshot::of(context) };
    Handle::report(&Handle::create(event_loop, contents)?, error)
}

/// Makes a call that is a callback by itself; its error is reported.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
pub(super) fn call_back(
    event_loop: &Bound<'_, Loop>,
    callback: Py<PyAny>,
    args: &Bound<'_, PyTuple>,
    context: Py<PyAny>,
) -> PyResult<()> {
    let py = event_loop.py();
    run_in(py, &context, || callback.bind(py).call1(args).map(drop))
        .or_else(|error| report_callback(event_loop, callback, args, context, error))
}
