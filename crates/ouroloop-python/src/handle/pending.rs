//! Where the entry of a thin handle stands: see [`super::scheduled`].

use std::ptr::NonNull;

use ouroloop::ready::Place;
use ouroloop::timers::TimerId;
use pyo3::ffi;

/// Where a thin handle's entry stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// A living `Loop` (rule 4 there).
    pub(super) event_loop: NonNull<ffi::PyObject>,
    pub(super) stand: Stand,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Stand {
    Ready(Place),
    Timer(TimerId),
}
