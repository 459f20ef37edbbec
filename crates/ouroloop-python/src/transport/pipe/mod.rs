//! `ReadPipeTransport` and `WritePipeTransport`: the ends of pipes, and of what is read and
//! written like one (FIFOs, terminals, character devices, sockets).
//!
//! # Who owns the descriptor
//!
//! The file object that the program gave. It is closed, by its own `close()`, when the transport
//! has told the protocol that the connection is lost, or when an unclosed transport goes. Until
//! then the transport uses the number alone, as a `Lent` descriptor.
//!
//! # States
//!
//! | state | `closing` | `losing` | `open` | left by |
//! | --- | --- | --- | --- | --- |
//! | opened | no | no | yes | the `Open` notice: `connection_made`, then the descriptor is watched |
//! | connected | no | no | yes | `close`, the end of the stream, an error |
//! | draining (write end) | yes | no | yes | an empty queue, an error, `abort` |
//! | losing | yes | yes | yes | the `Lost` notice: `connection_lost`, then the file object is closed |
//! | closed | yes | yes | no | – |
//!
//! What both ends have in common lies in `End` and is carried out by `PipeEnd`.
//!
//! A write is tried at once, and only what the kernel does not take is queued. A write end is also
//! watched for reading: it becomes readable when the last reader has gone.

mod end;
mod read;
mod write;

use pyo3::prelude::*;

use crate::native::{instance_dict, slots};

pub(crate) use end::{CHILD_PROTOCOL, ChildProtocol};
pub(crate) use read::ReadPipeTransport;
pub(crate) use write::WritePipeTransport;

/// Makes the classes of this module complete.
pub(crate) fn install(py: Python<'_>) {
    instance_dict::install::<ReadPipeTransport>(py);
    instance_dict::install::<WritePipeTransport>(py);
    slots::install_deallocate::<ReadPipeTransport>(py);
    slots::install_deallocate::<WritePipeTransport>(py);
}
