//! A look at the descriptors, between a loop's planning it and its collecting what was found.

use std::io;
use std::sync::Arc;

use crate::multiplex::{Events, Multiplexer, Timeout};

/// A planned look at the descriptors; performing it borrows nothing of the loop.
#[derive(Debug)]
#[must_use]
pub struct Wait {
    pub(crate) multiplexer: Arc<dyn Multiplexer>,
    pub(crate) events: Events,
    pub(crate) timeout: Timeout,
    pub(crate) outcome: io::Result<()>,
}

impl Wait {
    /// Whether performing it may block the thread.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.timeout != Timeout::Zero
    }

    /// Performs it; the outcome is for [`EventLoop::collect`](crate::EventLoop::collect).
    pub fn perform(&mut self) {
        self.outcome = self.multiplexer.wait(&mut self.events, self.timeout);
    }
}
