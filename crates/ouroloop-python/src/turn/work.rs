//! How a room makes entries of work of its own: a type, and one `static` that names what can be done with it.
//!
//! ```ignore
//! struct Step(Py<Task>);
//!
//! impl Work for Step {
//!     fn kind() -> &'static KindOf<Self> {
//!         static KIND: KindOf<Step> = KindOf::new("task.step");
//!         &KIND
//!     }
//!     …
//! }
//!
//! event_loop.push(py, Step(task).entry());
//! ```

use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use ouroloop::clock::Nanos;
use ouroloop::ready::Place;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

use super::entry::{Entry, Kind, Placement, Room, Subject};
use super::event_loop::Loop;

/// A piece of work of one kind, for a turn of the loop.
///
/// `Send`, since a loop may be made in one thread and run in another.
pub(crate) trait Work: Sized + Send + 'static {
    /// Whether code may run that asks for the current task: no task of ours is, from here on.
    const LEAVES_TASK: bool = true;

    /// The kind: a `static` in this function, which has to be always the same one.
    fn kind() -> &'static KindOf<Self>;

    /// Does it.
    ///
    /// # Errors
    /// `SystemExit` and `KeyboardInterrupt`, which leave the loop; any other error has gone to
    /// the loop's exception handler.
    fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()>;

    /// What it is about; none for what was cancelled. Runs no code of Python's.
    fn subject(&self, py: Python<'_>) -> Option<Subject>;

    /// Shows the garbage collector what it holds.
    ///
    /// # Errors
    /// The collector's.
    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;

    /// The entry for the queue.
    #[inline]
    fn entry(self) -> Entry {
        let mut room = Room::uninit();
        // SAFETY: it fits, as `KindOf::new` has asserted, and nothing is there yet.
        unsafe { room.as_mut_ptr().cast::<Self>().write(self) };
        Entry { kind: &Self::kind().kind, room }
    }
}

/// Work that a descriptor is watched for: it is done each time the descriptor is ready.
pub(crate) trait Watched: Work {
    /// The same work once more.
    fn again(&self, py: Python<'_>) -> Self;
}

/// Work that somebody knows by its place in the queue or among the timers.
pub(crate) trait Placed: Work {
    /// A timer's entry moves to this place in the queue; it was due at `deadline`.
    fn due(&mut self, place: Place, deadline: Nanos);

    /// It is about to lose its place. Answers the entry that goes on instead.
    fn leave(&mut self) -> Option<Entry>;
}

/// The kind of `W`: what tells entries of it from others, and what the loop does with them.
pub(crate) struct KindOf<W> {
    kind: Kind,
    work: PhantomData<fn(W)>,
}

impl<W: Work> KindOf<W> {
    /// The kind of work called `name` in traces: the room and what happens, such as `task.step`.
    ///
    /// # Panics
    /// Where the work needs more than four words; in a `static`, it is not compiled then.
    pub(crate) const fn new(name: &'static str) -> Self {
        assert!(size_of::<W>() <= size_of::<Room>(), "an entry has room for four words");
        assert!(align_of::<W>() <= align_of::<Room>(), "an entry's room is of words");
        let kind = Kind {
            run: run::<W>,
            drop: drop_in_room::<W>,
            visit: visit::<W>,
            subject: subject::<W>,
            again: None,
            placed: None,
            name,
        };
        Self { kind, work: PhantomData }
    }

    /// The same for work that descriptors are watched for.
    pub(crate) const fn watched(mut self) -> Self
    where
        W: Watched,
    {
        self.kind.again = Some(again::<W>);
        self
    }

    /// The same for work that somebody knows by its place.
    pub(crate) const fn placed(mut self) -> Self
    where
        W: Placed,
    {
        self.kind.placed = Some(const { &Placement { due: due::<W>, leave: leave::<W> } });
        self
    }

    /// Whether [`KindOf::watched`] has made it.
    pub(super) fn is_watched(&self) -> bool {
        self.kind.again.is_some()
    }

    #[inline]
    fn is_of(&self, entry: &Entry) -> bool {
        std::ptr::eq(&raw const self.kind, entry.kind)
    }
}

impl Entry {
    /// Runs it.
    ///
    /// # Errors
    /// As [`Work::run`].
    #[inline]
    pub(crate) fn run(self, event_loop: &Bound<'_, Loop>) -> PyResult<()> {
        // SAFETY: this is a loop.
        unsafe { self.run_on(event_loop.as_any()) }
    }

    /// The work, if it is of this kind.
    #[inline]
    pub(crate) fn get<W: Work>(&self) -> Option<&W> {
        // SAFETY: the room is of this kind.
        W::kind().is_of(self).then(|| unsafe { &*self.room.as_ptr().cast::<W>() })
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn get_mut<W: Work>(&mut self) -> Option<&mut W> {
        // SAFETY: the room is of this kind.
        W::kind().is_of(self).then(|| unsafe { &mut *self.room.as_mut_ptr().cast::<W>() })
    }

    /// The work if it is of this kind, else the entry.
    #[inline]
    pub(crate) fn take<W: Work>(self) -> Result<W, Self> {
        if !W::kind().is_of(&self) {
            return Err(self);
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: the room is of this kind, and is not used again.
        Ok(unsafe { this.room.as_ptr().cast::<W>().read() })
    }
}

/// # Safety
/// The room must hold a `W`, which is given up; `event_loop` must be a `Loop`.
unsafe fn run<W: Work>(room: *mut Room, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: the caller's promise.
    let work = unsafe { room.cast::<W>().read() };
    // SAFETY: the caller's promise.
    let event_loop = unsafe { event_loop.cast_unchecked::<Loop>() };
    if W::LEAVES_TASK {
        Loop::leave_task(event_loop)?;
    }
    work.run(event_loop)
}

/// # Safety
/// The room must hold a `W`, which is given up.
unsafe fn drop_in_room<W: Work>(room: *mut Room) {
    // SAFETY: the caller's promise.
    unsafe { room.cast::<W>().drop_in_place() }
}

/// # Safety
/// The room must hold a `W`.
unsafe fn visit<W: Work>(room: *const Room, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
    // SAFETY: the caller's promise.
    unsafe { &*room.cast::<W>() }.visit(visit)
}

/// # Safety
/// The room must hold a `W`.
unsafe fn subject<W: Work>(room: *const Room, py: Python<'_>) -> Option<Subject> {
    // SAFETY: the caller's promise.
    unsafe { &*room.cast::<W>() }.subject(py)
}

/// # Safety
/// The room must hold a `W`.
unsafe fn again<W: Watched>(room: *const Room, py: Python<'_>) -> Entry {
    // SAFETY: the caller's promise.
    unsafe { &*room.cast::<W>() }.again(py).entry()
}

/// # Safety
/// The room must hold a `W`.
unsafe fn due<W: Placed>(room: *mut Room, place: Place, deadline: Nanos) {
    // SAFETY: the caller's promise.
    unsafe { &mut *room.cast::<W>() }.due(place, deadline);
}

/// # Safety
/// The entry must be of a `W`.
unsafe fn leave<W: Placed>(entry: &mut Entry) {
    // SAFETY: the caller's promise.
    if let Some(instead) = unsafe { &mut *entry.room.as_mut_ptr().cast::<W>() }.leave() {
        *entry = instead;
    }
}
