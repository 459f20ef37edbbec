//! `Semaphore` and `BoundedSemaphore`: a number of permits, handed out in order.
//!
//! A release that finds somebody waiting wakes him and takes his permit off the count at once, so
//! that nobody who comes later gets it. A woken task that is cancelled gives the permit back.

use pyo3::Borrowed;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyTuple};

use super::lock::Purpose;
use super::loop_bound::LoopBound;
use super::manager::{self, Release};
use super::primitive::{is_cancellation, is_plain, repr_with, truth};
use crate::coroutine::{Body, Coroutine, Incoming};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::native::cell::AttachedCell;
use crate::native::kinship::class_of;
use crate::native::slots::Resumed;
use crate::waiting::Waiting;

/// A number of permits: nearly always a small integer, but anything that counts will do.
#[derive(Debug)]
enum Number {
    Small(i64),
    Any(Py<PyAny>),
}

/// A place for a number.
#[derive(Debug)]
struct Count(AttachedCell<Number>);

impl Count {
    fn new() -> Self {
        Self(AttachedCell::new(Number::Small(0)))
    }

    fn set(&self, value: &Bound<'_, PyAny>) {
        let small = value.is_exact_instance_of::<PyInt>().then(|| value.extract().ok()).flatten();
        let number = small.map_or_else(|| Number::Any(value.clone().unbind()), Number::Small);
        self.0.set(value.py(), number);
    }

    /// The small number, or any other as an object.
    #[inline]
    fn read<'py>(&self, py: Python<'py>) -> Result<i64, Bound<'py, PyAny>> {
        let number = self.0.with(py, |number| match number {
            Number::Small(small) => Ok(*small),
            Number::Any(object) => Err(object.clone_ref(py)),
        });
        number.map_err(|object| object.into_bound(py))
    }

    fn object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.read(py) {
            Ok(small) => Ok(fresh::int(py, small)?.into_any()),
            Err(object) => Ok(object),
        }
    }

    #[inline]
    fn is_zero(&self, py: Python<'_>) -> PyResult<bool> {
        self.read(py).map_or_else(|object| object.eq(0), |small| Ok(small == 0))
    }

    #[inline]
    fn is_positive(&self, py: Python<'_>) -> PyResult<bool> {
        self.read(py).map_or_else(|object| object.gt(0), |small| Ok(small > 0))
    }

    #[inline]
    fn add(&self, py: Python<'_>, difference: i64) -> PyResult<()> {
        if let Ok(small) = self.read(py)
            && let Some(sum) = small.checked_add(difference)
        {
            self.0.set(py, Number::Small(sum));
            return Ok(());
        }
        self.set(&self.object(py)?.add(difference)?);
        Ok(())
    }

    fn at_least(&self, py: Python<'_>, other: &Self) -> PyResult<bool> {
        if let (Ok(mine), Ok(others)) = (self.read(py), other.read(py)) {
            return Ok(mine >= others);
        }
        self.object(py)?.ge(other.object(py)?)
    }

    /// # Safety
    /// To be called from `tp_traverse` alone.
    unsafe fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the caller's promise.
        unsafe {
            self.0.traverse(|number| match number {
                Number::Small(_) => Ok(()),
                Number::Any(object) => visit.call(object),
            })
        }
    }

    fn clear(&self) {
        // SAFETY: called from `tp_clear`, attached.
        self.0.set(unsafe { Python::assume_attached() }, Number::Small(0));
    }
}

/// A native `asyncio.Semaphore`.
#[pyclass(frozen, subclass, extends = LoopBound, module = "asyncio.locks")]
#[derive(Debug)]
pub(crate) struct Semaphore {
    value: Count,
}

/// A native `asyncio.BoundedSemaphore`.
#[pyclass(frozen, subclass, extends = Semaphore, module = "asyncio.locks")]
#[derive(Debug)]
pub(crate) struct BoundedSemaphore {
    bound: Count,
}

drops_its_dictionary!(Semaphore);

leaves_out!(Semaphore, "acquire", "release", "locked", "_wake_up_next");

consists_of!(Semaphore, ["_value", "_waiters", "_loop"]);
drops_its_dictionary!(BoundedSemaphore);

leaves_out!(BoundedSemaphore, "acquire", "release", "locked", "_wake_up_next");

consists_of!(BoundedSemaphore, ["_bound_value", "_value", "_waiters", "_loop"]);

impl Semaphore {
    fn initializer() -> PyClassInitializer<Self> {
        PyClassInitializer::from(LoopBound::new()).add_subclass(Self { value: Count::new() })
    }

    /// [`is_plain`], for both classes.
    fn is_plain(slf: &Bound<'_, Self>) -> bool {
        is_plain(slf)
            || slf.as_any().cast_exact::<BoundedSemaphore>().is_ok_and(|bounded| is_plain(bounded))
    }

    #[inline]
    fn has_none(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        Ok(slf.get().value.is_zero(py)? || slf.as_super().get().waiters.has_living(py)?)
    }

    /// `self.locked()`.
    #[inline]
    fn is_locked(slf: &Bound<'_, Self>) -> PyResult<bool> {
        if Self::is_plain(slf) {
            return Self::has_none(slf);
        }
        slf.call_method0(intern!(slf.py(), "locked"))?.is_truthy()
    }

    /// `self._wake_up_next()`.
    fn wake(slf: &Bound<'_, Self>) -> PyResult<bool> {
        if Self::is_plain(slf) {
            return Self::wake_next(slf);
        }
        slf.call_method0(intern!(slf.py(), "_wake_up_next"))?.is_truthy()
    }

    /// Gives a permit to the first who waits for one; answers whether anybody does.
    fn wake_next(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if slf.as_super().get().waiters.len(py) == 0 {
            return Ok(false);
        }
        let Some(waiter) = slf.as_super().get().waiters.first_pending(py)? else {
            return Ok(false);
        };
        slf.get().value.add(py, -1)?;
        waiter.set_result(py, truth(py, true))?;
        Ok(true)
    }

    #[inline]
    fn give_back(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().value.add(slf.py(), 1)?;
        Self::wake(slf).map(drop)
    }

    /// Hands out what is left to those who came while somebody else's turn was under way.
    fn serve_the_rest(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        while slf.get().value.is_positive(py)? && Self::wake(slf)? {}
        Ok(())
    }

    /// A wait has failed with `error`: a permit that was meant for it goes to somebody else.
    fn forgo(slf: &Bound<'_, Self>, waiting: &Waiting, error: &PyErr) -> PyResult<()> {
        let py = slf.py();
        let granted = waiting.waiter.is_done(py)? && !waiting.waiter.is_cancelled(py)?;
        if is_cancellation(py, error) && granted {
            slf.get().value.add(py, 1)?;
        }
        Self::serve_the_rest(slf)
    }

    fn acquiring<'py>(slf: &Bound<'py, Self>, purpose: Purpose) -> PyResult<Bound<'py, Coroutine>> {
        let name = match purpose {
            Purpose::Acquire => "Semaphore.acquire",
            Purpose::Enter => manager::ENTER,
        };
        let body = Acquire { semaphore: slf.clone().unbind(), waiting: None, purpose };
        Coroutine::of(slf.py(), name, body)
    }
}

impl BoundedSemaphore {
    fn give_back(slf: &Bound<'_, Self>) -> PyResult<()> {
        let semaphore = slf.as_super();
        if semaphore.get().value.at_least(slf.py(), &slf.get().bound)? {
            return Err(fresh::error::<PyValueError>("BoundedSemaphore released too many times"));
        }
        Semaphore::give_back(semaphore)
    }
}

impl Release for Semaphore {
    fn release_natively(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.cast_exact::<BoundedSemaphore>() {
            Ok(bounded) => BoundedSemaphore::give_back(bounded),
            Err(_) => Self::give_back(slf),
        }
    }
}

struct Acquire {
    semaphore: Py<Semaphore>,
    waiting: Option<Waiting>,
    purpose: Purpose,
}

impl Acquire {
    /// Takes a permit, or a place in the queue.
    fn begin(&mut self, semaphore: &Bound<'_, Semaphore>) -> PyResult<bool> {
        if Semaphore::is_locked(semaphore)? {
            self.waiting = Some(LoopBound::queue_up(semaphore.as_super())?);
            return Ok(false);
        }
        semaphore.get().value.add(semaphore.py(), -1)?;
        Ok(true)
    }

    fn end(&mut self, semaphore: &Bound<'_, Semaphore>, resumed: Resumed) -> Resumed {
        let py = semaphore.py();
        let Some(waiting) = self.waiting.take() else { return resumed };
        semaphore.as_super().get().waiters.remove(py, waiting.waiter.bind(py));
        let (answer, resumed) = match resumed {
            Resumed::Raised(error) => {
                (Semaphore::forgo(semaphore, &waiting, &error), Resumed::Raised(error))
            }
            _ => (Semaphore::serve_the_rest(semaphore), self.purpose.done(py)),
        };
        answer.map_or_else(Resumed::Raised, |()| resumed)
    }
}

impl Body for Acquire {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let semaphore = self.semaphore.bind(py).clone();
        if self.waiting.is_none() {
            match self.begin(&semaphore) {
                Ok(true) => return self.purpose.done(py),
                Ok(false) => {}
                Err(error) => return Resumed::Raised(error),
            }
        }
        let resumed = match &mut self.waiting {
            Some(waiting) => waiting.step(py, incoming),
            None => return Resumed::Returned(py.None()),
        };
        match resumed {
            Resumed::Yielded(_) => resumed,
            over => self.end(&semaphore, over),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.semaphore)?;
        self.waiting.as_ref().map_or(Ok(()), |waiting| waiting.visit(visit))
    }
}

/// The argument of the constructors.
enum Initial<'py> {
    One,
    Given(Bound<'py, PyAny>),
}

impl<'py> Initial<'py> {
    fn object(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::One => Ok(1_i64.into_pyobject(py)?.into_any()),
            Self::Given(value) => Ok(value),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Initial<'py> {
    type Error = std::convert::Infallible;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> Result<Self, Self::Error> {
        Ok(Self::Given(object.to_owned()))
    }
}

#[pymethods]
impl Semaphore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(value=1)")]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Self::initializer()
    }

    #[pyo3(signature = (value=Initial::One))]
    fn __init__(slf: &Bound<'_, Self>, value: Initial<'_>) -> PyResult<()> {
        let _level = Level::enter(slf.py())?;
        let value = value.object(slf.py())?;
        if value.lt(0)? {
            return Err(fresh::error::<PyValueError>("Semaphore initial value must be >= 0"));
        }
        LoopBound::begin(slf.as_super());
        slf.get().value.set(&value);
        Ok(())
    }

    /// The standard class for native objects proper, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, |standard| &standard.semaphore)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let py = slf.py();
        let state = if Self::is_locked(slf)? {
            String::from("locked")
        } else {
            fresh::text(format_args!("unlocked, value:{}", slf.get().value.object(py)?.str()?))?
        };
        repr_with(slf.as_any(), &slf.as_super().get().waiters.describe(py, &state))
    }

    /// Whether whoever comes now has to wait.
    fn locked(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::has_none(slf)
    }

    #[getter(_value)]
    fn raw_value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.value.object(py)
    }

    #[setter(_value)]
    fn set_raw_value(&self, value: &Bound<'_, PyAny>) {
        self.value.set(value);
    }

    /// Waits for a permit, takes it and answers `True`.
    fn acquire<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Self::acquiring(slf, Purpose::Acquire)
    }

    /// Gives a permit back, or on to the task that has waited longest.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::give_back(slf)
    }

    #[pyo3(name = "_wake_up_next")]
    fn py_wake_next(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::wake_next(slf)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        if Self::is_plain(slf) {
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
        if Self::is_plain(slf) { manager::exit(slf) } else { manager::exit_by_method(slf.as_any()) }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe { self.value.visit(&visit) }
    }

    fn __clear__(&self) {
        self.value.clear();
    }
}

#[pymethods]
impl BoundedSemaphore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(value=1)")]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Semaphore::initializer().add_subclass(Self { bound: Count::new() })
    }

    #[pyo3(signature = (value=Initial::One))]
    fn __init__(slf: &Bound<'_, Self>, value: Initial<'_>) -> PyResult<()> {
        let value = value.object(slf.py())?;
        slf.get().bound.set(&value);
        Semaphore::__init__(slf.as_super(), Initial::Given(value))
    }

    /// The standard class for native objects proper, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, |standard| &standard.bounded_semaphore)
    }

    #[getter(_bound_value)]
    fn raw_bound<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.bound.object(py)
    }

    #[setter(_bound_value)]
    fn set_raw_bound(&self, value: &Bound<'_, PyAny>) {
        self.bound.set(value);
    }

    // Without a docstring, as the standard one.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::give_back(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe { self.bound.visit(&visit) }
    }

    fn __clear__(&self) {
        self.bound.clear();
    }
}
