//! Socket addresses as the kernel has them and as Python writes them.
//!
//! Both ways answer `None` where Python's socket module has to be asked: families that only it
//! knows, host names, arguments that it refuses with an error of its own.

use std::ffi::OsStr;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};
use rustix::net::{AddressFamily, SocketAddr, SocketAddrAny, SocketAddrUnix};

use crate::standard::Standard;

/// The kernel's address as `socket.recvfrom` writes it.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn to_python<'py>(
    py: Python<'py>,
    address: &SocketAddrAny,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if address.address_family() == AddressFamily::UNIX {
        return unix_to_python(py, address);
    }
    let Ok(address) = SocketAddr::try_from(address.clone()) else { return Ok(None) };
    let (ip, port) = (address.ip(), address.port());
    Ok(Some(match (ip, address) {
        (IpAddr::V6(ip), SocketAddr::V6(address)) => {
            let host = if matches!(ip.segments(), [0, 0, 0, 0, 0, 0, high, _] if high != 0) {
                // How an IPv4 address in these is written is the C library's choice.
                let inet_ntop = Standard::get(py)?.socket_module.bind(py).getattr("inet_ntop")?;
                inet_ntop.call1((libc::AF_INET6, PyBytes::new(py, &ip.octets())))?
            } else {
                ip.to_string().into_pyobject(py)?.into_any()
            };
            let parts = (host, port, address.flowinfo(), address.scope_id());
            parts.into_pyobject(py)?.into_any()
        }
        _ => (ip.to_string(), port).into_pyobject(py)?.into_any(),
    }))
}

/// `str` for a path and for no name at all, `bytes` with the leading zero for an abstract name.
fn unix_to_python<'py>(
    py: Python<'py>,
    kernel: &SocketAddrAny,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Ok(address) = SocketAddrUnix::try_from(kernel.clone()) else { return Ok(None) };
    if kernel.addr_len() as usize <= offset_of!(libc::sockaddr_un, sun_path) {
        // It has no name, which rustix takes for the abstract name of no bytes.
        return Ok(Some(PyString::new(py, "").into_any()));
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.abstract_name() {
        let name = [&[0], name].concat();
        return Ok(Some(PyBytes::new(py, &name).into_any()));
    }
    let path = address.path_bytes().unwrap_or_default();
    Ok(Some(OsStr::from_bytes(path).into_pyobject(py)?.into_any()))
}

/// An address of the usual form for a socket of `family` as the kernel takes it.
pub(super) fn from_python(
    family: AddressFamily,
    address: &Bound<'_, PyAny>,
) -> Option<SocketAddrAny> {
    match family {
        AddressFamily::INET => {
            let address = address.cast_exact::<PyTuple>().ok()?;
            let (host, port) = (address.get_item(0).ok()?, address.get_item(1).ok()?);
            let ip: Ipv4Addr = (address.len() == 2).then(|| parse(&host)).flatten()?;
            Some(SocketAddrV4::new(ip, number(&port)?).into())
        }
        AddressFamily::INET6 => {
            let address = address.cast_exact::<PyTuple>().ok()?;
            let (host, port) = (address.get_item(0).ok()?, address.get_item(1).ok()?);
            let ip: Ipv6Addr = (address.len() <= 4).then(|| parse(&host)).flatten()?;
            let flow: u32 = address.get_item(2).map_or(Some(0), |flow| number(&flow))?;
            let zone: u32 = address.get_item(3).map_or(Some(0), |zone| number(&zone))?;
            let port = number(&port)?;
            (flow <= 0xf_ffff).then(|| SocketAddrV6::new(ip, port, flow, zone).into())
        }
        AddressFamily::UNIX => unix_from_python(address),
        _ => None,
    }
}

fn unix_from_python(address: &Bound<'_, PyAny>) -> Option<SocketAddrAny> {
    let path = if let Ok(text) = address.cast_exact::<PyString>() {
        // Whatever the encoding of the file system, it is the same for these.
        text.to_str().ok().filter(|text| text.is_ascii())?.as_bytes()
    } else {
        address.cast_exact::<PyBytes>().ok()?.as_bytes()
    };
    match path {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        [0, name @ ..] => SocketAddrUnix::new_abstract_name(name).ok().map(Into::into),
        path if path.is_empty() || path.contains(&0) => None,
        path => SocketAddrUnix::new(path).ok().map(Into::into),
    }
}

fn parse<T: std::str::FromStr>(host: &Bound<'_, PyAny>) -> Option<T> {
    host.cast_exact::<PyString>().ok()?.to_str().ok()?.parse().ok()
}

fn number<T>(object: &Bound<'_, PyAny>) -> Option<T>
where
    T: for<'a, 'py> FromPyObject<'a, 'py>,
{
    object.cast_exact::<PyInt>().ok()?.extract().ok()
}
