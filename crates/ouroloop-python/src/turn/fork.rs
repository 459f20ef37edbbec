//! A loop in a forked child: its copy of the parent's, with which it may do nothing but let go, or run it.
//!
//! A loop that did not run when the process forked is the child's own as soon as the child runs it, or does
//! something by it ([`Loop::act_for`]), with its callbacks, timers, transports and servers. The engine
//! sees to the kernel objects that both processes share ([`ouroloop::fork`]). On top of that, until then, and for
//! good if the loop ran at the fork:
//!
//! 1. A loop that ran does not run again, and stops where it is if one of its callbacks made the fork. An exception
//!    by which the child leaves it (`sys.exit` in a task) goes on to whoever runs the loop, whatever
//!    is asked of the loop on its way: `asyncio.run` would have it finish its work first.
//! 2. Transports neither send nor shut down; what was written before the fork is the parent's to
//!    send. A TLS session goes no further: its next record is the parent's, too.
//! 3. Processes are the parent's children: the child neither signals nor reaps them.
//! 4. Calls on the user's own sockets are refused before they are tried.
//! 5. Servers leave their socket files where they are, loops the child's own signal handlers; a loop that is closed
//!    gives the other signals their usual meaning back.
//! 6. Whatever goes closes its descriptors, without a `ResourceWarning`: they are not the child's
//!    to look after.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::event_loop::{Loop, LoopPhase};
use super::signals::Signals;
use crate::errors::handled::handled;
use crate::errors::os_error::os_error;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::standard::exception_of;

impl Loop {
    /// Whether the loop was made by a process from which this one was forked.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        !self.owner.is_current()
    }

    /// Makes the loop this process's own if it did not run when this one was forked: a program that becomes
    /// a daemon, or forks its workers, has often made its loop before.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn take_over(&self, py: Python<'_>) -> PyResult<()> {
        let may = self.is_inherited()
            && self
                .state
                .with(py, |state| state.phase == LoopPhase::Stopped && !state.was_left_in_a_run);
        if may {
            let taken = self.mechanism.create().and_then(|multiplexer| {
                self.state
                    .with(py, |state| state.signals.as_mut().map_or(Ok(()), Signals::take_over))?;
                self.engine.with(py, |engine| engine.take_over(multiplexer))
            });
            match taken {
                Ok(()) => {
                    self.holder.take_over();
                    self.owner.take_over();
                    self.attach_handlers(py)?;
                }
                // The kernel's, or the engine's own: then the loop stays the parent's.
                Err(error) if error.raw_os_error().is_some() => return Err(os_error(py, &error)),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether this process may act for the loop: by one that it has inherited if that can be taken over, as it is now.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn may_act(&self, py: Python<'_>) -> PyResult<bool> {
        if self.is_inherited() {
            self.take_over(py)?;
        }
        Ok(!self.is_inherited())
    }

    /// Has this process act for the loop from now on.
    ///
    /// # Errors
    /// `RuntimeError` in a child that was forked while the loop ran; the kernel's.
    #[inline]
    pub(crate) fn act_for(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_inherited() || self.may_act(py)? { Ok(()) } else { Err(inherited()) }
    }

    /// As [`Loop::act_for`], for running: while the exception is handled by which the child
    /// left the loop, that is what is raised again.
    pub(crate) fn refuse_to_run_inherited(&self, py: Python<'_>) -> PyResult<()> {
        if self.may_act(py)? {
            return Ok(());
        }
        let left_by = self.state.with(py, |state| state.left_by.clone_ref(py));
        Err(match (left_by, handled(py)) {
            (Some(left_by), Some(handled)) if handled.is(&left_by) => PyErr::from_value(handled),
            _ => inherited(),
        })
    }

    /// While a child is on its way out nobody awaits the coroutine that was made for the loop to run,
    /// and none of them is worth a warning.
    pub(crate) fn discard_on_leaving(&self, error: &PyErr, coroutine: &Bound<'_, PyAny>) {
        let py = coroutine.py();
        let leaving = self
            .state
            .with(py, |state| state.left_by.as_ref().is_some_and(|it| it.is(error.value(py))));
        if leaving
            && let Ok(Some(close)) = coroutine.getattr_opt(intern!(py, "close"))
            && let Err(error) = close.call0()
        {
            error.write_unraisable(py, Some(coroutine));
        }
    }

    /// Remembers by which exception the child leaves the loop, if this is a child.
    pub(crate) fn note_leaving(&self, py: Python<'_>, error: &PyErr) {
        if self.is_inherited() {
            let error = exception_of(py, error).into_any().unbind();
            drop(self.state.with(py, |state| state.left_by.replace(error)));
        }
    }
}

#[cold]
fn inherited() -> PyErr {
    let message = "This event loop belongs to the parent process; a forked child needs \
                   an event loop of its own";
    fresh::error::<PyRuntimeError>(message)
}
