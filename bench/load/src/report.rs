//! What a run found, as JSON.

use std::time::Duration;

use serde::Serialize;

use crate::histogram::Histogram;

/// Latencies in microseconds.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// The arithmetic mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p99_9: f64,
    /// The largest.
    pub max: f64,
}

impl From<&Histogram> for Latency {
    fn from(histogram: &Histogram) -> Self {
        Self {
            mean: microseconds(histogram.mean()),
            p50: microseconds(histogram.quantile(500)),
            p90: microseconds(histogram.quantile(900)),
            p99: microseconds(histogram.quantile(990)),
            p99_9: microseconds(histogram.quantile(999)),
            max: microseconds(histogram.max()),
        }
    }
}

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Simultaneous connections.
    pub connections: usize,
    /// Complete exchanges in the measured window.
    pub messages: u64,
    /// The window's length.
    pub seconds: f64,
    /// Exchanges a second.
    pub throughput: f64,
    /// From the moment a message was due to the end of its reply.
    pub latency_us: Latency,
    /// The server's user and system CPU time an exchange, where its process is known.
    pub cpu_us_per_message: Option<f64>,
}

impl Report {
    /// Sums up a window of `elapsed` in which the server used `cpu`.
    #[must_use]
    pub fn new(
        connections: usize,
        histogram: &Histogram,
        elapsed: Duration,
        cpu: Option<Duration>,
    ) -> Self {
        let messages = histogram.count();
        let seconds = elapsed.as_secs_f64();
        Self {
            connections,
            messages,
            seconds,
            throughput: float(messages) / seconds,
            latency_us: histogram.into(),
            cpu_us_per_message: cpu
                .filter(|_| messages > 0)
                .map(|cpu| cpu.as_secs_f64() * 1e6 / float(messages)),
        }
    }
}

fn microseconds(nanoseconds: u64) -> f64 {
    float(nanoseconds) / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a report needs no more than 53 bits")]
fn float(value: u64) -> f64 {
    value as f64
}
