//! `wait`: until some or all of several futures have ended, or for a time.

use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PySet;
use pyo3::{PyTraverseError, ffi};

use super::child::{self, Ending};
use super::ensure::{is_coroutine, is_future};
use crate::coroutine::{Body, Coroutine, Incoming, iterator_of, step_into};
use crate::future::is_done;
use crate::future::listen::{Closure, DoneListener, Listen, has_ear};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::{Grow, taken, vector};
use crate::native::cell::AttachedCell;
use crate::native::slots::Resumed;
use crate::waiting::{Waiter, running_loop};

/// When a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    FirstCompleted,
    FirstException,
    AllCompleted,
}

impl Until {
    fn named(name: &Bound<'_, PyAny>) -> PyResult<Self> {
        for (known, until) in [
            ("FIRST_COMPLETED", Self::FirstCompleted),
            ("FIRST_EXCEPTION", Self::FirstException),
            ("ALL_COMPLETED", Self::AllCompleted),
        ] {
            if name.eq(Text(known))? {
                return Ok(until);
            }
        }
        Err(fresh::error_saying::<PyValueError>(format_args!(
            "Invalid return_when value: {}",
            name.str()?
        )))
    }
}

/// The argument by that name: not a default that `None` could stand for.
#[derive(Debug)]
enum ReturnWhen {
    Unsaid,
    Named(Py<PyAny>),
}

impl FromPyObject<'_, '_> for ReturnWhen {
    type Error = std::convert::Infallible;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> Result<Self, Self::Error> {
        Ok(Self::Named(object.to_owned().unbind()))
    }
}

#[derive(Debug)]
struct Counting {
    waiter: Waiter,
    timer: Option<Py<PyAny>>,
    left: usize,
    until: Until,
    #[cfg(Py_3_14)]
    awaiter: Option<Py<PyAny>>,
}

/// Counts futures that end, and then lets the waiting coroutine go on.
#[pyclass(frozen, name = "_Wait", module = "ouroloop")]
#[derive(Debug)]
struct Counter {
    counting: AttachedCell<Option<Counting>>,
}

made_at_the_start!(Counter);

impl Counter {
    fn waiter(&self, py: Python<'_>) -> Option<Waiter> {
        self.counting.with(py, |counting| counting.as_ref().map(|held| held.waiter.clone_ref(py)))
    }

    /// Sets something of what it counts by, unless it counts no more.
    fn exchange(
        &self,
        py: Python<'_>,
        field: impl FnOnce(&mut Counting) -> &mut Option<Py<PyAny>>,
        value: Option<Py<PyAny>>,
    ) {
        drop(self.counting.with(py, |counting| match counting {
            Some(held) => std::mem::replace(field(held), value),
            None => value,
        }));
    }

    fn cancel_timer(&self, py: Python<'_>) -> PyResult<()> {
        let timer = self
            .counting
            .with(py, |counting| counting.as_ref().and_then(|held| held.timer.clone_ref(py)));
        match timer {
            Some(timer) => timer.bind(py).call_method0(intern!(py, "cancel")).map(drop),
            None => Ok(()),
        }
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        match self.waiter(py) {
            Some(waiter) if !waiter.is_done(py)? => waiter.set_result(py, py.None()),
            _ => Ok(()),
        }
    }
}

impl Listen for Counter {
    has_ear!(Counter);

    fn hear(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let Some((left, until)) = this.counting.with(py, |counting| {
            counting.as_mut().map(|held| {
                held.left = held.left.saturating_sub(1);
                (held.left, held.until)
            })
        }) else {
            return Ok(());
        };
        let over = left == 0
            || until == Until::FirstCompleted
            || until == Until::FirstException
                && matches!(child::ending(future)?, Ending::Failed(_));
        if over {
            this.cancel_timer(py)?;
            this.release(py)?;
        }
        Ok(())
    }

    fn callable<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Closure::of(slf, "_wait.<locals>._on_completion", child::no_longer_awaited)
    }

    #[cfg(Py_3_14)]
    fn awaiter<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        let py = slf.py();
        let awaiter = slf
            .get()
            .counting
            .with(py, |counting| counting.as_ref().and_then(|held| held.awaiter.clone_ref(py)));
        awaiter.map(|task| task.into_bound(py))
    }
}

#[pymethods]
impl Counter {
    fn _release_waiter(&self, py: Python<'_>) -> PyResult<()> {
        self.release(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.counting.traverse(|counting| {
                let Some(held) = counting else { return Ok(()) };
                held.waiter.visit(&visit)?;
                #[cfg(Py_3_14)]
                visit.call(&held.awaiter)?;
                visit.call(&held.timer)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.counting.replace(unsafe { Python::assume_attached() }, None));
    }
}

/// The body of `wait`.
enum WaitBody {
    Fresh { futures: Py<PyAny>, timeout: Option<Py<PyAny>>, return_when: ReturnWhen },
    Listening(Listening),
    Over,
}

struct Listening {
    futures: Vec<Py<PyAny>>,
    counter: Py<Counter>,
    iterator: Py<PyAny>,
}

impl Listening {
    /// Looks at the arguments and begins to listen.
    fn begin(
        futures: &Bound<'_, PyAny>,
        timeout: Option<&Py<PyAny>>,
        return_when: &ReturnWhen,
    ) -> PyResult<Self> {
        let py = futures.py();
        if is_future(futures)? || is_coroutine(futures)? {
            let kind = futures.get_type();
            let message =
                fresh::text(format_args!("expect a list of futures, not {}", kind.name()?))?;
            return Err(fresh::error::<PyTypeError>(message));
        }
        if !futures.is_truthy()? {
            return Err(fresh::error::<PyValueError>("Set of Tasks/Futures is empty."));
        }
        let until = match return_when {
            ReturnWhen::Named(name) => Until::named(name.bind(py))?,
            ReturnWhen::Unsaid => Until::AllCompleted,
        };
        let futures = distinct(futures)?;
        for future in &futures {
            if is_coroutine(future.bind(py))? {
                let message = "Passing coroutines is forbidden, use tasks explicitly.";
                return Err(fresh::error::<PyTypeError>(message));
            }
        }
        let event_loop = running_loop(py)?;
        if futures.is_empty() {
            return Err(fresh::error::<PyAssertionError>("Set of Futures is empty."));
        }
        let waiter = Waiter::create(&event_loop)?;
        let iterator = iterator_of(waiter.bind(py))?.unbind();
        let counting = Counting {
            waiter,
            timer: None,
            left: futures.len(),
            until,
            #[cfg(Py_3_14)]
            awaiter: None,
        };
        let counter = Bound::new(py, Counter { counting: AttachedCell::new(Some(counting)) })?;
        if let Some(timeout) = timeout.filter(|timeout| !timeout.is_none(py)) {
            let release = counter.getattr(intern!(py, "_release_waiter"))?;
            let timer = event_loop.call_method1(intern!(py, "call_later"), (timeout, release))?;
            let timer = Some(timer.unbind());
            counter.get().exchange(py, |held| &mut held.timer, timer);
        }
        #[cfg(Py_3_14)]
        {
            let awaiter = child::awaiting_task(py, None)?;
            counter.get().exchange(py, |held| &mut held.awaiter, awaiter);
        }
        for future in &futures {
            child::listen(future.bind(py), DoneListener::new(&counter))?;
        }
        Ok(Self { futures, counter: counter.unbind(), iterator })
    }

    /// Stops listening.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.counter.get().cancel_timer(py)?;
        let listener = DoneListener::new(self.counter.bind(py));
        for future in &self.futures {
            child::stop_listening(future.bind(py), &listener)?;
        }
        Ok(())
    }

    /// The two sets.
    fn answer(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (done, pending) = (PySet::empty(py)?, PySet::empty(py)?);
        for future in &self.futures {
            let future = future.bind(py);
            (if is_done(future)? { &done } else { &pending }).add(future)?;
        }
        Ok(fresh::tuple(py, [done, pending])?.into_any().unbind())
    }
}

/// What an iterable gives, each once.
fn distinct(iterable: &Bound<'_, PyAny>) -> PyResult<Vec<Py<PyAny>>> {
    let py = iterable.py();
    // SAFETY: attached; a new reference to a set, or NULL with an error set.
    let set = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PySet_New(iterable.as_ptr()))? };
    let set = set.cast_into::<PySet>()?;
    let mut all = vector(py, set.len())?;
    for one in set.as_any().try_iter()? {
        taken(py, all.grow(one?.unbind()))?;
    }
    Ok(all)
}

impl Body for WaitBody {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        if let Self::Fresh { futures, timeout, return_when } = self {
            match Listening::begin(futures.bind(py), timeout.as_ref(), return_when) {
                Ok(waiting) => drop(std::mem::replace(self, Self::Listening(waiting))),
                Err(error) => return Resumed::Raised(error),
            }
        }
        let Self::Listening(waiting) = self else { return Resumed::Returned(py.None()) };
        let resumed = step_into(waiting.iterator.bind(py), incoming);
        if let Resumed::Yielded(_) = resumed {
            return resumed;
        }
        let Self::Listening(waiting) = std::mem::replace(self, Self::Over) else {
            return resumed;
        };
        if let Err(error) = waiting.end(py) {
            return Resumed::Raised(error);
        }
        match resumed {
            Resumed::Raised(error) => Resumed::Raised(error),
            _ => match waiting.answer(py) {
                Ok(answer) => Resumed::Returned(answer),
                Err(error) => Resumed::Raised(error),
            },
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Fresh { futures, timeout, return_when } => {
                visit.call(futures)?;
                visit.call(timeout)?;
                match return_when {
                    ReturnWhen::Named(name) => visit.call(name),
                    ReturnWhen::Unsaid => Ok(()),
                }
            }
            Self::Listening(Listening { futures, counter, iterator }) => {
                visit.call(counter)?;
                visit.call(iterator)?;
                futures.iter().try_for_each(|future| visit.call(future))
            }
            Self::Over => Ok(()),
        }
    }

    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self {
            Self::Listening(waiting) => Some(waiting.iterator.clone_ref(py)),
            Self::Fresh { .. } | Self::Over => None,
        }
    }

    fn within(&self) -> Option<&'static str> {
        Some("_wait")
    }
}

/// Wait until futures have ended, and return the set of those that have and the set of the rest.
///
/// `return_when` is `ALL_COMPLETED`, `FIRST_COMPLETED` or `FIRST_EXCEPTION`. A `timeout` in seconds
/// ends the wait without an exception; nothing is cancelled, neither then nor when the wait is.
#[pyfunction]
#[pyo3(signature = (fs, *, timeout=None, return_when=ReturnWhen::Unsaid), text_signature = "(fs, *, timeout=None, return_when='ALL_COMPLETED')")]
fn wait<'py>(
    fs: &Bound<'py, PyAny>,
    timeout: Option<Py<PyAny>>,
    return_when: ReturnWhen,
) -> PyResult<Bound<'py, Coroutine>> {
    let body = WaitBody::Fresh { futures: fs.clone().unbind(), timeout, return_when };
    Coroutine::of(fs.py(), "wait", body)
}

pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(wait, module)?)
}
