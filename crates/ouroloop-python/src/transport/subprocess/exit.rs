//! A child's end: who finds out, and who reaps.
//!
//! 1. On Linux the loop watches a descriptor of the child ([`ouroloop::process::Exit`]), and
//!    reaps when that is readable.
//! 2. Elsewhere, and where the kernel gives out no such descriptor, a thread waits without reaping
//!    and has the loop reap. Only when the loop is closed by then does the thread reap.
//! 3. Up to Python 3.13, a program that has set a child watcher gets its child watched by that: it
//!    reaps, in whichever thread, and calls `child_exited`.
//!
//! Somebody else may be faster: `Popen.poll()`, which knows the status then, or code that waits
//! for any child, after which nobody does.

use std::os::fd::AsRawFd;

use ouroloop::process::{Exit, reap, wait_without_reaping};
use pyo3::exceptions::{PyChildProcessError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::object::{EXITED, Happening, SubprocessTransport};
use crate::interpreter::fresh::{self, Text};
use crate::standard::Standard;
use crate::transport::notice::Notice;
use crate::turn::Loop;

/// Reported for a child whose status somebody else has read.
const UNKNOWN_STATUS: i32 = 255;

/// Which warning goes with that, as each version's usual watcher has it.
const LOST_TO_DESCRIPTOR: &str = if cfg!(Py_3_12) {
    "child process pid %d exit status already read:  will report returncode 255"
} else {
    LOST_TO_THREAD
};
const LOST_TO_THREAD: &str = "Unknown child process pid %d, will report returncode 255";

impl SubprocessTransport {
    /// Finds out when the child ends.
    ///
    /// # Errors
    /// What starting a thread raises, where one is needed.
    pub(crate) fn watch_exit(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop(py) else { return Ok(()) };
        let pid = slf.get().state.with(py, |state| state.pid);
        let Ok(exit) = Exit::of(pid) else { return Self::wait_in_thread(slf, &event_loop) };
        let fd = exit.fd().as_raw_fd();
        let notice = Notice::to(slf, Happening::Ended);
        if event_loop.get().watch_readable(py, fd, notice).is_err() {
            return Self::wait_in_thread(slf, &event_loop);
        }
        slf.get().state.with(py, |state| state.exit = Some(exit));
        Ok(())
    }

    /// Stops watching the child's descriptor and closes it.
    pub(super) fn stop_watching(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let Some(exit) = slf.get().state.with(py, |state| state.exit.take()) else { return };
        if let Some(event_loop) = slf.get().event_loop(py) {
            event_loop.get().unwatch_readable(py, exit.fd().as_raw_fd());
        }
    }

    /// The child's descriptor is readable.
    pub(super) fn on_ended(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().state.with(py, |state| state.exit.is_none()) {
            return Ok(());
        }
        let returncode = match Self::reap(slf, LOST_TO_DESCRIPTOR) {
            Ok(Some(returncode)) => returncode,
            Ok(None) => return Ok(()),
            Err(error) => {
                Self::stop_watching(slf);
                return Self::report(slf, EXITED, &PyTuple::empty(py), error);
            }
        };
        Self::stop_watching(slf);
        if cfg!(Py_3_14) {
            return Self::note_exit(slf, returncode);
        }
        // One turn later, as asyncio's watchers have it.
        Self::push(slf, Happening::Exited(returncode));
        Ok(())
    }

    /// Takes note of the child's end; an error is reported.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    pub(super) fn note_exit(slf: &Bound<'_, Self>, returncode: i32) -> PyResult<()> {
        Self::exited(slf, returncode)
            .or_else(|error| Self::report(slf, EXITED, &fresh::pack!(slf.py(), returncode), error))
    }

    /// Reaps the child by `os.waitpid`, as asyncio does, and answers its status as Python writes it;
    /// `None` for a child that still runs.
    ///
    /// # Errors
    /// What a substitute for `os.waitpid` raises.
    fn reap(slf: &Bound<'_, Self>, complaint: &str) -> PyResult<Option<i32>> {
        let py = slf.py();
        let os = crate::interpreter::modules::module(py, intern!(py, "os"))?;
        let pid = slf.get().state.with(py, |state| state.pid.as_raw_pid());
        let options = os.getattr(intern!(py, "WNOHANG"))?;
        match os.call_method1(intern!(py, "waitpid"), (pid, options)) {
            Ok(answer) => {
                let (found, status): (i32, Bound<'_, PyAny>) = answer.extract()?;
                if found == 0 {
                    return Ok(None);
                }
                let convert = intern!(py, "waitstatus_to_exitcode");
                os.call_method1(convert, (status,))?.extract().map(Some)
            }
            Err(error) if error.is_instance_of::<PyChildProcessError>(py) => {
                if let Some(process) = slf.get().process(py) {
                    let known = process.getattr(intern!(py, "returncode"))?;
                    if !known.is_none() {
                        return known.extract().map(Some);
                    }
                }
                let logger = Standard::get(py)?.logger.bind(py);
                logger.call_method1(intern!(py, "warning"), (complaint, pid))?;
                Ok(Some(UNKNOWN_STATUS))
            }
            Err(error) => Err(error),
        }
    }

    fn wait_in_thread(slf: &Bound<'_, Self>, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = slf.py();
        let pid = slf.get().state.with(py, |state| state.pid.as_raw_pid());
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "target"), wrap_pyfunction!(wait_for_exit, py)?)?;
        keywords.set_item(intern!(py, "name"), Text(format!("asyncio-waitpid-{pid}")))?;
        keywords.set_item(intern!(py, "args"), fresh::pack!(py, event_loop, slf))?;
        keywords.set_item(intern!(py, "daemon"), true)?;
        let thread = Standard::get(py)?.thread.bind(py).call((), Some(&keywords))?;
        thread.call_method0(intern!(py, "start")).map(drop)
    }

    /// Reaps the child that a thread has seen end, and says so.
    fn reap_seen(slf: &Bound<'_, Self>) -> PyResult<()> {
        match Self::reap(slf, LOST_TO_THREAD)? {
            Some(returncode) => Self::note_exit(slf, returncode),
            None => Ok(()),
        }
    }
}

/// Runs in the waiting thread.
#[pyfunction]
fn wait_for_exit(
    event_loop: &Bound<'_, Loop>,
    transport: &Bound<'_, SubprocessTransport>,
) -> PyResult<()> {
    let py = event_loop.py();
    let pid = transport.get().state.with(py, |state| state.pid);
    py.detach(|| wait_without_reaping(pid));
    let reap_in_loop = wrap_pyfunction!(reap_exited, py)?;
    let arguments = (reap_in_loop, transport);
    match event_loop.call_method1(intern!(py, "call_soon_threadsafe"), arguments) {
        Err(error) if error.is_instance_of::<PyRuntimeError>(py) => {
            let _ = reap(pid);
            let format = "Loop %r that handles pid %r is closed";
            let arguments = (format, event_loop, pid.as_raw_pid());
            let logger = Standard::get(py)?.logger.bind(py);
            logger.call_method1(intern!(py, "warning"), arguments).map(drop)
        }
        answer => answer.map(drop),
    }
}

/// Runs in the loop's thread after that.
#[pyfunction]
fn reap_exited(transport: &Bound<'_, SubprocessTransport>) -> PyResult<()> {
    SubprocessTransport::reap_seen(transport)
}

/// What a child watcher of the standard library's calls, in whichever thread.
#[cfg(not(Py_3_14))]
#[pyfunction]
pub(crate) fn child_exited(
    _pid: i32,
    returncode: &Bound<'_, PyAny>,
    transport: &Bound<'_, SubprocessTransport>,
) -> PyResult<()> {
    let py = transport.py();
    let Some(event_loop) = transport.get().event_loop(py) else { return Ok(()) };
    let exited = transport.getattr(intern!(py, "_process_exited"))?;
    let threadsafe = intern!(py, "call_soon_threadsafe");
    if cfg!(Py_3_12) {
        return event_loop.call_method1(threadsafe, (exited, returncode)).map(drop);
    }
    // One turn more, in which what the child wrote last can be read.
    let call_soon = event_loop.getattr(intern!(py, "call_soon"))?;
    event_loop.call_method1(threadsafe, (call_soon, exited, returncode)).map(drop)
}
