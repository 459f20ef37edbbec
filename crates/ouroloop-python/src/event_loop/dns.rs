//! Names and addresses: `getaddrinfo`, `getnameinfo`, and the way around them for hosts that are
//! addresses already.

use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple};

use super::Loop;
use super::keywords::Keywords;
use crate::coroutine::{Coroutine, Scope};
use crate::interpreter::fresh::{self, Text};
use crate::standard::Standard;

#[pymethods]
impl Loop {
    /// `socket.getaddrinfo` in the default executor.
    #[pyo3(
        signature = (host, port, **keywords),
        text_signature = "($self, host, port, *, family=0, type=0, proto=0, flags=0)"
    )]
    fn getaddrinfo<'py>(
        slf: &Bound<'py, Self>,
        host: Py<PyAny>,
        port: Py<PyAny>,
        keywords: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let py = slf.py();
        let keywords = Keywords::new("Loop.getaddrinfo", keywords);
        let arguments = [
            host,
            port,
            keywords.take_or(py, "family", 0)?,
            keywords.take_or(py, "type", 0)?,
            keywords.take_or(py, "proto", 0)?,
            keywords.take_or(py, "flags", 0)?,
        ];
        keywords.finish()?;
        let event_loop = slf.clone().unbind();
        Coroutine::new(py, "Loop.getaddrinfo", |scope| async move {
            let function = Python::attach(|py| -> PyResult<_> {
                let event_loop = event_loop.bind(py);
                let function = if event_loop.get().is_debug(py) {
                    event_loop.getattr(intern!(py, "_getaddrinfo_debug"))?
                } else {
                    socket_function(py, "getaddrinfo")?
                };
                Ok(function.unbind())
            })?;
            in_executor(&scope, &event_loop, function, arguments).await
        })
    }

    /// `socket.getnameinfo` in the default executor.
    #[pyo3(signature = (sockaddr, flags=None), text_signature = "($self, sockaddr, flags=0)")]
    fn getnameinfo<'py>(
        slf: &Bound<'py, Self>,
        sockaddr: Py<PyAny>,
        flags: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        let flags = flags
            .map_or_else(|| Ok::<_, PyErr>(fresh::int(slf.py(), 0)?.into_any().unbind()), Ok)?;
        Coroutine::new(slf.py(), "Loop.getnameinfo", |scope| async move {
            let function =
                Python::attach(|py| socket_function(py, "getnameinfo").map(Bound::unbind))?;
            in_executor(&scope, &event_loop, function, [sockaddr, flags]).await
        })
    }

    /// Runs in the executor's thread.
    #[pyo3(name = "_getaddrinfo_debug")]
    fn getaddrinfo_debug<'py>(
        slf: &Bound<'py, Self>,
        host: &Bound<'py, PyAny>,
        port: &Bound<'py, PyAny>,
        family: &Bound<'py, PyAny>,
        r#type: &Bound<'py, PyAny>,
        proto: &Bound<'py, PyAny>,
        flags: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let mut asked = fresh::text(format_args!("{}:{}", host.str()?, port.repr()?))?;
        let hints = [("family", family), ("type", r#type), ("proto", proto), ("flags", flags)];
        for (name, value) in hints {
            if value.is_truthy()? {
                asked = fresh::text(format_args!("{asked}, {name}={}", value.repr()?))?;
            }
        }
        let logger = Standard::get(py)?.logger.bind(py);
        logger.call_method1(
            intern!(py, "debug"),
            (intern!(py, "Get address info %s"), Text(&asked)),
        )?;
        let start = Self::time(slf)?;
        let found = socket_function(py, "getaddrinfo")?
            .call1((host, port, family, r#type, proto, flags))?;
        let seconds = Self::time(slf)? - start;
        let text = fresh::text(format_args!(
            "Getting address info {asked} took {:.3}ms: {}",
            seconds * 1e3,
            found.repr()?
        ))?;
        let slow = slf.get().state.with(py, |state| seconds >= state.slow_callback_seconds);
        logger.call_method1(if slow { "info" } else { "debug" }, (Text(text),))?;
        Ok(found)
    }
}

/// A function of the module `socket` as it is now: programs replace them.
pub(super) fn socket_function<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    Standard::get(py)?.socket_module.bind(py).getattr(Text(name))
}

async fn in_executor<const N: usize>(
    scope: &Scope,
    event_loop: &Py<Loop>,
    function: Py<PyAny>,
    arguments: [Py<PyAny>; N],
) -> PyResult<Py<PyAny>> {
    let running = Python::attach(|py| -> PyResult<_> {
        let all = [py.None(), function].into_iter().chain(arguments);
        let all = fresh::tuple(py, all.collect::<Vec<_>>())?;
        let event_loop = event_loop.bind(py);
        Ok(event_loop.call_method1(intern!(py, "run_in_executor"), all)?.unbind())
    })?;
    scope.wait(running).await
}

/// What narrows a resolution down, as the objects that the caller gave.
#[derive(Debug)]
pub(super) struct Hints {
    pub(super) family: Py<PyAny>,
    pub(super) kind: Py<PyAny>,
    pub(super) proto: Py<PyAny>,
    pub(super) flags: Py<PyAny>,
}

impl Hints {
    /// For stream sockets of any protocol.
    pub(super) fn stream(
        py: Python<'_>,
        family: &Py<PyAny>,
        proto: &Py<PyAny>,
        flags: &Py<PyAny>,
    ) -> PyResult<Self> {
        Ok(Self {
            family: family.clone_ref(py),
            kind: socket_function(py, "SOCK_STREAM")?.unbind(),
            proto: proto.clone_ref(py),
            flags: flags.clone_ref(py),
        })
    }
}

/// The address infos of `address`, a sequence that begins with host and port.
pub(super) async fn resolve(
    scope: &Scope,
    event_loop: &Py<Loop>,
    address: Py<PyAny>,
    hints: Hints,
) -> PyResult<Py<PyAny>> {
    enum Found {
        Now(Py<PyAny>),
        Later(Py<PyAny>),
    }
    let found = Python::attach(|py| -> PyResult<_> {
        let address = address.bind(py);
        if let Some(info) = numeric(address, &hints)? {
            return Ok(Found::Now(fresh::list(py, [info])?.into_any().unbind()));
        }
        let [host, port] = unpack(&address.get_item(fresh::slice(py, 0, Some(2))?)?)?;
        Ok(Found::Later(look_up(event_loop.bind(py), &host, &port, &hints)?.unbind()))
    })?;
    match found {
        Found::Now(infos) => Ok(infos),
        Found::Later(lookup) => scope.wait(lookup).await,
    }
}

/// An awaitable of the loop's `getaddrinfo`, which programs replace and subclasses override.
pub(super) fn look_up<'py>(
    event_loop: &Bound<'py, Loop>,
    host: &Bound<'py, PyAny>,
    port: &Bound<'py, PyAny>,
    hints: &Hints,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "family"), &hints.family)?;
    keywords.set_item(intern!(py, "type"), &hints.kind)?;
    keywords.set_item(intern!(py, "proto"), &hints.proto)?;
    keywords.set_item(intern!(py, "flags"), &hints.flags)?;
    event_loop.call_method(intern!(py, "getaddrinfo"), (host, port), Some(&keywords))
}

/// The address info of a host that is an address already; `None` where `getaddrinfo` must be
/// asked.
pub(super) fn numeric<'py>(
    address: &Bound<'py, PyAny>,
    hints: &Hints,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let py = address.py();
    let [host, port] = unpack(&address.get_item(fresh::slice(py, 0, Some(2))?)?)?;
    let scope = Ipv6Scope::of(address)?;
    let any = |value: &Py<PyAny>, numbers: &[i32]| -> PyResult<bool> {
        numbers.iter().try_fold(false, |found, number| Ok(found || value.bind(py).eq(number)?))
    };
    if host.is_none() || !any(&hints.proto, &[0, libc::IPPROTO_TCP, libc::IPPROTO_UDP])? {
        return Ok(None);
    }
    let proto = if any(&hints.kind, &[libc::SOCK_STREAM])? {
        libc::IPPROTO_TCP
    } else if any(&hints.kind, &[libc::SOCK_DGRAM])? {
        libc::IPPROTO_UDP
    } else {
        return Ok(None);
    };
    let Some(port) = port_number(&port)? else { return Ok(None) };
    let host = if host.is_instance_of::<PyBytes>() {
        host.call_method1(intern!(py, "decode"), (intern!(py, "idna"),))?
    } else {
        host
    };
    if host.contains("%")? {
        // `inet_pton` knows no zones.
        return Ok(None);
    }
    let families = if any(&hints.family, &[libc::AF_UNSPEC])? {
        vec![socket_function(py, "AF_INET")?, socket_function(py, "AF_INET6")?]
    } else {
        vec![hints.family.bind(py).clone()]
    };
    let inet_pton = socket_function(py, "inet_pton")?;
    for family in families {
        match inet_pton.call1((&family, &host)) {
            Ok(_) => {
                let address = if family.eq(libc::AF_INET6)? {
                    fresh::pack!(py, host, port, scope.flow, scope.zone)
                } else {
                    fresh::pack!(py, host, port)
                };
                let name = intern!(py, "");
                return Ok(Some(fresh::pack!(py, family, &hints.kind, proto, name, address)));
            }
            Err(error) if error.is_instance_of::<PyOSError>(py) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// What an IPv6 address has after its port.
struct Ipv6Scope<'py> {
    flow: Bound<'py, PyAny>,
    zone: Bound<'py, PyAny>,
}

impl<'py> Ipv6Scope<'py> {
    fn of(address: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = address.py();
        let mut rest = address
            .get_item(fresh::slice(py, 2, None)?)?
            .try_iter()?
            .collect::<PyResult<Vec<_>>>()?;
        if rest.len() > 2 {
            return Err(fresh::error::<PyTypeError>(format!(
                "_ipaddr_info() takes from 5 to 7 positional arguments but {} were given",
                rest.len() + 5
            )));
        }
        rest.resize(2, fresh::int(py, 0)?.into_any());
        let [flow, zone] = <[_; 2]>::try_from(rest).unwrap_or_else(|_| unreachable!("two by now"));
        Ok(Self { flow, zone })
    }
}

/// The port as a number; `None` for the name of a service.
fn port_number<'py>(port: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = port.py();
    let text = port.is_instance_of::<PyBytes>() || port.is_instance_of::<PyString>();
    if port.is_none() || (text && port.is_empty()?) {
        return Ok(Some(fresh::int(py, 0)?.into_any()));
    }
    match py.get_type::<PyInt>().call1((port,)) {
        Ok(number) => Ok(Some(number)),
        Err(error)
            if error.is_instance_of::<PyTypeError>(py)
                || error.is_instance_of::<PyValueError>(py) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The `N` items of an iterable, with Python's errors for any other number of them.
pub(super) fn unpack<'py, const N: usize>(
    items: &Bound<'py, PyAny>,
) -> PyResult<[Bound<'py, PyAny>; N]> {
    let items = items.try_iter()?.take(N + 1).collect::<PyResult<Vec<_>>>()?;
    <[_; N]>::try_from(items).map_err(|items| {
        fresh::error::<PyValueError>(if items.len() > N {
            format!("too many values to unpack (expected {N})")
        } else {
            format!("not enough values to unpack (expected {N}, got {})", items.len())
        })
    })
}
