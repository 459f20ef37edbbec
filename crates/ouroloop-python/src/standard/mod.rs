//! Objects of the standard library that native code needs, looked up once.

mod objects;
#[cfg(Py_3_14)]
mod recorder;

pub(crate) use objects::{Standard, exception_of, invalid_state, raised, raised_from_none, warner};
