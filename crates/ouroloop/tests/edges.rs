//! Readers that are watched by edges: on every mechanism, nothing that comes goes without a call.
#![cfg(not(loom))]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use ouroloop::EventLoop;
use ouroloop::clock::ManualClock;
use rustix::net::SendFlags;
use support::{Token, mechanisms, turn};

type TestLoop = EventLoop<Token, ManualClock>;

const READER: Token = Token(1);
const WRITER: Token = Token(2);

/// A loop on each mechanism, with a connection whose one end it watches.
fn watching() -> impl Iterator<Item = (TestLoop, TcpStream, TcpStream)> {
    mechanisms().into_iter().map(|mechanism| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let far = TcpStream::connect(listener.local_addr().expect("an address"));
        let (near, far) = (listener.accept().expect("a connection").0, far.expect("a connection"));
        near.set_nonblocking(true).expect("non-blocking");
        far.set_nodelay(true).expect("no delay");
        let mut turns = EventLoop::with_clock(mechanism, ManualClock::default()).expect("a loop");
        turns.set_reader_by_edges(near.as_raw_fd(), READER).expect("a watch");
        (turns, near, far)
    })
}

fn ready(turns: &mut TestLoop) -> Vec<Token> {
    turn(turns, |_, _| {})
}

/// What a reader takes that reads once, with much room, whenever it is called.
fn taken(turns: &mut TestLoop, near: &mut TcpStream) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    while !ready(turns).is_empty() {
        let mut room = [0; 4096];
        match near.read(&mut room) {
            Ok(length) => {
                taken.push(room[..length].to_vec());
                if length == 0 {
                    turns.clear_reader(near.as_raw_fd());
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    taken
}

#[test]
fn what_comes_is_told_each_time() {
    for (mut turns, mut near, mut far) in watching() {
        assert_eq!(ready(&mut turns), []);
        for piece in [b"one", b"two"] {
            far.write_all(piece).expect("room");
            assert_eq!(taken(&mut turns, &mut near), [piece]);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn epoll_keeps_silent_about_what_it_has_told() {
    let (mut turns, _near, mut far) = watching().next().expect("the first mechanism");
    far.write_all(b"one").expect("room");
    assert_eq!(ready(&mut turns), [READER]);
    assert_eq!(ready(&mut turns), []);
    far.write_all(b"two").expect("room");
    assert_eq!(ready(&mut turns), [READER]);
}

#[test]
fn a_level_is_told_again_once_it_is_asked_for() {
    for (mut turns, mut near, mut far) in watching() {
        far.write_all(b"ab").expect("room");
        assert_eq!(ready(&mut turns), [READER]);
        near.read_exact(&mut [0]).expect("a byte");
        turns.level_reader(near.as_raw_fd());
        assert_eq!(ready(&mut turns), [READER]);
        assert_eq!(ready(&mut turns), [READER]);
        near.read_exact(&mut [0]).expect("a byte");
        assert_eq!(ready(&mut turns), []);
        // For one that is not watched there is nothing to do.
        turns.clear_reader(near.as_raw_fd());
        turns.level_reader(near.as_raw_fd());
        far.write_all(b"c").expect("room");
        assert_eq!(ready(&mut turns), []);
        turns.level_reader(-1);
        turns.level_reader(9999);
    }
}

#[test]
fn the_end_is_told_that_came_with_bytes() {
    for (mut turns, mut near, mut far) in watching() {
        far.write_all(b"last words").expect("room");
        far.shutdown(Shutdown::Write).expect("a half close");
        assert_eq!(taken(&mut turns, &mut near), [b"last words".to_vec(), Vec::new()]);
    }
}

#[test]
fn the_end_is_told_that_came_between_the_wait_and_the_read() {
    for (mut turns, mut near, mut far) in watching() {
        far.write_all(b"last words").expect("room");
        assert_eq!(ready(&mut turns), [READER]);
        drop(far);
        let mut room = [0; 64];
        assert_eq!(near.read(&mut room).expect("bytes"), 10);
        assert_eq!(taken(&mut turns, &mut near), [Vec::new()]);
    }
}

#[test]
fn bytes_behind_urgent_data_are_told() {
    for (mut turns, mut near, mut far) in watching() {
        far.write_all(b"before").expect("room");
        rustix::net::send(far.as_fd(), b"!", SendFlags::OOB).expect("room");
        far.write_all(b"behind").expect("room");
        assert_eq!(taken(&mut turns, &mut near), [b"before", b"behind"]);
    }
}

#[test]
fn urgent_data_that_comes_between_the_wait_and_the_read_hides_nothing() {
    for (mut turns, mut near, mut far) in watching() {
        far.write_all(b"before").expect("room");
        assert_eq!(ready(&mut turns), [READER]);
        rustix::net::send(far.as_fd(), b"!", SendFlags::OOB).expect("room");
        far.write_all(b"behind").expect("room");
        let mut room = [0; 64];
        assert_eq!(near.read(&mut room).expect("bytes"), 6);
        assert_eq!(taken(&mut turns, &mut near), [b"behind"]);
    }
}

#[test]
fn what_came_before_the_watch_is_told() {
    for (mut turns, mut near, mut far) in watching() {
        turns.clear_reader(near.as_raw_fd());
        far.write_all(b"early").expect("room");
        turns.set_reader_by_edges(near.as_raw_fd(), READER).expect("a watch");
        assert_eq!(taken(&mut turns, &mut near), [b"early"]);
    }
}

#[test]
fn a_writer_beside_it_is_told_as_long_as_there_is_room() {
    for (mut turns, mut near, mut far) in watching() {
        turns.set_writer(near.as_raw_fd(), WRITER).expect("a watch");
        assert_eq!(ready(&mut turns), [WRITER]);
        far.write_all(b"x").expect("room");
        assert_eq!(ready(&mut turns), [READER, WRITER]);
        assert_eq!(ready(&mut turns), [READER, WRITER]);
        turns.clear_writer(near.as_raw_fd());
        assert_eq!(taken(&mut turns, &mut near), [b"x"]);
        far.write_all(b"y").expect("room");
        assert_eq!(taken(&mut turns, &mut near), [b"y"]);
    }
}
