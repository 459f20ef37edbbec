//! A callback that waits in the loop, and the handle by which its caller may still reach it.
//!
//! Most handles are dropped at once by whoever got them, so a loop does not own its handles as
//! asyncio's does. Between `call_soon` and the call, callback, arguments and context stand in the
//! loop's own entry, a [`Scheduled`], and the handle knows only its place there:
//!
//! | the handle is | the entry | `State::pending` | left by |
//! | --- | --- | --- | --- |
//! | thin | `Scheduled`, with the handle's address | its place | the next four |
//! | gone | `Scheduled`, nobody's | – | – |
//! | withdrawn ([`Handle::withdraw`]) | gone, or `Nothing` | – | – |
//! | held ([`Handle::hold`]) | `HandleCall`, owning the handle | – | – |
//! | left, as the loop takes the entry out ([`Scheduled::let_go`]) | `HandleCall`, owning the handle | – | – |
//!
//! 1. Only an entry that stands in an engine has an address in it, and that is one of a handle whose
//!    memory is there: an entry leaves the engine through [`Scheduled::let_go`], which takes the
//!    address out, and a handle does so ([`Handle::leave_entry`]) as soon as its count is zero, before
//!    anything else can run.
//! 2. A thin handle owns nothing, so the garbage collector need not know it; every other is tracked.
//! 3. Whoever looks at a thin handle has it held first and then sees an ordinary one. So has whoever
//!    drops one to which there are weak references: asyncio's loop would keep it alive.
//! 4. A thin handle's loop is there: all entries of a loop leave as soon as its count is zero, and when
//!    it is closed or cleared, before the first of them is dropped.
//! 5. From the making of a thin handle to its entry in the engine, and in all of the above, no code of
//!    Python's runs.

use std::ptr::{self, NonNull};

use ouroloop::Callback as _;
use ouroloop::clock::{Nanos, as_seconds};
use ouroloop::ready::Place;
use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::entries::{HandleCall, Nothing};
use super::object::{Contents, Handle, call};
use super::pending::{Pending, Stand};
use super::timer::{TimerHandle, When};
use crate::native::shelf;
use crate::turn::Loop;
use crate::turn::{Entry, KindOf, Placed, Subject, Work};

/// Who may still reach the callback, in one word, since an entry has room for four.
///
/// | word | who |
/// | --- | --- |
/// | 0 | nobody |
/// | even | a thin handle: its address |
/// | odd | nobody; it was a timer that was due at this time (in the upper 63 bits: what is later is as late as that) |
#[derive(Clone, Copy, Debug)]
struct Holder(u64);

impl Holder {
    const NOBODY: Self = Self(0);

    #[inline]
    fn of(handle: &Bound<'_, Handle>) -> Self {
        Self(handle.as_ptr().expose_provenance() as u64)
    }

    fn timer(due: Nanos) -> Self {
        Self(due.min(Nanos::MAX >> 1) << 1 | 1)
    }

    #[inline]
    fn handle(self) -> Option<NonNull<ffi::PyObject>> {
        if self.0 & 1 == 1 {
            return None;
        }
        // An even word came from an address.
        #[expect(clippy::cast_possible_truncation, reason = "as above")]
        NonNull::new(ptr::with_exposed_provenance_mut(self.0 as usize))
    }

    fn due(self) -> Option<Nanos> {
        (self.0 & 1 == 1).then_some(self.0 >> 1)
    }
}

/// A loop's entry of a callback.
#[derive(Debug)]
pub(crate) struct Scheduled {
    /// `None` only once it was taken.
    contents: Option<Contents>,
    holder: Holder,
}

// SAFETY: entries are made, moved and dropped by attached threads alone; the address is used under
// the rules above.
unsafe impl Send for Scheduled {}

impl Pending {
    fn event_loop<'a, 'py>(&'a self, py: Python<'py>) -> Borrowed<'a, 'py, Loop> {
        // SAFETY: rule 4.
        unsafe { Borrowed::from_ptr(py, self.event_loop.as_ptr()).cast_unchecked() }
    }

    /// Changes the entry.
    fn entry<R>(&self, py: Python<'_>, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        self.event_loop(py).get().engine.with(py, |engine| {
            match self.stand {
                Stand::Ready(place) => engine.ready_mut(place),
                Stand::Timer(timer) => engine.timer_mut(timer),
            }
            .map(change)
        })
    }

    /// Takes the entry out; in the ready queue something stays in its place.
    fn remove(&self, py: Python<'_>) -> Option<Entry> {
        match self.stand {
            Stand::Ready(_) => self.entry(py, |entry| {
                entry.leave();
                std::mem::replace(entry, Nothing.entry())
            }),
            Stand::Timer(timer) => {
                self.event_loop(py).get().engine.with(py, |engine| engine.cancel(timer))
            }
        }
    }
}

impl Scheduled {
    fn held_by(contents: Contents, handle: &Bound<'_, Handle>) -> Self {
        Self { contents: Some(contents), holder: Holder::of(handle) }
    }

    /// A timer's entry moves to this place in the ready queue.
    pub(super) fn move_to(&mut self, place: Place, deadline: Nanos) {
        let Some(handle) = self.holder.handle() else {
            self.holder = Holder::timer(deadline);
            return;
        };
        // SAFETY: timers are collected attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: rule 1.
        let handle = unsafe { borrowed(py, &handle) };
        handle.get().state.with(py, |state| {
            if let Some(pending) = &mut state.pending {
                pending.stand = Stand::Ready(place);
            }
        });
    }

    /// Whether a thin handle has it.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.holder.handle().is_some()
    }

    /// The entry leaves the loop: from here on its handle is an ordinary one, which is answered, or nobody's.
    #[inline(never)]
    pub(super) fn let_go(&mut self) -> Option<Py<Handle>> {
        let handle = self.holder.handle()?;
        self.holder = Holder::NOBODY;
        // SAFETY: entries are moved attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: rule 1.
        let handle = unsafe { borrowed(py, &handle) };
        let pending = handle.get().state.with(py, |state| state.pending.take());
        if counts(&handle) == 0 {
            // It is being deallocated, and nobody can reach the callback any more.
            return None;
        }
        let handle = handle.to_owned();
        // A loop that is being deallocated cannot be referred to any more.
        let event_loop = pending.as_ref().and_then(|pending| {
            let event_loop = pending.event_loop(py);
            (counts(&event_loop) > 0).then(|| event_loop.to_owned().into_any().unbind())
        });
        fill(&handle, self.contents.take(), event_loop);
        Some(handle.unbind())
    }

    /// Makes the call; an error goes to the loop's exception handler.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    #[inline]
    pub(super) fn call(mut self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        let Some(Contents { callback, args, context }) = self.contents.take() else {
            return Ok(());
        };
        match context.run(py, || call(py, &callback, &args)) {
            Ok(()) => {
                callback.drop_ref(py);
                args.drop_ref(py);
                Ok(())
            }
            Err((error, context)) => {
                self.contents = Some(Contents { callback, args, context });
                self.report(event_loop, error)
            }
        }
    }

    /// A handle with everything that a handle has.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn into_handle<'py>(
        mut self,
        event_loop: &Bound<'py, Loop>,
    ) -> PyResult<Option<Bound<'py, Handle>>> {
        let Some(contents) = self.contents.take() else { return Ok(None) };
        Ok(Some(match self.holder.due() {
            Some(deadline) => {
                TimerHandle::past(event_loop, as_seconds(deadline), contents)?.into_super()
            }
            None => Handle::create(event_loop, contents)?,
        }))
    }

    #[cold]
    fn report(self, event_loop: &Bound<'_, Loop>, error: PyErr) -> PyResult<()> {
        match self.into_handle(event_loop)? {
            Some(handle) => Handle::report(&handle, error),
            None => Err(error),
        }
    }

    /// What it calls, while nobody has taken that over.
    pub(super) fn callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.contents.as_ref().map(|contents| contents.callback.clone_ref(py))
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(contents) = &self.contents else { return Ok(()) };
        visit.call(&contents.callback)?;
        visit.call(&contents.args)?;
        contents.context.visit(visit)
    }
}

/// What `call_soon` and its kin schedule.
impl Work for Scheduled {
    fn kind() -> &'static KindOf<Self> {
        static KIND: KindOf<Scheduled> = KindOf::new("handle.soon").placed();
        &KIND
    }

    #[inline]
    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        self.call(event_loop)
    }

    fn subject(&self, py: Python<'_>) -> Option<Subject> {
        Some(match self.callback(py) {
            Some(callback) => Subject::Object(callback),
            None => Subject::Name(""),
        })
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.traverse(visit)
    }
}

impl Placed for Scheduled {
    #[inline]
    fn due(&mut self, place: Place, deadline: Nanos) {
        self.move_to(place, deadline);
    }

    #[inline]
    fn leave(&mut self) -> Option<Entry> {
        if self.is_held() { self.let_go().map(|handle| HandleCall(handle).entry()) } else { None }
    }
}

fn address<T>(object: &Bound<'_, T>) -> NonNull<ffi::PyObject> {
    NonNull::new(object.as_ptr()).expect("a reference is not null")
}

/// How many references there are; none to an object that is being deallocated.
#[inline]
fn counts<T>(object: &Borrowed<'_, '_, T>) -> isize {
    // SAFETY: the object's memory is there.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// # Safety
/// The address must be that of a handle whose memory is there.
unsafe fn borrowed<'a, 'py>(
    py: Python<'py>,
    handle: &'a NonNull<ffi::PyObject>,
) -> Borrowed<'a, 'py, Handle> {
    // SAFETY: the caller's promise.
    unsafe { Borrowed::from_ptr(py, handle.as_ptr()).cast_unchecked() }
}

/// Makes a thin handle an ordinary one.
#[inline]
fn fill(handle: &Bound<'_, Handle>, contents: Option<Contents>, event_loop: Option<Py<PyAny>>) {
    let py = handle.py();
    handle.get().state.with(py, |state| {
        // A thin handle has none of these, so nothing is dropped here.
        debug_assert!(state.callback.is_none() && state.event_loop.is_none());
        state.event_loop = event_loop;
        if let Some(Contents { callback, args, context }) = contents {
            state.callback = Some(callback);
            state.args = Some(args);
            state.context = Some(context);
        }
    });
    shelf::track_again(handle);
}

impl Handle {
    /// Queues a call; answers a thin handle.
    #[inline]
    pub(crate) fn queue<'py>(
        event_loop: &Bound<'py, Loop>,
        contents: Contents,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let handle = Self::thin(py)?;
        event_loop.get().reserve(py, 1)?;
        let entry = Scheduled::held_by(contents, &handle).entry();
        let place = event_loop.get().push(py, entry);
        handle.get().stands(event_loop, Stand::Ready(place));
        Ok(handle)
    }

    fn stands(&self, event_loop: &Bound<'_, Loop>, stand: Stand) {
        let event_loop_address = address(event_loop);
        self.state.with(event_loop.py(), |state| {
            state.pending = Some(Pending { event_loop: event_loop_address, stand });
        });
    }

    /// Sees to it that the handle is an ordinary one, which the loop owns while it waits.
    pub(super) fn hold(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let Some(pending) = slf.get().state.with(py, |state| state.pending) else { return };
        // The entry stays, as one that owns the handle.
        pending.entry(py, Entry::leave);
    }

    /// Takes the callback of a thin handle out of the loop; answers whether it was thin.
    #[inline]
    pub(super) fn withdraw(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let Some(pending) = slf.get().state.with(py, |state| state.pending) else { return false };
        // What it owns now is the handle, which the caller has too.
        drop(pending.remove(py));
        true
    }

    /// The handle's count is zero: nobody can reach its callback any more.
    #[inline]
    pub(super) fn leave_entry(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let Some(pending) = slf.get().state.with(py, |state| state.pending.take()) else { return };
        pending.entry(py, |entry| {
            if let Some(scheduled) = entry.get_mut::<Scheduled>() {
                scheduled.holder = Holder::NOBODY;
            }
        });
    }

    /// Whether the loop would have to keep it alive although nobody refers to it.
    #[inline]
    pub(super) fn is_missed(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.pending.is_some())
            && shelf::has_weak_references(slf.as_any())
    }
}

impl TimerHandle {
    /// Schedules a call; answers a thin handle.
    #[inline]
    pub(crate) fn schedule<'py>(
        event_loop: &Bound<'py, Loop>,
        when: When<'_, 'py>,
        contents: Contents,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let timer = Self::thin(py, when)?;
        event_loop.get().reserve_timer(py)?;
        let entry = Scheduled::held_by(contents, timer.as_super()).entry();
        let seconds = timer.get().seconds(py);
        let id = event_loop.get().add_timer(py, seconds, entry);
        timer.as_super().get().stands(event_loop, Stand::Timer(id));
        timer.get().scheduled_as(py, id);
        Ok(timer)
    }
}
