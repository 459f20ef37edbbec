//! What becomes of futures, as entries of the loop's queue.

use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::listen::Listener;
use super::{Future, Outcome};
use crate::context::{copy_current, run_in};
use crate::event_loop::Loop;
use crate::handle::report_call;
use crate::turn::{KindOf, Subject, Watched, Work};

/// A future's done callback.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) callback: Py<PyAny>,
    pub(crate) future: Py<PyAny>,
    pub(crate) context: Py<PyAny>,
}

/// A step of a task of the standard library's own: the callable by which it steps.
#[derive(Debug)]
pub(crate) struct Bare {
    pub(crate) callback: Py<PyAny>,
    pub(crate) context: Py<PyAny>,
}

/// A native object is to hear that a future has ended.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) Listener, pub(crate) Py<PyAny>);

/// A sleep is over: its future gets this result unless it is done.
#[derive(Debug)]
pub(crate) struct Expire(pub(crate) Py<Future>, pub(crate) Py<PyAny>);

/// The descriptor that this future waits for is ready.
#[derive(Debug)]
pub(crate) struct Ready(pub(crate) Py<Future>);

impl Work for Done {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Done> = KindOf::new("future.done");
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        let Self { callback, future, context } = self;
        // SAFETY: attached; both objects are alive.
        let answer = run_in(py, &context, || unsafe {
            let answer = ffi::PyObject_CallOneArg(callback.as_ptr(), future.as_ptr());
            Bound::from_owned_ptr_or_err(py, answer).map(drop)
        });
        answer.or_else(|error| report_call(event_loop, callback, Some(future), context, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.callback.clone_ref(py)))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.callback)?;
        visit.call(&self.future)?;
        visit.call(&self.context)
    }
}

impl Work for Bare {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Bare> = KindOf::new("future.bare");
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        let Self { callback, context } = self;
        // SAFETY: attached; the object is alive.
        let answer = run_in(py, &context, || unsafe {
            let answer = ffi::PyObject_CallNoArgs(callback.as_ptr());
            Bound::from_owned_ptr_or_err(py, answer).map(drop)
        });
        answer.or_else(|error| report_call(event_loop, callback, None, context, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.callback.clone_ref(py)))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.callback)?;
        visit.call(&self.context)
    }
}

impl Work for Ended {
    /// No code of the user's runs here that could ask for the current task.
    const LEAVES_TASK: bool = false;

    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Ended> = KindOf::new("future.ended");
        &KIND
    }

    #[inline]
    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let Self(listener, future) = self;
        listener
            .hear(future.bind(event_loop.py()))
            .or_else(|error| report_ended(event_loop, &listener, future, error))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(self.0.subject(py))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.visit(visit)?;
        visit.call(&self.1)
    }
}

impl Work for Expire {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Expire> = KindOf::new("future.expire");
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        finish_unless_done(self.0.bind(event_loop.py()), self.1)
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)?;
        visit.call(&self.1)
    }
}

impl Work for Ready {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Ready> = KindOf::new("future.ready").watched();
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        finish_unless_done(self.0.bind(py), py.None())
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Watched for Ready {
    fn again(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }
}

fn finish_unless_done(future: &Bound<'_, Future>, result: Py<PyAny>) -> PyResult<()> {
    if future.get().is_done(future.py()) {
        return Ok(());
    }
    Future::finish(future, Outcome::Result(result))
}

#[cold]
fn report_ended(
    event_loop: &Bound<'_, Loop>,
    listener: &Listener,
    future: Py<PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = event_loop.py();
    Loop::leave_task(event_loop)?;
    let callback = listener.callable(py)?.unbind();
    report_call(event_loop, callback, Some(future), copy_current(py)?, error)
}
