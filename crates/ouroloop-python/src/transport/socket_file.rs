//! `SocketFile`: the file of a listening Unix socket, which goes when its server closes.
//!
//! The file is known by its inode: another server may have put its own in the place. And by the
//! process: a forked child that closes its copy of the server leaves the file to the parent.

use ouroloop::fork::Process;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyFileNotFoundError, PyOSError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use crate::standard::{Standard, exception_of};
use crate::transport::lent_frame::LentFrame;

/// The path, inode and owner of a listening socket's file.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: Py<PyAny>,
    inode: Py<PyAny>,
    process: Process,
}

impl SocketFile {
    /// The file of a bound socket; `None` if it has an abstract name, or the file is gone.
    ///
    /// # Errors
    /// `IndexError` for a socket that has no name, as under asyncio; the system's.
    pub(crate) fn of(socket: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let py = socket.py();
        let path = socket.call_method0(intern!(py, "getsockname"))?;
        if is_abstract(&path)? {
            return Ok(None);
        }
        match inode(&path, LentFrame::CreateUnixServer) {
            Ok(inode) => Ok(Some(Self {
                path: path.unbind(),
                inode: inode.unbind(),
                process: Process::current()?,
            })),
            Err(error) if error.is_instance_of::<PyFileNotFoundError>(py) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the file if it is still the socket's; what stands against it is logged.
    pub(crate) fn remove(self, py: Python<'_>) -> PyResult<()> {
        if !self.process.is_current() {
            return Ok(());
        }
        let path = self.path.bind(py);
        let remove = || -> PyResult<()> {
            if inode(path, LentFrame::StopServing)?.eq(&self.inode)? {
                LentFrame::StopServing.call(intern!(py, "unlink"), path)?;
            }
            Ok(())
        };
        match remove() {
            Err(error) if error.is_instance_of::<PyFileNotFoundError>(py) => Ok(()),
            Err(error) if error.is_instance_of::<PyOSError>(py) => {
                let format = "Unable to clean up listening UNIX socket %r: %r";
                let logger = Standard::get(py)?.logger.bind(py);
                let arguments = (format, path, exception_of(py, &error));
                logger.call_method1(intern!(py, "error"), arguments).map(drop)
            }
            done => done,
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.path)?;
        visit.call(&self.inode)
    }
}

/// Whether a socket's name, a `str` or `bytes`, is no file's.
///
/// # Errors
/// `IndexError` for an empty name, as under asyncio.
pub(crate) fn is_abstract(name: &Bound<'_, PyAny>) -> PyResult<bool> {
    let first = name.get_item(0)?;
    Ok(first.eq(0)? || first.eq("\0")?)
}

fn inode<'py>(path: &Bound<'py, PyAny>, frame: LentFrame) -> PyResult<Bound<'py, PyAny>> {
    let py = path.py();
    frame.call(intern!(py, "stat"), path)?.getattr(intern!(py, "st_ino"))
}
