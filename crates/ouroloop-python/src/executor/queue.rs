//! The default executor's queue: what `ThreadPoolExecutor` does with its `_work_queue`, on the
//! engine's pool.

use ouroloop::blocking::Pool;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::job::Job;
use crate::interpreter::fresh;
use crate::native::cell::AttachedCell;
use crate::turn::Bell;

/// The queue of a `ThreadPoolExecutor`, with native jobs among the work items.
#[pyclass(frozen, name = "_WorkQueue", module = "ouroloop")]
#[derive(Debug)]
pub(crate) struct WorkQueue {
    pool: Pool<Job>,
    bell: Bell,
    /// What the `run` of a work item takes: from 3.14 on a worker's context.
    item_arguments: AttachedCell<Option<Py<PyTuple>>>,
}

made_at_the_start!(WorkQueue);

impl WorkQueue {
    /// The queue of `executor`.
    ///
    /// # Errors
    /// Those of making a worker's context.
    pub(super) fn new(pool: Pool<Job>, executor: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = executor.py();
        let item_arguments = if cfg!(Py_3_14) {
            let context = executor.call_method0(intern!(py, "_create_worker_context"))?;
            fresh::tuple(py, [context])?
        } else {
            PyTuple::empty(py)
        };
        let calls = pool.clone();
        let bell = Bell::new(move || calls.call());
        Ok(Self { pool, bell, item_arguments: AttachedCell::new(Some(item_arguments.unbind())) })
    }

    pub(super) fn pool(&self) -> &Pool<Job> {
        &self.pool
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(super) fn item_arguments<'py>(&self, py: Python<'py>) -> Bound<'py, PyTuple> {
        self.item_arguments
            .fetch(py)
            .map_or_else(|| PyTuple::empty(py), |arguments| arguments.into_bound(py))
    }
}

#[pymethods]
impl WorkQueue {
    /// Appends a work item; `None` closes the queue: what waits is done, and the threads end.
    fn put(&self, item: Option<Py<PyAny>>) -> PyResult<()> {
        let Some(item) = item else {
            self.pool.close();
            return Ok(());
        };
        self.pool.append(Job::Item(item)).map_err(|_| {
            fresh::error::<PyRuntimeError>("cannot schedule new futures after shutdown")
        })
    }

    /// Takes the oldest work item back. Native jobs before it are cancelled, which is what work
    /// items are taken back for.
    fn get_nowait(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        while let Some(job) = self.pool.withdraw() {
            match job {
                Job::Item(item) => return Ok(item),
                job @ Job::Call(..) => job.cancel(py),
            }
        }
        let empty = crate::interpreter::modules::module(py, intern!(py, "queue"))?
            .getattr(intern!(py, "Empty"))?;
        Err(PyErr::from_value(empty.call0()?))
    }

    fn qsize(&self) -> usize {
        self.pool.waiting()
    }

    fn empty(&self) -> bool {
        self.pool.waiting() == 0
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe { self.item_arguments.traverse(|arguments| visit.call(arguments))? }
        let look = |jobs: &std::collections::VecDeque<Job>| {
            jobs.iter().try_for_each(|job| job.visit(&visit))
        };
        self.pool.inspect(look).unwrap_or(Ok(()))
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.item_arguments.take(unsafe { Python::assume_attached() }));
        while let Some(job) = self.pool.withdraw() {
            drop(job);
        }
    }
}
