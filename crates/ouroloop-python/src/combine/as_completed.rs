//! `as_completed`: several awaitables in the order in which they end.
//!
//! The iterator listens to each future and lines up those that have ended; a *turn* (a coroutine
//! that it gave out) takes the first of them, or waits. Turns are served in the order in which
//! they began to wait.

use std::collections::VecDeque;

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError, PyTypeError};
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PySet;

use super::child;
use super::ensure::Ensure;
use crate::coroutine::{Body, Coroutine, Incoming, iterator_of, step_into};
use crate::future::listen::{Closure, DoneListener, Listen, has_ear};
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::{Grow, taken};
use crate::native::cell::AttachedCell;
use crate::native::slots::Resumed;
use crate::standard::Standard;
use crate::waiting::{Waiter, running_loop};

/// One that a turn may take.
#[derive(Debug)]
enum Arrival {
    Ended(Py<PyAny>),
    TimedOut,
}

#[derive(Debug, Default)]
struct State {
    /// What it was made of, until the first step before Python 3.13: a generator then.
    arguments: Option<(Py<PyAny>, Option<Py<PyAny>>)>,
    /// The futures that have not ended.
    todo: Option<Py<PySet>>,
    arrivals: VecDeque<Arrival>,
    /// The turns that wait.
    waiting: VecDeque<Waiter>,
    /// How many turns are left to give out.
    left: usize,
    timer: Option<Py<PyAny>>,
    /// The loop on which turns wait.
    event_loop: Option<Py<PyAny>>,
    #[cfg(Py_3_14)]
    awaiter: Option<Py<PyAny>>,
}

/// What `as_completed` returns.
#[pyclass(frozen, weakref, name = "_AsCompletedIterator", module = "asyncio.tasks")]
#[derive(Debug)]
struct AsCompleted {
    state: AttachedCell<State>,
}

made_at_the_start!(AsCompleted);

impl AsCompleted {
    /// The method of which a turn is the coroutine.
    const TURN: &str = if cfg!(Py_3_13) {
        "_AsCompletedIterator._wait_for_one"
    } else {
        "as_completed.<locals>._wait_for_one"
    };

    /// Makes the futures and listens to them.
    fn begin(
        slf: &Bound<'_, Self>,
        awaitables: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let event_loop = Standard::get(py)?.get_event_loop.bind(py).call0()?;
        #[cfg(Py_3_14)]
        {
            let awaiter = child::awaiting_task(py, None)?;
            drop(slf.get().state.with(py, |state| std::mem::replace(&mut state.awaiter, awaiter)));
        }
        let mut ensure = Ensure::on(Some(event_loop.clone()));
        let todo = PySet::empty(py)?;
        for awaitable in set_of(awaitables)?.as_any().try_iter()? {
            todo.add(ensure.future_of(&awaitable?)?)?;
        }
        // A future has its callback before it is among those that are waited for, as a callback
        // runs in a later turn.
        for future in todo.as_any().try_iter()? {
            child::listen(&future?, DoneListener::new(slf))?;
        }
        if !todo.is_empty()
            && let Some(timeout) = timeout
        {
            let callback = slf.getattr(intern!(py, "_handle_timeout"))?;
            let timer = event_loop.call_method1(intern!(py, "call_later"), (timeout, callback))?;
            drop(slf.get().state.with(py, |state| state.timer.replace(timer.unbind())));
        }
        let left = todo.len();
        drop(slf.get().state.with(py, |state| {
            state.left = left;
            state.todo.replace(todo.unbind())
        }));
        Ok(())
    }

    fn todo<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PySet>> {
        let todo = self.state.with(py, |state| state.todo.clone_ref(py));
        todo.map(|todo| todo.into_bound(py)).filter(|todo| !todo.is_empty())
    }

    fn ended(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        // None are left when the time is over, which was first then.
        let Some(todo) = slf.get().todo(py) else { return Ok(()) };
        // SAFETY: attached; both objects are alive.
        match unsafe { ffi::PySet_Discard(todo.as_ptr(), future.as_ptr()) } {
            -1 => return Err(PyErr::fetch(py)),
            0 => return Err(pyo3::exceptions::PyKeyError::new_err(future.clone().unbind())),
            _ => {}
        }
        slf.get().arrive(py, Arrival::Ended(future.clone().unbind()))?;
        if todo.is_empty() {
            let timer = slf.get().state.with(py, |state| state.timer.clone_ref(py));
            if let Some(timer) = timer {
                timer.bind(py).call_method0(intern!(py, "cancel"))?;
            }
        }
        Ok(())
    }

    fn time_out(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(todo) = slf.get().todo(py) else { return Ok(()) };
        let listener = DoneListener::new(slf);
        for future in todo.as_any().try_iter()? {
            child::stop_listening(&future?, &listener)?;
            slf.get().arrive(py, Arrival::TimedOut)?;
        }
        todo.clear();
        Ok(())
    }

    fn arrive(&self, py: Python<'_>, arrival: Arrival) -> PyResult<()> {
        let kept = self.state.with(py, |state| state.arrivals.grow(arrival));
        taken(py, kept)?;
        self.wake_next(py)
    }

    /// Wakes the first turn that waits.
    fn wake_next(&self, py: Python<'_>) -> PyResult<()> {
        while let Some(waiter) = self.state.with(py, |state| state.waiting.pop_front()) {
            if !waiter.is_done(py)? {
                return waiter.set_result(py, py.None());
            }
        }
        Ok(())
    }

    /// A waiter for a turn, last in line.
    fn wait(slf: &Bound<'_, Self>) -> PyResult<Waiter> {
        let py = slf.py();
        let event_loop = running_loop(py)?;
        let same = slf.get().state.with(py, |state| {
            let known = state.event_loop.get_or_insert_with(|| event_loop.clone().unbind());
            known.is(&event_loop)
        });
        if !same {
            let message =
                fresh::text(format_args!("{} is bound to a different event loop", slf.repr()?))?;
            return Err(fresh::error::<PyRuntimeError>(message));
        }
        let waiter = Waiter::create(&event_loop)?;
        let second = waiter.clone_ref(py);
        let kept = slf.get().state.with(py, |state| state.waiting.grow(second));
        taken(py, kept)?;
        Ok(waiter)
    }

    /// A turn's wait was cancelled or failed.
    fn give_up(&self, py: Python<'_>, waiter: &Waiter) -> PyResult<()> {
        waiter.cancel(py)?;
        let gone = self.state.with(py, |state| {
            let place = state.waiting.iter().position(|other| other.is(waiter))?;
            state.waiting.remove(place)
        });
        drop(gone);
        // It was served in the meantime: what it was served is the next one's.
        let more = self.state.with(py, |state| !state.arrivals.is_empty());
        if more && !waiter.is_cancelled(py)? { self.wake_next(py) } else { Ok(()) }
    }

    /// Counts a turn that is given out; answers whether there was one.
    fn take_turn(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| match state.left.checked_sub(1) {
            Some(left) => {
                state.left = left;
                true
            }
            None => false,
        })
    }
}

/// `set(iterable)`.
fn set_of<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PySet>> {
    // SAFETY: attached; a new reference to a set, or NULL with an error set.
    let set =
        unsafe { Bound::from_owned_ptr_or_err(iterable.py(), ffi::PySet_New(iterable.as_ptr()))? };
    Ok(set.cast_into()?)
}

impl Listen for AsCompleted {
    has_ear!(AsCompleted);

    fn hear(slf: &Bound<'_, Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::ended(slf, future)
    }

    fn callable<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if cfg!(Py_3_13) {
            return slf.getattr(intern!(slf.py(), "_handle_completion"));
        }
        Closure::of(slf, "as_completed.<locals>._on_completion", child::no_longer_awaited)
    }

    #[cfg(Py_3_14)]
    fn awaiter<'py>(slf: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        let py = slf.py();
        let awaiter = slf.get().state.with(py, |state| state.awaiter.clone_ref(py));
        awaiter.map(|task| task.into_bound(py))
    }
}

/// What a turn is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The result of the future, or its exception.
    Result,
    /// The future, and the end of the iteration when no turn is left.
    #[cfg(Py_3_13)]
    Future,
}

/// The body of a turn.
struct Turn {
    owner: Py<AsCompleted>,
    #[cfg_attr(not(Py_3_13), expect(dead_code, reason = "there is one answer before 3.13"))]
    answer: Answer,
    wait: Option<(Waiter, Py<PyAny>)>,
}

impl Turn {
    fn arrived(&self, py: Python<'_>, arrival: Arrival) -> Resumed {
        match arrival {
            Arrival::TimedOut => Resumed::Raised(PyTimeoutError::new_err(())),
            #[cfg(Py_3_13)]
            Arrival::Ended(future) if self.answer == Answer::Future => Resumed::Returned(future),
            Arrival::Ended(future) => match future.bind(py).call_method0(intern!(py, "result")) {
                Ok(result) => Resumed::Returned(result.unbind()),
                Err(error) => Resumed::Raised(error),
            },
        }
    }
}

impl Body for Turn {
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        let owner = self.owner.clone_ref(py);
        let owner = owner.bind(py);
        match self.wait.take() {
            None =>
            {
                #[cfg(Py_3_13)]
                if self.answer == Answer::Future && !owner.get().take_turn(py) {
                    let end = pyo3::exceptions::PyStopAsyncIteration::new_err(());
                    return Resumed::Raised(end);
                }
            }
            Some((waiter, iterator)) => match step_into(iterator.bind(py), incoming) {
                Resumed::Returned(_) => {}
                Resumed::Yielded(object) => {
                    self.wait = Some((waiter, iterator));
                    return Resumed::Yielded(object);
                }
                Resumed::Raised(error) => {
                    let given_up = owner.get().give_up(py, &waiter);
                    return Resumed::Raised(given_up.err().unwrap_or(error));
                }
            },
        }
        if let Some(arrival) = owner.get().state.with(py, |state| state.arrivals.pop_front()) {
            return self.arrived(py, arrival);
        }
        let begun = AsCompleted::wait(owner).and_then(|waiter| {
            let iterator = iterator_of(waiter.bind(py))?;
            Ok((waiter, iterator))
        });
        match begun {
            Ok((waiter, iterator)) => {
                let resumed = step_into(&iterator, Ok(py.None().into_bound(py)));
                self.wait = Some((waiter, iterator.unbind()));
                resumed
            }
            Err(error) => Resumed::Raised(error),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)?;
        match &self.wait {
            Some((waiter, iterator)) => {
                waiter.visit(visit)?;
                visit.call(iterator)
            }
            None => Ok(()),
        }
    }

    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.wait.as_ref().map(|(_, iterator)| iterator.clone_ref(py))
    }

    fn within(&self) -> Option<&'static str> {
        Some("Queue.get")
    }
}

#[pymethods]
impl AsCompleted {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, Coroutine>>> {
        let py = slf.py();
        let arguments = slf.get().state.with(py, |state| state.arguments.take());
        if let Some((awaitables, timeout)) = arguments {
            check(awaitables.bind(py))?;
            Self::begin(
                slf,
                awaitables.bind(py),
                timeout.as_ref().map(|timeout| timeout.bind(py)),
            )?;
        }
        if !slf.get().take_turn(py) {
            return Ok(None);
        }
        let turn = Turn { owner: slf.clone().unbind(), answer: Answer::Result, wait: None };
        Coroutine::of(py, Self::TURN, turn).map(Some)
    }

    #[cfg(Py_3_13)]
    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[cfg(Py_3_13)]
    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        let turn = Turn { owner: slf.clone().unbind(), answer: Answer::Future, wait: None };
        Coroutine::of(slf.py(), "_AsCompletedIterator.__anext__", turn)
    }

    /// Ends the iteration, as a generator's does; turns that were given out go on.
    #[cfg(not(Py_3_13))]
    fn close(&self, py: Python<'_>) {
        drop(self.state.with(py, |state| {
            state.left = 0;
            state.arguments.take()
        }));
    }

    /// What a future calls that is not native.
    fn _handle_completion(slf: &Bound<'_, Self>, f: &Bound<'_, PyAny>) -> PyResult<()> {
        child::no_longer_awaited(f, &DoneListener::new(slf))?;
        Self::ended(slf, f)
    }

    fn _handle_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::time_out(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                if let Some((awaitables, timeout)) = &state.arguments {
                    visit.call(awaitables)?;
                    visit.call(timeout)?;
                }
                visit.call(&state.todo)?;
                visit.call(&state.timer)?;
                visit.call(&state.event_loop)?;
                #[cfg(Py_3_14)]
                visit.call(&state.awaiter)?;
                for arrival in &state.arrivals {
                    if let Arrival::Ended(future) = arrival {
                        visit.call(future)?;
                    }
                }
                state.waiting.iter().try_for_each(|waiter| waiter.visit(&visit))
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.state.replace(unsafe { Python::assume_attached() }, State::default()));
    }
}

/// Refuses a single awaitable in the place of several.
fn check(awaitables: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = awaitables.py();
    let (single, expected) = if cfg!(Py_3_13) {
        let isawaitable = Standard::get(py)?.isawaitable.bind(py);
        (isawaitable.call1((awaitables,))?.is_truthy()?, "expects an iterable of awaitables")
    } else {
        use super::ensure::{is_coroutine, is_future};
        let single = is_future(awaitables)? || is_coroutine(awaitables)?;
        (single, "expect an iterable of futures")
    };
    if single {
        let kind = awaitables.get_type();
        return Err(fresh::error_saying::<PyTypeError>(format_args!(
            "{expected}, not {}",
            kind.name()?
        )));
    }
    Ok(())
}

/// Iterate over awaitables in the order in which they end.
///
/// Each step of a plain iteration gives a coroutine that answers the next result, or raises the next
/// exception. From Python 3.13 on, `async for` gives the futures themselves, which have ended.
/// Those that have not ended after `timeout` seconds raise `TimeoutError`.
#[pyfunction]
#[pyo3(signature = (fs, *, timeout=None))]
fn as_completed<'py>(
    fs: &Bound<'py, PyAny>,
    timeout: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, AsCompleted>> {
    let py = fs.py();
    let mut state = State::default();
    if cfg!(Py_3_13) {
        check(fs)?;
    } else {
        state.arguments = Some((fs.clone().unbind(), timeout.clone().map(Bound::unbind)));
    }
    let iterator = Bound::new(py, AsCompleted { state: AttachedCell::new(state) })?;
    if cfg!(Py_3_13) {
        AsCompleted::begin(&iterator, fs, timeout.as_ref())?;
    }
    Ok(iterator)
}

pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(as_completed, module)?)
}
