//! `sock_sendfile` and `sendfile`: a file's content on its way to a peer.
//!
//! | file | owns |
//! | --- | --- |
//! | `arguments.rs` | which part of the file; what asyncio refuses |
//! | `native.rs` | `sendfile(2)`, on a socket or beneath a transport that lends its descriptor |
//! | `fallback.rs` | reading in the executor and sending piece by piece |
//! | `flow.rs` | the protocol that stands in while a transport is written to that way |
//!
//! The methods by which asyncio's loops try the native way keep their names, so that a program that
//! replaces one (to have none tried) is heeded.

mod arguments;
mod class;
mod fallback;
mod flow;
mod native;
