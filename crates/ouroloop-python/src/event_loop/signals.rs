//! Signals: they wake the loop, and their handlers run as callbacks.
//!
//! The interpreter writes the number of each signal that arrives into a pipe of the loop's, as
//! long as the loop runs in the main thread or has handlers. The pipe does two things:
//!
//! 1. A signal that arrives during the wait interrupts it by itself; one that arrives just before
//!    would be noticed only after it. The pipe, which the multiplexer watches, closes that gap.
//! 2. The numbers in it say which handlers of `add_signal_handler` to call, also for signals that
//!    arrived before the loop ran.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyOSError, PyResourceWarning, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use super::{Loop, debug};
use crate::handle::{Handle, HandleCall, confine};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::standard::warner;
use crate::turn::signals::{Handler, Signals, is_main_thread};
use crate::turn::{KindOf, Subject, Watched, Work, wakeup};
use crate::waiting::running_loop;

/// What a signal with a handler of ours does in the interpreter: the pipe has its number, and the running loop
/// looks there in the next turn.
#[pyfunction]
#[pyo3(name = "_sighandler_noop")]
fn note_arrival(signum: &Bound<'_, PyAny>, frame: &Bound<'_, PyAny>) {
    let _ = frame;
    if let Ok(running) = running_loop(signum.py())
        && let Ok(running) = running.cast::<Loop>()
    {
        running.get().expect_answer(signum.py());
    }
}

#[pymethods]
impl Loop {
    /// Calls `callback(*args)` in the loop whenever the signal `sig` arrives. Main thread only.
    #[pyo3(signature = (sig, callback, *args))]
    fn add_signal_handler(
        slf: &Bound<'_, Self>,
        sig: &Bound<'_, PyAny>,
        callback: Py<PyAny>,
        args: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let py = slf.py();
        debug::refuse_coroutine(callback.bind(py), "add_signal_handler")?;
        let number = checked_signal(sig)?;
        slf.get().check_closed(py)?;
        slf.get().take_over(py)?;
        let (_, write) = Self::signal_pipe(slf)?;
        if let Err(error) = wakeup::lend(py, write) {
            let refused =
                error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyOSError>(py);
            return Err(if refused {
                PyRuntimeError::new_err(error.value(py).str()?.unbind())
            } else {
                error
            });
        }
        let handle = Self::make_handle(slf, callback.into_bound(py), args.clone(), None)?.unbind();
        // Another one each time, by which it is known whose it is.
        let arrival = wrap_pyfunction!(note_arrival, py)?.into_any();
        let handler = Handler { handle: handle.into_any(), arrival: arrival.clone().unbind() };
        slf.get().forget_arrived(py);
        let before = slf.get().state.with(py, |state| {
            let signals = state.signals.as_mut()?;
            signals.attached = true;
            signals.handlers.insert(number, handler)
        });
        drop(before);
        if let Err(error) = set_disposition(sig, &arrival, true) {
            let handler = Self::forget_handler(slf, number);
            drop(handler);
            Self::release_wakeup(slf)?;
            return Err(error);
        }
        Ok(())
    }

    /// Gives the signal its usual meaning back; answers whether there was a handler.
    fn remove_signal_handler(slf: &Bound<'_, Self>, sig: &Bound<'_, PyAny>) -> PyResult<bool> {
        let number = checked_signal(sig)?;
        let Some(handler) = Self::forget_handler(slf, number) else { return Ok(false) };
        drop(handler);
        set_usual_disposition(sig)?;
        Self::release_wakeup(slf)?;
        Ok(true)
    }
}

/// A signal's number.
fn checked_signal(signal: &Bound<'_, PyAny>) -> PyResult<i32> {
    let py = signal.py();
    let _level = Level::enter(py)?;
    if !signal.is_instance_of::<PyInt>() {
        let message = fresh::text(format_args!("sig must be an int, not {}", signal.repr()?))?;
        return Err(fresh::error::<PyTypeError>(message));
    }
    let valid = crate::interpreter::modules::module(py, intern!(py, "signal"))?
        .call_method0(intern!(py, "valid_signals"))?;
    if !valid.contains(signal)? {
        return Err(fresh::error_saying::<PyValueError>(format_args!(
            "invalid signal number {}",
            signal.str()?
        )));
    }
    signal.extract()
}

/// `signal.signal`, and with `restart` system calls that go on after the signal.
fn set_disposition(
    signal: &Bound<'_, PyAny>,
    handler: &Bound<'_, PyAny>,
    restart: bool,
) -> PyResult<()> {
    let py = signal.py();
    let module = crate::interpreter::modules::module(py, intern!(py, "signal"))?;
    let set = || -> PyResult<()> {
        module.call_method1(intern!(py, "signal"), (signal, handler))?;
        if restart {
            module.call_method1(intern!(py, "siginterrupt"), (signal, false))?;
        }
        Ok(())
    };
    set().map_err(|error| {
        let number = error.value(py).getattr(intern!(py, "errno")).and_then(|n| n.extract());
        if error.is_instance_of::<PyOSError>(py) && matches!(number, Ok(libc::EINVAL)) {
            let shown = signal.str().map_or_else(|_| String::new(), |text| text.to_string());
            return fresh::error::<PyRuntimeError>(format!("sig {shown} cannot be caught"));
        }
        error
    })
}

fn set_usual_disposition(signal: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = signal.py();
    let module = crate::interpreter::modules::module(py, intern!(py, "signal"))?;
    let usual = if signal.eq(module.getattr(intern!(py, "SIGINT"))?)? {
        intern!(py, "default_int_handler")
    } else {
        intern!(py, "SIG_DFL")
    };
    set_disposition(signal, &module.getattr(usual)?, false)
}

/// Gives the signals their usual meaning back, but those to which somebody has given another one since.
fn give_back(py: Python<'_>, handlers: HashMap<i32, Handler>) -> PyResult<()> {
    if handlers.is_empty() || is_finalizing(py)? || !is_main_thread(py)? {
        return Ok(());
    }
    let module = crate::interpreter::modules::module(py, intern!(py, "signal"))?;
    for (number, handler) in handlers {
        let number = number.into_pyobject(py)?.into_any();
        if module.call_method1(intern!(py, "getsignal"), (&number,))?.is(&handler.arrival) {
            set_usual_disposition(&number)?;
        }
    }
    Ok(())
}

fn is_finalizing(py: Python<'_>) -> PyResult<bool> {
    crate::interpreter::modules::module(py, intern!(py, "sys"))?
        .call_method0(intern!(py, "is_finalizing"))?
        .is_truthy()
}

/// A signal has arrived: its number waits in the loop's signal pipe.
#[derive(Debug)]
struct Signal;

impl Work for Signal {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Signal> = KindOf::new("loop.signal").watched();
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        confine(event_loop, event_loop, Loop::read_signals)
    }

    fn subject(&self, _: Python<'_>) -> Option<Subject> {
        Some(Subject::Name("<signal>"))
    }

    fn visit(&self, _: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}

impl Watched for Signal {
    fn again(&self, _: Python<'_>) -> Self {
        Self
    }
}

impl Loop {
    /// The pipe's ends, made when first needed: the reading and the writing one.
    fn signal_pipe(slf: &Bound<'_, Self>) -> PyResult<(RawFd, RawFd)> {
        let py = slf.py();
        let ends = |signals: &Signals| (signals.read.as_raw_fd(), signals.write.as_raw_fd());
        if let Some(known) = slf.get().state.with(py, |state| state.signals.as_ref().map(ends)) {
            return Ok(known);
        }
        let signals = Signals::new()?;
        let made = ends(&signals);
        slf.get().watch_readable(py, made.0, Signal)?;
        drop(slf.get().state.with(py, |state| state.signals.replace(signals)));
        Ok(made)
    }

    /// Has signals wake this loop while it runs in the main thread, unless somebody else has a
    /// wake-up descriptor.
    pub(super) fn attach_signals(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().has_signals_attached(py) {
            return Ok(());
        }
        if !is_main_thread(py)? {
            return Ok(());
        }
        let (_, write) = Self::signal_pipe(slf)?;
        slf.get().lend_pipe(py, write)
    }

    /// The loop no longer runs: signals are its business only if it has handlers.
    pub(super) fn detach_signals(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_inherited() {
            // The child's wake-up descriptor is not the parent's any more.
            return Ok(());
        }
        let write = slf.get().state.with(py, |state| {
            let signals = state.signals.as_mut()?;
            if !signals.handlers.is_empty() {
                return None;
            }
            std::mem::take(&mut signals.attached).then(|| signals.write.as_raw_fd())
        });
        let Some(write) = write else { return Ok(()) };
        let current = wakeup::take_back(py, -1)?;
        if current != write {
            // Somebody took it over during the run.
            wakeup::take_back(py, current)?;
        }
        Ok(())
    }

    /// After the last handler is gone, as [`Loop::detach_signals`] unless the loop runs.
    fn release_wakeup(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().is_running(slf.py()) {
            return Ok(());
        }
        Self::detach_signals(slf)
    }

    fn has_signals_attached(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.signals.as_ref().is_some_and(|signals| signals.attached))
    }

    fn forget_handler(slf: &Bound<'_, Self>, number: i32) -> Option<Handler> {
        slf.get().state.with(slf.py(), |state| state.signals.as_mut()?.handlers.remove(&number))
    }

    /// Signals that came while nobody had a handler were for nobody: asyncio has no pipe then.
    fn forget_arrived(&self, py: Python<'_>) {
        self.state.with(py, |state| {
            if let Some(signals) = state.signals.as_ref().filter(|it| it.handlers.is_empty()) {
                signals.arrived();
            }
        });
    }

    /// Empties the pipe and schedules the handlers of the signals in it.
    fn read_signals(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let arrived =
            slf.get().state.with(py, |state| state.signals.as_ref().map(Signals::arrived));
        for number in arrived.into_iter().flatten() {
            let handler = slf.get().state.with(py, |state| {
                let signals = state.signals.as_ref()?;
                signals.handlers.get(&number).map(|handler| handler.handle.clone_ref(py))
            });
            let Some(handler) = handler else { continue };
            let handler = handler.into_bound(py).cast_into::<Handle>()?;
            if handler.get().is_cancelled(py) {
                let number = number.into_pyobject(py)?.into_any();
                Self::remove_signal_handler(slf, &number)?;
            } else {
                slf.get().push(py, HandleCall(handler.unbind()).entry());
            }
        }
        Ok(())
    }

    /// Removes every handler of a loop that closes.
    pub(super) fn close_signals(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_inherited() {
            // What the child has done about signals since is its own affair; the pipe's ends are closed.
            let signals = slf.get().state.with(py, |state| state.signals.take());
            let handlers = signals.map(|signals| signals.handlers).unwrap_or_default();
            return give_back(py, handlers);
        }
        let numbers: Vec<i32> = slf.get().state.with(py, |state| {
            let handlers = state.signals.as_ref().map(|signals| signals.handlers.keys());
            handlers.into_iter().flatten().copied().collect()
        });
        let mut answer = Ok(());
        if !numbers.is_empty() && is_finalizing(py)? {
            let message = fresh::text(format_args!(
                "Closing the loop {} on interpreter shutdown stage, skipping signal handlers \
                 removal",
                slf.repr()?
            ))?;
            let keywords = fresh::dict(py)?;
            keywords.set_item(intern!(py, "source"), slf)?;
            let category = py.get_type::<PyResourceWarning>();
            warner(py)?.call((Text(message), category), Some(&keywords))?;
        } else {
            for number in numbers {
                let number = number.into_pyobject(py)?.into_any();
                answer = answer.and(Self::remove_signal_handler(slf, &number).map(drop));
            }
        }
        let signals = slf.get().state.with(py, |state| state.signals.take());
        if let Some(signals) = &signals {
            slf.get().unwatch_readable(py, signals.read.as_raw_fd());
        }
        drop(signals);
        answer
    }
}
