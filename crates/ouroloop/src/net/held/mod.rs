//! Bytes that wait a moment, because whoever wrote them probably writes more.
//!
//! A callback that answers in several writes would make a system call for each. Its loop may hold what it
//! writes back until the turn is over, and then send each connection's in one piece. But the callback may also
//! go on to compute, or wait, for a long time; then what is held leaves all the same, by a thread of this
//! module's own that looks at every loop's [`Holder`]: every millisecond, and after long regular traffic every
//! eight. It needs nothing of the loop, which may be in the middle of anything, and sleeps while nobody holds.
//!
//! 1. A holder has copies of what waits: the queues that it is of stay their owners'.
//! 2. An owner takes back what is held of it ([`Holder::reclaim`]) before it writes, shuts down, gives away or
//!    closes the socket, and before it changes the queue; it is told how much has left meanwhile.
//! 3. The kernel tells of a failure once. An owner is told of it when it takes back what is held.
//! 4. At a fork everything leaves and the thread ends; nothing is held while it does. The parent has another one
//!    made when it holds again; the child may hold by holders that it makes itself, and never waits for a lock
//!    of its parent's.

mod datagrams;

use std::cell::RefCell;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::fork::Owner;
use crate::net::stream::{Sent, send};
use datagrams::Datagram;

/// A write of more than this is not worth a copy: the call that it may save costs no more.
pub const LARGEST: usize = 512;

/// So much is held at once.
const MOST_HELD: usize = 64 * 1024;

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

/// What the sockets of a loop are about to send.
#[derive(Debug, Clone)]
pub struct Holder {
    held: Arc<Mutex<Held>>,
    owner: Option<Owner>,
}

/// What has become of what was held of a socket.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Left {
    /// So many bytes, or datagrams, of the first have left.
    pub(crate) sent: usize,
    /// Why no more have, if they could not: of datagrams, the next one has failed.
    pub(crate) error: Option<io::Error>,
}

/// What is held of one socket.
#[derive(Debug)]
pub(crate) struct Ticket {
    place: usize,
}

#[derive(Debug, Default)]
struct Held {
    /// The bytes of all entries, one behind the other.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// In the order in which they were held, whichever socket's.
    datagrams: Vec<Datagram>,
    /// How many entries have not been taken back.
    live: usize,
    /// Something was held since the thread looked.
    used: bool,
    /// The thread knows it.
    watched: bool,
}

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// Nothing was held since the last one.
    Nothing,
    /// Something was, and has been taken back.
    Used,
    /// Something is, for the first time.
    Waiting,
    /// Something had waited since the last one, and was sent.
    Overdue,
}

#[derive(Debug)]
struct Entry {
    fd: RawFd,
    /// What has not left, in `bytes`.
    rest: Range<usize>,
    /// How many bytes or datagrams have left.
    sent: usize,
    /// Why nothing more leaves.
    failure: Option<io::Error>,
    /// The thread has seen it once.
    seen: bool,
    /// It has been taken back, or one of its datagrams has not left.
    is_over: bool,
}

impl Holder {
    /// One that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let owner = Owner::current().ok().filter(|_| !LOST.load(Ordering::Relaxed));
        Self { held: Arc::default(), owner }
    }

    /// Belongs to a forked child from now on, whose parent held nothing any more; if another thread had the lock, nobody uses it.
    pub fn take_over(&self) {
        let Some(owner) = self.owner.as_ref().filter(|_| !LOST.load(Ordering::Relaxed)) else {
            return;
        };
        if let Ok(mut held) = self.held.try_lock() {
            held.watched = false;
            owner.take_over();
        }
    }

    /// Holds what is all that waits for a stream socket.
    ///
    /// `None` if it is much, or much is held already, and without memory or a thread.
    #[must_use]
    pub(crate) fn hold(&self, fd: BorrowedFd<'_>, bytes: &[u8]) -> Option<Ticket> {
        if bytes.len() > LARGEST || !self.is_usable() {
            return None;
        }
        let (ticket, watched) = {
            let mut held = lock(&self.held);
            (held.add(fd, bytes)?, held.watched)
        };
        if self.has_thread_look(watched) || lock(&self.held).was_sent(&ticket) {
            return Some(ticket);
        }
        let _ = lock(&self.held).remove(&ticket);
        None
    }

    /// Holds more for the same socket; answers whether it does.
    #[must_use]
    pub(crate) fn hold_more(&self, ticket: &Ticket, bytes: &[u8]) -> bool {
        if !self.is_usable() {
            return false;
        }
        let watched = {
            let mut held = lock(&self.held);
            held.append(ticket, bytes).then_some(held.watched)
        };
        watched.is_some_and(|watched| self.has_thread_look(watched))
    }

    /// Sees to it that the thread looks at what has just been held; answers whether there is one.
    #[inline]
    fn has_thread_look(&self, watched: bool) -> bool {
        // It says that it falls asleep before it looks for the last time.
        if watched && !ASLEEP.load(Ordering::SeqCst) {
            return true;
        }
        let watched = wake(&self.held);
        lock(&self.held).watched = watched;
        watched
    }

    /// Takes back what is held.
    pub(crate) fn reclaim(&self, ticket: &Ticket) -> Left {
        if self.is_usable() { lock(&self.held).remove(ticket) } else { Left::default() }
    }

    /// Whether this is the process that made it.
    fn is_usable(&self) -> bool {
        self.owner.as_ref().is_some_and(Owner::is_current)
    }
}

impl Default for Holder {
    fn default() -> Self {
        Self::new()
    }
}

impl Held {
    fn add(&mut self, fd: BorrowedFd<'_>, bytes: &[u8]) -> Option<Ticket> {
        if !self.has_room(bytes) {
            return None;
        }
        let start = self.bytes.len();
        let ticket = self.add_entry(fd, start..start + bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        self.used = true;
        Some(ticket)
    }

    fn add_entry(&mut self, fd: BorrowedFd<'_>, rest: Range<usize>) -> Option<Ticket> {
        self.entries.try_reserve(1).ok()?;
        let place = self.entries.len();
        let fd = fd.as_raw_fd();
        self.entries.push(Entry { fd, rest, sent: 0, failure: None, seen: false, is_over: false });
        self.live += 1;
        Some(Ticket { place })
    }

    fn append(&mut self, ticket: &Ticket, bytes: &[u8]) -> bool {
        let is_last = ticket.place + 1 == self.entries.len();
        if !is_last || !self.has_room(bytes) {
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        self.entries[ticket.place].rest.end = self.bytes.len();
        self.used = true;
        true
    }

    /// Whether a fork has sent it, or has tried: that is to be told, though nobody looks any more.
    fn was_sent(&self, ticket: &Ticket) -> bool {
        let entry = &self.entries[ticket.place];
        entry.sent > 0 || entry.failure.is_some()
    }

    fn has_room(&mut self, bytes: &[u8]) -> bool {
        bytes.len() <= LARGEST && self.reserve(bytes.len())
    }

    fn reserve(&mut self, count: usize) -> bool {
        self.bytes.len() + count <= MOST_HELD && self.bytes.try_reserve(count).is_ok()
    }

    fn remove(&mut self, ticket: &Ticket) -> Left {
        let entry = &mut self.entries[ticket.place];
        entry.rest = 0..0;
        entry.is_over = true;
        let left = Left { sent: entry.sent, error: entry.failure.take() };
        self.live -= 1;
        if self.live == 0 {
            self.entries.clear();
            self.datagrams.clear();
            self.bytes.clear();
        }
        left
    }

    /// Sends what was there at the last look.
    fn look(&mut self) -> Seen {
        let mut seen = if mem::take(&mut self.used) { Seen::Used } else { Seen::Nothing };
        if self.send_datagrams(false) {
            seen = Seen::Overdue;
        }
        for entry in &mut self.entries {
            let found = if !mem::replace(&mut entry.seen, true) {
                Seen::Waiting
            } else if entry.send(&self.bytes) {
                Seen::Overdue
            } else {
                continue;
            };
            seen = seen.max(found);
        }
        seen
    }

    fn send_all(&mut self) {
        for entry in &mut self.entries {
            entry.send(&self.bytes);
        }
        self.send_datagrams(true);
    }
}

impl Entry {
    /// Answers whether something has left.
    fn send(&mut self, bytes: &[u8]) -> bool {
        let rest = &bytes[self.rest.clone()];
        if rest.is_empty() || self.failure.is_some() {
            return false;
        }
        // SAFETY: whoever holds for a descriptor takes it back before that is closed, and cannot while this
        // has the lock.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        match send(fd, rest) {
            Sent::Bytes(sent) => {
                self.sent += sent;
                self.rest.start += sent;
                return true;
            }
            Sent::WouldBlock => {}
            Sent::Failed(error) => self.failure = Some(error),
        }
        false
    }
}

/// The thread, and what it looks at.
struct Watch {
    holders: Vec<Weak<Mutex<Held>>>,
    thread: Option<JoinHandle<()>>,
    ends: bool,
}

// A thread that is one for the process is found by statics, which loom has none of.
static WATCH: Mutex<Watch> = Mutex::new(Watch { holders: Vec::new(), thread: None, ends: false });
static CALLED: Condvar = Condvar::new();
static ASLEEP: AtomicBool = AtomicBool::new(true);
/// Whether whoever had the lock may be another process's thread: nothing is held any more.
static LOST: AtomicBool = AtomicBool::new(false);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that could panic runs under these locks and leaves something half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the thread look, at this too; answers whether there is one.
#[cold]
fn wake(held: &Arc<Mutex<Held>>) -> bool {
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
