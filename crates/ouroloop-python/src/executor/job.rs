//! What a thread of the default executor does, and how the outcome gets to the loop.
//!
//! A [`Call`]'s future is the loop's: it is looked at and ended in the loop's thread alone, but for
//! one look when the job's turn comes, attached: if it has been cancelled by then, nothing is
//! called. The outcome goes through the loop's ready queue.

use ouroloop::interrupt::InterruptDescriptor;
use ouroloop::waker::Waker;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::entries::Settle;
use crate::context::run_in;
use crate::future::{Future, FuturePhase, Home, Outcome};
use crate::standard::exception_of;
use crate::turn::Work as _;

/// One job.
#[derive(Debug)]
pub(crate) enum Job {
    /// What a native loop was asked to have called.
    Call(Call, Py<Future>),
    /// A work item of the standard class's `submit`.
    Item(Py<PyAny>),
}

/// A function and its arguments.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: Py<PyAny>,
    pub(crate) arguments: Py<PyTuple>,
    pub(crate) keywords: Option<Py<PyDict>>,
    /// The context to call it in, if not that of the thread.
    pub(crate) context: Option<Py<PyAny>>,
}

impl Call {
    fn make(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let keywords = self.keywords.as_ref().map(|keywords| keywords.bind(py));
        let call = || self.function.bind(py).call(self.arguments.bind(py), keywords);
        let answer = match &self.context {
            Some(context) => run_in(py, context, call),
            None => call(),
        };
        answer.map(Bound::unbind)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.function)?;
        visit.call(&self.arguments)?;
        visit.call(&self.keywords)?;
        visit.call(&self.context)
    }
}

/// By which the loop is to be woken, once this thread is detached.
pub(super) type Wake = Waker<InterruptDescriptor>;

impl Job {
    /// Does the job; answers how to tell the loop. A work item has its own ways.
    ///
    /// # Errors
    /// Those of a work item that does not keep them.
    pub(super) fn run(
        self,
        py: Python<'_>,
        item_arguments: &Bound<'_, PyTuple>,
    ) -> PyResult<Option<Wake>> {
        let (call, future) = match self {
            Self::Item(item) => {
                let run = item.bind(py).getattr(intern!(py, "run"))?;
                run.call1(item_arguments)?;
                return Ok(None);
            }
            Self::Call(call, future) => (call, future),
        };
        if future.get().phase(py) == FuturePhase::Cancelled {
            return Ok(None);
        }
        let outcome = match call.make(py) {
            Ok(result) => Outcome::Result(result),
            Err(error) => Outcome::Exception(exception_of(py, &error).into_any().unbind()),
        };
        Ok(hand_over(py, future, outcome))
    }

    /// Gives the job up: its future is cancelled, in the loop's thread.
    pub(super) fn cancel(self, py: Python<'_>) {
        if let Self::Call(_, future) = self
            && let Some(wake) = hand_over(py, future, Outcome::Cancelled { message: None })
        {
            wake.wake();
        }
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Call(call, future) => {
                call.visit(visit)?;
                visit.call(future)
            }
            Self::Item(item) => visit.call(item),
        }
    }
}

/// Gives the loop an outcome, which an open loop alone wants to know.
fn hand_over(py: Python<'_>, future: Py<Future>, outcome: Outcome) -> Option<Wake> {
    let event_loop = future.get().state.with(py, |state| match &state.home {
        Home::Native(event_loop) => Some(event_loop.clone_ref(py)),
        _ => None,
    })?;
    let event_loop = event_loop.get();
    if event_loop.is_closed(py) {
        return None;
    }
    event_loop.push(py, Settle(future, outcome).entry());
    Some(event_loop.waker())
}
