//! Rust futures as tasks: order, wakers, joining, cancellation.
#![cfg(not(loom))]

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use ouroloop::{JoinError, TcpListener, TcpStream, run, sleep, spawn};

/// Gives way to everything that is ready.
async fn give_way() {
    sleep(Duration::ZERO).await;
}

/// Notes that it was dropped.
struct Noted(Rc<RefCell<Vec<&'static str>>>, &'static str);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[test]
fn tasks_take_turns_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let tasks: Vec<_> = (0..3)
            .map(|n| {
                let order = Rc::clone(&order);
                spawn(async move {
                    for round in 0..2 {
                        order.borrow_mut().push((round, n));
                        give_way().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("it finishes");
        }
    });
    assert_eq!(*order.borrow(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
}

#[test]
fn the_future_of_run_may_borrow_and_answers_its_output() {
    let text = String::from("borrowed");
    assert_eq!(run(async { text.as_str() }), "borrowed");
}

#[test]
fn a_task_runs_without_its_handle() {
    let ran = Rc::new(Cell::new(false));
    run(async {
        let flag = Rc::clone(&ran);
        drop(spawn(async move { flag.set(true) }));
        give_way().await;
    });
    assert!(ran.get());
}

#[test]
fn a_panic_is_carried_to_the_joiner_and_the_loop_goes_on() {
    run(async {
        let task = spawn(async { panic!("number {}", 7) });
        let error = task.await.expect_err("it panics");
        assert_eq!(error.to_string(), "the task panicked: number 7");
        assert_eq!(format!("{error:?}"), "Panicked(\"number 7\")");
        let JoinError::Panicked(payload) = error else { panic!("it was not aborted") };
        assert_eq!(message(&*payload), "number 7");
        assert_eq!(spawn(async { 1 }).await.expect("the loop goes on"), 1);
    });
}

#[test]
fn a_panic_of_the_main_future_leaves_run_and_drops_the_tasks() {
    let dropped = Rc::new(RefCell::new(Vec::new()));
    let noted = Noted(Rc::clone(&dropped), "task");
    let panic = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            drop(spawn(async move {
                let _noted = noted;
                pending::<()>().await;
            }));
            give_way().await;
            panic!("out");
        });
    }));
    assert_eq!(message(&*panic.expect_err("it panics")), "out");
    assert_eq!(*dropped.borrow(), ["task"]);
    assert_eq!(run(async { 3 }), 3, "the thread can run another loop");
}

#[test]
fn an_aborted_task_drops_its_future_before_its_joiner_hears_of_it() {
    let events = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let noted = Noted(Rc::clone(&events), "dropped");
        let task = spawn(async move {
            let _noted = noted;
            pending::<()>().await;
        });
        give_way().await;
        task.abort();
        task.abort();
        assert!(!task.is_finished(), "it ends in the next turn");
        assert!(matches!(task.await, Err(JoinError::Aborted)));
        events.borrow_mut().push("joined");
    });
    assert_eq!(*events.borrow(), ["dropped", "joined"]);
}

#[test]
fn aborts_that_come_before_the_first_poll_during_a_poll_and_too_late() {
    run(async {
        let polled = Rc::new(Cell::new(false));
        let flag = Rc::clone(&polled);
        let unstarted = spawn(async move { flag.set(true) });
        unstarted.abort();
        assert!(matches!(unstarted.await, Err(JoinError::Aborted)));
        assert!(!polled.get());

        let handle = Rc::new(RefCell::new(None));
        let own = Rc::clone(&handle);
        let myself = spawn(async move {
            let task: Option<ouroloop::JoinHandle<u8>> = own.borrow_mut().take();
            let task = task.expect("its own handle");
            task.abort();
            drop(task);
            1
        });
        *handle.borrow_mut() = Some(spawn(async { 0 }));
        assert_eq!(myself.await.expect("it aborts another task, not itself"), 1);

        let done = spawn(async { 2 });
        give_way().await;
        assert!(done.is_finished());
        done.abort();
        assert_eq!(done.await.expect("it was done"), 2);
    });
}

#[test]
fn a_task_may_abort_itself() {
    run(async {
        let handle = Rc::new(RefCell::new(None::<ouroloop::JoinHandle<()>>));
        let own = Rc::clone(&handle);
        let events = Rc::new(RefCell::new(Vec::new()));
        let noted = Noted(Rc::clone(&events), "dropped");
        let task = spawn(async move {
            let _noted = noted;
            own.borrow().as_ref().expect("its own handle").abort();
            pending::<()>().await;
        });
        *handle.borrow_mut() = Some(task);
        give_way().await;
        give_way().await;
        assert_eq!(*events.borrow(), ["dropped"]);
        assert!(handle.borrow().as_ref().is_some_and(ouroloop::JoinHandle::is_finished));
    });
}

#[test]
fn a_destructors_panic_is_carried_to_the_joiner() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on the way out");
        }
    }
    run(async {
        let bomb = Bomb;
        let task = spawn(async move {
            let _bomb = bomb;
            pending::<()>().await;
        });
        give_way().await;
        task.abort();
        let error = task.await.expect_err("it was aborted");
        assert_eq!(error.to_string(), "the task panicked: on the way out");
    });
}

#[test]
fn tasks_that_are_left_are_dropped_and_cannot_spawn() {
    struct Spawner(Rc<Cell<bool>>);
    impl Drop for Spawner {
        fn drop(&mut self) {
            let task = spawn(async { unreachable!("nothing is polled any more") });
            self.0.set(task.is_finished());
        }
    }
    let refused = Rc::new(Cell::new(false));
    let spawner = Spawner(Rc::clone(&refused));
    let mut task = None;
    run(async {
        task = Some(spawn(async move {
            let _spawner = spawner;
            pending::<()>().await;
        }));
        give_way().await;
    });
    let task = task.expect("it was spawned");
    assert!(refused.get());
    assert!(task.is_finished());
    task.abort();
    assert!(matches!(run(task), Err(JoinError::Aborted)));
}

#[test]
fn a_task_woken_many_times_is_polled_once() {
    let polls = Rc::new(Cell::new(0));
    let waker = Rc::new(RefCell::new(None::<Waker>));
    run(async {
        let (count, slot) = (Rc::clone(&polls), Rc::clone(&waker));
        drop(spawn(poll_fn(move |context| {
            count.set(count.get() + 1);
            *slot.borrow_mut() = Some(context.waker().clone());
            Poll::<()>::Pending
        })));
        give_way().await;
        assert_eq!(polls.get(), 1);
        let waker = waker.borrow_mut().take().expect("it was polled");
        (0..10).for_each(|_| waker.wake_by_ref());
        give_way().await;
        give_way().await;
        assert_eq!(polls.get(), 2);
    });
}

#[test]
fn a_waker_works_from_any_thread_while_the_loop_sleeps() {
    let answer = run(async {
        let shared = Arc::new(Mutex::new((None::<&str>, None::<Waker>)));
        let theirs = Arc::clone(&shared);
        let (asked, asking) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            asking.recv().expect("the first poll");
            let waker = {
                let mut shared = theirs.lock().expect("a lock");
                shared.0 = Some("from afar");
                shared.1.take()
            };
            waker.expect("the first poll left it").wake();
        });
        let answer = poll_fn(move |context| {
            let mut shared = shared.lock().expect("a lock");
            if let Some(answer) = shared.0 {
                return Poll::Ready(answer);
            }
            shared.1 = Some(context.waker().clone());
            asked.send(()).expect("a listening thread");
            Poll::Pending
        })
        .await;
        thread.join().expect("the thread's end");
        answer
    });
    assert_eq!(answer, "from afar");
}

#[test]
fn a_waker_that_outlives_its_loop_wakes_nobody() {
    let waker = run(poll_fn(|context| Poll::Ready(context.waker().clone())));
    waker.wake_by_ref();
    thread::spawn(move || waker.wake()).join().expect("no panic");
}

#[test]
fn a_sleep_is_never_too_short_and_sleeps_end_in_order() {
    let order = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let tasks: Vec<_> = [5, 1, 3]
            .map(|millis| {
                let order = Rc::clone(&order);
                spawn(async move {
                    let begin = Instant::now();
                    sleep(Duration::from_millis(millis)).await;
                    assert!(begin.elapsed() >= Duration::from_millis(millis));
                    order.borrow_mut().push(millis);
                })
            })
            .into();
        for task in tasks {
            task.await.expect("it finishes");
        }
    });
    assert_eq!(*order.borrow(), [1, 3, 5]);
}

#[test]
fn a_dropped_sleep_wakes_nobody() {
    let polls = Cell::new(0);
    run(async {
        let mut short = Some(Box::pin(sleep(Duration::from_millis(1))));
        let mut long = pin!(sleep(Duration::from_millis(4)));
        poll_fn(|context| {
            polls.set(polls.get() + 1);
            if let Some(mut short) = short.take() {
                assert!(short.as_mut().poll(context).is_pending());
            }
            long.as_mut().poll(context)
        })
        .await;
    });
    assert_eq!(polls.get(), 2);
}

#[test]
fn a_sleep_that_changes_hands_wakes_the_last_one() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count(0.into()));
    let stranger = Waker::from(Arc::clone(&count));
    run(async {
        let mut sleep = Box::pin(sleep(Duration::from_millis(1)));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&stranger)).is_pending());
        sleep.await;
    });
    assert_eq!(count.0.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn what_needs_a_loop_says_so() {
    let panics = [
        catch_unwind(|| drop(spawn(async {}))),
        catch_unwind(|| drop(sleep(Duration::ZERO))),
        catch_unwind(|| drop(TcpListener::bind(([127, 0, 0, 1], 0)))),
        catch_unwind(|| run(async { run(async {}) })),
    ];
    let messages = panics.map(|panic| message(&*panic.expect_err("no loop runs here")));
    for (message, name) in messages.iter().zip(["spawn", "sleep", "TcpListener::bind"]) {
        let expected = format!("`ouroloop::{name}` was called outside of `ouroloop::run`");
        assert!(message.starts_with(&expected), "{message}");
    }
    assert_eq!(messages[3], "`ouroloop::run` was called inside `ouroloop::run`");
}

#[test]
fn a_socket_of_an_ended_loop_answers_an_error() {
    let listener = run(async { TcpListener::bind(([127, 0, 0, 1], 0)).expect("a listener") });
    let error = run(listener.accept()).expect_err("its loop has ended");
    assert_eq!(error.to_string(), "the loop that watched this socket has ended");
}

#[test]
fn two_tasks_may_wait_for_the_same_socket() {
    run(async {
        let listener = Rc::new(TcpListener::bind(([127, 0, 0, 1], 0)).expect("a listener"));
        let address = listener.local_addr().expect("a bound address");
        let acceptors = [(); 2].map(|()| {
            let listener = Rc::clone(&listener);
            spawn(async move { listener.accept().await.expect("a connection") })
        });
        give_way().await;
        let _first = TcpStream::connect(address).await.expect("a connection");
        let _second = TcpStream::connect(address).await.expect("a connection");
        for acceptor in acceptors {
            acceptor.await.expect("each gets one");
        }
    });
}

#[test]
fn a_task_with_endless_data_gives_way() {
    run(async {
        let listener = TcpListener::bind(([127, 0, 0, 1], 0)).expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await;
        let client = client.expect("a connection");
        let (server, _) = listener.accept().await.expect("a connection");
        client.write_all(&[0; 10_000]).await.expect("room");
        let reads = Rc::new(Cell::new(0));
        let count = Rc::clone(&reads);
        let reader = spawn(async move {
            for _ in 0..10_000 {
                server.read(&mut [0]).await.expect("a byte");
                count.set(count.get() + 1);
            }
        });
        give_way().await;
        give_way().await;
        assert!((1..1000).contains(&reads.get()), "{} reads in one go", reads.get());
        reader.await.expect("it finishes");
    });
}
