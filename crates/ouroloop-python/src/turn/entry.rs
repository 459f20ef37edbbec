//! An entry of the loop's queue: forty bytes, by value, of any kind.
//!
//! ```text
//!   Entry                         Kind, one `static` a kind
//!   ┌──────┬──────────────────┐   ┌─────────────────────────────────────────────┐
//!   │ kind │ room: four words │   │ run  drop  visit  subject  again  placed  name │
//!   └──┬───┴──────────────────┘   └─────────────────────────────────────────────┘
//!      └────────────────────────────▲
//! ```
//!
//! The room holds a value of the one type that the kind is of. [`super::work`] makes entries of values, and is the
//! only place that does; a value leaves its room by being run, taken or dropped, and each of these gives the entry up.

use std::mem::{ManuallyDrop, MaybeUninit};

use ouroloop::clock::Nanos;
use ouroloop::ready::Place;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

/// Room for what a kind keeps: four words of any type that may go to another thread.
pub(super) type Room = MaybeUninit<[u64; 4]>;

/// What can be done with work of one kind. Each function takes the room of an entry of this kind.
#[repr(C)]
pub(super) struct Kind {
    /// Takes the room's content and runs it on a `Loop`.
    pub(super) run: unsafe fn(*mut Room, &Bound<'_, PyAny>) -> PyResult<()>,
    /// Takes the room's content and drops it.
    pub(super) drop: unsafe fn(*mut Room),
    pub(super) visit: unsafe fn(*const Room, &PyVisit<'_>) -> Result<(), PyTraverseError>,
    pub(super) subject: unsafe fn(*const Room, Python<'_>) -> Option<Subject>,
    /// One more entry for the same work; of kinds that descriptors are watched for.
    pub(super) again: Option<unsafe fn(*const Room, Python<'_>) -> Entry>,
    /// Of kinds whose entries somebody knows by their place.
    pub(super) placed: Option<&'static Placement>,
    pub(super) name: &'static str,
}

/// What is told to work that somebody knows by its place.
pub(super) struct Placement {
    pub(super) due: unsafe fn(*mut Room, Place, Nanos),
    /// May put another entry in the place of this one.
    pub(super) leave: unsafe fn(&mut Entry),
}

/// One piece of work for a turn of the loop.
pub(crate) struct Entry {
    pub(super) kind: &'static Kind,
    pub(super) room: Room,
}

/// What an entry is about, for reports and for views of the queue. Taking it runs no code of Python's.
#[derive(Debug)]
pub(crate) enum Subject {
    /// The handle or the callable, or the task, future or transport to which something happens.
    Object(Py<PyAny>),
    /// The callable that this function makes of the object.
    Callable(Py<PyAny>, for<'py> fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>),
    /// Nothing that Python knows, only this name.
    Name(&'static str),
}

impl Subject {
    /// The object, if there is one.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn object<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::Object(object) => Ok(Some(object.bind(py).clone())),
            Self::Callable(owner, make) => make(owner.bind(py)).map(Some),
            Self::Name(_) => Ok(None),
        }
    }
}

impl Entry {
    /// Runs it.
    ///
    /// # Errors
    /// Those of the work.
    ///
    /// # Safety
    /// `event_loop` must be a `Loop`.
    #[inline]
    pub(super) unsafe fn run_on(self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: the room is of this kind and is given up here; the loop is the caller's promise.
        unsafe { (this.kind.run)(&raw mut this.room, event_loop) }
    }

    /// What it is about; none for what was cancelled.
    pub(crate) fn subject(&self, py: Python<'_>) -> Option<Subject> {
        // SAFETY: the room is of this kind.
        unsafe { (self.kind.subject)(&raw const self.room, py) }
    }

    /// Shows the garbage collector what it holds.
    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the room is of this kind.
        unsafe { (self.kind.visit)(&raw const self.room, visit) }
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the room is of this kind, and is not used again.
        unsafe { (self.kind.drop)(&raw mut self.room) }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.name)
    }
}

impl ouroloop::Callback for Entry {
    #[inline]
    fn again(&self) -> Self {
        // SAFETY: the loop's descriptors are dispatched by its own turn, attached.
        let py = unsafe { Python::assume_attached() };
        let again = self.kind.again.expect("descriptors are watched for work that can be repeated");
        // SAFETY: the room is of this kind.
        unsafe { again(&raw const self.room, py) }
    }

    fn due(&mut self, place: Place, deadline: Nanos) {
        if let Some(placed) = self.kind.placed {
            // SAFETY: the room is of this kind.
            unsafe { (placed.due)(&raw mut self.room, place, deadline) }
        }
    }

    #[inline]
    fn leave(&mut self) {
        if let Some(placed) = self.kind.placed {
            // SAFETY: the room is of this kind.
            unsafe { (placed.leave)(self) }
        }
    }
}
