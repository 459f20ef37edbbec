//! A callback is told that it leaves before anybody else has it.
#![cfg(not(loom))]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ouroloop::clock::ManualClock;
use ouroloop::multiplex::Poll;
use ouroloop::{Callback, EventLoop};

/// What happened to callbacks, in order.
type Log = Rc<RefCell<Vec<(&'static str, u32)>>>;

/// A callback that writes down what it is told, and its end.
struct Told(u32, Log);

impl Callback for Told {
    fn again(&self) -> Self {
        Self(self.0, Rc::clone(&self.1))
    }

    fn leave(&mut self) {
        self.1.borrow_mut().push(("leaves", self.0));
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.1.borrow_mut().push(("dropped", self.0));
    }
}

fn test_loop() -> (EventLoop<Told, ManualClock>, Log) {
    let turns = EventLoop::with_clock(Arc::new(Poll::new()), ManualClock::default());
    (turns.expect("a loop"), Log::default())
}

#[test]
fn taken_from_the_ready_queue() {
    let (mut turns, log) = test_loop();
    turns.push(Told(1, Rc::clone(&log)));
    turns.push(Told(2, Rc::clone(&log)));
    drop(turns.pop());
    assert_eq!(*log.borrow(), [("leaves", 1), ("dropped", 1)]);
}

#[test]
fn a_cancelled_timer() {
    let (mut turns, log) = test_loop();
    let timer = turns.schedule(1000, Told(1, Rc::clone(&log)));
    drop(turns.cancel(timer));
    assert!(turns.cancel(timer).is_none());
    assert_eq!(*log.borrow(), [("leaves", 1), ("dropped", 1)]);
}

#[test]
fn all_of_a_closed_loop_before_the_first_is_dropped() {
    let (mut turns, log) = test_loop();
    turns.push(Told(1, Rc::clone(&log)));
    turns.push(Told(2, Rc::clone(&log)));
    turns.schedule(1000, Told(3, Rc::clone(&log)));
    drop(turns.close());
    let said: Vec<_> = log.borrow().iter().map(|(what, _)| *what).collect();
    assert_eq!(said, ["leaves", "leaves", "leaves", "dropped", "dropped", "dropped"]);
}

#[test]
fn all_of_a_loop_that_is_about_to_go_stay_until_then() {
    let (mut turns, log) = test_loop();
    turns.push(Told(1, Rc::clone(&log)));
    turns.schedule(1000, Told(2, Rc::clone(&log)));
    turns.leave_all();
    assert_eq!(*log.borrow(), [("leaves", 1), ("leaves", 2)]);
    drop(turns);
    assert_eq!(log.borrow().len(), 4);
}
