//! `wait_for` as `async with timeout(…): return await …`, without a task for a coroutine.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::combine::cancel_and_wait::without_time;
use crate::combine::delay::is_positive;
use crate::combine::timeout::{Timeout, When, task_of};
use crate::coroutine::{Body, Incoming, async_body, iterator_of, step_into};
use crate::native::slots::Resumed;
use crate::standard::exception_of;
use crate::waiting::running_loop;

pub(super) enum WaitFor {
    Fresh {
        awaitable: Py<PyAny>,
        delay: Py<PyAny>,
    },
    /// Inside the block; `None` stands for a time-out that never comes.
    Inside {
        iterator: Py<PyAny>,
        timeout: Option<Py<Timeout>>,
    },
    /// There was no time to wait.
    Expired(Box<dyn Body>),
    Over,
}

impl WaitFor {
    pub(super) fn new(awaitable: Py<PyAny>, delay: Py<PyAny>) -> Self {
        Self::Fresh { awaitable, delay }
    }

    fn begin(
        &mut self,
        py: Python<'_>,
        awaitable: Py<PyAny>,
        delay: &Bound<'_, PyAny>,
    ) -> PyResult<Resumed> {
        if !delay.is_none() && !is_positive(delay)? {
            let mut body = async_body(py, |scope| without_time(scope, awaitable))?;
            let resumed = body.step(py, Ok(py.None().into_bound(py)));
            *self = Self::Expired(body);
            return Ok(resumed);
        }
        let event_loop = running_loop(py)?;
        let timeout = if delay.is_none() {
            task_of(&event_loop)?;
            None
        } else {
            let timeout = Timeout::create(py, When::after(&event_loop, delay)?)?;
            Timeout::enter(&timeout, &event_loop)?;
            Some(timeout.unbind())
        };
        Ok(match iterator_of(awaitable.bind(py)) {
            Ok(iterator) => {
                drop(awaitable);
                let none = py.None().into_bound(py);
                self.advance(py, iterator.unbind(), timeout, Ok(none))
            }
            Err(error) => leave(py, timeout, Resumed::Raised(error)),
        })
    }

    #[inline]
    fn advance(
        &mut self,
        py: Python<'_>,
        iterator: Py<PyAny>,
        timeout: Option<Py<Timeout>>,
        incoming: Incoming<'_>,
    ) -> Resumed {
        let resumed = step_into(iterator.bind(py), incoming);
        if matches!(resumed, Resumed::Yielded(_)) {
            *self = Self::Inside { iterator, timeout };
            return resumed;
        }
        leave(py, timeout, resumed)
    }
}

/// Leaves the block with what `await` has come to.
fn leave(py: Python<'_>, timeout: Option<Py<Timeout>>, outcome: Resumed) -> Resumed {
    let Some(timeout) = timeout else { return outcome };
    let timeout = timeout.bind(py);
    let left = match &outcome {
        Resumed::Raised(error) => {
            let exception = exception_of(py, error);
            Timeout::exit(timeout, Some((&exception.get_type(), Some(exception.as_any()))))
        }
        _ => Timeout::exit(timeout, None),
    };
    match left {
        Ok(()) => outcome,
        Err(error) => Resumed::Raised(error),
    }
}

impl Body for WaitFor {
    #[inline]
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        match std::mem::replace(self, Self::Over) {
            Self::Fresh { awaitable, delay } => {
                self.begin(py, awaitable, delay.bind(py)).unwrap_or_else(Resumed::Raised)
            }
            Self::Inside { iterator, timeout } => self.advance(py, iterator, timeout, incoming),
            Self::Expired(mut body) => {
                let resumed = body.step(py, incoming);
                *self = Self::Expired(body);
                resumed
            }
            Self::Over => unreachable!("a body is not stepped after its end"),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Fresh { awaitable, delay } => {
                visit.call(awaitable)?;
                visit.call(delay)
            }
            Self::Inside { iterator, timeout } => {
                visit.call(iterator)?;
                visit.call(timeout)
            }
            Self::Expired(body) => body.visit(visit),
            Self::Over => Ok(()),
        }
    }

    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self {
            Self::Inside { iterator, .. } => Some(iterator.clone_ref(py)),
            Self::Expired(body) => body.awaited(py),
            Self::Fresh { .. } | Self::Over => None,
        }
    }

    fn within(&self) -> Option<&'static str> {
        matches!(self, Self::Expired(_)).then_some("_cancel_and_wait")
    }
}
