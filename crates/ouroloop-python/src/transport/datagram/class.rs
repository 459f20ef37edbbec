//! `DatagramTransport` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use super::receive::News;
use super::{DatagramTransport, VALUE_OFFSET, peers::Peers};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::references::CloneRef as _;
use crate::native::instance_dict;
use crate::native::slots::Deallocate;
use crate::standard::Standard;
use crate::transport::buffer_limits::BufferLimit;
use crate::transport::endpoint::SocketEnd;

#[pymethods]
impl DatagramTransport {
    /// The standard class, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Standard::get(slf.py())?.datagram_transport.bind(slf.py()).clone())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        Self::shown(slf).map(Text)
    }

    fn __del__(slf: &Bound<'_, Self>) {
        Self::finalize(slf);
    }

    /// What is known of the endpoint; who asks for the socket sees it with everything sent.
    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        Self::flush_unsent(slf)?;
        let extra = slf.get().state.with(py, |state| state.extra.clone_ref(py)).into_bound(py);
        match extra.get_item(name)? {
            Some(value) => Ok(value),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    #[pyo3(name = "is_closing")]
    fn py_is_closing(&self, py: Python<'_>) -> bool {
        self.is_closing(py)
    }

    #[pyo3(name = "close")]
    fn py_close(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::close(slf)
    }

    #[pyo3(name = "abort")]
    fn py_abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::abort(slf)
    }

    /// `abort` with the error for `connection_lost`, as asyncio's `SSLProtocol` calls it.
    #[pyo3(name = "_force_close")]
    fn py_force_close(slf: &Bound<'_, Self>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        Self::flush_unsent(slf)?;
        Self::force_close(slf, exc)
    }

    fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        drop(self.state.with(py, |state| state.end.protocol.replace(protocol)));
    }

    fn get_protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.protocol(py)
    }

    fn is_reading(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !state.end.closing && !state.end.paused)
    }

    #[pyo3(name = "pause_reading")]
    fn py_pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::pause_reading(slf)
    }

    #[pyo3(name = "resume_reading")]
    fn py_resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        if Self::resume_reading(slf)? {
            Self::deliver_later(slf);
        }
        Ok(())
    }

    #[pyo3(name = "sendto", signature = (data, addr=None))]
    fn py_sendto(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        addr: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Self::sendto(slf, data, addr)
    }

    fn get_write_buffer_size<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyInt>> {
        Self::flush_unsent(slf)?;
        let weight = slf.get().state.with(slf.py(), |state| state.socket.queue().weight());
        fresh::size(slf.py(), weight)
    }

    fn get_write_buffer_limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let marks = self.state.with(py, |state| (state.end.marks.low(), state.end.marks.high()));
        fresh::sizes(py, marks.0, marks.1)
    }

    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits(
        slf: &Bound<'_, Self>,
        high: Option<BufferLimit>,
        low: Option<BufferLimit>,
    ) -> PyResult<()> {
        Self::set_limits(slf, high, low)
    }

    #[getter(_loop)]
    fn loop_attribute<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.event_loop(py).map(Bound::into_any)
    }

    #[getter(__dict__)]
    fn instance_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        instance_dict::get(slf.as_any())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`; instances have a dictionary.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.state.traverse(|state| {
                state.end.visit(&visit)?;
                visit.call(&state.extra)?;
                visit.call(&state.remote)?;
                state.peers.visit(&visit)?;
                for news in &state.undelivered {
                    if let News::Datagram(data, from) = news {
                        visit.call(data)?;
                        visit.call(from)?;
                    }
                }
                state.socket.queue().iter().try_for_each(|datagram| {
                    datagram.data.visit(&visit)?;
                    match &datagram.to {
                        ouroloop::net::datagram::Destination::Foreign(place) => visit.call(place),
                        _ => Ok(()),
                    }
                })
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: instances have a dictionary.
        drop(unsafe { VALUE_OFFSET.take(self) });
        drop(self.state.with(py, |state| {
            (
                state.end.take_references(),
                state.remote.take(),
                std::mem::replace(&mut state.peers, Peers::new()),
                std::mem::take(&mut state.undelivered),
                state.socket.take_queue(),
            )
        }));
    }
}

impl DatagramTransport {
    /// The Python socket that shares the descriptor; `None` once closed.
    pub(super) fn python_socket<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state
            .with(py, |state| state.end.python_socket.clone_ref(py))
            .map(|socket| socket.into_bound(py))
    }
}
