//! Bytes that wait for more, in a process that forks. Nothing is held meanwhile, by any thread, so that this is
//! a program of its own.
#![cfg(not(loom))]

mod support;

use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ouroloop::net::{Flushed, Holder};
use support::held::{has_nothing, hold, read, stream};

/// The tests of this file, one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Makes a child that ends at once, and sees its end.
fn fork() {
    // SAFETY: the child calls nothing but `_exit`; the parent waits for its own child.
    unsafe {
        match libc::fork() {
            0 => libc::_exit(0),
            child => assert_eq!(libc::waitpid(child, std::ptr::null_mut(), 0), child),
        }
    }
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn it_leaves_though_another_thread_forks_meanwhile() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let holder = Holder::new();
    for round in 0..100 {
        let (mut stream, mut far) = stream();
        let together = Barrier::new(2);
        let held = thread::scope(|scope| {
            scope.spawn(|| {
                together.wait();
                fork();
            });
            together.wait();
            // Somewhere between the beginning of the fork and its end.
            spin(Duration::from_micros(round % 50 * 4));
            hold(&mut stream, &holder, b"word")
        });
        if !held {
            assert!(matches!(stream.flush(), Flushed::Drained));
        }
        assert_eq!(read(&mut far, 4), b"word");
        assert!(matches!(stream.flush(), Flushed::Drained));
        assert!(has_nothing(&far));
    }
}

#[test]
fn a_thread_may_fork_when_its_locals_are_gone() {
    struct ForksAtLast;
    impl Drop for ForksAtLast {
        fn drop(&mut self) {
            fork();
        }
    }
    thread_local!(static LAST: ForksAtLast = const { ForksAtLast });

    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let holder = Holder::new();
    let (mut one, mut far) = stream();
    assert!(hold(&mut one, &holder, b"one"));
    let thread = thread::spawn(|| {
        // What is made first goes last.
        LAST.with(|_| ());
        fork();
    });
    thread.join().expect("two forks");
    assert_eq!(read(&mut far, 3), b"one");
    let (mut other, mut peer) = stream();
    assert!(hold(&mut other, &holder, b"other"));
    assert_eq!(read(&mut peer, 5), b"other");
}
