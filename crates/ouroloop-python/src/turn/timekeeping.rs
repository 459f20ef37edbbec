//! Whose time a loop goes by: what is known of it.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::native::overrides::Verdict;

/// What of time is the native class's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// `time`.
    pub(super) time: bool,
    /// `call_later` and `call_at`, by which asyncio waits for a time.
    pub(super) timers: bool,
}

/// Nothing of the program's stands in their place.
pub(super) const ALL: Own = Own { time: true, timers: true };

/// Whose time a loop goes by, as far as it was found out.
#[derive(Debug, Default)]
pub(super) struct Timekeeping {
    /// What the class has of the native one's.
    pub(super) class: Option<Verdict<Own>>,
    /// The object's own attributes.
    pub(super) attributes: Option<Py<PyDict>>,
    /// The engine was told of another time.
    pub(super) told: bool,
}

impl Timekeeping {
    /// Whether a glance shows that nothing stands in the place of the native methods.
    #[inline]
    pub(super) fn is_plain(&self, event_loop: &Bound<'_, PyAny>) -> bool {
        let has_none = |own: &Py<PyDict>| {
            // SAFETY: attached; a dictionary begins so in every version, and nothing writes to it meanwhile.
            unsafe { (*own.as_ptr().cast::<ffi::PyDictObject>()).ma_used == 0 }
        };
        Verdict::recall(self.class, event_loop.as_any()) == Some(ALL)
            && self.attributes.as_ref().is_none_or(has_none)
    }
}
