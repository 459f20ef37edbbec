//! Waker, inbox and pool in every interleaving that loom finds: no wake-up, no letter, no job is
//! lost.
//!
//! `RUSTFLAGS="--cfg loom" cargo nextest run -p ouroloop --test loom --release`

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "in a model that passes, no lock is poisoned")]

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use ouroloop::blocking::{Pool, Refused, Submitted, Wakened, Worker};
use ouroloop::inbox::Inbox;
use ouroloop::waker::{Interrupt, Sleep, Waker};

/// Stands in for the descriptor: a flag that a wait blocks for.
#[derive(Clone, Default)]
struct Bell {
    rung: Arc<(Mutex<bool>, Condvar)>,
}

impl Bell {
    fn wait(&self) {
        let (rung, changed) = &*self.rung;
        let mut rung = rung.lock().unwrap();
        while !*rung {
            rung = changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Interrupt for Bell {
    fn interrupt(&self) {
        *self.rung.0.lock().unwrap() = true;
        self.rung.1.notify_one();
    }
}

/// Every interleaving with up to three switches that no thread asked for; without a bound, two
/// senders take minutes.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// One turn, as the event loop makes it: a lost wake-up shows as loom's "deadlock".
fn turn(waker: &Waker<Bell>) -> bool {
    if waker.fall_asleep() == Sleep::Granted {
        waker.interrupt().wait();
    }
    waker.awake()
}

#[test]
fn no_wake_up_is_lost_and_work_is_seen() {
    model(|| {
        let waker = Waker::new(Bell::default());
        let work = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (waker, work) = (waker.clone(), Arc::clone(&work));
                thread::spawn(move || {
                    work.fetch_add(1, Ordering::Relaxed);
                    waker.wake();
                })
            })
            .collect();
        while work.load(Ordering::Relaxed) < 2 {
            turn(&waker);
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn letters_arrive_each_once_and_in_order() {
    model(|| {
        let waker = Waker::new(Bell::default());
        let inbox = Inbox::new(waker.clone());
        let senders: Vec<_> = [vec![10, 11], vec![20]]
            .into_iter()
            .map(|letters| {
                let inbox = inbox.clone();
                thread::spawn(move || {
                    for letter in letters {
                        inbox.send(letter).unwrap();
                    }
                })
            })
            .collect();
        let mut letters = Vec::new();
        while letters.len() < 3 {
            if turn(&waker) {
                letters.extend(inbox.take());
            }
        }
        for sender in senders {
            sender.join().unwrap();
        }
        assert!(inbox.take().is_empty());
        letters.retain(|&letter| letter < 20);
        assert_eq!(letters, [10, 11]);
    });
}

#[test]
fn a_closing_inbox_takes_a_letter_or_hands_it_back() {
    model(|| {
        let inbox = Inbox::new(Waker::new(Bell::default()));
        let sender = {
            let inbox = inbox.clone();
            thread::spawn(move || (0..2).filter(|&n| inbox.send(n).is_ok()).collect::<Vec<i32>>())
        };
        let mut taken = inbox.take();
        taken.extend(inbox.close());
        let accepted = sender.join().unwrap();
        assert_eq!(taken, accepted);
        assert_eq!(inbox.send(7).unwrap_err().0, 7);
    });
}

#[test]
fn a_late_ring_only_costs_a_turn() {
    model(|| {
        let waker = Waker::new(Bell::default());
        let inbox = Inbox::new(waker.clone());
        let sender = {
            let inbox = inbox.clone();
            thread::spawn(move || {
                inbox.send(1).unwrap();
                inbox.send(2).unwrap();
            })
        };
        let mut letters = Vec::new();
        while letters.len() < 2 {
            // A turn that polls without blocking, as one with ready callbacks does, then one that
            // may block.
            let _ = waker.fall_asleep();
            if waker.awake() {
                letters.extend(inbox.take());
            }
            if letters.len() < 2 && turn(&waker) {
                letters.extend(inbox.take());
            }
        }
        assert_eq!(letters, [1, 2]);
        sender.join().unwrap();
    });
}

/// Serves a pool to its end; answers how many jobs that were.
fn serve(mut worker: Worker<usize>) -> thread::JoinHandle<usize> {
    thread::spawn(move || {
        let mut done = 0;
        loop {
            while worker.take().is_some() {
                done += 1;
            }
            if worker.wait(|| ()) == Wakened::End {
                return done;
            }
        }
    })
}

/// Submits a job; serves with one thread more if there may be one.
fn submit(pool: &Pool<usize>, threads: &mut Vec<thread::JoinHandle<usize>>, lazily: bool) {
    let answer =
        if lazily { pool.submit_lazily(0) } else { pool.submit(0).map(|()| Submitted::Called) };
    match answer {
        Ok(Submitted::Called) => {}
        Ok(Submitted::Owed) => pool.call(),
        Err(Refused::Understaffed(job, worker)) => {
            threads.push(serve(worker));
            pool.append(job).unwrap();
        }
        Err(Refused::Closed(_) | Refused::Full(_)) => panic!("closed"),
    }
}

fn jobs_are_done(limit: usize, jobs: usize, lazily: bool) {
    model(move || {
        let pool = Pool::new(limit.try_into().unwrap());
        let mut threads = Vec::new();
        for _ in 0..jobs {
            submit(&pool, &mut threads, lazily);
        }
        pool.close();
        let done: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(done, jobs);
    });
}

#[test]
fn one_worker_does_every_job() {
    jobs_are_done(1, 3, false);
}

#[test]
fn two_workers_do_every_job() {
    jobs_are_done(2, 3, false);
}

#[test]
fn no_call_that_is_owed_is_lost() {
    jobs_are_done(1, 3, true);
    jobs_are_done(2, 3, true);
}

/// Here nothing is closed, so nobody wakes by that: each job must be done for the next to come.
#[test]
fn a_job_is_done_without_another_one() {
    model(|| {
        let pool: Pool<usize> = Pool::new(2.try_into().unwrap());
        let done = Arc::new((Mutex::new(0), Condvar::new()));
        let mut threads = Vec::new();
        for number in 1..=3 {
            if let Err(Refused::Understaffed(job, mut worker)) = pool.submit(number) {
                let done = Arc::clone(&done);
                threads.push(thread::spawn(move || {
                    loop {
                        while let Some(number) = worker.take() {
                            *done.0.lock().unwrap() = number;
                            done.1.notify_one();
                        }
                        if worker.wait(|| ()) == Wakened::End {
                            return;
                        }
                    }
                }));
                pool.append(job).unwrap();
            }
            let mut last = done.0.lock().unwrap();
            while *last < number {
                last = done.1.wait(last).unwrap();
            }
        }
        pool.close();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
