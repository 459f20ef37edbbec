//! OpenSSL's functions, looked up in the library that `_ssl` has loaded.
//!
//! Nothing is linked or loaded here. The library is taken if its version is the one that `_ssl` was built with.

use std::ffi::{CString, c_char, c_int, c_long, c_ulong, c_void};
use std::ptr;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::interpreter::once::Once as _;
use crate::interpreter::tricks;

pub(super) type Give = unsafe extern "C" fn(*mut c_void, *mut c_char, c_int) -> c_int;
pub(super) type Take = unsafe extern "C" fn(*mut c_void, *const c_char, c_int) -> c_int;
pub(super) type Control = unsafe extern "C" fn(*mut c_void, c_int, c_long, *mut c_void) -> c_long;

/// With this value of the environment variable `OUROLOOP_TLS_ENGINE` libssl is left alone.
pub(super) const BY_MODULE: &str = "_ssl";

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
    pub(super) fn get(py: Python<'_>) -> Option<&'static Self> {
        let find = || if forbidden() { Ok(None) } else { Self::of_python(py) };
        LIBRARY.find(py, || find().or(Ok::<_, PyErr>(None))).ok()?.as_ref()
    }

    fn of_python(py: Python<'_>) -> PyResult<Option<Self>> {
        let module = crate::interpreter::modules::module(py, intern!(py, "_ssl"))?;
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
    pub(super) fn owns(&self, method: *const c_void) -> bool {
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
