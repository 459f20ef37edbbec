//! What a Rust program calls: [`run`] and [`spawn`].

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;

use crate::multiplex::Mechanism;
use crate::task::join::JoinHandle;
use crate::task::outcome::{Fail, JoinError, Outcome};
use crate::task::runtime::Runtime;

/// Runs a future, and the tasks that it spawns, on a loop of this thread; answers its output.
///
/// The loop exists for the length of the call. Tasks that are not done when the future is are
/// dropped.
///
/// # Panics
/// When called by a future that `run` is running, when the system refuses the loop's descriptors,
/// with whatever `future` panics with, and in a process that `future` or a task has forked and that
/// comes back to the loop: it is the parent's.
///
/// ```
/// use std::time::Duration;
///
/// let answer = ouroloop::run(async {
///     let slow = ouroloop::spawn(async {
///         ouroloop::sleep(Duration::from_millis(2)).await;
///         "slow"
///     });
///     let quick = ouroloop::spawn(async { "quick" });
///     (quick.await.ok(), slow.await.ok())
/// });
/// assert_eq!(answer, (Some("quick"), Some("slow")));
/// ```
pub fn run<F: Future>(future: F) -> F::Output {
    run_on(Mechanism::fastest(), future)
}

/// [`run`] on a loop that waits for its descriptors by `mechanism`.
///
/// # Panics
/// As [`run`].
///
/// ```
/// use ouroloop::multiplex::Mechanism;
///
/// assert_eq!(ouroloop::run_on(Mechanism::Poll, async { "polled" }), "polled");
/// ```
pub fn run_on<F: Future>(mechanism: Mechanism, future: F) -> F::Output {
    let runtime = Runtime::new(mechanism).unwrap_or_else(|error| {
        panic!("`ouroloop::run` could not open the loop's descriptors: {error}")
    });
    let _entered = runtime.enter();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let future = pin!(future);
        runtime.drive(future)
    }));
    runtime.end();
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Starts a task: `future` is first polled in the loop's next turn and runs beside its spawner.
///
/// # Cancellation
/// Dropping the [`JoinHandle`] lets the task go on; [`JoinHandle::abort`] ends it.
///
/// # Panics
/// Outside of [`run`]. A panic of the task itself is carried to whoever awaits the handle.
///
/// ```
/// ouroloop::run(async {
///     let task = ouroloop::spawn(async { panic!("no luck") });
///     let error = task.await.expect_err("it panics");
///     assert_eq!(error.to_string(), "the task panicked: no luck");
/// });
/// ```
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
{
    let runtime = Runtime::current("spawn");
    let outcome = Outcome::new();
    if runtime.has_ended() {
        drop(future);
        outcome.fail(JoinError::Aborted);
        return JoinHandle::new(outcome, runtime, None);
    }
    let result = Rc::clone(&outcome);
    let work = Box::pin(async move {
        let output = {
            let future = pin!(future);
            future.await
        };
        result.finish(Ok(output));
    });
    let task = runtime.insert(work, Rc::clone(&outcome) as Rc<dyn Fail>);
    JoinHandle::new(outcome, runtime, Some(task))
}
