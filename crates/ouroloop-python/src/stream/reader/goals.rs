//! What the reader's coroutines give: some bytes, all of them, a number of them, up to a separator.

use pyo3::PyTraverseError;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt};

use super::object::{StreamReader, as_limit};
use super::separators::{Found, Separators};
use super::wait::Goal;
use crate::errors::containment::settled;
use crate::interpreter::fresh::{self, Text};
use crate::interpreter::room::{Grow, no_memory};
use crate::standard::{Standard, raised};

/// A number of bytes as an argument.
pub(super) enum Size {
    Known(i64),
    /// Something that is no whole number; the first step says so.
    Odd(Py<PyAny>),
}

impl Size {
    pub(super) fn of(given: &Bound<'_, PyAny>) -> Self {
        if let Ok(size) = given.extract::<i64>() {
            return Self::Known(size);
        }
        match given.cast::<PyInt>() {
            Ok(size) if size.lt(0).unwrap_or(false) => Self::Known(i64::MIN),
            Ok(_) => Self::Known(i64::MAX),
            Err(_) => Self::Odd(given.clone().unbind()),
        }
    }

    /// # Errors
    /// asyncio's `TypeError` for what is no whole number.
    fn known(&self, py: Python<'_>) -> PyResult<i64> {
        match self {
            Self::Known(size) => Ok(*size),
            Self::Odd(object) => {
                object.bind(py).lt(0)?;
                let message = "slice indices must be integers or None or have an __index__ method";
                Err(fresh::error::<PyTypeError>(message))
            }
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Known(_) => Ok(()),
            Self::Odd(object) => visit.call(object),
        }
    }
}

fn as_count(size: i64) -> usize {
    usize::try_from(size).unwrap_or(0)
}

/// Raises the exception that the reader has, if it has one.
#[inline]
fn refuse_failed(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    match reader.get().failure(reader.py()) {
        Some(error) => Err(raise(error)),
        None => Ok(()),
    }
}

/// `raise error`.
pub(in crate::stream) fn raise(error: Bound<'_, PyAny>) -> PyErr {
    if error.is_instance_of::<pyo3::exceptions::PyBaseException>() {
        return raised(error);
    }
    PyErr::from_value(error)
}

/// Whether there is nothing to give out, and something may come.
#[inline]
fn is_dry(reader: &Bound<'_, StreamReader>) -> bool {
    let py = reader.py();
    reader.get().buffer.is_empty(py) && !reader.get().state.with(py, |state| state.eof)
}

/// Takes bytes out and has the transport go on.
#[inline]
fn take<'py>(reader: &Bound<'py, StreamReader>, count: usize) -> PyResult<Bound<'py, PyBytes>> {
    let taken = reader.get().buffer.take(reader.py(), count)?;
    StreamReader::maybe_resume(reader)?;
    Ok(taken)
}

/// `read(n)`: what there is, but no more than `n`.
pub(super) struct Some_ {
    size: Size,
    waited: bool,
}

impl Some_ {
    pub(super) fn new(size: Size) -> Self {
        Self { size, waited: false }
    }
}

impl Goal for Some_ {
    const METHOD: &'static str = "read";

    fn attempt(&mut self, reader: &Bound<'_, StreamReader>) -> PyResult<Option<Py<PyAny>>> {
        let py = reader.py();
        let size = if self.waited {
            self.size.known(py)?
        } else {
            refuse_failed(reader)?;
            let size = self.size.known(py)?;
            if size == 0 {
                return Ok(Some(fresh::bytes(py, b"")?.into_any().unbind()));
            }
            self.waited = is_dry(reader);
            if self.waited {
                return Ok(None);
            }
            size
        };
        Ok(Some(take(reader, as_count(size))?.into_any().unbind()))
    }

    fn wanted(&self) -> usize {
        match &self.size {
            Size::Known(size) => as_count(*size),
            Size::Odd(_) => 0,
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.size.visit(visit)
    }
}

/// `read(-1)`: all that comes until the end, piece by piece as by `read(limit)`.
pub(super) struct All {
    pieces: Vec<Py<PyBytes>>,
    waited: bool,
}

impl All {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new(), waited: false }
    }

    fn joined(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.pieces.len() == 1
            && let Some(only) = self.pieces.pop()
        {
            return Ok(only.into_any());
        }
        let pieces = std::mem::take(&mut self.pieces);
        let length = pieces.iter().map(|piece| piece.as_bytes(py).len()).sum();
        let joined = PyBytes::new_with(py, length, |mut room| {
            for piece in &pieces {
                let (place, rest) = room.split_at_mut(piece.as_bytes(py).len());
                place.copy_from_slice(piece.as_bytes(py));
                room = rest;
            }
            Ok(())
        })?;
        Ok(joined.into_any().unbind())
    }
}

impl Goal for All {
    const METHOD: &'static str = "read";

    fn attempt(&mut self, reader: &Bound<'_, StreamReader>) -> PyResult<Option<Py<PyAny>>> {
        let py = reader.py();
        loop {
            let limit = reader.get().state.with(py, |state| state.limit.low());
            if !std::mem::replace(&mut self.waited, false) {
                refuse_failed(reader)?;
                if limit == 0 {
                    return self.joined(py).map(Some);
                }
                if is_dry(reader) {
                    self.waited = true;
                    return Ok(None);
                }
            }
            let piece = take(reader, as_count(limit))?;
            if piece.as_bytes().is_empty() {
                return self.joined(py).map(Some);
            }
            if self.pieces.grow(piece.unbind()).is_err() {
                return Err(no_memory(py));
            }
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.pieces.iter().try_for_each(|piece| visit.call(piece))
    }
}

/// `readexactly(n)`.
pub(super) struct Exactly {
    size: Size,
    checked: bool,
}

impl Exactly {
    pub(super) fn new(size: Size) -> Self {
        Self { size, checked: false }
    }
}

impl Goal for Exactly {
    const METHOD: &'static str = "readexactly";

    fn attempt(&mut self, reader: &Bound<'_, StreamReader>) -> PyResult<Option<Py<PyAny>>> {
        let py = reader.py();
        let size = self.size.known(py)?;
        if !std::mem::replace(&mut self.checked, true) {
            if size < 0 {
                let message = "readexactly size can not be less than zero";
                return Err(fresh::error::<PyValueError>(message));
            }
            refuse_failed(reader)?;
            if size == 0 {
                return Ok(Some(fresh::bytes(py, b"")?.into_any().unbind()));
            }
        }
        let count = as_count(size);
        if reader.get().buffer.len(py) >= count {
            return Ok(Some(take(reader, count)?.into_any().unbind()));
        }
        if reader.get().state.with(py, |state| state.eof) {
            return Err(incomplete(reader, Some(size)));
        }
        Ok(None)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.size.visit(visit)
    }
}

/// `IncompleteReadError` with all that is left, which is taken out.
fn incomplete(reader: &Bound<'_, StreamReader>, expected: Option<i64>) -> PyErr {
    let py = reader.py();
    let error = reader.get().buffer.take(py, usize::MAX).and_then(|partial| {
        Standard::get(py)?.incomplete_read_error.bind(py).call1((partial, expected))
    });
    error.map_or_else(|error| error, raised)
}

/// Why there is no line, and never will be as things are.
enum Miss {
    /// The stream has ended.
    Ended,
    /// It is longer than the limit: asyncio's words for it, and the bytes before the separator.
    TooLong(&'static str, usize),
    Raised(PyErr),
}

/// How far a search for a separator has come.
struct Search {
    separators: Separators,
    /// No separator begins before this place.
    offset: usize,
}

impl Search {
    /// Where the separator is; `None` while it may still come.
    fn go_on(&mut self, reader: &Bound<'_, StreamReader>) -> Result<Option<Found>, Miss> {
        let py = reader.py();
        let (shortest, longest) = (self.separators.shortest(), self.separators.longest());
        let limit = reader.get().state.with(py, |state| state.limit.low());
        let length = reader.get().buffer.len(py);
        if length >= self.offset.saturating_add(shortest) {
            self.separators.refuse_odd(py).map_err(Miss::Raised)?;
            let buffer = &reader.get().buffer;
            let found = buffer.with(py, |bytes| self.separators.find(bytes, self.offset));
            let found = found.map_err(Miss::Raised)?;
            if let Some(found) = found {
                if as_limit(found.start) > limit {
                    let message = "Separator is found, but chunk is longer than limit";
                    return Err(Miss::TooLong(message, found.start));
                }
                return Ok(Some(found));
            }
            self.offset = (length + 1).saturating_sub(longest);
            if as_limit(self.offset) > limit {
                let message = "Separator is not found, and chunk exceed the limit";
                return Err(Miss::TooLong(message, self.offset));
            }
        }
        if reader.get().state.with(py, |state| state.eof) {
            return Err(Miss::Ended);
        }
        Ok(None)
    }
}

/// `readuntil(separator)`.
pub(super) struct Until {
    search: Search,
    checked: bool,
}

impl Until {
    pub(super) fn new(separators: Separators) -> Self {
        Self { search: Search { separators, offset: 0 }, checked: false }
    }
}

fn too_long(py: Python<'_>, message: &str, consumed: usize) -> PyErr {
    Standard::get(py)
        .and_then(|standard| standard.limit_overrun_error.bind(py).call1((Text(message), consumed)))
        .map_or_else(|error| error, raised)
}

impl Goal for Until {
    const METHOD: &'static str = "readuntil";

    fn attempt(&mut self, reader: &Bound<'_, StreamReader>) -> PyResult<Option<Py<PyAny>>> {
        let py = reader.py();
        if !std::mem::replace(&mut self.checked, true) {
            self.search.separators.prepare(py)?;
            refuse_failed(reader)?;
        }
        match self.search.go_on(reader) {
            Ok(None) => Ok(None),
            Ok(Some(found)) => Ok(Some(take(reader, found.end)?.into_any().unbind())),
            Err(Miss::Ended) => Err(incomplete(reader, None)),
            Err(Miss::TooLong(message, consumed)) => Err(too_long(py, message, consumed)),
            Err(Miss::Raised(error)) => Err(error),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.search.separators.visit(visit)
    }
}

/// For what a line is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Line,
    /// A step of `async for`, which the end of the stream ends.
    Next,
}

impl Purpose {
    pub(super) fn answer(self, line: Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if matches!(self, Self::Next) && line.eq(fresh::bytes(line.py(), b"")?)? {
            return Err(pyo3::exceptions::PyStopAsyncIteration::new_err(()));
        }
        Ok(line.unbind())
    }
}

/// `readline()`.
pub(super) struct Line {
    search: Search,
    checked: bool,
    purpose: Purpose,
}

impl Line {
    pub(super) fn new(purpose: Purpose) -> Self {
        let search = Search { separators: Separators::Newline, offset: 0 };
        Self { search, checked: false, purpose }
    }
}

impl Goal for Line {
    const METHOD: &'static str = "readuntil";

    fn attempt(&mut self, reader: &Bound<'_, StreamReader>) -> PyResult<Option<Py<PyAny>>> {
        let py = reader.py();
        if !std::mem::replace(&mut self.checked, true) {
            refuse_failed(reader)?;
        }
        match self.search.go_on(reader) {
            Ok(None) => Ok(None),
            Ok(Some(found)) => Ok(Some(take(reader, found.end)?.into_any().unbind())),
            Err(Miss::Ended) => {
                let rest = reader.get().buffer.take(py, usize::MAX)?;
                self.purpose.answer(rest.into_any()).map(Some)
            }
            Err(Miss::TooLong(message, consumed)) => {
                Err(line_too_long(reader, too_long(py, message, consumed)))
            }
            Err(Miss::Raised(error)) => Err(error),
        }
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.search.separators.visit(visit)
    }
}

/// What `readline` makes of a `LimitOverrunError`: the line is dropped, or all there is of it.
pub(super) fn line_too_long(reader: &Bound<'_, StreamReader>, overrun: PyErr) -> PyErr {
    let py = reader.py();
    let drop_line = || -> PyResult<PyErr> {
        let value = overrun.value(py);
        let consumed: usize = value.getattr(Text("consumed"))?.extract()?;
        let buffer = &reader.get().buffer;
        if buffer.with(py, |bytes| bytes.get(consumed) == Some(&b'\n'))? {
            buffer.skip(py, consumed + 1)?;
        } else {
            buffer.clear(py)?;
        }
        StreamReader::maybe_resume(reader)?;
        let message = value.getattr(Text("args"))?.get_item(0)?.unbind();
        Ok(PyValueError::new_err((message,)))
    };
    let error = settled(py, drop_line().unwrap_or_else(|error| error));
    error.set_context(py, Some(overrun));
    error
}
