//! Byte streams between sockets, pipes, processes and protocols.

pub(crate) mod bytes;
pub(crate) mod chunk;
pub(crate) mod flow;
pub(crate) mod listener;
pub(crate) mod pipe;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod subprocess;
