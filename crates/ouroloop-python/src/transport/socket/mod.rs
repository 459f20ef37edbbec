//! `SocketTransport`: a stream socket between the loop and a protocol.
//!
//! # Who owns the descriptor
//!
//! The engine's [`Stream`] does, and closes it once. A Python socket object that shares the
//! number (the one the connection came from, or the one made for `get_extra_info("socket")`) is
//! kept from closing it while the transport lives and detached just before the stream closes it;
//! if its owner closed it for good all the same, the stream forgets the number.
//!
//! # States
//!
//! | state | `closing` | `losses` | reading | left by |
//! | --- | --- | --- | --- | --- |
//! | opened | no | 0 | no | the `Open` callback: `connection_made`, then reading |
//! | connected | no | 0 | unless paused or ended | `close`, an error |
//! | draining | yes | 0 | no | an empty queue, an error, `abort` |
//! | losing | yes | ≥ 1 | no | the `Lost` callback: `connection_lost`, then the descriptor closes |
//! | closed | yes | ≥ 1 | no | – |
//!
//! # When bytes leave
//!
//! A write waits in the queue until the turn that made it ends, or 64 callbacks have run (see
//! [`Loop::send_now`]): what one turn writes to a socket leaves in one system call, and the peers
//! of a turn are served together, which costs the kernel fewer wake-ups. It leaves at once when
//! much has gathered, when the protocol wants to be paused sooner than that, when something asks
//! for the state of the queue or the socket, and when the loop does not run in this thread.

mod class;
mod closing;
mod extra;
mod read;
mod write;

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use ouroloop::net::{Stream, Watermarks};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rustix::net::SocketAddrAny;

use crate::callback::Callback;
use crate::cell::AttachedCell;
use crate::context::{copy_current, run_in};
use crate::event_loop::Loop;
use crate::future::{Future, Outcome};
use crate::handle::Handle;
use crate::standard::Standard;
use crate::transport::server::Server;
use crate::transport::tls::TlsProtocol;

pub(crate) use read::writable_bytes;

/// Where a transport's connection comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A connected, non-blocking `socket.socket`, which the transport takes over.
    Socket(Py<PyAny>),
    /// A connection that a listener accepted, with the peer's address if the kernel told it.
    Accepted(OwnedFd, Option<SocketAddrAny>),
}

/// A piece of the write queue: a `bytes` object that is alive as long as its address is used.
#[derive(Debug)]
pub(crate) struct Chunk {
    owner: Py<PyBytes>,
    start: NonNull<u8>,
    length: usize,
}

impl Chunk {
    pub(crate) fn new(bytes: &Bound<'_, PyBytes>) -> Self {
        let content = bytes.as_bytes();
        Self {
            start: NonNull::from(content).cast(),
            length: content.len(),
            owner: bytes.clone().unbind(),
        }
    }

    /// The whole of the object.
    pub(crate) fn owner(&self, py: Python<'_>) -> Py<PyBytes> {
        self.owner.clone_ref(py)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `bytes` objects never change or move, and `owner` keeps this one alive.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

/// How a protocol takes what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `data_received(bytes)`.
    Plain,
    /// `get_buffer(-1)` and `buffer_updated(n)`.
    Buffered,
    /// Natively: it is a [`TlsProtocol`], whose writes wait with it until this transport is flushed.
    Tls,
}

#[derive(Debug)]
struct State {
    event_loop: Option<Py<Loop>>,
    protocol: Option<Py<PyAny>>,
    kind: Kind,
    stream: Stream<Chunk>,
    /// The descriptor's number, also after it was closed.
    fd: RawFd,
    marks: Watermarks,
    /// In which protocol methods run when the loop calls them.
    context: Py<PyAny>,
    server: Option<Py<Server>>,
    waiter: Option<Py<Future>>,
    /// The Python socket that shares the descriptor, if there is one.
    socket: Option<Py<PyAny>>,
    /// The addresses at both ends when the connection began.
    own: Option<SocketAddrAny>,
    peer: Option<SocketAddrAny>,
    extra: Option<Py<PyDict>>,
    /// What `connection_lost` will be given.
    error: Option<Py<PyAny>>,
    /// How large the next read may be expected to be.
    expected: usize,
    /// Writes since the connection was lost, and the loss itself.
    losses: u32,
    watching_reads: bool,
    watching_writes: bool,
    paused: bool,
    closing: bool,
    wrote_eof: bool,
    /// It stands in the loop's list of transports with something unsent.
    unsent: bool,
}

/// A native transport; `isinstance(transport, asyncio.Transport)` holds.
#[pyclass(frozen, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct SocketTransport {
    state: AttachedCell<State>,
}

impl SocketTransport {
    /// A transport between a connection and `protocol`: in the next turn `connection_made` is
    /// called, reading begins and `waiter` gets its result. Attaches itself to `server`.
    ///
    /// # Errors
    /// `ValueError` for a socket that is closed; then nothing has been taken over.
    pub(crate) fn open<'py>(
        event_loop: &Bound<'py, Loop>,
        origin: Origin,
        protocol: Py<PyAny>,
        waiter: Option<Py<Future>>,
        server: Option<Py<Server>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let kind = kind_of(protocol.bind(py))?;
        let context = copy_current(py)?;
        let (owned, socket, peer) = match origin {
            Origin::Accepted(owned, peer) => (owned, None, peer),
            Origin::Socket(socket) => {
                let owned = extra::take_over(socket.bind(py))?;
                let peer = rustix::net::getpeername(&owned).ok().flatten();
                (owned, Some(socket), peer)
            }
        };
        let own = rustix::net::getsockname(&owned).ok();
        disable_nagle(&owned);
        let fd = owned.as_raw_fd();
        let transport = Bound::new(
            py,
            Self {
                state: AttachedCell::new(State {
                    event_loop: Some(event_loop.clone().unbind()),
                    protocol: Some(protocol),
                    kind,
                    stream: Stream::new(owned),
                    fd,
                    marks: Watermarks::default(),
                    context,
                    server,
                    waiter,
                    socket,
                    own,
                    peer,
                    extra: None,
                    error: None,
                    expected: 0,
                    losses: 0,
                    watching_reads: false,
                    watching_writes: false,
                    paused: false,
                    closing: false,
                    wrote_eof: false,
                    unsent: false,
                }),
            },
        )?;
        event_loop.get().add_transport(py, fd, transport.as_any());
        if let Some(server) = transport.get().server(py) {
            server.bind(py).get().attach(py, pointer(&transport));
        }
        event_loop.get().push(py, Callback::Open(transport.clone().unbind()));
        Ok(transport)
    }

    /// The first callback of a connection.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol.
    pub(crate) fn on_open(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let answer = Self::call_protocol(slf, |protocol| {
            protocol.call_method1(intern!(py, "connection_made"), (slf,)).map(drop)
        });
        if let Err(error) = answer {
            Self::report_callback(slf, "connection_made", error)?;
        }
        Self::start_reading(slf)?;
        let waiter = slf.get().state.with(py, |state| state.waiter.take());
        if let Some(waiter) = waiter
            && !waiter.bind(py).get().is_done(py)
        {
            Future::finish(waiter.bind(py), Outcome::Result(py.None()))?;
        }
        Ok(())
    }

    /// Calls the protocol in the transport's context.
    fn call_protocol(
        slf: &Bound<'_, Self>,
        call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>,
    ) -> PyResult<()> {
        let py = slf.py();
        let (protocol, context) = slf.get().state.with(py, |state| {
            let protocol = state.protocol.as_ref().map(|protocol| protocol.clone_ref(py));
            (protocol, state.context.clone_ref(py))
        });
        match protocol {
            Some(protocol) => run_in(py, &context, || call(protocol.bind(py))),
            None => Ok(()),
        }
    }

    /// Reports an error of a protocol method that the loop called, as that of a handle.
    fn report_callback(slf: &Bound<'_, Self>, method: &str, error: PyErr) -> PyResult<()> {
        let py = slf.py();
        let (protocol, context, event_loop) = slf.get().state.with(py, |state| {
            (
                state.protocol.as_ref().map(|protocol| protocol.clone_ref(py)),
                state.context.clone_ref(py),
                state.event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py)),
            )
        });
        let (Some(protocol), Some(event_loop)) = (protocol, event_loop) else { return Err(error) };
        let callback = protocol.bind(py).getattr(method)?.unbind();
        let args = pyo3::types::PyTuple::new(py, [slf])?.into_any().unbind();
        let handle = Handle::new(callback, args, event_loop.into_any(), context);
        Handle::report(&Bound::new(py, handle)?, error)
    }

    fn event_loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        self.state
            .with(py, |state| state.event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py)))
            .map(|event_loop| event_loop.into_bound(py))
    }

    fn server(&self, py: Python<'_>) -> Option<Py<Server>> {
        self.state.with(py, |state| state.server.as_ref().map(|server| server.clone_ref(py)))
    }

    pub(crate) fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }
}

/// What identifies a transport to those who do not own it.
fn pointer(transport: &Bound<'_, SocketTransport>) -> NonNull<ffi::PyObject> {
    NonNull::new(transport.as_ptr()).expect("a reference is not null")
}

fn kind_of(protocol: &Bound<'_, PyAny>) -> PyResult<Kind> {
    if protocol.is_exact_instance_of::<TlsProtocol>() {
        return Ok(Kind::Tls);
    }
    let buffered = Standard::get(protocol.py())?.buffered_protocol.bind(protocol.py());
    Ok(if protocol.is_instance(buffered)? { Kind::Buffered } else { Kind::Plain })
}

/// Small writes leave without waiting for the peer's acknowledgement, as asyncio has it.
fn disable_nagle(socket: &OwnedFd) {
    // Refused by sockets that are not TCP, which have no such delay.
    let _ = rustix::net::sockopt::set_tcp_nodelay(socket, true);
}

/// The descriptor of a Python socket that is open.
fn descriptor_of(socket: &Bound<'_, PyAny>) -> PyResult<OwnedFd> {
    let fd: RawFd = socket.call_method0(intern!(socket.py(), "fileno"))?.extract()?;
    if fd < 0 {
        return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
    }
    // SAFETY: the socket object owns an open descriptor of this number, and `take_over` has it
    // give up closing it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
