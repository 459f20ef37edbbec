//! Turns of the loop: order, timers, and how long descriptors may go unseen.
#![cfg(not(loom))]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use ouroloop::EventLoop;
use ouroloop::clock::{Clock, ManualClock};
use ouroloop::event_loop::{BARREN_LOOKS, TURNS_PER_CLOCK, UNSEEN_CALLBACKS, UNSEEN_NANOS};
use ouroloop::multiplex::Poll;
use proptest::prelude::*;
use support::{Token, busy_turn, mechanisms, number, pair, turn};

type TestLoop = EventLoop<Token, ManualClock>;

fn test_loop() -> (TestLoop, ManualClock) {
    let clock = ManualClock::default();
    let turns = EventLoop::with_clock(Arc::new(Poll::new()), clock.clone());
    (turns.expect("a loop"), clock)
}

fn nothing(_: &mut TestLoop, _: Token) {}

#[test]
fn callbacks_run_in_the_order_in_which_they_were_queued() {
    let (mut turns, _) = test_loop();
    let tokens: Vec<_> = (0..1000).map(Token).collect();
    for &token in &tokens {
        turns.push(token);
    }
    assert_eq!(turn(&mut turns, nothing), tokens);
}

#[test]
fn what_a_callback_schedules_runs_in_the_next_turn() {
    let (mut turns, clock) = test_loop();
    turns.push(Token(1));
    turns.push(Token(2));
    let first = turn(&mut turns, |turns, Token(n)| {
        turns.push(Token(n + 10));
        turns.schedule(clock.now(), Token(n + 20));
    });
    assert_eq!(first, [Token(1), Token(2)]);
    let second = turn(&mut turns, nothing);
    assert_eq!(second, [Token(11), Token(12), Token(21), Token(22)]);
    assert_eq!(turn(&mut turns, nothing), []);
}

#[test]
fn a_turn_takes_descriptors_then_timers_then_letters() {
    for mechanism in mechanisms() {
        let clock = ManualClock::default();
        let mut turns = EventLoop::with_clock(mechanism, clock.clone()).expect("a loop");
        let (near, mut far) = pair();
        turns.inbox().send(Token(4)).expect("an open inbox");
        turns.schedule(0, Token(3));
        turns.set_reader(number(&near), Token(2)).expect("a watch");
        turns.push(Token(1));
        far.write_all(b"x").expect("room");
        assert_eq!(turn(&mut turns, nothing), [1, 2, 3, 4].map(Token));
    }
}

#[test]
fn a_timer_fires_at_its_deadline_and_not_a_nanosecond_before() {
    let (mut turns, clock) = test_loop();
    turns.schedule(1_000, Token(1));
    clock.advance(999);
    assert_eq!(turn(&mut turns, nothing), []);
    clock.advance(1);
    assert_eq!(turn(&mut turns, nothing), [Token(1)]);
}

#[test]
fn a_cancelled_timer_hands_its_callback_back_once() {
    let (mut turns, clock) = test_loop();
    let timer = turns.schedule(10, Token(1));
    assert_eq!(turns.cancel(timer), Some(Token(1)));
    assert_eq!(turns.cancel(timer), None);
    clock.advance(10);
    assert_eq!(turn(&mut turns, nothing), []);
}

#[test]
fn a_real_wait_is_never_too_short() {
    for mechanism in mechanisms() {
        let mut turns: EventLoop<Token> = EventLoop::new(mechanism).expect("a loop");
        for nanos in [1, 999, 100_000, 1_000_001, 2_500_000] {
            let deadline = turns.now() + nanos;
            turns.schedule(deadline, Token(0));
            let mut waits = 0;
            while busy_turn(&mut turns, |turns, _| assert!(turns.now() >= deadline)).is_empty() {
                waits += 1;
            }
            assert!(waits <= 3, "{waits} waits for one timer are a busy loop");
        }
    }
}

#[test]
fn a_busy_loop_sees_a_descriptor_within_the_bound() {
    for mechanism in mechanisms() {
        for chains in [1, 3, 50, UNSEEN_CALLBACKS + 10] {
            let mut turns =
                EventLoop::with_clock(mechanism.clone(), ManualClock::default()).expect("a loop");
            let (near, mut far) = pair();
            turns.set_reader(number(&near), Token(0)).expect("a watch");
            let again = |turns: &mut TestLoop, token| {
                if token != Token(0) {
                    turns.push(token);
                }
            };
            for _ in 0..chains {
                turns.push(Token(1));
            }
            for _ in 0..BARREN_LOOKS {
                assert_eq!(busy_turn(&mut turns, again).len(), chains, "these turns look");
            }
            far.write_all(b"x").expect("room");
            let mut unseen = chains;
            loop {
                let ran = busy_turn(&mut turns, again);
                if ran.contains(&Token(0)) {
                    break;
                }
                unseen += ran.len();
            }
            assert!(unseen <= UNSEEN_CALLBACKS.max(chains), "{unseen} callbacks ran unseen");
            turns.clear_reader(number(&near));
        }
    }
}

#[test]
fn a_loop_of_slow_callbacks_looks_in_time_as_well() {
    let (mut turns, clock) = test_loop();
    let (near, mut far) = pair();
    turns.set_reader(number(&near), Token(0)).expect("a watch");
    let slow = |turns: &mut TestLoop, token| {
        clock.advance(UNSEEN_NANOS);
        if token != Token(0) {
            turns.push(token);
        }
    };
    turns.push(Token(1));
    (0..=TURNS_PER_CLOCK).for_each(|_| drop(busy_turn(&mut turns, slow)));
    far.write_all(b"x").expect("room");
    // It has found out by now that its turns are slow, and looks in every one.
    assert!(busy_turn(&mut turns, slow).contains(&Token(0)));
}

#[test]
fn a_timer_that_is_due_is_found_by_the_next_turn_however_busy_the_loop() {
    let (mut turns, clock) = test_loop();
    let again = |turns: &mut TestLoop, token: Token| {
        if token == Token(1) {
            turns.push(token);
        }
    };
    turns.push(Token(1));
    busy_turn(&mut turns, again);
    busy_turn(&mut turns, again);
    turns.schedule(clock.now(), Token(2));
    assert!(busy_turn(&mut turns, again).contains(&Token(2)));
    // Nor does it matter how long ago the loop last asked the clock.
    busy_turn(&mut turns, again);
    clock.advance(2 * UNSEEN_NANOS);
    turns.schedule(clock.now(), Token(3));
    assert!(busy_turn(&mut turns, again).contains(&Token(3)));
}

#[cfg(target_os = "linux")]
#[test]
fn descriptors_that_bring_much_take_turns() {
    use ouroloop::event_loop::READ_PER_LOOK;
    use ouroloop::multiplex::Epoll;

    const PAIRS: usize = 12;
    const TOGETHER: usize = 4;
    let epoll = Arc::new(Epoll::new().expect("an epoll instance"));
    let mut turns = EventLoop::with_clock(epoll, ManualClock::default()).expect("a loop");
    let mut pairs: Vec<_> = (0..PAIRS).map(|_| pair()).collect();
    for (token, (near, far)) in (0..).zip(&mut pairs) {
        turns.set_reader(number(near), Token(token)).expect("a watch");
        far.write_all(b"x").expect("room");
    }
    let much = |turns: &mut TestLoop, _| turns.read_for_later(READ_PER_LOOK / TOGETHER);
    assert_eq!(turn(&mut turns, much).len(), PAIRS);
    // All stay readable; each is told of once before one is told of again.
    let mut told = Vec::new();
    for _ in 0..PAIRS / TOGETHER {
        let some = turn(&mut turns, much);
        assert_eq!(some.len(), TOGETHER);
        told.extend(some.into_iter().map(|Token(token)| token));
    }
    told.sort_unstable();
    assert!(told.iter().copied().eq(0..u32::try_from(PAIRS).expect("few")));
    // However much they bring, one is told of.
    turn(&mut turns, |turns, _| turns.read_for_later(2 * READ_PER_LOOK));
    assert_eq!(turn(&mut turns, |turns, _| turns.read_for_later(1)).len(), 1);
    // They bring little now: after a turn that finds out, all are told of at once.
    turn(&mut turns, |turns, _| turns.read_for_later(1));
    assert_eq!(turn(&mut turns, nothing).len(), PAIRS);
}

#[test]
fn the_first_turn_of_a_run_looks() {
    let (mut turns, _) = test_loop();
    turns.push(Token(1));
    busy_turns(&mut turns, BARREN_LOOKS);
    assert!(turns.plan(true).is_none(), "a busy loop leaves looks out");
    turns.look();
    assert!(turns.plan(true).is_some());
}

#[test]
fn every_turn_looks_where_looks_have_found_something() {
    let (mut turns, _) = test_loop();
    let (near, mut far) = pair();
    turns.set_reader(number(&near), Token(2)).expect("a watch");
    turns.push(Token(1));
    busy_turns(&mut turns, BARREN_LOOKS);
    assert!(turns.plan(true).is_none(), "a busy loop leaves looks out");
    turns.look();
    far.write_all(b"x").expect("room");
    busy_turns(&mut turns, 1);
    (&near).read_exact(&mut [0]).expect("a byte");
    for _ in 1..BARREN_LOOKS {
        let wait = turns.plan(true).expect("a look");
        turns.collect(wait).expect("a look");
    }
}

/// Makes a descriptor ready and runs the turn that finds it, which wakes `Token(1)`.
fn find(turns: &mut TestLoop, near: &UnixStream, far: &mut UnixStream) {
    far.write_all(b"x").expect("room");
    turn(turns, |turns, token| {
        if token == Token(0) {
            turns.push(Token(1));
        }
    });
    (&*near).read_exact(&mut [0]).expect("a byte");
}

#[test]
fn the_turn_of_what_a_look_has_woken_does_not_look() {
    let (mut turns, _) = test_loop();
    let (near, mut far) = pair();
    turns.set_reader(number(&near), Token(0)).expect("a watch");
    find(&mut turns, &near, &mut far);
    assert!(turns.plan(true).is_none(), "it was left out");
    assert!(turns.plan(true).is_some(), "once");
}

#[test]
fn it_looks_if_anything_else_ran_or_was_done() {
    let prepare: [fn(&mut TestLoop); 2] = [
        |turns| _ = turns.push(Token(2)),
        |turns| turns.inbox().send(Token(2)).expect("an open loop"),
    ];
    for prepare in prepare {
        let (mut turns, _) = test_loop();
        let (near, mut far) = pair();
        turns.set_reader(number(&near), Token(0)).expect("a watch");
        prepare(&mut turns);
        find(&mut turns, &near, &mut far);
        assert!(turns.plan(true).is_some());
    }
    let afterwards: [fn(&mut TestLoop); 3] =
        [TestLoop::expect_answer, TestLoop::look, |turns| _ = turns.schedule(1, Token(2))];
    for afterwards in afterwards {
        let (mut turns, _) = test_loop();
        let (near, mut far) = pair();
        turns.set_reader(number(&near), Token(0)).expect("a watch");
        find(&mut turns, &near, &mut far);
        afterwards(&mut turns);
        assert!(turns.plan(true).is_some());
    }
}

#[test]
fn every_turn_looks_where_an_answer_is_expected() {
    let (mut turns, _) = test_loop();
    let (near, _far) = pair();
    let looks = |turns: &mut TestLoop| {
        for _ in 0..BARREN_LOOKS {
            let wait = turns.plan(true).expect("a look");
            turns.collect(wait).expect("a look");
        }
        assert!(turns.plan(true).is_none(), "a busy loop leaves looks out");
    };
    turns.push(Token(1));
    busy_turns(&mut turns, BARREN_LOOKS);
    turns.expect_answer();
    looks(&mut turns);
    turns.set_reader(number(&near), Token(2)).expect("a watch");
    looks(&mut turns);
    turns.clear_reader(number(&near));
    looks(&mut turns);
}

/// Turns with one callback each, which is queued again; looks are made where they are due.
fn busy_turns(turns: &mut TestLoop, count: u8) {
    for _ in 0..count {
        busy_turn(turns, |turns, token| {
            if token == Token(1) {
                turns.push(token);
            }
        });
    }
}

#[test]
fn a_letter_ends_a_wait_that_has_no_end() {
    for mechanism in mechanisms() {
        let mut turns: EventLoop<Token> = EventLoop::new(mechanism).expect("a loop");
        let inbox = turns.inbox();
        let sender = thread::spawn(move || {
            (0..1000).for_each(|n| inbox.send(Token(n)).expect("an open inbox"));
        });
        let mut letters = Vec::new();
        while letters.len() < 1000 {
            letters.extend(busy_turn(&mut turns, |_, _| {}));
        }
        sender.join().expect("the sender's end");
        assert_eq!(letters, (0..1000).map(Token).collect::<Vec<_>>());
    }
}

#[test]
fn a_closed_loop_hands_out_everything_and_takes_no_letters() {
    let (mut turns, _) = test_loop();
    let (near, _far) = pair();
    turns.push(Token(1));
    turns.schedule(5, Token(2));
    turns.set_reader(number(&near), Token(3)).expect("a watch");
    turns.set_writer(number(&near), Token(4)).expect("a watch");
    turns.inbox().send(Token(5)).expect("an open inbox");
    assert_eq!(turns.callbacks().count(), 4);
    let mut callbacks: Vec<_> = turns.close().into_callbacks().collect();
    callbacks.sort();
    assert_eq!(callbacks, [1, 2, 3, 4, 5].map(Token));
    assert_eq!(turns.inbox().send(Token(6)).map_err(|closed| closed.0), Err(Token(6)));
    assert_eq!(turn(&mut turns, nothing), []);
}

proptest! {
    #[test]
    fn timers_fire_in_order_and_never_early(
        deadlines in proptest::collection::vec(0..10_000_u64, 1..60),
        steps in proptest::collection::vec(0..500_u64, 1..60),
    ) {
        let (mut turns, clock) = test_loop();
        for (n, &deadline) in (0..).zip(&deadlines) {
            turns.schedule(deadline, Token(n));
        }
        let mut fired = Vec::new();
        for step in steps.into_iter().chain([10_000]) {
            clock.advance(step);
            fired.extend(turn(&mut turns, nothing));
            let due = deadlines.iter().filter(|&&deadline| deadline <= clock.now()).count();
            prop_assert_eq!(fired.len(), due);
        }
        let mut expected: Vec<_> = (0..).map(Token).zip(deadlines).collect();
        expected.sort_by_key(|&(_, deadline)| deadline);
        prop_assert_eq!(fired, expected.into_iter().map(|(token, _)| token).collect::<Vec<_>>());
    }
}
