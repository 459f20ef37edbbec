//! What a time-out or a group asks of a task of any kind, with a direct way for native ones.

use pyo3::prelude::*;

use crate::task::Task;

/// `task.cancel()`.
pub(super) fn cancel(task: &Bound<'_, PyAny>) -> PyResult<()> {
    match task.cast_exact::<Task>() {
        Ok(task) => Task::cancel(task, None).map(drop),
        Err(_) => task.call_method0(intern!(task.py(), "cancel")).map(drop),
    }
}

/// `task.cancelling()`.
#[inline]
pub(super) fn cancelling(task: &Bound<'_, PyAny>) -> PyResult<u32> {
    match task.cast_exact::<Task>() {
        Ok(native) => Ok(native.get().cancelling(task.py())),
        Err(_) => task.call_method0(intern!(task.py(), "cancelling"))?.extract(),
    }
}

/// `task.uncancel()`.
pub(super) fn uncancel(task: &Bound<'_, PyAny>) -> PyResult<u32> {
    match task.cast_exact::<Task>() {
        Ok(native) => Ok(native.get().uncancel(task.py())),
        Err(_) => task.call_method0(intern!(task.py(), "uncancel"))?.extract(),
    }
}
