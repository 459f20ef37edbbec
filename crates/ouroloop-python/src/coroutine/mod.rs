//! Native coroutines: objects that Python awaits and Rust carries out.
//!
//! A [`Coroutine`] is stepped like any Python coroutine, by `send`, `throw` and `close`. What it does
//! is its [`Body`]: a state machine where every nanosecond counts, an `async fn` elsewhere.
//!
//! | it is | `stand` | a step |
//! | --- | --- | --- |
//! | not started | `Fresh(body)` | runs the body |
//! | waiting | `Suspended(body)` | runs the body |
//! | about to let one turn pass | `Pausing(result)` | yields `None` |
//! | letting it pass | `Paused(result)` | returns the result |
//! | running | `Stepping` | `ValueError` |
//! | over | `Finished` | `RuntimeError` |

mod body;
mod frame;
mod origin;
mod scope;
mod wrapper;

use std::fmt;
use std::future::Future;

use pyo3::PyTraverseError;
use pyo3::exceptions::{
    PyGeneratorExit, PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyValueError,
};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors::containment::settled;
use crate::future::iter::thrown;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::{boxed, no_memory};
use crate::native::cell::AttachedCell;
use crate::native::shelf::{self, Shelved};
use crate::native::slots::{Deallocate, Resume, Resumed, ended_with};
use crate::standard::{Standard, warner};

pub(crate) use body::{Body, Incoming, iterator_of, left_by, step_into};
pub(crate) use scope::{Kept, Scope, nothing};

use scope::AsyncBody;
use wrapper::Wrapper;

/// An `async fn` as a body to which another one may hand over.
#[cfg(Py_3_12)]
pub(crate) fn async_body<F>(body: impl FnOnce(Scope) -> F) -> Box<dyn Body>
where
    F: Future<Output = PyResult<Py<PyAny>>> + 'static,
{
    Box::new(AsyncBody::new(body))
}

/// Where a coroutine stands.
enum Stand {
    Fresh(Box<dyn Body>),
    Suspended(Box<dyn Body>),
    /// A pause that has not begun, and one that has.
    Pausing(Py<PyAny>),
    Paused(Py<PyAny>),
    Stepping,
    Finished,
}

impl fmt::Debug for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh(_) => "Fresh",
            Self::Suspended(_) => "Suspended",
            Self::Pausing(_) => "Pausing",
            Self::Paused(_) => "Paused",
            Self::Stepping => "Stepping",
            Self::Finished => "Finished",
        })
    }
}

/// A coroutine object whose body is Rust; `asyncio.iscoroutine` holds for it.
#[pyclass(frozen, weakref, name = "coroutine", module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Coroutine {
    stand: AttachedCell<Stand>,
    name: AttachedCell<&'static str>,
    /// Where it was made ([`origin`]); on the shelf there is none.
    origin: AttachedCell<Option<Py<PyTuple>>>,
}

impl Coroutine {
    /// A coroutine named `name` (a qualified name) that has not started; its body is an `async fn`.
    pub(crate) fn new<'py, F>(
        py: Python<'py>,
        name: &'static str,
        body: impl FnOnce(Scope) -> F,
    ) -> PyResult<Bound<'py, Self>>
    where
        F: Future<Output = PyResult<Py<PyAny>>> + 'static,
    {
        Self::of(py, name, AsyncBody::new(body))
    }

    /// A coroutine named `name` (a qualified name) that has not started.
    pub(crate) fn of<'py>(
        py: Python<'py>,
        name: &'static str,
        body: impl Body + 'static,
    ) -> PyResult<Bound<'py, Self>> {
        let Ok(body) = boxed(body) else { return Err(no_memory(py)) };
        Self::standing(py, name, Stand::Fresh(body))
    }

    /// A coroutine that lets one turn of the loop pass before it answers `result`: the pause of
    /// `sleep(0)`, which is too frequent for a body of its own.
    #[inline]
    pub(crate) fn pause<'py>(
        py: Python<'py>,
        name: &'static str,
        result: Py<PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        Self::standing(py, name, Stand::Pausing(result))
    }

    #[inline]
    fn standing<'py>(
        py: Python<'py>,
        name: &'static str,
        stand: Stand,
    ) -> PyResult<Bound<'py, Self>> {
        let coroutine = if let Some(coroutine) = shelf::take::<Self>(py) {
            coroutine.get().stand.set(py, stand);
            coroutine.get().name.set(py, name);
            shelf::track(&coroutine);
            coroutine
        } else {
            let (stand, name) = (AttachedCell::new(stand), AttachedCell::new(name));
            Bound::new(py, Self { stand, name, origin: AttachedCell::new(None) })?
        };
        if origin::is_wanted(py) {
            coroutine.get().note_origin(py)?;
        }
        Ok(coroutine)
    }

    #[cold]
    fn note_origin(&self, py: Python<'_>) -> PyResult<()> {
        // Nobody gets a coroutine whose origin there is no memory for, or is to await it.
        let origin =
            origin::here(py).inspect_err(|_| drop(self.stand.replace(py, Stand::Finished)))?;
        drop(self.origin.replace(py, Some(origin)));
        Ok(())
    }

    /// A step of a pause; `None` for any other coroutine, and for what a pause does not expect.
    #[inline]
    fn step_pause(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Option<Resumed> {
        let py = slf.py();
        let nothing = value.is_none();
        slf.get().stand.with(py, |stand| match std::mem::replace(stand, Stand::Finished) {
            Stand::Pausing(result) if nothing => {
                *stand = Stand::Paused(result);
                Some(Resumed::Yielded(py.None()))
            }
            Stand::Paused(result) => Some(Resumed::Returned(result)),
            other => {
                *stand = other;
                None
            }
        })
    }

    fn step(slf: &Bound<'_, Self>, incoming: Incoming<'_>) -> Resumed {
        let py = slf.py();
        let stand = &slf.get().stand;
        let incoming = incoming.map_err(|error| settled(py, error));
        if let Ok(value) = &incoming
            && let Some(resumed) = Self::step_pause(slf, value)
        {
            return resumed;
        }
        // Refused as it stands: a body that were dropped here, where there is no room, would have
        // what it awaits closed in turn, one inside the other.
        let _level = match &incoming {
            Err(_) => match Level::enter(py) {
                Ok(level) => Some(level),
                Err(error) => return Resumed::Raised(error),
            },
            Ok(_) => None,
        };
        let mut body = match stand.replace(py, Stand::Stepping) {
            Stand::Pausing(result) => {
                return match incoming {
                    Ok(_) => {
                        stand.set(py, Stand::Pausing(result));
                        not_started()
                    }
                    Err(error) => {
                        stand.set(py, Stand::Finished);
                        Resumed::Raised(refused(py, error))
                    }
                };
            }
            Stand::Paused(result) => {
                stand.set(py, Stand::Finished);
                return match incoming {
                    Ok(_) => Resumed::Returned(result),
                    Err(error) => Resumed::Raised(escaped(py, error, "generator")),
                };
            }
            Stand::Fresh(body) => match &incoming {
                Ok(value) if value.is_none() => body,
                Ok(_) => {
                    stand.set(py, Stand::Fresh(body));
                    return not_started();
                }
                Err(error) => {
                    stand.set(py, Stand::Finished);
                    return Resumed::Raised(refused(py, error.clone_ref(py)));
                }
            },
            Stand::Suspended(body) => body,
            Stand::Stepping => {
                return Resumed::Raised(fresh::error::<PyValueError>(
                    "coroutine already executing",
                ));
            }
            Stand::Finished => {
                stand.set(py, Stand::Finished);
                let message = "cannot reuse already awaited coroutine";
                return Resumed::Raised(fresh::error::<PyRuntimeError>(message));
            }
        };
        let over_if_it_panics = OverIfItPanics(stand, py);
        let resumed = body.step(py, incoming);
        std::mem::forget(over_if_it_panics);
        let resumed = match resumed {
            Resumed::Raised(error) => Resumed::Raised(escaped(py, settled(py, error), "coroutine")),
            resumed => resumed,
        };
        let suspended = matches!(resumed, Resumed::Yielded(_));
        stand.set(py, if suspended { Stand::Suspended(body) } else { Stand::Finished });
        resumed
    }

    fn name(&self, py: Python<'_>) -> &'static str {
        self.name.with(py, |name| *name)
    }

    /// Warns of a coroutine that never ran.
    fn warn(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().origin.with(py, |origin| origin.is_some()) && origin::warn(slf)? {
            return Ok(());
        }
        let message = format!("coroutine '{}' was never awaited", slf.get().name(py));
        let warn = warner(py)?;
        let message = fresh::string(py, &message)?;
        warn.call1((message, py.get_type::<PyRuntimeWarning>())).map(drop)
    }
}

/// A body that panicked is gone.
struct OverIfItPanics<'a, 'py>(&'a AttachedCell<Stand>, Python<'py>);

impl Drop for OverIfItPanics<'_, '_> {
    fn drop(&mut self) {
        drop(self.0.replace(self.1, Stand::Finished));
    }
}

impl Resume for Coroutine {
    fn resume(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Resumed {
        match Self::step_pause(slf, value) {
            Some(resumed) => resumed,
            None => Self::step(slf, Ok(value.clone())),
        }
    }
}

/// What an error thrown into a coroutine that has not started becomes: from 3.12 on, itself.
fn refused(py: Python<'_>, error: PyErr) -> PyErr {
    if cfg!(Py_3_12) { error } else { escaped(py, error, "coroutine") }
}

/// What the error that leaves a body becomes: a `StopIteration` would be taken for its result.
fn escaped(py: Python<'_>, error: PyErr, kind: &str) -> PyErr {
    if !error.is_instance_of::<PyStopIteration>(py) {
        return error;
    }
    let wrapped = fresh::error::<PyRuntimeError>(format!("{kind} raised StopIteration"));
    wrapped.set_context(py, Some(error.clone_ref(py)));
    wrapped.set_cause(py, Some(error));
    wrapped
}

fn not_started() -> Resumed {
    let message = "can't send non-None value to a just-started coroutine";
    Resumed::Raised(fresh::error::<pyo3::exceptions::PyTypeError>(message))
}

fn answer(py: Python<'_>, resumed: Resumed) -> PyResult<Py<PyAny>> {
    match resumed {
        Resumed::Yielded(object) => Ok(object),
        Resumed::Returned(result) => Err(ended_with(py, result)),
        Resumed::Raised(error) => Err(error),
    }
}

#[pymethods]
impl Coroutine {
    /// For who asks by name; an `await` goes by the slot that [`Resume`] describes.
    fn __await__(slf: Py<Self>) -> Wrapper {
        Wrapper::new(slf)
    }

    fn send<'py>(slf: &Bound<'py, Self>, value: Bound<'py, PyAny>) -> PyResult<Py<PyAny>> {
        answer(slf.py(), Self::step(slf, Ok(value)))
    }

    #[pyo3(signature = (exception, value=None, traceback=None, /))]
    fn throw(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let error = thrown(exception, value, traceback)?;
        answer(slf.py(), Self::step(slf, Err(error)))
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().stand.with(py, |stand| matches!(stand, Stand::Finished)) {
            return Ok(());
        }
        match Self::step(slf, Err(PyGeneratorExit::new_err(()))) {
            Resumed::Yielded(_) => {
                Err(fresh::error::<PyRuntimeError>("coroutine ignored GeneratorExit"))
            }
            Resumed::Returned(_) => Ok(()),
            Resumed::Raised(error) if error.is_instance_of::<PyGeneratorExit>(py) => Ok(()),
            Resumed::Raised(error) => Err(error),
        }
    }

    #[getter]
    fn __name__(&self, py: Python<'_>) -> Text<&'static str> {
        let name = self.name(py);
        Text(name.rsplit('.').next().unwrap_or(name))
    }

    #[getter]
    fn __qualname__(&self, py: Python<'_>) -> Text<&'static str> {
        Text(self.name(py))
    }

    /// What the interpreter's own coroutines say they are, so that `isinstance` and
    /// `inspect.iscoroutine` hold.
    #[getter]
    fn __class__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(Standard::get(slf.py())?.coroutine.clone_ref(slf.py()))
    }

    /// The frame of a stand-in ([`frame`]), until the coroutine is over.
    #[getter]
    fn cr_frame<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        if slf.get().stand.with(py, |stand| matches!(stand, Stand::Finished)) {
            return Ok(None);
        }
        let stand_in = frame::stand_in(slf, slf.get().name(py))?;
        stand_in.getattr(intern!(py, "cr_frame")).map(Some)
    }

    #[getter]
    fn cr_code<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        frame::code(py, self.name(py))
    }

    /// Where it was made, if that was to be known.
    #[getter]
    fn cr_origin(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.origin.with(py, |origin| origin.clone_ref(py))
    }

    #[getter]
    fn cr_suspended(&self, py: Python<'_>) -> bool {
        self.stand.with(py, |stand| matches!(stand, Stand::Suspended(_) | Stand::Paused(_)))
    }

    /// One of the names that `inspect` has for it.
    #[cfg(Py_3_15)]
    #[getter]
    fn cr_state(&self, py: Python<'_>) -> Text<&'static str> {
        Text(self.stand.with(py, |stand| match stand {
            Stand::Fresh(_) | Stand::Pausing(_) => "CORO_CREATED",
            Stand::Suspended(_) | Stand::Paused(_) => "CORO_SUSPENDED",
            Stand::Stepping => "CORO_RUNNING",
            Stand::Finished => "CORO_CLOSED",
        }))
    }

    /// What it waits for, as far as its body tells.
    #[getter]
    fn cr_await(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        let (within, awaited) = slf.get().stand.with(py, |stand| match stand {
            Stand::Suspended(body) => (body.within(), body.awaited(py)),
            _ => (None, None),
        });
        match within {
            Some(name) => frame::stand_in(slf, name).map(|stand_in| Some(stand_in.unbind())),
            None => Ok(awaited),
        }
    }

    #[getter]
    fn cr_running(&self, py: Python<'_>) -> bool {
        self.stand.with(py, |stand| matches!(stand, Stand::Stepping))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> Text<String> {
        Text(format!("<coroutine object {} at {:p}>", slf.get().name(slf.py()), slf.as_ptr()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.stand.traverse(|stand| match stand {
                Stand::Fresh(body) | Stand::Suspended(body) => body.visit(&visit),
                Stand::Pausing(result) | Stand::Paused(result) => visit.call(result),
                Stand::Stepping | Stand::Finished => Ok(()),
            })?;
            self.origin.traverse(|origin| visit.call(origin))
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.stand.replace(py, Stand::Finished));
    }
}

impl Deallocate for Coroutine {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().stand.with(slf.py(), |stand| !matches!(stand, Stand::Finished))
    }

    /// Warns of a coroutine that never ran; closes one that waits, so that its body can clean up
    /// while everything it refers to is whole.
    fn last_words(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let said = if slf
            .get()
            .stand
            .with(py, |stand| matches!(stand, Stand::Fresh(_) | Stand::Pausing(_)))
        {
            Self::warn(slf)
        } else {
            Self::close(slf)
        };
        if let Err(error) = said {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }
}

impl Shelved for Coroutine {
    has_shelf!();

    fn blank(slf: &Bound<'_, Self>) {
        // A body is left only by a coroutine that had last words, which is never shelved.
        drop(slf.get().stand.replace(slf.py(), Stand::Finished));
        if let Some(origin) = slf.get().origin.with(slf.py(), Option::take) {
            origin.drop_ref(slf.py());
        }
    }
}

/// Makes the class complete.
///
/// # Errors
/// What the functions of `sys` raise.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    crate::native::slots::install_deallocate::<Coroutine>(py);
    crate::native::slots::install_resume::<Coroutine>(py);
    wrapper::install(py);
    origin::find(py)
}
