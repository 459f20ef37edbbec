//! What all primitives have in common: a loop, a queue, a dictionary.

use std::sync::OnceLock;

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::{Waiters, WaitersView, Waiting};
use crate::cell::AttachedCell;
use crate::future::{Future, Home};
use crate::instance_dict;
use crate::standard::Standard;
use crate::waiter::Waiter;

/// The native part of every primitive; it belongs to the loop on which somebody first waits.
///
/// Only derived classes have instances, and each of them has an instance dictionary.
#[pyclass(frozen, subclass, weakref, name = "_LoopBoundMixin", module = "asyncio.mixins")]
#[derive(Debug)]
pub(crate) struct LoopBound {
    home: AttachedCell<Home>,
    pub(super) waiters: Waiters,
}

impl LoopBound {
    pub(super) fn new() -> Self {
        Self { home: AttachedCell::new(Home::None), waiters: Waiters::new() }
    }

    /// What every `__init__` begins with: a second call starts the object over.
    pub(super) fn begin(slf: &Bound<'_, Self>) {
        instance_dict::drop_unused(slf.as_any());
        slf.get().waiters.clear(slf.py());
    }

    /// The running loop, to which the object is bound from the first call on.
    ///
    /// # Errors
    /// `RuntimeError` on another loop than the first.
    pub(super) fn event_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let running = Standard::get(py)?.get_running_loop.bind(py).call0()?;
        let home = &slf.get().home;
        let mine = home.with(py, |home| home.object().map(|object| object.clone_ref(py)));
        match mine {
            Some(mine) if !mine.is(&running) => {
                let message = format!("{} is bound to a different event loop", slf.repr()?);
                return Err(PyRuntimeError::new_err(message));
            }
            None if !running.is_none() => home.set(py, Home::of(&running)),
            _ => {}
        }
        Ok(running)
    }

    /// A new future of the running loop.
    ///
    /// # Errors
    /// Those of [`Self::event_loop`]; what a foreign `create_future` raises.
    pub(super) fn new_waiter(slf: &Bound<'_, Self>) -> PyResult<Waiter> {
        let py = slf.py();
        let native = slf.get().home.with(py, |home| match home {
            Home::Native(native) => Some(native.clone_ref(py)),
            _ => None,
        });
        if let Some(native) = native
            && native.bind(py).get().runs_here(py)
        {
            return Ok(Waiter::of(Future::create(native.bind(py))?.into_any()));
        }
        Waiter::create(&Self::event_loop(slf)?)
    }

    /// Takes a place at the end of the queue.
    ///
    /// # Errors
    /// Those of [`Self::new_waiter`].
    pub(super) fn queue_up(slf: &Bound<'_, Self>) -> PyResult<Waiting> {
        let waiter = Self::new_waiter(slf)?;
        slf.get().waiters.push(slf.py(), waiter.clone_ref(slf.py()));
        Ok(Waiting::new(waiter))
    }

    /// The object of which this is the value.
    fn object(&self) -> *mut ffi::PyObject {
        let offset = VALUE_OFFSET.get().copied().unwrap_or_default();
        std::ptr::from_ref(self).wrapping_byte_sub(offset).cast::<ffi::PyObject>().cast_mut()
    }
}

#[pymethods]
impl LoopBound {
    #[getter(__dict__)]
    fn instance_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        instance_dict::get(slf.as_any())
    }

    #[getter(_loop)]
    fn loop_or_none(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.home.with(py, |home| home.object().map(|object| object.clone_ref(py)))
    }

    #[setter(_loop)]
    fn set_loop(&self, event_loop: &Bound<'_, PyAny>) {
        let home = if event_loop.is_none() { Home::None } else { Home::of(event_loop) };
        self.home.set(event_loop.py(), home);
    }

    #[pyo3(name = "_get_loop")]
    fn get_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::event_loop(slf)
    }

    #[getter(_waiters)]
    fn waiters_view(slf: Bound<'_, Self>) -> PyResult<Bound<'_, WaitersView>> {
        WaitersView::create(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`; instances have a dictionary.
        unsafe {
            instance_dict::visit(self.object(), visit)?;
            self.home.traverse(|home| home.object().map_or(Ok(()), |home| visit.call(home)))?;
            self.waiters.visit(&visit)
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: instances have a dictionary.
        drop(unsafe { instance_dict::take(self.object()) });
        self.home.set(py, Home::None);
        self.waiters.clear(py);
    }
}

/// How far behind the beginning of its object the Rust value lies.
static VALUE_OFFSET: OnceLock<usize> = OnceLock::new();

/// Makes the class complete.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    let example = Bound::new(py, LoopBound::new())?;
    let (start, value) = (example.as_ptr().addr(), std::ptr::from_ref(example.get()).addr());
    VALUE_OFFSET.get_or_init(|| value - start);
    Ok(())
}
