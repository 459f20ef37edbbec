//! What a future is, and how it ends.

use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;

use super::done::Done;
use super::links::{Link, Links};
use super::listen::DoneListener;
use super::state::{FuturePhase, Home, Outcome, State};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::{CloneRef as _, DropRef as _, attached};
use crate::interpreter::room::{copies, no_memory, taken};
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::{self, ValueOffset};
use crate::native::shelf::{self, Shelved};
use crate::native::slots::Deallocate;
use crate::standard::{Standard, invalid_state, raised};
use crate::turn::{Loop, Work as _};

/// A native `asyncio.Future`.
#[pyclass(frozen, subclass, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Future {
    pub(crate) state: AttachedCell<State>,
}

impl Future {
    pub(crate) fn new(home: Home) -> Self {
        Self { state: AttachedCell::new(State::new(home)) }
    }

    /// A pending future of a native loop.
    pub(crate) fn create<'py>(event_loop: &Bound<'py, Loop>) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let home = Home::Native(event_loop.clone().unbind());
        let future = if let Some(future) = shelf::take::<Self>(py) {
            future.get().set_home(py, home);
            shelf::track(&future);
            future
        } else {
            let future = Bound::new(py, Self::new(home))?;
            instance_dict::drop_unused(future.as_any());
            future
        };
        if event_loop.get().is_debug(py) {
            future.get().remember_source(py, event_loop.as_any())?;
        }
        Ok(future)
    }

    /// Gives a future for another life its loop.
    #[inline]
    pub(crate) fn set_home(&self, py: Python<'_>, home: Home) {
        drop(self.state.with(py, |state| std::mem::replace(&mut state.home, home)));
    }

    #[inline]
    pub(crate) fn phase(&self, py: Python<'_>) -> FuturePhase {
        self.state.with(py, |state| state.phase)
    }

    #[inline]
    pub(crate) fn is_done(&self, py: Python<'_>) -> bool {
        self.phase(py) != FuturePhase::Pending
    }

    /// The loop, as Python sees it.
    ///
    /// # Errors
    /// `RuntimeError` before `__init__` has run.
    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state
            .with(py, |state| state.home.object().map(|object| object.clone_ref(py)))
            .map(|object| object.into_bound(py))
            .ok_or_else(|| fresh::error::<PyRuntimeError>("Future object is not initialized."))
    }

    /// # Errors
    /// `RuntimeError` before `__init__` has run.
    #[inline]
    pub(crate) fn check_initialized(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.with(py, |state| matches!(state.home, Home::None)) {
            return Err(fresh::error::<PyRuntimeError>("Future object is not initialized."));
        }
        Ok(())
    }

    /// Whether `event_loop` is this future's loop.
    pub(crate) fn lives_on(&self, py: Python<'_>, event_loop: *mut ffi::PyObject) -> bool {
        self.state.with(py, |state| {
            state.home.object().is_some_and(|object| object.as_ptr() == event_loop)
        })
    }

    /// In a loop's debug mode, remembers where the future was made.
    pub(crate) fn remember_source(
        &self,
        py: Python<'_>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if let Some(stack) = stack_in_debug_mode(event_loop)? {
            drop(
                self.state.with(py, |state| {
                    state.set_rare(|rare| &mut rare.source_traceback, Some(stack))
                }),
            );
        }
        Ok(())
    }

    /// Ends the future and hands its callbacks to the loop.
    ///
    /// # Errors
    /// `InvalidStateError` if it has ended before; what the loop's `call_soon` raises; `MemoryError`, and
    /// then nothing has changed.
    pub(crate) fn finish(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        let py = slf.py();
        slf.get().reserve_calls(py, 0)?;
        let ended = slf.get().state.with(py, |state| state.end(py, outcome));
        let (links, displaced) = match ended {
            Ok(ended) => ended,
            Err(refused) => {
                attached(py, || drop(refused));
                return Err(invalid_state(py, "invalid state"));
            }
        };
        for displaced in displaced {
            displaced.drop_ref(py);
        }
        match links {
            Links::None => Ok(()),
            Links::One(link) => Self::call_back(slf, link),
            Links::Many(links) => {
                attached(py, || links.into_iter().try_for_each(|link| Self::call_back(slf, link)))
            }
        }
    }

    /// Makes sure that a native loop has room for the future's callbacks, and for `more`.
    #[inline]
    pub(super) fn reserve_calls(&self, py: Python<'_>, more: usize) -> PyResult<()> {
        let room = self.state.with(py, |state| match (&state.home, state.links.len() + more) {
            (Home::None | Home::Foreign(_), _) | (_, 0) => Ok(()),
            (Home::Native(native), count) => {
                native.get().engine.with(py, |engine| engine.reserve(count))
            }
        });
        room.map_err(|_| no_memory(py))
    }

    /// Ends the future with an exception that Python code handed in.
    ///
    /// # Errors
    /// `TypeError` for anything but an exception; those of [`Future::finish`].
    pub(crate) fn finish_with_error(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_done(py) {
            return Err(invalid_state(py, "invalid state"));
        }
        // SAFETY: attached; only looks at the object's flags.
        let is_class = unsafe { ffi::PyExceptionClass_Check(exception.as_ptr()) != 0 };
        let exception = if is_class {
            let _level = Level::enter(py)?;
            exception.call0()?
        } else {
            exception.clone()
        };
        // SAFETY: as above.
        if unsafe { ffi::PyExceptionInstance_Check(exception.as_ptr()) == 0 } {
            return Err(fresh::error::<PyTypeError>("invalid exception object"));
        }
        if exception.is_instance_of::<PyStopIteration>() {
            const MESSAGE: &str =
                "StopIteration interacts badly with generators and cannot be raised into a Future";
            if exception.is_exact_instance_of::<PyStopIteration>() && refuses_stop(slf)? {
                return Err(fresh::error::<PyTypeError>(MESSAGE));
            }
            let error = fresh::error::<PyRuntimeError>(MESSAGE).into_value(py).into_bound(py);
            error.setattr(intern!(py, "__cause__"), &exception)?;
            error.setattr(intern!(py, "__context__"), &exception)?;
            return Self::finish(slf, Outcome::Exception(error.into_any().unbind()));
        }
        Self::finish(slf, Outcome::Exception(exception.unbind()))
    }

    /// `Future.cancel`: false if the future has ended already.
    pub(crate) fn cancel(slf: &Bound<'_, Self>, message: Option<Py<PyAny>>) -> PyResult<bool> {
        let py = slf.py();
        let pending = slf.get().state.with(py, |state| {
            state.log_traceback = false;
            state.phase == FuturePhase::Pending
        });
        if pending {
            Self::finish(slf, Outcome::Cancelled { message })?;
        }
        Ok(pending)
    }

    /// Calls `link` once the future ends, which may be the next turn.
    pub(crate) fn add_link(slf: &Bound<'_, Self>, link: Link) -> PyResult<()> {
        let py = slf.py();
        let (pending, link) = slf.get().state.with(py, |state| match state.phase {
            FuturePhase::Pending => (true, state.links.push(link).err()),
            _ => (false, Some(link)),
        });
        match link {
            None => Ok(()),
            Some(refused) if pending => taken(py, Err(refused)),
            Some(link) => {
                slf.get().reserve_calls(py, 1)?;
                Self::call_back(slf, link)
            }
        }
    }

    /// Who waits, at the moment.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn all_links(&self, py: Python<'_>) -> PyResult<Vec<Link>> {
        self.state
            .with(py, |state| copies(state.links.iter().map(|link| link.clone_ref(py))))
            .map_err(|_| no_memory(py))
    }

    /// Takes back a listener that has not been called; answers whether it was there.
    pub(crate) fn remove_listener(&self, py: Python<'_>, listener: &DoneListener) -> bool {
        let mut was_there = false;
        while let Some(link) = self.state.with(py, |state| state.links.take_listener(listener)) {
            was_there = true;
            drop(link);
        }
        was_there
    }

    /// Hands a waiter to the loop; a native one has room for it.
    fn call_back(slf: &Bound<'_, Self>, link: Link) -> PyResult<()> {
        let py = slf.py();
        let native = slf.get().state.with(py, |state| match &state.home {
            Home::Native(native) => Some(native.clone_ref(py)),
            _ => None,
        });
        if let Some(native) = native.map(|native| native.into_bound(py)) {
            let native = native.get();
            if !native.is_debug(py) {
                if let Err(error) = native.check_closed(py) {
                    attached(py, || drop(link));
                    return Err(error);
                }
                let future = slf.clone().into_any().unbind();
                native.push(
                    py,
                    match link {
                        Link::Call { callback, context } => {
                            Done { callback, future, context }.entry()
                        }
                        Link::Listener(listener) => listener.entry(future),
                    },
                );
                return Ok(());
            }
        }
        attached(py, || Self::call_back_by_method(slf, link))
    }

    /// The same by the loop's `call_soon`.
    fn call_back_by_method(slf: &Bound<'_, Self>, link: Link) -> PyResult<()> {
        let py = slf.py();
        let _level = Level::enter(py)?;
        let event_loop = slf.get().event_loop(py)?;
        let (callback, context) = link.into_call(py)?;
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "context"), context)?;
        event_loop.call_method(intern!(py, "call_soon"), (callback, slf), Some(&keywords))?;
        Ok(())
    }

    /// The outcome as `Future.result()` gives it.
    ///
    /// # Errors
    /// The exception that was set, `CancelledError`, or `InvalidStateError` while pending.
    pub(crate) fn result(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if !slf.get().has_no_result(py) {
            return Self::outcome(slf);
        }
        attached(py, || {
            Self::outcome(slf)
                .map_err(|error| raised(error.into_value(py).into_bound(py).into_any()))
        })
    }

    /// The same, with an error that is to be thrown into a coroutine: what is handled there is its context.
    fn outcome(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let (phase, result, exception, traceback) = slf.get().state.with(py, |state| {
            if state.phase == FuturePhase::Finished {
                state.log_traceback = false;
            }
            (
                state.phase,
                state.result.clone_ref(py),
                state.exception.clone_ref(py),
                state.set_rare(|rare| &mut rare.exception_traceback, None),
            )
        });
        match phase {
            FuturePhase::Cancelled => Err(Self::cancelled_error(slf)?),
            FuturePhase::Pending => Err(invalid_state(py, "Result is not set.")),
            FuturePhase::Finished => match exception {
                None => Ok(result.unwrap_or_else(|| py.None())),
                Some(exception) => Err(with_traceback(py, exception, traceback)),
            },
        }
    }

    /// The exception that the future has ended with, which counts as seen then.
    pub(crate) fn failure(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| {
            state.log_traceback = false;
            state.exception.clone_ref(py)
        })
    }

    /// Whether there is no result.
    #[inline]
    fn has_no_result(&self, py: Python<'_>) -> bool {
        self.state
            .with(py, |state| state.phase != FuturePhase::Finished || state.exception.is_some())
    }

    /// What a waiting task is to be woken with: an exception to throw, or nothing.
    pub(crate) fn error_for_waiter(slf: &Bound<'_, Self>) -> Option<PyErr> {
        let py = slf.py();
        if slf.get().has_no_result(py) { Self::outcome(slf).err() } else { None }
    }

    /// `_make_cancelled_error()` as an error: the one kept from the coroutine, once, or a new one.
    pub(crate) fn cancelled_error(slf: &Bound<'_, Self>) -> PyResult<PyErr> {
        let py = slf.py();
        let (kept, message) = slf.get().state.with(py, |state| {
            let kept = state.set_rare(|rare| &mut rare.cancelled_error, None);
            (kept, state.rare(py, |rare| &rare.cancel_message))
        });
        let error = match (kept, message) {
            (Some(kept), _) => kept,
            (None, None) => Standard::get(py)?.cancelled_error.call0(py)?,
            (None, Some(message)) => Standard::get(py)?.cancelled_error.call1(py, (message,))?,
        };
        Ok(PyErr::from_value(error.into_bound(py)))
    }

    /// Reports an exception that nobody looked at.
    pub(super) fn report_unretrieved(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (exception, source) = slf.get().state.with(py, |state| {
            state.log_traceback = false;
            (state.exception.clone_ref(py), state.rare(py, |rare| &rare.source_traceback))
        });
        let Some(exception) = exception else { return Ok(()) };
        let context = fresh::dict(py)?;
        let message =
            fresh::text(format_args!("{} exception was never retrieved", slf.get_type().name()?))?;
        context.set_item(intern!(py, "message"), Text(message))?;
        context.set_item(intern!(py, "exception"), exception)?;
        context.set_item(intern!(py, "future"), slf)?;
        if let Some(source) = source {
            context.set_item(intern!(py, "source_traceback"), source)?;
        }
        let event_loop = slf.get().event_loop(py)?;
        event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))?;
        Ok(())
    }
}

/// In a loop's debug mode, the calling Python code's stack: where an object of that loop is made.
///
/// # Errors
/// What a foreign loop's `get_debug` raises.
pub(crate) fn stack_in_debug_mode(event_loop: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let py = event_loop.py();
    let debug = if let Ok(native) = event_loop.cast::<Loop>() {
        native.get().is_debug(py)
    } else {
        let _level = Level::enter(py)?;
        event_loop.call_method0(intern!(py, "get_debug"))?.is_truthy()?
    };
    debug.then(|| Standard::get(py)?.extract_stack.call0(py)).transpose()
}

/// The exception with the traceback that it was set with, once, and with an empty one after:
/// what raising it adds must not pile up.
fn with_traceback(py: Python<'_>, exception: Py<PyAny>, traceback: Option<Py<PyAny>>) -> PyErr {
    let traceback = traceback.unwrap_or_else(|| py.None());
    // SAFETY: attached; the exception is one, and the traceback came from it or is None. A
    // failure leaves the exception with the traceback that it has.
    unsafe { ffi::PyException_SetTraceback(exception.as_ptr(), traceback.as_ptr()) };
    PyErr::from_value(exception.into_bound(py))
}

impl Deallocate for Future {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.log_traceback)
    }

    fn last_words(slf: &Bound<'_, Self>) {
        if let Err(error) = Self::report_unretrieved(slf) {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
    }

    unsafe fn shelve(slf: &Bound<'_, Self>) -> bool {
        // SAFETY: the caller's promise is the same.
        unsafe { shelf::put(slf) }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: futures and tasks have a dictionary.
        unsafe { instance_dict::strip(slf) };
    }
}

impl Shelved for Future {
    has_shelf!();

    fn blank(slf: &Bound<'_, Self>) {
        let py = slf.py();
        // SAFETY: futures and tasks have a dictionary.
        unsafe { instance_dict::strip(slf) };
        slf.get().state.replace(py, State::new(Home::None)).release(py);
    }
}

pub(super) static VALUE_OFFSET: ValueOffset = ValueOffset::new();

/// Whether the standard `set_exception` raises for a `StopIteration`. Where it does not, the future ends
/// with an error in its place: 3.13 began with that, and later patch releases before it took it over.
fn refuses_stop(future: &Bound<'_, Future>) -> PyResult<bool> {
    let py = future.py();
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "loop"), future.get().event_loop(py)?)?;
    let standard = Standard::get(py)?.future.bind(py).call((), Some(&keywords))?;
    let stop = PyStopIteration::new_err(()).into_value(py);
    match standard.call_method1(intern!(py, "set_exception"), (stop,)) {
        // An error that has been looked at is not reported.
        Ok(_) => standard.call_method0(intern!(py, "exception")).map(|_| false),
        Err(error) if error.is_instance_of::<PyTypeError>(py) => Ok(true),
        Err(error) => Err(error),
    }
}
