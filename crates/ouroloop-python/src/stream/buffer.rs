//! What a reader has been fed and has not given out.
//!
//! | content | is | becomes |
//! | --- | --- | --- |
//! | `Gathered` | bytes of Rust's, often none | `Whole` by the next piece, if it was empty |
//! | `Whole` | the one piece that came, as the object it came as, or two that came at once | given out as it is; `Gathered` by the next piece, and two by all but taking the first as it is |
//! | `Shown` | a `bytearray` that Python code has seen | `Gathered`, once it is empty and nobody else has it |
//!
//! `reader._buffer` is a `bytearray` under asyncio, and programs change it. Showing it makes the
//! `bytearray` the content: who fills, shortens or empties it does that to the reader.

use std::mem::MaybeUninit;

use ouroloop::net::Received;
use pyo3::PyTraverseError;
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use crate::interpreter::fresh;
use crate::interpreter::room::no_memory;
use crate::native::cell::AttachedCell;

#[derive(Debug)]
enum Content {
    Gathered { bytes: Vec<u8>, start: usize },
    Whole { bytes: Py<PyBytes>, start: usize, behind: Option<Py<PyBytes>> },
    Shown(Py<PyByteArray>),
}

impl Content {
    const fn empty() -> Self {
        Self::Gathered { bytes: Vec::new(), start: 0 }
    }

    /// All bytes, with space for `room` more if they have to be copied, and how many of the first are none
    /// of the content any more. The content itself if it is not Rust's, or there is no memory.
    fn into_vec(self, py: Python<'_>, room: usize) -> Result<(Vec<u8>, usize), Self> {
        match self {
            Self::Gathered { bytes, start } => Ok((bytes, start)),
            Self::Whole { bytes, start, behind } => {
                let second = behind.as_ref().map_or(&[][..], |behind| behind.as_bytes(py));
                let first = &bytes.as_bytes(py)[start..];
                let mut gathered = Vec::new();
                if gathered.try_reserve_exact(first.len() + second.len() + room).is_err() {
                    return Err(Self::Whole { bytes, start, behind });
                }
                gathered.extend_from_slice(first);
                gathered.extend_from_slice(second);
                Ok((gathered, 0))
            }
            Self::Shown(_) => Err(self),
        }
    }
}

/// The bytes of one reader.
#[derive(Debug)]
pub(super) struct Buffer {
    content: AttachedCell<Content>,
}

/// The bytes of a `bytearray`.
///
/// # Safety
/// No Python code may run while the answer is alive.
unsafe fn bytes_of(array: &Py<PyByteArray>) -> &[u8] {
    // SAFETY: the object is alive, and by the caller's promise nothing changes it.
    unsafe {
        let start = ffi::PyByteArray_AsString(array.as_ptr()).cast::<u8>();
        let length = ffi::PyByteArray_Size(array.as_ptr());
        std::slice::from_raw_parts(start, usize::try_from(length).unwrap_or(0))
    }
}

impl Buffer {
    pub(super) const fn new() -> Self {
        Self { content: AttachedCell::new(Content::empty()) }
    }

    /// Lends what is there for a moment in which no Python code runs.
    ///
    /// # Errors
    /// `MemoryError`: two pieces could not be made one.
    #[inline]
    pub(super) fn with<R>(&self, py: Python<'_>, access: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
        self.join(py)?;
        Ok(self.content.with(py, |content| match content {
            Content::Gathered { bytes, start } => access(&bytes[*start..]),
            Content::Whole { bytes, start, .. } => access(&bytes.as_bytes(py)[*start..]),
            // SAFETY: `access` runs no Python code.
            Content::Shown(array) => access(unsafe { bytes_of(array) }),
        }))
    }

    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> usize {
        self.content.with(py, |content| match content {
            Content::Gathered { bytes, start } => bytes.len() - *start,
            Content::Whole { bytes, start, behind } => {
                let behind = behind.as_ref().map_or(0, |behind| behind.as_bytes(py).len());
                bytes.as_bytes(py).len() - *start + behind
            }
            // SAFETY: only the length is looked at.
            Content::Shown(array) => unsafe { bytes_of(array) }.len(),
        })
    }

    /// Makes one piece of two.
    #[inline]
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        let are_two = self
            .content
            .with(py, |content| matches!(content, Content::Whole { behind: Some(_), .. }));
        if are_two { self.join_two(py) } else { Ok(()) }
    }

    fn join_two(&self, py: Python<'_>) -> PyResult<()> {
        match self.content.replace(py, Content::empty()).into_vec(py, 0) {
            Ok((bytes, start)) => {
                drop(self.content.replace(py, Content::Gathered { bytes, start }));
                Ok(())
            }
            Err(content) => {
                drop(self.content.replace(py, content));
                Err(no_memory(py))
            }
        }
    }

    #[inline]
    pub(super) fn is_empty(&self, py: Python<'_>) -> bool {
        self.len(py) == 0
    }

    /// Whether the next piece is kept as the object that it is.
    #[inline]
    pub(super) fn keeps_whole(&self, py: Python<'_>) -> bool {
        self.hide(py);
        self.content.with(py, |content| match content {
            Content::Gathered { bytes, start } => bytes.len() == *start,
            Content::Whole { .. } | Content::Shown(_) => false,
        })
    }

    /// Keeps two pieces as the objects that they are; for a buffer that keeps the next one whole.
    pub(super) fn push_pair(&self, first: &Bound<'_, PyBytes>, second: &Bound<'_, PyBytes>) {
        let py = first.py();
        debug_assert!(self.keeps_whole(py), "bytes would be lost");
        let (bytes, behind) = (first.clone().unbind(), Some(second.clone().unbind()));
        drop(self.content.replace(py, Content::Whole { bytes, start: 0, behind }));
    }

    /// Puts a piece behind what is there.
    ///
    /// # Errors
    /// `BufferError` if the buffer was shown and somebody has a view of it; `MemoryError`.
    pub(super) fn push(&self, piece: &Bound<'_, PyBytes>) -> PyResult<()> {
        let py = piece.py();
        if !self.keeps_whole(py) {
            return self.extend(py, piece.as_bytes());
        }
        let whole = Content::Whole { bytes: piece.clone().unbind(), start: 0, behind: None };
        drop(self.content.replace(py, whole));
        Ok(())
    }

    /// Copies bytes behind what is there.
    ///
    /// # Errors
    /// Those of [`Buffer::push`].
    pub(super) fn extend(&self, py: Python<'_>, piece: &[u8]) -> PyResult<()> {
        self.hide(py);
        match self.content.replace(py, Content::empty()).into_vec(py, piece.len()) {
            Ok((mut bytes, mut start)) => {
                if start > bytes.len() / 2 {
                    bytes.drain(..start);
                    start = 0;
                }
                let room = bytes.try_reserve(piece.len());
                if room.is_ok() {
                    bytes.extend_from_slice(piece);
                }
                drop(self.content.replace(py, Content::Gathered { bytes, start }));
                room.map_err(|_| no_memory(py))
            }
            Err(content) => {
                let is_shown = matches!(content, Content::Shown(_));
                drop(self.content.replace(py, content));
                if !is_shown {
                    return Err(no_memory(py));
                }
                extend_shown(&self.show(py)?, piece)
            }
        }
    }

    /// Has `receive` write up to `room` bytes behind what is there, and answers what it answers: how
    /// many it has written, which it must have initialised.
    ///
    /// A buffer that was shown grows through [`Buffer::extend`] alone, as one for which there is no memory
    /// does not: for that it answers `None`.
    pub(super) fn receive(
        &self,
        py: Python<'_>,
        room: usize,
        receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> Received,
    ) -> Option<Received> {
        self.hide(py);
        let (mut bytes, start) = match self.content.replace(py, Content::empty()).into_vec(py, room)
        {
            Ok(gathered) => gathered,
            Err(shown) => {
                drop(self.content.replace(py, shown));
                return None;
            }
        };
        if bytes.try_reserve(room).is_err() {
            drop(self.content.replace(py, Content::Gathered { bytes, start }));
            return None;
        }
        let received = receive(&mut bytes.spare_capacity_mut()[..room]);
        if let Received::Data(length) = received {
            // SAFETY: the caller has initialised this many bytes, which fit into the room.
            unsafe { bytes.set_len(bytes.len() + length.min(room)) };
        }
        drop(self.content.replace(py, Content::Gathered { bytes, start }));
        Some(received)
    }

    /// Takes the first `count` bytes out, or as many as there are.
    ///
    /// # Errors
    /// Those of [`Buffer::push`].
    pub(super) fn take<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
        // Making an object must not happen while the cell is lent, so the content is taken out.
        match self.content.replace(py, Content::empty()) {
            Content::Whole { bytes, start: 0, behind: Some(second) }
                if count == bytes.as_bytes(py).len() =>
            {
                let rest = Content::Whole { bytes: second, start: 0, behind: None };
                drop(self.content.replace(py, rest));
                Ok(bytes.into_bound(py))
            }
            two @ Content::Whole { behind: Some(_), .. } => {
                drop(self.content.replace(py, two));
                self.join_two(py)?;
                self.take(py, count)
            }
            Content::Whole { bytes, start, behind: None } => {
                let rest = &bytes.as_bytes(py)[start..];
                if count >= rest.len() && start == 0 {
                    return Ok(bytes.into_bound(py));
                }
                let end = start + count.min(rest.len());
                let taken = fresh::bytes(py, &bytes.as_bytes(py)[start..end]);
                let start = if taken.is_ok() { end } else { start };
                if start < bytes.as_bytes(py).len() {
                    let rest = Content::Whole { bytes, start, behind: None };
                    drop(self.content.replace(py, rest));
                }
                taken
            }
            Content::Gathered { bytes, start } => {
                let end = start + count.min(bytes.len() - start);
                let taken = fresh::bytes(py, &bytes[start..end]);
                let start = if taken.is_ok() { end } else { start };
                if start < bytes.len() {
                    drop(self.content.replace(py, Content::Gathered { bytes, start }));
                }
                taken
            }
            Content::Shown(array) => {
                let kept = array.clone_ref(py);
                drop(self.content.replace(py, Content::Shown(kept)));
                // SAFETY: to make a `bytes` runs no Python code.
                let content = unsafe { bytes_of(&array) };
                let end = count.min(content.len());
                let taken = fresh::bytes(py, &content[..end])?;
                shorten_shown(array.bind(py), end)?;
                Ok(taken)
            }
        }
    }

    /// Drops the first `count` bytes, or as many as there are.
    ///
    /// # Errors
    /// Those of [`Buffer::push`].
    pub(super) fn skip(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        self.take(py, count).map(drop)
    }

    /// Drops everything.
    ///
    /// # Errors
    /// Those of [`Buffer::push`].
    pub(super) fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let shown = self.content.with(py, |content| match content {
            Content::Shown(array) => Some(array.clone_ref(py)),
            _ => None,
        });
        if let Some(array) = shown {
            return shorten_shown(array.bind(py), array.bind(py).len());
        }
        self.forget(py);
        Ok(())
    }

    /// The content as a `bytearray`, which it is from then on.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn show<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        self.join(py)?;
        let content = self.content.replace(py, Content::empty());
        let array = match &content {
            Content::Shown(array) => Ok(array.bind(py).clone()),
            Content::Whole { bytes, start, .. } => {
                fresh::byte_array(py, &bytes.as_bytes(py)[*start..])
            }
            Content::Gathered { bytes, start } => fresh::byte_array(py, &bytes[*start..]),
        };
        let content =
            array.as_ref().map_or(content, |array| Content::Shown(array.clone().unbind()));
        drop(self.content.replace(py, content));
        array
    }

    /// Puts a `bytearray` of Python code's in the place of the content.
    pub(super) fn replace(&self, array: &Bound<'_, PyByteArray>) {
        let content = Content::Shown(array.clone().unbind());
        drop(self.content.replace(array.py(), content));
    }

    /// Goes back to bytes of Rust's, if what was shown is empty and nobody else has it.
    #[inline]
    fn hide(&self, py: Python<'_>) {
        let unused = self.content.with(py, |content| match content {
            // SAFETY: attached; reads the count and the size of a live object.
            Content::Shown(array) => unsafe {
                ffi::Py_REFCNT(array.as_ptr()) == 1 && ffi::PyByteArray_Size(array.as_ptr()) == 0
            },
            _ => false,
        });
        if unused {
            drop(self.content.replace(py, Content::empty()));
        }
    }

    /// # Safety
    /// To be called from `tp_traverse` alone.
    pub(super) unsafe fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the caller's promise.
        unsafe {
            self.content.traverse(|content| match content {
                Content::Gathered { .. } => Ok(()),
                Content::Whole { bytes, behind, .. } => {
                    visit.call(bytes)?;
                    visit.call(behind)
                }
                Content::Shown(array) => visit.call(array),
            })
        }
    }

    /// Drops everything, and what was shown stays as it is.
    pub(super) fn forget(&self, py: Python<'_>) {
        drop(self.content.replace(py, Content::empty()));
    }
}

fn extend_shown(array: &Bound<'_, PyByteArray>, piece: &[u8]) -> PyResult<()> {
    let old = array.len();
    array.resize(old + piece.len())?;
    // SAFETY: nothing else runs; the array has just got this size.
    unsafe { array.as_bytes_mut()[old..].copy_from_slice(piece) };
    Ok(())
}

/// `del array[:count]`.
fn shorten_shown(array: &Bound<'_, PyByteArray>, count: usize) -> PyResult<()> {
    let count = ffi::Py_ssize_t::try_from(count).unwrap_or(ffi::Py_ssize_t::MAX);
    // SAFETY: attached, with a live object; an error is set if the answer is not zero.
    if unsafe { ffi::PySequence_DelSlice(array.as_ptr(), 0, count) } != 0 {
        return Err(PyErr::fetch(array.py()));
    }
    Ok(())
}
