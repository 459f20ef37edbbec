//! `create_connection`: a transport to a host, by whichever of its addresses answers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use pyo3::exceptions::{PyBaseExceptionGroup, PyOSError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Loop;
use super::closing::Closing;
use super::dns::{Hints, resolve, socket_function, unpack};
use super::keywords::Keywords;
use super::sock::refuse_ssl_socket;
use super::staggered::race;
use crate::coroutine::{Coroutine, Scope};
use crate::future::Future;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::gathered;
use crate::standard::Standard;
use crate::transport::socket::{Origin, SocketTransport};
use crate::transport::tls::{self, HandshakeWaiter, Request, Security};

#[pymethods]
impl Loop {
    /// Connects to a TCP server; the coroutine answers `(transport, protocol)`.
    #[pyo3(
        signature = (protocol_factory, host=None, port=None, **keywords),
        text_signature = "($self, protocol_factory, host=None, port=None, *, ssl=None, family=0, \
            proto=0, flags=0, sock=None, local_addr=None, server_hostname=None, \
            ssl_handshake_timeout=None, ssl_shutdown_timeout=None, happy_eyeballs_delay=None, \
            interleave=None, all_errors=False)"
    )]
    fn create_connection<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        host: Option<Py<PyAny>>,
        port: Option<Py<PyAny>>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let py = slf.py();
        let keywords = Keywords::new("Loop.create_connection", keywords);
        let order = Order {
            factory: protocol_factory,
            host,
            port,
            tls: keywords.take_tls_of_client()?,
            family: keywords.take_or(py, "family", 0)?,
            proto: keywords.take_or(py, "proto", 0)?,
            flags: keywords.take_or(py, "flags", 0)?,
            sock: keywords.take("sock")?,
            local_addr: keywords.take("local_addr")?,
            eyeballs_delay: keywords.take("happy_eyeballs_delay")?,
            interleave: keywords.take("interleave")?,
            all_errors: cfg!(Py_3_12) && keywords.take_flag("all_errors", false)?,
        };
        keywords.finish()?;
        let event_loop = slf.clone().unbind();
        Coroutine::new(py, "Loop.create_connection", |scope| create(scope, event_loop, order))
    }
}

/// What the caller of `create_connection` wants; `None` is left out or `None`.
#[derive(Debug)]
struct Order {
    factory: Py<PyAny>,
    host: Option<Py<PyAny>>,
    port: Option<Py<PyAny>>,
    tls: Request,
    family: Py<PyAny>,
    proto: Py<PyAny>,
    flags: Py<PyAny>,
    sock: Option<Py<PyAny>>,
    local_addr: Option<Py<PyAny>>,
    eyeballs_delay: Option<Py<PyAny>>,
    interleave: Option<Py<PyAny>>,
    all_errors: bool,
}

impl Order {
    /// # Errors
    /// `ValueError` and `TypeError` for what does not fit together.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.tls.check_client(py, self.host.as_ref())?;
        let addressed = self.host.is_some() || self.port.is_some();
        let missing = "host and port was not specified and no sock specified";
        check_place(py, self.sock.as_ref(), addressed, missing)
    }
}

/// Either an address or a stream socket is given.
///
/// # Errors
/// `ValueError` for both and for another socket, and with `missing` for neither; `TypeError` for a socket
/// of the module `ssl`.
pub(super) fn check_place(
    py: Python<'_>,
    sock: Option<&Py<PyAny>>,
    addressed: bool,
    missing: &'static str,
) -> PyResult<()> {
    let refuse = |message: &'static str| Err(fresh::error::<PyValueError>(message));
    let Some(sock) = sock else { return if addressed { Ok(()) } else { refuse(missing) } };
    refuse_ssl_socket(sock.bind(py))?;
    if addressed {
        return refuse("host/port and sock can not be specified at the same time");
    }
    expect_stream(sock.bind(py))
}

/// # Errors
/// `ValueError` for a socket that is not of the stream kind.
pub(super) fn expect_stream(sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = sock.py();
    if sock.getattr(intern!(py, "type"))?.ne(socket_function(py, "SOCK_STREAM")?)? {
        let message =
            fresh::text(format_args!("A Stream Socket was expected, got {}", sock.repr()?))?;
        return Err(fresh::error::<PyValueError>(message));
    }
    Ok(())
}

async fn create(scope: Scope, event_loop: Py<Loop>, order: Order) -> PyResult<Py<PyAny>> {
    let given = Python::attach(|py| {
        order.check(py)?;
        Ok::<_, PyErr>(order.sock.clone_ref(py))
    })?;
    let socket = match given {
        None => establish(&scope, &event_loop, &order).await?,
        Some(sock) => Python::attach(|py| Closing::given(sock, py)),
    };
    let security = Python::attach(|py| order.tls.of_client(py, order.host.as_ref()))?;
    let (transport, protocol) =
        hand_over(&scope, &event_loop, socket, &order.factory, security.as_ref()).await?;
    Python::attach(|py| {
        if event_loop.bind(py).get().is_debug(py) {
            let socket = transport.call_method1(
                py,
                intern!(py, "get_extra_info"),
                (intern!(py, "socket"),),
            )?;
            let format = intern!(py, "%r connected to %s:%r: (%r, %r)");
            let arguments = (format, socket, &order.host, &order.port, &transport, &protocol);
            let logger = Standard::get(py)?.logger.bind(py);
            logger.call_method1(intern!(py, "debug"), arguments)?;
        }
        Ok(fresh::pack!(py, transport, protocol).into_any().unbind())
    })
}

/// The transport that a connected socket is handed over to, and its protocol, which knows of it.
pub(super) async fn hand_over(
    scope: &Scope,
    event_loop: &Py<Loop>,
    socket: Closing,
    factory: &Py<PyAny>,
    security: Option<&Security>,
) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
    let (transport, protocol, waiter) =
        Python::attach(|py| open(event_loop.bind(py), socket, factory, security))?;
    scope.wait(waiter).await?;
    Ok((Python::attach(|py| transport.keep(py)), protocol))
}

/// Puts a transport onto a connected socket; the third is what to wait for.
fn open(
    event_loop: &Bound<'_, Loop>,
    socket: Closing,
    factory: &Py<PyAny>,
    security: Option<&Security>,
) -> PyResult<(Closing, Py<PyAny>, Py<PyAny>)> {
    let py = event_loop.py();
    socket.bind(py).call_method1(intern!(py, "setblocking"), (false,))?;
    let protocol = factory.call0(py)?;
    let waiter = Future::create(event_loop)?;
    Loop::user_descriptor(event_loop, socket.bind(py))?;
    let origin = Origin::Socket(socket.bind(py).clone().unbind());
    let kept = waiter.clone().unbind();
    let given = protocol.clone_ref(py);
    let transport = match security {
        None => SocketTransport::open(event_loop, origin, given, Some(kept), None)?.into_any(),
        Some(security) => {
            let waiting = HandshakeWaiter::For(kept);
            tls::open(event_loop, origin, given, waiting, None, security)?.into_any()
        }
    };
    socket.keep(py);
    Ok((Closing::new(transport.unbind()), protocol, waiter.into_any().unbind()))
}

/// What the attempts to connect have in common.
#[derive(Debug)]
struct Route {
    event_loop: Py<Loop>,
    /// Address infos to bind one of; `None` if the kernel may choose.
    locals: Option<Vec<Py<PyAny>>>,
    /// For each attempt that has begun, what went wrong so far.
    errors: RefCell<Vec<Vec<PyErr>>>,
}

/// A socket that is connected to the host of `order`.
async fn establish(scope: &Scope, event_loop: &Py<Loop>, order: &Order) -> PyResult<Closing> {
    let address = Python::attach(|py| -> PyResult<_> {
        Ok(fresh::pack!(py, &order.host, &order.port).into_any().unbind())
    })?;
    let infos = infos_of(scope, event_loop, address, order).await?;
    let local_addr = Python::attach(|py| order.local_addr.clone_ref(py));
    let locals = match local_addr {
        Some(address) => Some(infos_of(scope, event_loop, address, order).await?),
        None => None,
    };
    let (infos, delay) =
        Python::attach(|py| Ok::<_, PyErr>((arrange(py, infos, order)?, order.delay(py)?)))?;
    let route = Rc::new(Route {
        event_loop: Python::attach(|py| event_loop.clone_ref(py)),
        locals,
        errors: RefCell::default(),
    });
    let connected = match delay {
        None => one_by_one(scope, &route, infos).await?,
        Some(delay) => {
            let mut infos = infos.into_iter();
            let next = |py: Python<'_>| {
                let Some(info) = infos.next() else { return Ok(None) };
                let route = Rc::clone(&route);
                let attempt =
                    Coroutine::new(py, "Loop.create_connection.attempt", |scope| async move {
                        let socket = route.attempt(&scope, info).await?;
                        Ok(Python::attach(|py| socket.keep(py)))
                    })?;
                Ok(Some(attempt.into_any().unbind()))
            };
            race(scope, event_loop, delay, next).await?
        }
    };
    connected.ok_or_else(|| {
        let errors = route.errors.take().into_iter().flatten().collect();
        Python::attach(|py| match failure(py, errors, order.all_errors) {
            Ok(error) | Err(error) => error,
        })
    })
}

impl Order {
    fn delay(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        self.eyeballs_delay.as_ref().map(|delay| delay.extract(py)).transpose()
    }
}

async fn infos_of(
    scope: &Scope,
    event_loop: &Py<Loop>,
    address: Py<PyAny>,
    order: &Order,
) -> PyResult<Vec<Py<PyAny>>> {
    let hints = Python::attach(|py| Hints::stream(py, &order.family, &order.proto, &order.flags))?;
    let infos = resolve(scope, event_loop, address, hints).await?;
    Python::attach(|py| {
        let infos = infos.bind(py);
        if !infos.is_truthy()? {
            return Err(fresh::error::<PyOSError>("getaddrinfo() returned empty list"));
        }
        gathered(py, infos.try_iter()?.map(|info| info.map(Bound::unbind)))
    })
}

async fn one_by_one(
    scope: &Scope,
    route: &Route,
    infos: Vec<Py<PyAny>>,
) -> PyResult<Option<Closing>> {
    for info in infos {
        match route.attempt(scope, info).await {
            Ok(socket) => return Ok(Some(socket)),
            Err(error) => Python::attach(|py| {
                if error.is_instance_of::<PyOSError>(py) { Ok(()) } else { Err(error) }
            })?,
        }
    }
    Ok(None)
}

impl Route {
    /// Connects by one address info; an `OSError` is remembered as well.
    async fn attempt(&self, scope: &Scope, info: Py<PyAny>) -> PyResult<Closing> {
        let place = {
            let mut errors = self.errors.borrow_mut();
            errors.push(Vec::new());
            errors.len() - 1
        };
        let outcome = self.connect(scope, info, place).await;
        if let Err(error) = &outcome {
            Python::attach(|py| {
                if error.is_instance_of::<PyOSError>(py) {
                    self.remember(place, error.clone_ref(py));
                }
            });
        }
        outcome
    }

    fn remember(&self, place: usize, error: PyErr) {
        if let Some(errors) = self.errors.borrow_mut().get_mut(place) {
            errors.push(error);
        }
    }

    async fn connect(&self, scope: &Scope, info: Py<PyAny>, place: usize) -> PyResult<Closing> {
        let (socket, connecting) = Python::attach(|py| -> PyResult<_> {
            let [family, kind, proto, _, address] = unpack(info.bind(py))?;
            let keywords = fresh::dict(py)?;
            keywords.set_item(intern!(py, "family"), &family)?;
            keywords.set_item(intern!(py, "type"), kind)?;
            keywords.set_item(intern!(py, "proto"), proto)?;
            let socket = socket_function(py, "socket")?.call((), Some(&keywords))?;
            let socket = Closing::new(socket.unbind());
            socket.bind(py).call_method1(intern!(py, "setblocking"), (false,))?;
            if let Some(locals) = &self.locals {
                self.bind_local(socket.bind(py), &family, locals, place)?;
            }
            let event_loop = self.event_loop.bind(py);
            let arguments = (socket.bind(py), address);
            let connecting = event_loop.call_method1(intern!(py, "sock_connect"), arguments)?;
            Ok((socket, connecting.unbind()))
        })?;
        scope.wait(connecting).await?;
        Ok(socket)
    }

    /// Binds the socket to the first local address of its family that is free.
    fn bind_local(
        &self,
        socket: &Bound<'_, PyAny>,
        family: &Bound<'_, PyAny>,
        locals: &[Py<PyAny>],
        place: usize,
    ) -> PyResult<()> {
        let py = socket.py();
        let mut latest = None;
        for local in locals {
            let [local_family, _, _, _, address] = unpack(local.bind(py))?;
            if local_family.ne(family)? {
                continue;
            }
            let error = match socket.call_method1(intern!(py, "bind"), (&address,)) {
                Ok(_) => {
                    if let Some(error) = latest {
                        self.remember(place, error);
                    }
                    return Ok(());
                }
                Err(error) if error.is_instance_of::<PyOSError>(py) => error,
                Err(error) => return Err(error),
            };
            let error = bind_error(&error, &address)?;
            if let Some(earlier) = latest.replace(error) {
                self.remember(place, earlier);
            }
        }
        let Some(error) = latest else {
            let family = family.repr()?;
            let message = format!("no matching local address with family={family} found");
            return Err(fresh::error::<PyOSError>(message));
        };
        Err(error)
    }
}

/// The error of `bind` with the address in its text.
pub(super) fn bind_error(error: &PyErr, address: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let py = address.py();
    let error = error.value(py);
    let text = if cfg!(Py_3_13) {
        error.str()?.into_any()
    } else {
        error.getattr(intern!(py, "strerror"))?
    };
    let text = text.call_method0(intern!(py, "lower"))?;
    let number = error.getattr(intern!(py, "errno"))?;
    let message = fresh::text(format_args!(
        "error while attempting to bind on address {}: {text}",
        address.repr()?
    ))?;
    Ok(PyOSError::new_err((number.unbind(), message)))
}

/// The infos in the order in which they are tried.
fn arrange(py: Python<'_>, infos: Vec<Py<PyAny>>, order: &Order) -> PyResult<Vec<Py<PyAny>>> {
    let head = match &order.interleave {
        Some(count) if count.bind(py).is_truthy()? => count.extract::<i64>(py)?,
        None if order.eyeballs_delay.is_some() => 1,
        _ => return Ok(infos),
    };
    let mut families: Vec<(Bound<'_, PyAny>, VecDeque<Py<PyAny>>)> = Vec::new();
    for info in infos {
        let family = info.bind(py).get_item(0)?;
        let mut known = None;
        for (place, (other, _)) in families.iter().enumerate() {
            if other.eq(&family)? {
                known = Some(place);
            }
        }
        match known {
            Some(place) => families[place].1.push_back(info),
            None => families.push((family, VecDeque::from([info]))),
        }
    }
    let mut families: Vec<_> = families.into_iter().map(|(_, infos)| infos).collect();
    let mut arranged = Vec::new();
    if let Some(first) = families.first_mut() {
        let head = usize::try_from(head.saturating_sub(1)).unwrap_or(0).min(first.len());
        arranged.extend(first.drain(..head));
    }
    while families.iter().any(|family| !family.is_empty()) {
        arranged.extend(families.iter_mut().filter_map(VecDeque::pop_front));
    }
    Ok(arranged)
}

/// What to raise when every attempt has failed.
fn failure(py: Python<'_>, errors: Vec<PyErr>, all_errors: bool) -> PyResult<PyErr> {
    let errors = fresh::list(py, errors.into_iter().map(|error| error.into_value(py)))?;
    if all_errors {
        let arguments = ("create_connection failed", errors);
        let group = py.get_type::<PyBaseExceptionGroup>().call1(arguments)?;
        return Ok(PyErr::from_value(group));
    }
    let Some(first) = errors.iter().next() else {
        return Ok(fresh::error::<PyTimeoutError>("create_connection failed"));
    };
    let texts =
        errors.iter().map(|error| fresh::content(&error.str()?)).collect::<PyResult<Vec<_>>>()?;
    if texts.iter().all(|text| *text == texts[0]) {
        return Ok(PyErr::from_value(first));
    }
    Ok(fresh::error_saying::<PyOSError>(format_args!(
        "Multiple exceptions: {}",
        fresh::listed(&texts, ", ")?
    )))
}
