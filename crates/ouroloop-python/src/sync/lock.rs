//! `Lock`: one holder at a time, in the order in which they came.
//!
//! | `locked` | head of the queue | what it is |
//! | --- | --- | --- |
//! | no | nobody, or only the cancelled | free: whoever comes takes it |
//! | no | woken | promised: the woken task takes it at its next step |
//! | yes | any | held |
//!
//! A promised lock whose heir is cancelled instead goes to the next in the queue, by the heir.

use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::loop_bound::LoopBound;
use super::manager::{self, Release};
use super::primitive::{is_cancellation, is_plain, repr_with, truth};
use crate::coroutine::{Body, Coroutine, Incoming};
use crate::interpreter::fresh::{self, Text};
use crate::native::cell::AttachedCell;
use crate::native::kinship::class_of;
use crate::native::slots::Resumed;
use crate::waiting::Waiting;

/// A native `asyncio.Lock`.
#[pyclass(frozen, subclass, extends = LoopBound, module = "asyncio.locks")]
#[derive(Debug)]
pub(crate) struct Lock {
    locked: AttachedCell<bool>,
}

drops_its_dictionary!(Lock);

leaves_out!(Lock, "acquire", "release", "locked", "_wake_up_first");

consists_of!(Lock, ["_locked", "_waiters", "_loop"]);

impl Lock {
    fn initializer() -> PyClassInitializer<Self> {
        let lock = Self { locked: AttachedCell::new(false) };
        PyClassInitializer::from(LoopBound::new()).add_subclass(lock)
    }

    /// A lock that is free.
    pub(super) fn create(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        let lock = Bound::new(py, Self::initializer())?;
        LoopBound::begin(lock.as_super());
        Ok(lock)
    }

    #[inline]
    pub(super) fn is_locked(&self, py: Python<'_>) -> bool {
        self.locked.with(py, |locked| *locked)
    }

    /// Takes the lock if it is free; answers whether it was.
    #[inline]
    fn take_at_once(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if slf.get().is_locked(py) || slf.as_super().get().waiters.has_living(py)? {
            return Ok(false);
        }
        slf.get().locked.set(py, true);
        Ok(true)
    }

    #[inline]
    fn wake_first(slf: &Bound<'_, Self>) -> PyResult<()> {
        if is_plain(slf) {
            return slf.as_super().get().waiters.wake_first(slf.py());
        }
        slf.call_method0(intern!(slf.py(), "_wake_up_first")).map(drop)
    }

    /// Frees the lock, or hands it to the next.
    ///
    /// # Errors
    /// `RuntimeError` if nobody holds it.
    #[inline]
    pub(super) fn free(slf: &Bound<'_, Self>) -> PyResult<()> {
        if !slf.get().locked.replace(slf.py(), false) {
            return Err(fresh::error::<PyRuntimeError>("Lock is not acquired."));
        }
        Self::wake_first(slf)
    }

    /// The coroutine of `acquire`, or of `__aenter__`.
    pub(super) fn acquiring<'py>(
        slf: &Bound<'py, Self>,
        purpose: Purpose,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let name = match purpose {
            Purpose::Acquire => "Lock.acquire",
            Purpose::Enter => manager::ENTER,
        };
        let body = Acquire { lock: slf.clone().unbind(), waiting: None, purpose };
        Coroutine::of(slf.py(), name, body)
    }
}

impl Release for Lock {
    fn release_natively(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::free(slf)
    }
}

/// For what a lock or semaphore is acquired.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Acquire,
    Enter,
}

impl Purpose {
    /// What the coroutine answers.
    #[inline]
    pub(super) fn done(self, py: Python<'_>) -> Resumed {
        Resumed::Returned(match self {
            Self::Acquire => truth(py, true),
            Self::Enter => py.None(),
        })
    }
}

struct Acquire {
    lock: Py<Lock>,
    waiting: Option<Waiting>,
    purpose: Purpose,
}

impl Acquire {
    /// The wait is over: the lock is ours, or an error is on its way.
    fn end(&mut self, py: Python<'_>, resumed: Resumed) -> Resumed {
        let lock = self.lock.bind(py);
        if let Some(waiting) = self.waiting.take() {
            lock.as_super().get().waiters.remove(py, waiting.waiter.bind(py));
        }
        let Resumed::Raised(error) = resumed else {
            lock.get().locked.set(py, true);
            return self.purpose.done(py);
        };
        if is_cancellation(py, &error)
            && !lock.get().is_locked(py)
            && let Err(failed) = Lock::wake_first(lock)
        {
            return Resumed::Raised(failed);
        }
        Resumed::Raised(error)
    }
}

impl Body for Acquire {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        if self.waiting.is_none() {
            let lock = self.lock.bind(py);
            match Lock::take_at_once(lock) {
                Ok(true) => return self.purpose.done(py),
                Ok(false) => {}
                Err(error) => return Resumed::Raised(error),
            }
            match LoopBound::queue_up(lock.as_super()) {
                Ok(waiting) => self.waiting = Some(waiting),
                Err(error) => return Resumed::Raised(error),
            }
        }
        let resumed = match &mut self.waiting {
            Some(waiting) => waiting.step(py, incoming),
            None => return Resumed::Returned(py.None()),
        };
        match resumed {
            Resumed::Yielded(_) => resumed,
            over => self.end(py, over),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.lock)?;
        self.waiting.as_ref().map_or(Ok(()), |waiting| waiting.visit(visit))
    }
}

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Self::initializer()
    }

    #[pyo3(signature = ())]
    fn __init__(slf: &Bound<'_, Self>) {
        LoopBound::begin(slf.as_super());
        slf.get().locked.set(slf.py(), false);
    }

    /// The standard class for native objects proper, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, |standard| &standard.lock)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let state = if slf.get().is_locked(slf.py()) { "locked" } else { "unlocked" };
        repr_with(slf.as_any(), &slf.as_super().get().waiters.describe(slf.py(), state))
    }

    /// Whether somebody holds the lock.
    fn locked(&self, py: Python<'_>) -> bool {
        self.is_locked(py)
    }

    #[getter(_locked)]
    fn raw_locked(&self, py: Python<'_>) -> bool {
        self.is_locked(py)
    }

    #[setter(_locked)]
    fn set_raw_locked(&self, py: Python<'_>, value: bool) {
        self.locked.set(py, value);
    }

    /// Waits until the lock is free, takes it and answers `True`.
    fn acquire<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Self::acquiring(slf, Purpose::Acquire)
    }

    /// Frees the lock; the task that has waited longest is to take it.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::free(slf)
    }

    #[pyo3(name = "_wake_up_first")]
    fn py_wake_first(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.as_super().get().waiters.wake_first(slf.py())
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        if is_plain(slf) {
            return Self::acquiring(slf, Purpose::Enter);
        }
        manager::enter_by_method(slf.as_any())
    }

    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc: &Bound<'py, PyAny>,
        tb: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let _ = (exc_type, exc, tb);
        if is_plain(slf) { manager::exit(slf) } else { manager::exit_by_method(slf.as_any()) }
    }
}
