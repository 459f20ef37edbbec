//! One step of a task: run the coroutine to its next `await`, look at what it waits for.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::object::Task;
use super::registry;
use crate::context::run_in;
use crate::errors::leaving::leaves_loop;
use crate::future::listen::DoneListener;
use crate::future::{Future, FuturePhase, Link, Outcome, cancel_awaited, exactly_native};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::recursion::Level;
use crate::interpreter::references::{CloneRef as _, DropRef as _};
use crate::native::slots::Resumed;
use crate::standard::{Standard, exception_of, invalid_state};
use crate::turn::current::standard;
use crate::turn::{Loop, hooks};

/// A step from a native loop's ready queue.
#[inline]
pub(crate) fn step(
    task: &Bound<'_, Task>,
    event_loop: &Bound<'_, Loop>,
    error: Option<PyErr>,
) -> PyResult<()> {
    let py = task.py();
    event_loop.get().current.enter(event_loop.as_any(), task.as_any())?;
    let context = task.get().context(py).into_bound(py);
    run_in(py, context.as_unbound(), || advance(task, Some(event_loop), error))
}

/// The step that follows the end of what a task waited for, from a native loop's ready queue.
#[inline]
pub(crate) fn wake(
    task: &Bound<'_, Task>,
    event_loop: &Bound<'_, Loop>,
    future: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let error = error_of(future);
    step(task, event_loop, error)
}

/// A step that a foreign loop runs, in the context that it was given.
pub(super) fn step_anywhere(task: &Bound<'_, Task>, error: Option<PyErr>) -> PyResult<()> {
    let _level = Level::enter(task.py())?;
    let event_loop = task.as_super().get().event_loop(task.py())?;
    if let Ok(native) = event_loop.cast::<Loop>() {
        Loop::leave_task(native)?;
    }
    registry::enter(&event_loop, task)?;
    let answer = advance(task, None, error);
    let left = registry::leave(&event_loop, task);
    answer.and(left)
}

/// `task_wakeup(future)`, as a foreign future or loop calls it.
pub(super) fn wake_anywhere(task: &Bound<'_, Task>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    let error = error_of(future);
    step_anywhere(task, error)
}

/// What to throw into a coroutine that waited for `future`.
fn error_of(future: &Bound<'_, PyAny>) -> Option<PyErr> {
    match exactly_native(future) {
        Some(native) => Future::error_for_waiter(native),
        None => future.call_method0(intern!(future.py(), "result")).err(),
    }
}

/// The first step of an eager task, inside whatever runs now.
pub(super) fn start_eagerly(task: &Bound<'_, Task>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    let _level = match Level::enter(py) {
        Ok(level) => level,
        Err(error) => return never_started(task, error),
    };
    registry::register(task)?;
    let before = standard::swap(event_loop, task.as_any())?;
    let context = task.get().context(py);
    let answer = run_in(py, &context, || advance(task, None, None));
    let swapped = standard::swap(event_loop, &before);
    if task.as_super().get().is_done(py) {
        drop(task.get().state.with(py, |state| state.coroutine.take()));
    }
    answer.and(swapped.map(drop))
}

/// The coroutine of an eager task cannot even begin, which counts as its own error.
#[cold]
fn never_started(task: &Bound<'_, Task>, error: PyErr) -> PyResult<()> {
    drop(task.get().state.with(task.py(), |state| state.coroutine.take()));
    end_with_error(task, error)
}

/// Runs the coroutine to its next `await` and deals with the answer. `turn_of` is the native loop
/// whose turn this is, which is then the task's own.
#[inline]
fn advance(
    task: &Bound<'_, Task>,
    turn_of: Option<&Bound<'_, Loop>>,
    error: Option<PyErr>,
) -> PyResult<()> {
    let py = task.py();
    let (must_cancel, coroutine, awaited) = task.get().state.with(py, |state| {
        (
            std::mem::take(&mut state.must_cancel),
            state.coroutine.clone_ref(py),
            state.awaited.take(),
        )
    });
    awaited.drop_ref(py);
    if task.as_super().get().is_done(py) {
        return Err(already_done(task, error));
    }
    let Some(coroutine) = coroutine.map(|coroutine| coroutine.into_bound(py)) else {
        return Err(fresh::error::<PyRuntimeError>("uninitialized Task object"));
    };
    let error = if must_cancel { Some(cancellation(task, error)?) } else { error };
    match resume(&coroutine, error) {
        Resumed::Yielded(awaited) => match turn_of {
            // A bare yield: the next step takes its place in the ready queue.
            Some(event_loop) if awaited.is_none(py) => {
                awaited.drop_ref(py);
                Task::step_again(task, event_loop);
                Ok(())
            }
            _ => wait_for(task, awaited.into_bound(py)),
        },
        Resumed::Returned(result) => end_with_result(task, result),
        Resumed::Raised(error) => end_with_error(task, error),
    }
}

fn already_done(task: &Bound<'_, Task>, error: Option<PyErr>) -> PyErr {
    let shown = |object: &Bound<'_, PyAny>| object.repr().and_then(|text| fresh::content(&text));
    let text = error.map_or(Ok(String::from("''")), |error| shown(error.value(task.py()).as_any()));
    shown(task.as_any())
        .and_then(|task| fresh::text(format_args!("__step(): already done: {task} {}", text?)))
        .map_or_else(std::convert::identity, |message| invalid_state(task.py(), &message))
}

/// What a pending cancellation throws: the error on its way if that is a cancellation already.
fn cancellation(task: &Bound<'_, Task>, error: Option<PyErr>) -> PyResult<PyErr> {
    let py = task.py();
    let class = Standard::get(py)?.cancelled_error.bind(py);
    match error {
        Some(error) if error.matches(py, class)? => Ok(error),
        _ => Future::cancelled_error(task.as_super()),
    }
}

/// `coroutine.send(None)` or `coroutine.throw(error)`.
#[inline]
fn resume(coroutine: &Bound<'_, PyAny>, error: Option<PyErr>) -> Resumed {
    let py = coroutine.py();
    let mut answer = std::ptr::null_mut();
    // SAFETY: attached; the coroutine is alive, and by the contract of `PyIter_Send` the answer
    // is a new reference unless the status is an error, which has set an exception.
    unsafe {
        let status = match error {
            None => ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &raw mut answer),
            Some(error) => {
                let error = error.into_value(py);
                return match coroutine.call_method1(intern!(py, "throw"), (error,)) {
                    Ok(awaited) => Resumed::Yielded(awaited.unbind()),
                    Err(error) => stopped(py, error),
                };
            }
        };
        match status {
            ffi::PySendResult::PYGEN_NEXT => {
                Resumed::Yielded(Bound::from_owned_ptr(py, answer).unbind())
            }
            ffi::PySendResult::PYGEN_RETURN => {
                Resumed::Returned(Bound::from_owned_ptr(py, answer).unbind())
            }
            ffi::PySendResult::PYGEN_ERROR => Resumed::Raised(PyErr::fetch(py)),
        }
    }
}

fn stopped(py: Python<'_>, error: PyErr) -> Resumed {
    if error.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) {
        return match error.value(py).getattr(intern!(py, "value")) {
            Ok(value) => Resumed::Returned(value.unbind()),
            Err(error) => Resumed::Raised(error),
        };
    }
    Resumed::Raised(error)
}

fn end_with_result(task: &Bound<'_, Task>, result: Py<PyAny>) -> PyResult<()> {
    let py = task.py();
    registry::forget(py, task.get());
    let cancelled = task.get().state.with(py, |state| std::mem::take(&mut state.must_cancel));
    let outcome = if cancelled {
        let message = task
            .as_super()
            .get()
            .state
            .with(py, |state| state.set_rare(|rare| &mut rare.cancel_message, None));
        Outcome::Cancelled { message }
    } else {
        Outcome::Result(result)
    };
    Future::finish(task.as_super(), outcome)
}

fn end_with_error(task: &Bound<'_, Task>, error: PyErr) -> PyResult<()> {
    let py = task.py();
    registry::forget(py, task.get());
    if error.matches(py, Standard::get(py)?.cancelled_error.bind(py))? {
        let kept = error.into_value(py).into_any();
        let future = task.as_super();
        drop(
            future
                .get()
                .state
                .with(py, |state| state.set_rare(|rare| &mut rare.cancelled_error, Some(kept))),
        );
        return Future::finish(future, Outcome::Cancelled { message: None });
    }
    let leaves = leaves_loop(py, &error);
    Future::finish_with_error(task.as_super(), exception_of(py, &error).as_any())?;
    if leaves { Err(error) } else { Ok(()) }
}

/// Makes the task wait for what its coroutine yielded.
fn wait_for(task: &Bound<'_, Task>, awaited: Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    if awaited.is(task) {
        return fail(
            task,
            fresh::text(format_args!("Task cannot await on itself: {}", task.repr()?))?,
        );
    }
    if awaited.is_none() {
        return Task::schedule_step(task);
    }
    if let Some(future) = exactly_native(&awaited) {
        return wait_for_native(task, future);
    }
    let Ok(blocking) = awaited.getattr(registry::blocking_name(py)) else {
        return refuse(task, &awaited);
    };
    if blocking.is_none() {
        return refuse(task, &awaited);
    }
    let event_loop = match awaited.getattr_opt(intern!(py, "get_loop"))? {
        Some(get_loop) => get_loop.call0()?,
        None => awaited.getattr(intern!(py, "_loop"))?,
    };
    if !task.as_super().get().lives_on(py, event_loop.as_ptr()) {
        return fail(task, other_loop(task, &awaited)?);
    }
    if !blocking.is_truthy()? {
        return fail(task, not_awaited(task, &awaited)?);
    }
    awaited.setattr(registry::blocking_name(py), false)?;
    let keywords = fresh::dict(py)?;
    keywords.set_item(intern!(py, "context"), task.get().context(py))?;
    let wakeup = Task::wakeup_method(task)?;
    awaited.call_method(intern!(py, "add_done_callback"), (wakeup,), Some(&keywords))?;
    remember_awaited(task, awaited)
}

fn wait_for_native(task: &Bound<'_, Task>, future: &Bound<'_, Future>) -> PyResult<()> {
    enum Finding {
        Awaited,
        OtherLoop,
        NotAwaited,
    }
    let py = task.py();
    let event_loop = task
        .as_super()
        .get()
        .state
        .with(py, |state| state.home.object().map_or(std::ptr::null_mut(), Py::as_ptr));
    let finding = future.get().state.with(py, |state| {
        if state.home.object().is_none_or(|home| home.as_ptr() != event_loop) {
            return Finding::OtherLoop;
        }
        if !std::mem::take(&mut state.blocking) {
            return Finding::NotAwaited;
        }
        Finding::Awaited
    });
    match finding {
        Finding::OtherLoop => fail(task, other_loop(task, future.as_any())?),
        Finding::NotAwaited => fail(task, not_awaited(task, future.as_any())?),
        Finding::Awaited => {
            Future::add_link(future, Link::Listener(DoneListener::new(task)))?;
            remember_awaited(task, future.as_any().clone())
        }
    }
}

/// Ends a step that waits; a cancellation that came during the step goes on to what is awaited.
#[inline]
fn remember_awaited(task: &Bound<'_, Task>, awaited: Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    if hooks::are_on() {
        hooks::parks(task.as_any(), &awaited);
    }
    let reference = awaited.clone().unbind();
    let (must_cancel, before) =
        task.get().state.with(py, |state| (state.must_cancel, state.awaited.replace(reference)));
    before.drop_ref(py);
    if must_cancel {
        let future = task.as_super().get();
        let message = future.state.with(py, |state| state.rare(py, |rare| &rare.cancel_message));
        if cancel_awaited(&awaited, message.as_ref())? {
            task.get().state.with(py, |state| state.must_cancel = false);
        }
    }
    Ok(())
}

fn other_loop(task: &Bound<'_, Task>, awaited: &Bound<'_, PyAny>) -> PyResult<String> {
    fresh::text(format_args!(
        "Task {} got Future {} attached to a different loop",
        task.repr()?,
        awaited.repr()?
    ))
}

fn not_awaited(task: &Bound<'_, Task>, awaited: &Bound<'_, PyAny>) -> PyResult<String> {
    fresh::text(format_args!(
        "yield was used instead of yield from in task {} with {}",
        task.repr()?,
        awaited.repr()?
    ))
}

/// Refuses something that cannot be awaited.
fn refuse(task: &Bound<'_, Task>, awaited: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: attached; compares the object's type.
    let generator = unsafe { ffi::PyGen_CheckExact(awaited.as_ptr()) != 0 };
    let message = if generator {
        fresh::text(format_args!(
            "yield was used instead of yield from for generator in task {} with {}",
            task.repr()?,
            awaited.repr()?
        ))?
    } else {
        fresh::text(format_args!("Task got bad yield: {}", awaited.repr()?))?
    };
    fail(task, message)
}

/// Throws `RuntimeError(message)` into the coroutine at its next step.
///
/// The error is made, not raised, here: what whoever starts an eager task is handling is not its
/// `__context__`.
fn fail(task: &Bound<'_, Task>, message: String) -> PyResult<()> {
    let py = task.py();
    debug_assert!(task.as_super().get().phase(py) == FuturePhase::Pending);
    let error = py.get_type::<PyRuntimeError>().call1((Text(message),))?;
    Task::schedule_throw(task, PyErr::from_value(error))
}
