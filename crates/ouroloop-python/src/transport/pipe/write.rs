//! `WritePipeTransport`: from the protocol to a pipe.

use ouroloop::net::{Flushed, Pressure, Sent, Watermarks};
use ouroloop::pipe::{Kind, Writer};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyNotImplementedError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyTuple};

use super::end::{End, Happening, Lent, PipeEnd, is_os_error};
use crate::errors::containment::settled;
use crate::errors::os_error::os_error;
use crate::future::Future;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::no_memory;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::ValueOffset;
use crate::standard::Standard;
use crate::transport::buffer_limits::BufferLimit;
use crate::transport::chunk::{Chunk, copy_from, is_bytes_like};
use crate::transport::failure::Step;
use crate::transport::notice::{Notice, Notified};
use crate::transport::protocol;
use crate::turn::Loop;
use crate::turn::{KindOf, Work as _};

/// Writes to a lost connection are warned of from this one on, as under asyncio.
const LOUD_LOSSES: u32 = 5;

const WRITE_FAILED: &str = "Fatal write error on pipe transport";

#[derive(Debug)]
struct State {
    end: End,
    writer: Writer<Lent, Chunk>,
    marks: Watermarks,
    /// Whether the descriptor becomes readable when nobody reads any more.
    tells_of_lost_reader: bool,
    /// Writes since the connection was lost, and the failed write that it was lost by.
    losses: u32,
    watching_reader: bool,
    watching_writes: bool,
}

/// The write end of a pipe; `isinstance(transport, asyncio.WriteTransport)` holds.
#[pyclass(frozen, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct WritePipeTransport {
    state: AttachedCell<State>,
}

static VALUE_OFFSET: ValueOffset = ValueOffset::new();

impl WritePipeTransport {
    /// A transport between `pipe` and `protocol`: in the next turn `connection_made` is called
    /// and `waiter` gets its result.
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
        let refusal = "Pipe transport is only for pipes, sockets and character devices";
        let (end, kind) = End::on(event_loop, pipe, protocol, waiter, refusal)?;
        let writer = Writer::adopt(Lent(end.fd)).map_err(|error| os_error(py, &error))?;
        let state = State {
            end,
            writer,
            marks: Watermarks::default(),
            tells_of_lost_reader: Kind::tells_of_lost_reader(kind),
            losses: 0,
            watching_reader: false,
            watching_writes: false,
        };
        let transport = Bound::new(py, Self { state: AttachedCell::new(state) })?;
        VALUE_OFFSET.learn(&transport);
        event_loop.get().push(py, Notice::to(&transport, Happening::Open).entry());
        Ok(transport)
    }

    /// `write(data)`.
    ///
    /// # Errors
    /// `AssertionError` for anything but bytes.
    fn take_in(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if !is_bytes_like(data) {
            return Err(PyAssertionError::new_err(data.repr()?.unbind()));
        }
        if data.len()? == 0 {
            return Ok(());
        }
        if let Some(event_loop) = slf.get().event_loop(py) {
            event_loop.get().act_for(py)?;
            event_loop.get().expect_answer(py);
        }
        let (lost, losses) = slf.get().state.with(py, |state| {
            let lost = state.losses > 0 || state.end.closing;
            let losses = state.losses;
            state.losses += u32::from(lost);
            (lost, losses)
        });
        if lost {
            if losses >= LOUD_LOSSES {
                let message = "pipe closed by peer or os.write(pipe, data) raised exception.";
                let logger = Standard::get(py)?.logger.bind(py);
                logger.call_method1(intern!(py, "warning"), (message,))?;
            }
            return Ok(());
        }
        if let Ok(bytes) = data.cast_exact::<PyBytes>() {
            let Some(sent) = Self::send(slf, bytes.as_bytes())? else { return Ok(()) };
            return Self::queue(slf, bytes, sent);
        }
        let sent = match PyBuffer::<u8>::get(data) {
            Ok(buffer) if buffer.is_c_contiguous() => {
                // SAFETY: contiguous memory that its exporter keeps in place while `buffer` is
                // alive; nothing that could write to it runs before the system call is over.
                let bytes = unsafe {
                    std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes())
                };
                Self::send(slf, bytes)?
            }
            _ => Some(0),
        };
        let Some(sent) = sent else { return Ok(()) };
        Self::queue(slf, &copy_from(data, sent)?, 0)
    }

    /// Writes at once if nothing waits; answers how much has left, or `None` when the connection is
    /// lost.
    fn send(slf: &Bound<'_, Self>, bytes: &[u8]) -> PyResult<Option<usize>> {
        let py = slf.py();
        let sent = slf.get().state.with(py, |state| {
            if state.writer.queued() > 0 { Sent::WouldBlock } else { state.writer.send(bytes) }
        });
        match sent {
            Sent::Bytes(sent) => Ok(Some(sent)),
            Sent::WouldBlock => Ok(Some(0)),
            Sent::Failed(error) => {
                slf.get().state.with(py, |state| state.losses += 1);
                Self::fatal_error(slf, os_error(py, &error), WRITE_FAILED)?;
                Ok(None)
            }
        }
    }

    /// Queues what is left of `bytes` after `sent` of them.
    fn queue(slf: &Bound<'_, Self>, bytes: &Bound<'_, PyBytes>, sent: usize) -> PyResult<()> {
        let py = slf.py();
        if sent == bytes.as_bytes().len() {
            return Ok(());
        }
        let chunk = Chunk::new(bytes);
        let room = slf.get().state.with(py, |state| state.writer.reserve());
        room.map_err(|_| no_memory(py))?;
        slf.get().state.with(py, |state| match sent {
            0 => state.writer.push(chunk),
            _ => state.writer.push_rest(chunk, sent),
        });
        Self::start_writing(slf)?;
        let pressure =
            slf.get().state.with(py, |state| state.marks.grown_to(state.writer.queued()));
        Self::apply(slf, pressure)
    }

    fn apply(slf: &Bound<'_, Self>, pressure: Pressure) -> PyResult<()> {
        if pressure == Pressure::Unchanged {
            return Ok(());
        }
        let py = slf.py();
        protocol::apply(pressure, slf.as_any(), slf.get().event_loop(py), slf.get().protocol(py))
    }

    /// The descriptor is writable again.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(super) fn on_writable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let flushed =
            slf.get().state.with(py, |state| state.watching_writes.then(|| state.writer.flush()));
        match flushed {
            // Lost after the descriptor was found writable.
            None => Ok(()),
            Some(Flushed::Blocked) => Self::maybe_resume(slf),
            Some(Flushed::Drained) => {
                Self::stop_writing(slf);
                // The protocol may write more while it is told.
                Self::maybe_resume(slf)?;
                let ends = slf.get().state.with(py, |state| {
                    let ends = state.end.closing && !state.end.losing && state.writer.queued() == 0;
                    state.end.losing |= ends;
                    ends
                });
                if ends {
                    Self::stop(slf);
                    return Self::on_lost(slf);
                }
                Ok(())
            }
            Some(Flushed::Failed(error)) => {
                slf.get().state.with(py, |state| state.losses += 1);
                Self::fatal_error(slf, os_error(py, &error), WRITE_FAILED)
            }
        }
    }

    fn maybe_resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let pressure =
            slf.get().state.with(slf.py(), |state| state.marks.shrunk_to(state.writer.queued()));
        Self::apply(slf, pressure)
    }

    /// Nobody reads any more.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop.
    pub(super) fn on_reader_lost(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (watching, queued) =
            slf.get().state.with(py, |state| (state.watching_reader, state.writer.queued()));
        if !watching {
            return Ok(());
        }
        Self::log(slf, "info", "%r was closed by peer")?;
        let error = (queued > 0)
            .then(|| settled(py, PyBrokenPipeError::new_err(())).into_value(py).into_any());
        Self::lose(slf, error)
    }

    /// Ends the stream once what waits is written.
    fn finish(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let drained = slf.get().state.with(py, |state| {
            let first = !std::mem::replace(&mut state.end.closing, true);
            first && state.writer.queued() == 0
        });
        if drained { Self::lose(slf, None) } else { Ok(()) }
    }

    fn start_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        let fd = slf.get().state.with(py, |state| (!state.watching_writes).then_some(state.end.fd));
        let Some(fd) = fd else { return Ok(()) };
        Self::watch(slf, &event_loop, fd, Happening::Writable)?;
        slf.get().state.with(py, |state| state.watching_writes = true);
        Ok(())
    }

    fn stop_writing(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let fd = slf
            .get()
            .state
            .with(py, |state| std::mem::take(&mut state.watching_writes).then_some(state.end.fd));
        if let (Some(fd), Some(event_loop)) = (fd, slf.get().event_loop(py)) {
            event_loop.get().unwatch_writable(py, fd);
        }
    }
}

impl Notified for WritePipeTransport {
    type Happening = Happening;

    fn notices() -> &'static KindOf<Notice<Self>> {
        static KIND: KindOf<Notice<WritePipeTransport>> = KindOf::new("pipe.write").watched();
        &KIND
    }

    fn on(slf: &Bound<'_, Self>, happening: Happening) -> PyResult<()> {
        match happening {
            Happening::Open => Self::on_open(slf),
            Happening::Readable => Self::on_reader_lost(slf),
            Happening::Writable => Self::on_writable(slf),
            Happening::Lost => Self::on_lost(slf),
        }
    }
}

impl PipeEnd for WritePipeTransport {
    fn end<R>(&self, py: Python<'_>, access: impl FnOnce(&mut End) -> R) -> R {
        self.state.with(py, |state| access(&mut state.end))
    }

    /// Begins to watch for the end of the last reader.
    fn start(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        let fd = slf.get().state.with(py, |state| {
            let watches = state.tells_of_lost_reader && !state.end.losing && !state.watching_reader;
            watches.then_some(state.end.fd)
        });
        let Some(fd) = fd else { return Ok(()) };
        Self::watch(slf, &event_loop, fd, Happening::Readable)?;
        slf.get().state.with(py, |state| state.watching_reader = true);
        Ok(())
    }

    /// Stops watching in both directions and gives up on what waits.
    fn stop(slf: &Bound<'_, Self>) {
        let py = slf.py();
        Self::stop_writing(slf);
        let (fd, queue) = slf.get().state.with(py, |state| {
            let fd = std::mem::take(&mut state.watching_reader).then_some(state.end.fd);
            (fd, state.writer.take_queue())
        });
        drop(queue);
        if let (Some(fd), Some(event_loop)) = (fd, slf.get().event_loop(py)) {
            event_loop.get().unwatch_readable(py, fd);
        }
    }

    fn is_quiet(error: &Bound<'_, PyAny>) -> PyResult<bool> {
        is_os_error(error, None)
    }

    fn step(method: &'static str) -> Step {
        Step("asyncio.unix_events", "_UnixWritePipeTransport", method)
    }
}

shows_pipe_end!(WritePipeTransport, write_transport);

#[pymethods]
impl WritePipeTransport {
    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let (watching, queued) =
            slf.get().state.with(slf.py(), |state| (state.watching_writes, state.writer.queued()));
        Self::describe(slf, watching, &format!(" bufsize={queued}")).map(Text)
    }

    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::finish(slf)
    }

    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::lose(slf, None)
    }

    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::take_in(slf, data)
    }

    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let joined = fresh::bytes(py, b"")?.call_method1(intern!(py, "join"), (list_of_data,))?;
        Self::take_in(slf, &joined)
    }

    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::finish(slf)
    }

    fn can_write_eof(&self) -> bool {
        true
    }

    /// As in asyncio, whose write ends inherit the reading side of `Transport`, and refuse it.
    fn is_reading(&self) -> PyResult<bool> {
        Err(PyNotImplementedError::new_err(()))
    }

    fn pause_reading(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    fn resume_reading(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    fn get_write_buffer_size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyInt>> {
        fresh::size(py, self.state.with(py, |state| state.writer.queued()))
    }

    fn get_write_buffer_limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let (low, high) = self.state.with(py, |state| (state.marks.low(), state.marks.high()));
        fresh::sizes(py, low, high)
    }

    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits(
        slf: &Bound<'_, Self>,
        high: Option<BufferLimit>,
        low: Option<BufferLimit>,
    ) -> PyResult<()> {
        let py = slf.py();
        protocol::set_limits(py, &slf.get().state, |state| &mut state.marks, high, low)?;
        let pressure =
            slf.get().state.with(py, |state| state.marks.grown_to(state.writer.queued()));
        Self::apply(slf, pressure)
    }
}
