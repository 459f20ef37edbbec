//! `DatagramTransport` as Python sees it.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::news::News;
use super::object::{DatagramTransport, VALUE_OFFSET};
use super::peers::Peers;
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::transport::endpoint::SocketEnd;

shows_socket_end!(DatagramTransport, datagram_transport);

#[pymethods]
impl DatagramTransport {
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

    fn set_protocol(&self, py: Python<'_>, protocol: Py<PyAny>) {
        drop(self.state.with(py, |state| state.end.protocol.replace(protocol)));
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
