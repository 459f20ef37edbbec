//! One end of a TLS connection: an `ssl.SSLObject` and the two memory BIOs that it reads and writes.
//!
//! A step (handshake, read, write, shutdown) answers [`Step::Again`] where it needs more bytes from the
//! peer. No step is taken while state is lent: OpenSSL may call Python code, and the `_ssl` methods are
//! Python calls.
//!
//! Handshake and shutdown go by the `_ssl` methods. So does application data unless [`super::libssl`] can be called
//! directly; a step that fails there is taken once more by the method, which knows the error to raise.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::libssl::{Connection, Direct};
use super::names::Names;
use super::security::Security;
use crate::interpreter::fresh;
use crate::transport::bytes::Room;

/// The most that one record carries.
pub(super) const RECORD_BYTES: usize = 16 * 1024;

/// The most that asyncio asks for in one read.
const READ_BYTES: usize = 256 * 1024;

/// What became of a step.
#[derive(Debug)]
pub(super) enum Step<T> {
    Done(T),
    /// It goes on once more bytes have come from the peer.
    Again,
}

/// What became of a read.
#[derive(Debug)]
pub(super) enum Read {
    Data(usize),
    Again,
    /// The peer has said that it writes no more.
    Closed,
}

/// All that could be decrypted, and why there is no more now.
#[derive(Debug)]
pub(crate) struct Decrypted<'py> {
    pub(super) data: Option<Bound<'py, PyBytes>>,
    pub(super) end: PyResult<Read>,
}

#[derive(Debug)]
pub(super) struct Session {
    /// What the objects below are to OpenSSL, where that is known. The BIOs have to be dropped after it.
    direct: Option<Connection>,
    object: Py<PyAny>,
    incoming: Py<PyAny>,
    outgoing: Py<PyAny>,
    /// Somebody is in a step. OpenSSL may call Python code there, and `_ssl` lets other threads run.
    in_step: AtomicBool,
}

/// The right to take a step, until it is dropped.
#[must_use = "the step is over when it is dropped"]
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cold]
fn in_use() -> PyErr {
    fresh::error::<PyRuntimeError>(
        "TLS connection is in the middle of a step: called by another thread or by a callback of OpenSSL's",
    )
}

impl Session {
    /// Begins a step.
    ///
    /// # Errors
    /// `RuntimeError` for whoever comes in the middle of another one: OpenSSL's objects have no lock.
    fn begin(&self) -> PyResult<Turn<'_>> {
        if self.in_step.swap(true, Ordering::Relaxed) {
            Err(in_use())
        } else {
            Ok(Turn(&self.in_step))
        }
    }

    /// # Errors
    /// Those of [`Self::begin`].
    fn check_idle(&self) -> PyResult<()> {
        if self.in_step.load(Ordering::Relaxed) { Err(in_use()) } else { Ok(()) }
    }

    /// # Errors
    /// What the context's `wrap_bio` raises.
    pub(super) fn new(context: &Bound<'_, PyAny>, security: &Security) -> PyResult<Self> {
        let py = context.py();
        let memory_bio = Names::get(py)?.memory_bio.bind(py);
        let incoming = memory_bio.call0()?;
        let outgoing = memory_bio.call0()?;
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "server_side"), security.server_side)?;
        keywords.set_item(intern!(py, "server_hostname"), security.name(py)?)?;
        let arguments = (&incoming, &outgoing);
        let object = context.call_method(intern!(py, "wrap_bio"), arguments, Some(&keywords))?;
        let direct = Connection::behind(context, &object, &incoming, &outgoing)?;
        Ok(Self {
            direct,
            object: object.unbind(),
            incoming: incoming.unbind(),
            outgoing: outgoing.unbind(),
            in_step: AtomicBool::new(false),
        })
    }

    /// The `ssl.SSLObject`.
    pub(super) fn object<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.object.bind(py)
    }

    pub(super) fn incoming<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.incoming.bind(py)
    }

    pub(super) fn outgoing<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.outgoing.bind(py)
    }

    /// How much ciphertext waits to be decrypted.
    pub(super) fn pending_in(&self, py: Python<'_>) -> PyResult<usize> {
        if let Some(direct) = &self.direct {
            return Ok(direct.pending_in());
        }
        self.incoming.bind(py).getattr(intern!(py, "pending"))?.extract()
    }

    /// How much ciphertext waits to be sent.
    pub(super) fn pending_out(&self, py: Python<'_>) -> PyResult<usize> {
        if let Some(direct) = &self.direct {
            return Ok(direct.pending_out());
        }
        self.outgoing.bind(py).getattr(intern!(py, "pending"))?.extract()
    }

    pub(super) fn handshake(&self, py: Python<'_>) -> PyResult<Step<()>> {
        let _turn = self.begin()?;
        step(py, self.object(py).call_method0(intern!(py, "do_handshake")).map(drop))
    }

    pub(super) fn shutdown(&self, py: Python<'_>) -> PyResult<Step<()>> {
        let _turn = self.begin()?;
        step(py, self.object(py).call_method0(intern!(py, "unwrap")).map(drop))
    }

    /// Takes in ciphertext from the peer.
    pub(super) fn feed(&self, py: Python<'_>, ciphertext: &[u8]) -> PyResult<()> {
        if ciphertext.is_empty() {
            return Ok(());
        }
        self.check_idle()?;
        if let Some(direct) = &self.direct {
            return direct.feed(ciphertext);
        }
        let bytes = fresh::bytes(py, ciphertext)?;
        self.incoming.bind(py).call_method1(intern!(py, "write"), (bytes,)).map(drop)
    }

    /// As [`Self::feed`] and `step` after it. OpenSSL may take the ciphertext from where it is.
    pub(super) fn feed_to<T>(
        &self,
        py: Python<'_>,
        ciphertext: &[u8],
        step: impl FnOnce() -> T,
    ) -> PyResult<T> {
        self.check_idle()?;
        if let Some(direct) = &self.direct {
            return direct.feed_to(ciphertext, step);
        }
        self.feed(py, ciphertext)?;
        Ok(step())
    }

    /// Takes in ciphertext and decrypts all that there is.
    pub(super) fn decrypt<'py>(&self, py: Python<'py>, ciphertext: &[u8]) -> Decrypted<'py> {
        let mut data = Vec::new();
        let end = match &self.direct {
            Some(direct) => self.decrypt_directly(py, direct, ciphertext, &mut data),
            None => self.feed(py, ciphertext).and_then(|()| self.decrypt_by_method(py, &mut data)),
        };
        match joined(py, data) {
            Ok(data) => Decrypted { data, end },
            Err(error) => Decrypted { data: None, end: Err(error) },
        }
    }

    fn decrypt_by_method<'py>(
        &self,
        py: Python<'py>,
        data: &mut Vec<Bound<'py, PyBytes>>,
    ) -> PyResult<Read> {
        loop {
            match self.read(py, READ_BYTES)? {
                Step::Again => return Ok(Read::Again),
                Step::Done(bytes) if bytes.as_bytes().is_empty() => return Ok(Read::Closed),
                Step::Done(bytes) => data.push(bytes),
            }
        }
    }

    /// Decrypts from where the ciphertext is, into a `bytes` object with room for all: no record is larger
    /// inside than outside, unless it is compressed.
    fn decrypt_directly<'py>(
        &self,
        py: Python<'py>,
        direct: &Connection,
        ciphertext: &[u8],
        data: &mut Vec<Bound<'py, PyBytes>>,
    ) -> PyResult<Read> {
        let turn = self.begin()?;
        let most = direct.pending_in() + direct.decrypted() + ciphertext.len();
        let end = direct.feed_to(ciphertext, || read_all(py, direct, most.max(1), data))?;
        drop(turn);
        end?.map_or_else(|| self.decrypt_by_method(py, data), Ok)
    }

    /// Decrypts into memory of the application's.
    pub(super) fn read_into(&self, py: Python<'_>, room: &mut [u8]) -> PyResult<Read> {
        if let Some(direct) = &self.direct {
            let _turn = self.begin()?;
            // SAFETY: initialised memory may be written to as any other; only bytes are.
            let memory = unsafe { &mut *(std::ptr::from_mut(room) as *mut [MaybeUninit<u8>]) };
            match direct.read(memory) {
                Direct::Done(length) => return Ok(Read::Data(length)),
                Direct::Again => return Ok(Read::Again),
                Direct::Closed => return Ok(Read::Closed),
                Direct::Unclear => {}
            }
        }
        Ok(match self.read(py, room.len())? {
            Step::Again => Read::Again,
            Step::Done(bytes) if bytes.as_bytes().is_empty() => Read::Closed,
            Step::Done(bytes) => put_in(room, bytes.as_bytes()).map(Read::Data)?,
        })
    }

    fn read<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Step<Bound<'py, PyBytes>>> {
        let turn = self.begin()?;
        let answer = self.object(py).call_method1(intern!(py, "read"), (most,));
        drop(turn);
        match step(py, answer)? {
            Step::Done(bytes) => Ok(Step::Done(bytes.cast_into::<PyBytes>()?)),
            Step::Again => Ok(Step::Again),
        }
    }

    /// Encrypts the first bytes of `data`. Answers how many, and how much ciphertext is in `room`, which has to
    /// be empty or to fit a record; what is not there waits to be drained.
    pub(super) fn encrypt(
        &self,
        py: Python<'_>,
        data: &[u8],
        room: &mut [u8],
    ) -> PyResult<(Step<usize>, usize)> {
        let data = &data[..data.len().min(RECORD_BYTES)];
        let mut sealed = 0;
        let _turn = self.begin()?;
        if let Some(direct) = &self.direct {
            let step;
            (step, sealed) = if room.is_empty() || direct.pending_out() > 0 {
                (direct.write(data), 0)
            } else {
                direct.write_to(data, room)
            };
            match step {
                Direct::Done(length) => return Ok((Step::Done(length), sealed)),
                Direct::Again => return Ok((Step::Again, sealed)),
                Direct::Closed | Direct::Unclear => {}
            }
        }
        let length = data.len();
        let data = fresh::bytes(py, data)?;
        let step = step(py, self.object(py).call_method1(intern!(py, "write"), (data,)))?;
        Ok(match step {
            Step::Done(count) => (Step::Done(count.extract::<usize>()?.min(length)), sealed),
            Step::Again => (Step::Again, sealed),
        })
    }

    /// Takes ciphertext for the peer out; answers how much there was, at most the size of `room`.
    pub(super) fn drain(&self, py: Python<'_>, room: &mut [u8]) -> PyResult<usize> {
        self.check_idle()?;
        if let Some(direct) = &self.direct {
            return Ok(direct.drain(room));
        }
        let outgoing = self.outgoing.bind(py);
        let bytes = outgoing.call_method1(intern!(py, "read"), (room.len(),))?;
        let bytes = bytes.cast_into::<PyBytes>()?;
        put_in(room, bytes.as_bytes())
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(direct) = &self.direct {
            direct.visit(visit)?;
        }
        visit.call(&self.object)?;
        visit.call(&self.incoming)?;
        visit.call(&self.outgoing)
    }
}

/// Copies what a method has read into `room`; answers how much it was.
///
/// # Errors
/// `ValueError` when it is more than was asked for: the object may be of the program's making.
fn put_in(room: &mut [u8], bytes: &[u8]) -> PyResult<usize> {
    let place = room.get_mut(..bytes.len()).ok_or_else(|| {
        fresh::error::<PyValueError>("read() returned more data than it was asked for")
    })?;
    place.copy_from_slice(bytes);
    Ok(bytes.len())
}

/// Reads until there is no more, into a `bytes` object of `size` and, where that does not do, further ones;
/// `None` where the `_ssl` method has the word.
fn read_all<'py>(
    py: Python<'py>,
    direct: &Connection,
    mut size: usize,
    data: &mut Vec<Bound<'py, PyBytes>>,
) -> PyResult<Option<Read>> {
    let mut room = Room::new(py, size)?;
    let mut filled = 0;
    let end = loop {
        if filled == size {
            data.push(room.finish(filled)?);
            (size, filled) = (RECORD_BYTES, 0);
            room = Room::new(py, size)?;
        }
        match direct.read(&mut room.content()[filled..]) {
            Direct::Done(length) => filled += length,
            Direct::Again => break Some(Read::Again),
            Direct::Closed => break Some(Read::Closed),
            Direct::Unclear => break None,
        }
    };
    if filled > 0 {
        data.push(room.finish(filled)?);
    }
    Ok(end)
}

/// Tells "more bytes are needed" from the other errors of the `ssl` module.
fn step<T>(py: Python<'_>, answer: PyResult<T>) -> PyResult<Step<T>> {
    match answer {
        Ok(value) => Ok(Step::Done(value)),
        Err(error) if Names::get(py)?.means_again(py, &error)? => Ok(Step::Again),
        Err(error) => Err(error),
    }
}

fn joined<'py>(
    py: Python<'py>,
    mut pieces: Vec<Bound<'py, PyBytes>>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    if pieces.len() < 2 {
        return Ok(pieces.pop());
    }
    let pieces = fresh::list(py, pieces)?;
    let joined = fresh::bytes(py, b"")?.call_method1(intern!(py, "join"), (pieces,))?;
    Ok(Some(joined.cast_into::<PyBytes>()?))
}
