//! Load on a fixed set of connections.
//!
//! A run has three phases, and only `Driver::turn_phase` moves it from one to the next:
//!
//! 1. *Warm-up*: exchanges run, nothing is recorded.
//! 2. *Measured*: the clocks are read at its beginning and its end, and every exchange that ends in
//!    it is recorded. Connecting and closing lie outside, so they are not on the server's bill.
//! 3. *Draining*: no exchange begins any more; when the last one under way has ended, the
//!    connections are closed in good order.
//!
//! Without a rate the load is *closed*: a connection sends its next message when the reply to the
//! last one is complete. With a rate it is *open*: messages are due on a fixed schedule, and one
//! that finds no idle connection waits for it with its clock running, so that a server's pause is
//! charged to all messages it delayed.

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::connection::{Carrier, Connection};
use crate::cpu;
use crate::exchange::Kind;
use crate::histogram::Histogram;
use crate::poller::Poller;
use crate::report::Report;

/// The size of a read: room for a whole large message.
pub const READ_SIZE: usize = 256 * 1024;

/// A server that is silent for so long while it owes a reply has failed.
const STALLED: Duration = Duration::from_secs(10);

/// The longest wait, so that phases end on time and a stall is seen.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server listens.
    pub target: SocketAddr,
    /// What carries the messages.
    pub carrier: Carrier,
    /// How many connections to open.
    pub connections: usize,
    /// What travels on them.
    pub kind: Kind,
    /// How long to run before measuring.
    pub warm_up: Duration,
    /// How long to measure.
    pub duration: Duration,
    /// How many exchanges to measure, if fewer than fit in `duration`.
    pub messages: Option<u64>,
    /// Messages a second, over all connections; `None` for as many as the server can take.
    pub rate: Option<f64>,
    /// The process whose CPU time is read.
    pub server: Option<i32>,
}

/// Runs a plan to its end.
///
/// # Errors
///
/// When a connection fails, a reply is wrong, or the server stalls: such a run measures nothing.
pub fn run(plan: &Plan) -> Result<Report, Box<dyn Error>> {
    let mut driver = Driver::new(plan)?;
    while driver.turn_phase()? != Phase::Over {
        driver.begin_due()?;
        driver.wait()?;
    }
    let cpu = driver.cpu.map(|(begin, end)| end.saturating_sub(begin));
    Ok(Report::new(plan.connections, &driver.histogram, driver.elapsed, cpu))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    WarmUp { until: Instant },
    Measured { since: Instant },
    Draining,
    Over,
}

#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: Instant,
}

struct Driver<'a> {
    plan: &'a Plan,
    poller: Poller,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    pace: Option<Pace>,
    phase: Phase,
    histogram: Histogram,
    elapsed: Duration,
    cpu: Option<(Duration, Duration)>,
    progress: Instant,
    buffer: Box<[u8]>,
}

impl<'a> Driver<'a> {
    fn new(plan: &'a Plan) -> Result<Self, Box<dyn Error>> {
        let poller = Poller::new()?;
        let connections = (0..plan.connections)
            .map(|token| {
                Connection::new(plan.carrier.connect(plan.target)?, token, plan.kind, &poller)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let now = Instant::now();
        Ok(Self {
            plan,
            poller,
            connections,
            idle: (0..plan.connections).collect(),
            pace: plan
                .rate
                .map(|rate| Duration::try_from_secs_f64(rate.recip()))
                .transpose()?
                .map(|interval| Pace { interval, next: now }),
            phase: Phase::WarmUp { until: now + plan.warm_up },
            histogram: Histogram::new(),
            elapsed: Duration::ZERO,
            cpu: None,
            progress: now,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
        })
    }

    fn turn_phase(&mut self) -> Result<Phase, Box<dyn Error>> {
        let now = Instant::now();
        match self.phase {
            Phase::WarmUp { until } if now >= until => {
                self.cpu = self.server_time()?.map(|time| (time, time));
                self.phase = Phase::Measured { since: Instant::now() };
            }
            Phase::Measured { since } if self.is_enough(now - since) => {
                self.elapsed = now - since;
                let end = self.server_time()?;
                self.cpu = self.cpu.and_then(|(begin, _)| Some((begin, end?)));
                self.phase = Phase::Draining;
            }
            Phase::Draining if self.idle.len() == self.connections.len() => {
                self.phase = Phase::Over;
            }
            _ => {}
        }
        Ok(self.phase)
    }

    fn is_enough(&self, elapsed: Duration) -> bool {
        elapsed >= self.plan.duration
            || self.plan.messages.is_some_and(|messages| self.histogram.count() >= messages)
    }

    fn server_time(&self) -> std::io::Result<Option<Duration>> {
        self.plan.server.map(cpu::process_time).transpose()
    }

    fn begin_due(&mut self) -> std::io::Result<()> {
        if self.phase == Phase::Draining {
            return Ok(());
        }
        while let Some(&token) = self.idle.front() {
            let now = Instant::now();
            let due = match &mut self.pace {
                None => now,
                Some(pace) if pace.next <= now => {
                    let due = pace.next;
                    pace.next += pace.interval;
                    due
                }
                Some(_) => break,
            };
            self.idle.pop_front();
            self.connections[token].begin(due, &self.poller)?;
        }
        Ok(())
    }

    /// The time until a message can begin, in whole milliseconds: an epoll wait is no sharper, and
    /// the rest of the way is polled, since the generator has a processor of its own.
    fn time_to_wait(&self) -> Duration {
        match &self.pace {
            Some(pace) if !self.idle.is_empty() && self.phase != Phase::Draining => {
                let left = pace.next.saturating_duration_since(Instant::now());
                Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
            }
            _ => LONGEST_WAIT,
        }
    }

    fn wait(&mut self) -> Result<(), Box<dyn Error>> {
        let count = self.poller.wait(Some(self.time_to_wait().min(LONGEST_WAIT)))?;
        if count == 0
            && self.idle.len() < self.connections.len()
            && self.progress.elapsed() > STALLED
        {
            return Err("the server owes a reply and has sent nothing for 10 seconds".into());
        }
        for index in 0..count {
            self.handle(index)?;
        }
        if count > 0 {
            self.progress = Instant::now();
        }
        Ok(())
    }

    fn handle(&mut self, index: usize) -> Result<(), Box<dyn Error>> {
        let (token, readable) = self.poller.event(index);
        let connection = &mut self.connections[token];
        connection.flush(&self.poller)?;
        if !readable || !connection.receive(&mut self.buffer)? {
            return Ok(());
        }
        let now = Instant::now();
        if matches!(self.phase, Phase::Measured { .. }) {
            let latency = now.saturating_duration_since(connection.due()).as_nanos();
            self.histogram.record(u64::try_from(latency).unwrap_or(u64::MAX));
        }
        if self.pace.is_none() && self.phase != Phase::Draining {
            connection.begin(now, &self.poller)?;
        } else {
            self.idle.push_back(token);
        }
        Ok(())
    }
}
