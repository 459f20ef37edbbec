//! What the system tells of a thread's stack, one module a kind of system.

pub(super) use told::{growth_limit, stack};

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod told {
    use std::mem::MaybeUninit;
    use std::ptr;

    #[cfg(target_os = "freebsd")]
    use libc::pthread_attr_get_np as attributes_of;
    #[cfg(target_os = "linux")]
    use libc::pthread_getattr_np as attributes_of;

    /// The limit for the main thread's stack, on which its bounds may depend.
    pub(in crate::interpreter::recursion) fn growth_limit() -> u64 {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: there is room for the answer.
        unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) };
        #[cfg_attr(
            target_os = "linux",
            expect(clippy::useless_conversion, reason = "BSD's is signed")
        )]
        u64::try_from(limit.rlim_cur).unwrap_or(u64::MAX)
    }

    /// The lower and the upper end of the calling thread's; none where the system does not tell, as
    /// without `/proc`.
    #[cfg_attr(
        not(target_env = "musl"),
        expect(unused_variables, reason = "the other libraries know the limit")
    )]
    pub(in crate::interpreter::recursion) fn stack(limit: u64) -> Option<(usize, usize)> {
        let mut attributes = MaybeUninit::uninit();
        let (mut low, mut size, mut guard) = (ptr::null_mut(), 0, 0);
        // SAFETY: the attributes are initialised before they are read and destroyed once; there is
        // room for every answer.
        unsafe {
            #[cfg(target_os = "freebsd")]
            libc::pthread_attr_init(attributes.as_mut_ptr());
            if attributes_of(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
                return None;
            }
            let mut attributes = attributes.assume_init();
            let told =
                libc::pthread_attr_getstack(&raw const attributes, &raw mut low, &raw mut size)
                    == 0
                    && libc::pthread_attr_getguardsize(&raw const attributes, &raw mut guard) == 0;
            libc::pthread_attr_destroy(&raw mut attributes);
            if !told {
                return None;
            }
        }
        let low = low.addr();
        let high = low.checked_add(size)?;
        // Whether the guard counts as a part of the stack depends on the version of the library.
        let low = low.saturating_add(guard).min(high);
        // musl tells of the main thread's stack what is mapped so far.
        #[cfg(target_env = "musl")]
        let low = if rustix::process::getpid() == rustix::thread::gettid() {
            low.min(high.saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX)))
        } else {
            low
        };
        Some((low, high))
    }
}

#[cfg(target_vendor = "apple")]
mod told {
    /// The main thread's stack has its size from the start.
    pub(in crate::interpreter::recursion) fn growth_limit() -> u64 {
        0
    }

    /// The lower and the upper end of the calling thread's.
    pub(in crate::interpreter::recursion) fn stack(_: u64) -> Option<(usize, usize)> {
        // SAFETY: both calls only read what the thread was made with.
        let (high, size) = unsafe {
            let thread = libc::pthread_self();
            (libc::pthread_get_stackaddr_np(thread).addr(), libc::pthread_get_stacksize_np(thread))
        };
        Some((high.checked_sub(size)?, high))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple")))]
mod told {
    pub(in crate::interpreter::recursion) fn growth_limit() -> u64 {
        0
    }

    /// Not known here.
    pub(in crate::interpreter::recursion) fn stack(_: u64) -> Option<(usize, usize)> {
        None
    }
}
