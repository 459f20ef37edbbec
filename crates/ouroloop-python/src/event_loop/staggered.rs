//! Happy eyeballs: attempts that start one after another and race for the first success.
//!
//! asyncio's rules (RFC 8305):
//!
//! 1. The next attempt starts when the latest one has failed, or when the latest one has been
//!    under way for the delay. That an earlier one fails starts nothing.
//! 2. The first success wins; all other attempts are cancelled.
//! 3. The race is over when every attempt has ended, also after a success or a cancellation: what
//!    an attempt holds is given back by then.
//!
//! Each attempt is a task of the loop, because it awaits what programs may have replaced.

use pyo3::prelude::*;
use pyo3::types::PySet;

use super::Loop;
use super::closing::Closing;
use crate::coroutine::Scope;
use crate::errors::leaving::exception_leaves_loop;
use crate::interpreter::fresh;
use crate::interpreter::pending::Pending;
use crate::standard::Standard;

/// The attempts that have not ended, in the order of their start.
///
/// Dropping it cancels them and closes what those achieved that have ended unnoticed.
#[derive(Debug, Default)]
struct Field {
    tasks: Vec<Py<PyAny>>,
}

/// How an attempt ended.
enum End {
    Success(Closing),
    Failure,
}

impl Field {
    fn cancel_all(&self, py: Python<'_>) -> PyResult<()> {
        self.tasks
            .iter()
            .try_for_each(|task| task.bind(py).call_method0(intern!(py, "cancel")).map(drop))
    }

    /// Takes those out that have ended.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt` of an attempt.
    fn take_ended(&mut self, py: Python<'_>) -> PyResult<Vec<End>> {
        let mut ends = Vec::new();
        let mut place = 0;
        while let Some(task) = self.tasks.get(place) {
            match end_of(task.bind(py)) {
                Ok(None) => place += 1,
                Ok(Some(end)) => {
                    ends.push(end);
                    drop(self.tasks.remove(place));
                }
                Err(error) => {
                    drop(self.tasks.remove(place));
                    return Err(error);
                }
            }
        }
        Ok(ends)
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        Python::try_attach(|py| {
            let _pending = Pending::put_aside(py);
            let cancelled = self.cancel_all(py);
            for result in [cancelled, self.take_ended(py).map(drop)] {
                if let Err(error) = result {
                    error.write_unraisable(py, None);
                }
            }
        });
    }
}

fn end_of(task: &Bound<'_, PyAny>) -> PyResult<Option<End>> {
    let py = task.py();
    if !task.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(None);
    }
    if task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(Some(End::Failure));
    }
    let error = task.call_method0(intern!(py, "exception"))?;
    if exception_leaves_loop(&error) {
        return Err(PyErr::from_value(error));
    }
    if !error.is_none() {
        return Ok(Some(End::Failure));
    }
    let result = task.call_method0(intern!(py, "result"))?;
    Ok(Some(End::Success(Closing::new(result.unbind()))))
}

/// Runs the race; `None` if all attempts failed. `next` makes the attempts' coroutines, whose
/// results can be closed.
///
/// # Errors
/// `CancelledError`, and whatever `next` raises.
pub(super) async fn race(
    scope: &Scope,
    event_loop: &Py<Loop>,
    delay: f64,
    mut next: impl FnMut(Python<'_>) -> PyResult<Option<Py<PyAny>>>,
) -> PyResult<Option<Closing>> {
    let mut field = Field::default();
    let mut latest: Option<Py<PyAny>> = None;
    let mut winner: Option<Closing> = None;
    let mut cancelled: Option<PyErr> = None;
    let mut more = true;
    let mut deadline = f64::NEG_INFINITY;
    loop {
        let open = more && winner.is_none() && cancelled.is_none();
        let wait = Python::attach(|py| -> PyResult<_> {
            let event_loop = event_loop.bind(py);
            let ended = !latest
                .as_ref()
                .is_some_and(|latest| field.tasks.iter().any(|task| task.is(latest)));
            if open && (ended || Loop::time(event_loop)? >= deadline) {
                match next(py)? {
                    None => more = false,
                    Some(attempt) => {
                        let task =
                            event_loop.call_method1(intern!(py, "create_task"), (attempt,))?;
                        latest = Some(task.clone().unbind());
                        field.tasks.push(task.unbind());
                        deadline = Loop::time(event_loop)? + delay;
                    }
                }
            }
            if field.tasks.is_empty() {
                return Ok(None);
            }
            let patience = (open && more)
                .then(|| Loop::time(event_loop).map(|now| deadline - now))
                .transpose()?;
            first_of(py, &field.tasks, patience.map(|seconds| seconds.max(0.0))).map(Some)
        })?;
        let Some(wait) = wait else { break };
        let waited = scope.wait(wait).await;
        Python::attach(|py| -> PyResult<()> {
            if let Err(error) = waited {
                if !error.matches(py, Standard::get(py)?.cancelled_error.bind(py))? {
                    return Err(error);
                }
                cancelled = Some(error);
                field.cancel_all(py)?;
            }
            for end in field.take_ended(py)? {
                if let End::Success(result) = end
                    && winner.is_none()
                    && cancelled.is_none()
                {
                    winner = Some(result);
                    field.cancel_all(py)?;
                }
            }
            Ok(())
        })?;
    }
    match cancelled {
        Some(error) => Err(error),
        None => Ok(winner),
    }
}

/// An awaitable that is over when one of `tasks` is, or after `seconds`.
fn first_of(py: Python<'_>, tasks: &[Py<PyAny>], seconds: Option<f64>) -> PyResult<Py<PyAny>> {
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "timeout"), seconds)?;
    keywords.set_item(intern!(py, "return_when"), intern!(py, "FIRST_COMPLETED"))?;
    let wait = Standard::get(py)?.wait.bind(py);
    Ok(wait.call((PySet::new(py, tasks)?,), Some(&keywords))?.unbind())
}
