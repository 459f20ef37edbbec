//! `_SSLProtocolTransport`: what the application's protocol is given.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyInt, PyMemoryView, PyTuple, PyWeakrefMethods, PyWeakrefReference,
};

use super::machine::{MachineLink, Marks, TlsProtocol, TlsTransport};
use super::names::Names;
use crate::interpreter::fresh::{self, Text};
use crate::native::cell::AttachedCell;
use crate::native::instance_dict::{self, ValueOffset};
use crate::native::slots::Deallocate;
use crate::standard::warner;
use crate::transport::buffer_limits::{BufferLimit, buffer_limits};
use crate::transport::protocol::is_of_stream;
use crate::turn::Loop;

static VALUE_OFFSET: ValueOffset = ValueOffset::new();

impl TlsTransport {
    pub(super) fn new<'py>(machine: &Bound<'py, TlsProtocol>) -> PyResult<Bound<'py, Self>> {
        let link = MachineLink::Held(machine.clone().unbind());
        let transport = Self { machine: AttachedCell::new(link), closed: AttachedCell::new(false) };
        let transport = Bound::new(machine.py(), transport)?;
        VALUE_OFFSET.learn(&transport);
        Ok(transport)
    }

    pub(super) fn mark_closed(&self, py: Python<'_>) {
        self.closed.set(py, true);
    }

    fn is_closed(&self, py: Python<'_>) -> bool {
        self.closed.with(py, |closed| *closed)
    }

    /// The machine, unless it is gone.
    fn machine<'py>(&self, py: Python<'py>) -> Option<Bound<'py, TlsProtocol>> {
        let known = self.machine.with(py, |link| match link {
            MachineLink::Held(machine) => Ok(machine.clone_ref(py)),
            MachineLink::Known(weak) => Err(weak.clone_ref(py)),
        });
        match known {
            Ok(machine) => Some(machine.into_bound(py)),
            Err(weak) => weak.bind(py).upgrade()?.cast_into().ok(),
        }
    }

    /// The machine, unless it is gone or another process's.
    ///
    /// # Errors
    /// Those of [`Loop::may_act`](crate::turn::Loop::may_act).
    fn connected_here<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, TlsProtocol>>> {
        let Some(machine) = self.machine(py) else { return Ok(None) };
        Ok(machine.get().event_loop(py).get().may_act(py)?.then_some(machine))
    }

    fn let_go_of_the_machine(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(machine) = self.machine(py) {
            let weak = MachineLink::Known(PyWeakrefReference::new(&machine)?.unbind());
            drop(self.machine.replace(py, weak));
        }
        Ok(())
    }
}

#[pymethods]
impl TlsTransport {
    #[classattr]
    #[pyo3(name = "_start_tls_compatible")]
    const START_TLS_COMPATIBLE: bool = true;

    /// What asyncio calls `_SendfileMode.FALLBACK`.
    #[classattr]
    #[pyo3(name = "_sendfile_compatible")]
    fn sendfile_compatible(py: Python<'_>) -> PyResult<Py<PyAny>> {
        let constants = crate::interpreter::modules::module(py, intern!(py, "asyncio.constants"))?;
        Ok(constants.getattr(Text("_SendfileMode"))?.getattr(Text("FALLBACK"))?.unbind())
    }

    /// The standard class, so that `isinstance` holds.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Ok(Names::get(slf.py())?.transport.bind(slf.py()).clone())
    }

    fn __del__(slf: &Bound<'_, Self>) {
        Self::finalize(slf);
    }

    #[pyo3(signature = (name, default=None))]
    fn get_extra_info<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = name.py();
        let default = default.unwrap_or_else(|| py.None().into_bound(py));
        let Some(machine) = self.machine(py) else { return Ok(default) };
        if let Some(extra) = machine.get().extra(py)
            && let Some(known) = extra.get_item(name)?
        {
            return Ok(known);
        }
        match machine.get().lower(py) {
            Some(lower) => {
                let lower = lower.object().bind(py);
                lower.call_method1(intern!(py, "get_extra_info"), (name, default))
            }
            None => Ok(default),
        }
    }

    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.machine(protocol.py()) {
            Some(machine) => machine.get().set_app_protocol(protocol),
            None => Ok(()),
        }
    }

    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.machine(py)?.get().app_protocol(py)
    }

    /// True too where the transport below has lost its connection, which Python 3.12 does not see.
    fn is_closing(&self, py: Python<'_>) -> PyResult<bool> {
        if self.is_closed(py) {
            return Ok(true);
        }
        let Some(machine) = self.machine(py) else { return Ok(false) };
        let Some(lower) = machine.get().lower(py) else { return Ok(false) };
        if lower.holds(py)
            && let Some(protocol) = machine.get().app_protocol(py)
            && is_of_stream(&protocol)?
        {
            lower.flush(py)?;
        }
        lower.object().bind(py).call_method0(intern!(py, "is_closing"))?.is_truthy()
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let machine = self.connected_here(py)?;
        if !self.closed.replace(py, true) {
            return machine.map_or(Ok(()), |machine| TlsProtocol::start_shutdown(&machine));
        }
        if cfg!(Py_3_12) { self.let_go_of_the_machine(py) } else { Ok(()) }
    }

    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self.force_close(py, None)
    }

    #[pyo3(name = "_force_close")]
    fn force_close(&self, py: Python<'_>, exc: Option<Py<PyAny>>) -> PyResult<()> {
        let machine = self.connected_here(py)?;
        self.mark_closed(py);
        machine.map_or(Ok(()), |machine| TlsProtocol::abort(&machine, exc))
    }

    fn is_reading(&self, py: Python<'_>) -> bool {
        let machine = self.machine(py);
        machine.is_some_and(|machine| !machine.get().state.with(py, |state| state.reading_paused))
    }

    fn pause_reading(&self, py: Python<'_>) {
        if let Some(machine) = self.machine(py) {
            machine.get().state.with(py, |state| state.reading_paused = true);
        }
    }

    fn resume_reading(&self, py: Python<'_>) -> PyResult<()> {
        let Some(machine) = self.machine(py) else { return Ok(()) };
        machine.get().claim_loop(py)?;
        let was_paused = machine
            .get()
            .state
            .with(py, |state| std::mem::replace(&mut state.reading_paused, false));
        if was_paused { TlsProtocol::call_soon(&machine, "_resume") } else { Ok(()) }
    }

    #[pyo3(signature = (high=None, low=None))]
    fn set_write_buffer_limits(
        &self,
        py: Python<'_>,
        high: Option<BufferLimit>,
        low: Option<BufferLimit>,
    ) -> PyResult<()> {
        let marks = marks(high, low, 512)?;
        let Some(machine) = self.machine(py) else { return Ok(()) };
        machine.get().state.with(py, |state| state.outgoing = marks);
        TlsProtocol::control_writing(&machine)
    }

    fn get_write_buffer_limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let marks = match self.machine(py) {
            Some(machine) => machine.get().state.with(py, |state| state.outgoing),
            None => Marks::of_kib(512),
        };
        fresh::sizes(py, marks.low, marks.high)
    }

    fn get_write_buffer_size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyInt>> {
        let machine = self.machine(py);
        let size = machine.map_or(Ok(0), |machine| TlsProtocol::write_buffer_size(&machine))?;
        fresh::size(py, size)
    }

    #[pyo3(signature = (high=None, low=None))]
    fn set_read_buffer_limits(
        &self,
        py: Python<'_>,
        high: Option<BufferLimit>,
        low: Option<BufferLimit>,
    ) -> PyResult<()> {
        let marks = marks(high, low, 256)?;
        let Some(machine) = self.machine(py) else { return Ok(()) };
        machine.get().state.with(py, |state| state.incoming = marks);
        TlsProtocol::control_lower_reading(&machine)
    }

    fn get_read_buffer_limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let marks = match self.machine(py) {
            Some(machine) => machine.get().state.with(py, |state| state.incoming),
            None => Marks::of_kib(256),
        };
        fresh::sizes(py, marks.low, marks.high)
    }

    fn get_read_buffer_size<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyInt>> {
        let machine = self.machine(py);
        let size = machine.map_or(Ok(0), |machine| machine.get().session.pending_in(py))?;
        fresh::size(py, size)
    }

    /// Whether the protocol was told not to write: asyncio's way to send a file asks.
    #[getter(_protocol_paused)]
    fn protocol_paused(&self, py: Python<'_>) -> bool {
        let machine = self.machine(py);
        machine.is_some_and(|machine| machine.get().state.with(py, |state| state.writing_paused))
    }

    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        let is_bytes_like = data.is_instance_of::<PyBytes>()
            || data.is_instance_of::<PyByteArray>()
            || data.is_instance_of::<PyMemoryView>();
        if !is_bytes_like {
            let name = data.get_type().name()?;
            let message =
                fresh::text(format_args!("data: expecting a bytes-like instance, got {name}"))?;
            return Err(fresh::error::<PyTypeError>(message));
        }
        let Some(machine) = self.machine(py) else { return Ok(()) };
        machine.get().claim_loop(py)?;
        if data.is_empty()? || !TlsProtocol::takes_writes(&machine)? {
            return Ok(());
        }
        TlsProtocol::append(&machine, data)?;
        TlsProtocol::send_backlog(&machine)
    }

    fn writelines(&self, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(machine) = self.machine(list_of_data.py()) else { return Ok(()) };
        machine.get().claim_loop(list_of_data.py())?;
        if !TlsProtocol::takes_writes(&machine)? {
            return Ok(());
        }
        for data in list_of_data.try_iter()? {
            TlsProtocol::append(&machine, &data?)?;
        }
        TlsProtocol::send_backlog(&machine)
    }

    fn write_eof(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    fn can_write_eof(&self) -> bool {
        false
    }

    #[getter(_loop)]
    fn loop_attribute(&self, py: Python<'_>) -> Option<Py<Loop>> {
        self.machine(py).map(|machine| machine.get().event_loop.clone_ref(py))
    }

    #[getter(_ssl_protocol)]
    fn machine_attribute<'py>(&self, py: Python<'py>) -> Option<Bound<'py, TlsProtocol>> {
        self.machine(py)
    }

    /// Puts data into the backlog behind the connection's back: CPython's own tests do.
    #[pyo3(name = "_test__append_write_backlog")]
    fn append_to_backlog(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.machine(data.py()) {
            Some(machine) => TlsProtocol::append(&machine, data),
            None => Ok(()),
        }
    }

    #[getter(__dict__)]
    fn instance_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        instance_dict::get(slf.as_any())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`; instances have a dictionary.
        unsafe {
            VALUE_OFFSET.visit(self, visit)?;
            self.machine.traverse(|link| match link {
                MachineLink::Held(machine) => visit.call(machine),
                MachineLink::Known(weak) => visit.call(weak),
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: instances have a dictionary, and `tp_clear` is called attached.
        drop(unsafe { VALUE_OFFSET.take(self) });
    }
}

impl Deallocate for TlsTransport {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        !slf.get().is_closed(slf.py())
    }

    fn last_words(slf: &Bound<'_, Self>) {
        let py = slf.py();
        slf.get().mark_closed(py);
        if slf.get().machine(py).is_some_and(|machine| machine.get().is_inherited(py)) {
            return;
        }
        let message = "unclosed transport <asyncio._SSLProtocolTransport object>";
        let category = py.get_type::<pyo3::exceptions::PyResourceWarning>();
        let warned = warner(py).and_then(|warn| warn.call1((Text(message), category)).map(drop));
        if let Err(error) = warned {
            error.write_unraisable(py, Some(slf.as_any()));
        }
    }

    unsafe fn strip(slf: &Bound<'_, Self>) {
        // SAFETY: instances have a dictionary.
        unsafe { instance_dict::strip(slf) };
    }
}

/// asyncio's marks from a user's, of which either may be missing.
fn marks(high: Option<BufferLimit>, low: Option<BufferLimit>, kib: i64) -> PyResult<Marks> {
    let (high, low) = buffer_limits(high, low, kib * 1024)?;
    Ok(Marks { low, high })
}
