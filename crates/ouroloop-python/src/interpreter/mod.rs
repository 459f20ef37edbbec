//! What native code needs of the interpreter: its objects, its memory, its stacks, its end.

#[macro_use]
pub(crate) mod names;
pub(crate) mod fresh;
pub(crate) mod modules;
pub(crate) mod once;
pub(crate) mod pending;
pub(crate) mod recursion;
pub(crate) mod references;
pub(crate) mod reserve;
pub(crate) mod room;
#[cfg(keeps_spares)]
pub(crate) mod spares;
#[cfg(unwinds_threads)]
mod thread_end;
pub(crate) mod tricks;
