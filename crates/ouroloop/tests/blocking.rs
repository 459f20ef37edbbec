//! The pool of jobs that may block, served by threads of the test's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ouroloop::blocking::{Pool, Refused, Submitted, Wakened, Worker};

const PATIENCE: Duration = Duration::from_secs(20);

type Job = Box<dyn FnOnce() + Send>;

/// A pool with the threads that were started for it.
struct Served {
    pool: Pool<Job>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn serve(mut worker: Worker<Job>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        loop {
            while let Some(job) = worker.take() {
                job();
            }
            if worker.wait(|| ()) == Wakened::End {
                return;
            }
        }
    })
}

impl Served {
    fn new(limit: usize) -> Self {
        let pool = Pool::new(NonZeroUsize::new(limit).unwrap());
        Self { pool, threads: Mutex::new(Vec::new()) }
    }

    fn submit(&self, job: impl FnOnce() + Send + 'static) {
        match self.pool.submit(Box::new(job)) {
            Ok(()) => {}
            Err(Refused::Understaffed(job, worker)) => {
                self.threads.lock().unwrap().push(serve(worker));
                assert!(self.pool.append(job).is_ok());
            }
            Err(Refused::Closed(_) | Refused::Full(_)) => panic!("closed"),
        }
    }

    fn threads(&self) -> usize {
        self.threads.lock().unwrap().len()
    }

    fn end(self) {
        self.pool.close();
        for thread in self.threads.into_inner().unwrap() {
            thread.join().unwrap();
        }
    }

    /// Waits until `count` workers wait.
    fn until_free(&self, count: usize) {
        while self.pool.free() < count {
            std::thread::yield_now();
        }
    }
}

fn tell<T: Send + 'static>(sender: &Sender<T>, value: T) -> impl FnOnce() + Send + 'static {
    let sender = sender.clone();
    move || sender.send(value).unwrap()
}

fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn every_job_is_done_once() {
    let served = Served::new(4);
    let (sender, receiver) = channel();
    for number in 0..10_000 {
        served.submit(tell(&sender, number));
    }
    let mut done: Vec<i32> = (0..10_000).map(|_| next(&receiver)).collect();
    done.sort_unstable();
    assert!(done.into_iter().eq(0..10_000));
    served.end();
    assert!(receiver.try_recv().is_err());
}

#[test]
fn one_thread_does_jobs_in_order() {
    let served = Served::new(1);
    let (sender, receiver) = channel();
    for number in 0..1000 {
        served.submit(tell(&sender, number));
    }
    assert!((0..1000).all(|number| next(&receiver) == number));
    assert_eq!(served.threads(), 1);
    served.end();
}

#[test]
fn as_many_as_the_limit_run_at_a_time() {
    const LIMIT: usize = 5;
    let served = Served::new(LIMIT);
    let (sender, receiver) = channel();
    for _ in 0..50 {
        let barrier = Arc::new(Barrier::new(LIMIT));
        for _ in 0..LIMIT {
            let (barrier, tell) = (Arc::clone(&barrier), tell(&sender, ()));
            served.submit(move || {
                barrier.wait();
                tell();
            });
        }
        (0..LIMIT).for_each(|_| next(&receiver));
    }
    assert_eq!(served.threads(), LIMIT);
    served.end();
}

#[test]
fn an_idle_worker_spares_a_thread() {
    let served = Served::new(4);
    let (sender, receiver) = channel();
    for number in 0..100 {
        served.submit(tell(&sender, number));
        assert_eq!(next(&receiver), number);
        served.until_free(1);
    }
    assert_eq!(served.threads(), 1);
    served.end();
}

#[test]
fn a_worker_is_free_before_it_says_that_it_waits() {
    let pool = Pool::new(NonZeroUsize::new(2).unwrap());
    let Err(Refused::Understaffed(first, mut worker)) = pool.submit(1) else { panic!("no") };
    pool.append(first).unwrap();
    assert_eq!(worker.take(), Some(1));
    let wakened = worker.wait(|| pool.submit(2).unwrap());
    assert_eq!(wakened, Wakened::Look);
    assert_eq!(worker.take(), Some(2));
}

#[test]
fn without_a_light_sleeper_no_call_is_owed() {
    let pool = Pool::new(NonZeroUsize::MIN);
    let Err(Refused::Understaffed(job, worker)) = pool.submit_lazily(1) else { panic!("no") };
    pool.append(job).unwrap();
    assert_eq!(pool.submit_lazily(2).unwrap(), Submitted::Called);
    drop(worker);
}

#[test]
fn a_call_that_is_owed_may_be_made() {
    let pool = Pool::new(NonZeroUsize::MIN);
    let Err(Refused::Understaffed(_, mut worker)) = pool.submit(0) else { panic!("no") };
    let wakened = worker.wait(|| {
        assert_eq!(pool.submit_lazily(1).unwrap(), Submitted::Owed);
        pool.call();
    });
    assert_eq!(wakened, Wakened::Look);
    assert_eq!(worker.take(), Some(1));
}

#[test]
fn a_call_that_is_owed_and_never_made_is_answered() {
    let served = Served::new(1);
    let (sender, receiver) = channel();
    served.submit(tell(&sender, 0));
    assert_eq!(next(&receiver), 0);
    for number in 1..50 {
        // A call is owed, or not: that depends on how lightly the worker sleeps.
        let answer = served.pool.submit_lazily(Box::new(tell(&sender, number)));
        assert!(answer.is_ok());
        assert_eq!(next(&receiver), number);
    }
    served.end();
}

#[test]
fn what_waits_at_the_close_is_done() {
    let served = Served::new(1);
    let (sender, receiver) = channel();
    let (release, released) = channel::<()>();
    served.submit(move || released.recv_timeout(PATIENCE).unwrap());
    for number in 0..100 {
        served.submit(tell(&sender, number));
    }
    served.pool.close();
    let refused = served.pool.submit(Box::new(|| panic!("refused")));
    assert!(matches!(refused, Err(Refused::Closed(_))));
    assert!(served.pool.append(Box::new(|| panic!("refused"))).is_err());
    release.send(()).unwrap();
    served.end();
    assert!(receiver.try_iter().eq(0..100));
}

#[test]
fn a_thread_that_did_not_start_gives_its_place_back() {
    let pool = Pool::new(NonZeroUsize::MIN);
    for _ in 0..3 {
        assert!(matches!(pool.submit(1), Err(Refused::Understaffed(1, _))));
    }
    assert_eq!(pool.waiting(), 0);
}

#[test]
fn waiting_jobs_can_be_seen_counted_and_withdrawn() {
    let pool = Pool::new(NonZeroUsize::MIN);
    assert!(pool.reinforce().is_none());
    pool.append(1).unwrap();
    let worker = pool.reinforce().unwrap();
    assert!(pool.reinforce().is_none());
    pool.append(2).unwrap();
    assert_eq!(pool.waiting(), 2);
    assert_eq!(pool.inspect(|jobs| jobs.iter().sum()), Some(3));
    assert_eq!(pool.withdraw(), Some(1));
    assert_eq!(pool.withdraw(), Some(2));
    assert_eq!(pool.withdraw(), None);
    drop(worker);
}

#[test]
fn a_fork_finds_the_pool_closed() {
    let served = Served::new(1);
    let (sender, receiver) = channel();
    served.submit(tell(&sender, 1));
    assert_eq!(next(&receiver), 1);
    // SAFETY: the child only looks at the pool, which takes no lock there, and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = match served.pool.submit(Box::new(|| ())) {
            Err(Refused::Closed(job)) => {
                std::mem::forget(job);
                true
            }
            _ => false,
        };
        let apart = served.pool.is_inherited() && refused && served.pool.withdraw().is_none();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!apart)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child above, with room for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert!(!served.pool.is_inherited());
    served.submit(tell(&sender, 2));
    assert_eq!(next(&receiver), 2);
    served.end();
}
