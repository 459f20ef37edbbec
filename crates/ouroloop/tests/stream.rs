//! Byte streams over real sockets, against a model.
#![cfg(not(loom))]

mod support;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use ouroloop::net::{Flushed, Pressure, Pushed, Received, Sent, ShutDown, Stream, Watermarks};
use proptest::prelude::*;
use rustix::net::sockopt;
use support::pair;

type Chunks = Stream<Vec<u8>>;

/// A stream whose kernel buffer is as small as the kernel allows, and its far end.
fn narrow() -> (Chunks, UnixStream) {
    let (near, far) = pair();
    sockopt::set_socket_send_buffer_size(&near, 1).expect("a small buffer");
    (Stream::new(OwnedFd::from(near)), far)
}

fn tcp() -> (Chunks, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection");
    let (far, _) = listener.accept().expect("a connection");
    (Stream::adopt(OwnedFd::from(near)).expect("a stream"), far)
}

fn push(stream: &mut Chunks, chunk: &[u8]) {
    assert_eq!(stream.push(chunk.to_vec()), Pushed::Queued);
}

fn read_some(far: &mut UnixStream, limit: usize) -> Vec<u8> {
    let mut buffer = vec![0; limit];
    let n = far.read(&mut buffer).unwrap_or(0);
    buffer.truncate(n);
    buffer
}

fn receive(stream: &Chunks) -> (Received, Vec<u8>) {
    let mut buffer = [7_u8; 64];
    let over = stream.receive_over(&mut buffer);
    let n = if let Received::Data(n) = over { n } else { 0 };
    (over, buffer[..n].to_vec())
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    Flush,
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<u8>(), 0..6000_usize).prop_map(|(byte, len)| Step::Push(vec![byte; len])),
        1 => proptest::collection::vec(any::<u8>(), 0..8).prop_map(Step::Push),
        3 => Just(Step::Flush),
        3 => (1..9000_usize).prop_map(Step::Read),
    ]
}

proptest! {
    #[test]
    fn bytes_arrive_as_they_were_pushed(steps in proptest::collection::vec(step(), 1..80)) {
        let (mut near, mut far) = narrow();
        let mut marks = Watermarks::new();
        marks.set(Some(8000), Some(2000)).expect("valid limits");
        let (mut pushed, mut read) = (Vec::new(), Vec::new());
        let mut paused = false;
        for step in steps {
            match step {
                Step::Push(chunk) => {
                    pushed.extend(&chunk);
                    prop_assert_eq!(near.push(chunk), Pushed::Queued);
                    let expected = if near.queued() > 8000 && !paused { Pressure::Pause } else { Pressure::Unchanged };
                    prop_assert_eq!(marks.grown_to(near.queued()), expected);
                    paused |= near.queued() > 8000;
                }
                Step::Flush => {
                    match near.flush() {
                        Flushed::Drained => prop_assert_eq!(near.queued(), 0),
                        Flushed::Blocked => prop_assert!(near.queued() > 0),
                        Flushed::Failed(error) => return Err(TestCaseError::fail(error.to_string())),
                    }
                    let expected = if near.queued() <= 2000 && paused { Pressure::Resume } else { Pressure::Unchanged };
                    prop_assert_eq!(marks.shrunk_to(near.queued()), expected);
                    paused &= near.queued() > 2000;
                }
                Step::Read(limit) => read.extend(read_some(&mut far, limit)),
            }
            let waiting: usize = near.chunks().map(<[u8]>::len).sum();
            prop_assert_eq!(waiting, near.queued());
            prop_assert!(pushed.len() >= read.len() + waiting);
            prop_assert!(pushed.starts_with(&read));
            prop_assert!(near.chunks().all(|chunk| !chunk.is_empty()));
        }
        let _ = near.shutdown_write();
        while !matches!(near.flush(), Flushed::Drained) {
            read.extend(read_some(&mut far, 1 << 20));
        }
        far.set_nonblocking(false)?;
        far.read_to_end(&mut read)?;
        prop_assert!(read == pushed, "{} bytes of {} arrived, or others", read.len(), pushed.len());
    }
}

#[test]
fn more_chunks_than_one_call_takes_are_flushed_in_order() {
    let (mut near, mut far) = tcp();
    let chunks: VecDeque<Vec<u8>> = (0..1000_u16).map(|n| n.to_be_bytes().to_vec()).collect();
    for chunk in &chunks {
        push(&mut near, chunk);
    }
    assert!(matches!(near.flush(), Flushed::Drained));
    assert!(matches!(near.shutdown_write(), ShutDown::Now));
    let mut read = Vec::new();
    far.read_to_end(&mut read).expect("the bytes");
    assert_eq!(read, Vec::from(chunks).concat());
}

#[test]
fn a_half_close_waits_for_the_queue() {
    let (mut near, mut far) = narrow();
    push(&mut near, &vec![1; 100_000]);
    assert!(matches!(near.flush(), Flushed::Blocked));
    assert!(matches!(near.shutdown_write(), ShutDown::Later));
    assert!(matches!(near.shutdown_write(), ShutDown::Already));
    assert!(!near.takes_chunks());
    assert_eq!(near.push(vec![2]), Pushed::Refused(vec![2]));
    let mut read = 0;
    while !matches!(near.flush(), Flushed::Drained) {
        read += read_some(&mut far, 1 << 20).len();
    }
    far.set_nonblocking(false).expect("a blocking end");
    let mut rest = Vec::new();
    far.read_to_end(&mut rest).expect("the end of the stream");
    assert_eq!(read + rest.len(), 100_000);
}

#[test]
fn reading_goes_on_after_a_half_close() {
    let (mut near, far) = tcp();
    assert!(matches!(near.shutdown_write(), ShutDown::Now));
    std::io::Write::write_all(&mut &far, b"late").expect("room");
    drop(far);
    let mut buffer = [MaybeUninit::uninit(); 2];
    assert!(matches!(near.receive(&mut buffer), Received::Data(2)));
    assert!(matches!(near.receive(&mut []), Received::Data(0)), "no room is not the end");
    assert!(matches!(receive(&near), (Received::Data(2), bytes) if bytes == b"te"));
    assert!(matches!(receive(&near), (Received::Eof, _)));
}

#[test]
fn an_idle_stream_would_block_and_a_full_one_too() {
    let (near, mut far) = narrow();
    assert!(matches!(receive(&near), (Received::WouldBlock, _)));
    while let Sent::Bytes(n) = near.send(&[0; 4096]) {
        assert!(n > 0);
    }
    assert!(matches!(near.send(b"x"), Sent::WouldBlock));
    while !read_some(&mut far, 4096).is_empty() {}
    assert!(matches!(near.send(b"x"), Sent::Bytes(1)));
}

#[test]
fn a_reset_fails_reader_and_writer_and_raises_no_signal() {
    let (mut near, far) = tcp();
    sockopt::set_socket_linger(&far, Some(std::time::Duration::ZERO)).expect("an abrupt end");
    drop(far);
    let (Received::Failed(error), _) = receive(&near) else { panic!("a reset is an error") };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    push(&mut near, b"x");
    push(&mut near, b"y");
    let Flushed::Failed(error) = near.flush() else { panic!("nobody reads any more") };
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(near.queued(), 2, "what was not written still waits");
    assert_eq!(near.take_queue().len(), 2);
    let ShutDown::Failed(error) = near.shutdown_write() else {
        panic!("nobody is there to be told")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
}

#[test]
fn an_adopted_descriptor_neither_blocks_nor_is_inherited() {
    let (near, _far) = tcp();
    let fd = near.into_fd().expect("an open descriptor");
    let flags = rustix::fs::fcntl_getfl(&fd).expect("flags");
    assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    let flags = rustix::io::fcntl_getfd(&fd).expect("flags");
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn a_read_into_two_places_goes_on_in_the_second() {
    let (near, mut far) = pair();
    let mut stream: Chunks = Stream::adopt(OwnedFd::from(near)).expect("a stream");
    let (mut first, mut second) = ([MaybeUninit::new(b'.'); 4], [MaybeUninit::new(b'.'); 3]);
    assert!(matches!(stream.receive_into(&mut first, &mut second), Received::WouldBlock));
    far.write_all(b"0123456789").expect("room");
    assert!(matches!(stream.receive_into(&mut first, &mut second), Received::Data(7)));
    assert_eq!((text(&first), text(&second)), ("0123", "456"));
    assert!(matches!(stream.receive_into(&mut [], &mut []), Received::Data(0)));
    assert!(matches!(stream.receive_into(&mut first, &mut second), Received::Data(3)));
    assert_eq!((text(&first), text(&second)), ("7893", "456"));
    drop(far);
    assert!(matches!(stream.receive_into(&mut first, &mut second), Received::Eof));
    stream.close();
    assert!(matches!(stream.receive_into(&mut first, &mut second), Received::Failed(_)));
}

/// The content of room that was initialised when it was made.
fn text(room: &[MaybeUninit<u8>]) -> &str {
    // SAFETY: the caller has initialised all of it.
    let bytes = unsafe { &*(std::ptr::from_ref(room) as *const [u8]) };
    std::str::from_utf8(bytes).expect("digits")
}
