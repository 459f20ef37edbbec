//! Waiting for a task's result.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::task::outcome::{JoinError, Outcome, State};
use crate::task::runtime::Runtime;

/// A spawned task's result, once awaited.
///
/// Awaiting it answers the task's output, or a [`JoinError`] when it panicked or was aborted.
///
/// # Cancellation
/// Dropping the handle, or a future that awaits it, detaches the task: it goes on, and its result
/// is dropped. [`JoinHandle::abort`] ends the task itself.
///
/// # Panics
/// When polled again after it has answered.
///
/// ```
/// ouroloop::run(async {
///     let task = ouroloop::spawn(async { 6 * 7 });
///     assert_eq!(task.await.ok(), Some(42));
///
///     let task = ouroloop::spawn(std::future::pending::<()>());
///     task.abort();
///     assert!(matches!(task.await, Err(ouroloop::JoinError::Aborted)));
/// });
/// ```
#[must_use = "the task runs without it, but its panic would go unnoticed"]
pub struct JoinHandle<T> {
    outcome: Rc<Outcome<T>>,
    runtime: Rc<Runtime>,
    task: Option<u64>,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(outcome: Rc<Outcome<T>>, runtime: Rc<Runtime>, task: Option<u64>) -> Self {
        Self { outcome, runtime, task }
    }

    /// Ends the task: its future is dropped in the loop's next turn, and whoever awaits it sees
    /// [`JoinError::Aborted`]. A task that is done, or finishes first, keeps its result.
    pub fn abort(&self) {
        if let Some(task) = self.task {
            self.runtime.abort(task);
        }
    }

    /// Whether the task has ended, one way or another.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        !matches!(*self.outcome.state.borrow(), State::Pending(_))
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let joiner = context.waker().clone();
        let replaced = {
            let mut state = self.outcome.state.borrow_mut();
            match &mut *state {
                State::Pending(waiting) => waiting.replace(joiner),
                State::Finished(_) => {
                    let State::Finished(result) = std::mem::replace(&mut *state, State::Taken)
                    else {
                        unreachable!("the state was matched just now and is still borrowed")
                    };
                    return Poll::Ready(result);
                }
                State::Taken => panic!("a `JoinHandle` was polled after it had answered"),
            }
        };
        // The earlier waker may be of another executor's making: it goes when nothing is borrowed.
        drop(replaced);
        Poll::Pending
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("task", &self.task)
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
