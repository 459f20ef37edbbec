//! Waker and inbox in every interleaving that loom finds: no wake-up, no letter is lost.
//!
//! `RUSTFLAGS="--cfg loom" cargo nextest run -p ouroloop --test loom --release`

#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "in a model that passes, no lock is poisoned")]

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
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
