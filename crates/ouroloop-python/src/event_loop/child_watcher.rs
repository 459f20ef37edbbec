//! Child watchers of the standard library's (up to Python 3.13), for programs that have set one.
//!
//! A program that has not needs none: the loop finds out about a child's end by itself, in
//! whichever thread it runs. A stock loop has the policy make a watcher without the program's
//! having asked for any, and the policy remembers no difference; but what it makes is exactly a
//! `ThreadedChildWatcher` or, from Python 3.12 on, a `PidfdChildWatcher`, which do as the loop
//! does by itself. These therefore count as none; any other, one of a class derived from them
//! included, is the program's.

use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError};
use pyo3::prelude::*;

use crate::interpreter::fresh;
use crate::interpreter::pending::Pending;
use crate::standard::Standard;
use crate::transport::subprocess::{SubprocessTransport, child_exited};

/// A watcher of the program's, entered as the context manager that it is.
#[derive(Debug)]
pub(super) struct Watcher {
    /// What was entered, and is left again.
    manager: Py<PyAny>,
    /// What is asked to watch: the same object, as a rule.
    active: Py<PyAny>,
    entered: bool,
}

impl Watcher {
    /// The watcher that the program has set, ready for a child to be spawned.
    ///
    /// # Errors
    /// `RuntimeError` for one that is not active, before any child is spawned.
    pub(super) fn enter(py: Python<'_>) -> PyResult<Option<Self>> {
        let Some(watcher) = chosen(py)? else { return Ok(None) };
        let entered = watcher.call_method0(intern!(py, "__enter__"))?;
        // 3.11 goes on with what entering gives, later versions with what they entered.
        let active = if cfg!(Py_3_12) { watcher.clone() } else { entered };
        let this = Self { manager: watcher.unbind(), active: active.unbind(), entered: true };
        if !this.active.bind(py).call_method0(intern!(py, "is_active"))?.is_truthy()? {
            let error = fresh::error::<PyRuntimeError>(
                "asyncio.get_child_watcher() is not activated, subprocess support is not installed.",
            );
            return match this.leave(py, Some(&error)) {
                Ok(()) => Err(error),
                Err(other) => Err(other),
            };
        }
        Ok(Some(this))
    }

    /// Ends what `enter` has begun.
    ///
    /// # Errors
    /// What the watcher raises.
    pub(super) fn leave(mut self, py: Python<'_>, error: Option<&PyErr>) -> PyResult<()> {
        self.entered = false;
        let manager = self.manager.bind(py);
        let exit = intern!(py, "__exit__");
        let answer = match error {
            Some(error) => {
                let value = error.value(py);
                manager.call_method1(exit, (value.get_type(), value, error.traceback(py)))
            }
            None => manager.call_method1(exit, (py.None(), py.None(), py.None())),
        };
        answer.map(drop)
    }

    /// Has it tell the transport of the child's end.
    pub(super) fn watch(&self, transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
        let py = transport.py();
        let pid = transport.call_method0(intern!(py, "get_pid"))?;
        let callback = wrap_pyfunction!(child_exited, py)?;
        let add = intern!(py, "add_child_handler");
        self.active.bind(py).call_method1(add, (pid, callback, transport)).map(drop)
    }
}

/// A coroutine that nobody resumes leaves its watcher, too.
impl Drop for Watcher {
    fn drop(&mut self) {
        if !self.entered {
            return;
        }
        Python::try_attach(|py| {
            // The coroutine may be dropped while an exception is on its way.
            let _pending = Pending::put_aside(py);
            let manager = self.manager.bind(py);
            let arguments = (py.None(), py.None(), py.None());
            if let Err(error) = manager.call_method1(intern!(py, "__exit__"), arguments) {
                error.write_unraisable(py, Some(manager));
            }
        });
    }
}

/// The watcher of the policy in force, if there is one already.
fn chosen(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let policy = crate::interpreter::modules::module(py, intern!(py, "asyncio.events"))?
        .call_method0(intern!(py, "get_event_loop_policy"))?;
    let get = intern!(py, "get_child_watcher");
    let usual = &Standard::get(py)?.unix_policy;
    let own = policy.get_type().getattr(get)?;
    let watcher = if own.is(&usual.bind(py).getattr(get)?) {
        // To ask by the method would make one.
        policy.getattr(intern!(py, "_watcher"))?
    } else {
        match silently(py, || policy.call_method0(get)) {
            Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => return Ok(None),
            answer => answer?,
        }
    };
    Ok(if watcher.is_none() || is_usual(&watcher)? { None } else { Some(watcher) })
}

/// Whether the policy may have made this watcher by itself.
fn is_usual(watcher: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = watcher.py();
    let module = crate::interpreter::modules::module(py, intern!(py, "asyncio.unix_events"))?;
    let class = watcher.get_type();
    let threaded = module.getattr(intern!(py, "ThreadedChildWatcher"))?;
    if class.is(&threaded) || !cfg!(Py_3_12) {
        return Ok(class.is(&threaded));
    }
    Ok(class.is(&module.getattr(intern!(py, "PidfdChildWatcher"))?))
}

/// Calls without the warning that watchers are deprecated: the program has had it.
fn silently<'py>(
    py: Python<'py>,
    call: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let warnings = crate::interpreter::modules::module(py, intern!(py, "warnings"))?;
    let guard = warnings.call_method0(intern!(py, "catch_warnings"))?;
    guard.call_method0(intern!(py, "__enter__"))?;
    let category = py.get_type::<pyo3::exceptions::PyDeprecationWarning>();
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "category"), category)?;
    let answer = warnings
        .call_method(intern!(py, "simplefilter"), (intern!(py, "ignore"),), Some(&keywords))
        .and_then(|_| call());
    guard.call_method1(intern!(py, "__exit__"), (py.None(), py.None(), py.None()))?;
    answer
}
