//! The bare epoll echo server; prints the port it listens on.

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use clap::Parser;
use ouroloop_bench::{cpu, descriptors, floor};

/// Echoes every byte, on nothing but epoll.
#[derive(Parser)]
struct Arguments {
    /// The port to listen on, 0 for any
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Echo UDP datagrams instead of TCP connections
    #[arg(long)]
    udp: bool,
    /// Echo on TLS connections, with the key and the certificate of this PEM file
    #[cfg(feature = "tls")]
    #[arg(long)]
    certificate: Option<std::path::PathBuf>,
    /// The processor to stay on
    #[arg(long)]
    cpu: Option<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let Some(cpu) = arguments.cpu {
        cpu::pin(cpu)?;
    }
    descriptors::allow_many();
    if arguments.udp {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, arguments.port))?;
        writeln!(io::stdout(), "{}", socket.local_addr()?.port())?;
        floor::serve_datagrams(&socket)?;
        return Ok(());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    #[cfg(feature = "tls")]
    if let Some(pem) = arguments.certificate {
        let acceptor = ouroloop_bench::tls::acceptor(&pem)?;
        floor::serve_above(&listener, |stream| ouroloop_bench::tls::accept(&acceptor, stream))?;
        return Ok(());
    }
    floor::serve(&listener)?;
    Ok(())
}
