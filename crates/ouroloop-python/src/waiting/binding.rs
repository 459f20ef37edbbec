//! The loop to which a lock, an event or a queue belongs: the one on which somebody first waits.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::future::Home;
use crate::interpreter::fresh;
use crate::native::cell::AttachedCell;
use crate::standard::Standard;
use crate::turn::Loop;

/// The loop of one object, once it has one.
#[derive(Debug)]
pub(crate) struct Binding {
    home: AttachedCell<Home>,
}

impl Binding {
    pub(crate) const fn new() -> Self {
        Self { home: AttachedCell::new(Home::None) }
    }

    /// The running loop, to which `owner` is bound from the first call on; `None` when no loop runs.
    ///
    /// # Errors
    /// `RuntimeError` on another loop than the first.
    pub(crate) fn event_loop<'py>(&self, owner: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = owner.py();
        let running = Standard::get(py)?.get_running_loop.bind(py).call0()?;
        match self.get(py) {
            Some(mine) if !mine.is(&running) => {
                let message = fresh::text(format_args!(
                    "{} is bound to a different event loop",
                    owner.repr()?
                ))?;
                return Err(fresh::error::<PyRuntimeError>(message));
            }
            None if !running.is_none() => self.home.set(py, Home::of(&running)),
            _ => {}
        }
        Ok(running)
    }

    /// The loop, if it is ours.
    pub(crate) fn native(&self, py: Python<'_>) -> Option<Py<Loop>> {
        self.home.with(py, |home| match home {
            Home::Native(native) => Some(native.clone_ref(py)),
            _ => None,
        })
    }

    /// The attribute `_loop`.
    pub(crate) fn get(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.home.with(py, |home| home.object().map(|object| object.clone_ref(py)))
    }

    /// Sets the attribute `_loop`.
    pub(crate) fn set(&self, event_loop: &Bound<'_, PyAny>) {
        let home = if event_loop.is_none() { Home::None } else { Home::of(event_loop) };
        self.home.set(event_loop.py(), home);
    }

    /// Shows the garbage collector the loop.
    ///
    /// # Safety
    /// To be called from `tp_traverse` alone.
    pub(crate) unsafe fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the caller's promise.
        unsafe { self.home.traverse(|home| visit.call(home.object())) }
    }

    /// Lets the loop go.
    pub(crate) fn clear(&self, py: Python<'_>) {
        self.home.set(py, Home::None);
    }
}
