//! The libssl on which Python's own module `_ssl` runs, called directly.
//!
//! Application data goes through here where it can: without a call of Python's, without a `bytes`
//! object, without letting the GIL go. Everything else about TLS stays with the `_ssl` methods.
//!
//! No OpenSSL is linked or loaded. The functions are looked up in the library that `_ssl` has loaded,
//! and the objects behind Python's are trusted only after a proof, made for each session anew:
//!
//! 1. The `_ssl._SSLSocket` has the address of its context as its third pointer. So its second one is
//!    an `SSL*`: both are neighbours in every version's struct, and the first may be anything.
//! 2. `SSL_get_SSL_CTX` of it is the first pointer of the context, and its BIOs are the first pointers of
//!    the two `MemoryBIO`.
//! 3. The context's method is a table that lies in this very library.
//!
//! Where a step fails, and where a context has a callback for messages (which may raise, and only
//! `_ssl` asks whether it did), the session goes by the `_ssl` methods.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use pyo3::PyTraverseError;
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::bio::LendingBios;
use super::library::{BY_MODULE, Library};
use crate::interpreter::fresh::Text;

const SSL_ERROR_WANT_READ: c_int = 2;
const SSL_ERROR_ZERO_RETURN: c_int = 6;
const SSL_RECEIVED_SHUTDOWN: c_int = 2;

/// What became of a step.
#[derive(Debug)]
pub(super) enum Direct {
    Done(usize),
    /// More bytes from the peer are needed.
    Again,
    /// The peer has said that it writes no more.
    Closed,
    /// Something that the `_ssl` method has a word for: it takes the same step again. OpenSSL's
    /// error is still in its queue.
    Unclear,
}

/// OpenSSL's objects behind an `ssl.SSLObject` and its BIOs.
#[derive(Debug)]
pub(super) struct Connection {
    library: &'static Library,
    ssl: NonNull<c_void>,
    incoming: NonNull<c_void>,
    outgoing: NonNull<c_void>,
    /// Uses all of the above when it is dropped.
    bios: LendingBios,
    /// The `_ssl._SSLSocket` that keeps them alive: an `ssl.SSLObject` alone may lose it, in a collection
    /// of garbage or by whoever sets its attribute.
    owner: Py<PyAny>,
}

// SAFETY: the pointers are used by attached threads alone, that is one at a time.
unsafe impl Send for Connection {}
// SAFETY: as above.
unsafe impl Sync for Connection {}

impl Connection {
    /// The objects behind Python's, of which the two `MemoryBIO` have to outlive the answer; `None` where
    /// they are not proven.
    ///
    /// # Errors
    /// Those of looking at Python's objects.
    pub(super) fn behind(
        context: &Bound<'_, PyAny>,
        object: &Bound<'_, PyAny>,
        incoming: &Bound<'_, PyAny>,
        outgoing: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Self>> {
        let py = context.py();
        let Some(library) = Library::get(py) else { return Ok(None) };
        let module = crate::interpreter::modules::module(py, intern!(py, "_ssl"))?;
        let exact = |object: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>, class: &str| {
            Ok::<_, PyErr>(object.get_type().is(&module.getattr(Text(class))?))
        };
        if !exact(
            object,
            crate::interpreter::modules::module(py, intern!(py, "ssl"))?.as_any(),
            "SSLObject",
        )? || !context.getattr(intern!(py, "_msg_callback"))?.is_none()
        {
            return Ok(None);
        }
        let inner = object.getattr(intern!(py, "_sslobj"))?;
        if !exact(&inner, module.as_any(), "_SSLSocket")?
            || !exact(incoming, module.as_any(), "MemoryBIO")?
            || !exact(outgoing, module.as_any(), "MemoryBIO")?
            || !context.is_instance(&module.getattr(intern!(py, "_SSLContext"))?)?
        {
            return Ok(None);
        }
        let (Some(ssl), Some(owner)) = (field(&inner, 1), field(&inner, 2)) else {
            return Ok(None);
        };
        if owner.as_ptr() != context.as_ptr().cast() {
            return Ok(None);
        }
        let (Some(ssl_context), Some(incoming), Some(outgoing)) =
            (field(context, 0), field(incoming, 0), field(outgoing, 0))
        else {
            return Ok(None);
        };
        // SAFETY: `ssl` is an `SSL*` by the first step of the proof, and alive as its object is.
        let related = unsafe {
            (library.SSL_get_SSL_CTX)(ssl.as_ptr()) == ssl_context.as_ptr()
                && (library.SSL_get_rbio)(ssl.as_ptr()) == incoming.as_ptr()
                && (library.SSL_get_wbio)(ssl.as_ptr()) == outgoing.as_ptr()
        };
        // SAFETY: `ssl_context` is what OpenSSL itself has answered.
        let is_known = related
            && library.owns(unsafe { (library.SSL_CTX_get_ssl_method)(ssl_context.as_ptr()) });
        if !is_known {
            return Ok(None);
        }
        // SAFETY: by the proof; `inner` and the `MemoryBIO`s hold them and outlive the answer.
        let bios = unsafe { LendingBios::between(library, ssl, incoming, outgoing) };
        let owner = inner.unbind();
        Ok(bios.map(|bios| Self { library, ssl, incoming, outgoing, bios, owner }))
    }

    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.owner)
    }

    /// How much ciphertext waits to be decrypted.
    pub(super) fn pending_in(&self) -> usize {
        // SAFETY: the BIO is alive, as its `MemoryBIO` is.
        let kept = unsafe { (self.library.BIO_ctrl_pending)(self.incoming.as_ptr()) };
        self.bios.to_take() + kept
    }

    /// How much ciphertext waits to be sent.
    pub(super) fn pending_out(&self) -> usize {
        // SAFETY: as above.
        unsafe { (self.library.BIO_ctrl_pending)(self.outgoing.as_ptr()) }
    }

    /// How much is decrypted and was not asked for.
    pub(super) fn decrypted(&self) -> usize {
        // SAFETY: the `SSL` is alive, as its Python object is.
        usize::try_from(unsafe { (self.library.SSL_pending)(self.ssl.as_ptr()) }).unwrap_or(0)
    }

    /// # Errors
    /// `MemoryError`.
    pub(super) fn feed(&self, ciphertext: &[u8]) -> PyResult<()> {
        self.bios.keep_lent(|earlier| self.keep(earlier))?;
        self.keep(ciphertext)
    }

    fn keep(&self, ciphertext: &[u8]) -> PyResult<()> {
        for piece in ciphertext.chunks(1 << 30) {
            let length = c_int::try_from(piece.len()).unwrap_or(c_int::MAX);
            // SAFETY: the BIO is alive; `piece` is readable for its length.
            let taken = unsafe {
                (self.library.BIO_write)(self.incoming.as_ptr(), piece.as_ptr().cast(), length)
            };
            if taken != length {
                return Err(PyMemoryError::new_err(()));
            }
        }
        Ok(())
    }

    /// As [`Self::feed`] and `step` after it, whose reads take the ciphertext from where it is if none
    /// waits before it.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn feed_to<T>(&self, ciphertext: &[u8], step: impl FnOnce() -> T) -> PyResult<T> {
        if ciphertext.is_empty() || self.pending_in() > 0 {
            self.feed(ciphertext)?;
            return Ok(step());
        }
        let (answer, rest) = self.bios.read_from(ciphertext, step);
        self.feed(rest)?;
        Ok(answer)
    }

    /// Decrypts into `room`, all of which is written as far as the answer says.
    pub(super) fn read(&self, room: &mut [MaybeUninit<u8>]) -> Direct {
        let mut length = 0;
        // SAFETY: the `SSL` is alive and used by this thread alone; `room` is writable for its size.
        let done = unsafe {
            self.forget_errors();
            let start = room.as_mut_ptr().cast();
            (self.library.SSL_read_ex)(self.ssl.as_ptr(), start, room.len(), &raw mut length)
        };
        if done == 1 { Direct::Done(length) } else { self.why() }
    }

    /// Encrypts the first bytes of `data`.
    pub(super) fn write(&self, data: &[u8]) -> Direct {
        let mut length = 0;
        // SAFETY: as for `read`; `data` is readable for its size.
        let done = unsafe {
            self.forget_errors();
            let start = data.as_ptr().cast();
            (self.library.SSL_write_ex)(self.ssl.as_ptr(), start, data.len(), &raw mut length)
        };
        if done == 1 { Direct::Done(length) } else { self.why() }
    }

    /// Encrypts the first bytes of `data` into `room`; answers also how much ciphertext that made. None may
    /// wait before it. What there was no room for waits.
    pub(super) fn write_to(&self, data: &[u8], room: &mut [u8]) -> (Direct, usize) {
        self.bios.write_to(room, || self.write(data))
    }

    /// Errors that others left would be taken for this step's.
    fn forget_errors(&self) {
        // SAFETY: takes nothing; the queue is the thread's. Clearing walks through all of it.
        unsafe {
            if (self.library.ERR_peek_error)() != 0 {
                (self.library.ERR_clear_error)();
            }
        }
    }

    /// Why the last step was not done.
    fn why(&self) -> Direct {
        // SAFETY: the `SSL` is alive.
        unsafe {
            match (self.library.SSL_get_error)(self.ssl.as_ptr(), 0) {
                SSL_ERROR_WANT_READ => Direct::Again,
                SSL_ERROR_ZERO_RETURN
                    if (self.library.SSL_get_shutdown)(self.ssl.as_ptr())
                        == SSL_RECEIVED_SHUTDOWN =>
                {
                    Direct::Closed
                }
                _ => Direct::Unclear,
            }
        }
    }

    /// Takes ciphertext for the peer out; answers how much there was, at most the size of `room`.
    pub(super) fn drain(&self, room: &mut [u8]) -> usize {
        let most = c_int::try_from(room.len()).unwrap_or(c_int::MAX);
        // SAFETY: the BIO is alive; `room` is writable for its size. An empty BIO answers -1.
        let length = unsafe {
            (self.library.BIO_read)(self.outgoing.as_ptr(), room.as_mut_ptr().cast(), most)
        };
        usize::try_from(length).unwrap_or(0)
    }
}

/// The pointer of this number behind an object's header, if the object is large enough to have it.
fn field(object: &Bound<'_, PyAny>, number: usize) -> Option<NonNull<c_void>> {
    let place = size_of::<ffi::PyObject>() / size_of::<*mut c_void>() + number;
    let needed = (place + 1) * size_of::<*mut c_void>();
    // SAFETY: a type's size is fixed, and the object has at least as many bytes.
    unsafe {
        let size = (*ffi::Py_TYPE(object.as_ptr())).tp_basicsize;
        if usize::try_from(size).unwrap_or(0) < needed {
            return None;
        }
        let value = object.as_ptr().cast::<*mut c_void>().add(place).read();
        NonNull::new(value).filter(|value| value.addr().get() % align_of::<usize>() == 0)
    }
}

/// Which way application data takes: "libssl", or "_ssl" where libssl cannot be reached or is not
/// to be (environment variable `OUROLOOP_TLS_ENGINE=_ssl`).
#[pyfunction]
pub(crate) fn tls_engine(py: Python<'_>) -> PyResult<Text<&'static str>> {
    let ssl = crate::interpreter::modules::module(py, intern!(py, "ssl"))?;
    let context = ssl
        .getattr(intern!(py, "SSLContext"))?
        .call1((ssl.getattr(intern!(py, "PROTOCOL_TLS_SERVER"))?,))?;
    let memory_bio = ssl.getattr(intern!(py, "MemoryBIO"))?;
    let (incoming, outgoing) = (memory_bio.call0()?, memory_bio.call0()?);
    let object = context.call_method1(intern!(py, "wrap_bio"), (&incoming, &outgoing, true))?;
    let connection = Connection::behind(&context, &object, &incoming, &outgoing)?;
    Ok(Text(if connection.is_some() { "libssl" } else { BY_MODULE }))
}
