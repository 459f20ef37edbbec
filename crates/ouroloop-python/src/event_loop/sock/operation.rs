//! The body of `sock_recv` and its kin: try, wait only if that would block, try again.
//!
//! | `wait` | it is | a step |
//! | --- | --- | --- |
//! | none | not begun | checks the socket and tries |
//! | some | waiting for the descriptor | tries again when it is ready; an error ends it |

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::refused::{check_non_blocking, refuse_ssl_socket};
use super::socket::{descriptor, is_plain};
use super::wait::{DescriptorWait, Direction};
use crate::coroutine::{Body, Coroutine, Incoming};
use crate::native::slots::Resumed;
use crate::turn::Loop;

/// What is tried on a socket.
pub(super) trait Attempt {
    /// What to wait for when it would block.
    const DIRECTION: Direction;

    /// Tries; `None` when it would block.
    ///
    /// # Errors
    /// What the method raises.
    fn attempt<'py>(
        &mut self,
        event_loop: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>>;

    /// Shows the garbage collector what it holds.
    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

/// An attempt with the socket that it is made on.
pub(super) struct Operation<A> {
    event_loop: Py<Loop>,
    socket: Py<PyAny>,
    attempt: A,
    wait: Option<DescriptorWait>,
}

impl<A: Attempt + 'static> Operation<A> {
    /// A coroutine called `name` that has not started.
    #[inline]
    pub(super) fn coroutine<'py>(
        event_loop: &Bound<'py, Loop>,
        name: &'static str,
        socket: Py<PyAny>,
        attempt: A,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let py = event_loop.py();
        let event_loop = event_loop.clone().unbind();
        Coroutine::of(py, name, Self { event_loop, socket, attempt, wait: None })
    }

    fn advance(&mut self, py: Python<'_>) -> PyResult<Resumed> {
        let (event_loop, socket) = (self.event_loop.bind(py), self.socket.bind(py));
        event_loop.get().expect_answer(py);
        if let Some(result) = self.attempt.attempt(event_loop, socket)? {
            return Ok(Resumed::Returned(result.unbind()));
        }
        let wait = DescriptorWait::begin(event_loop, descriptor(socket)?, A::DIRECTION)?;
        let resumed = wait.step(py);
        self.wait = Some(wait);
        Ok(resumed)
    }
}

impl<A: Attempt + 'static> Body for Operation<A> {
    #[inline]
    fn step(&mut self, py: Python<'_>, incoming: Incoming<'_>) -> Resumed {
        if let Some(wait) = &self.wait {
            let resumed = match incoming {
                Ok(_) => wait.step(py),
                Err(error) => Resumed::Raised(error),
            };
            if matches!(resumed, Resumed::Yielded(_)) {
                return resumed;
            }
            self.wait = None;
            if matches!(resumed, Resumed::Raised(_)) {
                return resumed;
            }
        } else if let Err(error) = check(self.event_loop.bind(py), self.socket.bind(py)) {
            return Resumed::Raised(error);
        }
        self.advance(py).unwrap_or_else(Resumed::Raised)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.socket)?;
        self.attempt.visit(visit)?;
        self.wait.as_ref().map_or(Ok(()), |wait| wait.visit(visit))
    }

    fn awaited(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.wait.as_ref().map(|wait| wait.future(py))
    }
}

/// What asyncio wants of a socket before anything is done with it.
///
/// # Errors
/// `TypeError` for a socket of the module `ssl`; in debug mode `ValueError` for a blocking one;
/// `RuntimeError` in a child of the process that made the loop.
#[inline]
pub(super) fn check(event_loop: &Bound<'_, Loop>, socket: &Bound<'_, PyAny>) -> PyResult<()> {
    event_loop.get().act_for(socket.py())?;
    if !is_plain(socket)? {
        refuse_ssl_socket(socket)?;
    }
    check_non_blocking(event_loop, socket)
}
