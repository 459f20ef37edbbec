//! `get_extra_info`, and the Python socket that shares the descriptor.

use std::ffi::OsStr;
use std::mem::offset_of;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use rustix::net::{SocketAddr, SocketAddrAny, SocketAddrUnix};

use super::{SocketTransport, descriptor_of};
use crate::standard::Standard;

/// Takes the descriptor of a Python socket over.
///
/// Its `close()` from now on only marks it closed: it counts the transport as one of the file
/// objects (`makefile`) that still need the descriptor.
///
/// # Errors
/// `ValueError` for a closed socket.
pub(super) fn take_over(socket: &Bound<'_, PyAny>) -> PyResult<OwnedFd> {
    let py = socket.py();
    let owned = descriptor_of(socket)?;
    if let Some(users) = socket.getattr_opt(intern!(py, "_io_refs"))? {
        socket.setattr(intern!(py, "_io_refs"), users.add(1)?)?;
    }
    Ok(owned)
}

impl SocketTransport {
    pub(super) fn extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let extra = Self::extra(slf);
        if let Some(known) = extra.get_item(name)? {
            return Ok(known);
        }
        let value = match name.extract::<&str>().unwrap_or_default() {
            "socket" => Self::socket_view(slf)?,
            "peername" => Self::peer_name(slf)?,
            "sockname" => Self::own_name(slf)?,
            _ => return Ok(default),
        };
        extra.set_item(name, &value)?;
        Ok(value)
    }

    fn extra<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyDict> {
        let py = slf.py();
        let known =
            slf.get().state.with(py, |state| state.extra.as_ref().map(|extra| extra.clone_ref(py)));
        if let Some(known) = known {
            return known.into_bound(py);
        }
        let extra = PyDict::new(py);
        let kept = extra.clone().unbind();
        drop(slf.get().state.with(py, |state| state.extra.replace(kept)));
        extra
    }

    /// A `TransportSocket`; what waits to be written leaves first, since its user sees the rest.
    fn socket_view<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        Self::flush_unsent(slf)?;
        let standard = Standard::get(py)?;
        let socket = Self::socket(slf)?;
        standard.transport_socket.bind(py).call1((socket,))
    }

    /// The Python socket that shares the descriptor, made when first asked for.
    fn socket<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (known, fd, open) = slf.get().state.with(py, |state| {
            let known = state.socket.as_ref().map(|socket| socket.clone_ref(py));
            (known, state.fd, state.stream.fd().is_some())
        });
        if let Some(known) = known {
            return Ok(known.into_bound(py));
        }
        let class = Standard::get(py)?.socket.bind(py);
        let keywords = PyDict::new(py);
        if open {
            keywords.set_item(intern!(py, "fileno"), fd)?;
        }
        let socket = class.call((), Some(&keywords))?;
        if open {
            socket.call_method1(intern!(py, "setblocking"), (false,))?;
            let users = socket.getattr(intern!(py, "_io_refs"))?;
            socket.setattr(intern!(py, "_io_refs"), users.add(1)?)?;
            let kept = socket.clone().unbind();
            drop(slf.get().state.with(py, |state| state.socket.replace(kept)));
        } else {
            socket.call_method0(intern!(py, "close"))?;
        }
        Ok(socket)
    }

    fn peer_name<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let peer = slf.get().state.with(slf.py(), |state| state.peer.clone());
        Self::written(slf, peer, "getpeername")
    }

    fn own_name<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let own = slf.get().state.with(slf.py(), |state| state.own.clone());
        Self::written(slf, own, "getsockname")
    }

    /// An address as Python writes it, `None` where the kernel told none.
    fn written<'py>(
        slf: &Bound<'py, Self>,
        address: Option<SocketAddrAny>,
        method: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match address.map(|address| python_address(py, &address)).transpose()? {
            None => Ok(py.None().into_bound(py)),
            Some(Some(address)) => Ok(address),
            Some(None) => Self::ask_socket(slf, method),
        }
    }

    /// An address of a kind that only Python's socket module knows how to write; `None` once the
    /// descriptor is closed.
    fn ask_socket<'py>(slf: &Bound<'py, Self>, method: &str) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let answer = Self::socket(slf).and_then(|socket| socket.call_method0(method));
        match answer {
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyOSError>(py) => {
                Ok(py.None().into_bound(py))
            }
            answer => answer,
        }
    }
}

/// An address as Python's socket module writes it; `None` if only that module knows how.
pub(crate) fn python_address<'py>(
    py: Python<'py>,
    address: &SocketAddrAny,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Ok(unix) = SocketAddrUnix::try_from(address.clone()) {
        // rustix gives a socket that has no name the abstract name of no bytes.
        let is_named = address.addr_len() as usize > offset_of!(libc::sockaddr_un, sun_path);
        return unix_name(py, is_named.then_some(&unix)).map(Some);
    }
    let Ok(address) = SocketAddr::try_from(address.clone()) else { return Ok(None) };
    let (ip, port) = (address.ip(), address.port());
    Ok(Some(match (ip, address) {
        (IpAddr::V6(ip), SocketAddr::V6(address)) => {
            let scope = address.scope_id();
            if scope != 0 {
                // The zone's name is appended by the system's resolver.
                return Ok(None);
            }
            let parts = (ip.to_string(), port, address.flowinfo(), scope);
            parts.into_pyobject(py)?.into_any()
        }
        _ => PyTuple::new(
            py,
            [ip.to_string().into_pyobject(py)?.into_any(), port.into_pyobject(py)?.into_any()],
        )?
        .into_any(),
    }))
}

/// A path as a `str`, an abstract name as `bytes`, and the empty `str` for a socket without a name.
fn unix_name<'py>(
    py: Python<'py>,
    address: Option<&SocketAddrUnix>,
) -> PyResult<Bound<'py, PyAny>> {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.and_then(SocketAddrUnix::abstract_name) {
        return Ok(PyBytes::new(py, &[b"\0", name].concat()).into_any());
    }
    let path = address.and_then(SocketAddrUnix::path).unwrap_or_default();
    Ok(OsStr::from_bytes(path.to_bytes()).into_pyobject(py)?.into_any())
}
