//! Addresses of sockets: as the kernel has them, and as they are written down.
//!
//! Pure data: nothing is looked up. Every way answers `None` for what it does not know (families
//! of other kinds, host names, zones by name), which is somebody else's to read.
//!
//! What is read is what the C library's `inet_pton` reads, what is written what its `inet_ntop`
//! writes: programs compare the texts.

use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use rustix::net::{AddressFamily, SocketAddr, SocketAddrAny, SocketAddrUnix};

/// An address of the kernel's, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// An internet socket.
    Internet(SocketAddr),
    /// A Unix socket that nobody has named.
    Unnamed,
    /// A Unix socket under a path.
    Path(Vec<u8>),
    /// A Unix socket under a name that is no path, without the zero before it.
    Abstract(Vec<u8>),
}

impl Name {
    /// The address, if it is of a known family and whole.
    #[must_use]
    pub fn of(address: &SocketAddrAny) -> Option<Self> {
        if address.address_family() != AddressFamily::UNIX {
            return SocketAddr::try_from(address.clone()).ok().map(Self::Internet);
        }
        let unix = SocketAddrUnix::try_from(address.clone()).ok()?;
        if address.addr_len() as usize <= offset_of!(libc::sockaddr_un, sun_path) {
            // rustix takes it for the abstract name of no bytes.
            return Some(Self::Unnamed);
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = unix.abstract_name() {
            return Some(Self::Abstract(name.to_vec()));
        }
        Some(Self::Path(unix.path_bytes().unwrap_or_default().to_vec()))
    }
}

/// The address of an internet socket of `family`; `host` is an address in numbers.
#[must_use]
pub fn internet(
    family: AddressFamily,
    host: &str,
    port: u16,
    flow: u32,
    zone: u32,
) -> Option<SocketAddrAny> {
    match family {
        AddressFamily::INET => Some(SocketAddrV4::new(host.parse::<Ipv4Addr>().ok()?, port).into()),
        AddressFamily::INET6 if flow <= 0xf_ffff => {
            Some(SocketAddrV6::new(host.parse::<Ipv6Addr>().ok()?, port, flow, zone).into())
        }
        _ => None,
    }
}

/// The address of a Unix socket: a path, or after a zero a name that is none.
#[must_use]
pub fn unix(path: &[u8]) -> Option<SocketAddrAny> {
    match path {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        [0, name @ ..] => SocketAddrUnix::new_abstract_name(name).ok().map(Into::into),
        path if path.is_empty() || path.contains(&0) => None,
        path => SocketAddrUnix::new(path).ok().map(Into::into),
    }
}

/// A host in numbers; `None` where it is the C library's choice how it is written.
#[must_use]
pub fn host(ip: IpAddr) -> Option<String> {
    match ip {
        // As an IPv4 address behind zeroes, or not.
        IpAddr::V6(ip) if matches!(ip.segments(), [0, 0, 0, 0, 0, 0, high, _] if high != 0) => None,
        ip => Some(ip.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::{CStr, CString};

    unsafe extern "C" {
        fn inet_pton(
            family: libc::c_int,
            host: *const libc::c_char,
            octets: *mut libc::c_void,
        ) -> libc::c_int;
        fn inet_ntop(
            family: libc::c_int,
            octets: *const libc::c_void,
            text: *mut libc::c_char,
            room: libc::socklen_t,
        ) -> *const libc::c_char;
    }

    fn c_library_reads(family: libc::c_int, host: &str, octets: &mut [u8; 16]) -> bool {
        let Ok(host) = CString::new(host) else { return false };
        // SAFETY: the host ends with a zero, and an address of either family has room.
        unsafe { inet_pton(family, host.as_ptr(), octets.as_mut_ptr().cast()) == 1 }
    }

    fn c_library_writes(ip: IpAddr) -> String {
        let mut text = [0; 64];
        let (family, octets) = match ip {
            IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
            IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
        };
        // SAFETY: there are as many octets as the family has, and room for every text.
        let written = unsafe { inet_ntop(family, octets.as_ptr().cast(), text.as_mut_ptr(), 64) };
        assert!(!written.is_null());
        // SAFETY: it was written, with a zero at its end.
        unsafe { CStr::from_ptr(text.as_ptr()) }.to_str().expect("digits").to_owned()
    }

    #[test]
    fn names_of_unix_sockets() {
        let there_and_back = |path: &[u8]| unix(path).and_then(|address| Name::of(&address));
        assert_eq!(there_and_back(b"/a/path"), Some(Name::Path(b"/a/path".to_vec())));
        assert_eq!(there_and_back(b""), None);
        assert_eq!(there_and_back(b"a\0b"), None);
        assert_eq!(there_and_back(&[b'x'; 200]), None);
        if cfg!(any(target_os = "linux", target_os = "android")) {
            assert_eq!(there_and_back(b"\0a\0b"), Some(Name::Abstract(b"a\0b".to_vec())));
            assert_eq!(there_and_back(b"\0"), Some(Name::Abstract(Vec::new())));
        }
        let unnamed = rustix::net::socketpair(
            AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::empty(),
            None,
        );
        let name = rustix::net::getsockname(unnamed.expect("a pair").0).expect("it is open");
        assert_eq!(Name::of(&name), Some(Name::Unnamed));
    }

    #[test]
    fn what_is_not_in_numbers_is_left_to_others() {
        for host in ["", "localhost", "1.2.3", "01.2.3.4", "1.2.3.4 ", "::1"] {
            assert_eq!(internet(AddressFamily::INET, host, 1, 0, 0), None, "{host}");
        }
        for host in ["", "localhost", "1.2.3.4", "::1%lo", "[::1]", "::1::"] {
            assert_eq!(internet(AddressFamily::INET6, host, 1, 0, 0), None, "{host}");
        }
        assert_eq!(internet(AddressFamily::INET6, "::1", 1, 0x10_0000, 0), None);
        assert_eq!(internet(AddressFamily::UNIX, "::1", 1, 0, 0), None);
    }

    proptest! {
        #[test]
        fn hosts_are_read_as_the_c_library_reads_them(host in "[0-9a-f:.%]{0,20}") {
            let mut octets = [0; 16];
            if let Some(address) = internet(AddressFamily::INET, &host, 7, 0, 0) {
                let address = Name::of(&address);
                prop_assert!(c_library_reads(libc::AF_INET, &host, &mut octets));
                let ip = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
                prop_assert_eq!(address, Some(Name::Internet((ip, 7).into())));
            }
            if let Some(address) = internet(AddressFamily::INET6, &host, 7, 1, 2) {
                prop_assert!(c_library_reads(libc::AF_INET6, &host, &mut octets));
                let expected = SocketAddrV6::new(octets.into(), 7, 1, 2);
                prop_assert_eq!(Name::of(&address), Some(Name::Internet(expected.into())));
            }
        }

        #[test]
        fn hosts_are_written_as_the_c_library_writes_them(
            segments: [u16; 8],
            zeroes: u8,
            four: [u8; 4],
        ) {
            // Most addresses of chance have no run of zeroes.
            let mut segments = segments;
            for (place, segment) in segments.iter_mut().enumerate() {
                *segment &= if zeroes >> place & 1 == 1 { 0 } else { u16::MAX };
            }
            for ip in [IpAddr::from(segments), IpAddr::from(four)] {
                if let Some(text) = host(ip) {
                    prop_assert_eq!(text, c_library_writes(ip));
                }
            }
        }
    }
}
