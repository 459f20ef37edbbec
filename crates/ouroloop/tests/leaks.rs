//! Each descriptor is closed exactly once, and what happens when there are none left.
//!
//! These tests count the descriptors of the whole process, so they run one at a time.
#![cfg(not(loom))]

mod support;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use ouroloop::net::{
    Accepted, Closed, Flushed, Listener, Pushed, Received, Sent, ShutDown, Stream,
};
use ouroloop::{EventLoop, TcpListener, TcpStream, run, sleep};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Token, mechanisms, open_descriptors, pair};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stream() -> (Stream<Vec<u8>>, UnixStream) {
    let (near, far) = pair();
    (Stream::new(OwnedFd::from(near)), far)
}

fn listener(backlog: u16) -> (Listener, SocketAddr) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), backlog).expect("a listener");
    let address = listener.local_addr().expect("a bound address");
    (listener, address)
}

/// Polls `future` once with the calling task's waker, and drops it.
async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[test]
fn a_stream_closes_its_descriptor_once() {
    let _alone = alone();
    let before = open_descriptors();
    let (mut near, far) = stream();
    assert_eq!(near.push(b"never read".to_vec()), Pushed::Queued);
    assert_eq!(near.close(), Closed::Now);
    assert_eq!(open_descriptors(), before + 1);
    // The number is free and taken by another file, which a second close would close.
    let other = far.try_clone().expect("a duplicate");
    assert_eq!(near.close(), Closed::Already);
    assert!(near.fd().is_none() && near.take_fd().is_none());
    assert!(other.try_clone().is_ok());
    assert_eq!(near.queued(), 0);
    assert!(matches!(near.receive_over(&mut [0]), Received::Failed(_)));
    assert!(matches!(near.send(b"x"), Sent::Failed(_)));
    assert!(matches!(near.flush(), Flushed::Failed(_)));
    assert!(matches!(near.shutdown_write(), ShutDown::Already));
    assert_eq!(near.push(vec![1]), Pushed::Refused(vec![1]));
    drop((near, far, other));
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_descriptor_that_was_given_away_stays_open() {
    let _alone = alone();
    let before = open_descriptors();
    let (near, far) = stream();
    let number = near.fd().map(|fd| fd.as_raw_fd());
    let fd = near.into_fd().expect("an open descriptor");
    assert_eq!(number, Some(fd.as_raw_fd()));
    assert_eq!(open_descriptors(), before + 2);
    drop((fd, far));
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_batch_hands_out_the_lack_of_descriptors_and_the_connection_still_waits() {
    let _alone = alone();
    let (listener, address) = listener(64);
    let _clients: Vec<_> =
        (0..3).map(|_| std::net::TcpStream::connect(address).expect("a connection")).collect();
    let ready = poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).expect("a wait");
    assert_eq!(ready, 1);
    let limit = getrlimit(Resource::Nofile);
    // New descriptors must be below the limit, and every gap below it is plugged.
    let highest = std::fs::read_dir("/dev/fd")
        .expect("a list of descriptors")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok())
        .max();
    let full = Rlimit { current: highest, maximum: limit.maximum };
    setrlimit(Resource::Nofile, full).expect("a lower limit");
    let plug: Vec<_> = std::iter::from_fn(|| rustix::io::dup(&listener).ok()).collect();
    let batch: Vec<_> = listener.accept_batch().collect();
    setrlimit(Resource::Nofile, limit).expect("the old limit");
    assert!(matches!(&batch[..], [Accepted::OutOfResources(_)]), "{batch:?}");
    drop(plug);
    assert_eq!(listener.accept_batch().count(), 3);
}

#[test]
fn a_failed_bind_leaves_no_descriptor() {
    let _alone = alone();
    let (_listener, address) = listener(1);
    let before = open_descriptors();
    let error = Listener::bind(address, 1).expect_err("the address is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(open_descriptors(), before);
}

#[test]
fn cancelled_operations_leave_no_watch_and_lose_no_byte() {
    let _alone = alone();
    let before = open_descriptors();
    run(async {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0)).expect("a listener");
        let address = listener.local_addr().expect("a bound address");
        assert!(poll_once(listener.accept()).await.is_none());
        let client = TcpStream::connect(address).await.expect("a connection");
        let (server, _) = listener.accept().await.expect("a connection");
        let mut buffer = [0; 8];
        for _ in 0..10 {
            assert!(poll_once(server.read(&mut buffer)).await.is_none());
            sleep(Duration::ZERO).await;
        }
        client.write_all(b"kept").await.expect("room");
        assert_eq!(server.read(&mut buffer).await.expect("bytes"), 4);
        // Dropped in the middle of connecting, or just after it.
        for _ in 0..10 {
            drop(poll_once(TcpStream::connect(address)).await);
        }
    });
    assert_eq!(open_descriptors(), before);
}

#[test]
fn a_loop_gives_its_descriptors_back() {
    let _alone = alone();
    let before = open_descriptors();
    for mechanism in mechanisms() {
        let turns: EventLoop<Token> = EventLoop::new(mechanism).expect("a loop");
        assert!(open_descriptors() > before, "{turns:?}");
    }
    assert_eq!(open_descriptors(), before);
}
