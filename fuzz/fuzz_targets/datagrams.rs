//! Datagrams over real sockets, to a peer or to an address, in batches of every size: each comes
//! whole, once, in its turn and with its sender, and errors are those of single datagrams.

#![no_main]

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ouroloop::net::address::{self, Name};
use ouroloop::net::datagram::{
    Batch, DatagramSocket, Destination, Flushed, Outgoing, Received, Sent,
};

#[derive(Arbitrary, Debug)]
enum Step {
    Push { length: u16, to: To },
    Send { length: u16 },
    Flush,
    Receive,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum To {
    Peer,
    Address,
    Nowhere,
    Foreign,
}

type Socket = DatagramSocket<Vec<u8>, u8>;

fn named(name: &[u8]) -> UnixDatagram {
    let address = SocketAddr::from_abstract_name(name).expect("it is short");
    UnixDatagram::bind_addr(&address).expect("nobody has it")
}

fn flush(socket: &mut Socket, expected: &mut Vec<Vec<u8>>, waiting: &mut Vec<(Vec<u8>, To)>) {
    loop {
        let before = socket.queue().len();
        let flushed = socket.flush();
        let gone = before - socket.queue().len();
        let mut gone: Vec<_> = waiting.drain(..gone).collect();
        let last = match &flushed {
            Flushed::Drained | Flushed::Blocked => None,
            Flushed::Failed(..) | Flushed::Foreign(..) => gone.pop(),
        };
        for (data, to) in gone {
            assert!(matches!(to, To::Peer | To::Address));
            expected.push(data);
        }
        match flushed {
            Flushed::Drained => return assert!(waiting.is_empty()),
            Flushed::Blocked => return assert!(!waiting.is_empty()),
            Flushed::Failed(datagram, _) => {
                let (data, to) = last.expect("it was one that waited");
                assert_eq!(datagram.data, data);
                assert!(matches!(to, To::Nowhere));
            }
            Flushed::Foreign(data, place) => {
                let (known, to) = last.expect("it was one that waited");
                assert_eq!((data, place), (known, 7));
                assert!(matches!(to, To::Foreign));
            }
        }
    }
}

fn receive(socket: &mut Socket, expected: &mut Vec<Vec<u8>>, from: &Name) -> bool {
    let mut batch = Batch::new();
    match socket.receive(&mut batch) {
        Received::Datagrams(count) => {
            assert!(count > 0 && count == batch.len() && batch.get(count).is_none());
            for (place, data) in expected.drain(..count).enumerate() {
                let incoming = batch.get(place).expect("it was counted");
                assert_eq!(incoming.data, data);
                assert!(!incoming.truncated);
                assert_eq!(incoming.from.as_ref().and_then(Name::of).as_ref(), Some(from));
            }
            true
        }
        Received::WouldBlock => {
            assert!(expected.is_empty());
            false
        }
        Received::Failed(error) => panic!("{error}"),
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let process = std::process::id();
    let names = ["near", "far", "nowhere"].map(|end| format!("ouroloop-fuzz-{process}-{end}"));
    let [near, far] = [&names[0], &names[1]].map(|name| named(name.as_bytes()));
    let to_far = SocketAddr::from_abstract_name(names[1].as_bytes()).expect("it is short");
    near.connect_addr(&to_far).expect("it is there");
    let [far_address, nowhere] = [&names[1], &names[2]]
        .map(|name| address::unix(format!("\0{name}").as_bytes()).expect("it is short"));
    let mut near: Socket = DatagramSocket::adopt(OwnedFd::from(near), 8).expect("a socket");
    let mut far: Socket = DatagramSocket::adopt(OwnedFd::from(far), 8).expect("a socket");
    let from = Name::Abstract(names[0].as_bytes().to_vec());

    let (mut expected, mut waiting) = (Vec::new(), Vec::new());
    let mut next = 0_u8;
    for step in steps {
        next = next.wrapping_add(1);
        match step {
            Step::Push { length, to } => {
                let data = vec![next; usize::from(length)];
                let destination = match to {
                    To::Peer => Destination::Peer,
                    To::Address => Destination::Address(far_address.clone()),
                    To::Nowhere => Destination::Address(nowhere.clone()),
                    To::Foreign => Destination::Foreign(7),
                };
                waiting.push((data.clone(), to));
                near.push(Outgoing { data, to: destination });
                let weight: usize = waiting.iter().map(|(data, _)| data.len() + 8).sum();
                assert_eq!(near.queue().weight(), weight);
            }
            Step::Send { length } => {
                if !waiting.is_empty() {
                    continue;
                }
                let data = vec![next; usize::from(length)];
                match near.send(&data, None) {
                    Sent::Whole => expected.push(data),
                    Sent::WouldBlock => {}
                    Sent::Failed(error) => panic!("{error}"),
                }
            }
            Step::Flush => flush(&mut near, &mut expected, &mut waiting),
            Step::Receive => {
                receive(&mut far, &mut expected, &from);
            }
        }
    }
    while !waiting.is_empty() || !expected.is_empty() {
        flush(&mut near, &mut expected, &mut waiting);
        while receive(&mut far, &mut expected, &from) {}
    }
});
