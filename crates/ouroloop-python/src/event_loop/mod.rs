//! `Loop`: the event loop as Python sees it, one file a chapter of `AbstractEventLoop`.
//!
//! The engine's loop lies in [`Loop::engine`]; everything that is Python's (settings, hooks,
//! executors) in [`Loop::state`]. `ouroloop.Loop` derives from this class and from
//! `asyncio.AbstractEventLoop`.

mod accepted;
mod asyncgens;
#[cfg(not(Py_3_14))]
mod child_watcher;
mod closing;
mod connect;
mod connection;
mod datagram;
mod debug;
mod dns;
mod errors;
mod executor;
mod keywords;
mod lifecycle;
mod multiplexer;
mod pipes;
mod run;
mod schedule;
mod selector_view;
mod sendfile;
mod serving;
mod signals;
mod sock;
mod staggered;
mod start_tls;
mod subprocesses;
mod tasks;
mod unix_connection;
mod unix_serving;
mod unix_target;
mod views;
mod watch;

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use crate::interpreter::fresh::{self, Text};
use crate::standard::Standard;
use crate::transport::bytes::keep_read_memory;
use crate::turn::{Loop, LoopPhase, closed, thread_identifier};

#[pymethods]
impl Loop {
    #[new]
    #[pyo3(signature = (*, multiplexer=None))]
    fn new(py: Python<'_>, multiplexer: Option<&str>) -> PyResult<Self> {
        // Looked up while the interpreter is whole: a loop's last words may come after that.
        Standard::get(py)?;
        let mechanism = multiplexer::choose(multiplexer)?;
        let coroutines =
            crate::interpreter::modules::module(py, intern!(py, "asyncio.coroutines"))?;
        let debug = coroutines.call_method0(intern!(py, "_is_debug_mode"))?.is_truthy()?;
        keep_read_memory();
        Self::by(py, mechanism, debug)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<Text<String>> {
        let (phase, debug) = slf.get().state.with(slf.py(), |state| (state.phase, state.debug));
        let word = |value| if value { "True" } else { "False" };
        Ok(Text(fresh::text(format_args!(
            "<{} running={} closed={} debug={}>",
            slf.get_type().name()?,
            word(matches!(phase, LoopPhase::Running(_))),
            word(phase == LoopPhase::Closed),
            word(debug),
        ))?))
    }

    /// Seconds of the monotonic clock.
    #[pyo3(name = "time")]
    fn py_time<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyFloat>> {
        fresh::float(py, self.monotonic(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe { self.traverse(&visit) }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        self.clear(unsafe { Python::assume_attached() });
    }
}

/// Makes the class complete.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    crate::native::slots::install_deallocate::<Loop>(py);
    views::install(py)?;
    schedule::install(py)
}
