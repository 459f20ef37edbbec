//! The interpreter's wake-up descriptor (`signal.set_wakeup_fd`), of which a process has one.
//!
//! A forked child inherits it, and would write the numbers of its own signals into the parent's
//! pipe. From Python 3.12 on asyncio takes it away in every child; before that it is done here, if
//! it is a loop's of ours.

use std::os::fd::RawFd;
#[cfg(not(Py_3_12))]
use std::sync::atomic::{AtomicI32, Ordering};

use pyo3::prelude::*;

use crate::interpreter::fresh;

/// The descriptor while it is a loop's of ours, else -1.
#[cfg(not(Py_3_12))]
static OURS: AtomicI32 = AtomicI32::new(-1);

/// Makes a loop's descriptor the one that signals are written to; answers that of before.
///
/// # Errors
/// `ValueError` outside the main thread.
pub(super) fn lend(py: Python<'_>, fd: RawFd) -> PyResult<RawFd> {
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
pub(super) fn take_back(py: Python<'_>, other: RawFd) -> PyResult<RawFd> {
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
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "after_in_child"), wrap_pyfunction!(leave, py)?)?;
    let os = crate::interpreter::modules::module(py, intern!(py, "os"))?;
    os.call_method(intern!(py, "register_at_fork"), (), Some(&keywords)).map(drop)
}
