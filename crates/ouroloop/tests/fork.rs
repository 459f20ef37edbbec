//! Loops and forks: what a child does to the loop that it inherits does not reach the parent, also if it takes it over.
#![cfg(not(loom))]

mod support;

use std::cell::Cell;
use std::io::Write;
use std::os::fd::{BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ouroloop::fork::Process;
use ouroloop::multiplex::Mechanism;
use ouroloop::waker::Interrupt as _;
use ouroloop::{EventLoop, Wait, run, sleep, spawn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use support::{Token, mechanisms, number, pair, turn};

const READER: Token = Token(1);
const WRITER: Token = Token(2);

enum Fork {
    Child,
    Parent(libc::pid_t),
}

fn fork() -> Fork {
    // SAFETY: the child uses memory, which the C library makes safe after a fork, and descriptors;
    // it ends by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork: {}", std::io::Error::last_os_error()),
        0 => Fork::Child,
        child => Fork::Parent(child),
    }
}

/// Ends a child; its test passes if `outcome` is good.
fn exit(outcome: std::thread::Result<bool>) -> ! {
    // SAFETY: nothing of the parent's is torn down, which is what the call is for.
    unsafe { libc::_exit(i32::from(!outcome.unwrap_or(false))) }
}

fn succeeded(child: libc::pid_t) -> bool {
    let mut status = 0;
    // SAFETY: the status outlives the call.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

/// Whether `check` holds in a child.
fn holds_in_child(check: impl FnOnce() -> bool) -> bool {
    match fork() {
        Fork::Child => exit(catch_unwind(AssertUnwindSafe(check))),
        Fork::Parent(child) => succeeded(child),
    }
}

fn is_readable(fd: RawFd) -> bool {
    // SAFETY: the loop that owns the descriptor outlives the call.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let mut entry = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut entry, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("a look") > 0
}

#[test]
fn a_process_knows_its_children_from_itself() {
    let mine = Process::current().expect("a process");
    assert!(mine.is_current());
    assert!(holds_in_child(|| {
        let childs = Process::current().expect("a process");
        let told_apart = !mine.is_current() && childs.is_current() && childs != mine;
        told_apart && holds_in_child(|| !mine.is_current() && !childs.is_current())
    }));
    assert!(mine.is_current());
}

#[test]
fn a_child_changes_nothing_of_what_the_parent_watches() {
    for mechanism in mechanisms() {
        let mut turns = EventLoop::new(mechanism).expect("a loop");
        let (near, mut far) = pair();
        let (other, _other_far) = pair();
        turns.set_reader(number(&near), READER).expect("a watch");
        assert!(!turns.is_inherited());
        assert!(holds_in_child(|| {
            let inherited = turns.is_inherited();
            let cleared = turns.clear_reader(number(&near)) == Some(READER);
            let refused = turns.set_writer(number(&other), WRITER).is_err();
            inherited
                && cleared
                && refused
                && !turns.close().into_callbacks().any(|callback| callback == READER)
        }));
        assert_eq!(turn(&mut turns, |_, _| {}), [], "the child's writer is the child's");
        far.write_all(b"x").expect("room");
        assert_eq!(turn(&mut turns, |_, _| {}), [READER]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_inherited_epoll_instance_takes_no_change_and_no_wait() {
    use ouroloop::multiplex::{Epoll, Events, Interest, Multiplexer, Timeout};

    let epoll = Epoll::new().expect("an epoll instance");
    let (near, _far) = pair();
    let fd = number(&near);
    let read = Interest { readable: true, ..Interest::NONE };
    let write = Interest { writable: true, ..Interest::NONE };
    epoll.set(fd, Interest::NONE, read).expect("a watch");
    assert!(holds_in_child(|| {
        let refused = epoll.set(fd, read, write).is_err();
        let mut events = Events::default();
        let waited = epoll.wait(&mut events, Timeout::Never).is_ok();
        refused && !waited && epoll.set(fd, read, Interest::NONE).is_ok()
    }));
    // It would be readable at once if the child had made it watch for that.
    let mut events = Events::default();
    epoll.wait(&mut events, Timeout::Zero).expect("a wait");
    assert_eq!(events.drain().count(), 0);
}

#[test]
fn a_child_closes_a_loop_that_was_being_woken() {
    for mechanism in mechanisms() {
        let mut turns = EventLoop::<Token>::new(mechanism).expect("a loop");
        let (near, _far) = pair();
        turns.set_reader(number(&near), READER).expect("a watch");
        let waker = turns.waker();
        let over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    waker.interrupt().interrupt();
                }
            });
            let all_close = (0..100).all(|_| {
                holds_in_child(|| {
                    // SAFETY: ends this child, should it hang.
                    unsafe { libc::alarm(10) };
                    drop(turns.close());
                    true
                })
            });
            over.store(true, Ordering::Relaxed);
            assert!(all_close);
        });
    }
}

#[test]
fn a_child_does_not_wake_the_parent() {
    for mechanism in mechanisms() {
        let mut turns = EventLoop::<Token>::new(mechanism).expect("a loop");
        let wait = turns.plan(true).expect("a look");
        assert!(wait.blocks(), "the loop sleeps from here on");
        let waker = turns.waker();
        let descriptor = waker.interrupt().descriptor();
        assert!(holds_in_child(|| {
            waker.wake();
            turns.inbox().send(WRITER).is_ok()
        }));
        assert!(!is_readable(descriptor));
        waker.wake();
        assert!(is_readable(descriptor));
        // Nor does it take the parent's call away.
        assert!(holds_in_child(|| {
            waker.interrupt().clear();
            waker.interrupt().close();
            true
        }));
        assert!(is_readable(descriptor));
        let collected = perform(&mut turns, wait);
        assert_eq!(collected, 0, "no letter of the child's has come");
    }
}

fn perform(turns: &mut EventLoop<Token>, mut wait: Wait) -> usize {
    wait.perform();
    turns.collect(wait).expect("a wait that succeeds");
    turns.ready_len()
}

#[test]
fn a_child_takes_a_loop_over() {
    for mechanism in Mechanism::ALL {
        let create = || mechanism.create().expect("a mechanism of this system");
        let mut turns = EventLoop::new(create()).expect("a loop");
        let (near, mut far) = pair();
        turns.set_reader(number(&near), READER).expect("a watch");
        let waker = turns.waker();
        let descriptor = waker.interrupt().descriptor();
        assert!(holds_in_child(|| {
            turns.take_over(create()).expect("a loop of the child's");
            watches_another(&mut turns) && hears_a_thread(&mut turns) && {
                let numbers_stay = turns.waker().interrupt().descriptor() == descriptor;
                numbers_stay
                    && holds_in_child(|| {
                        turns.take_over(create()).expect("a loop of the grandchild's");
                        watches_another(&mut turns) && hears_a_thread(&mut turns)
                    })
                    && hears_a_thread(&mut turns)
            }
        }));
        assert!(!is_readable(descriptor), "the child's letters are the child's");
        assert_eq!(turn(&mut turns, |_, _| {}), [], "what the child watches is the child's");
        far.write_all(b"x").expect("room");
        assert!(holds_in_child(|| {
            turns.take_over(create()).expect("a loop of the child's");
            let watched_on = turn(&mut turns, |_, _| {}) == [READER];
            let cleared = turns.clear_reader(number(&near)) == Some(READER);
            watched_on && cleared && turns.close().into_callbacks().next().is_none()
        }));
        assert_eq!(turn(&mut turns, |_, _| {}), [READER], "the parent's watch stays");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_number_that_is_another_files_is_left_alone() {
    use std::os::fd::AsFd;

    let (near, mut far) = pair();
    let log = tempfile();
    assert!(holds_in_child(|| {
        let refused = ouroloop::fork::exchange(log.as_fd(), near.as_fd());
        let told = refused.is_err_and(|error| error.raw_os_error() == Some(libc::EBADF));
        (&log).write_all(b"line").expect("room");
        far.write_all(b"x").expect("room");
        told && is_readable(number(&near))
    }));
    assert_eq!(log.metadata().expect("a file").len(), 4);
}

/// A file without a name.
#[cfg(target_os = "linux")]
fn tempfile() -> std::fs::File {
    use std::os::fd::FromRawFd;

    // SAFETY: a terminated name; the number is nobody else's.
    unsafe {
        let number = libc::memfd_create(c"log".as_ptr(), 0);
        assert!(number >= 0);
        std::fs::File::from_raw_fd(number)
    }
}

fn watches_another(turns: &mut EventLoop<Token>) -> bool {
    let (other, mut far) = pair();
    turns.set_reader(number(&other), WRITER).expect("a watch");
    far.write_all(b"x").expect("room");
    let watches = turn(turns, |_, _| {}) == [WRITER];
    watches && turns.clear_reader(number(&other)) == Some(WRITER)
}

fn hears_a_thread(turns: &mut EventLoop<Token>) -> bool {
    let wait = turns.plan(true).expect("a look");
    let inbox = turns.inbox();
    let sent = std::thread::spawn(move || inbox.send(WRITER).is_ok()).join();
    let called = is_readable(turns.waker().interrupt().descriptor());
    sent.expect("a thread that ends") && called && perform(turns, wait) == 1 && {
        turn(turns, |_, _| {}) == [WRITER]
    }
}

#[test]
fn a_child_has_loops_of_its_own() {
    let parents = EventLoop::<Token>::new(Mechanism::fastest().create().expect("a mechanism"))
        .expect("a loop");
    assert!(holds_in_child(move || {
        let mut turns =
            EventLoop::new(Mechanism::fastest().create().expect("a mechanism")).expect("a loop");
        let (near, mut far) = pair();
        turns.set_reader(number(&near), READER).expect("a watch");
        far.write_all(b"x").expect("room");
        let ran = turn(&mut turns, |_, _| {});
        // The inherited loop goes while the child's own one runs.
        drop(parents);
        ran == [READER] && turn(&mut turns, |_, _| {}) == [READER] && !turns.is_inherited()
    }));
    assert!(holds_in_child(|| run(async {
        sleep(Duration::from_millis(1)).await;
        spawn(async { true }).await.expect("a task that ends")
    })));
}

#[test]
fn a_run_does_not_go_on_in_a_child() {
    let steps = Cell::new(0);
    let child = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            match fork() {
                Fork::Child => {
                    sleep(Duration::from_millis(1)).await;
                    steps.set(steps.get() + 1);
                    None
                }
                Fork::Parent(child) => Some(child),
            }
        })
    }));
    match child {
        Ok(Some(child)) => assert!(succeeded(child)),
        // In the child, which has not come past its wait.
        outcome => exit(Ok(outcome.is_err() && steps.get() == 0)),
    }
}
