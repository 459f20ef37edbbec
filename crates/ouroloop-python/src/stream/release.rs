//! What patch releases of one Python version do differently.
//!
//! asyncio's streams were changed within versions, so the running release is asked: by the names
//! that its own code uses.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::interpreter::fresh::Text;
use crate::interpreter::once::Once as _;
use crate::standard::Standard;

/// The ways of the running release.
#[expect(clippy::struct_excessive_bools, reason = "each is an answer of its own")]
#[derive(Debug)]
pub(super) struct Release {
    /// What `client_connected_cb` raises is reported and ends the connection, instead of going to
    /// whoever called `connection_made`.
    pub(super) reports_raising_callback: bool,
    /// The connection ends with a callback's task that is cancelled, instead of with a report that
    /// the task was asked for its exception.
    pub(super) closes_with_cancelled_task: bool,
    /// The protocol holds the writer.
    pub(super) keeps_writer: bool,
    /// After `start_tls` the protocol is given the transport, instead of the writer.
    pub(super) replaces_transport: bool,
    /// And so is the reader.
    pub(super) tells_reader: bool,
    /// A writer that goes without having been closed closes its transport and says so.
    pub(super) closes_forgotten: bool,
}

impl Release {
    /// # Errors
    /// `AttributeError` for classes that are not asyncio's.
    pub(super) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static RELEASE: PyOnceLock<Release> = PyOnceLock::new();
        RELEASE.find(py, || Self::look_up(py))
    }

    fn look_up(py: Python<'_>) -> PyResult<Self> {
        let standard = Standard::get(py)?;
        let protocol = standard.stream_reader_protocol.bind(py);
        let code = protocol.getattr(Text("connection_made"))?.getattr(Text("__code__"))?;
        let mut asks_whether_cancelled = false;
        for constant in code.getattr(Text("co_consts"))?.try_iter()? {
            if let Some(names) = constant?.getattr_opt(Text("co_names"))? {
                asks_whether_cancelled |= names.contains(Text("cancelled"))?;
            }
        }
        let names = code.getattr(Text("co_names"))?;
        Ok(Self {
            reports_raising_callback: names.contains(Text("Exception"))?,
            closes_with_cancelled_task: asks_whether_cancelled,
            keeps_writer: names.contains(Text("_stream_writer"))?,
            replaces_transport: protocol.hasattr(Text("_replace_transport"))?,
            tells_reader: standard.stream_reader.bind(py).hasattr(Text("_replace_transport"))?,
            closes_forgotten: standard.stream_writer.bind(py).hasattr(Text("__del__"))?,
        })
    }
}
