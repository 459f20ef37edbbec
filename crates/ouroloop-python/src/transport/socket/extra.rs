//! `get_extra_info`, and the Python socket that shares the descriptor.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustix::net::{AddressFamily, SocketAddrAny, ipproto};

use super::object::SocketTransport;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::standard::Standard;
use crate::transport::endpoint::SocketEnd;
use crate::transport::{address, descriptor};

impl SocketTransport {
    pub(super) fn extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let extra = Self::extra(slf)?;
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

    fn extra<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let py = slf.py();
        let known = slf.get().state.with(py, |state| state.extra.clone_ref(py));
        if let Some(known) = known {
            return Ok(known.into_bound(py));
        }
        let extra = fresh::dict(py)?;
        let kept = extra.clone().unbind();
        drop(slf.get().state.with(py, |state| state.extra.replace(kept)));
        Ok(extra)
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
        let (known, fd, open, family) = slf.get().state.with(py, |state| {
            let known = state.end.python_socket.clone_ref(py);
            let family = state.own.as_ref().map(SocketAddrAny::address_family);
            (known, state.end.fd, state.stream.fd().is_some(), family)
        });
        if let Some(known) = known {
            return Ok(known.into_bound(py));
        }
        if open {
            let socket = descriptor::share(&fresh::dict(py)?, fd, 1)?;
            let kept = socket.clone().unbind();
            drop(slf.get().state.with(py, |state| state.end.python_socket.replace(kept)));
            return Ok(socket);
        }
        let keywords = fresh::dict(py)?;
        if let Some(family) = family {
            // A closed one of the same kind.
            keywords.set_item(intern!(py, "family"), family.as_raw())?;
            if [AddressFamily::INET, AddressFamily::INET6].contains(&family) {
                keywords.set_item(intern!(py, "proto"), ipproto::TCP.as_raw().get())?;
            }
        }
        let socket = Standard::get(py)?.socket.bind(py).call((), Some(&keywords))?;
        socket.call_method0(intern!(py, "close"))?;
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
        kernel: Option<SocketAddrAny>,
        method: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match kernel.map(|kernel| address::to_python(py, &kernel)).transpose()? {
            None => Ok(py.None().into_bound(py)),
            Some(Some(written)) => Ok(written),
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
