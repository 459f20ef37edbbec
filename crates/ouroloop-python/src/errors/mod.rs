//! Errors on their way: those of the system, panics, the one that is being handled, what the logger is told, and what a release promises to raise.

pub(crate) mod concurrent;
pub(crate) mod containment;
pub(crate) mod contract;
pub(crate) mod handled;
pub(crate) mod leaving;
pub(crate) mod logged;
pub(crate) mod os_error;
