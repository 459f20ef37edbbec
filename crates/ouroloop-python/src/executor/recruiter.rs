//! The default executor's threads: `threading.Thread` objects that serve its native queue.

use std::time::{Duration, Instant};

use ouroloop::blocking::{Pool, Wakened, Worker};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::job::{Job, Wake};
use super::queue::WorkQueue;
use crate::interpreter::fresh::{self, Text};
use crate::native::cell::AttachedCell;
use crate::standard::Standard;

/// After so long a thread with one job after the other lets others have the interpreter, should
/// the jobs not do so: functions that are not Python's do not look who is waiting.
const ATTACHED_AT_MOST: Duration = Duration::from_millis(5);

#[derive(Debug)]
struct Parts {
    queue: Py<WorkQueue>,
    /// The executor's `_threads`.
    threads: Py<PyAny>,
    name_prefix: Py<PyAny>,
}

/// The `_adjust_thread_count` of an executor, whose threads end when it is gone.
#[pyclass(frozen, name = "_Recruiter", module = "ouroloop")]
#[derive(Debug)]
pub(super) struct Recruiter {
    pool: Pool<Job>,
    parts: AttachedCell<Option<Parts>>,
}

made_at_the_start!(Recruiter);

impl Recruiter {
    pub(super) fn new(queue: &Bound<'_, WorkQueue>, executor: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = executor.py();
        let parts = Parts {
            queue: queue.clone().unbind(),
            threads: executor.getattr(intern!(py, "_threads"))?.unbind(),
            name_prefix: executor.getattr(intern!(py, "_thread_name_prefix"))?.unbind(),
        };
        let pool = queue.get().pool().clone();
        Ok(Self { pool, parts: AttachedCell::new(Some(parts)) })
    }

    /// Starts a thread, under the locks and conditions of the executor's `submit`.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub(super) fn start_unless_shut_down(
        &self,
        executor: &Bound<'_, PyAny>,
        worker: Worker<Job>,
    ) -> PyResult<bool> {
        let py = executor.py();
        let module =
            crate::interpreter::modules::module(py, intern!(py, "concurrent.futures.thread"))?;
        let own = executor.getattr(intern!(py, "_shutdown_lock"))?;
        let global = module.getattr(intern!(py, "_global_shutdown_lock"))?;
        let shutdown = intern!(py, "_shutdown");
        locked(&own, || {
            locked(&global, || {
                let over = executor.getattr(shutdown)?.is_truthy()?
                    || module.getattr(shutdown)?.is_truthy()?;
                if !over {
                    self.start(py, worker)?;
                }
                Ok(!over)
            })
        })
    }

    fn start(&self, py: Python<'_>, worker: Worker<Job>) -> PyResult<()> {
        let Some(Parts { queue, threads, name_prefix }) = self.parts(py) else { return Ok(()) };
        let threads = threads.bind(py);
        let name = fresh::text(format_args!("{}_{}", name_prefix.bind(py).str()?, threads.len()?))?;
        let target = Service { parts: AttachedCell::new(Some((queue.clone_ref(py), worker))) };
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "name"), Text(name))?;
        keywords.set_item(intern!(py, "target"), Bound::new(py, target)?)?;
        let thread = Standard::get(py)?.thread.bind(py).call((), Some(&keywords))?;
        // By this the interpreter has the queue closed and waits for the thread when it exits. A signal
        // handler may raise in `start` when the thread runs already; one that does not run is forgotten
        // there as soon as it is dropped here.
        crate::interpreter::modules::module(py, intern!(py, "concurrent.futures.thread"))?
            .getattr(intern!(py, "_threads_queues"))?
            .set_item(&thread, queue)?;
        thread.call_method0(intern!(py, "start"))?;
        threads.call_method1(intern!(py, "add"), (&thread,)).map(drop)
    }

    fn parts(&self, py: Python<'_>) -> Option<Parts> {
        self.parts.with(py, |parts| {
            parts.as_ref().map(|Parts { queue, threads, name_prefix }| Parts {
                queue: queue.clone_ref(py),
                threads: threads.clone_ref(py),
                name_prefix: name_prefix.clone_ref(py),
            })
        })
    }
}

/// Holds a lock of Python's while `body` runs.
fn locked<R>(lock: &Bound<'_, PyAny>, body: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let py = lock.py();
    lock.call_method0(intern!(py, "acquire"))?;
    let answer = body();
    let released = lock.call_method0(intern!(py, "release"));
    let answer = answer?;
    released?;
    Ok(answer)
}

#[pymethods]
impl Recruiter {
    /// One thread more, if a job that was put into the queue needs it; the caller has the locks.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.pool.reinforce().map_or(Ok(()), |worker| self.start(py, worker))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.parts.traverse(|parts| {
                let Some(Parts { queue, threads, name_prefix }) = parts else { return Ok(()) };
                visit.call(queue)?;
                visit.call(threads)?;
                visit.call(name_prefix)
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.parts.replace(unsafe { Python::assume_attached() }, None));
    }
}

impl Drop for Recruiter {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// The target of a thread.
#[pyclass(frozen, name = "_Service", module = "ouroloop")]
#[derive(Debug)]
struct Service {
    /// None once it has been called.
    parts: AttachedCell<Option<(Py<WorkQueue>, Worker<Job>)>>,
}

made_at_the_start!(Service);

#[pymethods]
impl Service {
    /// Serves the queue to its end.
    ///
    /// Attached all the time but for the wait. The loop is woken after that has begun, so that it
    /// need not wait for the interpreter; if there are jobs left to do, before the next of them.
    fn __call__(&self, py: Python<'_>) {
        let Some((queue, mut worker)) = self.parts.replace(py, None) else { return };
        let item_arguments = queue.get().item_arguments(py);
        loop {
            let mut to_wake: Option<Wake> = None;
            let mut attached = None;
            while let Some(job) = worker.take() {
                if let Some(wake) = to_wake.take() {
                    wake.wake();
                    if attached.get_or_insert_with(Instant::now).elapsed() >= ATTACHED_AT_MOST {
                        attached = None;
                        py.detach(|| ());
                    }
                }
                match job.run(py, &item_arguments) {
                    Ok(wake) => to_wake = wake,
                    Err(error) => error.write_unraisable(py, None),
                }
            }
            let wakened = py.detach(|| {
                worker.wait(|| {
                    if let Some(wake) = to_wake {
                        wake.wake();
                    }
                })
            });
            if wakened == Wakened::End {
                return;
            }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: this is `tp_traverse`.
        unsafe {
            self.parts.traverse(|parts| match parts {
                Some((queue, _)) => visit.call(queue),
                None => Ok(()),
            })
        }
    }

    fn __clear__(&self) {
        // SAFETY: `tp_clear` is called attached.
        drop(self.parts.replace(unsafe { Python::assume_attached() }, None));
    }
}
