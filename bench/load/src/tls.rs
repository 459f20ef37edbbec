//! TLS above a socket, by the system's OpenSSL; the handshake blocks, what follows does not.
//!
//! Connections are few and made before anything is measured, so neither side has to shake many hands
//! at once.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::OnceLock;

use openssl::error::ErrorStack;
use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod, SslStream, SslVerifyMode};

use crate::channel::Channel;

impl Channel for SslStream<TcpStream> {
    fn socket(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

/// Shakes hands as a client who trusts everybody.
///
/// # Errors
///
/// The kernel's and the handshake's.
pub fn connect(stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
    static CONNECTOR: OnceLock<Result<SslConnector, ErrorStack>> = OnceLock::new();
    let connector = CONNECTOR.get_or_init(|| {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_verify(SslVerifyMode::NONE);
        Ok(builder.build())
    });
    let connector = connector.as_ref().map_err(|error| io::Error::other(error.clone()))?;
    connector.connect("localhost", stream).map_err(|error| io::Error::other(error.to_string()))
}

/// A server's side, with the key and the certificate of a PEM file.
///
/// # Errors
///
/// When there is no such file, or not both in it.
pub fn acceptor(pem: &Path) -> Result<SslAcceptor, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server())?;
    builder.set_private_key_file(pem, SslFiletype::PEM)?;
    builder.set_certificate_chain_file(pem)?;
    Ok(builder.build())
}

/// Shakes hands as a server.
///
/// # Errors
///
/// The handshake's.
pub fn accept(acceptor: &SslAcceptor, stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
    stream.set_nonblocking(false)?;
    acceptor.accept(stream).map_err(|error| io::Error::other(error.to_string()))
}
