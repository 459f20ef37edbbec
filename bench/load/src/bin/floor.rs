//! The bare epoll echo server; prints the port it listens on.

use std::error::Error;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};

use clap::Parser;
use ouroloop_bench::{cpu, floor};

/// Echoes every byte, on nothing but epoll.
#[derive(Parser)]
struct Arguments {
    /// The port to listen on, 0 for any
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The processor to stay on
    #[arg(long)]
    cpu: Option<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let Some(cpu) = arguments.cpu {
        cpu::pin(cpu)?;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    floor::serve(&listener)?;
    Ok(())
}
