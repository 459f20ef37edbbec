//! Bytes that wait for more: they leave once, in order, and by themselves if nobody comes.
#![cfg(not(loom))]

mod support;

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use ouroloop::net::{Flushed, Holder, Stream};
use support::held::{has_nothing, hold, read, stream};

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
