//! `Listener`: one listening socket of a server, watched by the loop.
//!
//! 1. The server owns the socket object; the listener watches its descriptor from
//!    [`Listener::start`] to [`Listener::stop`].
//! 2. A wake-up accepts what waits, at most as many connections as the backlog holds and one.
//!    The next turn makes each one's protocol and transport, as the task does that asyncio makes for it.
//! 3. Without descriptors or memory the kernel keeps the connections and the descriptor stays
//!    readable, so the watch pauses for asyncio's delay. Nothing is lost by that.
//! 4. Protocols are made in copies, one a connection, of the server's context ([`Server::context`]).

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use ouroloop::net::Accepted;
use ouroloop::net::listener::accept_batch;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyAssertionError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use rustix::net::SocketAddrAny;

use crate::context::{copy_of, run_in};
use crate::errors::leaving::leaves_loop;
use crate::errors::os_error::os_error;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::no_memory;
use crate::native::cell::AttachedCell;
use crate::standard::{Standard, exception_of};
use crate::transport::descriptor;
use crate::transport::notice::notices;
use crate::transport::server::Server;
use crate::transport::socket::{Origin, SocketTransport};
use crate::transport::tls::{self, HandshakeWaiter};
use crate::turn::Loop;
use crate::turn::Work as _;
use crate::turn::report_caught;

notices! {
    /// Its descriptor has connections to accept.
    Accept of Listener: "listener.accept", by on_readable;
    /// The protocol of an accepted connection is to be made.
    Welcome of Listener: "listener.welcome", by welcome_next;
}

#[derive(Debug)]
struct State {
    server: Py<Server>,
    socket: Py<PyAny>,
    context: Py<PyAny>,
    /// The timer that ends a pause.
    retry: Option<Py<PyAny>>,
}

/// What the loop calls when a listening socket is readable.
#[pyclass(frozen, module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct Listener {
    fd: RawFd,
    limit: usize,
    /// `None` once it was stopped.
    state: AttachedCell<Option<State>>,
    /// What was accepted, each with a [`Welcome`] in the queue; stopping changes nothing of that.
    arrivals: AttachedCell<VecDeque<Arrival>>,
}

/// A connection that has no protocol yet.
#[derive(Debug)]
struct Arrival {
    server: Py<Server>,
    context: Py<PyAny>,
    connection: OwnedFd,
    peer: Option<SocketAddrAny>,
}

made_at_the_start!(Listener);

/// What one wake-up needs, so that no state is lent while Python code runs.
struct Port<'py> {
    server: Bound<'py, Server>,
    socket: Bound<'py, PyAny>,
    context: Py<PyAny>,
}

impl Listener {
    /// Begins to accept on `socket`, at most `limit` connections in one go.
    ///
    /// # Errors
    /// `RuntimeError` on a closed loop; the kernel's refusal to watch the descriptor.
    pub(crate) fn start<'py>(
        server: &Bound<'py, Server>,
        socket: &Bound<'py, PyAny>,
        limit: usize,
    ) -> PyResult<Bound<'py, Self>> {
        let py = server.py();
        let event_loop = server.get().event_loop(py).get();
        event_loop.check_closed(py)?;
        let fd = descriptor(socket)?;
        let listener = Self {
            fd,
            limit,
            state: AttachedCell::new(Some(State {
                server: server.clone().unbind(),
                socket: socket.clone().unbind(),
                context: server.get().context(py)?,
                retry: None,
            })),
            arrivals: AttachedCell::new(VecDeque::new()),
        };
        let listener = Bound::new(py, listener)?;
        event_loop.watch_readable(py, fd, Accept(listener.clone().unbind()))?;
        Ok(listener)
    }

    /// Accepts nothing more.
    ///
    /// # Errors
    /// Those of cancelling the timer of a pause.
    pub(crate) fn stop(slf: &Bound<'_, Self>, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = slf.py();
        let Some(state) = slf.get().state.replace(py, None) else { return Ok(()) };
        Self::unwatch(slf, event_loop.get());
        if let Some(retry) = state.retry {
            retry.bind(py).call_method0(intern!(py, "cancel"))?;
        }
        Ok(())
    }

    /// Accepts what waits.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`; any other error is reported, and accepting pauses.
    pub(crate) fn on_readable(slf: &Bound<'_, Self>) -> PyResult<()> {
        let Err(error) = Self::accept(slf) else { return Ok(()) };
        if leaves_loop(slf.py(), &error) {
            return Err(error);
        }
        let message = fresh::text(format_args!("Exception in callback {}", slf.repr()?))?;
        Self::pause(slf, &message, &error)
    }

    fn accept(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(port) = slf.get().port(py)? else { return Ok(()) };
        // SAFETY: the socket object, which `port` keeps alive, has this descriptor open: that was
        // asked just now, and it is asked again after Python code ran, before the next accept.
        let fd = unsafe { BorrowedFd::borrow_raw(slf.get().fd) };
        for accepted in accept_batch(fd, slf.get().limit) {
            match accepted {
                Accepted::Stream(connection, peer) => {
                    if port.server.get().event_loop(py).get().is_debug(py) {
                        port.log_arrival(&connection)?;
                    }
                    let arrival = Arrival {
                        server: port.server.clone().unbind(),
                        context: port.context.clone_ref(py),
                        connection,
                        peer,
                    };
                    Self::welcome_later(slf, port.server.get().event_loop(py).get(), arrival)?;
                }
                Accepted::OutOfResources(error) => {
                    let message = "socket.accept() out of system resource";
                    Self::pause(slf, message, &os_error(py, &error))?;
                }
                Accepted::Failed(error) => return Err(os_error(py, &error)),
                Accepted::WouldBlock | Accepted::Aborted => {}
            }
            if slf.get().port(py)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn welcome_later(slf: &Bound<'_, Self>, event_loop: &Loop, arrival: Arrival) -> PyResult<()> {
        let py = slf.py();
        event_loop.reserve(py, 1)?;
        let room = slf.get().arrivals.with(py, |arrivals| arrivals.try_reserve(1));
        room.map_err(|_| no_memory(py))?;
        slf.get().arrivals.with(py, |arrivals| arrivals.push_back(arrival));
        event_loop.push(py, Welcome(slf.clone().unbind()).entry());
        Ok(())
    }

    /// Makes the protocol and the transport of the connection that waits longest.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol factory.
    pub(crate) fn welcome_next(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let arrival = slf.get().arrivals.with(py, VecDeque::pop_front);
        arrival.map_or(Ok(()), |arrival| arrival.welcome(py))
    }

    /// What is accepted on; `None` once it was stopped or somebody closed the socket.
    fn port<'py>(&self, py: Python<'py>) -> PyResult<Option<Port<'py>>> {
        match self.started(py) {
            Some(port) if descriptor(&port.socket)? == self.fd => Ok(Some(port)),
            _ => Ok(None),
        }
    }

    /// As [`Listener::port`], whatever became of the socket.
    fn started<'py>(&self, py: Python<'py>) -> Option<Port<'py>> {
        self.state.with(py, |state| {
            state.as_ref().map(|state| Port {
                server: state.server.bind(py).clone(),
                socket: state.socket.bind(py).clone(),
                context: state.context.clone_ref(py),
            })
        })
    }

    /// Reports an error of `accept` and tries again after asyncio's delay.
    fn pause(slf: &Bound<'_, Self>, message: &str, error: &PyErr) -> PyResult<()> {
        let py = slf.py();
        let Some(port) = slf.get().started(py) else { return Ok(()) };
        let event_loop = port.server.get().event_loop(py);
        let context = fresh::dict(py)?;
        context.set_item(intern!(py, "message"), Text(message))?;
        let guarded = Standard::get(py)?.transport_socket.bind(py).call1((&port.socket,))?;
        context.set_item(intern!(py, "socket"), guarded)?;
        report_caught(event_loop, &exception_of(py, error), &context)?;
        if slf.get().started(py).is_none() {
            return Ok(());
        }
        Self::unwatch(slf, event_loop.get());
        let delay = crate::interpreter::modules::module(py, intern!(py, "asyncio.constants"))?
            .getattr(intern!(py, "ACCEPT_RETRY_DELAY"))?;
        let resume = slf.getattr(intern!(py, "_resume"))?;
        let retry = event_loop.call_method1(intern!(py, "call_later"), (delay, resume))?.unbind();
        let unused = slf.get().state.with(py, |state| match state {
            Some(state) => state.retry.replace(retry),
            None => Some(retry),
        });
        drop(unused);
        Ok(())
    }

    /// Stops watching, unless somebody else watches a descriptor of that number by now.
    fn unwatch(slf: &Bound<'_, Self>, event_loop: &Loop) {
        let py = slf.py();
        let fd = slf.get().fd;
        let ours = event_loop.engine.with(py, |engine| {
            let watched = engine.watched(fd).0.and_then(|entry| entry.get::<Accept>());
            watched.is_some_and(|accept| accept.0.is(slf))
        });
        if ours {
            event_loop.unwatch_readable(py, fd);
        }
    }
}

fn descriptor(socket: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    socket.call_method0(intern!(socket.py(), "fileno"))?.extract()
}

impl Arrival {
    /// Makes a connection's protocol and transport. An error closes the connection and, in debug
    /// mode, is reported; the server lives on.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of the protocol factory.
    fn welcome(self, py: Python<'_>) -> PyResult<()> {
        let server = self.server.bind(py);
        let event_loop = server.get().event_loop(py);
        let Some(factory) = server.get().factory(py) else { return Ok(()) };
        let mut protocol = None;
        let answer = run_in(py, &copy_of(py, &self.context)?, || {
            let made = protocol.insert(factory.call0(py)?).clone_ref(py);
            if !server.get().is_open(py) {
                // asyncio's servers assert it when a transport attaches itself.
                return Err(PyAssertionError::new_err(()));
            }
            let origin = Origin::Accepted(self.connection, self.peer);
            let attached = Some(server.clone().unbind());
            match server.get().security(py) {
                None => SocketTransport::open(event_loop, origin, made, None, attached).map(drop),
                Some(security) => {
                    let waiting = HandshakeWaiter::Accepted;
                    tls::open(event_loop, origin, made, waiting, attached, &security).map(drop)
                }
            }
        });
        let Err(error) = answer else { return Ok(()) };
        if leaves_loop(py, &error) {
            return Err(error);
        }
        if !event_loop.get().is_debug(py) {
            return Ok(());
        }
        let context = fresh::dict(py)?;
        let message = "Error on transport creation for incoming connection";
        context.set_item(intern!(py, "message"), Text(message))?;
        if let Some(protocol) = protocol.filter(|protocol| !protocol.is_none(py)) {
            context.set_item(intern!(py, "protocol"), protocol)?;
        }
        report_caught(event_loop, &exception_of(py, &error), &context)
    }
}

impl Port<'_> {
    fn log_arrival(&self, connection: &OwnedFd) -> PyResult<()> {
        let py = self.server.py();
        let socket = descriptor::share(&fresh::dict(py)?, connection.as_raw_fd(), 0)?;
        let shown = socket.repr();
        let peer = socket.call_method0(intern!(py, "getpeername"));
        // Before anything else can fail, and close the descriptor with the socket object.
        descriptor::detach_raw(&socket);
        let peer = peer.unwrap_or_else(|_| py.None().into_bound(py));
        let format = "%r got a new connection from %r: %s";
        let logger = Standard::get(py)?.logger.bind(py);
        let arguments = (format, &self.server, peer, shown?);
        logger.call_method1(intern!(py, "debug"), arguments).map(drop)
    }
}

#[pymethods]
impl Listener {
    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let py = slf.py();
        let socket = slf
            .get()
            .state
            .with(py, |state| state.as_ref().map(|state| state.socket.clone_ref(py)));
        let socket = socket.unwrap_or_else(|| py.None());
        Ok(Text(fresh::text(format_args!(
            "<{} socket={}>",
            slf.get_type().name()?,
            socket.bind(py).repr()?
        ))?))
    }

    /// Ends a pause.
    #[pyo3(name = "_resume")]
    fn resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let retry = slf.get().state.with(py, |state| state.as_mut().and_then(|it| it.retry.take()));
        drop(retry);
        let Some(port) = slf.get().port(py)? else { return Ok(()) };
        let event_loop = port.server.get().event_loop(py).get();
        event_loop.watch_readable(py, slf.get().fd, Accept(slf.clone().unbind())).map(drop)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                let Some(state) = state else { return Ok(()) };
                visit.call(&state.server)?;
                visit.call(&state.socket)?;
                visit.call(&state.context)?;
                visit.call(&state.retry)
            })?;
            self.arrivals.traverse(|arrivals| {
                arrivals.iter().try_for_each(|arrival| {
                    visit.call(&arrival.server)?;
                    visit.call(&arrival.context)
                })
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.replace(py, None));
        drop(self.arrivals.replace(py, VecDeque::new()));
    }
}
