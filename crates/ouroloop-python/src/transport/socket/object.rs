//! What a stream transport is, how it begins and how it calls its protocol.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;

use ouroloop::net::Stream;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustix::net::{AddressFamily, SocketAddrAny};

use crate::context::run_in;
use crate::future::Future;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::ValueOffset;
use crate::standard::Standard;
use crate::transport::chunk::Chunk;
use crate::transport::endpoint::{Endpoint, SocketEnd, SocketState, Told};
use crate::transport::habit::Habit;
use crate::transport::native_protocol::Known;
use crate::transport::notice::notices;
use crate::transport::server::Server;
use crate::turn::Loop;

use crate::transport::{descriptor, protocol};
use crate::turn::Work as _;

/// Where a transport's connection comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A connected, non-blocking `socket.socket`, which the transport takes over.
    Socket(Py<PyAny>),
    /// A connection that a listener accepted, with the peer's address if the kernel told it.
    Accepted(OwnedFd, Option<SocketAddrAny>),
}

/// How a protocol takes what was read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Delivery {
    /// `data_received(bytes)`.
    Plain,
    /// `get_buffer(-1)` and `buffer_updated(n)`.
    Buffered,
    /// By this function of a class that is known.
    Native(Reading),
}

/// Reads once and tells a native protocol; given is how many bytes are likely to come.
pub(crate) type Reading = fn(&Bound<'_, SocketTransport>, usize) -> PyResult<()>;

/// The protocol of TLS, and that of a stream's reader, where nothing is overridden.
pub(crate) static TLS_READING: Known<Reading> = Known::nobody();
pub(crate) static STREAM_READING: Known<Reading> = Known::nobody();

#[derive(Debug)]
pub(crate) struct State {
    pub(super) end: Endpoint,
    pub(super) delivery: Delivery,
    pub(super) stream: Stream<Chunk>,
    pub(super) server: Option<Py<Server>>,
    /// While the descriptor is lent, or about to be: done once the queue has drained.
    pub(super) lent: Option<Py<Future>>,
    /// The addresses at both ends when the connection began.
    pub(super) own: Option<SocketAddrAny>,
    pub(super) peer: Option<SocketAddrAny>,
    pub(super) extra: Option<Py<PyDict>>,
    /// How large the next read may be expected to be.
    pub(super) expected: usize,
    pub(super) habit: Habit,
    pub(super) wrote_eof: bool,
}

impl State {
    /// Counts a write; answers whether it is likely to be one of several, of this callback or of the turn.
    #[inline]
    pub(super) fn is_one_of_several(&mut self, callback: Option<(u32, bool)>) -> bool {
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
    type Backlog = VecDeque<Chunk>;

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

    fn take_backlog(&mut self) -> Self::Backlog {
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
    pub(super) state: AttachedCell<State>,
}

pub(super) static VALUE_OFFSET: ValueOffset = ValueOffset::new();

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
        let delivery = delivery_of(protocol.bind(py))?;
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
                    delivery,
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
        event_loop.get().push(py, Open(transport.clone().unbind()).entry());
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
    pub(in crate::transport) fn call_protocol(
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

    pub(super) fn server(&self, py: Python<'_>) -> Option<Py<Server>> {
        self.state.with(py, |state| state.server.clone_ref(py))
    }
}

impl SocketEnd for SocketTransport {
    type State = State;
    type Readable = Readable;
    type Writable = Writable;
    type Lost = Lost;

    #[inline]
    fn state(&self) -> &AttachedCell<State> {
        &self.state
    }

    fn readable(slf: &Bound<'_, Self>) -> Readable {
        Readable(slf.clone().unbind())
    }

    fn writable(slf: &Bound<'_, Self>) -> Writable {
        Writable(slf.clone().unbind())
    }

    fn lost(slf: &Bound<'_, Self>) -> Lost {
        Lost(slf.clone().unbind())
    }

    fn flush_unsent(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().with(slf.py(), |end| end.unsent) {
            return Self::flush(slf);
        }
        Ok(())
    }
}

/// What identifies a transport to those who do not own it.
pub(super) fn pointer(transport: &Bound<'_, SocketTransport>) -> NonNull<ffi::PyObject> {
    NonNull::new(transport.as_ptr()).expect("a reference is not null")
}

pub(super) fn delivery_of(protocol: &Bound<'_, PyAny>) -> PyResult<Delivery> {
    if let Some(reading) =
        TLS_READING.exactly(protocol).or_else(|| STREAM_READING.exactly(protocol))
    {
        return Ok(Delivery::Native(*reading));
    }
    let buffered = Standard::get(protocol.py())?.buffered_protocol.bind(protocol.py());
    if protocol.is_instance(buffered)? {
        return Ok(Delivery::Buffered);
    }
    Ok(STREAM_READING
        .derived(protocol)
        .map_or(Delivery::Plain, |reading| Delivery::Native(*reading)))
}

fn is_internet(address: &SocketAddrAny) -> bool {
    [AddressFamily::INET, AddressFamily::INET6].contains(&address.address_family())
}

/// Small writes leave without waiting for the peer's acknowledgement, as asyncio has it; answers
/// whether the socket is one of TCP: those of other protocols refuse.
fn disable_nagle(socket: &OwnedFd) -> bool {
    rustix::net::sockopt::set_tcp_nodelay(socket, true).is_ok()
}

notices! {
    /// It is to call its protocol's `connection_made`.
    Open of SocketTransport: "socket.open", by on_open;
    /// It is to call its protocol's `connection_lost`.
    Lost of SocketTransport: "socket.lost", by on_lost;
    /// Its descriptor is readable.
    Readable of SocketTransport: "socket.readable", by on_readable;
    /// Its descriptor is writable.
    Writable of SocketTransport: "socket.writable", by on_writable;
}
