//! The interpreter's wake-up descriptor (`signal.set_wakeup_fd`), of which a process has one.
//!
//! A forked child inherits it, and would write the numbers of its own signals into the parent's
//! pipe. From Python 3.12 on asyncio takes it away in every child; before that it is done here, if
//! it is a loop's of ours.

use std::os::fd::{AsRawFd, RawFd};
#[cfg(not(Py_3_12))]
use std::sync::atomic::{AtomicI32, Ordering};

use pyo3::prelude::*;

use super::event_loop::Loop;
use super::signals::is_main_thread;
use crate::interpreter::fresh;

/// The descriptor while it is a loop's of ours, else -1.
#[cfg(not(Py_3_12))]
static OURS: AtomicI32 = AtomicI32::new(-1);

/// Makes a loop's descriptor the one that signals are written to; answers that of before.
///
/// # Errors
/// `ValueError` outside the main thread.
pub(crate) fn lend(py: Python<'_>, fd: RawFd) -> PyResult<RawFd> {
    let before = set(py, fd)?;
    #[cfg(not(Py_3_12))]
    OURS.store(fd, Ordering::Relaxed);
    Ok(before)
}

/// Takes a loop's descriptor back, for that of somebody else or for none (-1); answers that of
/// before.
///
/// # Errors
/// `ValueError` outside the main thread.
pub(crate) fn take_back(py: Python<'_>, other: RawFd) -> PyResult<RawFd> {
    let before = set(py, other)?;
    #[cfg(not(Py_3_12))]
    OURS.store(-1, Ordering::Relaxed);
    Ok(before)
}

fn set(py: Python<'_>, fd: RawFd) -> PyResult<RawFd> {
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "warn_on_full_buffer"), false)?;
    let set = crate::interpreter::modules::module(py, intern!(py, "signal"))?
        .getattr(intern!(py, "set_wakeup_fd"))?;
    set.call((fd,), Some(&keywords))?.extract()
}

/// Runs in each forked child.
#[cfg(not(Py_3_12))]
#[pyfunction]
#[pyo3(name = "_leave_wakeup_fd")]
fn leave(py: Python<'_>) -> PyResult<()> {
    let ours = OURS.swap(-1, Ordering::Relaxed);
    if ours >= 0 {
        let before = set(py, -1)?;
        if before != ours {
            set(py, before)?;
        }
    }
    Ok(())
}

/// Sees to it that forked children leave a loop's descriptor alone.
#[cfg(not(Py_3_12))]
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "after_in_child"), wrap_pyfunction!(leave, py)?)?;
    let os = crate::interpreter::modules::module(py, intern!(py, "os"))?;
    os.call_method(intern!(py, "register_at_fork"), (), Some(&keywords)).map(drop)
}

impl Loop {
    /// Has the signals of a forked child, which has none of the parent's wake-up descriptors, come to the handlers that
    /// there are.
    pub(super) fn attach_handlers(&self, py: Python<'_>) -> PyResult<()> {
        let write = self.state.with(py, |state| {
            let signals = state.signals.as_ref().filter(|it| !it.handlers.is_empty())?;
            Some(signals.write.as_raw_fd())
        });
        match write {
            Some(write) if is_main_thread(py)? => self.lend_pipe(py, write),
            _ => Ok(()),
        }
    }

    pub(crate) fn lend_pipe(&self, py: Python<'_>, write: RawFd) -> PyResult<()> {
        let before = lend(py, write)?;
        if before >= 0 {
            take_back(py, before)?;
        } else {
            self.set_signals_attached(py, true);
        }
        Ok(())
    }

    fn set_signals_attached(&self, py: Python<'_>, attached: bool) {
        self.state.with(py, |state| {
            if let Some(signals) = &mut state.signals {
                signals.attached = attached;
            }
        });
    }
}
