//! `StreamReader`: bytes that came, and the one coroutine that waits for more.
//!
//! Whatever a program may have overridden is called through Python ([`StreamReader::is_plain`]
//! tells); a plain reader is fed, woken and read natively.

mod class;
mod goals;
mod object;
mod separators;
mod wait;

pub(super) use class::install;
pub(super) use goals::raise;
pub(crate) use object::StreamReader;
pub(super) use object::{is_reader, missing, remember_methods};
