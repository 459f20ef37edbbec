//! A host that is read as an address is one to the C library, too, and the same one; what is
//! written as a host is what the C library writes.

#![no_main]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use ouroloop::net::address::{self, Name};
use rustix::net::AddressFamily;

unsafe extern "C" {
    fn inet_pton(family: c_int, host: *const c_char, octets: *mut c_void) -> c_int;
    fn inet_ntop(
        family: c_int,
        octets: *const c_void,
        text: *mut c_char,
        room: u32,
    ) -> *const c_char;
}

fn read(family: AddressFamily, host: &str) -> Option<[u8; 16]> {
    let host = CString::new(host).ok()?;
    let mut octets = [0; 16];
    // SAFETY: the host ends with a zero, and an address of either family has room.
    let answer =
        unsafe { inet_pton(family.as_raw().into(), host.as_ptr(), octets.as_mut_ptr().cast()) };
    (answer == 1).then_some(octets)
}

fn written(ip: IpAddr) -> String {
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (AddressFamily::INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AddressFamily::INET6, ip.octets().to_vec()),
    };
    let mut text = [0; 64];
    // SAFETY: there are as many octets as the family has, and room for every text.
    let answer =
        unsafe { inet_ntop(family.as_raw().into(), octets.as_ptr().cast(), text.as_mut_ptr(), 64) };
    assert!(!answer.is_null());
    // SAFETY: it was written, with a zero at its end.
    unsafe { CStr::from_ptr(text.as_ptr()) }.to_str().expect("digits").to_owned()
}

fn check(family: AddressFamily, text: &str) {
    let Some(address) = address::internet(family, text, 7, 0, 0) else { return };
    let octets = read(family, text).expect("the C library reads it, too");
    let Some(Name::Internet(name)) = Name::of(&address) else { panic!("it was just made") };
    match name {
        SocketAddr::V4(name) => assert_eq!(name.ip().octets(), octets[..4]),
        SocketAddr::V6(name) => assert_eq!(name.ip().octets(), octets),
    }
    if let Some(host) = address::host(name.ip()) {
        assert_eq!(host, written(name.ip()));
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(AddressFamily::INET, text);
        check(AddressFamily::INET6, text);
    }
    if let Ok(octets) = <[u8; 16]>::try_from(bytes) {
        if let Some(host) = address::host(octets.into()) {
            assert_eq!(host, written(octets.into()));
        }
    }
});
