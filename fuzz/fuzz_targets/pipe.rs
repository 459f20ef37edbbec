//! A real pipe with little room: what is read is what was written, whether it was sent at once,
//! queued, or sent in part and the rest queued.

#![no_main]

use std::io::{PipeReader, PipeWriter};
use std::mem::MaybeUninit;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ouroloop::net::{Flushed, Received, Sent};
use ouroloop::pipe::{Reader, Writer};

#[derive(Arbitrary, Debug)]
enum Step {
    /// As a transport does it: at once if nothing waits, and the rest is queued.
    Write {
        length: u16,
    },
    Push {
        length: u16,
    },
    Flush,
    Receive {
        room: u16,
    },
}

fn receive(reader: &Reader<PipeReader>, room: usize, expected: &mut Vec<u8>) -> usize {
    let mut buffer = vec![MaybeUninit::uninit(); room];
    match reader.receive(&mut buffer) {
        Received::Data(length) => {
            // SAFETY: so many bytes were read.
            let bytes = buffer[..length].iter().map(|byte| unsafe { byte.assume_init() });
            let bytes: Vec<u8> = bytes.collect();
            assert!(expected.starts_with(&bytes));
            expected.drain(..length);
            length
        }
        Received::Eof => {
            assert!(expected.is_empty());
            0
        }
        Received::WouldBlock => 0,
        Received::Failed(error) => panic!("{error}"),
    }
}

fn write(writer: &mut Writer<PipeWriter, Vec<u8>>, bytes: Vec<u8>) {
    if writer.queued() > 0 {
        return writer.push(bytes);
    }
    match writer.send(&bytes) {
        Sent::Bytes(sent) if sent == bytes.len() => {}
        Sent::Bytes(sent) => writer.push_rest(bytes, sent),
        Sent::WouldBlock => writer.push(bytes),
        Sent::Failed(error) => panic!("{error}"),
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("a page");
    let reader = Reader::adopt(reader).expect("a pipe");
    let mut writer = Writer::adopt(writer).expect("a pipe");
    let mut expected = Vec::new();
    let mut next = 0_u8;
    let mut bytes = |length: u16| -> Vec<u8> {
        let counted = (0..length).map(|_| {
            next = next.wrapping_add(1) % 251;
            next
        });
        counted.collect()
    };
    for step in steps {
        match step {
            Step::Write { length } => {
                let bytes = bytes(length);
                expected.extend(&bytes);
                write(&mut writer, bytes);
            }
            Step::Push { length } => {
                let bytes = bytes(length);
                expected.extend(&bytes);
                writer.push(bytes);
            }
            Step::Flush => match writer.flush() {
                Flushed::Drained => assert_eq!(writer.queued(), 0),
                Flushed::Blocked => assert!(writer.queued() > 0),
                Flushed::Failed(error) => panic!("{error}"),
            },
            Step::Receive { room } => {
                receive(&reader, usize::from(room), &mut expected);
            }
        }
    }
    while let Flushed::Blocked = writer.flush() {
        assert!(receive(&reader, 65536, &mut expected) > 0);
    }
    drop(writer);
    while receive(&reader, 65536, &mut expected) > 0 {}
    assert!(expected.is_empty());
});
