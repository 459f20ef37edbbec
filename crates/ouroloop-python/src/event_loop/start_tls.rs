//! `start_tls`: TLS on a connection that is in use.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::Loop;
use super::closing::Closing;
use crate::coroutine::{Coroutine, Scope};
use crate::future::Future;
use crate::interpreter::fresh;
use crate::interpreter::pending::Pending;
use crate::standard::Standard;
use crate::stream::{StreamReader, StreamReaderProtocol};
use crate::transport::tls::{Security, expect_context, upgrade};

#[pymethods]
impl Loop {
    /// Upgrades a connection to TLS; the coroutine answers the transport to use from then on.
    #[pyo3(signature = (
        transport, protocol, sslcontext, *, server_side=false, server_hostname=None,
        ssl_handshake_timeout=None, ssl_shutdown_timeout=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "asyncio's signature")]
    fn start_tls<'py>(
        slf: &Bound<'py, Self>,
        transport: Py<PyAny>,
        protocol: Py<PyAny>,
        sslcontext: Py<PyAny>,
        server_side: bool,
        server_hostname: Option<Py<PyAny>>,
        ssl_handshake_timeout: Option<Py<PyAny>>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let event_loop = slf.clone().unbind();
        let security = Security {
            context: Some(sslcontext),
            server_side,
            server_hostname,
            handshake_timeout: ssl_handshake_timeout,
            shutdown_timeout: ssl_shutdown_timeout,
        };
        Coroutine::new(slf.py(), "Loop.start_tls", |scope| {
            start(scope, event_loop, transport, protocol, security)
        })
    }
}

/// Callbacks that do not run if the upgrade ends before them.
struct Scheduled(Vec<Py<PyAny>>);

impl Drop for Scheduled {
    fn drop(&mut self) {
        Python::try_attach(|py| {
            let _pending = Pending::put_aside(py);
            for handle in &self.0 {
                if let Err(error) = handle.bind(py).call_method0(intern!(py, "cancel")) {
                    error.write_unraisable(py, Some(handle.bind(py)));
                }
            }
        });
    }
}

async fn start(
    scope: Scope,
    event_loop: Py<Loop>,
    transport: Py<PyAny>,
    protocol: Py<PyAny>,
    security: Security,
) -> PyResult<Py<PyAny>> {
    let (waiter, machine, lower, mut scheduled) = Python::attach(|py| -> PyResult<_> {
        let event_loop = event_loop.bind(py);
        let transport = transport.bind(py);
        if let Some(context) = &security.context {
            expect_context(context.bind(py))?;
        }
        let compatible = transport.getattr_opt(intern!(py, "_start_tls_compatible"))?;
        if !compatible.map_or(Ok(false), |compatible| compatible.is_truthy())? {
            let message = fresh::text(format_args!(
                "transport {} is not supported by start_tls()",
                transport.repr()?
            ))?;
            return Err(fresh::error::<PyTypeError>(message));
        }
        let waiter = Future::create(event_loop)?;
        let machine =
            upgrade(event_loop, protocol.clone_ref(py), waiter.clone().unbind(), &security)?;
        // So that no byte of the handshake reaches the old protocol.
        transport.call_method0(intern!(py, "pause_reading"))?;
        if security.server_side {
            let incoming = machine.getattr(intern!(py, "_incoming"))?;
            take_buffered(protocol.bind(py), &incoming)?;
        }
        transport.call_method1(intern!(py, "set_protocol"), (&machine,))?;
        let lower = Closing::new(transport.clone().unbind());
        let begin = machine.getattr(intern!(py, "connection_made"))?;
        let resume = transport.getattr(intern!(py, "resume_reading"))?;
        let call_soon = intern!(py, "call_soon");
        let scheduled = Scheduled(vec![
            event_loop.call_method1(call_soon, (begin, transport))?.unbind(),
            event_loop.call_method1(call_soon, (resume,))?.unbind(),
        ]);
        Ok((waiter.into_any().unbind(), machine.unbind(), lower, scheduled))
    })?;
    scope.wait(waiter).await?;
    Python::attach(|py| {
        scheduled.0.clear();
        lower.keep(py);
        // A connection that ended before, without an error, has no transport left.
        let transport = machine.get().app_transport(py);
        Ok(transport.map_or_else(|| py.None(), |transport| transport.into_any().unbind()))
    })
}

/// What a stream's protocol has read of the client's first words belongs to the handshake.
fn take_buffered(protocol: &Bound<'_, PyAny>, incoming: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = protocol.py();
    let standard = &Standard::get(py)?.stream_reader_protocol;
    if !protocol.is_instance_of::<StreamReaderProtocol>()
        && !protocol.is_instance(standard.bind(py))?
    {
        return Ok(());
    }
    let Some(reader) = protocol.getattr_opt(intern!(py, "_stream_reader"))? else { return Ok(()) };
    if let Ok(native) = reader.cast::<StreamReader>() {
        let taken = native.get().take_all(py)?;
        return if taken.as_bytes().is_empty() {
            Ok(())
        } else {
            incoming.call_method1(intern!(py, "write"), (taken,)).map(drop)
        };
    }
    let Some(buffer) = reader.getattr_opt(intern!(py, "_buffer"))? else { return Ok(()) };
    if buffer.is_truthy()? {
        incoming.call_method1(intern!(py, "write"), (&buffer,))?;
        buffer.call_method0(intern!(py, "clear"))?;
    }
    Ok(())
}
