//! Datagram sockets against sockets of the operating system.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use ouroloop::net::datagram::batch::MOST;
use ouroloop::net::datagram::{
    Batch, DatagramSocket, Destination, Flushed, Outgoing, Received, Sent,
};
use rustix::net::SocketAddrAny;

type Socket = DatagramSocket<Vec<u8>, &'static str>;

fn socket(fd: impl Into<OwnedFd>) -> Socket {
    Socket::adopt(fd.into(), 8).expect("a socket")
}

fn unix_pair() -> (Socket, Socket) {
    let (near, far) = UnixDatagram::pair().expect("a pair");
    (socket(near), socket(far))
}

fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    (socket, address)
}

fn to_peer(data: &[u8]) -> Outgoing<Vec<u8>, &'static str> {
    Outgoing { data: data.to_vec(), to: Destination::Peer }
}

fn to(data: &[u8], address: SocketAddr) -> Outgoing<Vec<u8>, &'static str> {
    Outgoing { data: data.to_vec(), to: Destination::Address(address.into()) }
}

/// Reads until nothing more is there; the contents in order.
fn drain(socket: &mut Socket, batch: &mut Batch) -> Vec<Vec<u8>> {
    let mut contents = Vec::new();
    loop {
        match socket.receive(batch) {
            Received::Datagrams(count) => {
                assert_eq!(batch.len(), count);
                for place in 0..count {
                    let datagram = batch.get(place).expect("counted");
                    assert!(!datagram.truncated);
                    contents.push(datagram.data.to_vec());
                }
                assert!(batch.get(count).is_none());
            }
            Received::WouldBlock => {
                assert!(batch.is_empty());
                return contents;
            }
            Received::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_flood_arrives_whole_and_in_order() {
    let (mut near, mut far) = unix_pair();
    let mut batch = Batch::new();
    let content = |number: u32| {
        let mut content = number.to_be_bytes().to_vec();
        content.resize(4 + number as usize * 7 % 300, number.to_be_bytes()[3]);
        content
    };
    let (total, mut pushed, mut arrived) = (20_000, 0, 0);
    while arrived < total {
        while pushed < total && near.queue().len() < 100 {
            near.push(to_peer(&content(pushed)));
            pushed += 1;
        }
        let flushed = near.flush();
        assert!(matches!(flushed, Flushed::Drained | Flushed::Blocked), "{flushed:?}");
        for received in drain(&mut far, &mut batch) {
            assert_eq!(received, content(arrived));
            arrived += 1;
        }
    }
    assert_eq!(near.queue().weight(), 0);
}

#[test]
fn no_read_takes_more_than_its_most() {
    let (mut near, mut far) = unix_pair();
    let mut batch = Batch::new();
    let mut reads = Vec::new();
    for _ in 0..4 {
        for number in 0..10 {
            near.push(to_peer(&[number]));
        }
        assert!(matches!(near.flush(), Flushed::Drained));
        while let Received::Datagrams(count) = far.receive(&mut batch) {
            reads.push(count);
        }
    }
    assert_eq!(reads.iter().sum::<usize>(), 40);
    assert!(reads.iter().all(|&count| (1..=MOST).contains(&count)), "{reads:?}");
    assert!(reads.iter().any(|&count| count > 1), "{reads:?}");
}

#[test]
fn senders_are_told_apart() {
    let (near, address) = bound();
    let mut near = socket(near);
    let peers: Vec<_> = (0..5).map(|_| bound()).collect();
    for (number, (peer, _)) in (0_u8..).zip(&peers) {
        peer.send_to(&[number], address).expect("room");
    }
    let mut batch = Batch::new();
    let mut answered = 0;
    while answered < peers.len() {
        let Received::Datagrams(count) = near.receive(&mut batch) else { continue };
        for place in 0..count {
            let datagram = batch.get(place).expect("counted");
            let from = datagram.from.expect("internet sockets have addresses");
            assert_eq!(from, peers[usize::from(datagram.data[0])].1.into());
            let to = Destination::Address(from);
            near.push(Outgoing { data: datagram.data.to_vec(), to });
            answered += 1;
        }
    }
    assert!(matches!(near.flush(), Flushed::Drained));
    for (number, (peer, _)) in (0_u8..).zip(&peers) {
        let mut buffer = [0; 8];
        assert_eq!(peer.recv_from(&mut buffer).expect("an answer"), (1, address));
        assert_eq!(buffer[0], number);
    }
}

#[test]
fn ipv6_and_unix_addresses_come_as_the_kernel_has_them() {
    let near = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a free port");
    let far = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a free port");
    far.send_to(b"six", near.local_addr().expect("bound")).expect("room");
    let (mut near, mut batch) = (socket(near), Batch::new());
    assert!(matches!(near.receive(&mut batch), Received::Datagrams(1)));
    let from = batch.get(0).expect("counted").from;
    assert_eq!(from, Some(far.local_addr().expect("bound").into()));

    let (near, far) = UnixDatagram::pair().expect("a pair");
    far.send(b"nameless").expect("room");
    let mut near = socket(near);
    assert!(matches!(near.receive(&mut batch), Received::Datagrams(1)));
    assert!(batch.get(0).expect("counted").from.is_none());
}

#[test]
fn empty_datagrams_are_datagrams_and_have_a_weight() {
    let (mut near, mut far) = unix_pair();
    near.push(to_peer(b""));
    near.push(to_peer(b"x"));
    near.push(to_peer(b""));
    assert_eq!(near.queue().weight(), 25);
    assert!(matches!(near.flush(), Flushed::Drained));
    assert_eq!(drain(&mut far, &mut Batch::new()), [&b""[..], b"x", b""]);
}

#[test]
fn the_longest_datagram_of_an_internet_socket_fits() {
    let (near, address) = bound();
    let (mut near, mut batch) = (socket(near), Batch::new());
    let (far, _) = bound();
    let longest: Vec<u8> = (0..65_507_u32).map(|number| number.to_be_bytes()[3]).collect();
    for _ in 0..2 {
        far.send_to(&longest, address).expect("room");
        assert_eq!(drain(&mut near, &mut batch), [&longest[..]]);
    }
}

#[test]
fn what_is_cut_is_said_to_be_cut() {
    let (near, far) = UnixDatagram::pair().expect("a pair");
    // What a system allows at most, unless it can be forced.
    #[cfg(target_os = "linux")]
    let forced = rustix::net::sockopt::set_socket_send_buffer_size_force(&far, 1 << 20).is_ok();
    #[cfg(not(target_os = "linux"))]
    let forced = false;
    if !forced {
        rustix::net::sockopt::set_socket_send_buffer_size(&far, 1 << 20).expect("a larger buffer");
    }
    let (mut near, mut batch) = (socket(near), Batch::new());
    if far.send(&vec![7; 300_000]).is_err() {
        return; // This kernel allows no datagram that is longer than the room.
    }
    far.send(b"whole").expect("room");
    let mut seen = Vec::new();
    while let Received::Datagrams(count) = near.receive(&mut batch) {
        for datagram in (0..count).filter_map(|place| batch.get(place)) {
            seen.push((datagram.data.len(), datagram.truncated));
        }
    }
    assert_eq!(seen, [(262_144, true), (5, false)]);
}

#[test]
fn a_failed_datagram_does_not_stop_the_others() {
    let (near, _) = bound();
    let (far, address) = bound();
    let mut near = socket(near);
    near.push(to(b"first", address));
    near.push(to(&vec![0; 70_000], address));
    near.push(to(b"third", address));
    let Flushed::Failed(datagram, error) = near.flush() else { panic!("70,000 bytes were sent") };
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(datagram.data.len(), 70_000);
    assert!(matches!(near.flush(), Flushed::Drained));
    let mut buffer = [0; 8];
    for content in [b"first", b"third"] {
        assert_eq!(far.recv(&mut buffer).expect("it was sent"), 5);
        assert_eq!(&buffer[..5], content);
    }
}

#[test]
fn a_peer_that_is_not_there_is_told_once_a_datagram() {
    let (near, _) = bound();
    let (gone, address) = bound();
    near.connect(address).expect("a socket that is bound");
    drop(gone);
    let (mut near, mut batch) = (socket(near), Batch::new());
    assert!(matches!(near.send(b"anyone?", None), Sent::Whole));
    let Received::Failed(error) = near.receive(&mut batch) else { panic!("nobody was there") };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(matches!(near.receive(&mut batch), Received::WouldBlock));
    near.push(to_peer(b"anyone?"));
    assert!(matches!(near.flush(), Flushed::Drained));
    assert!(matches!(near.send(b"again", None), Sent::Failed(_)));
}

#[test]
fn a_full_receiver_leaves_the_rest_in_the_queue() {
    let (mut near, mut far) = unix_pair();
    for number in 0..400_u16 {
        near.push(to_peer(&number.to_be_bytes()));
    }
    assert!(matches!(near.flush(), Flushed::Blocked));
    let waiting = near.queue().len();
    assert!((1..400).contains(&waiting), "{waiting}");
    let (mut batch, mut arrived) = (Batch::new(), Vec::new());
    while arrived.len() < 400 {
        arrived.extend(drain(&mut far, &mut batch));
        let _ = near.flush();
    }
    let numbers: Vec<_> = (0..400_u16).map(|number| number.to_be_bytes().to_vec()).collect();
    assert_eq!(arrived, numbers);
}

#[test]
fn foreign_destinations_are_handed_out_in_their_turn() {
    let (mut near, mut far) = unix_pair();
    near.push(to_peer(b"before"));
    near.push(Outgoing { data: b"elsewhere".to_vec(), to: Destination::Foreign("place") });
    near.push(to_peer(b"after"));
    let Flushed::Foreign(data, place) = near.flush() else { panic!("it was not sent") };
    assert_eq!((&data[..], place), (&b"elsewhere"[..], "place"));
    near.put_back(Outgoing { data, to: Destination::Foreign(place) });
    let Flushed::Foreign(data, _) = near.flush() else { panic!("it was not the first again") };
    assert_eq!(data, b"elsewhere");
    let mut batch = Batch::new();
    assert_eq!(drain(&mut far, &mut batch), [b"before"]);
    assert!(matches!(near.flush(), Flushed::Drained));
    assert_eq!(drain(&mut far, &mut batch), [b"after"]);
}

#[test]
fn a_flush_gives_way_to_others() {
    let (near, _) = bound();
    let (_far, address) = bound();
    let mut near = socket(near);
    (0..2000).for_each(|_| near.push(to(b"x", address)));
    assert!(matches!(near.flush(), Flushed::Blocked));
    assert!((1..2000).contains(&near.queue().len()));
}

#[test]
fn a_closed_socket_fails_and_owns_nothing() {
    let (mut near, _far) = unix_pair();
    near.push(to_peer(b"late"));
    drop(near.take_fd());
    assert!(near.fd().is_none());
    assert!(matches!(near.flush(), Flushed::Failed(..)));
    assert!(matches!(near.flush(), Flushed::Drained));
    assert!(matches!(near.receive(&mut Batch::new()), Received::Failed(_)));
    assert!(matches!(near.send(b"", None::<&SocketAddrAny>), Sent::Failed(_)));
    assert!(near.take_fd().is_none());
}
