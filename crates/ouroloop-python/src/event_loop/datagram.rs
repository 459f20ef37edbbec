//! `create_datagram_endpoint`: a transport on a datagram socket.

use pyo3::exceptions::{PyFileNotFoundError, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::Loop;
use super::closing::Closing;
use super::dns::{Hints, resolve, socket_function, unpack};
use super::keywords::Keywords;
use super::serving::set_reuse_port;
use crate::coroutine::{Coroutine, Scope};
use crate::errors::contract::{of_a_standard_loop, says};
use crate::future::Future;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::standard::Standard;
use crate::transport::datagram::DatagramTransport;
use crate::transport::lent_frame::LentFrame;

#[pymethods]
impl Loop {
    /// Makes a datagram endpoint; the coroutine answers `(transport, protocol)`.
    #[pyo3(
        signature = (protocol_factory, local_addr=None, remote_addr=None, **keywords),
        text_signature = "($self, protocol_factory, local_addr=None, remote_addr=None, *, \
            family=0, proto=0, flags=0, reuse_port=None, allow_broadcast=None, sock=None)"
    )]
    fn create_datagram_endpoint<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        local_addr: Option<Py<PyAny>>,
        remote_addr: Option<Py<PyAny>>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let py = slf.py();
        let keywords = Keywords::new("Loop.create_datagram_endpoint", keywords);
        let order = Order {
            factory: protocol_factory,
            local_addr,
            remote_addr,
            family: keywords.take_or(py, "family", 0)?,
            proto: keywords.take_or(py, "proto", 0)?,
            flags: keywords.take_or(py, "flags", 0)?,
            reuse_port: keywords.take("reuse_port")?,
            allow_broadcast: keywords.take("allow_broadcast")?,
            sock: keywords.take("sock")?,
        };
        keywords.finish()?;
        let event_loop = slf.clone().unbind();
        Coroutine::new(py, "Loop.create_datagram_endpoint", |scope| {
            create(scope, event_loop, order)
        })
    }
}

/// What the caller of `create_datagram_endpoint` wants; `None` is left out or `None`.
#[derive(Debug)]
struct Order {
    factory: Py<PyAny>,
    local_addr: Option<Py<PyAny>>,
    remote_addr: Option<Py<PyAny>>,
    family: Py<PyAny>,
    proto: Py<PyAny>,
    flags: Py<PyAny>,
    reuse_port: Option<Py<PyAny>>,
    allow_broadcast: Option<Py<PyAny>>,
    sock: Option<Py<PyAny>>,
}

/// A kind of socket, with the addresses that it is to have.
#[derive(Debug)]
struct Candidate {
    family: Py<PyAny>,
    proto: Py<PyAny>,
    local: Option<Py<PyAny>>,
    remote: Option<Py<PyAny>>,
}

/// Whether an argument was given that counts as true.
fn given(py: Python<'_>, argument: Option<&Py<PyAny>>) -> PyResult<bool> {
    argument.map_or(Ok(false), |argument| argument.bind(py).is_truthy())
}

async fn create(scope: Scope, event_loop: Py<Loop>, order: Order) -> PyResult<Py<PyAny>> {
    let lent = Python::attach(|py| match &order.sock {
        Some(sock) => {
            order.check_socket(sock.bind(py))?;
            Ok::<_, PyErr>(Some(Closing::lent(sock.clone_ref(py))))
        }
        None => Ok(None),
    })?;
    let (socket, remote) = match lent {
        Some(socket) => (socket, None),
        None => establish(&scope, &event_loop, &order).await?,
    };
    let (transport, protocol, waiter) =
        Python::attach(|py| open(event_loop.bind(py), socket, remote, &order))?;
    scope.wait(waiter).await?;
    Python::attach(|py| {
        let transport = transport.keep(py).into_bound(py);
        Ok(fresh::pack!(py, transport, protocol).into_any().unbind())
    })
}

/// Puts a transport onto a socket; the third is what to wait for.
fn open(
    event_loop: &Bound<'_, Loop>,
    socket: Closing,
    remote: Option<Py<PyAny>>,
    order: &Order,
) -> PyResult<(Closing, Py<PyAny>, Py<PyAny>)> {
    let py = event_loop.py();
    let protocol = order.factory.call0(py)?;
    let waiter = Future::create(event_loop)?;
    // Two transports on one descriptor would each close it.
    Loop::user_descriptor(event_loop, socket.bind(py))?;
    let kept = waiter.clone().unbind();
    let transport =
        DatagramTransport::open(event_loop, socket.bind(py), protocol.clone_ref(py), remote, kept)?;
    socket.keep(py);
    let transport = Closing::new(transport.into_any().unbind());
    if event_loop.get().is_debug(py) {
        order.log(transport.bind(py), &protocol)?;
    }
    Ok((transport, protocol, waiter.into_any().unbind()))
}

/// The first socket that can be had with the addresses of `order`, and the remote one.
async fn establish(
    scope: &Scope,
    event_loop: &Py<Loop>,
    order: &Order,
) -> PyResult<(Closing, Option<Py<PyAny>>)> {
    let candidates = candidates(scope, event_loop, order).await?;
    let mut first_error = None;
    for candidate in candidates {
        match attempt(scope, event_loop, order, &candidate).await {
            Ok(socket) => return Ok((socket, candidate.remote)),
            Err(error) => Python::attach(|py| {
                if !error.is_instance_of::<PyOSError>(py) {
                    return Err(error);
                }
                first_error.get_or_insert(error);
                Ok(())
            })?,
        }
    }
    Err(first_error
        .unwrap_or_else(|| fresh::error::<PyValueError>("can not get address information")))
}

async fn attempt(
    scope: &Scope,
    event_loop: &Py<Loop>,
    order: &Order,
    candidate: &Candidate,
) -> PyResult<Closing> {
    let (socket, connecting) = Python::attach(|py| -> PyResult<_> {
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "family"), &candidate.family)?;
        keywords.set_item(intern!(py, "type"), socket_function(py, "SOCK_DGRAM")?)?;
        keywords.set_item(intern!(py, "proto"), &candidate.proto)?;
        let socket = socket_function(py, "socket")?.call((), Some(&keywords))?;
        let socket = Closing::new(socket.unbind());
        if given(py, order.reuse_port.as_ref())? {
            set_reuse_port(socket.bind(py))?;
        }
        let broadcasts = given(py, order.allow_broadcast.as_ref())?;
        if broadcasts {
            let option =
                (socket_function(py, "SOL_SOCKET")?, socket_function(py, "SO_BROADCAST")?, 1);
            socket.bind(py).call_method1(intern!(py, "setsockopt"), option)?;
        }
        socket.bind(py).call_method1(intern!(py, "setblocking"), (false,))?;
        if given(py, order.local_addr.as_ref())? {
            socket.bind(py).call_method1(intern!(py, "bind"), (&candidate.local,))?;
        }
        // A socket that is connected hears nobody but its peer: no use for broadcasts.
        if broadcasts || !given(py, order.remote_addr.as_ref())? {
            return Ok((socket, None));
        }
        let arguments = (socket.bind(py), &candidate.remote);
        let connecting =
            event_loop.bind(py).call_method1(intern!(py, "sock_connect"), arguments)?;
        Ok((socket, Some(connecting.unbind())))
    })?;
    if let Some(connecting) = connecting {
        scope.wait(connecting).await?;
    }
    Ok(socket)
}

async fn candidates(
    scope: &Scope,
    event_loop: &Py<Loop>,
    order: &Order,
) -> PyResult<Vec<Candidate>> {
    let known = Python::attach(|py| order.unresolved(py))?;
    if let Some(known) = known {
        return Ok(vec![known]);
    }
    let mut found = Vec::new();
    for remote in [false, true] {
        let addr = if remote { &order.remote_addr } else { &order.local_addr };
        let addr = Python::attach(|py| addr.clone_ref(py));
        let Some(addr) = addr else { continue };
        let (addr, hints) =
            Python::attach(|py| Ok::<_, PyErr>((pair(addr.bind(py))?, order.hints(py)?)))?;
        let infos = resolve(scope, event_loop, addr, hints).await?;
        Python::attach(|py| sort_in(&mut found, infos.bind(py), remote))?;
    }
    Python::attach(|py| {
        let local = given(py, order.local_addr.as_ref())?;
        let remote = given(py, order.remote_addr.as_ref())?;
        found.retain(|candidate: &Candidate| {
            (candidate.local.is_some() || !local) && (candidate.remote.is_some() || !remote)
        });
        Ok(found)
    })
}

/// # Errors
/// `TypeError` for anything but a tuple of two.
fn pair(addr: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    if addr.is_instance_of::<PyTuple>() && addr.len()? == 2 {
        return Ok(addr.clone().unbind());
    }
    Err(fresh::error::<PyTypeError>("2-tuple is expected"))
}

/// Puts what a name stands for to the candidates of the same family and protocol.
fn sort_in(found: &mut Vec<Candidate>, infos: &Bound<'_, PyAny>, remote: bool) -> PyResult<()> {
    let py = infos.py();
    if !infos.is_truthy()? {
        return Err(fresh::error::<PyOSError>("getaddrinfo() returned empty list"));
    }
    for info in infos.try_iter()? {
        let [family, _, proto, _, address] = unpack(&info?)?;
        let mut place = found.len();
        for (known, candidate) in found.iter().enumerate() {
            if candidate.family.bind(py).eq(&family)? && candidate.proto.bind(py).eq(&proto)? {
                place = known;
            }
        }
        if place == found.len() {
            let (family, proto) = (family.unbind(), proto.unbind());
            found.push(Candidate { family, proto, local: None, remote: None });
        }
        let candidate = &mut found[place];
        let side = if remote { &mut candidate.remote } else { &mut candidate.local };
        *side = Some(address.unbind());
    }
    Ok(())
}

impl Order {
    /// # Errors
    /// `ValueError` for a socket of another kind, and for arguments that a socket has already.
    fn check_socket(&self, sock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = sock.py();
        let kind = sock.getattr(intern!(py, "type"))?;
        if kind.eq(socket_function(py, "SOCK_STREAM")?)? {
            let standard = of_a_standard_loop(intern!(py, "create_datagram_endpoint"))?;
            let expected =
                if says(&standard, "A UDP Socket")? { "UDP Socket" } else { "datagram socket" };
            let message =
                fresh::text(format_args!("A {expected} was expected, got {}", sock.repr()?))?;
            return Err(fresh::error::<PyValueError>(message));
        }
        let modifiers = [
            ("local_addr", self.local_addr.as_ref()),
            ("remote_addr", self.remote_addr.as_ref()),
            ("family", Some(&self.family)),
            ("proto", Some(&self.proto)),
            ("flags", Some(&self.flags)),
            ("reuse_port", self.reuse_port.as_ref()),
            ("allow_broadcast", self.allow_broadcast.as_ref()),
        ];
        let mut problems = Vec::new();
        for (name, value) in modifiers {
            if let Some(value) = value
                && given(py, Some(value))?
            {
                let value =
                    value.bind(py).call_method1(intern!(py, "__format__"), (intern!(py, ""),))?;
                problems.push(fresh::text(format_args!("{name}={value}"))?);
            }
        }
        if !problems.is_empty() {
            return Err(fresh::error::<PyValueError>(format!(
                "socket modifier keyword arguments can not be used when sock is specified. ({})",
                fresh::listed(&problems, ", ")?
            )));
        }
        sock.call_method1(intern!(py, "setblocking"), (false,)).map(drop)
    }

    /// The only candidate where no name has to be resolved.
    fn unresolved(&self, py: Python<'_>) -> PyResult<Option<Candidate>> {
        let candidate = || Candidate {
            family: self.family.clone_ref(py),
            proto: self.proto.clone_ref(py),
            local: self.local_addr.clone_ref(py),
            remote: self.remote_addr.clone_ref(py),
        };
        let (local, remote) = (self.local_addr.as_ref(), self.remote_addr.as_ref());
        if !given(py, local)? && !given(py, remote)? {
            if self.family.bind(py).eq(0)? {
                return Err(fresh::error::<PyValueError>("unexpected address family"));
            }
            return Ok(Some(Candidate { local: None, remote: None, ..candidate() }));
        }
        if self.family.bind(py).ne(libc::AF_UNIX)? {
            return Ok(None);
        }
        for addr in [local, remote].into_iter().flatten() {
            if !addr.bind(py).is_instance_of::<PyString>() {
                return Err(fresh::error::<PyTypeError>("string is expected"));
            }
        }
        if let Some(path) = local {
            remove_stale(path.bind(py))?;
        }
        Ok(Some(candidate()))
    }

    fn hints(&self, py: Python<'_>) -> PyResult<Hints> {
        Ok(Hints {
            family: self.family.clone_ref(py),
            kind: socket_function(py, "SOCK_DGRAM")?.unbind(),
            proto: self.proto.clone_ref(py),
            flags: self.flags.clone_ref(py),
        })
    }

    fn log(&self, transport: &Bound<'_, PyAny>, protocol: &Py<PyAny>) -> PyResult<()> {
        let py = transport.py();
        let logger = Standard::get(py)?.logger.bind(py);
        if given(py, self.local_addr.as_ref())? {
            let format = "Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)";
            let arguments = (format, &self.local_addr, &self.remote_addr, transport, protocol);
            return logger.call_method1(intern!(py, "info"), arguments).map(drop);
        }
        let format = "Datagram endpoint remote_addr=%r created: (%r, %r)";
        let arguments = (format, &self.remote_addr, transport, protocol);
        logger.call_method1(intern!(py, "debug"), arguments).map(drop)
    }
}

/// Removes the socket that an earlier process has left at `path`; an abstract name leaves nothing.
fn remove_stale(path: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = path.py();
    let name = path.cast::<PyString>()?.to_cow()?;
    if name.is_empty() || name.starts_with('\0') {
        return Ok(());
    }
    let frame = LentFrame::CreateDatagramEndpoint;
    let removed = (|| {
        let mode = frame.call(intern!(py, "stat"), path)?.getattr(Text("st_mode"))?;
        let stat = crate::interpreter::modules::module(py, intern!(py, "stat"))?;
        if stat.call_method1(intern!(py, "S_ISSOCK"), (mode,))?.is_truthy()? {
            frame.call(intern!(py, "remove"), path)?;
        }
        Ok::<_, PyErr>(())
    })();
    match removed {
        Err(error) if error.is_instance_of::<PyFileNotFoundError>(py) => Ok(()),
        // The directory may allow to make a socket and nothing else.
        Err(error) if error.is_instance_of::<PyOSError>(py) => {
            let logger = Standard::get(py)?.logger.bind(py);
            let format = "Unable to check or remove stale UNIX socket %r: %r";
            let arguments = (format, path, error.value(py));
            logger.call_method1(intern!(py, "error"), arguments).map(drop)
        }
        answer => answer,
    }
}
