//! Bytes that wait for more: they leave once, in order, and by themselves if nobody comes.
#![cfg(not(loom))]

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::Duration;

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
