//! One turn of the loop: wait, collect what became ready, run it.
//!
//! The loop does not call its user; its user drives it, so that no borrow of the loop is held
//! while a callback runs:
//!
//! 1. [`EventLoop::plan`] decides whether this turn looks at the descriptors, and for how long.
//! 2. The driver performs the [`Wait`], letting go of whatever it must let go of (a lock, the
//!    GIL) only if [`Wait::blocks`].
//! 3. [`EventLoop::collect`] appends to the ready queue, in this order: callbacks of ready
//!    descriptors, timers that are due, letters of other threads.
//! 4. The driver runs as many callbacks as [`EventLoop::ready_len`] said before the first one:
//!    what a callback schedules runs in the next turn. It stops at once in a process that the
//!    callback has forked ([`EventLoop::is_inherited`]).
//!
//! # How long descriptors may go unseen
//!
//! A turn that finds callbacks waiting need not pay for a system call every time. The look at the descriptors (and
//! at the timers) is left out while *all* of these hold: fewer than [`UNSEEN_CALLBACKS`] callbacks ran since the
//! last look; less than [`UNSEEN_NANOS`] passed since then, as far as the clock was asked; no timer that was
//! already due was scheduled meanwhile; it is not the first turn of a run; and since somebody watched a descriptor
//! otherwise or sent something ([`EventLoop::expect_answer`]) the last [`BARREN_LOOKS`] looks found nothing, so
//! that who waits for what is about to come has it in the turn in which a loop that always looks would. The clock
//! is asked every [`TURNS_PER_CLOCK`] turns, and every turn once turns have proved slow enough for that to matter.
//!
//! # When there is no memory
//!
//! Room for what a program can make grow is asked for first, by [`EventLoop::reserve`] and
//! [`EventLoop::reserve_timer`]. What becomes ready and finds no room stays where it is, with the mechanism (which
//! tells it again), the timers or the inbox, for the next turn: this one makes room.
//!
//! # How much one turn reads
//!
//! What a callback reads for another one, which runs a turn later, leaves the processor's cache if a thousand
//! descriptors are read before. So a look asks a mechanism that has turns for no more descriptors than are likely
//! to bring [`READ_PER_LOOK`] bytes ([`EventLoop::read_for_later`]), but for one at least; those that it has not
//! told of are first in the next look.

use std::collections::TryReserveError;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use crate::callback::{Callback, Refused, Watched};
use crate::clock::{Clock, MonotonicClock, Nanos, until};
use crate::fork::{self, Process};
use crate::inbox::Inbox;
use crate::interrupt::InterruptDescriptor;
use crate::memory;
use crate::multiplex::{Events, Interest, Multiplexer, Poll, Timeout};
use crate::ready::{Place, ReadyQueue};
use crate::remains::Remains;
use crate::sources::Sources;
use crate::timers::{TimerId, Timers};
use crate::wait::Wait;
use crate::waker::{Sleep, Waker};

/// At most about this many callbacks run between two looks at the descriptors.
pub const UNSEEN_CALLBACKS: usize = 128;
/// Looks are left out after so many that found neither a descriptor nor a letter.
pub const BARREN_LOOKS: u8 = 64;
/// At most about this many nanoseconds pass between two looks at the descriptors.
pub const UNSEEN_NANOS: Nanos = 50_000;
/// The clock is asked once in this many turns while looks are left out and turns are quick.
pub const TURNS_PER_CLOCK: usize = 8;

/// About this many bytes are read for later in one turn: an eighth of the second-level cache of the
/// processor on which this was measured. The kernel's copies of them have to fit in, too.
pub const READ_PER_LOOK: usize = 256 * 1024;

/// A descriptor has a reader and a writer.
const CALLBACKS_OF_DESCRIPTOR: usize = 2;

/// A timer that is due within so many nanoseconds of the last look may be due at once.
const NEAR_NANOS: Nanos = 1_000_000_000;

/// The loop: ready queue, timers, watched descriptors and the way in from other threads.
#[derive(Debug)]
pub struct EventLoop<C, K = MonotonicClock> {
    ready: ReadyQueue<C>,
    timers: Timers<C>,
    sources: Sources<C>,
    multiplexer: Arc<dyn Multiplexer>,
    /// The mechanism of a closed loop: what waits for nothing needs no descriptor of the kernel's.
    idle: Arc<Poll>,
    inbox: Inbox<C, InterruptDescriptor>,
    waker: Waker<InterruptDescriptor>,
    clock: K,
    process: Process,
    spare_events: Option<Events>,
    /// What was read for later since the last look, and how many descriptors that had found ready.
    read: usize,
    found: usize,
    /// There was no room for the letters that have come.
    letters_wait: bool,
    seen: Nanos,
    /// What the user says is the time, for timers alone.
    told_time: Option<Nanos>,
    unseen_callbacks: usize,
    unseen_turns: usize,
    turns_per_clock: usize,
    look_now: bool,
    popped: u32,
    /// What `popped` will be when this turn has run its callbacks.
    turn_ends: u32,
    /// How many looks in a row have found nothing.
    barren_looks: u8,
    /// The turn of the last look ran nothing but what it found ready, and nothing was sent since.
    found_all: bool,
}

impl<C: Callback> EventLoop<C> {
    /// A loop on the monotonic clock.
    ///
    /// # Errors
    /// The kernel's refusal of the descriptor that wakes the loop.
    pub fn new(multiplexer: Arc<dyn Multiplexer>) -> io::Result<Self> {
        Self::with_clock(multiplexer, MonotonicClock)
    }
}

impl<C: Callback, K: Clock> EventLoop<C, K> {
    /// A loop on a clock of the caller's.
    ///
    /// # Errors
    /// The kernel's refusal of the descriptor that wakes the loop.
    pub fn with_clock(multiplexer: Arc<dyn Multiplexer>, clock: K) -> io::Result<Self> {
        let process = Process::current()?;
        let waker = Waker::new(InterruptDescriptor::new()?);
        let mut ready = ReadyQueue::new();
        ready.reserve(1).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let readable = Interest { readable: true, ..Interest::NONE };
        multiplexer.set(waker.interrupt().descriptor(), Interest::NONE, readable)?;
        Ok(Self {
            ready,
            timers: Timers::new(),
            sources: Sources::new(Arc::clone(&multiplexer)),
            multiplexer,
            idle: Arc::new(Poll::new()),
            inbox: Inbox::new(waker.clone()),
            waker,
            seen: clock.now(),
            told_time: None,
            clock,
            process,
            spare_events: Some(Events::default()),
            read: 0,
            found: 0,
            letters_wait: false,
            unseen_callbacks: 0,
            unseen_turns: 0,
            turns_per_clock: TURNS_PER_CLOCK,
            look_now: true,
            popped: 0,
            turn_ends: 0,
            barren_looks: 0,
            found_all: false,
        })
    }

    /// The present time.
    #[inline]
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Makes sure that there is room for `count` more callbacks in the ready queue.
    ///
    /// # Errors
    /// There is no memory; nothing has changed.
    #[inline]
    pub fn reserve(&mut self, count: usize) -> Result<(), TryReserveError> {
        self.ready.reserve(count)
    }

    /// Makes sure that there is room for one more timer.
    ///
    /// # Errors
    /// There is no memory; no timer has changed.
    #[inline]
    pub fn reserve_timer(&mut self) -> Result<(), TryReserveError> {
        self.timers.reserve()
    }

    /// Queues a callback for the next turn.
    #[inline]
    pub fn push(&mut self, callback: C) -> Place {
        self.ready.push(callback)
    }

    /// The ready callback at a place; `None` when the place is stale.
    #[inline]
    pub fn ready_mut(&mut self, place: Place) -> Option<&mut C> {
        self.ready.get_mut(place)
    }

    /// The callback of a pending timer; `None` when the id is stale.
    #[inline]
    pub fn timer_mut(&mut self, timer: TimerId) -> Option<&mut C> {
        self.timers.get_mut(timer)
    }

    /// Takes the next ready callback.
    #[inline]
    pub fn pop(&mut self) -> Option<C> {
        self.ready.front_mut()?.leave();
        self.popped = self.popped.wrapping_add(1);
        self.ready.pop()
    }

    /// How many callbacks have been taken, modulo the type's range: a number for the one that runs.
    #[inline]
    #[must_use]
    pub const fn popped(&self) -> u32 {
        self.popped
    }

    /// How many callbacks this turn is going to run, all that are ready. Asked once, when it begins to.
    #[inline]
    pub fn begin_turn(&mut self) -> usize {
        self.turn_ends =
            self.popped.wrapping_add(u32::try_from(self.ready.len()).unwrap_or(u32::MAX));
        self.ready.len()
    }

    /// Whether this turn has callbacks left behind the one that was taken last.
    #[inline]
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        self.popped != self.turn_ends
    }

    /// How many callbacks are ready.
    #[inline]
    #[must_use]
    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Runs `callback` in the first turn that begins at `deadline` or later.
    pub fn schedule(&mut self, deadline: Nanos, callback: C) -> TimerId {
        // What is due before looks can be left out no longer must be found by the next turn.
        // The last look may be long past, so the clock tells; but not for every far deadline.
        self.look_now |= deadline <= self.seen.saturating_add(NEAR_NANOS)
            && deadline <= self.clock.now().saturating_add(UNSEEN_NANOS);
        self.timers.schedule(deadline, callback)
    }

    /// Cancels a pending timer and hands its callback back; `None` when the id is stale.
    pub fn cancel(&mut self, timer: TimerId) -> Option<C> {
        let mut callback = self.timers.cancel(timer)?;
        callback.leave();
        Some(callback)
    }

    /// Calls `callback` as long as `fd` is readable; answers the callback that it replaces.
    ///
    /// # Errors
    /// The kernel's refusal to watch the descriptor, and that of an inherited loop; then nothing has
    /// changed.
    pub fn set_reader(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.watch(callback, |sources, callback| sources.set_reader(fd, callback))
    }

    /// Calls `callback` when something has come that `fd` has not been told of; answers the callback
    /// that it replaces.
    ///
    /// For a TCP socket and a callback that reads once: a read that leaves room has taken all there is.
    /// After one that does not, or when it did not come to a read, [`EventLoop::level_reader`] must follow.
    /// Urgent data and the end, before which a read stops, are the loop's affair. A mechanism without edges calls as [`EventLoop::set_reader`]
    /// does.
    ///
    /// # Errors
    /// The kernel's refusal to watch the descriptor, and that of an inherited loop; then nothing has
    /// changed.
    pub fn set_reader_by_edges(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.watch(callback, |sources, callback| sources.set_reader_by_edges(fd, callback))
    }

    /// From now on calls the callback of [`EventLoop::set_reader_by_edges`] as long as `fd` is readable.
    pub fn level_reader(&mut self, fd: RawFd) {
        self.sources.level_reader(fd);
    }

    /// Calls `callback` as long as `fd` is writable; answers the callback that it replaces.
    ///
    /// # Errors
    /// The kernel's refusal to watch the descriptor, and that of an inherited loop; then nothing has
    /// changed.
    pub fn set_writer(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.watch(callback, |sources, callback| sources.set_writer(fd, callback))
    }

    /// Calls `callback` the next time that `fd` is readable, and is done with it then; answers the
    /// callback that it replaces.
    ///
    /// Waiting once more on a descriptor that has been waited for before is the cheapest watch
    /// there is.
    ///
    /// # Errors
    /// The kernel's refusal to watch the descriptor, and that of an inherited loop; then nothing has
    /// changed.
    pub fn set_reader_once(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.watch(callback, |sources, callback| sources.set_reader_once(fd, callback))
    }

    /// Calls `callback` the next time that `fd` is writable, and is done with it then; answers the
    /// callback that it replaces.
    ///
    /// # Errors
    /// The kernel's refusal to watch the descriptor, and that of an inherited loop; then nothing has
    /// changed.
    pub fn set_writer_once(&mut self, fd: RawFd, callback: C) -> Watched<C> {
        self.watch(callback, |sources, callback| sources.set_writer_once(fd, callback))
    }

    /// Stops watching `fd` for readability; answers the callback that did.
    pub fn clear_reader(&mut self, fd: RawFd) -> Option<C> {
        self.expect_answer();
        self.sources.clear_reader(fd)
    }

    /// Stops watching `fd` for writability; answers the callback that did.
    pub fn clear_writer(&mut self, fd: RawFd) -> Option<C> {
        self.expect_answer();
        self.sources.clear_writer(fd)
    }

    /// The same for one that is watched once.
    pub fn clear_writer_once(&mut self, fd: RawFd) -> Option<C> {
        if self.sources.writes_once(fd) { self.clear_writer(fd) } else { None }
    }

    /// What is watched on `fd`: the reader's and the writer's callback.
    #[must_use]
    pub fn watched(&self, fd: RawFd) -> (Option<&C>, Option<&C>) {
        self.sources.get(fd)
    }

    /// Whether the loop came from the parent by a fork ([`crate::fork`]): it may be closed, but not run.
    #[inline]
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        !self.process.is_current()
    }

    /// Makes an inherited loop that does not run one of the child's own, which waits by `multiplexer`, a new
    /// one. What was watched is watched on, what is ready and scheduled stays. The parent's loop notices
    /// nothing; a descriptor that both watch tells both.
    ///
    /// # Errors
    /// The kernel's refusal of the descriptors that the loop needs for itself; that of a child in which a
    /// thread of the parent's left a lock behind. Then the loop is inherited as before.
    pub fn take_over(&mut self, multiplexer: Arc<dyn Multiplexer>) -> io::Result<()> {
        let process = Process::current()?;
        let readable = Interest { readable: true, ..Interest::NONE };
        if self.inbox.is_locked() {
            return Err(fork::refusal());
        }
        self.waker.interrupt().take_over()?;
        multiplexer.set(self.waker.interrupt().descriptor(), Interest::NONE, readable)?;
        self.sources.carry_to(Arc::clone(&multiplexer))?;
        self.multiplexer = multiplexer;
        self.process = process;
        self.look_now = true;
        Ok(())
    }

    /// The way in for callbacks from other threads.
    pub fn inbox(&self) -> Inbox<C, InterruptDescriptor> {
        self.inbox.clone()
    }

    /// The way to end a wait from other threads.
    pub fn waker(&self) -> Waker<InterruptDescriptor> {
        self.waker.clone()
    }

    /// So many bytes were read from a ready descriptor and lie there until another callback takes them.
    #[inline]
    pub fn read_for_later(&mut self, bytes: usize) {
        self.read = self.read.saturating_add(bytes);
    }

    /// Every callback that the loop holds.
    pub fn callbacks(&self) -> impl Iterator<Item = &C> {
        self.ready.iter().chain(self.timers.iter()).chain(self.sources.iter())
    }

    /// What is ready, in order.
    pub fn ready(&self) -> impl Iterator<Item = &C> {
        self.ready.iter()
    }

    /// The callbacks of the timers, in no particular order.
    pub fn timers(&self) -> impl Iterator<Item = &C> {
        self.timers.iter()
    }

    /// The descriptors that are watched, each with its reader's and its writer's callback.
    pub fn descriptors(&self) -> impl Iterator<Item = (RawFd, Option<&C>, Option<&C>)> {
        self.sources.descriptors()
    }

    /// Timers go by this time until another is told, or by the clock again.
    pub fn go_by(&mut self, time: Option<Nanos>) {
        self.told_time = time;
    }

    /// Whether nothing but a timer, a descriptor or another thread can make the next turn run something, and a
    /// timer is pending.
    #[must_use]
    pub fn awaits_timer(&self) -> bool {
        self.ready.is_empty() && !self.timers.is_empty()
    }

    /// Makes the next turn look at the descriptors, as the first turn of a run must.
    pub fn look(&mut self) {
        self.look_now = true;
    }

    /// Has no look be left out for [`BARREN_LOOKS`] turns: the program has sent or closed something, and what
    /// comes of it may be there at once, on a descriptor of this very loop.
    #[inline]
    pub fn expect_answer(&mut self) {
        self.barren_looks = 0;
        self.found_all = false;
    }

    /// Plans this turn's look at descriptors and timers; `None` when it is left out.
    ///
    /// With `idle` false the wait does not block although nothing is ready (a loop that is
    /// asked to stop).
    pub fn plan(&mut self, idle: bool) -> Option<Wait> {
        let timeout = if !self.ready.is_empty() || !idle {
            if !self.look_now && idle && self.may_leave_out() {
                return None;
            }
            Timeout::Zero
        } else {
            self.patience()
        };
        if timeout != Timeout::Zero && self.timers.take_left_much() {
            // The loop has nothing to do: the time to spend some milliseconds.
            memory::give_back();
        }
        let timeout = match self.waker.fall_asleep() {
            Sleep::Granted => timeout,
            Sleep::Refused => Timeout::Zero,
        };
        let mut events = self.spare_events.take().unwrap_or_default();
        events.limit(self.readers_per_look());
        self.read = 0;
        Some(Wait { multiplexer: Arc::clone(&self.multiplexer), events, timeout, outcome: Ok(()) })
    }

    /// Moves everything that has become ready into the ready queue.
    ///
    /// # Errors
    /// The multiplexer's, none of which a correct program sees.
    pub fn collect(&mut self, wait: Wait) -> io::Result<()> {
        let waited = wait.blocks();
        let Wait { mut events, outcome, .. } = wait;
        let called = self.waker.awake();
        self.found = 0;
        self.look_now = false;
        let others = self.ready.len();
        for event in events.drain() {
            self.found += 1;
            if event.fd == self.waker.interrupt().descriptor() {
                self.waker.interrupt().clear();
            } else if self.ready.has_room(CALLBACKS_OF_DESCRIPTOR) {
                self.sources.dispatch(event, &mut self.ready);
            } else {
                self.sources.put_off(event.fd);
                self.look_now = true;
            }
        }
        self.spare_events = Some(events);
        let found = self.ready.len();
        self.barren_looks =
            if self.found == 0 && !called { self.barren_looks.saturating_add(1) } else { 0 };
        let now = self.clock.now();
        if !waited {
            self.judge_pace(now.saturating_sub(self.seen));
        }
        self.unseen_turns = 0;
        self.seen = now;
        while self.ready.has_room(1) {
            let Some((deadline, mut callback)) =
                self.timers.pop_due(self.told_time.unwrap_or(self.seen))
            else {
                break;
            };
            callback.due(self.ready.next_place(), deadline);
            self.ready.push(callback);
        }
        if called || self.letters_wait {
            let letters = self.inbox.take_if(|count| self.ready.has_room(count));
            self.letters_wait = letters.is_none();
            self.look_now |= self.letters_wait;
            for callback in letters.into_iter().flatten() {
                self.ready.push(callback);
            }
        }
        self.found_all = others == 0 && found > 0 && found == self.ready.len();
        self.unseen_callbacks = self.ready.len();
        self.ready.shrink();
        outcome
    }

    /// Tells every callback that it leaves ([`Callback::leave`]): whoever is going to drop the loop calls
    /// this first.
    pub fn leave_all(&mut self) {
        self.ready.iter_mut().for_each(C::leave);
        self.timers.iter_mut().for_each(C::leave);
    }

    /// Empties the loop, handing every callback to the caller, who decides when they are dropped. Needs no memory.
    /// Letters of other threads are refused from now on, and the loop's own descriptors are closed.
    pub fn close(&mut self) -> Remains<C> {
        self.leave_all();
        let remains = Remains {
            ready: self.ready.take_all(),
            timers: self.timers.take_all(),
            sources: self.sources.take_all(),
            letters: self.inbox.close(),
        };
        self.multiplexer = Arc::<Poll>::clone(&self.idle);
        self.sources.move_to(Arc::clone(&self.multiplexer));
        self.waker.interrupt().close();
        remains
    }

    /// Has the sources watch, unless the loop is inherited.
    fn watch(
        &mut self,
        callback: C,
        set: impl FnOnce(&mut Sources<C>, C) -> Watched<C>,
    ) -> Watched<C> {
        if self.is_inherited() {
            return Err(Refused { error: fork::refusal(), callback });
        }
        self.expect_answer();
        set(&mut self.sources, callback)
    }

    fn may_leave_out(&mut self) -> bool {
        self.unseen_callbacks += self.ready.len();
        self.unseen_turns += 1;
        std::mem::take(&mut self.found_all)
            || self.barren_looks >= BARREN_LOOKS
                && self.unseen_callbacks < UNSEEN_CALLBACKS
                && (!self.unseen_turns.is_multiple_of(self.turns_per_clock)
                    || self.clock.now() < self.seen.saturating_add(UNSEEN_NANOS))
    }

    /// How many descriptors are to bring as much as one look may, if each brings what those of the
    /// last look did.
    fn readers_per_look(&self) -> usize {
        READ_PER_LOOK
            .saturating_mul(self.found)
            .checked_div(self.read)
            .map_or(usize::MAX, |readers| readers.max(1))
    }

    /// Turns of which [`TURNS_PER_CLOCK`] take longer than [`UNSEEN_NANOS`] are slow: among them
    /// the clock costs little, and not to ask it could cost many times the bound.
    fn judge_pace(&mut self, elapsed: Nanos) {
        let turns = self.unseen_turns.max(1);
        let slow =
            (elapsed / turns as Nanos).saturating_mul(TURNS_PER_CLOCK as Nanos) > UNSEEN_NANOS;
        self.turns_per_clock = if slow { 1 } else { TURNS_PER_CLOCK };
    }

    fn patience(&mut self) -> Timeout {
        let Some(deadline) = self.timers.next_deadline() else { return Timeout::Never };
        match until(deadline, self.told_time.unwrap_or_else(|| self.clock.now())) {
            0 => Timeout::Zero,
            nanos => Timeout::After(nanos),
        }
    }
}
