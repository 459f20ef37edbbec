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
//! At once, unless other callbacks wait in this turn, or those of this connection have a [`Habit`] of several
//! writes. Then what is written is held until the turn is over or 64 callbacks have run ([`Loop::send_now`]),
//! until `drain` is called, or until something asks for the state of the queue or the socket; and never for
//! more than some milliseconds ([`ouroloop::net::held`]).

mod class;
mod closing;
mod extra;
mod lending;
mod read;
mod write;

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

use ouroloop::net::Stream;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustix::net::{AddressFamily, SocketAddrAny};

use crate::callback::Callback;
use crate::context::run_in;
use crate::event_loop::Loop;
use crate::future::Future;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::ValueOffset;
use crate::standard::Standard;
use crate::stream::StreamReaderProtocol;
use crate::transport::chunk::Chunk;
use crate::transport::endpoint::{Endpoint, SocketEnd, SocketState, Told};
use crate::transport::habit::Habit;
use crate::transport::server::Server;

use crate::transport::tls::TlsProtocol;
use crate::transport::{descriptor, protocol};
pub(crate) use class::install;

pub(crate) use read::writable_bytes;

/// Where a transport's connection comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A connected, non-blocking `socket.socket`, which the transport takes over.
    Socket(Py<PyAny>),
    /// A connection that a listener accepted, with the peer's address if the kernel told it.
    Accepted(OwnedFd, Option<SocketAddrAny>),
}

/// How a protocol takes what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `data_received(bytes)`.
    Plain,
    /// `get_buffer(-1)` and `buffer_updated(n)`.
    Buffered,
    /// Natively, where nothing is overridden: it is a [`StreamReaderProtocol`].
    Stream,
    /// Natively: it is a [`TlsProtocol`].
    Tls,
}

#[derive(Debug)]
pub(crate) struct State {
    end: Endpoint,
    kind: Kind,
    stream: Stream<Chunk>,
    server: Option<Py<Server>>,
    /// While the descriptor is lent, or about to be: done once the queue has drained.
    lent: Option<Py<Future>>,
    /// The addresses at both ends when the connection began.
    own: Option<SocketAddrAny>,
    peer: Option<SocketAddrAny>,
    extra: Option<Py<PyDict>>,
    /// How large the next read may be expected to be.
    expected: usize,
    habit: Habit,
    wrote_eof: bool,
}

impl State {
    /// Counts a write; answers whether it is likely to be one of several, of this callback or of the turn.
    #[inline]
    fn is_one_of_several(&mut self, callback: Option<(u32, bool)>) -> bool {
        let Some((callback, turn_goes_on)) = callback else { return false };
        let more = self.habit.count(callback) || turn_goes_on;
        if let Some(server) = &self.server {
            server.get().learn_habit(self.habit.expected());
        }
        if self.stream.waited_long() {
            self.habit.forget();
            return false;
        }
        more
    }
}

impl SocketState for State {
    type Waiting = VecDeque<Chunk>;

    #[inline]
    fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.end
    }

    fn queued(&self) -> usize {
        self.stream.queued()
    }

    fn is_open(&self) -> bool {
        self.stream.fd().is_some()
    }

    fn take_waiting(&mut self) -> Self::Waiting {
        self.stream.take_queue()
    }

    fn take_fd(&mut self) -> Option<OwnedFd> {
        self.stream.take_fd()
    }
}

/// A native transport; `isinstance(transport, asyncio.Transport)` holds.
#[pyclass(frozen, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct SocketTransport {
    state: AttachedCell<State>,
}

static VALUE_OFFSET: ValueOffset = ValueOffset::new();

impl SocketTransport {
    /// A transport between a connection and `protocol`: in the next turn `connection_made` is
    /// called, reading begins and `waiter` gets its result. Attaches itself to `server`.
    ///
    /// # Errors
    /// `ValueError` for a socket that is closed, and what a protocol raises that cannot be told of a
    /// connection; then nothing has been taken over.
    pub(crate) fn open<'py>(
        event_loop: &Bound<'py, Loop>,
        origin: Origin,
        protocol: Py<PyAny>,
        waiter: Option<Py<Future>>,
        server: Option<Py<Server>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let kind = kind_of(protocol.bind(py))?;
        let told = Told::of(protocol.bind(py))?;
        let (owned, socket, peer) = match origin {
            Origin::Accepted(owned, peer) => (owned, None, peer),
            Origin::Socket(socket) => {
                let owned = descriptor::take_over(socket.bind(py))?;
                let peer = rustix::net::getpeername(&owned).ok().flatten();
                (owned, Some(socket), peer)
            }
        };
        let own = rustix::net::getsockname(&owned).ok();
        let is_tcp = own.as_ref().is_some_and(is_internet) && disable_nagle(&owned);
        let fd = owned.as_raw_fd();
        let shared = socket.clone_ref(py);
        let mut end = Endpoint::new(event_loop, told, waiter, socket, fd);
        end.by_edges = is_tcp;
        let habit = Habit::new(server.as_ref().map_or(1, |server| server.get().habit()));
        let transport = Bound::new(
            py,
            Self {
                state: AttachedCell::new(State {
                    end,
                    kind,
                    stream: Stream::new(owned),
                    server,
                    lent: None,
                    own,
                    peer,
                    extra: None,
                    expected: 0,
                    habit,
                    wrote_eof: false,
                }),
            },
        );
        if let (Err(_), Some(shared)) = (&transport, &shared) {
            // What could not be made has closed the descriptor.
            descriptor::detach_raw(shared.bind(py));
        }
        let transport = transport?;
        VALUE_OFFSET.learn(&transport);
        event_loop.get().add_transport(py, fd, transport.as_any())?;
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
        let told = Self::greet(slf);
        let watched = Self::start_reading(slf);
        let waiter = slf.get().state.with(py, |state| state.end.waiter.take());
        let opened = protocol::tell_open(py, waiter, watched)
            .or_else(|error| Self::fatal_error(slf, error, protocol::NOT_WATCHED));
        told.and(opened)
    }

    /// Calls the protocol in the transport's context.
    fn call_protocol(
        slf: &Bound<'_, Self>,
        call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>,
    ) -> PyResult<()> {
        let py = slf.py();
        let (protocol, context) = slf.get().state.with(py, |state| {
            let protocol = state.end.protocol.clone_ref(py);
            (protocol, state.end.context.clone_ref(py))
        });
        match protocol {
            Some(protocol) => run_in(py, &context, || call(protocol.bind(py))),
            None => Ok(()),
        }
    }

    fn server(&self, py: Python<'_>) -> Option<Py<Server>> {
        self.state.with(py, |state| state.server.clone_ref(py))
    }
}

impl SocketEnd for SocketTransport {
    type State = State;

    #[inline]
    fn state(&self) -> &AttachedCell<State> {
        &self.state
    }

    fn readable(slf: &Bound<'_, Self>) -> Callback {
        Callback::Readable(slf.clone().unbind())
    }

    fn writable(slf: &Bound<'_, Self>) -> Callback {
        Callback::Writable(slf.clone().unbind())
    }

    fn lost(slf: &Bound<'_, Self>) -> Callback {
        Callback::Lost(slf.clone().unbind())
    }

    fn flush_unsent(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().with(slf.py(), |end| end.unsent) {
            return Self::flush(slf);
        }
        Ok(())
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
    if protocol.is_exact_instance_of::<StreamReaderProtocol>() {
        return Ok(Kind::Stream);
    }
    let buffered = Standard::get(protocol.py())?.buffered_protocol.bind(protocol.py());
    Ok(if protocol.is_instance(buffered)? {
        Kind::Buffered
    } else if protocol.is_instance_of::<StreamReaderProtocol>() {
        Kind::Stream
    } else {
        Kind::Plain
    })
}

fn is_internet(address: &SocketAddrAny) -> bool {
    [AddressFamily::INET, AddressFamily::INET6].contains(&address.address_family())
}

/// Small writes leave without waiting for the peer's acknowledgement, as asyncio has it; answers
/// whether the socket is one of TCP: those of other protocols refuse.
fn disable_nagle(socket: &OwnedFd) -> bool {
    rustix::net::sockopt::set_tcp_nodelay(socket, true).is_ok()
}
