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
//! | held ([`Handle::hold`]) | `Call`, owning the handle | – | – |
//! | settled, as the loop takes the entry out | gone | – | – |
//!
//! 1. The address in an entry is that of a living thin handle: a handle that goes takes it out
//!    ([`Handle::detach`]), and an entry that goes settles its handle, whatever the reason.
//! 2. A thin handle owns nothing, so the garbage collector need not know it; every other is tracked.
//! 3. Whoever looks at a thin handle has it held first and then sees an ordinary one. So has whoever
//!    drops one to which there are weak references: asyncio's loop would keep it alive.
//! 4. A thin handle is of exactly the native class, and its loop is alive: a loop that goes takes its
//!    entries along, which settles their handles.

use std::ptr::NonNull;

use ouroloop::clock::{Nanos, as_seconds};
use ouroloop::ready::Place;
use ouroloop::timers::TimerId;
use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::{Handle, TimerHandle, call};
use crate::callback::Callback;
use crate::context::Snapshot;
use crate::event_loop::Loop;
use crate::shelf;

/// What is to be called, and in which context.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) callback: Py<PyAny>,
    /// A tuple.
    pub(crate) args: Py<PyAny>,
    pub(crate) context: Snapshot,
}

/// Who may still reach the callback.
#[derive(Clone, Copy, Debug)]
enum Holder {
    Nobody,
    /// A thin handle.
    Handle(NonNull<ffi::PyObject>),
    /// Nobody; it was due at this time.
    Timer(Nanos),
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

/// Where a thin handle's entry stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// A living `Loop` (rule 4).
    event_loop: NonNull<ffi::PyObject>,
    stand: Stand,
}

#[derive(Clone, Copy, Debug)]
enum Stand {
    Ready(Place),
    Timer(TimerId),
}

impl Pending {
    fn event_loop<'a, 'py>(&'a self, py: Python<'py>) -> Borrowed<'a, 'py, Loop> {
        // SAFETY: rule 4.
        unsafe { Borrowed::from_ptr(py, self.event_loop.as_ptr()).cast_unchecked() }
    }

    /// Changes the entry.
    fn entry<R>(&self, py: Python<'_>, change: impl FnOnce(&mut Callback) -> R) -> Option<R> {
        self.event_loop(py).get().engine.with(py, |engine| {
            match self.stand {
                Stand::Ready(place) => engine.ready_mut(place),
                Stand::Timer(timer) => engine.timer_mut(timer),
            }
            .map(change)
        })
    }

    /// Takes the entry out; in the ready queue something stays in its place.
    fn remove(&self, py: Python<'_>) -> Option<Callback> {
        match self.stand {
            Stand::Ready(_) => self.entry(py, |entry| std::mem::replace(entry, Callback::Nothing)),
            Stand::Timer(timer) => {
                self.event_loop(py).get().engine.with(py, |engine| engine.cancel(timer))
            }
        }
    }
}

impl Scheduled {
    fn held_by(contents: Contents, handle: &Bound<'_, Handle>) -> Self {
        let handle = NonNull::new(handle.as_ptr()).expect("a reference is not null");
        Self { contents: Some(contents), holder: Holder::Handle(handle) }
    }

    /// One more entry for the same call.
    pub(crate) fn again(&self, py: Python<'_>) -> Self {
        let contents = self.contents.as_ref().map(|contents| Contents {
            callback: contents.callback.clone_ref(py),
            args: contents.args.clone_ref(py),
            context: contents.context.clone_ref(py),
        });
        Self { contents, holder: Holder::Nobody }
    }

    /// A timer's entry moves to this place in the ready queue.
    pub(crate) fn due(&mut self, place: Place, deadline: Nanos) {
        match &self.holder {
            Holder::Handle(handle) => {
                // SAFETY: timers are collected attached.
                let py = unsafe { Python::assume_attached() };
                // SAFETY: rule 1.
                let handle = unsafe { borrowed(py, handle) };
                handle.get().state.with(py, |state| {
                    if let Some(pending) = &mut state.pending {
                        pending.stand = Stand::Ready(place);
                    }
                });
            }
            _ => self.holder = Holder::Timer(deadline),
        }
    }

    /// Makes the call; an error goes to the loop's exception handler.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`.
    #[inline]
    pub(crate) fn run(mut self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        let py = event_loop.py();
        if let Holder::Handle(_) = self.holder {
            return match self.settle(event_loop) {
                Some(handle) => Handle::run(&handle),
                None => Ok(()),
            };
        }
        let Some(Contents { callback, args, context }) = self.contents.take() else {
            return Ok(());
        };
        match context.run(py, || call(py, &callback, &args)) {
            Ok(()) => Ok(()),
            Err((error, context)) => {
                self.contents = Some(Contents { callback, args, context });
                self.report(event_loop, error)
            }
        }
    }

    /// The handle, with everything that a handle has; one is made if nobody has any.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn into_handle<'py>(
        mut self,
        event_loop: &Bound<'py, Loop>,
    ) -> PyResult<Option<Bound<'py, Handle>>> {
        if let Some(handle) = self.settle(event_loop) {
            return Ok(Some(handle));
        }
        let Some(contents) = self.contents.take() else { return Ok(None) };
        Ok(Some(match self.holder {
            Holder::Timer(deadline) => {
                TimerHandle::past(event_loop, as_seconds(deadline), contents)?.into_super()
            }
            _ => Handle::create(event_loop, contents)?,
        }))
    }

    #[cold]
    fn report(self, event_loop: &Bound<'_, Loop>, error: PyErr) -> PyResult<()> {
        match self.into_handle(event_loop)? {
            Some(handle) => Handle::report(&handle, error),
            None => Err(error),
        }
    }

    /// Gives the contents to the thin handle, if there is one.
    fn settle<'py>(&mut self, event_loop: &Bound<'py, Loop>) -> Option<Bound<'py, Handle>> {
        let Holder::Handle(handle) = self.holder else { return None };
        self.holder = Holder::Nobody;
        let py = event_loop.py();
        // SAFETY: rule 1.
        let handle = unsafe { borrowed(py, &handle) }.to_owned();
        fill(&handle, self.contents.take(), Some(event_loop.clone().into_any().unbind()));
        Some(handle)
    }

    pub(crate) fn describe(&self, py: Python<'_>) -> PyResult<String> {
        let callback = self.contents.as_ref().map(|contents| contents.callback.bind(py));
        Ok(callback
            .map(PyAnyMethods::repr)
            .transpose()?
            .map_or_else(String::new, |it| it.to_string()))
    }

    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(contents) = &self.contents else { return Ok(()) };
        visit.call(&contents.callback)?;
        visit.call(&contents.args)?;
        contents.context.visit(visit)
    }
}

impl Drop for Scheduled {
    fn drop(&mut self) {
        let Holder::Handle(handle) = self.holder else { return };
        // SAFETY: entries are dropped attached.
        let py = unsafe { Python::assume_attached() };
        // SAFETY: rule 1.
        let handle = unsafe { borrowed(py, &handle) }.to_owned();
        let event_loop = handle.get().state.with(py, |state| {
            let pending = state.pending?;
            // A loop that is being taken apart cannot be referred to any more.
            // SAFETY: rule 4.
            let alive = unsafe { ffi::Py_REFCNT(pending.event_loop.as_ptr()) > 0 };
            alive.then(|| pending.event_loop(py).to_owned().into_any().unbind())
        });
        fill(&handle, self.contents.take(), event_loop);
    }
}

/// # Safety
/// The address must be that of a living handle.
unsafe fn borrowed<'a, 'py>(
    py: Python<'py>,
    handle: &'a NonNull<ffi::PyObject>,
) -> Borrowed<'a, 'py, Handle> {
    // SAFETY: the caller's promise.
    unsafe { Borrowed::from_ptr(py, handle.as_ptr()).cast_unchecked() }
}

/// Makes a thin handle an ordinary one.
fn fill(handle: &Bound<'_, Handle>, contents: Option<Contents>, event_loop: Option<Py<PyAny>>) {
    let py = handle.py();
    handle.get().state.with(py, |state| {
        state.pending = None;
        // A thin handle has none of these.
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
        let entry = Callback::Soon(Scheduled::held_by(contents, &handle));
        let place = event_loop.get().push(py, entry);
        handle.get().stands(event_loop, Stand::Ready(place));
        Ok(handle)
    }

    fn stands(&self, event_loop: &Bound<'_, Loop>, stand: Stand) {
        let pointer = NonNull::new(event_loop.as_ptr()).expect("a reference is not null");
        self.state.with(event_loop.py(), |state| {
            state.pending = Some(Pending { event_loop: pointer, stand });
        });
    }

    /// Sees to it that the handle is an ordinary one, which the loop owns while it waits.
    pub(super) fn hold(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let Some(pending) = slf.get().state.with(py, |state| state.pending) else { return };
        let strong = Callback::Call(slf.clone().unbind());
        let entry = pending.entry(py, |entry| std::mem::replace(entry, strong));
        // Dropped with the handle's address inside: that settles it.
        drop(entry);
    }

    /// Takes the callback of a thin handle out of the loop; answers whether it was thin.
    #[inline]
    pub(super) fn withdraw(slf: &Bound<'_, Self>) -> bool {
        let py = slf.py();
        let Some(pending) = slf.get().state.with(py, |state| state.pending) else { return false };
        drop(pending.remove(py));
        true
    }

    /// The handle is about to go: nobody can reach its callback any more.
    #[inline]
    pub(super) fn detach(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let Some(pending) = slf.get().state.with(py, |state| state.pending.take()) else { return };
        pending.entry(py, |entry| {
            if let Callback::Soon(scheduled) = entry {
                scheduled.holder = Holder::Nobody;
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
        when: super::When<'_, 'py>,
        contents: Contents,
    ) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let timer = Self::thin(py, when)?;
        event_loop.get().reserve_timer(py)?;
        let entry = Callback::Soon(Scheduled::held_by(contents, timer.as_super()));
        let seconds = timer.get().seconds(py);
        let id = event_loop.get().add_timer(py, seconds, entry);
        timer.as_super().get().stands(event_loop, Stand::Timer(id));
        timer.get().scheduled_as(py, id);
        Ok(timer)
    }
}
