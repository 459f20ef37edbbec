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

use std::ffi::{CString, c_char, c_int, c_long, c_ulong, c_void};
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use pyo3::PyTraverseError;
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::bio::{Control, Give, LendingBios, Take};
use crate::fresh::Text;
use crate::once::Once as _;
use crate::tricks;

const SSL_ERROR_WANT_READ: c_int = 2;
const SSL_ERROR_ZERO_RETURN: c_int = 6;
const SSL_RECEIVED_SHUTDOWN: c_int = 2;

/// With this value of the environment variable `OUROLOOP_TLS_ENGINE` libssl is left alone.
const BY_MODULE: &str = "_ssl";

macro_rules! library {
    ($($name:ident: fn($($argument:ty),*) $(-> $answer:ty)?;)*) => {
        /// OpenSSL's functions, under their own names.
        #[derive(Debug)]
        #[expect(non_snake_case, reason = "OpenSSL's names")]
        pub(super) struct Library {
            $(pub(super) $name: unsafe extern "C" fn($($argument),*) $(-> $answer)?,)*
        }

        impl Library {
            /// # Safety
            /// `handle` is one of `dlopen`, and what has these names there is OpenSSL's.
            unsafe fn find(handle: *mut c_void) -> Option<Self> {
                // SAFETY: the names are terminated; the types are those of OpenSSL's headers.
                unsafe {
                    Some(Self {
                        $($name: {
                            let name = concat!(stringify!($name), "\0");
                            let symbol = libc::dlsym(handle, name.as_ptr().cast());
                            if symbol.is_null() {
                                return None;
                            }
                            std::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($argument),*) $(-> $answer)?,
                            >(symbol)
                        },)*
                    })
                }
            }
        }
    };
}

library! {
    SSL_get_SSL_CTX: fn(*const c_void) -> *mut c_void;
    SSL_CTX_get_ssl_method: fn(*const c_void) -> *const c_void;
    TLS_method: fn() -> *const c_void;
    TLS_client_method: fn() -> *const c_void;
    TLS_server_method: fn() -> *const c_void;
    SSL_get_rbio: fn(*const c_void) -> *mut c_void;
    SSL_get_wbio: fn(*const c_void) -> *mut c_void;
    SSL_read_ex: fn(*mut c_void, *mut c_void, usize, *mut usize) -> c_int;
    SSL_write_ex: fn(*mut c_void, *const c_void, usize, *mut usize) -> c_int;
    SSL_pending: fn(*const c_void) -> c_int;
    SSL_get_error: fn(*const c_void, c_int) -> c_int;
    SSL_get_shutdown: fn(*const c_void) -> c_int;
    BIO_read: fn(*mut c_void, *mut c_void, c_int) -> c_int;
    BIO_write: fn(*mut c_void, *const c_void, c_int) -> c_int;
    BIO_ctrl_pending: fn(*mut c_void) -> usize;
    SSL_set0_rbio: fn(*mut c_void, *mut c_void);
    SSL_set0_wbio: fn(*mut c_void, *mut c_void);
    BIO_get_new_index: fn() -> c_int;
    BIO_meth_new: fn(c_int, *const c_char) -> *mut c_void;
    BIO_meth_set_read: fn(*mut c_void, Give) -> c_int;
    BIO_meth_set_write: fn(*mut c_void, Take) -> c_int;
    BIO_meth_set_ctrl: fn(*mut c_void, Control) -> c_int;
    BIO_new: fn(*const c_void) -> *mut c_void;
    BIO_ctrl: fn(*mut c_void, c_int, c_long, *mut c_void) -> c_long;
    BIO_free: fn(*mut c_void) -> c_int;
    BIO_up_ref: fn(*mut c_void) -> c_int;
    BIO_set_init: fn(*mut c_void, c_int);
    BIO_set_data: fn(*mut c_void, *mut c_void);
    BIO_get_data: fn(*mut c_void) -> *mut c_void;
    BIO_set_flags: fn(*mut c_void, c_int);
    BIO_test_flags: fn(*const c_void, c_int) -> c_int;
    BIO_clear_flags: fn(*mut c_void, c_int);
    ERR_peek_error: fn() -> c_ulong;
    ERR_clear_error: fn();
    OpenSSL_version_num: fn() -> c_ulong;
}

static LIBRARY: PyOnceLock<Option<Library>> = PyOnceLock::new();

impl Library {
    fn get(py: Python<'_>) -> Option<&'static Self> {
        let find = || if forbidden() { Ok(None) } else { Self::of_python(py) };
        LIBRARY.find(py, || find().or(Ok::<_, PyErr>(None))).ok()?.as_ref()
    }

    fn of_python(py: Python<'_>) -> PyResult<Option<Self>> {
        let module = crate::modules::module(py, intern!(py, "_ssl"))?;
        let file = module.getattr_opt(intern!(py, "__file__"))?;
        let path = match file.filter(|file| !file.is_none()) {
            Some(file) => Some(CString::new(file.extract::<String>()?)?),
            // Built into the interpreter.
            None => None,
        };
        let path = path.as_ref().map_or(ptr::null(), |path| path.as_ptr());
        // SAFETY: a terminated path or NULL, which means the program itself; nothing is loaded. The
        // handle is kept for ever. A lookup in it searches `_ssl` and what it is linked to.
        let library = unsafe {
            let handle = libc::dlopen(path, libc::RTLD_LAZY | libc::RTLD_NOLOAD);
            if handle.is_null() { None } else { Self::find(handle) }
        };
        let version =
            module.getattr(intern!(py, "OPENSSL_VERSION_NUMBER"))?.extract::<c_ulong>()?;
        // SAFETY: takes nothing.
        Ok(library.filter(|library| unsafe { (library.OpenSSL_version_num)() } == version))
    }

    /// Whether a method's table is one of this library.
    fn owns(&self, method: *const c_void) -> bool {
        // SAFETY: these take nothing and answer addresses of constants.
        let own = unsafe {
            [(self.TLS_method)(), (self.TLS_client_method)(), (self.TLS_server_method)()]
        };
        own.contains(&method)
    }
}

fn forbidden() -> bool {
    tricks::are_off()
        || std::env::var_os("OUROLOOP_TLS_ENGINE").is_some_and(|engine| engine == BY_MODULE)
}

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
        let module = crate::modules::module(py, intern!(py, "_ssl"))?;
        let exact = |object: &Bound<'_, PyAny>, module: &Bound<'_, PyAny>, class: &str| {
            Ok::<_, PyErr>(object.get_type().is(&module.getattr(Text(class))?))
        };
        if !exact(object, crate::modules::module(py, intern!(py, "ssl"))?.as_any(), "SSLObject")?
            || !context.getattr(intern!(py, "_msg_callback"))?.is_none()
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
    let ssl = crate::modules::module(py, intern!(py, "ssl"))?;
    let context = ssl
        .getattr(intern!(py, "SSLContext"))?
        .call1((ssl.getattr(intern!(py, "PROTOCOL_TLS_SERVER"))?,))?;
    let memory_bio = ssl.getattr(intern!(py, "MemoryBIO"))?;
    let (incoming, outgoing) = (memory_bio.call0()?, memory_bio.call0()?);
    let object = context.call_method1(intern!(py, "wrap_bio"), (&incoming, &outgoing, true))?;
    let connection = Connection::behind(&context, &object, &incoming, &outgoing)?;
    Ok(Text(if connection.is_some() { "libssl" } else { BY_MODULE }))
}
