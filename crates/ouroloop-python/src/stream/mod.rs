//! Streams: `StreamReader`, `StreamWriter`, the protocol between them and a transport, and the
//! functions that open connections with them.
//!
//! # The way of a byte
//!
//! transport → protocol → reader's buffer → the coroutine that waits. A native transport asks
//! `receiver` which reader takes what it reads; where there is one, bytes go from the kernel into
//! its buffer, and the waiting task's wake-up into the ready queue, without a call of Python's. A
//! piece that a waiting `read` takes whole is one `bytes` object all the way.
//!
//! # States of a reader
//!
//! | it is | `waiter` | `eof` | `exception` | a read |
//! | --- | --- | --- | --- | --- |
//! | idle | none | no | none | takes what is there, or waits |
//! | awaited | a future | no | none | of a second coroutine: `RuntimeError`, unless what it wants is there |
//! | ended | none | yes | none | takes what is there; then `b''` or `IncompleteReadError` |
//! | failed | none | any | set | raises the exception |
//!
//! Beside that, `paused` says that the transport was told not to read: set when more than twice the
//! limit is in the buffer, left when no more than the limit is, or by a coroutine that waits.
//!
//! # Who may be overridden
//!
//! Programs derive from all three classes, and set attributes on their objects. Each class lists the
//! methods that native code leaves out; an object that has others in their place is not *plain*, and
//! those methods are called through Python, in asyncio's order. The answer is kept by
//! [`crate::native::overrides`], so that asking costs two comparisons.
//!
//! # Who touches what
//!
//! The reader's state is changed by [`reader`] alone, its bytes by [`buffer`] alone. No Python code
//! runs between a look at the buffer and the taking out that follows from it.

mod buffer;
mod intake;
mod limit;
mod opening;
mod protocol;
mod reader;
mod release;
mod writer;

use pyo3::prelude::*;

use crate::transport::{native_protocol, socket};

pub(crate) use protocol::StreamReaderProtocol;
pub(crate) use reader::StreamReader;

/// Makes the classes complete.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    reader::install(py)?;
    writer::install(py)?;
    socket::STREAM_READING.make_known::<StreamReaderProtocol>(py, intake::read);
    native_protocol::STREAM_PROTOCOL.make_known::<StreamReaderProtocol>(py, intake::deliver);
    protocol::install(py)
}

/// Remembers the methods of the classes as they are now.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn remember_methods(py: Python<'_>) -> PyResult<()> {
    reader::remember_methods(py)?;
    protocol::remember_methods(py)
}

/// Puts the names of this module into `_native`.
pub(crate) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<StreamReader>()?;
    module.add_class::<writer::StreamWriter>()?;
    module.add_class::<StreamReaderProtocol>()?;
    opening::export(module)
}
