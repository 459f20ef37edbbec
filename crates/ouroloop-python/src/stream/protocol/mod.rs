//! `StreamReaderProtocol`: the protocol between a transport and a pair of reader and writer.
//!
//! It knows its reader weakly: a connection whose reader is gone drops what comes. Until a server's
//! connection is made it holds the reader, from then on the callback's task does.

mod class;
mod connected;
mod flow;
mod object;

pub(super) use class::install;
pub(crate) use object::StreamReaderProtocol;
pub(super) use object::remember_methods;
