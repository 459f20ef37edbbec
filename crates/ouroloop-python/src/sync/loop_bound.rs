//! What all primitives have in common: a loop, a queue and what Python sees of it, a dictionary.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};

use super::waiters::Waiters;
use crate::future::Future;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::room::no_memory;
use crate::native::instance_dict;
use crate::native::instance_dict::ValueOffset;
use crate::waiting::{Binding, Waiter, Waiting};

static VALUE_OFFSET: ValueOffset = ValueOffset::new();

/// The native part of every primitive; it belongs to the loop on which somebody first waits.
///
/// Only derived classes have instances, and each of them has an instance dictionary.
#[pyclass(frozen, subclass, weakref, name = "_LoopBoundMixin", module = "asyncio.mixins")]
#[derive(Debug)]
pub(crate) struct LoopBound {
    binding: Binding,
    pub(super) waiters: Waiters,
}

impl LoopBound {
    pub(super) fn new() -> Self {
        Self { binding: Binding::new(), waiters: Waiters::new() }
    }

    /// What every `__init__` begins with: a second call starts the object over.
    pub(super) fn begin(slf: &Bound<'_, Self>) {
        instance_dict::drop_unused(slf.as_any());
        slf.get().waiters.clear(slf.py());
    }

    /// A new future of the running loop.
    ///
    /// # Errors
    /// Those of [`Binding::event_loop`]; what a foreign `create_future` raises.
    pub(super) fn new_waiter(slf: &Bound<'_, Self>) -> PyResult<Waiter> {
        let py = slf.py();
        let binding = &slf.get().binding;
        if let Some(native) = binding.native(py)
            && native.bind(py).get().runs_here(py)
        {
            return Ok(Waiter::of(Future::create(native.bind(py))?.into_any()));
        }
        Waiter::create(&binding.event_loop(slf.as_any())?)
    }

    /// Takes a place at the end of the queue.
    ///
    /// # Errors
    /// Those of [`Self::new_waiter`].
    pub(super) fn queue_up(slf: &Bound<'_, Self>) -> PyResult<Waiting> {
        let waiter = Self::new_waiter(slf)?;
        slf.get().waiters.push(slf.py(), waiter.clone_ref(slf.py()))?;
        Ok(Waiting::new(waiter))
    }
}

#[pymethods]
impl LoopBound {
    #[getter(_loop)]
    fn loop_or_none(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.binding.get(py)
    }

    #[setter(_loop)]
    fn set_loop(&self, event_loop: &Bound<'_, PyAny>) {
        self.binding.set(event_loop);
    }

    #[pyo3(name = "_get_loop")]
    fn get_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().binding.event_loop(slf.as_any())
    }

    #[getter(_waiters)]
    fn waiters_view(slf: Bound<'_, Self>) -> PyResult<Bound<'_, WaitersView>> {
        WaitersView::create(slf)
    }

    /// Futures, or nothing.
    #[setter(_waiters)]
    fn set_waiters(&self, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = waiters.py();
        let fresh = Waiters::new();
        if !waiters.is_none() {
            for waiter in waiters.try_iter()? {
                fresh.push(py, Waiter::of(waiter?))?;
            }
        }
        self.waiters.take_over(py, &fresh);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`; instances have a dictionary.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.binding.traverse(&visit)?;
            self.waiters.visit(&visit)
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: instances have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        self.binding.clear(py);
        self.waiters.clear(py);
    }
}

/// The `_waiters` of a primitive, as far as the standard class's deque is used by its friends.
#[pyclass(frozen, sequence, name = "waiters", module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct WaitersView {
    owner: Py<LoopBound>,
}

made_at_the_start!(WaitersView);

impl WaitersView {
    pub(super) fn create(owner: Bound<'_, LoopBound>) -> PyResult<Bound<'_, Self>> {
        let py = owner.py();
        Bound::new(py, Self { owner: owner.unbind() })
    }

    fn waiters(&self) -> &Waiters {
        &self.owner.get().waiters
    }

    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let waiters = self.waiters().all(py).map_err(|_| no_memory(py))?;
        fresh::list(py, waiters.iter().map(|waiter| waiter.bind(py)))
    }
}

#[pymethods]
impl WaitersView {
    fn __len__(&self, py: Python<'_>) -> usize {
        self.waiters().len(py)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.list(py)?.try_iter()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        self.list(py)?.as_any().get_item(index)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<Text<String>> {
        let _level = Level::enter(py)?;
        Ok(Text(fresh::text(format_args!("waiters({})", self.list(py)?.repr()?))?))
    }

    /// Puts a future at the end of the queue.
    #[pyo3(signature = (future, /))]
    fn append(&self, future: Bound<'_, PyAny>) -> PyResult<()> {
        let py = future.py();
        self.waiters().push(py, Waiter::of(future))
    }

    /// Takes a future out of the queue.
    #[pyo3(signature = (future, /))]
    fn remove(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.waiters().remove(future.py(), future) {
            return Ok(());
        }
        Err(fresh::error::<PyValueError>("no such waiter"))
    }

    /// Empties the queue.
    fn clear(&self, py: Python<'_>) {
        self.waiters().clear(py);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)
    }
}

/// Makes the class complete.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    VALUE_OFFSET.measure(&Bound::new(py, LoopBound::new())?);
    Ok(())
}
