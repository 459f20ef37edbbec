//! A TCP echo server: each connection is a task, and everything runs on one thread.
//!
//! `cargo run --release -p ouroloop --example echo_server -- 127.0.0.1:8888`

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ouroloop::{TcpListener, TcpStream, sleep, spawn};

/// Sends back what it reads until the peer has finished; the peer's errors end only its own
/// connection.
async fn echo(connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match connection.read(&mut buffer).await? {
            0 => return connection.shutdown(),
            n => connection.write_all(&buffer[..n]).await?,
        }
    }
}

/// Serves for as long as it is awaited.
pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => drop(spawn(echo(connection))),
            Err(error) if is_lack_of_descriptors(&error) => {
                // The connection still waits; by then another may have ended.
                sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_lack_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg_attr(test, expect(dead_code, reason = "`tests/echo.rs` serves on an address of its own"))]
fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".to_owned());
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    ouroloop::run(async {
        let listener = TcpListener::bind(address)?;
        eprintln!("echoing on {}", listener.local_addr()?);
        serve(listener).await
    })
}
