//! What becomes of errors that nobody awaits: the exception handlers.

use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::Loop;
use crate::errors::handled::while_handling;
use crate::errors::leaving::leaves_loop;
use crate::errors::logged::log_error;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::{Grow, taken};
use crate::standard::exception_of;

#[pymethods]
impl Loop {
    /// The handler set by `set_exception_handler`, or `None`.
    fn get_exception_handler(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.exception_handler.clone_ref(py))
    }

    /// Makes `handler(loop, context)` receive errors that nobody awaits; `None` undoes it.
    fn set_exception_handler(
        &self,
        py: Python<'_>,
        handler: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if let Some(handler) = &handler
            && !handler.is_callable()
        {
            let message = "A callable object or None is expected, got";
            return Err(fresh::error_saying::<PyTypeError>(format_args!(
                "{message} {}",
                handler.repr()?
            )));
        }
        let handler = handler.map(Bound::unbind);
        drop(self.state.with(py, |state| std::mem::replace(&mut state.exception_handler, handler)));
        Ok(())
    }

    /// Logs an error with everything that its context tells.
    fn default_exception_handler(
        slf: &Bound<'_, Self>,
        context: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let message = match entry(context, intern!(py, "message"))? {
            Some(message) if message.is_truthy()? => fresh::content(&message.str()?)?,
            _ => String::from("Unhandled exception in event loop"),
        };
        let exc_info = match entry(context, intern!(py, "exception"))? {
            Some(error) if !error.is_none() => {
                let traceback = error.getattr(intern!(py, "__traceback__"))?;
                fresh::tuple(py, [error.get_type().into_any(), error, traceback])?.into_any()
            }
            _ => false.into_pyobject(py)?.to_owned().into_any(),
        };
        if !context.contains(intern!(py, "source_traceback"))? {
            let source = slf.get().state.with(py, |state| state.current_source.clone_ref(py));
            if let Some(source) = source {
                context.set_item(intern!(py, "handle_traceback"), source)?;
            }
        }
        let mut lines = vec![message];
        let mut keys: Vec<String> = Vec::new();
        for key in context.try_iter()? {
            taken(py, keys.grow(key?.extract()?))?;
        }
        keys.sort();
        for key in keys.iter().filter(|key| !matches!(key.as_str(), "message" | "exception")) {
            let value = context.get_item(Text(key))?;
            let text = match key.as_str() {
                "source_traceback" => created_at("Object", &value)?,
                "handle_traceback" => created_at("Handle", &value)?,
                _ => fresh::content(&value.repr()?)?,
            };
            lines.push(fresh::text(format_args!("{key}: {text}"))?);
        }
        log_error(intern!(py, "error"), (Text(fresh::listed(&lines, "\n")?),), &exc_info)
    }

    /// Gives an error to the handler in force. The context is a dictionary with `message` and,
    /// where they apply, `exception`, `future`, `task`, `handle`, `protocol`, `transport`,
    /// `socket`, `server`, `source_traceback`, `handle_traceback` and `asyncgen`.
    fn call_exception_handler(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        let Some(handler) = slf.get().get_exception_handler(py) else {
            let answer = slf.call_method1(intern!(py, "default_exception_handler"), (context,));
            return guard(answer, |_| log_handled(py, "Exception in default exception handler"));
        };
        let answer = call_handler(slf, handler.bind(py), context);
        guard(answer, |error| {
            let second = fresh::dict(py)?;
            second
                .set_item(intern!(py, "message"), Text("Unhandled error in exception handler"))?;
            second.set_item(intern!(py, "exception"), error)?;
            second.set_item(intern!(py, "context"), context)?;
            let answer = slf.call_method1(intern!(py, "default_exception_handler"), (second,));
            guard(answer, |_| {
                let message = "Exception in default exception handler while handling an \
                               unexpected error in custom exception handler";
                log_handled(py, message)
            })
        })
    }
}

/// Calls a user's handler, in the context of the task, future or handle that it is about.
fn call_handler<'py>(
    event_loop: &Bound<'py, Loop>,
    handler: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    if cfg!(Py_3_12) {
        for key in [intern!(py, "task"), intern!(py, "future"), intern!(py, "handle")] {
            let Some(thing) = entry(context, key)?.filter(|thing| !thing.is_none()) else {
                continue;
            };
            let Some(get_context) = thing.getattr_opt(intern!(py, "get_context"))? else { break };
            let own = get_context.call0()?;
            if let Some(run) = own.getattr_opt(intern!(py, "run"))? {
                return run.call1((handler, event_loop, context));
            }
            break;
        }
    }
    handler.call1((event_loop, context))
}

/// `context.get(name)`, of a dictionary or whatever a program has for one.
fn entry<'py>(
    context: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match context.cast::<PyDict>() {
        Ok(context) => context.get_item(name),
        Err(_) => context.call_method1(intern!(context.py(), "get"), (name,)).map(Some),
    }
}

/// Lets `SystemExit` and `KeyboardInterrupt` through and any other error to `otherwise`.
fn guard(
    answer: PyResult<Bound<'_, PyAny>>,
    otherwise: impl FnOnce(&Bound<'_, PyBaseException>) -> PyResult<()>,
) -> PyResult<()> {
    let Err(error) = answer else { return Ok(()) };
    Python::attach(|py| {
        if leaves_loop(py, &error) {
            return Err(error);
        }
        let error = exception_of(py, &error);
        while_handling(&error, || otherwise(&error))
    })
}

fn created_at(what: &str, stack: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = stack.py();
    let lines = crate::interpreter::modules::module(py, intern!(py, "traceback"))?
        .call_method1(intern!(py, "format_list"), (stack,))?
        .extract::<Vec<String>>()?
        .concat();
    Ok(format!("{what} created at (most recent call last):\n{}", lines.trim_end()))
}

/// Logs the error that is being handled.
fn log_handled(py: Python<'_>, message: &str) -> PyResult<()> {
    log_error(intern!(py, "error"), (Text(message),), true.into_pyobject(py)?.as_any())
}
