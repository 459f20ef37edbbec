//! What the mechanisms promise alike, and the limit of one of them.
#![cfg(not(loom))]

mod support;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use ouroloop::EventLoop;
use ouroloop::multiplex::{
    Events, FD_SETSIZE, Interest, Mechanism, Multiplexer, OutOfRange, Select, Timeout,
};
use support::{Token, mechanisms, number, pair, turn};

const READ: Interest = Interest { readable: true, ..Interest::NONE };

fn limit() -> i32 {
    i32::try_from(FD_SETSIZE).expect("a limit of descriptors is one")
}

/// A duplicate under a number that no other test is given meanwhile.
fn above(socket: &UnixStream, least: i32) -> UnixStream {
    rustix::io::fcntl_dupfd_cloexec(socket, least).expect("a duplicate").into()
}

#[test]
fn each_is_found_by_its_name() {
    for &mechanism in Mechanism::ALL {
        assert_eq!(mechanism.name().parse(), Ok(mechanism));
        assert_eq!(mechanism.to_string(), mechanism.name());
    }
    assert_eq!("auto".parse(), Ok(Mechanism::ALL[0]));
    let error = "iocp".parse::<Mechanism>().expect_err("not a mechanism of this system");
    let text = error.to_string();
    assert!(text.starts_with("no multiplexer \"iocp\" on this system, which has auto, "), "{text}");
    assert!(text.ends_with(", poll, select"), "{text}");
}

#[test]
fn each_runs_futures() {
    for &mechanism in Mechanism::ALL {
        let answer = ouroloop::run_on(mechanism, async {
            ouroloop::sleep(std::time::Duration::from_micros(1)).await;
            mechanism
        });
        assert_eq!(answer, mechanism);
    }
}

#[test]
fn those_that_are_ready_are_found_among_many() {
    for mechanism in mechanisms() {
        let mut turns = EventLoop::<Token>::new(mechanism).expect("a loop");
        let mut pairs: Vec<_> = (0..150).map(|_| pair()).collect();
        for (n, (near, _)) in (0..).zip(&pairs) {
            turns.set_reader(number(near), Token(n)).expect("a watch");
        }
        for n in [3, 77, 149] {
            pairs[n].1.write_all(b"x").expect("room");
        }
        let mut ready = turn(&mut turns, |_, _| {});
        ready.sort_unstable();
        assert_eq!(ready, [Token(3), Token(77), Token(149)]);
        assert_eq!(turns.clear_reader(number(&pairs[77].0)), Some(Token(77)));
        let mut ready = turn(&mut turns, |_, _| {});
        ready.sort_unstable();
        assert_eq!(ready, [Token(3), Token(149)]);
    }
}

#[test]
fn a_descriptor_that_was_closed_keeps_no_other_from_being_found() {
    for mechanism in mechanisms() {
        let mut turns = EventLoop::<Token>::new(mechanism).expect("a loop");
        let (near, mut far) = pair();
        let (gone, _gone_far) = pair();
        let closed = above(&gone, 800);
        let fd = number(&closed);
        turns.set_reader(fd, Token(1)).expect("a watch");
        turns.set_reader(number(&near), Token(2)).expect("a watch");
        drop(closed);
        far.write_all(b"x").expect("room");
        // Some mechanisms notice the closed one and report it with the others, again and again.
        for _ in 0..2 {
            let ready = turn(&mut turns, |_, _| {});
            assert!(ready.contains(&Token(2)), "{ready:?}");
        }
        turns.clear_reader(fd);
        assert_eq!(turn(&mut turns, |_, _| {}), [Token(2)]);
    }
}

#[test]
fn a_closed_descriptor_that_was_waited_for_once_is_told_at_most_once() {
    for mechanism in mechanisms() {
        let mut turns = EventLoop::<Token>::new(mechanism).expect("a loop");
        let (near, _far) = pair();
        let closed = above(&near, 850);
        turns.set_reader_once(number(&closed), Token(1)).expect("a watch");
        drop(closed);
        assert!(turn(&mut turns, |_, _| {}).len() <= 1);
        assert_eq!(turn(&mut turns, |_, _| {}), []);
    }
}

fn is_out_of_range(error: &std::io::Error) -> bool {
    matches!(error.get_ref(), Some(refusal) if refusal.is::<OutOfRange>())
}

#[test]
fn select_refuses_a_number_that_has_no_bit_and_goes_on() {
    let select = Select::new();
    let (near, mut far) = pair();
    let low = above(&near, limit() - 1);
    let high = above(&near, limit());
    assert!(high.as_raw_fd() >= limit());
    select.set(low.as_raw_fd(), Interest::NONE, READ).expect("the last number with a bit");
    for fd in [high.as_raw_fd(), i32::MAX, -1] {
        let refused = select.set(fd, Interest::NONE, READ).expect_err("it has no bit");
        assert!(is_out_of_range(&refused));
        assert_eq!(refused.to_string(), "filedescriptor out of range in select()");
    }
    let mut events = Events::default();
    select.wait(&mut events, Timeout::Zero).expect("a wait");
    assert_eq!(events.drain().count(), 0);
    far.write_all(b"x").expect("room");
    select.wait(&mut events, Timeout::Never).expect("a wait");
    assert_eq!(events.drain().map(|event| event.fd).collect::<Vec<_>>(), [low.as_raw_fd()]);
}

#[test]
fn a_loop_on_select_is_as_before_when_it_refuses_a_descriptor() {
    let select = Mechanism::Select.create().expect("it has nothing in the kernel");
    let mut turns = EventLoop::<Token>::new(select).expect("a loop");
    let (near, mut far) = pair();
    let high = above(&near, limit());
    let refused = turns.set_reader(number(&high), Token(1)).expect_err("it has no bit");
    assert!(is_out_of_range(&refused.error));
    turns.set_reader_once(number(&high), Token(1)).expect_err("it has no bit");
    turns.set_writer(number(&high), Token(1)).expect_err("it has no bit");
    assert_eq!(turns.watched(number(&high)), (None, None));
    turns.set_reader(number(&near), Token(2)).expect("a watch");
    far.write_all(b"x").expect("room");
    assert_eq!(turn(&mut turns, |_, _| {}), [Token(2)]);
}
