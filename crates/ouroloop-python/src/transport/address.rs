//! Socket addresses as the kernel has them and as Python writes them.
//!
//! Both ways answer `None` where Python's socket module has to be asked: families that only it
//! knows, host names, arguments that it refuses with an error of its own.

use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use ouroloop::net::address::{self, Name};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};
use rustix::net::{AddressFamily, SocketAddrAny};

use crate::interpreter::fresh::{self, Text};
use crate::standard::Standard;

/// The kernel's address as `socket.recvfrom` writes it.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    address: &SocketAddrAny,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(match Name::of(address) {
        None => None,
        Some(Name::Internet(SocketAddr::V4(address))) => {
            let port = fresh::int(py, address.port().into())?;
            Some(fresh::pack!(py, host(py, IpAddr::V4(*address.ip()))?, port).into_any())
        }
        Some(Name::Internet(SocketAddr::V6(address))) => {
            let host = host(py, IpAddr::V6(*address.ip()))?;
            let port = fresh::int(py, address.port().into())?;
            let flow = fresh::int(py, address.flowinfo().into())?;
            let scope = fresh::int(py, address.scope_id().into())?;
            Some(fresh::pack!(py, host, port, flow, scope).into_any())
        }
        // `str` for a path and for no name at all, `bytes` with the leading zero for an abstract
        // name.
        Some(Name::Unnamed) => Some(fresh::string(py, "")?.into_any()),
        Some(Name::Path(path)) => Some(OsStr::from_bytes(&path).into_pyobject(py)?.into_any()),
        Some(Name::Abstract(name)) => {
            Some(fresh::bytes(py, &[&[0], name.as_slice()].concat())?.into_any())
        }
    })
}

fn host(py: Python<'_>, ip: IpAddr) -> PyResult<Bound<'_, PyAny>> {
    match (address::host(ip), ip) {
        (None, IpAddr::V6(ip)) => {
            let inet_ntop = Standard::get(py)?.socket_module.bind(py).getattr(Text("inet_ntop"))?;
            inet_ntop.call1((libc::AF_INET6, fresh::bytes(py, &ip.octets())?))
        }
        (text, ip) => {
            Ok(Text(text.unwrap_or_else(|| ip.to_string())).into_pyobject(py)?.into_any())
        }
    }
}

/// An address of the usual form for a socket of `family` as the kernel takes it.
pub(super) fn from_python(
    family: AddressFamily,
    address: &Bound<'_, PyAny>,
) -> Option<SocketAddrAny> {
    let longest = match family {
        AddressFamily::INET => 2,
        AddressFamily::INET6 => 4,
        AddressFamily::UNIX => return unix_from_python(address),
        _ => return None,
    };
    let address = address.cast_exact::<PyTuple>().ok().filter(|it| it.len() <= longest)?;
    let (host, port) = (address.get_item(0).ok()?, address.get_item(1).ok()?);
    let flow = address.get_item(2).map_or(Some(0), |flow| number(&flow))?;
    let zone = address.get_item(3).map_or(Some(0), |zone| number(&zone))?;
    let host = host.cast_exact::<PyString>().ok()?;
    address::internet(family, host.to_str().ok()?, number(&port)?, flow, zone)
}

fn unix_from_python(address: &Bound<'_, PyAny>) -> Option<SocketAddrAny> {
    if let Ok(text) = address.cast_exact::<PyString>() {
        // Whatever the encoding of the file system, it is the same for these.
        return address::unix(text.to_str().ok().filter(|text| text.is_ascii())?.as_bytes());
    }
    address::unix(address.cast_exact::<PyBytes>().ok()?.as_bytes())
}

fn number<T>(object: &Bound<'_, PyAny>) -> Option<T>
where
    T: for<'a, 'py> FromPyObject<'a, 'py>,
{
    object.cast_exact::<PyInt>().ok()?.extract().ok()
}
