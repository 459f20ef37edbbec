//! A native coroutine and its steps.

use std::fmt;

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::body::{Body, Incoming};
use super::origin;
use crate::errors::containment::settled;
use crate::interpreter::fresh;
use crate::interpreter::recursion::Level;
use crate::interpreter::room::{boxed, no_memory};
use crate::native::cell::AttachedCell;
use crate::native::shelf;
use crate::native::slots::{Resume, Resumed, ended_with};
use crate::standard::warner;

/// Where a coroutine stands.
pub(super) enum Stand {
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
    pub(super) stand: AttachedCell<Stand>,
    pub(super) name: AttachedCell<&'static str>,
    /// Where it was made ([`super::origin`]); on the shelf there is none.
    pub(super) origin: AttachedCell<Option<Py<PyTuple>>>,
}

impl Coroutine {
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

    pub(super) fn step(slf: &Bound<'_, Self>, incoming: Incoming<'_>) -> Resumed {
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

    pub(super) fn name(&self, py: Python<'_>) -> &'static str {
        self.name.with(py, |name| *name)
    }

    /// Warns of a coroutine that never ran.
    pub(super) fn warn(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().origin.with(py, |origin| origin.is_some()) && origin::warn(slf.as_any())? {
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
        Self::step(slf, Ok(value.clone()))
    }

    #[inline]
    fn resume_plainly(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> Option<Resumed> {
        Self::step_pause(slf, value)
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

pub(super) fn answer(py: Python<'_>, resumed: Resumed) -> PyResult<Py<PyAny>> {
    match resumed {
        Resumed::Yielded(object) => Ok(object),
        Resumed::Returned(result) => Err(ended_with(py, result)),
        Resumed::Raised(error) => Err(error),
    }
}
