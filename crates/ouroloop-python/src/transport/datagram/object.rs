//! What a transport of datagrams is, and how the loop tells it what happens.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};

use ouroloop::net::datagram::{DatagramSocket, Outgoing};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustix::net::AddressFamily;

use super::news::News;
use super::peers::Peers;
use crate::context::run_in;
use crate::future::Future;
use crate::interpreter::fresh::{self, Text};
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::ValueOffset;
use crate::standard::Standard;
use crate::transport::chunk::Chunk;
use crate::transport::endpoint::{Endpoint, SocketEnd, SocketState, Told};
use crate::transport::failure::Step;
use crate::transport::habit::Habit;
use crate::transport::notice::{Notice, Notified};
use crate::transport::{descriptor, protocol};
use crate::turn::Loop;
use crate::turn::{KindOf, Work as _};

const MODULE: &str = "asyncio.selector_events";
const CLASS: &str = "_SelectorDatagramTransport";

/// Where asyncio tells a protocol of what.
pub(super) const READ: Step = Step(MODULE, CLASS, "_read_ready");
pub(super) const SEND: Step = Step(MODULE, CLASS, "_sendto_ready");
pub(super) const LOST: Step = Step(MODULE, CLASS, "_call_connection_lost");

/// What a datagram weighs in the queue beyond its content.
const HEADER: usize = if cfg!(Py_3_13) { 8 } else { 0 };

/// Who is at work when something goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Within {
    /// The loop, in this step: the protocol is called in the transport's context.
    Loop(Step),
    /// A method that Python code called, in a context of its own.
    Call,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(super) end: Endpoint,
    pub(super) socket: DatagramSocket<Chunk, Py<PyAny>>,
    pub(super) family: AddressFamily,
    pub(super) extra: Py<PyDict>,
    /// The only destination there is, if the endpoint was made with one.
    pub(super) remote: Option<Py<PyAny>>,
    /// Whether the kernel knows the destination.
    pub(super) connected: bool,
    pub(super) peers: Peers,
    /// What was read and the protocol was not told of yet.
    pub(super) undelivered: VecDeque<News>,
    pub(super) habit: Habit,
}

impl SocketState for State {
    type Backlog = (VecDeque<Outgoing<Chunk, Py<PyAny>>>, VecDeque<News>);

    #[inline]
    fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.end
    }

    fn queued(&self) -> usize {
        self.socket.queue().weight()
    }

    fn is_drained(&self) -> bool {
        self.socket.queue().is_empty()
    }

    fn is_open(&self) -> bool {
        self.socket.fd().is_some()
    }

    fn take_backlog(&mut self) -> Self::Backlog {
        (self.socket.take_queue(), std::mem::take(&mut self.undelivered))
    }

    fn take_fd(&mut self) -> Option<OwnedFd> {
        self.socket.take_fd()
    }
}

/// A native transport; `isinstance(transport, asyncio.DatagramTransport)` holds.
#[pyclass(frozen, weakref, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct DatagramTransport {
    pub(super) state: AttachedCell<State>,
}

pub(super) static VALUE_OFFSET: ValueOffset = ValueOffset::new();

impl DatagramTransport {
    /// A transport between a non-blocking Python socket, which it takes over, and `protocol`: in
    /// the next turn `connection_made` is called, reading begins and `waiter` gets its result.
    ///
    /// # Errors
    /// `ValueError` for a socket that is closed, and what a protocol raises that cannot be told of a
    /// connection; then nothing has been taken over.
    pub(crate) fn open<'py>(
        event_loop: &Bound<'py, Loop>,
        python_socket: &Bound<'py, PyAny>,
        protocol: Py<PyAny>,
        remote: Option<Py<PyAny>>,
        waiter: Py<Future>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let told = Told::of(protocol.bind(py))?;
        let extra = describe(python_socket)?;
        let remote = match remote {
            Some(remote) if remote.bind(py).is_truthy()? => Some(remote),
            _ => None,
        };
        let owned = descriptor::take_over(python_socket)?;
        let fd = owned.as_raw_fd();
        let connected = rustix::net::getpeername(&owned).is_ok_and(|peer| peer.is_some());
        let family = rustix::net::getsockname(&owned)
            .map_or(AddressFamily::UNSPEC, |name| name.address_family());
        let shared = Some(python_socket.clone().unbind());
        let transport = Bound::new(
            py,
            Self {
                state: AttachedCell::new(State {
                    end: Endpoint::new(event_loop, told, Some(waiter), shared, fd),
                    socket: DatagramSocket::new(owned, HEADER),
                    family,
                    extra: extra.unbind(),
                    remote,
                    connected,
                    peers: Peers::new(),
                    undelivered: VecDeque::new(),
                    habit: Habit::new(1),
                }),
            },
        );
        if transport.is_err() {
            // What could not be made has closed the descriptor.
            descriptor::detach_raw(python_socket);
        }
        let transport = transport?;
        VALUE_OFFSET.learn(&transport);
        event_loop.get().add_transport(py, fd, transport.as_any())?;
        Self::push(&transport, event_loop, Happening::Open);
        Ok(transport)
    }

    pub(super) fn push(slf: &Bound<'_, Self>, event_loop: &Bound<'_, Loop>, happening: Happening) {
        event_loop.get().push(slf.py(), Notice::to(slf, happening).entry());
    }

    pub(super) fn on_open(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let told = Self::greet(slf);
        let watched = Self::start_reading(slf);
        let waiter = slf.get().state.with(py, |state| state.end.waiter.take());
        let opened = protocol::tell_open(py, waiter, watched)
            .or_else(|error| Self::fatal_error(slf, error, protocol::NOT_WATCHED));
        told.and(opened)
    }

    /// Calls a method of the protocol in the transport's context; its error is reported as that of
    /// `step`, which was called with `given`.
    pub(super) fn tell(
        slf: &Bound<'_, Self>,
        method: &'static str,
        args: &Bound<'_, PyTuple>,
        step: Step,
        given: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = slf.get().state.with(py, |state| state.end.context.clone_ref(py));
        let Some(told) = slf.get().protocol(py) else { return Ok(()) };
        run_in(py, &context, || told.bind(py).getattr(Text(method))?.call1(args).map(drop))
            .or_else(|error| Self::report(slf, step, given, error))
    }

    /// `error_received`, for an error that concerns a datagram.
    pub(super) fn error_received(
        slf: &Bound<'_, Self>,
        error: &PyErr,
        within: Within,
    ) -> PyResult<()> {
        let py = slf.py();
        let args = fresh::pack!(py, error.value(py));
        match (within, slf.get().protocol(py)) {
            (Within::Loop(step), _) => {
                Self::tell(slf, "error_received", &args, step, &PyTuple::empty(py))
            }
            (Within::Call, Some(told)) => {
                told.bind(py).getattr(intern!(py, "error_received"))?.call1(args).map(drop)
            }
            (Within::Call, None) => Ok(()),
        }
    }
}

impl Notified for DatagramTransport {
    type Happening = Happening;

    fn notices() -> &'static KindOf<Notice<Self>> {
        static KIND: KindOf<Notice<DatagramTransport>> = KindOf::new("datagram.notice").watched();
        &KIND
    }

    #[inline]
    fn on(slf: &Bound<'_, Self>, happening: Happening) -> PyResult<()> {
        match happening {
            Happening::Readable => Self::on_readable(slf),
            Happening::Writable => Self::on_writable(slf),
            Happening::Deliver => Self::deliver_kept(slf),
            Happening::Open => Self::on_open(slf),
            Happening::Lost => Self::on_lost(slf),
        }
    }
}

impl SocketEnd for DatagramTransport {
    type State = State;
    type Readable = Notice<Self>;
    type Writable = Notice<Self>;
    type Lost = Notice<Self>;

    #[inline]
    fn state(&self) -> &AttachedCell<State> {
        &self.state
    }

    fn readable(slf: &Bound<'_, Self>) -> Notice<Self> {
        Notice::to(slf, Happening::Readable)
    }

    fn writable(slf: &Bound<'_, Self>) -> Notice<Self> {
        Notice::to(slf, Happening::Writable)
    }

    fn lost(slf: &Bound<'_, Self>) -> Notice<Self> {
        Notice::to(slf, Happening::Lost)
    }

    fn flush_unsent(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().with(slf.py(), |end| end.unsent) {
            return Self::flush(slf, Within::Call);
        }
        Ok(())
    }
}

/// What `get_extra_info` knows.
fn describe<'py>(python_socket: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = python_socket.py();
    let extra = fresh::dict(py)?;
    let view = Standard::get(py)?.transport_socket.bind(py).call1((python_socket,))?;
    extra.set_item(intern!(py, "socket"), view)?;
    for (key, method) in [("sockname", "getsockname"), ("peername", "getpeername")] {
        match python_socket.call_method0(Text(method)) {
            Ok(name) => extra.set_item(Text(key), name)?,
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyOSError>(py) => {
                extra.set_item(Text(key), py.None())?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(extra)
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// Its life begins: `connection_made`.
    Open,
    /// Its life ends: `connection_lost`.
    Lost,
    /// The descriptor is readable.
    Readable,
    /// The descriptor is writable.
    Writable,
    /// Datagrams that were read before can be delivered again.
    Deliver,
}
