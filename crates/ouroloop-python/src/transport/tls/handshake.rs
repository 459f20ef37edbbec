//! From `connection_made` to the application's `connection_made`.

use pyo3::exceptions::{PyConnectionAbortedError, PyException, PyRuntimeError};
use pyo3::prelude::*;

use super::lower::Lower;
use super::machine::{TlsPhase, TlsProtocol, Told};
use super::names::Names;
use super::session::Step;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::standard::{Standard, exception_of};
use crate::turn::Loop;

impl TlsProtocol {
    /// The lower transport is connected: the handshake begins.
    pub(super) fn begin(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let lower = Lower::of(transport);
        let (phase, before) =
            slf.get().state.with(py, |state| (state.phase, state.lower.replace(lower)));
        drop(before);
        if phase != TlsPhase::Unwrapped {
            return Err(fresh::error::<PyRuntimeError>("the handshake has begun before"));
        }
        let event_loop = slf.get().event_loop(py);
        if event_loop.get().is_debug(py) {
            let logger = Standard::get(py)?.logger.bind(py);
            logger.call_method1(
                intern!(py, "debug"),
                (intern!(py, "%r starts SSL handshake"), slf),
            )?;
        }
        let now = Loop::time(event_loop)?;
        slf.get().state.with(py, |state| {
            state.phase = TlsPhase::Handshake;
            state.handshake_start = now;
        });
        let late = slf.getattr(intern!(py, "_check_handshake_timeout"))?;
        let arguments = (&slf.get().handshake_timeout, late);
        let timer = event_loop.call_method1(intern!(py, "call_later"), arguments)?.unbind();
        drop(slf.get().state.with(py, |state| state.handshake_timer.replace(timer)));
        Self::go_on_with_handshake(slf)
    }

    pub(super) fn go_on_with_handshake(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().session.handshake(py) {
            Ok(Step::Again) => Self::send_ciphertext(slf),
            Ok(Step::Done(())) => Self::end_handshake(slf, None),
            Err(error) if error.matches(py, &Names::get(py)?.error)? => {
                Self::end_handshake(slf, Some(error))
            }
            Err(error) => Err(error),
        }
    }

    /// The handshake has succeeded, or failed with `error`.
    pub(super) fn end_handshake(slf: &Bound<'_, Self>, error: Option<PyErr>) -> PyResult<()> {
        let py = slf.py();
        Self::stop_timers(slf)?;
        let session = slf.get().session.object(py);
        let outcome = if let Some(error) = error {
            Err(error)
        } else {
            slf.get().set_phase(py, TlsPhase::Wrapped);
            session.call_method0(intern!(py, "getpeercert"))
        };
        let peercert = match outcome {
            Ok(peercert) => peercert,
            Err(error) if error.is_instance_of::<PyException>(py) => {
                slf.get().set_phase(py, TlsPhase::Unwrapped);
                let message = if error.matches(py, &Names::get(py)?.certificate_error)? {
                    "SSL handshake failed on verifying the certificate"
                } else {
                    "SSL handshake failed"
                };
                Self::fatal_error(slf, &error, message)?;
                return Self::wake_waiter(slf, Some(exception_of(py, &error).as_any()));
            }
            Err(error) => return Err(error),
        };
        let event_loop = slf.get().event_loop(py);
        if event_loop.get().is_debug(py) {
            let start = slf.get().state.with(py, |state| state.handshake_start);
            let took = (Loop::time(event_loop)? - start) * 1e3;
            let logger = Standard::get(py)?.logger.bind(py);
            let arguments = ("%r: SSL handshake took %.1f ms", slf, took);
            logger.call_method1(intern!(py, "debug"), arguments)?;
        }
        let cipher = session.call_method0(intern!(py, "cipher"))?;
        let compression = session.call_method0(intern!(py, "compression"))?;
        let (extra, first) = slf.get().state.with(py, |state| {
            let first = state.told == Told::Nothing;
            if first {
                state.told = Told::Connected;
            }
            (state.extra.clone_ref(py), first)
        });
        if let Some(extra) = extra {
            let extra = extra.bind(py);
            extra.set_item(intern!(py, "peercert"), peercert)?;
            extra.set_item(intern!(py, "cipher"), cipher)?;
            extra.set_item(intern!(py, "compression"), compression)?;
            extra.set_item(intern!(py, "ssl_object"), session)?;
        }
        if first
            && let Some(protocol) = slf.get().app_protocol(py)
            && let Some(transport) = slf.get().app_transport(py)
        {
            protocol.call_method1(intern!(py, "connection_made"), (transport,))?;
        }
        Self::wake_waiter(slf, None)?;
        Self::read(slf)
    }

    /// The time for the handshake is over.
    pub(super) fn handshake_is_late(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().phase(py) != TlsPhase::Handshake {
            return Ok(());
        }
        let message = format!(
            "SSL handshake is taking longer than {} seconds: aborting the connection",
            slf.get().handshake_timeout
        );
        let error = fresh::error::<PyConnectionAbortedError>(message);
        Self::fatal_error(slf, &error, "Fatal error on transport")
    }
}
