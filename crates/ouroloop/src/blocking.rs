//! Jobs that may block, and the threads that carry them out.
//!
//! The pool starts no thread and runs no job: its user does both, as with the event loop, and
//! says when. It decides who is called for a job, and whether a thread more is wanted.
//!
//! A thread that serves has a [`Worker`] and alternates between two calls: [`Worker::take`] hands
//! out jobs, first in first out, as long as there are any; [`Worker::wait`] blocks until it makes
//! sense to look again. A user that has a lock to hold while a job runs (an interpreter's) lets go
//! of it around `wait` alone.
//!
//! # Who is called
//!
//! At most one idle worker at a time is on its way to the queue, and it calls the next one when it
//! leaves jobs behind. So a worker that is quick empties the queue by itself, and others are
//! called one after the other as soon as one is not.
//!
//! | `call` | meaning | left when |
//! | --- | --- | --- |
//! | `None` | nobody is on the way | a job finds somebody idle: `Placed`, and a notification |
//! | `Placed` | an idle worker is to wake up | one has: `Answered`; it is no longer idle |
//! | `Answered` | a worker is awake and will look | it has looked ([`Worker::take`]) or is gone: `None` |
//!
//! While jobs wait, somebody is on the way, or nobody is idle: then whoever is busy looks after
//! its job.
//!
//! # Calls that are owed
//!
//! Waking a thread that cannot run yet, because the submitter holds the lock that a job needs, costs
//! two switches for nothing. [`Pool::submit_lazily`] leaves the call to be made by [`Pool::call`]
//! once the lock is free. It may do so only while a worker sleeps lightly, that is, for
//! [`LIGHT_SLEEP`] after its last job: should the submitter block and never come to make the call,
//! that worker wakes up by itself and looks. A light sleep is followed by one without end, so a
//! pool at rest costs nothing.
//!
//! # After a fork
//!
//! The child has none of the threads, and locks may be held by one of them. There every operation
//! answers as on a closed pool, without taking a lock.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::sync::{Arc, Condvar, Mutex};

/// How long a worker sleeps lightly after its last job.
pub const LIGHT_SLEEP: Duration = Duration::from_micros(250);

/// An empty queue keeps room for no more jobs than this; the memory of a burst is given back.
const MOST_ROOM: usize = 4096;

/// How many forks lie between this process and the first one that made a pool.
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// Why a pool did not take a job.
#[derive(Debug)]
pub enum Refused<J> {
    /// The pool is closed, or is the parent process's.
    Closed(J),
    /// There is no memory for one more that waits.
    Full(J),
    /// Every thread has something to do, and there may be one more: it is to be started.
    Understaffed(J, Worker<J>),
}

/// What remains to be done for a job that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Submitted {
    /// Nothing: somebody will look at it.
    Called,
    /// [`Pool::call`], when the submitter lets go of what the job needs.
    Owed,
}

/// What a worker that has waited is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wakened {
    /// Look at the queue.
    Look,
    /// End: the pool is closed and its queue empty.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    None,
    Placed,
    Answered,
}

#[derive(Debug)]
struct State<J> {
    jobs: VecDeque<J>,
    workers: usize,
    /// Workers that wait.
    idle: usize,
    /// One of them sleeps lightly.
    light: bool,
    call: Call,
    closed: bool,
}

impl<J> State<J> {
    /// Workers that can come for a job at once.
    fn available(&self) -> usize {
        self.idle + usize::from(self.call == Call::Answered)
    }

    /// Workers for which nothing is meant yet.
    fn free(&self) -> usize {
        self.available().saturating_sub(self.jobs.len())
    }

    /// Places a call if that takes somebody to a job; answers whether to notify.
    fn place_call(&mut self) -> bool {
        let place = !self.jobs.is_empty() && self.idle > 0 && self.call == Call::None;
        if place {
            self.call = Call::Placed;
        }
        place
    }
}

#[derive(Debug)]
struct Shared<J> {
    state: Mutex<State<J>>,
    called: Condvar,
    limit: usize,
    generation: usize,
}

impl<J> Shared<J> {
    fn is_inherited(&self) -> bool {
        self.generation != GENERATION.load(Ordering::Relaxed)
    }

    /// Works on the state, and notifies a worker after, if the work says so.
    ///
    /// No code of a user runs under the lock, so it is held for a moment only.
    fn with<R>(&self, work: impl FnOnce(&mut State<J>) -> (R, bool)) -> R {
        let (answer, notify) = work(&mut lock(&self.state));
        if notify {
            self.called.notify_one();
        }
        answer
    }
}

/// The submitters' end, which can be cloned.
#[derive(Debug)]
pub struct Pool<J> {
    shared: Arc<Shared<J>>,
}

impl<J> Clone for Pool<J> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<J> Pool<J> {
    /// An open pool for at most `limit` threads.
    #[must_use]
    pub fn new(limit: NonZeroUsize) -> Self {
        note_forks();
        let state = State {
            jobs: VecDeque::new(),
            workers: 0,
            idle: 0,
            light: false,
            call: Call::None,
            closed: false,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                called: Condvar::new(),
                limit: limit.get(),
                generation: GENERATION.load(Ordering::Relaxed),
            }),
        }
    }

    /// Whether the pool was made by a process of which this one is a fork.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.shared.is_inherited()
    }

    /// Queues a job and calls a worker for it.
    ///
    /// # Errors
    /// [`Refused`], with the job.
    pub fn submit(&self, job: J) -> Result<(), Refused<J>> {
        self.enqueue(job, false).map(drop)
    }

    /// Queues a job, for which [`Pool::call`] may be left to do.
    ///
    /// # Errors
    /// [`Refused`], with the job.
    pub fn submit_lazily(&self, job: J) -> Result<Submitted, Refused<J>> {
        self.enqueue(job, true)
    }

    fn enqueue(&self, job: J, lazily: bool) -> Result<Submitted, Refused<J>> {
        if self.is_inherited() {
            return Err(Refused::Closed(job));
        }
        self.shared.with(|state| {
            if state.closed {
                return (Err(Refused::Closed(job)), false);
            }
            if state.free() == 0 && state.workers < self.shared.limit {
                let worker = self.recruit(state);
                return (Err(Refused::Understaffed(job, worker)), false);
            }
            if state.jobs.try_reserve(1).is_err() {
                return (Err(Refused::Full(job)), false);
            }
            state.jobs.push_back(job);
            if lazily && state.light && state.call == Call::None {
                return (Ok(Submitted::Owed), false);
            }
            (Ok(Submitted::Called), state.place_call())
        })
    }

    /// Queues a job however many threads there are.
    ///
    /// # Errors
    /// The job, from a closed or inherited pool, or if there is no memory.
    pub fn append(&self, job: J) -> Result<(), J> {
        if self.is_inherited() {
            return Err(job);
        }
        self.shared.with(|state| {
            if state.closed || state.jobs.try_reserve(1).is_err() {
                return (Err(job), false);
            }
            state.jobs.push_back(job);
            (Ok(()), state.place_call())
        })
    }

    /// One worker more, if jobs wait for which nobody is free and there may be one.
    #[must_use]
    pub fn reinforce(&self) -> Option<Worker<J>> {
        if self.is_inherited() {
            return None;
        }
        self.shared.with(|state| {
            let wanted = state.jobs.len() > state.available() && state.workers < self.shared.limit;
            (wanted.then(|| self.recruit(state)), false)
        })
    }

    fn recruit(&self, state: &mut State<J>) -> Worker<J> {
        state.workers += 1;
        Worker { pool: self.clone(), answering: false }
    }

    /// Makes the call that was owed; harmless if somebody has come by himself.
    pub fn call(&self) {
        if !self.is_inherited() {
            self.shared.with(|state| ((), state.place_call()));
        }
    }

    /// Takes the oldest job back.
    #[must_use]
    pub fn withdraw(&self) -> Option<J> {
        if self.is_inherited() {
            return None;
        }
        self.shared.with(|state| (state.jobs.pop_front(), false))
    }

    /// How many workers have nothing to do and nothing meant for them.
    #[must_use]
    pub fn free(&self) -> usize {
        if self.is_inherited() {
            return 0;
        }
        self.shared.with(|state| (state.free(), false))
    }

    /// How many jobs wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        if self.is_inherited() {
            return 0;
        }
        self.shared.with(|state| (state.jobs.len(), false))
    }

    /// Lends the jobs that wait. What is done with them must not use the pool.
    pub fn inspect<R>(&self, look: impl FnOnce(&VecDeque<J>) -> R) -> Option<R> {
        if self.is_inherited() {
            return None;
        }
        Some(self.shared.with(|state| (look(&state.jobs), false)))
    }

    /// Refuses jobs from now on. Those that wait are done, and then the workers are told to end.
    pub fn close(&self) {
        if self.is_inherited() {
            return;
        }
        self.shared.with(|state| {
            state.closed = true;
            ((), false)
        });
        self.shared.called.notify_all();
    }
}

/// The end of one thread that serves.
#[derive(Debug)]
pub struct Worker<J> {
    pool: Pool<J>,
    /// The call is answered by this worker, which has not looked yet.
    answering: bool,
}

impl<J> Worker<J> {
    /// The oldest job, if any waits.
    #[must_use]
    pub fn take(&mut self) -> Option<J> {
        let shared = &self.pool.shared;
        if shared.is_inherited() {
            return None;
        }
        let answering = std::mem::take(&mut self.answering);
        shared.with(|state| {
            if answering {
                state.call = Call::None;
            }
            let job = state.jobs.pop_front();
            if state.jobs.is_empty() && state.jobs.capacity() > MOST_ROOM {
                state.jobs = VecDeque::new();
            }
            (job, state.place_call())
        })
    }

    /// Blocks until there is something to look for.
    ///
    /// Calls `before` when the worker counts as idle and has not begun to wait: whoever learns by it
    /// that the last job is done, and has another one, finds the worker free.
    pub fn wait(&mut self, before: impl FnOnce()) -> Wakened {
        let shared = &self.pool.shared;
        if shared.is_inherited() {
            before();
            return Wakened::End;
        }
        let mut state = lock(&shared.state);
        state.idle += 1;
        let light = !std::mem::replace(&mut state.light, true);
        drop(state);
        before();
        let mut state = lock(&shared.state);
        // What has come meanwhile is as good as a call.
        let mut wait = state.jobs.is_empty() && !state.closed;
        if light {
            if wait {
                state = doze(&shared.state, &shared.called, state);
                // A call that is owed and was made by nobody is answered all the same.
                wait = state.jobs.is_empty() && !state.closed;
            }
            state.light = false;
        }
        while wait && state.call != Call::Placed && !state.closed {
            state = sleep(&shared.called, state);
        }
        state.idle -= 1;
        if state.call == Call::Placed || (state.call == Call::None && !state.jobs.is_empty()) {
            state.call = Call::Answered;
            self.answering = true;
        }
        if state.jobs.is_empty() && state.closed { Wakened::End } else { Wakened::Look }
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        let shared = &self.pool.shared;
        if shared.is_inherited() {
            return;
        }
        shared.with(|state| {
            state.workers -= 1;
            if self.answering {
                state.call = Call::None;
            }
            ((), state.place_call())
        });
    }
}

#[cfg(not(loom))]
mod wait {
    use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

    use super::{Call, LIGHT_SLEEP, State};

    // Nothing under the lock panics, so a poisoned one is still consistent.

    pub(super) fn lock<J>(state: &Mutex<State<J>>) -> MutexGuard<'_, State<J>> {
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sleep<'a, J>(
        called: &Condvar,
        state: MutexGuard<'a, State<J>>,
    ) -> MutexGuard<'a, State<J>> {
        called.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until there is a call, the pool is closed, or [`LIGHT_SLEEP`] is over.
    pub(super) fn doze<'a, J>(
        _: &'a Mutex<State<J>>,
        called: &Condvar,
        state: MutexGuard<'a, State<J>>,
    ) -> MutexGuard<'a, State<J>> {
        let asleep = |state: &mut State<J>| state.call != Call::Placed && !state.closed;
        let woken = called.wait_timeout_while(state, LIGHT_SLEEP, asleep);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(loom)]
#[expect(clippy::unwrap_used, reason = "loom's lock is never poisoned in a model that passes")]
mod wait {
    use loom::sync::{Condvar, Mutex, MutexGuard};

    use super::State;

    pub(super) fn lock<J>(state: &Mutex<State<J>>) -> MutexGuard<'_, State<J>> {
        state.lock().unwrap()
    }

    pub(super) fn sleep<'a, J>(
        called: &Condvar,
        state: MutexGuard<'a, State<J>>,
    ) -> MutexGuard<'a, State<J>> {
        called.wait(state).unwrap()
    }

    /// Time that passes at once: the lock is let go of, and whoever wants it may come first.
    pub(super) fn doze<'a, J>(
        mutex: &'a Mutex<State<J>>,
        _: &Condvar,
        state: MutexGuard<'a, State<J>>,
    ) -> MutexGuard<'a, State<J>> {
        drop(state);
        loom::thread::yield_now();
        lock(mutex)
    }
}

use wait::{doze, lock, sleep};

/// Counts the forks from now on.
#[cfg(not(loom))]
fn note_forks() {
    static NOTED: std::sync::Once = std::sync::Once::new();
    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    NOTED.call_once(|| {
        // SAFETY: the handler is a function of the program's text, and does no more than add to an
        // atomic, which a forked child may.
        // It fails for want of memory alone; then the child of a fork is not told apart.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

#[cfg(loom)]
fn note_forks() {}
