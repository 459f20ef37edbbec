//! `writer.start_tls` and `writer.wait_closed`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::object::StreamWriter;
use crate::coroutine::{Kept, Scope, nothing};
use crate::stream::release::Release;

/// Waits for the connection's end.
pub(super) async fn wait_closed(scope: Scope, writer: Kept<StreamWriter>) -> PyResult<Py<PyAny>> {
    let waiter = Python::attach(|py| -> PyResult<_> {
        let writer = scope.get(py, writer);
        let protocol = StreamWriter::protocol(&writer)?;
        Ok(protocol.call_method1(intern!(py, "_get_close_waiter"), (writer,))?.unbind())
    })?;
    scope.wait(waiter).await?;
    Ok(nothing())
}

/// Upgrades the connection; `keywords` are those of the loop's `start_tls`.
pub(super) async fn start_tls(
    scope: Scope,
    writer: Kept<StreamWriter>,
    context: Kept,
    keywords: Kept<PyDict>,
) -> PyResult<Py<PyAny>> {
    let (protocol, drained) = Python::attach(|py| -> PyResult<_> {
        let (writer, keywords) = (scope.get(py, writer), scope.get(py, keywords));
        let protocol = StreamWriter::protocol(&writer)?;
        let callback = protocol.getattr(intern!(py, "_client_connected_cb"))?;
        keywords.set_item(intern!(py, "server_side"), !callback.is_none())?;
        let drained = writer.call_method0(intern!(py, "drain"))?.unbind();
        Ok((scope.keep(&protocol), drained))
    })?;
    scope.wait(drained).await?;
    let upgraded = Python::attach(|py| -> PyResult<_> {
        let writer = scope.get(py, writer);
        let arguments =
            (StreamWriter::transport(&writer)?, scope.get(py, protocol), scope.get(py, context));
        let event_loop = StreamWriter::event_loop(&writer)?;
        let keywords = scope.get(py, keywords);
        let start = intern!(py, "start_tls");
        Ok(event_loop.call_method(start, arguments, Some(&keywords))?.unbind())
    })?;
    let transport = scope.wait(upgraded).await?;
    Python::attach(|py| {
        let writer = scope.get(py, writer);
        writer.get().set_transport(py, Some(transport.clone_ref(py)));
        let protocol = scope.get(py, protocol);
        if Release::get(py)?.replaces_transport {
            protocol.call_method1(intern!(py, "_replace_transport"), (transport,))?;
        } else {
            protocol.call_method1(intern!(py, "_replace_writer"), (writer,))?;
        }
        Ok(py.None())
    })
}
