//! TLS, as a protocol of the transport below it and a transport for the protocol above it.
//!
//! | object | what it is |
//! | --- | --- |
//! | [`TlsProtocol`] | the machine: the lower transport's protocol; owns the [`session::Session`] |
//! | [`TlsTransport`] | what the application's protocol is given; a face of the machine |
//! | `Session` | the `ssl.SSLObject` and its two memory BIOs, and how bytes go through or past them |
//!
//! # States of the connection (`TlsPhase`)
//!
//! | phase | what bytes from below do | what the application writes | left by |
//! | --- | --- | --- | --- |
//! | `Unwrapped` | nothing | is counted as lost | `connection_made`: `Handshake` |
//! | `Handshake` | go on with the handshake | waits in the backlog | its success: `Wrapped`; failure, time-out, `close`: `Unwrapped` |
//! | `Wrapped` | are decrypted for the application | is encrypted | `close`, the peer's `close_notify`, its EOF: `Flushing` |
//! | `Flushing` | are decrypted for the application | is counted as lost | all of it read: `Shutdown` |
//! | `Shutdown` | go on with the shutdown | is counted as lost | both `close_notify` seen, an error, a time-out: the lower transport closes |
//!
//! `abort` and the lower transport's `connection_lost` lead to `Unwrapped` from everywhere.
//!
//! # States of the application's protocol (`Told`)
//!
//! `Nothing`, `connection_made`: `Connected`, `eof_received`: `Ended`, `connection_lost`: `Lost`. A protocol
//! that comes by `start_tls` begins as `Connected`.
//!
//! # Who touches what
//!
//! The session is used by the loop's thread alone and never while the state is lent, since it may
//! run Python code (callbacks of the context). Python code of the application runs last in every
//! step: when it calls back into the machine, the step has nothing in hand that it still needs.
//! `get_buffer` does not: while it runs, the session answers as if the ciphertext were in its BIO.
//!
//! # When bytes leave
//!
//! What the application writes is encrypted at once, unless the handshake or the transport below holds it up: then it
//! waits in the backlog. Over a native socket the ciphertext leaves with what else is written in the turn (see
//! [`super::socket`]), so that small writes share a system call.

mod bio;
mod class;
mod closing;
mod handshake;
mod incoming;
mod library;
mod libssl;
mod lower;
mod machine;
mod names;
mod opening;
mod outgoing;
mod reading;
mod security;
mod session;
mod transport;

use pyo3::prelude::*;

use crate::native::{instance_dict, slots};
use crate::transport::socket;

pub(crate) use libssl::tls_engine;
pub(crate) use machine::{HandshakeWaiter, TlsProtocol, TlsTransport};
pub(crate) use names::expect_context;
pub(crate) use opening::{open, upgrade};
pub(crate) use security::{Request, Security};

/// Makes the classes complete.
pub(crate) fn install(py: Python<'_>) {
    socket::TLS_READING.make_known::<TlsProtocol>(py, reading::read);
    instance_dict::install::<TlsTransport>(py);
    slots::install_deallocate::<TlsTransport>(py);
}
