//! `open_connection`, `start_server` and their kin over Unix sockets.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::limit::{GivenLimit, check_limit};
use super::protocol::StreamReaderProtocol;
use super::reader::StreamReader;
use super::writer::StreamWriter;
use crate::coroutine::{Coroutine, Kept, Scope};
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::waiting::running_loop;

/// Opens a connection and answers its `(reader, writer)`.
///
/// `limit` is the reader's; all the rest goes to the loop's `create_connection`. A cancelled call
/// opens nothing.
#[pyfunction]
#[pyo3(
    signature = (host=None, port=None, *, limit=GivenLimit::default(), **kwds),
    text_signature = "(host=None, port=None, *, limit=65536, **kwds)"
)]
fn open_connection<'py>(
    py: Python<'py>,
    host: Option<Bound<'py, PyAny>>,
    port: Option<Bound<'py, PyAny>>,
    limit: GivenLimit<'py>,
    kwds: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Coroutine>> {
    opening(
        py,
        "open_connection",
        "create_connection",
        &fresh::tuple(py, [host, port])?,
        limit,
        kwds,
    )
}

/// Opens a connection to a Unix socket and answers its `(reader, writer)`.
///
/// `limit` is the reader's; all the rest goes to the loop's `create_unix_connection`. A cancelled
/// call opens nothing.
#[pyfunction]
#[pyo3(
    signature = (path=None, *, limit=GivenLimit::default(), **kwds),
    text_signature = "(path=None, *, limit=65536, **kwds)"
)]
fn open_unix_connection<'py>(
    py: Python<'py>,
    path: Option<Bound<'py, PyAny>>,
    limit: GivenLimit<'py>,
    kwds: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Coroutine>> {
    opening(
        py,
        "open_unix_connection",
        "create_unix_connection",
        &fresh::tuple(py, [path])?,
        limit,
        kwds,
    )
}

/// Starts a server that calls `client_connected_cb(reader, writer)` for each connection, and runs
/// what that answers as a task if it is a coroutine.
///
/// `limit` is that of the readers; all the rest goes to the loop's `create_server`, whose server is
/// answered.
#[pyfunction]
#[pyo3(
    signature = (client_connected_cb, host=None, port=None, *, limit=GivenLimit::default(), **kwds),
    text_signature = "(client_connected_cb, host=None, port=None, *, limit=65536, **kwds)"
)]
fn start_server<'py>(
    py: Python<'py>,
    client_connected_cb: Bound<'py, PyAny>,
    host: Option<Bound<'py, PyAny>>,
    port: Option<Bound<'py, PyAny>>,
    limit: GivenLimit<'py>,
    kwds: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Coroutine>> {
    let targets = fresh::tuple(py, [host, port])?;
    let callback = client_connected_cb;
    serving(py, "start_server", "create_server", callback, &targets, limit, kwds)
}

/// Starts a server on a Unix socket, as `start_server` does on others.
///
/// `limit` is that of the readers; all the rest goes to the loop's `create_unix_server`, whose server
/// is answered.
#[pyfunction]
#[pyo3(
    signature = (client_connected_cb, path=None, *, limit=GivenLimit::default(), **kwds),
    text_signature = "(client_connected_cb, path=None, *, limit=65536, **kwds)"
)]
fn start_unix_server<'py>(
    py: Python<'py>,
    client_connected_cb: Bound<'py, PyAny>,
    path: Option<Bound<'py, PyAny>>,
    limit: GivenLimit<'py>,
    kwds: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Coroutine>> {
    let targets = fresh::tuple(py, [path])?;
    let callback = client_connected_cb;
    serving(py, "start_unix_server", "create_unix_server", callback, &targets, limit, kwds)
}

/// The coroutine of this name that opens a connection by this method of the loop.
fn opening<'py>(
    py: Python<'py>,
    name: &'static str,
    method: &'static str,
    targets: &Bound<'py, PyTuple>,
    limit: GivenLimit<'py>,
    kwds: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Coroutine>> {
    Coroutine::new(py, name, |scope| {
        let call = LoopCall::keep(&scope, method, targets, limit, kwds.as_ref());
        open(scope, call)
    })
}

/// The coroutine of this name that starts a server by this method of the loop.
fn serving<'py>(
    py: Python<'py>,
    name: &'static str,
    method: &'static str,
    callback: Bound<'py, PyAny>,
    targets: &Bound<'py, PyTuple>,
    limit: GivenLimit<'py>,
    kwds: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Coroutine>> {
    Coroutine::new(py, name, |scope| {
        let call = LoopCall::keep(&scope, method, targets, limit, kwds.as_ref());
        let callback = scope.keep(&callback);
        start(scope, call, callback)
    })
}

/// A call of a method of the loop: `method(factory, *targets, **keywords)`.
struct LoopCall {
    method: &'static str,
    targets: Kept<PyTuple>,
    keywords: Option<Kept<PyDict>>,
    /// That of the readers, if one is given.
    limit: Option<Kept>,
}

impl LoopCall {
    fn keep(
        scope: &Scope,
        method: &'static str,
        targets: &Bound<'_, PyTuple>,
        limit: GivenLimit<'_>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> Self {
        let keywords = keywords.map(|keywords| scope.keep(keywords));
        let limit = limit.0.map(|limit| scope.keep(&limit));
        Self { method, targets: scope.keep(targets), keywords, limit }
    }

    fn limit<'py>(&self, py: Python<'py>, scope: &Scope) -> Option<Bound<'py, PyAny>> {
        self.limit.map(|limit| scope.get(py, limit))
    }

    fn make<'py>(
        &self,
        scope: &Scope,
        event_loop: &Bound<'py, PyAny>,
        factory: Factory,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        let targets = scope.get(py, self.targets);
        let mut arguments = vec![Bound::new(py, factory)?.into_any()];
        arguments.extend(targets.iter());
        let keywords = self.keywords.map(|keywords| scope.get(py, keywords));
        event_loop.call_method(
            fresh::interned(py, self.method)?,
            fresh::tuple(py, arguments)?,
            keywords.as_ref(),
        )
    }
}

async fn open(scope: Scope, call: LoopCall) -> PyResult<Py<PyAny>> {
    let (event_loop, reader, protocol, opened) = Python::attach(|py| -> PyResult<_> {
        let event_loop = running_loop(py)?;
        let limit = call.limit(py, &scope);
        check_limit(limit.as_ref())?;
        let reader = StreamReader::create(py, limit.as_ref(), &event_loop)?.into_any();
        let protocol = StreamReaderProtocol::create(&reader, None, &event_loop)?.into_any();
        let factory = Factory::new(Product::Ready(protocol.clone().unbind()));
        let opened = call.make(&scope, &event_loop, factory)?.unbind();
        Ok((scope.keep(&event_loop), scope.keep(&reader), scope.keep(&protocol), opened))
    })?;
    let opened = scope.wait(opened).await?;
    Python::attach(|py| {
        let (transport, _): (Bound<'_, PyAny>, Bound<'_, PyAny>) = opened.extract(py)?;
        let reader = scope.get(py, reader);
        let (protocol, event_loop) = (scope.get(py, protocol), scope.get(py, event_loop));
        let writer = StreamWriter::create(&transport, &protocol, &reader, &event_loop)?;
        Ok(fresh::tuple(py, [reader, writer.into_any()])?.into_any().unbind())
    })
}

async fn start(scope: Scope, call: LoopCall, callback: Kept) -> PyResult<Py<PyAny>> {
    let started = Python::attach(|py| -> PyResult<_> {
        let event_loop = running_loop(py)?;
        let factory = Factory::new(Product::ForServer {
            limit: call.limit(py, &scope).map(Bound::unbind),
            callback: scope.get(py, callback).unbind(),
            event_loop: event_loop.clone().unbind(),
        });
        Ok(call.make(&scope, &event_loop, factory)?.unbind())
    })?;
    scope.wait(started).await
}

/// What a factory gives the loop.
#[derive(Debug)]
enum Product {
    /// The one protocol of a connection that is being opened.
    Ready(Py<PyAny>),
    /// A new protocol for each connection of a server.
    ForServer { limit: Option<Py<PyAny>>, callback: Py<PyAny>, event_loop: Py<PyAny> },
    /// Nothing: the garbage collector has taken it apart.
    None,
}

/// The protocol factory that the loop is given.
#[pyclass(frozen, name = "factory", module = "asyncio.streams")]
#[derive(Debug)]
struct Factory {
    product: AttachedCell<Product>,
}

made_at_the_start!(Factory);

impl Factory {
    fn new(product: Product) -> Self {
        Self { product: AttachedCell::new(product) }
    }
}

#[pymethods]
impl Factory {
    fn __call__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let product = self.product.with(py, |product| match product {
            Product::Ready(protocol) => Product::Ready(protocol.clone_ref(py)),
            Product::ForServer { limit, callback, event_loop } => Product::ForServer {
                limit: limit.clone_ref(py),
                callback: callback.clone_ref(py),
                event_loop: event_loop.clone_ref(py),
            },
            Product::None => Product::None,
        });
        match product {
            Product::Ready(protocol) => Ok(protocol),
            Product::ForServer { limit, callback, event_loop } => {
                let (limit, event_loop) =
                    (limit.as_ref().map(|limit| limit.bind(py)), event_loop.bind(py));
                check_limit(limit)?;
                let reader = StreamReader::create(py, limit, event_loop)?.into_any();
                let callback = Some(callback.bind(py)).filter(|callback| !callback.is_none());
                let protocol = StreamReaderProtocol::create(&reader, callback, event_loop)?;
                Ok(protocol.into_any().unbind())
            }
            Product::None => Ok(py.None()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.product.traverse(|product| match product {
                Product::Ready(protocol) => visit.call(protocol),
                Product::ForServer { limit, callback, event_loop } => {
                    visit.call(limit)?;
                    visit.call(callback)?;
                    visit.call(event_loop)
                }
                Product::None => Ok(()),
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.product.replace(py, Product::None));
    }
}

/// Gives `module` the functions.
pub(super) fn export(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(open_connection, module)?)?;
    module.add_function(wrap_pyfunction!(open_unix_connection, module)?)?;
    module.add_function(wrap_pyfunction!(start_server, module)?)?;
    module.add_function(wrap_pyfunction!(start_unix_server, module)?)
}
