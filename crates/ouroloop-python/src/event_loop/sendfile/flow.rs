//! The protocol that stands in while a file is written to a transport piece by piece.
//!
//! | `room` | the transport | left by |
//! | --- | --- | --- |
//! | none | takes more | `pause_writing` |
//! | pending | is full | `resume_writing`: the future ends, and is none; `connection_lost`: it fails |
//!
//! Reading is paused meanwhile, so nothing can be received; the connection's end goes on to the
//! protocol that was there before, which gets its place back at last.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyConnectionError, PyRuntimeError, PyTypeError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::future::{Future, Outcome};
use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::native::cell::AttachedCell;
use crate::turn::Loop;

#[derive(Debug)]
struct State {
    event_loop: Option<Py<Loop>>,
    transport: Option<Py<PyAny>>,
    protocol: Option<Py<PyAny>>,
    room: Option<Py<Future>>,
}

/// `asyncio.base_events._SendfileFallbackProtocol`.
#[pyclass(frozen, name = "_SendfileFallbackProtocol", module = "ouroloop")]
#[derive(Debug)]
pub(super) struct Flow {
    state: AttachedCell<State>,
    resumes_reading: bool,
    resumes_writing: bool,
}

made_at_the_start!(Flow);

impl Flow {
    /// Takes the place of the transport's protocol.
    ///
    /// # Errors
    /// `TypeError` for a transport without flow control; what its methods raise.
    pub(super) fn begin<'py>(
        event_loop: &Bound<'py, Loop>,
        transport: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = transport.py();
        let paused = intern!(py, "_protocol_paused");
        if transport.get_type().getattr_opt(paused)?.is_none() {
            return Err(fresh::error::<PyTypeError>(
                "transport should be _FlowControlMixin instance",
            ));
        }
        let protocol = transport.call_method0(intern!(py, "get_protocol"))?;
        let resumes_reading = transport.call_method0(intern!(py, "is_reading"))?.is_truthy()?;
        let resumes_writing = transport.getattr(paused)?.is_truthy()?;
        let room = if resumes_writing { Some(Future::create(event_loop)?.unbind()) } else { None };
        transport.call_method0(intern!(py, "pause_reading"))?;
        let state = AttachedCell::new(State {
            event_loop: Some(event_loop.clone().unbind()),
            transport: Some(transport.clone().unbind()),
            protocol: Some(protocol.unbind()),
            room,
        });
        let flow = Bound::new(py, Self { state, resumes_reading, resumes_writing })?;
        transport.call_method1(intern!(py, "set_protocol"), (&flow,))?;
        Ok(flow)
    }

    fn reference<T>(
        &self,
        py: Python<'_>,
        field: impl FnOnce(&State) -> &Option<Py<T>>,
    ) -> Option<Py<T>> {
        self.state.with(py, |state| field(state).clone_ref(py))
    }

    /// What to wait for before more is written, if anything.
    ///
    /// # Errors
    /// `ConnectionError` once the transport closes.
    pub(super) fn drain(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if let Some(transport) = self.reference(py, |state| &state.transport)
            && transport.bind(py).call_method0(intern!(py, "is_closing"))?.is_truthy()?
        {
            return Err(fresh::error::<PyConnectionError>("Connection closed by peer"));
        }
        Ok(self.reference(py, |state| &state.room).map(Py::into_any))
    }

    /// Gives the transport back to the protocol that was there before.
    ///
    /// # Errors
    /// What the transport's and the protocol's methods raise.
    pub(super) fn restore(&self, py: Python<'_>) -> PyResult<()> {
        let (transport, protocol, room) = self
            .state
            .with(py, |state| (state.transport.take(), state.protocol.take(), state.room.take()));
        if let (Some(transport), Some(protocol)) = (&transport, &protocol) {
            let transport = transport.bind(py);
            transport.call_method1(intern!(py, "set_protocol"), (protocol,))?;
            if self.resumes_reading {
                transport.call_method0(intern!(py, "resume_reading"))?;
            }
        }
        if let Some(room) = room {
            // Nobody waits for it any more.
            Future::cancel(room.bind(py), None)?;
        }
        match protocol {
            Some(protocol) if self.resumes_writing => {
                protocol.bind(py).call_method0(intern!(py, "resume_writing")).map(drop)
            }
            _ => Ok(()),
        }
    }
}

#[pymethods]
impl Flow {
    fn connection_made(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = transport;
        let message = "Invalid state: connection should have been established already.";
        Err(fresh::error::<PyRuntimeError>(message))
    }

    fn connection_lost(&self, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(room) = self.reference(py, |state| &state.room)
            && !room.bind(py).get().is_done(py)
        {
            let error = if exc.is_none() {
                fresh::error::<PyConnectionError>("Connection is closed by peer")
                    .into_value(py)
                    .into_bound(py)
                    .into_any()
            } else {
                exc.clone()
            };
            Future::finish_with_error(room.bind(py), &error)?;
        }
        match self.reference(py, |state| &state.protocol) {
            Some(protocol) => {
                protocol.bind(py).call_method1(intern!(py, "connection_lost"), (exc,)).map(drop)
            }
            None => Ok(()),
        }
    }

    fn pause_writing(&self, py: Python<'_>) -> PyResult<()> {
        let event_loop = self.reference(py, |state| &state.event_loop);
        if self.state.with(py, |state| state.room.is_some()) {
            return Ok(());
        }
        let Some(event_loop) = event_loop else { return Ok(()) };
        let room = Future::create(event_loop.bind(py))?.unbind();
        drop(self.state.with(py, |state| state.room.replace(room)));
        Ok(())
    }

    fn resume_writing(&self, py: Python<'_>) -> PyResult<()> {
        let Some(room) = self.state.with(py, |state| state.room.take()) else { return Ok(()) };
        let room = room.bind(py);
        if room.get().is_done(py) {
            return Ok(());
        }
        let result = PyBool::new(py, false).to_owned().into_any().unbind();
        Future::finish(room, Outcome::Result(result))
    }

    fn data_received(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = data;
        Err(fresh::error::<PyRuntimeError>("Invalid state: reading should be paused"))
    }

    fn eof_received(&self) -> PyResult<()> {
        Err(fresh::error::<PyRuntimeError>("Invalid state: reading should be paused"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.state.traverse(|state| {
                visit.call(&state.event_loop)?;
                visit.call(&state.transport)?;
                visit.call(&state.protocol)?;
                visit.call(&state.room)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.state.with(py, |state| {
            let rest = (state.event_loop.take(), state.room.take());
            (state.transport.take(), state.protocol.take(), rest)
        }));
    }
}
