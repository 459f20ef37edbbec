//! From the protocol to the socket.

use ouroloop::net::held::LARGEST;
use ouroloop::net::{Flushed, Pushed, Sent};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::object::{SocketTransport, State};
use crate::errors::contract::says;
use crate::errors::os_error::os_error;
use crate::handle::confine;
use crate::interpreter::fresh;
use crate::interpreter::references::attached;
use crate::interpreter::room::no_memory;
use crate::standard::Standard;
use crate::transport::chunk::{Chunk, copy_from, is_bytes_like};
use crate::transport::endpoint::SocketEnd;
use crate::turn::{Loop, Unsent};

/// Objects larger than this that are no `bytes` are sent before what is left of them is copied.
const COPIED_BYTES: usize = 8 * 1024;

/// Writes to a lost connection are warned of from this one on, as under asyncio.
const LOUD_LOSSES: u32 = 5;

/// What a write call found.
enum WriteIntake {
    /// It waits for the end of the turn, for some milliseconds at most.
    Held,
    /// It is to leave now.
    Now,
    /// The kernel is full: it waits for the descriptor to become writable.
    Blocked,
}

impl SocketTransport {
    /// `write(data)`.
    ///
    /// # Errors
    /// `TypeError` for anything but bytes, `RuntimeError` after `write_eof`.
    pub(crate) fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if let Ok(bytes) = data.cast_exact::<PyBytes>() {
            if !Self::may_write(slf, bytes.as_bytes().is_empty(), "write")? {
                return Ok(());
            }
            return Self::take_in(slf, Chunk::new(bytes));
        }
        if !is_bytes_like(data) {
            return Err(fresh::error::<PyTypeError>(type_message(data)?));
        }
        if !Self::may_write(slf, data.len()? == 0, "write")? {
            return Ok(());
        }
        let sent = Self::send_unqueued(slf, data)?;
        let copy = copy_from(data, sent)?;
        if copy.as_bytes().is_empty() {
            return Ok(());
        }
        Self::take_in(slf, Chunk::new(&copy))?;
        debug_assert!(slf.get().state.with(py, |state| state.stream.takes_chunks()));
        Ok(())
    }

    /// `writelines(list_of_data)`.
    ///
    /// # Errors
    /// Those of [`SocketTransport::write`].
    pub(super) fn writelines(slf: &Bound<'_, Self>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let joined = fresh::bytes(py, b"")?.call_method1(intern!(py, "join"), (lines,))?;
        let joined = joined.cast_into::<PyBytes>()?;
        // Python 3.11 writes the lines by `write`.
        let method = if cfg!(Py_3_12) { "writelines" } else { "write" };
        if !Self::may_write(slf, joined.as_bytes().is_empty(), method)? {
            return Ok(());
        }
        Self::take_in(slf, Chunk::new(&joined))
    }

    /// Whether there is a connection to write to and something to write.
    fn may_write(slf: &Bound<'_, Self>, empty: bool, method: &str) -> PyResult<bool> {
        let py = slf.py();
        slf.get().claim_loop(py)?;
        let (wrote_eof, lent, losses) = slf.get().state.with(py, |state| {
            if state.end.losses > 0 && !empty {
                state.end.losses += 1;
            }
            (state.wrote_eof, state.lent.is_some(), state.end.losses)
        });
        if wrote_eof {
            let message = format!("Cannot call {method}() after write_eof()");
            return Err(fresh::error::<PyRuntimeError>(message));
        }
        if lent {
            let message = format!("unable to {method}; sendfile is in progress");
            return Err(fresh::error::<PyRuntimeError>(message));
        }
        if losses > LOUD_LOSSES && !empty {
            let logger = Standard::get(py)?.logger.bind(py);
            logger.call_method1(
                intern!(py, "warning"),
                (intern!(py, "socket.send() raised exception."),),
            )?;
        }
        Ok(!empty && losses == 0)
    }

    fn take_in(slf: &Bound<'_, Self>, chunk: Chunk) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        let callback = event_loop.get().callback_that_writes(py);
        let queue =
            || Self::queue(slf, &event_loop, chunk, |state| state.is_one_of_several(callback));
        // Nothing has told PyO3 that this thread is attached if the loop does not run in it.
        if callback.is_some() { queue() } else { attached(py, queue) }
    }

    /// Queues a chunk, and has it leave: now, or with others of the same callback.
    fn queue(
        slf: &Bound<'_, Self>,
        event_loop: &Bound<'_, Loop>,
        chunk: Chunk,
        is_one_of_several: impl FnOnce(&mut State) -> bool,
    ) -> PyResult<()> {
        let py = slf.py();
        let room = slf.get().state.with(py, |state| state.stream.reserve());
        room.map_err(|_| no_memory(py))?;
        let (intake, newly_held, refused) = slf.get().state.with(py, |state| {
            let refused = match state.stream.push(chunk) {
                Pushed::Queued => None,
                Pushed::Refused(chunk) => Some(chunk),
            };
            if state.end.watching_writes {
                return (WriteIntake::Blocked, false, refused);
            }
            let more = is_one_of_several(state);
            let full = state.stream.queued() > state.end.marks.high();
            if !more || full || !state.stream.hold(event_loop.get().holder()) {
                return (WriteIntake::Now, false, refused);
            }
            (WriteIntake::Held, !std::mem::replace(&mut state.end.unsent, true), refused)
        });
        drop(refused);
        if newly_held {
            let unsent = Unsent::new(slf.clone().into_any().unbind(), on_turn_end);
            if event_loop.get().send_later(py, unsent).is_err() {
                return Self::flush_queue(slf);
            }
        }
        match intake {
            WriteIntake::Held => Ok(()),
            WriteIntake::Now => Self::flush_queue(slf),
            WriteIntake::Blocked => Self::maybe_pause(slf),
        }
    }

    /// Sends a large object that is no `bytes` before copying what is left of it.
    fn send_unqueued(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let py = slf.py();
        let Ok(buffer) = PyBuffer::<u8>::get(data) else { return Ok(0) };
        if buffer.len_bytes() <= COPIED_BYTES || !buffer.is_c_contiguous() {
            return Ok(0);
        }
        let length = buffer.len_bytes();
        // SAFETY: contiguous memory that its exporter keeps in place while `buffer` is alive;
        // nothing that could write to it runs before the send is over.
        let bytes = unsafe {
            std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes())
        };
        let sent = slf.get().state.with(py, |state| {
            if state.stream.queued() > 0 {
                return Ok(0);
            }
            match state.stream.send(bytes) {
                Sent::Bytes(sent) => Ok(sent),
                Sent::WouldBlock => Ok(0),
                Sent::Failed(error) => Err(error),
            }
        });
        drop(buffer);
        match sent {
            Ok(sent) => Ok(sent),
            Err(error) => {
                let message = "Fatal write error on socket transport";
                Self::fatal_error(slf, os_error(slf.py(), &error), message)?;
                Ok(length)
            }
        }
    }

    /// Sends the ciphertext of a write, or holds it, and queues what the kernel does not take of it.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol, called to resume or pause.
    pub(crate) fn send_ciphertext(slf: &Bound<'_, Self>, data: &[u8]) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        if slf.get().is_inherited(py) {
            // The protocol forked while it was told of data; the parent answers, too.
            return Ok(());
        }
        let callback = event_loop.get().callback_that_writes(py);
        let (more, sent) = slf.get().state.with(py, |state| {
            if state.end.losses > 0 {
                state.end.losses += 1;
                return (false, Ok(data.len()));
            }
            // What is too large to be held is sent from where it is, without a copy.
            let more = state.is_one_of_several(callback) && data.len() <= LARGEST;
            if more || state.stream.queued() > 0 {
                return (more, Ok(0));
            }
            let sent = match state.stream.send(data) {
                Sent::Bytes(sent) => Ok(sent),
                Sent::WouldBlock => Ok(0),
                Sent::Failed(error) => Err(error),
            };
            (more, sent)
        });
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => {
                let message = "Fatal write error on socket transport";
                return Self::fatal_error(slf, os_error(py, &error), message);
            }
        };
        if sent == data.len() {
            return Ok(());
        }
        let chunk = Chunk::new(&fresh::bytes(py, &data[sent..])?);
        Self::queue(slf, &event_loop, chunk, |_| more)
    }

    /// Whether something is held that was written in this turn.
    pub(crate) fn holds(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.end.unsent)
    }

    /// Writes what waits, as far as the kernel takes it.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol, called to resume or pause.
    pub(crate) fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_inherited(py) {
            // It is the parent's to send.
            return Ok(());
        }
        Self::flush_queue(slf)
    }

    fn flush_queue(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let flushed = slf.get().state.with(py, |state| {
            state.end.unsent = false;
            if state.stream.queued() == 0 { Flushed::Drained } else { state.stream.flush() }
        });
        match flushed {
            Flushed::Drained => {
                Self::hand_over(slf)?;
                Self::maybe_resume(slf)
            }
            Flushed::Blocked => {
                Self::start_writing(slf)?;
                Self::maybe_pause(slf)
            }
            Flushed::Failed(error) => Self::fatal_error(
                slf,
                os_error(slf.py(), &error),
                "Fatal write error on socket transport",
            ),
        }
    }

    /// The descriptor is writable again.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(crate) fn on_writable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let flushed = slf.get().state.with(py, |state| {
            if !state.end.watching_writes || state.end.losses > 0 {
                return None;
            }
            Some(state.stream.flush())
        });
        match flushed {
            None => Ok(()),
            Some(Flushed::Blocked) => Self::maybe_resume(slf),
            Some(Flushed::Drained) => {
                Self::maybe_resume(slf)?;
                // The protocol may have written more while it was told.
                let drained = slf.get().state.with(py, |state| state.stream.queued() == 0);
                if drained {
                    Self::stop_writing(slf);
                    Self::hand_over(slf)?;
                    if slf.get().is_closing(py) {
                        slf.get().state.with(py, |state| state.end.losses += 1);
                        return Self::on_lost(slf);
                    }
                }
                Ok(())
            }
            Some(Flushed::Failed(error)) => Self::fatal_error(
                slf,
                os_error(slf.py(), &error),
                "Fatal write error on socket transport",
            ),
        }
    }
}

/// asyncio's complaint about an argument of a wrong type.
fn type_message(data: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = data.py();
    let standard = crate::interpreter::modules::module(py, intern!(py, "asyncio.selector_events"))?
        .getattr(intern!(py, "_SelectorSocketTransport"))?
        .getattr(intern!(py, "write"))?;
    let corrected = "a bytes, bytearray, or memoryview object";
    let kinds = if says(&standard, corrected)? { corrected } else { "a bytes-like object" };
    let name = data.get_type().name()?;
    fresh::text(format_args!("data argument must be {kinds}, not {}", name.repr()?))
}

/// The turn is over, or has gone on for long.
fn on_turn_end(event_loop: &Bound<'_, Loop>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: it is given to `Unsent::new` with transports of this class alone.
    let transport = unsafe { transport.cast_unchecked::<SocketTransport>() };
    confine(event_loop, transport, SocketTransport::flush_unsent)
}
