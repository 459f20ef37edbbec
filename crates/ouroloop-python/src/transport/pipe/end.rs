//! What both ends of a pipe have in common.

use std::os::fd::{AsFd, BorrowedFd, RawFd};

use ouroloop::pipe::Kind;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyBaseException, PyOSError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::context::{copy_current, run_in};
use crate::errors::leaving::leaves_loop;
use crate::errors::logged::log_error;
use crate::errors::os_error::os_error;
use crate::future::Future;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::standard::{Standard, exception_of};
use crate::transport::failure::{self, Step};
use crate::transport::native_protocol::Known;
use crate::transport::notice::{Notice, Notified};
use crate::transport::protocol;
use crate::transport::unclosed::warn_unclosed;
use crate::turn::{Loop, Work as _, report_caught};

/// What is called of the protocol between a pipe of a child and the child's transport.
pub(crate) struct ChildProtocol {
    /// The pipe has this transport.
    pub(crate) connected: fn(&Bound<'_, PyAny>, &Bound<'_, PyAny>),
    /// It has brought bytes.
    pub(crate) received: fn(&Bound<'_, PyAny>, &Bound<'_, PyBytes>) -> PyResult<()>,
    /// It is disconnected, by this error if there is one.
    pub(crate) lost: fn(&Bound<'_, PyAny>, Option<Py<PyAny>>) -> PyResult<()>,
}

/// That protocol.
pub(crate) static CHILD_PROTOCOL: Known<ChildProtocol> = Known::nobody();

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// The transport is to call its protocol's `connection_made`.
    Open,
    /// The descriptor is readable.
    Readable,
    /// The descriptor is writable.
    Writable,
    /// The transport is to call its protocol's `connection_lost`.
    Lost,
}

/// The number of a descriptor that a file object owns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lent(pub(super) RawFd);

impl AsFd for Lent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the number is only passed to system calls, which answer EBADF for one that is not
        // open. The transport keeps the file object, which closes it no sooner than the transport
        // says unless the program closes it behind the transport's back.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// What both ends of a pipe have in common.
#[derive(Debug)]
pub(super) struct End {
    /// Gone, as the protocol, when the connection is lost.
    pub(super) event_loop: Option<Py<Loop>>,
    pub(super) protocol: Option<Py<PyAny>>,
    /// The protocol's `connection_made`, until it is called; a child's is told natively.
    pub(super) greeting: Option<Py<PyAny>>,
    /// The file object; there until the garbage collector clears it.
    pub(super) pipe: Option<Py<PyAny>>,
    pub(super) fd: RawFd,
    /// In which protocol methods run when the loop calls them.
    pub(super) context: Py<PyAny>,
    pub(super) waiter: Option<Py<Future>>,
    /// What `connection_lost` will be given.
    pub(super) error: Option<Py<PyAny>>,
    /// `eof_received` is to be called before `connection_lost`.
    pub(super) reached_eof: bool,
    pub(super) closing: bool,
    pub(super) losing: bool,
    pub(super) open: bool,
}

impl End {
    /// The end on the descriptor of `pipe`, of a kind that `accepts`.
    ///
    /// # Errors
    /// `ValueError` with `refusal`, the kernel's, what `pipe.fileno()` raises, and what a protocol
    /// raises that cannot be told of a connection.
    pub(super) fn on(
        event_loop: &Bound<'_, Loop>,
        pipe: &Bound<'_, PyAny>,
        protocol: Py<PyAny>,
        waiter: Option<Py<Future>>,
        refusal: &'static str,
    ) -> PyResult<(Self, Kind)> {
        let py = event_loop.py();
        let fd: RawFd = pipe.call_method0(intern!(py, "fileno"))?.extract()?;
        if fd < 0 {
            return Err(fresh::error::<PyValueError>(format!("Invalid file descriptor: {fd}")));
        }
        let kind = Kind::of(Lent(fd)).map_err(|error| os_error(py, &error))?;
        if kind == Kind::Other {
            return Err(fresh::error::<PyValueError>(refusal));
        }
        let greeting = if CHILD_PROTOCOL.exactly(protocol.bind(py)).is_some() {
            None
        } else {
            Some(protocol.bind(py).getattr(intern!(py, "connection_made"))?.unbind())
        };
        let end = Self {
            event_loop: Some(event_loop.clone().unbind()),
            greeting,
            protocol: Some(protocol),
            pipe: Some(pipe.clone().unbind()),
            fd,
            context: copy_current(py)?,
            waiter,
            error: None,
            reached_eof: false,
            closing: false,
            losing: false,
            open: true,
        };
        Ok((end, kind))
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.protocol)?;
        visit.call(&self.greeting)?;
        visit.call(&self.pipe)?;
        visit.call(&self.context)?;
        visit.call(&self.waiter)?;
        visit.call(&self.error)
    }

    /// Takes out what may be part of a cycle, for the caller to drop.
    pub(super) fn take_references(&mut self) -> Cleared {
        let (protocol, greeting) = (self.protocol.take(), self.greeting.take());
        let objects = [protocol, greeting, self.pipe.take(), self.error.take()];
        (objects, self.event_loop.take(), self.waiter.take())
    }
}

/// References on their way out.
pub(super) type Cleared = ([Option<Py<PyAny>>; 4], Option<Py<Loop>>, Option<Py<Future>>);

/// One end of a pipe: what a read end and a write end do alike.
pub(super) trait PipeEnd: Notified<Happening = Happening> {
    /// Lends the common state, under the rule of [`crate::native::cell`].
    fn end<R>(&self, py: Python<'_>, access: impl FnOnce(&mut End) -> R) -> R;

    /// Watches the descriptor for the first time.
    fn start(slf: &Bound<'_, Self>) -> PyResult<()>;

    /// Stops watching the descriptor.
    fn stop(slf: &Bound<'_, Self>);

    /// Whether a fatal error of this kind is the other side's, which only debug mode logs.
    fn is_quiet(error: &Bound<'_, PyAny>) -> PyResult<bool>;

    /// The method of that name of asyncio's transport of this kind.
    fn step(method: &'static str) -> Step;

    /// Has the loop watch the descriptor for this to happen; what stood in its place goes.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop; the kernel's refusal to watch the descriptor.
    fn watch(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, Loop>,
        fd: RawFd,
        happening: Happening,
    ) -> PyResult<()> {
        let py = slf.py();
        event_loop.get().check_closed(py)?;
        let notice = Notice::to(slf, happening);
        drop(match happening {
            Happening::Writable => event_loop.get().watch_writable(py, fd, notice)?,
            _ => event_loop.get().watch_readable(py, fd, notice)?,
        });
        Ok(())
    }

    fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.end(py, |end| end.event_loop.clone_ref(py)).map(|event_loop| event_loop.into_bound(py))
    }

    /// Whether its loop is the parent's, which this process was forked from.
    fn is_inherited(&self, py: Python<'_>) -> bool {
        self.end(py, |end| {
            end.event_loop.as_ref().is_some_and(|event_loop| event_loop.get().is_inherited())
        })
    }

    /// The file object that this transport is to close.
    fn pipe(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.end(py, |end| {
            let pipe = end.pipe.as_ref().filter(|_| end.open);
            pipe.map(|pipe| pipe.clone_ref(py))
        })
    }

    /// Another file object is to be closed, or none.
    fn set_pipe(&self, py: Python<'_>, pipe: Option<Py<PyAny>>) {
        let before = self.end(py, |end| {
            end.open = pipe.is_some();
            pipe.and_then(|pipe| end.pipe.replace(pipe))
        });
        drop(before);
    }

    fn protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.end(py, |end| end.protocol.clone_ref(py))
    }

    /// The first event: the protocol hears of the connection, reading begins, and whoever
    /// waits for that goes on.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    fn on_open(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let told = Self::greet(slf);
        let watched = match Self::start(slf) {
            // A file that cannot be waited for: as under asyncio the pipe opens nevertheless.
            Err(error) if error.is_instance_of::<PyOSError>(py) => {
                Self::report(slf, Self::step("_read_ready"), &PyTuple::empty(py), error)
            }
            watched => watched,
        };
        let waiter = slf.get().end(py, |end| end.waiter.take());
        let opened = protocol::tell_open(py, waiter, watched)
            .or_else(|error| Self::fatal_error(slf, error, protocol::NOT_WATCHED));
        told.and(opened)
    }

    fn greet(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (greeting, context) =
            slf.get().end(py, |end| (end.greeting.take(), end.context.clone_ref(py)));
        if let (Some(greeting), Some(event_loop)) = (greeting, slf.get().event_loop(py)) {
            return failure::call_back(&event_loop, greeting, &fresh::tuple(py, [slf])?, context);
        }
        Self::call_protocol(slf, |protocol| {
            if let Some(child) = CHILD_PROTOCOL.exactly(protocol) {
                (child.connected)(protocol, slf.as_any());
            }
            Ok(())
        })
    }

    /// Calls the protocol in the transport's context.
    fn call_protocol(
        slf: &Bound<'_, Self>,
        call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(protocol) = slf.get().protocol(py) else { return Ok(()) };
        let context = slf.get().end(py, |end| end.context.clone_ref(py));
        run_in(py, &context, || call(protocol.bind(py)))
    }

    /// Reports an error of the protocol, which was called within `step`.
    fn report(
        slf: &Bound<'_, Self>,
        step: Step,
        args: &Bound<'_, PyTuple>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = slf.get().end(py, |end| end.context.clone_ref(py));
        step.report(slf.get().event_loop(py), slf.as_any(), args, context, error)
    }

    /// Stops watching, gives up on what waits and schedules the last event.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop, which would never run it.
    fn lose(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let first = slf.get().end(py, |end| {
            end.closing = true;
            !std::mem::replace(&mut end.losing, true)
        });
        if !first {
            drop(error);
            return Ok(());
        }
        drop(slf.get().end(py, |end| std::mem::replace(&mut end.error, error)));
        Self::stop(slf);
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        event_loop.get().check_closed(py)?;
        event_loop.get().push(py, Notice::to(slf, Happening::Lost).entry());
        Ok(())
    }

    /// The last event: the protocol is told, and the file object closed.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    fn on_lost(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (ended, error) =
            slf.get().end(py, |end| (std::mem::take(&mut end.reached_eof), end.error.take()));
        let ended = if ended { Self::tell_eof(slf) } else { Ok(()) };
        let reason = fresh::pack!(py, &error);
        let report = |error| Self::report(slf, Self::step("_call_connection_lost"), &reason, error);
        let told = Self::call_protocol(slf, |protocol| {
            if let Some(child) = CHILD_PROTOCOL.exactly(protocol) {
                return (child.lost)(protocol, error);
            }
            protocol.getattr(intern!(py, "connection_lost"))?.call1(&reason).map(drop)
        })
        .or_else(report);
        let closed = Self::close_pipe(slf).or_else(report);
        let rest = slf.get().end(py, |end| {
            end.losing = true;
            (end.protocol.take(), end.event_loop.take(), end.waiter.take())
        });
        drop(rest);
        ended.and(told).and(closed)
    }

    /// Tells the protocol that nothing more comes.
    fn tell_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (protocol, event_loop) = (slf.get().protocol(py), slf.get().event_loop(py));
        let (Some(protocol), Some(event_loop)) = (protocol, event_loop) else { return Ok(()) };
        let protocol = protocol.bind(py);
        if CHILD_PROTOCOL.exactly(protocol).is_some() {
            return Ok(());
        }
        let context = slf.get().end(py, |end| end.context.clone_ref(py));
        let found = run_in(py, &context, || {
            protocol.getattr(intern!(py, "eof_received")).map(Bound::unbind)
        });
        let nothing = PyTuple::empty(py);
        match found {
            Ok(method) => failure::call_back(&event_loop, method, &nothing, context),
            Err(error) => Self::report(slf, Self::step("_read_ready"), &nothing, error),
        }
    }

    /// Has the file object close its descriptor, once.
    fn close_pipe(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let pipe = slf.get().pipe(py);
        slf.get().end(py, |end| end.open = false);
        match pipe {
            Some(pipe) => pipe.bind(py).call_method0(intern!(py, "close")).map(drop),
            None => Ok(()),
        }
    }

    /// asyncio's rule for an error that ends the connection.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`, which leave the loop; `RuntimeError` on a closed one.
    fn fatal_error(slf: &Bound<'_, Self>, error: PyErr, message: &str) -> PyResult<()> {
        let py = slf.py();
        if leaves_loop(py, &error) {
            return Err(error);
        }
        let value = exception_of(py, &error);
        match Self::report_failure(slf, &value, message) {
            Err(error) if leaves_loop(py, &error) => Err(error),
            // Without memory to tell of it, the connection ends all the same.
            reported => reported.and(Self::lose(slf, Some(value.into_any().unbind()))),
        }
    }

    fn report_failure(
        slf: &Bound<'_, Self>,
        value: &Bound<'_, PyBaseException>,
        message: &str,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        if Self::is_quiet(value)? {
            if event_loop.get().is_debug(py) {
                log_error(intern!(py, "debug"), ("%r: %s", slf, message), value)?;
            }
            return Ok(());
        }
        let context = fresh::dict(py)?;
        context.set_item(intern!(py, "message"), Text(message))?;
        context.set_item(intern!(py, "transport"), slf)?;
        context.set_item(intern!(py, "protocol"), slf.get().protocol(py))?;
        report_caught(&event_loop, value, &context)
    }

    /// Logs something about this transport, in debug mode only.
    fn log(slf: &Bound<'_, Self>, level: &str, format: &str) -> PyResult<()> {
        let py = slf.py();
        match slf.get().event_loop(py) {
            Some(event_loop) if event_loop.get().is_debug(py) => {
                let logger = Standard::get(py)?.logger.bind(py);
                logger.call_method1(level, (format, slf)).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// What an unclosed transport says and does when its last reference goes.
    fn say_unclosed(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let warned = warn_unclosed(slf.as_any(), slf.get().is_inherited(py));
        // Should somebody keep it: it is closed.
        slf.get().end(py, |end| (end.closing, end.losing) = (true, true));
        Self::stop(slf);
        let closed = Self::close_pipe(slf);
        for result in [warned, closed] {
            if let Err(error) = result {
                error.write_unraisable(py, Some(slf.as_any()));
            }
        }
    }

    /// `repr(transport)`; `watched` is whether the loop watches the descriptor, `rest` what else
    /// an open transport on an open loop shows.
    fn describe(slf: &Bound<'_, Self>, watched: bool, rest: &str) -> PyResult<String> {
        let py = slf.py();
        let (open, closing, fd) = slf.get().end(py, |end| (end.open, end.closing, end.fd));
        let mut words = vec![slf.as_any().get_type().name()?.to_string()];
        if !open {
            words.push(String::from("closed"));
        } else if closing {
            words.push(String::from("closing"));
        }
        words.push(format!("fd={fd}"));
        let event_loop = slf.get().event_loop(py);
        if !open {
            words.push(String::from("closed"));
        } else if event_loop.is_some_and(|event_loop| !event_loop.get().is_closed(py)) {
            words.push(format!("{}{rest}", if watched { "polling" } else { "idle" }));
        } else {
            words.push(String::from("open"));
        }
        fresh::text(format_args!("<{}>", fresh::listed(&words, " ")?))
    }

    /// `get_extra_info(name, default)`.
    fn extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if name.eq(intern!(py, "pipe"))?
            && let Some(pipe) = slf.get().end(py, |end| end.pipe.clone_ref(py))
        {
            return Ok(pipe.into_bound(py));
        }
        Ok(default.unwrap_or_else(|| py.None().into_bound(py)))
    }

    fn set_protocol(slf: &Bound<'_, Self>, protocol: Py<PyAny>) {
        drop(slf.get().end(slf.py(), |end| end.protocol.replace(protocol)));
    }
}

/// Whether an error is an `OSError`, of this number if one is given.
pub(super) fn is_os_error(error: &Bound<'_, PyAny>, number: Option<i32>) -> PyResult<bool> {
    if !error.is_instance_of::<PyOSError>() {
        return Ok(false);
    }
    let Some(number) = number else { return Ok(true) };
    error.getattr(intern!(error.py(), "errno"))?.eq(number)
}
