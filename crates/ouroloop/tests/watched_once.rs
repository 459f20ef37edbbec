//! Watching a descriptor for one event.
#![cfg(not(loom))]

mod support;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use ouroloop::EventLoop;
use ouroloop::clock::ManualClock;
use support::{Token, fill, mechanisms, number, pair, turn};

type TestLoop = EventLoop<Token, ManualClock>;

const READER: Token = Token(1);
const WRITER: Token = Token(2);

fn loops() -> impl Iterator<Item = TestLoop> {
    mechanisms()
        .into_iter()
        .map(|mechanism| EventLoop::with_clock(mechanism, ManualClock::default()).expect("a loop"))
}

fn ready(turns: &mut TestLoop) -> Vec<Token> {
    turn(turns, |_, _| {})
}

#[test]
fn it_is_told_once_and_can_be_waited_for_again() {
    for mut turns in loops() {
        let (mut near, mut far) = pair();
        for _ in 0..3 {
            assert_eq!(turns.set_reader_once(number(&near), READER).expect("a watch"), None);
            assert_eq!(turns.watched(number(&near)), (Some(&READER), None));
            assert_eq!(ready(&mut turns), []);
            far.write_all(b"a").expect("room");
            assert_eq!(ready(&mut turns), [READER]);
            assert_eq!(turns.watched(number(&near)), (None, None));
            assert_eq!(ready(&mut turns), [], "the byte is still there, but nobody waits");
            near.read_exact(&mut [0]).expect("a byte");
        }
    }
}

#[test]
fn what_is_there_already_is_found() {
    for mut turns in loops() {
        let (near, mut far) = pair();
        far.write_all(b"a").expect("room");
        for _ in 0..2 {
            turns.set_reader_once(number(&near), READER).expect("a watch");
            assert_eq!(ready(&mut turns), [READER]);
        }
    }
}

#[test]
fn it_can_be_replaced_and_cleared() {
    for mut turns in loops() {
        let (near, mut far) = pair();
        let fd = number(&near);
        turns.set_reader_once(fd, READER).expect("a watch");
        assert_eq!(turns.set_reader_once(fd, Token(7)).expect("a watch"), Some(READER));
        assert_eq!(turns.clear_reader(fd), Some(Token(7)));
        assert_eq!(turns.clear_reader(fd), None);
        far.write_all(b"a").expect("room");
        assert_eq!(ready(&mut turns), []);
        turns.set_reader_once(fd, READER).expect("a watch");
        assert_eq!(ready(&mut turns), [READER]);
        assert_eq!(turns.clear_reader(fd), None);
    }
}

#[test]
fn each_direction_is_told_once() {
    for mut turns in loops() {
        let (mut near, mut far) = pair();
        let fd = number(&near);
        fill(&mut near);
        turns.set_reader_once(fd, READER).expect("a watch");
        turns.set_writer_once(fd, WRITER).expect("a watch");
        far.write_all(b"a").expect("room");
        assert_eq!(ready(&mut turns), [READER]);
        assert_eq!(turns.watched(fd), (None, Some(&WRITER)));
        assert_eq!(ready(&mut turns), []);
        std::io::copy(&mut far, &mut std::io::sink()).expect_err("it would block");
        assert_eq!(ready(&mut turns), [WRITER]);
        assert_eq!(ready(&mut turns), []);
    }
}

#[test]
fn one_direction_once_and_the_other_for_good() {
    for mut turns in loops() {
        let (mut near, mut far) = pair();
        let fd = number(&near);
        turns.set_writer(fd, WRITER).expect("a watch");
        turns.set_reader_once(fd, READER).expect("a watch");
        assert_eq!(ready(&mut turns), [WRITER]);
        far.write_all(b"a").expect("room");
        assert_eq!(ready(&mut turns), [READER, WRITER]);
        assert_eq!(ready(&mut turns), [WRITER]);
        // The other way round: the one for good comes to a descriptor that is watched once.
        near.read_exact(&mut [0]).expect("a byte");
        assert_eq!(turns.clear_writer(fd), Some(WRITER));
        turns.set_reader_once(fd, READER).expect("a watch");
        turns.set_writer(fd, WRITER).expect("a watch");
        assert_eq!(ready(&mut turns), [WRITER]);
        assert_eq!(ready(&mut turns), [WRITER]);
        assert_eq!(turns.clear_writer(fd), Some(WRITER));
        assert_eq!(ready(&mut turns), []);
        far.write_all(b"a").expect("room");
        assert_eq!(ready(&mut turns), [READER]);
        assert_eq!(ready(&mut turns), []);
    }
}

#[test]
fn a_watch_for_good_follows_one_that_was_told() {
    for mut turns in loops() {
        let (near, mut far) = pair();
        far.write_all(b"a").expect("room");
        turns.set_reader_once(number(&near), READER).expect("a watch");
        assert_eq!(ready(&mut turns), [READER]);
        turns.set_reader(number(&near), Token(7)).expect("a watch");
        assert_eq!(ready(&mut turns), [Token(7)]);
        assert_eq!(ready(&mut turns), [Token(7)]);
    }
}

/// Puts another file under the number of `socket`.
fn replace(
    socket: std::os::unix::net::UnixStream,
    file: impl AsFd,
) -> std::os::unix::net::UnixStream {
    let mut socket = OwnedFd::from(socket);
    rustix::io::dup2(file, &mut socket).expect("a duplicate");
    socket.into()
}

#[test]
fn another_file_under_the_number_is_waited_for() {
    for mut turns in loops() {
        let (near, mut far) = pair();
        let (other, mut other_far) = pair();
        // Told before, and waited for before.
        far.write_all(b"a").expect("room");
        turns.set_reader_once(number(&near), READER).expect("a watch");
        assert_eq!(ready(&mut turns), [READER]);
        let near = replace(near, &other);
        turns.set_reader_once(number(&near), READER).expect("a watch");
        assert_eq!(ready(&mut turns), []);
        let (third, mut third_far) = pair();
        let near = replace(near, &third);
        turns.set_reader_once(number(&near), READER).expect("a watch");
        third_far.write_all(b"a").expect("room");
        assert_eq!(ready(&mut turns), [READER]);
        other_far.write_all(b"a").expect("room");
    }
}

#[test]
fn a_file_kept_open_elsewhere_wakes_nobody() {
    for mut turns in loops() {
        let (near, mut far) = pair();
        let _kept = near.try_clone().expect("a duplicate");
        far.write_all(b"a").expect("room");
        turns.set_reader_once(number(&near), READER).expect("a watch");
        assert_eq!(ready(&mut turns), [READER]);
        let fd = number(&near);
        drop(near);
        far.write_all(b"b").expect("room");
        assert_eq!(ready(&mut turns), []);
        assert_eq!(turns.watched(fd), (None, None));
    }
}
