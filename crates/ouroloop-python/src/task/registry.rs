//! Which tasks are alive and which one runs, as the standard module's `all_tasks` and
//! `current_task` see them.
//!
//! **Current task.** Here are the standard module's own ways to it, for steps on other loops and
//! eager ones; a native loop's steps use [`crate::turn::current`].
//!
//! **All tasks.** Live tasks stand in a vector without being owned; a task knows its place.
//! `ouroloop._tasks` makes the standard module's own weak set iterate over them as well, so that
//! no task has to be added to it.

use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;

use super::object::{Place, Task};
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::{Grow, no_memory, vector};
use crate::native::cell::AttachedCell;
#[cfg(Py_3_14)]
use crate::turn::Loop;
use crate::turn::current::standard;

#[derive(Debug)]
struct Registry {
    /// Registered tasks, not owned; each is removed before its memory goes.
    live: AttachedCell<Vec<NonNull<ffi::PyObject>>>,
    number: AttachedCell<u64>,
    enter: Py<PyAny>,
    leave: Py<PyAny>,
}

static REGISTRY: PyOnceLock<Registry> = PyOnceLock::new();

pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    REGISTRY.get_or_try_init(py, || -> PyResult<Registry> {
        let tasks = py.import(Text("asyncio.tasks"))?;
        Ok(Registry {
            live: AttachedCell::new(Vec::new()),
            number: AttachedCell::new(0),
            enter: tasks.getattr(Text("_enter_task"))?.unbind(),
            leave: tasks.getattr(Text("_leave_task"))?.unbind(),
        })
    })?;
    Ok(())
}

fn registry(py: Python<'_>) -> &'static Registry {
    REGISTRY.get(py).expect("the module was initialised")
}

/// The number of the next unnamed task.
pub(super) fn next_number(py: Python<'_>) -> u64 {
    registry(py).number.with(py, |number| {
        *number += 1;
        *number
    })
}

/// Puts a task among the live ones.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(super) fn register(task: &Bound<'_, Task>) -> PyResult<()> {
    let py = task.py();
    // `__init__` may run inside `__init__` (a name's `__str__`): one entry a task, which it knows.
    forget(py, task.get());
    let owner = NonNull::new(task.as_ptr()).expect("a reference is not null");
    let place = registry(py).live.with(py, |live| live.grow(owner).map(|()| live.len() - 1));
    let place = place.map_err(|_| no_memory(py))?;
    task.get().state.with(py, |state| state.registered = Some(Place::of(place)));
    Ok(())
}

/// How many live tasks there are.
pub(super) fn live_count(py: Python<'_>) -> usize {
    registry(py).live.with(py, |live| live.len())
}

/// Takes a task that is done, or about to go, from among the live ones.
#[inline]
pub(super) fn forget(py: Python<'_>, task: &Task) {
    let Some(place) = task.state.with(py, |state| state.registered.take()) else { return };
    let moved = registry(py).live.with(py, |live| {
        live.swap_remove(place.index());
        if live.capacity() > 1024 && live.len() < live.capacity() / 8 {
            live.shrink_to(live.len() * 2);
        }
        live.get(place.index()).copied()
    });
    if let Some(moved) = moved {
        // SAFETY: a registered task's memory is alive: `forget` runs before it goes. The
        // reference is borrowed, so that a count of zero stays zero.
        let moved = unsafe { Borrowed::from_ptr(py, moved.as_ptr()).cast_unchecked::<Task>() };
        moved.get().state.with(py, |state| state.registered = Some(place));
    }
}

/// The live native tasks of every loop.
#[pyfunction]
pub(crate) fn live_tasks(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let mut tasks: Vec<Bound<'_, PyAny>> = vector(py, live_count(py))?;
    registry(py).live.with(py, |live| {
        // A task whose count is zero is being deallocated and must not be revived.
        // SAFETY: a registered task's memory is alive.
        let alive = live.iter().filter(|owner| unsafe { ffi::Py_REFCNT(owner.as_ptr()) > 0 });
        // SAFETY: as above, and attached.
        tasks.extend(alive.map(|owner| unsafe { Bound::from_borrowed_ptr(py, owner.as_ptr()) }));
    });
    fresh::list(py, tasks)
}

/// The running task of `event_loop`, of any kind.
#[inline]
pub(crate) fn current<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    #[cfg(Py_3_14)]
    if let Some(task) =
        event_loop.cast::<Loop>().ok().and_then(|it| it.get().current.read(event_loop))
    {
        return Ok(Some(task));
    }
    let task = standard::get(event_loop)?;
    match task {
        Some(task) => Ok(Some(task)),
        None => current_otherwise(event_loop),
    }
}

/// What `asyncio.tasks.current_task` says by now: asyncio's Python tasks, should a program put them
/// in place, keep their own account.
#[cold]
fn current_otherwise<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let tasks = crate::interpreter::modules::module(
        event_loop.py(),
        intern!(event_loop.py(), "asyncio.tasks"),
    )?;
    let task = tasks.call_method1(intern!(event_loop.py(), "current_task"), (event_loop,))?;
    Ok(Some(task).filter(|task| !task.is_none()))
}

/// `asyncio.tasks._enter_task`, with its check that no other task runs.
pub(super) fn enter(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, Task>) -> PyResult<()> {
    registry(task.py()).enter.bind(task.py()).call1((event_loop, task)).map(drop)
}

/// `asyncio.tasks._leave_task`.
pub(super) fn leave(event_loop: &Bound<'_, PyAny>, task: &Bound<'_, Task>) -> PyResult<()> {
    registry(task.py()).leave.bind(task.py()).call1((event_loop, task)).map(drop)
}

/// The name under which duck-typed futures take part in `await`.
pub(super) fn blocking_name(py: Python<'_>) -> &Bound<'_, pyo3::types::PyString> {
    intern!(py, "_asyncio_future_blocking")
}
