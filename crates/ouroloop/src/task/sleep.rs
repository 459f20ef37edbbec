//! Waiting for a time.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock::Nanos;
use crate::task::entry::Entry;
use crate::task::runtime::Runtime;
use crate::timers::TimerId;

/// Completes once `duration` has passed since this call; never before, not by a nanosecond.
///
/// A zero duration gives way to everything that is ready now.
///
/// # Cancellation
/// Dropping it cancels its timer and gives the timer's memory back.
///
/// # Panics
/// Outside of [`run`](crate::run), and when polled after the loop of its making has ended.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let begin = Instant::now();
/// ouroloop::run(async { ouroloop::sleep(Duration::from_millis(3)).await });
/// assert!(begin.elapsed() >= Duration::from_millis(3));
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    let runtime = Runtime::current("sleep");
    let nanos = Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX);
    let deadline = runtime.turns.borrow().now().saturating_add(nanos);
    Sleep { runtime, deadline, timer: None }
}

/// The future of [`sleep`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    runtime: Rc<Runtime>,
    deadline: Nanos,
    /// The timer and the sleeper that it wakes, once polled.
    timer: Option<(TimerId, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        assert!(!self.runtime.has_ended(), "a `Sleep` was polled after its loop had ended");
        let waker = context.waker().clone();
        let Some((_, sleeper)) = self.timer else {
            let sleeper = self.runtime.sleepers.borrow_mut().insert(waker);
            let timer =
                self.runtime.turns.borrow_mut().schedule(self.deadline, Entry::Sleeper(sleeper));
            self.timer = Some((timer, sleeper));
            return Poll::Pending;
        };
        let replaced = {
            let mut sleepers = self.runtime.sleepers.borrow_mut();
            sleepers.get_mut(sleeper).map(|slot| std::mem::replace(slot, waker))
        };
        if replaced.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((timer, sleeper)) = self.timer {
            self.runtime.turns.borrow_mut().cancel(timer);
            let waker = self.runtime.sleepers.borrow_mut().remove(sleeper);
            drop(waker);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
