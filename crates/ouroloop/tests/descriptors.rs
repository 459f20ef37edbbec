//! Watching descriptors: levels, errors, and descriptors that were closed behind the loop's back.
#![cfg(not(loom))]

mod support;

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ouroloop::EventLoop;
use ouroloop::clock::ManualClock;
use ouroloop::multiplex::{Events, Interest, Timeout};
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
fn a_level_is_reported_again_in_every_turn() {
    for mut turns in loops() {
        let (mut near, mut far) = pair();
        turns.set_reader(number(&near), READER).expect("a watch");
        assert_eq!(ready(&mut turns), []);
        far.write_all(b"ab").expect("room");
        assert_eq!(ready(&mut turns), [READER]);
        near.read_exact(&mut [0]).expect("a byte");
        assert_eq!(ready(&mut turns), [READER]);
        near.read_exact(&mut [0]).expect("a byte");
        assert_eq!(ready(&mut turns), []);
    }
}

#[test]
fn each_direction_is_watched_by_itself() {
    for mut turns in loops() {
        let (mut near, mut far) = pair();
        fill(&mut near);
        turns.set_writer(number(&near), WRITER).expect("a watch");
        assert_eq!(ready(&mut turns), []);
        far.write_all(b"x").expect("room");
        assert_eq!(ready(&mut turns), [], "nobody wants to read");
        turns.set_reader(number(&near), READER).expect("a watch");
        assert_eq!(ready(&mut turns), [READER]);
        std::io::copy(&mut far, &mut std::io::sink()).expect_err("it would block");
        assert_eq!(ready(&mut turns), [READER, WRITER]);
        assert_eq!(turns.watched(number(&near)), (Some(&READER), Some(&WRITER)));
        assert_eq!(turns.clear_reader(number(&near)), Some(READER));
        assert_eq!(turns.clear_reader(number(&near)), None);
        assert_eq!(ready(&mut turns), [WRITER]);
        assert_eq!(turns.set_writer(number(&near), Token(9)).expect("a watch"), Some(WRITER));
        assert_eq!(ready(&mut turns), [Token(9)]);
    }
}

#[test]
fn a_hang_up_wakes_reader_and_writer() {
    for mut turns in loops() {
        let (mut near, far) = pair();
        fill(&mut near);
        turns.set_reader(number(&near), READER).expect("a watch");
        turns.set_writer(number(&near), WRITER).expect("a watch");
        assert_eq!(ready(&mut turns), []);
        drop(far);
        assert_eq!(ready(&mut turns), [READER, WRITER]);
    }
}

#[test]
fn a_hang_up_reaches_a_writer_that_is_alone() {
    for mut turns in loops() {
        let (mut near, far) = pair();
        fill(&mut near);
        turns.set_writer(number(&near), WRITER).expect("a watch");
        drop(far);
        assert_eq!(ready(&mut turns), [WRITER]);
    }
}

#[test]
fn a_number_that_names_a_new_file_is_watched_anew() {
    for mut turns in loops() {
        let (near, _far) = pair();
        let (other, mut other_far) = pair();
        turns.set_reader(number(&near), READER).expect("a watch");
        // The number now names another file, which the kernel does not watch yet (ENOENT).
        let mut near = OwnedFd::from(near);
        rustix::io::dup2(other.as_fd(), &mut near).expect("a duplicate");
        let near = near.into();
        turns.set_writer(number(&near), WRITER).expect("a watch");
        assert_eq!(ready(&mut turns), [WRITER]);
        other_far.write_all(b"x").expect("room");
        assert_eq!(ready(&mut turns), [READER, WRITER]);
    }
}

#[test]
fn a_file_that_the_kernel_still_watches_is_taken_over() {
    for mut turns in loops() {
        let (near, mut far) = pair();
        let duplicate = near.try_clone().expect("a duplicate");
        let fd = number(&near);
        turns.set_reader(fd, READER).expect("a watch");
        let (placeholder, _placeholder_far) = pair();
        let mut near = OwnedFd::from(near);
        rustix::io::dup2(placeholder.as_fd(), &mut near).expect("a duplicate");
        // The number names another file, so the kernel cannot be told to forget the first (ENOENT).
        assert_eq!(turns.clear_reader(fd), Some(READER));
        rustix::io::dup2(duplicate.as_fd(), &mut near).expect("a duplicate");
        // It names the first file again, whose old registration is still there (EEXIST).
        turns.set_reader(fd, Token(7)).expect("a watch");
        far.write_all(b"x").expect("room");
        assert_eq!(ready(&mut turns), [Token(7)]);
    }
}

#[test]
fn a_descriptor_that_was_closed_first_is_unwatched_in_peace() {
    for mut turns in loops() {
        let (near, _far) = pair();
        // A number so high that no other test is given it meanwhile.
        let near = rustix::io::fcntl_dupfd_cloexec(near, 900).expect("a duplicate");
        let fd = near.as_raw_fd();
        turns.set_reader(fd, READER).expect("a watch");
        drop(near);
        assert_eq!(turns.clear_reader(fd), Some(READER));
        assert_eq!(ready(&mut turns), []);
        let refused = turns.set_reader(fd, READER).expect_err("it is closed");
        assert_eq!(refused.error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(refused.callback, READER);
        assert_eq!(turns.watched(fd), (None, None));
        assert!(turns.set_reader(-1, READER).is_err());
    }
}

#[test]
fn a_wait_without_end_is_ended_by_readiness() {
    for mechanism in mechanisms() {
        let (near, mut far) = pair();
        let read = Interest { readable: true, ..Interest::NONE };
        mechanism.set(number(&near), Interest::NONE, read).expect("a watch");
        let mut events = Events::default();
        mechanism.wait(&mut events, Timeout::After(1)).expect("a wait");
        assert_eq!(events.drain().count(), 0);
        far.write_all(b"x").expect("room");
        mechanism.wait(&mut events, Timeout::Never).expect("a wait");
        let found: Vec<_> = events.drain().collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].fd, found[0].readable), (number(&near), true));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_regular_file_cannot_be_waited_for_by_epoll() {
    use ouroloop::multiplex::{Epoll, Multiplexer};

    let path = std::env::current_exe().expect("this program's path");
    let file = std::fs::File::open(path).expect("this program's file");
    let epoll = Epoll::new().expect("an epoll instance");
    let read = Interest { readable: true, ..Interest::NONE };
    let refused = epoll.set(file.as_raw_fd(), Interest::NONE, read).expect_err("it is refused");
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
}
