//! Writing what waits: how many system calls, and when to give way.

use std::io::{self, IoSlice};

use rustix::io::Errno;

use crate::net::write_queue::WriteQueue;

/// As many chunks are gathered into one system call.
const GATHERED_CHUNKS: usize = 64;

/// Several chunks of no more than this together are joined instead of gathered.
const COPIED_BYTES: usize = 2048;

/// A flush gives way to others after about this many bytes, however fast the peer reads.
pub const FLUSHED_BYTES: usize = 4 * 1024 * 1024;

/// What came of writing what waits.
#[derive(Debug)]
#[must_use]
pub enum Flushed {
    /// Nothing waits any more; a remembered half close has been carried out.
    Drained,
    /// Something still waits: flush again when the descriptor is writable.
    Blocked,
    /// The stream is broken.
    Failed(io::Error),
}

/// A non-blocking descriptor that takes bytes; an interrupted call is made again.
pub(crate) trait Sink {
    fn write(&self, bytes: &[u8]) -> Result<usize, Errno>;
    fn write_gathered(&self, slices: &[IoSlice<'_>]) -> Result<usize, Errno>;
}

/// Writes the queue, many chunks with one system call, until nothing waits, the kernel has no
/// room, or about [`FLUSHED_BYTES`] are written. A failed write leaves the queue as it is.
pub(crate) fn drain<B: AsRef<[u8]>>(queue: &mut WriteQueue<B>, sink: &impl Sink) -> Flushed {
    let mut flushed = 0;
    while !queue.is_empty() {
        let (offered, outcome) = offer(queue, sink);
        match outcome {
            Ok(written) => {
                queue.advance(written);
                flushed += written;
                // A short write means that the kernel's buffer is full: to ask again would
                // only cost a call that answers EAGAIN.
                if written < offered || (flushed >= FLUSHED_BYTES && !queue.is_empty()) {
                    return Flushed::Blocked;
                }
            }
            Err(Errno::AGAIN) => return Flushed::Blocked,
            Err(error) => return Flushed::Failed(error.into()),
        }
    }
    Flushed::Drained
}

/// Offers the head, or as much of the queue as one call takes; answers how much it offered.
fn offer<B: AsRef<[u8]>>(queue: &WriteQueue<B>, sink: &impl Sink) -> (usize, Result<usize, Errno>) {
    if queue.len_chunks() == 1 {
        let head = queue.iter().next().unwrap_or_default();
        return (head.len(), sink.write(head));
    }
    let mut joined = Vec::new();
    if queue.len_bytes() <= COPIED_BYTES && joined.try_reserve_exact(COPIED_BYTES).is_ok() {
        // The kernel takes one small piece more cheaply than a list of pieces.
        queue.iter().for_each(|chunk| joined.extend_from_slice(chunk));
        return (joined.len(), sink.write(&joined));
    }
    let mut slices = [IoSlice::new(&[]); GATHERED_CHUNKS];
    let filled = queue.gather(&mut slices);
    let slices = &slices[..filled];
    (slices.iter().map(|slice| slice.len()).sum(), sink.write_gathered(slices))
}
