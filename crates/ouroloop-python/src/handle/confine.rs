//! Errors that callbacks of the loop's own leave behind: each is told as that of a handle, which is what exception
//! handlers expect.

use pyo3::prelude::*;

use super::object::{Contents, Handle};
use crate::context::{Snapshot, copy_current};
use crate::interpreter::fresh;
use crate::turn::Loop;

/// Makes a call about `owner`. What goes wrong there and has not been reported ends neither the loop nor
/// what else waits in its turn.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`.
#[inline]
pub(crate) fn confine<'py, T>(
    event_loop: &Bound<'py, Loop>,
    owner: &Bound<'py, T>,
    call: impl FnOnce(&Bound<'py, T>) -> PyResult<()>,
) -> PyResult<()> {
    call(owner).or_else(|error| {
        let callback = owner.clone().into_any().unbind();
        report_call(event_loop, callback, None, copy_current(owner.py())?, error)
    })
}

/// Reports what a callback has raised, as the error of a handle that would have called it in `context` with `arguments`.
///
/// # Errors
/// `SystemExit` and `KeyboardInterrupt`; what making the handle raises.
#[cold]
pub(crate) fn report_call(
    event_loop: &Bound<'_, Loop>,
    callback: Py<PyAny>,
    arguments: impl IntoIterator<Item = Py<PyAny>, IntoIter: ExactSizeIterator>,
    context: Py<PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    let args = fresh::tuple(py, arguments)?.into_any().unbind();
    let contents = Contents { callback, args, context: Snapshot::of(context) };
    Handle::report(&Handle::create(event_loop, contents)?, error)
}
