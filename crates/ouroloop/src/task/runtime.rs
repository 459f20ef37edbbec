//! The loop of one thread that drives futures: its tables and its turns.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::event_loop::EventLoop;
use crate::multiplex::Mechanism;
use crate::sequence::SequenceMap;
use crate::task::entry::{Entry, Mailbox};
use crate::task::here::{self, Here};
use crate::task::outcome::{Fail, JoinError};
use crate::task::waker::TaskWaker;
use crate::task::watch::{Side, Watch};

/// A task gives way to others after so many socket operations that did not have to wait.
const OPERATIONS_PER_POLL: u32 = 64;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Runtime>>> = const { RefCell::new(None) };
}

pub(super) type Work = Pin<Box<dyn Future<Output = ()>>>;

/// A spawned task; `work` is away while it is polled.
struct Task {
    work: Option<Work>,
    aborted: bool,
    waker: Arc<TaskWaker>,
    outcome: Rc<dyn Fail>,
}

impl Task {
    /// Drops the future, then tells the joiner; of its destructor's panic too.
    fn abandon(self) {
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(self.work)));
        self.outcome.fail(dropped.map_or_else(JoinError::Panicked, |()| JoinError::Aborted));
    }
}

/// Everything that the thread's running loop holds. Each table is borrowed for single steps only
/// (rule 2 of the module).
pub(super) struct Runtime {
    pub(super) turns: Rc<RefCell<EventLoop<Entry>>>,
    pub(super) sleepers: RefCell<SequenceMap<Waker>>,
    pub(super) watches: RefCell<SequenceMap<Watch>>,
    /// How often the loop has looked at its descriptors; what a look reports is run in its turn.
    pub(super) looks: Cell<u64>,
    tasks: RefCell<SequenceMap<Task>>,
    mailbox: Arc<Mailbox>,
    operations: Cell<u32>,
    ended: Cell<bool>,
}

/// Takes the runtime off its thread when `run` is left, whichever way.
pub(super) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        here::leave();
        let runtime = CURRENT.with(|current| current.borrow_mut().take());
        drop(runtime);
    }
}

impl Runtime {
    /// Makes it the one of this thread, until what is answered is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Entered {
        CURRENT.with(|current| {
            let mut current = current.borrow_mut();
            assert!(current.is_none(), "`ouroloop::run` was called inside `ouroloop::run`");
            *current = Some(Rc::clone(self));
        });
        let (turns, mailbox) = (Rc::clone(&self.turns), Arc::clone(&self.mailbox));
        here::enter(Here { turns, mailbox });
        Entered
    }

    pub(super) fn new(mechanism: Mechanism) -> io::Result<Rc<Self>> {
        let turns = EventLoop::new(mechanism.create()?)?;
        Ok(Rc::new(Self {
            mailbox: Arc::new(turns.inbox()),
            turns: Rc::new(RefCell::new(turns)),
            sleepers: RefCell::new(SequenceMap::new()),
            watches: RefCell::new(SequenceMap::new()),
            looks: Cell::new(0),
            tasks: RefCell::new(SequenceMap::new()),
            operations: Cell::new(OPERATIONS_PER_POLL),
            ended: Cell::new(false),
        }))
    }

    /// The loop that runs on this thread, for `caller`, which panics without one.
    pub(super) fn current(caller: &str) -> Rc<Self> {
        CURRENT.with(|current| current.borrow().clone()).unwrap_or_else(|| {
            panic!(
                "`ouroloop::{caller}` was called outside of `ouroloop::run`: \
                 it needs a loop that runs on this thread"
            )
        })
    }

    /// Counts a socket operation; after many in one poll, lets the others have their turn.
    pub(super) async fn spend(&self) {
        std::future::poll_fn(|context| match self.operations.get() {
            0 => {
                self.operations.set(OPERATIONS_PER_POLL);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            left => {
                self.operations.set(left - 1);
                Poll::Ready(())
            }
        })
        .await;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    pub(super) fn abort(&self, key: u64) {
        let waker = self.tasks.borrow_mut().get_mut(key).map(|task| {
            task.aborted = true;
            Arc::clone(&task.waker)
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn insert(&self, work: Work, outcome: Rc<dyn Fail>) -> u64 {
        let mut queued = None;
        let key = self.tasks.borrow_mut().insert_with(|key| {
            let waker = TaskWaker::new(Entry::Task(key), Arc::clone(&self.mailbox));
            queued = Some(Arc::clone(&waker));
            Task { work: Some(work), aborted: false, waker, outcome }
        });
        if let Some(waker) = queued {
            waker.wake();
        }
        key
    }

    pub(super) fn drive<F: Future>(&self, mut future: Pin<&mut F>) -> F::Output {
        let main = TaskWaker::new(Entry::Main, Arc::clone(&self.mailbox));
        let waker = Waker::from(Arc::clone(&main));
        waker.wake_by_ref();
        loop {
            self.look();
            let ready = self.turns.borrow().ready_len();
            for _ in 0..ready {
                let Some(entry) = self.turns.borrow_mut().pop() else { break };
                match entry {
                    Entry::Main => {
                        main.begin();
                        self.operations.set(OPERATIONS_PER_POLL);
                        let mut context = Context::from_waker(&waker);
                        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                            return output;
                        }
                    }
                    Entry::Task(key) => self.step(key),
                    Entry::Sleeper(key) => {
                        let sleeper = self.sleepers.borrow_mut().remove(key);
                        if let Some(sleeper) = sleeper {
                            sleeper.wake();
                        }
                    }
                    Entry::Readable(key) => self.report(key, Side::Read),
                    Entry::Writable(key) => self.report(key, Side::Write),
                }
                assert!(
                    !self.turns.borrow().is_inherited(),
                    "`ouroloop::run` does not go on in a forked child: its loop is the parent's"
                );
            }
        }
    }

    fn look(&self) {
        let wait = self.turns.borrow_mut().plan(true);
        if let Some(mut wait) = wait {
            wait.perform();
            self.looks.set(self.looks.get() + 1);
            let outcome = self.turns.borrow_mut().collect(wait);
            outcome.expect("the loop's own multiplexer takes every wait that the loop plans");
        }
    }

    fn step(&self, key: u64) {
        let Some((mut work, waker)) = self.take_work(key) else { return };
        self.operations.set(OPERATIONS_PER_POLL);
        waker.begin();
        let waker = Waker::from(waker);
        let polled =
            catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(&waker))));
        let error = match polled {
            Ok(Poll::Pending) => {
                if let Some(task) = self.tasks.borrow_mut().get_mut(key) {
                    task.work = Some(work);
                }
                return;
            }
            Ok(Poll::Ready(())) => None,
            Err(panic) => Some(JoinError::Panicked(panic)),
        };
        // What is left of the future is dropped first; a destructor's panic comes second.
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(work)));
        let task = self.tasks.borrow_mut().remove(key);
        let error = error.or_else(|| dropped.err().map(JoinError::Panicked));
        if let (Some(task), Some(error)) = (task, error) {
            task.outcome.fail(error);
        }
    }

    /// Takes a task's future to be polled; carries out an abort instead if one was asked for.
    fn take_work(&self, key: u64) -> Option<(Work, Arc<TaskWaker>)> {
        let mut tasks = self.tasks.borrow_mut();
        let task = tasks.get_mut(key)?;
        if !task.aborted {
            return Some((task.work.take()?, Arc::clone(&task.waker)));
        }
        let task = tasks.remove(key)?;
        drop(tasks);
        task.abandon();
        None
    }

    /// Drops every task, and refuses those that their destructors spawn.
    pub(super) fn end(&self) {
        self.ended.set(true);
        let tasks = self.tasks.borrow_mut().take_all();
        tasks.for_each(Task::abandon);
        let remains = self.turns.borrow_mut().close();
        drop(remains);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}
