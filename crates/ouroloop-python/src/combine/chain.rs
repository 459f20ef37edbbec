//! Futures of this loop tied to those of `concurrent.futures`: `wrap_future`,
//! `run_coroutine_threadsafe`.
//!
//! Either of the two may end or be cancelled in another thread; the other one, if it is of a loop,
//! is only touched in that loop's thread.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyAssertionError, PyBaseException, PyTypeError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::child::{self, Ending};
use super::ensure::{Ensure, is_coroutine, is_future};
use crate::errors::concurrent::convert;
use crate::errors::contract::is_since;
use crate::errors::leaving::leaves_loop;
use crate::future::is_cancelled;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::standard::{Standard, exception_of};
use crate::waiting::Waiter;

#[derive(Debug)]
struct Ends {
    source: Py<PyAny>,
    destination: Py<PyAny>,
    /// The loop of the source, unless that is a `concurrent.futures.Future`.
    source_loop: Option<Py<PyAny>>,
    /// As for the source.
    destination_loop: Option<Py<PyAny>>,
}

impl Ends {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            source: self.source.clone_ref(py),
            destination: self.destination.clone_ref(py),
            source_loop: self.source_loop.clone_ref(py),
            destination_loop: self.destination_loop.clone_ref(py),
        }
    }
}

/// Ends `destination` as `source` ends, and cancels `source` when `destination` is cancelled.
#[pyclass(frozen, name = "_Chain", module = "ouroloop")]
#[derive(Debug)]
struct Chain {
    ends: AttachedCell<Option<Ends>>,
}

made_at_the_start!(Chain);

/// Ties two futures together, either of which may be of `concurrent.futures`.
fn chain(source: &Bound<'_, PyAny>, destination: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = source.py();
    let loop_of = |future: &Bound<'_, PyAny>| -> PyResult<Option<Py<PyAny>>> {
        if is_future(future)? { Ok(Some(child::loop_of(future)?.unbind())) } else { Ok(None) }
    };
    let ends = Ends {
        source: source.clone().unbind(),
        destination: destination.clone().unbind(),
        source_loop: loop_of(source)?,
        destination_loop: loop_of(destination)?,
    };
    let chain = Bound::new(py, Chain { ends: AttachedCell::new(Some(ends)) })?;
    for (future, callback) in
        [(destination, intern!(py, "_call_check_cancel")), (source, intern!(py, "_call_set_state"))]
    {
        future.call_method1(intern!(py, "add_done_callback"), (chain.getattr(callback)?,))?;
    }
    Ok(())
}

impl Chain {
    fn ends(&self, py: Python<'_>) -> Option<Ends> {
        self.ends.with(py, |ends| ends.as_ref().map(|it| it.clone_ref(py)))
    }

    /// Carries the source's end over to the destination, in the destination's thread.
    fn copy(ends: &Ends, py: Python<'_>) -> PyResult<()> {
        let (source, destination) = (ends.source.bind(py), ends.destination.bind(py));
        if ends.destination_loop.is_some() {
            if is_cancelled(destination)? {
                return Ok(());
            }
            return match converted(source)? {
                Ending::Cancelled => Waiter::of(destination.clone()).cancel(py).map(drop),
                ending => child::finish(destination, ending),
            };
        }
        if is_cancelled(source)? {
            destination.call_method0(intern!(py, "cancel"))?;
        }
        let running = destination.call_method0(intern!(py, "set_running_or_notify_cancel"))?;
        if !running.is_truthy()? {
            return Ok(());
        }
        child::finish(destination, converted(source)?)
    }
}

/// Whether what concerns a future of `event_loop` can be done here and now.
fn is_here(py: Python<'_>, event_loop: &Py<PyAny>) -> PyResult<bool> {
    let running = Standard::get(py)?.get_running_loop.bind(py).call0()?;
    Ok(event_loop.is(&running))
}

#[pymethods]
impl Chain {
    fn _call_check_cancel(&self, destination: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = destination.py();
        let _level = Level::enter(py)?;
        let Some(ends) = self.ends(py) else { return Ok(()) };
        if !is_cancelled(destination)? {
            return Ok(());
        }
        let cancel = ends.source.bind(py).getattr(intern!(py, "cancel"))?;
        match &ends.source_loop {
            Some(event_loop) if !is_here(py, event_loop)? => {
                event_loop.call_method1(py, intern!(py, "call_soon_threadsafe"), (cancel,))?;
            }
            _ => drop(cancel.call0()?),
        }
        Ok(())
    }

    fn _call_set_state(slf: &Bound<'_, Self>, source: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = source.py();
        let _level = Level::enter(py)?;
        let Some(ends) = slf.get().ends(py) else { return Ok(()) };
        let Some(event_loop) = &ends.destination_loop else { return Self::copy(&ends, py) };
        let closed = || event_loop.bind(py).call_method0(intern!(py, "is_closed"))?.is_truthy();
        if is_cancelled(ends.destination.bind(py))? && closed()? {
            return Ok(());
        }
        // In which turn it arrives is the running release's matter.
        let at_once = if is_since(py, &[(3, 13, 12), (3, 14, 3)]) {
            is_here(py, event_loop)?
        } else {
            ends.source_loop.as_ref().is_some_and(|source_loop| source_loop.is(event_loop))
        };
        if at_once {
            return Self::copy(&ends, py);
        }
        if closed()? {
            return Ok(());
        }
        let callback = slf.getattr(intern!(py, "_set_state"))?;
        event_loop.call_method1(py, intern!(py, "call_soon_threadsafe"), (callback,)).map(drop)
    }

    fn _set_state(&self, py: Python<'_>) -> PyResult<()> {
        match self.ends(py) {
            Some(ends) => Self::copy(&ends, py),
            None => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.ends.traverse(|ends| {
                let Some(ends) = ends else { return Ok(()) };
                visit.call(&ends.source)?;
                visit.call(&ends.destination)?;
                visit.call(&ends.source_loop)?;
                visit.call(&ends.destination_loop)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.ends.replace(unsafe { Python::assume_attached() }, None));
    }
}

/// How a future has ended, in asyncio's exceptions.
fn converted(source: &Bound<'_, PyAny>) -> PyResult<Ending> {
    match child::ending(source)? {
        Ending::Failed(error) => {
            let error = convert(error.bind(source.py()))?.unbind();
            Ok(Ending::Failed(error))
        }
        ending => Ok(ending),
    }
}

/// Make a future of the loop that ends as a `concurrent.futures.Future` does.
#[pyfunction]
#[pyo3(signature = (future, *, r#loop=None))]
fn wrap_future<'py>(
    future: &Bound<'py, PyAny>,
    r#loop: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    wrap(future, r#loop)
}

/// `asyncio.wrap_future`.
///
/// # Errors
/// `AssertionError` for what is no future of `concurrent.futures`.
pub(crate) fn wrap<'py>(
    future: &Bound<'py, PyAny>,
    event_loop: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    if is_future(future)? {
        return Ok(future.clone());
    }
    let standard = Standard::get(py)?;
    if !future.is_instance(standard.concurrent_future.bind(py))? {
        let message = fresh::text(format_args!(
            "concurrent.futures.Future is expected, got {}",
            future.repr()?
        ))?;
        return Err(fresh::error::<PyAssertionError>(message));
    }
    let event_loop = match event_loop {
        Some(event_loop) => event_loop,
        None => standard.get_event_loop.bind(py).call0()?,
    };
    let wrapping = Waiter::create(&event_loop)?.bind(py).clone();
    chain(future, &wrapping)?;
    Ok(wrapping)
}

/// What a coroutine that another thread submits needs on its way to the loop.
#[pyclass(frozen, name = "_Submission", module = "ouroloop")]
#[derive(Debug)]
struct Submission {
    /// The coroutine, the loop and the other thread's future; none once it has been called.
    parts: AttachedCell<Option<[Py<PyAny>; 3]>>,
}

made_at_the_start!(Submission);

#[pymethods]
impl Submission {
    /// As which asyncio reports it: there it is a function.
    #[getter(__qualname__)]
    fn qualified_name(&self) -> Text<&'static str> {
        Text("run_coroutine_threadsafe.<locals>.callback")
    }

    /// Makes the task, in the loop's thread.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let Some([coroutine, event_loop, future]) = self.parts.replace(py, None) else {
            return Ok(());
        };
        let future = future.bind(py);
        let made = Ensure::on(Some(event_loop.into_bound(py)))
            .future_of(coroutine.bind(py))
            .and_then(|task| chain(&task, future));
        let Err(error) = made else { return Ok(()) };
        if !leaves_loop(py, &error) && error.is_instance_of::<PyBaseException>(py) {
            let running = future.call_method0(intern!(py, "set_running_or_notify_cancel"))?;
            if running.is_truthy()? {
                let exception = exception_of(py, &error);
                future.call_method1(intern!(py, "set_exception"), (exception,))?;
            }
        }
        Err(error)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.parts
                .traverse(|parts| parts.iter().flatten().try_for_each(|object| visit.call(object)))
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.parts.replace(unsafe { Python::assume_attached() }, None));
    }
}

/// Run a coroutine on a loop that runs in another thread, and return a `concurrent.futures.Future`.
#[pyfunction]
#[pyo3(signature = (coro, r#loop))]
fn run_coroutine_threadsafe<'py>(
    coro: &Bound<'py, PyAny>,
    r#loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    if !is_coroutine(coro)? {
        return Err(fresh::error::<PyTypeError>("A coroutine object is required"));
    }
    let future = Standard::get(py)?.concurrent_future.bind(py).call0()?;
    let parts = [coro, r#loop, &future].map(|object| object.clone().unbind());
    let submission = Bound::new(py, Submission { parts: AttachedCell::new(Some(parts)) })?;
    r#loop.call_method1(intern!(py, "call_soon_threadsafe"), (submission,))?;
    Ok(future)
}

pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(wrap_future, module)?)?;
    module.add_function(wrap_pyfunction!(run_coroutine_threadsafe, module)?)
}
