//! What several tests of the loop share.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

pub(crate) mod held;

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use ouroloop::clock::Clock;
use ouroloop::multiplex::{Mechanism, Multiplexer};
use ouroloop::{Callback, EventLoop};

/// A callback that is its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token(pub(crate) u32);

impl Callback for Token {
    fn again(&self) -> Self {
        *self
    }
}

/// Every mechanism of this system, each with a fresh instance.
pub(crate) fn mechanisms() -> Vec<Arc<dyn Multiplexer>> {
    Mechanism::ALL.iter().map(|each| each.create().expect("a mechanism of this system")).collect()
}

/// One turn that never blocks; answers what ran. `run` may schedule more.
pub(crate) fn turn<K: Clock>(
    turns: &mut EventLoop<Token, K>,
    mut run: impl FnMut(&mut EventLoop<Token, K>, Token),
) -> Vec<Token> {
    if let Some(mut wait) = turns.plan(false) {
        assert!(!wait.blocks());
        wait.perform();
        turns.collect(wait).expect("a wait that succeeds");
    }
    run_ready(turns, &mut run)
}

/// One turn as a running loop makes it: it may block, and may leave its look out.
pub(crate) fn busy_turn<K: Clock>(
    turns: &mut EventLoop<Token, K>,
    mut run: impl FnMut(&mut EventLoop<Token, K>, Token),
) -> Vec<Token> {
    if let Some(mut wait) = turns.plan(true) {
        wait.perform();
        turns.collect(wait).expect("a wait that succeeds");
    }
    run_ready(turns, &mut run)
}

fn run_ready<K: Clock>(
    turns: &mut EventLoop<Token, K>,
    run: &mut impl FnMut(&mut EventLoop<Token, K>, Token),
) -> Vec<Token> {
    (0..turns.ready_len())
        .map(|_| {
            let token = turns.pop().expect("as many callbacks as were counted");
            run(turns, token);
            token
        })
        .collect()
}

/// A connected pair, non-blocking at both ends.
pub(crate) fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a socket pair");
    near.set_nonblocking(true).expect("non-blocking");
    far.set_nonblocking(true).expect("non-blocking");
    (near, far)
}

/// Writes until the kernel has no more room.
pub(crate) fn fill(stream: &mut UnixStream) {
    let chunk = [0; 4096];
    while stream.write(&chunk).is_ok() {}
}

pub(crate) fn number(stream: &UnixStream) -> RawFd {
    stream.as_raw_fd()
}

/// How many descriptors this process has open; no other test may run meanwhile.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/dev/fd").expect("a list of descriptors").count()
}
