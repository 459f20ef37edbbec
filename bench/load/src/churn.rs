//! Connections that carry one message each and are closed.
//!
//! The client closes first, so the time-wait state of each connection stays on its side and holds a
//! local port for a minute. To have ports enough, connections to a loopback address leave from
//! several loopback addresses in turn.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use crate::channel::Plain;
use crate::connection::Connection;
use crate::driver::READ_SIZE;
use crate::exchange::Kind;
use crate::histogram::Histogram;
use crate::poller::Poller;
use crate::report::Report;

const SOURCE_ADDRESSES: usize = 16;
const STALLED: Duration = Duration::from_secs(10);

/// Opens and closes `count` connections, at most `at_once` of them open at any time, and times each
/// from before its connect to the end of its reply.
///
/// # Errors
///
/// When a connection fails, a reply is wrong, or the server stalls.
pub fn run(
    target: SocketAddr,
    count: usize,
    at_once: usize,
    kind: Kind,
) -> Result<Report, Box<dyn Error>> {
    let mut poller = Poller::new()?;
    let mut buffer = vec![0; READ_SIZE];
    let mut histogram = Histogram::new();
    let mut opened = 0;
    let mut slots = Vec::new();
    let begin = Instant::now();
    for token in 0..at_once.min(count) {
        slots.push(Some(open(target, opened, token, kind, &poller)?));
        opened += 1;
    }
    let mut closed = 0;
    while closed < count {
        let events = poller.wait(Some(STALLED))?;
        if events == 0 {
            return Err("the server has sent nothing for 10 seconds".into());
        }
        for index in 0..events {
            let (token, readable) = poller.event(index);
            let Some(connection) = &mut slots[token] else { continue };
            connection.flush(&poller)?;
            if !readable || !connection.receive(&mut buffer)? {
                continue;
            }
            let latency = connection.due().elapsed().as_nanos();
            histogram.record(u64::try_from(latency).unwrap_or(u64::MAX));
            slots[token] = None;
            closed += 1;
            if opened < count {
                slots[token] = Some(open(target, opened, token, kind, &poller)?);
                opened += 1;
            }
        }
    }
    Ok(Report::new(at_once, &histogram, begin.elapsed(), None))
}

fn open(
    target: SocketAddr,
    number: usize,
    token: usize,
    kind: Kind,
    poller: &Poller,
) -> io::Result<Connection> {
    let begin = Instant::now();
    let mut connection = Connection::new(Box::new(dial(target, number)?), token, kind, poller)?;
    connection.begin(begin, poller)?;
    Ok(connection)
}

fn dial(target: SocketAddr, number: usize) -> io::Result<Plain> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if target.is_ipv4() && target.ip().is_loopback() {
        let host = u8::try_from(number % SOURCE_ADDRESSES + 1).map_err(io::Error::other)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)))?;
    }
    connect(&socket, &target)?;
    Ok(socket.into())
}
