//! The end of a loop.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Loop, LoopPhase};
use crate::interpreter::fresh;
use crate::native::slots::Deallocate;
use crate::turn::{log_debug, warn_resource};

#[pymethods]
impl Loop {
    /// Drops everything scheduled and shuts the default executor down without waiting.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if !this.remains_to_be_closed(py)? {
            return Ok(());
        }
        log_debug(this, py, || fresh::text(format_args!("Close {}", slf.repr()?)))?;
        // Whoever logs may let another thread run or close it.
        if !this.remains_to_be_closed(py)? {
            return Ok(());
        }
        let executor = this.state.with(py, |state| {
            state.phase = LoopPhase::Closed;
            state.executor_shut_down = true;
            state.default_executor.take()
        });
        let signals = Self::close_signals(slf);
        drop(this.engine.with(py, ouroloop::EventLoop::close));
        drop(this.files.with(py, std::mem::take));
        drop(this.scratch.with(py, std::mem::take));
        drop(this.outgoing.with(py, std::mem::take));
        this.datagrams.set(py, None);
        // The threads of an inherited one are the parent's.
        if let Some(executor) = executor.filter(|_| !this.is_inherited()) {
            let keywords = fresh::dict(py)?;
            keywords.set_item(intern!(py, "wait"), false)?;
            let executor = executor.object.bind(py);
            executor.call_method(intern!(py, "shutdown"), (), Some(&keywords))?;
        }
        signals
    }

    fn __del__(slf: &Bound<'_, Self>) {
        Self::finalize(slf);
    }

    #[getter(_closed)]
    fn closed_attribute(&self, py: Python<'_>) -> bool {
        self.is_closed(py)
    }

    #[pyo3(name = "is_closed")]
    fn py_is_closed(&self, py: Python<'_>) -> bool {
        self.is_closed(py)
    }
}

impl Loop {
    /// # Errors
    /// `RuntimeError` while the loop runs.
    fn remains_to_be_closed(&self, py: Python<'_>) -> PyResult<bool> {
        if self.is_running(py) {
            return Err(fresh::error::<PyRuntimeError>("Cannot close a running event loop"));
        }
        Ok(!self.is_closed(py))
    }
}

impl Deallocate for Loop {
    keeps_original!();

    fn has_last_words(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.phase != LoopPhase::Closed)
    }

    fn detach(slf: &Bound<'_, Self>) {
        slf.get().engine.with(slf.py(), ouroloop::EventLoop::leave_all);
    }

    fn last_words(slf: &Bound<'_, Self>) {
        if !slf.get().is_inherited()
            && let Err(error) = warn_unclosed(slf)
        {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
        if !slf.get().is_running(slf.py())
            && let Err(error) = slf.call_method0(intern!(slf.py(), "close"))
        {
            error.write_unraisable(slf.py(), Some(slf.as_any()));
        }
    }
}

fn warn_unclosed(event_loop: &Bound<'_, Loop>) -> PyResult<()> {
    let message = fresh::text(format_args!("unclosed event loop {}", event_loop.repr()?))?;
    warn_resource(event_loop.as_any(), &message)
}
