//! Bytes that wait for more: they leave once, in order, and by themselves if nobody comes.
#![cfg(not(loom))]

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use ouroloop::net::{Flushed, Holder, Stream};

/// A stream, and its peer's end.
fn stream() -> (Stream<Vec<u8>>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("two sockets");
    far.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket that waits");
    (Stream::adopt(near.into()).expect("a stream"), far)
}

fn hold(stream: &mut Stream<Vec<u8>>, holder: &Holder, bytes: &[u8]) -> bool {
    stream.reserve().expect("room");
    let _ = stream.push(bytes.to_vec());
    stream.hold(holder)
}

fn read(far: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    far.read_exact(&mut bytes).expect("the bytes");
    bytes
}

fn has_nothing(far: &UnixStream) -> bool {
    far.set_nonblocking(true).expect("a socket");
    let read = (&*far).read(&mut [0]);
    far.set_nonblocking(false).expect("a socket");
    read.is_err()
}

#[test]
fn what_is_held_leaves_in_one_piece_with_the_flush() {
    let holder = Holder::new();
    let (mut stream, mut far) = stream();
    assert!(hold(&mut stream, &holder, b"head "));
    assert!(hold(&mut stream, &holder, b"body"));
    assert!(matches!(stream.flush(), Flushed::Drained));
    assert_eq!(read(&mut far, 9), b"head body");
    assert_eq!(stream.queued(), 0);
}

#[test]
fn it_leaves_by_itself_once() {
    // Of several loops, none of which does anything.
    for _ in 0..3 {
        let holder = Holder::new();
        let (mut one, mut far) = stream();
        let (mut other, mut peer) = stream();
        assert!(hold(&mut one, &holder, b"one"));
        assert!(hold(&mut other, &holder, b"other"));
        assert_eq!(read(&mut far, 3), b"one");
        assert_eq!(read(&mut peer, 5), b"other");
        let _ = one.push(b", more".to_vec());
        assert!(matches!(one.flush(), Flushed::Drained));
        assert!(one.waited_long());
        assert!(!one.waited_long(), "asked once, it is forgotten");
        assert_eq!(read(&mut far, 6), b", more");
        drop(other);
        assert_eq!(peer.read(&mut [0]).expect("the end"), 0);
    }
}

#[test]
fn it_leaves_though_the_thread_had_fallen_asleep() {
    let holder = Holder::new();
    for word in [b"one", b"two"] {
        let (mut stream, mut far) = stream();
        assert!(hold(&mut stream, &holder, word));
        assert_eq!(read(&mut far, 3), word);
        drop(stream);
        if word == b"one" {
            // Longer than it looks at nothing: nobody can see that it sleeps.
            std::thread::sleep(Duration::from_millis(450));
        }
    }
}

#[test]
fn what_is_added_leaves_though_the_thread_had_fallen_asleep() {
    let holder = Holder::new();
    let (mut stream, mut far) = stream();
    assert!(hold(&mut stream, &holder, b"one"));
    assert_eq!(read(&mut far, 3), b"one");
    // As above; and nobody has taken back what was held.
    std::thread::sleep(Duration::from_millis(450));
    assert!(hold(&mut stream, &holder, b"two"));
    assert_eq!(read(&mut far, 3), b"two");
    assert!(matches!(stream.flush(), Flushed::Drained));
    assert!(has_nothing(&far));
}

#[test]
fn what_it_met_when_it_left_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let far = TcpStream::connect(listener.local_addr().expect("an address")).expect("a peer");
    let (near, _) = listener.accept().expect("a connection");
    let mut stream: Stream<Vec<u8>> = Stream::adopt(near.into()).expect("a stream");
    let holder = Holder::new();

    // A peer that closes with bytes unread resets the connection.
    let _ = stream.push(b"unread".to_vec());
    assert!(matches!(stream.flush(), Flushed::Drained));
    far.peek(&mut [0]).expect("what was sent");
    drop(far);
    assert!(hold(&mut stream, &holder, b"lost"));
    // What is held later is sent later.
    let (mut other, mut peer) = self::stream();
    assert!(hold(&mut other, &holder, b"other"));
    assert_eq!(read(&mut peer, 5), b"other");
    let Flushed::Failed(error) = stream.flush() else { panic!("the connection was reset") };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_large_write_is_not_held() {
    let holder = Holder::new();
    let (mut stream, _far) = stream();
    assert!(!hold(&mut stream, &holder, &[0; 5000]));
}

#[test]
fn what_is_closed_before_is_not_sent() {
    let holder = Holder::new();
    let mut others = Vec::new();
    for _ in 0..100 {
        let (mut closed, _far) = stream();
        assert!(hold(&mut closed, &holder, b"lost"));
        drop(closed.take_queue());
        let _ = closed.close();
        // The number is free for another socket now.
        others.push(stream());
    }
    // The thread has looked twice when this has left.
    let (mut last, mut far) = stream();
    assert!(hold(&mut last, &holder, b"last"));
    assert_eq!(read(&mut far, 4), b"last");
    assert!(others.iter().all(|(_, far)| has_nothing(far)));
}

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
