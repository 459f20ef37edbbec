//! What stands between descriptors and protocols.

#[macro_use]
mod face;
pub(crate) mod address;
mod buffer_limits;
pub(crate) mod bytes;
pub(crate) mod chunk;
pub(crate) mod datagram;
pub(crate) mod descriptor;
pub(crate) mod endpoint;
mod failure;
mod habit;
pub(crate) mod lent_frame;
pub(crate) mod listener;
pub(crate) mod native_protocol;
mod notice;
pub(crate) mod pipe;
pub(crate) mod protocol;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod socket_file;
pub(crate) mod subprocess;
pub(crate) mod tls;
mod unclosed;
