//! What transports on sockets have alike, be it streams or datagrams: an [`Endpoint`] between a loop,
//! a descriptor and a protocol.
//!
//! Who owns the descriptor, which states a transport knows and when what it is given leaves is
//! written where the kinds are, in `socket/` and `datagram/`.

use std::os::fd::{OwnedFd, RawFd};

use ouroloop::net::{Pressure, Watermarks};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::pyclass::PyClass;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyTuple;

use super::buffer_limits::BufferLimit;
use super::failure::{self, Step};
use super::unclosed::warn_unclosed;
use super::{descriptor, protocol};
use crate::context::copy_current;
use crate::errors::leaving::leaves_loop;
use crate::future::Future;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::standard::exception_of;
use crate::turn::{Loop, log_debug};
use crate::turn::{Watched, Work};

/// Who is told of a connection, by which method first, and in which context.
#[derive(Debug)]
pub(super) struct Told {
    protocol: Py<PyAny>,
    greeting: Py<PyAny>,
    context: Py<PyAny>,
}

impl Told {
    /// `protocol`, in a copy of the current context.
    ///
    /// # Errors
    /// What looking up `connection_made` raises: the protocol cannot be told of a connection.
    pub(super) fn of(protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = protocol.py();
        Ok(Self {
            protocol: protocol.clone().unbind(),
            greeting: protocol.getattr(intern!(py, "connection_made"))?.unbind(),
            context: copy_current(py)?,
        })
    }
}

/// The state that does not depend on the kind of socket.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(super) event_loop: Option<Py<Loop>>,
    pub(super) protocol: Option<Py<PyAny>>,
    /// In which protocol methods run when the loop calls them.
    pub(super) context: Py<PyAny>,
    /// The protocol's `connection_made`, until it is called.
    pub(super) greeting: Option<Py<PyAny>>,
    pub(super) waiter: Option<Py<Future>>,
    /// The Python socket that shares the descriptor, if there is one.
    pub(super) python_socket: Option<Py<PyAny>>,
    /// The descriptor's number, also after it was closed.
    pub(super) fd: RawFd,
    pub(super) marks: Watermarks,
    /// What `connection_lost` will be given.
    pub(super) error: Option<Py<PyAny>>,
    /// What was sent since the connection was lost, and the loss itself.
    pub(super) losses: u32,
    pub(super) watching_reads: bool,
    /// Readability is told by edges: it is a TCP socket, and each read has left room so far.
    pub(super) by_edges: bool,
    pub(super) watching_writes: bool,
    pub(super) paused: bool,
    pub(super) closing: bool,
    /// It stands in the loop's list of transports with something unsent.
    pub(super) unsent: bool,
}

impl Endpoint {
    pub(super) fn new(
        event_loop: &Bound<'_, Loop>,
        Told { protocol, greeting, context }: Told,
        waiter: Option<Py<Future>>,
        python_socket: Option<Py<PyAny>>,
        fd: RawFd,
    ) -> Self {
        Self {
            event_loop: Some(event_loop.clone().unbind()),
            protocol: Some(protocol),
            context,
            greeting: Some(greeting),
            waiter,
            python_socket,
            fd,
            marks: Watermarks::default(),
            error: None,
            losses: 0,
            watching_reads: false,
            by_edges: false,
            watching_writes: false,
            paused: false,
            closing: false,
            unsent: false,
        }
    }

    /// Whether the loop is the parent's, which this process was forked from.
    pub(super) fn is_inherited(&self) -> bool {
        self.event_loop.as_ref().is_some_and(|event_loop| event_loop.get().is_inherited())
    }

    /// From now on readability is told by levels: there may be more to read than was read.
    pub(super) fn read_by_levels(&mut self, py: Python<'_>) {
        if std::mem::take(&mut self.by_edges)
            && self.watching_reads
            && let Some(event_loop) = &self.event_loop
        {
            event_loop.get().engine.with(py, |engine| engine.level_reader(self.fd));
        }
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.protocol)?;
        visit.call(&self.context)?;
        visit.call(&self.greeting)?;
        visit.call(&self.waiter)?;
        visit.call(&self.python_socket)?;
        visit.call(&self.error)
    }

    /// What a cycle can go through; the socket stays, to be detached.
    pub(super) fn take_references(&mut self) -> impl Sized + use<> {
        let told = (self.protocol.take(), self.greeting.take(), self.waiter.take());
        (self.event_loop.take(), told, self.error.take())
    }
}

/// The state of a transport: its [`Endpoint`], and a socket of the engine's.
pub(crate) trait SocketState {
    /// What waits to be sent or delivered.
    type Backlog;

    fn endpoint(&mut self) -> &mut Endpoint;

    /// What waits to be sent, as the limits count it.
    fn queued(&self) -> usize;

    fn is_drained(&self) -> bool {
        self.queued() == 0
    }

    fn is_open(&self) -> bool;

    /// Gives up on what waits, which the caller drops.
    fn take_backlog(&mut self) -> Self::Backlog;

    /// Gives the descriptor up; `None` once it is closed.
    fn take_fd(&mut self) -> Option<OwnedFd>;
}

/// A transport on a socket.
pub(crate) trait SocketEnd: PyClass<Frozen = True> + Sync {
    type State: SocketState;
    type Readable: Watched;
    type Writable: Watched;
    type Lost: Work;

    fn state(&self) -> &AttachedCell<Self::State>;

    /// What the loop calls when the descriptor is readable.
    fn readable(slf: &Bound<'_, Self>) -> Self::Readable;

    /// What the loop calls when the descriptor is writable.
    fn writable(slf: &Bound<'_, Self>) -> Self::Writable;

    /// The last that the loop calls: `connection_lost`.
    fn lost(slf: &Bound<'_, Self>) -> Self::Lost;

    /// Sends what waits for the end of the turn: somebody is about to look.
    ///
    /// # Errors
    /// What the protocol raises that is told what came of it.
    fn flush_unsent(slf: &Bound<'_, Self>) -> PyResult<()>;

    #[inline]
    fn with<R>(&self, py: Python<'_>, access: impl FnOnce(&mut Endpoint) -> R) -> R {
        self.state().with(py, |state| access(state.endpoint()))
    }

    fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.with(py, |end| end.event_loop.clone_ref(py))
            .map(|event_loop| event_loop.into_bound(py))
    }

    fn protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with(py, |end| end.protocol.clone_ref(py))
    }

    /// Calls the protocol's `connection_made`; its error is that of a callback.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    fn greet(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (greeting, context) =
            slf.get().with(py, |end| (end.greeting.take(), end.context.clone_ref(py)));
        let (Some(greeting), Some(event_loop)) = (greeting, slf.get().event_loop(py)) else {
            return Ok(());
        };
        failure::call_back(&event_loop, greeting, &fresh::tuple(py, [slf])?, context)
    }

    /// Reports an error of the protocol, which was called within `step`.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`; any error once the connection has ended.
    fn report(
        slf: &Bound<'_, Self>,
        step: Step,
        args: &Bound<'_, PyTuple>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = slf.get().with(py, |end| end.context.clone_ref(py));
        step.report(slf.get().event_loop(py), slf.as_any(), args, context, error)
    }

    /// Whether its loop is the parent's, which this process was forked from.
    fn is_inherited(&self, py: Python<'_>) -> bool {
        self.with(py, |end| end.is_inherited())
    }

    /// # Errors
    /// Those of [`Loop::act_for`].
    #[inline]
    fn claim_loop(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_inherited(py) {
            return Ok(());
        }
        self.event_loop(py).map_or(Ok(()), |event_loop| event_loop.get().act_for(py))
    }

    fn is_closing(&self, py: Python<'_>) -> bool {
        self.with(py, |end| end.closing)
    }

    /// Begins to watch the descriptor, unless reading is paused or over.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop; the kernel's refusal to watch the descriptor.
    fn start_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        let fd = slf.get().with(py, |end| {
            let idle = end.closing || end.paused || end.watching_reads;
            (!idle).then_some((end.fd, end.by_edges))
        });
        let Some((fd, by_edges)) = fd else { return Ok(()) };
        event_loop.get().check_closed(py)?;
        if by_edges {
            event_loop.get().watch_readable_by_edges(py, fd, Self::readable(slf))?;
        } else {
            event_loop.get().watch_readable(py, fd, Self::readable(slf))?;
        }
        slf.get().with(py, |end| end.watching_reads = true);
        Ok(())
    }

    fn stop_reading(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let fd =
            slf.get().with(py, |end| std::mem::take(&mut end.watching_reads).then_some(end.fd));
        if let (Some(fd), Some(event_loop)) = (fd, slf.get().event_loop(py)) {
            event_loop.get().unwatch_readable(py, fd);
        }
    }

    /// Begins to watch for room in the kernel.
    ///
    /// # Errors
    /// As [`SocketEnd::start_reading`].
    fn start_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        let fd = slf.get().with(py, |end| (!end.watching_writes).then_some(end.fd));
        let Some(fd) = fd else { return Ok(()) };
        event_loop.get().check_closed(py)?;
        event_loop.get().watch_writable(py, fd, Self::writable(slf))?;
        slf.get().with(py, |end| end.watching_writes = true);
        Ok(())
    }

    fn stop_writing(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let fd =
            slf.get().with(py, |end| std::mem::take(&mut end.watching_writes).then_some(end.fd));
        if let (Some(fd), Some(event_loop)) = (fd, slf.get().event_loop(py)) {
            event_loop.get().unwatch_writable(py, fd);
        }
    }

    /// `pause_reading()`.
    ///
    /// # Errors
    /// Those of the logger.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let pauses = slf
            .get()
            .with(slf.py(), |end| !end.closing && !std::mem::replace(&mut end.paused, true));
        if pauses {
            Self::stop_reading(slf);
            Self::log(slf, "pauses reading")?;
        }
        Ok(())
    }

    /// `resume_reading()`; answers whether it was paused.
    ///
    /// # Errors
    /// Those of watching the descriptor and of the logger.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.get().claim_loop(slf.py())?;
        let resumes = slf
            .get()
            .with(slf.py(), |end| !end.closing && std::mem::replace(&mut end.paused, false));
        if resumes {
            Self::start_reading(slf)?;
            Self::log(slf, "resumes reading")?;
        }
        Ok(resumes)
    }

    /// `set_write_buffer_limits(high, low)`.
    ///
    /// # Errors
    /// `ValueError` unless `high >= low >= 0`; what the protocol raises that is told.
    fn set_limits(
        slf: &Bound<'_, Self>,
        high: Option<BufferLimit>,
        low: Option<BufferLimit>,
    ) -> PyResult<()> {
        let state = slf.get().state();
        protocol::set_limits(slf.py(), state, |state| &mut state.endpoint().marks, high, low)?;
        Self::flush_unsent(slf)?;
        Self::maybe_pause(slf)
    }

    /// Pauses the protocol if more waits than the high-water mark.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    fn maybe_pause(slf: &Bound<'_, Self>) -> PyResult<()> {
        let pressure = slf.get().state().with(slf.py(), |state| {
            let queued = state.queued();
            state.endpoint().marks.grown_to(queued)
        });
        Self::apply(slf, pressure)
    }

    /// Resumes the protocol if no more waits than the low-water mark.
    ///
    /// # Errors
    /// As [`SocketEnd::maybe_pause`].
    fn maybe_resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let pressure = slf.get().state().with(slf.py(), |state| {
            let queued = state.queued();
            match state.endpoint() {
                end if end.losses > 0 => Pressure::Unchanged,
                end => end.marks.shrunk_to(queued),
            }
        });
        Self::apply(slf, pressure)
    }

    /// Tells the protocol.
    ///
    /// # Errors
    /// As [`SocketEnd::maybe_pause`].
    fn apply(slf: &Bound<'_, Self>, pressure: Pressure) -> PyResult<()> {
        let py = slf.py();
        if pressure == Pressure::Unchanged {
            return Ok(());
        }
        protocol::apply(pressure, slf.as_any(), slf.get().event_loop(py), slf.get().protocol(py))
    }

    /// Sends what waits, stops reading and then ends the connection.
    ///
    /// # Errors
    /// What the protocol raises that is told what came of it.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_closing(py) {
            return Ok(());
        }
        Self::flush_unsent(slf)?;
        let was_closing = slf.get().with(py, |end| std::mem::replace(&mut end.closing, true));
        if was_closing {
            // The flush found the connection broken, or the protocol closed it when it was told.
            return Ok(());
        }
        Self::stop_reading(slf);
        let drained = slf.get().state().with(py, |state| state.is_drained());
        if drained { Self::lose(slf, None) } else { Ok(()) }
    }

    /// `abort()`: what waits is lost, what the protocol has sent before is not.
    ///
    /// # Errors
    /// As [`SocketEnd::close`].
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::flush_unsent(slf)?;
        Self::force_close(slf, None)
    }

    /// An error ends the connection. By asyncio's rule an `OSError` is the network's and is only
    /// logged in debug mode; any other goes to the exception handler.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`, which leave the loop; `RuntimeError` on a closed one.
    fn fatal_error(slf: &Bound<'_, Self>, error: PyErr, message: &str) -> PyResult<()> {
        let py = slf.py();
        if leaves_loop(py, &error) {
            return Err(error);
        }
        let value = exception_of(py, &error).into_any();
        let reported = slf.get().event_loop(py).map_or(Ok(()), |event_loop| {
            let told = slf.get().protocol(py);
            protocol::report_fatal(&event_loop, slf.as_any(), told, &error, message)
        });
        match reported {
            Err(error) if leaves_loop(py, &error) => Err(error),
            // Without memory to tell of it, the connection ends all the same.
            reported => reported.and(Self::force_close(slf, Some(value.unbind()))),
        }
    }

    /// Ends the connection without sending what waits; `error` is for `connection_lost`.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop.
    fn force_close(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let waiting = slf.get().state().with(slf.py(), |state| {
            let end = state.endpoint();
            if end.losses > 0 {
                return None;
            }
            end.closing = true;
            Some(state.take_backlog())
        });
        let Some(waiting) = waiting else { return Ok(()) };
        drop(waiting);
        Self::stop_reading(slf);
        Self::lose(slf, error)
    }

    /// Schedules the last callback.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop, which would never run it.
    fn lose(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        drop(slf.get().with(py, |end| {
            end.losses += 1;
            std::mem::replace(&mut end.error, error)
        }));
        Self::stop_writing(slf);
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        event_loop.get().check_closed(py)?;
        event_loop.get().push(py, Self::lost(slf).entry());
        Ok(())
    }

    /// Closes the descriptor, once, whoever shares it.
    ///
    /// # Errors
    /// Those of a socket object's `detach` that is not the standard one.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (fd, python_socket) = slf.get().with(py, |end| (end.fd, end.python_socket.take()));
        if let Some(event_loop) = slf.get().event_loop(py) {
            event_loop.get().remove_transport(py, fd);
            event_loop.get().end_write_wait(py, fd);
        }
        let Some(owned) = slf.get().state().with(py, SocketState::take_fd) else { return Ok(()) };
        match &python_socket {
            Some(python_socket) => descriptor::close(python_socket.bind(py), owned),
            None => Ok(()),
        }
    }

    /// What an unclosed transport says and does when its last reference goes.
    fn say_unclosed(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let warned = warn_unclosed(slf.as_any(), slf.get().is_inherited(py));
        // Should somebody keep it: it is closed.
        slf.get().with(py, |end| {
            end.closing = true;
            end.losses += 1;
        });
        Self::stop_reading(slf);
        Self::stop_writing(slf);
        for result in [warned, Self::release(slf)] {
            if let Err(error) = result {
                error.write_unraisable(py, Some(slf.as_any()));
            }
        }
    }

    /// `repr(transport)`.
    ///
    /// # Errors
    /// Those of the class's name.
    fn shown(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let mut words = vec![slf.as_any().get_type().name()?.to_string()];
        let (open, queued) = slf.get().state().with(py, |state| (state.is_open(), state.queued()));
        let (closing, fd, reading, writing) = slf
            .get()
            .with(py, |end| (end.closing, end.fd, end.watching_reads, end.watching_writes));
        if !open {
            words.push(String::from("closed"));
        } else if closing {
            words.push(String::from("closing"));
        }
        words.push(format!("fd={fd}"));
        if slf.get().event_loop(py).is_some_and(|event_loop| !event_loop.get().is_closed(py)) {
            let polling = |polling| if polling { "polling" } else { "idle" };
            words.push(format!("read={}", polling(reading)));
            words.push(format!("write=<{}, bufsize={queued}>", polling(writing)));
        }
        fresh::text(format_args!("<{}>", fresh::listed(&words, " ")?))
    }

    /// Logs in debug mode what the transport does.
    ///
    /// # Errors
    /// Those of the logger.
    fn log(slf: &Bound<'_, Self>, what: &str) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        log_debug(event_loop.get(), py, || {
            fresh::text(format_args!("{} {what}", slf.as_any().repr()?))
        })
    }
}
