//! Classes of protocols that native transports know: what they call instead of the protocols' methods.
//!
//! A transport stands below the protocols that it serves, so each such class makes itself known when the module is
//! made, with functions of its own. Whoever derives from one in Python is another class; where its objects are served
//! all the same, the functions see to overridden methods.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::PyClass;
use pyo3::types::PyBytes;

/// A class that is known by what transports call.
pub(crate) struct Known<F> {
    class: AtomicPtr<ffi::PyTypeObject>,
    calls: OnceLock<F>,
}

impl<F> Known<F> {
    pub(crate) const fn nobody() -> Self {
        Self { class: AtomicPtr::new(std::ptr::null_mut()), calls: OnceLock::new() }
    }

    /// Makes a class known.
    pub(crate) fn make_known<T: PyClass>(&self, py: Python<'_>, calls: F) {
        self.calls.get_or_init(|| calls);
        self.class.store(py.get_type::<T>().as_type_ptr(), Ordering::Relaxed);
    }

    /// What is called for a protocol of exactly this class.
    #[inline]
    pub(crate) fn exactly(&self, protocol: &Bound<'_, PyAny>) -> Option<&F> {
        if self.class.load(Ordering::Relaxed) != protocol.get_type_ptr() {
            return None;
        }
        self.calls.get()
    }

    /// What is called for a protocol of this class or a derived one.
    pub(crate) fn derived(&self, protocol: &Bound<'_, PyAny>) -> Option<&F> {
        let class = self.class.load(Ordering::Relaxed);
        // SAFETY: attached; a class that is known lives as long as the module.
        let is_one = !class.is_null()
            && unsafe { ffi::PyType_IsSubtype(protocol.get_type_ptr(), class) != 0 };
        if is_one { self.calls.get() } else { None }
    }
}

/// Gives a protocol data that is not empty, as its `data_received`.
pub(crate) type Deliver = fn(&Bound<'_, PyAny>, &Bound<'_, PyBytes>) -> PyResult<()>;

/// The protocol between a stream reader and a transport.
pub(crate) static STREAM_PROTOCOL: Known<Deliver> = Known::nobody();

/// `protocol.data_received(data)`, for data that is not empty.
///
/// # Errors
/// What that raises.
#[inline]
pub(super) fn deliver(protocol: &Bound<'_, PyAny>, data: &Bound<'_, PyBytes>) -> PyResult<()> {
    match STREAM_PROTOCOL.derived(protocol) {
        Some(deliver) => deliver(protocol, data),
        None => protocol.call_method1(intern!(data.py(), "data_received"), (data,)).map(drop),
    }
}
