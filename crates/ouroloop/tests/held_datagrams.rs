//! Datagrams that wait for more: each leaves once, in order, and by itself if nobody comes.
#![cfg(not(loom))]

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use ouroloop::net::Holder;
use ouroloop::net::datagram::{DatagramSocket, Destination, Flushed, Outgoing};

type Socket = DatagramSocket<Vec<u8>, &'static str>;

/// A socket, and its peer.
fn pair() -> (Socket, UnixDatagram) {
    let (near, far) = UnixDatagram::pair().expect("a pair");
    far.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket that waits");
    (Socket::adopt(near.into(), 0).expect("a socket"), far)
}

fn hold(socket: &mut Socket, holder: &Holder, data: &[u8]) -> bool {
    socket.push(Outgoing { data: data.to_vec(), to: Destination::Peer });
    socket.hold(holder)
}

fn read(far: &UnixDatagram) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let length = far.recv(&mut buffer).expect("a datagram");
    buffer[..length].to_vec()
}

fn has_nothing(far: &UnixDatagram) -> bool {
    far.set_nonblocking(true).expect("a socket");
    let read = far.recv(&mut [0]);
    far.set_nonblocking(false).expect("a socket");
    read.is_err()
}

/// The thread has tried everything that `holder` held before: it goes in order.
fn tried(holder: &Holder) {
    let (mut last, far) = pair();
    assert!(hold(&mut last, holder, b"last"));
    assert_eq!(read(&far), b"last");
}

#[test]
fn those_that_are_held_leave_with_the_flush() {
    let holder = Holder::new();
    let (mut near, far) = pair();
    for data in [&b"one"[..], b"", b"three"] {
        assert!(hold(&mut near, &holder, data));
    }
    assert!(matches!(near.flush(), Flushed::Drained));
    assert_eq!([read(&far), read(&far), read(&far)], [&b"one"[..], b"", b"three"]);
    tried(&holder);
    assert!(has_nothing(&far));
}

#[test]
fn they_leave_by_themselves_once() {
    let holder = Holder::new();
    let (mut one, far) = pair();
    let (mut other, peer) = pair();
    for data in [&b"a"[..], b"", b"c"] {
        assert!(hold(&mut one, &holder, data));
        assert!(hold(&mut other, &holder, data));
    }
    for far in [&far, &peer] {
        assert_eq!([read(far), read(far), read(far)], [&b"a"[..], b"", b"c"]);
    }
    one.push(Outgoing { data: b"more".to_vec(), to: Destination::Peer });
    assert!(matches!(one.flush(), Flushed::Drained));
    assert!(one.waited_long());
    assert!(!one.waited_long(), "asked once, it is forgotten");
    assert_eq!(read(&far), b"more");
    drop(other);
    tried(&holder);
    assert!(has_nothing(&far) && has_nothing(&peer));
}

#[test]
fn an_error_that_the_thread_meets_is_that_of_one_datagram() {
    let holder = Holder::new();
    let (mut near, far) = pair();
    assert!(hold(&mut near, &holder, b"one"));
    assert!(hold(&mut near, &holder, b"two"));
    drop(far);
    tried(&holder);
    for data in [b"one", b"two"] {
        let Flushed::Failed(datagram, error) = near.flush() else { panic!("nobody is there") };
        assert_eq!(datagram.data, data);
        let kinds = [ErrorKind::ConnectionRefused, ErrorKind::NotConnected];
        assert!(kinds.contains(&error.kind()), "{error}");
    }
    assert!(matches!(near.flush(), Flushed::Drained));
}

#[test]
fn what_a_full_peer_refuses_stays_in_order() {
    let holder = Holder::new();
    let (mut near, far) = pair();
    let mut sent = 0_u32;
    loop {
        near.push(Outgoing { data: sent.to_be_bytes().to_vec(), to: Destination::Peer });
        if matches!(near.flush(), Flushed::Blocked) {
            break;
        }
        sent += 1;
    }
    // The one that was refused would be overtaken.
    assert!(!hold(&mut near, &holder, b"later"));
    drop(near.take_queue());
    assert!(hold(&mut near, &holder, b"one"));
    assert!(hold(&mut near, &holder, b"two"));
    tried(&holder);
    for number in 0..sent {
        assert_eq!(read(&far), number.to_be_bytes());
    }
    assert!(matches!(near.flush(), Flushed::Drained));
    assert_eq!([read(&far), read(&far)], [b"one", b"two"]);
    assert!(has_nothing(&far));
}

#[test]
fn a_long_one_and_one_that_the_owner_sends_are_not_held() {
    let holder = Holder::new();
    let (mut near, far) = pair();
    assert!(hold(&mut near, &holder, b"short"));
    assert!(!hold(&mut near, &holder, &[1; 3000]));
    assert!(matches!(near.flush(), Flushed::Drained));
    assert_eq!([read(&far), read(&far)], [b"short".to_vec(), vec![1; 3000]]);
    near.push(Outgoing { data: b"x".to_vec(), to: Destination::Foreign("elsewhere") });
    assert!(!near.hold(&holder));
}

#[test]
fn those_of_a_socket_that_is_closed_or_given_up_are_not_sent() {
    let holder = Holder::new();
    let (mut dropped, mut far) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let (mut near, peer) = pair();
        assert!(hold(&mut near, &holder, b"lost"));
        dropped.push(near);
        far.push(peer);
    }
    let (mut given_up, peer) = pair();
    assert!(hold(&mut given_up, &holder, b"lost"));
    let waited = given_up.take_queue().len();
    drop(dropped);
    // The thread was free to send until here, and is not from here on.
    assert_eq!(has_nothing(&peer), waited == 1);
    for far in &far {
        has_nothing(far);
    }
    // Other sockets have their numbers.
    let others: Vec<_> = (0..100).map(|_| pair()).collect();
    tried(&holder);
    let far = far.iter().chain([&peer]).chain(others.iter().map(|(_, far)| far));
    assert_eq!(far.filter(|far| !has_nothing(far)).count(), 0);
}

#[test]
fn so_many_are_held_and_no_more() {
    let holder = Holder::new();
    let (mut near, _far) = pair();
    let held = (0..10_000).take_while(|_| hold(&mut near, &holder, b"")).count();
    assert!((32..10_000).contains(&held), "{held}");
}
