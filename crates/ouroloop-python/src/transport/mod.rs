//! Byte streams between sockets and protocols.

pub(crate) mod bytes;
pub(crate) mod listener;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod tls;
