//! What callbacks have written: it leaves when the turn is over, or sooner.

use std::collections::VecDeque;

use ouroloop::EventLoop;
use ouroloop::net::Holder;
use pyo3::prelude::*;

use super::event_loop::{Loop, Unsent};
use crate::interpreter::room::{Grow, taken};

impl Loop {
    /// Remembers a transport whose writes leave when the turn is over, or sooner.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(crate) fn send_later(&self, py: Python<'_>, transport: Unsent) -> PyResult<()> {
        let answer = self.unsent.with(py, |unsent| unsent.grow(transport));
        taken(py, answer)
    }

    /// What holds back writes of this loop's callbacks.
    #[inline]
    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Sends what the callbacks of this turn have written.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of a protocol that was paused or resumed.
    #[inline]
    pub(crate) fn send_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut answer = Ok(());
        while let Some(Unsent { transport, send }) = slf.get().unsent.with(py, VecDeque::pop_front)
        {
            answer = answer.and(send(slf, transport.bind(py)));
        }
        answer
    }

    /// The number of the callback that writes, if this is the loop's thread, and whether others are waiting in
    /// this turn. The loop looks out for what is answered.
    pub(crate) fn callback_that_writes(&self, py: Python<'_>) -> Option<(u32, bool)> {
        self.runs_here(py).then(|| {
            self.engine.with(py, |engine| {
                engine.expect_answer();
                (engine.popped(), engine.goes_on())
            })
        })
    }

    /// Looks out for what is answered to something that is sent now.
    pub(crate) fn expect_answer(&self, py: Python<'_>) {
        self.engine.with(py, EventLoop::expect_answer);
    }
}
