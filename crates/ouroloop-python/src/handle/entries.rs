//! Callbacks as entries of the loop's queue.

use ouroloop::clock::Nanos;
use ouroloop::ready::Place;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::{Handle, Scheduled};
use crate::event_loop::Loop;
use crate::turn::{Entry, KindOf, Placed, Subject, Watched, Work};

/// A callback whose handle the loop owns.
#[derive(Debug)]
pub(crate) struct Call(pub(crate) Py<Handle>);

/// What was cancelled in the queue.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Work for Call {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Call> = KindOf::new("handle.call").watched();
        &KIND
    }

    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        Handle::run(self.0.bind(event_loop.py()))
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(Subject::Object(self.0.clone_ref(py).into_any()))
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl Watched for Call {
    fn again(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }
}

/// What `call_soon` and its kin schedule.
impl Work for Scheduled {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Scheduled> = KindOf::new("handle.soon").placed();
        &KIND
    }

    #[inline]
    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        self.call(event_loop)
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(match self.callback(py) {
            Some(callback) => Subject::Object(callback),
            None => Subject::Name(""),
        })
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.traverse(visit)
    }
}

impl Placed for Scheduled {
    #[inline]
    fn due(&mut self, place: Place, deadline: Nanos) {
        self.move_to(place, deadline);
    }

    #[inline]
    fn leave(&mut self) -> Option<Entry> {
        if self.is_held() { self.let_go().map(|handle| Call(handle).entry()) } else { None }
    }
}

impl Work for Nothing {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Nothing> = KindOf::new("handle.nothing");
        &KIND
    }

    fn run(self, _: &Bound<'_, Loop>) -> PyResult<()> {
        Ok(())
    }

    fn subject(&self, _: Python<'_>) -> Option<Subject> {
        None
    }

    fn visit(&self, _: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}
