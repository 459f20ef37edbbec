//! `StreamWriter` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::drain::Drain;
use super::object::{State, StreamWriter, VALUE_OFFSET};
use super::upgrade;
use crate::coroutine::Coroutine;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::CloneRef as _;
use crate::native::instance_dict;
use crate::native::kinship::class_of;
use crate::native::method::{
    Arguments, Described, Method, Nullary, install_method, install_nullary, needed_argument,
};
use crate::native::slots::Deallocate;
use crate::stream::release::Release;
use crate::waiting::Waiter;

#[pymethods]
impl StreamWriter {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(transport, protocol, reader, loop)")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new()
    }

    #[pyo3(signature = (transport, protocol, reader, r#loop))]
    fn __init__(
        slf: &Bound<'_, Self>,
        transport: &Bound<'_, PyAny>,
        protocol: &Bound<'_, PyAny>,
        reader: &Bound<'_, PyAny>,
        r#loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Self::begin(slf, transport, protocol, reader, r#loop)
    }

    /// The standard class for native objects proper, so that `isinstance` holds; a subclass is
    /// its own.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, |standard| &standard.stream_writer)
    }

    #[getter(__dict__)]
    fn instance_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        instance_dict::get(slf.as_any())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let _level = Level::enter(slf.py())?;
        let (name, transport) = (slf.get_type().name()?, Self::transport(slf)?);
        let reader = Self::reader(slf)?;
        if reader.is_none() {
            return Ok(Text(fresh::text(format_args!(
                "<{name} transport={}>",
                transport.repr()?
            ))?));
        }
        let (transport, reader) = (transport.repr()?, reader.repr()?);
        Ok(Text(fresh::text(format_args!("<{name} transport={transport} reader={reader}>"))?))
    }

    fn __del__(slf: &Bound<'_, Self>) {
        Self::finalize(slf);
    }

    /// The transport that is written to.
    #[getter(transport)]
    fn py_transport<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::transport(slf)
    }

    /// Write every piece of `data`.
    fn writelines(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::delegate(slf, intern!(slf.py(), "writelines"), (data,)).map(drop)
    }

    /// Say that nothing more will be written; what was is written.
    fn write_eof<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::delegate(slf, intern!(slf.py(), "write_eof"), ())
    }

    /// Whether the transport knows `write_eof`.
    fn can_write_eof<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::delegate(slf, intern!(slf.py(), "can_write_eof"), ())
    }

    /// Close the connection once what was written has left.
    fn close<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::delegate(slf, intern!(slf.py(), "close"), ())
    }

    /// Whether the connection is closing or closed.
    #[pyo3(name = "is_closing")]
    fn py_is_closing<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::delegate(slf, intern!(slf.py(), "is_closing"), ())
    }

    /// Wait until the connection is closed.
    fn wait_closed<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        Coroutine::new(slf.py(), "StreamWriter.wait_closed", |scope| {
            let writer = scope.keep(slf);
            upgrade::wait_closed(scope, writer)
        })
    }

    /// What the transport knows of the connection under a name.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::delegate(slf, intern!(slf.py(), "get_extra_info"), (name, default))
    }

    /// Upgrade the connection to TLS.
    ///
    /// A cancelled call closes the connection.
    #[cfg(Py_3_12)]
    #[pyo3(signature = (
        sslcontext, *, server_hostname=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None
    ))]
    fn start_tls<'py>(
        slf: &Bound<'py, Self>,
        sslcontext: &Bound<'py, PyAny>,
        server_hostname: Option<&Bound<'py, PyAny>>,
        ssl_handshake_timeout: Option<&Bound<'py, PyAny>>,
        ssl_shutdown_timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let keywords = fresh::dict(slf.py())?;
        keywords.set_item(intern!(slf.py(), "ssl_shutdown_timeout"), ssl_shutdown_timeout)?;
        Self::upgrade(slf, sslcontext, server_hostname, ssl_handshake_timeout, &keywords)
    }

    /// Upgrade the connection to TLS.
    ///
    /// A cancelled call closes the connection.
    #[cfg(not(Py_3_12))]
    #[pyo3(signature = (sslcontext, *, server_hostname=None, ssl_handshake_timeout=None))]
    fn start_tls<'py>(
        slf: &Bound<'py, Self>,
        sslcontext: &Bound<'py, PyAny>,
        server_hostname: Option<&Bound<'py, PyAny>>,
        ssl_handshake_timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        let keywords = fresh::dict(slf.py())?;
        Self::upgrade(slf, sslcontext, server_hostname, ssl_handshake_timeout, &keywords)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.state.traverse(|state| {
                visit.call(&state.transport)?;
                visit.call(&state.protocol)?;
                visit.call(&state.reader)?;
                visit.call(&state.event_loop)?;
                visit.call(&state.complete)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: writers have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        drop(self.state.replace(py, State::default()));
    }
}

impl StreamWriter {
    fn upgrade<'py>(
        slf: &Bound<'py, Self>,
        sslcontext: &Bound<'py, PyAny>,
        server_hostname: Option<&Bound<'py, PyAny>>,
        ssl_handshake_timeout: Option<&Bound<'py, PyAny>>,
        keywords: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, Coroutine>> {
        keywords.set_item(intern!(slf.py(), "server_hostname"), server_hostname)?;
        keywords.set_item(intern!(slf.py(), "ssl_handshake_timeout"), ssl_handshake_timeout)?;
        Coroutine::new(slf.py(), "StreamWriter.start_tls", |scope| {
            let writer = scope.keep(slf);
            let (context, keywords) = (scope.keep(sslcontext), scope.keep(keywords));
            upgrade::start_tls(scope, writer, context, keywords)
        })
    }

    pub(super) fn set_transport(&self, py: Python<'_>, transport: Option<Py<PyAny>>) {
        drop(self.state.with(py, |state| std::mem::replace(&mut state.transport, transport)));
    }
}

/// The attributes that asyncio's writers have, for the libraries that use them.
#[pymethods]
impl StreamWriter {
    #[getter(_transport)]
    fn raw_transport<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::transport(slf)
    }

    #[setter(_transport)]
    fn set_raw_transport(&self, py: Python<'_>, value: Py<PyAny>) {
        self.set_transport(py, Some(value));
    }

    #[getter(_protocol)]
    fn raw_protocol<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::protocol(slf)
    }

    #[setter(_protocol)]
    fn set_raw_protocol(&self, py: Python<'_>, value: Py<PyAny>) {
        drop(self.state.with(py, |state| state.protocol.replace(value)));
    }

    #[getter(_reader)]
    fn raw_reader<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::reader(slf)
    }

    #[setter(_reader)]
    fn set_raw_reader(&self, py: Python<'_>, value: Py<PyAny>) {
        drop(self.state.with(py, |state| state.reader.replace(value)));
    }

    #[getter(_loop)]
    fn raw_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::event_loop(slf)
    }

    #[setter(_loop)]
    fn set_raw_loop(&self, py: Python<'_>, value: Py<PyAny>) {
        drop(self.state.with(py, |state| state.event_loop.replace(value)));
    }

    #[getter(_complete_fut)]
    fn complete<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let known = slf.get().state.with(py, |state| state.complete.clone_ref(py));
        if let Some(known) = known {
            return Ok(known.into_bound(py));
        }
        let complete = Waiter::create(&Self::event_loop(slf)?)?;
        complete.set_result(py, py.None())?;
        let complete = complete.into_object();
        slf.get().set_complete(py, complete.clone_ref(py));
        Ok(complete.into_bound(py))
    }

    #[setter(_complete_fut)]
    fn set_complete(&self, py: Python<'_>, value: Py<PyAny>) {
        drop(self.state.with(py, |state| state.complete.replace(value)));
    }
}

/// `write(data)`.
struct Write;

impl Method for Write {
    type Class = StreamWriter;
    const DESCRIBED: Described = Described {
        name: c"write",
        doc: c"write($self, data)\n--\n\nWrite bytes, without waiting for anything.",
    };

    #[inline]
    fn call<'py>(
        slf: &Bound<'py, StreamWriter>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let data = needed_argument("StreamWriter.write", "data", arguments)?;
        StreamWriter::write(slf, &data)?;
        Ok(slf.py().None().into_bound(slf.py()))
    }
}

/// `drain()`.
struct DrainMethod;

impl Nullary for DrainMethod {
    type Class = StreamWriter;
    const DESCRIBED: Described = Described {
        name: c"drain",
        doc: c"drain($self)\n--\n\n\
        Wait until the transport takes more, which nearly always means not at all.\n\n\
        Raises what has ended the connection.",
    };

    #[inline]
    fn call<'py>(slf: &Bound<'py, StreamWriter>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Coroutine::of(slf.py(), "StreamWriter.drain", Drain::new(slf))?.into_any())
    }
}

/// Makes the class complete.
pub(in crate::stream) fn install(py: Python<'_>) -> PyResult<()> {
    instance_dict::complete::<StreamWriter>(py)?;
    VALUE_OFFSET.learn_from(py, StreamWriter::new())?;
    if !Release::get(py)?.closes_forgotten {
        py.get_type::<StreamWriter>().delattr(Text("__del__"))?;
    }
    install_method::<Write>(py)?;
    install_nullary::<DrainMethod>(py)
}
