//! `sendfile(2)`: the kernel moves the bytes from the file to the socket.
//!
//! Each move goes as far as the socket has room; then the socket is waited for. However it ends, the
//! file's position is behind the last byte that was sent. Nothing sent and an error: the kernel does
//! not want this file, or this socket, and the caller may fall back.
//!
//! A transport lends its descriptor from when its queue has drained ([`SocketTransport::lend`]) until
//! it is given back; meanwhile it refuses to write. Should it close in between, the wait for its
//! descriptor ends, and the next look finds it gone.

use std::os::fd::{BorrowedFd, RawFd};

use ouroloop::net::Sent;
use ouroloop::net::sendfile::send_file;
use pyo3::exceptions::{PyAttributeError, PyConnectionError};
use pyo3::prelude::*;
use rustix::fs::SeekFrom;

use super::arguments::Part;
use crate::coroutine::{Kept, Scope};
use crate::errors::os_error::os_error;
use crate::event_loop::sock::{DescriptorWait, Direction, descriptor};
use crate::interpreter::fresh::{self, Text};
use crate::transport::socket::SocketTransport;
use crate::turn::Loop;

/// Where the bytes go.
pub(super) enum Target {
    /// A socket of the user's.
    Socket(Py<PyAny>),
    /// A transport that has lent its descriptor.
    Transport(Kept<SocketTransport>),
}

impl Target {
    /// The descriptor, which may be another one, or none, after each wait.
    fn descriptor(&self, py: Python<'_>, scope: &Scope) -> PyResult<RawFd> {
        match self {
            Self::Socket(socket) => descriptor(socket.bind(py)),
            Self::Transport(transport) => scope
                .get(py, *transport)
                .get()
                .lent_descriptor(py)
                .ok_or_else(|| PyConnectionError::new_err("Connection is closed by peer")),
        }
    }

    fn wait(&self, event_loop: &Bound<'_, Loop>, fd: RawFd) -> PyResult<DescriptorWait> {
        match self {
            Self::Socket(_) => DescriptorWait::begin(event_loop, fd, Direction::Write),
            Self::Transport(_) => {
                DescriptorWait::begin_beside_transport(event_loop, fd, Direction::Write)
            }
        }
    }
}

/// How far the file has been sent.
struct Progress {
    file: RawFd,
    offset: u64,
    /// How much is left, as far as known, and whether more would be too much.
    left: u64,
    bounded: bool,
    sent: u64,
}

/// What a move came to.
enum Moved {
    /// All of it is sent.
    All,
    /// The socket has no room: it is to be waited for.
    Blocked(RawFd),
}

/// Sends the part of the file; answers how many bytes that were.
pub(super) async fn send(
    scope: Scope,
    event_loop: Py<Loop>,
    target: Target,
    part: Part,
) -> PyResult<Py<PyAny>> {
    let progress = Python::attach(|py| Progress::begin(py, &part))?;
    let Some(mut progress) = progress else {
        return Python::attach(|py| Ok(fresh::int(py, 0)?.into_any().unbind()));
    };
    let answer = move_all(&scope, &event_loop, &target, &mut progress).await;
    Python::attach(|py| {
        progress.set_position(py)?;
        answer?;
        Ok(fresh::size(py, progress.sent)?.into_any().unbind())
    })
}

async fn move_all(
    scope: &Scope,
    event_loop: &Py<Loop>,
    target: &Target,
    progress: &mut Progress,
) -> PyResult<()> {
    let mut waited = false;
    loop {
        let fd = Python::attach(|py| target.descriptor(py, scope))?;
        match Python::attach(|py| progress.advance(py, fd, waited))? {
            Moved::All => return Ok(()),
            Moved::Blocked(fd) => {
                let wait = Python::attach(|py| target.wait(event_loop.bind(py), fd))?;
                scope.wait(Python::attach(|py| wait.future(py))).await?;
                waited = true;
            }
        }
    }
}

impl Progress {
    /// `None` when there is nothing to send.
    fn begin(py: Python<'_>, part: &Part) -> PyResult<Option<Self>> {
        let file = match part.file.bind(py).call_method0(intern!(py, "fileno")) {
            Ok(number) => number.extract::<RawFd>()?,
            Err(error) if is_no_file(py, &error)? => {
                return Err(unavailable(py, NO_FILE, Some(&error)));
            }
            Err(error) => return Err(error),
        };
        let size = if file < 0 {
            Err(std::io::Error::from_raw_os_error(libc::EBADF))
        } else {
            // SAFETY: the number is only passed to the kernel, which answers EBADF for a descriptor
            // that is not open.
            let file = unsafe { BorrowedFd::borrow_raw(file) };
            rustix::fs::fstat(file).map(|status| status.st_size).map_err(Into::into)
        };
        let size = match size {
            Ok(size) => u64::try_from(size).unwrap_or_default(),
            Err(error) => return Err(unavailable(py, NO_FILE, Some(&os_error(py, &error)))),
        };
        let (offset, count) = (part.offset(py)?, part.count(py)?);
        let left = count.unwrap_or(size);
        let progress = Self { file, offset, left, bounded: count.is_some(), sent: 0 };
        Ok((left > 0).then_some(progress))
    }

    /// Moves as much as the socket takes.
    fn advance(&mut self, py: Python<'_>, socket: RawFd, waited: bool) -> PyResult<Moved> {
        loop {
            match self.move_once(py, socket) {
                Sent::Bytes(0) => return Ok(Moved::All),
                Sent::Bytes(moved) => {
                    let moved = moved as u64;
                    self.offset += moved;
                    self.sent += moved;
                    if self.bounded {
                        self.left = self.left.saturating_sub(moved);
                        if self.left == 0 {
                            return Ok(Moved::All);
                        }
                        return Ok(Moved::Blocked(socket));
                    }
                    if moved < self.left {
                        return Ok(Moved::Blocked(socket));
                    }
                    // As much as the file had: the next move finds its end, or what it has grown by.
                }
                Sent::WouldBlock => return Ok(Moved::Blocked(socket)),
                Sent::Failed(error) => return Err(self.failed(py, &error, waited)),
            }
        }
    }

    fn move_once(&self, py: Python<'_>, socket: RawFd) -> Sent {
        if socket < 0 {
            return Sent::Failed(std::io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: the numbers are only passed to the kernel, which answers EBADF for a descriptor
        // that is not open.
        let (socket, file) =
            unsafe { (BorrowedFd::borrow_raw(socket), BorrowedFd::borrow_raw(self.file)) };
        // The disk may keep the thread waiting.
        py.detach(|| send_file(socket, file, self.offset, self.left))
    }

    #[cold]
    fn failed(&self, py: Python<'_>, error: &std::io::Error, waited: bool) -> PyErr {
        let cause = os_error(py, error);
        if self.sent == 0 {
            return unavailable(py, "os.sendfile call failed", Some(&cause));
        }
        if waited && error.raw_os_error() == Some(libc::ENOTCONN) {
            let arguments = ("socket is not connected", libc::ENOTCONN);
            let normalized = PyConnectionError::new_err(arguments);
            normalized.set_cause(py, Some(cause));
            return normalized;
        }
        cause
    }

    /// Moves the file's own position behind what was sent.
    fn set_position(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: as in `move_once`; it is not negative, by `begin`.
        let file = unsafe { BorrowedFd::borrow_raw(self.file) };
        match rustix::fs::seek(file, SeekFrom::Start(self.offset)) {
            Ok(_) => Ok(()),
            Err(error) => Err(os_error(py, &error.into())),
        }
    }
}

const NO_FILE: &str = "not a regular file";

/// Whether `fileno()` raised what objects raise that have no descriptor.
fn is_no_file(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    let unsupported = crate::interpreter::modules::module(py, intern!(py, "io"))?
        .getattr(intern!(py, "UnsupportedOperation"))?;
    Ok(error.is_instance_of::<PyAttributeError>(py) || error.is_instance(py, &unsupported))
}

/// A `SendfileNotAvailableError`, raised while `context` was handled, if anything.
fn unavailable(py: Python<'_>, message: &str, context: Option<&PyErr>) -> PyErr {
    let class = crate::interpreter::modules::module(py, intern!(py, "asyncio.exceptions"))
        .and_then(|module| module.getattr(Text("SendfileNotAvailableError")));
    match class.and_then(|class| class.call1((Text(message),))) {
        Ok(error) => {
            let error = PyErr::from_value(error);
            error.set_context(py, context.map(|context| context.clone_ref(py)));
            error
        }
        Err(error) => error,
    }
}

/// Sends the part of the file past a transport's queue, once that has drained.
pub(super) async fn send_beneath(
    scope: Scope,
    event_loop: Py<Loop>,
    transport: Py<PyAny>,
    part: Part,
) -> PyResult<Py<PyAny>> {
    let lent = Python::attach(|py| -> PyResult<_> {
        let Ok(transport) = transport.bind(py).cast::<SocketTransport>() else {
            return Err(unavailable(py, "sendfile syscall is not supported", None));
        };
        part.check_file(py)?;
        part.check_numbers(py)?;
        let (drained, was_reading) = SocketTransport::lend(transport)?;
        Ok((scope.keep(transport), drained, was_reading))
    });
    drop(transport);
    let (transport, drained, was_reading) = lent?;
    let answer = match scope.wait(drained).await {
        Ok(_) => send(scope.clone(), event_loop, Target::Transport(transport), part).await,
        Err(error) => Err(error),
    };
    Python::attach(|py| SocketTransport::take_back(&scope.get(py, transport), was_reading))?;
    answer
}
