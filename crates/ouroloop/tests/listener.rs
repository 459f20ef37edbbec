//! Listening and connecting over real sockets.
#![cfg(not(loom))]

mod support;

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;

use ouroloop::net::listener::accept_batch;
use ouroloop::net::{Accepted, Connecting, Listener, connect};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

fn listener(backlog: u16) -> (Listener, SocketAddr) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), backlog).expect("a listener");
    let address = listener.local_addr().expect("a bound address");
    (listener, address)
}

fn wait_until(fd: impl AsFd, flags: PollFlags) {
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(&fd, flags)], Some(&patience)).expect("a wait");
    assert_eq!(ready, 1);
}

#[test]
fn an_accepted_connection_knows_its_peer_and_does_not_block() {
    let (listener, address) = listener(16);
    assert!(matches!(listener.accept(), Accepted::WouldBlock));
    let client = TcpStream::connect(address).expect("a connection");
    wait_until(&listener, PollFlags::IN);
    let Accepted::Stream(fd, Some(peer)) = listener.accept() else { panic!("somebody waits") };
    assert_eq!(SocketAddr::try_from(peer).ok(), client.local_addr().ok());
    assert!(rustix::fs::fcntl_getfl(&fd).expect("flags").contains(rustix::fs::OFlags::NONBLOCK));
    assert!(rustix::io::fcntl_getfd(&fd).expect("flags").contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn a_batch_is_bounded_and_ends_when_nobody_waits() {
    let (listener, address) = listener(64);
    let clients: Vec<_> =
        (0..10).map(|_| TcpStream::connect(address).expect("a connection")).collect();
    wait_until(&listener, PollFlags::IN);
    let first = accept_batch(listener.as_fd(), 4);
    assert_eq!(first.filter(|accepted| matches!(accepted, Accepted::Stream(..))).count(), 4);
    assert_eq!(listener.accept_batch().count(), clients.len() - 4);
    assert_eq!(listener.accept_batch().count(), 0);
}

#[test]
fn a_broken_listener_fails() {
    let (near, _far) = support::pair();
    let mut batch = accept_batch(near.as_fd(), 10);
    assert!(matches!(batch.next(), Some(Accepted::Failed(_))));
    assert!(batch.next().is_none());
}

#[test]
fn a_connection_is_made_without_blocking() {
    let (listener, address) = listener(1);
    let socket = connect::stream_socket(&address).expect("a socket");
    match connect::start(&socket, &address) {
        Connecting::Done => {}
        Connecting::InProgress => {
            wait_until(&socket, PollFlags::OUT);
            connect::finish(&socket).expect("a connection");
        }
        Connecting::Failed(error) => panic!("{error}"),
    }
    wait_until(&listener, PollFlags::IN);
    assert!(matches!(listener.accept(), Accepted::Stream(..)));
}

#[test]
fn a_refused_connection_says_so() {
    let (gone, address) = listener(1);
    drop(gone);
    let socket = connect::stream_socket(&address).expect("a socket");
    let error = match connect::start(&socket, &address) {
        Connecting::Done => panic!("nobody listens"),
        Connecting::InProgress => {
            wait_until(&socket, PollFlags::OUT);
            connect::finish(&socket).expect_err("nobody listens")
        }
        Connecting::Failed(error) => error,
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
