//! Debug mode: wrong threads, coroutines where callables belong, slow callbacks.

use std::time::Instant;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::Loop;
use crate::handle::{Handle, HandleCall, Nothing, Scheduled};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::standard::Standard;
use crate::turn::{Entry, Subject, Work as _};

/// How many frames a coroutine remembers of its origin.
const ORIGIN_DEPTH: usize = 10;

#[pymethods]
impl Loop {
    fn get_debug(&self, py: Python<'_>) -> bool {
        self.is_debug(py)
    }

    fn set_debug(slf: &Bound<'_, Self>, enabled: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        let enabled = enabled.is_truthy()?;
        slf.get().state.with(py, |state| state.debug = enabled);
        if slf.get().is_running(py) {
            // Origin tracking is a setting of the loop's thread.
            let set = slf.getattr(intern!(py, "_set_coroutine_origin_tracking"))?;
            slf.call_method1(intern!(py, "call_soon_threadsafe"), (set, enabled))?;
        }
        Ok(())
    }

    /// Callbacks that take at least this many seconds are reported in debug mode.
    #[getter(slow_callback_duration)]
    fn slow_callback_duration<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyFloat>> {
        fresh::float(py, self.state.with(py, |state| state.slow_callback_seconds))
    }

    #[setter(slow_callback_duration)]
    fn set_slow_callback_duration(&self, py: Python<'_>, seconds: f64) {
        self.state.with(py, |state| state.slow_callback_seconds = seconds);
    }

    #[pyo3(name = "_set_coroutine_origin_tracking")]
    fn py_set_origin_tracking(slf: &Bound<'_, Self>, enabled: bool) -> PyResult<()> {
        set_origin_tracking(slf, enabled)
    }
}

/// Turns this thread's origin tracking on, or back to what it was.
pub(super) fn set_origin_tracking(event_loop: &Bound<'_, Loop>, enabled: bool) -> PyResult<()> {
    let py = event_loop.py();
    let saved = event_loop.get().state.with(py, |state| state.saved_origin_depth);
    if enabled == saved.is_some() {
        return Ok(());
    }
    let sys = crate::interpreter::modules::module(py, intern!(py, "sys"))?;
    let depth = match saved {
        Some(depth) => depth,
        None => ORIGIN_DEPTH,
    };
    let before = if enabled {
        let get = intern!(py, "get_coroutine_origin_tracking_depth");
        Some(sys.call_method0(get)?.extract::<usize>()?)
    } else {
        None
    };
    sys.call_method1(intern!(py, "set_coroutine_origin_tracking_depth"), (depth,))?;
    event_loop.get().state.with(py, |state| state.saved_origin_depth = before);
    Ok(())
}

/// # Errors
/// `TypeError` for a coroutine and for a function that makes one.
pub(super) fn refuse_coroutine(callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
    let standard = Standard::get(callback.py())?;
    for coroutine in [&standard.iscoroutine, &standard.iscoroutinefunction] {
        if coroutine.bind(callback.py()).call1((callback,))?.is_truthy()? {
            return Err(fresh::error::<PyTypeError>(format!(
                "coroutines cannot be used with {method}()"
            )));
        }
    }
    Ok(())
}

/// # Errors
/// `TypeError` for a coroutine and for what cannot be called.
pub(super) fn check_callback(callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
    refuse_coroutine(callback, method)?;
    if !callback.is_callable() {
        let message = format!("a callable object was expected by {method}(), got");
        return Err(fresh::error_saying::<PyTypeError>(format_args!(
            "{message} {}",
            callback.repr()?
        )));
    }
    Ok(())
}

/// Runs a callback and reports it if it was slow.
pub(super) fn run_timed(event_loop: &Bound<'_, Loop>, entry: Entry) -> PyResult<()> {
    let py = event_loop.py();
    let entry = match entry.take::<Scheduled>() {
        // From before debug mode was turned on: the report wants a handle.
        Ok(scheduled) => scheduled
            .into_handle(event_loop)?
            .map_or_else(|| Nothing.entry(), |handle| HandleCall(handle.unbind()).entry()),
        Err(other) => other,
    };
    let handle = entry.get::<HandleCall>().map(|call| call.0.bind(py));
    if entry.get::<Nothing>().is_some()
        || handle.is_some_and(|handle| handle.get().is_cancelled(py))
    {
        return entry.run(event_loop);
    }
    let source = handle.and_then(|handle| handle.get().source(py));
    drop(
        event_loop
            .get()
            .state
            .with(py, |state| std::mem::replace(&mut state.current_source, source)),
    );
    let subject = entry.subject(py);
    let start = Instant::now();
    let answer = entry.run(event_loop);
    let seconds = start.elapsed().as_secs_f64();
    drop(event_loop.get().state.with(py, |state| state.current_source.take()));
    if seconds >= event_loop.get().state.with(py, |state| state.slow_callback_seconds) {
        let text = describe(py, subject)?;
        let format = "Executing %s took %.3f seconds";
        let logger = Standard::get(py)?.logger.bind(py);
        logger.call_method1(intern!(py, "warning"), (format, text, seconds))?;
    }
    answer
}

/// What reports call what was run.
fn describe(py: Python<'_>, subject: Option<Subject>) -> PyResult<String> {
    let Some(subject) = subject else { return Ok(String::new()) };
    let object = match subject {
        Subject::Name(name) => return Ok(String::from(name)),
        subject => subject.object(py)?,
    };
    let Some(object) = object else { return Ok(String::new()) };
    // A task that steps by a handle is meant, not the handle.
    let owner = match object.cast::<Handle>() {
        Ok(handle) => handle.getattr(Text("_callback"))?.getattr_opt(Text("__self__"))?,
        Err(_) => None,
    };
    let shown = match owner {
        Some(owner) if owner.is_instance(Standard::get(py)?.task.bind(py))? => owner,
        _ => object,
    };
    fresh::content(&shown.repr()?)
}
