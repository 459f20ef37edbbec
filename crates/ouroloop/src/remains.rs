//! What a loop held when it was closed.

use std::collections::VecDeque;
use std::collections::hash_map::IntoValues;

use crate::sources::Source;

/// The callbacks of a closed loop, which nobody runs any more: to be dropped where their owner may call out.
///
/// They lie in the loop's own tables, so that a loop is closed without memory.
#[derive(Debug)]
#[must_use = "callbacks that are dropped may run code of their owners'"]
pub struct Remains<C> {
    pub(crate) ready: VecDeque<C>,
    pub(crate) timers: IntoValues<u64, C>,
    pub(crate) sources: Vec<Source<C>>,
    pub(crate) letters: Vec<C>,
}

impl<C> Remains<C> {
    /// What was ready, in order; the timers' in no particular one; those of the descriptors; other threads' letters.
    pub fn into_callbacks(self) -> impl Iterator<Item = C> {
        let watched = self.sources.into_iter().flat_map(Source::into_callbacks);
        self.ready.into_iter().chain(self.timers).chain(watched).chain(self.letters)
    }
}
