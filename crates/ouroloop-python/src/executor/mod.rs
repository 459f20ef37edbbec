//! The default executor: a `ThreadPoolExecutor` of the standard library whose queue is native.
//!
//! What programs see and call (`submit`, `map`, `shutdown`, `_threads`, the hook by which the
//! interpreter waits for jobs at its exit) is the standard class's own code. Two attributes of
//! the instance are ours: `_work_queue`, a `WorkQueue` on the engine's pool, and
//! `_adjust_thread_count`, a `Recruiter` that starts threads serving it. The loop puts its jobs
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

mod calls;
mod default;
mod entries;
mod job;
mod queue;
mod recruiter;

pub(crate) use default::DefaultExecutor;
pub(crate) use job::Call;
