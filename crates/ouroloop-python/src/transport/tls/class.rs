//! `SSLProtocol` as Python sees it: a buffered protocol, and the names that other code reads.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};

use super::machine::{TlsPhase, TlsProtocol, TlsTransport};
use super::names::Names;
use crate::interpreter::fresh::Text;
use crate::interpreter::references::CloneRef as _;
use crate::turn::{Loop, SCRATCH_BYTES};

#[pymethods]
impl TlsProtocol {
    /// The standard class, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Names::get(slf.py())?.protocol.bind(slf.py()).clone())
    }

    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::begin(slf, transport)
    }

    fn connection_lost(slf: &Bound<'_, Self>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::lost(slf, exc)
    }

    /// Memory for a transport that is no native socket.
    fn get_buffer<'py>(
        slf: &Bound<'py, Self>,
        _sizehint: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyByteArray>> {
        let py = slf.py();
        let known = slf.get().state.with(py, |state| state.buffer.clone_ref(py));
        if let Some(known) = known {
            return Ok(known.into_bound(py));
        }
        let buffer = PyByteArray::new_with(py, SCRATCH_BYTES, |_| Ok(()))?;
        let kept = buffer.clone().unbind();
        drop(slf.get().state.with(py, |state| state.buffer.replace(kept)));
        Ok(buffer)
    }

    fn buffer_updated(slf: &Bound<'_, Self>, nbytes: usize) -> PyResult<()> {
        let py = slf.py();
        let Some(buffer) = slf.get().state.with(py, |state| state.buffer.take()) else {
            return Ok(());
        };
        // SAFETY: the bytearray has left the state, so that nobody writes to it before it is copied.
        let ciphertext = unsafe { buffer.bind(py).as_bytes() };
        let ciphertext = ciphertext[..nbytes.min(ciphertext.len())].to_vec();
        drop(buffer);
        let absorbed = Self::absorb(slf, &ciphertext)?;
        drop(ciphertext);
        Self::advance(slf, absorbed)
    }

    fn eof_received(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::end_of_stream(slf)
    }

    fn pause_writing(&self, py: Python<'_>) {
        self.state.with(py, |state| state.lower_full = true);
    }

    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |state| state.lower_full = false);
        Self::send_ciphertext(slf)
    }

    #[pyo3(name = "_check_handshake_timeout")]
    fn check_handshake_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::handshake_is_late(slf)
    }

    #[pyo3(name = "_check_shutdown_timeout")]
    fn check_shutdown_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::shutdown_is_late(slf)
    }

    #[pyo3(name = "_do_read")]
    fn do_read(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::read(slf)
    }

    #[pyo3(name = "_resume")]
    fn do_resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::resume(slf)
    }

    #[getter(_loop)]
    fn loop_attribute(&self, py: Python<'_>) -> Py<Loop> {
        self.event_loop.clone_ref(py)
    }

    #[getter(_transport)]
    fn transport_attribute(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.lower(py).map(|lower| lower.into_object(py))
    }

    #[getter(_app_transport)]
    fn app_transport_attribute<'py>(&self, py: Python<'py>) -> Option<Bound<'py, TlsTransport>> {
        self.app_transport(py)
    }

    #[getter(_app_protocol)]
    fn app_protocol_attribute<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.app_protocol(py)
    }

    #[getter(_sslobj)]
    fn session_attribute<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.session.object(py).clone()
    }

    #[getter(_incoming)]
    fn incoming_attribute<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.session.incoming(py).clone()
    }

    #[getter(_outgoing)]
    fn outgoing_attribute<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.session.outgoing(py).clone()
    }

    #[getter(_sslcontext)]
    fn context_attribute<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.extra(py).map_or(Ok(None), |extra| extra.get_item(Text("sslcontext")))
    }

    #[getter(_extra)]
    pub(super) fn extra<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        self.state.with(py, |state| state.extra.clone_ref(py)).map(|extra| extra.into_bound(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.handshake_timeout)?;
        visit.call(&self.shutdown_timeout)?;
        self.session.visit(&visit)?;
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                visit.call(&state.protocol)?;
                visit.call(&state.transport)?;
                visit.call(&state.extra)?;
                visit.call(&state.handshake_timer)?;
                visit.call(&state.shutdown_timer)?;
                visit.call(&state.buffer)?;
                if let Some(super::HandshakeWaiter::For(waiter)) = &state.waiting {
                    visit.call(waiter)?;
                }
                state.lower.as_ref().map_or(Ok(()), |lower| visit.call(lower.object()))
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.with(py, |state| {
            state.phase = TlsPhase::Unwrapped;
            state.backlog_bytes = 0;
            state.backlog_start = 0;
            (
                state.protocol.take(),
                state.transport.take(),
                state.extra.take(),
                state.handshake_timer.take(),
                state.shutdown_timer.take(),
                state.buffer.take(),
                state.waiting.take(),
                state.lower.take(),
                std::mem::take(&mut state.backlog),
            )
        }));
    }
}
