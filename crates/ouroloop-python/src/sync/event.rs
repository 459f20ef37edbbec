//! `Event`: a flag for which many can wait.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::loop_bound::LoopBound;
use super::primitive::{repr_with, truth};
use crate::coroutine::{Body, Coroutine, Incoming};
use crate::interpreter::fresh::Text;
use crate::native::cell::AttachedCell;
use crate::native::kinship::class_of;
use crate::native::slots::Resumed;
use crate::waiting::Waiting;

/// A native `asyncio.Event`.
#[pyclass(frozen, subclass, extends = LoopBound, module = "asyncio.locks")]
#[derive(Debug)]
pub(crate) struct Event {
    value: AttachedCell<bool>,
}

drops_its_dictionary!(Event);

consists_of!(Event, ["_value", "_waiters", "_loop"]);

struct EventWait {
    event: Py<Event>,
    waiting: Option<Waiting>,
}

impl Body for EventWait {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let event = self.event.bind(py);
        if self.waiting.is_none() {
            if event.get().is_set(py) {
                return Resumed::Returned(truth(py, true));
            }
            match LoopBound::queue_up(event.as_super()) {
                Ok(waiting) => self.waiting = Some(waiting),
                Err(error) => return Resumed::Raised(error),
            }
        }
        let Some(waiting) = &mut self.waiting else { return Resumed::Returned(py.None()) };
        let resumed = waiting.step(py, incoming);
        if matches!(resumed, Resumed::Yielded(_)) {
            return resumed;
        }
        event.as_super().get().waiters.remove(py, waiting.waiter.bind(py));
        match resumed {
            Resumed::Raised(error) => Resumed::Raised(error),
            _ => Resumed::Returned(truth(py, true)),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event)?;
        self.waiting.as_ref().map_or(Ok(()), |waiting| waiting.visit(visit))
    }
}

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        let event = Self { value: AttachedCell::new(false) };
        PyClassInitializer::from(LoopBound::new()).add_subclass(event)
    }

    #[pyo3(signature = ())]
    fn __init__(slf: &Bound<'_, Self>) {
        LoopBound::begin(slf.as_super());
        slf.get().value.set(slf.py(), false);
    }

    /// The standard class for native objects proper, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, |standard| &standard.event)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let state = if slf.get().is_set(slf.py()) { "set" } else { "unset" };
        repr_with(slf.as_any(), &slf.as_super().get().waiters.describe(slf.py(), state))
    }

    /// Whether the flag is up.
    fn is_set(&self, py: Python<'_>) -> bool {
        self.value.with(py, |value| *value)
    }

    #[getter(_value)]
    fn raw_value(&self, py: Python<'_>) -> bool {
        self.is_set(py)
    }

    #[setter(_value)]
    fn set_raw_value(&self, py: Python<'_>, value: bool) {
        self.value.set(py, value);
    }

    /// Raises the flag and wakes up everybody who waits for it.
    fn set(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().value.replace(slf.py(), true) {
            return Ok(());
        }
        slf.as_super().get().waiters.wake_until(slf.py(), true, |_| false)
    }

    /// Lowers the flag: who waits from now on waits for the next `set`.
    fn clear(&self, py: Python<'_>) {
        self.value.set(py, false);
    }

    /// Waits until the flag is up and answers `True`.
    fn wait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::of(
            slf.py(),
            "Event.wait",
            EventWait { event: slf.clone().unbind(), waiting: None },
        )
    }
}
