//! `ReadPipeTransport`: from a pipe to the protocol.

use ouroloop::net::Received;
use ouroloop::pipe::Reader;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::end::{CHILD_PROTOCOL, End, Happening, Lent, PipeEnd, is_os_error};
use crate::errors::os_error::os_error;
use crate::future::Future;
use crate::interpreter::fresh::Text;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::ValueOffset;
use crate::transport::bytes::{self, LARGEST_READ};
use crate::transport::failure::Step;
use crate::transport::native_protocol;
use crate::transport::notice::{Notice, Notified};
use crate::turn::{KindOf, Loop, Work as _};

#[derive(Debug)]
struct State {
    end: End,
    reader: Reader<Lent>,
    /// How large the next read may be expected to be.
    expected: usize,
    watching: bool,
    paused: bool,
}

/// The read end of a pipe; `isinstance(transport, asyncio.ReadTransport)` holds.
#[pyclass(frozen, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct ReadPipeTransport {
    state: AttachedCell<State>,
}

static VALUE_OFFSET: ValueOffset = ValueOffset::new();

const READ_FAILED: &str = "Fatal read error on pipe transport";

impl ReadPipeTransport {
    /// A transport between `pipe` and `protocol`: in the next turn `connection_made` is called,
    /// reading begins and `waiter` gets its result.
    ///
    /// # Errors
    /// `ValueError` for a file of another kind; then nothing has been taken over.
    pub(crate) fn open<'py>(
        event_loop: &Bound<'py, Loop>,
        pipe: &Bound<'py, PyAny>,
        protocol: Py<PyAny>,
        waiter: Option<Py<Future>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let refusal = "Pipe transport is for pipes/sockets only.";
        let (end, _) = End::on(event_loop, pipe, protocol, waiter, refusal)?;
        let reader = Reader::adopt(Lent(end.fd)).map_err(|error| os_error(py, &error))?;
        let state = State { end, reader, expected: 0, watching: false, paused: false };
        let transport = Bound::new(py, Self { state: AttachedCell::new(state) })?;
        VALUE_OFFSET.learn(&transport);
        event_loop.get().push(py, Notice::to(&transport, Happening::Open).entry());
        Ok(transport)
    }

    /// The descriptor is readable: one read, and the protocol is told.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(super) fn on_readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (watching, expected) =
            slf.get().state.with(py, |state| (state.watching, state.expected));
        let Some(event_loop) = slf.get().event_loop(py).filter(|_| watching) else {
            // Paused or closed after the descriptor was found readable.
            return Ok(());
        };
        let read = bytes::read(&event_loop, expected, LARGEST_READ, |room| {
            slf.get().state.with(py, |state| {
                let received = state.reader.receive(room);
                if let Received::Data(length) = received {
                    state.expected = length;
                }
                received
            })
        });
        match read {
            Ok(Ok(data)) => Self::deliver(slf, &data),
            Ok(Err(Received::Eof)) => Self::on_eof(slf),
            Ok(Err(Received::Failed(error))) => {
                Self::fatal_error(slf, os_error(py, &error), READ_FAILED)
            }
            Ok(Err(Received::Data(_) | Received::WouldBlock)) => Ok(()),
            // Reported alone, it would be met again at once, and for ever.
            Err(no_room) => Self::fatal_error(slf, no_room, READ_FAILED),
        }
    }

    fn deliver(slf: &Bound<'_, Self>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        Self::call_protocol(slf, |protocol| match CHILD_PROTOCOL.exactly(protocol) {
            Some(child) => (child.received)(protocol, data),
            None => native_protocol::deliver(protocol, data),
        })
        .or_else(|error| {
            Self::report(slf, Self::step("_read_ready"), &PyTuple::empty(slf.py()), error)
        })
    }

    fn on_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::log(slf, "info", "%r was closed by peer")?;
        slf.get().end(slf.py(), |end| end.reached_eof = true);
        Self::lose(slf, None)
    }
}

impl Notified for ReadPipeTransport {
    type Happening = Happening;

    fn notices() -> &'static KindOf<Notice<Self>> {
        static KIND: KindOf<Notice<ReadPipeTransport>> = KindOf::new("pipe.read").watched();
        &KIND
    }

    fn on(slf: &Bound<'_, Self>, happening: Happening) -> PyResult<()> {
        match happening {
            Happening::Open => Self::on_open(slf),
            Happening::Readable => Self::on_readable(slf),
            Happening::Writable => Ok(()),
            Happening::Lost => Self::on_lost(slf),
        }
    }
}

impl PipeEnd for ReadPipeTransport {
    fn end<R>(&self, py: Python<'_>, access: impl FnOnce(&mut End) -> R) -> R {
        self.state.with(py, |state| access(&mut state.end))
    }

    /// Begins to watch the descriptor, unless reading is paused or over.
    fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        let fd = slf.get().state.with(py, |state| {
            let idle = state.end.closing || state.paused || state.watching;
            (!idle).then_some(state.end.fd)
        });
        let Some(fd) = fd else { return Ok(()) };
        Self::watch(slf, &event_loop, fd, Happening::Readable)?;
        slf.get().state.with(py, |state| state.watching = true);
        Ok(())
    }

    fn stop(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let fd = slf
            .get()
            .state
            .with(py, |state| std::mem::take(&mut state.watching).then_some(state.end.fd));
        if let (Some(fd), Some(event_loop)) = (fd, slf.get().event_loop(py)) {
            event_loop.get().unwatch_readable(py, fd);
        }
    }

    /// A terminal whose other side has gone answers EIO.
    fn is_quiet(error: &Bound<'_, PyAny>) -> PyResult<bool> {
        is_os_error(error, Some(libc::EIO))
    }

    fn step(method: &'static str) -> Step {
        Step("asyncio.unix_events", "_UnixReadPipeTransport", method)
    }
}

shows_pipe_end!(ReadPipeTransport, read_transport);

#[pymethods]
impl ReadPipeTransport {
    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let watching = slf.get().state.with(slf.py(), |state| state.watching);
        Self::describe(slf, watching, "").map(Text)
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().is_closing(slf.py()) {
            return Ok(());
        }
        Self::lose(slf, None)
    }

    fn is_reading(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.end.closing && !state.paused)
    }

    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let pauses = slf.get().state.with(slf.py(), |state| {
            !state.end.closing && !std::mem::replace(&mut state.paused, true)
        });
        if pauses {
            Self::stop(slf);
            Self::log(slf, "debug", "%r pauses reading")?;
        }
        Ok(())
    }

    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        if let Some(event_loop) = slf.get().event_loop(slf.py()) {
            event_loop.get().act_for(slf.py())?;
        }
        let resumes = slf.get().state.with(slf.py(), |state| {
            !state.end.closing && std::mem::replace(&mut state.paused, false)
        });
        if resumes {
            Self::start(slf)?;
            Self::log(slf, "debug", "%r resumes reading")?;
        }
        Ok(())
    }
}
