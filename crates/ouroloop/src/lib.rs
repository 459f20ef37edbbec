//! The engine of Ouroloop: an event loop of turns that knows nothing of Python.
//!
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

pub mod blocking;
pub mod callback;
pub mod clock;
pub mod event_loop;
pub mod fork;
pub mod inbox;
pub mod interrupt;
mod memory;
pub mod multiplex;
pub mod net;
pub mod pipe;
pub mod process;
pub mod ready;
mod sequence;
mod sources;
mod sync;
pub mod task;
pub mod timers;
pub mod waker;

pub use callback::{Callback, Refused, Watched};
pub use event_loop::{EventLoop, Wait};
pub use task::{JoinError, JoinHandle, Sleep, TcpListener, TcpStream, run, run_on, sleep, spawn};
