//! Done callbacks as entries of the loop's queue.

use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::context::run_in;
use crate::handle::report_call;
use crate::turn::{KindOf, Loop, Subject, Work};

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

impl Work for Done {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Done> = KindOf::new("future.done");
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        let (callback, future) = (self.callback.into_bound(py), self.future.into_bound(py));
        let context = self.context.into_bound(py);
        // SAFETY: attached; both objects are alive.
        let answer = run_in(py, context.as_unbound(), || unsafe {
            let answer = ffi::PyObject_CallOneArg(callback.as_ptr(), future.as_ptr());
            Bound::from_owned_ptr_or_err(py, answer).map(drop)
        });
        answer.or_else(|error| {
            let arguments = Some(future.unbind());
            report_call(event_loop, callback.unbind(), arguments, context.unbind(), error)
        })
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
        let (callback, context) = (self.callback.into_bound(py), self.context.into_bound(py));
        // SAFETY: attached; the object is alive.
        let answer = run_in(py, context.as_unbound(), || unsafe {
            let answer = ffi::PyObject_CallNoArgs(callback.as_ptr());
            Bound::from_owned_ptr_or_err(py, answer).map(drop)
        });
        answer.or_else(|error| {
            report_call(event_loop, callback.unbind(), None, context.unbind(), error)
        })
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.callback.clone_ref(py)))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.callback)?;
        visit.call(&self.context)
    }
}
