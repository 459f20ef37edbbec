//! The default executor: a `ThreadPoolExecutor` of the standard library whose queue is native.
//!
//! What programs see and call (`submit`, `map`, `shutdown`, `_threads`, the hook by which the
//! interpreter waits for jobs at its exit) is the standard class's own code. Two attributes of
//! the instance are ours: `_work_queue`, a [`WorkQueue`] on the engine's pool, and
//! `_adjust_thread_count`, a [`Recruiter`] that starts threads serving it. The loop puts its jobs
//! into the queue directly, with the native future in which their outcome is to be, and no
//! `concurrent.futures.Future`.
//!
//! | part | owned by | the end |
//! | --- | --- | --- |
//! | executor | the loop, and whoever asked for it | takes the recruiter with it |
//! | recruiter | the executor | closes the queue: what waits is done, then threads end |
//! | queue | executor, recruiter, each thread, `_threads_queues` | the last thread's |
//! | thread | itself, `_threads` | the queue is closed and empty |
//!
//! Only attached threads put jobs in or take them out, so a job is dropped attached.

mod job;
mod queue;
mod recruiter;

use std::num::NonZeroUsize;

use ouroloop::blocking::{Pool, Refused, Submitted, Worker};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyFunction;

use crate::interpreter::fresh;
use crate::interpreter::references::CloneRef as _;
use crate::interpreter::room::no_memory;
use crate::standard::Standard;

pub(crate) use job::{Call, Job, settle};
pub(crate) use queue::WorkQueue;
use recruiter::Recruiter;

/// The executor that `run_in_executor(None, …)` uses.
#[derive(Debug)]
pub(crate) struct DefaultExecutor {
    object: Py<PyAny>,
    /// Where jobs go directly; none for an executor that the program has given.
    queue: Option<Py<WorkQueue>>,
}

/// What became of a job that was offered to a native queue.
#[derive(Debug)]
#[must_use]
pub(crate) enum Offered {
    Taken(Submitted),
    /// The queue is closed: the executor itself is to be asked, and says why.
    Refused,
}

impl DefaultExecutor {
    /// One that the program has given.
    pub(crate) fn given(object: Py<PyAny>) -> Self {
        Self { object, queue: None }
    }

    /// A new `ThreadPoolExecutor`, with a native queue unless the class is not as the standard
    /// library made it: whoever replaced it, or its `submit`, wants to see every job.
    ///
    /// # Errors
    /// Those of the class.
    pub(crate) fn new(py: Python<'_>) -> PyResult<Self> {
        let standard = Standard::get(py)?;
        let class = crate::interpreter::modules::module(py, intern!(py, "concurrent.futures"))?;
        let class = class.getattr(intern!(py, "ThreadPoolExecutor"))?;
        let keywords = fresh::dict(py)?;
        keywords.set_item(intern!(py, "thread_name_prefix"), intern!(py, "asyncio"))?;
        let executor = class.call((), Some(&keywords))?;
        if !class.is(&standard.thread_pool_executor) || !is_original(&class)? {
            return Ok(Self::given(executor.unbind()));
        }
        let limit: usize = executor.getattr(intern!(py, "_max_workers"))?.extract()?;
        let pool = Pool::new(NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN));
        let queue = Bound::new(py, WorkQueue::new(pool, &executor)?)?;
        executor.setattr(intern!(py, "_work_queue"), &queue)?;
        let recruiter = Recruiter::new(&queue, &executor)?;
        executor.setattr(intern!(py, "_adjust_thread_count"), Bound::new(py, recruiter)?)?;
        Ok(Self { object: executor.unbind(), queue: Some(queue.unbind()) })
    }

    pub(crate) fn object(&self) -> &Py<PyAny> {
        &self.object
    }

    pub(crate) fn into_object(self) -> Py<PyAny> {
        self.object
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        let queue = self.queue.clone_ref(py);
        Self { object: self.object.clone_ref(py), queue }
    }

    /// Where jobs go directly.
    pub(crate) fn pool(&self) -> Option<&Pool<Job>> {
        self.queue.as_ref().map(|queue| queue.get().pool())
    }

    /// Whether a process of which this one is a fork has its threads.
    pub(crate) fn is_inherited(&self) -> bool {
        self.pool().is_some_and(Pool::is_inherited)
    }

    /// Puts a job into the queue; a `lazy` submitter makes the call itself if it is owed.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub(crate) fn offer(
        &self,
        py: Python<'_>,
        pool: &Pool<Job>,
        job: Job,
        lazy: bool,
    ) -> PyResult<Offered> {
        let answer = if lazy {
            pool.submit_lazily(job)
        } else {
            pool.submit(job).map(|()| Submitted::Called)
        };
        match answer {
            Ok(submitted) => Ok(Offered::Taken(submitted)),
            Err(Refused::Closed(_)) => Ok(Offered::Refused),
            Err(Refused::Full(job)) => {
                drop(job);
                Err(no_memory(py))
            }
            Err(Refused::Understaffed(job, worker)) => self.staff(py, pool, job, worker),
        }
    }

    #[cold]
    fn staff(
        &self,
        py: Python<'_>,
        pool: &Pool<Job>,
        job: Job,
        worker: Worker<Job>,
    ) -> PyResult<Offered> {
        let executor = self.object.bind(py);
        let recruiter = executor.getattr(intern!(py, "_adjust_thread_count"))?;
        let Ok(recruiter) = recruiter.cast::<Recruiter>() else { return Ok(Offered::Refused) };
        if !recruiter.get().start_unless_shut_down(executor, worker)? {
            return Ok(Offered::Refused);
        }
        match pool.append(job) {
            Ok(()) => Ok(Offered::Taken(Submitted::Called)),
            Err(_) => Ok(Offered::Refused),
        }
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)?;
        visit.call(&self.queue)
    }
}

/// Whether the class's `submit` is the standard library's function.
fn is_original(class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = class.py();
    let submit = class.getattr(intern!(py, "submit"))?;
    if !submit.is_exact_instance_of::<PyFunction>() {
        return Ok(false);
    }
    let module = crate::interpreter::modules::module(py, intern!(py, "concurrent.futures.thread"))?;
    Ok(submit.getattr(intern!(py, "__globals__"))?.is(module.dict()))
}
