//! Two streams over a real pair of sockets with little room: whatever is pushed, sent, received,
//! shut down and closed in whichever order, the bytes that arrive are those that left, and the end
//! comes behind the last of them.

#![no_main]

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ouroloop::net::{Flushed, Pushed, Received, Sent, ShutDown, Stream};

#[derive(Arbitrary, Debug)]
enum Step {
    Push { end: bool, length: u16 },
    Send { end: bool, length: u16 },
    Flush { end: bool },
    Receive { end: bool, room: u16 },
    ShutDown { end: bool },
    Close { end: bool },
}

/// One end, and what it has yet to receive.
struct End {
    stream: Stream<Vec<u8>>,
    expected: Vec<u8>,
    /// The other end takes no further writes.
    other_is_shut: bool,
    other_is_closed: bool,
    next: u8,
}

impl End {
    fn new(socket: UnixStream) -> Self {
        rustix::net::sockopt::set_socket_send_buffer_size(&socket, 4096).expect("a socket");
        Self {
            stream: Stream::adopt(OwnedFd::from(socket)).expect("a socket"),
            expected: Vec::new(),
            other_is_shut: false,
            other_is_closed: false,
            next: 0,
        }
    }

    fn bytes(&mut self, length: u16) -> Vec<u8> {
        let bytes = (0..length).map(|_| {
            self.next = self.next.wrapping_add(1) % 251;
            self.next
        });
        bytes.collect()
    }
}

fn receive(near: &mut End, room: usize) -> bool {
    let mut buffer = vec![MaybeUninit::uninit(); room];
    match near.stream.receive(&mut buffer) {
        Received::Data(length) => {
            // SAFETY: so many bytes were received.
            let bytes: Vec<u8> =
                buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect();
            assert!(near.expected.starts_with(&bytes));
            near.expected.drain(..length);
            length > 0
        }
        Received::Eof => {
            assert!(near.other_is_closed || (near.other_is_shut && near.expected.is_empty()));
            false
        }
        Received::WouldBlock => false,
        // Of a stream that is closed, or whose other end closed with bytes unread.
        Received::Failed(_) => {
            assert!(near.stream.fd().is_none() || near.other_is_closed);
            false
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let (near, far) = UnixStream::pair().expect("a pair");
    let mut ends = [End::new(near), End::new(far)];
    for step in steps {
        let (Step::Push { end, .. }
        | Step::Send { end, .. }
        | Step::Flush { end }
        | Step::Receive { end, .. }
        | Step::ShutDown { end }
        | Step::Close { end }) = step;
        let [first, second] = &mut ends;
        let (near, far) = if end { (second, first) } else { (first, second) };
        match step {
            Step::Push { length, .. } => {
                let bytes = near.bytes(length);
                match near.stream.push(bytes.clone()) {
                    Pushed::Queued => far.expected.extend(bytes),
                    Pushed::Refused(back) => {
                        assert_eq!(back, bytes);
                        assert!(far.other_is_shut || near.stream.fd().is_none());
                    }
                }
            }
            Step::Send { length, .. } => {
                if near.stream.queued() > 0 || far.other_is_shut {
                    continue;
                }
                let bytes = near.bytes(length);
                match near.stream.send(&bytes) {
                    Sent::Bytes(sent) => far.expected.extend(&bytes[..sent]),
                    Sent::WouldBlock => {}
                    Sent::Failed(_) => {
                        assert!(near.stream.fd().is_none() || near.other_is_closed);
                    }
                }
            }
            Step::Flush { .. } => match near.stream.flush() {
                Flushed::Drained => assert_eq!(near.stream.queued(), 0),
                Flushed::Blocked => assert!(near.stream.queued() > 0),
                Flushed::Failed(_) => {
                    assert!(near.stream.fd().is_none() || near.other_is_closed);
                }
            },
            Step::Receive { room, .. } => drop(receive(near, usize::from(room))),
            Step::ShutDown { .. } => match near.stream.shutdown_write() {
                ShutDown::Now => {
                    assert_eq!(near.stream.queued(), 0);
                    far.other_is_shut = true;
                }
                ShutDown::Later => {
                    assert!(near.stream.queued() > 0);
                    far.other_is_shut = true;
                }
                ShutDown::Already => assert!(far.other_is_shut || near.stream.fd().is_none()),
                ShutDown::Failed(error) => panic!("{error}"),
            },
            Step::Close { .. } => {
                let _ = near.stream.close();
                assert!(near.stream.fd().is_none());
                far.other_is_closed = true;
            }
        }
    }
    // What was taken arrives, if both ends are there to the last.
    let [near, far] = &mut ends;
    if near.stream.fd().is_none() || far.stream.fd().is_none() {
        return;
    }
    loop {
        let waits =
            [&mut *near, &mut *far].map(|end| matches!(end.stream.flush(), Flushed::Blocked));
        let came = [&mut *near, &mut *far].map(|end| receive(end, 65536));
        if !waits.contains(&true) && !came.contains(&true) {
            break;
        }
    }
    assert!(near.expected.is_empty() && far.expected.is_empty());
});
