//! The load generator; prints its report as JSON.

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ouroloop_bench::connection::Carrier;
use ouroloop_bench::driver::{self, Plan};
use ouroloop_bench::exchange::Kind;
use ouroloop_bench::{churn, cpu, descriptors};

/// Puts load on a server and reports throughput, latency and the server's CPU time.
#[derive(Parser)]
struct Arguments {
    /// The processor to stay on
    #[arg(long, global = true)]
    cpu: Option<usize>,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// One message in flight on each connection, echoed by the server
    Echo {
        #[command(flatten)]
        message: Message,
        /// Send each message as a UDP datagram
        #[arg(long)]
        udp: bool,
        /// Send the messages on TLS connections
        #[cfg(feature = "tls")]
        #[arg(long, conflicts_with = "udp")]
        tls: bool,
        #[command(flatten)]
        load: Load,
    },
    /// Keep-alive GET requests
    Http {
        #[command(flatten)]
        load: Load,
    },
    /// Connections that are opened, carry one echoed message and are closed
    Churn {
        /// The server's address
        target: SocketAddr,
        #[command(flatten)]
        message: Message,
        /// How many connections in all
        #[arg(long, default_value_t = 10_000)]
        count: usize,
        /// How many are open at once
        #[arg(long, default_value_t = 50)]
        connections: usize,
    },
}

#[derive(Args)]
struct Message {
    /// Bytes in a message
    #[arg(long, default_value_t = 1024, value_parser = positive)]
    size: usize,
    /// End each message with a newline
    #[arg(long)]
    line: bool,
    /// Compare the content of replies, not only their length
    #[arg(long)]
    check: bool,
}

#[derive(Args)]
struct Load {
    /// The server's address
    target: SocketAddr,
    /// Connections to open
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Seconds to run before measuring
    #[arg(long, default_value = "0.2", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds to measure
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Stop sooner, after this many measured messages
    #[arg(long)]
    messages: Option<u64>,
    /// Messages a second, over all connections (as many as the server can take if absent)
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// The server's process id, to report its CPU time
    #[arg(long)]
    server: Option<i32>,
}

impl Load {
    fn plan(self, carrier: Carrier, kind: Kind) -> Plan {
        Plan {
            target: self.target,
            carrier,
            connections: self.connections,
            kind,
            warm_up: self.warm_up,
            duration: self.seconds,
            messages: self.messages,
            rate: self.rate,
            server: self.server,
        }
    }
}

impl Message {
    fn kind(&self) -> Kind {
        Kind::Echo { size: self.size, line: self.line, check: self.check }
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(value) => Ok(value),
        Err(error) => Err(error.to_string()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text.parse().map_err(|_| "not a number")?;
    Duration::try_from_secs_f64(value).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("must be a positive number".into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let Some(cpu) = arguments.cpu {
        cpu::pin(cpu)?;
    }
    descriptors::allow_many();
    let report = match arguments.mode {
        #[cfg(feature = "tls")]
        Mode::Echo { message, load, tls: true, .. } => {
            driver::run(&load.plan(Carrier::Tls, message.kind()))?
        }
        Mode::Echo { message, udp, load, .. } => {
            let carrier = if udp { Carrier::Udp } else { Carrier::Tcp };
            driver::run(&load.plan(carrier, message.kind()))?
        }
        Mode::Http { load } => driver::run(&load.plan(Carrier::Tcp, Kind::Http))?,
        Mode::Churn { target, message, count, connections } => {
            churn::run(target, count, connections, message.kind())?
        }
    };
    writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}
