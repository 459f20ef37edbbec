//! One wait for a descriptor of the user's to become ready.
//!
//! | the wait | the engine's table | its future |
//! | --- | --- | --- |
//! | has begun | `Ready(future)`, watched once | pending |
//! | is over: the descriptor is ready | nothing | done |
//! | was cancelled, or its body closed | the same entry until the wait is dropped | any |
//! | was replaced: by another wait, `add_reader`, `remove_reader` … | somebody else's, or nothing | pending for ever, as under asyncio |
//!
//! The future's end only says that it is worth trying again. What there is to read is read by the
//! task that asked for it, in its own step: a task that is cancelled before that has lost nothing.

use std::os::fd::RawFd;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::errors::os_error::os_error;
use crate::future::iter::await_step;
use crate::future::{Future, Ready};
use crate::handle::{Handle, HandleCall};
use crate::native::slots::Resumed;
use crate::turn::Loop;
use crate::turn::{Entry, Work as _};

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// A wait that has begun; dropping it ends the watch, unless that is somebody else's by now.
#[derive(Debug)]
pub(crate) struct DescriptorWait {
    event_loop: Py<Loop>,
    fd: RawFd,
    direction: Direction,
    future: Py<Future>,
}

impl DescriptorWait {
    /// Waits for descriptor `fd`, in place of whoever did so before.
    ///
    /// # Errors
    /// `ValueError` for a negative number, `RuntimeError` for a descriptor that a transport uses
    /// and on a closed loop; the kernel's refusal to watch it.
    pub(in crate::event_loop) fn begin(
        event_loop: &Bound<'_, Loop>,
        fd: RawFd,
        direction: Direction,
    ) -> PyResult<Self> {
        Loop::check_unused(event_loop, fd, || Ok(fd.to_string()))?;
        Self::begin_beside_transport(event_loop, fd, direction)
    }

    /// The same for a descriptor of a transport, by the transport's consent.
    ///
    /// # Errors
    /// As above.
    pub(in crate::event_loop) fn begin_beside_transport(
        event_loop: &Bound<'_, Loop>,
        fd: RawFd,
        direction: Direction,
    ) -> PyResult<Self> {
        let py = event_loop.py();
        event_loop.get().check_closed(py)?;
        let future = Future::create(event_loop)?.unbind();
        let entry = Ready(future.clone_ref(py)).entry();
        let watched = event_loop.get().engine.with(py, |engine| match direction {
            Direction::Read => engine.set_reader_once(fd, entry),
            Direction::Write => engine.set_writer_once(fd, entry),
        });
        let before = watched.map_err(|refused| os_error(py, &refused.error))?;
        let wait = Self { event_loop: event_loop.clone().unbind(), fd, direction, future };
        if let Some(Ok(HandleCall(before))) = before.map(Entry::take::<HandleCall>) {
            Handle::cancel_now(before.bind(py))?;
        }
        Ok(wait)
    }

    /// A step of the wait: it yields the future, or returns once the descriptor is ready.
    #[inline]
    pub(in crate::event_loop) fn step(&self, py: Python<'_>) -> Resumed {
        await_step(self.future.bind(py))
    }

    /// What there is to await.
    pub(in crate::event_loop) fn future(&self, py: Python<'_>) -> Py<PyAny> {
        self.future.clone_ref(py).into_any()
    }

    /// Shows the garbage collector what the wait holds.
    pub(in crate::event_loop) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.future)
    }
}

impl Drop for DescriptorWait {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            let cleared = self.event_loop.bind(py).get().engine.with(py, |engine| {
                let (reader, writer) = engine.watched(self.fd);
                let watched = match self.direction {
                    Direction::Read => reader,
                    Direction::Write => writer,
                };
                let ours = watched.and_then(|entry| entry.get::<Ready>());
                if !ours.is_some_and(|ready| ready.0.is(&self.future)) {
                    return None;
                }
                match self.direction {
                    Direction::Read => engine.clear_reader(self.fd),
                    Direction::Write => engine.clear_writer(self.fd),
                }
            });
            drop(cleared);
        });
    }
}
