//! From the lower transport to the application's protocol.
//!
//! A native socket hands over ciphertext in two steps, so that its buffer is free again when the
//! application's code runs: [`TlsProtocol::absorb`] takes it in, [`TlsProtocol::advance`] acts on it.

use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;

use super::session::{Decrypted, Read};
use super::{Kind, Phase, TlsProtocol};
use crate::stream;
use crate::transport::socket::writable_bytes;

impl TlsProtocol {
    /// Takes ciphertext in, and decrypts it where it will be given to `data_received`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn absorb<'py>(
        slf: &Bound<'py, Self>,
        ciphertext: &[u8],
    ) -> PyResult<Option<Decrypted<'py>>> {
        let py = slf.py();
        let decrypts = slf.get().state.with(py, |state| {
            state.phase == Phase::Wrapped && state.kind == Kind::Plain && !state.reading_paused
        });
        if decrypts {
            return Ok(Some(slf.get().session.decrypt(py, ciphertext)));
        }
        slf.get().session.feed(py, ciphertext)?;
        Ok(None)
    }

    /// Does what the new bytes make possible.
    ///
    /// # Errors
    /// What ends the lower transport: all but the errors of TLS and of the application's protocol.
    pub(crate) fn advance(slf: &Bound<'_, Self>, decrypted: Option<Decrypted<'_>>) -> PyResult<()> {
        match slf.get().phase(slf.py()) {
            Phase::Unwrapped => Ok(()),
            Phase::Handshake => Self::go_on_with_handshake(slf),
            Phase::Wrapped => Self::read(slf, decrypted),
            Phase::Flushing => Self::flush_reads(slf),
            Phase::Shutdown => Self::go_on_with_shutdown(slf),
        }
    }

    /// Gives the application what can be decrypted, or has been, and sends what it answers.
    pub(super) fn read(slf: &Bound<'_, Self>, decrypted: Option<Decrypted<'_>>) -> PyResult<()> {
        let py = slf.py();
        if !matches!(slf.get().phase(py), Phase::Wrapped | Phase::Flushing) {
            return Ok(());
        }
        match Self::read_and_answer(slf, decrypted) {
            Err(error) if error.is_instance_of::<PyException>(py) => {
                Self::fatal_error(slf, &error, "Fatal error on SSL protocol")
            }
            answer => answer,
        }
    }

    fn read_and_answer(slf: &Bound<'_, Self>, decrypted: Option<Decrypted<'_>>) -> PyResult<()> {
        let py = slf.py();
        let (paused, kind) = slf.get().state.with(py, |state| (state.reading_paused, state.kind));
        match decrypted {
            Some(decrypted) => Self::deliver(slf, decrypted)?,
            None if paused => return Self::control_lower_reading(slf),
            None if kind == Kind::Buffered => Self::read_into_protocol(slf)?,
            None => Self::deliver(slf, slf.get().session.decrypt(py, &[]))?,
        }
        let (deferred, backlog) =
            slf.get().state.with(py, |state| (state.deferred, state.backlog_bytes > 0));
        if !deferred {
            if backlog { Self::encrypt(slf)? } else { Self::send_ciphertext(slf)? }
        }
        Self::control_lower_reading(slf)
    }

    fn deliver(slf: &Bound<'_, Self>, decrypted: Decrypted<'_>) -> PyResult<()> {
        let py = slf.py();
        if let Some(data) = decrypted.data
            && let Some(protocol) = slf.get().app_protocol(py)
        {
            Self::after_protocol(slf, stream::deliver(&protocol, &data))?;
        }
        Self::end_of_read(slf, decrypted.end)
    }

    fn read_into_protocol(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(protocol) = slf.get().app_protocol(py) else { return Ok(()) };
        let pending = slf.get().session.pending_in(py)?;
        let object = protocol.call_method1(intern!(py, "get_buffer"), (pending,))?;
        let target = writable_bytes(&object)?;
        // SAFETY: the buffer is a writable, contiguous piece of memory that its exporter keeps in
        // place while `target` is alive; it has been initialised, as all memory of Python's is.
        let room = unsafe {
            std::slice::from_raw_parts_mut(target.buf_ptr().cast::<u8>(), target.len_bytes())
        };
        let mut filled = 0;
        let end = loop {
            if filled == room.len() {
                // asyncio takes a buffer without room for the end of the stream.
                break Ok(if filled == 0 { Read::Closed } else { Read::Data(filled) });
            }
            match slf.get().session.read_into(py, &mut room[filled..]) {
                Ok(Read::Data(length)) => filled += length,
                end => break end,
            }
        };
        drop(target);
        if matches!(end, Ok(Read::Data(_))) {
            Self::call_soon(slf, "_do_read")?;
        }
        if filled > 0 {
            let answer = protocol.call_method1(intern!(py, "buffer_updated"), (filled,));
            Self::after_protocol(slf, answer.map(drop))?;
        }
        Self::end_of_read(slf, end)
    }

    /// What the protocol wrote before it raised leaves, as it would have under asyncio.
    fn after_protocol(slf: &Bound<'_, Self>, answer: PyResult<()>) -> PyResult<()> {
        if answer.is_err() {
            Self::flush_deferred(slf)?;
        }
        answer
    }

    fn end_of_read(slf: &Bound<'_, Self>, end: PyResult<Read>) -> PyResult<()> {
        match end? {
            Read::Data(_) | Read::Again => Ok(()),
            Read::Closed => {
                Self::tell_eof(slf)?;
                Self::start_shutdown(slf)
            }
        }
    }

    /// The application wants data again.
    pub(super) fn resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        match slf.get().phase(slf.py()) {
            Phase::Wrapped => Self::read(slf, None),
            Phase::Flushing => Self::flush_reads(slf),
            Phase::Shutdown => Self::go_on_with_shutdown(slf),
            Phase::Unwrapped | Phase::Handshake => Ok(()),
        }
    }

    /// Has the lower transport read no more than the application takes.
    pub(super) fn control_lower_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let size = slf.get().session.pending_in(py)?;
        let (lower, method) = slf.get().state.with(py, |state| {
            let lower = state.lower.as_ref().map(|lower| lower.clone_ref(py));
            if size >= state.incoming.high && !state.lower_paused {
                state.lower_paused = true;
                (lower, "pause_reading")
            } else if size <= state.incoming.low && state.lower_paused {
                state.lower_paused = false;
                (lower, "resume_reading")
            } else {
                (None, "")
            }
        });
        lower.map_or(Ok(()), |lower| lower.call(py, method))
    }
}

pub(super) fn leaves_loop(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py)
}
