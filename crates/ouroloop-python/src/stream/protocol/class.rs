//! `StreamReaderProtocol` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::connected::is_over_ssl;
use super::flow::DrainHelper;
use super::object::{State, StreamReaderProtocol, VALUE_OFFSET};
use crate::coroutine::Coroutine;
use crate::future::Future;
use crate::native::instance_dict;
use crate::native::kinship::class_of;
use crate::native::slots::Deallocate;
use crate::stream::reader::StreamReader;
use crate::stream::reader::missing;
use crate::stream::release::Release;
use crate::waiting::Waiter;

#[pymethods]
impl StreamReaderProtocol {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(stream_reader, client_connected_cb=None, loop=None)")]
    fn py_new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new()
    }

    #[pyo3(signature = (stream_reader, client_connected_cb=None, r#loop=None))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        stream_reader: &Bound<'py, PyAny>,
        client_connected_cb: Option<&Bound<'py, PyAny>>,
        r#loop: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let event_loop = Future::default_loop(slf.py(), r#loop)?;
        Self::begin(slf, stream_reader, client_connected_cb, &event_loop)
    }

    /// The standard class for native objects proper, so that `isinstance` holds; a subclass is
    /// its own.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        class_of(slf, |standard| &standard.stream_reader_protocol)
    }

    #[getter(__dict__)]
    fn instance_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        instance_dict::get(slf.as_any())
    }

    fn __del__(slf: &Bound<'_, Self>) {
        Self::finalize(slf);
    }

    /// Hear of the connection: the reader reads from it, a server's callback is told.
    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::connected(slf, transport)
    }

    /// Hear that the connection is lost: whoever waits for it is told.
    fn connection_lost(slf: &Bound<'_, Self>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if let Some(reader) = Self::reader(slf)? {
            if exc.is_none() {
                reader.call_method0(intern!(py, "feed_eof"))?;
            } else {
                reader.call_method1(intern!(py, "set_exception"), (exc,))?;
            }
        }
        let closed = slf.get().part(py, |state| &state.closed);
        let closed = Waiter::of(closed.ok_or_else(|| missing(slf, "_closed"))?);
        if !closed.is_done(py)? {
            if exc.is_none() {
                closed.set_result(py, py.None())?;
            } else {
                closed.set_exception(exc)?;
            }
        }
        let paused = slf.get().state.with(py, |state| {
            state.connection_lost = true;
            state.paused
        });
        if paused {
            Self::wake_writers(slf, Some(exc).filter(|exc| !exc.is_none()))?;
        }
        drop(slf.get().state.with(py, |state| {
            (state.reader.take(), state.writer.take(), state.task.take(), state.transport.take())
        }));
        Ok(())
    }

    /// Hear of bytes that came: the reader is fed.
    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        match Self::reader(slf)? {
            Some(reader) => reader.call_method1(intern!(slf.py(), "feed_data"), (data,)).map(drop),
            None => Ok(()),
        }
    }

    /// Hear that the peer sends nothing more; the connection stays open unless TLS is in it.
    fn eof_received(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if let Some(reader) = Self::reader(slf)? {
            match reader.cast_exact::<StreamReader>() {
                Ok(native) => StreamReader::end(native)?,
                Err(_) => drop(reader.call_method0(intern!(py, "feed_eof"))?),
            }
        }
        Ok(!slf.get().state.with(py, |state| state.over_ssl))
    }

    /// Hear that the transport has enough.
    fn pause_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::set_paused(slf, true)
    }

    /// Hear that the transport takes more.
    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::set_paused(slf, false)
    }

    #[pyo3(name = "_drain_helper")]
    fn drain_helper<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Coroutine>> {
        // The name is that of the class which has the method in asyncio.
        Coroutine::of(slf.py(), "FlowControlMixin._drain_helper", DrainHelper::new(slf))
    }

    #[pyo3(name = "_get_close_waiter")]
    fn get_close_waiter<'py>(
        slf: &Bound<'py, Self>,
        stream: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = stream;
        Self::closed(slf)
    }

    #[getter(_stream_reader)]
    fn stream_reader<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.reader_natively(py)
    }

    #[pyo3(name = "_replace_transport")]
    fn replace_transport(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        slf.get().set_transport(py, Some(transport.clone().unbind()));
        let over_ssl = is_over_ssl(transport)?;
        slf.get().state.with(py, |state| state.over_ssl = over_ssl);
        if Release::get(py)?.tells_reader
            && let Some(reader) = Self::reader(slf)?
        {
            reader.call_method1(intern!(py, "_replace_transport"), (transport,))?;
        }
        Ok(())
    }

    #[pyo3(name = "_replace_writer")]
    fn replace_writer(slf: &Bound<'_, Self>, writer: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let transport = writer.getattr(intern!(py, "transport"))?;
        slf.get().set_writer(py, Some(writer.clone().unbind()));
        slf.get().set_transport(py, Some(transport.clone().unbind()));
        let over_ssl = is_over_ssl(&transport)?;
        slf.get().state.with(py, |state| state.over_ssl = over_ssl);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.state.traverse(|state| {
                visit.call(&state.event_loop)?;
                visit.call(&state.reader)?;
                visit.call(&state.strong_reader)?;
                visit.call(&state.callback)?;
                visit.call(&state.transport)?;
                visit.call(&state.task)?;
                visit.call(&state.writer)?;
                visit.call(&state.closed)?;
                visit.call(&state.drain_waiters)?;
                visit.call(&state.source_traceback)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: protocols have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        drop(self.state.replace(py, State::default()));
    }
}

impl StreamReaderProtocol {
    fn closed<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().part(slf.py(), |state| &state.closed).ok_or_else(|| missing(slf, "_closed"))
    }

    fn put(
        &self,
        py: Python<'_>,
        value: Option<Py<PyAny>>,
        part: impl FnOnce(&mut State) -> &mut Option<Py<PyAny>>,
    ) {
        drop(self.state.with(py, |state| std::mem::replace(part(state), value)));
    }

    fn flag(
        &self,
        value: &Bound<'_, PyAny>,
        flag: impl FnOnce(&mut State) -> &mut bool,
    ) -> PyResult<()> {
        let raised = value.is_truthy()?;
        self.state.with(value.py(), |state| *flag(state) = raised);
        Ok(())
    }
}

/// The attributes that asyncio's protocol has, for the libraries that use them.
#[pymethods]
impl StreamReaderProtocol {
    #[getter(_loop)]
    fn raw_loop<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::event_loop(slf)
    }

    #[setter(_loop)]
    fn set_loop(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.event_loop);
    }

    #[getter(_stream_reader_wr)]
    fn weak_reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.part(py, |state| &state.reader)
    }

    #[setter(_stream_reader_wr)]
    fn set_weak_reader(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.reader);
    }

    #[getter(_strong_reader)]
    fn strong_reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.part(py, |state| &state.strong_reader)
    }

    #[setter(_strong_reader)]
    fn set_strong_reader(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.strong_reader);
    }

    #[getter(_client_connected_cb)]
    fn callback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.part(py, |state| &state.callback)
    }

    #[setter(_client_connected_cb)]
    fn set_callback(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.callback);
    }

    #[getter(_transport)]
    fn transport<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.part(py, |state| &state.transport)
    }

    #[setter(_transport)]
    fn set_transport(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.transport);
    }

    #[getter(_task)]
    fn task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.part(py, |state| &state.task)
    }

    #[setter(_task)]
    fn set_task(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.task);
    }

    #[getter(_stream_writer)]
    fn writer<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.part(py, |state| &state.writer)
    }

    #[setter(_stream_writer)]
    fn set_writer(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.writer);
    }

    #[getter(_closed)]
    fn raw_closed<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::closed(slf)
    }

    #[setter(_closed)]
    fn set_closed(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.closed);
    }

    #[getter(_drain_waiters)]
    fn drain_waiters<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::writers(slf)
    }

    #[setter(_drain_waiters)]
    fn set_drain_waiters(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.drain_waiters);
    }

    #[getter(_source_traceback)]
    fn source_traceback<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.part(py, |state| &state.source_traceback)
    }

    #[setter(_source_traceback)]
    fn set_source_traceback(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        self.put(py, value, |state| &mut state.source_traceback);
    }

    #[getter(_reject_connection)]
    fn reject_connection(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.reject_connection)
    }

    #[setter(_reject_connection)]
    fn set_reject_connection(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.flag(value, |state| &mut state.reject_connection)
    }

    #[getter(_over_ssl)]
    fn over_ssl(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.over_ssl)
    }

    #[setter(_over_ssl)]
    fn set_over_ssl(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.flag(value, |state| &mut state.over_ssl)
    }

    #[getter(_paused)]
    fn raw_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.paused)
    }

    #[setter(_paused)]
    fn set_raw_paused(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.flag(value, |state| &mut state.paused)
    }

    #[getter(_connection_lost)]
    fn raw_connection_lost(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.connection_lost)
    }

    #[setter(_connection_lost)]
    fn set_raw_connection_lost(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.flag(value, |state| &mut state.connection_lost)
    }
}

/// Makes the class complete.
pub(in crate::stream) fn install(py: Python<'_>) -> PyResult<()> {
    instance_dict::complete::<StreamReaderProtocol>(py)?;
    VALUE_OFFSET.learn_from(py, StreamReaderProtocol::new())?;
    let class = py.get_type::<StreamReaderProtocol>();
    let absent =
        if Release::get(py)?.replaces_transport { "_replace_writer" } else { "_replace_transport" };
    class.delattr(absent)
}
