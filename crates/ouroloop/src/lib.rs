//! The engine of Ouroloop: an event loop of turns that knows nothing of Python.
//!
//! The modules stand in floors below, the ground first: each knows those of earlier groups alone.
//! [`event_loop`] is one turn; everything else is a part that a turn uses. [`net`] holds the
//! sockets, [`pipe`] the ends of pipes and their like, [`process`] tells when a child has ended, and
//! [`task`] drives Rust futures on the same turns:
//!
//! ```
//! use std::time::Duration;
//!
//! ouroloop::run(async {
//!     let greeting = ouroloop::spawn(async {
//!         ouroloop::sleep(Duration::from_millis(1)).await;
//!         "hello"
//!     });
//!     assert_eq!(greeting.await.ok(), Some("hello"));
//! });
//! ```

pub mod clock;
pub mod fork;
mod memory;
pub mod process;
pub mod ready;
mod sequence;
mod sync;

pub mod blocking;
pub mod callback;
pub mod multiplex;
pub mod net;
pub mod timers;
pub mod waker;

pub mod inbox;
pub mod interrupt;
pub mod pipe;
mod sources;

mod remains;
mod wait;

pub mod event_loop;

pub mod task;

pub use callback::{Callback, Refused, Watched};
pub use event_loop::EventLoop;
pub use remains::Remains;
pub use task::{JoinError, JoinHandle, Sleep, TcpListener, TcpStream, run, run_on, sleep, spawn};
pub use wait::Wait;

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
