//! The calls of a subprocess protocol, each in a turn of its own.

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::{Happening, SubprocessTransport};
use crate::context::run_in;
use crate::transport::protocol::report_callback;

/// A method of the protocol and what it is called with.
#[derive(Debug)]
pub(super) enum Call {
    Made,
    Received(usize, Py<PyBytes>),
    PipeLost(usize, Option<Py<PyAny>>),
    Exited,
    Lost,
}

impl Call {
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Received(_, data) => visit.call(data),
            Self::PipeLost(_, error) => visit.call(error),
            Self::Made | Self::Exited | Self::Lost => Ok(()),
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Made => "connection_made",
            Self::Received(..) => "pipe_data_received",
            Self::PipeLost(..) => "pipe_connection_lost",
            Self::Exited => "process_exited",
            Self::Lost => "connection_lost",
        }
    }

    fn carry_out(
        &self,
        transport: &Bound<'_, SubprocessTransport>,
        protocol: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = protocol.py();
        let answer = match self {
            Self::Made => protocol.call_method1(intern!(py, "connection_made"), (transport,)),
            Self::Received(stream, data) => {
                protocol.call_method1(intern!(py, "pipe_data_received"), (*stream, data))
            }
            Self::PipeLost(stream, error) => {
                protocol.call_method1(intern!(py, "pipe_connection_lost"), (*stream, error))
            }
            Self::Exited => protocol.call_method0(intern!(py, "process_exited")),
            Self::Lost => protocol.call_method1(intern!(py, "connection_lost"), (py.None(),)),
        };
        answer.map(drop)
    }
}

impl SubprocessTransport {
    /// Has the protocol called in a later turn.
    pub(super) fn call(slf: &Bound<'_, Self>, call: Call) {
        let connected = slf.get().state.with(slf.py(), |state| {
            state.calls.push_back(call);
            state.connected
        });
        if connected {
            Self::push(slf, Happening::Call);
        }
    }

    /// The turn of the call that waits longest.
    pub(super) fn next_call(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(call) = slf.get().state.with(py, |state| state.calls.pop_front()) else {
            return Ok(());
        };
        let (protocol, context) = slf.get().state.with(py, |state| {
            let protocol = state.protocol.as_ref().map(|protocol| protocol.clone_ref(py));
            (protocol, state.context.clone_ref(py))
        });
        let mut answer = Ok(());
        if let Some(protocol) = protocol {
            let protocol = protocol.bind(py);
            answer = run_in(py, &context, || call.carry_out(slf, protocol))
                .or_else(|error| Self::report(slf, protocol, call.method(), error));
        }
        if matches!(call, Call::Lost) {
            return answer.and(Self::on_lost(slf));
        }
        answer
    }

    /// After `connection_lost`, whatever came of it.
    fn on_lost(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let woken = if cfg!(Py_3_14) { Ok(()) } else { Self::wake_exit_waiters(slf) };
        let rest = slf.get().state.with(py, |state| {
            state.lost = true;
            (state.event_loop.take(), state.protocol.take(), state.waiter.take())
        });
        drop(rest);
        woken
    }

    /// Reports an error of the protocol as that of a handle.
    fn report(
        slf: &Bound<'_, Self>,
        protocol: &Bound<'_, PyAny>,
        method: &str,
        error: PyErr,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Err(error) };
        let context = slf.get().state.with(py, |state| state.context.clone_ref(py));
        let callback = protocol.getattr(method)?.unbind();
        let args = PyTuple::empty(py);
        report_callback(&event_loop, callback, &args, context, error)
    }
}
