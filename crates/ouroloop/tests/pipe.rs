//! The ends of pipes against the kernel's own.

use std::io::{ErrorKind, Read, Write, pipe};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;

use ouroloop::net::{Flushed, Received, Sent};
use ouroloop::pipe::{Kind, Reader, Writer};
use proptest::prelude::*;

fn receive<F: std::os::fd::AsFd>(reader: &Reader<F>) -> (Received, Vec<u8>) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let received = reader.receive(&mut buffer);
    let filled = if let Received::Data(filled) = received { filled } else { 0 };
    // SAFETY: the reader has filled this many.
    let bytes = buffer[..filled].iter().map(|byte| unsafe { byte.assume_init() }).collect();
    (received, bytes)
}

#[test]
fn what_descriptors_lead_to() {
    let (reader, _writer) = pipe().expect("a pipe");
    let (socket, _peer) = UnixStream::pair().expect("a pair");
    let device = std::fs::File::open("/dev/null").expect("always there");
    let file = std::fs::File::open("Cargo.toml");
    for (kind, expected, tells) in [
        (Kind::of(&reader), Kind::Fifo, true),
        (Kind::of(&socket), Kind::Socket, true),
        (Kind::of(&device), Kind::CharacterDevice, false),
        (Kind::of(file.expect("the package's own")), Kind::Other, false),
    ] {
        let kind = kind.expect("an open descriptor");
        assert_eq!((kind, kind.tells_of_lost_reader()), (expected, tells));
    }
}

#[test]
fn an_end_reads_what_is_there_and_then_the_end() {
    let (reader, mut writer) = pipe().expect("a pipe");
    let reader = Reader::adopt(reader).expect("a pipe");
    assert!(matches!(receive(&reader).0, Received::WouldBlock));
    writer.write_all(b"bytes").expect("room");
    assert!(matches!(reader.receive(&mut []), Received::Data(0)), "no room is not the end");
    assert_eq!(receive(&reader).1, b"bytes");
    drop(writer);
    assert!(matches!(receive(&reader).0, Received::Eof));
}

#[test]
fn a_full_pipe_blocks_and_goes_on_where_it_was() {
    let (mut reader, writer) = pipe().expect("a pipe");
    let mut writer = Writer::adopt(writer).expect("a pipe");
    let data: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).expect("small")).collect();
    let Sent::Bytes(sent) = writer.send(&data) else { panic!("an empty pipe has room") };
    assert!(0 < sent && sent < data.len(), "a pipe holds less than that");
    assert!(matches!(writer.send(b"more"), Sent::WouldBlock));
    writer.push_rest(data.clone(), sent);
    assert_eq!(writer.queued(), data.len() - sent);
    assert!(matches!(writer.flush(), Flushed::Blocked));
    let mut got = Vec::new();
    let mut buffer = vec![0; 10_000];
    while writer.queued() > 0 {
        let read = reader.read(&mut buffer).expect("the pipe is full");
        got.extend_from_slice(&buffer[..read]);
        assert!(!matches!(writer.flush(), Flushed::Failed(_)));
    }
    drop(writer);
    reader.read_to_end(&mut got).expect("the rest");
    assert!(got == data, "every byte, in order");
}

#[test]
fn a_reader_that_is_gone_fails_the_write_and_keeps_the_queue() {
    let (reader, writer) = pipe().expect("a pipe");
    let mut writer = Writer::adopt(writer).expect("a pipe");
    drop(reader);
    match writer.send(b"nobody") {
        Sent::Failed(error) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
    writer.push("reads ");
    writer.push("this");
    assert!(matches!(writer.flush(), Flushed::Failed(_)));
    assert_eq!(writer.queued(), 10);
    assert_eq!(writer.take_queue(), ["reads ", "this"]);
    assert_eq!(writer.queued(), 0);
}

proptest! {
    #[test]
    fn chunks_arrive_in_order_whatever_their_sizes(
        sizes in prop::collection::vec(0_usize..40_000, 0..20),
        most in 1_usize..50_000,
    ) {
        let (reader, writer) = pipe().expect("a pipe");
        let reader = Reader::adopt(reader).expect("a pipe");
        let mut writer = Writer::adopt(writer).expect("a pipe");
        let mut expected = Vec::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let chunk = vec![u8::try_from(number).expect("few"); size];
            expected.extend_from_slice(&chunk);
            writer.push(chunk);
        }
        let mut got = Vec::new();
        let mut buffer = vec![MaybeUninit::uninit(); most];
        loop {
            let flushed = writer.flush();
            prop_assert!(!matches!(flushed, Flushed::Failed(_)));
            while let Received::Data(filled) = reader.receive(&mut buffer) {
                // SAFETY: the reader has filled this many.
                got.extend(buffer[..filled].iter().map(|byte| unsafe { byte.assume_init() }));
            }
            if matches!(flushed, Flushed::Drained) {
                break;
            }
        }
        prop_assert!(got == expected);
    }
}
