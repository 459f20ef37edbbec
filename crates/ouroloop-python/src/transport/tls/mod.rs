//! TLS, as a protocol of the transport below it and a transport for the protocol above it.
//!
//! | object | what it is |
//! | --- | --- |
//! | [`TlsProtocol`] | the machine: the lower transport's protocol; owns the [`Session`] |
//! | [`TlsTransport`] | what the application's protocol is given; a face of the machine |
//! | [`Session`] | the `ssl.SSLObject` and its two memory BIOs, and how bytes go through or past them |
//!
//! # States of the connection ([`Phase`])
//!
//! | phase | what bytes from below do | what the application writes | left by |
//! | --- | --- | --- | --- |
//! | `Unwrapped` | nothing | is counted as lost | `connection_made`: `Handshake` |
//! | `Handshake` | go on with the handshake | waits in the backlog | its success: `Wrapped`; failure, time-out, `close`: `Unwrapped` |
//! | `Wrapped` | are decrypted for the application | is encrypted | `close`, the peer's `close_notify`, its EOF: `Flushing` |
//! | `Flushing` | are decrypted for the application | is counted as lost | all of it read: `Shutdown` |
//! | `Shutdown` | go on with the shutdown | is counted as lost | both `close_notify` seen, an error, a time-out: the lower transport closes |
//!
//! `abort` and the lower transport's `connection_lost` lead to `Unwrapped` from everywhere.
//!
//! # States of the application's protocol ([`Told`])
//!
//! `Nothing`, `connection_made`: `Connected`, `eof_received`: `Ended`, `connection_lost`: `Lost`. A protocol
//! that comes by `start_tls` begins as `Connected`.
//!
//! # Who touches what
//!
//! The session is used by the loop's thread alone and never while the state is lent, since it may
//! run Python code (callbacks of the context). Python code of the application runs last in every
//! step: when it calls back into the machine, the step has nothing in hand that it still needs.
//! `get_buffer` does not: while it runs, the session answers as if the ciphertext were in its BIO.
//!
//! # When bytes leave
//!
//! Over a native socket, what the application writes in one turn waits in the backlog, as plain
//! `bytes` objects, until the transport below is flushed (see [`super::socket`]): small writes
//! share a record and all of them one system call. Over any other transport they are encrypted at once.

mod bio;
mod class;
mod closing;
mod handshake;
mod incoming;
mod library;
mod libssl;
mod lower;
mod names;
mod outgoing;
mod security;
mod session;
mod transport;

use std::collections::VecDeque;

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};

use crate::errors::logged::log_error;
use crate::event_loop::{Loop, errors};
use crate::future::{Future, Outcome};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::standard::exception_of;
use crate::transport::chunk::Chunk;
use crate::transport::server::Server;
use crate::transport::socket::{Origin, SocketTransport};

use lower::Lower;
use names::Names;
use session::Session;

pub(crate) use libssl::tls_engine;
pub(crate) use names::expect_context;
pub(crate) use security::{Request, Security};
pub(crate) use transport::TlsTransport;

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unwrapped,
    Handshake,
    Wrapped,
    Flushing,
    Shutdown,
}

/// What the application's protocol has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Connected,
    Ended,
    Lost,
}

/// How the application's protocol takes what was decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `data_received(bytes)`.
    Plain,
    /// `get_buffer(n)` and `buffer_updated(n)`.
    Buffered,
}

/// Who waits for the end of the handshake.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// Whoever awaits this future.
    For(Py<Future>),
    /// Nobody: the connection came in through a server, and debug mode reports a failure.
    Accepted,
}

/// asyncio's two marks of a buffer in TLS: unlike a socket's, the upper one is reached by equality.
#[derive(Clone, Copy, Debug)]
struct Marks {
    low: usize,
    high: usize,
}

impl Marks {
    const fn of_kib(high: usize) -> Self {
        Self { low: high * 1024 / 4, high: high * 1024 }
    }
}

#[derive(Debug)]
struct State {
    phase: Phase,
    told: Told,
    lower: Option<Lower>,
    protocol: Option<Py<PyAny>>,
    kind: Kind,
    /// The face given to `protocol`, until the connection is lost.
    transport: Option<Py<TlsTransport>>,
    waiting: Option<Waiting>,
    /// asyncio's extra information that TLS adds to the lower transport's.
    extra: Option<Py<PyDict>>,
    /// Memory that a transport which is no native socket reads into.
    buffer: Option<Py<PyByteArray>>,
    handshake_timer: Option<Py<PyAny>>,
    shutdown_timer: Option<Py<PyAny>>,
    /// When the handshake began, in debug mode.
    handshake_start: f64,
    /// What the application wrote and is not encrypted, and how much of the first piece is.
    backlog: VecDeque<Chunk>,
    backlog_start: usize,
    backlog_bytes: usize,
    /// The lower transport has enough for now: ciphertext waits in the session.
    lower_full: bool,
    /// The lower transport was told not to read.
    lower_paused: bool,
    /// The application does not want to be given data.
    reading_paused: bool,
    /// The application was told not to write.
    writing_paused: bool,
    incoming: Marks,
    outgoing: Marks,
    /// The lower transport's stream has ended.
    eof: bool,
    /// Writes since the connection was lost, and the loss itself.
    losses: u32,
}

/// The machine: a protocol of the lower transport. asyncio's class of this name is its model.
#[pyclass(frozen, weakref, name = "SSLProtocol", module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct TlsProtocol {
    event_loop: Py<Loop>,
    session: Session,
    /// Seconds, as the user gave them: messages show them so.
    handshake_timeout: Py<PyAny>,
    shutdown_timeout: Py<PyAny>,
    state: AttachedCell<State>,
}

made_at_the_start!(TlsProtocol);

/// Puts TLS and a transport onto a connection, as [`SocketTransport::open`] puts a transport alone:
/// the answer is what the application's `protocol` will be given once the handshake is done.
///
/// # Errors
/// What the `ssl` module raises for the settings; those of [`SocketTransport::open`].
pub(crate) fn open<'py>(
    event_loop: &Bound<'py, Loop>,
    origin: Origin,
    protocol: Py<PyAny>,
    waiting: Waiting,
    server: Option<Py<Server>>,
    security: &Security,
) -> PyResult<Bound<'py, TlsTransport>> {
    let (machine, transport) =
        TlsProtocol::new(event_loop, protocol, waiting, security, Told::Nothing)?;
    let opened =
        SocketTransport::open(event_loop, origin, machine.into_any().unbind(), None, server);
    if let Err(error) = opened {
        transport.get().mark_closed(event_loop.py());
        return Err(error);
    }
    Ok(transport)
}

/// Puts TLS onto a transport that is connected and in use by `protocol`; the answer is to become the
/// transport's protocol and be told that the connection was made.
///
/// # Errors
/// What the `ssl` module raises for the settings.
pub(crate) fn upgrade<'py>(
    event_loop: &Bound<'py, Loop>,
    protocol: Py<PyAny>,
    waiter: Py<Future>,
    security: &Security,
) -> PyResult<Bound<'py, TlsProtocol>> {
    let waiting = Waiting::For(waiter);
    TlsProtocol::new(event_loop, protocol, waiting, security, Told::Connected).map(|(it, _)| it)
}

impl TlsProtocol {
    fn new<'py>(
        event_loop: &Bound<'py, Loop>,
        protocol: Py<PyAny>,
        waiting: Waiting,
        security: &Security,
        told: Told,
    ) -> PyResult<(Bound<'py, Self>, Bound<'py, TlsTransport>)> {
        let py = event_loop.py();
        let timeouts = security.timeouts(py)?;
        let context = security.context(py)?;
        let session = Session::new(&context, security)?;
        let extra = fresh::dict(py)?;
        extra.set_item(intern!(py, "sslcontext"), context)?;
        let kind = kind_of(protocol.bind(py))?;
        let machine = Bound::new(
            py,
            Self {
                event_loop: event_loop.clone().unbind(),
                session,
                handshake_timeout: timeouts.handshake,
                shutdown_timeout: timeouts.shutdown,
                state: AttachedCell::new(State {
                    phase: Phase::Unwrapped,
                    told,
                    lower: None,
                    protocol: Some(protocol),
                    kind,
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

    fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, Loop> {
        self.event_loop.bind(py)
    }

    /// Whether its loop is the parent's, which this process was forked from.
    fn is_inherited(&self, py: Python<'_>) -> bool {
        self.event_loop(py).get().is_inherited()
    }

    /// # Errors
    /// Those of [`Loop::act_for`].
    fn claim_loop(&self, py: Python<'_>) -> PyResult<()> {
        self.event_loop(py).get().act_for(py)
    }

    fn phase(&self, py: Python<'_>) -> Phase {
        self.state.with(py, |state| state.phase)
    }

    fn set_phase(&self, py: Python<'_>, phase: Phase) {
        self.state.with(py, |state| state.phase = phase);
    }

    fn lower(&self, py: Python<'_>) -> Option<Lower> {
        self.state.with(py, |state| state.lower.as_ref().map(|lower| lower.clone_ref(py)))
    }

    fn app_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
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

    fn set_app_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = protocol.py();
        let kind = kind_of(protocol)?;
        let protocol = protocol.clone().unbind();
        drop(self.state.with(py, |state| {
            state.kind = kind;
            state.protocol.replace(protocol)
        }));
        Ok(())
    }

    /// Calls `method` of this machine in the next turn.
    fn call_soon(slf: &Bound<'_, Self>, method: &str) -> PyResult<()> {
        let py = slf.py();
        let event_loop = slf.get().event_loop(py);
        let method = slf.getattr(method)?;
        event_loop.call_method1(intern!(py, "call_soon"), (method,)).map(drop)
    }

    /// Tells whoever waits for the handshake how it went.
    fn wake_waiter(slf: &Bound<'_, Self>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().state.with(py, |state| state.waiting.take()) {
            None => Ok(()),
            Some(Waiting::For(waiter)) => {
                let waiter = waiter.bind(py);
                if waiter.get().is_done(py) {
                    return Ok(());
                }
                match error {
                    Some(error) => Future::finish_with_error(waiter, error),
                    None => Future::finish(waiter, Outcome::Result(py.None())),
                }
            }
            Some(Waiting::Accepted) => match error {
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
    fn fatal_error(slf: &Bound<'_, Self>, error: &PyErr, message: &str) -> PyResult<()> {
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

    fn report_caught(
        slf: &Bound<'_, Self>,
        error: &Bound<'_, PyBaseException>,
        context: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        errors::report_caught(slf.get().event_loop(slf.py()), error, context)
    }
}

fn kind_of(protocol: &Bound<'_, PyAny>) -> PyResult<Kind> {
    let py = protocol.py();
    let buffered = crate::standard::Standard::get(py)?.buffered_protocol.bind(py);
    let is_buffered = protocol.getattr_opt(intern!(py, "get_buffer"))?.is_some()
        && protocol.is_instance(buffered)?;
    if is_buffered {
        // A protocol that cannot be told of data gets no connection.
        protocol.getattr(intern!(py, "buffer_updated"))?;
    }
    Ok(if is_buffered { Kind::Buffered } else { Kind::Plain })
}

/// Makes the classes complete.
pub(crate) fn install(py: Python<'_>) {
    crate::native::instance_dict::install::<TlsTransport>(py);
    crate::native::slots::install_deallocate::<TlsTransport>(py);
}
