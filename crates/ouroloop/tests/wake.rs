//! Waking costs no system call while the loop is awake.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ouroloop::inbox::{Closed, Inbox};
use ouroloop::waker::{Interrupt, Sleep, Waker};

/// Counts what would be system calls.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Interrupt for Calls {
    fn interrupt(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn from_threads(act: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for n in 0..4 {
            let act = &act;
            scope.spawn(move || act(n));
        }
    });
}

#[test]
fn an_awake_loop_is_woken_without_a_system_call() {
    let calls = Calls::default();
    let waker = Waker::new(calls.clone());
    from_threads(|_| (0..1000).for_each(|_| waker.wake()));
    assert_eq!(calls.count(), 0);
    assert_eq!(waker.fall_asleep(), Sleep::Refused);
    assert!(waker.awake());
    assert!(!waker.awake());
}

#[test]
fn a_sleeping_loop_is_interrupted_once() {
    let calls = Calls::default();
    let waker = Waker::new(calls.clone());
    assert_eq!(waker.fall_asleep(), Sleep::Granted);
    from_threads(|_| (0..1000).for_each(|_| waker.wake()));
    assert_eq!(calls.count(), 1);
    assert!(waker.awake());
}

#[test]
fn an_uninterrupted_sleep_was_not_called() {
    let waker = Waker::new(Calls::default());
    assert_eq!(waker.fall_asleep(), Sleep::Granted);
    assert!(!waker.awake());
}

#[test]
fn letters_keep_each_senders_order() {
    let calls = Calls::default();
    let inbox = Inbox::new(Waker::new(calls.clone()));
    from_threads(|sender| {
        (0..1000).for_each(|n| inbox.send((sender, n)).expect("an open inbox"));
    });
    let letters = inbox.take();
    assert_eq!(letters.len(), 4000);
    for sender in 0..4 {
        let of_one = letters.iter().filter(|letter| letter.0 == sender).map(|letter| letter.1);
        assert!(of_one.eq(0..1000));
    }
    assert_eq!(calls.count(), 0);
}

#[test]
fn a_closed_inbox_hands_letters_back_and_wakes_nobody() {
    let calls = Calls::default();
    let waker = Waker::new(calls.clone());
    let inbox = Inbox::new(waker.clone());
    inbox.send(1).expect("an open inbox");
    assert_eq!(inbox.close(), [1]);
    assert!(waker.awake());
    assert_eq!(waker.fall_asleep(), Sleep::Granted);
    assert_eq!(inbox.clone().send(2), Err(Closed(2)));
    assert_eq!(inbox.take(), []);
    assert_eq!(calls.count(), 0);
}
