//! Threads that the interpreter's end finds at work stop for ever, without being unwound.
//!
//! Once the interpreter ends, whoever asks for its lock must not have it. Python 3.14 has such a thread
//! wait for ever. Before, `pthread_exit` ends it, and with glibc that *unwinds* the thread's stack as an
//! exception would: through frames of Rust, whose destructors would touch objects without the lock, and
//! which nobody promises to survive it. Any callback that runs Python code can end so, in the middle.
//!
//! So every thread that comes to run Python code below frames of ours ([`survive`]) registers a cleanup
//! handler, which `pthread_exit` calls before the first frame goes ([`Buffer`]); when the interpreter
//! is ending the handler does not return. Other systems' `pthread_exit` unwinds nothing.

/// Has the calling thread stop where it is, should it want the interpreter's lock after the end.
#[inline]
pub(crate) fn survive() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(Py_3_14)))]
    glibc::survive();
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(Py_3_14)))]
mod glibc {
    use std::cell::{Cell, UnsafeCell};
    use std::ffi::{c_int, c_void};
    use std::sync::OnceLock;
    use std::{mem, ptr};

    type Handler = unsafe extern "C" fn(*mut c_void);
    type Push = unsafe extern "C" fn(*mut Buffer, Handler, *mut c_void);

    /// glibc's `struct _pthread_cleanup_buffer`, which `_pthread_cleanup_push` fills in and links into the
    /// thread's list.
    ///
    /// Its address tells which frame it belongs to: before a frame goes, the handlers of the buffers that
    /// lie below it in the stack are called. One that lies outside of the stack is below every frame, so its
    /// handler comes first of all: it is in a box for that.
    #[repr(C)]
    struct Buffer {
        routine: Option<Handler>,
        argument: *mut c_void,
        cancel_type: c_int,
        previous: *mut Buffer,
    }

    thread_local! {
        static REGISTERED: Cell<bool> = const { Cell::new(false) };
    }

    #[inline]
    pub(super) fn survive() {
        // A thread that is in its last destructors runs no Python code.
        if !REGISTERED.try_with(|registered| registered.replace(true)).unwrap_or(true) {
            register();
        }
    }

    #[cold]
    fn register() {
        let Some(push) = push() else { return };
        let buffer = Box::leak(Box::new(UnsafeCell::new(Buffer {
            routine: None,
            argument: ptr::null_mut(),
            cancel_type: 0,
            previous: ptr::null_mut(),
        })));
        // SAFETY: the function is glibc's, of this signature in all its versions; the buffer is as large as
        // it expects and stays for ever, as the list may point to it as long as the thread lives.
        unsafe { push(buffer.get(), park, ptr::null_mut()) };
    }

    /// The function, which older versions have in another library.
    fn push() -> Option<Push> {
        static PUSH: OnceLock<Option<Push>> = OnceLock::new();
        *PUSH.get_or_init(|| {
            // SAFETY: a name that ends with NUL; what the symbol stands for has had this type since
            // glibc's first threads.
            unsafe {
                let found = libc::dlsym(libc::RTLD_DEFAULT, c"_pthread_cleanup_push".as_ptr());
                (!found.is_null()).then(|| mem::transmute::<*mut c_void, Push>(found))
            }
        })
    }

    /// The thread exits: if it is the interpreter that makes it, it stops here.
    unsafe extern "C" fn park(_: *mut c_void) {
        if !is_ending() {
            return;
        }
        loop {
            // SAFETY: only waits for a signal, of which there may be some.
            unsafe { libc::pause() };
        }
    }

    fn is_ending() -> bool {
        unsafe extern "C" {
            #[cfg_attr(Py_3_13, link_name = "Py_IsFinalizing")]
            #[cfg_attr(not(Py_3_13), link_name = "_Py_IsFinalizing")]
            fn is_finalizing() -> c_int;
        }
        // SAFETY: reads one word, and may be called by any thread at any time.
        unsafe { is_finalizing() != 0 }
    }
}
