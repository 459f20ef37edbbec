//! `create_server`: sockets bound to every address that is asked for, and a server on them.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::Loop;
use super::closing::Closing;
use super::connection::{bind_error, check_place};
use super::dns::{Hints, look_up, numeric, socket_function, unpack};
use super::keywords::Keywords;
use crate::coroutine::{Coroutine, Scope, next_turn};
use crate::errors::logged::log_error;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::gathered;
use crate::standard::{Standard, exception_of};
use crate::transport::server::Server;
use crate::transport::socket_file::SocketFile;
use crate::transport::tls::{Request, Security};

#[pymethods]
impl Loop {
    /// Serves TCP connections; the coroutine answers a server.
    #[cfg(Py_3_13)]
    #[pyo3(
        signature = (protocol_factory, host=None, port=None, **keywords),
        text_signature = "($self, protocol_factory, host=None, port=None, *, family=0, flags=1, \
            sock=None, backlog=100, ssl=None, reuse_address=None, reuse_port=None, \
            keep_alive=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None, \
            start_serving=True)"
    )]
    fn create_server<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        host: Option<Py<PyAny>>,
        port: Option<Py<PyAny>>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Self::serve(slf, protocol_factory, host, port, keywords)
    }

    /// Serves TCP connections; the coroutine answers a server.
    #[cfg(not(Py_3_13))]
    #[pyo3(
        signature = (protocol_factory, host=None, port=None, **keywords),
        text_signature = "($self, protocol_factory, host=None, port=None, *, family=0, flags=1, \
            sock=None, backlog=100, ssl=None, reuse_address=None, reuse_port=None, \
            ssl_handshake_timeout=None, ssl_shutdown_timeout=None, start_serving=True)"
    )]
    fn create_server<'py>(
        slf: &Bound<'py, Self>,
        protocol_factory: Py<PyAny>,
        host: Option<Py<PyAny>>,
        port: Option<Py<PyAny>>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        Self::serve(slf, protocol_factory, host, port, keywords)
    }
}

impl Loop {
    fn serve<'py>(
        slf: &Bound<'py, Self>,
        factory: Py<PyAny>,
        host: Option<Py<PyAny>>,
        port: Option<Py<PyAny>>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let py = slf.py();
        let keywords = Keywords::new("Loop.create_server", keywords);
        let order = Order {
            factory,
            host,
            port,
            family: keywords.take_or(py, "family", libc::AF_UNSPEC)?,
            flags: keywords.take_or(py, "flags", libc::AI_PASSIVE)?,
            sock: keywords.take("sock")?,
            backlog: keywords.take_or(py, "backlog", 100)?,
            reuse_address: keywords.take("reuse_address")?,
            reuse_port: keywords.take_flag("reuse_port", false)?,
            keep_alive: cfg!(Py_3_13) && keywords.take_flag("keep_alive", false)?,
            tls: keywords.take_tls()?,
            start_serving: keywords.take_flag("start_serving", true)?,
        };
        keywords.finish()?;
        let event_loop = slf.clone().unbind();
        Coroutine::new(py, "Loop.create_server", |scope| create(scope, event_loop, order))
    }
}

/// What the caller of `create_server` wants; `None` is left out or `None`.
#[derive(Debug)]
struct Order {
    factory: Py<PyAny>,
    host: Option<Py<PyAny>>,
    port: Option<Py<PyAny>>,
    family: Py<PyAny>,
    flags: Py<PyAny>,
    sock: Option<Py<PyAny>>,
    backlog: Py<PyAny>,
    reuse_address: Option<Py<PyAny>>,
    reuse_port: bool,
    keep_alive: bool,
    tls: Request,
    start_serving: bool,
}

impl Order {
    /// # Errors
    /// `ValueError` and `TypeError` for what does not fit together.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.tls.check_server(py)?;
        let addressed = self.host.is_some() || self.port.is_some();
        let missing = "Neither host/port nor sock were specified";
        check_place(py, self.sock.as_ref(), addressed, missing)
    }

    /// The hosts to bind; `None` stands for every interface.
    fn hosts<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let Some(host) = &self.host else { return Ok(vec![py.None().into_bound(py)]) };
        let host = host.bind(py);
        if host.eq("")? {
            return Ok(vec![py.None().into_bound(py)]);
        }
        let iterable = crate::interpreter::modules::module(py, intern!(py, "collections.abc"))?
            .getattr(intern!(py, "Iterable"))?;
        if host.is_instance_of::<PyString>() || !host.is_instance(&iterable)? {
            return Ok(vec![host.clone()]);
        }
        gathered(py, host.try_iter()?)
    }

    fn hints(&self, py: Python<'_>) -> PyResult<Hints> {
        let proto = fresh::int(py, 0)?.into_any().unbind();
        Hints::stream(py, &self.family, &proto, &self.flags)
    }
}

async fn create(scope: Scope, event_loop: Py<Loop>, order: Order) -> PyResult<Py<PyAny>> {
    let given = Python::attach(|py| {
        order.check(py)?;
        Ok::<_, PyErr>(order.sock.clone_ref(py))
    })?;
    let sockets = if let Some(sock) = given {
        vec![Closing::lent(sock)]
    } else {
        let infos = resolve_all(&scope, &event_loop, &order).await?;
        Python::attach(|py| bind_all(event_loop.bind(py), &order, infos.bind(py)))?
    };
    let plan = Python::attach(|py| -> PyResult<_> {
        Ok(Plan {
            factory: order.factory.clone_ref(py),
            security: order.tls.of_server(py)?,
            backlog: order.backlog.clone_ref(py),
            start: order.start_serving,
            is_lent: order.sock.is_some(),
            file: None,
        })
    })?;
    let server = serve_on(&scope, &event_loop, sockets, plan).await?;
    Python::attach(|py| {
        let server = server.keep(py);
        if event_loop.bind(py).get().is_debug(py) {
            let logger = Standard::get(py)?.logger.bind(py);
            logger.call_method1(intern!(py, "info"), (intern!(py, "%r is serving"), &server))?;
        }
        Ok(server)
    })
}

/// What a server on bound sockets is to be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) factory: Py<PyAny>,
    pub(super) security: Option<Security>,
    pub(super) backlog: Py<PyAny>,
    /// It serves at once.
    pub(super) start: bool,
    /// The socket is the caller's unless it is served.
    pub(super) is_lent: bool,
    /// The file to remove when the server closes.
    pub(super) file: Option<SocketFile>,
}

/// Makes a server on bound sockets and lets a turn pass for it to serve.
pub(super) async fn serve_on(
    scope: &Scope,
    event_loop: &Py<Loop>,
    sockets: Vec<Closing>,
    plan: Plan,
) -> PyResult<Closing> {
    let start = plan.start;
    let server = Python::attach(|py| -> PyResult<_> {
        for socket in &sockets {
            socket.bind(py).call_method1(intern!(py, "setblocking"), (false,))?;
        }
        let server = Server::new(
            event_loop.bind(py),
            sockets.into_iter().map(|socket| socket.keep(py)).collect(),
            plan.factory,
            plan.security,
            plan.backlog,
        )?;
        server.get().remove_at_close(py, plan.file);
        let closing = Closing::new(server.clone().into_any().unbind());
        if start && let Err(error) = Server::start(&server) {
            if plan.is_lent {
                // A socket that cannot be served stays its giver's.
                drop(closing.keep(py));
            }
            return Err(error);
        }
        Ok(closing)
    })?;
    if start {
        let pause = Python::attach(next_turn)?;
        scope.wait(pause).await?;
    }
    Ok(server)
}

/// A turn for the tasks, one for `gather` to hear of them, one for who awaits it.
const TURNS_OF_GATHERING: usize = 3;

/// The address infos of all hosts, each once.
///
/// Hosts that are addresses already take the turns that asyncio's tasks for them take, by no tasks: a task that
/// lacks memory for its end would never be heard of.
async fn resolve_all(scope: &Scope, event_loop: &Py<Loop>, order: &Order) -> PyResult<Py<PyList>> {
    let (hosts, mut found, lookups) = Python::attach(|py| -> PyResult<_> {
        let hosts = order.hosts(py)?;
        let hints = order.hints(py)?;
        let mut found = Vec::new();
        for host in &hosts {
            let info = numeric(fresh::pack!(py, host, &order.port).as_any(), &hints)?;
            let infos = info.map(|info| fresh::list(py, [info])).transpose()?;
            found.push(infos.map(|infos| infos.into_any().unbind()));
        }
        let port = order.port.as_ref().map(|port| port.bind(py).clone());
        let port = port.unwrap_or_else(|| py.None().into_bound(py));
        let lookups = hosts
            .iter()
            .zip(&found)
            .filter(|(_, infos)| infos.is_none())
            .map(|(host, _)| look_up(event_loop.bind(py), host, &port, &hints))
            .collect::<PyResult<Vec<_>>>()?;
        let hosts: Vec<_> = hosts.into_iter().map(Bound::unbind).collect();
        if lookups.is_empty() {
            return Ok((hosts, found, None));
        }
        let gather = Standard::get(py)?.gather.bind(py);
        Ok((hosts, found, Some(gather.call1(fresh::tuple(py, lookups)?)?.unbind())))
    })?;
    if let Some(lookups) = lookups {
        let answers = scope.wait(lookups).await?;
        Python::attach(|py| {
            let missing = found.iter_mut().filter(|infos| infos.is_none());
            answers.bind(py).try_iter()?.zip(missing).try_for_each(|(answer, place)| {
                *place = Some(answer?.unbind());
                Ok::<_, PyErr>(())
            })
        })?;
    } else if !hosts.is_empty() {
        for _ in 0..TURNS_OF_GATHERING {
            let pause = Python::attach(next_turn)?;
            scope.wait(pause).await?;
        }
    }
    Python::attach(|py| {
        let unique = fresh::dict(py)?;
        for (host, infos) in hosts.iter().zip(found) {
            let infos = infos.unwrap_or_else(|| py.None()).into_bound(py);
            if !infos.is_truthy()? {
                let message = fresh::text(format_args!(
                    "getaddrinfo({}) returned empty list",
                    host.bind(py).repr()?
                ))?;
                return Err(fresh::error::<PyOSError>(message));
            }
            for info in infos.try_iter()? {
                unique.set_item(info?, py.None())?;
            }
        }
        // SAFETY: attached; a new list, or NULL with an error set.
        let keys = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDict_Keys(unique.as_ptr()))? };
        Ok(keys.cast_into::<PyList>()?.unbind())
    })
}

/// One bound socket for each address info, or none at all.
fn bind_all(
    event_loop: &Bound<'_, Loop>,
    order: &Order,
    infos: &Bound<'_, PyList>,
) -> PyResult<Vec<Closing>> {
    let py = event_loop.py();
    let mut sockets = Vec::new();
    let mut addresses = Vec::new();
    for info in infos {
        let [family, kind, proto, _, address] = unpack(&info)?;
        addresses.push(address.clone());
        if let Some(socket) = open(event_loop, (&family, &kind, &proto))? {
            set_options(socket.bind(py), order, &family)?;
            match socket.bind(py).call_method1(intern!(py, "bind"), (&address,)) {
                Ok(_) => sockets.push(socket),
                Err(error) if error.is_instance_of::<PyOSError>(py) => {
                    pass_over(event_loop, &error, &address)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    if cfg!(Py_3_13) && sockets.is_empty() {
        let addresses = fresh::list(py, addresses)?;
        let message = fresh::text(format_args!(
            "could not bind on any address out of {}",
            addresses.repr()?
        ))?;
        return Err(fresh::error::<PyOSError>(message));
    }
    Ok(sockets)
}

/// A new socket; `None` if the system has none of that family, kind and protocol.
fn open<'py>(
    event_loop: &Bound<'py, Loop>,
    (family, kind, proto): (&Bound<'py, PyAny>, &Bound<'py, PyAny>, &Bound<'py, PyAny>),
) -> PyResult<Option<Closing>> {
    let py = event_loop.py();
    match socket_function(py, "socket")?.call1((family, kind, proto)) {
        Ok(socket) => Ok(Some(Closing::new(socket.unbind()))),
        Err(error) if error.is_instance_of::<PyOSError>(py) => {
            if event_loop.get().is_debug(py) {
                let format = "create_server() failed to create socket.socket(%r, %r, %r)";
                let arguments = (format, family, kind, proto);
                log_error(intern!(py, "warning"), arguments, exception_of(py, &error).as_any())?;
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn set_options(
    socket: &Bound<'_, PyAny>,
    order: &Order,
    family: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = socket.py();
    let set = |level: i32, option: i32| {
        socket.call_method1(intern!(py, "setsockopt"), (level, option, true)).map(drop)
    };
    let reuse_address = match &order.reuse_address {
        Some(given) => given.bind(py).is_truthy()?,
        None => true,
    };
    if reuse_address {
        set(libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    }
    let internet = family.eq(libc::AF_INET)? || family.eq(libc::AF_INET6)?;
    // Linux refuses it for other families since 6.12.9.
    if order.reuse_port && internet {
        set_reuse_port(socket)?;
    }
    if order.keep_alive {
        set(libc::SOL_SOCKET, libc::SO_KEEPALIVE)?;
    }
    // An IPv6 socket of Linux takes the IPv4 port as well, for which there is a socket of its own.
    if family.eq(libc::AF_INET6)? {
        set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?;
    }
    Ok(())
}

/// Lets other sockets have the same port, and share what comes to it.
///
/// # Errors
/// `ValueError` where there is no such thing.
pub(super) fn set_reuse_port(socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = socket.py();
    let option = (libc::SOL_SOCKET, libc::SO_REUSEPORT, true);
    match socket.call_method1(intern!(py, "setsockopt"), option) {
        Err(error) if error.is_instance_of::<PyOSError>(py) => Err(fresh::error::<PyValueError>(
            "reuse_port not supported by socket module, \
             SO_REUSEPORT defined but not implemented.",
        )),
        answer => answer.map(drop),
    }
}

/// Passes an address over that this machine does not have.
///
/// # Errors
/// Any other error of `bind`.
fn pass_over(
    event_loop: &Bound<'_, Loop>,
    error: &PyErr,
    address: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = event_loop.py();
    let described = bind_error(error, address)?;
    let number = error.value(py).getattr(intern!(py, "errno"))?;
    if cfg!(not(Py_3_13)) || number.ne(libc::EADDRNOTAVAIL)? {
        let value = described.value(py);
        value.setattr(intern!(py, "__cause__"), py.None())?;
        return Err(described);
    }
    if event_loop.get().is_debug(py) {
        // The text of an `OSError` has the number in front; the warning does not.
        let text = described.value(py).getattr(intern!(py, "strerror"))?;
        Standard::get(py)?.logger.bind(py).call_method1(intern!(py, "warning"), (text,))?;
    }
    Ok(())
}
