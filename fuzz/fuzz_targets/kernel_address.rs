//! Whatever bytes the kernel calls an address are taken apart without a panic, and what was taken
//! apart can be put together again.

#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use ouroloop::net::address::{self, Name};
use rustix::net::{AddressFamily, SocketAddrAny};

/// The room that the kernel is given for an address.
const ROOM: usize = 128;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len().clamp(2, ROOM);
    let mut storage = [0_u64; ROOM / 8];
    for (place, byte) in bytes.iter().take(ROOM).enumerate() {
        storage[place / 8] |= u64::from(*byte) << (place % 8 * 8);
    }
    let length = u32::try_from(length).expect("at most 128");
    // SAFETY: there are 128 bytes, all of them written, of the alignment of an address.
    let address = unsafe { SocketAddrAny::read(storage.as_ptr().cast(), length) };
    let again = match Name::of(&address) {
        None => return,
        Some(Name::Internet(SocketAddr::V4(it))) => {
            let host = address::host((*it.ip()).into()).expect("these are written one way");
            address::internet(AddressFamily::INET, &host, it.port(), 0, 0)
        }
        Some(Name::Internet(SocketAddr::V6(it))) => {
            let Some(host) = address::host((*it.ip()).into()) else { return };
            let (flow, zone) = (it.flowinfo(), it.scope_id());
            address::internet(AddressFamily::INET6, &host, it.port(), flow, zone)
        }
        Some(Name::Unnamed) => return,
        Some(Name::Path(path)) => address::unix(&path),
        Some(Name::Abstract(name)) => address::unix(&[&[0], name.as_slice()].concat()),
    };
    if let Some(again) = again {
        assert_eq!(Name::of(&again), Name::of(&address));
    }
});
