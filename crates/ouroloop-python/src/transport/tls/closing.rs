//! From `close`, the peer's `close_notify` or an end of the stream to the application's `connection_lost`.

use pyo3::exceptions::{PyConnectionResetError, PyException, PyTimeoutError};
use pyo3::prelude::*;

use super::machine::{TlsPhase, TlsProtocol, Told};
use super::names::Names;
use super::session::Step;
use crate::errors::leaving::leaves_loop;
use crate::interpreter::fresh;
use crate::standard::Standard;
use crate::turn::log_debug;

impl TlsProtocol {
    /// Ends the connection in good order, once; a handshake under way is aborted.
    pub(super) fn start_shutdown(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().phase(py) {
            TlsPhase::Unwrapped | TlsPhase::Flushing | TlsPhase::Shutdown => return Ok(()),
            TlsPhase::Handshake => {
                slf.get().mark_transport_closed(py);
                return Self::abort(slf, None);
            }
            TlsPhase::Wrapped => {}
        }
        slf.get().mark_transport_closed(py);
        slf.get().set_phase(py, TlsPhase::Flushing);
        let late = slf.getattr(intern!(py, "_check_shutdown_timeout"))?;
        let arguments = (&slf.get().shutdown_timeout, late);
        let event_loop = slf.get().event_loop(py);
        let timer = event_loop.call_method1(intern!(py, "call_later"), arguments)?.unbind();
        drop(slf.get().state.with(py, |state| state.shutdown_timer.replace(timer)));
        Self::flush_reads(slf)
    }

    /// Gives the application what is there and says `close_notify`.
    pub(super) fn flush_reads(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::read(slf)?;
        if slf.get().phase(slf.py()) != TlsPhase::Flushing {
            // The application has aborted the connection, or an error has.
            return Ok(());
        }
        slf.get().set_phase(slf.py(), TlsPhase::Shutdown);
        Self::go_on_with_shutdown(slf)
    }

    pub(super) fn go_on_with_shutdown(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let eof = slf.get().state.with(py, |state| state.eof);
        let step = if eof { Ok(Step::Done(())) } else { slf.get().session.shutdown(py) };
        match step {
            Ok(Step::Again) => Self::send_ciphertext(slf),
            Ok(Step::Done(())) => {
                Self::send_ciphertext(slf)?;
                Self::tell_eof(slf)?;
                Self::end_shutdown(slf, None)
            }
            Err(error) if error.matches(py, &Names::get(py)?.error)? => {
                Self::end_shutdown(slf, Some(&error))
            }
            Err(error) => Err(error),
        }
    }

    fn end_shutdown(slf: &Bound<'_, Self>, error: Option<&PyErr>) -> PyResult<()> {
        let py = slf.py();
        Self::stop_timers(slf)?;
        if let Some(error) = error {
            return Self::fatal_error(slf, error, "Fatal error on transport");
        }
        let Some(lower) = slf.get().lower(py) else { return Ok(()) };
        let close = lower.object().bind(py).getattr(intern!(py, "close"))?;
        slf.get().event_loop(py).call_method1(intern!(py, "call_soon"), (close,)).map(drop)
    }

    /// The time for the shutdown is over.
    pub(super) fn shutdown_is_late(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !matches!(slf.get().phase(py), TlsPhase::Flushing | TlsPhase::Shutdown) {
            return Ok(());
        }
        let Some(lower) = slf.get().lower(py) else { return Ok(()) };
        let error = fresh::error::<PyTimeoutError>("SSL shutdown timed out");
        lower.force_close(py, Some(error.into_value(py).into_any()))
    }

    /// Ends the connection at once.
    pub(super) fn abort(slf: &Bound<'_, Self>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let py = slf.py();
        slf.get().set_phase(py, TlsPhase::Unwrapped);
        match slf.get().lower(py) {
            Some(lower) => lower.force_close(py, error),
            None => Ok(()),
        }
    }

    /// The lower transport's stream has ended; the answer asks it to stay open.
    pub(super) fn end_of_stream(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        slf.get().state.with(py, |state| state.eof = true);
        let answer = Self::handle_end_of_stream(slf);
        if let Err(error) = &answer
            && error.is_instance_of::<PyException>(py)
            && let Some(lower) = slf.get().lower(py)
        {
            lower.call(py, "close")?;
        }
        answer
    }

    fn handle_end_of_stream(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let event_loop = slf.get().event_loop(py).get();
        log_debug(event_loop, py, || fresh::text(format_args!("{} received EOF", slf.repr()?)))?;
        match slf.get().phase(py) {
            TlsPhase::Unwrapped => {}
            TlsPhase::Handshake => {
                let error = PyConnectionResetError::new_err(());
                Self::end_handshake(slf, Some(error))?;
            }
            TlsPhase::Wrapped => {
                let paused = slf.get().state.with(py, |state| {
                    state.phase = TlsPhase::Flushing;
                    state.reading_paused
                });
                if paused {
                    return Ok(true);
                }
                Self::flush_reads(slf)?;
            }
            TlsPhase::Flushing => {
                Self::encrypt(slf)?;
                slf.get().set_phase(py, TlsPhase::Shutdown);
                Self::go_on_with_shutdown(slf)?;
            }
            TlsPhase::Shutdown => Self::go_on_with_shutdown(slf)?,
        }
        Ok(false)
    }

    /// Tells the application that the peer writes no more; TLS has no half of a connection to keep.
    pub(super) fn tell_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let told = slf.get().state.with(py, |state| {
            let tells = state.told == Told::Connected;
            if tells {
                state.told = Told::Ended;
            }
            tells
        });
        let Some(protocol) = slf.get().app_protocol(py).filter(|_| told) else { return Ok(()) };
        let answer = protocol
            .call_method0(intern!(py, "eof_received"))
            .and_then(|keep_open| keep_open.is_truthy())
            .and_then(|keep_open| {
                if !keep_open {
                    return Ok(());
                }
                let message = "returning true from eof_received() has no effect when using ssl";
                let logger = Standard::get(py)?.logger.bind(py);
                logger.call_method1(intern!(py, "warning"), (message,)).map(drop)
            });
        match answer {
            Err(error) if leaves_loop(py, &error) => Err(error),
            Err(error) => Self::fatal_error(slf, &error, "Error calling eof_received()"),
            Ok(()) => Ok(()),
        }
    }

    /// The lower transport has lost the connection.
    pub(super) fn lost(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.mark_transport_closed(py);
        let (backlog, tells) = this.state.with(py, |state| {
            state.losses += 1;
            state.backlog_bytes = 0;
            state.backlog_start = 0;
            let connected = matches!(state.told, Told::Connected | Told::Ended);
            let tells = state.phase != TlsPhase::Handshake && connected;
            if tells {
                state.told = Told::Lost;
            }
            state.phase = TlsPhase::Unwrapped;
            (std::mem::take(&mut state.backlog), tells)
        });
        drop(backlog);
        this.session.outgoing(py).call_method0(intern!(py, "read"))?;
        let told = match this.app_protocol(py).filter(|_| tells) {
            Some(protocol) => protocol.getattr(intern!(py, "connection_lost")).and_then(|lost| {
                this.event_loop(py).call_method1(intern!(py, "call_soon"), (lost, error)).map(drop)
            }),
            None => Ok(()),
        };
        let cause = (!error.is_none()).then_some(error);
        let woken = Self::wake_waiter(slf, cause);
        let rest = this
            .state
            .with(py, |state| (state.lower.take(), state.transport.take(), state.protocol.take()));
        drop(rest);
        // Whoever waits for the connection hears of its end whatever the protocol is.
        let stopped = Self::stop_timers(slf);
        told.and(stopped).and(woken)
    }

    pub(super) fn stop_timers(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let timers = slf
            .get()
            .state
            .with(py, |state| [state.handshake_timer.take(), state.shutdown_timer.take()]);
        for timer in timers.into_iter().flatten() {
            timer.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    /// The face needs no word of warning any more when it is dropped.
    fn mark_transport_closed(&self, py: Python<'_>) {
        if let Some(transport) = self.app_transport(py) {
            transport.get().mark_closed(py);
        }
    }
}
