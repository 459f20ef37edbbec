//! From the lower transport to the application's protocol.
//!
//! A native socket hands over ciphertext in two steps, so that its buffer is free again when the
//! application's code runs: [`TlsProtocol::absorb`] takes it in, [`TlsProtocol::advance`] acts on it. Of that
//! code, `get_buffer` alone runs in the first step.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use super::machine::{TlsDelivery, TlsPhase, TlsProtocol};
use super::session::{Decrypted, Read};
use crate::transport::native_protocol;
use crate::transport::socket::writable_bytes;

/// What was done with ciphertext before the application's code is run on what came of it.
#[derive(Debug)]
pub(crate) enum Absorbed<'py> {
    /// It waits in the session.
    Fed,
    /// This is for `data_received`.
    Decrypted(Decrypted<'py>),
    /// The application's own memory has it, unless an error is to be told.
    Filled(PyResult<Filled<'py>>),
}

/// What memory of a `BufferedProtocol` was filled with.
#[derive(Debug)]
pub(crate) struct Filled<'py> {
    protocol: Bound<'py, PyAny>,
    length: usize,
    end: PyResult<Read>,
}

impl TlsProtocol {
    /// Takes ciphertext in, and decrypts it to where the application will find it.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn absorb<'py>(
        slf: &Bound<'py, Self>,
        ciphertext: &[u8],
    ) -> PyResult<Absorbed<'py>> {
        let py = slf.py();
        let session = &slf.get().session;
        let delivery = slf.get().state.with(py, |state| {
            (state.phase == TlsPhase::Wrapped && !state.reading_paused).then_some(state.delivery)
        });
        Ok(match delivery {
            Some(TlsDelivery::Plain) => Absorbed::Decrypted(session.decrypt(py, ciphertext)),
            Some(TlsDelivery::Buffered) => session.feed_to(py, ciphertext, || Self::fill(slf))?,
            None => {
                session.feed(py, ciphertext)?;
                Absorbed::Fed
            }
        })
    }

    /// Does what the new bytes make possible.
    ///
    /// # Errors
    /// What ends the lower transport: all but the errors of TLS and of the application's protocol.
    pub(crate) fn advance(slf: &Bound<'_, Self>, absorbed: Absorbed<'_>) -> PyResult<()> {
        if !matches!(absorbed, Absorbed::Fed) {
            return Self::deliver(slf, absorbed);
        }
        match slf.get().phase(slf.py()) {
            TlsPhase::Unwrapped => Ok(()),
            TlsPhase::Handshake => Self::go_on_with_handshake(slf),
            TlsPhase::Wrapped => Self::read(slf),
            TlsPhase::Flushing => Self::flush_reads(slf),
            TlsPhase::Shutdown => Self::go_on_with_shutdown(slf),
        }
    }

    /// Gives the application what can be decrypted, and sends what it answers.
    pub(super) fn read(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (phase, paused, delivery) =
            slf.get().state.with(py, |state| (state.phase, state.reading_paused, state.delivery));
        if !matches!(phase, TlsPhase::Wrapped | TlsPhase::Flushing) {
            return Ok(());
        }
        let absorbed = match delivery {
            _ if paused => Absorbed::Fed,
            TlsDelivery::Plain => Absorbed::Decrypted(slf.get().session.decrypt(py, &[])),
            TlsDelivery::Buffered => Self::fill(slf),
        };
        Self::deliver(slf, absorbed)
    }

    fn deliver(slf: &Bound<'_, Self>, absorbed: Absorbed<'_>) -> PyResult<()> {
        match Self::deliver_and_answer(slf, absorbed) {
            Err(error) if error.is_instance_of::<PyException>(slf.py()) => {
                Self::fatal_error(slf, &error, "Fatal error on SSL protocol")
            }
            answer => answer,
        }
    }

    fn deliver_and_answer(slf: &Bound<'_, Self>, absorbed: Absorbed<'_>) -> PyResult<()> {
        let py = slf.py();
        match absorbed {
            Absorbed::Fed => return Self::control_lower_reading(slf),
            Absorbed::Decrypted(Decrypted { data, end }) => {
                if let Some(data) = data
                    && let Some(protocol) = slf.get().app_protocol(py)
                {
                    native_protocol::deliver(&protocol, &data)?;
                }
                Self::end_of_read(slf, end)?;
            }
            Absorbed::Filled(filled) => Self::tell_filled(slf, filled?)?,
        }
        if slf.get().state.with(py, |state| state.backlog_bytes > 0) {
            Self::encrypt(slf)?;
        } else {
            Self::send_ciphertext(slf)?;
        }
        Self::control_lower_reading(slf)
    }

    /// Has a `BufferedProtocol` say where the data shall be, and decrypts it to there.
    fn fill<'py>(slf: &Bound<'py, Self>) -> Absorbed<'py> {
        let Some(protocol) = slf.get().app_protocol(slf.py()) else { return Absorbed::Fed };
        Absorbed::Filled(Self::decrypt_into(slf, protocol))
    }

    fn decrypt_into<'py>(
        slf: &Bound<'py, Self>,
        protocol: Bound<'py, PyAny>,
    ) -> PyResult<Filled<'py>> {
        let py = slf.py();
        let pending = slf.get().session.pending_in(py)?;
        let object = protocol.call_method1(intern!(py, "get_buffer"), (pending,))?;
        // Of what has no length asyncio says that.
        let target =
            writable_bytes(&object).map_err(|error| object.len().err().unwrap_or(error))?;
        // SAFETY: the buffer is a writable, contiguous piece of memory that its exporter keeps in
        // place while `target` is alive; it has been initialised, as all memory of Python's is.
        let room = unsafe {
            std::slice::from_raw_parts_mut(target.buf_ptr().cast::<u8>(), target.len_bytes())
        };
        let mut length = 0;
        let end = loop {
            if length == room.len() {
                // asyncio takes a buffer without room for the end of the stream.
                break Ok(if length == 0 { Read::Closed } else { Read::Data(length) });
            }
            match slf.get().session.read_into(py, &mut room[length..]) {
                Ok(Read::Data(read)) => length += read,
                end => break end,
            }
        };
        Ok(Filled { protocol, length, end })
    }

    fn tell_filled(slf: &Bound<'_, Self>, filled: Filled<'_>) -> PyResult<()> {
        let Filled { protocol, length, end } = filled;
        if matches!(end, Ok(Read::Data(_))) {
            Self::call_soon(slf, "_do_read")?;
        }
        if length > 0 {
            let name = intern!(slf.py(), "buffer_updated");
            protocol.call_method1(name, (length,))?;
        }
        Self::end_of_read(slf, end)
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
            TlsPhase::Wrapped => Self::read(slf),
            TlsPhase::Flushing => Self::flush_reads(slf),
            TlsPhase::Shutdown => Self::go_on_with_shutdown(slf),
            TlsPhase::Unwrapped | TlsPhase::Handshake => Ok(()),
        }
    }

    /// Has the lower transport read no more than the application takes.
    pub(super) fn control_lower_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let size = slf.get().session.pending_in(py)?;
        let call = slf.get().state.with(py, |state| {
            let method = if size >= state.incoming.high && !state.lower_paused {
                state.lower_paused = true;
                "pause_reading"
            } else if size <= state.incoming.low && state.lower_paused {
                state.lower_paused = false;
                "resume_reading"
            } else {
                return None;
            };
            Some((state.lower.as_ref()?.clone_ref(py), method))
        });
        call.map_or(Ok(()), |(lower, method)| lower.call(py, method))
    }
}
