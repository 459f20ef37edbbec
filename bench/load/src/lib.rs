//! What Ouroloop's servers are measured with: a load generator and the floor it measures them against.
//!
//! Both run on raw epoll in one thread, so that the server under test, and not its client, is what
//! limits a run; neither uses Ouroloop's engine, so that a fault of the engine cannot hide in both
//! ends of a measurement. Linux only.

pub mod channel;
pub mod churn;
pub mod connection;
pub mod cpu;
pub mod descriptors;
pub mod driver;
pub mod exchange;
pub mod floor;
pub mod histogram;
pub mod poller;
pub mod report;
#[cfg(feature = "tls")]
pub mod tls;
