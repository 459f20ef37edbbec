//! `StreamWriter`: a transport and what goes with it.

mod class;
mod drain;
mod object;
mod upgrade;

pub(super) use class::install;
pub(crate) use object::StreamWriter;
