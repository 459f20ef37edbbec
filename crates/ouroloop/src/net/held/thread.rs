//! The thread that sends what was held for too long, and what it does at a fork.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::entries::{Held, Seen, lock};

/// How long the thread looks away. What is there at one look and at the next leaves.
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// How long it does while all goes well: a look costs a busy loop on the same processor some 30 µs.
const BETWEEN_CALM_LOOKS: Duration = Duration::from_millis(8);

/// When it looks again in calm times, if something was held.
const SECOND_LOOK: Duration = Duration::from_micros(500);

/// All goes well if so many looks have found nothing that had waited.
const CALM: u32 = 64;

/// After so many looks at loops that held nothing, the thread sleeps.
const IDLE_LOOKS: u32 = 40;

/// The thread sends, and locks: it needs little more than what the system asks for.
const STACK_BYTES: usize = 128 * 1024;

/// The thread, and what it looks at.
struct Watch {
    holders: Vec<Weak<Mutex<Held>>>,
    thread: Option<JoinHandle<()>>,
    ends: bool,
}

// A thread that is one for the process is found by statics, which loom has none of.
static WATCH: Mutex<Watch> = Mutex::new(Watch { holders: Vec::new(), thread: None, ends: false });
static CALLED: Condvar = Condvar::new();
/// Nobody looks.
pub(super) static ASLEEP: AtomicBool = AtomicBool::new(true);
/// Whether whoever had the lock may be another process's thread: nothing is held any more.
pub(super) static LOST: AtomicBool = AtomicBool::new(false);

/// Has the thread look, at this too; answers whether there is one.
#[cold]
pub(super) fn wake(held: &Arc<Mutex<Held>>) -> bool {
    static FORKS: Once = Once::new();
    FORKS.call_once(|| {
        // SAFETY: the handlers lock, send and join; they stay loaded as long as the program does.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_child)) };
    });
    let mut watch = lock(&WATCH);
    if watch.ends {
        return false;
    }
    let known = watch.holders.iter().any(|known| known.as_ptr() == Arc::as_ptr(held));
    if !known {
        if watch.holders.try_reserve(1).is_err() {
            return false;
        }
        watch.holders.push(Arc::downgrade(held));
    }
    if watch.thread.is_none() {
        let Ok(thread) = spawn() else { return false };
        watch.thread = Some(thread);
    }
    ASLEEP.store(false, Ordering::SeqCst);
    CALLED.notify_one();
    true
}

/// Starts the thread, which gets none of the process's signals.
fn spawn() -> io::Result<JoinHandle<()>> {
    let builder = thread::Builder::new().name("ouroloop-held".into()).stack_size(STACK_BYTES);
    let mut all = mem::MaybeUninit::uninit();
    let mut before = mem::MaybeUninit::uninit();
    // SAFETY: the first call writes the set that the second one reads; that writes the other.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let thread = builder.spawn(watch);
    // SAFETY: the set was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    thread
}

fn watch() {
    let (mut idle, mut calm) = (0, 0_u32);
    let mut again = false;
    let mut watch = lock(&WATCH);
    while !watch.ends {
        let seen = watch.look();
        idle = if seen == Seen::Nothing { idle + 1 } else { 0 };
        calm = if seen == Seen::Overdue { 0 } else { calm.saturating_add(1) };
        again = seen == Seen::Waiting && !again;
        if idle < IDLE_LOOKS {
            let pause = match calm {
                0..CALM => BETWEEN_LOOKS,
                _ if again => SECOND_LOOK,
                _ => BETWEEN_CALM_LOOKS,
            };
            watch = CALLED
                .wait_timeout(watch, pause)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(watch, _)| watch);
            continue;
        }
        ASLEEP.store(true, Ordering::SeqCst);
        // Whoever held before it could see that nobody looks.
        if watch.look() != Seen::Nothing {
            ASLEEP.store(false, Ordering::SeqCst);
            idle = 0;
            continue;
        }
        while ASLEEP.load(Ordering::SeqCst) && !watch.ends {
            watch = CALLED.wait(watch).unwrap_or_else(PoisonError::into_inner);
        }
        idle = 0;
    }
}

impl Watch {
    fn look(&mut self) -> Seen {
        let mut seen = Seen::Nothing;
        self.holders.retain(|held| {
            let Some(held) = held.upgrade() else { return false };
            seen = seen.max(lock(&held).look());
            true
        });
        seen
    }
}

thread_local! {
    /// Kept over a fork, so that nobody has the lock in the child.
    static FORKING: RefCell<Option<MutexGuard<'static, Watch>>> = const { RefCell::new(None) };
}

extern "C" fn before_fork() {
    let mut watch = lock(&WATCH);
    // Whoever holds from here on finds that nobody looks; what was held before leaves here.
    ASLEEP.store(true, Ordering::SeqCst);
    for held in watch.holders.iter().filter_map(Weak::upgrade) {
        lock(&held).send_all();
    }
    if let Some(thread) = watch.thread.take() {
        watch.ends = true;
        CALLED.notify_one();
        drop(watch);
        // A thread that does not end well has ended.
        let _ = thread.join();
        watch = lock(&WATCH);
        watch.ends = false;
    }
    // A thread whose locals are gone cannot keep the lock.
    let _ = FORKING.try_with(|forking| *forking.borrow_mut() = Some(watch));
}

extern "C" fn after_fork() {
    let _ = FORKING.try_with(|forking| drop(forking.borrow_mut().take()));
}

extern "C" fn in_child() {
    let kept = FORKING.try_with(|forking| forking.borrow_mut().take());
    let Ok(Some(mut watch)) = kept else { return LOST.store(true, Ordering::Relaxed) };
    // The parent's; whoever has their locks is not in this process.
    mem::forget(mem::take(&mut watch.holders));
    // Another thread may be in the middle of a fork of its own, which does not end here.
    watch.ends = false;
}
