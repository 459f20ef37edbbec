//! Bytes that wait for more, and the end of a stream that reads what has left.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ouroloop::net::{Holder, Stream};

/// A stream, and its peer's end.
pub(crate) fn stream() -> (Stream<Vec<u8>>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("two sockets");
    far.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket that waits");
    (Stream::adopt(near.into()).expect("a stream"), far)
}

pub(crate) fn hold(stream: &mut Stream<Vec<u8>>, holder: &Holder, bytes: &[u8]) -> bool {
    stream.reserve().expect("room");
    let _ = stream.push(bytes.to_vec());
    stream.hold(holder)
}

pub(crate) fn read(far: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    far.read_exact(&mut bytes).expect("the bytes");
    bytes
}

pub(crate) fn has_nothing(far: &UnixStream) -> bool {
    far.set_nonblocking(true).expect("a socket");
    let read = (&*far).read(&mut [0]);
    far.set_nonblocking(false).expect("a socket");
    read.is_err()
}
