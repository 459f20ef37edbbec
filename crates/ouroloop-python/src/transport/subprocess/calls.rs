//! The calls of a subprocess protocol, each in a turn of its own.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::object::{Happening, LOST, ProtocolCall, SubprocessTransport};
use crate::context::run_in;
use crate::interpreter::fresh;
use crate::interpreter::room::{Grow, taken};
use crate::transport::failure::{self, Step};

impl SubprocessTransport {
    /// Has a method of the protocol called in a later turn.
    ///
    /// # Errors
    /// What looking it up raises.
    pub(super) fn call<'py>(
        slf: &Bound<'py, Self>,
        method: &'static str,
        args: impl FnOnce(Python<'py>) -> PyResult<Bound<'py, PyTuple>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let Some(protocol) = slf.get().protocol(py) else { return Ok(()) };
        let method = protocol.getattr(py, fresh::interned(py, method)?)?;
        Self::call_later(slf, ProtocolCall::Method(method, args(py)?.unbind()))
    }

    /// # Errors
    /// `MemoryError`.
    pub(super) fn call_later(slf: &Bound<'_, Self>, call: ProtocolCall) -> PyResult<()> {
        let py = slf.py();
        let (kept, connected) =
            slf.get().state.with(py, |state| (state.calls.grow(call), state.connected));
        taken(py, kept)?;
        if connected {
            Self::push(slf, Happening::Call);
        }
        Ok(())
    }

    /// The turn of the call that waits longest.
    pub(super) fn next_call(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let call = slf.get().state.with(py, |state| state.calls.pop_front());
        match (call, slf.get().event_loop(py)) {
            (Some(ProtocolCall::Method(method, args)), Some(event_loop)) => {
                let context = slf.get().state.with(py, |state| state.context.clone_ref(py));
                failure::call_back(&event_loop, method, args.bind(py), context)
            }
            (Some(ProtocolCall::Lost), _) => {
                let told = Self::tell_lost(slf);
                Self::on_lost(slf);
                told
            }
            _ => Ok(()),
        }
    }

    fn tell_lost(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(protocol) = slf.get().protocol(py) else { return Ok(()) };
        let context = slf.get().state.with(py, |state| state.context.clone_ref(py));
        let reason = fresh::pack!(py, py.None());
        run_in(py, &context, || {
            protocol.bind(py).getattr(intern!(py, "connection_lost"))?.call1(&reason).map(drop)
        })
        .or_else(|error| Self::report(slf, LOST, &reason, error))
    }

    /// After `connection_lost`, whatever came of it.
    fn on_lost(slf: &Bound<'_, Self>) {
        let rest = slf.get().state.with(slf.py(), |state| {
            state.lost = true;
            (state.event_loop.take(), state.protocol.take(), state.waiter.take())
        });
        drop(rest);
    }

    /// Reports an error as that of a step of this transport.
    pub(super) fn report(
        slf: &Bound<'_, Self>,
        step: Step,
        args: &Bound<'_, PyTuple>,
        error: PyErr,
    ) -> PyResult<()> {
        let py = slf.py();
        let context = slf.get().state.with(py, |state| state.context.clone_ref(py));
        step.report(slf.get().event_loop(py), slf.as_any(), args, context, error)
    }
}
