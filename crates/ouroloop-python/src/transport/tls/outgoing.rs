//! From the application's protocol to the lower transport.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use super::machine::{TlsPhase, TlsProtocol};
use super::session::{RECORD_BYTES, Step};
use crate::errors::leaving::leaves_loop;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::{Grow, no_memory, taken};
use crate::standard::{Standard, exception_of};
use crate::transport::chunk::Chunk;
use crate::turn::SCRATCH_BYTES;

/// Writes to a lost connection are warned of from this one on, as under asyncio.
const LOUD_LOSSES: u32 = 5;

/// Room that another record needs: with its header, its padding and its authentication.
const SEALED_RECORD: usize = RECORD_BYTES + 512;

/// The next of the backlog to be encrypted.
enum Piece {
    /// A piece that is worth a record of its own, from this place on.
    Whole(Py<PyBytes>, usize),
    /// Several small ones, copied together: so many bytes.
    Joined(usize),
}

/// Ciphertext that is about to be sent: the first `length` bytes of `room`.
struct Sealed<'a> {
    room: &'a mut [u8],
    length: usize,
}

impl TlsProtocol {
    /// Whether the connection still takes what the application writes.
    ///
    /// # Errors
    /// Those of the logger.
    pub(super) fn takes_writes(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let losses = slf.get().state.with(py, |state| {
            if matches!(state.phase, TlsPhase::Handshake | TlsPhase::Wrapped) {
                return None;
            }
            state.losses += 1;
            Some(state.losses - 1)
        });
        let Some(losses) = losses else { return Ok(true) };
        if losses >= LOUD_LOSSES {
            let logger = Standard::get(py)?.logger.bind(py);
            logger
                .call_method1(intern!(py, "warning"), (intern!(py, "SSL connection is closed"),))?;
        }
        Ok(false)
    }

    /// Puts `data` into the backlog.
    ///
    /// # Errors
    /// `TypeError` for an object that has no length. One that has no bytes is found when it would
    /// be encrypted, and ends the connection, as under asyncio.
    pub(super) fn append(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let bytes = if let Ok(bytes) = data.cast_exact::<PyBytes>() {
            bytes.clone()
        } else {
            data.len()?;
            match copy_of(data) {
                Ok(bytes) => bytes,
                Err(error) => {
                    return Self::fatal_error(slf, &error, "Fatal error on SSL protocol");
                }
            }
        };
        let length = bytes.as_bytes().len();
        if length > 0 {
            let chunk = Chunk::new(&bytes);
            let kept = slf.get().state.with(py, |state| {
                let kept = state.backlog.grow(chunk);
                state.backlog_bytes += if kept.is_ok() { length } else { 0 };
                kept
            });
            taken(py, kept)?;
        }
        Ok(())
    }

    /// Encrypts the backlog; the lower transport decides when it leaves.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of a protocol that was paused or resumed.
    pub(super) fn send_backlog(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().phase(slf.py()) == TlsPhase::Wrapped {
            Self::encrypt_guarded(slf)
        } else {
            Ok(())
        }
    }

    fn encrypt_guarded(slf: &Bound<'_, Self>) -> PyResult<()> {
        match Self::encrypt(slf) {
            Err(error) if error.is_instance_of::<PyException>(slf.py()) => {
                Self::fatal_error(slf, &error, "Fatal error on SSL protocol")
            }
            answer => answer,
        }
    }

    /// Encrypts the backlog and sends it, all of it where the lower transport takes anything: the
    /// application is told to wait by a later write, as under asyncio.
    ///
    /// # Errors
    /// OpenSSL's; those of the lower transport.
    pub(super) fn encrypt(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let full = slf.get().state.with(py, |state| state.lower_full);
        let answer = Self::with_scratch(slf, |record, sealed| {
            while let Some(piece) = slf.get().next_piece(py, record) {
                let data = match &piece {
                    Piece::Whole(bytes, start) => &bytes.as_bytes(py)[*start..],
                    Piece::Joined(length) => &record[..*length],
                };
                let room = if full { &mut [][..] } else { &mut sealed.room[sealed.length..] };
                let (step, length) = slf.get().session.encrypt(py, data, room)?;
                sealed.length += length;
                drop(piece);
                let Step::Done(length) = step else { break };
                slf.get().consume(py, length);
                if !full {
                    Self::drain(slf, sealed)?;
                }
            }
            if full { Ok(()) } else { Self::drain_and_send(slf, sealed) }
        });
        answer?;
        Self::control_writing(slf)
    }

    /// Sends ciphertext that the session has: of the handshake, of the shutdown, of writes that the
    /// lower transport had no room for.
    pub(super) fn send_ciphertext(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let full = slf.get().state.with(py, |state| state.lower_full);
        if !full && slf.get().session.pending_out(py)? > 0 {
            Self::with_scratch(slf, |_, sealed| Self::drain_and_send(slf, sealed))?;
        }
        Self::control_writing(slf)
    }

    /// Lends the loop's memory for what leaves: a record's worth of plain bytes, and the rest for
    /// ciphertext. Who needs it meanwhile gets another.
    fn with_scratch(
        slf: &Bound<'_, Self>,
        body: impl FnOnce(&mut [u8], &mut Sealed<'_>) -> PyResult<()>,
    ) -> PyResult<()> {
        let py = slf.py();
        let place = &slf.get().event_loop(py).get().outgoing;
        let mut scratch = place.replace(py, Vec::new());
        let missing = SCRATCH_BYTES.saturating_sub(scratch.len());
        scratch.try_reserve_exact(missing).map_err(|_| no_memory(py))?;
        scratch.resize(SCRATCH_BYTES, 0);
        let (record, room) = scratch.split_at_mut(RECORD_BYTES);
        let answer = body(record, &mut Sealed { room, length: 0 });
        drop(place.replace(py, scratch));
        answer
    }

    /// Takes what waits in the session, and hands down where there is no room for another record.
    fn drain(slf: &Bound<'_, Self>, sealed: &mut Sealed<'_>) -> PyResult<()> {
        let py = slf.py();
        loop {
            if sealed.room.len() - sealed.length < SEALED_RECORD {
                Self::hand_down(slf, sealed)?;
            }
            let length = slf.get().session.drain(py, &mut sealed.room[sealed.length..])?;
            sealed.length += length;
            if length == 0 {
                return Ok(());
            }
        }
    }

    fn drain_and_send(slf: &Bound<'_, Self>, sealed: &mut Sealed<'_>) -> PyResult<()> {
        Self::drain(slf, sealed)?;
        Self::hand_down(slf, sealed)
    }

    fn hand_down(slf: &Bound<'_, Self>, sealed: &mut Sealed<'_>) -> PyResult<()> {
        let py = slf.py();
        let ciphertext = &sealed.room[..std::mem::take(&mut sealed.length)];
        match slf.get().lower(py) {
            Some(lower) if !ciphertext.is_empty() => lower.send(py, ciphertext),
            _ => Ok(()),
        }
    }

    /// The next of the backlog; small pieces are copied together into `record`.
    fn next_piece(&self, py: Python<'_>, record: &mut [u8]) -> Option<Piece> {
        self.state.with(py, |state| {
            let start = state.backlog_start;
            let first = state.backlog.front()?;
            if state.backlog.len() == 1 || first.as_ref().len() - start >= record.len() {
                return Some(Piece::Whole(first.object(py).clone().unbind(), start));
            }
            let mut length = 0;
            for (number, chunk) in state.backlog.iter().enumerate() {
                let rest = &chunk.as_ref()[if number == 0 { start } else { 0 }..];
                let taken = rest.len().min(record.len() - length);
                record[length..length + taken].copy_from_slice(&rest[..taken]);
                length += taken;
                if length == record.len() {
                    break;
                }
            }
            Some(Piece::Joined(length))
        })
    }

    /// The first `length` bytes of the backlog are encrypted.
    fn consume(&self, py: Python<'_>, length: usize) {
        let mut left = length;
        while left > 0 {
            let done = self.state.with(py, |state| {
                let rest = state.backlog.front()?.as_ref().len() - state.backlog_start;
                let taken = left.min(rest);
                left -= taken;
                state.backlog_bytes -= taken;
                state.backlog_start += taken;
                if taken < rest {
                    return None;
                }
                state.backlog_start = 0;
                state.backlog.pop_front()
            });
            if done.is_none() {
                return;
            }
        }
    }

    /// How much of what the application wrote is still here.
    pub(super) fn write_buffer_size(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let py = slf.py();
        let backlog = slf.get().state.with(py, |state| state.backlog_bytes);
        Ok(slf.get().session.pending_out(py)? + backlog)
    }

    /// Pauses or resumes the application's protocol.
    pub(super) fn control_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let pending = slf.get().session.pending_out(py)?;
        let method = slf.get().state.with(py, |state| {
            let size = pending + state.backlog_bytes;
            if size >= state.outgoing.high && !state.writing_paused {
                state.writing_paused = true;
                Some("pause_writing")
            } else if size <= state.outgoing.low && state.writing_paused {
                state.writing_paused = false;
                Some("resume_writing")
            } else {
                None
            }
        });
        let (Some(method), Some(protocol)) = (method, slf.get().app_protocol(py)) else {
            return Ok(());
        };
        let Err(error) = protocol.call_method0(fresh::interned(py, method)?) else { return Ok(()) };
        if leaves_loop(py, &error) {
            return Err(error);
        }
        let context = fresh::dict(py)?;
        context.set_item(intern!(py, "message"), Text(format!("protocol.{method}() failed")))?;
        context.set_item(intern!(py, "transport"), slf.get().app_transport(py))?;
        context.set_item(intern!(py, "protocol"), slf)?;
        Self::report_caught(slf, &exception_of(py, &error), &context)
    }
}

/// The bytes of an object that its owner may change after this.
fn copy_of<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let view = PyMemoryView::from(data)?;
    Ok(view.call_method0(intern!(data.py(), "tobytes"))?.cast_into()?)
}
