//! The machine, and the face of it that the application's protocol is given: they hold each other.

use std::collections::VecDeque;

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyWeakrefReference};

use super::lower::Lower;
use super::security::Security;
use super::session::Session;
use crate::errors::logged::log_error;
use crate::future::{Future, Outcome};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::standard::exception_of;
use crate::transport::chunk::Chunk;
use crate::turn::{Loop, report_caught};

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsPhase {
    Unwrapped,
    Handshake,
    Wrapped,
    Flushing,
    Shutdown,
}

/// What the application's protocol has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Connected,
    Ended,
    Lost,
}

/// How the application's protocol takes what was decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsDelivery {
    /// `data_received(bytes)`.
    Plain,
    /// `get_buffer(n)` and `buffer_updated(n)`.
    Buffered,
}

/// Who waits for the end of the handshake.
#[derive(Debug)]
pub(crate) enum HandshakeWaiter {
    /// Whoever awaits this future.
    For(Py<Future>),
    /// Nobody: the connection came in through a server, and debug mode reports a failure.
    Accepted,
}

/// asyncio's two marks of a buffer in TLS: unlike a socket's, the upper one is reached by equality.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) low: usize,
    pub(super) high: usize,
}

impl Marks {
    pub(super) const fn of_kib(high: usize) -> Self {
        Self { low: high * 1024 / 4, high: high * 1024 }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: TlsPhase,
    pub(super) told: Told,
    pub(super) lower: Option<Lower>,
    pub(super) protocol: Option<Py<PyAny>>,
    pub(super) delivery: TlsDelivery,
    /// The face given to `protocol`, until the connection is lost.
    pub(super) transport: Option<Py<TlsTransport>>,
    pub(super) waiting: Option<HandshakeWaiter>,
    /// asyncio's extra information that TLS adds to the lower transport's.
    pub(super) extra: Option<Py<PyDict>>,
    /// Memory that a transport which is no native socket reads into.
    pub(super) buffer: Option<Py<PyByteArray>>,
    pub(super) handshake_timer: Option<Py<PyAny>>,
    pub(super) shutdown_timer: Option<Py<PyAny>>,
    /// When the handshake began, in debug mode.
    pub(super) handshake_start: f64,
    /// What the application wrote and is not encrypted, and how much of the first piece is.
    pub(super) backlog: VecDeque<Chunk>,
    pub(super) backlog_start: usize,
    pub(super) backlog_bytes: usize,
    /// The lower transport has enough for now: ciphertext waits in the session.
    pub(super) lower_full: bool,
    /// The lower transport was told not to read.
    pub(super) lower_paused: bool,
    /// The application does not want to be given data.
    pub(super) reading_paused: bool,
    /// The application was told not to write.
    pub(super) writing_paused: bool,
    pub(super) incoming: Marks,
    pub(super) outgoing: Marks,
    /// The lower transport's stream has ended.
    pub(super) eof: bool,
    /// Writes since the connection was lost, and the loss itself.
    pub(super) losses: u32,
}

/// The machine: a protocol of the lower transport. asyncio's class of this name is its model.
#[pyclass(frozen, weakref, name = "SSLProtocol", module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct TlsProtocol {
    pub(super) event_loop: Py<Loop>,
    pub(super) session: Session,
    /// Seconds, as the user gave them: messages show them so.
    pub(super) handshake_timeout: Py<PyAny>,
    pub(super) shutdown_timeout: Py<PyAny>,
    pub(super) state: AttachedCell<State>,
}

made_at_the_start!(TlsProtocol);

/// What a transport has of its machine.
#[derive(Debug)]
pub(super) enum MachineLink {
    Held(Py<TlsProtocol>),
    /// By a weak reference: closed again after a `close()`, the transport keeps nothing alive, as
    /// asyncio's from Python 3.12 on. While somebody else does, it goes on answering.
    Known(Py<PyWeakrefReference>),
}

/// A face of [`TlsProtocol`], by which the application writes to it and ends it.
#[pyclass(frozen, weakref, name = "_SSLProtocolTransport", module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct TlsTransport {
    pub(super) machine: AttachedCell<MachineLink>,
    /// `close` or `abort` was called, or the connection was lost.
    pub(super) closed: AttachedCell<bool>,
}

impl TlsProtocol {
    pub(super) fn new<'py>(
        event_loop: &Bound<'py, Loop>,
        protocol: Py<PyAny>,
        waiting: HandshakeWaiter,
        security: &Security,
        told: Told,
    ) -> PyResult<(Bound<'py, Self>, Bound<'py, TlsTransport>)> {
        let py = event_loop.py();
        let timeouts = security.timeouts(py)?;
        let context = security.context(py)?;
        let session = Session::new(&context, security)?;
        let extra = fresh::dict(py)?;
        extra.set_item(intern!(py, "sslcontext"), context)?;
        let delivery = delivery_of(protocol.bind(py))?;
        let machine = Bound::new(
            py,
            Self {
                event_loop: event_loop.clone().unbind(),
                session,
                handshake_timeout: timeouts.handshake,
                shutdown_timeout: timeouts.shutdown,
                state: AttachedCell::new(State {
                    phase: TlsPhase::Unwrapped,
                    told,
                    lower: None,
                    protocol: Some(protocol),
                    delivery,
                    transport: None,
                    waiting: Some(waiting),
                    extra: Some(extra.unbind()),
                    buffer: None,
                    handshake_timer: None,
                    shutdown_timer: None,
                    handshake_start: 0.0,
                    backlog: VecDeque::new(),
                    backlog_start: 0,
                    backlog_bytes: 0,
                    lower_full: false,
                    lower_paused: false,
                    reading_paused: false,
                    writing_paused: false,
                    incoming: Marks::of_kib(256),
                    outgoing: Marks::of_kib(512),
                    eof: false,
                    losses: 0,
                }),
            },
        )?;
        let transport = TlsTransport::new(&machine)?;
        let kept = transport.clone().unbind();
        drop(machine.get().state.with(py, |state| state.transport.replace(kept)));
        Ok((machine, transport))
    }

    pub(super) fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, Loop> {
        self.event_loop.bind(py)
    }

    /// Whether its loop is the parent's, which this process was forked from.
    pub(super) fn is_inherited(&self, py: Python<'_>) -> bool {
        self.event_loop(py).get().is_inherited()
    }

    /// # Errors
    /// Those of [`Loop::act_for`].
    pub(super) fn claim_loop(&self, py: Python<'_>) -> PyResult<()> {
        self.event_loop(py).get().act_for(py)
    }

    pub(super) fn phase(&self, py: Python<'_>) -> TlsPhase {
        self.state.with(py, |state| state.phase)
    }

    pub(super) fn set_phase(&self, py: Python<'_>, phase: TlsPhase) {
        self.state.with(py, |state| state.phase = phase);
    }

    pub(super) fn lower(&self, py: Python<'_>) -> Option<Lower> {
        self.state.with(py, |state| state.lower.as_ref().map(|it| it.clone_ref(py)))
    }

    pub(super) fn app_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state
            .with(py, |state| state.protocol.clone_ref(py))
            .map(|protocol| protocol.into_bound(py))
    }

    /// What the application writes to; `None` once the connection has ended.
    pub(crate) fn app_transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, TlsTransport>> {
        self.state
            .with(py, |state| state.transport.clone_ref(py))
            .map(|transport| transport.into_bound(py))
    }

    pub(super) fn set_app_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = protocol.py();
        let delivery = delivery_of(protocol)?;
        let protocol = protocol.clone().unbind();
        drop(self.state.with(py, |state| {
            state.delivery = delivery;
            state.protocol.replace(protocol)
        }));
        Ok(())
    }

    /// Calls `method` of this machine in the next turn.
    pub(super) fn call_soon(slf: &Bound<'_, Self>, method: &str) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.get().event_loop(py);
        let method = slf.getattr(method)?;
        event_loop.call_method1(intern!(py, "call_soon"), (method,)).map(drop)
    }

    /// Tells whoever waits for the handshake how it went.
    pub(super) fn wake_waiter(
        slf: &Bound<'_, Self>,
        error: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        match slf.get().state.with(py, |state| state.waiting.take()) {
            None => Ok(()),
            Some(HandshakeWaiter::For(waiter)) => {
                let waiter = waiter.bind(py);
                if waiter.get().is_done(py) {
                    return Ok(());
                }
                match error {
                    Some(error) => Future::finish_with_error(waiter, error),
                    None => Future::finish(waiter, Outcome::Result(py.None())),
                }
            }
            Some(HandshakeWaiter::Accepted) => match error {
                Some(error) if slf.get().event_loop(py).get().is_debug(py) => {
                    let context = fresh::dict(py)?;
                    let message = "Error on transport creation for incoming connection";
                    context.set_item(intern!(py, "message"), Text(message))?;
                    context.set_item(intern!(py, "protocol"), slf.get().app_protocol(py))?;
                    context.set_item(intern!(py, "transport"), slf.get().app_transport(py))?;
                    Self::report_caught(slf, error.cast()?, &context)
                }
                _ => Ok(()),
            },
        }
    }

    /// asyncio's rule for an error that ends the connection, with TLS's own exceptions.
    ///
    /// # Errors
    /// What the exception handler raises.
    pub(super) fn fatal_error(slf: &Bound<'_, Self>, error: &PyErr, message: &str) -> PyResult<()> {
        use pyo3::exceptions::PyOSError;
        let py = slf.py();
        let exception = exception_of(py, error);
        let lower = slf.get().lower(py);
        if let Some(lower) = &lower {
            lower.force_close(py, Some(exception.clone().into_any().unbind()))?;
        }
        if error.is_instance_of::<PyOSError>(py) {
            if slf.get().event_loop(py).get().is_debug(py) {
                log_error(intern!(py, "debug"), ("%r: %s", slf, message), exception.as_any())?;
            }
            return Ok(());
        }
        let cancelled = crate::standard::Standard::get(py)?.cancelled_error.bind(py);
        if error.matches(py, cancelled)? {
            return Ok(());
        }
        let context = fresh::dict(py)?;
        context.set_item(intern!(py, "message"), Text(message))?;
        context.set_item(intern!(py, "transport"), lower.map(|lower| lower.into_object(py)))?;
        context.set_item(intern!(py, "protocol"), slf)?;
        Self::report_caught(slf, &exception, &context)
    }

    pub(super) fn report_caught(
        slf: &Bound<'_, Self>,
        error: &Bound<'_, PyBaseException>,
        context: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        report_caught(slf.get().event_loop(slf.py()), error, context)
    }
}

fn delivery_of(protocol: &Bound<'_, PyAny>) -> PyResult<TlsDelivery> {
    let py = protocol.py();
    let buffered = crate::standard::Standard::get(py)?.buffered_protocol.bind(py);
    let is_buffered = protocol.getattr_opt(intern!(py, "get_buffer"))?.is_some()
        && protocol.is_instance(buffered)?;
    if is_buffered {
        // A protocol that cannot be told of data gets no connection.
        protocol.getattr(intern!(py, "buffer_updated"))?;
    }
    Ok(if is_buffered { TlsDelivery::Buffered } else { TlsDelivery::Plain })
}
