//! `TimerHandle`: a handle that is due at a time.

use ouroloop::timers::TimerId;
use pyo3::PyTraverseError;
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyOverflowError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::object::{Contents, Handle, State, class_of, reference};
use crate::interpreter::fresh::{self, Text};
use crate::native::cell::AttachedCell;
use crate::native::shelf::{self, Shelved};
use crate::native::slots::Deallocate;
use crate::standard::Standard;
use crate::turn::{Loop, seconds_of};

/// When a timer is due.
#[derive(Debug, Default)]
struct Moment {
    seconds: f64,
    /// The time as it was given, if that was no float.
    given: Option<Py<PyAny>>,
    /// The engine's timer while it is pending.
    timer: Option<TimerId>,
}

/// A native `asyncio.TimerHandle`: equal and ordered by its time.
#[pyclass(frozen, subclass, extends = Handle, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct TimerHandle {
    moment: AttachedCell<Moment>,
}

impl TimerHandle {
    /// An ordinary timer, which nothing has scheduled.
    pub(crate) fn create<'py>(
        event_loop: &Bound<'py, Loop>,
        when: When<'_, 'py>,
        contents: Contents,
    ) -> PyResult<Bound<'py, Self>> {
        Self::with(event_loop, when.moment()?, contents)
    }

    /// The timer of a call that was due at `seconds`.
    pub(super) fn past<'py>(
        event_loop: &Bound<'py, Loop>,
        seconds: f64,
        contents: Contents,
    ) -> PyResult<Bound<'py, Self>> {
        Self::with(event_loop, When::Seconds(seconds).moment()?, contents)
    }

    fn with<'py>(
        event_loop: &Bound<'py, Loop>,
        moment: Moment,
        contents: Contents,
    ) -> PyResult<Bound<'py, Self>> {
        let handle = Handle::new(event_loop.as_any(), contents);
        let timer = Self { moment: AttachedCell::new(moment) };
        Bound::new(event_loop.py(), PyClassInitializer::from(handle).add_subclass(timer))
    }

    /// A timer without a callback, which the garbage collector does not track.
    #[inline]
    pub(super) fn thin<'py>(py: Python<'py>, when: When<'_, 'py>) -> PyResult<Bound<'py, Self>> {
        let moment = when.moment()?;
        if let Some(timer) = shelf::take::<Self>(py) {
            timer.get().moment.set(py, moment);
            return Ok(timer);
        }
        let handle = Handle { state: AttachedCell::new(State::default()) };
        let timer = Self { moment: AttachedCell::new(moment) };
        let timer = Bound::new(py, PyClassInitializer::from(handle).add_subclass(timer))?;
        shelf::untrack(&timer);
        Ok(timer)
    }

    /// The time at which it is due, in the loop's seconds.
    pub(crate) fn seconds(&self, py: Python<'_>) -> f64 {
        self.moment.with(py, |moment| moment.seconds)
    }

    pub(crate) fn scheduled_as(&self, py: Python<'_>, timer: TimerId) {
        self.moment.with(py, |moment| moment.timer = Some(timer));
    }

    fn given(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (seconds, given) =
            self.moment.with(py, |moment| (moment.seconds, reference(py, moment.given.as_ref())));
        given.map_or_else(|| Ok(fresh::float(py, seconds)?.into_any().unbind()), Ok)
    }
}

/// A time to be remembered.
#[derive(Debug)]
pub(crate) enum When<'a, 'py> {
    Seconds(f64),
    Given(&'a Bound<'py, PyAny>),
}

impl When<'_, '_> {
    fn moment(self) -> PyResult<Moment> {
        Ok(match self {
            Self::Seconds(seconds) => Moment { seconds, given: None, timer: None },
            Self::Given(when) => Moment {
                seconds: comparable_seconds(when)?,
                given: Some(when.clone().unbind()),
                timer: None,
            },
        })
    }
}

/// As [`seconds_of`], for a time that only has to be compared: one that no `f64` holds is never, or past.
fn comparable_seconds(time: &Bound<'_, PyAny>) -> PyResult<f64> {
    seconds_of(time).or_else(|error| {
        if !error.is_instance_of::<PyOverflowError>(time.py()) {
            return Err(error);
        }
        Ok(if time.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY })
    })
}

impl Deallocate for TimerHandle {
    keeps_original!();

    /// They only give the loop its handle back, which must not wait.
    const LAST_WORDS_NEST: bool = false;

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        Handle::is_missed(slf.as_super())
    }

    fn last_words(slf: &Bound<'_, Self>) {
        Handle::hold(slf.as_super());
    }

    fn detach(slf: &Bound<'_, Self>) {
        Handle::leave_entry(slf.as_super());
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }
}

impl Shelved for TimerHandle {
    has_shelf!();

    fn blank(slf: &Bound<'_, Self>) {
        let moment = slf.get().moment.replace(slf.py(), Moment::default());
        if let Some(given) = moment.given {
            given.drop_ref(slf.py());
        }
        Handle::blank(slf.as_super());
    }
}

#[pymethods]
impl TimerHandle {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(when, callback, args, loop, context=None)")]
    fn py_new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        let timer = Self { moment: AttachedCell::new(Moment::default()) };
        let handle = Handle { state: AttachedCell::new(State::default()) };
        PyClassInitializer::from(handle).add_subclass(timer)
    }

    #[pyo3(signature = (when, callback, args, r#loop, context=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        when: &Bound<'_, PyAny>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyAny>,
        r#loop: Bound<'_, PyAny>,
        context: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let moment = When::Given(when).moment()?;
        Handle::hold(slf.as_super());
        // From here on the handle knows no timer: the one that it had is another loop's, perhaps.
        drop(slf.get().moment.replace(slf.py(), moment));
        slf.as_super().get().initialize(callback, args, r#loop, context)
    }

    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(class_of::<Self>(slf.as_any(), &Standard::get(slf.py())?.timer_handle))
    }

    #[pyo3(name = "_repr_info")]
    fn repr_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let info = Handle::repr_info(slf.as_super())?;
        let place = 1 + isize::from(slf.as_super().get().is_cancelled(py));
        let when = slf.get().given(py)?.into_bound(py);
        info.cast::<PyList>()?.call_method1(
            intern!(py, "insert"),
            (place, Text(fresh::text(format_args!("when={}", when.repr()?))?)),
        )?;
        Ok(info)
    }

    fn when(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.given(py)
    }

    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let handle = slf.as_super();
        if !Handle::withdraw(handle) && !handle.get().is_cancelled(py) {
            let timer = slf.get().moment.with(py, |moment| moment.timer.take());
            if let (Some(timer), Some(event_loop)) = (timer, Handle::event_loop(handle))
                && let Ok(native) = event_loop.bind(py).cast::<Loop>()
            {
                drop(native.get().engine.with(py, |engine| engine.cancel(timer)));
            }
        }
        Handle::cancel_now(handle)
    }

    #[getter(_when)]
    fn when_attribute(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.given(py)
    }

    #[getter(_scheduled)]
    fn scheduled(&self, py: Python<'_>) -> bool {
        self.moment.with(py, |moment| moment.timer.is_some())
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.given(py)?.bind(py).hash()
    }

    fn __richcmp__(
        slf: &Bound<'_, Self>,
        other: &Bound<'_, PyAny>,
        operation: CompareOp,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        let (mine, theirs) = (slf.get().seconds(py), other.get().seconds(py));
        let equal = || -> PyResult<bool> {
            let (left, right) = (slf.as_super(), other.as_super());
            let same = |a: Option<Py<PyAny>>, b: Option<Py<PyAny>>| match (a, b) {
                (Some(a), Some(b)) => a.bind(py).eq(b.bind(py)),
                (a, b) => Ok(a.is_none() && b.is_none()),
            };
            #[expect(clippy::float_cmp, reason = "asyncio compares the times exactly")]
            Ok(mine == theirs
                && same(Handle::callback(left), Handle::callback(right))?
                && same(Handle::args(left), Handle::args(right))?
                && left.get().is_cancelled(py) == right.get().is_cancelled(py))
        };
        let answer = match operation {
            CompareOp::Lt => mine < theirs,
            CompareOp::Le => mine < theirs || equal()?,
            CompareOp::Eq => equal()?,
            CompareOp::Ne => !equal()?,
            CompareOp::Gt => mine > theirs,
            CompareOp::Ge => mine > theirs || equal()?,
        };
        Ok(answer.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe { self.moment.traverse(|moment| visit.call(&moment.given)) }
    }
}
