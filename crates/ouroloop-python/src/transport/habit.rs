//! How many writes a callback makes on a transport, as far as that can be told beforehand.

/// What the last callback that wrote did, and what the one that runs has done so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    /// So many writes are expected of a callback.
    expected: u8,
    writes: u8,
    /// The number of the callback that made them ([`ouroloop::EventLoop::popped`]).
    callback: u32,
}

impl Habit {
    pub(super) const fn new(expected: u8) -> Self {
        Self { expected, writes: 0, callback: 0 }
    }

    /// Counts a write of a callback; answers whether it is likely to be one of several.
    #[inline]
    pub(super) fn count(&mut self, callback: u32) -> bool {
        if callback != self.callback {
            if self.writes > 0 {
                self.expected = self.writes;
            }
            (self.writes, self.callback) = (0, callback);
        }
        self.writes = self.writes.saturating_add(1);
        self.expected > 1
    }

    /// Whether the write that was counted last was its callback's first.
    #[inline]
    pub(super) const fn is_first(self) -> bool {
        self.writes == 1
    }

    /// What is expected of the connections that come after this one.
    #[inline]
    pub(super) const fn expected(self) -> u8 {
        self.expected
    }

    /// The callback wrote less, or later, than it was expected to.
    pub(super) const fn forget(&mut self) {
        self.expected = 1;
    }
}
